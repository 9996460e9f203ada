//! Scripted sessions over a socket pair, with a cleanup service that the test controls.

use postern_config::Config;
use postern_queue_file::record::read_record;
use postern_server::{Client, ClientKind};
use postern_wire::Channel;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::server::Server;
use crate::session::Session;

mod owners;
mod restrictions;

/// How the cleanup of a test behaves.
#[derive(Debug, Clone, Copy)]
enum Cleanup {
    /// Answers with this status and reason.
    Answers(i32, &'static str),
    /// Takes everything and then closes without a verdict.
    DiesAtTheEnd,
    /// Closes when the first record has come.
    DiesEarly,
    /// Closes instead of saying hello.
    Refuses,
}

/// A session in a thread of its own.
struct Talk {
    client: UnixStream,
    reader: BufReader<UnixStream>,
    session: JoinHandle<()>,
    mail: Receiver<Vec<String>>,
    _directory: tempfile::TempDir,
}

impl Talk {
    fn new(settings: &str, cleanup: Cleanup) -> Self {
        Self::greeted(settings, cleanup, "220 mx.example.test ESMTP Postfix")
    }

    #[track_caller]
    fn greeted(settings: &str, cleanup: Cleanup, greeting: &str) -> Self {
        Self::prepared(settings, cleanup, greeting, |_| ())
    }

    /// A session to which `prepare` happened before it began.
    #[track_caller]
    fn prepared(
        settings: &str,
        cleanup: Cleanup,
        greeting: &str,
        prepare: impl FnOnce(&mut Session<'_>) + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("cleanup");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, mail) = channel();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let _ = serve_cleanup(stream, cleanup, &sender);
            }
        });
        let text = format!(
            "compatibility_level = 3.6\nmyhostname = mx.example.test\nmydomain = example.test\nmyorigin = example.test\n\
             mydestination = example.test\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\n\
             local_recipient_maps = inline:{{{{alice=x}}, {{bob=x}}}}\nalias_maps =\nqueue_minfree = 0\n\
             smtpd_peername_lookup = no\nsmtpd_client_connection_count_limit = 0\nsmtpd_error_sleep_time = 0\n\
             cleanup_service_name = {}\nqueue_directory = {}\n{settings}\n",
            socket.display(),
            directory.path().display()
        );
        let (near, far) = UnixStream::pair().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let session = std::thread::spawn(move || {
            let config = Config::from_text(&text).unwrap();
            let mut server = Server::new(&config, "smtp").unwrap();
            let client = Client {
                channel: Channel::new(OwnedFd::from(far)),
                kind: ClientKind::Unix,
            };
            let mut session = Session::new(&mut server, client, false);
            prepare(&mut session);
            session.run();
        });
        let reader = BufReader::new(near.try_clone().unwrap());
        let mut talk = Self {
            client: near,
            reader,
            session,
            mail,
            _directory: directory,
        };
        assert_eq!(talk.reply(), greeting, "{settings}");
        talk
    }

    /// One reply; its lines joined with `|`. Empty when the server closed the connection.
    fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                break;
            }
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line.trim_end().to_owned());
            if !more {
                break;
            }
        }
        lines.join("|")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).unwrap();
    }

    fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    #[track_caller]
    fn check(&mut self, steps: &[(&str, &str)]) {
        for (line, want) in steps {
            assert_eq!(self.say(line), *want, "{line:?}");
        }
    }

    /// Ends the session and gives what cleanup was given.
    fn finish(mut self) -> Vec<Vec<String>> {
        let _ = self.client.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let _ = self.reader.read_to_end(&mut rest);
        self.session.join().unwrap();
        self.mail.try_iter().collect()
    }
}

