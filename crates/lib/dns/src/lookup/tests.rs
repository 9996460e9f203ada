//! Lookups against a name server in this process.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use super::*;
use crate::hosts::{Families, HostErrorKind, NameStatus};
use crate::wire::tests::reply;

/// Question as seen by the server: name and type number.
fn question(query: &[u8]) -> (String, u16) {
    let mut name = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        name.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (
        name.join("."),
        u16::from_be_bytes([query[at + 1], query[at + 2]]),
    )
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn mx(preference: u16, name: &str) -> Vec<u8> {
    [&preference.to_be_bytes()[..], &wire_name(name)].concat()
}

const OWNER: &[u8] = &[0xc0, 12];

fn answer(query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let (name, rtype) = question(query);
    Some(match (name.as_str(), rtype) {
        ("ok.test", 15) => reply(
            query,
            0x20,
            &[
                (OWNER, 15, 60, mx(10, "mx.ok.test")),
                (OWNER, 15, 60, mx(5, "192.0.2.7")),
            ],
        ),
        ("null.test", 15) => reply(query, 0, &[(OWNER, 15, 60, mx(0, ""))]),
        ("bad.test", 15) => reply(query, 0, &[(OWNER, 15, 60, mx(0, "a b"))]),
        ("big.test", 15) if !tcp => reply(query, 0x200, &[]),
        ("big.test", 15) => reply(query, 0, &[(OWNER, 15, 60, mx(1, "tcp.test"))]),
        ("alias.test", 1) => reply(query, 0, &[(OWNER, 5, 60, wire_name("host.test"))]),
        ("loop.test", 1) => reply(query, 0, &[(OWNER, 5, 60, wire_name("loop.test"))]),
        ("host.test" | "short.search.test", 1) => {
            reply(query, 0, &[(OWNER, 1, 60, vec![192, 0, 2, 1])])
        }
        ("1.2.0.192.in-addr.arpa", 12) => {
            reply(query, 0, &[(OWNER, 12, 60, wire_name("host.test"))])
        }
        ("2.2.0.192.in-addr.arpa", 12) => {
            reply(query, 0, &[(OWNER, 12, 60, wire_name("host.test"))])
        }
        ("3.2.0.192.in-addr.arpa", 12) => {
            reply(query, 0, &[(OWNER, 12, 60, wire_name("none.test"))])
        }
        ("refused.test", _) => reply(query, 5, &[]),
        ("servfail.test", _) => reply(query, 2, &[]),
        ("formerr.test", _) => reply(query, 1, &[]),
        ("silent.test", _) => return None,
        ("host.test" | "alias.test", _) => reply(query, 0, &[]),
        _ => reply(query, 3, &[]),
    })
}

fn resolver() -> Resolver {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let server = udp.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 600];
        while let Ok((len, peer)) = udp.recv_from(&mut buffer) {
            if let Some(reply) = answer(&buffer[..len], false) {
                udp.send_to(b"noise", peer).unwrap();
                udp.send_to(&reply, peer).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut size = [0; 2];
            stream.read_exact(&mut size).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(size))];
            stream.read_exact(&mut query).unwrap();
            let reply = answer(&query, true).unwrap();
            stream
                .write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes())
                .unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
    let conf = ResolvConf {
        servers: vec![server],
        timeout: Duration::from_millis(200),
        attempts: 1,
        search: vec!["search.test".into()],
        ..ResolvConf::default()
    };
    Resolver::with(conf, Path::new("/nonexistent/hosts"))
}

