//! `ldap` on OpenLDAP's slapd. What the tables say is what Postfix's say with the same directory.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postern_dict::OpenMode;
use postern_testkit::free_port;

use crate::server::{Folder, Server, ask, program};

const ENTRIES: &str = include_str!("directory.ldif");

/// slapd with some entries below `suffix`.
fn slapd(test: &str, folder: &Folder, suffix: &str, entries: &str) -> Option<(Server, u16)> {
    let slapd = program(test, &["slapd"])?;
    let slapadd = program(test, &["slapadd"])?;
    let port = free_port();
    let data = folder.path(&format!("data{port}"));
    fs::create_dir(&data).unwrap();
    let mut conf = String::from("modulepath /usr/lib/ldap\nmoduleload back_mdb\nallow bind_v2\n");
    for schema in ["core", "cosine", "inetorgperson"] {
        conf += &format!("include /etc/ldap/schema/{schema}.schema\n");
    }
    if folder.path("server.pem").exists() {
        for (name, file) in [
            ("CertificateFile", "server.pem"),
            ("CertificateKeyFile", "server.key"),
            ("CACertificateFile", "ca.pem"),
        ] {
            conf += &format!("TLS{name} {}\n", folder.path(file).display());
        }
    }
    conf += &format!(
        "attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'maildrop' SUP mail )\n\
         attributetype ( 1.3.6.1.4.1.99999.1.2 NAME 'mailacceptinggeneralid' SUP mail )\n\
         attributetype ( 1.3.6.1.4.1.99999.1.3 NAME 'memberurl' SUP labeledURI )\n\
         objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'mailUser' SUP top AUXILIARY\n  \
         MAY ( maildrop $ mailacceptinggeneralid $ mail $ memberurl $ member ) )\n\
         database mdb\nmaxsize 10485760\nsuffix {suffix}\nrootdn cn=admin,{suffix}\nrootpw secret\n\
         directory {}\naccess to attrs=sn by users read by * none\naccess to * by * read\n",
        data.display()
    );
    let conf = folder.write(&format!("slapd{port}.conf"), &conf);
    let mut filling = Command::new(slapadd)
        .arg("-q")
        .arg("-f")
        .arg(&conf)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = filling.stdin.take().unwrap();
    input.write_all(entries.as_bytes()).unwrap();
    drop(input);
    assert!(filling.wait().unwrap().success());
    let socket = folder
        .path("ldapi")
        .display()
        .to_string()
        .replace('/', "%2F");
    let urls = format!("ldap://127.0.0.1:{port} ldapi://{socket}");
    let server = Server::start(port, move || {
        let mut command = Command::new(&slapd);
        command.arg("-f").arg(&conf).args(["-d", "0", "-h", &urls]);
        command
    });
    Some((server, port))
}

fn directory(test: &str, folder: &Folder) -> Option<(Server, u16)> {
    slapd(test, folder, "dc=example,dc=test", ENTRIES)
}

const BASE: &str = "search_base = dc=example,dc=test\nversion = 3\n";