/// Speaks cleanup's side; hands the records of a complete message, each with its letter, to `mail` before
/// it answers, so that they are there when the session has its answer.
fn serve_cleanup(
    mut stream: UnixStream,
    behaviour: Cleanup,
    mail: &Sender<Vec<String>>,
) -> Option<()> {
    if matches!(behaviour, Cleanup::Refuses) {
        return None;
    }
    stream
        .write_all(b"protocol\0cleanup_protocol\0queue_id\0ABCDEF\0\0")
        .ok()?;
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut flags = Vec::new();
    for _ in 0..3 {
        input.read_until(0, &mut flags).ok()?;
    }
    let mut records = Vec::new();
    loop {
        let (kind, data) = read_record(&mut input).ok()??;
        records.push(format!("{}{data}", char::from(kind.0)));
        if matches!(behaviour, Cleanup::DiesEarly) {
            return None;
        }
        if kind.0 == b'E' {
            break;
        }
    }
    match behaviour {
        Cleanup::Answers(status, reason) => {
            mail.send(records).ok()?;
            let status = u32::from_ne_bytes(status.to_ne_bytes());
            stream
                .write_all(format!("status\0{status}\0reason\0{reason}\0\0").as_bytes())
                .ok()
        }
        _ => None,
    }
}

const GOOD: Cleanup = Cleanup::Answers(0, "");

#[test]
fn a_message_becomes_records_in_the_order_of_the_queue_file() {
    let mut talk = Talk::new("", GOOD);
    talk.check(&[
        ("HELO client.test", "250 mx.example.test"),
        (
            "MAIL FROM:<\"a b\"@example.org> BODY=8BITMIME",
            "250 2.1.0 Ok",
        ),
        ("RCPT TO:<Alice@example.test> NOTIFY=NEVER", "250 2.1.5 Ok"),
        ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
    ]);
    talk.send(b"Subject: x\r\n\r\n..dot\r\nlast\r\n.\r\n");
    assert_eq!(talk.reply(), "250 2.0.0 Ok: queued as ABCDEF");
    let mail = talk.finish();
    let records: Vec<&str> = mail[0]
        .iter()
        .map(String::as_str)
        .filter(|record| !record.starts_with('T'))
        .collect();
    let want = [
        "Alog_ident=ABCDEF",
        "Arewrite_context=local",
        "Sa b@example.org",
        "Aencoding=8bit",
        "Alog_client_name=localhost",
        "Alog_client_address=127.0.0.1",
        "Alog_client_port=0",
        "Alog_message_origin=localhost[127.0.0.1]",
        "Alog_helo_name=client.test",
        "Alog_protocol_name=SMTP",
        "Aclient_name=localhost",
        "Areverse_client_name=localhost",
        "Aclient_address=127.0.0.1",
        "Aclient_port=0",
        "Aserver_address=127.0.0.1",
        "Aserver_port=0",
        "Ahelo_name=client.test",
        "Aprotocol_name=SMTP",
        "Aclient_address_type=0",
        "Anotify_flags=1",
        "Adsn_orig_rcpt=rfc822;Alice@example.test",
        "RAlice@example.test",
        "M",
        "NReceived: from client.test (localhost [127.0.0.1])",
        "N\tby mx.example.test (Postfix) with SMTP id ABCDEF",
    ];
    assert_eq!(records[..want.len()], want);
    assert!(records[want.len()].starts_with("N\tfor <Alice@example.test>; "));
    assert_eq!(
        records[want.len() + 1..],
        ["NSubject: x", "N", "N.dot", "Nlast", "X", "E"]
    );
}

#[test]
fn replies_to_a_batch_come_in_one_piece() {
    let mut talk = Talk::new("", GOOD);
    talk.say("EHLO client.test");
    talk.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n");
    let mut buffer = [0; 4096];
    let count = talk.reader.get_mut().read(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let codes: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "550", "250", "354"]);
    talk.send(b"Subject: x\r\n.\r\nQUIT\r\n");
    assert_eq!(talk.reply(), "250 2.0.0 Ok: queued as ABCDEF");
    assert_eq!(talk.reply(), "221 2.0.0 Bye");
    assert_eq!(talk.finish().len(), 1);
}

