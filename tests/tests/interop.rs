//! One queue, two suites: what Debian's Postfix queued, Postern lists, reads and delivers, and the other
//! way round.

use std::collections::BTreeSet;

use nix::unistd::geteuid;
use postern_testkit::{Instance, Sink, Suite, skip};
use serde_json::Value;

const TEXT: &str = "From: alice@example.test\nSubject: queued by one\nX-Mark: 4711\n\n\
    .A line with a dot, and one that is long: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\n";

/// The reference, or none with a message: an operator switches as root, and only root may start it.
fn reference() -> Option<Suite> {
    let missing = if !geteuid().is_root() {
        "it needs root"
    } else if std::env::var_os("POSTERN_TEST_REFERENCE").is_some() {
        "the reference is under test itself"
    } else {
        match Suite::reference() {
            Some(suite) => return Some(suite),
            None => "Debian's Postfix is not installed",
        }
    };
    skip("one queue with two suites", missing);
    None
}

#[test]
fn postern_goes_on_with_a_queue_of_postfix() {
    if let Some(reference) = reference() {
        hand_over(reference, Suite::under_test(), false);
    }
}

#[test]
fn postfix_goes_on_with_a_queue_of_postern() {
    if let Some(reference) = reference() {
        hand_over(Suite::under_test(), reference, false);
    }
}

#[test]
fn long_queue_ids_are_handed_over_both_ways() {
    if let Some(reference) = reference() {
        hand_over(reference.clone(), Suite::under_test(), true);
        hand_over(Suite::under_test(), reference, true);
    }
}

/// `first` takes mail that one recipient refuses for now and one for good; `second` finishes it.
fn hand_over(first: Suite, second: Suite, long_ids: bool) {
    let sink = Sink::start(&[
        ("RCPT TO:<later", "450 4.2.1 try later"),
        ("RCPT TO:<gone", "550 5.1.1 gone"),
    ]);
    let more = if long_ids {
        "enable_long_queue_ids = yes\n"
    } else {
        ""
    };
    let settings = sink.relayhost() + more;
    let dead_hop = "transport_maps = inline:{ {dead.test = smtp:[127.0.0.1]:1} }\n";
    let mut instance = Instance::for_test(&format!("{settings}{dead_hop}"), "");
    instance.set_suite(first);
    instance.start().expect("start the first suite");
    let deferred = take_mail(&instance, &sink);
    let held = hold_mail(&instance);
    instance.stop();
    // Submitted while nothing runs: it waits in maildrop.
    instance.sendmail(
        &["-f", "alice@example.test", "bob@example.test"],
        "Subject: dropped\n\nx\n",
    );
    let shown = show(&instance, &deferred, &held);
    instance.set_suite(second);
    for (second, first) in show(&instance, &deferred, &held).iter().zip(&shown) {
        assert_eq!(second, first);
    }
    instance.set_main_cf(&settings);
    instance.start().expect("start the second suite");
    instance.wait_mail("bob", "Subject: dropped\n");
    sink.set("RCPT TO:<later", "250 2.1.5 ok");
    instance.succeed("postsuper", &["-H", &held]);
    instance.drain();
    let messages = sink.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    let late = messages[1..]
        .iter()
        .find(|message| message.content.contains("X-Mark: 4711\n"))
        .unwrap_or_else(|| panic!("{messages:?}"));
    assert_eq!(late.recipients, ["TO:<later@relay.test>"]);
    assert_eq!(body(&late.content), body(TEXT));
    instance.wait_mail("bob", "Subject: held\n");
    // One notice of the first suite for the refused recipient, none of the second.
    let notices = instance.mail("alice");
    assert_eq!(notices.len(), 1, "{notices:?}");
    for name in ["defer", "bounce", "corrupt", "hold"] {
        assert_eq!(instance.queue(name), Vec::<String>::new(), "in {name}");
    }
    assert_eq!(instance.defects(), Vec::<String>::new());
}

fn body(text: &str) -> &str {
    text.split_once("\n\n").map_or("", |(_, body)| body)
}

fn take_mail(instance: &Instance, sink: &Sink) -> String {
    let reply = instance.smtp().send(
        "alice@example.test",
        &["good@relay.test", "later@relay.test", "gone@relay.test"],
        TEXT,
    );
    let id = reply.queue_id().expect("taken").to_owned();
    sink.wait(1);
    instance.wait_mail("alice", "gone@relay.test");
    instance.wait_queue("deferred", 1);
    id
}

fn hold_mail(instance: &Instance) -> String {
    // A message that waits for its next hop can be held whenever it is looked at.
    let reply = instance.smtp().send(
        "alice@example.test",
        &["later@dead.test", "bob@example.test"],
        "Subject: held\n\nx\n",
    );
    let id = reply.queue_id().expect("taken").to_owned();
    instance.wait_queue("deferred", 2);
    instance.succeed("postsuper", &["-h", &id]);
    assert_eq!(instance.queue("hold"), [id.as_str()]);
    id
}

/// What the tools print of the queue; it must be the same from both suites.
fn show(instance: &Instance, deferred: &str, held: &str) -> Vec<String> {
    let plain = instance.succeed("postqueue", &["-p"]);
    let detailed = instance.succeed("postcat", &["-vq", deferred]);
    let listing = instance.succeed("postcat", &["-q", deferred]);
    for part in [
        "*** ENVELOPE RECORDS deferred/",
        "\nsender: alice@example.test\n",
        "\ndone_recipient: good@relay.test\n",
        "\nrecipient: later@relay.test\n",
        "\ndone_recipient: gone@relay.test\n",
        "\nX-Mark: 4711\n",
        "\n.A line with a dot, and",
    ] {
        assert!(listing.contains(part), "{part} in {listing}");
    }
    let text = instance.succeed("postqueue", &["-j"]);
    let values: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect();
    let find = |id: &str| {
        values
            .iter()
            .find(|value| value["queue_id"] == id)
            .unwrap_or_else(|| panic!("no {id} in {text}"))
    };
    let value = find(deferred);
    assert_eq!(value["queue_name"], "deferred");
    assert_eq!(value["recipients"][0]["address"], "later@relay.test");
    let reason = value["recipients"][0]["delay_reason"].as_str();
    assert!(
        reason.is_some_and(|text| text.contains("450 4.2.1 try later")),
        "{value}"
    );
    assert_eq!(value["recipients"].as_array().map(Vec::len), Some(1));
    assert_eq!(find(held)["queue_name"], "hold");
    let sorted: BTreeSet<&str> = text.lines().collect();
    let json = sorted.into_iter().collect::<Vec<_>>().join("\n");
    vec![plain, detailed, listing, json]
}
