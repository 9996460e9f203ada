//! Mail that waits: deferral, notices, and the commands that look at and change the queue.

use std::fs;

use postern_testkit::{Instance, Sink, wait_for};
use serde_json::Value;

const TEXT: &str = "From: alice@example.test\nSubject: waiting\nX-Mark: 4711\n\nBody line.\n";

/// An instance with a next hop for relay.test that says "later".
fn with_busy_sink(main_cf: &str) -> (Sink, Instance) {
    let sink = Sink::start(&[("RCPT", "450 4.2.1 try later")]);
    let instance = Instance::started(&(sink.relayhost() + main_cf), "");
    (sink, instance)
}

fn send(instance: &Instance, recipients: &[&str]) -> String {
    let reply = instance.smtp().send("alice@example.test", recipients, TEXT);
    reply
        .queue_id()
        .unwrap_or_else(|| panic!("{reply:?}"))
        .to_owned()
}

#[test]
fn deferred_mail_is_shown_and_flushed() {
    let (sink, instance) = with_busy_sink("");
    let id = send(&instance, &["carol@relay.test", "dave@relay.test"]);
    instance.wait_queue("deferred", 1);
    listing_shows(&instance, &id);
    file_shows(&instance, &id);
    sink.set("RCPT TO:<carol", "250 2.1.5 ok");
    instance.succeed("postqueue", &["-f"]);
    let message = sink.wait(1).remove(0);
    assert_eq!(message.recipients, ["TO:<carol@relay.test>"]);
    // The other one is still to do, and only that.
    instance.wait_queue("deferred", 1);
    let text = instance.succeed("postcat", &["-q", &id]);
    assert!(
        text.contains("\ndone_recipient: carol@relay.test\n"),
        "{text}"
    );
    assert!(text.contains("\nrecipient: dave@relay.test\n"), "{text}");
    sink.set("RCPT", "250 2.1.5 ok");
    instance.succeed("postqueue", &["-i", &id]);
    let message = sink.wait(2).remove(1);
    assert_eq!(message.recipients, ["TO:<dave@relay.test>"]);
    instance.wait_queue_empty();
    instance.wait_log(&format!("{id}: removed"));
    assert_eq!(instance.queue("defer"), Vec::<String>::new());
    assert_eq!(instance.defects(), Vec::<String>::new());
}

