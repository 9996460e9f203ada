//! Starting, stopping, changing the configuration, and programs that die.

use std::fs;
use std::process::Output;

use postern_testkit::{Instance, Sink, wait_for};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn send(instance: &Instance, text: &str) {
    let reply = instance.smtp().send(
        "s@example.test",
        &["alice@example.test"],
        &format!("Subject: {text}\n\n{text}\n"),
    );
    assert!(reply.queue_id().is_some(), "{reply:?}");
    instance.wait_mail("alice", &format!("Subject: {text}\n"));
}

#[test]
fn start_status_check_and_stop() {
    let mut instance = Instance::for_test("", "");
    assert!(!instance.run("postfix", &["status"]).status.success());
    assert!(!instance.run("postfix", &["reload"]).status.success());
    instance.wait_log("fatal: the Postfix mail system is not running");
    instance.succeed("postfix", &["check"]);
    instance.start().expect("start");
    instance.wait_log("daemon started -- version ");
    let master = instance.master().expect("a master in the lock file");
    instance.succeed("postfix", &["status"]);
    instance.wait_log(&format!(
        "the Postfix mail system is running: PID: {}",
        master.pid
    ));
    let again = instance.run("postfix", &["start"]);
    assert!(!again.status.success(), "{}", said(&again));
    instance.wait_log("fatal: the Postfix mail system is already running");
    send(&instance, "hello");
    instance.succeed("postfix", &["flush"]);
    instance.succeed("postfix", &["stop"]);
    assert_eq!(instance.master(), None);
    instance.start().expect("start again");
    send(&instance, "again");
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn reload_takes_changes_and_survives_mistakes() {
    let mut instance = Instance::started("", "");
    send(&instance, "before");
    let refused = instance
        .smtp()
        .send("s@example.test", &["carol@example.test"], "x\n");
    assert_eq!(refused.code, 550);
    instance.set_main_cf(
        "virtual_mailbox_maps = inline:{ {alice@example.test = alice/}, {carol@example.test = carol/} }\n\
         smtpd_banner = $myhostname changed\n",
    );
    instance.reload();
    instance.wait_log("reload -- version ");
    // Old processes end when they are idle; the change shows with the first new one.
    wait_for("the new greeting", || {
        let reply = instance.smtp().say("HELP");
        let taken = instance.smtp().send(
            "s@example.test",
            &["carol@example.test"],
            "Subject: c\n\nx\n",
        );
        (reply.code != 421 && taken.code == 250).then_some(())
    });
    instance.wait_maildir("carol", 1);

    let master = instance.master().expect("a master");
    let good = fs::read(instance.file("etc/main.cf")).expect("main.cf");
    for damage in [
        b"myhostname = -bad-\n".as_slice(),
        b"inet_protocols = ipv9\n",
        b"default_process_limit = many\n",
        b"compatibility_level = x\n",
    ] {
        let mut broken = good.clone();
        broken.extend_from_slice(damage);
        instance.write("etc/main.cf", &broken);
        // The command may refuse; the signal reaches the master in any case.
        instance.run("postfix", &["reload"]);
        assert_eq!(
            instance.master().as_ref(),
            Some(&master),
            "after {}\n{}",
            String::from_utf8_lossy(damage),
            instance.log_end()
        );
    }
    instance.write("etc/main.cf", &good);
    instance.reload();
    assert_eq!(instance.master(), Some(master));
    send(&instance, "after");
}

/// The queue manager that ends hands on what it was asked for.
#[test]
fn a_flush_right_after_a_reload_is_not_lost() {
    let sink = Sink::start(&[("RCPT", "450 4.2.1 try later")]);
    let instance = Instance::started(&sink.relayhost(), "");
    let reply = instance
        .smtp()
        .send("s@example.test", &["carol@relay.test"], "x\n");
    assert!(reply.queue_id().is_some(), "{reply:?}");
    for tries in 2..8 {
        instance.wait_queue("deferred", 1);
        instance.reload();
        instance.succeed("postqueue", &["-f"]);
        wait_for("another try", || {
            let log = instance.log();
            (log.matches("status=deferred").count() >= tries).then_some(())
        });
    }
}

#[test]
fn the_master_replaces_a_killed_daemon() {
    let instance = Instance::started("service_throttle_time = 1s\n", "");
    send(&instance, "first");
    for name in [
        "qmgr",
        "pickup",
        "smtpd",
        "cleanup",
        "virtual",
        "trivial-rewrite",
        "postlogd",
    ] {
        let Some(process) = instance
            .daemons()
            .into_iter()
            .find(|process| process.name == name)
        else {
            // Not every program is needed for this message.
            assert!(name == "trivial-rewrite", "no {name}");
            continue;
        };
        assert!(instance.kill(&process));
        send(&instance, &format!("after the end of {name}"));
        instance.sendmail(
            &["-f", "s@example.test", "bob@example.test"],
            &format!("Subject: bob after {name}\n\nx\n"),
        );
        instance.wait_mail("bob", &format!("bob after {name}\n"));
        if name != "postlogd" {
            instance.wait_log(&format!("/{name} pid {} killed by signal 9", process.pid));
        }
    }
    instance.drain();
}

/// Runs master by hand, as `postfix start` does.
fn master(instance: &Instance, args: &[&str]) -> Output {
    let output = instance.command("master").args(args).output();
    output.expect("master runs")
}

#[test]
fn masters_options_do_what_they_say() {
    let said = tempfile::tempdir().expect("a directory");
    let file = said.path().join("said");
    let instance = Instance::for_test(
        &format!(
            "debugger_command = echo $process_name >> {}\n",
            file.display()
        ),
        "",
    );
    // `-t`: is nobody there?
    assert_eq!(master(&instance, &["-t"]).status.code(), Some(0));
    assert_eq!(master(&instance, &["-tw"]).status.code(), Some(1));
    assert_eq!(master(&instance, &["-i"]).status.code(), Some(1));
    // `-e`: the end is set; `-D`: the debugger command runs first; `-v`: children are verbose.
    assert_eq!(master(&instance, &["-e", "1", "-D"]).status.code(), Some(0));
    instance.wait_log("daemon started -- version ");
    instance.wait_log("master exit time has arrived");
    assert_eq!(
        fs::read_to_string(&file).expect("what was said"),
        "master\n"
    );
    // `-w`: returns when the system is up, or says that it does not come up.
    assert_eq!(master(&instance, &["-w"]).status.code(), Some(0));
    assert_eq!(master(&instance, &["-t"]).status.code(), Some(1));
    let second = master(&instance, &["-w"]);
    assert_eq!(second.status.code(), Some(1));
    instance.wait_log("unable to set exclusive lock");
    send(&instance, "by hand");
    instance.succeed("postfix", &["stop"]);
}

/// Whatever ends master ends all of its children, and is told to its parent.
#[test]
fn signals_end_the_whole_system() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    let instance = Instance::for_test("", "");
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGILL,
        Signal::SIGBUS,
        Signal::SIGSEGV,
    ] {
        let mut child = instance
            .command("master")
            .stdin(Stdio::null())
            .spawn()
            .expect("master runs");
        send(&instance, signal.as_str());
        let master = instance.master().expect("a master");
        kill(Pid::from_raw(master.pid), signal).expect("a living master");
        let status = child.wait().expect("an end");
        assert_eq!(status.signal(), Some(signal as i32));
        instance.wait_log(&format!("terminating on signal {}", signal as i32));
        wait_for("the end of all children", || {
            instance.strays().is_empty().then_some(())
        });
    }
}

/// In a container, master is the first process: it reaps strangers, and its end is a success.
#[test]
fn master_is_pid_1_in_a_container() {
    use std::process::{Command, Stdio};

    let instance = Instance::for_test("", "");
    let master = instance.command("master");
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.arg(master.get_program()).args(master.get_args());
    for (name, value) in master.get_envs() {
        match value {
            Some(value) => unshare.env(name, value),
            None => unshare.env_remove(name),
        };
    }
    let child = unshare
        .arg("-i")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return postern_testkit::skip("master as PID 1", &error.to_string()),
    };
    instance.wait_log("daemon started -- version ");
    send(&instance, "in a container");
    // The lock file has the number that the process has for itself.
    let number = fs::read_to_string(instance.file("spool/pid/master.pid")).expect("a lock file");
    assert_eq!(number.trim(), "1");
    let parent = child.id();
    let inner = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .expect("a child of unshare");
    let inner: i32 = inner.trim().parse().expect("one child");
    let term = nix::sys::signal::Signal::SIGTERM;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(inner), term).expect("a living master");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    instance.wait_log("terminating on signal 15");
}
