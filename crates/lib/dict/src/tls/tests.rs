//! Verdicts on certificates of all kinds, made for the purpose.

mod handshake;
mod make;

use std::path::Path;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use self::make::*;
use super::certificate::Certificate;
use super::verifier::Verifier;
use super::{Check, SYSTEM_AUTHORITIES, certificates, identity, provider};

const NAME: &str = "db.example.test";

fn host() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

fn verifier(check: Check, trusted: &[&Made]) -> Verifier {
    let trusted = trusted.iter().map(|one| one.certificate.clone()).collect();
    Verifier::new(check, trusted, &aws_lc_rs::default_provider()).unwrap()
}

fn verdict_on(
    verifier: &Verifier,
    server: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    let verdict = verifier.verify_server_cert(server, between, name, b"", now);
    verdict.map(|_| ())
}

/// The verdict with chain and name checked; `ok`, or what is wrong.
fn verdict(trusted: &[&Made], server: &Made, between: &[&Made]) -> String {
    let between: Vec<_> = between.iter().map(|one| one.certificate.clone()).collect();
    let verifier = verifier(Check::ChainAndName, trusted);
    match verdict_on(&verifier, &server.certificate, &between, &host()) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string().replace("invalid peer certificate: ", ""),
    }
}

const MALFORMED: &str = "Other(OtherError(MalformedCertificate))";

fn root_1() -> Made {
    version_1("root").alone()
}

fn root_3() -> Made {
    version_3("root", &[authority(true)]).alone()
}

/// A server's certificate of version 3 that says everything it should.
fn modern() -> Plan {
    version_3(NAME, &[names(&[(HOST, NAME.as_bytes())])])
}

#[test]
fn servers_and_authorities_of_both_versions_are_believed() {
    for root in [
        root_1(),
        root_3(),
        version_1("root").made(&Key::rsa(), None),
    ] {
        for plan in [
            version_1(NAME),
            modern(),
            version_3(NAME, &[]),
            version_3(NAME, &[authority(false)]),
            version_3(NAME, &[authority(true)]),
            version_3(NAME, &[authority(true), names(&[(HOST, NAME.as_bytes())])]),
        ] {
            assert_eq!(verdict(&[&root], &plan.by(&root), &[]), "ok");
            let other = root_3();
            assert_eq!(verdict(&[&other, &root], &plan.by(&root), &[]), "ok");
            let server = plan.made(&Key::rsa(), Some(&root));
            assert_eq!(verdict(&[&root], &server, &[]), "ok");
        }
    }
}

#[test]
fn strangers_are_not_believed() {
    let root = root_1();
    let namesake = root_1();
    let other = version_1("other").alone();
    for plan in [
        version_1(NAME),
        modern(),
        version_3(NAME, &[authority(true)]),
    ] {
        let server = plan.by(&root);
        assert_eq!(verdict(&[&other], &server, &[]), "UnknownIssuer");
        // The authority's name with another key.
        assert_eq!(verdict(&[&namesake], &server, &[]), "BadSignature");
        // It is no authority just because it sends itself along.
        assert_ne!(verdict(&[&other], &server, &[&root]), "ok");
        assert_eq!(verdict(&[&root], &server, &[&root, &other]), "ok");
        assert_eq!(verdict(&[&other], &plan.alone(), &[]), "UnknownIssuer");
        // A trusted one with the same name and another key.
        assert_ne!(verdict(&[&plan.alone()], &plan.alone(), &[]), "ok");
    }
}

#[test]
fn no_byte_of_a_certificate_can_be_changed() {
    let root = root_1();
    let verifier = verifier(Check::Chain, &[&root]);
    let judge = |bytes: Vec<u8>| verdict_on(&verifier, &bytes.into(), &[], &host()).is_ok();
    for plan in [version_1(NAME), version_3(NAME, &[authority(true)])] {
        let server = plan.by(&root).certificate.to_vec();
        assert!(judge(server.clone()));
        for at in 0..server.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = server.clone();
                changed[at] ^= bit;
                assert!(!judge(changed), "{at} {bit}");
            }
            assert!(!judge(server[..at].to_vec()), "{at}");
        }
        assert!(!judge([server.as_slice(), b"\0"].concat()));
    }
    assert!(!judge(b"-----BEGIN CERTIFICATE-----".to_vec()));
}

