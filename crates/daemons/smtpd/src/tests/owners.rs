//! Addresses that are somebody's: of users who log in, and of our own probes.

use super::*;

const OWNERS: &str = "smtpd_sasl_auth_enable = yes\nsmtpd_sender_login_maps = \
    inline:{{ann@example.test=ann}, {list@example.test = ann ,BOB}, {odd@example.test = ,}}\n\
    smtpd_sender_restrictions = ";

/// What RCPT says after MAIL with each of some senders.
#[track_caller]
fn verdicts(settings: &str, login: Option<&'static str>, senders: &[(&str, &str)]) {
    let greeting = "220 mx.example.test ESMTP Postfix";
    let mut talk = Talk::prepared(
        settings,
        Cleanup::Answers(0, ""),
        greeting,
        move |session| {
            session.login = login.map(Into::into);
        },
    );
    talk.say("EHLO client");
    for (sender, want) in senders {
        talk.say(&format!("MAIL FROM:<{sender}>"));
        let got = talk.say("RCPT TO:<alice@example.test>");
        let want = match *want {
            "ok" => "250 2.1.5 Ok".to_owned(),
            "later" => format!("451 4.3.0 <{sender}>: Temporary lookup failure"),
            "broken" => "451 4.3.5 Server configuration error".to_owned(),
            text => format!("553 5.7.1 <{sender}>: Sender address rejected: {text}"),
        };
        assert_eq!(got, want, "{settings} {login:?} {sender}");
        talk.say("RSET");
    }
    talk.finish();
}

#[test]
fn nobody_uses_the_address_of_a_user_without_login() {
    let owned = [
        ("ann@example.test", "not logged in"),
        ("ann", "not logged in"),
        ("ANN@example.test", "not logged in"),
        ("list@example.test", "not logged in"),
        ("odd@example.test", "not logged in"),
        ("alice@example.test", "ok"),
        ("ann@elsewhere.example", "ok"),
        ("", "ok"),
    ];
    for name in [
        "reject_sender_login_mismatch",
        "reject_unauthenticated_sender_login_mismatch",
        "reject_known_sender_login_mismatch",
    ] {
        verdicts(&format!("{OWNERS}{name}"), None, &owned);
    }
    let name = "reject_authenticated_sender_login_mismatch";
    verdicts(
        &format!("{OWNERS}{name}"),
        None,
        &owned.map(|(sender, _)| (sender, "ok")),
    );
}

#[test]
fn users_use_their_own_addresses_only() {
    let not_his = "not owned by user bob";
    for name in [
        "reject_sender_login_mismatch",
        "reject_authenticated_sender_login_mismatch",
    ] {
        let senders = [
            ("list@example.test", "ok"),
            ("ann@example.test", not_his),
            ("odd@example.test", not_his),
            ("unowned@example.test", not_his),
            ("", "ok"),
        ];
        verdicts(&format!("{OWNERS}{name}"), Some("bob"), &senders);
    }
    let senders = [
        ("list@example.test", "ok"),
        ("ann@example.test", not_his),
        ("unowned@example.test", "ok"),
    ];
    let name = "reject_known_sender_login_mismatch";
    verdicts(&format!("{OWNERS}{name}"), Some("bob"), &senders);
    let name = "reject_unauthenticated_sender_login_mismatch";
    verdicts(
        &format!("{OWNERS}{name}"),
        Some("bob"),
        &[("ann@example.test", "ok")],
    );
}

#[test]
fn owners_that_cannot_be_looked_up_are_a_temporary_refusal() {
    let settings = |maps: &str| {
        format!(
            "smtpd_sasl_auth_enable = yes\nsmtpd_sender_login_maps = {maps}\n\
             smtpd_sender_restrictions = reject_sender_login_mismatch"
        )
    };
    verdicts(
        &settings("fail:x"),
        None,
        &[("a@b.example", "later"), ("", "ok")],
    );
    verdicts(
        &settings("regexp:{{/a@/ }}"),
        None,
        &[("a@b.example", "broken")],
    );
}

#[test]
fn without_logins_the_restriction_says_nothing() {
    let settings = format!("{OWNERS}reject_sender_login_mismatch\nsmtpd_sasl_auth_enable = no");
    verdicts(&settings, None, &[("ann@example.test", "ok")]);
}

#[test]
fn mail_for_the_sender_of_our_probes_is_always_taken() {
    let settings = "address_verify_sender = probe@example.test\n\
        address_verify_sender_ttl = 1000000000s\nsmtpd_client_restrictions = reject\n";
    let mut talk = Talk::new(settings, Cleanup::Answers(0, ""));
    talk.say("EHLO client");
    talk.say("MAIL FROM:<>");
    // The periods of the 32 years around 2030; one of 3 is in use whenever this runs.
    let replies: Vec<String> = ["0", "1", "2", "3"]
        .iter()
        .map(|period| talk.say(&format!("RCPT TO:<Probe{period}@example.test>")))
        .collect();
    let taken = replies
        .iter()
        .filter(|reply| *reply == "250 2.1.5 Ok")
        .count();
    assert_eq!(taken, 3, "{replies:?}");
    talk.check(&[(
        "RCPT TO:<probe@example.test>",
        "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied",
    )]);
    talk.say("DATA");
    talk.send(b"Subject: x\r\n\r\n.\r\n");
    talk.reply();
    let mail = talk.finish().concat();
    let recipients = mail
        .iter()
        .filter(|record| *record == "Rprobe@example.test");
    assert_eq!(recipients.count(), 3, "{mail:?}");
}

#[test]
fn bare_recipients_belong_to_myorigin() {
    let settings = "myorigin = relay.example\nrelay_domains = relay.example\n\
        relay_recipient_maps = inline:{{x@relay.example=y}}\n";
    let mut talk = Talk::new(settings, Cleanup::Answers(0, ""));
    talk.check(&[
        ("MAIL FROM:<>", "250 2.1.0 Ok"),
        ("RCPT TO:<x>", "250 2.1.5 Ok"),
    ]);
    let unknown =
        "550 5.1.1 <alice>: Recipient address rejected: User unknown in relay recipient table";
    talk.check(&[("RCPT TO:<alice>", unknown)]);
    talk.finish();
}
