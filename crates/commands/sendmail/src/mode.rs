//! The modes that other programs do.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use postern_config::{Config, params};

use crate::fatal;
use crate::options::Options;

fn command(config: &Config, name: &str) -> Command {
    Command::new(PathBuf::from(config.get(params::COMMAND_DIRECTORY)).join(name))
}

/// Becomes another command of the suite.
pub(crate) fn replace(config: &Config, name: &str, args: &[&str]) -> ExitCode {
    let mut command = command(config, name);
    let error = command.args(args).exec();
    fatal(format_args!(
        "execv {}: {}",
        command.get_program().to_string_lossy(),
        postern_sys::error_text(&error)
    ))
}

/// Rebuilds the alias tables of `alias_database`, or the one of `-oA`.
pub(crate) fn new_aliases(config: &Config, options: &Options) -> ExitCode {
    let tables = match &options.alias_table {
        Some(table) => table.clone(),
        None => config.get(params::ALIAS_DATABASE),
    };
    let names: Vec<&str> = tables
        .split([' ', ',', '\t', '\r', '\n'])
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return ExitCode::SUCCESS;
    }
    replace(config, "postalias", &names)
}

/// An SMTP session on standard input and output.
pub(crate) fn stand_alone(config: &Config) -> ExitCode {
    let smtpd = PathBuf::from(config.get(params::DAEMON_DIRECTORY)).join("smtpd");
    let error = Command::new(&smtpd).arg("-S").exec();
    fatal(format_args!(
        "execv {}: {}",
        smtpd.display(),
        postern_sys::error_text(&error)
    ))
}

/// `postfix start`, without waiting; as ever, the caller is not told how it went.
pub(crate) fn start_in_background(config: &Config) -> ExitCode {
    let quiet = || Stdio::null();
    let started = command(config, "postfix")
        .arg("start")
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    match started {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fatal(format_args!(
            "execv postfix: {}",
            postern_sys::error_text(&error)
        )),
    }
}