/// `adapted` is what webpki gets; nobody may pass it off as a certificate, because its issuer signed something else.
#[test]
fn what_webpki_gets_to_see_is_not_believed_itself() {
    let root = root_1();
    for plan in [version_1(NAME), version_3(NAME, &[authority(true)])] {
        let server = plan.by(&root).certificate;
        let adapted = Certificate::read(&server)
            .unwrap()
            .adapted(None)
            .unwrap()
            .unwrap();
        let verifier = verifier(Check::Chain, &[&root]);
        let verdict = verdict_on(&verifier, &adapted.certificate.into(), &[], &host());
        assert!(verdict.is_err(), "{verdict:?}");
    }
}

#[test]
fn adapting_changes_the_version_and_the_mark_of_an_authority_only() {
    let root = root_1();
    let key = Key::new();
    let san = names(&[(HOST, NAME.as_bytes())]);
    let unknown = extension(99, false, b"\x05\0");
    let cases = [
        (version_1(NAME), version_3(NAME, &[])),
        (version_3(NAME, &[authority(true)]), version_3(NAME, &[])),
        (
            version_3(NAME, &[san.clone(), authority(true), unknown.clone()]),
            version_3(NAME, &[san, unknown]),
        ),
    ];
    for (plan, want) in cases {
        let (made, want) = (plan.made(&key, Some(&root)), want.made(&key, Some(&root)));
        let read = Certificate::read(&made.certificate).unwrap();
        let adapted = read.adapted(None).unwrap().unwrap();
        let want = Certificate::read(&want.certificate).unwrap();
        assert!(want.adapted(None).unwrap().is_none());
        assert_eq!(adapted.signed, want.signed());
        assert_eq!(adapted.original, read.signed());
    }
}

#[test]
fn certificates_out_of_their_dates_are_not_believed() {
    let is_dated = |text: &str, what: &str| assert!(text.contains(what), "{text}");
    for (root, root_plan) in [
        (root_1(), version_1("root")),
        (root_3(), version_3("root", &[authority(true)])),
    ] {
        for plan in [
            version_1(NAME),
            modern(),
            version_3(NAME, &[authority(true)]),
        ] {
            for edge in [(NOW, NOW), (NOW - YEAR, NOW), (NOW, 3_000_000_000)] {
                assert_eq!(
                    verdict(&[&root], &plan.clone().dated(edge).by(&root), &[]),
                    "ok"
                );
            }
            let late = plan.clone().dated(PAST).by(&root);
            is_dated(&verdict(&[&root], &late, &[]), "expired");
            let early = plan.clone().dated(FUTURE).by(&root);
            is_dated(&verdict(&[&root], &early, &[]), "not valid yet");
            for (dates, what) in [(PAST, "Expired"), (FUTURE, "NotValidYet")] {
                let old = root_plan.clone().dated(dates).alone();
                is_dated(&verdict(&[&old], &plan.by(&old), &[]), what);
                // The same authority with a newer certificate.
                let renewed = root_plan.made(&old.key, None);
                assert_eq!(verdict(&[&old, &renewed], &plan.by(&old), &[]), "ok");
                // Trusted itself, by itself or by another.
                let (own, signed) = (
                    plan.clone().dated(dates).alone(),
                    plan.clone().dated(dates).by(&root),
                );
                is_dated(&verdict(&[&own], &own, &[]), what);
                is_dated(&verdict(&[&signed], &signed, &[]), what);
            }
        }
    }
}

#[test]
fn a_certificate_that_is_listed_is_believed_by_itself() {
    let root = root_1();
    for plan in [
        version_1(NAME),
        modern(),
        version_3(NAME, &[authority(true)]),
    ] {
        for server in [plan.alone(), plan.by(&root)] {
            assert_eq!(verdict(&[&server], &server, &[]), "ok");
        }
    }
    let elsewhere = version_1("other.example.test").alone();
    let verdict = verdict(&[&elsewhere], &elsewhere, &[]);
    assert!(verdict.contains("not valid for name"), "{verdict}");
}

