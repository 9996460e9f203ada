//! Many SMTP clients at once while the tables of a host are in trouble.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Instance, SmtpClient, wait_for};

/// Nobody is slowed down for wrong recipients.
pub const NO_PENALTIES: &str = "smtpd_soft_error_limit = 1000000\nsmtpd_hard_error_limit = 1000000\n\
    smtpd_junk_command_limit = 1000000\nsmtpd_delay_reject = no\n";

/// Recipients and what SMTP says of them when the tables are well.
pub type Recipients = [(&'static str, u16)];

/// What came of all lookups so far.
#[derive(Debug, Default)]
pub struct Storm {
    answers: AtomicUsize,
    errors: AtomicUsize,
    is_over: AtomicBool,
}

/// Lookups of each client at least.
const LOOKUPS: usize = 50;

impl Storm {
    fn sum(&self) -> usize {
        self.answers.load(Ordering::SeqCst) + self.errors.load(Ordering::SeqCst)
    }

    /// Waits until `more` lookups are done.
    ///
    /// # Panics
    ///
    /// When that does not happen.
    pub fn after(&self, more: usize) {
        let start = self.sum();
        wait_for("lookups", || (self.sum() >= start + more).then_some(()));
    }

    /// Waits until `more` lookups have failed for now.
    ///
    /// # Panics
    ///
    /// When that does not happen.
    pub fn after_errors(&self, more: usize) {
        let errors = || self.errors.load(Ordering::SeqCst);
        let start = errors();
        wait_for("failures", || (errors() >= start + more).then_some(()));
    }

    /// Waits until nobody gets an answer.
    ///
    /// # Panics
    ///
    /// When that does not happen.
    pub fn calm(&self) {
        let (mut last, mut since) = (self.sum(), Instant::now());
        wait_for("all clients to wait", || {
            if self.sum() != last {
                (last, since) = (self.sum(), Instant::now());
            }
            (since.elapsed() > Duration::from_millis(300)).then_some(())
        });
    }

    /// Asks for recipients at `port` again and again until all is over, and then until all is well.
    fn ask(&self, port: u16, recipients: &Recipients, first: usize) {
        let mut client = SmtpClient::connect(port);
        assert_eq!(client.say("EHLO client.example.test").code, 250);
        let mut is_answered = |(address, want): (&str, u16)| {
            let sender = client.say("MAIL FROM:<sender@example.test>");
            let reply = client.say(&format!("RCPT TO:<{address}>"));
            let is_answered = reply.code == want;
            let is_temporary = sender.code == 451 || reply.code == 451;
            assert!(
                is_answered || is_temporary,
                "{address}: {sender:?} {reply:?}"
            );
            client.say("RSET");
            is_answered
        };
        let mut rounds = recipients.iter().cycle().skip(first);
        let mut done = 0;
        while done < LOOKUPS || !self.is_over.load(Ordering::SeqCst) {
            if let Some(recipient) = rounds.next() {
                let count = if is_answered(*recipient) {
                    &self.answers
                } else {
                    &self.errors
                };
                count.fetch_add(1, Ordering::SeqCst);
                done += 1;
            }
        }
        for recipient in recipients {
            wait_for(recipient.0, || is_answered(*recipient).then_some(()));
        }
        client.say("QUIT");
    }
}

/// Open descriptors of the daemons of an instance; of each program the process with the most.
fn descriptors(instance: &Instance) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for daemon in instance.daemons() {
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid)).map_or(0, Iterator::count);
        let most: &mut usize = counts.entry(daemon.name).or_default();
        *most = (*most).max(open);
    }
    counts
}

/// Descriptors of each daemon: the three streams, two of the pipe from master, the log, the socket that it
/// listens on, the event queue, and one or two more while it starts or has a client.
const OWN: usize = 10;
/// Lasting connections of smtpd(8) to other services: anvil, cleanup, proxymap, rewrite and one spare.
const SERVICES: usize = 5;
/// Connections to databases: one to each server of each table, of which a host here has at most eight. In smtpd(8)
/// each is open for the server and for the rewriting of addresses in the same process; in proxymap(8) once for
/// every set of flags that clients ask with: match lists do not fold keys, maps do, and postmap(1) has its own.
const TABLES: usize = 8 * 2;

/// Descriptors that a daemon called `name` may have open among `daemons` processes; more are a leak.
fn most_descriptors(name: &str, daemons: usize) -> usize {
    match name {
        "smtpd" => OWN + SERVICES + TABLES,
        // Every process has at most one connection to a service, be it smtpd(8), cleanup(8) or trivial-rewrite(8),
        // and any process of the service may have come to serve all of them.
        _ => OWN + daemons + TABLES,
    }
}

/// Clients at every port ask while there is `trouble`. Answers are right or temporary errors, and when all is
/// well again, no daemon has more descriptors open than it may have. Nobody is to be slowed down for wrong
/// recipients, and these are to be refused at once (`smtpd_delay_reject = no`).
///
/// # Panics
///
/// When any of this is not so.
pub fn storm(instance: &Instance, clients: &[(u16, &Recipients)], trouble: impl FnOnce(&Storm)) {
    let storm = &Storm::default();
    let mut before = BTreeMap::new();
    thread::scope(|scope| {
        for (number, (port, recipients)) in clients.iter().enumerate() {
            scope.spawn(move || storm.ask(*port, recipients, number));
        }
        storm.after(clients.len() * 10);
        before = descriptors(instance);
        trouble(storm);
        storm.is_over.store(true, Ordering::SeqCst);
    });
    assert!(storm.sum() >= clients.len() * LOOKUPS);
    assert!(storm.errors.load(Ordering::SeqCst) > 0);
    let daemons = instance.daemons().len();
    for (name, count) in descriptors(instance) {
        let most = most_descriptors(&name, daemons.max(clients.len()));
        assert!(
            count <= most,
            "{name}: {count} descriptors of at most {most}, before {before:?}"
        );
    }
    assert_eq!(instance.defects(), Vec::<String>::new());
}
