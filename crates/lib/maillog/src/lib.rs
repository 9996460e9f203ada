//! Postfix log lines behind the `log` facade.
//!
//! Programs log with `log::info!`, `log::warn!` (`warning: `), `log::error!` (`error: `) and end with
//! [`fatal!`]. Lines go to syslog, to postlogd(8), to `maillog_file` itself, or to stderr
//! (source: logging.md §1 of our specification; postlogd(8), syslog_name in postconf(5)).
//! Verbose lines are `log::debug!` and `log::trace!`, shown after one and two `-v`, or while a
//! [`Verbose`] lives.
#![forbid(unsafe_code)]

mod destination;
mod format;
mod state;
mod verbose;

use postern_config::{Config, ConfigError};
use std::fmt::Arguments;
use std::sync::atomic::{AtomicI32, Ordering};

pub use format::{Severity, mask};
pub use verbose::{Verbose, raise_verbose, set_verbose};

/// Where lines go besides the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Daemons: the log only.
    Nothing,
    /// Commands: `program: text` on stderr, too.
    Stderr,
    /// Commands such as postconf, postmap, postkick: stderr only, not the log.
    StderrOnly,
}

/// Before main.cf is read: tag from `MAIL_LOGTAG`, destination from `POSTLOG_SERVICE`.
///
/// Also lets bad parameter values and panics end the process with a log line.
pub fn init(program: &str, echo: Echo) {
    state::with(|state| state.begin(program, echo));
    let _ = log::set_logger(&state::LOGGER);
    log::set_max_level(log::LevelFilter::Info);
    if std::env::var_os("MAIL_VERBOSE").is_some() {
        set_verbose(1);
    }
    postern_config::set_fatal_hook(bad_parameter);
    std::panic::set_hook(Box::new(|info| panicked(&info.to_string())));
}

/// After main.cf is read: `syslog_name`, `maillog_file`, `myhostname`; exports `MAIL_LOGTAG` and the
/// `POSTLOG_…` variables for children. May be called again after a reload.
pub fn configure(config: &Config) {
    if let Err(text) = try_configure(config) {
        die(1, format_args!("{text}"));
    }
}

/// As [`configure`], for programs that go on with their old log when main.cf is wrong. The error is
/// the text after `fatal: `.
pub fn try_configure(config: &Config) -> Result<(), String> {
    let settings = state::Settings::read(config);
    state::with(|state| state.configure(&settings))
}

/// Gives this program the right to append to `maillog_file` itself when postlogd(8) does not run:
/// postfix, postlog, postsuper, postmulti and master. Call before [`configure`].
pub fn allow_direct_file() {
    state::with(|state| state.allow_direct = true);
}

/// A line that postlogd(8) cannot take at once goes to the file: master starts postlogd(8), and must not
/// wait for it. Call after [`allow_direct_file`].
pub fn never_wait_for_postlogd() {
    state::with(|state| state.never_wait = true);
}

/// postlogd(8) itself must not log to its own socket: `maillog_file` directly, or syslog.
/// Call before [`configure`].
pub fn never_use_postlogd() {
    state::with(|state| {
        state.allow_direct = true;
        state.never_postlogd = true;
    });
}

/// From now on lines go to `maillog_file` itself, if the program may write it: postlogd(8) is about
/// to end.
pub fn leave_postlogd() {
    state::with(state::State::leave_postlogd);
}

/// Logs under exactly this tag instead of `syslog_name/program`.
pub fn set_tag(tag: &str) {
    state::with(|state| state.tag = tag.to_owned());
}

/// Logs what `work` says under `tag`: the program does another service's work itself, and its
/// operator looks for that service's name. Verbose lines are left out: they are wanted from the
/// program, not from the service.
pub fn under_tag<T>(tag: &mut String, work: impl FnOnce() -> T) -> T {
    state::with(|state| std::mem::swap(&mut state.tag, tag));
    let result = verbose::without_verbose(work);
    state::with(|state| std::mem::swap(&mut state.tag, tag));
    result
}

/// What precedes lines on stderr, when it is not the program's name.
pub fn set_stderr_name(name: &str) {
    state::with(|state| state.stderr_name = Some(name.to_owned()));
}

/// From now on lines on stderr begin with the tag, as those of daemons do: `syslog_name/program`.
pub fn use_tag_on_stderr() {
    state::with(|state| state.stderr_name = Some(state.tag.clone()));
}

/// Switches the copy to stderr on or off.
pub fn set_echo(echo: Echo) {
    state::with(|state| state.echo = echo);
}

/// Connects to the log's socket and reads the time zone, so that logging works in a chroot jail.
pub fn prepare_for_jail() {
    state::with(state::State::warm_up);
}

/// Logs one line of the given severity; what the macros of `log` cannot express.
pub fn log(severity: Severity, text: &str) {
    state::with(|state| state.emit(severity, text));
}

/// Logs one line under another process's `tag[pid]` to syslog, as postlogd(8) does when
/// `maillog_file` is empty. `text` includes the severity prefix.
pub fn relay_to_syslog(severity: Severity, tag: &str, text: &str) {
    state::with(|state| state.relay(severity, tag, text));
}

/// Logs `fatal: text`, waits a second as Postfix does, and exits with `status`.
pub fn die(status: i32, text: Arguments<'_>) -> ! {
    log(Severity::Fatal, &text.to_string());
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::process::exit(status)
}

/// For signal handlers: logs `fatal: text` unless the logger is in use, and exits at once.
pub fn die_in_handler(text: &str) -> ! {
    state::try_with(|state| state.emit(Severity::Fatal, text));
    postern_sys::process::exit_now(1)
}

/// Exit status of a program that ends because of its configuration.
static CONFIG_ERROR_STATUS: AtomicI32 = AtomicI32::new(1);

/// Sets the exit status for main.cf errors, 1 otherwise: the callers of some commands take it for
/// more than yes or no.
pub fn set_config_error_status(status: u8) {
    CONFIG_ERROR_STATUS.store(i32::from(status), Ordering::Relaxed);
}

/// Ends the process for a main.cf error: the lines that come before it, then `fatal: …`.
pub fn die_of_config(error: &ConfigError) -> ! {
    bad_parameter(error)
}

fn bad_parameter(error: &ConfigError) -> ! {
    for (severity, text) in error.preceding() {
        let severity = match severity {
            postern_config::Severity::Warning => Severity::Warning,
            postern_config::Severity::Error => Severity::Error,
        };
        log(severity, &text);
    }
    die(
        CONFIG_ERROR_STATUS.load(Ordering::Relaxed),
        format_args!("{error}"),
    )
}

fn panicked(text: &str) {
    state::try_with(|state| state.emit(Severity::Panic, text));
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::process::abort()
}

/// Logs `fatal: …`, waits one second and exits 1.
#[macro_export]
macro_rules! fatal {
    ($($arg:tt)*) => { $crate::die(1, format_args!($($arg)*)) };
}