#[test]
fn lookups_give_what_postfix_gives() {
    let folder = Folder::new();
    let Some((_server, port)) = directory("ldap tables", &folder) else {
        return;
    };
    let group = "query_filter = (cn=%s)\nspecial_result_attribute = member\n";
    let urls = "query_filter = (cn=%s)\nspecial_result_attribute = memberurl\n";
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("", "joe@example.test", "alice,bob@example.org"), ("", "JOE@example.test", "alice,bob@example.org"),
        ("", "team@example.test", "carol,tom"), ("", r"x*y(z)\", "-"), ("", "*", "-"), ("", "", "-"),
        ("", "*)(uid=joe", "-"), ("bind = no\n", "ann@example.test", "carol"),
        ("query_filter = (cn=%s)\nresult_attribute = cn\n", "Joe (the first)", "Joe (the first)"),
        ("query_filter = cn=%s\nresult_attribute = cn\n", "Ann", "Ann"),
        ("query_filter = (cn=%s\n", "Ann", "error: Bad search filter"),
        ("query_filter = (&(|(cn=Ann)(cn~=Tom))(!(uid=bob))(maildrop=*)(cn=*n*))\n", "x", "carol"),
        ("result_format = <%s>\n", "joe@example.test", "<alice>,<bob@example.org>"),
        ("result_filter = (%u)\n", "joe@example.test", "(alice),(bob)"),
        ("result_format = %d\n", "joe@example.test", "example.org"),
        ("result_format = %D-%s\n", "joe", "-"),
        ("result_attribute = maildrop mail\n", "joe@example.test", "joe@example.test,alice,bob@example.org"),
        ("result_attribute =\n", "joe@example.test", "-"), ("result_attribute = *\n", "joe@example.test", "-"),
        ("result_attribute = cn\n", "team@example.test", "Ann,Tom,Thomas"),
        ("result_attribute = cn;lang-en\n", "team@example.test", "Thomas"),
        ("domain = example.org\n", "joe@example.test", "-"), ("domain = example.test\n", "joe@example.test", "alice,bob@example.org"),
        ("scope = one\n", "joe@example.test", "alice,bob@example.org"), ("scope = base\n", "joe@example.test", "-"),
        ("expansion_limit = 1\n", "joe@example.test", "error: Expansion limit exceeded"),
        ("expansion_limit = 1\n", "ann@example.test", "carol"),
        ("size_limit = 1\n", "joe@example.test", "alice,bob@example.org"),
        ("size_limit = 1\n", "team@example.test", "error: Size limit exceeded"),
        (&format!("{group}result_attribute = mail\n"), "all", "all@example.test,ann@example.test,joe@example.test"),
        (&format!("{group}result_attribute = mail\n"), "loop", "error: Recursion limit exceeded"),
        (&format!("{group}result_attribute = mail\nexpansion_limit = 2\n"), "all", "error: Expansion limit exceeded"),
        (&format!("{group}result_attribute =\nleaf_result_attribute = mail\n"), "all", "ann@example.test,joe@example.test"),
        (&format!("{group}result_attribute = mail\nterminal_result_attribute = maildrop\n"), "all", "all@example.test,carol,alice,bob@example.org"),
        (&format!("{group}result_attribute = mail\nterminal_result_attribute = maildrop\n"), "term", "term@host"),
        (&format!("{urls}result_attribute = mail maildrop\n"), "urls", "joe@example.test,alice,bob@example.org,tom,ann@example.test,carol"),
        (&format!("{urls}result_attribute = mail\n"), "wrongurl", "joe@example.test"),
        (&format!("{urls}result_attribute = mail\n"), "badfilt", "error: Bad search filter"),
        ("query_filter = (mail=%s)\nspecial_result_attribute = mail\n", "joe@example.test", "error: Invalid DN syntax"),
        ("bind_dn = cn=admin,dc=example,dc=test\nbind_pw = secret\nresult_attribute = sn\n", "joe@example.test", "Joe"),
        ("bind_dn = cn=admin,dc=example,dc=test\nbind_pw = wrong\n", "joe@example.test", "error: Invalid credentials"),
        ("result_attribute = sn\n", "joe@example.test", "-"),
    ];
    for (more, key, want) in cases {
        let settings = format!("server_host = 127.0.0.1:{port}\n{BASE}{more}");
        let mut table = folder.table("ldap", OpenMode::Read, &settings);
        assert_eq!(ask(&mut *table, key), *want, "{more}{key}");
    }
}

