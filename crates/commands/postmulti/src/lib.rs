//! Manages several instances on one machine: lists them, runs a command for each, makes and removes
//! them. Manual page: postmulti(1).
//!
//! The default instance is the primary one; its main.cf lists the configuration directories of the
//! others. What Postfix leaves to the shell script `postmulti-script` is done here, in its words.
#![forbid(unsafe_code)]

mod edit;
mod instances;
mod life_cycle;
mod options;
mod run;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use postern_config::{Config, DEFAULT_DIRECTORY, params};
use postern_maillog::{Echo, Severity, fatal};

use crate::instances::Instances;
use crate::options::{Action, Options};

/// Runs the program.
pub fn main() -> ExitCode {
    postern_sys::file::umask(0o022);
    postern_command::begin("postmulti");
    postern_maillog::set_tag("postmulti");
    postern_maillog::set_echo(echo(false));
    if postern_sys::user::uid() == 0 {
        postern_maillog::allow_direct_file();
    }
    let primary = load();
    if primary.directory() != Path::new(DEFAULT_DIRECTORY) {
        fatal!(
            "Non-default configuration directory: MAIL_CONFIG={}",
            primary.directory().display()
        );
    }
    let options = Options::from_process().unwrap_or_else(|text| fatal!("{text}"));
    if options.verbose > 0 {
        postern_maillog::set_verbose(options.verbose);
        postern_sys::env::set_env("MAIL_VERBOSE", "");
    }
    let instances = Instances::load(primary).unwrap_or_else(|text| fatal!("{text}"));
    let result = match &options.action {
        Action::List => {
            postern_command::print_or_die(&run::list(&instances, &options));
            Ok(true)
        }
        Action::Postfix(words) => run::postfix(&instances, &options, words),
        Action::Command(words) => run::command(&instances, &options, words),
        Action::Edit(verb) => life_cycle::edit(&instances, &options, *verb),
    };
    match result {
        Ok(is_well) => ExitCode::from(u8::from(!is_well)),
        Err(Failure::Fatal(text)) => fatal!("{text}"),
        Err(Failure::Script(text)) => {
            say(&instances, Severity::Fatal, &text);
            ExitCode::FAILURE
        }
        Err(Failure::Told) => ExitCode::FAILURE,
    }
}

/// Why the command fails.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// Logged as the program's own.
    Fatal(String),
    /// Logged in the name of `postmulti-script`.
    Script(String),
    /// Told already.
    Told,
}

fn load() -> Config {
    let mut config = Config::load().unwrap_or_else(|error| postern_maillog::die_of_config(&error));
    config.set_reader("postmulti");
    postern_maillog::set_echo(echo(config.look().command_stderr()));
    postern_maillog::configure(&config);
    postern_maillog::set_tag("postmulti");
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
    if let Err(error) = config.check("postmulti") {
        postern_maillog::die_of_config(&error);
    }
    config
}

/// Lines go to a terminal, and from level 3.8 on to any stderr.
fn echo(always: bool) -> Echo {
    if always || std::io::stderr().is_terminal() {
        Echo::Stderr
    } else {
        Echo::Nothing
    }
}

/// Logs a line in the name of `postmulti-script`.
fn say(instances: &Instances, severity: Severity, text: &str) {
    let name = instances.config.get(params::SYSLOG_NAME);
    let tag = format!("{name}/postmulti-script");
    postern_maillog::set_tag(&tag);
    postern_maillog::set_stderr_name(&tag);
    postern_maillog::log(severity, text);
}
