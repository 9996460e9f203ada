//! Operators see the address cache through smtpd(8): what it answers while verify(8) learns, keeps,
//! asks again and forgets, with tables of every type that can be written, and with verify(8) killed
//! in between.

use postern_testkit::{Instance, Sink, SmtpClient, Store, free_port, skip, wait_for};

/// Good addresses are forgotten, bad ones asked again within the test. (A good address that is found bad
/// when it is asked again stays good until it is forgotten, and that is a quarter of an hour later.)
const SHORT: &str = "address_verify_positive_expire_time = 2s\naddress_verify_positive_refresh_time = 1h\n\
    address_verify_negative_expire_time = 1h\naddress_verify_negative_refresh_time = 1s\n";

const POLICY: &str = "relay_domains = relay.example\n\
    smtpd_recipient_restrictions = reject_unverified_recipient\n\
    unverified_recipient_reject_code = 550\nunverified_sender_reject_code = 550\n\
    address_verify_poll_delay = 1s\nservice_throttle_time = 1s\n\
    smtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000\n";

fn host_of_domain() -> Sink {
    Sink::start(&[
        ("RCPT TO:<bad", "550 5.1.1 no such user"),
        ("RCPT TO:<slow", "450 4.2.0 not now"),
    ])
}

fn instance(sink: &Sink, table: &str, more: &str) -> Instance {
    let route = format!("[127.0.0.1]:{}", sink.port());
    Instance::for_test(
        &format!("{POLICY}relay_transport = smtp:{route}\naddress_verify_map = {table}\n{more}"),
        "",
    )
}

/// The reply to RCPT for `user` at the domain behind the sink.
fn rcpt(instance: &Instance, user: &str) -> String {
    let mut client = instance.smtp();
    client.say("EHLO client.example");
    client.say("MAIL FROM:<a@sender.example>");
    let reply = client
        .say(&format!("RCPT TO:<{user}@relay.example>"))
        .text();
    client.say("QUIT");
    reply
}

/// How often delivery agents have told of probes.
fn probes(instance: &Instance) -> usize {
    let log = instance.log();
    log.lines()
        .filter(|line| line.contains(" status=") && line.contains("deliverable"))
        .count()
}

fn kill_verify(instance: &Instance) {
    let process = instance.wait_daemon("verify");
    assert!(instance.kill(&process));
}

/// What an address is worth is asked once, kept over the death of verify(8), and given anew to all
/// who ask, good or bad.
fn learns_and_keeps(mut instance: Instance, sink: &Sink) {
    instance.start().unwrap();
    let told = |user: &str| format!("<{user}@relay.example>: Recipient address rejected");
    let check = |instance: &Instance| {
        let good = rcpt(instance, "good");
        assert!(good.starts_with("250 2.1.5"), "{good}");
        let bad = rcpt(instance, "bad");
        let want = format!("550 5.1.1 {}: undeliverable address: host ", told("bad"));
        assert!(bad.starts_with(&want), "{bad}");
        assert!(bad.contains(" said: 550 5.1.1 no such user (in reply to RCPT TO command)"));
        let slow = rcpt(instance, "slow");
        let want = format!("450 4.1.1 {}: unverified address: host ", told("slow"));
        assert!(slow.starts_with(&want), "{slow}");
    };
    check(&instance);
    assert_eq!(probes(&instance), 3);
    kill_verify(&instance);
    check(&instance);
    // The address exists by now; what was learned holds.
    sink.set("RCPT TO:<bad", "250 2.1.5 Ok");
    check(&instance);
    assert_eq!(probes(&instance), 3, "{}", instance.log());
    sink.set("RCPT TO:<bad", "550 5.1.1 no such user");
}

/// Old entries are asked again or worth nothing. While a probe is under way verify(8) had better live: what
/// it would have heard is asked again only after a quarter of an hour.
fn refreshes_and_forgets(mut instance: Instance, sink: &Sink) {
    instance.start().unwrap();
    assert!(rcpt(&instance, "good").starts_with("250 "));
    assert!(rcpt(&instance, "bad").starts_with("550 "));
    sink.set("RCPT TO:<bad", "250 2.1.5 Ok");
    sink.set("RCPT TO:<good", "550 5.1.1 moved away");
    kill_verify(&instance);
    wait_for("the new user to be known", || {
        rcpt(&instance, "bad").starts_with("250 ").then_some(())
    });
    wait_for("the old user to be forgotten", || {
        rcpt(&instance, "good").starts_with("550 ").then_some(())
    });
    assert!(probes(&instance) >= 4);
}

