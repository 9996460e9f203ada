//! Nonsense at every door: no program may break, and mail flows on.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use postern_testkit::{Instance, Random, Sink};

const SEED: u64 = 20;
/// Streams for each socket.
const STREAMS: u64 = 14;
/// Sessions with the SMTP server.
const SESSIONS: u64 = 60;
/// After what time without a byte the client turns away.
const SILENCE: Duration = Duration::from_secs(2);

/// Names that the internal protocols use, so that nonsense gets past the first check.
const NAMES: &[&str] = &[
    "protocol",
    "request",
    "rule",
    "address",
    "sender",
    "flags",
    "queue_name",
    "queue_id",
    "nrequest",
    "offset",
    "size",
    "nexthop",
    "encoding",
    "envelope_id",
    "ret_flags",
    "recipient",
    "original_recipient",
    "status",
    "reason",
    "action",
    "table",
    "key",
    "ident",
    "type",
    "seed",
    "site",
    "label",
    "ttl",
    "count",
    "time",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    "rewrite",
    "resolve",
    "local",
    "lookup",
    "connect",
    "disconnect",
    "update",
    "query",
    "add",
    "send",
    "refresh",
    "purge",
    "deferred",
    "active",
    "../../etc/passwd",
    "7F00012345",
    "alice@example.test",
    "inline:{a=b}",
    "@",
    "\"",
    "<>",
];

fn instance() -> Instance {
    Instance::started(
        "service_throttle_time = 1s\n\
         ipc_timeout = 5s\n\
         smtpd_error_sleep_time = 0\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_timeout = 5s\n",
        "",
    )
}

/// Mail by both ways in, to a mailbox and as a notice.
fn still_works(instance: &Instance, mark: &str) {
    let reply = instance.smtp().send(
        "alice@example.test",
        &["bob@example.test"],
        &format!("Subject: {mark}\n\nx\n"),
    );
    assert!(reply.queue_id().is_some(), "{reply:?}");
    instance.wait_mail("bob", mark);
    instance.sendmail(
        &["-f", "alice@example.test", "nobody@example.test"],
        &format!("Subject: {mark} unknown\n\nx\n"),
    );
    instance.wait_mail("alice", &format!("{mark} unknown"));
    instance.succeed("postqueue", &["-p"]);
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn sockets_take_nonsense() {
    let instance = instance();
    let master = instance.master().expect("a master");
    let sockets = sockets(&instance);
    assert!(sockets.len() > 15, "{sockets:?}");
    thread::scope(|scope| {
        for (number, socket) in (0..).zip(&sockets) {
            scope.spawn(move || {
                for stream in 0..STREAMS {
                    let mut random = Random::new(SEED + 1000 * number + stream);
                    poke(socket, &nonsense(&mut random, stream));
                }
            });
        }
    });
    still_works(&instance, "after nonsense at the sockets");
    assert_eq!(instance.master(), Some(master));
}

fn sockets(instance: &Instance) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["private", "public"]
        .iter()
        .flat_map(|name| fs::read_dir(instance.file("spool").join(name)))
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Sends the bytes, says that there is no more, and hears the server out.
fn poke(socket: &Path, bytes: &[u8]) {
    if socket.ends_with("postlog") {
        let sender = UnixDatagram::unbound().expect("a socket");
        for part in bytes.chunks(2000) {
            let _ = sender.send_to(part, socket);
        }
        return;
    }
    let Ok(mut stream) = UnixStream::connect(socket) else {
        panic!("nobody listens at {}", socket.display());
    };
    stream
        .set_read_timeout(Some(SILENCE))
        .expect("a time limit");
    stream
        .set_write_timeout(Some(SILENCE))
        .expect("a time limit");
    // A server that hangs up early is in its right.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
}

fn nonsense(random: &mut Random, kind: u64) -> Vec<u8> {
    match kind {
        0 => Vec::new(),
        1 => vec![0; 10],
        2 => random.bytes(5000),
        3 => vec![b'a'; 300_000],
        4 => b"name\0value\0".repeat(20_000),
        _ => attributes(random),
    }
}

/// A list of attributes that may end anywhere, sometimes with a changed byte.
fn attributes(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(25) {
        bytes.extend_from_slice(NAMES[random.below(NAMES.len())].as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(VALUES[random.below(VALUES.len())].as_bytes());
        bytes.push(0);
    }
    bytes.push(0);
    match random.below(3) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let place = random.below(bytes.len());
            bytes[place] ^= 1 << random.below(8);
        }
        _ => {}
    }
    bytes
}

