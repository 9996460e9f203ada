//! Servers that do not behave, and what `hosts` means.

use super::*;
use crate::sql::pool::{Failure, Session};
use bstr::ByteSlice;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

/// Reads one message; the first has no tag.
fn skip(stream: &mut TcpStream, has_tag: bool) -> Vec<u8> {
    let mut header = vec![0; 4 + usize::from(has_tag)];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes(*header.last_chunk().unwrap());
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Connects to a server that does what `behave` says, with short limits, and asks one question.
fn ask(behave: impl FnOnce(TcpStream) + Send + 'static) -> Result<Vec<Cell>, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || behave(listener.accept().unwrap().0));
    let limit = Duration::from_millis(300);
    let login = Login {
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        encoding: "UTF8".to_owned(),
    };
    let place = Place::Inet("127.0.0.1".to_owned(), port);
    let mut target = target("h", Ok(vec![place]), &login);
    target.ssl_mode = SslMode::Disable;
    target.limits = Limits {
        connect: limit,
        answer: limit,
    };
    let begin = Instant::now();
    let result = Connection::connect(&target, "h")
        .map_err(Failure::Lost)
        .and_then(|mut connection| {
            let query = Template::query("t", BStr::new("SELECT '%s'")).unwrap();
            connection.query(&query, BStr::new("k"))
        });
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    server.join().unwrap();
    result
}

/// Lets the client in and takes its question.
fn welcome(stream: &mut TcpStream) {
    let start = skip(stream, false);
    assert!(start.ends_with(b"user\0u\0database\0d\0\0") || start.contains_str("database\0d\0"));
    stream.write_all(&message(b'R', &[0; 4])).unwrap();
    stream
        .write_all(&message(b'S', b"standard_conforming_strings\0on\0"))
        .unwrap();
    stream.write_all(&message(b'Z', b"I")).unwrap();
    assert_eq!(skip(stream, true), b"SET client_encoding TO 'UTF8'\0");
    stream.write_all(&message(b'C', b"SET\0")).unwrap();
    stream.write_all(&message(b'Z', b"I")).unwrap();
    assert_eq!(skip(stream, true), b"SELECT 'k'\0");
}

/// Waits until the client has gone.
fn wait(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The end of what the failure says.
fn assert_ends(answer: Result<Vec<Cell>, Failure>, want: &str) {
    match answer.unwrap_err() {
        Failure::Refused(text)
        | Failure::Spoilt(text)
        | Failure::Lost(text)
        | Failure::Late(text) => {
            assert!(text.ends_with(want), "{text} {want}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_that_say_nothing_or_go_cost_their_limit_and_no_more() {
    assert_ends(ask(wait), " failed: timeout expired\n");
    let silent = |mut stream: TcpStream| {
        welcome(&mut stream);
        wait(stream);
    };
    let late = "pgsql query failed: fatal error from host h: timeout expired\n";
    assert_eq!(ask(silent), Err(Failure::Late(late.to_owned())));
    assert_ends(
        ask(|mut stream| welcome(&mut stream)),
        "before or while processing the request.\n",
    );
}

#[test]
fn answers_that_are_none_are_failures() {
    #[rustfmt::skip]
    let cases: [(Vec<u8>, &str); 6] = [
        (message(b'D', b"\0\x01\0\0\0\x05ab"), "protocol error, host h"), (message(b'?', b""), "protocol error, host h"),
        (b"D\0\0\0\0".to_vec(), "lost synchronization with server\n"), (b"D\xff\xff\xff\xff".to_vec(), "lost synchronization with server\n"),
        ([message(b'T', b"\0\0"), b"D\x40\0\0\x04".to_vec()].concat(), "the answer is too large\n"),
        ([message(b'E', b"SERROR\0Mno\0\0"), message(b'Z', b"I")].concat(), "fatal error from host h: ERROR:  no\n"),
    ];
    for (bytes, want) in cases {
        let answer = ask(move |mut stream| {
            welcome(&mut stream);
            stream.write_all(&bytes).unwrap();
            wait(stream);
        });
        assert_ends(answer, want);
    }
}

#[test]
fn logins_that_cannot_be_are_refused() {
    #[rustfmt::skip]
    let cases: [(Vec<u8>, &str); 6] = [
        (message(b'R', &[0, 0, 0, 7]), "authentication method 7 not supported\n"), (message(b'R', &[0]), "lost synchronization with server\n"),
        (message(b'R', b"\0\0\0\x0aOTHER\0\0"), "none of the server's SASL authentication mechanisms are supported\n"),
        (message(b'R', b"\0\0\0\x0br=x,s=y,i=9"), "lost synchronization with server\n"),
        (message(b'E', b"SFATAL\0Mgo away\0\0"), "failed: FATAL:  go away\n"), (message(b'!', b""), "lost synchronization with server\n"),
    ];
    for (bytes, want) in cases {
        let answer = ask(move |mut stream| {
            skip(&mut stream, false);
            stream.write_all(&bytes).unwrap();
            wait(stream);
        });
        assert_ends(answer, want);
    }
    // A server that lets us in without its own proof.
    let impostor = ask(|mut stream| {
        skip(&mut stream, false);
        stream
            .write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
            .unwrap();
        skip(&mut stream, true);
        stream.write_all(&message(b'R', &[0; 4])).unwrap();
        wait(stream);
    });
    assert_ends(
        impostor,
        "server did not prove that it knows the password\n",
    );
    // A server that wants our time.
    let greedy = ask(|mut stream| {
        skip(&mut stream, false);
        stream
            .write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
            .unwrap();
        let first = skip(&mut stream, true);
        let at = first.find("r=").unwrap() + 2;
        let nonce = first[at..].to_vec();
        let reply = [
            b"\0\0\0\x0br=",
            nonce.as_slice(),
            b"x,s=c2FsdA==,i=4000000000",
        ]
        .concat();
        stream.write_all(&message(b'R', &reply)).unwrap();
        wait(stream);
    });
    assert_ends(greedy, "invalid SCRAM response (iteration count)\n");
}

#[test]
fn hosts_are_directories_names_addresses_and_uris() {
    let inet = |host: &str, port| vec![Place::Inet(host.to_owned(), port)];
    let socket = |path: &str| vec![Place::Socket(path.to_owned())];
    #[rustfmt::skip]
    let cases = [
        ("unix:/run/pg", Class::Unix, socket("/run/pg/.s.PGSQL.5432")), ("/run/pg", Class::Unix, socket("/run/pg/.s.PGSQL.5432")),
        ("db", Class::Inet, inet("db", 5432)), ("inet:db:33", Class::Inet, inet("db", 33)), ("[::1]:33", Class::Inet, inet("::1", 33)),
    ];
    for (text, class, want) in cases {
        assert_eq!(place(text), (class, Ok(want)), "{text}");
    }
    assert!(place("db:x").1.is_err());
    let login = Login {
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        encoding: "UTF8".to_owned(),
    };
    let target = target("postgresql://me@db/x?port=7", Ok(Vec::new()), &login);
    assert_eq!(target.places, Ok(inet("db", 7)));
    assert_eq!(
        (target.user, target.password, target.database),
        ("me".into(), "".into(), "x".into())
    );
}
