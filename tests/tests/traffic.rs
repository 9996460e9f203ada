//! The test generators and sinks against those of Debian's Postfix: many sessions at once, nothing lost.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use postern_testkit::{Suite, free_port, skip};

const SESSIONS: &str = "500";

fn pairs() -> Vec<(PathBuf, PathBuf)> {
    let ours = Suite::under_test().commands;
    match Suite::reference().map(|suite| suite.commands) {
        Some(reference) => vec![
            (ours.clone(), reference.clone()),
            (reference, ours.clone()),
            (ours.clone(), ours),
        ],
        None => {
            skip(
                "generators and sinks of two kinds",
                "Debian's Postfix is not installed",
            );
            vec![(ours.clone(), ours)]
        }
    }
}

/// A sink that is ended with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sink(program: PathBuf, args: &[&str], port: u16) -> Running {
    let mut command = Command::new(program);
    command.args(args);
    if geteuid().is_root() && args.contains(&"-M") {
        command.args(["-u", "nobody"]);
    }
    command
        .arg(format!("127.0.0.1:{port}"))
        .arg("600")
        .stdout(Stdio::null());
    let running = Running(command.spawn().expect("start the sink"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the sink does not listen");
        std::thread::yield_now();
    }
    running
}

fn generate(program: PathBuf, args: &[&str], port: u16) {
    let output = Command::new(&program)
        .args(args)
        .arg(format!("127.0.0.1:{port}"))
        .output()
        .expect("run the generator");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{}: {complaint}",
        program.display()
    );
}

/// Waits until the sink has ended by itself: it has seen all messages.
fn ended(mut sink: Running) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while sink.0.try_wait().expect("ask for the sink").is_none() {
        assert!(
            Instant::now() < deadline,
            "the sink waits for more messages"
        );
        std::thread::yield_now();
    }
}

#[test]
fn five_hundred_sessions_deliver_every_message() {
    for (sources, sinks) in pairs() {
        for protocol in [&[][..], &["-L"]] {
            for shape in [&["-l", "2000"][..], &["-d", "-r", "3", "-N", "-l", "70000"]] {
                let port = free_port();
                // The last message ends the sink before its reply, so there is one more.
                let args = [protocol, &["-m", "1000", "-M", "1001"]].concat();
                let sink = sink(sinks.join("smtp-sink"), &args, port);
                let args = [protocol, shape, &["-s", SESSIONS, "-m", "1000"]].concat();
                generate(sources.join("smtp-source"), &args, port);
                let last = Command::new(sources.join("smtp-source"))
                    .args(protocol)
                    .arg(format!("127.0.0.1:{port}"))
                    .stderr(Stdio::null())
                    .status();
                last.expect("run the generator");
                ended(sink);
            }
        }
    }
}

#[test]
fn five_hundred_qmqp_sessions_deliver_every_message() {
    for (sources, sinks) in pairs() {
        let port = free_port();
        let _sink = sink(sinks.join("qmqp-sink"), &[], port);
        let args = ["-s", SESSIONS, "-m", "1000", "-l", "5000", "-r", "2"];
        generate(sources.join("qmqp-source"), &args, port);
    }
}
