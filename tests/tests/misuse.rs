//! Commands whose output goes nowhere, whose files cannot grow, whose input is not what it should be:
//! an exit status and a message, and nothing half-written.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};
use std::thread;

use postern_testkit::{Instance, wait_for};

/// Runs shell text with the instance's commands first in `PATH`.
fn shell(instance: &Instance, text: &str) -> Output {
    let program = instance.command("postconf");
    let commands = std::path::Path::new(program.get_program())
        .parent()
        .expect("a directory of commands")
        .to_owned();
    let path = format!("{}:/usr/bin:/bin", commands.display());
    Command::new("sh")
        .args(["-c", text])
        .env("PATH", path)
        .env("MAIL_CONFIG", instance.file("etc"))
        .current_dir(instance.file(""))
        .stdin(Stdio::null())
        .output()
        .expect("sh")
}

fn full() -> Stdio {
    let file = File::options().write(true).open("/dev/full");
    file.expect("/dev/full").into()
}

/// The reading end is closed already.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    writer.into()
}

#[test]
fn no_command_crashes_when_its_output_cannot_be_written() {
    let instance = Instance::for_test("", "");
    instance.write("table", b"key value\n");
    instance.write("damaged", b"this is no queue file\n");
    let table = format!("hash:{}", instance.file("table").display());
    let damaged = instance.file("damaged").display().to_string();
    instance.succeed("postmap", &[&table]);
    let calls: &[&[&str]] = &[
        &["postconf"],
        &["postconf", "-d", "no_such_parameter", "mail_name"],
        &["postconf", "-M"],
        &["postconf", "-z"],
        &["postmap", "-q", "key", &table],
        &["postmap", "-s", &table],
        &["postmap", "-z"],
        &["postalias", "-s", &table],
        &["postqueue", "-p"],
        &["postqueue", "-j"],
        &["postqueue", "-z"],
        &["postsuper", "-d", "ABCDEF0"],
        &["postsuper", "-z"],
        &["postcat", &damaged],
        &["postcat", "-z"],
        &["postmulti", "-l"],
        &["postmulti", "-l", "--json"],
        &["postmulti", "-z"],
        &["postfix", "status"],
        &["postfix", "status", "--json"],
        &["postfix", "check", "--compat"],
        &["postfix", "-z"],
        &["postlog", "text"],
        &["postlog", "-z"],
        &["postlock", "-z"],
        &["postkick", "public", "qmgr", "W"],
        &["postkick", "-z"],
        &["postdrop", "-z"],
        &["postdrop"],
        &["sendmail", "-bv", "alice"],
        &["sendmail", "-z"],
        &["mailq"],
        &["qshape", "incoming"],
        &["qshape", "--json", "incoming"],
        &["qshape", "-z"],
        &["smtp-source", "-z"],
        &["smtp-sink", "-z"],
        &["qmqp-source", "-z"],
        &["qmqp-sink", "-z"],
    ];
    // Messages of the worst kind take a second each.
    thread::scope(|scope| {
        for call in calls {
            let instance = &instance;
            scope.spawn(move || try_without_output(instance, call));
        }
    });
    assert!(!instance.log().contains("panic"), "{}", instance.log());
}

