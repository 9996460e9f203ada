//! Tables on other servers than MariaDB, and in SQLite, go through the outages of these under the load of many
//! SMTP clients.

use std::fs;
use std::path::Path;

use postern_testkit::{
    Instance, Manner, MapServer, NO_PENALTIES, PostgreSql, Recipients, Store, free_port, skip,
    storm,
};

/// What all other servers know: `joe` and his friends.
const KNOWN: [&str; 3] = ["joe@example.net", "ann@example.net", "o'brien@example.net"];

const KNOWN_RECIPIENTS: &Recipients = &[
    ("joe@example.net", 250),
    ("nobody@example.net", 550),
    ("O'Brien@example.net", 250),
    ("\"x' or '1'='1\"@example.net", 550),
    ("ann@example.net", 250),
    ("\"*)(mail=*\"@example.net", 550),
];

/// A directory in which the known have entries.
fn directory() -> String {
    let mut text = "dn: dc=example,dc=test\nobjectClass: domain\ndc: example\n\n".to_owned();
    for (number, mail) in KNOWN.iter().enumerate() {
        text += &format!(
            "dn: uid=u{number},dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: u{number}\ncn: x\nsn: x\n\
             mail: {mail}\n\n"
        );
    }
    text
}

/// Stores the known in memcached, which forgets them when it ends.
fn fill_memcached(store: &Store) {
    for key in KNOWN {
        assert_eq!(
            store.talk(&format!("set {key} 0 0 2\r\nOK\r\n")),
            "STORED\r\n"
        );
    }
}

/// A database file with the known.
fn fill_sqlite(path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    let mut script = "BEGIN; CREATE TABLE mailbox (username TEXT);".to_owned();
    for key in KNOWN {
        let key = key.replace('\'', "''");
        script += &format!("INSERT INTO mailbox VALUES ('{key}');");
    }
    database.execute_batch(&(script + "COMMIT;")).unwrap();
}

/// All servers; each knows the known.
struct Servers {
    sql: PostgreSql,
    ldap: Store,
    cache: Store,
    redis: Store,
    tcp: MapServer,
    socketmap: MapServer,
}

impl Servers {
    /// `None` when not all are installed.
    fn start_new() -> Option<Self> {
        let sql = PostgreSql::start_new(&[])?;
        sql.sql(
            "CREATE TABLE mailbox (username TEXT, active BOOL); GRANT SELECT ON mailbox TO mail;",
        );
        let redis = Store::redis()?;
        for key in KNOWN {
            let text = key.replace('\'', "''");
            sql.sql(&format!("INSERT INTO mailbox VALUES ('{text}', true)"));
            assert_eq!(redis.talk(&format!("SET \"{key}\" OK\r\n")), "+OK\r\n");
        }
        let cache = Store::memcached()?;
        fill_memcached(&cache);
        Some(Self {
            sql,
            ldap: Store::slapd(&directory())?,
            cache,
            redis,
            tcp: MapServer::tcp(&KNOWN),
            socketmap: MapServer::socketmap(&KNOWN),
        })
    }