#[test]
fn the_smtp_server_takes_nonsense() {
    let instance = instance();
    let port = instance.port();
    thread::scope(|scope| {
        for lane in 0..4 {
            scope.spawn(move || {
                for session in 0..SESSIONS / 4 {
                    let mut random = Random::new(SEED + lane * SESSIONS + session);
                    speak(port, &dialogue(&mut random));
                }
            });
        }
    });
    still_works(&instance, "after nonsense by SMTP");
}

fn speak(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream
        .set_read_timeout(Some(SILENCE))
        .expect("a time limit");
    stream
        .set_write_timeout(Some(SILENCE))
        .expect("a time limit");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
}

const LINES: &[&str] = &[
    "EHLO c.example.test",
    "HELO [127.0.0.1",
    "MAIL FROM:<alice@example.test>",
    "MAIL FROM:<@a,@b:c@d> SIZE=-1 BODY=9BIT RET=X ENVID=++",
    "RCPT TO:<bob@example.test>",
    "RCPT TO:<\"a b\\\"@example.test> NOTIFY=NEVER,FAILURE ORCPT=x",
    "DATA",
    "BDAT 10",
    "BDAT 99999999999999999999 LAST",
    "BDAT -1",
    "RSET",
    "VRFY <<>>",
    "ETRN #x",
    "STARTTLS",
    "AUTH PLAIN =",
    "XCLIENT NAME=x",
    "NOOP",
    "HELP",
    "\u{0}\u{1}\u{2}",
    ".",
];

/// Lines that are almost right, raw bytes, and very long lines.
fn dialogue(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(40) {
        match random.below(10) {
            0 => {
                let count = random.below(3000);
                bytes.extend_from_slice(&random.bytes(count));
            }
            1 => bytes.extend_from_slice(&vec![b'x'; random.below(100_000)]),
            _ => bytes.extend_from_slice(LINES[random.below(LINES.len())].as_bytes()),
        }
        bytes.extend_from_slice([b"\r\n".as_slice(), b"\n", b"\r", b"\r\n"][random.below(4)]);
    }
    if random.below(3) == 0 && !bytes.is_empty() {
        let place = random.below(bytes.len());
        bytes[place] ^= 1 << random.below(8);
    }
    bytes
}

/// A next hop that babbles is a reason to try later or to return the mail, never to break.
#[test]
fn the_smtp_client_takes_nonsense() {
    let mut random = Random::new(SEED);
    let babble: String = (0..2000)
        .map(|_| char::from(b' ' + u8::try_from(random.below(94)).unwrap_or(0)))
        .collect();
    let scripts: Vec<(&str, String)> = vec![
        ("CONNECT", babble.clone()),
        ("CONNECT", "220".to_owned()),
        ("CONNECT", "220-\r\n".repeat(2000) + "220 x"),
        ("EHLO", babble.clone()),
        ("EHLO", "250-PIPELINING\r\n999 \u{0}".to_owned()),
        ("MAIL", "250".to_owned() + &"x".repeat(100_000)),
        ("RCPT", babble.clone()),
        ("DATA", "250 what".to_owned()),
        (".", babble),
    ];
    let sinks: Vec<Sink> = scripts
        .iter()
        .map(|(verb, reply)| Sink::start(&[(verb, reply)]))
        .collect();
    let routes: String = sinks
        .iter()
        .enumerate()
        .map(|(number, sink)| format!("{{hop{number}.test = smtp:[127.0.0.1]:{}}} ", sink.port()))
        .collect();
    let limits = "smtp_helo_timeout = 2s\nsmtp_mail_timeout = 2s\nsmtp_rcpt_timeout = 2s\n\
        smtp_data_init_timeout = 2s\nsmtp_data_done_timeout = 2s\nsmtp_rset_timeout = 2s\nsmtp_quit_timeout = 2s\n";
    let instance = Instance::started(
        &format!("transport_maps = inline:{{ {routes} }}\n{limits}"),
        "",
    );
    let mut client = instance.smtp();
    for number in 0..sinks.len() {
        let to = format!("u@hop{number}.test");
        let reply = client.send("alice@example.test", &[&to], "Subject: x\n\nx\n");
        assert!(reply.queue_id().is_some(), "{reply:?}");
    }
    for number in 0..sinks.len() {
        instance.wait_log_all(&[&format!("to=<u@hop{number}.test>"), "status="]);
    }
    still_works(&instance, "after babbling next hops");
}

