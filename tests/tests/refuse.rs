//! What the server does not take, and with which words.

use postern_testkit::{Instance, SmtpClient, content, free_port, wait_for};

/// One instance for all that is only asked, with a second port for clients that may not relay.
#[test]
fn refusals_have_their_replies() {
    let outside = free_port();
    let instance = Instance::started(
        "message_size_limit = 20000\n\
         header_checks = regexp:$config_directory/header_checks\n\
         smtpd_helo_required = yes\n",
        &format!("127.0.0.1:{outside} inet n - n - - smtpd -o mynetworks=192.0.2.0/24\n"),
    );
    instance.write(
        "etc/header_checks",
        b"/^Subject: .*lottery/ REJECT no lotteries here\n/^X-Drop:/ DISCARD\n",
    );
    let mut client = SmtpClient::connect(outside);
    assert_eq!(client.say("EHLO far.example.net").code, 250);
    relay_is_denied(&mut client);
    let mut client = instance.smtp();
    vrfy_answers(&mut client);
    the_size_limit_holds(&mut client, &instance);
    header_checks_decide(&mut client, &instance);
    instance.wait_queue_empty();
    assert_eq!(instance.maildir("alice").len(), 1);
    assert_eq!(instance.defects(), Vec::<String>::new());
}

fn relay_is_denied(client: &mut SmtpClient) {
    let rows = [
        ("MAIL FROM:<a@far.example.net>", "250 2.1.0 Ok"),
        (
            "RCPT TO:<someone@elsewhere.test>",
            "454 4.7.1 <someone@elsewhere.test>: Relay access denied",
        ),
        (
            "RCPT TO:<@example.test:someone@elsewhere.test>",
            "454 4.7.1 <someone@elsewhere.test>: Relay access denied",
        ),
        (
            "RCPT TO:<someone%elsewhere.test@example.test>",
            "454 4.7.1 <someone%elsewhere.test@example.test>: Relay access denied",
        ),
        (
            "RCPT TO:<nobody@example.test>",
            "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
        ("DATA", "554 5.5.1 Error: no valid recipients"),
        ("RSET", "250 2.0.0 Ok"),
    ];
    for (command, reply) in rows {
        assert_eq!(client.say(command).text(), reply, "{command}");
    }
}

fn vrfy_answers(client: &mut SmtpClient) {
    let rows = [
        ("VRFY alice@example.test", "252 2.0.0 alice@example.test"),
        (
            "VRFY nobody@example.test",
            "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
    ];
    for (command, reply) in rows {
        assert_eq!(client.say(command).text(), reply, "{command}");
    }
}

fn the_size_limit_holds(client: &mut SmtpClient, instance: &Instance) {
    let declared = client.say("MAIL FROM:<s@example.test> SIZE=20001");
    assert_eq!(
        declared.text(),
        "552 5.3.4 Message size exceeds fixed limit"
    );
    let large = format!("Subject: x\n\n{}", "0123456789\n".repeat(2000));
    let reply = client.send("s@example.test", &["alice@example.test"], &large);
    assert_eq!(
        reply.text(),
        "552 5.3.4 Error: message file too big",
        "{}",
        instance.log_end()
    );
    assert_eq!(client.say("NOOP").code, 250);
}

fn header_checks_decide(client: &mut SmtpClient, instance: &Instance) {
    let mut send = |text: &str| client.send("s@example.test", &["alice@example.test"], text);
    let reply = send("Subject: the lottery\n\nx\n");
    assert_eq!(reply.text(), "550 5.7.1 no lotteries here");
    instance.wait_log_all(&[
        "reject: header Subject: the lottery from localhost[127.0.0.1]",
        "5.7.1 no lotteries here",
    ]);
    assert!(send("X-Drop: 1\n\nx\n").queue_id().is_some());
    assert!(
        send("Subject: a\n\nSubject: lottery in the body\n")
            .queue_id()
            .is_some()
    );
    let message = instance.wait_maildir("alice", 1).remove(0);
    assert!(message.contains("lottery in the body"), "{message}");
}

/// A table that cannot be asked is trouble of ours, never of the recipient.
#[test]
fn a_broken_table_is_no_unknown_user() {
    let instance = Instance::started(
        "virtual_mailbox_maps = fail:broken\n\
         virtual_alias_maps = inline:{ {known@example.test = alice@example.test} }\n",
        "",
    );
    let mut client = instance.smtp();
    assert_eq!(client.say("MAIL FROM:<s@example.test>").code, 250);
    let reply = client.say("RCPT TO:<alice@example.test>");
    assert_eq!(
        reply.text(),
        "451 4.3.0 <alice@example.test>: Temporary lookup failure"
    );
    let reply = client.say("RCPT TO:<known@example.test>");
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(client.say("DATA").code, 354);
    client.raw(&content("Subject: x\n\nx\n"));
    let id = client.reply().queue_id().expect("taken").to_owned();
    instance.wait_log_all(&[&id, "to=<alice@example.test>", "status=deferred"]);
    assert_eq!(instance.wait_queue("deferred", 1), [id]);
    let log = instance.log().to_ascii_lowercase();
    assert!(!log.contains("unknown user") && !log.contains("user unknown"));
    assert!(!log.contains("status=bounced"));
    assert_eq!(instance.defects(), Vec::<String>::new());
}

/// The same in cleanup and trivial-rewrite: a message is not taken on a guess.
#[test]
fn a_broken_alias_or_transport_table_loses_nothing() {
    let mut instance = Instance::started("virtual_alias_maps = fail:broken\n", "");
    let mut client = instance.smtp();
    let reply = client.send(
        "s@example.test",
        &["alice@example.test"],
        "Subject: x\n\nx\n",
    );
    assert_eq!(
        reply.text(),
        "451 4.3.0 <alice@example.test>: Temporary lookup failure"
    );
    client.say("QUIT");
    instance.sendmail(
        &["-f", "s@example.test", "alice@example.test"],
        "Subject: y\n\ny\n",
    );
    instance.wait_log("virtual_alias_maps map lookup problem for alice@example.test");
    assert_eq!(instance.maildir("alice").len(), 0);
    instance.set_main_cf("transport_maps = fail:broken\nminimal_backoff_time = 1s\n");
    instance.stop();
    instance.start().expect("start with the other table broken");
    instance.wait_log_all(&["to=<alice@example.test>", "status=deferred"]);
    instance.set_main_cf("");
    instance.reload();
    wait_for("the delivery", || {
        // The queue manager of before may have been the one that heard it.
        instance.succeed("postqueue", &["-f"]);
        (instance.maildir("alice").len() == 1).then_some(())
    });
    instance.wait_queue_empty();
    assert_eq!(instance.maildir("alice").len(), 1);
    let log = instance.log().to_ascii_lowercase();
    assert!(!log.contains("unknown user") && !log.contains("user unknown"));
    assert!(!log.contains("status=bounced"));
}

/// Tables that cannot be opened, or whose lookups fail; `DIR` is the configuration directory.
const BROKEN: [&str; 14] = [
    "fail:x",
    "no-such-type:x",
    "x:",
    "hash:DIR/missing",
    "btree:DIR/garbage",
    "cdb:DIR/garbage",
    "lmdb:DIR/garbage",
    "texthash:DIR",
    "pcre:DIR",
    "inline:{a=b, {}}",
    "unionmap:{static:OK, hash:DIR/missing}",
    "sqlite:DIR/no-table.cf",
    "proxy:fail:unapproved",
    "tcp:127.0.0.1:1x",
];

/// What a table is asked for with each recipient.
const PLACES: [(&str, &str); 5] = [
    (
        "smtpd_recipient_restrictions",
        "check_recipient_access TABLE, permit",
    ),
    ("virtual_mailbox_maps", "TABLE"),
    ("mynetworks", "TABLE"),
    ("canonical_maps", "TABLE"),
    ("smtpd_restriction_classes", "broken"),
];

#[test]
fn a_table_that_cannot_answer_is_never_a_no_or_a_yes() {
    let (mut services, mut asked) = (String::new(), Vec::new());
    for table in BROKEN {
        let table = table.replace("DIR", "$config_directory");
        for (parameter, value) in PLACES {
            let (port, value) = (free_port(), value.replace("TABLE", &table));
            services += &format!(
                "127.0.0.1:{port} inet n - n - - smtpd\n  -o {{ {parameter} = {value} }}\n"
            );
            if value == "broken" {
                services += &format!("  -o {{ broken = check_client_access {table} }}\n");
                services += "  -o smtpd_client_restrictions=broken\n";
            }
            asked.push((port, format!("{table} in {parameter}")));
        }
    }
    // How addresses are resolved is said by the entry of the service that does it.
    let port = free_port();
    services += "routes unix - - n - - trivial-rewrite -o transport_maps=fail:x\n";
    services += &format!("127.0.0.1:{port} inet n - n - - smtpd -o rewrite_service_name=routes\n");
    asked.push((port, "rewrite_service_name = routes".to_owned()));

    let mut instance = Instance::for_test("", &services);
    for kind in ["db", "cdb", "lmdb"] {
        instance.write(&format!("etc/garbage.{kind}"), &[b'x'; 9000]);
    }
    let base = instance.file("etc/base");
    let database = format!(
        "dbpath = {}\nquery = SELECT v FROM nowhere\n",
        base.display()
    );
    instance.write("etc/base", b"");
    instance.write("etc/no-table.cf", database.as_bytes());
    instance.start().expect("start");
    for (port, what) in asked {
        let mut client = SmtpClient::connect(port);
        assert_eq!(client.say("HELO far.example.net").code, 250, "{what}");
        let reply = client.say("MAIL FROM:<a@far.example.net>");
        assert_eq!(reply.code, 250, "{what}");
        let reply = client.say("RCPT TO:<alice@example.test>");
        assert_eq!(reply.code, 451, "{what}: {}", reply.text());
    }
}
