//! Tables in SQL databases, asked of real servers that the tests start for themselves.

use bstr::{BStr, BString};
use postern_config::Config;
use postern_dict::{ErrorKind, Flags, Lookup, OpenMode, Table};
use postern_testkit::{MariaDb, PostgreSql, skip, version_1_certificates};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Files with settings of tables, made as they are needed.
struct Tables {
    dir: TempDir,
    config: Config,
    /// The table type and what all files begin with.
    kind: &'static str,
    base: String,
}

impl Tables {
    fn new(kind: &'static str, base: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            config: Config::from_text("compatibility_level = 3.11\n").unwrap(),
            kind,
            base: base.to_owned(),
        }
    }

    /// Tables on a server at `port`.
    fn at(kind: &'static str, port: u16) -> Self {
        let base = "user = mail\npassword = secret\ndbname = mail\n";
        Self::new(kind, &format!("hosts = 127.0.0.1:{port}\n{base}"))
    }

    /// A table with the base settings and `more`, which override them.
    fn open(&self, more: &str) -> Box<dyn Table> {
        self.try_open(more)
            .unwrap_or_else(|error| panic!("{more}: {error}"))
    }

    fn try_open(&self, more: &str) -> Result<Box<dyn Table>, String> {
        let name = |line: &str| line.split_once(" =").map(|(name, _)| name.to_owned());
        let overridden: Vec<String> = more.lines().filter_map(name).collect();
        let text: String = self
            .base
            .lines()
            .filter(|line| !name(line).is_some_and(|name| overridden.contains(&name)))
            .chain(more.lines())
            .map(|line| format!("{line}\n"))
            .collect();
        let number = fs::read_dir(self.dir.path()).unwrap().count();
        let path = self.dir.path().join(format!("{number}.cf"));
        fs::write(&path, text).unwrap();
        let name = format!("{}:{}", self.kind, path.display());
        postern_dict::try_open(&self.config, &name, OpenMode::Read, Flags::ADDRESS)
            .map_err(|error| error.to_string())
    }
}

/// Keys and their answers.
type Cases<'a> = &'a [(&'a str, Option<&'a str>)];

fn ask(table: &mut dyn Table, key: &str) -> Lookup {
    table.lookup(BStr::new(key))
}

/// Every key gets its answer, and no error.
fn check(mut table: Box<dyn Table>, cases: Cases<'_>) -> Box<dyn Table> {
    for (key, want) in cases {
        let found = ask(table.as_mut(), key).unwrap_or_else(|error| panic!("{key}: {error}"));
        let found = found.map(|value| value.to_string());
        assert_eq!(found.as_deref(), *want, "{key}");
    }
    table
}

/// Lookups fail for now, each time anew.
fn check_fails(mut table: Box<dyn Table>, key: &str) {
    for _ in 0..2 {
        let kind = ask(table.as_mut(), key).map_err(|error| error.kind);
        assert_eq!(kind, Err(ErrorKind::Retry), "{key}");
    }
}

/// Keys that would like to be SQL; folded already.
const HOSTILE: [&str; 14] = [
    "o'brien@example.test",
    "back\\slash",
    "end\\",
    "\\'",
    "'' or 1=1 -- ",
    "' or '1'='1",
    "\" or \"1\"=\"1",
    "x'; drop table alias; -- ",
    "100% _ %s",
    "line\nend\r\t\u{1a}",
    "gr\u{fc}n@b\u{fc}cher.test",
    "\u{bf}' or 1=1 -- ",
    "\u{4e2d}' or 1=1 -- ",
    "\u{1f600}\\'",
];

fn mariadb(what: &str, options: &[&str]) -> Option<MariaDb> {
    let server = MariaDb::start_new(options);
    if server.is_none() {
        skip(what, "MariaDB is not installed");
    }
    server
}

