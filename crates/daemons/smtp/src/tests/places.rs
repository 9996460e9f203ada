//! Finding servers, with a name server in this process.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use postern_config::Config;
use postern_dns::{ResolvConf, Resolver};

use crate::addresses::{Finder, Found, NoTarget};
use crate::nexthop::Inet;
use crate::role::Role;
use crate::settings::{Settings, Tables};

/// The zone: name, type number, content; no content is SERVFAIL.
type Zone = &'static [(&'static str, u16, &'static [&'static str])];

const A: u16 = 1;
const MX: u16 = 15;
const SRV: u16 = 33;

#[rustfmt::skip]
const ZONE: Zone = &[
    ("one.test",    MX,  &["10 mx1.test", "20 mx2.test"]),
    ("mx1.test",    A,   &["192.0.2.1"]),
    ("mx2.test",    A,   &["192.0.2.2"]),
    ("own.test",    A,   &["127.0.0.1"]),
    ("first.test",  MX,  &["10 own.test", "20 mx2.test"]),
    ("backup.test", MX,  &["10 mx1.test", "20 own.test", "20 mx2.test", "30 mx2.test"]),
    ("dead.test",   MX,  &["10 gone.test", "20 own.test"]),
    ("soft.test",   MX,  &["10 fail.test", "20 gone.test"]),
    ("hard.test",   MX,  &["10 gone.test"]),
    ("half.test",   MX,  &["10 fail.test", "20 mx2.test"]),
    ("fail.test",   A,   &[]),
    ("failmx.test", MX,  &[]),
    ("failmx.test", A,   &["192.0.2.3"]),
    ("null.test",   MX,  &["0 ."]),
    ("bare.test",   A,   &["192.0.2.4"]),
    ("_submission._tcp.one.test",  SRV, &["20 0 26 mx2.test", "10 0 25 mx1.test"]),
    ("_submission._tcp.null.test", SRV, &["0 0 0 ."]),
];

fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn content(rtype: u16, text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split(' ').collect();
    if rtype == A {
        return text
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
            .octets()
            .to_vec();
    }
    let (numbers, name) = words.split_at(words.len() - 1);
    let numbers = numbers
        .iter()
        .flat_map(|word| word.parse::<u16>().unwrap().to_be_bytes());
    numbers.chain(wire(name.first().unwrap())).collect()
}

fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query.iter().skip(12).position(|b| *b == 0).unwrap();
    let rtype = u16::from_be_bytes([query[end + 1], query[end + 2]]);
    let of_name = |name: &str| wire(name) == query[12..=end];
    let known = ZONE.iter().any(|(name, ..)| of_name(name));
    let found = ZONE
        .iter()
        .find(|(name, kind, _)| of_name(name) && *kind == rtype);
    let mut out = query[..end + 5].to_vec();
    let records = found.map_or(&[][..], |(_, _, records)| *records);
    let code = match (known, found) {
        (_, Some(_)) if records.is_empty() => 2,
        (false, _) => 3,
        _ => 0,
    };
    out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    out[7] = u8::try_from(records.len()).unwrap();
    for record in records {
        let data = content(rtype, record);
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&rtype.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        out.extend_from_slice(&data);
    }
    out
}

fn resolver() -> Resolver {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = vec![socket.local_addr().unwrap()];
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..len]), peer);
        }
    });
    let conf = ResolvConf {
        servers,
        attempts: 1,
        timeout: Duration::from_secs(2),
        ..ResolvConf::default()
    };
    Resolver::with(conf, Path::new("/nonexistent"))
}

fn find(host: &str, service: &str, port: u16, main_cf: &str) -> Result<Found, NoTarget> {
    let text = format!(
        "myhostname = me.test\ninet_protocols = ipv4\ninet_interfaces = loopback-only\n{main_cf}"
    );
    let config = Config::from_text(&text).unwrap();
    let settings = Settings::new(&config, Role::Smtp, "smtp").unwrap();
    let mut tables = Tables::open(&config, Role::Smtp);
    let place = Inet {
        host: host.into(),
        port,
        service: service.into(),
        mx: true,
    };
    let resolver = resolver();
    let mut finder = Finder {
        routing: &settings.routing,
        resolver: &resolver,
        filter: &mut tables.dns_filter,
        detect_loop: true,
    };
    finder.find(&place)
}

/// `host/address` of each target, or status and text.
fn outcome(host: &str, main_cf: &str) -> String {
    match find(host, "smtp", 25, main_cf) {
        Ok(found) => {
            let targets: Vec<String> = found
                .targets
                .iter()
                .map(|target| format!("{}/{}", target.preference, target.address))
                .collect();
            format!(
                "{}{}",
                targets.join(" "),
                if found.found_self { " self" } else { "" }
            )
        }
        Err(none) => format!("{} {}", none.failure.dsn.status, none.failure.dsn.reason),
    }
}

#[test]
fn domains_lead_to_servers_or_reasons() {
    let host = "Host or domain name not found. Name service error for";
    #[rustfmt::skip]
    let cases: &[(&str, &str, String)] = &[
        ("one.test",    "", "10/192.0.2.1 20/192.0.2.2".into()),
        ("bare.test",   "", "0/192.0.2.4".into()),
        ("first.test",  "", "5.4.6 mail for first.test loops back to myself".into()),
        ("backup.test", "", "10/192.0.2.1 self".into()),
        ("dead.test",   "", "4.4.4 unable to find primary relay for dead.test".into()),
        ("own.test",    "", "5.4.6 mail for own.test loops back to myself".into()),
        ("half.test",   "", "20/192.0.2.2".into()),
        ("soft.test",   "", format!("4.4.4 {host} name=gone.test type=A: Host not found")),
        ("hard.test",   "", format!("5.4.4 {host} name=gone.test type=A: Host not found")),
        ("hard.test",   "smtp_defer_if_no_mx_address_found = yes", format!("4.4.4 {host} name=gone.test type=A: Host not found")),
        ("failmx.test", "", format!("4.4.3 {host} name=failmx.test type=MX: Host not found, try again")),
        ("failmx.test", "ignore_mx_lookup_error = yes", "0/192.0.2.3".into()),
        ("null.test",   "", "5.1.0 Domain null.test does not accept mail (nullMX)".into()),
        ("gone.test",   "", format!("5.4.4 {host} name=gone.test type=A: Host not found")),
    ];
    for (domain, main_cf, want) in cases {
        assert_eq!(outcome(domain, main_cf), *want, "{domain} {main_cf}");
    }
}

#[test]
fn on_another_port_this_machine_is_a_server_like_any_other() {
    let found = find("first.test", "2525", 2525, "").unwrap();
    assert_eq!(found.targets.len(), 2);
}

#[test]
fn service_records_bring_their_port() {
    let srv = "use_srv_lookup = submission";
    let found = find("one.test", "submission", 587, srv).unwrap();
    let targets: Vec<_> = found
        .targets
        .iter()
        .map(|target| (target.host.as_str(), target.port))
        .collect();
    assert_eq!(targets, [("mx1.test", Some(25)), ("mx2.test", Some(26))]);
    let none = find("null.test", "submission", 587, srv).unwrap_err();
    assert_eq!(
        none.failure.dsn.reason,
        "Domain null.test does not support SRV requests"
    );
    assert!(find("bare.test", "submission", 587, srv).is_err());
    let fallback = format!("{srv}\nallow_srv_lookup_fallback = yes");
    assert_eq!(
        find("bare.test", "submission", 587, &fallback)
            .unwrap()
            .targets
            .len(),
        1
    );
}
