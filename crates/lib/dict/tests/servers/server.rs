//! Server processes, table files and certificates of a test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bstr::{BStr, BString};
use postern_config::Config;
use postern_dict::{Flags, LookupError, OpenMode, Table, try_open};
use postern_testkit::{skip, wait_for};

/// The program, if one of `names` is installed; else the test is skipped.
pub(crate) fn program(test: &str, names: &[&str]) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];
    let found = names.iter().find_map(|name| {
        let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
        paths.find(|path| path.exists())
    });
    if found.is_none() {
        skip(test, &format!("{} is not installed", names.join(" or ")));
    }
    found
}

/// A server process; it ends with the value.
pub(crate) struct Server {
    command: Box<dyn Fn() -> Command + Send>,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server and waits until it takes connections.
    pub(crate) fn start(port: u16, command: impl Fn() -> Command + Send + 'static) -> Self {
        let mut server = Self {
            command: Box::new(command),
            port,
            child: None,
        };
        server.restart();
        server
    }

    /// Starts it again after [`Server::stop`].
    pub(crate) fn restart(&mut self) {
        let mut command = (self.command)();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let place = ("127.0.0.1", self.port);
        wait_for("the server", || TcpStream::connect(place).ok().map(drop));
    }

    /// Ends the process.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A folder with the settings of tables.
pub(crate) struct Folder {
    directory: tempfile::TempDir,
    config: Config,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            config: Config::from_text("").unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Opens a table of `kind` with these settings.
    pub(crate) fn table(&self, kind: &str, mode: OpenMode, settings: &str) -> Box<dyn Table> {
        let path = tempfile::Builder::new()
            .suffix(".cf")
            .tempfile_in(self.directory.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        fs::write(&path, settings).unwrap();
        let name = format!("{kind}:{}", path.display());
        // As caches are opened.
        let flags = Flags::ADDRESS | Flags::DUP_REPLACE;
        try_open(&self.config, &name, mode, flags).unwrap()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// As [`Folder::certificates`], of X.509 version 1 and for localhost only.
    pub(crate) fn version_1_certificates(&self, test: &str) -> bool {
        let made = postern_testkit::version_1_certificates(self.directory.path());
        if !made {
            skip(test, "openssl is not installed");
        }
        made
    }

    /// `ca.pem`, and `server.pem` with `server.key` for localhost and 127.0.0.1. False when openssl is not
    /// installed.
    pub(crate) fn certificates(&self, test: &str) -> bool {
        let Some(openssl) = program(test, &["openssl"]) else {
            return false;
        };
        self.write("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
        let run = |arguments: &str| {
            let done = Command::new(&openssl)
                .args(arguments.split(' '))
                .current_dir(self.directory.path())
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        run(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        );
        run("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
        run(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        true
    }
}

/// Looks `key` up: the value, `-` for none, or the error after `error: `.
pub(crate) fn ask(table: &mut dyn Table, key: &str) -> String {
    shown(table.lookup(BStr::new(key)))
}

/// A result as text.
pub(crate) fn shown(result: Result<Option<BString>, LookupError>) -> String {
    match result {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => "-".to_owned(),
        Err(error) => format!("error: {}", error.reason),
    }
}

/// One request by hand; the reply comes in one piece.
pub(crate) fn talk(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = [0; 4096];
    let count = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..count]).into_owned()
}