/// The schema of ViMbAdmin, as far as maps use it.
const MAIL_HOST: &str =
    "CREATE TABLE domain (id BIGINT, domain VARCHAR(255), transport VARCHAR(255), active TINYINT(1));
    CREATE TABLE mailbox (id BIGINT, username VARCHAR(255), maildir VARCHAR(255), active TINYINT(1));
    CREATE TABLE alias (id BIGINT, address VARCHAR(255), goto TEXT, active TINYINT(1));
    CREATE TABLE tlspolicies (domain VARCHAR(255), policy VARCHAR(20), params VARCHAR(255));
    INSERT INTO domain VALUES (1, 'example.net', 'virtual', 1), (2, 'off.example.net', 'virtual', 0);
    INSERT INTO mailbox VALUES (1, 'joe@example.net', '/j', 1), (2, 'gone@example.net', '/g', 0);
    INSERT INTO alias VALUES (1, 'info@example.net', 'joe@example.net,ann@example.org', 1),
        (2, '@example.net', 'joe@example.net', 1), (3, 'x@example.net', 'y', 0);
    INSERT INTO tlspolicies VALUES ('secure.example', 'secure', 'match=nexthop'), ('may.example', 'may', NULL);";

#[test]
fn the_maps_of_a_mail_host_on_mariadb_answer() {
    let Some(server) = mariadb("the maps of a mail host on MariaDB", &[]) else {
        return;
    };
    server.sql(MAIL_HOST);
    let tables = Tables::at("mysql", server.port());
    #[rustfmt::skip]
    let maps: [(&str, Cases<'_>); 4] = [
        ("query = SELECT 1 FROM domain WHERE domain='%s' AND active = '1'",
         &[("example.net", Some("1")), ("EXAMPLE.net", Some("1")), ("off.example.net", None), ("a.test", None)]),
        ("query = SELECT 1 FROM mailbox WHERE username = '%s' AND active = '1'",
         &[("joe@example.net", Some("1")), ("gone@example.net", None), ("example.net", None)]),
        ("query = SELECT goto FROM alias WHERE address = '%s' AND active = '1'",
         &[("info@example.net", Some("joe@example.net,ann@example.org")), ("@example.net", Some("joe@example.net")),
           ("x@example.net", None)]),
        ("query = SELECT policy, params FROM tlspolicies WHERE domain = '%s'",
         &[("secure.example", Some("secure,match=nexthop")), ("may.example", Some("may")), ("a.test", None)]),
    ];
    for (query, cases) in maps {
        check(tables.open(query), cases);
    }
}

#[test]
fn procedures_and_bad_queries_of_mariadb_are_told_apart() {
    let Some(server) = mariadb("stored procedures of MariaDB", &[]) else {
        return;
    };
    server.sql(
        "CREATE TABLE alias (address VARCHAR(99), goto VARCHAR(99)); INSERT INTO alias VALUES ('x', 'y');
        DELIMITER //
        CREATE PROCEDURE one(IN k VARCHAR(99)) BEGIN SELECT goto FROM alias WHERE address = k; END//
        CREATE PROCEDURE two(IN k VARCHAR(99)) BEGIN SELECT k; SELECT 2; END//
        CREATE PROCEDURE nothing(IN k VARCHAR(99)) BEGIN SET @x = k; END//
        CREATE PROCEDURE fails(IN k VARCHAR(99))
            BEGIN SELECT k; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END//\n",
    );
    let tables = Tables::at("mysql", server.port());
    let one = tables.open("query = CALL one('%s')");
    check(
        one,
        &[
            ("x", Some("y")),
            ("none", None),
            ("x", Some("y")),
            ("x", Some("y")),
        ],
    );
    #[rustfmt::skip]
    let cases = [
        ("CALL two('%s')", None), ("CALL two('%s')\nrequire_result_set = no", None),
        ("CALL nothing('%s')", None), ("CALL nothing('%s')\nrequire_result_set = no", Some(None)),
        ("CALL fails('%s')", None), ("SELEKT '%s'", None), ("SELECT 1; SELECT 2", None), ("SELECT 1;", Some(Some("1"))),
        ("SELECT '', NULL", Some(None)), ("SELECT 1 UNION SELECT 2\nexpansion_limit = 1", None),
        ("SELECT 1 UNION SELECT 2\nexpansion_limit = 2", Some(Some("1,2"))), ("SELECT x'414200', 1.50", Some(Some("AB,1.50"))),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE alias", None),
        ("SELECT 1\ndomain = fail:x", None),
    ];
    for (query, want) in cases {
        let table = tables.open(&format!("query = {query}"));
        match want {
            Some(want) => drop(check(table, &[("k@x", want), ("k@x", want)])),
            None => check_fails(table, "k@x"),
        }
    }
}

#[test]
fn hosts_option_files_and_charsets_of_mysql_count() {
    let Some(server) = mariadb("hosts and option files for MariaDB", &[]) else {
        return;
    };
    let tables = Tables::at("mysql", server.port());
    let (socket, port) = (server.socket(), server.port());
    let file = tables.dir.path().join("my.cnf");
    let text = format!(
        "[client]\nport = {port}\nsocket = {socket}\n[mine]\nuser = mail\npassword = secret\ninit-command = SET @x = 5\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.display();
    server.sql("CREATE USER nobody@'%'; GRANT ALL ON mail.* TO nobody@'%';");
    #[rustfmt::skip]
    let cases = [
        (format!("SELECT 1\nhosts = unix:{socket}"), Some("1")),
        (format!("SELECT 1\nhosts = 127.0.0.1:1, inet:127.0.0.1:{port} unix:/nonexistent"), Some("1")),
        (format!("SELECT @x\nhosts = localhost\noption_file = {file}\noption_group = mine"), Some("5")),
        (format!("SELECT 2\nhosts = 127.0.0.1\noption_file = {file}"), Some("2")),
        ("SELECT 1\nuser = nobody\npassword =".to_owned(), Some("1")),
        ("SELECT 1\nhosts = 127.0.0.1:1 127.0.0.1:2".to_owned(), None),
        ("SELECT 1\npassword = wrong".to_owned(), None),
        ("SELECT 1\ndbname = wrong".to_owned(), None),
        ("SELECT 1\ncharset = wrong".to_owned(), None),
        ("SELECT HEX('%s')\ncharset = latin1".to_owned(), Some("6B6579")),
        ("SELECT @@character_set_client\ncharset = koi8r".to_owned(), Some("koi8r")),
        ("SELECT @@character_set_client".to_owned(), Some("utf8mb4")),
        // This server has no TLS: whoever checks certificates goes no further.
        ("SELECT 1\ntls_verify_cert = yes".to_owned(), None),
        ("SELECT 1\ntls_ciphers = HIGH".to_owned(), Some("1")),
    ];
    for (query, want) in cases {
        let table = tables.open(&format!("query = {query}"));
        match want {
            Some(_) => drop(check(table, &[("key", want)])),
            None => check_fails(table, "key"),
        }
    }
    // The plugin comes with the whole server package only.
    if Path::new("/usr/lib/mysql/plugin/auth_ed25519.so").exists() {
        server.sql(
            "INSTALL SONAME 'auth_ed25519'; CREATE USER ed@'%'; GRANT ALL ON mail.* TO ed@'%';
            ALTER USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret');",
        );
        let user = "query = SELECT USER() LIKE 'ed@%%'\nuser = ed";
        check(tables.open(user), &[("key", Some("1"))]);
        check_fails(tables.open(&format!("{user}\npassword = wrong")), "key");
    } else {
        skip(
            "MariaDB's ed25519 passwords",
            "the server's plugin is not installed",
        );
    }
    let gbk = tables.open("query = SELECT HEX('%s')\ncharset = gbk");
    check_fails(check(gbk, &[("a'b", Some("612762"))]), "\u{4e2d}'");
}

#[test]
fn no_key_is_sql_to_mariadb() {
    for mode in [&[][..], &["--sql-mode=NO_BACKSLASH_ESCAPES"]] {
        let Some(server) = mariadb("keys as data for MariaDB", mode) else {
            return;
        };
        let has_escapes = mode.is_empty();
        server.sql("CREATE TABLE alias (k VARCHAR(200));");
        let tables = Tables::at("mysql", server.port());
        let mut echo = tables.open("query = SELECT HEX('%s')");
        let mut double = tables.open("query = SELECT HEX(\"%s\")");
        for key in HOSTILE {
            let hex = |key: &str| {
                key.bytes()
                    .map(|byte| format!("{byte:02X}"))
                    .collect::<String>()
            };
            echo = check(echo, &[(key, Some(&hex(key)))]);
            match ask(double.as_mut(), key) {
                // Without escapes, '' in double quotes stays two characters.
                Ok(found) if has_escapes => assert_eq!(found, Some(BString::from(hex(key)))),
                Ok(found) => assert_eq!(found, Some(BString::from(hex(&key.replace('\'', "''"))))),
                Err(error) => assert!(!has_escapes && key.contains('"'), "{key}: {error}"),
            }
        }
        assert_eq!(server.sql("SELECT COUNT(*) FROM alias"), "0\n");
    }
}

#[test]
fn postgresql_tables_answer_and_no_key_is_sql() {
    let Some(server) = PostgreSql::start_new(&[]) else {
        return skip("tables in PostgreSQL", "PostgreSQL is not installed");
    };
    server.sql(
        "CREATE TABLE alias (id INT, k TEXT, a TEXT, b TEXT);
        INSERT INTO alias VALUES (1, 'joe@ex.test', 'x@y', NULL), (2, 'two', 'x', 'y'), (3, 'two', 'z', ''),
            (4, 'gr\u{fc}n', 'gr\u{f6}n', NULL), (5, 'euro', '\u{20ac}', NULL);
        CREATE FUNCTION f(TEXT) RETURNS TEXT LANGUAGE SQL AS $$ SELECT 'f of ' || $1 $$;
        GRANT ALL ON alias TO mail;",
    );
    let tables = Tables::at("pgsql", server.port());
    let (directory, port) = (server.directory(), server.port());
    let query = "query = SELECT a, b FROM alias WHERE k = '%s' ORDER BY id";
    #[rustfmt::skip]
    let plain = [
        ("JOE@ex.test", Some("x@y")), ("two", Some("x,y,z")), ("none", None), ("gr\u{fc}n", Some("gr\u{f6}n")),
        ("euro", Some("\u{20ac}")),
    ];
    check(tables.open(query), &plain);
    let uri = format!("hosts = postgresql://mail:secret@127.0.0.1:{port}/mail");
    let two = Some(Some("x,y,z"));
    #[rustfmt::skip]
    let cases = [
        (format!("{query}\nencoding = LATIN1"), "euro", None), (format!("{query}\nencoding = WIN1252"), "two", two),
        (format!("{query}\nencoding = NONE"), "two", None), (format!("{query}\nexpansion_limit = 2"), "two", None),
        (format!("{query}\nresult_format = <%u|%S>"), "joe@ex.test", Some(Some("<x|joe@ex.test>"))),
        (format!("{query}\n{uri}"), "two", two), (format!("{query}\n{uri}?sslmode=require"), "two", None),
        (format!("{query}\n{uri}?target_session_attrs=read-write"), "two", two), (format!("{query}\n{uri}?foo=bar"), "two", None),
        (format!("{query}\nhosts = postgres:///mail?host={directory}&port={port}&user=mail&password=secret"), "two", two),
        (format!("{query}\nhosts = 127.0.0.1:1 127.0.0.1:{port}"), "two", two),
        (format!("{query}\nhosts = unix:/nonexistent"), "two", None), (format!("{query}\npassword = wrong"), "two", None),
        ("table = alias\nselect_field = a\nwhere_field = k\nadditional_conditions = AND id < 3".to_owned(), "two", Some(Some("x"))),
        ("select_function = f".to_owned(), "o'brien", Some(Some("f of o'brien"))),
        ("query = SELEKT 1".to_owned(), "two", None), ("query = SELECT 1; SELECT 2".to_owned(), "two", Some(Some("2"))),
        ("query = SET application_name = 'x'".to_owned(), "two", Some(None)), ("query = -- %s".to_owned(), "two", None),
        ("query = COPY alias FROM STDIN".to_owned(), "two", None), ("query = COPY alias TO STDOUT".to_owned(), "two", None),
        ("query = SELECT 1/0".to_owned(), "two", None),
        ("query = SELECT pg_terminate_backend(pg_backend_pid())".to_owned(), "two", None),
    ];
    for (more, key, want) in &cases {
        match want {
            Some(want) => drop(check(tables.open(more), &[(key, *want), (key, *want)])),
            None => check_fails(tables.open(more), key),
        }
    }
    let mut echo = tables.open("query = SELECT '%s'");
    server.sql("ALTER ROLE mail SET standard_conforming_strings = off");
    let mut escapes = tables.open("query = SELECT '%s' ");
    for key in HOSTILE {
        echo = check(echo, &[(key, Some(key))]);
        escapes = check(escapes, &[(key, Some(key))]);
    }
    let sjis = tables.open("query = SELECT '%s'\nencoding = SJIS");
    check_fails(check(sjis, &[("a'b\\", Some("a'b\\"))]), "\u{4e2d}'");
    assert_eq!(server.sql("SELECT COUNT(*) FROM alias"), "5\n");
}

#[test]
fn sqlite_tables_answer_and_no_key_is_sql() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mail.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE alias (k TEXT, v);
            INSERT INTO alias VALUES ('two', 1), ('two', 2.5), ('two', 1e20), ('two', x'4142'), ('null', NULL),
                ('empty', ''), ('gr\u{fc}n', 'gr\u{f6}n'), ('a@b.c', 'x@y.z');",
        )
        .unwrap();
    let tables = Tables::new("sqlite", &format!("dbpath = {}\n", path.display()));
    let query = "query = SELECT v, k FROM alias WHERE k = '%s'";
    let two = Some("1,2.5,1.0e+20,AB");
    #[rustfmt::skip]
    let cases = [("two", two), ("null", None), ("empty", None), ("GR\u{dc}N", Some("gr\u{f6}n")), ("none", None)];
    let mut plain = check(tables.open(query), &cases);
    let domain = format!("{query}\ndomain = b.c\nresult_format = %u of %D");
    check(
        tables.open(&domain),
        &[
            ("a@b.c", Some("x of b.c")),
            ("two", None),
            ("a@x.b.c", None),
        ],
    );
    check(
        tables.open("query = SELECT 1; SELECT 2"),
        &[("k", Some("1"))],
    );
    let mut echo = tables.open("query = SELECT '%s'");
    for key in HOSTILE {
        echo = check(echo, &[(key, Some(key))]);
    }
    check_fails(tables.open("query = UPDATE alias SET v = 3"), "k");
    check_fails(tables.open("query = SELECT abs(-9223372036854775808)"), "k");
    check_fails(tables.open("query = -- nothing"), "k");
    check_fails(tables.open(&format!("{query}\nexpansion_limit = 3")), "two");
    let fatal = ask(tables.open("query = SELEKT '%s'").as_mut(), "k").unwrap_err();
    assert_eq!(fatal.kind, ErrorKind::Fatal);
    assert!(
        fatal
            .to_string()
            .contains("SQL prepare failed: near \"SELEKT\""),
        "{fatal}"
    );
    let missing = dir.path().join("missing.db");
    let error = tables.try_open(&format!("{query}\ndbpath = {}", missing.display()));
    let error = error.err().unwrap();
    assert!(error.ends_with(": unable to open database file"), "{error}");
    assert!(!missing.exists());
    // A lookup waits for a writer that is about to finish.
    database
        .execute_batch("BEGIN EXCLUSIVE; INSERT INTO alias VALUES ('new', 'n');")
        .unwrap();
    let reader = std::thread::spawn(move || {
        plain = check(plain, &[("two", two)]);
        plain
    });
    database.execute_batch("COMMIT;").unwrap();
    check(reader.join().unwrap(), &[("new", Some("n"))]);
}

