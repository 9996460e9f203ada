//! Sends probe messages from threads of their own: cleanup(8) takes its time when mail comes in faster
//! than it is delivered, and meanwhile nobody's query should wait.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bstr::{BString, ByteSlice};
use postern_config::Config;
use postern_ipc::client::ClientError;
use postern_ipc::deliver::flag;
use postern_ipc::post::{Envelope, InternalMail, MailClass};
use postern_mail::printable::{Charset, quote_for_log};

/// Probes that may wait; beyond that they are not sent, and nothing is found out about the address
/// until the patience with a probe is over.
const BACKLOG: usize = 1000;
/// Probes that are handed to cleanup(8) side by side.
const WORKERS: usize = 20;

struct Probe {
    sender: BString,
    recipient: BString,
}

/// The threads, which start as they are needed.
pub(crate) struct Prober {
    config: Config,
    /// `None` after the end.
    queue: Option<SyncSender<Probe>>,
    probes: Arc<Mutex<Receiver<Probe>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Prober {
    pub(crate) fn new(config: &Config) -> Self {
        let (queue, probes) = sync_channel(BACKLOG);
        Self {
            config: config.clone(),
            queue: Some(queue),
            probes: Arc::new(Mutex::new(probes)),
            workers: Vec::new(),
        }
    }

    /// Takes a probe; returns at once.
    pub(crate) fn send(&mut self, sender: BString, recipient: BString) {
        let Some(queue) = &self.queue else {
            return;
        };
        match queue.try_send(Probe { sender, recipient }) {
            Ok(()) => self.grow(),
            Err(TrySendError::Full(probe) | TrySendError::Disconnected(probe)) => {
                warn(&probe, "too many probes are waiting");
            }
        }
    }

    /// Sends what waits.
    pub(crate) fn finish(&mut self) {
        self.queue = None;
        for worker in std::mem::take(&mut self.workers) {
            let _ = worker.join();
        }
    }

    fn grow(&mut self) {
        if self.workers.len() >= WORKERS {
            return;
        }
        let (config, probes) = (self.config.clone(), Arc::clone(&self.probes));
        let worker = std::thread::Builder::new().name("probe".to_owned());
        match worker.spawn(move || work(&config, &probes)) {
            Ok(worker) => self.workers.push(worker),
            Err(error) => log::warn!("start a thread: {}", postern_sys::error_text(&error)),
        }
    }
}

fn work(config: &Config, probes: &Mutex<Receiver<Probe>>) {
    loop {
        // The lock ends with this statement: the next thread waits while this one sends.
        let probe = probes.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(probe) = probe else {
            return;
        };
        if let Err(error) = send(config, &probe) {
            warn(&probe, &error.to_string());
        }
    }
}

fn send(config: &Config, probe: &Probe) -> Result<(), ClientError> {
    let envelope = Envelope {
        sender: probe.sender.as_bstr(),
        recipient: probe.recipient.as_bstr(),
        class: MailClass::Verify,
        trace_flags: flag::MTA_VERIFY,
        smtputf8: false,
    };
    // What cleanup thinks of the message comes back as an update, if at all.
    InternalMail::open(config, &envelope)?.finish().map(|_| ())
}

fn warn(probe: &Probe, why: &str) {
    log::warn!(
        "cannot send probe for {}: {why}",
        quote_for_log(&probe.recipient, Charset::Ascii)
    );
}
