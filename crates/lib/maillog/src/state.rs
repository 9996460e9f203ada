//! The one logger of the process.

use crate::Echo;
use crate::destination::{Destination, LogFile};
use crate::format::{Severity, append_text, append_whole_text};
use postern_config::{Config, params};
use postern_sys::clock::{self, LocalTime};
use postern_sys::{env, process, user};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `log` calls.
pub(crate) static LOGGER: Logger = Logger;

/// Room for the text of most lines.
const USUAL_LENGTH: usize = 256;
/// So many `error: ` lines end the process.
const ERROR_LIMIT: u32 = 13;

static STATE: Mutex<State> = Mutex::new(State::new());

/// Everything a line depends on.
#[derive(Debug)]
pub(crate) struct State {
    program: String,
    /// What precedes `[pid]: `.
    pub(crate) tag: String,
    host: String,
    pub(crate) echo: Echo,
    pub(crate) stderr_name: Option<String>,
    utf8: bool,
    /// Facility bits of a syslog priority.
    facility: u8,
    destination: Option<Destination>,
    pub(crate) allow_direct: bool,
    /// A program that postlogd(8) depends on must not wait for it.
    pub(crate) never_wait: bool,
    pub(crate) never_postlogd: bool,
    errors: u32,
    line: Vec<u8>,
    /// The second for which `stamp` was made.
    second: i64,
    stamp: String,
    /// The same second with the day as classic syslog pads it.
    classic: String,
}

/// What the logger takes from main.cf. Read before the logger is locked: a bad value is logged.
#[derive(Debug)]
pub(crate) struct Settings {
    name: String,
    facility: String,
    /// Of main.cf, for messages.
    directory: PathBuf,
    utf8: bool,
    file: String,
    prefixes: String,
    host: String,
    socket: PathBuf,
    mode: u32,
    exact_mode: bool,
}

impl Settings {
    pub(crate) fn read(config: &Config) -> Self {
        let file = config.get(params::MAILLOG_FILE);
        let used = |param| {
            if file.is_empty() {
                String::new()
            } else {
                config.get(param)
            }
        };
        Self {
            name: config.get(params::SYSLOG_NAME),
            facility: config.get(params::SYSLOG_FACILITY),
            directory: config.directory(),
            utf8: config.get(params::SMTPUTF8_ENABLE),
            prefixes: used(params::MAILLOG_FILE_PREFIXES),
            host: used(params::MYHOSTNAME),
            socket: PathBuf::from(used(params::QUEUE_DIRECTORY))
                .join("public")
                .join(used(params::POSTLOG_SERVICE_NAME)),
            mode: u32::from_str_radix(&used(params::MAILLOG_FILE_PERMISSIONS), 8).unwrap_or(0o600),
            exact_mode: config.is_set("maillog_file_permissions"),
            file,
        }
    }
}

/// Runs `work` on the logger.
pub(crate) fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    work(&mut lock())
}