/// A service of one process, a request with its answer's first bytes, and where a client may stop.
const LONE_SERVICES: &[(&str, &[u8], &[u8])] = &[
    (
        "verify",
        b"request\0update\0address\0a@b.test\0recipient_status\x000\0reason\0ok\0\0",
        b"status\x000\0",
    ),
    (
        "scache",
        b"request\0find_dest\0label\0nowhere\0\0",
        b"status\x002\0",
    ),
    ("tlsmgr", b"request\0seed\0size\x008\0\0", b"status\x000\0"),
    (
        "anvil",
        b"request=lookup\nident=smtp:192.0.2.1\n\n",
        b"status=0\n",
    ),
];

/// A client of a service, past the announcement.
fn client_of(instance: &Instance, service: &str) -> UnixStream {
    let socket = instance.file("spool/private").join(service);
    let mut stream = UnixStream::connect(&socket).expect("a service");
    stream
        .set_read_timeout(Some(Duration::from_secs(100)))
        .expect("a time limit");
    let mut announced = Vec::new();
    while !announced.ends_with(b"\0\0") && !announced.ends_with(b"\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an announcement");
        announced.extend_from_slice(&byte);
    }
    stream
}

#[track_caller]
fn asks(stream: &mut UnixStream, request: &[u8], want: &[u8]) {
    stream.write_all(request).expect("room for a request");
    let mut answer = vec![0; want.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, want);
}

/// Programs with a single process for everybody do not wait for one client.
#[test]
fn a_client_that_stops_in_the_middle_holds_up_nobody() {
    let instance = Instance::started("ipc_timeout = 1000s\n", "");
    for (service, request, want) in LONE_SERVICES {
        let mut stopped = Vec::new();
        // A wakeup of tlsmgr is at most two bytes.
        for length in [3, request.len() / 2, request.len() - 1] {
            let mut stream = client_of(&instance, service);
            stream.write_all(&request[..length]).expect("room");
            stopped.push((stream, length));
        }
        let mut other = client_of(&instance, service);
        asks(&mut other, request, want);
        for (mut stream, length) in stopped {
            asks(&mut stream, &request[length..], want);
        }
    }
    // A client of scache that does not take, or give, the connection.
    let save = b"request\0save_endp\0ttl\x0060\0label\0l\0property\0p\0\0";
    let mut saving = client_of(&instance, "scache");
    asks(&mut saving, save, b"dummy\0\0\0");
    let find = b"request\0find_endp\0label\0l\0\0";
    let mut other = client_of(&instance, "scache");
    asks(&mut other, find, b"status\x002\0");
}

/// What has begun must end within ipc_timeout, and silence between requests may last.
#[test]
fn a_client_that_stops_in_the_middle_is_given_up() {
    let instance = Instance::started("ipc_timeout = 1s\n", "");
    for (service, request, want) in LONE_SERVICES {
        let mut silent = client_of(&instance, service);
        let mut stopped = client_of(&instance, service);
        stopped.write_all(&request[..3]).expect("room");
        let mut rest = Vec::new();
        stopped.read_to_end(&mut rest).expect("the end");
        assert_eq!(rest, b"", "{service}");
        instance.wait_log_all(&[service, "warning: timeout on ", " socket while reading "]);
        asks(&mut silent, request, want);
    }
    let mut saving = client_of(&instance, "scache");
    let save = b"request\0save_endp\0ttl\x0060\0label\0l\0property\0p\0\0";
    asks(&mut saving, save, b"dummy\0\0\0");
    saving.read_to_end(&mut Vec::new()).expect("the end");
}

/// What a client sends without end is not kept without end.
#[test]
fn a_request_without_end_is_cut_off() {
    let instance = Instance::started("", "");
    for (service, _, _) in LONE_SERVICES {
        let mut stream = client_of(&instance, service);
        stream
            .set_write_timeout(Some(Duration::from_secs(100)))
            .expect("a time limit");
        let mut sent = 0;
        while stream.write_all(&[b'x'; 65536]).is_ok() {
            sent += 65536;
            assert!(sent < 16 << 20, "{service} takes everything");
        }
        instance.wait_log_all(&[service, "more than ", " bytes in a"]);
    }
}
