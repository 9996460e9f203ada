//! Restrictions of old (the tests' `compatibility_level` has them), and corners of those of today.

use super::*;

/// A session that says `lines`; what is asserted is the last reply.
#[track_caller]
fn last_reply(settings: &str, lines: &[&str], want: &str) {
    let mut talk = Talk::new(settings, Cleanup::Answers(0, ""));
    let mut reply = String::new();
    for line in lines {
        reply = talk.say(line);
    }
    assert_eq!(reply, want, "{settings} {lines:?}");
    talk.finish();
}

#[test]
fn a_second_recipient_of_a_bounce_is_refused_at_once() {
    let settings = "smtpd_recipient_restrictions = reject_multi_recipient_bounce";
    let refused =
        "550 5.5.3 <bob@example.test>: Recipient address rejected: Multi-recipient bounce";
    let (alice, bob) = ("RCPT TO:<alice@example.test>", "RCPT TO:<bob@example.test>");
    last_reply(settings, &["HELO x", "MAIL FROM:<>", alice], "250 2.1.5 Ok");
    last_reply(settings, &["HELO x", "MAIL FROM:<>", alice, bob], refused);
    let sender = "MAIL FROM:<a@example.org>";
    last_reply(settings, &["HELO x", sender, alice, bob], "250 2.1.5 Ok");
}

#[test]
fn a_naked_address_as_helo_name_permits_if_it_is_one() {
    let settings = "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = \
         permit_naked_ip_address, reject_unauth_destination";
    let invalid = "Helo command rejected: invalid ip address";
    for (helo, want) in [
        ("192.0.2.77", "250 2.1.5 Ok"),
        ("192.0.2.77.", "250 2.1.5 Ok"),
        (
            "[192.0.2.77]",
            "554 5.7.1 <x@remote.example>: Relay access denied",
        ),
        (
            "0x7f.1",
            "554 5.7.1 <x@remote.example>: Relay access denied",
        ),
        (
            "192.0.2.300",
            &format!("501 5.5.2 <192.0.2.300>: {invalid}"),
        ),
        ("::1", &format!("501 5.5.2 <::1>: {invalid}")),
    ] {
        let helo = format!("HELO {helo}");
        let lines = [helo.as_str(), "MAIL FROM:<>", "RCPT TO:<x@remote.example>"];
        last_reply(settings, &lines, want);
    }
}

#[test]
fn check_relay_domains_speaks_of_the_recipient() {
    let settings = "mynetworks = 192.0.2.1\nsmtpd_relay_restrictions =\n\
         smtpd_recipient_restrictions = check_relay_domains";
    let mail = ["HELO x", "MAIL FROM:<>"];
    let denied = "554 5.7.1 <x@remote.example>: Recipient address rejected: Relay access denied";
    for (rcpt, want) in [
        ("RCPT TO:<alice@example.test>", "250 2.1.5 Ok"),
        ("RCPT TO:<x@remote.example>", denied),
    ] {
        last_reply(settings, &[mail.as_slice(), &[rcpt]].concat(), want);
    }
}

#[test]
fn a_name_that_only_its_own_zone_vouches_for_is_unverified() {
    let refused = "554 5.7.1 <localhost>: Unverified Client host rejected: Access denied";
    // The table is asked for the client's address, too.
    for (table, want) in [
        ("static:reject", refused),
        ("inline:{localhost=reject}", refused),
        ("inline:{127.0.0.1=reject}", refused),
        ("inline:{127.0=reject}", refused),
        ("inline:{192.0.2.1=reject}", "250 2.1.5 Ok"),
    ] {
        last_reply(
            &format!("smtpd_client_restrictions = check_reverse_client_hostname_access {table}"),
            &["HELO x", "MAIL FROM:<>", "RCPT TO:<alice@example.test>"],
            want,
        );
    }
}

#[test]
fn a_broken_table_of_keywords_hurts_those_who_ask_for_keywords() {
    let settings = "smtpd_discard_ehlo_keyword_address_maps = fail:x";
    last_reply(settings, &["HELO x"], "250 mx.example.test");
    let broken = "421 4.3.0 mx.example.test Server local data error";
    last_reply(settings, &["EHLO x"], broken);
}
