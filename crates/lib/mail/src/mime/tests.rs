use super::*;

#[derive(Default)]
struct Trace(Vec<String>);

impl Handler for Trace {
    fn header(&mut self, part: Part, text: &BStr) {
        self.0.push(format!("{part:?} {text}"));
    }
    fn header_end(&mut self, empty_line: bool) {
        self.0.push(format!("end {empty_line}"));
    }
    fn body(&mut self, text: &BStr, _: LineEnd, offset: u64) {
        self.0.push(format!("{offset} {text}"));
    }
    fn error(&mut self, error: MimeError, text: &BStr) {
        self.0.push(format!("error {error}: {text}"));
    }
}

fn run(options: Options, text: &str) -> Vec<String> {
    let mut state = MimeState::new(options);
    let mut trace = Trace::default();
    for line in text.lines() {
        state.line(BStr::new(line), LineEnd::End, &mut trace);
    }
    state.finish(&mut trace);
    trace.0
}

fn body(options: Options, text: &str) -> Vec<String> {
    let text_of = |line: &String| line.split_once(' ').map(|(_, text)| text.to_owned());
    run(options, text)
        .iter()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(text_of)
        .collect()
}

#[test]
fn headers_are_told_apart_by_where_they_stand() {
    let text = "Subject: a\n b\nContent-Type: multipart/digest; boundary=x\n\npre\n--x\n\nSubject: in\n\ntext\n\
                --x\nContent-Type: text/plain\n\nz\n--x--\nX: y\n";
    let want = [
        "Primary Subject: a\n b",
        "Primary Content-Type: multipart/digest; boundary=x",
        "end true",
        "0 ",
        "1 pre",
        "5 --x",
        "0 ",
        "Nested Subject: in",
        "0 ",
        "1 text",
        "6 --x",
        "Mime Content-Type: text/plain",
        "0 ",
        "1 z",
        "0 --x--",
        "6 X: y",
    ];
    assert_eq!(run(Options::default(), text), want);
    let disabled = Options {
        parse_structure: false,
        ..Options::default()
    };
    assert_eq!(body(disabled, text).len(), 13);
}

#[test]
fn a_missing_empty_line_is_inserted_after_the_primary_header_only() {
    let want = ["Primary A: b", "end false", "0 ", "0 no header"];
    assert_eq!(run(Options::default(), "A: b\nno header\n"), want);
    let text = "Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\nno header\n";
    assert_eq!(run(Options::default(), text).last().unwrap(), "0 no header");
    assert_eq!(
        run(Options::default(), "A: b\n"),
        ["Primary A: b", "end false"]
    );
    assert_eq!(
        run(Options::default(), "A \t: b\n"),
        ["Primary A: b", "end false"]
    );
}

#[test]
fn boundaries_are_prefixes() {
    // Rows observed with Postfix 3.7.11.
    #[rustfmt::skip]
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("multipart/mixed; boundary=\"abc\"", &["abc", "abcdef", "ab", " abc", "ABC"], &["abc", "abcdef"]),
        ("multipart/mixed; boundary=abc", &["abc", "abc--", "abc"], &["abc"]),
        ("multipart/mixed; BOUNDARY = abc", &["abc"], &["abc"]),
        ("multipart/mixed; boundary=a(comment)bc", &["abc", "a"], &["abc", "a"]),
        ("multipart/mixed; boundary=\"\"", &["", "x"], &["x"]),
        ("multipart/mixed; boundary=\"a\\\"b\"", &["a\"b", "a\\\"b"], &["a\"b"]),
        ("multipart; boundary=abc", &["abc"], &["abc"]),
        ("text/plain; boundary=abc", &["abc"], &[]),
        ("multipart/mixed; boundary=\"abc", &["abc"], &["abc"]),
        ("multipart/mixed", &["abc"], &[]),
    ];
    for (kind, lines, want) in cases {
        let parts: String = lines
            .iter()
            .map(|line| format!("--{line}\nX-Seen: {line}\n\ntext\n"))
            .collect();
        let seen: Vec<String> = run(
            Options::default(),
            &format!("Content-Type: {kind}\n\n{parts}"),
        )
        .iter()
        .filter_map(|event| event.strip_prefix("Mime X-Seen: ").map(str::to_owned))
        .collect();
        assert_eq!(seen, *want, "{kind}");
    }
}

#[test]
fn errors_are_reported_once_each() {
    let all = Options {
        report_nesting: true,
        report_8bit_header: true,
        report_8bit_body: true,
        report_encoding_domain: true,
        nesting_limit: 2,
        ..Options::default()
    };
    let errors = |text: &str| -> Vec<String> {
        run(all.clone(), text)
            .into_iter()
            .filter(|event| event.starts_with("error"))
            .collect()
    };
    let nested = |depth: usize| {
        let mut text = "Content-Type: multipart/mixed; boundary=b0\n\n".to_owned();
        for level in 0..depth {
            text += &format!(
                "--b{level}\nContent-Type: multipart/mixed; boundary=b{}\n\n",
                level + 1
            );
        }
        text
    };
    assert!(errors(&nested(3)).is_empty());
    let want =
        ["error MIME nesting exceeds safety limit: Content-Type: multipart/mixed; boundary=b4"];
    assert_eq!(errors(&nested(4)), want);
    let want = ["error improper use of 8-bit data in message body: \u{e9}"];
    assert_eq!(errors("Subject: x\n\n\u{e9}\n\u{e8}\n"), want);
    assert!(errors("Content-Transfer-Encoding: 8bit\n\n\u{e9}\n").is_empty());
    let want = ["error improper use of 8-bit data in message header: A: \u{e9}"];
    assert_eq!(errors("A: \u{e9}\n"), want);
    let want = ["error invalid message/* or multipart/* encoding domain: base64"];
    assert_eq!(
        errors("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nx\n"),
        want
    );
}

