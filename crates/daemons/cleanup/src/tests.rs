//! Record streams in, queue files out; expected files were written by Postfix 3.7.11.

use std::path::Path;

use postern_config::Config;
use postern_ipc::cleanup::{Reply, flag, status};
use postern_queue_file::RecordType;
use postern_queue_file::record::{encode, read_record};

use crate::Cleanup;
use crate::message::Message;
use crate::session::receive;

const BASE: &str = "myhostname = mail.example.test\nmydestination = $myhostname, localhost, $mydomain\n\
    inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\ncompatibility_level = 3.6\n";

struct Outcome {
    reply: Reply,
    /// Name of the queue and the records, `T` and `create_time` left out.
    file: Option<(String, Vec<String>)>,
}

/// Runs one message through cleanup in a private queue directory.
fn run(settings: &str, flags: i32, stream: &[u8]) -> Outcome {
    let config = Config::from_text(&format!("{BASE}{settings}")).unwrap();
    let root = tempfile::tempdir().unwrap();
    for name in ["incoming", "hold", "defer", "bounce", "trace"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    let mut cleanup = Cleanup::new(&config).unwrap();
    cleanup.queue = cleanup.queue.below(root.path());
    let file = cleanup.queue.create().unwrap();
    let mut message = Message::new(&mut cleanup, file);
    let mut input = format!("flags\0{flags}\0\0").into_bytes();
    input.extend_from_slice(stream);
    receive(&mut message, &mut input.as_slice(), "cleanup socket");
    let reply = message.finish();
    Outcome {
        reply,
        file: written(root.path()),
    }
}

#[test]
fn a_client_that_is_gone_leaves_no_file() {
    let config = Config::from_text(BASE).unwrap();
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("incoming")).unwrap();
    let mut cleanup = Cleanup::new(&config).unwrap();
    cleanup.queue = cleanup.queue.below(root.path());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(theirs);
    let channel = postern_wire::Channel::new(ours.into());
    crate::session::serve(&mut cleanup, channel, "cleanup socket");
    let left = std::fs::read_dir(root.path().join("incoming")).unwrap();
    assert_eq!(left.count(), 0);
}

fn written(root: &Path) -> Option<(String, Vec<String>)> {
    let mut found = Vec::new();
    for queue in ["incoming", "hold"] {
        for entry in std::fs::read_dir(root.join(queue)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            found.push((queue.to_owned(), records(&bytes)));
        }
    }
    assert!(found.len() <= 1, "one message makes one file");
    found.pop()
}

fn records(mut bytes: &[u8]) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some((kind, data)) = read_record(&mut bytes).unwrap() {
        let row = format!("{} {data}", char::from(kind.0));
        let varies = kind == RecordType::TIME
            || row.contains("create_time=")
            || row.contains("Message-Id: <20");
        if !varies {
            rows.push(row);
        }
    }
    rows
}

