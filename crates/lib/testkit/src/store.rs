//! Private servers of other tables: OpenLDAP's slapd, memcached, Redis or Valkey.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::database::{Server, find, run};
use crate::wait_for;

/// A private server on a port of 127.0.0.1.
pub struct Store {
    server: Server,
}

impl Store {
    /// slapd with `entries` (LDIF) below `dc=example,dc=test`; `cn=admin` there has the password
    /// `secret`, and everybody may read. `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it is installed and does not start.
    #[must_use]
    pub fn slapd(entries: &str) -> Option<Self> {
        let slapadd = find(&["/usr/sbin/slapadd"])?;
        let mut server = Server::new("openldap", find(&["/usr/sbin/slapd"])?);
        let data = server.path("data");
        let conf = server.path("slapd.conf");
        let mut text = "modulepath /usr/lib/ldap\nmoduleload back_mdb\n".to_owned();
        for schema in ["core", "cosine", "inetorgperson"] {
            text += &format!("include /etc/ldap/schema/{schema}.schema\n");
        }
        text += &format!(
            "database mdb\nmaxsize 10485760\nsuffix dc=example,dc=test\n\
             rootdn cn=admin,dc=example,dc=test\nrootpw secret\ndirectory {data}\n"
        );
        fs::write(&conf, text).expect("a file");
        run(server.command(&PathBuf::from("/bin/mkdir")).arg(&data), "").expect("mkdir");
        let mut fill = server.command(&slapadd);
        run(fill.args(["-q", "-f", &conf]), entries).expect("slapadd");
        let url = format!("ldap://127.0.0.1:{}", server.port);
        server.arguments = ["-f", &conf, "-d", "0", "-h", &url]
            .map(str::to_owned)
            .to_vec();
        Some(Self::started(server))
    }

    /// memcached, empty. `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it is installed and does not start.
    #[must_use]
    pub fn memcached() -> Option<Self> {
        let mut server = Server::new("memcache", find(&["/usr/bin/memcached"])?);
        let port = server.port.to_string();
        server.arguments = ["-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "8"]
            .map(str::to_owned)
            .to_vec();
        Some(Self::started(server))
    }

    /// Redis or Valkey, which keeps what it has over [`Store::stop`]. `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it is installed and does not start.
    #[must_use]
    pub fn redis() -> Option<Self> {
        let program = find(&["/usr/bin/redis-server", "/usr/bin/valkey-server"])?;
        let mut server = Server::new("redis", program);
        let (port, directory) = (server.port.to_string(), server.path(""));
        #[rustfmt::skip]
        let options = [
            "--bind", "127.0.0.1", "--port", &port, "--dir", &directory, "--save", "", "--appendonly", "yes",
            "--appendfsync", "always",
        ];
        server.arguments = options.map(str::to_owned).to_vec();
        Some(Self::started(server))
    }

    fn started(server: Server) -> Self {
        let mut store = Self { server };
        store.start();
        store
    }

    /// Starts the server, and waits until it takes connections.
    pub fn start(&mut self) {
        self.server.start();
        let place = ("127.0.0.1", self.port());
        wait_for("the server", || TcpStream::connect(place).ok());
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        self.server.stop(Signal::SIGTERM);
    }

    /// Makes the server hang (`true`) or go on.
    pub fn hold(&self, held: bool) {
        self.server.hold(held);
    }

    /// One request by hand; the reply is taken to come in one piece.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[must_use]
    pub fn talk(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).expect("the server");
        stream.write_all(request.as_bytes()).expect("write");
        let mut reply = [0; 16384];
        let count = stream.read(&mut reply).expect("read");
        String::from_utf8_lossy(reply.get(..count).unwrap_or_default()).into_owned()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }
}
