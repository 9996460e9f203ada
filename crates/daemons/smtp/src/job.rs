//! One delivery request on its way through the servers: which recipients remain, and what is told
//! about those that do not (smtp-client.md §4).

use bstr::{BStr, BString};
use postern_delivery::Outcome;
use postern_ipc::deliver::{Dsn, MessageStats, Moment, Recipient, Request, flag};

use crate::failure::Failure;

/// Where outcomes go: the log, bounce(8), and the queue file.
pub trait Reporter {
    /// The recipient has the message.
    fn sent(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome;
    /// The recipient will never get it.
    fn bounce(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome;
    /// The recipient may get it later.
    fn defer(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome;
    /// Nothing remains to be done for the recipient.
    fn mark_done(&mut self, recipient: &Recipient);
    /// Hands the recipient to another transport (`best_mx_transport`); deferred when that fails.
    fn pass_on(&mut self, report: &Report<'_>, service: &str) -> Outcome;
}

/// What an outcome is about.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The request.
    pub request: &'a Request,
    /// Time stamps.
    pub stats: &'a MessageStats,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// `relay=` text.
    pub relay: &'a BStr,
}

/// A request in progress.
pub struct Job<'a> {
    /// The request.
    pub request: &'a Request,
    /// Every recipient with its state.
    pub recipients: Vec<Entry>,
    /// Time stamps; connection set-up changes with each session.
    pub stats: MessageStats,
    /// `relay=` text of the current session, `none` without one.
    pub relay: BString,
    /// Whether no other server follows the current one.
    pub final_server: bool,
    /// A dialogue ended properly: the destination works.
    pub completed: bool,
    /// What is wrong with the whole destination.
    pub site: Option<Dsn>,
    /// Some recipient has to be tried again.
    pub deferred: bool,
    soft_bounce: bool,
    reporter: &'a mut dyn Reporter,
}

/// A recipient of the job.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As requested.
    pub recipient: Recipient,
    /// Nothing more to do in this job.
    pub finished: bool,
}

impl<'a> Job<'a> {
    /// Starts with every recipient open.
    pub fn new(
        request: &'a Request,
        recipients: &[Recipient],
        stats: MessageStats,
        soft_bounce: bool,
        reporter: &'a mut dyn Reporter,
    ) -> Self {
        let entry = |recipient: &Recipient| Entry {
            recipient: recipient.clone(),
            finished: false,
        };
        Self {
            request,
            recipients: recipients.iter().map(entry).collect(),
            stats,
            relay: "none".into(),
            final_server: false,
            completed: false,
            site: None,
            deferred: false,
            soft_bounce,
            reporter,
        }
    }

    /// Indices of the recipients that remain.
    pub fn open(&self) -> Vec<usize> {
        self.recipients
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.finished)
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether any recipient remains.
    pub fn has_open(&self) -> bool {
        self.recipients.iter().any(|entry| !entry.finished)
    }

    /// Address probe or `sendmail -bv`: nothing is delivered.
    pub fn is_trace_only(&self) -> bool {
        self.request.flags & flag::TRACE_ONLY != 0
    }

    /// A session begins.
    pub fn begin_session(&mut self, relay: &BStr, reuse_count: i32) {
        self.relay = relay.into();
        self.stats.reuse_count = reuse_count;
        self.stats.conn_setup_done = Moment::default();
    }

    /// No session is open: what follows is not about a server.
    pub fn end_session(&mut self) {
        self.begin_session("none".into(), 0);
    }

    /// The recipient has the message.
    pub fn sent(&mut self, index: usize, dsn: &Dsn, passed_on_success: bool) {
        let Some(entry) = self.recipients.get_mut(index) else {
            return;
        };
        let mut recipient = entry.recipient.clone();
        if passed_on_success {
            recipient.notify_flags &= !crate::envelope::NOTIFY_SUCCESS;
        }
        let report = Report {
            request: self.request,
            stats: &self.stats,
            recipient: &recipient,
            relay: self.relay.as_ref(),
        };
        entry.finished = true;
        match self.reporter.sent(&report, dsn) {
            Outcome::Done if self.request.flags & flag::SUCCESS != 0 => {
                self.reporter.mark_done(&recipient)
            }
            Outcome::Done => {}
            Outcome::Deferred => self.deferred = true,
        }
    }

    /// The whole site is in trouble: nothing was or could be said about the message.
    pub fn site_fail(&mut self, failure: &Failure) {
        if self.keeps(failure) {
            self.note(failure);
            return;
        }
        for index in self.open() {
            self.report(index, failure);
        }
        if failure.is_soft() && self.deferred && !self.completed {
            self.site = Some((*failure.dsn).clone());
        }
    }

    /// These recipients fail together.
    pub fn message_fail(&mut self, indices: &[usize], failure: &Failure) {
        if self.keeps(failure) {
            self.note(failure);
            return;
        }
        for index in indices {
            self.report(*index, failure);
        }
    }

    /// One recipient fails.
    pub fn recipient_fail(&mut self, index: usize, failure: &Failure) {
        self.message_fail(&[index], failure);
    }

    /// Passes every remaining recipient on to another transport.
    pub fn pass_on(&mut self, service: &str) {
        for index in self.open() {
            let Some(entry) = self.recipients.get_mut(index) else {
                continue;
            };
            entry.finished = true;
            let report = Report {
                request: self.request,
                stats: &self.stats,
                recipient: &entry.recipient,
                relay: self.relay.as_ref(),
            };
            match self.reporter.pass_on(&report, service) {
                Outcome::Done => self.reporter.mark_done(&entry.recipient),
                Outcome::Deferred => self.deferred = true,
            }
        }
    }

    /// A soft failure where another server may do better: the recipients stay.
    fn keeps(&self, failure: &Failure) -> bool {
        (failure.is_soft() || self.soft_bounce) && !self.final_server
    }

    fn note(&self, failure: &Failure) {
        log::info!("{}: {}", self.request.queue_id, failure.dsn.reason);
    }

    fn report(&mut self, index: usize, failure: &Failure) {
        let Some(entry) = self
            .recipients
            .get_mut(index)
            .filter(|entry| !entry.finished)
        else {
            return;
        };
        entry.finished = true;
        let report = Report {
            request: self.request,
            stats: &self.stats,
            recipient: &entry.recipient,
            relay: self.relay.as_ref(),
        };
        let outcome = if failure.is_soft() {
            self.reporter.defer(&report, &failure.dsn)
        } else {
            self.reporter.bounce(&report, &failure.dsn)
        };
        match outcome {
            Outcome::Done => self.reporter.mark_done(&entry.recipient),
            Outcome::Deferred => self.deferred = true,
        }
    }
}