fn both(table: &str, more: &str, prepare: impl Fn(&Instance)) {
    let sink = host_of_domain();
    let kept = instance(&sink, table, more);
    prepare(&kept);
    learns_and_keeps(kept, &sink);
    let short = instance(&sink, table, &format!("{more}{SHORT}"));
    prepare(&short);
    refreshes_and_forgets(short, &sink);
}

#[test]
fn btree_tells_smtpd_what_verify_learned() {
    both("btree:$data_directory/verify_cache", "", |_| ());
}

#[test]
fn lmdb_tells_smtpd_what_verify_learned() {
    both("lmdb:$data_directory/verify_cache", "", |_| ());
}

#[test]
fn a_btree_behind_proxymap_tells_smtpd_what_verify_learned() {
    let table = "proxy:btree:$data_directory/verify_cache";
    both(table, "", |_| ());
}

#[test]
fn memcache_tells_smtpd_what_verify_learned() {
    let Some(store) = Store::memcached() else {
        return skip(
            "address verification on memcache",
            "memcached is not installed",
        );
    };
    both("memcache:${config_directory}/cache.cf", "", |instance| {
        // Each instance has keys of its own.
        let settings = format!(
            "memcache = inet:127.0.0.1:{}\nkey_format = {}:%s\n",
            store.port(),
            instance.port()
        );
        instance.write("etc/cache.cf", settings.as_bytes());
    });
}

#[test]
fn redis_tells_smtpd_what_verify_learned() {
    let Some(store) = Store::redis() else {
        return skip("address verification on redis", "Redis is not installed");
    };
    both("redis:${config_directory}/cache.cf", "", |instance| {
        let settings = format!(
            "redis = inet:127.0.0.1:{}\nkey_prefix = {}:\n",
            store.port(),
            instance.port()
        );
        instance.write("etc/cache.cf", settings.as_bytes());
    });
}

#[test]
fn without_negative_cache_each_query_for_a_bad_address_is_a_probe() {
    let sink = host_of_domain();
    let more = "address_verify_negative_cache = no\naddress_verify_poll_count = 1\n";
    let mut instance = instance(&sink, "btree:$data_directory/verify_cache", more);
    instance.start().unwrap();
    for count in 1..=3 {
        let reply = rcpt(&instance, "bad");
        let want = "450 4.1.1 <bad@relay.example>: Recipient address rejected: unverified address: \
            Address verification in progress";
        assert_eq!(reply, want);
        wait_for("the probe", || (probes(&instance) >= count).then_some(()));
    }
    let log = instance.log();
    assert!(log.contains(" status=undeliverable-but-not-cached "));
    assert!(!log.contains(" status=undeliverable "));
}

#[test]
fn the_senders_host_is_asked_for_the_sender() {
    let sink = host_of_domain();
    let more = "smtpd_sender_restrictions = reject_unverified_sender\nsmtpd_recipient_restrictions =\n\
        unverified_sender_reject_reason = Ask your administrator\n";
    let mut instance = instance(&sink, "", more);
    instance.start().unwrap();
    let mut client = instance.smtp();
    client.say("EHLO client.example");
    let mut reply_to = |sender: &str| {
        client.say(&format!("MAIL FROM:<{sender}>"));
        let reply = client.say("RCPT TO:<postmaster@relay.example>").text();
        client.say("RSET");
        reply
    };
    assert!(reply_to("good@relay.example").starts_with("250 "));
    assert_eq!(
        reply_to("bad@relay.example"),
        "550 5.1.7 <bad@relay.example>: Sender address rejected: undeliverable address: Ask your administrator"
    );
    assert_eq!(
        reply_to("slow@relay.example"),
        "450 4.1.7 <slow@relay.example>: Sender address rejected: unverified address: Ask your administrator"
    );
    assert!(reply_to("").starts_with("250 "));
    assert_eq!(probes(&instance), 3);
}

