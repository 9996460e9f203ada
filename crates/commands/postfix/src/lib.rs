//! Controls the mail system: starts, stops, reloads and checks it. Manual page: postfix(1).
//!
//! What Postfix leaves to the shell script `postfix-script` is done here without a shell, in its
//! words. A script of that name which the administrator has changed is still obeyed.
#![forbid(unsafe_code)]

mod check;
mod compat;
mod control;
mod files;
mod install;
mod log_file;
mod program;
mod tls;
mod upgrade;
mod walk;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use postern_command::{Getopt, Opt};
use postern_config::{Config, Level, params, words};
use postern_maillog::{Echo, fatal};
use postern_sys::error_text;

use crate::program::Program;

/// What the processes that this command starts get as PATH.
const PATH: &str = "/bin:/usr/bin:/sbin:/usr/sbin";

/// Parameters that scripts read from the environment.
const EXPORTED: &[params::Param<String>] = &[
    params::COMMAND_DIRECTORY,
    params::DAEMON_DIRECTORY,
    params::DATA_DIRECTORY,
    params::META_DIRECTORY,
    params::QUEUE_DIRECTORY,
    params::CONFIG_DIRECTORY,
    params::SHLIB_DIRECTORY,
    params::MAIL_OWNER,
    params::SETGID_GROUP,
    params::SENDMAIL_PATH,
    params::MAILQ_PATH,
    params::NEWALIASES_PATH,
    params::MANPAGE_DIRECTORY,
    params::SAMPLE_DIRECTORY,
    params::README_DIRECTORY,
    params::HTML_DIRECTORY,
];

/// The script of Debian 12, unchanged: length and FNV-1a checksum. It does what this program does.
const STOCK_SCRIPTS: &[(usize, u64)] = &[(11031, 0xed6e_43f8_3021_f342)];

/// The options.
const LETTERS: &str = "c:Dv";

/// Runs the program.
pub fn main() -> ExitCode {
    postern_sys::file::umask(0o022);
    postern_command::begin("postfix");
    postern_maillog::set_tag("postfix");
    postern_maillog::set_echo(echo(false));
    postern_maillog::allow_direct_file();
    // Everybody may compare, and nobody else needs to know the options.
    if !std::env::args_os().any(|word| word == "--compat") {
        refuse_strangers();
    }
    let (directory, operands) = options();
    if operands.first().is_some_and(|word| word == "check")
        && operands.iter().any(|word| word == "--compat")
    {
        let json = operands.iter().any(|word| word == "--json");
        return compat::run(directory.as_deref(), json);
    }
    refuse_strangers();
    // `post-install` calls on behalf of a script, which must not be called again.
    let is_built_in = std::env::var_os("POSTERN_BUILT_IN").is_some();
    let is_chosen = directory.is_some() || std::env::var_os("MAIL_CONFIG").is_some();
    let config = load(directory.as_deref());
    let name = config.get(params::SYSLOG_NAME);
    if let Err(error) = config.check("postfix") {
        postern_maillog::die_of_config(&error);
    }
    postern_command::clean_environment(&config);
    remind(&config);
    export(&config);
    enter_directories(&config);
    if !is_chosen {
        run_wrapper(&config, &operands);
    }
    if !is_built_in {
        obey_script(&config, &operands);
    }
    ExitCode::from(Program::new(config, &name, is_built_in).run(&operands))
}

/// Reads main.cf. The log's tag stays the program's name, whatever `syslog_name` says.
fn load(directory: Option<&Path>) -> Config {
    if let Some(directory) = directory {
        postern_sys::env::set_env("MAIL_CONFIG", directory);
    }
    let mut config = Config::load().unwrap_or_else(|error| postern_maillog::die_of_config(&error));
    config.set_reader("postfix");
    postern_maillog::set_echo(echo(config.look().command_stderr()));
    postern_maillog::configure(&config);
    postern_maillog::set_tag("postfix");
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
    config
}

/// Lines go to a terminal, and from level 3.8 on to any stderr.
fn echo(always: bool) -> Echo {
    if always || is_terminal() {
        Echo::Stderr
    } else {
        Echo::Nothing
    }
}

fn is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