    /// The files of tables below `etc`, by type.
    fn files(&self, etc: &str) -> [(&'static str, String); 5] {
        [
            (
                "pgsql",
                format!(
                    "hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\nretry_interval = 1\n\
                     query = SELECT 1 FROM mailbox WHERE username = '%s' AND active\n",
                    self.sql.port()
                ),
            ),
            (
                "ldap",
                format!(
                    "server_host = 127.0.0.1\nserver_port = {}\nversion = 3\nsearch_base = dc=example,dc=test\n\
                     query_filter = (mail=%s)\nresult_attribute = uid\ntimeout = 5\n",
                    self.ldap.port()
                ),
            ),
            (
                "memcache",
                format!(
                    "memcache = inet:127.0.0.1:{}\nbackup = texthash:{etc}/known\n",
                    self.cache.port()
                ),
            ),
            (
                "redis",
                format!("redis = inet:127.0.0.1:{}\n", self.redis.port()),
            ),
            (
                "sqlite",
                format!(
                    "dbpath = {etc}/known.db\nquery = SELECT 1 FROM mailbox WHERE username = '%s'\n"
                ),
            ),
        ]
    }

    fn hold(&self, held: bool) {
        for store in [&self.ldap, &self.cache, &self.redis] {
            store.hold(held);
        }
    }

    fn stop(&mut self) {
        self.sql.stop();
        for store in [&mut self.ldap, &mut self.cache, &mut self.redis] {
            store.stop();
        }
    }

    fn start(&mut self) {
        self.sql.start();
        for store in [&mut self.ldap, &mut self.cache, &mut self.redis] {
            store.start();
        }
        fill_memcached(&self.cache);
    }

    fn behave(&self, manner: Manner) {
        self.tcp.behave(manner);
        self.socketmap.behave(manner);
    }

    /// Ends the sessions of all clients.
    fn throw_out(&self) {
        self.sql
            .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mail'");
        assert!(
            self.redis
                .talk("CLIENT KILL TYPE normal\r\n")
                .starts_with(':')
        );
        assert_eq!(self.cache.talk("flush_all\r\n"), "OK\r\n");
    }
}

/// A host with a port for each table, and one for each table by proxymap(8); gives the ports.
fn host(servers: &Servers) -> (Instance, Vec<u16>) {
    let mut names: Vec<String> = servers
        .files("")
        .iter()
        .map(|(kind, _)| format!("{kind}:${{config_directory}}/{kind}.cf"))
        .collect();
    names.push(format!("tcp:127.0.0.1:{}", servers.tcp.port()));
    let port = servers.socketmap.port();
    names.push(format!("socketmap:inet:127.0.0.1:{port}:known"));
    let mut services = String::new();
    let mut ports = Vec::new();
    for name in &names {
        for by in ["", "proxy:"] {
            let port = free_port();
            services += &format!(
                "127.0.0.1:{port} inet n - n - - smtpd -o virtual_mailbox_maps={by}{name}\n"
            );
            ports.push(port);
        }
    }
    let approved: String = names.iter().map(|name| format!(" proxy:{name}")).collect();
    let instance = Instance::for_test(
        &format!(
            "virtual_mailbox_domains = example.net\nvirtual_mailbox_maps =\nproxy_read_maps ={approved}\n{NO_PENALTIES}"
        ),
        &services,
    );
    // Names in files of tables are not expanded.
    let etc = instance.file("etc").display().to_string();
    for (kind, text) in servers.files(&etc) {
        instance.write(&format!("etc/{kind}.cf"), text.as_bytes());
    }
    let known: String = KNOWN.iter().map(|key| format!("{key} OK\n")).collect();
    instance.write("etc/known", known.as_bytes());
    fill_sqlite(&instance.file("etc/known.db"));
    (instance, ports)
}

#[test]
fn other_servers_in_trouble_never_make_a_recipient_unknown() {
    let Some(mut servers) = Servers::start_new() else {
        return skip("a storm on other servers", "not all of them are installed");
    };
    let (mut instance, ports) = host(&servers);
    instance.start().unwrap();
    let clients: Vec<_> = ports
        .iter()
        .flat_map(|port| [(*port, KNOWN_RECIPIENTS); 3])
        .collect();
    let file = instance.file("etc/known.db");
    storm(&instance, &clients, |storm| {
        servers.throw_out();
        let lock = servers.sql.lock("mailbox");
        let writer = rusqlite::Connection::open(&file).unwrap();
        writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        servers.hold(true);
        servers.behave(Manner::DiesInReply);
        storm.after(50);
        drop((lock, writer));
        servers.hold(false);
        servers.behave(Manner::Garbage);
        storm.after(100);
        // Nobody can log in, and whoever is there is thrown out.
        servers.sql.sql("ALTER ROLE mail PASSWORD 'other'");
        servers.throw_out();
        servers.behave(Manner::TooLong);
        // Copying begins so, and the copy has the counters of the file before.
        fs::write(&file, "").unwrap();
        storm.after(100);
        let copy = file.with_extension("copy");
        fill_sqlite(&copy);
        fs::copy(&copy, &file).unwrap();
        servers.sql.sql("ALTER ROLE mail PASSWORD 'secret'");
        servers.behave(Manner::ClosesAfterReply);
        let new = file.with_extension("new");
        fill_sqlite(&new);
        fs::rename(&new, &file).unwrap();
        storm.after(100);
        servers.behave(Manner::SaysMore);
        storm.after(100);
        servers.behave(Manner::Slow);
        servers.stop();
        storm.after_errors(100);
        servers.start();
        storm.after(100);
        servers.behave(Manner::Well);
        storm.after(100);
    });
}
