//! Lists the mail queue and asks for delivery. Set-gid, hence it trusts nobody. Manual page: postqueue(1);
//! queue.md §15 of our specification.
#![forbid(unsafe_code)]

mod flush;
mod json;
mod listing;
mod source;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use postern_command::{Getopt, Opt, exit};
use postern_config::{Config, Param, params};
use postern_dict::{MatchKind, MatchList};
use postern_maillog::die;
use postern_sys::{error_text, user};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    List,
    Json,
    Flush,
    Site(OsString),
    Message(OsString),
}

/// Runs the program.
pub fn main() -> ExitCode {
    postern_command::begin_set_gid("postqueue");
    let (mode, directory) = options();
    postern_maillog::set_config_error_status(exit::UNAVAILABLE);
    let config = postern_command::load_config(directory.as_deref().map(Path::new));
    postern_command::update_environment(&config);
    postern_command::enter_queue_directory(&config);
    match mode {
        Mode::List => {
            authorize(
                &config,
                params::AUTHORIZED_MAILQ_USERS,
                "view the mail queue",
            );
            show(&config, &listing::Listing::new(&config))
        }
        Mode::Json => {
            authorize(
                &config,
                params::AUTHORIZED_MAILQ_USERS,
                "view the mail queue",
            );
            show(&config, &json::Json)
        }
        Mode::Flush => {
            authorize(
                &config,
                params::AUTHORIZED_FLUSH_USERS,
                "flush the mail queue",
            );
            flush::queue(&config)
        }
        Mode::Site(site) => {
            authorize(
                &config,
                params::AUTHORIZED_FLUSH_USERS,
                "flush the mail queue",
            );
            flush::site(&config, &site)
        }
        Mode::Message(id) => {
            authorize(
                &config,
                params::AUTHORIZED_FLUSH_USERS,
                "flush the mail queue",
            );
            flush::message(&config, &id)
        }
    }
}

fn options() -> (Mode, Option<OsString>) {
    let mut mode = None;
    let mut directory = None;
    let mut options = Getopt::from_process("c:fi:jps:v");
    let mut verbose = 0;
    let mut set = |wanted: Mode| {
        if mode.is_some() {
            usage();
        }
        mode = Some(wanted);
    };
    for option in &mut options {
        match option {
            Opt::Value('c', value) => directory = Some(value),
            Opt::Flag('f') => set(Mode::Flush),
            Opt::Flag('p') => set(Mode::List),
            Opt::Flag('j') => set(Mode::Json),
            Opt::Value('i', id) => set(Mode::Message(id)),
            Opt::Value('s', site) => set(Mode::Site(site)),
            Opt::Flag('v') => verbose += 1,
            other => {
                if let Some(text) = other.complaint("postqueue") {
                    eprintln!("{text}");
                }
                usage();
            }
        }
    }
    if user::uid() == 0 && verbose > 0 {
        postern_maillog::set_verbose(verbose);
    }
    if !options.operands().is_empty() {
        usage();
    }
    (mode.unwrap_or_else(|| usage()), directory)
}

fn usage() -> ! {
    postern_command::usage(
        exit::UNAVAILABLE,
        format_args!(
            "postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
        ),
    )
}

/// Ends the program unless the caller is listed in `param`.
fn authorize(config: &Config, param: Param<String>, what: &str) {
    let uid = user::uid();
    let list = config.get(param);
    if uid == 0 || list == "static:anyone" {
        return;
    }
    let name = user::user_by_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| "unknown".to_owned(), |user| user.name);
    let mut users = MatchList::open_small(config, param.info.name, &list, MatchKind::Text);
    if !matches!(users.matches(name.as_str().into()), Ok(true)) {
        die(
            i32::from(exit::UNAVAILABLE),
            format_args!("User {name}({uid}) is not allowed to {what}"),
        );
    }
}

/// How messages are shown.
trait Format {
    /// Reads the listing from `source` and writes it to `out`.
    fn show(
        &self,
        source: &mut source::Source,
        out: &mut dyn Write,
    ) -> Result<(), source::ListError>;
}

fn show(config: &Config, format: &dyn Format) -> ExitCode {
    let mut source = source::Source::open(config);
    let mut out = BufWriter::new(io::stdout().lock());
    let result = format
        .show(&mut source, &mut out)
        .and_then(|()| out.flush().map_err(source::ListError::Output));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `mailq | head`: the reader has seen enough.
        Err(source::ListError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(source::ListError::Output(error)) => die(
            i32::from(exit::UNAVAILABLE),
            format_args!("output write error: {}", error_text(&error)),
        ),
        Err(source::ListError::Input) => die(
            i32::from(exit::SOFTWARE),
            format_args!("malformed showq server response"),
        ),
    }
}
