//! A private mail system in one directory, started and stopped with its own `postfix` command.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::unistd::{Gid, Uid, chown};

use crate::{Account, SmtpClient, mail_account, wait_until};

/// How long anything that a test waits for may take; generous, for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What an instance is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory with `postfix`, `sendmail`, …
    pub commands: PathBuf,
    /// Directory with `master`, `smtpd`, …
    pub daemons: PathBuf,
    /// Where everything goes.
    pub root: PathBuf,
    /// SMTP port on 127.0.0.1.
    pub port: u16,
    /// More main.cf lines.
    pub main_cf: String,
    /// More master.cf lines.
    pub master_cf: String,
}

/// A private mail system. Stopped on drop.
#[derive(Debug)]
pub struct Instance {
    settings: Settings,
    account: Account,
    /// Removes the directory of a test instance, after the stop.
    scratch: Option<tempfile::TempDir>,
    started: bool,
}

impl Instance {
    /// An instance of the binaries under test in a directory of its own, on a free port.
    ///
    /// The binaries come from `$POSTERN_BIN_DIR`, which `cargo xtask test` sets, or from the directory above
    /// the running test program.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made; a test cannot go on then.
    pub fn for_test(main_cf: &str, master_cf: &str) -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("postern-")
            .tempdir()
            .expect("make a directory for the instance");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))
            .expect("open the directory");
        let bin = std::env::var_os("POSTERN_BIN_DIR").map_or_else(beside_test, PathBuf::from);
        let settings = Settings {
            commands: bin.clone(),
            daemons: bin,
            root: scratch.path().to_owned(),
            port: free_port(),
            main_cf: main_cf.to_owned(),
            master_cf: master_cf.to_owned(),
        };
        let mut instance = Self::create(settings).expect("lay out the instance");
        instance.scratch = Some(scratch);
        instance
    }

    /// Lays out configuration and directories; does not start anything.
    ///
    /// # Errors
    ///
    /// A text for the operator: no account to run under, or a file that cannot be made.
    pub fn create(settings: Settings) -> Result<Self, String> {
        let account = mail_account()?;
        let instance = Self {
            settings,
            account,
            scratch: None,
            started: false,
        };
        instance
            .lay_out()
            .map_err(|error| format!("{}: {error}", instance.settings.root.display()))?;
        Ok(instance)
    }

    fn lay_out(&self) -> std::io::Result<()> {
        for name in ["etc", "spool", "lib", "vmail"] {
            fs::create_dir_all(self.settings.root.join(name))?;
        }
        for name in ["lib", "vmail"] {
            self.give_to_mail(&self.settings.root.join(name))?;
        }
        fs::write(
            self.file("etc/main.cf"),
            self.base_main_cf() + &self.settings.main_cf,
        )?;
        fs::write(
            self.file("etc/master.cf"),
            base_master_cf(self.settings.port) + &self.settings.master_cf,
        )?;
        self.age_configuration()?;
        self.make_queue()
    }

    /// The queue directories, as `postfix check` would make them: a first start needs no set-up then.
    fn make_queue(&self) -> std::io::Result<()> {
        let spool = self.file("spool");
        let root_owned = self.account.privileged;
        for name in [
            "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
            "private", "saved", "trace",
        ] {
            self.make_directory(&spool.join(name), 0o700, !root_owned || name != "pid", None)?;
        }
        self.make_directory(
            &spool.join("maildrop"),
            0o1730,
            true,
            Some(self.account.setgid),
        )?;
        self.make_directory(
            &spool.join("public"),
            0o2710,
            true,
            Some(self.account.setgid),
        )?;
        self.make_directory(&spool.join("pid"), 0o755, false, None)
    }

    fn make_directory(
        &self,
        path: &Path,
        mode: u32,
        mail_owned: bool,
        group: Option<u32>,
    ) -> std::io::Result<()> {
        fs::create_dir_all(path)?;
        if self.account.privileged {
            let uid = if mail_owned { self.account.uid } else { 0 };
            chown(
                path,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(group.unwrap_or(0))),
            )?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn give_to_mail(&self, path: &Path) -> std::io::Result<()> {
        if self.account.privileged {
            chown(
                path,
                Some(Uid::from_raw(self.account.uid)),
                Some(Gid::from_raw(self.account.gid)),
            )?;
        }
        Ok(())
    }

    /// Programs linger over files that were changed within the last seconds.
    fn age_configuration(&self) -> std::io::Result<()> {
        let past = std::time::SystemTime::now() - Duration::from_secs(60);
        for name in ["etc/main.cf", "etc/master.cf"] {
            fs::File::options()
                .write(true)
                .open(self.file(name))?
                .set_modified(past)?;
        }
        Ok(())
    }

    fn base_main_cf(&self) -> String {
        let Settings {
            commands,
            daemons,
            root,
            ..
        } = &self.settings;
        let (commands, daemons, root) = (commands.display(), daemons.display(), root.display());
        let Account {
            user,
            group,
            uid,
            gid,
            ..
        } = &self.account;
        let setgid = if self.account.privileged {
            format!("setgid_group = {group}\n")
        } else {
            String::new()
        };
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {root}/spool\n\
             data_directory = {root}/lib\n\
             command_directory = {commands}\n\
             daemon_directory = {daemons}\n\
             sendmail_path = {commands}/sendmail\n\
             mailq_path = {commands}/mailq\n\
             newaliases_path = {commands}/newaliases\n\
             meta_directory = {root}/etc\n\
             mail_owner = {user}\n\
             {setgid}\
             maillog_file = {root}/maillog\n\
             maillog_file_prefixes = {root}\n\
             myhostname = mail.example.test\n\
             mydestination =\n\
             alias_maps =\n\
             alias_database =\n\
             mynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             biff = no\n\
             virtual_mailbox_domains = example.test\n\
             virtual_mailbox_base = {root}/vmail\n\
             virtual_mailbox_maps = inline:{{ {{alice@example.test = alice/}}, {{bob@example.test = bob/}} }}\n\
             virtual_uid_maps = static:{uid}\n\
             virtual_gid_maps = static:{gid}\n\
             virtual_minimum_uid = 1\n"
        )
    }

    /// A path below the instance's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.settings.root.join(name)
    }

    /// The port on 127.0.0.1 that takes SMTP.
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// The account that owns the queue.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// A command of the suite with its configuration in the environment.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.settings.commands.join(name));
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

    /// `postfix start`, then waits until the SMTP port answers.
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

    /// A client at the SMTP port, after the greeting.
    #[track_caller]
    pub fn smtp(&self) -> SmtpClient {
        SmtpClient::connect(self.settings.port)
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

    /// The whole log.
    pub fn log(&self) -> String {
        fs::read(self.file("maillog"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the log.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Waits for a log line that contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        wait_until(
            &format!(
                "a log line with {text:?}; the log ends with:\n{}",
                self.log_end()
            ),
            PATIENCE,
            || {
                self.log()
                    .lines()
                    .find(|line| line.contains(text))
                    .map(str::to_owned)
            },
        )
    }

    /// Messages in a virtual mailbox.
    pub fn maildir(&self, user: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.file("vmail").join(user).join("new"));
        let mut files: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }

    /// Waits until a virtual mailbox holds `count` messages.
    #[track_caller]
    pub fn wait_maildir(&self, user: &str, count: usize) -> Vec<String> {
        let what = format!("{count} messages for {user}");
        let files = wait_until(&what, PATIENCE, || {
            Some(self.maildir(user)).filter(|files| files.len() >= count)
        });
        files
            .iter()
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
            .collect()
    }

    /// Queue IDs in a queue, at any hash depth.
    pub fn queue(&self, name: &str) -> Vec<String> {
        fn walk(directory: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.file("spool").join(name), &mut found);
        found.sort();
        found
    }

    /// Waits until no queue holds a message.
    #[track_caller]
    pub fn wait_queue_empty(&self) {
        wait_until("an empty queue", PATIENCE, || {
            ["maildrop", "incoming", "active", "deferred"]
                .iter()
                .all(|name| self.queue(name).is_empty())
                .then_some(())
        });
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("end of the instance's log:\n{}", self.log_end());
        }
    }
}

/// A TCP port of 127.0.0.1 that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("find a free port");
    listener.local_addr().expect("an address was bound").port()
}

/// Cargo puts test programs into `deps` below the directory of the binaries.
fn beside_test() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let deps = exe.parent().expect("a program is in a directory");
    deps.parent().expect("deps has a parent").to_owned()
}

fn base_master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\n\
         proxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         discard unix - - n - - discard\n\
         local unix - n n - - local\n\
         virtual unix - n n - - virtual\n\
         lmtp unix - - n - - lmtp\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