#[test]
fn a_base_that_is_missing_is_an_error_unless_it_holds_the_key() {
    let folder = Folder::new();
    let Some((_server, port)) = directory("search bases of ldap tables", &folder) else {
        return;
    };
    let host = format!("server_host = ldap://127.0.0.1:{port}\n");
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("search_base = uid=%u,dc=example,dc=test\nscope = base\nquery_filter = (objectClass=*)\n", "joe@x", "alice,bob@example.org"),
        ("search_base = uid=%u,dc=example,dc=test\nscope = base\nquery_filter = (objectClass=*)\n", "nobody", "-"),
        ("search_base = uid=%u,dc=example,dc=test\nscope = base\nquery_filter = (objectClass=*)\n", "joe,dc=x+y", "-"),
        ("search_base = dc=nothing\n", "joe", "error: No such object"),
        ("", "joe", "error: No such object"),
    ];
    for (more, key, want) in cases {
        let mut table = folder.table("ldap", OpenMode::Read, &format!("{host}{more}"));
        assert_eq!(ask(&mut *table, key), *want, "{more}{key}");
    }
}

#[test]
fn local_sockets_and_external_identities_work() {
    let folder = Folder::new();
    let Some((_server, port)) = directory("ldapi and SASL EXTERNAL", &folder) else {
        return;
    };
    let socket = folder
        .path("ldapi")
        .display()
        .to_string()
        .replace('/', "%2F");
    let external = "bind = sasl\nsasl_mechs = EXTERNAL\nresult_attribute = sn\n";
    let open = |host: &str, more: &str| {
        let settings = format!("server_host = {host}\n{BASE}{more}");
        folder.table("ldap", OpenMode::Read, &settings)
    };
    let local = format!("ldapi://{socket}");
    assert_eq!(ask(&mut *open(&local, ""), "ann@example.test"), "carol");
    assert_eq!(ask(&mut *open(&local, external), "joe@example.test"), "Joe");
    let plain = "bind = sasl\nsasl_mechs = PLAIN\nbind_dn = x\nbind_pw = y\n";
    let refused = ask(&mut *open(&format!("127.0.0.1:{port}"), plain), "joe");
    assert_eq!(
        refused,
        "error: only EXTERNAL, and PLAIN over TLS, are supported"
    );
}

#[test]
fn tls_is_verified_when_asked_for() {
    let folder = Folder::new();
    let test = "ldap over TLS";
    if program(test, &["slapd"]).is_none() || !folder.certificates(test) {
        return;
    }
    let Some((_server, port)) = directory(test, &folder) else {
        return;
    };
    let ca = format!("tls_ca_cert_file = {}\n", folder.path("ca.pem").display());
    let open = |host: &str, more: &str| {
        let settings = format!("server_host = {host}:{port}\n{BASE}start_tls = yes\n{more}");
        folder.table("ldap", OpenMode::Read, &settings)
    };
    let key = "ann@example.test";
    assert_eq!(ask(&mut *open("localhost", ""), key), "carol");
    let strict = format!("tls_require_cert = yes\n{ca}");
    assert_eq!(ask(&mut *open("localhost", &strict), key), "carol");
    assert_eq!(ask(&mut *open("127.0.0.1", &strict), key), "carol");
    let unknown = ask(&mut *open("localhost", "tls_require_cert = yes\n"), key);
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
}

#[test]
fn certificates_of_version_1_do_for_ldap_servers() {
    let folder = Folder::new();
    let test = "ldap with certificates of version 1";
    if program(test, &["slapd"]).is_none() || !folder.version_1_certificates(test) {
        return;
    }
    let Some((_server, port)) = directory(test, &folder) else {
        return;
    };
    let path = |name: &str| folder.path(name).display().to_string();
    let ask = |host: &str, authority: &str| {
        let settings = format!(
            "server_host = {host}:{port}\n{BASE}start_tls = yes\ntls_require_cert = yes\n\
             tls_ca_cert_file = {authority}\n"
        );
        ask(
            &mut *folder.table("ldap", OpenMode::Read, &settings),
            "ann@example.test",
        )
    };
    assert_eq!(ask("localhost", &path("ca.pem")), "carol");
    assert_eq!(ask("localhost", &path("server.pem")), "carol");
    let wrong_name = ask("127.0.0.1", &path("ca.pem"));
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    let other = Folder::new();
    assert!(other.version_1_certificates(test));
    let stranger = ask("localhost", &other.path("ca.pem").display().to_string());
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
}

