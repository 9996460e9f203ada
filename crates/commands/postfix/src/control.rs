//! Starting, stopping and telling whether the mail system runs.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use postern_command::json_string;
use postern_config::{DEFAULT_DIRECTORY, params};
use postern_sys::error_text;
use postern_sys::lock::{LockMode, LockStyle, try_lock};

use crate::program::{Failure, Program};

/// How often `stop` looks, a second each, before it uses force.
const STOP_TRIES: u32 = 5;
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

const NOT_RUNNING: &str = "the Postfix mail system is not running";

impl Program {
    /// Whether master(8) holds its lock. A lock file that cannot be read counts as running.
    fn is_running(&self) -> bool {
        let Ok(file) = File::options()
            .read(true)
            .write(true)
            .open(self.queue_directory.join("pid/master.pid"))
        else {
            return false;
        };
        !try_lock(&file, LockStyle::Flock, LockMode::Exclusive).unwrap_or(false)
    }

    /// The process number in the lock file.
    fn master_pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.queue_directory.join("pid/master.pid")).ok()?;
        text.lines()
            .next()?
            .trim()
            .parse()
            .ok()
            .filter(|pid| *pid > 1)
    }

    fn running_pid(&self) -> Result<i32, Failure> {
        if !self.is_running() {
            return Err(Failure::new(NOT_RUNNING));
        }
        self.master_pid().ok_or_else(|| Failure::new(NOT_RUNNING))
    }

    fn signal(&self, pid: i32, signal: Signal) -> Result<(), Failure> {
        postern_sys::signal::kill(pid, signal)
            .map_err(|error| Failure::new(format!("kill {pid}: {}", error_text(&error))))
    }

    /// The checks before a start; they are skipped once after `quick-stop`.
    fn check_before_start(&self) -> Result<(), Failure> {
        if self.is_running() {
            return Err(Failure::new("the Postfix mail system is already running"));
        }
        if fs::remove_file(self.queue_directory.join("quick-start")).is_err() {
            if let Err(Failure(text)) = self.check_fatal() {
                if let Some(text) = text {
                    self.say("fatal: ", &text);
                }
                return Err(Failure::new("Postfix integrity check failed!"));
            }
            self.check_warn();
        }
        self.say("", "starting the Postfix mail system");
        Ok(())
    }

    pub(crate) fn start(&self) -> Result<u8, Failure> {
        self.check_before_start()?;
        let master = self.daemon_directory.join("master");
        match self.run_program(&master, &["-w"])? {
            0 => Ok(0),
            _ => Err(Failure::new("mail system startup failed")),
        }
    }

    pub(crate) fn start_in_foreground(&self) -> Result<u8, Failure> {
        self.check_before_start()?;
        let others = self.config.get(params::MULTI_INSTANCE_DIRECTORIES);
        let is_primary = self.config.directory() == Path::new(DEFAULT_DIRECTORY);
        if is_primary && !others.trim().is_empty() {
            return Err(Failure::new(
                "start-fg does not support multi_instance_directories",
            ));
        }
        let mode = if std::process::id() == 1 { "-i" } else { "-s" };
        let master = self.daemon_directory.join("master");
        let error = Command::new(&master).arg(mode).exec();
        Err(Failure::new(format!(
            "{}: {}",
            master.display(),
            error_text(&error)
        )))
    }

    pub(crate) fn stop(&self) -> Result<u8, Failure> {
        let pid = self.running_pid()?;
        self.outlive_postlogd();
        self.say("", "stopping the Postfix mail system");
        self.signal(pid, Signal::SIGTERM)?;
        // A master that has nothing to wait for is gone at once.
        if self.is_gone_within(Duration::from_millis(50)) {
            return Ok(0);
        }
        for _ in 0..STOP_TRIES {
            self.say("", "waiting for the Postfix mail system to terminate");
            if self.is_gone_within(Duration::from_secs(1)) {
                return Ok(0);
            }
        }
        self.say("warning: ", "stopping the Postfix mail system with force");
        self.signal(-pid, Signal::SIGKILL)?;
        Ok(0)
    }

    /// From now on postlogd(8) may end with lines that it has not read yet. The standard output of
    /// another process is out of reach.
    fn outlive_postlogd(&self) {
        if self.config.get(params::MAILLOG_FILE) != "/dev/stdout" {
            postern_maillog::leave_postlogd();
        }
    }

    fn is_gone_within(&self, limit: Duration) -> bool {
        let end = std::time::Instant::now() + limit;
        loop {
            if !self.is_running() {
                return true;
            }
            if std::time::Instant::now() >= end {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(crate) fn quick_stop(&self) -> Result<u8, Failure> {
        // The next start is quick also when nothing runs now.
        if let Err(Failure(Some(text))) = self.stop() {
            self.say("fatal: ", &text);
        }
        let path = self.queue_directory.join("quick-start");
        File::create(&path)
            .map_err(|error| Failure::new(format!("{}: {}", path.display(), error_text(&error))))?;
        Ok(0)
    }

    pub(crate) fn abort(&self) -> Result<u8, Failure> {
        let pid = self.running_pid()?;
        self.outlive_postlogd();
        self.say("", "aborting the Postfix mail system");
        self.signal(pid, Signal::SIGTERM)?;
        // Whoever asks next is to see that it is gone.
        self.is_gone_within(Duration::from_secs(1));
        Ok(0)
    }

    pub(crate) fn drain(&self) -> Result<u8, Failure> {
        let pid = self.running_pid()?;
        self.say("", "stopping the Postfix mail system");
        self.signal(pid, Signal::SIGKILL)?;
        Ok(0)
    }

    pub(crate) fn reload(&self) -> Result<u8, Failure> {
        let pid = self.running_pid()?;
        self.say("", "refreshing the Postfix mail system");
        let postsuper = self.command_directory.join("postsuper");
        if self.run_program(&postsuper, &["active"])? != 0 {
            return Err(Failure::TOLD);
        }
        self.signal(pid, Signal::SIGHUP)?;
        // The rest of the queue is looked after while the mail system goes on.
        let _ = Command::new(&postsuper)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Ok(0)
    }

    /// Has the mail system open its files anew; false when it does not run.
    pub(crate) fn tell_master_to_reopen(&self) -> bool {
        self.running_pid()
            .is_ok_and(|pid| self.signal(pid, Signal::SIGHUP).is_ok())
    }

    pub(crate) fn status(&self) -> Result<u8, Failure> {
        match self.running_pid() {
            Ok(pid) => {
                self.say(
                    "",
                    &format!("the Postfix mail system is running: PID: {pid}"),
                );
                Ok(0)
            }
            Err(_) => {
                self.say("", NOT_RUNNING);
                Ok(1)
            }
        }
    }

    /// The status as an object on standard output. Nothing is logged.
    pub(crate) fn status_as_json(&self) -> u8 {
        let pid = self.running_pid().ok();
        let string = |text: &Path| json_string(text.as_os_str().as_bytes());
        postern_command::print_or_die(&format!(
            "{{\"running\": {}, \"pid\": {}, \"config_directory\": {}, \"queue_directory\": {}, \
             \"mail_version\": {}}}\n",
            pid.is_some(),
            pid.map_or_else(|| "null".to_owned(), |pid| pid.to_string()),
            string(&self.config.directory()),
            string(&self.queue_directory),
            json_string(self.config.get(params::MAIL_VERSION).as_bytes()),
        ));
        u8::from(pid.is_none())
    }

    pub(crate) fn check(&self) -> Result<u8, Failure> {
        self.check_fatal()?;
        self.check_warn();
        Ok(0)
    }
}
