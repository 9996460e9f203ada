//! Start-up of the commands that users and administrators type.
//!
//! The usual order: [`begin`], read options with [`Getopt`], [`load_config`] with the `-c` value,
//! then [`clean_environment`] or [`update_environment`] (which one: config.md §7 of our
//! specification). Set-gid programs call [`begin_set_gid`] instead of `begin`.
#![forbid(unsafe_code)]

mod getopt;
mod hint;
mod interrupts;
mod json;
mod progress;

use postern_config::{Config, ConfigError, params};
use postern_maillog::Echo;
use std::fmt::Arguments;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

pub use getopt::{Getopt, Opt};
pub use hint::hint;
pub use interrupts::Interrupts;
pub use json::json_string;
pub use progress::Progress;

/// Exit statuses of sysexits(3) that the commands use.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// The input is wrong.
    pub const DATA_ERROR: u8 = 65;
    /// An input file cannot be read.
    pub const NO_INPUT: u8 = 66;
    /// The user is unknown.
    pub const NO_USER: u8 = 67;
    /// A service is not there.
    pub const UNAVAILABLE: u8 = 69;
    /// An error of the program itself.
    pub const SOFTWARE: u8 = 70;
    /// The system refused something.
    pub const OS_ERROR: u8 = 71;
    /// An output file cannot be made.
    pub const CANNOT_CREATE: u8 = 73;
    /// Reading or writing failed.
    pub const IO_ERROR: u8 = 74;
    /// Try again later.
    pub const TEMP_FAIL: u8 = 75;
    /// The user may not do this.
    pub const NO_PERMISSION: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// The program whose parameters are checked when main.cf is read.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// First step of a command: log tag, signals, standard descriptors. Every line of the log is shown on
/// stderr, too.
pub fn begin(name: &str) {
    let program = name.rsplit('/').next().unwrap_or(name);
    let _ = PROGRAM.set(program.to_owned());
    // A command started with closed standard descriptors must not write to its own files there.
    // The standard library has opened /dev/null in their place.
    postern_sys::signal::ignore_write_signals();
    postern_maillog::init(name, Echo::Stderr);
    if std::env::var_os("MAIL_VERBOSE").is_some() {
        postern_maillog::set_verbose(1);
    }
}

/// First step of a command that tells problems on stderr only, never in the log: postconf, postmap,
/// postalias, postcat, postkick, postlock. `name` precedes each line; some of these commands show the
/// whole `argv[0]` there.
pub fn begin_without_log(name: &str) {
    begin(name);
    postern_maillog::set_echo(Echo::StderrOnly);
}

/// Base name of `argv[0]`, or `default`.
pub fn process_name(default: &str) -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name();
    name.map_or_else(
        || default.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// First step of a set-gid command: as [`begin`], and nothing of the caller's environment but
/// harmless names survives.
pub fn begin_set_gid(name: &str) {
    const HARMLESS: &[&str] = &[
        "MAIL_CONFIG",
        "MAIL_DEBUG",
        "MAIL_LOGTAG",
        "MAIL_VERBOSE",
        "TZ",
        "LANG",
        "XAUTHORITY",
        "DISPLAY",
        "POSTLOG_SERVICE",
        "POSTLOG_HOSTNAME",
    ];
    let unwanted: Vec<_> = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            !HARMLESS
                .iter()
                .any(|harmless| *harmless == name.as_os_str())
        })
        .collect();
    for name in unwanted {
        postern_sys::env::remove_env(name);
    }
    begin(name);
}

/// Reads main.cf from `directory` (the value of `-c`), else from `MAIL_CONFIG` or the default place;
/// sets up the log as main.cf wants it. Errors end the program, and so do settings that no program may
/// run with and bad values of parameters that this one uses.
///
/// Set-id programs accept only directories that the default main.cf lists.
pub fn load_config(directory: Option<&Path>) -> Config {
    let config =
        read_config(directory).unwrap_or_else(|error| postern_maillog::die_of_config(&error));
    let program = PROGRAM.get().map_or("", String::as_str);
    if let Err(error) = config.check(program) {
        // The complaint goes where main.cf wants the log, unless that cannot be made out.
        if config.try_level().is_ok() {
            let _ = postern_maillog::try_configure(&config);
        }
        warn_of_config(&config);
        postern_maillog::die_of_config(&error);
    }
    postern_maillog::configure(&config);
    warn_of_config(&config);
    config
}

