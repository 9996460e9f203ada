//! Keys of any bytes are data to real SQL and LDAP servers: each finds its own row or none, and nothing changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bstr::BStr;
use postern_config::Config;
use postern_dict::{Flags, OpenMode, Table, try_open};
use postern_testkit::{MariaDb, PostgreSql, Random, Store, skip};
use std::collections::BTreeSet;
use std::fs;

/// Keys that have a row, and as many that have none.
const KEYS: usize = 300;

/// What SQL, LDAP filters, templates and character sets may trip over.
const PIECES: [&[u8]; 40] = [
    b"'",
    b"''",
    b"\"",
    b"\\",
    b"\\'",
    b"\\\\",
    b"`",
    b";",
    b"--",
    b"-- ",
    b"#",
    b"/*",
    b"*/",
    b"(",
    b")",
    b"*",
    b"&",
    b"|",
    b"!",
    b"=",
    b"%",
    b"%s",
    b"%%",
    b"_",
    b"$1",
    b"$$",
    b"\n",
    b"\r",
    b"\t",
    b"\x1a",
    b"\x08",
    b" or 1=1",
    b" union select 1",
    b"*)(uid=*",
    "\u{df}\u{4e2d}".as_bytes(),
    "\u{bf}'".as_bytes(),
    "\u{1f600}".as_bytes(),
    b"\xbf",
    b"\x00",
    b"\xc3",
];

/// A key: pieces and bytes in between.
fn key(random: &mut Random) -> Vec<u8> {
    let mut key = Vec::new();
    for _ in 0..=random.below(6) {
        match random.below(3) {
            0 => key.push(u8::try_from(random.below(256)).unwrap()),
            1 => key.push(b'a' + u8::try_from(random.below(26)).unwrap()),
            _ => key.extend_from_slice(PIECES[random.below(PIECES.len())]),
        }
    }
    key
}

/// Different keys, half of them for rows, which are text a server can hold.
fn keys() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut random = Random::new(20);
    let mut rows = BTreeSet::new();
    let mut others = BTreeSet::new();
    while rows.len() < KEYS || others.len() < KEYS {
        let key = key(&mut random);
        let is_text = std::str::from_utf8(&key).is_ok() && !key.contains(&0);
        if is_text && rows.len() < KEYS {
            rows.insert(key);
        } else if !rows.contains(&key) && others.len() < KEYS {
            others.insert(key);
        }
    }
    (rows.into_iter().collect(), others.into_iter().collect())
}

fn open(kind: &str, settings: &str) -> Box<dyn Table> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.cf");
    fs::write(&path, settings).unwrap();
    let config = Config::from_text("compatibility_level = 3.11\n").unwrap();
    let name = format!("{kind}:{}", path.display());
    try_open(&config, &name, OpenMode::Read, Flags::NONE).unwrap()
}

/// Row `n` has key `n` and the value `n`.
fn check(mut table: Box<dyn Table>) {
    let (rows, others) = keys();
    for (number, key) in rows.iter().enumerate() {
        let found = table.lookup(BStr::new(key));
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", BStr::new(key)));
        let found = found.map(|value| value.to_string());
        assert_eq!(found, Some(number.to_string()), "{}", BStr::new(key));
    }
    for key in &others {
        // A key that is no text may be refused, but it is nobody else's.
        if let Ok(found) = table.lookup(BStr::new(key)) {
            assert_eq!(found, None, "{:?}", BStr::new(key));
        }
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn any_key_is_data_to_mariadb() {
    for options in [
        &[][..],
        &["--sql-mode=NO_BACKSLASH_ESCAPES"],
        &["--sql-mode=ANSI_QUOTES"],
    ] {
        let Some(server) = MariaDb::start_new(options) else {
            return skip("keys of any bytes for MariaDB", "it is not installed");
        };
        let values: Vec<String> = (keys().0.iter().enumerate())
            .map(|(number, key)| format!("({number}, x'{}')", hex(key)))
            .collect();
        server.sql("CREATE TABLE t (n INT, k VARBINARY(200)); CREATE TABLE other (n INT);");
        server.sql(&format!("INSERT INTO t VALUES {}", values.join(",")));
        let state = || {
            let users = "SELECT user, host FROM mysql.user ORDER BY 1, 2";
            server.sql(&format!("CHECKSUM TABLE t, other; SHOW TABLES; {users}"))
        };
        let before = state();
        let base = format!(
            "hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\n",
            server.port()
        );
        for query in [
            "SELECT n FROM t WHERE k = '%s'",
            "SELECT n FROM t WHERE k = CONCAT('', '%s') AND '%s' = '%s'",
        ] {
            check(open("mysql", &format!("{base}query = {query}\n")));
        }
        assert_eq!(state(), before);
    }
}

#[test]
fn any_key_is_data_to_postgresql() {
    for options in [&[][..], &["-c", "standard_conforming_strings=off"]] {
        let Some(server) = PostgreSql::start_new(options) else {
            return skip("keys of any bytes for PostgreSQL", "it is not installed");
        };
        server.sql("CREATE TABLE t (n INT, k TEXT); GRANT ALL ON t TO mail");
        let values: Vec<String> = (keys().0.iter().enumerate())
            .map(|(number, key)| {
                format!(
                    "({number}, convert_from(decode('{}', 'hex'), 'UTF8'))",
                    hex(key)
                )
            })
            .collect();
        server.sql(&format!("INSERT INTO t VALUES {}", values.join(",")));
        let state = || {
            server.sql(
                "SELECT md5(string_agg(n || ':' || k, ',' ORDER BY n)) FROM t; \
                 SELECT relname FROM pg_class ORDER BY 1; SELECT rolname FROM pg_roles ORDER BY 1",
            )
        };
        let before = state();
        check(open(
            "pgsql",
            &format!(
                "hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\n\
                 query = SELECT n FROM t WHERE k = '%s'\n",
                server.port()
            ),
        ));
        assert_eq!(state(), before);
    }
}

#[test]
fn any_key_is_data_to_a_directory() {
    let mut entries = "dn: dc=example,dc=test\nobjectClass: domain\ndc: example\n\n".to_owned();
    for (number, key) in keys().0.iter().enumerate() {
        // The one attribute whose values are compared byte by byte.
        entries += &format!(
            "dn: uid={number},dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: {number}\ncn: x\nsn: x\n\
             userPassword:: {}\n\n",
            STANDARD.encode(key)
        );
    }
    let Some(server) = Store::slapd(&entries) else {
        return skip("keys of any bytes for LDAP", "slapd is not installed");
    };
    check(open(
        "ldap",
        &format!(
            "server_host = 127.0.0.1\nserver_port = {}\nversion = 3\nsearch_base = dc=example,dc=test\n\
             query_filter = (userPassword=%s)\nresult_attribute = uid\n",
            server.port()
        ),
    ));
}
