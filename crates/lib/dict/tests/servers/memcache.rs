//! `memcache` on memcached.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bstr::BStr;
use postern_dict::cache::{Cache, Usage};
use postern_dict::{Flags, OpenMode, create, try_open};
use postern_sys::user;
use postern_testkit::free_port;

use crate::server::{Folder, Server, ask, program, talk};

fn memcached(test: &str) -> Option<(Server, u16)> {
    let program = program(test, &["memcached"])?;
    let port = free_port();
    let server = Server::start(port, move || {
        let mut command = Command::new(&program);
        let port = port.to_string();
        command.args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "4"]);
        if user::euid() == 0 {
            command.args(["-u", "root"]);
        }
        command
    });
    Some((server, port))
}

/// A backup table with these entries.
fn backup(folder: &Folder, entries: &[(&str, &str)]) -> String {
    let name = format!("btree:{}", folder.path("backup").display());
    let mut table = create(folder.config(), &name, Flags::DUP_REPLACE).unwrap();
    for (key, value) in entries {
        table.add(BStr::new(key), BStr::new(value)).unwrap();
    }
    table.finish().unwrap();
    name
}

#[test]
fn memcached_answers_and_learns_from_the_backup() {
    let Some((mut server, port)) = memcached("memcache tables") else {
        return;
    };
    let folder = Folder::new();
    let place = format!("memcache = inet:127.0.0.1:{port}\n");
    let stored = talk(port, "set cached@x 0 0 5\r\nalice\r\n");
    assert_eq!(stored, "STORED\r\n");
    let backup = backup(&folder, &[("cached@x", "other"), ("stored@x", "carol")]);
    let open = |more: &str| folder.table("memcache", OpenMode::Read, &format!("{place}{more}"));
    let mut plain = open("");
    assert_eq!(ask(&mut *plain, "Cached@X"), "alice");
    assert_eq!(ask(&mut *plain, "stored@x"), "-");
    assert_eq!(ask(&mut *plain, "a b"), "-");
    assert_eq!(ask(&mut *plain, "cached@x\r\nget cached@x"), "-");
    let mut backed = open(&format!("backup = {backup}\nttl = 600\nflags = 7\n"));
    assert_eq!(ask(&mut *backed, "cached@x"), "alice");
    assert_eq!(ask(&mut *backed, "stored@x"), "carol");
    assert_eq!(
        talk(port, "get stored@x\r\n"),
        "VALUE stored@x 7 5\r\ncarol\r\nEND\r\n"
    );
    assert_eq!(ask(&mut *plain, "stored@x"), "carol");
    let mut formatted = open("key_format = p:%u/%d\ndomain = x\n");
    talk(port, "set p:joe/x 0 0 3\r\nbob\r\n");
    assert_eq!(ask(&mut *formatted, "joe@x"), "bob");
    assert_eq!(ask(&mut *formatted, "joe@y"), "-");
    server.stop();
    assert_eq!(ask(&mut *backed, "stored@x"), "carol");
    assert_eq!(ask(&mut *backed, "none@x"), "-");
    assert_eq!(ask(&mut *plain, "stored@x"), "error: Connection refused");
    server.restart();
    assert_eq!(ask(&mut *plain, "stored@x"), "-");
}

#[test]
fn changes_reach_memcached_and_the_backup() {
    let Some((mut server, port)) = memcached("changes of memcache tables") else {
        return;
    };
    let folder = Folder::new();
    let backup = backup(&folder, &[]);
    let place = format!("memcache = inet:127.0.0.1:{port}\n");
    let open = |more: &str| {
        let settings = format!("{place}{more}");
        folder.table("memcache", OpenMode::ReadWriteCreate, &settings)
    };
    let mut plain = open("data_size_limit = 10\n");
    let (key, value) = (BStr::new("k"), BStr::new("value"));
    plain.update(key, value).unwrap();
    assert_eq!(ask(&mut *plain, "k"), "value");
    assert!(plain.update(key, BStr::new("longer than allowed")).is_err());
    assert_eq!(plain.delete(key), Ok(true));
    assert_eq!(plain.delete(key), Ok(false));
    assert_eq!(plain.sequence(true), Ok(None));
    let mut backed = open(&format!("backup = {backup}\ndata_size_limit = 10\n"));
    backed.update(key, value).unwrap();
    assert_eq!(ask(&mut *plain, "k"), "value");
    // The backup takes what the cache cannot, which then must not keep the old value.
    backed
        .update(key, BStr::new("longer than allowed"))
        .unwrap();
    assert_eq!(ask(&mut *plain, "k"), "-");
    let (first, _) = backed.sequence(true).unwrap().unwrap();
    assert_eq!(first, "k");
    assert_eq!(backed.sequence(false), Ok(None));
    server.stop();
    assert_eq!(backed.delete(key), Ok(true));
    assert_eq!(ask(&mut *backed, "k"), "-");
}

