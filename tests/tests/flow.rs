//! Mail goes from where it comes in to where it belongs.

use std::thread;

use postern_testkit::{Instance, Sink, SmtpClient, content, wait_for};

const TEXT: &str = "From: sender@example.test\nSubject: greeting\n\nHello.\n.A line with a dot.\n";

/// Mailboxes without end: every user of many.test, in one maildir.
const MANY: &str = "virtual_mailbox_domains = example.test, many.test\n\
    virtual_mailbox_maps = inline:{ {alice@example.test = alice/}, {bob@example.test = bob/}, {@many.test = many/} }\n";

#[test]
fn smtp_and_sendmail_reach_virtual_mailboxes() {
    let instance = Instance::started("", "");
    let mut client = instance.smtp();
    let reply = client.send("sender@example.test", &["alice@example.test"], TEXT);
    assert!(reply.queue_id().is_some(), "{reply:?}");
    instance.sendmail(
        &["-f", "sender@example.test", "bob@example.test"],
        "Subject: by sendmail\n\nHello Bob.\n.\nnot sent\n",
    );
    let alice = instance.wait_maildir("alice", 1).remove(0);
    assert!(
        alice.starts_with(
            "Return-Path: <sender@example.test>\nX-Original-To: alice@example.test\n\
             Delivered-To: alice@example.test\nReceived: from client.example.test ("
        ),
        "{alice}"
    );
    assert!(
        alice.contains("\nSubject: greeting\n")
            && alice.ends_with("\n\nHello.\n.A line with a dot.\n"),
        "{alice}"
    );
    let bob = instance.wait_maildir("bob", 1).remove(0);
    assert!(bob.contains("\nSubject: by sendmail\n"), "{bob}");
    assert!(bob.ends_with("\n\nHello Bob.\n"), "{bob}");
    assert!(bob.contains("\nMessage-Id: <"), "{bob}");
    let id = reply.queue_id().unwrap_or_default();
    instance.wait_log(&format!("{id}: removed"));
    instance.wait_queue_empty();
    assert_eq!(
        instance.succeed("postqueue", &["-p"]),
        "Mail queue is empty\n"
    );
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn a_message_for_two_places_and_a_bad_one_in_the_middle() {
    let sink = Sink::start(&[]);
    let instance = Instance::started(&sink.relayhost(), "");
    let mut client = instance.smtp();
    assert_eq!(client.say("MAIL FROM:<sender@example.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<alice@example.test>").code, 250);
    let bad = client.say("RCPT TO:<nobody@example.test>");
    assert_eq!(
        bad.text(),
        "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in virtual mailbox table"
    );
    assert_eq!(client.say("RCPT TO:<carol@relay.test>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    client.raw(&content(TEXT));
    let id = client
        .reply()
        .queue_id()
        .expect("mail for the two good ones is taken")
        .to_owned();
    let relayed = sink.wait(1).remove(0);
    assert!(
        relayed.sender.starts_with("FROM:<sender@example.test>"),
        "{relayed:?}"
    );
    assert_eq!(relayed.recipients, ["TO:<carol@relay.test>"]);
    assert!(
        relayed
            .content
            .ends_with("\n\nHello.\n.A line with a dot.\n"),
        "{relayed:?}"
    );
    instance.wait_maildir("alice", 1);
    instance.wait_log_all(&[
        &format!("{id}: to=<carol@relay.test>"),
        &format!("relay=127.0.0.1[127.0.0.1]:{}", sink.port()),
        "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as SINK)",
    ]);
    instance.wait_log_all(&[
        &format!("{id}: to=<alice@example.test>, relay=virtual"),
        "dsn=2.0.0, status=sent (delivered to maildir)",
    ]);
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn pipelined_and_chunked_mail_arrives_whole() {
    let instance = Instance::started("", "");
    let mut client = instance.smtp();
    let mut batch = b"MAIL FROM:<s@example.test>\r\nRCPT TO:<alice@example.test>\r\n\
        RCPT TO:<nobody@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
        .to_vec();
    client.raw(&batch);
    let codes: Vec<u16> = (0..5).map(|_| client.reply().code).collect();
    assert_eq!(codes, [250, 250, 550, 250, 354]);
    batch = content("Subject: pipelined\n\nx\n");
    batch.extend_from_slice(b"NOOP\r\n");
    client.raw(&batch);
    assert!(client.reply().queue_id().is_some());
    assert_eq!(client.reply().code, 250);

    assert_eq!(client.say("MAIL FROM:<s@example.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<alice@example.test>").code, 250);
    client.raw(b"BDAT 20\r\nSubject: chunks\r\n\r\nfBDAT 12 LAST\r\nirst\r\n.\r\nend");
    assert_eq!(client.reply().code, 250);
    let reply = client.reply();
    assert_eq!(reply.code, 250, "{reply:?}");
    let message = instance.wait_mail("alice", "Subject: chunks");
    assert!(message.ends_with("\n\nfirst\n.\nend\n"), "{message}");
    instance.wait_mail("bob", "Subject: pipelined");
    instance.wait_mail("alice", "Subject: pipelined");
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn aliases_expand_once_for_each_recipient() {
    let instance = Instance::started(
        "virtual_alias_maps = inline:{ {team@example.test = alice@example.test, bob@example.test}, {again@example.test = team@example.test, alice@example.test} }\n\
         recipient_delimiter = +\n",
        "",
    );
    let reply = instance.smtp().send(
        "s@example.test",
        &["team@example.test", "again@example.test"],
        TEXT,
    );
    let id = reply.queue_id().expect("aliases are recipients").to_owned();
    let reply = instance
        .smtp()
        .send("s@example.test", &["alice+list@example.test"], TEXT);
    assert!(reply.queue_id().is_some(), "{reply:?}");
    instance.wait_log(&format!("{id}: removed"));
    instance.wait_queue_empty();
    let alice = instance.wait_maildir("alice", 2);
    let bob = instance.wait_maildir("bob", 1);
    assert!(
        alice
            .iter()
            .chain(&bob)
            .any(|message| message.contains("X-Original-To: team@example.test\n")),
        "{alice:?}"
    );
    assert!(
        alice
            .iter()
            .any(|message| message.contains("Delivered-To: alice+list@example.test\n")),
        "{alice:?}"
    );
}

#[test]
fn a_large_message_and_many_recipients() {
    let instance = Instance::started(MANY, "");
    let line = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
    let body = line.repeat(10_000_000 / line.len());
    let mut client = instance.smtp();
    let reply = client.send(
        "s@example.test",
        &["alice@example.test"],
        &format!("Subject: large\n\n{body}"),
    );
    assert!(reply.queue_id().is_some(), "{reply:?}");

    let recipients: Vec<String> = (0..1000)
        .map(|number| format!("user{number}@many.test"))
        .collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let reply = client.send("s@example.test", &recipients, "Subject: many\n\nx\n");
    let id = reply.queue_id().expect("1000 recipients are taken");
    instance.wait_log(&format!("{id}: removed"));
    assert_eq!(instance.maildir("many").len(), 1000);
    let large = instance.wait_maildir("alice", 1).remove(0);
    assert!(
        large.ends_with(&format!("\n\n{body}")),
        "the content of {} bytes is not what was sent",
        large.len()
    );
    instance.wait_log_all(&[id, "nrcpt=1000 (queue active)"]);
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn fifty_sessions_at_once() {
    let instance = Instance::started(
        &format!("{MANY}smtpd_client_connection_count_limit = 60\n"),
        "",
    );
    let port = instance.port();
    // Every session is open before the first one sends.
    let mut clients: Vec<SmtpClient> = (0..50).map(|_| SmtpClient::connect(port)).collect();
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                assert_eq!(client.say("EHLO c.example.test").code, 250);
                for message in 0..2 {
                    let reply = client.send(
                        "s@example.test",
                        &[&format!("u{number}-{message}@many.test")],
                        TEXT,
                    );
                    assert!(reply.queue_id().is_some(), "{reply:?}");
                }
                assert_eq!(client.say("QUIT").code, 221);
            });
        }
    });
    let messages = instance.wait_maildir("many", 100);
    for number in 0..50 {
        for message in 0..2 {
            let header = format!("Delivered-To: u{number}-{message}@many.test\n");
            let copies = messages.iter().filter(|text| text.contains(&header));
            assert_eq!(copies.count(), 1, "{header}");
        }
    }
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn lmtp_over_a_socket_answers_for_each_recipient() {
    let directory = tempfile::tempdir().expect("a directory for the socket");
    std::fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("open the directory");
    let socket = directory.path().join("lmtp");
    let sink = Sink::start_lmtp(
        &socket,
        &[
            (". TO:<full@boxes.test>", "452 4.2.2 mailbox full"),
            (". TO:<gone@boxes.test>", "550 5.1.1 gone"),
        ],
    );
    let instance = Instance::started(
        &format!(
            "transport_maps = inline:{{ {{ boxes.test = lmtp:unix:{} }} }}\n",
            socket.display()
        ),
        "",
    );
    let reply = instance.smtp().send(
        "alice@example.test",
        &["good@boxes.test", "full@boxes.test", "gone@boxes.test"],
        TEXT,
    );
    let id = reply.queue_id().expect("taken").to_owned();
    let message = sink.wait(1).remove(0);
    assert_eq!(message.recipients, ["TO:<good@boxes.test>"]);
    instance.wait_log_all(&[&id, "to=<good@boxes.test>", "status=sent"]);
    instance.wait_log_all(&[
        &id,
        "to=<full@boxes.test>",
        "dsn=4.2.2, status=deferred",
        "said: 452 4.2.2 mailbox full (in reply to end of DATA command)",
    ]);
    instance.wait_log_all(&[&id, "to=<gone@boxes.test>", "dsn=5.1.1, status=bounced"]);
    let notice = instance.wait_mail("alice", "gone@boxes.test");
    assert!(
        notice.contains("Diagnostic-Code: smtp; 550 5.1.1 gone"),
        "{notice}"
    );
    sink.set(". TO:<full@boxes.test>", "250 2.0.0 now it fits");
    wait_for("the message to be deferred", || {
        (instance.queue("deferred") == [id.as_str()]).then_some(())
    });
    instance.succeed("postqueue", &["-f"]);
    let message = sink.wait(2).remove(1);
    assert_eq!(message.recipients, ["TO:<full@boxes.test>"]);
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}