fn stream(rows: &[(char, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, data) in rows {
        encode(
            &mut out,
            RecordType(u8::try_from(*kind).unwrap()),
            data.as_bytes(),
        );
    }
    out
}

/// A whole message: envelope rows, content lines, extracted rows.
fn message(envelope: &[(char, &str)], content: &[&str], extracted: &[(char, &str)]) -> Vec<u8> {
    let mut rows = vec![('T', "1795633441 329940")];
    rows.extend_from_slice(envelope);
    rows.push(('M', ""));
    rows.push(('N', "Received: x"));
    rows.extend(content.iter().map(|line| ('N', *line)));
    rows.push(('X', ""));
    rows.extend_from_slice(extracted);
    rows.push(('E', ""));
    stream(&rows)
}

const FULL: [&str; 6] = [
    "Subject: s",
    "Message-Id: <m>",
    "Date: d",
    "From: f@x",
    "",
    "b",
];

fn simple(recipients: &[&str]) -> Vec<u8> {
    let mut envelope = vec![('S', "s@a.test")];
    envelope.extend(recipients.iter().map(|recipient| ('R', *recipient)));
    message(&envelope, &FULL, &[])
}

fn recipients(settings: &str, addresses: &[&str]) -> Vec<String> {
    let outcome = run(settings, flag::MAP_OK, &simple(addresses));
    let (_, rows) = outcome.file.unwrap_or_default();
    rows.iter()
        .filter_map(|row| row.strip_prefix("R "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_queue_file_is_what_postfix_writes() {
    let content = ["To: a, b@c", "Subject: s", "", "b"];
    let outcome = run(
        "",
        flag::MAP_OK,
        &message(
            &[
                ('A', "rewrite_context=local"),
                ('S', "s@a.test"),
                ('R', "r@b.test"),
            ],
            &content,
            &[],
        ),
    );
    assert_eq!(outcome.reply.status, 0);
    let (queue, rows) = outcome.file.unwrap();
    assert_eq!(queue, "incoming");
    let want = [
        "C             230             226               1               0             230               0",
        "A rewrite_context=local",
        "S s@a.test",
        "A dsn_orig_rcpt=rfc822;r@b.test",
        "O r@b.test",
        "R r@b.test",
        "M ",
        "N Received: x",
        "N To: a@mail.example.test, b@c",
        "N Subject: s",
        "N Date: Wed, 25 Nov 2026 19:04:01 +0000 (UTC)",
        "N From: s@a.test",
        "N ",
        "N b",
        "X ",
        "E ",
    ];
    // The local time zone of the test machine is not ours to choose.
    let masked = |rows: &[String]| {
        rows.iter()
            .map(|row| row.split(", 25 Nov").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let want: Vec<String> = want.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(masked(&rows)[1..], masked(&want)[1..]);
    assert_eq!(rows[0].split_ascii_whitespace().nth(2), Some("226"));
}

#[test]
fn copies_and_dsn_attributes_stand_where_postfix_puts_them() {
    let settings = "sender_bcc_maps = inline:{s@a.test=sbcc@x.test}\nrecipient_bcc_maps = inline:{r@b.test=rbcc@x.test}\n\
        always_bcc = abcc\ndelay_warning_time = 1h\nvirtual_alias_maps = inline:{{v@b.test = v1, v2@y.test}}\n";
    let envelope = [
        ('L', "smtp:[1.2.3.4]"),
        ('S', "s@a.test"),
        ('A', "encoding=8bit"),
        ('A', "notify_flags=2"),
        ('A', "dsn_orig_rcpt=rfc822;orig@z"),
        ('R', "r@b.test"),
        ('O', "orig"),
        ('R', "v@b.test"),
        ('f', "4"),
    ];
    let outcome = run(
        settings,
        flag::MASK_EXTERNAL,
        &message(&envelope, &FULL, &[('R', "ext@q")]),
    );
    let (queue, rows) = outcome.file.unwrap();
    assert_eq!(queue, "hold");
    let want = [
        "L smtp:[1.2.3.4]",
        "S s@a.test",
        "A notify_flags=1",
        "O sbcc@x.test",
        "R sbcc@x.test",
        "A encoding=8bit",
        "W      1795637041",
        "A notify_flags=2",
        "A dsn_orig_rcpt=rfc822;orig@z",
        "O r@b.test",
        "R r@b.test",
        "A notify_flags=1",
        "O rbcc@x.test",
        "R rbcc@x.test",
        "A dsn_orig_rcpt=rfc822;v@b.test",
        "O orig",
        "R v1@mail.example.test",
        "A dsn_orig_rcpt=rfc822;v@b.test",
        "O orig",
        "R v2@y.test",
        "M ",
    ];
    assert_eq!(rows[1..=want.len()], want);
    let tail = [
        "A encoding=8bit",
        "A dsn_orig_rcpt=rfc822;ext@q",
        "O ext@q",
        "R ext@q",
        "A notify_flags=1",
        "O abcc@mail.example.test",
        "R abcc@mail.example.test",
        "E ",
    ];
    assert_eq!(rows[rows.len() - tail.len()..], tail);
}

#[test]
fn mime_errors_count_at_the_end_and_after_what_the_checks_say() {
    let reply = |checks: &str, content: &[&str]| {
        let settings = format!(
            "strict_8bitmime = yes\nstrict_7bit_headers = yes\nstrict_mime_encoding_domain = yes\n{checks}"
        );
        let envelope = [('S', "s@a.test"), ('R', "r@b.test")];
        let stream = message(&envelope, content, &[]);
        let reply = run(&settings, flag::MASK_EXTERNAL, &stream).reply;
        (reply.status, reply.reason.to_string())
    };
    let content = [
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: base64",
        "X-8bit: \u{e4}",
        "",
        "Subject: inner",
        "",
        "\u{e4}",
        "bad",
    ];
    let checks = "body_checks = pcre:{{/^bad/ REJECT bad body}}\n";
    assert_eq!(
        reply("", &content),
        (
            status::CONTENT,
            "5.6.0 improper use of 8-bit data in message header".to_owned()
        )
    );
    assert_eq!(
        reply(checks, &content),
        (status::CONTENT, "5.7.1 bad body".to_owned())
    );
}

#[test]
fn the_value_of_a_bcc_table_is_one_address_whatever_it_looks_like() {
    for (value, want) in [
        ("alice", "R alice@mail.example.test"),
        ("alice,bob", "R alice,bob@mail.example.test"),
        ("<alice>", "R <alice>@mail.example.test"),
    ] {
        let settings = format!("sender_bcc_maps = inline:{{{{s@a.test={value}}}}}");
        let mail = message(&[('S', "s@a.test"), ('R', "r@b.test")], &FULL, &[]);
        let (_, rows) = run(&settings, flag::MASK_EXTERNAL, &mail).file.unwrap();
        assert!(rows.iter().any(|row| row == want), "{value}: {rows:?}");
    }
}

#[test]
fn input_errors_have_their_status_and_leave_no_file() {
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, i32)] = &[
        ("nothing", vec![], status::BAD),
        ("no sender", stream(&[('T', "1 1"), ('R', "r"), ('E', "")]), status::BAD),
        ("no time", stream(&[('S', "s"), ('R', "r"), ('E', "")]), status::BAD),
        ("two senders", stream(&[('T', "1 1"), ('S', "s"), ('S', "s"), ('E', "")]), status::BAD),
        ("unknown letter", stream(&[('T', "1 1"), ('S', "s"), ('Q', ""), ('E', "")]), status::BAD),
        ("pointer", stream(&[('T', "1 1"), ('S', "s"), ('p', "0"), ('E', "")]), status::BAD),
        ("no recipient", message(&[('S', "s")], &FULL, &[]), status::RCPT),
        ("bad attribute", message(&[('A', "x"), ('S', "s"), ('R', "r")], &FULL, &[]), status::BAD),
        ("bad context", message(&[('A', "rewrite_context=x"), ('S', "s"), ('R', "r")], &FULL, &[]), status::BAD),
        ("milters to take over", message(&[('m', "1"), ('S', "s"), ('R', "r")], &FULL, &[]), status::BAD | status::WRITE),
        ("no end", stream(&[('T', "1 1"), ('S', "s"), ('R', "r"), ('M', ""), ('N', "Received: x"), ('X', "")]), status::BAD),
        ("no received", stream(&[('T', "1 1"), ('S', "s"), ('R', "r"), ('M', ""), ('X', ""), ('E', "")]), status::BAD),
        ("truncated", b"T\x05ab".to_vec(), status::BAD),
    ];
    for (name, stream, want) in cases {
        let outcome = run("", flag::MAP_OK, stream);
        assert_ne!(outcome.reply.status & want, 0, "{name}");
        assert_eq!(outcome.file, None, "{name}");
    }
}

#[test]
fn virtual_aliases_expand_in_postfix_order() {
    let maps = "virtual_alias_maps = inline:{{a@t.t = b@t.t c@t.t},{b@t.t=d@t.t e@t.t},{c@t.t=f@t.t g@t.t},{d@t.t=h@t.t},\
        {s@t.t=s@t.t x@t.t},{x@t.t=s@t.t y@t.t},{u@t.t=v@t.t u@t.t},{v@t.t=u@t.t w@t.t},\
        {@cc.t=@dd.t},{plain=p2@x},{n@t.t=<>}}\nrecipient_delimiter = +\n";
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("a@t.t", &["h@t.t", "f@t.t", "e@t.t", "g@t.t"]),
        ("s@t.t", &["s@t.t", "y@t.t"]),
        ("x@t.t", &["s@t.t", "y@t.t"]),
        ("u@t.t", &["u@t.t", "w@t.t"]),
        ("v@t.t", &["u@t.t", "w@t.t"]),
        ("k+l@cc.t", &["k+l@dd.t"]),
        ("plain+z", &["p2+z@x"]),
        ("other@t.t", &["other@t.t"]),
        ("n@t.t", &[""]),
    ];
    for (address, want) in cases {
        assert_eq!(recipients(maps, &[address]), *want, "{address}");
    }
}

#[test]
fn expansion_limits_defer_the_message() {
    let maps = "virtual_alias_recursion_limit = 3\nvirtual_alias_expansion_limit = 5\nvirtual_alias_maps = inline:{\
        {n1@t.t=n2@t.t},{n2@t.t=n3@t.t},{n3@t.t=n4@t.t},{e5@t.t=1@t.t 2@t.t 3@t.t 4@t.t 5@t.t},{e6@t.t=1@t.t 2@t.t 3@t.t 4@t.t 5@t.t 6@t.t}}\n";
    assert_eq!(recipients(maps, &["n2@t.t"]), ["n4@t.t"]);
    assert_eq!(recipients(maps, &["e5@t.t"]).len(), 5);
    for address in ["n1@t.t", "e6@t.t"] {
        let outcome = run(maps, flag::MAP_OK, &simple(&[address]));
        assert_eq!(outcome.reply.status, status::DEFER, "{address}");
        assert_eq!(outcome.reply.reason, "4.6.0 Alias expansion error");
        assert_eq!(outcome.file, None);
    }
}

#[test]
fn canonical_maps_and_masquerading_change_recipients() {
    let maps = "canonical_maps = inline:{{i@b.t=j@b.t},{k@b.t=k1@b k2@c},{l@b.t=l},{o@b.t=@zz.t},{q@b.t=Q <q3@z>}}\n\
        masquerade_domains = !keep.x.t x.t\nmasquerade_classes = envelope_recipient\nmasquerade_exceptions = root\n\
        recipient_delimiter = +\n";
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("i@b.t", "j@b.t"),
        ("k@b.t", "k1@b"),
        ("l+p@b.t", "l+p@mail.example.test"),
        ("o+x@b.t", "o+x@zz.t"),
        ("q@b.t", "q3@z"),
        ("a@h.X.t", "a@x.t"),
        ("root@h.x.t", "root@h.x.t"),
        ("a@sub.keep.x.t", "a@sub.keep.x.t"),
        ("a@hx.t", "a@hx.t"),
    ];
    for (address, want) in cases {
        assert_eq!(recipients(maps, &[address]), [*want], "{address}");
    }
}

#[test]
fn duplicate_recipients_are_written_once() {
    let twice = ["A@B", "a@b", "A@b+x", "a@b"];
    assert_eq!(recipients("", &twice), ["A@B", "A@b+x"]);
    let different = [("O", "x"), ("O", "y")];
    assert_eq!(different.len(), recipients("", &["x@y", "z@y"]).len());
    assert_eq!(
        recipients("duplicate_filter_limit = 1\n", &["a@b", "c@d", "c@d"]),
        ["a@b", "c@d", "c@d"]
    );
}

#[test]
fn table_errors_never_lose_or_accept_mail() {
    for parameter in [
        "virtual_alias_maps",
        "canonical_maps",
        "recipient_canonical_maps",
        "sender_canonical_maps",
        "recipient_bcc_maps",
        "sender_bcc_maps",
        "header_checks",
        "body_checks",
    ] {
        let outcome = run(
            &format!("{parameter} = fail:x\n"),
            flag::MASK_EXTERNAL,
            &simple(&["r@b.t"]),
        );
        assert_eq!(outcome.reply.status, status::WRITE, "{parameter}");
        assert_eq!(outcome.file, None, "{parameter}");
    }
}

#[test]
fn header_checks_decide() {
    let settings = "header_checks = regexp:{{/: rej4/ REJECT 4.1.1 later},{/: rej/ REJECT},{/: hold/ HOLD},{/: strip/ STRIP},\
        {/: pre/ PREPEND X-New: 1},{/: repl/ REPLACE X-Other: 2},{/: disc/ DISCARD},{/: filt/ FILTER a:b},{/: redir/ REDIRECT q@r}}\n";
    let check = |word: &str| {
        let line = format!("X: {word}");
        let content = [
            line.as_str(),
            "Message-Id: <m>",
            "Date: d",
            "From: f@x",
            "",
            "b",
        ];
        run(
            settings,
            flag::MASK_EXTERNAL,
            &message(&[('S', "s@a"), ('R', "r@b")], &content, &[]),
        )
    };
    let has = |outcome: &Outcome, row: &str| {
        outcome
            .file
            .as_ref()
            .is_some_and(|(_, rows)| rows.iter().any(|r| r == row))
    };
    let refused = check("rej");
    assert_eq!(
        (refused.reply.status, refused.reply.reason.to_string()),
        (status::CONTENT, "5.7.1 message content rejected".to_owned())
    );
    let later = check("rej4");
    assert_eq!(
        (later.reply.status, later.reply.reason.to_string()),
        (status::DEFER, "4.1.1 later".to_owned())
    );
    assert_eq!(check("hold").file.unwrap().0, "hold");
    assert!(!has(&check("strip"), "N X: strip"));
    assert!(has(&check("pre"), "N X-New: 1") && has(&check("pre"), "N X: pre"));
    assert!(has(&check("repl"), "N X-Other: 2") && !has(&check("repl"), "N X: repl"));
    assert!(has(&check("filt"), "L a:b"));
    assert!(has(&check("redir"), "> q@r"));
    let discarded = check("disc");
    assert_eq!((discarded.reply.status, discarded.file), (0, None));
}

#[test]
fn too_large_files_and_too_many_hops_are_refused() {
    let outcome = run(
        "message_size_limit = 500\n",
        0,
        &message(&[('S', "s"), ('R', "r")], &["", &"x".repeat(600)], &[]),
    );
    assert_eq!((outcome.reply.status, outcome.file), (status::SIZE, None));
    let outcome = run(
        "hopcount_limit = 3\n",
        0,
        &message(
            &[('S', "s"), ('R', "r")],
            &["Received: a", "Received: b", ""],
            &[],
        ),
    );
    assert_eq!((outcome.reply.status, outcome.file), (status::HOPS, None));
}

#[test]
fn smtputf8_is_detected_when_asked_for() {
    let option = |flags: i32, sender: &str, header: &str| {
        let outcome = run(
            "",
            flags,
            &message(&[('S', sender), ('R', "r@b")], &[header, "", "b"], &[]),
        );
        let (_, rows) = outcome.file.unwrap();
        rows[0].split_ascii_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(option(flag::MAP_OK, "\u{e9}@x", "Subject: \u{e9}"), "6");
    assert_eq!(option(flag::AUTOUTF8, "\u{e9}@x", "Subject: s"), "5");
    assert_eq!(option(flag::AUTOUTF8, "e@x", "Subject: \u{e9}"), "3");
    assert_eq!(option(flag::SMTPUTF8, "e@x", "Subject: s"), "1");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn any_record_stream_is_answered_and_success_means_a_whole_file(
        letters in "[TSRAMNLXEOFVWDion/pwmQ]{0,30}",
        texts in proptest::collection::vec("[ -~\u{e9}]{0,20}", 30),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20),
    ) {
        let mut bytes = stream(&[('T', "1 1"), ('S', "s@x"), ('R', "r@y"), ('M', ""), ('N', "Received: x")]);
        let keep = letters.len() % 5;
        if keep == 0 {
            bytes.clear();
        }
        for (letter, text) in letters.chars().zip(&texts) {
            encode(&mut bytes, RecordType(u8::try_from(letter).unwrap()), text.as_bytes());
        }
        if letters.len() % 3 == 0 {
            bytes.extend_from_slice(&noise);
        }
        let outcome = run("", flag::MASK_EXTERNAL, &bytes);
        match outcome.file {
            Some((_, rows)) => {
                proptest::prop_assert_eq!(outcome.reply.status, 0);
                proptest::prop_assert!(rows.last().is_some_and(|row| row == "E "));
            }
            None => proptest::prop_assert_ne!(outcome.reply.status, 0),
        }
    }
}