#[test]
fn nothing_is_acknowledged_that_cleanup_did_not_take() {
    const WRITE: &str = "451 4.3.0 Error: queue file write error";
    #[rustfmt::skip]
    let cases = [
        (Cleanup::DiesAtTheEnd, WRITE),
        (Cleanup::DiesEarly, WRITE),
        (Cleanup::Answers(2, ""), WRITE),
        (Cleanup::Answers(1, ""), "451 4.3.0 Error: internal error 1"),
        (Cleanup::Answers(4, ""), "552 5.3.4 Error: message file too big"),
        (Cleanup::Answers(16, ""), "554 5.4.0 Error: too many hops"),
        (Cleanup::Answers(8, "5.7.1 no"), "550 5.7.1 no"),
        (Cleanup::Answers(8, ""), "550 5.7.1 Error: message content rejected"),
        (Cleanup::Answers(8, "521 5.7.9 go"), "521 5.7.9 go"),
        (Cleanup::Answers(256, "4.6.0 Alias expansion error"), "451 4.6.0 Alias expansion error"),
        (Cleanup::Answers(256, ""), "451 4.7.1 Error: service unavailable"),
    ];
    for (cleanup, want) in cases {
        let mut talk = Talk::new("", cleanup);
        talk.check(&[
            ("EHLO x", "250-mx.example.test|250-PIPELINING|250-SIZE 10240000|250-VRFY|250-ETRN|250-ENHANCEDSTATUSCODES|250-8BITMIME|250-DSN|250-SMTPUTF8|250 CHUNKING"),
            ("MAIL FROM:<>", "250 2.1.0 Ok"),
            ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
            ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
        ]);
        talk.send(b"Subject: x\r\n\r\ntext\r\n.\r\n");
        assert_eq!(talk.reply(), want, "{cleanup:?}");
        talk.finish();
    }
    let mut talk = Talk::new("", Cleanup::Refuses);
    talk.check(&[
        ("MAIL FROM:<>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", WRITE),
        ("DATA", "554 5.5.1 Error: no valid recipients"),
    ]);
    talk.finish();
}

#[test]
fn mail_does_not_pass_filters_that_cannot_be_asked() {
    const LATER: &str = "451 4.7.1 Service unavailable - try again later";
    const LOCAL: (&str, &str) = ("MAIL FROM:<>", "250 2.1.0 Ok");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)]);
    let milter = "smtpd_milters = unix:nowhere\nmilter_default_action";
    let cases: [Case<'_>; 8] = [
        (
            &format!("{milter} = tempfail"),
            &[
                ("HELO x", "250 mx.example.test"),
                ("MAIL FROM:<>", LATER),
                (
                    "RCPT TO:<alice@example.test>",
                    "503 5.5.1 Error: need MAIL command",
                ),
            ],
        ),
        (
            &format!("{milter} = nonsense"),
            &[(
                "MAIL FROM:<>",
                "451 4.3.5 Server configuration problem - try again later",
            )],
        ),
        (&format!("{milter} = accept"), &[LOCAL]),
        (
            "smtpd_milters = unix:nowhere\nreceive_override_options = no_milters",
            &[LOCAL],
        ),
        (
            "smtpd_milters = unix:nowhere\nsmtpd_milter_maps = inline:{localhost=DISABLE, 127.0.0.1=DISABLE}",
            &[LOCAL],
        ),
        (
            "smtpd_proxy_filter = 127.0.0.1:1\nnotify_classes =",
            &[
                LOCAL,
                (
                    "RCPT TO:<alice@example.test>",
                    "451 4.3.0 Error: queue file write error",
                ),
            ],
        ),
        (
            "smtpd_tls_security_level = encrypt",
            &[
                (
                    "MAIL FROM:<>",
                    "530 5.7.0 Must issue a STARTTLS command first",
                ),
                ("HELO x", "250 mx.example.test"),
                (
                    "STARTTLS",
                    "454 4.7.0 TLS not available due to local problem",
                ),
                (
                    "BDAT 3 LAST",
                    "530 5.7.0 Must issue a STARTTLS command first",
                ),
                ("NOOP", "250 2.0.0 Ok"),
            ],
        ),
        (
            "smtpd_tls_security_level = may\nsmtpd_tls_auth_only = yes",
            &[LOCAL],
        ),
    ];
    for (settings, steps) in cases {
        let mut talk = Talk::new(settings, GOOD);
        talk.check(steps);
        assert_eq!(talk.finish().len(), 0, "{settings}");
    }
}