/// Reads the command line: the `-c` directory and what follows the options.
fn options() -> (Option<PathBuf>, Vec<OsString>) {
    let mut directory = None;
    let mut options = Getopt::from_process(LETTERS);
    for option in options.by_ref() {
        if let Some(complaint) = option.complaint("postfix") {
            postern_command::complain!("{complaint}");
        }
        match option {
            Opt::Value('c', value) if value.as_bytes().starts_with(b"/") => {
                directory = Some(PathBuf::from(value))
            }
            Opt::Value('c', _) => fatal!("-c requires absolute pathname"),
            Opt::Flag('D') => postern_sys::env::set_env("MAIL_DEBUG", ""),
            Opt::Flag('v') => {
                postern_maillog::set_verbose(1);
                postern_sys::env::set_env("MAIL_VERBOSE", "");
            }
            _ => fatal!("usage: postfix [-c config_dir] [-Dv] command"),
        }
    }
    (directory, options.operands())
}

/// Only root, or the owner of an instance without privileges, may control the mail system. Others are not
/// even told what is wrong with their options.
fn refuse_strangers() {
    if postern_sys::user::uid() == 0 {
        return;
    }
    let chosen = Getopt::from_process(LETTERS).filter_map(|option| match option {
        Opt::Value('c', value) => Some(PathBuf::from(value)),
        _ => None,
    });
    let config = match chosen.last() {
        Some(directory) => Config::load_from(&directory),
        None => Config::load(),
    };
    let is_own = |config: &Config| postern_command::is_administrator(config).unwrap_or(false);
    if !config.as_ref().is_ok_and(is_own) {
        log::error!("to submit mail, use the Postfix sendmail command");
        fatal!("the postfix command is reserved for the superuser");
    }
}

/// Tells that old defaults are in use. The level is the last one that 3.7 knows: below it, the look of
/// that release is kept.
fn remind(config: &Config) {
    if config.level() >= Level::new(3, 6) {
        return;
    }
    log::info!("Postfix is using backwards-compatible default settings");
    log::info!("See http://www.postfix.org/COMPATIBILITY_README.html for details");
    log::info!(
        "To disable backwards compatibility use \"postconf compatibility_level=3.6\" and \"postfix reload\""
    );
}

fn export(config: &Config) {
    postern_sys::env::set_env("PATH", PATH);
    postern_sys::env::set_env("MAIL_CONFIG", config.directory());
    for param in EXPORTED {
        postern_sys::env::set_env(param.info.name, config.get(*param));
    }
}

/// The last one becomes the working directory.
fn enter_directories(config: &Config) {
    for param in [
        params::COMMAND_DIRECTORY,
        params::DAEMON_DIRECTORY,
        params::QUEUE_DIRECTORY,
    ] {
        let directory = config.get(param);
        if let Err(error) = std::env::set_current_dir(&directory) {
            fatal!("chdir({directory}): {}", error_text(&error));
        }
    }
}

/// With several instances, the wrapper does the command for each.
fn run_wrapper(config: &Config, operands: &[OsString]) {
    if words::words(&config.get(params::MULTI_INSTANCE_DIRECTORIES))
        .next()
        .is_none()
    {
        return;
    }
    let wrapper = config.get(params::MULTI_INSTANCE_WRAPPER);
    let mut parts = wrapper.split_ascii_whitespace();
    let Some(program) = parts.next() else {
        fatal!("multi-instance support is requested, but multi_instance_wrapper is empty");
    };
    let error = Command::new(program).args(parts).args(operands).exec();
    fatal!("{program}: {}", error_text(&error));
}

/// Hands over to `postfix-script` when the administrator has made it his own.
fn obey_script(config: &Config, operands: &[OsString]) {
    let path = Path::new(&config.get(params::DAEMON_DIRECTORY)).join("postfix-script");
    let Ok(text) = std::fs::read(&path) else {
        return;
    };
    if STOCK_SCRIPTS.contains(&(text.len(), checksum(&text))) {
        return;
    }
    let error = Command::new(&path).args(operands).exec();
    fatal!("{}: {}", path.display(), error_text(&error));
}

/// FNV-1a, 64 bits. Good enough to recognise a file that nobody forges against its own administrator.
fn checksum(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_fnv_1a() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