/// `ca.pem` and `other.pem`, two authorities, and `server.pem` with `server.key` for localhost, signed by the
/// first, in a directory for anybody. `None` when openssl is not installed.
fn certificates() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let done = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(dir.path())
            .output();
        done.is_ok_and(|done| done.status.success())
    };
    if !run("version") {
        skip("TLS of SQL servers", "openssl is not installed");
        return None;
    }
    fs::write(dir.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let sign =
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
    for arguments in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=one -keyout ca.key -out ca.pem",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=two -keyout other.key -out other.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        &format!("{sign} -out server.pem"),
    ] {
        assert!(run(arguments), "{arguments}");
    }
    open_to_all(dir.path());
    fs::create_dir(dir.path().join("authorities")).unwrap();
    fs::copy(
        dir.path().join("ca.pem"),
        dir.path().join("authorities/0.pem"),
    )
    .unwrap();
    Some(dir)
}

/// As [`certificates`], of X.509 version 1 and with the first authority only.
fn version_1() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    if !version_1_certificates(dir.path()) {
        skip("certificates of version 1", "openssl is not installed");
        return None;
    }
    open_to_all(dir.path());
    Some(dir)
}

/// Servers run as other users.
fn open_to_all(dir: &Path) {
    let open =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(dir, 0o755);
    for entry in fs::read_dir(dir).unwrap() {
        open(&entry.unwrap().path(), 0o644);
    }
}

