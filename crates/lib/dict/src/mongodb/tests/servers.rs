//! Logins, replica sets, outages, and servers by DNS.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fake::{Behaviour, Gate, member};
use super::*;
use crate::mongodb::scram::Mechanism;

fn value(text: &'static str) -> Document {
    batch("firstBatch", &[Document::new().text("v", text)], 0)
}

/// A server behind a gate, which offers these mechanisms.
fn guarded(gate: impl Fn() -> Gate + Send + 'static, offered: &'static [&'static str]) -> Fake {
    Fake::start(move || {
        let mut gate = gate();
        Box::new(move |command, request| match command {
            "hello" => {
                let mut hello = alone();
                if request.get_text("saslSupportedMechs").unwrap() == Some("users.us=er") {
                    let list = offered.iter().enumerate();
                    let list = list.fold(Document::new(), |list, (index, name)| {
                        list.text(&index.to_string(), name)
                    });
                    hello = hello.array("saslSupportedMechs", &list);
                }
                Say::Reply(hello)
            }
            "saslStart" | "saslContinue" => {
                assert_eq!(request.get_text("$db"), Ok(Some("users")));
                Say::Reply(gate.step(command, request))
            }
            "find" if gate.is_open() => Say::Reply(value("in")),
            _ => Say::Reply(error(13, "Unauthorized", "not logged in")),
        })
    })
}

fn log_in(fake: &Fake, password: &str, options: &str) -> String {
    let place = format!("us%3Der:{password}@{}/users", fake.place());
    let (_file, path) = settings(&format!(
        "uri = mongodb://{place}?{options}\ndbname = mail\ncollection = aliases\n\
         query_filter = {{\"k\": \"%s\"}}\nresult_attribute = v\n"
    ));
    let config = Config::from_text("").unwrap();
    let mut table = open(&config, &path, OpenMode::Read, Flags::NONE).unwrap();
    match table.lookup(BStr::new("k")) {
        Ok(found) => found.unwrap_or_default().to_string(),
        Err(error) => error.reason,
    }
}

#[test]
fn passwords_are_proved_by_either_mechanism() {
    let (old, new) = (Mechanism::Sha1, Mechanism::Sha256);
    let both: &[&str] = &["SCRAM-SHA-1", "SCRAM-SHA-256"];
    #[rustfmt::skip]
    let cases: &[(Mechanism, &'static [&'static str], &str, &str, &str)] = &[
        (new, both, "pen%20cil", "", "in"), (old, &["SCRAM-SHA-1"], "pen%20cil", "", "in"), (old, &[], "pen%20cil", "", "in"),
        (old, both, "pen%20cil", "authMechanism=SCRAM-SHA-1", "in"), (new, &[], "pen%20cil", "authMechanism=SCRAM-SHA-256", "in"),
        (new, both, "pencil", "", "Application error"), (old, &[], "pencil", "", "Application error"),
        (old, both, "pen%20cil", "", "Application error"),
    ];
    for (mechanism, offered, password, options, want) in cases.iter().copied() {
        for is_short in [true, false] {
            let fake = guarded(
                move || Gate {
                    is_short,
                    ..Gate::new(mechanism, "pen cil")
                },
                offered,
            );
            let found = log_in(&fake, password, options);
            assert_eq!(found, want, "{mechanism:?} {password} {options}");
            let is_long = !is_short && want == "in";
            assert_eq!(fake.count("saslContinue") == 2, is_long);
        }
    }
}

#[test]
fn a_server_that_does_not_know_the_password_gets_no_question() {
    // It takes any proof, and has a wrong one itself.
    let ignorant = || Gate {
        has_proof: false,
        ..Gate::new(Mechanism::Sha256, "guess")
    };
    let fake = guarded(ignorant, &["SCRAM-SHA-256"]);
    assert_eq!(log_in(&fake, "pencil", ""), "Application error");
    assert_eq!(fake.count("find"), 0);
    // It says that all is done before anything is proved.
    let fake = Fake::start(|| {
        Box::new(|command, _| {
            let done = Document::new()
                .int32("conversationId", 1)
                .boolean("done", true)
                .binary("payload", 0, b"")
                .double("ok", 1.0);
            Say::Reply(match command {
                "hello" => alone(),
                "find" => value("forged"),
                _ => done,
            })
        })
    });
    assert_eq!(log_in(&fake, "pencil", ""), "Application error");
    assert_eq!(fake.count("find"), 0);
}

#[test]
fn a_server_of_before_hello_is_greeted_by_the_old_name() {
    let fake = Fake::start(|| {
        Box::new(|command, _| {
            Say::Reply(match command {
                "hello" => error(59, "CommandNotFound", "no such command: 'hello'"),
                "isMaster" => Document::new()
                    .boolean("ismaster", true)
                    .int32("maxWireVersion", 6)
                    .double("ok", 1.0),
                _ => value("x"),
            })
        })
    });
    assert_eq!(table(&fake.place(), "", ATTRIBUTE).ask("k"), "x");
    let ancient = Fake::start(|| {
        Box::new(|_, _| Say::Reply(Document::new().int32("maxWireVersion", 5).double("ok", 1.0)))
    });
    let mut table = table(&ancient.place(), "", ATTRIBUTE);
    assert_eq!(table.ask("k"), "error: Application error");
}