/// As [`with`], unless the logger is busy in this very moment.
pub(crate) fn try_with(work: impl FnOnce(&mut State)) {
    if let Ok(mut state) = STATE.try_lock() {
        work(&mut state);
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    const fn new() -> Self {
        Self {
            program: String::new(),
            tag: String::new(),
            host: String::new(),
            echo: Echo::Nothing,
            stderr_name: None,
            utf8: false,
            facility: syslog::Facility::LOG_MAIL as u8,
            destination: None,
            allow_direct: false,
            never_wait: false,
            never_postlogd: false,
            errors: 0,
            line: Vec::new(),
            second: i64::MIN,
            stamp: String::new(),
            classic: String::new(),
        }
    }

    /// Start-up from the environment alone.
    pub(crate) fn begin(&mut self, program: &str, echo: Echo) {
        self.program = program.to_owned();
        self.echo = echo;
        let name = variable("MAIL_LOGTAG").unwrap_or_else(|| "postfix".to_owned());
        self.tag = format!("{name}/{program}");
        let host = variable("POSTLOG_HOSTNAME").unwrap_or_else(|| "amnesiac".to_owned());
        first_label(&host).clone_into(&mut self.host);
        self.destination = match variable("POSTLOG_SERVICE") {
            Some(path) if !path.is_empty() && !self.never_postlogd => {
                Some(Destination::postlog(Path::new(&path), None, false))
            }
            _ => Some(Destination::syslog()),
        };
    }

    /// What main.cf says. The error is the text after `fatal: `.
    pub(crate) fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        let name = if settings.name.is_empty() {
            "postfix"
        } else {
            settings.name.as_str()
        };
        self.tag = format!("{name}/{}", self.program);
        env::set_env("MAIL_LOGTAG", name);
        self.utf8 = settings.utf8;
        if !settings.facility.is_empty() {
            let known: syslog::Facility = settings.facility.parse().map_err(|()| {
                format!(
                    "file {}/main.cf: parameter syslog_facility: unrecognized value: {}",
                    settings.directory.display(),
                    settings.facility
                )
            })?;
            self.facility = known as u8;
        }
        if settings.file.is_empty() {
            env::remove_env("POSTLOG_SERVICE");
            env::remove_env("POSTLOG_HOSTNAME");
            if !matches!(self.destination, Some(Destination::Syslog(_))) {
                self.destination = Some(Destination::syslog());
            }
            return Ok(());
        }
        if !has_allowed_prefix(&settings.file, &settings.prefixes) {
            return Err(format!(
                "maillog_file value '{}' does not match any prefix in maillog_file_prefixes",
                settings.file
            ));
        }
        first_label(&settings.host).clone_into(&mut self.host);
        env::set_env("POSTLOG_SERVICE", &settings.socket);
        env::set_env("POSTLOG_HOSTNAME", &settings.host);
        self.destination = Some(self.log_file_destination(settings)?);
        Ok(())
    }

    fn log_file_destination(&self, settings: &Settings) -> Result<Destination, String> {
        if !self.allow_direct {
            return Ok(Destination::postlog(&settings.socket, None, false));
        }
        let file = LogFile {
            path: PathBuf::from(&settings.file),
            mode: settings.mode,
            exact_mode: settings.exact_mode,
        };
        let mut postlog =
            Destination::postlog(&settings.socket, Some(file.clone()), self.never_wait);
        if !self.never_postlogd && postlog.connect() {
            return Ok(postlog);
        }
        let opened = file.open().map_err(|error| {
            let reason = postern_sys::error_text(&error);
            format!("open logfile '{}': {reason}", settings.file)
        })?;
        Ok(Destination::File(opened))
    }

    /// Writes to the log file instead of its daemon.
    pub(crate) fn leave_postlogd(&mut self) {
        if let Some(Destination::Postlog(_, Some(file))) = &self.destination
            && let Ok(file) = file.open()
        {
            self.destination = Some(Destination::File(file));
        }
    }

    /// Opens what a jailed process could not.
    pub(crate) fn warm_up(&mut self) {
        self.refresh_stamps();
        if let Some(destination) = &mut self.destination {
            destination.connect();
        }
    }

    /// Logs one line.
    pub(crate) fn emit(&mut self, severity: Severity, text: &str) {
        let tag = std::mem::take(&mut self.tag);
        self.line.clear();
        let mut line = std::mem::take(&mut self.line);
        self.start_line(&mut line, severity, &tag, Some(process::id()));
        append_text(&mut line, severity, text, self.utf8);
        if self.echo != Echo::Nothing {
            let name = self.stderr_name.as_ref().unwrap_or(&self.program);
            let mut echo = [name.as_bytes(), b": "].concat();
            append_whole_text(&mut echo, severity, text, self.utf8);
            echo.push(b'\n');
            let _ = std::io::stderr().write_all(&echo);
        }
        if let (Some(destination), true) = (&mut self.destination, self.echo != Echo::StderrOnly) {
            destination.send(&mut line);
        }
        self.tag = tag;
        self.line = line;
        self.report_lost();
    }

    /// Tells of lines that the log daemon did not take, now that it takes some again.
    fn report_lost(&mut self) {
        let lost = self.destination.as_mut().map_or(0, Destination::take_lost);
        if lost > 0 {
            let text = format!("the log daemon did not take {lost} lines, they are lost");
            self.emit(Severity::Warning, &text);
        }
    }

    /// Sends a line of another process to syslog.
    pub(crate) fn relay(&mut self, severity: Severity, tag: &str, text: &str) {
        if let Some(mut destination @ Destination::Syslog(_)) = self.destination.take() {
            let mut line = Vec::new();
            self.refresh_stamps();
            let priority = self.facility | severity.syslog();
            let _ = write!(line, "<{priority}>{} {tag}: ", self.classic);
            append_text(&mut line, Severity::Info, text, self.utf8);
            destination.send(&mut line);
            self.destination = Some(destination);
        }
    }

    fn start_line(&mut self, line: &mut Vec<u8>, severity: Severity, tag: &str, pid: Option<u32>) {
        self.refresh_stamps();
        let pid = pid.unwrap_or_default();
        // Writing to a vector cannot fail.
        let _ = match &self.destination {
            Some(Destination::Syslog(_)) | None => {
                let priority = self.facility | severity.syslog();
                write!(line, "<{priority}>{} {tag}[{pid}]: ", self.classic)
            }
            Some(Destination::Postlog(..) | Destination::File(_)) => {
                write!(line, "{} {} {tag}[{pid}]: ", self.stamp, self.host)
            }
        };
    }

    fn refresh_stamps(&mut self) {
        let now = clock::unix_time();
        if now != self.second {
            let time = clock::local_time(now);
            self.second = now;
            self.stamp = stamp(&time, '0');
            self.classic = stamp(&time, ' ');
        }
    }
}

