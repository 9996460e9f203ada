//! The tools of operators on our log, queue and configuration: log summaries, address bans, queue
//! monitors, configuration management, generated tables.
//!
//! What is expected here is what the reference gives for the same traffic:
//! `POSTERN_TEST_REFERENCE=1` runs these tests on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use postern_testkit::{Instance, Sink, skip, wait_for};
use serde_json::Value;

const MAIL: &str = "Subject: hello\n\ntext\n";
/// Debian's `pflogsumm`.
const SUMMARY: &str = "/usr/sbin/pflogsumm";
/// Debian's filter of the log lines of those who are to be banned.
const FILTER: &str = "/etc/fail2ban/filter.d/postfix.conf";

const SETTINGS: &str = "smtpd_delay_reject = yes\n\
    smtpd_error_sleep_time = 0\n\
    smtpd_helo_restrictions = reject_invalid_helo_hostname\n\
    smtpd_sender_restrictions = check_sender_access inline:{ \
        {spam@client.test = REJECT no spam}, {later@client.test = 450 4.7.1 later}, \
        {held@client.test = HOLD}, {lost@client.test = DISCARD}, {odd@client.test = WARN odd} }\n\
    smtpd_relay_restrictions = check_recipient_access inline:{{relay.test = OK}}, reject_unauth_destination\n\
    minimal_backoff_time = 1h\n\
    maximal_backoff_time = 1h\n";

/// Mail of every fate, from the network: 6 delivered, 2 deferred recipients of one message, 1 bounced (with a notice that is
/// delivered), 3 held, 1 discarded, 7 rejected recipients, and clients that misbehave.
fn traffic() -> (Instance, Sink) {
    let sink = Sink::start(&[
        ("RCPT TO:<later", "450 4.2.1 try later"),
        ("RCPT TO:<gone", "550 5.1.1 gone"),
    ]);
    let instance = Instance::started(&format!("{}{SETTINGS}", sink.relayhost()), "");
    let send = |sender: &str, recipients: &[&str]| {
        let mut client = instance.smtp();
        let reply = client.send(sender, recipients, MAIL);
        client.say("QUIT");
        reply.code
    };
    let local = "alice@example.test";
    assert_eq!(send("a@client.test", &[local]), 250);
    assert_eq!(send("a@client.test", &[local, "bob@example.test"]), 250);
    assert_eq!(send("odd@client.test", &["ok@relay.test"]), 250);
    assert_eq!(
        send("a@client.test", &["later@relay.test", "later2@relay.test"]),
        250
    );
    assert_eq!(send(local, &["gone@relay.test"]), 250);
    for _ in 0..3 {
        assert_eq!(send("held@client.test", &[local]), 250);
    }
    assert_eq!(send("lost@client.test", &[local]), 250);
    for _ in 0..2 {
        assert_eq!(send("a@client.test", &["x@elsewhere.test"]), 554);
        assert_eq!(send("spam@client.test", &[local]), 554);
    }
    assert_eq!(send("later@client.test", &[local]), 450);
    assert_eq!(send("a@client.test", &["nobody@example.test"]), 550);
    let mut client = instance.smtp();
    client.say("HELO bad_name!");
    client.say("MAIL FROM:<a@client.test>");
    assert_eq!(client.say("RCPT TO:<alice@example.test>").code, 501);
    // Gone in the middle of things.
    client.say("RSET");
    drop(client);
    let mut client = instance.smtp();
    client.say("MAIL FROM:<a@client.test>");
    client.say("RCPT TO:<alice@example.test>");
    client.say("DATA");
    drop(client);
    instance.sendmail(&["-f", local, "bob@example.test"], MAIL);
    instance.wait_maildir("bob", 2);
    instance.wait_maildir("alice", 3);
    instance.wait_queue("deferred", 1);
    instance.wait_log("lost connection after DATA");
    instance.wait_log("lost connection after RSET");
    wait_for("an idle queue", || {
        (instance.queue("active").is_empty() && instance.queue("incoming").is_empty()).then_some(())
    });
    (instance, sink)
}