#[test]
fn a_dead_server_costs_its_time_once() {
    // It greets, and never answers.
    let silent = Fake::start(|| {
        Box::new(|command, _| match command {
            "hello" => Say::Reply(alone()),
            _ => Say::Silence,
        })
    });
    // It takes connections and says nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf_place = deaf.local_addr().unwrap().to_string();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone_place = gone.local_addr().unwrap().to_string();
    drop(gone);
    let well = Fake::start(finds(vec![Document::new().text("v", "well")]));
    let limits = "connectTimeoutMS=300&socketTimeoutMS=300";
    for dead in [silent.place(), deaf_place, gone_place] {
        let begin = Instant::now();
        let mut alone = table(&dead, limits, ATTRIBUTE);
        assert_eq!(alone.ask("k"), "error: Application error");
        for _ in 0..100 {
            assert_eq!(alone.ask("k"), "error: no server is available");
        }
        let hosts = format!("{dead},{}", well.place());
        let mut pair = table(&hosts, limits, ATTRIBUTE);
        for _ in 0..100 {
            assert_eq!(pair.ask("k"), "well");
        }
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert!(silent.count("find") <= 2);
}

#[test]
fn a_server_that_failed_is_tried_again_after_a_while() {
    static IS_WELL: AtomicBool = AtomicBool::new(false);
    let fake = Fake::start(|| {
        Box::new(|command, _| match command {
            _ if !IS_WELL.load(Ordering::SeqCst) => Say::Close,
            "hello" => Say::Reply(alone()),
            _ => Say::Reply(value("back")),
        })
    });
    let mut table = table(&fake.place(), "heartbeatFrequencyMS=1", ATTRIBUTE);
    assert_eq!(table.ask("k"), "error: Application error");
    IS_WELL.store(true, Ordering::SeqCst);
    postern_testkit::wait_for("the server to be asked again", || {
        (table.ask("k") == "back").then_some(())
    });
}

#[test]
fn a_lost_connection_is_made_again() {
    // Each connection answers once.
    let fake = Fake::start(|| {
        let mut is_used = false;
        Box::new(move |command, _| match command {
            "hello" => Say::Reply(alone()),
            _ if is_used => Say::Close,
            _ => {
                is_used = true;
                Say::Reply(value("x"))
            }
        })
    });
    let mut table = table(&fake.place(), "", ATTRIBUTE);
    for _ in 0..5 {
        assert_eq!(table.ask("k"), "x");
    }
    // One that never answers is no such case.
    let fake = Fake::start(|| {
        Box::new(|command, _| match command {
            "hello" => Say::Reply(alone()),
            _ => Say::WrongId(value("late")),
        })
    });
    let mut table = self::table(&fake.place(), "", ATTRIBUTE);
    assert_eq!(table.ask("k"), "error: Application error");
    assert_eq!(fake.count("find"), 1);
}

#[test]
fn answers_have_an_end_in_time_and_size() {
    // A cursor that never ends.
    let fake = Fake::start(|| {
        Box::new(|command, _| {
            Say::Reply(match command {
                "hello" => alone(),
                "find" => batch("firstBatch", &[], 1),
                _ => batch("nextBatch", &[], 1),
            })
        })
    });
    let begin = Instant::now();
    let mut endless = table(&fake.place(), "socketTimeoutMS=300", ATTRIBUTE);
    assert_eq!(endless.ask("k"), "error: Application error");
    assert!(begin.elapsed() < Duration::from_secs(5));
    // A document after the other.
    let fake = Fake::start(|| {
        Box::new(|command, _| {
            let large = [Document::new().text("v", &"x".repeat(5_000_000))];
            Say::Reply(match command {
                "hello" => alone(),
                "find" => batch("firstBatch", &large, 1),
                _ => batch("nextBatch", &large, 1),
            })
        })
    });
    let mut large = table(&fake.place(), "", ATTRIBUTE);
    let answer = large.ask("k");
    assert!(
        answer.starts_with("error: the reply is longer than "),
        "{answer}"
    );
    assert_eq!(fake.count("getMore"), 3);
    // The server is well: it is asked again.
    assert!(large.ask("k").starts_with("error: the reply"));
}

/// A member of a set: what it is, who the others are, which value it finds.
fn replica(
    listener: TcpListener,
    members: Vec<String>,
    primary: &'static AtomicUsize,
    index: usize,
    text: &'static str,
) -> Fake {
    Fake::on(listener, move || {
        let members = members.clone();
        let behaviour: Behaviour = Box::new(move |command, request| {
            let who = primary.load(Ordering::SeqCst);
            let is_primary = who == index;
            let mode = match request.get("$readPreference") {
                Ok(Some(Element::Document(mode))) => mode.get_text("mode").unwrap(),
                _ => None,
            };
            Say::Reply(match command {
                "hello" => member(is_primary, &members, members.get(who).map(String::as_str)),
                _ if !is_primary && mode.is_none() => error(13435, "NotPrimaryNoSecondaryOk", "no"),
                _ => value(text),
            })
        });
        behaviour
    })
}

#[test]
fn the_member_that_is_wanted_is_found_through_the_others() {
    static PRIMARY: AtomicUsize = AtomicUsize::new(1);
    let listeners: [TcpListener; 3] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let places: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    let texts = ["zero", "one", "two"];
    let members: Vec<Fake> = listeners
        .into_iter()
        .enumerate()
        .map(|(index, listener)| replica(listener, places.clone(), &PRIMARY, index, texts[index]))
        .collect();
    let first = &places[0];
    let mut set = table(first, "replicaSet=rs", ATTRIBUTE);
    assert_eq!(set.ask("k"), "one");
    assert_eq!(members[2].count("find"), 0);
    let mut reader = table(first, "replicaSet=rs&readPreference=secondary", ATTRIBUTE);
    assert_ne!(reader.ask("k"), "one");
    let mut preferring = table(
        first,
        "replicaSet=rs&readPreference=primaryPreferred",
        ATTRIBUTE,
    );
    assert_eq!(preferring.ask("k"), "one");
    // Without a set, the one server is asked, whatever it is.
    assert_eq!(table(first, "", ATTRIBUTE).ask("k"), "zero");
    assert_eq!(
        table(first, "replicaSet=rs&directConnection=true", ATTRIBUTE).ask("k"),
        "zero"
    );
    let mut other = table(first, "replicaSet=other", ATTRIBUTE);
    assert_eq!(other.ask("k"), "error: no server is available");
    // Another member becomes the primary; the old one says so.
    PRIMARY.store(2, Ordering::SeqCst);
    assert_eq!(set.ask("k"), "two");
    assert_eq!(set.ask("k"), "two");
    // No primary at all: nobody is asked, or a secondary where that will do.
    PRIMARY.store(9, Ordering::SeqCst);
    let answer = set.ask("k");
    assert!(answer.starts_with("error: "), "{answer}");
    assert_ne!(preferring.ask("k"), "-");
    PRIMARY.store(0, Ordering::SeqCst);
    postern_testkit::wait_for("the new primary", || (set.ask("k") == "zero").then_some(()));
}

#[test]
fn tables_with_the_same_string_share_a_connection() {
    let fake = Fake::start(finds(vec![Document::new().text("v", "x")]));
    let mut one = table(&fake.place(), "appName=shared", ATTRIBUTE);
    let mut two = table(&fake.place(), "appName=shared", "projection = {\"v\": 1}\n");
    assert_eq!(
        (one.ask("k"), two.ask("k")),
        ("x".to_owned(), "x".to_owned())
    );
    assert_eq!(fake.count("hello"), 1);
}

#[test]
fn lookups_in_a_storm_are_right_or_temporary_errors() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let fake = Fake::start(|| {
        Box::new(|command, request| {
            let is_hello = command == "hello";
            let answer = match request.get("filter") {
                Ok(Some(Element::Document(filter))) => {
                    let key = filter.get_text("k").unwrap().unwrap();
                    batch("firstBatch", &[Document::new().text("v", key)], 0)
                }
                _ => alone(),
            };
            match COUNT.fetch_add(1, Ordering::SeqCst) % 11 {
                3 => Say::Close,
                5 => Say::Reply(error(11600, "InterruptedAtShutdown", "going down")),
                7 => Say::Raw(vec![7; 50]),
                8 if !is_hello => Say::WrongId(answer),
                9 => Say::Raw(message(&[0; 4], &answer.to_bytes()).split_off(9)),
                10 if !is_hello => Say::Silence,
                _ => Say::Reply(answer),
            }
        })
    });
    let place = fake.place();
    let counts = std::thread::scope(|scope| {
        let work = |thread: usize| {
            let place = place.clone();
            move || {
                let options = "socketTimeoutMS=50&connectTimeoutMS=200&heartbeatFrequencyMS=1";
                let mut table = table(&place, options, ATTRIBUTE);
                let mut good = 0;
                for number in 0..60 {
                    let key = format!("k{thread}-{number}");
                    match table.ask(&key).as_str() {
                        found if found == key => good += 1,
                        other => assert!(other.starts_with("error: "), "{key}: {other}"),
                    }
                }
                good
            }
        };
        let threads: Vec<_> = (0..6).map(|thread| scope.spawn(work(thread))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<usize>>()
    });
    let good: usize = counts.iter().sum();
    assert!((1..360).contains(&good), "{good} good answers of 360");
}

#[test]
fn where_encryption_is_wanted_nothing_is_said_in_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 3];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        // A server without TLS does not understand that, and goes.
        first
    });
    let mut table = table(&place, "tls=true&tlsInsecure=true", ATTRIBUTE);
    assert_eq!(table.ask("k"), "error: Application error");
    // A handshake of TLS.
    assert_eq!(server.join().unwrap(), [0x16, 3, 1]);
}