#[test]
fn an_unreachable_milter_may_take_the_place_of_the_greeting() {
    for (settings, want) in [
        (
            "smtpd_milters = unix:nowhere\nmilter_default_action = reject",
            "554 mx.example.test ESMTP not accepting connections",
        ),
        (
            "smtpd_upstream_proxy_protocol = haproxy",
            "421 4.3.0 mx.example.test Server local error",
        ),
        ("smtpd_tls_wrappermode = yes", ""),
    ] {
        let talk = Talk::greeted(settings, GOOD, want);
        talk.finish();
    }
}

#[test]
fn mail_that_a_milter_should_have_seen_can_be_held() {
    let mut talk = Talk::new(
        "smtpd_milters = unix:nowhere\nmilter_default_action = quarantine",
        GOOD,
    );
    talk.check(&[
        ("MAIL FROM:<>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
        ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
        ("text\r\n.", "250 2.0.0 Ok: queued as ABCDEF"),
    ]);
    let records = talk.finish().pop().unwrap();
    // The hold bit of cleanup's flags.
    assert!(records.contains(&format!("f{}", postern_ipc::cleanup::flag::HOLD)));
}

#[test]
fn commands_out_of_order_are_refused_and_change_nothing() {
    let mut talk = Talk::new("", GOOD);
    talk.check(&[
        ("DATA", "503 5.5.1 Error: need RCPT command"),
        (
            "RCPT TO:<alice@example.test>",
            "503 5.5.1 Error: need MAIL command",
        ),
        ("MAIL FROM:<a@example.org>", "250 2.1.0 Ok"),
        (
            "MAIL FROM:<b@example.org>",
            "503 5.5.1 Error: nested MAIL command",
        ),
        ("DATA", "554 5.5.1 Error: no valid recipients"),
        ("RCPT TO:<postmaster>", "250 2.1.5 Ok"),
        ("DATA x", "501 5.5.4 Syntax: DATA"),
        (
            "ETRN example.test",
            "503 Error: MAIL transaction in progress",
        ),
        ("STARTTLS", "502 5.5.1 Error: command not implemented"),
        ("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"),
        ("RSET x", "501 5.5.4 Syntax: RSET"),
        ("RSET", "250 2.0.0 Ok"),
        ("", "500 5.5.2 Error: bad syntax"),
        ("NO\0OP", "500 5.5.2 Error: command not recognized"),
        (
            "MAIL FROM:<a b@example.org>",
            "501 5.1.7 Bad sender address syntax",
        ),
        (
            "MAIL FROM:<a@example.org> FOO=bar",
            "555 5.5.4 Unsupported option: FOO=bar",
        ),
        ("VRFY alice", "252 2.0.0 alice"),
        ("HELP", "500 5.5.2 Error: command not recognized"),
        ("QUIT", "221 2.0.0 Bye"),
    ]);
    assert_eq!(talk.reply(), "");
    assert!(talk.finish().is_empty());
}

#[test]
fn newer_levels_have_help_and_refuse_early_input() {
    let mut talk = Talk::new("compatibility_level = 3.11", GOOD);
    assert!(
        talk.say("HELP me")
            .starts_with("214 2.0.0 Commands: AUTH BDAT DATA")
    );
    talk.send(b"EHLO x\r\nNOOP\r\n");
    assert_eq!(
        talk.reply(),
        "554 5.5.0 Error: SMTP protocol synchronization"
    );
    assert_eq!(talk.reply(), "");
    talk.finish();
}

#[test]
fn chunks_make_one_message_and_errors_last_until_the_last_one() {
    let mut talk = Talk::new("", GOOD);
    talk.check(&[
        ("HELO x", "250 mx.example.test"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
    ]);
    talk.send(b"BDAT 22\r\nSubject: chunks\r\n\r\nfir");
    assert_eq!(talk.reply(), "250 2.0.0 Ok: 22 bytes");
    talk.send(b"BDAT 11\r\nst\r\n.\r\n..x\n");
    assert_eq!(talk.reply(), "250 2.0.0 Ok: 11 bytes");
    assert_eq!(talk.say("DATA"), "503 5.5.1 Error: DATA after BDAT");
    talk.send(b"BDAT 10 LAST\r\nno newline");
    assert_eq!(talk.reply(), "250 2.0.0 Ok: 46 bytes queued as ABCDEF");
    talk.send(b"BDAT 3\r\nabc");
    assert_eq!(talk.reply(), "503 5.5.1 Error: need RCPT command");
    assert_eq!(
        talk.say("MAIL FROM:<a@example.org>"),
        "503 5.5.1 Error: MAIL after BDAT"
    );
    talk.send(b"BDAT 3 LAST\r\nabc");
    assert_eq!(
        talk.reply(),
        "551 5.0.0 Discarded 3 bytes after earlier error"
    );
    assert_eq!(talk.say("MAIL FROM:<a@example.org>"), "250 2.1.0 Ok");
    assert_eq!(talk.say("BDAT x"), "521 5.5.4 Syntax: BDAT count [LAST]");
    assert_eq!(talk.reply(), "");
    let mail = talk.finish();
    let content: Vec<&str> = mail[0]
        .iter()
        .skip_while(|record| *record != "NSubject: chunks")
        .map(String::as_str)
        .collect();
    assert_eq!(
        content,
        [
            "NSubject: chunks",
            "N",
            "Nfirst",
            "N.",
            "N..x",
            "Nno newline",
            "X",
            "E"
        ]
    );
}

#[test]
fn a_refused_end_of_data_ends_the_transaction() {
    let settings = "smtpd_end_of_data_restrictions = check_sender_access inline:{{e@example.org=REJECT at end}}";
    let mut talk = Talk::new(settings, GOOD);
    talk.check(&[
        ("HELO x", "250 mx.example.test"),
        ("MAIL FROM:<e@example.org>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
        ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
        (
            ".",
            "554 5.7.1 <e@example.org>: Sender address rejected: at end",
        ),
        ("DATA", "503 5.5.1 Error: need RCPT command"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0 Ok"),
    ]);
    assert!(talk.finish().is_empty());
}

#[test]
fn restrictions_decide_in_their_order() {
    let settings = "smtpd_restriction_classes = strict\nstrict = reject\n\
        smtpd_sender_restrictions = check_sender_access inline:{{p@x.test=DEFER_IF_PERMIT}, {r@x.test=550 5.1.1 gone}, {d@x.test=DISCARD}, {w@x.test=250 what}}\n\
        smtpd_recipient_restrictions = check_recipient_access inline:{{bob@example.test=strict}}, warn_if_reject reject";
    let mut talk = Talk::new(settings, GOOD);
    talk.say("HELO x");
    for (sender, recipient, want) in [
        ("a@x.test", "alice", "250 2.1.5 Ok"),
        (
            "a@x.test",
            "bob",
            "554 5.7.1 <bob@example.test>: Recipient address rejected: Access denied",
        ),
        (
            "p@x.test",
            "alice",
            "450 4.7.1 <p@x.test>: Sender address rejected: Service unavailable",
        ),
        (
            "p@x.test",
            "bob",
            "554 5.7.1 <bob@example.test>: Recipient address rejected: Access denied",
        ),
        (
            "r@x.test",
            "alice",
            "550 5.1.7 <r@x.test>: Sender address rejected: gone",
        ),
        ("d@x.test", "bob", "250 2.1.5 Ok"),
        ("w@x.test", "alice", "451 4.3.5 Server configuration error"),
        (
            "a@x.test",
            "nobody",
            "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table",
        ),
    ] {
        talk.say(&format!("MAIL FROM:<{sender}>"));
        assert_eq!(
            talk.say(&format!("RCPT TO:<{recipient}@example.test>")),
            want,
            "{sender} {recipient}"
        );
        talk.say("RSET");
    }
    talk.finish();
}

#[test]
fn a_failing_table_is_never_a_permanent_refusal() {
    for settings in [
        "local_recipient_maps = fail:x",
        "mynetworks = fail:x",
        "smtpd_client_restrictions = check_client_access fail:x",
        "virtual_alias_maps = fail:x",
    ] {
        let mut talk = Talk::new(settings, GOOD);
        talk.say("HELO x");
        talk.say("MAIL FROM:<a@example.org>");
        let reply = talk.say("RCPT TO:<alice@example.test>");
        assert!(reply.starts_with("451 4.3."), "{settings}: {reply}");
        talk.finish();
    }
}

#[test]
fn too_many_errors_end_the_session() {
    let mut talk = Talk::new("smtpd_hard_error_limit = 3", GOOD);
    for _ in 0..3 {
        assert_eq!(talk.say("FOO"), "500 5.5.2 Error: command not recognized");
    }
    assert_eq!(
        talk.reply(),
        "421 4.7.0 mx.example.test Error: too many errors"
    );
    assert_eq!(talk.reply(), "");
    talk.finish();
}

#[test]
fn a_silent_client_is_told_to_go() {
    let mut talk = Talk::new("smtpd_timeout = 1s", GOOD);
    assert_eq!(
        talk.reply(),
        "421 4.4.2 mx.example.test Error: timeout exceeded"
    );
    assert_eq!(talk.reply(), "");
    talk.finish();
}

#[test]
fn content_over_the_limit_is_read_and_refused() {
    let mut talk = Talk::new("message_size_limit = 1000", GOOD);
    talk.check(&[
        ("HELO x", "250 mx.example.test"),
        (
            "MAIL FROM:<a@example.org> SIZE=1001",
            "552 5.3.4 Message size exceeds fixed limit",
        ),
        ("MAIL FROM:<a@example.org>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
        ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
    ]);
    for _ in 0..5000 {
        talk.send(&[b'x'; 98]);
        talk.send(b"\r\n");
    }
    assert_eq!(talk.say("."), "552 5.3.4 Error: message file too big");
    assert_eq!(talk.say("NOOP"), "250 2.0.0 Ok");
    assert!(talk.finish().is_empty());
}

#[test]
fn the_end_is_found_when_the_limit_is_reached_inside_a_long_line() {
    let mut talk = Talk::new("message_size_limit = 3000", GOOD);
    talk.check(&[
        ("HELO x", "250 mx.example.test"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0 Ok"),
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
        ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
    ]);
    talk.send(&[b'x'; 9000]);
    talk.send(b"\r\n");
    assert_eq!(talk.say("."), "552 5.3.4 Error: message file too big");
    assert_eq!(talk.say("NOOP"), "250 2.0.0 Ok");
    assert!(talk.finish().is_empty());
}

/// A cheap source of bytes that look random and are the same each time.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn any_bytes_get_replies_or_an_end() {
    for seed in 1..6 {
        let mut talk = Talk::new("smtpd_hard_error_limit = 100000", GOOD);
        let mut bytes = noise(seed, 60_000);
        for (index, word) in [
            b"MAIL FROM:<".as_slice(),
            b"\r\nRCPT TO:<a",
            b"\r\nBDAT 7\r\n",
            b"\r\nDATA\r\n",
            b"\r\nRSET\r\n",
        ]
        .iter()
        .enumerate()
        {
            bytes.splice(index * 9_000..index * 9_000, word.iter().copied());
        }
        let mut reader = talk.client.try_clone().unwrap();
        let drain = std::thread::spawn(move || {
            let mut sink = [0; 4096];
            while reader.read(&mut sink).is_ok_and(|count| count > 0) {}
        });
        let _ = talk.client.write_all(&bytes);
        let _ = talk.client.shutdown(Shutdown::Write);
        drain.join().unwrap();
        talk.session.join().unwrap();
    }
}

#[test]
fn an_endless_line_is_cut_off() {
    let mut talk = Talk::new("line_length_limit = 512", GOOD);
    let block = [b'x'; 1000];
    // The session gives up long before this is all written.
    let written = (0..2000)
        .take_while(|_| talk.client.write_all(&block).is_ok())
        .count();
    assert!(written < 2000, "{written}");
    talk.session.join().unwrap();
}

#[test]
fn mail_is_refused_for_now_when_the_queue_may_not_have_room_for_it() {
    for settings in [
        "queue_minfree = 9223372036854775807",
        "message_size_limit = 9223372036854775807\nmailbox_size_limit = 0",
    ] {
        let settings = format!("{settings}\nnotify_classes =");
        let mut talk = Talk::new(&settings, Cleanup::Answers(0, ""));
        talk.check(&[
            ("MAIL FROM:<>", "452 4.3.1 Insufficient system storage"),
            (
                "RCPT TO:<alice@example.test>",
                "503 5.5.1 Error: need MAIL command",
            ),
        ]);
        assert_eq!(talk.finish(), Vec::<Vec<String>>::new());
    }
}