#[test]
fn certificates_of_mysql_servers_are_checked_as_the_table_says() {
    let Some(dir) = certificates() else {
        return;
    };
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, other) = (file("ca.pem"), file("other.pem"));
    let (cert, key, authorities) = (file("server.pem"), file("server.key"), file("authorities"));
    let options = [
        format!("--ssl-ca={ca}"),
        format!("--ssl-cert={cert}"),
        format!("--ssl-key={key}"),
    ];
    let Some(server) = mariadb("TLS of MariaDB", &options.each_ref().map(String::as_str)) else {
        return;
    };
    server.sql("CREATE USER cert@'%' IDENTIFIED BY 'secret' REQUIRE X509; GRANT ALL ON mail.* TO cert@'%';");
    let tables = Tables::at("mysql", server.port());
    let version = "query = SELECT variable_value FROM information_schema.session_status WHERE variable_name = ";
    let named = format!("hosts = unix:{}\n", server.socket());
    #[rustfmt::skip]
    let cases = [
        (String::new(), Some(None)), (format!("tls_CAfile = {ca}"), Some(Some("TLSv1.3"))), (format!("tls_CAfile = {other}"), None),
        (format!("tls_CApath = {authorities}"), Some(Some("TLSv1.3"))), (format!("tls_CAfile = {cert}"), Some(Some("TLSv1.3"))),
        (format!("tls_CAfile = {ca}\ntls_verify_cert = yes"), None), ("tls_CAfile = /nonexistent".to_owned(), None),
        (format!("{named}tls_CAfile = {ca}\ntls_verify_cert = yes"), Some(Some("TLSv1.3"))),
        ("tls_verify_cert = yes".to_owned(), None), ("tls_ciphers = HIGH".to_owned(), Some(Some("TLSv1.3"))),
        (format!("user = cert\ntls_CAfile = {ca}"), None),
        (format!("user = cert\ntls_cert_file = {cert}\ntls_key_file = {key}"), Some(Some("TLSv1.3"))),
    ];
    for (more, want) in cases {
        let table = tables.open(&format!("{version}'ssl_version'\n{more}"));
        match want {
            Some(want) => drop(check(table, &[("key", want), ("key", want)])),
            None => check_fails(table, "key"),
        }
    }
}

