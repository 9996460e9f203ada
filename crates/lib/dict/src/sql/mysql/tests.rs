//! Servers that do not behave, and what `hosts` means.

use super::*;
use crate::sql::pool::{Failure, Session};
use bstr::B;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use mysql_common::scramble::scramble_sha256;

use super::packets::{Greeting, Packets, Reply};
use postern_wire::Channel;
use proptest::prelude::*;

/// A greeting of protocol 10 without encryption, from server 5.5.5.
fn greeting() -> Vec<u8> {
    greeting_for("mysql_native_password")
}

fn greeting_for(plugin: &str) -> Vec<u8> {
    let mut body = b"\x0a5.5.5\0\x01\0\0\0abcdefgh\0".to_vec();
    // Capabilities (PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH), charset, status, length of the nonce.
    body.extend_from_slice(b"\x08\x82\x2d\x02\0\x08\0\x15");
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(b"ijklmnopqrst\0");
    body.extend_from_slice(plugin.as_bytes());
    body.push(0);
    packet(0, &body)
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = u16::try_from(body.len()).unwrap().to_le_bytes();
    [&[low, high, 0, sequence], body].concat()
}

/// Reads one packet of a client.
fn skip(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(u16::from_le_bytes([header[0], header[1]]))];
    stream.read_exact(&mut body).unwrap();
    body
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// Connects to a server that does what `behave` says, with short limits, and asks one question.
fn ask(behave: impl FnOnce(TcpStream) + Send + 'static) -> Result<Vec<Cell>, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || behave(listener.accept().unwrap().0));
    let limit = Duration::from_millis(500);
    let login = Login {
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        charset: "utf8mb4".to_owned(),
        init: Vec::new(),
        tls: None,
        table: "mysql:t".to_owned(),
        require_result_set: true,
        limits: Limits {
            connect: limit,
            answer: limit,
        },
    };
    let target = Target {
        place: Place::Inet("127.0.0.1".to_owned(), port),
        login: Arc::new(login),
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

/// Lets the client in.
fn welcome(stream: &mut TcpStream) {
    stream.write_all(&greeting()).unwrap();
    skip(stream);
    stream.write_all(&packet(2, OK)).unwrap();
    assert_eq!(skip(stream), b"\x03SELECT 'k'");
}

/// Waits until the client has gone.
fn wait(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn servers_that_say_nothing_or_little_cost_their_limit_and_no_more() {
    const LOGIN: &str = "connect to mysql server h: Lost connection to server at \
        'reading initial communication packet', system error: 110";
    assert_eq!(ask(wait), Err(Failure::Lost(LOGIN.to_owned())));
    let drip = |mut stream: TcpStream| {
        for byte in greeting() {
            std::thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    };
    assert_eq!(ask(drip), Err(Failure::Lost(LOGIN.to_owned())));
    let silent = |mut stream: TcpStream| {
        welcome(&mut stream);
        wait(stream);
    };
    const QUERY: &str = "mysql:t: query failed: Lost connection to server during query";
    assert_eq!(ask(silent), Err(Failure::Late(QUERY.to_owned())));
    let gone = |mut stream: TcpStream| welcome(&mut stream);
    assert_eq!(ask(gone), Err(Failure::Lost(QUERY.to_owned())));
}

#[test]
fn answers_that_are_none_are_failures() {
    #[rustfmt::skip]
    let cases: &[(&[&[u8]], &str)] = &[
        (&[b""], "Malformed packet"), (&[b"\xfb/etc/passwd"], "Malformed packet"), (&[b"\0"], "Malformed packet"),
        (&[b"\x01", b"column", b"no end"], "Malformed packet"),
        (&[b"\x01", b"column", b"\xfe\0\0\x02\0", b"\x05ab"], "Malformed packet"),
        (&[b"\xff\x15\x04#28000no way"], "no way"), (&[b"\xff"], ""),
        (&[b"\x01", b"column", b"\xfe\0\0\x02\0", b"\xff\x15\x04#28000late"], "late"),
        (&[b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01"], "Lost connection to server during query"),
    ];
    for (packets, want) in cases {
        let stream: Vec<u8> = packets
            .iter()
            .zip(1..)
            .flat_map(|(body, number)| packet(number, body))
            .collect();
        let answer = ask(move |mut client| {
            welcome(&mut client);
            client.write_all(&stream).unwrap();
        });
        let text = format!("mysql:t: query failed: {want}");
        match answer.unwrap_err() {
            Failure::Refused(found) | Failure::Spoilt(found) | Failure::Lost(found) => {
                assert_eq!(found, text)
            }
            other => panic!("{other:?}"),
        }
    }
    let good = ask(|mut client| {
        welcome(&mut client);
        for (number, body) in (1..).zip([
            B(b"\x02"),
            b"c1",
            b"c2",
            b"\xfe\0\0\x02\0",
            b"\x01a\xfb",
            b"\xfe\0\0\x02\0",
        ]) {
            client.write_all(&packet(number, body)).unwrap();
        }
        wait(client);
    });
    assert_eq!(good, Ok(vec![Some(BString::from("a")), None]));
}

/// The client's password, as the owner of `key` reads it.
fn unseal(key: &PrivateDecryptingKey, sealed: &[u8]) -> Vec<u8> {
    let key = OaepPrivateDecryptingKey::new(key.clone()).unwrap();
    let mut room = vec![0; key.min_output_size()];
    let mixed = key
        .decrypt(&OAEP_SHA1_MGF1SHA1, sealed, &mut room, None)
        .unwrap();
    let nonce = b"abcdefghijklmnopqrst";
    mixed
        .iter()
        .zip(nonce.iter().cycle())
        .map(|(a, b)| a ^ b)
        .collect()
}

/// The public half of `key`, as a server shows it.
fn public_pem(key: &PrivateDecryptingKey) -> Vec<u8> {
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, public.as_ref());
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| line.to_str().unwrap())
        .collect();
    format!(
        "\x01-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
    .into_bytes()
}

#[test]
fn passwords_for_sha256_password_are_sealed() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = public_pem(&key);
    let switch = packet(2, b"\xfesha256_password\0abcdefghijklmnopqrst\0");
    let denied = packet(6, b"\xff\x15\x04#28000sealed");
    let request = switch.clone();
    let wanted = ask(move |mut client| {
        client.write_all(&greeting()).unwrap();
        skip(&mut client);
        client.write_all(&request).unwrap();
        assert_eq!(skip(&mut client), [1]);
        client.write_all(&packet(4, &pem)).unwrap();
        assert_eq!(unseal(&key, &skip(&mut client)), b"p\0");
        client.write_all(&denied).unwrap();
        wait(client);
    });
    let failed = |why: &str| Err(Failure::Lost(format!("connect to mysql server h: {why}")));
    assert_eq!(wanted, failed("sealed"));
    // A key that is none, and a second one.
    for key in [&b"\x01no key"[..], b"\x01"] {
        let (request, answer) = (switch.clone(), packet(4, key));
        let wanted = ask(move |mut client| {
            client.write_all(&greeting()).unwrap();
            skip(&mut client);
            client.write_all(&request).unwrap();
            skip(&mut client);
            client.write_all(&answer).unwrap();
            wait(client);
        });
        assert_eq!(wanted, failed("Malformed packet"));
    }
}

#[test]
fn passwords_for_mysql_8_are_proved_or_sealed() {
    let known = ask(|mut client| {
        client
            .write_all(&greeting_for("caching_sha2_password"))
            .unwrap();
        let response = skip(&mut client);
        let proof = scramble_sha256(b"abcdefghijklmnopqrst", b"p").unwrap();
        assert!(response.contains_str(proof));
        client.write_all(&packet(2, &[1, 3])).unwrap();
        client.write_all(&packet(3, OK)).unwrap();
        skip(&mut client);
        client
            .write_all(&packet(1, b"\xff\x15\x04#28000known"))
            .unwrap();
    });
    assert_eq!(
        known,
        Err(Failure::Refused("mysql:t: query failed: known".to_owned()))
    );
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = public_pem(&key);
    let wanted = ask(move |mut client| {
        client
            .write_all(&greeting_for("mysql_native_password"))
            .unwrap();
        skip(&mut client);
        client
            .write_all(&packet(
                2,
                b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0",
            ))
            .unwrap();
        assert_eq!(skip(&mut client).len(), 32);
        client.write_all(&packet(4, &[1, 4])).unwrap();
        assert_eq!(skip(&mut client), [2]);
        client.write_all(&packet(6, &pem)).unwrap();
        let sealed = skip(&mut client);
        assert_eq!(unseal(&key, &sealed), b"p\0");
        client.write_all(&packet(8, OK)).unwrap();
        skip(&mut client);
        client
            .write_all(&packet(1, b"\xff\x15\x04#28000sealed"))
            .unwrap();
    });
    assert_eq!(
        wanted,
        Err(Failure::Refused("mysql:t: query failed: sealed".to_owned()))
    );
    // Nobody gets the password itself on an open line.
    let greedy = ask(|mut client| {
        client.write_all(&greeting()).unwrap();
        skip(&mut client);
        client
            .write_all(&packet(2, b"\xfemysql_clear_password\0"))
            .unwrap();
        wait(client);
    });
    let text =
        "connect to mysql server h: Authentication plugin 'mysql_clear_password' cannot be loaded";
    assert_eq!(greedy, Err(Failure::Lost(text.to_owned())));
}

#[test]
fn greetings_that_are_none_are_failures() {
    let too_long = [0xff, 0xff, 0x7f, 0];
    #[rustfmt::skip]
    let cases: [(&[u8], &str); 5] = [
        (&packet(0, b"\xff\x10\x04Too many connections"), "Too many connections"),
        (&packet(0, b"\x0a5.5"), "Malformed packet"), (&packet(0, b""), "Malformed packet"),
        (&too_long, "Got packet bigger than 'max_allowed_packet' bytes"),
        (b"", "Lost connection to server at 'reading initial communication packet', system error: 0"),
    ];
    for (bytes, want) in cases {
        let bytes = bytes.to_vec();
        let answer = ask(move |mut client| client.write_all(&bytes).unwrap());
        let text = format!("connect to mysql server h: {want}");
        assert_eq!(answer, Err(Failure::Lost(text)));
    }
}

#[test]
fn hosts_are_sockets_names_and_addresses() {
    let inet = |host: &str, port| Server::Inet(host.to_owned(), port);
    #[rustfmt::skip]
    let cases = [
        ("unix:/run/x", Server::Socket("/run/x".to_owned())), ("localhost", Server::Local(None)), ("inet:localhost:33", Server::Local(Some(33))),
        ("db", inet("db", None)), ("inet:db:33", inet("db", Some(33))), ("[::1]:33", inet("::1", Some(33))),
    ];
    for (text, want) in cases {
        assert_eq!(server(text), Ok(want), "{text}");
    }
    assert_eq!(servers(" a:1, b ").unwrap().len(), 2);
    assert_eq!(
        servers("").unwrap(),
        [("localhost".to_owned(), Server::Local(None))]
    );
}

#[test]
fn a_host_of_an_option_file_takes_the_place_of_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my.cnf");
    let socket = |path: &str| Place::Socket(path.to_owned());
    let inet = |host: &str, port| Place::Inet(host.to_owned(), port);
    #[rustfmt::skip]
    let cases = [
        // The option, a server of `hosts`, where to connect.
        ("db",        "localhost",       inet("db", 7)),
        ("db",        "inet:localhost:5", inet("db", 5)),
        ("db",        "unix:/u",         inet("db", 7)),
        ("db",        "other",           inet("other", 7)),
        ("db",        "other:9",         inet("other", 9)),
        ("localhost", "localhost",       socket("/s")),
        ("localhost", "unix:/u",         socket("/u")),
        ("",          "localhost",       socket("/s")),
    ];
    for (host, text, want) in cases {
        let options = format!("[client]\nhost={host}\nport=7\nsocket=/s\n");
        std::fs::write(&file, options).unwrap();
        let options = option_file::Options::read(file.to_str(), "client");
        assert_eq!(server(text).unwrap().place(&options), want, "{host} {text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_of_a_server_are_a_reply_or_an_error(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
        rest: Vec<u8>,
    ) {
        let (client, mut server) = UnixStream::pair().unwrap();
        for body in &bodies {
            server.write_all(&packet(1, body)).unwrap();
        }
        server.write_all(&rest).unwrap();
        drop(server);
        let mut packets = Packets::new(Channel::new(client.into()));
        let mut room = 1000;
        while let Ok(reply) = packets.reply() {
            if let Reply::Rows(columns) = reply
                && packets.rows(columns, &mut room, &mut Vec::new()).is_err()
            {
                break;
            }
        }
    }

    #[test]
    fn any_greeting_is_one_or_not(tail in proptest::collection::vec(any::<u8>(), 0..60)) {
        let body = [b"\x0a5.5\0", tail.as_slice()].concat();
        let _ = Greeting::parse(&body);
        let _ = Greeting::parse(&tail);
    }
}

#[test]
fn option_files_ask_for_encryption_as_with_the_client_library() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.cnf");
    let config = Config::from_text("x_dbname = d\n").unwrap();
    let settings = settings(&ClientConfig::open(&config, "x").unwrap()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("user=a", None), ("ssl-verify-server-cert", None), ("ssl-verify-server-cert=1", Some(Check::ChainAndName)),
        ("ssl-cipher=HIGH", Some(Check::Nothing)), ("ssl-ca=/ca", Some(Check::Chain)), ("tls_ca=/ca", Some(Check::Chain)),
        ("ssl-ca=/ca\nssl-verify-server-cert", Some(Check::ChainAndName)), ("ssl", Some(Check::Nothing)),
        ("ssl\nssl-verify-server-cert", Some(Check::Nothing)), ("ssl=0", None), ("ssl\nskip-ssl", None),
        ("ssl-enforce=1", Some(Check::Nothing)),
    ];
    for (text, want) in cases {
        std::fs::write(&path, format!("[client]\n{text}\n")).unwrap();
        let options = option_file::Options::read(path.to_str(), "");
        let found = tls(&settings, &options).map(|(_, check)| check);
        assert_eq!(found, want, "{text}");
    }
    for (text, want) in [
        ("3399x", Some(3399)),
        ("x", None),
        ("0", None),
        ("99999", None),
    ] {
        assert_eq!(leading_number(text), want, "{text}");
    }
}