#[test]
fn a_silent_server_costs_one_timeout_and_the_next_one_answers() {
    let folder = Folder::new();
    let Some((mut server, port)) = directory("dead ldap servers", &folder) else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = silent.local_addr().unwrap();
    let settings = format!("server_host = {dead} 127.0.0.1:{port}\n{BASE}timeout = 1\n");
    let mut table = folder.table("ldap", OpenMode::Read, &settings);
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_err(), "nothing happens before a lookup");
    let begin = Instant::now();
    assert_eq!(ask(&mut *table, "ann@example.test"), "carol");
    let first = begin.elapsed();
    assert!(first >= Duration::from_millis(900) && first < Duration::from_secs(20));
    // A lost session is made again, and the dead server is not waited for a second time.
    server.stop();
    server.restart();
    let begin = Instant::now();
    assert_eq!(ask(&mut *table, "ann@example.test"), "carol");
    assert!(begin.elapsed() < Duration::from_millis(900));
    server.stop();
    assert_eq!(
        ask(&mut *table, "ann@example.test"),
        "error: Connection timed out"
    );
}

#[test]
fn referrals_are_followed_when_wanted_and_never_a_miss_when_they_fail() {
    let folder = Folder::new();
    let other = Folder::new();
    let test = "ldap referrals";
    let far = "dn: ou=far,dc=example,dc=test\nobjectClass: organizationalUnit\nobjectClass: mailUser\n\
               ou: far\nmailacceptinggeneralid: far@example.test\nmaildrop: referred\n";
    let Some((mut second, far_port)) = slapd(test, &other, "ou=far,dc=example,dc=test", far) else {
        return;
    };
    let reference = format!(
        "{ENTRIES}\ndn: ou=far,dc=example,dc=test\nobjectClass: referral\nobjectClass: extensibleObject\n\
         ou: far\nref: ldap://127.0.0.1:{far_port}/ou=far,dc=example,dc=test\n"
    );
    let Some((_first, port)) = slapd(test, &folder, "dc=example,dc=test", &reference) else {
        return;
    };
    let open = |more: &str| {
        let settings = format!("server_host = 127.0.0.1:{port}\n{BASE}{more}");
        folder.table("ldap", OpenMode::Read, &settings)
    };
    let (mut without, mut with) = (open(""), open("chase_referrals = yes\n"));
    assert_eq!(ask(&mut *without, "far@example.test"), "-");
    assert_eq!(ask(&mut *with, "far@example.test"), "referred");
    assert_eq!(ask(&mut *with, "ann@example.test"), "carol");
    let inside = "search_base = ou=far,dc=example,dc=test\n";
    let settings = format!("server_host = 127.0.0.1:{port}\n{inside}");
    let mut fixed = folder.table("ldap", OpenMode::Read, &settings);
    assert!(ask(&mut *fixed, "far@example.test").starts_with("error: Referral"));
    second.stop();
    assert_eq!(
        ask(&mut *with, "far@example.test"),
        "error: Connection refused"
    );
}

#[test]
fn a_server_that_does_not_speak_ldap_is_an_error() {
    let folder = Folder::new();
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"0\x84\xff\xff\xff\xff",
        b"0\x05\x02\x01\x01\x61\x00",
        b"0\x00",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]);
            stream.write_all(garbage).unwrap();
        });
        let settings = format!("server_host = {place}\n{BASE}timeout = 5\n");
        let mut table = folder.table("ldap", OpenMode::Read, &settings);
        let answer = ask(&mut *table, "joe@example.test");
        assert!(answer.starts_with("error: "), "{answer}");
        server.join().unwrap();
    }
}
