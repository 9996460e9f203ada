//! Operators watch single peers with `debug_peer_list`, and services with `-v`: the dialogue and the
//! restriction steps are logged, for whom they were asked for and for nobody else.

use std::net::Ipv4Addr;

use postern_testkit::{Instance, Sink, SmtpClient, free_port};

const WATCHED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Clients have no names: nobody is asked for them.
const SERVER: &str = "smtpd_peername_lookup = no\nsmtpd_client_restrictions =\n\
    smtpd_relay_restrictions = permit_mynetworks, reject\n\
    smtpd_recipient_restrictions = check_sender_access inline:{{bad@sender.example=reject}}\n";

/// The texts of a program's lines with the process that wrote them, without the chatter that differs
/// from program to program.
fn lines(instance: &Instance, program: &str) -> Vec<(String, String)> {
    const NORMAL: &[&str] = &[
        "connect from ",
        "disconnect from ",
        "NOQUEUE: ",
        "warning: ",
    ];
    const DIALOGUE: &[&str] = &[
        "> ",
        "< ",
        ">>> ",
        "generic_checks: ",
        "check_table_result: ",
    ];
    let start = format!("/{program}[");
    let of_program = |line: &str| {
        let (_, rest) = line.split_once(&start)?;
        let (process, text) = rest.split_once("]: ")?;
        let is_wanted = [NORMAL, DIALOGUE].concat();
        let is_wanted = is_wanted.iter().any(|word| text.starts_with(word));
        (is_wanted || text.contains(": to=<")).then(|| (process.to_owned(), text.to_owned()))
    };
    instance.log().lines().filter_map(of_program).collect()
}

fn texts(instance: &Instance, program: &str) -> Vec<String> {
    let lines = lines(instance, program);
    lines.into_iter().map(|(_, text)| text).collect()
}

fn is_dialogue(text: &str) -> bool {
    text.starts_with("> ") || text.starts_with("< ")
}

/// One session with a refused recipient.
fn session(instance: &Instance, port: u16, client: Ipv4Addr) {
    let ended = || {
        let from = format!("disconnect from unknown[{client}]");
        instance.log().matches(&from).count()
    };
    let before = ended();
    let mut smtp = SmtpClient::connect_from(client, port);
    smtp.say("HELO client.example.test");
    smtp.say("MAIL FROM:<bad@sender.example>");
    smtp.say("RCPT TO:<alice@example.test>");
    smtp.say("AUTH PLAIN AGFsaWNlAHNlY3JldA==");
    smtp.say("QUIT");
    postern_testkit::wait_for("the end of the session", || {
        (ended() > before).then_some(())
    });
}

