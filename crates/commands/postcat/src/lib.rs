//! Shows queue files. Manual page: postcat(1); queue.md §16 of our specification.
//!
//! It reads damaged files as far as their records make sense, and never writes.
#![forbid(unsafe_code)]

mod options;
mod show;
mod source;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use bstr::ByteSlice;
use postern_command::Getopt;
use postern_config::{Config, own_addresses, params};
use postern_maillog::fatal;
use postern_sys::error_text;
use std::os::unix::ffi::OsStrExt;

use crate::options::Options;
use crate::show::{ShowError, Shower};
use crate::source::Source;

/// Runs the program.
pub fn main() -> ExitCode {
    let name = program_name();
    postern_command::begin_without_log(&name);
    let mut getopt = Getopt::from_process(options::LETTERS);
    let mut options = Options {
        json: getopt.take_long("--json"),
        ..Options::default()
    };
    for option in getopt.by_ref() {
        if let Some(text) = options.add(option).complaint(&name) {
            postern_command::complain!("{text}");
            usage(&name);
        }
    }
    let operands = getopt.operands();
    options.complete();
    postern_maillog::set_verbose(options.verbose);
    let config = postern_command::load_config(options.directory.as_deref().map(Path::new));
    postern_command::update_environment(&config);
    if options.verbose > 0 {
        tell_network(&config);
    }
    if options.by_id {
        postern_command::enter_queue_directory(&config);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let finder = source::Finder::new(&config);
    let sources: Box<dyn Iterator<Item = Source>> = if options.by_id {
        Box::new(operands.iter().map(|id| finder.find(id.as_bytes())))
    } else if operands.is_empty() {
        Box::new(std::iter::once_with(Source::stdin))
    } else {
        Box::new(operands.iter().map(|path| Source::open(Path::new(path))))
    };
    for source in sources {
        show(source, &options, &mut out);
    }
    match out.flush() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => write_error(&error),
    }
}

/// What `-v` shows of the network settings before the file, as the reference does.
fn tell_network(config: &Config) {
    let names = config.get(params::INET_PROTOCOLS);
    for name in names
        .split([' ', ',', '\t', '\r', '\n'])
        .filter(|name| !name.is_empty())
    {
        log::debug!("name_mask: {name}");
    }
    if !config.is_set(params::MYNETWORKS.info.name) {
        log::debug!("name_mask: {}", config.get(params::MYNETWORKS_STYLE));
    }
    let own = own_addresses(config).unwrap_or_default();
    let ipv4 = own.iter().filter(|own| own.address.is_ipv4()).count();
    for (family, count) in [("IPv4", ipv4), ("IPv6", own.len() - ipv4)] {
        if count > 0 {
            log::debug!("inet_addr_local: configured {count} {family} addresses");
        }
    }
}

/// The program as it was called, which is how this command names itself in messages.
fn program_name() -> String {
    let path = std::env::args_os().next();
    path.map_or_else(
        || "postcat".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

fn show(source: Source, options: &Options, out: &mut dyn Write) {
    match Shower::new(source, options, out).run() {
        Ok(()) => {}
        Err(ShowError::Output(error)) => write_error(&error),
        Err(error) => fatal!("{error}"),
    }
}

/// Who has seen enough, as in `postcat FILE | head`, needs no message.
fn write_error(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(1);
    }
    fatal!("write error: {}", error_text(error))
}

fn usage(name: &str) -> ! {
    fatal!(
        "usage: {name} [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] \
         [-h (header text)] [-q (access queue)] [-v] [file(s)...]"
    )
}

/// The part before the first NUL, which is all that programs for strings would show.
fn as_string(data: &[u8]) -> &[u8] {
    data.find_byte(0)
        .and_then(|end| data.get(..end))
        .unwrap_or(data)
}