fn stamp(time: &LocalTime, pad: char) -> String {
    let (month, hour, minute, second) = (time.month_name(), time.hour, time.minute, time.second);
    let tens = if time.day < 10 {
        pad.to_string()
    } else {
        String::new()
    };
    format!(
        "{month} {tens}{} {hour:02}:{minute:02}:{second:02}",
        time.day
    )
}

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

fn has_allowed_prefix(file: &str, prefixes: &str) -> bool {
    prefixes.split([' ', '\t', '\r', '\n', ',']).any(|prefix| {
        !prefix.is_empty()
            && file.strip_prefix(prefix).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
    })
}

/// An environment variable, unless the caller of a set-uid or set-gid program made it.
fn variable(name: &str) -> Option<String> {
    if user::is_set_id() {
        None
    } else {
        std::env::var(name).ok()
    }
}

/// The back end of the `log` facade.
#[derive(Debug)]
pub(crate) struct Logger;

impl log::Log for Logger {
    /// Verbose lines are for those of our own code: what a library does is not ours to tell.
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info || metadata.target().starts_with("postern")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let severity = match record.level() {
            log::Level::Error => Severity::Error,
            log::Level::Warn => Severity::Warning,
            _ => Severity::Info,
        };
        // Formatted before the lock is taken: a value's Display may log, too.
        let mut formatted = String::new();
        let text = record.args().as_str().unwrap_or_else(|| {
            formatted.reserve(USUAL_LENGTH);
            // Writing to a string fails only when a Display does, which has no more to say.
            let _ = formatted.write_fmt(*record.args());
            &formatted
        });
        let mut state = lock();
        state.emit(severity, text);
        if severity == Severity::Error {
            state.errors += 1;
            let too_many = state.errors >= ERROR_LIMIT;
            drop(state);
            if too_many {
                crate::die(1, format_args!("too many errors - program terminated"));
            }
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_matches_whole_path_components() {
        let cases = [
            ("/var/log/mail.log", "/var, /dev/stdout", true),
            ("/dev/stdout", "/var, /dev/stdout", true),
            ("/variable/log", "/var, /dev/stdout", false),
            ("/tmp/log", "/var /tmp/", true),
            ("/tmp/log", "", false),
        ];
        for (file, prefixes, want) in cases {
            assert_eq!(
                has_allowed_prefix(file, prefixes),
                want,
                "{file} {prefixes:?}"
            );
        }
    }

    #[test]
    fn day_is_padded_with_zero_in_our_file_and_with_blank_in_syslog() {
        let mut time = clock::local_time(0);
        (time.month, time.day, time.hour, time.minute, time.second) = (11, 2, 3, 4, 5);
        assert_eq!(stamp(&time, '0'), "Nov 02 03:04:05");
        assert_eq!(stamp(&time, ' '), "Nov  2 03:04:05");
        time.day = 22;
        assert_eq!(stamp(&time, '0'), "Nov 22 03:04:05");
    }
}