#[test]
fn keys_may_become_digests() {
    let Some((_server, port)) = memcached("memcache key_digest") else {
        return;
    };
    let folder = Folder::new();
    let settings = format!("memcache = inet:127.0.0.1:{port}\nkey_digest = sha256\n");
    let mut table = folder.table("memcache", OpenMode::ReadWrite, &settings);
    let key = BStr::new("a key with blanks\r\nthat no server takes");
    table.update(key, BStr::new("v")).unwrap();
    assert_eq!(table.lookup(key).unwrap().unwrap(), "v");
}

#[test]
fn daemons_keep_their_caches_in_memcached() {
    let Some((_server, port)) = memcached("a daemon's cache in memcached") else {
        return;
    };
    let folder = Folder::new();
    let backup = backup(&folder, &[]);
    let settings = format!("memcache = inet:127.0.0.1:{port}\nbackup = {backup}\n");
    let path = folder.write("cache.cf", &settings);
    let me = user::user_by_uid(user::euid()).unwrap().unwrap();
    let usage = Usage {
        default: "x",
        interval: Duration::from_secs(100),
        scratch: false,
    };
    let name = format!("memcache:{}", path.display());
    let mut cache = Cache::open(folder.config(), &name, &me, usage);
    assert!(cache.is_usable());
    cache.update(BStr::new("old"), BStr::new("1"));
    cache.update(BStr::new("new"), BStr::new("2"));
    cache.step(|_, value| value == "2");
    assert_eq!(cache.lookup(BStr::new("old")).unwrap(), None);
    assert_eq!(cache.lookup(BStr::new("new")).unwrap().unwrap(), "2");
}

/// A server that gives one reply to each request, on new connections too.
fn scripted(replies: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut replies = replies.iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut input = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while input.read_line(&mut line).unwrap_or(0) > 0 {
                let Some(reply) = replies.next() else {
                    return;
                };
                let _ = stream.write_all(reply.as_bytes());
                line.clear();
            }
        }
    });
    port
}

#[test]
fn a_broken_reply_is_tried_again_and_then_an_error() {
    let folder = Folder::new();
    let good = "VALUE k 0 1\r\nv\r\nEND\r\n";
    let cases: [(&[&str], &str); 3] = [
        (&["SERVER_ERROR busy\r\n", good], "v"),
        (
            &["ERROR\r\n", "VALUE other 0 1\r\nv\r\nEND\r\n"],
            "error: unexpected reply",
        ),
        (&["VALUE k 0 99999999\r\n", "END\r\n"], "-"),
    ];
    for (replies, want) in cases {
        let port = scripted(Box::leak(replies.to_vec().into_boxed_slice()));
        let settings = format!("memcache = inet:127.0.0.1:{port}\n");
        let mut table = folder.table("memcache", OpenMode::Read, &settings);
        assert_eq!(ask(&mut *table, "k"), want, "{replies:?}");
    }
}

#[test]
fn words_that_nobody_asked_for_are_no_answer() {
    let folder = Folder::new();
    let good = "VALUE k 0 1\r\nv\r\nEND\r\n";
    let twice = "VALUE k 0 1\r\nv\r\nEND\r\nEND\r\n";
    let port = scripted(Box::leak(vec![twice, good, twice, good].into_boxed_slice()));
    let settings = format!("memcache = inet:127.0.0.1:{port}\n");
    let mut table = folder.table("memcache", OpenMode::Read, &settings);
    for _ in 0..4 {
        assert_eq!(ask(&mut *table, "k"), "v");
    }
}

#[test]
fn a_silent_server_costs_no_more_than_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let folder = Folder::new();
    let settings = format!("memcache = inet:{place}\nmax_try = 1\ntimeout = 1\n");
    let mut table = folder.table("memcache", OpenMode::Read, &settings);
    let begin = std::time::Instant::now();
    assert_eq!(ask(&mut *table, "k"), "error: Connection timed out");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn memcache_tables_are_refused_for_sensitive_data() {
    let folder = Folder::new();
    let path = folder.write("m.cf", "");
    for kind in ["memcache", "redis"] {
        let name = format!("{kind}:{}", path.display());
        let refused = try_open(folder.config(), &name, OpenMode::Read, Flags::PARANOID);
        assert_eq!(
            refused.err().unwrap().to_string(),
            format!("{name} map is not allowed for security-sensitive data")
        );
    }
}