/// As [`load_config`], with the error returned. Warnings about main.cf are logged.
pub fn try_load_config(directory: Option<&Path>) -> Result<Config, ConfigError> {
    let config = read_config(directory)?;
    postern_maillog::configure(&config);
    warn_of_config(&config);
    Ok(config)
}

fn read_config(directory: Option<&Path>) -> Result<Config, ConfigError> {
    if let Some(directory) = directory {
        // Children and the check for set-id programs look at the variable.
        postern_sys::env::set_env("MAIL_CONFIG", directory);
    }
    let mut config = Config::load()?;
    config.set_reader(PROGRAM.get().map_or("", String::as_str));
    Ok(config)
}

fn warn_of_config(config: &Config) {
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
}

/// Reduces the environment to `import_environment`.
pub fn clean_environment(config: &Config) {
    postern_sys::env::clean_env(environment(config, "clean_env"));
}

/// Applies only the `NAME=value` items of `import_environment`.
pub fn update_environment(config: &Config) {
    postern_sys::env::update_env(environment(config, "update_env"));
}

/// The items of `import_environment`; a bad one ends the program.
fn environment(config: &Config, action: &str) -> Vec<String> {
    let param = params::IMPORT_ENVIRONMENT;
    let items = postern_config::words::environment(param.info.name, action, &config.get(param));
    items.unwrap_or_else(|error| postern_maillog::fatal!("{error}"))
}

/// Enters the queue directory; failure ends the program with status 1.
pub fn enter_queue_directory(config: &Config) {
    enter_queue_directory_or(config, 1);
}

/// Enters the queue directory; failure ends the program with `status`.
pub fn enter_queue_directory_or(config: &Config, status: u8) {
    let directory = config.get(params::QUEUE_DIRECTORY);
    if let Err(error) = std::env::set_current_dir(&directory) {
        let reason = postern_sys::error_text(&error);
        postern_maillog::die(
            i32::from(status),
            format_args!("chdir {directory}: {reason}"),
        );
    }
}

/// Ends a command that cannot write its output. A reader who has seen enough, as in `COMMAND | head`,
/// needs no message: the status is what shells show of a program that SIGPIPE ends.
pub fn output_failed(what: &str, error: &io::Error) -> ! {
    const BROKEN_PIPE: i32 = 128 + 13;
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
    postern_maillog::fatal!("{what}: {}", postern_sys::error_text(error))
}

/// Shows `text` on standard output as the last thing that a command does; an error ends it.
pub fn print_or_die(text: &str) {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.unwrap_or_else(|error| output_failed("error writing output", &error));
}

/// As `eprintln!`, for programs that go on when nobody can read it: the standard one panics then.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => {
        $crate::complain_text(format_args!($($text)*))
    };
}

/// What [`complain!`] does.
pub fn complain_text(text: Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Tells on standard output about work that is done. That nobody can be told does not undo it.
pub fn tell(text: Arguments<'_>) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Logs `fatal: usage: …` and ends with `status`.
pub fn usage(status: u8, text: Arguments<'_>) -> ! {
    postern_maillog::die(i32::from(status), format_args!("usage: {text}"))
}

/// Whether the caller may do what is reserved for the administrator: root, or in an instance
/// without privileges the user who owns it.
pub fn is_administrator(config: &Config) -> io::Result<bool> {
    let uid = postern_sys::user::uid();
    if uid == 0 {
        return Ok(true);
    }
    let owner = postern_sys::user::user_by_name(&config.get(params::MAIL_OWNER))?;
    Ok(owner.is_some_and(|owner| owner.uid == uid))
}