#[test]
fn every_outcome_has_its_class_and_text() {
    let resolver = resolver();
    let host = "Host or domain name not found. Name service error for";
    #[rustfmt::skip]
    let cases: &[(&str, Type, ErrorKind, String)] = &[
        ("none.test", Type::Mx, ErrorKind::NotFound, format!("{host} name=none.test type=MX: Host not found")),
        ("host.test", Type::Mx, ErrorKind::NoData, format!("{host} name=host.test type=MX: Host found but no data record of requested type")),
        ("silent.test", Type::A, ErrorKind::Retry, format!("{host} name=silent.test type=A: Host not found, try again")),
        ("servfail.test", Type::A, ErrorKind::Retry, format!("{host} name=servfail.test type=A: Host not found, try again")),
        ("refused.test", Type::A, ErrorKind::Retry, format!("{host} name=refused.test type=A: Host not found, try again")),
        ("formerr.test", Type::Aaaa, ErrorKind::Fail, format!("{host} name=formerr.test type=AAAA: Non-recoverable error")),
        ("null.test", Type::Mx, ErrorKind::NullMx, "Domain null.test does not accept mail (nullMX)".into()),
        ("bad.test", Type::Mx, ErrorKind::Invalid, "Name service error for name=bad.test type=MX: Malformed or unexpected name server reply".into()),
        ("loop.test", Type::A, ErrorKind::NotFound, "Name server loop for loop.test".into()),
        ("a..b", Type::A, ErrorKind::NotFound, "Name service error for a..b: invalid host or domain name".into()),
    ];
    for (name, rtype, kind, text) in cases {
        let error = resolver
            .lookup(name, *rtype, Options::default())
            .unwrap_err();
        assert_eq!((error.kind, &error.text), (*kind, text), "{name}");
    }
}

#[test]
fn records_come_with_aliases_followed() {
    let resolver = resolver();
    let plain = Options::default();
    let found = resolver.lookup("ok.test", Type::Mx, plain).unwrap();
    assert_eq!(found.records.len(), 2);
    assert!(
        !found.authenticated,
        "the AD bit is not believed unless asked for"
    );
    assert!(
        resolver
            .lookup(
                "ok.test",
                Type::Mx,
                Options {
                    dnssec: true,
                    ..plain
                }
            )
            .unwrap()
            .authenticated
    );
    let tcp = resolver.lookup("big.test", Type::Mx, plain).unwrap();
    assert_eq!(
        tcp.records[0].data,
        Data::Mx {
            preference: 1,
            exchange: "tcp.test".into()
        }
    );
    let alias = resolver
        .addresses("alias.test", &[Type::A, Type::Aaaa], plain)
        .unwrap();
    assert_eq!(alias.canonical, "host.test");
    assert_eq!(
        (
            alias.records[0].queried.as_str(),
            alias.records[0].name.as_str()
        ),
        ("alias.test", "host.test")
    );
}

#[test]
fn the_last_type_names_the_failure_but_a_soft_one_wins() {
    let resolver = resolver();
    let types = Families::All.types();
    let error = resolver
        .addresses("none.test", types, Options::default())
        .unwrap_err();
    assert!(error.text.contains("type=AAAA: Host not found"), "{error}");
    assert_eq!(
        resolver
            .addresses("silent.test", types, Options::default())
            .unwrap_err()
            .kind,
        ErrorKind::Retry
    );
}

#[test]
fn native_lookups_use_the_search_list_and_libc_texts() {
    let resolver = resolver();
    assert_eq!(
        resolver.host("short", Families::Ipv4).unwrap(),
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        resolver.host("::1", Families::Ipv4).unwrap_err().kind,
        HostErrorKind::NoName
    );
    assert_eq!(
        resolver
            .host("none.test", Families::All)
            .unwrap_err()
            .to_string(),
        "Name or service not known"
    );
    let soft = resolver.host("servfail.test", Families::All).unwrap_err();
    assert_eq!(soft.to_string(), "Temporary failure in name resolution");
}

#[test]
fn a_client_name_must_lead_back() {
    let resolver = resolver();
    #[rustfmt::skip]
    let cases = [
        ("192.0.2.1", "host.test", "host.test", NameStatus::Ok, None),
        ("192.0.2.2", "unknown", "host.test", NameStatus::Forged, Some("hostname host.test does not resolve to address 192.0.2.2")),
        ("192.0.2.3", "unknown", "none.test", NameStatus::Forged, Some("hostname none.test does not resolve to address 192.0.2.3: Name or service not known")),
        ("192.0.2.4", "unknown", "unknown", NameStatus::Permanent, None),
    ];
    for (address, name, reverse, status, warning) in cases {
        let got = resolver.client_name(address.parse().unwrap(), Families::Ipv4);
        assert_eq!(
            (got.name.as_str(), got.reverse_name.as_str(), got.status),
            (name, reverse, status),
            "{address}"
        );
        assert_eq!(got.warning.as_deref(), warning, "{address}");
    }
}