#[test]
fn only_authorities_of_version_3_stand_between() {
    let path_0 = extension(19, true, &sequence(&[b"\x01\x01\xff\x02\x01\0"]));
    for root in [root_1(), root_3()] {
        let by = |extensions: &[Vec<u8>]| version_3("between", extensions).by(&root);
        let cases = [
            (by(&[authority(true)]), "ok"),
            (by(&[path_0.clone(), usage(true)]), "ok"),
            (by(&[]), "EndEntityUsedAsCa"),
            (by(&[authority(false)]), "EndEntityUsedAsCa"),
            (
                by(&[authority(true), extension(99, true, b"")]),
                "UnsupportedCriticalExtension",
            ),
            (version_1("between").by(&root), "UnsupportedCertVersion"),
            (version_1("between").alone(), "UnsupportedCertVersion"),
        ];
        for (between, want) in cases {
            let server = version_1(NAME).by(&between);
            let got = verdict(&[&root], &server, &[&between]);
            assert!(got.contains(want), "{got}, {want}");
            assert_eq!(verdict(&[&root], &server, &[]), "UnknownIssuer");
        }
        // A path that is longer than one in it allows.
        let first = by(std::slice::from_ref(&path_0));
        let second = version_3("second", &[authority(true)]).by(&first);
        let server = version_1(NAME).by(&second);
        assert_ne!(verdict(&[&root], &server, &[&second, &first]), "ok");
        let free = by(&[authority(true)]);
        let second = version_3("second", &[authority(true)]).by(&free);
        let server = version_1(NAME).by(&second);
        assert_eq!(verdict(&[&root], &server, &[&second, &free]), "ok");
    }
}

#[test]
fn issuers_are_held_to_their_names() {
    let only = |kind, name: &[u8]| {
        // Permitted: [0], general subtrees.
        let permitted = element(0xa0, &[&sequence(&[&element(kind, &[name])])]);
        [
            authority(true),
            extension(30, true, &sequence(&[&permitted])),
        ]
    };
    let root = root_3();
    let local: &[u8] = &[127, 0, 0, 0, 255, 0, 0, 0];
    let cases = [
        (only(HOST, b"example.test"), NAME, "ok"),
        (only(HOST, b"other.test"), NAME, "NameConstraintViolation"),
        (only(HOST, b"other.test"), "127.0.0.1", "ok"),
        (only(ADDRESS, local), "127.0.0.1", "ok"),
        (only(ADDRESS, local), "128.0.0.1", "NameConstraintViolation"),
        (only(ADDRESS, local), NAME, "ok"),
    ];
    for (extensions, name, want) in cases {
        let between = version_3("between", &extensions).by(&root);
        let limited_root = version_3("root", &extensions).alone();
        let other = names(&[(MAIL, b"a@other.test")]);
        for plan in [
            version_1(name),
            version_3(name, &[]),
            version_3(name, &[other]),
        ] {
            let chains = [
                (&root, plan.by(&between), vec![between.certificate.clone()]),
                (&limited_root, plan.by(&limited_root), Vec::new()),
            ];
            for (root, server, between) in chains {
                let name = ServerName::try_from(name).unwrap();
                let judge = |check| {
                    let verifier = verifier(check, &[root]);
                    verdict_on(&verifier, &server.certificate, &between, &name)
                };
                let got = judge(Check::ChainAndAnyName);
                let got = got.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
                assert!(got.contains(want), "{got} {want} {name:?}");
                assert!(judge(Check::Chain).is_ok());
            }
        }
    }
}

#[test]
fn what_says_that_it_is_no_authority_signs_nothing() {
    let cases = [
        (version_1("root"), true),
        (version_3("root", &[]), true),
        (version_3("root", &[authority(true)]), true),
        (version_3("root", &[authority(true), usage(true)]), true),
        (version_3("root", &[usage(true)]), true),
        (version_3("root", &[authority(false)]), false),
        (version_3("root", &[authority(false), usage(true)]), false),
        (version_3("root", &[authority(true), usage(false)]), false),
        (version_3("root", &[usage(false)]), false),
    ];
    for (plan, may) in cases {
        let root = plan.alone();
        for server in [version_1(NAME).by(&root), modern().by(&root)] {
            let want = if may { "ok" } else { "UnknownIssuer" };
            assert_eq!(verdict(&[&root], &server, &[]), want);
        }
    }
}

