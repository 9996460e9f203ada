//! A private mail system in one directory, started and stopped with its own `postfix` command.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::layout::write_aged;
use crate::port::free_port;
use crate::{Account, Settings, SmtpClient, Suite, mail_account};

/// How long anything that a test waits for may take; generous, for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// A private mail system. Stopped on drop.
#[derive(Debug)]
pub struct Instance {
    pub(crate) settings: Settings,
    account: Account,
    /// Removes the directory of a test instance, after the stop.
    scratch: Option<tempfile::TempDir>,
    started: bool,
}

impl Instance {
    /// An instance of the binaries under test in a directory of its own, on a free port.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made; a test cannot go on then.
    #[must_use]
    pub fn for_test(main_cf: &str, master_cf: &str) -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("postern-")
            .tempdir()
            .expect("make a directory for the instance");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))
            .expect("open the directory");
        let settings = Settings {
            suite: Suite::under_test(),
            root: scratch.path().to_owned(),
            port: free_port(),
            main_cf: main_cf.to_owned(),
            master_cf: master_cf.to_owned(),
        };
        let mut instance = Self::create(settings).expect("lay out the instance");
        instance.scratch = Some(scratch);
        instance
    }

    /// As [`Self::for_test`], and started.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn started(main_cf: &str, master_cf: &str) -> Self {
        let mut instance = Self::for_test(main_cf, master_cf);
        instance
            .start()
            .unwrap_or_else(|error| panic!("start: {error}"));
        instance
    }

    /// Lays out configuration and directories; does not start anything.
    ///
    /// # Errors
    ///
    /// A text for the operator: no account to run under, or a file that cannot be made.
    pub fn create(settings: Settings) -> Result<Self, String> {
        let account = mail_account()?;
        settings
            .lay_out(&account)
            .map_err(|error| format!("{}: {error}", settings.root.display()))?;
        Ok(Self {
            settings,
            account,
            scratch: None,
            started: false,
        })
    }

    /// Replaces what the test adds to main.cf. Takes effect at the next start or reload.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn set_main_cf(&mut self, main_cf: &str) {
        main_cf.clone_into(&mut self.settings.main_cf);
        self.settings
            .write_configuration(&self.account)
            .expect("write the configuration");
    }

    /// What the test adds to main.cf.
    #[must_use]
    pub fn settings_main_cf(&self) -> String {
        self.settings.main_cf.clone()
    }

    /// Has other programs work on this queue. The mail system must not run meanwhile.
    ///
    /// # Panics
    ///
    /// When it runs, or the configuration cannot be written.
    pub fn set_suite(&mut self, suite: Suite) {
        assert!(!self.started, "stop the mail system first");
        self.settings.suite = suite;
        self.settings
            .write_configuration(&self.account)
            .expect("write the configuration");
    }

    /// A path below the instance's directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.settings.root.join(name)
    }

    /// Writes a file below the instance's directory, looking as old as main.cf.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.file(name);
        write_aged(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Gives a path to the account that owns the queue.
    ///
    /// # Panics
    ///
    /// When that is not possible.
    pub fn give_to_mail(&self, path: &Path) {
        if self.account.privileged {
            std::os::unix::fs::chown(path, Some(self.account.uid), Some(self.account.gid))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// The port on 127.0.0.1 that takes SMTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// The account that owns the queue.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// A command of the suite with its configuration in the environment.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut path = self.settings.suite.commands.join(name);
        if !path.exists() {
            // mailq and newaliases are elsewhere in an installation.
            path = Path::new("/usr/bin").join(name);
        }
        let mut command = Command::new(path);
        command
            .env("MAIL_CONFIG", self.file("etc"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the suite and returns all that it printed.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[track_caller]
    pub fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name)
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("run {name}: {error}"))
    }

    /// Runs a command that must succeed, and returns its standard output.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn succeed(&self, name: &str, args: &[&str]) -> String {
        let output = self.run(name, args);
        assert!(
            output.status.success(),
            "{name} {args:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log_end()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `postfix start`.
    ///
    /// # Errors
    ///
    /// What the command printed and the end of the log, for the operator.
    pub fn start(&mut self) -> Result<(), String> {
        let output = self.run("postfix", &["start"]);
        self.started = true;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!(
                "postfix start failed ({}): {said}{}",
                output.status,
                self.log_end()
            ));
        }
        Ok(())
    }

    /// `postfix stop`.
    pub fn stop(&mut self) {
        if self.started {
            self.run("postfix", &["stop"]);
            self.started = false;
        }
    }

    /// `postfix reload`, after a change of the configuration.
    #[track_caller]
    pub fn reload(&self) {
        self.succeed("postfix", &["reload"]);
    }

    /// A client at the SMTP port, after the greeting and EHLO.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    #[track_caller]
    pub fn smtp(&self) -> SmtpClient {
        let mut client = SmtpClient::connect(self.settings.port);
        let reply = client.say("EHLO client.example.test");
        assert_eq!(reply.code, 250, "{reply:?}");
        client
    }

    /// `sendmail` with `message` on standard input.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn sendmail(&self, args: &[&str], message: &str) {
        let mut child = self
            .command("sendmail")
            .args(args)
            .stdin(Stdio::piped())
            .spawn()
            .expect("run sendmail");
        let mut input = child.stdin.take().expect("a pipe was asked for");
        input
            .write_all(message.as_bytes())
            .expect("write the message");
        drop(input);
        let status = child.wait().expect("wait for sendmail");
        assert!(status.success(), "sendmail ended with {status}");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.started {
            self.stop();
            self.kill_rest();
        }
        if std::env::var_os("POSTERN_TEST_LOG").is_some() {
            eprintln!("the instance's log:\n{}", self.log());
        } else if std::thread::panicking() {
            eprintln!("end of the instance's log:\n{}", self.log_end());
        }
    }
}