#[test]
fn eight_bit_parts_become_quoted_printable() {
    let options = Options {
        downgrade: true,
        ..Options::default()
    };
    let long = format!(
        "{} end of a line that is longer than seventy-six characters = in all \t",
        "\u{e4}".repeat(30)
    );
    let text = format!("Content-Transfer-Encoding: 8bit\n\n{long}\ntrailing blank \n.\n=\n");
    let want = [
        "",
        "=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=",
        "=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4=",
        "=C3=A4=C3=A4=C3=A4=C3=A4=C3=A4 end of a line that is longer than seventy-=",
        "six characters =3D in all =09",
        "trailing blank=20",
        ".",
        "=3D",
    ];
    assert_eq!(body(options.clone(), &text), want);
    let text = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n\u{e9}\n--b\n\
                Content-Transfer-Encoding: 8bit\n\n\u{e9}\n--b--\n\u{e9}\n";
    assert_eq!(
        body(options.clone(), text),
        ["", "\u{e9}", "--b", "", "=C3=A9", "--b--", "\u{e9}"]
    );
    let events = run(options, text);
    assert!(events.contains(&"Primary Content-Transfer-Encoding: 7bit".to_owned()));
    assert!(events.contains(&"Mime Content-Transfer-Encoding: quoted-printable".to_owned()));
}

#[test]
fn message_types_differ_in_the_encodings_that_they_may_have() {
    let rows = [
        // type, encodings that are reported, whether the header in a base64 part is seen
        ("rfc822", &["quoted-printable", "base64"][..], true),
        ("global", &[], true),
        ("partial", &["8bit", "binary"], false),
        ("external-body", &["8bit", "binary"], false),
        ("delivery-status", &[], false),
    ];
    for (subtype, bad, nested) in rows {
        let text = |encoding: &str| {
            format!(
                "Content-Type: message/{subtype}\nContent-Transfer-Encoding: {encoding}\n\nA: b\n"
            )
        };
        let errors = |text: &str| {
            let options = Options {
                report_encoding_domain: true,
                ..Options::default()
            };
            let mut events = run(options, text);
            events.retain(|event| event.contains("encoding domain"));
            events
        };
        for encoding in [
            "7bit",
            "8bit",
            "binary",
            "quoted-printable",
            "base64",
            "x-uu",
        ] {
            let reported = !errors(&text(encoding)).is_empty();
            assert_eq!(reported, bad.contains(&encoding), "{subtype} {encoding}");
        }
        let events = run(Options::default(), &text("base64"));
        assert_eq!(
            events.contains(&"Nested A: b".to_owned()),
            nested,
            "{subtype}"
        );
    }
}

#[test]
fn eight_bit_message_parts_become_quoted_printable_but_for_messages_of_their_own() {
    let options = Options {
        downgrade: true,
        ..Options::default()
    };
    for (subtype, label, line) in [
        ("rfc822", "7bit", "A: \u{e4}"),
        ("global", "quoted-printable", "A: =C3=A4"),
        ("partial", "7bit", "A: =C3=A4"),
        ("delivery-status", "7bit", "A: =C3=A4"),
    ] {
        let text = format!(
            "Content-Type: message/{subtype}\nContent-Transfer-Encoding: 8bit\n\nA: \u{e4}\n"
        );
        let events = run(options.clone(), &text);
        let header = format!("Primary Content-Transfer-Encoding: {label}");
        assert!(events.contains(&header), "{subtype}: {events:?}");
        assert!(
            events.iter().any(|event| event.ends_with(line)),
            "{subtype}: {events:?}"
        );
    }
}

#[test]
fn long_headers_stop_growing() {
    let options = Options {
        header_size_limit: 20,
        ..Options::default()
    };
    let events = run(options, "A: 0123456789\n 0123456789\n dropped\nB: c\n");
    assert_eq!(
        events,
        [
            "Primary A: 0123456789\n 0123456789",
            "Primary B: c",
            "end false"
        ]
    );
}

proptest::proptest! {
    #[test]
    fn any_body_survives(text in "[ -~\u{e9}\n]{0,200}") {
        let message = format!("Content-Type: multipart/mixed; boundary=b\n\n{text}\n--b\n\n{text}\n");
        let lines = run(Options::default(), &message).into_iter().filter(|e| !e.starts_with("end")).count();
        proptest::prop_assert!(lines <= message.lines().count() + 1);
    }
}
