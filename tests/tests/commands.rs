//! Mail and connections for commands that master.cf names: pipe and spawn.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use postern_testkit::{Instance, Reply, mail_account};

/// An instance with a service for each `(name, attributes)` of `program`, and mail for `NAME.test` going to
/// the service NAME. Commands run in the queue directory and may write to `../out`.
fn started(program: &str, main_cf: &str, services: &[(&str, &str)]) -> Instance {
    let account = mail_account().expect("an account");
    // Root must not run commands as the mail system.
    let user = if account.privileged {
        "nobody"
    } else {
        &account.user
    };
    // Clients of spawn need not be of the mail system.
    let private = if program == "spawn" { "n" } else { "y" };
    let master_cf: String = services
        .iter()
        .map(|(name, attributes)| {
            format!("{name} unix {private} n n - - {program}\n  user={user} {attributes}\n")
        })
        .collect();
    let routes: String = services
        .iter()
        .map(|(name, _)| format!(" {{{name}.test = {name}}}"))
        .collect();
    let domains: String = services
        .iter()
        .map(|(name, _)| format!(" {name}.test"))
        .collect();
    let main_cf =
        format!("transport_maps = inline:{{{routes} }}\nrelay_domains ={domains}\n{main_cf}");
    let mut instance = Instance::for_test(&main_cf, &master_cf);
    let out = instance.file("out");
    fs::create_dir(&out).expect("a directory");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).expect("an open directory");
    instance
        .start()
        .unwrap_or_else(|error| panic!("start: {error}"));
    instance
}

fn send(instance: &Instance, recipients: &[&str], text: &str) -> String {
    let reply: Reply = instance.smtp().send("alice@example.test", recipients, text);
    reply.queue_id().expect("taken").to_owned()
}

fn output(instance: &Instance, name: &str) -> String {
    fs::read_to_string(instance.file("out").join(name)).unwrap_or_default()
}

#[test]
fn command_gets_the_message_and_its_exit_status_counts() {
    let instance = started(
        "pipe",
        "recipient_delimiter = +\nkeep_destination_recipient_limit = 1\n",
        &[
            (
                "keep",
                "flags=DRXhu.> argv=/bin/sh -c {cat >../out/keep; echo \"for $$1 of $$2\"} sh ${recipient} $sender",
            ),
            (
                "many",
                "argv=/bin/sh -c {cat >/dev/null; printf '%s;' \"$$@\" >../out/many} sh ${user} $nexthop x${extension}x end",
            ),
            ("unknown", "argv=/bin/sh -c {exit 67}"),
            ("full", "argv=/bin/sh -c {echo 4.2.2 mailbox full; exit 1}"),
            ("died", "argv=/bin/sh -c {kill -9 $$$$}"),
            ("missing", "argv=/no/such/program"),
        ],
    );
    send(
        &instance,
        &["Bob+X@KEEP.test"],
        "Subject: to keep\n\nFrom me\n.dot\n",
    );
    instance.wait_log("to=<Bob+X@KEEP.test>, relay=keep, ");
    instance.wait_log(
        "dsn=2.0.0, status=sent (delivered via keep service (for bob+x@keep.test of alice@example.test))",
    );
    let message = output(&instance, "keep");
    assert!(
        message.starts_with(
            "Return-Path: <alice@example.test>\nDelivered-To: Bob+X@KEEP.test\nReceived: from "
        ),
        "{message}"
    );
    assert!(message.ends_with("\n\n>From me\n..dot\n"), "{message}");

    // One command serves all recipients.
    let id = send(
        &instance,
        &["a+1@many.test", "b@many.test"],
        "Subject: to many\n\nx\n",
    );
    instance.wait_log(&format!("{id}: removed"));
    assert_eq!(output(&instance, "many"), "a;b;many.test;x1x;xx;end;");

    for (recipient, want) in [
        ("x@unknown.test", "dsn=5.1.1, status=bounced (user unknown)"),
        ("x@full.test", "dsn=4.2.2, status=deferred (mailbox full )"),
        (
            "x@died.test",
            "dsn=4.3.0, status=deferred (Command died with signal 9: \"/bin/sh\")",
        ),
        (
            "x@missing.test",
            "dsn=4.3.0, status=deferred (temporary failure. Command output: pipe: fatal: pipe_command: \
             execvp /no/such/program: No such file or directory )",
        ),
    ] {
        let id = send(&instance, &[recipient], "Subject: x\n\nx\n");
        let log = instance.wait_log(want);
        assert!(log.contains(&format!("{id}: to=<{recipient}>")), "{log}");
    }
    let notice = instance.wait_mail("alice", "Undelivered Mail Returned to Sender");
    assert!(
        notice.contains("\nDiagnostic-Code: x-unix; user unknown\n"),
        "{notice}"
    );
    instance.wait_queue("deferred", 3);
    let defects = instance.defects();
    assert_eq!(defects, Vec::<String>::new());
}