fn output(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("run");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Copies the log to a file of its own; tools read it while the mail system goes on.
fn log_file(instance: &Instance) -> std::path::PathBuf {
    instance.write("log.txt", instance.log().as_bytes());
    instance.file("log.txt")
}

#[test]
fn log_summaries_count_mail() {
    if !Path::new(SUMMARY).exists() {
        return skip("log summaries", "pflogsumm is not installed");
    }
    let (instance, _sink) = traffic();
    let report = output(Command::new(SUMMARY).arg(log_file(&instance)));
    let count = |what: &str| {
        let line = report.lines().find(|line| {
            let mut words = line.split_whitespace();
            words.next().is_some_and(|word| word.parse::<u64>().is_ok())
                && words.next() == Some(what)
        });
        let number = line.and_then(|line| line.split_whitespace().next());
        number.map(str::to_owned).unwrap_or_default()
    };
    let rows = [
        ("received", "11"),
        ("delivered", "6"),
        ("forwarded", "0"),
        ("deferred", "1"),
        ("bounced", "1"),
        ("rejected", "7"),
        ("held", "3"),
        ("discarded", "1"),
    ];
    let found: Vec<(&str, String)> = rows.iter().map(|(what, _)| (*what, count(what))).collect();
    let want: Vec<(&str, String)> = rows.map(|(what, count)| (what, count.to_owned())).into();
    assert_eq!(found, want, "{report}");
}

#[test]
fn bans_see_those_who_misbehave() {
    if !Path::new(FILTER).exists() {
        return skip("address bans", "fail2ban is not installed");
    }
    let (instance, _sink) = traffic();
    let log = log_file(&instance);
    let count = |mode: &str| {
        let filter = format!("{FILTER}[mode={mode}]");
        let text = output(Command::new("fail2ban-regex").arg(&log).arg(filter));
        let total = text.lines().find_map(|line| {
            let count = line.strip_prefix("Failregex: ")?.strip_suffix(" total")?;
            count.parse::<u32>().ok()
        });
        total.unwrap_or_else(|| panic!("{text}"))
    };
    let modes = [
        "normal",
        "more",
        "auth",
        "rbl",
        "ddos",
        "extra",
        "errors",
        "aggressive",
    ];
    assert_eq!(
        modes.map(|mode| (mode, count(mode))),
        [
            ("normal", 3),
            ("more", 3),
            ("auth", 0),
            ("rbl", 0),
            ("ddos", 1),
            ("extra", 3),
            ("errors", 0),
            ("aggressive", 4),
        ]
    );
}

#[test]
fn queue_monitors_read_the_listing() {
    let (instance, _sink) = traffic();
    instance.succeed("postfix", &["stop"]);
    let listing = instance.succeed("mailq", &[]);
    let lines: Vec<&str> = listing.lines().collect();
    // The rules of Nagios's check_mailq and of checkmk: the last line tells how many there are; an entry
    // begins with its queue ID, which `*` or `!` may follow.
    let last = lines.last().expect("a last line");
    let words: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(
        (words[0], words[2], words[3]),
        ("--", "Kbytes", "in"),
        "{last}"
    );
    assert_eq!((words[4], words[5]), ("4", "Requests."), "{last}");
    assert!(lines[0].starts_with("-Queue ID-"), "{listing}");
    let entries = lines.iter().filter(|line| {
        line.split(' ').next().is_some_and(|id| {
            let id = id.trim_end_matches(['*', '!', '#']);
            id.len() >= 6 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    assert_eq!(entries.count(), 4, "{listing}");
    let held = lines
        .iter()
        .filter(|line| line.split(' ').next().is_some_and(|id| id.ends_with('!')));
    assert_eq!(held.count(), 3, "{listing}");
    let reasons = lines
        .iter()
        .filter(|line| line.contains("450 4.2.1 try later"));
    assert_eq!(reasons.count(), 1, "one for both recipients: {listing}");
}

#[test]
fn queue_monitors_read_json() {
    let (instance, _sink) = traffic();
    let mut counts = std::collections::BTreeMap::new();
    for line in instance.succeed("postqueue", &["-j"]).lines() {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let queue = message["queue_name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        *counts.entry(queue).or_insert(0) += 1;
        assert!(message["arrival_time"].is_u64() && message["message_size"].is_u64());
    }
    let want = [("deferred".to_owned(), 1), ("hold".to_owned(), 3)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), want);
}

#[test]
fn readers_never_see_half_an_edit_and_editors_lose_none() {
    const ROUNDS: usize = 25;
    const EDITORS: usize = 3;
    let instance = Instance::for_test("", "");
    let path = instance.file("etc/main.cf");
    let text = fs::read_to_string(&path).expect("main.cf");
    let filler: String = (0..2000).map(|n| format!("# comment {n}\n")).collect();
    fs::write(&path, format!("{text}{filler}# the end\n")).expect("main.cf");
    let whole = fs::read_to_string(&path).expect("main.cf").lines().count();
    thread::scope(|scope| {
        let editors: Vec<_> = (0..EDITORS)
            .map(|editor| {
                let instance = &instance;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let setting = format!("editor{editor}_{round} = {round}");
                        instance.succeed("postconf", &["-e", &setting]);
                    }
                })
            })
            .collect();
        // Readers go on until all edits are there.
        while !editors.iter().all(thread::ScopedJoinHandle::is_finished) {
            let seen = fs::read_to_string(&path).expect("main.cf");
            assert!(
                seen.lines().count() >= whole,
                "{} lines",
                seen.lines().count()
            );
            assert!(seen.contains("\n# the end\n") && seen.ends_with('\n'));
            let listed = instance.succeed("postconf", &["-h", "myhostname"]);
            assert!(!listed.trim().is_empty());
        }
    });
    let text = fs::read_to_string(&path).expect("main.cf");
    for editor in 0..EDITORS {
        for round in 0..ROUNDS {
            let line = format!("\neditor{editor}_{round} = {round}\n");
            assert!(text.contains(&line), "{line}");
        }
    }
    let left = fs::read_dir(instance.file("etc")).expect("etc");
    let names = left.map(|entry| entry.expect("entry").file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().ends_with(".tmp"))
    );
}

/// What Ansible's usual tasks do: ask, set when it differs, ask again.
#[test]
fn configuration_management_settles_after_one_run() {
    let instance = Instance::for_test("", "");
    let path = instance.file("etc/main.cf");
    let wanted = [
        ("smtpd_banner", "$myhostname ESMTP"),
        ("mynetworks", "127.0.0.0/8 [::1]/128"),
        (
            "smtpd_relay_restrictions",
            "permit_mynetworks, reject_unauth_destination",
        ),
    ];
    let run = || {
        let mut changed = 0;
        for (name, value) in wanted {
            if instance.succeed("postconf", &["-h", name]).trim_end() != value {
                instance.succeed("postconf", &["-e", &format!("{name} = {value}")]);
                changed += 1;
            }
        }
        changed
    };
    assert!(run() > 0);
    let text = fs::read(&path).expect("main.cf");
    assert_eq!(run(), 0);
    for (name, value) in wanted {
        instance.succeed("postconf", &["-e", &format!("{name}={value}")]);
    }
    assert_eq!(fs::read(&path).expect("main.cf"), text);
}

/// The files that Mailman 3 writes for its lists, and the command that it runs on them.
#[test]
fn tables_of_a_list_manager_work() {
    let head = "# AUTOMATICALLY GENERATED BY MAILMAN ON 2026-01-02 03:04:05\n#\n\
        # This file is generated by Mailman, and is kept in sync with the binary hash\n# file.\n\n";
    let suffixes = [
        "",
        "-bounces",
        "-confirm",
        "-join",
        "-leave",
        "-owner",
        "-request",
        "-subscribe",
        "-unsubscribe",
    ];
    let section = |entry: &dyn Fn(&str) -> String| {
        let lines: String = suffixes.iter().map(|suffix| entry(suffix)).collect();
        format!("{head}# Aliases which are visible only in the @lists.test domain.\n{lines}")
    };
    let instance = Instance::for_test("", "");
    instance.write(
        "postfix_lmtp",
        section(&|suffix| {
            format!(
                "{:<40}lmtp:[127.0.0.1]:8024\n",
                format!("ant{suffix}@lists.test")
            )
        })
        .as_bytes(),
    );
    instance.write(
        "postfix_domains",
        format!("{head}lists.test lists.test\n").as_bytes(),
    );
    instance.write(
        "postfix_vmap",
        section(&|suffix| {
            format!(
                "{:<40}ant{suffix}@mailman.test\n",
                format!("ant{suffix}@alias.test")
            )
        })
        .as_bytes(),
    );
    let rows = [
        (
            "postfix_lmtp",
            "ANT-Bounces@lists.test",
            "lmtp:[127.0.0.1]:8024\n",
        ),
        ("postfix_domains", "lists.test", "lists.test\n"),
        ("postfix_vmap", "ant@alias.test", "ant@mailman.test\n"),
    ];
    for (file, key, want) in rows {
        let path = instance.file(file);
        let path = path.display();
        // Mailman gives the file alone; the type is the default one.
        instance.succeed("postmap", &[&path.to_string()]);
        let table = format!("hash:{path}");
        assert_eq!(instance.succeed("postmap", &["-q", key, &table]), want);
        let none = instance.run("postmap", &["-q", "bee@lists.test", &table]);
        assert_eq!((none.status.code(), none.stdout), (Some(1), Vec::new()));
    }
}
