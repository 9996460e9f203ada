//! Postfix log lines behind the `log` facade.
//!
//! Programs log with `log::info!`, `log::warn!` (`warning: `), `log::error!` (`error: `) and end with
//! [`fatal!`]. Lines go to syslog, to postlogd(8), to `maillog_file` itself, or to stderr
//! (source: logging.md §1 of our specification; postlogd(8), syslog_name in postconf(5)).
#![forbid(unsafe_code)]

use postern_config::Config;

/// Where lines go besides the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Daemons: the log only.
    Nothing,
    /// Commands: `program: text` on stderr, too.
    Stderr,
}

/// Before main.cf is read: tag from `MAIL_LOGTAG`, destination from `POSTLOG_SERVICE`.
pub fn init(_program: &str, _echo: Echo) {
    todo!()
}

/// After main.cf is read: `syslog_name`, `maillog_file`, `myhostname`; exports `MAIL_LOGTAG`.
pub fn configure(_config: &Config) {
    todo!()
}

/// Logs `fatal: text`, waits a second as Postfix does, and exits with `status`.
pub fn die(_status: i32, _text: std::fmt::Arguments<'_>) -> ! {
    todo!()
}

/// Logs `fatal: …`, waits one second and exits 1.
#[macro_export]
macro_rules! fatal {
    ($($arg:tt)*) => { $crate::die(1, format_args!($($arg)*)) };
}