fn try_without_output(instance: &Instance, call: &[&str]) {
    for (what, stdout, stderr) in [
        ("full output", full(), Stdio::null()),
        ("full errors", Stdio::null(), full()),
        ("no reader", broken(), broken()),
    ] {
        let status = instance
            .command(call[0])
            .args(&call[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .expect("run");
        let crashed = status.code().is_none_or(|code| code == 101 || code == 134);
        assert!(!crashed, "{call:?}, {what}: {status}");
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let instance = Instance::for_test("", "");
    let source: String = (0..20_000).map(|n| format!("key{n} value\n")).collect();
    instance.write("table", source.as_bytes());
    let table = format!("hash:{}", instance.file("table").display());
    instance.succeed("postmap", &[&table]);
    for call in [&["postconf", "-d"][..], &["postmap", "-s", &table]] {
        let output = instance
            .command(call[0])
            .args(&call[1..])
            .stdout(broken())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("run");
        assert_eq!(output.status.code(), Some(141), "{call:?}");
        assert_eq!(output.stderr, b"", "{call:?}");
    }
}

/// A limit of file sizes stands for the full disk, which only root could make.
#[test]
fn tables_that_cannot_grow_keep_their_old_content() {
    let instance = Instance::for_test("", "");
    let large: String = (0..30_000)
        .map(|n| format!("key{n} a value that takes some room: {n}\n"))
        .collect();
    for kind in ["hash", "btree", "cdb", "lmdb"] {
        instance.write("t", b"old entry\n");
        let table = format!("{kind}:{}", instance.file("t").display());
        instance.succeed("postmap", &[&table]);
        instance.write("t", large.as_bytes());
        let output = shell(&instance, &format!("ulimit -f 200; postmap {kind}:t"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{kind}: {said}");
        assert!(said.contains("postmap: fatal: "), "{kind}: {said}");
        assert_eq!(
            instance.succeed("postmap", &["-q", "old", &table]),
            "entry\n"
        );
        assert_eq!(instance.succeed("postmap", &[&table]), "", "{kind}");
        let found = instance.succeed("postmap", &["-q", "key29999", &table]);
        assert!(found.ends_with(": 29999\n"), "{kind}");
        let names = fs::read_dir(instance.file("")).expect("directory");
        for name in names.map(|entry| entry.expect("entry").file_name()) {
            let name = name.to_string_lossy().into_owned();
            assert!(
                !name.starts_with("__db") && !name.ends_with(".tmp"),
                "{name}"
            );
        }
    }
}

#[test]
fn sources_that_cannot_be_read_leave_nothing() {
    let instance = Instance::for_test("", "");
    let directory = instance.file("sub");
    fs::create_dir_all(directory.join("source")).expect("directories");
    for kind in ["hash", "btree"] {
        let output = shell(&instance, &format!("cd sub && postmap {kind}:source"));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "postmap: fatal: read source: Is a directory\n"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(fs::read_dir(&directory).expect("directory").count(), 1);
}

#[test]
fn configuration_that_cannot_grow_is_not_changed() {
    let instance = Instance::for_test("", "");
    let filler = "# a comment that makes the file longer than the limit\n".repeat(100);
    for (file, edit) in [
        ("main.cf", "postconf -e mail_name=Other"),
        ("main.cf", "postconf -X mail_name"),
        ("main.cf", "postconf -# mail_name"),
        ("master.cf", "postconf -F '*/*/chroot=y'"),
        ("master.cf", "postconf -P '*/*/mail_name=x'"),
        ("master.cf", "postconf -MX smtp/unix"),
    ] {
        let path = instance.file(&format!("etc/{file}"));
        let old = format!("{}{filler}", fs::read_to_string(&path).expect("file"));
        fs::write(&path, &old).expect("file");
        // Sizes are counted in blocks of 512 bytes.
        let output = shell(&instance, &format!("ulimit -f 2; {edit}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{edit}: {said}");
        assert!(said.contains("File too large"), "{edit}: {said}");
        assert_eq!(fs::read_to_string(&path).expect("file"), old, "{edit}");
        assert!(
            !instance.file(&format!("etc/{file}.tmp")).exists(),
            "{edit}"
        );
    }
}

#[test]
fn mail_that_cannot_be_stored_is_not_taken() {
    let instance = Instance::for_test("message_size_limit = 100000000", "");
    let text = "a line of a message that is too large for the limit\n".repeat(20_000);
    instance.write("message", text.as_bytes());
    let output = shell(
        &instance,
        "ulimit -f 100; sendmail -f a@example.test bob@example.test < message",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("File too large"), "{said}");
    assert_eq!(instance.queue("maildrop"), Vec::<String>::new());
    let left = fs::read_dir(instance.file("spool/maildrop")).expect("maildrop");
    assert_eq!(left.count(), 0);
}

#[test]
fn lines_keep_their_order_when_they_come_faster_than_the_log_daemon_takes_them() {
    let log = "maillog_file = LOG\nmaillog_file_prefixes = /\n";
    let mut instance = Instance::for_test("", "postlog unix-dgram n - n - 1 postlogd\n");
    let path = instance.file("maillog");
    instance.set_main_cf(&log.replace("LOG", &path.display().to_string()));
    instance.start().expect("start");
    let lines: Vec<String> = (0..200).map(|number| format!("number {number}.")).collect();
    instance.write("lines", format!("a\0b\n{}\n", lines.join("\n")).as_bytes());
    let output = instance
        .command("postlog")
        .stdin(File::open(instance.file("lines")).expect("lines"))
        .output()
        .expect("postlog");
    assert!(output.status.success());
    let text = wait_for("all lines", || {
        let text = fs::read_to_string(&path).ok()?;
        text.contains("number 199.").then_some(text)
    });
    let found = text
        .lines()
        .filter_map(|line| line.split_once("]: number "));
    let found: Vec<String> = found.map(|(_, rest)| format!("number {rest}")).collect();
    assert_eq!(found, lines);
    assert!(
        text.contains("]: a\n"),
        "what follows a null byte is not shown"
    );
}

#[test]
fn complaints_of_sendmail_about_options_are_in_the_mail_log() {
    let instance = Instance::started("", "");
    for (options, text) in [
        (&["-n", "alice"][..], "fatal: -n option not supported"),
        (&["-bz"], "fatal: unsupported: -bz"),
        (
            &["-N", "x", "-bi", "alice"],
            "warning: bad -N option value -- ignored",
        ),
    ] {
        let output = instance.run("sendmail", options);
        assert_eq!(output.status.code(), Some(75), "{options:?}");
        instance.wait_log(text);
    }
}

#[test]
fn delays_of_smtp_source_are_at_least_a_second() {
    let instance = Instance::for_test("", "");
    for (option, what) in [("-w", "fixed"), ("-R", "random")] {
        for value in ["0", "-1", "x", "99999999999"] {
            let output = instance.run("smtp-source", &[option, value, "127.0.0.1"]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.ends_with(&format!("fatal: bad {what} delay: {value}\n")),
                "{said}"
            );
            assert_eq!(output.status.code(), Some(1));
        }
    }
}

#[test]
fn every_command_tells_of_settings_that_are_given_twice() {
    let mut instance = Instance::for_test("", "");
    instance.set_main_cf("relayhost = a\nrelayhost = b\n");
    let output = instance.run("postfix", &["status"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("postconf: warning: ")
            && said.contains("overriding earlier entry: relayhost=a"),
        "{said}"
    );
}

#[test]
fn on_a_terminal_the_probable_name_is_suggested() {
    let mut instance = Instance::for_test("", "");
    instance.set_main_cf("relayhots = x\n");
    let rows = [
        ("postmap -q x hahs:/x", "did you mean \"hash\"?"),
        ("postalias hahs:/x", "did you mean \"hash\"?"),
        ("postconf -n", "did you mean \"relayhost\"?"),
        ("postconf smtpd_bannr", "did you mean \"smtpd_banner\"?"),
        (
            "postconf -e smtpd_bannr=x",
            "did you mean \"smtpd_banner\"?",
        ),
        ("postconf -M smtpp/inet", "did you mean"),
        (
            "postconf -F pickupp/unix/chroot=n",
            "did you mean \"pickup\"?",
        ),
        ("postfix stauts", "did you mean \"status\"?"),
        (
            "postfix tls enable-clinet",
            "did you mean \"enable-client\"?",
        ),
    ];
    for (call, hint) in rows {
        let seen = shell(
            &instance,
            &format!("script -qec '{call}' /dev/null </dev/null"),
        );
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("note: "), "{call}: {seen}");
        assert!(
            seen.contains(hint) || hint.starts_with("line"),
            "{call}: {seen}"
        );
        let plain = shell(&instance, &format!("{call} 2>&1"));
        let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
        assert!(!plain.contains("did you mean"), "{call}: {plain}");
    }
}

#[test]
fn what_is_said_when_the_mail_system_ends_is_in_the_log() {
    for command in ["stop", "abort"] {
        let mut instance = Instance::for_test("", "postlog unix-dgram n - n - 1 postlogd\n");
        let path = instance.file("maillog");
        let main_cf = format!(
            "maillog_file = {}\nmaillog_file_prefixes = /\n",
            path.display()
        );
        instance.set_main_cf(&main_cf);
        // The first line of postlogd may come after the end has begun.
        instance.succeed("postfix", &["start"]);
        instance.run("postfix", &[command]);
        let text = fs::read_to_string(&path).expect("the log");
        let doing = if command == "stop" {
            "stopping"
        } else {
            "aborting"
        };
        assert!(
            text.contains(&format!("{doing} the Postfix mail system")),
            "{text}"
        );
    }
}

#[test]
fn a_report_is_asked_for_in_one_way_only() {
    let instance = Instance::started("", "");
    let refused = |options: &[&str]| {
        let output = instance.run("sendmail", options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.contains("fatal: -v option cannot be used with -bv")
            && output.status.code() == Some(75)
    };
    assert!(refused(&["-v", "-bv", "alice"]) && refused(&["-bv", "-v", "alice"]));
    assert!(!refused(&["-bv", "alice"]) && !refused(&["-v", "-v", "-bv", "alice"]));
}

#[test]
fn sendmail_refuses_options_that_contradict_each_other() {
    let instance = Instance::for_test("", "");
    for (options, want) in [
        (
            "-bv -N success bob",
            "fatal: -N option cannot be used with -bv",
        ),
        (
            "-XV -f '<>' bob",
            "-V option requires non-null sender address",
        ),
        ("-t -bv", "fatal: -t option cannot be used with -bv"),
    ] {
        let output = shell(&instance, &format!("echo | sendmail {options}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{options}: {said}");
        assert!(said.contains(want), "{options}: {said}");
    }
    assert_eq!(instance.queue("maildrop"), Vec::<String>::new());
}