#[test]
fn certificates_of_postgresql_servers_are_checked_as_the_uri_says() {
    let Some(dir) = certificates() else {
        return;
    };
    let file = |name: &str| dir.path().join(name).display().to_string();
    let Some(server) = PostgreSql::start_new(&[]) else {
        return skip("TLS of PostgreSQL", "PostgreSQL is not installed");
    };
    // The server wants a key that nobody else may read, and reads it from its own directory.
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    server.use_certificate(&read("server.pem"), &read("server.key"));
    let tables = Tables::at("pgsql", server.port());
    let port = server.port();
    let (ca, other) = (file("ca.pem"), file("other.pem"));
    #[rustfmt::skip]
    let cases = [
        ("127.0.0.1", "sslmode=disable".to_owned(), Some("f")), ("127.0.0.1", String::new(), Some("t")),
        ("127.0.0.1", "sslmode=require".to_owned(), Some("t")), ("127.0.0.1", format!("sslmode=require&sslrootcert={other}"), None),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), Some("t")),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), None),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), Some("t")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), None), ("localhost", "sslmode=verify-full".to_owned(), None),
        // The password's proof is bound to the certificate.
        ("127.0.0.1", "channel_binding=require".to_owned(), Some("t")), ("127.0.0.1", "channel_binding=disable".to_owned(), Some("t")),
        ("127.0.0.1", "sslmode=disable&channel_binding=require".to_owned(), None),
        ("127.0.0.1", "channel_binding=always".to_owned(), None),
    ];
    let query = "query = SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (host, more, want) in cases {
        let uri = format!("postgresql://mail:secret@{host}:{port}/mail?{more}");
        let table = tables.open(&format!("{query}\nhosts = {uri}"));
        match want {
            Some(_) => drop(check(table, &[("key", want), ("key", want)])),
            None => check_fails(table, "key"),
        }
    }
    // A table without URI prefers TLS.
    check(tables.open(query), &[("key", Some("t"))]);
}

