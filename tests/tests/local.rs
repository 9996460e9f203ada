//! Mail for users of this host, and the addresses that stand for others.

use postern_testkit::Instance;

#[test]
fn aliases_of_this_host_reach_their_targets() {
    let instance = Instance::started(
        "mydestination = host.test\n\
         myorigin = host.test\n\
         local_recipient_maps = $alias_maps\n\
         alias_maps = inline:{ {team = alice@example.test, bob@example.test, nested}, {nested = bob@example.test}, \
         {root = alice@example.test}, {lost = nobody@example.test}, {odd = @@@} }\n\
         default_privs = nobody\n",
        "",
    );
    let mut client = instance.smtp();
    let rows = [
        ("RCPT TO:<team@host.test>", 250),
        ("RCPT TO:<TEAM@HOST.test>", 250),
        ("RCPT TO:<stranger@host.test>", 550),
    ];
    assert_eq!(client.say("MAIL FROM:<alice@example.test>").code, 250);
    for (command, code) in rows {
        assert_eq!(client.say(command).code, code, "{command}");
    }
    assert_eq!(client.say("RSET").code, 250);
    let reply = client.send(
        "alice@example.test",
        &["team@host.test"],
        "Subject: for the team\n\nx\n",
    );
    let id = reply.queue_id().expect("taken").to_owned();
    let message = instance.wait_mail("bob", "Subject: for the team\n");
    assert!(
        message.contains("X-Original-To: team@host.test\n"),
        "{message}"
    );
    instance.wait_mail("alice", "Subject: for the team\n");
    instance.wait_log(&format!("{id}: removed"));

    // A bad target of an alias comes back to the sender, with the name that was written.
    let reply = client.send(
        "alice@example.test",
        &["lost@host.test"],
        "Subject: for the lost\n\nx\n",
    );
    assert!(reply.queue_id().is_some(), "{reply:?}");
    let notice = instance.wait_mail("alice", "Undelivered Mail Returned to Sender");
    assert!(notice.contains("(expanded from"), "{notice}");
    assert!(notice.contains("<lost@host.test>"), "{notice}");

    // What is no address is named as it was understood.
    client.send(
        "alice@example.test",
        &["odd@host.test"],
        "Subject: odd\n\nx\n",
    );
    instance.wait_log("status=bounced (bad recipient address syntax: MAILER-DAEMON@)");
    instance.wait_queue_empty();
    assert_eq!(instance.maildir("bob").len(), 1);
    assert_eq!(instance.maildir("alice").len(), 3);
    assert_eq!(instance.defects(), Vec::<String>::new());
}
