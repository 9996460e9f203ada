//! Private database servers: MariaDB and PostgreSQL on a socket and a port of their own.
//!
//! Each has a database `mail`, and a user `mail` with the password `secret` who may do anything in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::{free_port, wait_for};

/// The part that is the same for both: files, and a process that can be stopped, held and started again.
pub(crate) struct Server {
    dir: TempDir,
    pub(crate) port: u16,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Who runs it; servers refuse to be root.
    user: Option<User>,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(user: &str, program: PathBuf) -> Self {
        let user = geteuid().is_root().then(|| {
            let named = |name| User::from_name(name).ok().flatten();
            named(user)
                .or_else(|| named("nobody"))
                .expect("a user for servers")
        });
        let dir = tempfile::Builder::new()
            .prefix("postern-db")
            .tempdir()
            .expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        if let Some(user) = &user {
            let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            chown(dir.path(), uid, gid).expect("an owner");
        }
        Self {
            dir,
            port: free_port(),
            program,
            arguments: Vec::new(),
            user,
            child: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env_clear();
        command.envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let log = log.expect("a log");
        let mut command = self.command(&self.program);
        command.args(&self.arguments);
        command
            .stdout(log.try_clone().expect("the log"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
            kill(pid, signal).expect("the server gets the signal");
        }
    }

    /// Makes it hang (`true`) or go on.
    pub(crate) fn hold(&self, held: bool) {
        self.signal(if held {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        });
    }

    pub(crate) fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a tool that sets a server up or talks to it, with `input`, and gives what it prints.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    use std::io::Write;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut pipe = child.stdin.take().expect("a pipe");
    // A tool that fails early does not read.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The first of `paths` that exists.
pub(crate) fn find(paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.exists())
}

/// A client that holds locks while the value lives.
pub struct TableLock {
    client: Child,
}

impl TableLock {
    fn new(client: &mut Command, text: &str) -> Self {
        use std::io::Write;
        client.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut client = client.spawn().expect("a client of the database");
        let input = client.stdin.as_mut().expect("a pipe");
        input.write_all(text.as_bytes()).expect("the client reads");
        Self { client }
    }
}

impl Drop for TableLock {
    fn drop(&mut self) {
        // The client ends with its input, and its locks with it.
        drop(self.client.stdin.take());
        let _ = self.client.wait();
    }
}

/// A private MariaDB server. `root` without password may do everything.
pub struct MariaDb {
    server: Server,
    client: PathBuf,
}

impl MariaDb {
    /// Starts a server with `options` beside the usual ones; `None` when none is installed.
    ///
    /// # Panics
    ///
    /// When it is installed and does not start.
    #[must_use]
    pub fn start_new(options: &[&str]) -> Option<Self> {
        let program = find(&["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"])?;
        let client = find(&["/usr/bin/mariadb"])?;
        let install = find(&["/usr/bin/mariadb-install-db"])?;
        let mut server = Server::new("mysql", program);
        let datadir = format!("--datadir={}", server.path("data"));
        let common = [
            "--no-defaults",
            &datadir,
            "--skip-innodb",
            "--default-storage-engine=Aria",
            "--tmpdir=.",
        ];
        let mut command = server.command(&install);
        command
            .args(common)
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        run(&mut command, "").expect("mariadb-install-db");
        server.arguments = common.map(str::to_owned).to_vec();
        server.arguments.extend([
            format!("--socket={}", server.path("socket")),
            format!("--pid-file={}", server.path("pid")),
            format!("--port={}", server.port),
        ]);
        let more = [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
        ];
        server.arguments.extend(
            more.iter()
                .chain(options)
                .map(|option| (*option).to_owned()),
        );
        let mut database = Self { server, client };
        database.start();
        database.sql(
            "CREATE DATABASE mail CHARACTER SET utf8mb4; CREATE USER mail@'%' IDENTIFIED BY 'secret'; \
             CREATE USER mail@localhost IDENTIFIED BY 'secret'; GRANT ALL ON mail.* TO mail@'%'; \
             GRANT ALL ON mail.* TO mail@localhost;",
        );
        Some(database)
    }

    /// Starts the server, and waits until it answers.
    pub fn start(&mut self) {
        self.server.start();
        wait_for("MariaDB to answer", || self.try_sql("SELECT 1").ok());
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        self.server.stop(Signal::SIGTERM);
    }

    /// Makes the server hang (`true`) or go on.
    pub fn hold(&self, held: bool) {
        self.server.hold(held);
    }

    /// Runs statements as root in the database `mail` once that exists; gives the rows.
    ///
    /// # Panics
    ///
    /// When the server does not like them.
    pub fn sql(&self, text: &str) -> String {
        self.try_sql(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn try_sql(&self, text: &str) -> Result<String, String> {
        run(&mut self.sql_client(), text)
    }

    fn sql_client(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.args([
            "--no-defaults",
            "-N",
            "-B",
            "--default-character-set=utf8mb4",
            "-u",
            "root",
        ]);
        command.arg(format!("--socket={}", self.socket()));
        if Path::new(&self.server.path("data/mail")).exists() {
            command.arg("mail");
        }
        command
    }

    /// Locks tables against all readers, until the value is dropped.
    ///
    /// # Panics
    ///
    /// When that does not work.
    #[must_use]
    pub fn lock(&self, tables: &[&str]) -> TableLock {
        let lock = TableLock::new(
            &mut self.sql_client(),
            &format!("LOCK TABLES {} WRITE;\n", tables.join(" WRITE, ")),
        );
        wait_for("the tables to be locked", || {
            let used = self.sql("SHOW OPEN TABLES WHERE In_use > 0");
            (used.lines().count() >= tables.len()).then_some(())
        });
        lock
    }

    /// The path of the socket.
    #[must_use]
    pub fn socket(&self) -> String {
        self.server.path("socket")
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }
}

/// A private PostgreSQL server; it wants passwords (SCRAM).
pub struct PostgreSql {
    server: Server,
    client: PathBuf,
}

impl PostgreSql {
    /// Starts a server with `options` beside the usual ones; `None` when none is installed.
    ///
    /// # Panics
    ///
    /// When it is installed and does not start.
    #[must_use]
    pub fn start_new(options: &[&str]) -> Option<Self> {
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|tools| tools.join("initdb").exists())
            .collect();
        versions.sort();
        let tools = versions.pop()?;
        let mut server = Server::new("postgres", tools.join("postgres"));
        let password = server.path("password");
        fs::write(&password, "secret\n").expect("a file");
        let data = server.path("data");
        let mut command = server.command(&tools.join("initdb"));
        command.args([
            "-D",
            &data,
            "-A",
            "scram-sha-256",
            "-N",
            "-U",
            "root",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        command.arg(format!("--pwfile={password}"));
        run(&mut command, "").expect("initdb");
        let directory = server.path("");
        server.arguments = [
            "-D",
            &data,
            "-k",
            &directory,
            "-h",
            "127.0.0.1",
            "-c",
            "fsync=off",
        ]
        .map(str::to_owned)
        .to_vec();
        server
            .arguments
            .extend(["-p".to_owned(), server.port.to_string()]);
        server
            .arguments
            .extend(options.iter().map(|option| (*option).to_owned()));
        let mut database = Self {
            server,
            client: tools.join("psql"),
        };
        database.start();
        database.sql_in("postgres", "CREATE ROLE mail LOGIN PASSWORD 'secret'");
        database.sql_in("postgres", "CREATE DATABASE mail OWNER mail");
        Some(database)
    }

    /// Starts the server, and waits until it answers.
    pub fn start(&mut self) {
        self.server.start();
        wait_for("PostgreSQL to answer", || {
            self.try_sql("postgres", "SELECT 1").ok()
        });
    }

    /// Ends the server, clients or not.
    pub fn stop(&mut self) {
        self.server.stop(Signal::SIGINT);
    }

    /// Runs statements as a superuser in the database `mail`; gives the rows.
    ///
    /// # Panics
    ///
    /// When the server does not like them.
    pub fn sql(&self, text: &str) -> String {
        self.sql_in("mail", text)
    }

    fn sql_in(&self, database: &str, text: &str) -> String {
        self.try_sql(database, text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn try_sql(&self, database: &str, text: &str) -> Result<String, String> {
        run(&mut self.sql_client(database), text)
    }

    /// Locks a table against all readers, until the value is dropped.
    ///
    /// # Panics
    ///
    /// When that does not work.
    #[must_use]
    pub fn lock(&self, table: &str) -> TableLock {
        let text = format!("BEGIN; LOCK TABLE {table};\n");
        let lock = TableLock::new(&mut self.sql_client("mail"), &text);
        wait_for("the table to be locked", || {
            let locks = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
            (!self.sql(locks).is_empty()).then_some(())
        });
        lock
    }

    fn sql_client(&self, database: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.env("PGPASSWORD", "secret");
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "root",
            "-d",
            database,
        ]);
        command.args(["-h", "127.0.0.1", "-p", &self.server.port.to_string()]);
        command
    }

    /// Makes the server offer TLS with a certificate and its key (PEM).
    ///
    /// # Panics
    ///
    /// When the server does not take them.
    pub fn use_certificate(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.server.path(&format!("data/{name}"));
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
            if let Some(user) = &self.server.user {
                chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("an owner");
            }
        }
        self.sql("ALTER SYSTEM SET ssl = on");
        self.sql("SELECT pg_reload_conf()");
        wait_for("TLS to be on", || {
            (self.sql("SHOW ssl") == "on\n").then_some(())
        });
    }

    /// The directory of the socket.
    #[must_use]
    pub fn directory(&self) -> String {
        self.server.dir.path().display().to_string()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }
}