#[test]
fn certificates_of_version_1_do_for_mysql_servers_and_their_clients() {
    let Some(dir) = version_1() else {
        return;
    };
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let options = [
        format!("--ssl-ca={ca}"),
        format!("--ssl-cert={cert}"),
        format!("--ssl-key={key}"),
        "--tls-version=TLSv1.2".to_owned(),
    ];
    let Some(server) = mariadb(
        "version 1 on MariaDB",
        &options.each_ref().map(String::as_str),
    ) else {
        return;
    };
    server.sql("CREATE USER cert@'%' IDENTIFIED BY 'secret' REQUIRE X509; GRANT ALL ON mail.* TO cert@'%';");
    let tables = Tables::at("mysql", server.port());
    let version = "query = SELECT variable_value FROM information_schema.session_status WHERE variable_name = ";
    let named = format!("hosts = unix:{}\n", server.socket());
    let other = version_1().unwrap();
    let other = other.path().join("ca.pem").display().to_string();
    #[rustfmt::skip]
    let cases = [
        (format!("tls_CAfile = {ca}"), true), (format!("tls_CAfile = {cert}"), true), (format!("tls_CAfile = {other}"), false),
        (format!("{named}tls_CAfile = {ca}\ntls_verify_cert = yes"), true),
        (format!("{named}tls_CAfile = {other}\ntls_verify_cert = yes"), false),
        (format!("tls_CAfile = {ca}\ntls_verify_cert = yes"), false), ("tls_ciphers = HIGH".to_owned(), true),
        (format!("user = cert\ntls_CAfile = {ca}\ntls_cert_file = {cert}\ntls_key_file = {key}"), true),
        (format!("user = cert\ntls_CAfile = {ca}\ntls_cert_file = {ca}\ntls_key_file = {key}"), false),
    ];
    for (more, is_fine) in cases {
        let table = tables.open(&format!("{version}'ssl_version'\n{more}"));
        if is_fine {
            check(table, &[("key", Some("TLSv1.2"))]);
        } else {
            check_fails(table, "key");
        }
    }
}

