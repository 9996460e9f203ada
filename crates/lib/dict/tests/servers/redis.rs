//! `redis` on Redis or Valkey.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use bstr::BStr;
use postern_dict::OpenMode;
use postern_testkit::free_port;

use crate::server::{Folder, Server, ask, program, talk};

/// A server on a port with more options; `{}` in them is the folder.
fn redis(test: &str, folder: &Folder, more: &'static str) -> Option<(Server, u16)> {
    let program = program(test, &["redis-server", "valkey-server"])?;
    let port = free_port();
    let directory = folder.path("");
    let server = Server::start(port, move || {
        let mut command = Command::new(&program);
        let (port, more) = (
            port.to_string(),
            more.replace("{}", &directory.to_string_lossy()),
        );
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(&directory);
        if !more.contains("--tls-port") {
            command.args(["--port", &port]);
        }
        command.args(more.replace("PORT", &port).split_whitespace());
        command
    });
    Some((server, port))
}

#[test]
fn redis_answers_and_keeps_what_is_stored() {
    let folder = Folder::new();
    let socket = "--unixsocket {}/socket";
    let Some((mut server, port)) = redis("redis tables", &folder, socket) else {
        return;
    };
    let open = |settings: &str| folder.table("redis", OpenMode::ReadWriteCreate, settings);
    let inet = format!("redis = inet:127.0.0.1:{port}\n");
    let mut plain = open(&inet);
    assert_eq!(ask(&mut *plain, "k"), "-");
    plain
        .update(BStr::new("k"), BStr::new("two\r\nlines"))
        .unwrap();
    assert_eq!(ask(&mut *plain, "K"), "two\r\nlines");
    assert_eq!(talk(port, "TTL k\r\n"), ":3600\r\n");
    let unix = format!("redis = unix:{}\n", folder.path("socket").display());
    assert_eq!(ask(&mut *open(&unix), "k"), "two\r\nlines");
    assert_eq!(ask(&mut *open(&format!("{inet}db = 3\n")), "k"), "-");
    assert_eq!(plain.delete(BStr::new("k")), Ok(true));
    assert_eq!(plain.delete(BStr::new("k")), Ok(false));
    let mut lasting = open(&format!("{inet}ttl = 0\nkey_format = v:%u\ndomain = x\n"));
    lasting.update(BStr::new("joe@x"), BStr::new("1")).unwrap();
    assert_eq!(talk(port, "TTL v:joe\r\n"), ":-1\r\n");
    assert_eq!(ask(&mut *lasting, "joe@x"), "1");
    assert_eq!(ask(&mut *lasting, "joe@y"), "-");
    assert!(lasting.sequence(true).is_err());
    let mut small = open(&format!("{inet}data_size_limit = 5\nmax_try = 1\n"));
    assert!(small.update(BStr::new("k"), BStr::new("123456")).is_err());
    plain.update(BStr::new("k"), BStr::new("123456")).unwrap();
    assert_eq!(ask(&mut *small, "k"), "error: data exceeds size limit");
    server.stop();
    assert_eq!(ask(&mut *plain, "k"), "error: Connection refused");
    server.restart();
    assert_eq!(ask(&mut *plain, "k"), "-");
    assert_eq!(talk(port, "LPUSH list a\r\n"), ":1\r\n");
    let refused = ask(&mut *plain, "list");
    assert!(refused.starts_with("error: WRONGTYPE "), "{refused}");
}