/// What is logged of [`session`] with a watched client.
fn watched_session() -> Vec<String> {
    let reply = "554 5.7.1 <bad@sender.example>: Sender address rejected: Access denied";
    let refusal = format!(
        "NOQUEUE: reject: RCPT from unknown[127.0.0.2]: {reply}; from=<bad@sender.example> \
         to=<alice@example.test> proto=SMTP helo=<client.example.test>"
    );
    [
        "connect from unknown[127.0.0.2]",
        "> unknown[127.0.0.2]: 220 mail.example.test ESMTP Postfix",
        "< unknown[127.0.0.2]: HELO client.example.test",
        "> unknown[127.0.0.2]: 250 mail.example.test",
        "< unknown[127.0.0.2]: MAIL FROM:<bad@sender.example>",
        "> unknown[127.0.0.2]: 250 2.1.0 Ok",
        "< unknown[127.0.0.2]: RCPT TO:<alice@example.test>",
        ">>> START Recipient address RESTRICTIONS <<<",
        "generic_checks: name=permit_mynetworks",
        "generic_checks: name=permit_mynetworks status=1",
        ">>> END Recipient address RESTRICTIONS <<<",
        ">>> START Recipient address RESTRICTIONS <<<",
        "generic_checks: name=check_sender_access",
        "check_table_result: inline:{{bad@sender.example=reject}} reject bad@sender.example",
        &refusal,
        "generic_checks: name=check_sender_access status=2",
        ">>> END Recipient address RESTRICTIONS <<<",
        &format!("> unknown[127.0.0.2]: {reply}"),
        "< unknown[127.0.0.2]: AUTH PLAIN AGFsaWNlAHNlY3JldA==",
        "> unknown[127.0.0.2]: 503 5.5.1 Error: authentication not enabled",
        "< unknown[127.0.0.2]: QUIT",
        "> unknown[127.0.0.2]: 221 2.0.0 Bye",
        "disconnect from unknown[127.0.0.2] helo=1 auth=0/1 mail=1 rcpt=0/1 quit=1 commands=3/5",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_listed_client_is_watched_until_it_leaves() {
    for level in ["debug_peer_level = 1\n", ""] {
        let main_cf = format!("{SERVER}debug_peer_list = 127.0.0.2\n{level}");
        let instance = Instance::started(&main_cf, "");
        session(&instance, instance.port(), WATCHED);
        let seen = instance.log().lines().count();
        session(&instance, instance.port(), OTHER);
        session(&instance, instance.port(), WATCHED);
        let lines = lines(&instance, "smtpd");
        let process = &lines[0].0;
        assert!(lines.iter().all(|(other, _)| other == process), "{lines:?}");
        let mut want = watched_session();
        let refusal = want[14].replace("127.0.0.2", "127.0.0.1");
        want.extend([
            "connect from unknown[127.0.0.1]".to_owned(),
            refusal,
            want[22].replace("127.0.0.2", "127.0.0.1"),
        ]);
        want.extend(watched_session());
        assert_eq!(texts(&instance, "smtpd"), want, "{level}");
        // Nothing at all is said more about the one in between.
        let log = instance.log();
        let between: Vec<&str> = log
            .lines()
            .skip(seen)
            .skip_while(|line| !line.contains("connect from unknown[127.0.0.1]"))
            .take_while(|line| !line.contains(" connect from unknown[127.0.0.2]"))
            .filter(|line| line.contains("/smtpd["))
            .collect();
        assert_eq!(between.len(), 3, "{between:?}");
    }
}

/// Reloads; then no server of before is left to take another client.
fn reload_servers(instance: &Instance) {
    let servers = || {
        instance
            .daemons()
            .into_iter()
            .filter(|daemon| daemon.name == "smtpd")
    };
    let before: Vec<_> = servers().map(|daemon| daemon.pid).collect();
    instance.reload();
    postern_testkit::wait_for("the servers of before to end", || {
        servers()
            .all(|daemon| !before.contains(&daemon.pid))
            .then_some(())
    });
}

#[test]
fn the_list_says_who_is_watched() {
    let peers = "10.0.0.1\n!127.0.0.1\n127.0.0.0/8\n";
    let broken = "warning: debug_peer_list: ";
    #[rustfmt::skip]
    let cases = [
        // list, watched, what is wrong with the list
        ("", false, ""),
        ("10.0.0.0/8", false, ""),
        ("127.0.0.0/30", true, ""),
        ("!127.0.0.2 127.0.0.0/8", false, ""),
        ("!127.0.0.1 127.0.0.0/8", true, ""),
        ("unknown", true, ""),
        ("PEERS", true, ""),
        ("!PEERS, 0.0.0.0/0", false, ""),
        ("inline:{{127.0.0.2=x}}", true, ""),
        ("!static:all", false, ""),
        ("fail:x 127.0.0.0/8", false, "fail:x: table lookup problem"),
        ("127.0.0.0/8 fail:x", true, ""),
        ("PEERS.none 127.0.0.0/8", false, "non-existent:PEERS.none: table lookup problem"),
        ("hash:PEERS.none", false, "hash:PEERS.none: table lookup problem"),
    ];
    let mut instance = Instance::for_test(SERVER, "");
    let path = instance.file("etc/peers").display().to_string();
    instance.write("etc/peers", peers.as_bytes());
    instance.start().unwrap();
    for (list, is_watched, wrong) in cases {
        let seen = instance.log().len();
        let list = list.replace("PEERS", &path);
        instance.set_main_cf(&format!("{SERVER}debug_peer_list = {list}\n"));
        reload_servers(&instance);
        session(&instance, instance.port(), WATCHED);
        let log = instance.log();
        let log = &log[seen..];
        assert_eq!(
            log.contains(": < unknown[127.0.0.2]: HELO client.example.test\n"),
            is_watched,
            "{list}: {log}"
        );
        assert!(log.contains(": NOQUEUE: reject: RCPT from "), "{list}");
        let wrong = format!("{broken}{}", wrong.replace("PEERS", &path));
        assert_eq!(log.contains(broken), wrong != broken, "{list}: {log}");
        assert!(
            !log.contains(broken) || log.contains(&wrong),
            "{list}: {log}"
        );
    }
}

#[test]
fn verbose_services_log_what_is_logged_of_watched_peers() {
    let port = free_port();
    let verbose = format!("127.0.0.1:{port} inet n - n - - smtpd -v\n");
    let instance = Instance::started(SERVER, &verbose);
    session(&instance, port, WATCHED);
    session(&instance, instance.port(), WATCHED);
    let quiet = ["connect from ", "NOQUEUE: ", "disconnect from "];
    let mut want = watched_session();
    let normal = |text: &&String| quiet.iter().any(|word| text.starts_with(word));
    let of_the_other: Vec<String> = watched_session().iter().filter(normal).cloned().collect();
    want.extend(of_the_other);
    assert_eq!(texts(&instance, "smtpd"), want);
}

/// Two hosts at different addresses, of which the second one is watched by what `list` makes of their
/// ports; `more` is added to main.cf.
fn two_hosts(list: impl Fn(u16, u16) -> String, more: &str) -> (Instance, [Sink; 2]) {
    let sinks = [Sink::start_at(OTHER, &[]), Sink::start_at(WATCHED, &[])];
    let [other, watched] = [&sinks[0], &sinks[1]].map(Sink::port);
    let instance = Instance::started(
        &format!(
            "transport_maps = inline:{{ {{other.example = smtp:[127.0.0.1]:{other}}}, \
             {{watched.example = smtp:[127.0.0.2]:{watched}}} }}\n\
             debug_peer_list = {}\ndefault_transport = error:no route\n{more}",
            list(other, watched)
        ),
        "",
    );
    (instance, sinks)
}

/// Sends a message to each of `domains` in turn.
fn send(instance: &Instance, domains: &[&str]) {
    for (count, domain) in domains.iter().enumerate() {
        let mut smtp = instance.smtp();
        let recipient = format!("joe@{domain}");
        smtp.send("a@example.test", &[&recipient], "Subject: x\n\n.text\n");
        smtp.say("QUIT");
        postern_testkit::wait_for("the delivery", || {
            let sent = instance.log().matches(" status=sent ").count();
            (sent > count).then_some(())
        });
    }
    instance.wait_queue_empty();
}

/// The end of a line is another with each message.
fn shortened(text: &str) -> String {
    let text = text.split(" SIZE=").next().unwrap_or_default();
    match text.split_once(": to=<") {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}

#[test]
fn a_listed_server_is_watched_in_kept_sessions_too_and_no_other() {
    let keep = "smtp_connection_cache_destinations = static:all\n";
    let (instance, sinks) = two_hosts(|_, _| "!127.0.0.1 127.0.0.0/8".to_owned(), keep);
    let domains = [
        "watched.example",
        "other.example",
        "watched.example",
        "other.example",
    ];
    send(&instance, &domains);
    let log = instance.log();
    assert_eq!(log.matches("conn_use=2").count(), 2, "{log}");
    let lines = lines(&instance, "smtp");
    assert!(lines.iter().all(|(process, _)| *process == lines[0].0));
    let port = sinks[1].port();
    let say = |text: &str| format!("{} 127.0.0.2[127.0.0.2]:{port}: {}", &text[..1], &text[2..]);
    let got: Vec<String> = texts(&instance, "smtp")
        .iter()
        .map(|text| shortened(text))
        .filter(|text| !text.contains(": 250-"))
        .collect();
    let begin = ["< 220 ", "> EHLO mail.example.test", "< 250 "];
    let mail = [
        "> MAIL FROM:<a@example.test>",
        "> RCPT TO:<joe@watched.example>",
        "> DATA",
        "> .",
    ];
    for line in begin.iter().chain(&mail).chain(&["> RSET"]) {
        let line = say(line);
        let found = got.iter().filter(|text| text.starts_with(&line)).count();
        assert!(found > 0, "{line}: {got:?}");
    }
    let rset = got.iter().position(|text| *text == say("> RSET")).unwrap();
    let quiet = [&got[rset - 1], got.last().unwrap()];
    assert_eq!(quiet, ["joe@other.example", "joe@other.example"], "{got:?}");
    let of_the_other = |text: &&String| is_dialogue(text) && text.contains("127.0.0.1[");
    assert_eq!(got.iter().find(of_the_other), None);
}

#[test]
fn a_listed_next_hop_is_watched_for_the_whole_delivery() {
    let list = |_, watched| format!("inline:{{{{[127.0.0.2]:{watched}=x}}}}");
    let (instance, sinks) = two_hosts(list, "");
    send(
        &instance,
        &["other.example", "watched.example", "other.example"],
    );
    let port = sinks[1].port();
    let texts = texts(&instance, "smtp");
    let dialogue: Vec<&String> = texts.iter().filter(|text| is_dialogue(text)).collect();
    let watched = format!(" 127.0.0.2[127.0.0.2]:{port}: ");
    assert!(dialogue.len() > 10, "{texts:?}");
    assert!(
        dialogue.iter().all(|text| text.contains(&watched)),
        "{texts:?}"
    );
    let log = instance.log();
    for line in [
        format!("]: connecting to 127.0.0.2 port {port}\n"),
        format!("]: smtp_connect_addr: trying: 127.0.0.2[127.0.0.2] port {port}...\n"),
    ] {
        assert_eq!(log.matches(&line).count(), 1, "{line} {log}");
    }
    assert_eq!(log.matches("]: connecting to ").count(), 1, "{log}");
}

#[test]
fn no_delivery_fails_for_a_broken_list() {
    let (instance, _sinks) = two_hosts(|_, _| "fail:x 127.0.0.2".to_owned(), "");
    send(&instance, &["watched.example", "other.example"]);
    let log = instance.log();
    let warning = "warning: debug_peer_list: fail:x: table lookup problem";
    assert!(log.contains(warning), "{log}");
    assert!(
        !texts(&instance, "smtp")
            .iter()
            .any(|text| is_dialogue(text))
    );
}