#[test]
fn the_authorities_of_the_system_are_understood() {
    let Ok(all) = certificates(Path::new(SYSTEM_AUTHORITIES)) else {
        return postern_testkit::skip("system's authorities", "they are not installed");
    };
    for one in all {
        assert!(Certificate::read(&one).unwrap().may_sign(), "{one:?}");
    }
}

#[test]
fn malformed_certificates_are_refused() {
    let root = root_1();
    let plain = version_1(NAME);
    let other_algorithm = sequence(&[RSA_SHA256]);
    let cases = [
        (
            Plan {
                extensions: vec![authority(false)],
                ..plain.clone()
            },
            MALFORMED,
        ),
        (
            Plan {
                version: Some(0),
                ..plain.clone()
            },
            MALFORMED,
        ),
        (
            Plan {
                version: Some(1),
                ..plain.clone()
            },
            MALFORMED,
        ),
        (
            Plan {
                version: Some(3),
                ..plain.clone()
            },
            MALFORMED,
        ),
        (
            Plan {
                appendix: b"\x05\0".to_vec(),
                ..plain.clone()
            },
            MALFORMED,
        ),
        // A unique identifier of the issuer, as version 2 has it.
        (
            Plan {
                appendix: b"\x81\x02\0\0".to_vec(),
                ..plain.clone()
            },
            MALFORMED,
        ),
        (
            Plan {
                appendix: b"\x81\x02\0\0".to_vec(),
                ..version_3(NAME, &[])
            },
            MALFORMED,
        ),
        (
            Plan {
                appendix: b"\x05\0".to_vec(),
                ..modern()
            },
            MALFORMED,
        ),
        (
            Plan {
                algorithm: Some(other_algorithm),
                ..plain
            },
            "Other(OtherError(SignatureAlgorithmMismatch))",
        ),
        (
            version_3(NAME, &[authority(true), for_clients()]),
            "InvalidPurpose",
        ),
        (
            version_3(NAME, &[authority(true), extension(99, true, b"")]),
            "UnhandledCriticalExtension",
        ),
        (
            version_3(
                NAME,
                &[
                    authority(true),
                    names(&[(HOST, b"x")]),
                    names(&[(HOST, b"x")]),
                ],
            ),
            "ExtensionValueInvalid",
        ),
    ];
    for (plan, want) in cases {
        let got = verdict(&[&root], &plan.by(&root), &[]);
        assert!(
            got == want || want != MALFORMED && got != "ok",
            "{got}, {want}"
        );
    }
}

#[test]
fn names_are_alternative_names_or_common_names() {
    let root = root_1();
    let plain = |common: &[&[u8]]| Plan {
        subject: subject(common),
        ..version_1("")
    };
    let with = |common: &str, all: &[(u8, &[u8])]| version_3(common, &[names(all)]);
    let local: &[u8] = &[127, 0, 0, 1];
    // The certificate, the name, and whether it is right: with common names at need, and beside others.
    #[rustfmt::skip]
    let cases = [
        (plain(&[b"db.example.test"]), NAME, true, true), (plain(&[b"DB.Example.Test"]), NAME, true, true),
        (plain(&[b"db.example.test."]), NAME, false, false), (plain(&[b"b.example.test"]), NAME, false, false),
        (plain(&[b"db.example.test\0.x"]), NAME, false, false), (plain(&[]), NAME, false, false), (plain(&[b""]), NAME, false, false),
        (plain(&[b"other", b"db.example.test"]), NAME, true, true), (plain(&[b"db.example.test", b"other"]), NAME, true, true),
        (plain(&[b"*.example.test"]), NAME, true, true), (plain(&[b"*.test"]), NAME, false, false), (plain(&[b"*"]), NAME, false, false),
        (plain(&[b"*.example.test"]), "a.db.example.test", false, false), (plain(&[b"*.example.test"]), "example.test", false, false),
        (plain(&[b"*.test"]), "example.test", false, false), (plain(&[b"d*.example.test"]), NAME, false, false),
        (plain(&[b"127.0.0.1"]), "127.0.0.1", true, true), (plain(&[b"*.0.0.1"]), "127.0.0.1", false, false), (plain(&[b"::1"]), "::1", true, true),
        (with("x", &[(HOST, b"db.example.test")]), NAME, true, true), (with(NAME, &[(HOST, b"x.test")]), NAME, false, true),
        (with("x", &[(HOST, b"*.example.test")]), NAME, true, true), (with(NAME, &[(ADDRESS, local)]), NAME, true, true),
        (with(NAME, &[(ADDRESS, local)]), "127.0.0.1", true, true), (with("127.0.0.2", &[(ADDRESS, local)]), "127.0.0.2", false, true),
        (with("127.0.0.1", &[(HOST, b"x.test")]), "127.0.0.1", false, true), (with(NAME, &[(MAIL, b"a@x.test")]), NAME, true, true),
        (version_3(NAME, &[extension(17, false, b"\x05")]), NAME, false, false),
        (version_3(NAME, &[names(&[(HOST, b"x.test")]), authority(true)]), NAME, false, true),
    ];
    for (plan, name, at_need, beside) in cases {
        let server = plan.by(&root);
        let is_right = |check| {
            let name = ServerName::try_from(name).unwrap();
            verdict_on(&verifier(check, &[&root]), &server.certificate, &[], &name).is_ok()
        };
        let got = (
            is_right(Check::ChainAndName),
            is_right(Check::ChainAndAnyName),
        );
        assert_eq!(got, (at_need, beside), "{:?} {name}", plan.subject);
    }
}