#[test]
fn certificates_of_version_1_do_for_postgresql_servers() {
    let Some(dir) = version_1() else {
        return;
    };
    let Some(server) = PostgreSql::start_new(&[]) else {
        return skip("version 1 on PostgreSQL", "PostgreSQL is not installed");
    };
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    server.use_certificate(&read("server.pem"), &read("server.key"));
    let (tables, port) = (Tables::at("pgsql", server.port()), server.port());
    let ca = dir.path().join("ca.pem").display().to_string();
    let other = version_1().unwrap();
    let other = other.path().join("ca.pem").display().to_string();
    #[rustfmt::skip]
    let cases = [
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}&channel_binding=require"), true),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), false),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), true),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), false), ("localhost", "sslmode=require".to_owned(), true),
    ];
    let query = "query = SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (host, more, is_fine) in cases {
        let uri = format!("postgresql://mail:secret@{host}:{port}/mail?{more}");
        let table = tables.open(&format!("{query}\nhosts = {uri}"));
        if is_fine {
            check(table, &[("key", Some("t"))]);
        } else {
            check_fails(table, "key");
        }
    }
}

#[test]
fn bad_settings_are_refused_in_postfix_words() {
    #[rustfmt::skip]
    let cases = [
        ("mysql", "hosts = a", "bad string length 0 < 1: dbname = "),
        ("mysql", "dbname = m", "bad string length 0 < 1: table = "),
        ("mysql", "dbname = m\ntable = t", "bad string length 0 < 1: select_field = "),
        ("mysql", "dbname = m\nquery = SELECT '%x'", "Invalid query template: SELECT '%x'"),
        ("mysql", "dbname = m\nquery = SELECT 1\nresult_format = %q", "Invalid result template: %q"),
        ("mysql", "dbname = m\nquery = SELECT 1\nexpansion_limit = 1x", "bad numerical configuration: expansion_limit = 1x"),
        ("mysql", "dbname = m\nquery = SELECT 1\nretry_interval = 0", "invalid retry_interval parameter value 0 < 1"),
        ("mysql", "dbname = m\nrequire_result_set = maybe", "bad boolean configuration: require_result_set = maybe"),
        ("mysql", "dbname = m\ntls_verify_cert = maybe", "bad boolean configuration: tls_verify_cert = maybe"),
        ("mysql", "dbname = m\nquery = SELECT 1\nhosts = a:x", "unknown service: x/tcp"),
        ("mysql", "dbname = m\nquery", "missing '=' after attribute name: \"query\""),
        ("pgsql", "hosts = a", "host target 'a' requires dbname setting"),
        ("pgsql", "hosts = postgresql:///m", "bad string length 0 < 1: table = "),
        ("pgsql", "dbname = m\nquery = %0", "Invalid query template: %0"),
        ("sqlite", "query = SELECT 1", "bad string length 0 < 1: dbpath = "),
        ("sqlite", "dbpath = /nonexistent/x\nquery = SELECT 1", "open database /nonexistent/x: unable to open database file"),
    ];
    for (kind, text, want) in cases {
        let error = Tables::new(kind, "").try_open(text).err().unwrap();
        assert!(error.ends_with(want), "{kind} {text}: {error}");
    }
}