fn listing_shows(instance: &Instance, id: &str) {
    let text = instance.succeed("postqueue", &["-p"]);
    for part in [
        id,
        "alice@example.test",
        "said: 450 4.2.1 try later (in reply to RCPT TO command))",
        "carol@relay.test",
        "dave@relay.test",
        "in 1 Request.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = instance.succeed("postqueue", &["-j"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    let value: Value = serde_json::from_str(&text).expect("a JSON object");
    assert_eq!(value["queue_name"], "deferred");
    assert_eq!(value["queue_id"], id);
    assert_eq!(value["sender"], "alice@example.test");
    assert_eq!(value["forced_expire"], false);
    assert_eq!(value["recipients"][1]["address"], "dave@relay.test");
    let reason = value["recipients"][0]["delay_reason"].as_str();
    assert!(
        reason.is_some_and(|text| text.contains("450 4.2.1 try later")),
        "{value}"
    );
}

fn file_shows(instance: &Instance, id: &str) {
    let text = instance.succeed("postcat", &["-q", id]);
    for part in [
        "*** ENVELOPE RECORDS deferred/",
        "\nsender: alice@example.test\n",
        "\noriginal_recipient: carol@relay.test\n",
        "\nrecipient: carol@relay.test\n",
        "\nX-Mark: 4711\n",
        "\nBody line.\n",
        "*** MESSAGE FILE END deferred/",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = instance.succeed("postcat", &["-bq", id]);
    assert_eq!(text, "\nBody line.\n");
    let text = instance.succeed("postcat", &["-hq", id]);
    assert!(text.contains("X-Mark: 4711\n") && !text.contains("Body line"));
}

#[test]
fn a_bounce_tells_what_happened() {
    let sink = Sink::start(&[("RCPT TO:<nobody", "550 5.1.1 no such user here")]);
    let instance = Instance::started(&sink.relayhost(), "");
    let id = send(&instance, &["nobody@relay.test", "carol@relay.test"]);
    let notice = instance.wait_mail("alice", "Undelivered Mail Returned to Sender");
    let said =
        "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user here (in reply to RCPT TO command)";
    let flat = notice.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Return-Path: <> ".to_owned(),
        "Delivered-To: alice@example.test ".to_owned(),
        "From: Mail Delivery System <MAILER-DAEMON@mail.example.test> ".to_owned(),
        "To: alice@example.test ".to_owned(),
        "Auto-Submitted: auto-replied ".to_owned(),
        "Content-Type: multipart/report; report-type=delivery-status; ".to_owned(),
        "This is the mail system at host mail.example.test. ".to_owned(),
        format!("<nobody@relay.test>: {said} "),
        "Reporting-MTA: dns; mail.example.test ".to_owned(),
        format!("X-Postfix-Queue-ID: {id} "),
        "X-Postfix-Sender: rfc822; alice@example.test ".to_owned(),
        "Final-Recipient: rfc822; nobody@relay.test ".to_owned(),
        "Action: failed Status: 5.1.1 ".to_owned(),
        "Remote-MTA: dns; 127.0.0.1 ".to_owned(),
        "Diagnostic-Code: smtp; 550 5.1.1 no such user here ".to_owned(),
        "Content-Type: message/rfc822 ".to_owned(),
        "X-Mark: 4711 ".to_owned(),
        "Body line. ".to_owned(),
    ] {
        assert!(flat.contains(&part), "{part:?} in\n{notice}");
    }
    assert!(!notice.contains("carol@relay.test"), "{notice}");
    let line = instance.wait_log(&format!("{id}: sender non-delivery notification: "));
    let notice_id = line.rsplit(' ').next().unwrap_or_default();
    instance.wait_log(&format!("{notice_id}: removed"));
    instance.wait_log(&format!("{id}: removed"));
    instance.wait_queue_empty();
    assert_eq!(instance.maildir("alice").len(), 1);
    assert_eq!(instance.queue("bounce"), Vec::<String>::new());
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn old_mail_expires_with_a_notice() {
    let (_sink, mut instance) = with_busy_sink("");
    let id = send(&instance, &["carol@relay.test"]);
    instance.wait_queue("deferred", 1);
    let more = instance.settings_main_cf() + "maximal_queue_lifetime = 1s\n";
    instance.set_main_cf(&more);
    instance.reload();
    let line = wait_for("the message to expire", || {
        instance.succeed("postqueue", &["-f"]);
        let expired = "from=<alice@example.test>, status=expired, returned to sender";
        let log = instance.log();
        log.lines()
            .find(|line| line.contains(&id) && line.ends_with(expired))
            .map(str::to_owned)
    });
    assert!(line.contains("/qmgr["), "{line}");
    let notice = instance.wait_mail("alice", "carol@relay.test");
    assert!(notice.contains("\nStatus: 4.2.1\n"), "{notice}");
    assert!(notice.contains("450 4.2.1 try later"), "{notice}");
    instance.wait_queue_empty();
    assert_eq!(instance.maildir("alice").len(), 1);
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn postsuper_holds_releases_requeues_and_deletes() {
    let (sink, instance) = with_busy_sink("");
    let id = send(&instance, &["carol@relay.test"]);
    let other = send(&instance, &["dave@relay.test"]);
    instance.wait_queue("deferred", 2);
    instance.succeed("postsuper", &["-h", &id]);
    assert_eq!(instance.queue("hold"), [id.as_str()]);
    let text = instance.succeed("postqueue", &["-p"]);
    assert!(text.contains(&format!("{id}! ")), "{text}");
    // Held mail stays where it is.
    sink.set("RCPT", "250 2.1.5 ok");
    instance.succeed("postqueue", &["-f"]);
    sink.wait(1);
    instance.wait_log(&format!("{other}: removed"));
    assert_eq!(instance.queue("hold"), [id.as_str()]);
    instance.succeed("postsuper", &["-H", &id]);
    instance.succeed("postqueue", &["-f"]);
    sink.wait(2);
    instance.wait_queue_empty();

    sink.set("RCPT", "450 4.2.1 try later");
    let id = send(&instance, &["erin@relay.test"]);
    instance.wait_queue("deferred", 1);
    let output = instance.run("postsuper", &["-r", &id]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Requeued: 1 message"), "{said}");
    instance.succeed("postkick", &["public", "pickup", "W"]);
    let requeued = wait_for("the message under its new name", || {
        let ids = instance.queue("deferred");
        (ids.len() == 1 && ids != [id.as_str()]).then(|| ids[0].clone())
    });
    let text = instance.succeed("postcat", &["-q", &requeued]);
    assert!(text.contains("X-Mark: 4711\n"), "{text}");
    let output = instance.run("postsuper", &["-d", "ALL"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Deleted: 1 message"), "{said}");
    instance.wait_queue_empty();
    assert_eq!(sink.messages().len(), 2);
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn queue_files_and_what_is_done_to_them_are_shown_to_programs() {
    let (_sink, instance) = with_busy_sink("");
    let id = send(&instance, &["carol@relay.test"]);
    instance.wait_queue("deferred", 1);
    let objects = |text: &str| -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(parse).collect()
    };
    let shown = objects(&instance.succeed("postcat", &["--json", "-q", &id]));
    let has = |section: &str, name: &str, value: &str| {
        let is_it = |object: &Value| {
            object["section"] == section && object["name"] == name && object["value"] == value
        };
        assert!(
            shown.iter().any(is_it),
            "{section} {name} {value}: {shown:?}"
        );
    };
    has("envelope", "sender", "alice@example.test");
    has("header", "regular_text", "X-Mark: 4711");
    has("body", "regular_text", "Body line.");
    has("envelope", "recipient", "carol@relay.test");
    assert!(shown.iter().all(|object| {
        object["file"]
            .as_str()
            .is_some_and(|name| name.ends_with(&id))
    }));
    let offsets: Vec<u64> = shown
        .iter()
        .filter_map(|object| object["offset"].as_u64())
        .collect();
    assert!(offsets.is_sorted() && offsets.len() == shown.len());
    let body = objects(&instance.succeed("postcat", &["-b", "--json", "-q", &id]));
    assert!(
        body.iter().all(|object| object["section"] == "body"),
        "{body:?}"
    );

    let done = objects(&instance.succeed("postsuper", &["--json", "-h", &id, "-h", "F00"]));
    assert_eq!(
        done[0],
        serde_json::json!({"queue_id": id, "action": "placed on hold"})
    );
    assert_eq!(
        (&done[1]["held"], &done[1]["complete"]),
        (&1.into(), &true.into())
    );
    let done = objects(&instance.succeed("postsuper", &["-d", "ALL", "--json"]));
    assert_eq!((done.len(), &done[0]["deleted"]), (1, &1.into()));
    let output = instance.run("postsuper", &["--json", "-d", "ALL", "nosuch"]);
    assert!(!output.status.success());
    assert_eq!(
        objects(&String::from_utf8_lossy(&output.stdout))[0]["complete"],
        false
    );
}

/// Damaged files are set aside and everything else flows on.
#[test]
fn damaged_queue_files_end_in_corrupt() {
    let (_sink, instance) = with_busy_sink("");
    let id = send(&instance, &["carol@relay.test", "dave@relay.test"]);
    instance.wait_queue("deferred", 1);
    let good = fs::read(instance.queue_file("deferred", &id)).expect("the deferred message");
    let damaged = damage(&good);
    for (number, content) in damaged.iter().enumerate() {
        let path = instance
            .file("spool/incoming")
            .join(format!("{:05X}{number:X}", 0xA0000 + number));
        fs::write(&path, content).expect("plant a damaged file");
        instance.give_to_mail(&path);
        let ready = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&path, ready).expect("mark it as complete");
    }
    instance.succeed("postqueue", &["-f"]);
    let healthy = instance
        .smtp()
        .send("s@example.test", &["bob@example.test"], TEXT);
    assert!(healthy.queue_id().is_some(), "{healthy:?}");
    instance.wait_maildir("bob", 1);
    wait_for("an end for every damaged file", || {
        (instance.queue("incoming").is_empty() && instance.queue("active").is_empty()).then_some(())
    });
    let corrupt = instance.queue("corrupt");
    // The cut ones cannot be messages.
    assert!(
        corrupt.len() >= CUTS,
        "only {corrupt:?} of {} are in corrupt/",
        damaged.len()
    );
    instance.wait_log("from queue \"active\" to queue \"corrupt\"");
    assert!(instance.queue("deferred").contains(&id));
    assert_eq!(instance.defects(), Vec::<String>::new());
}

const CUTS: usize = 24;
const FLIPS: usize = 40;

/// The file cut at many lengths, then with one bit changed at many places of its envelope.
fn damage(good: &[u8]) -> Vec<Vec<u8>> {
    let mut random = postern_testkit::Random::new(7);
    let cuts = (0..CUTS).map(|step| good[..good.len() * step / CUTS].to_vec());
    let mut damaged: Vec<Vec<u8>> = cuts.collect();
    for _ in 0..FLIPS {
        let mut copy = good.to_vec();
        let place = random.below(copy.len());
        copy[place] ^= 1 << random.below(8);
        damaged.push(copy);
    }
    damaged
}

#[test]
fn held_mail_does_not_use_up_the_flow_control() {
    // Ten messages find a token. Without one, each of the other five would take ten seconds.
    let most = std::time::Duration::from_secs(40);
    let instance = Instance::started(
        "default_process_limit = 10\nin_flow_delay = 10s\n\
         smtpd_client_restrictions = check_client_access static:HOLD\n",
        "",
    );
    let begin = std::time::Instant::now();
    for _ in 0..15 {
        send(&instance, &["alice@example.test"]);
    }
    assert!(begin.elapsed() < most, "{:?}", begin.elapsed());
    assert_eq!(instance.queue("hold").len(), 15);
    assert_eq!(instance.defects(), Vec::<String>::new());
}