#[test]
fn without_a_name_to_check_any_will_do_and_without_a_chain_anything() {
    let root = root_1();
    let elsewhere = version_1("elsewhere").by(&root);
    let judge = |check, server: &CertificateDer<'_>| {
        verdict_on(&verifier(check, &[&root]), server, &[], &host()).is_ok()
    };
    assert!(judge(Check::Chain, &elsewhere.certificate));
    assert!(!judge(Check::Chain, &version_1(NAME).alone().certificate));
    assert!(judge(Check::Nothing, &b"garbage".to_vec().into()));
    let provider = aws_lc_rs::default_provider();
    let garbage = vec![CertificateDer::from(b"garbage".to_vec())];
    assert!(Verifier::new(Check::Chain, Vec::new(), &provider).is_none());
    assert!(Verifier::new(Check::ChainAndName, garbage, &provider).is_none());
    assert!(Verifier::new(Check::Nothing, Vec::new(), &provider).is_some());
}

#[test]
fn a_clients_certificate_may_be_of_version_1_and_goes_with_its_key() {
    let root = root_1();
    for plan in [version_1("me"), version_3("me", &[])] {
        let own = plan.by(&root);
        let chain = vec![own.certificate.clone(), root.certificate.clone()];
        let both = identity(chain.clone(), own.key.0.clone()).unwrap();
        assert_eq!(both.cert, chain);
        assert!(identity(chain, Key::new().0).is_err());
    }
    assert!(identity(Vec::new(), Key::new().0).is_err());
    let garbage = CertificateDer::from(b"garbage".to_vec());
    assert!(identity(vec![garbage], Key::new().0).is_err());
}

#[test]
fn cipher_lists_of_openssl_choose_suites_of_tls_1_2() {
    let count = |list: &str| {
        let suites = provider(list).cipher_suites;
        suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .count()
    };
    let all = count("");
    assert!(all >= 4, "{all}");
    assert_eq!(count("HIGH:!aNULL"), all);
    assert_eq!(count("ECDHE-RSA-AES256-GCM-SHA384"), 1);
    assert_eq!(
        count("AES128-SHA:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"),
        2
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_get_a_verdict_and_no_change_is_believed(
        bytes: Vec<u8>,
        changes in proptest::collection::vec((0_usize..600, 0_u8..), 1..4),
    ) {
        let root = root_1();
        let verifier = verifier(Check::ChainAndAnyName, &[&root]);
        let judge = |bytes: Vec<u8>| verdict_on(&verifier, &bytes.into(), &[], &host());
        assert!(judge(bytes).is_err());
        for plan in [version_1(NAME), version_3(NAME, &[names(&[(HOST, b"a")]), authority(true), usage(true)])] {
            let server = plan.by(&root).certificate.to_vec();
            let mut changed = server.clone();
            for (at, value) in &changes {
                if let Some(byte) = changed.get_mut(*at) {
                    *byte = *value;
                }
            }
            assert_eq!(judge(changed.clone()).is_ok(), changed == server);
        }
    }
}
