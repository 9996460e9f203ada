//! The interface that programs have used for mail for forty years: submission, `mailq`, `newaliases`, `-bs`.
//! Runs with the caller's rights and leaves every queue to postdrop(1) and postqueue(1).
//! Manual page: sendmail(1).
#![forbid(unsafe_code)]

mod header;
mod mode;
mod options;
mod submit;

use std::path::Path;
use std::process::ExitCode;

use postern_command::exit;
use postern_config::Config;

use crate::options::{Mode, Options};

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_command::process_name("sendmail");
    postern_command::begin("sendmail");
    postern_maillog::set_stderr_name(&name);
    postern_maillog::set_config_error_status(exit::TEMP_FAIL);
    // Complaints about options belong in the log that main.cf names.
    let directory = options::directory(std::env::args_os().skip(1));
    refuse_unlisted_directory(directory.as_deref());
    let config = postern_command::load_config(directory.as_deref());
    let options = Options::read(&name, std::env::args_os().skip(1));
    if options.verbose > 1 {
        postern_maillog::set_verbose(options.verbose - 1);
    }
    postern_command::update_environment(&config);
    let queue = config.get(postern_config::params::QUEUE_DIRECTORY);
    if let Err(error) = std::env::set_current_dir(&queue) {
        let reason = postern_sys::error_text(&error);
        fatal(format_args!("chdir {queue}: {reason}"));
    }
    run(&config, &options)
}

/// What -C names goes on to the set-gid commands, which would refuse it, too.
fn refuse_unlisted_directory(directory: Option<&Path>) {
    if postern_sys::user::uid() == 0 {
        return;
    }
    let listed = directory.map_or(Ok(()), Config::require_listed_directory);
    if let Err(error) = listed {
        postern_maillog::die_of_config(&error);
    }
}

fn run(config: &Config, options: &Options) -> ExitCode {
    let refuse_operands = |what: &str| {
        if !options.operands.is_empty() {
            fatal(format_args!("{what} mode requires no recipient"));
        }
    };
    match &options.mode {
        Mode::Submit => submit::submit(config, options),
        Mode::Queue => {
            refuse_operands("display queue");
            let format = if options.json { "-j" } else { "-p" };
            mode::replace(config, "postqueue", &[format])
        }
        Mode::Flush => {
            refuse_operands("flush queue");
            mode::replace(config, "postqueue", &["-f"])
        }
        Mode::FlushSite(site) => {
            refuse_operands("flush queue");
            mode::replace(config, "postqueue", &["-s", site])
        }
        Mode::FlushMessage(id) => {
            refuse_operands("flush queue");
            mode::replace(config, "postqueue", &["-i", id])
        }
        Mode::Aliases => {
            refuse_operands("alias initialization");
            mode::new_aliases(config, options)
        }
        Mode::Serve => {
            refuse_operands("stand-alone");
            submit::check_caller(config);
            mode::stand_alone(config)
        }
        Mode::Daemon => {
            refuse_operands("daemon");
            mode::start_in_background(config)
        }
    }
}

/// Every failure of sendmail(1) is temporary to its caller, which then keeps the message.
fn fatal(text: std::fmt::Arguments<'_>) -> ! {
    postern_maillog::die(i32::from(exit::TEMP_FAIL), text)
}