#[test]
fn the_keys_of_a_prefix_are_listed() {
    let folder = Folder::new();
    let Some((_server, port)) = redis("listing of redis tables", &folder, "") else {
        return;
    };
    let open = |prefix: &str| {
        let settings = format!("redis = inet:127.0.0.1:{port}\nkey_prefix = {prefix}\n");
        folder.table("redis", OpenMode::ReadWrite, &settings)
    };
    let (mut one, mut other) = (open("a*:"), open("ab:"));
    let mut want = BTreeMap::new();
    for number in 0..250 {
        let (key, value) = (format!("k{number}"), number.to_string());
        one.update(BStr::new(&key), BStr::new(&value)).unwrap();
        other.update(BStr::new(&key), BStr::new("x")).unwrap();
        want.insert(key, value);
    }
    let mut seen = BTreeMap::new();
    let mut restart = true;
    while let Some((key, value)) = one.sequence(restart).unwrap() {
        seen.insert(key.to_string(), value.to_string());
        restart = false;
    }
    assert_eq!(seen, want);
}

#[test]
fn a_password_is_given_and_a_wrong_one_is_an_error() {
    let folder = Folder::new();
    let protected = "--requirepass secret";
    let Some((_server, port)) = redis("redis passwords", &folder, protected) else {
        return;
    };
    let open = |more: &str| {
        let settings = format!("redis = inet:127.0.0.1:{port}\n{more}");
        folder.table("redis", OpenMode::Read, &settings)
    };
    assert_eq!(ask(&mut *open("password = secret\ndb = 1\n"), "k"), "-");
    let named = "username = default\npassword = secret\n";
    assert_eq!(ask(&mut *open(named), "k"), "-");
    let wrong = ask(&mut *open("password = wrong\n"), "k");
    assert!(wrong.starts_with("error: WRONGPASS"), "{wrong}");
    let none = ask(&mut *open(""), "k");
    assert!(none.starts_with("error: NOAUTH"), "{none}");
}

#[test]
fn redis_over_tls_is_verified() {
    let folder = Folder::new();
    let test = "redis over TLS";
    if program(test, &["redis-server", "valkey-server"]).is_none() || !folder.certificates(test) {
        return;
    }
    let tls = "--port 0 --tls-port PORT --tls-cert-file {}/server.pem --tls-key-file {}/server.key \
               --tls-ca-cert-file {}/ca.pem --tls-auth-clients no";
    let Some((_server, port)) = redis(test, &folder, tls) else {
        return;
    };
    let open = |more: &str| {
        let settings = format!("redis = inet:localhost:{port}\nmax_try = 1\n{more}");
        folder.table("redis", OpenMode::ReadWrite, &settings)
    };
    let ca = folder.path("ca.pem");
    let mut verified = open(&format!("tls = yes\ntls_CAfile = {}\n", ca.display()));
    verified.update(BStr::new("k"), BStr::new("v")).unwrap();
    assert_eq!(ask(&mut *verified, "k"), "v");
    assert_eq!(
        ask(&mut *open("tls = yes\ntls_verify_cert = no\n"), "k"),
        "v"
    );
    let unknown = ask(&mut *open("tls = yes\n"), "k");
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    let clear = ask(&mut *open(""), "k");
    assert!(clear.starts_with("error: "), "{clear}");
}

/// A server whose reply to any `GET` depends on how many connections there were.
fn by_connection(replies: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (stream, reply) in listener.incoming().zip(replies) {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // The count of words, and two lines for each of the two.
                while lines.by_ref().take(5).filter(Result::is_ok).count() == 5 {
                    let _ = stream.write_all(reply.as_bytes());
                }
            });
        }
    });
    port
}

#[test]
fn a_connection_that_is_out_of_step_is_not_used_again() {
    let folder = Folder::new();
    let port = by_connection(&[
        // Not what GET gives.
        ":1\r\n",
        // More than was asked for.
        "$3\r\ntwo\r\n$5\r\nother\r\n",
        "$5\r\nthree\r\n$-1\r\n",
        "$4\r\nfour\r\n",
    ]);
    let settings = format!("redis = inet:127.0.0.1:{port}\n");
    let mut table = folder.table("redis", OpenMode::Read, &settings);
    let wrong = "error: unexpected reply of the server";
    for want in [wrong, "two", "three", "four", "four"] {
        assert_eq!(ask(&mut *table, "k"), want);
    }
}
