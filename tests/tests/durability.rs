//! No acknowledged message is lost, whichever program is killed at whatever moment.

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postern_testkit::{Instance, Random, Sink, SmtpClient, wait_for};

/// Decides when who is killed; another one can be given as `POSTERN_TEST_SEED`.
const SEED: u64 = 3;
/// SMTP clients at work.
const CLIENTS: usize = 3;
/// Programs that are killed.
const KILLS: usize = 70;
/// How many acknowledgements lie between two kills at most.
const DISTANCE: usize = 4;
/// A kill happens even when nothing is acknowledged meanwhile.
const LONGEST: Duration = Duration::from_millis(1500);
/// How long after an acknowledgement the kill comes at most, in microseconds.
const DELAY: usize = 5000;
/// The mail system that is killed all the time must go on all the same.
const LIMIT: Duration = Duration::from_secs(300);

const VICTIMS: &[&str] = &[
    "smtpd",
    "cleanup",
    "qmgr",
    "smtp",
    "virtual",
    "bounce",
    "trivial-rewrite",
    "pickup",
    "error",
    "master",
];

/// What the clients know.
#[derive(Default)]
struct Ledger {
    /// Marks of the messages that were acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    count: AtomicUsize,
    is_over: AtomicBool,
}

impl Ledger {
    fn acknowledge(&self, mark: &str) {
        self.acknowledged
            .lock()
            .expect("no client panics")
            .insert(mark.to_owned());
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn killed_programs_lose_no_acknowledged_mail() {
    let sink = Sink::start(&[("RCPT TO:<nobody", "550 5.1.1 no such user")]);
    let mut instance = Instance::started(
        &(sink.relayhost()
            + "service_throttle_time = 1s\n\
               transport_retry_time = 1s\n\
               minimal_backoff_time = 1s\n\
               ipc_timeout = 20s\n\
               smtpd_client_connection_count_limit = 0\n"),
        "",
    );
    let ledger = Ledger::default();
    let port = instance.port();
    thread::scope(|scope| {
        let ledger = &ledger;
        for number in 0..CLIENTS {
            scope.spawn(move || send_all(port, number, ledger));
        }
        let submit = instance.command("sendmail");
        scope.spawn(move || submit_all(submit, ledger));
        // Also after a panic: the clients must end.
        let result = catch_unwind(AssertUnwindSafe(|| kill_all(&mut instance, ledger)));
        ledger.is_over.store(true, Ordering::SeqCst);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
    wait_for("the mail system to run", || {
        instance.master().is_some().then_some(())
    });
    instance.drain();
    check(&instance, &sink, &ledger);
}

/// Where a message goes, by its number.
fn recipient(number: usize) -> &'static str {
    match number % 8 {
        0 | 3 => "alice@example.test",
        1 | 4 => "bob@example.test",
        2 | 5 | 6 => "carol@relay.test",
        _ => "nobody@relay.test",
    }
}

/// Sends message after message; what is not acknowledged is sent again, as a client would.
fn send_all(port: u16, client: usize, ledger: &Ledger) {
    let mut session: Option<SmtpClient> = None;
    for number in 0.. {
        if ledger.is_over.load(Ordering::SeqCst) {
            break;
        }
        let mark = format!("c{client}n{number}x");
        let text = format!("Subject: {mark}\n\nMark: {mark}\n");
        let end = Instant::now() + Duration::from_secs(150);
        loop {
            assert!(Instant::now() < end, "{mark} is not taken");
            if session.is_none() {
                session = SmtpClient::try_connect(port).ok().and_then(|mut client| {
                    client.try_say("EHLO c.example.test").ok().map(|_| client)
                });
            }
            let reply = session.as_mut().and_then(|session| {
                session
                    .try_send("alice@example.test", &[recipient(number)], &text)
                    .ok()
            });
            match reply {
                Some(reply) if reply.queue_id().is_some() => break,
                Some(reply) if (400..500).contains(&reply.code) => session = None,
                Some(reply) => panic!("{mark} is refused: {reply:?}"),
                None => session = None,
            }
            thread::yield_now();
        }
        ledger.acknowledge(&mark);
    }
}

fn submit_all(mut sendmail: std::process::Command, ledger: &Ledger) {
    sendmail.stdin(Stdio::piped()).stderr(Stdio::null()).args([
        "-f",
        "alice@example.test",
        "bob@example.test",
    ]);
    for number in 0.. {
        if ledger.is_over.load(Ordering::SeqCst) {
            break;
        }
        let mark = format!("s{number}x");
        let mut child = sendmail.spawn().expect("run sendmail");
        let text = format!("Subject: {mark}\n\nMark: {mark}\n");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("write the message");
        drop(input);
        if child.wait().expect("wait for sendmail").success() {
            ledger.acknowledge(&mark);
        }
    }
}

/// Kills one program after another at moments that the acknowledgements give; starts the master again.
fn kill_all(instance: &mut Instance, ledger: &Ledger) {
    let seed = std::env::var("POSTERN_TEST_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let mut random = Random::new(seed);
    let limit = Instant::now() + LIMIT;
    let mut kills = 0;
    while kills < KILLS {
        assert!(Instant::now() < limit, "only {kills} kills so far");
        wait_for_acknowledgements(ledger, &mut random);
        let victim = VICTIMS[random.below(VICTIMS.len())];
        if victim == "master" {
            kills += usize::from(kill_master(instance));
            continue;
        }
        let mut processes = instance.daemons();
        processes.retain(|process| process.name == victim);
        if !processes.is_empty() {
            let process = &processes[random.below(processes.len())];
            kills += usize::from(instance.kill(process));
        }
    }
}

fn wait_for_acknowledgements(ledger: &Ledger, random: &mut Random) {
    let mark = ledger.count.load(Ordering::SeqCst) + 1 + random.below(DISTANCE);
    let end = Instant::now() + LONGEST;
    while ledger.count.load(Ordering::SeqCst) < mark && Instant::now() < end {
        thread::yield_now();
    }
    let micros = u64::try_from(random.below(DELAY)).unwrap_or(0);
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {
        thread::yield_now();
    }
}

fn kill_master(instance: &mut Instance) -> bool {
    let Some(master) = instance.master() else {
        return false;
    };
    let killed = instance.kill(&master);
    wait_for("a new start", || instance.start().ok());
    killed
}

/// Every acknowledged message is in a mailbox, at the next hop, or in a notice.
fn check(instance: &Instance, sink: &Sink, ledger: &Ledger) {
    let mut seen = BTreeSet::new();
    let marks = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix("Mark: "))
            .map(str::to_owned)
            .collect()
    };
    for user in ["alice", "bob"] {
        for message in instance.mail(user) {
            seen.extend(marks(&message));
        }
    }
    for message in sink.messages() {
        seen.extend(marks(&message.content));
    }
    let acknowledged = ledger.acknowledged.lock().expect("no client panics");
    assert!(acknowledged.len() > KILLS, "{}", acknowledged.len());
    let lost: Vec<&String> = acknowledged.difference(&seen).collect();
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    for name in ["corrupt", "hold", "bounce", "defer"] {
        assert_eq!(instance.queue(name), Vec::<String>::new(), "in {name}");
    }
    wait_for("the children of killed masters to end", || {
        instance.strays().is_empty().then_some(())
    });
}