#[test]
fn codes_and_actions_decide_what_an_unverified_address_costs() {
    const BAD: &str = "<bad@relay.example>: Recipient address rejected: ";
    const SLOW: &str = "<slow@relay.example>: Recipient address rejected: ";
    // Codes for bad and for other addresses, action, what follows in the list; replies for `bad` and `slow`.
    #[rustfmt::skip]
    let cases = [
        ("550", "450", "defer_if_permit", "reject", format!("550 5.1.1 {BAD}undeliverable address: "), format!("554 5.7.1 {SLOW}Access denied")),
        ("451", "450", "defer_if_permit", "reject", format!("554 5.7.1 {BAD}Access denied"), format!("554 5.7.1 {SLOW}Access denied")),
        ("451", "450", "defer", "reject", format!("451 4.1.1 {BAD}unverified address: "), format!("450 4.1.1 {SLOW}unverified address: ")),
        ("451", "452", "defer_if_permit", "permit", format!("451 4.1.1 {BAD}unverified address: "), format!("452 4.1.1 {SLOW}unverified address: ")),
        ("250", "250", "defer", "permit", "250 2.1.5 Ok".to_owned(), "250 2.1.5 Ok".to_owned()),
        ("399", "450", "defer", "permit", "450 4.7.1 Service unavailable".to_owned(), format!("450 4.1.1 {SLOW}unverified address: ")),
    ];
    let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
    let master_cf: String = cases
        .iter()
        .zip(&ports)
        .map(|((reject, defer, action, last, _, _), port)| {
            format!(
                "127.0.0.1:{port} inet n - n - - smtpd\n  -o unverified_recipient_reject_code={reject}\n  \
                 -o unverified_recipient_defer_code={defer}\n  -o unverified_recipient_tempfail_action={action}\n  \
                 -o {{ smtpd_recipient_restrictions = reject_unverified_recipient, {last} }}\n"
            )
        })
        .collect();
    let sink = host_of_domain();
    let main_cf = format!(
        "{POLICY}relay_transport = smtp:[127.0.0.1]:{}\naddress_verify_map =\n",
        sink.port()
    );
    let mut instance = Instance::for_test(&main_cf, &master_cf);
    instance.start().unwrap();
    for ((reject, defer, action, last, bad, slow), port) in cases.iter().zip(&ports) {
        let mut client = wait_for("the server", || SmtpClient::try_connect(*port).ok());
        client.say("EHLO client.example");
        client.say("MAIL FROM:<a@sender.example>");
        for (user, want) in [("bad", bad), ("slow", slow)] {
            let got = client
                .say(&format!("RCPT TO:<{user}@relay.example>"))
                .text();
            assert!(
                got.starts_with(want),
                "{reject} {defer} {action} {last}: {got}"
            );
        }
    }
    assert!(
        instance
            .log()
            .contains("warning: SMTP reply code configuration error: 399 4.1.1 ")
    );
}

#[test]
fn the_address_of_notices_of_notices_is_deliverable() {
    let more = "local_recipient_maps =\nmydestination = $myhostname\n";
    let mut instance = instance(
        &host_of_domain(),
        "btree:$data_directory/verify_cache",
        more,
    );
    instance.start().unwrap();
    let mut client = instance.smtp();
    client.say("EHLO client.example");
    client.say("MAIL FROM:<a@sender.example>");
    let reply = client.say("RCPT TO:<double-bounce>");
    assert_eq!(reply.text(), "250 2.1.5 Ok", "{}", instance.log());
    instance.wait_log(" status=deliverable (undeliverable postmaster notification discarded)");
}

#[test]
fn without_a_verify_service_mail_is_deferred() {
    let sink = host_of_domain();
    let mut instance = instance(
        &sink,
        "",
        "address_verify_service_name = nowhere\nipc_timeout = 1s\n",
    );
    instance.start().unwrap();
    assert_eq!(
        rcpt(&instance, "good"),
        "450 4.1.1 <good@relay.example>: Recipient address rejected: address verification problem"
    );
    assert!(instance.log().contains("warning: nowhere service failure"));
}