#[test]
fn command_that_misbehaves_holds_nobody_up() {
    let limits: String = ["deaf", "mute", "legacy"]
        .iter()
        .map(|name| format!("{name}_time_limit = 1s\n"))
        .collect();
    let instance = started(
        "pipe",
        &limits,
        &[
            ("deaf", "argv=/bin/sleep 1000"),
            ("shut", "argv=/bin/sh -c {exec <&-; exit 0}"),
            (
                "chatty",
                "argv=/bin/sh -c {while echo yes; do :; done; exit 9}",
            ),
            (
                "mute",
                "argv=/bin/sh -c {exec >/dev/null 2>&1; cat; exec sleep 1000}",
            ),
            // The first process ends, but its child has the output.
            (
                "legacy",
                "argv=/bin/sh -c {cat >/dev/null; sleep 1000 & echo $$! >../out/pid; exit 0}",
            ),
        ],
    );
    // More than a pipe holds.
    let large = format!("Subject: large\n\n{}", "0123456789\n".repeat(30_000));
    for (name, want) in [
        (
            "deaf",
            "status=bounced (Command time limit exceeded: \"/bin/sleep\")",
        ),
        ("shut", "status=sent (delivered via shut service)"),
        (
            "chatty",
            "status=bounced (Command died with status 9: \"/bin/sh\". Command output: yes yes ",
        ),
        (
            "mute",
            "status=bounced (Command time limit exceeded: \"/bin/sh\")",
        ),
        (
            "legacy",
            "status=bounced (Command time limit exceeded: \"/bin/sh\")",
        ),
    ] {
        let id = send(&instance, &[&format!("x@{name}.test")], &large);
        instance.wait_log(&format!("{id}: removed"));
        let log = instance.log();
        let line = log
            .lines()
            .find(|line| line.contains(&format!("{id}: to=<x@{name}.test>")));
        assert!(
            line.is_some_and(|line| line.contains(want)),
            "{name}: {line:?}"
        );
    }
    for text in [
        "warning: pipe_command_write: write time limit exceeded",
        "warning: pipe_command_wait_or_kill: child wait time limit exceeded",
        "warning: pipe_command_read: read time limit exceeded",
    ] {
        instance.wait_log(text);
    }
    // What the command left running was ended, too.
    let pid = output(&instance, "pid");
    let process = format!("/proc/{}/stat", pid.trim());
    let is_alive = fs::read_to_string(process).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!is_alive, "process {pid}");
    instance.wait_queue_empty();
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn connection_becomes_the_streams_of_a_command() {
    let instance = started(
        "spawn",
        "hang_time_limit = 1s\nexport_environment = WORD=known\n",
        &[
            (
                "talk",
                "argv=/bin/sh -c {read line; echo \"$line, $WORD\"; echo trouble >&2; exit 3}",
            ),
            ("hang", "argv=/bin/sleep 1000"),
            ("none", "argv=/no/such/program"),
        ],
    );
    let talk = |name: &str| {
        let path = instance.file("spool/public").join(name);
        let mut stream = UnixStream::connect(path).expect("a connection");
        stream.write_all(b"hello\n").expect("room");
        let mut text = Vec::new();
        // The end may be a reset, when the command did not read what was sent.
        let mut chunk = [0; 100];
        while let Ok(size @ 1..) = stream.read(&mut chunk) {
            text.extend_from_slice(&chunk[..size]);
        }
        String::from_utf8(text).expect("text")
    };
    assert_eq!(talk("talk"), "hello, known\ntrouble\n");
    instance.wait_log("warning: command /bin/sh exit status 3");
    // Before 3.10 the reference only says that it ends such a command.
    if std::env::var_os("POSTERN_TEST_REFERENCE").is_none() {
        assert_eq!(talk("hang"), "");
        instance.wait_log(": command time limit exceeded");
    }
    assert_eq!(talk("none"), "");
    instance.wait_log("fatal: spawn_comand: execvp /no/such/program: No such file or directory");
    instance.wait_log("warning: command /no/such/program exit status 1");
    // What went wrong for others is nothing to the next client.
    assert_eq!(talk("talk"), "hello, known\ntrouble\n");
    assert_eq!(instance.defects(), Vec::<String>::new());
}
