//! The queue manager's main loop. Source: delivery.md §1.1 and §1.2.

use crate::active::{Admission, Desk, Fatal};
use crate::agents::{Agents, Hall};
use crate::core::{Core, Effect, MessageId};
use crate::notices::{Answer, Notices, Purpose};
use crate::rounds::Round;
use crate::route::Resolve;
use crate::scans::{Scan, ScanFlags};
use crate::settings::{Settings, transport_params};
use bstr::ByteSlice;
use postern_config::Config;
use postern_ipc::deliver::{Dsn, Recipient};
use postern_ipc::trigger;
use postern_queue::Queues;
use postern_server::{Event, Flow, Reactor};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Positions of the two scans.
const INCOMING: usize = 0;
const DEFERRED: usize = 1;

/// All parts of the queue manager.
pub(crate) struct Manager {
    pub(crate) core: Core,
    pub(crate) desk: Desk,
    agents: Agents,
    notices: Notices,
    scans: [Scan; 2],
    /// The scan that is tried first in the next turn.
    next_scan: usize,
    deferred_scan_due: Instant,
    /// Reports of deferred recipients under way: message, recipients, answers to come.
    reports: HashMap<u64, (MessageId, usize, usize)>,
    next_report: u64,
}

impl Manager {
    /// `queues` with its root, parameters of `config`, and who resolves addresses.
    pub(crate) fn new(config: &Config, queues: Queues, resolver: Box<dyn Resolve>) -> Self {
        let settings = Settings::new(config);
        let of_transports = config.clone();
        let params = Box::new(move |name: &str| transport_params(&of_transports, name));
        let now = Instant::now();
        Self {
            core: Core::new(settings.limits(), params, now),
            desk: Desk::new(queues, settings, resolver),
            agents: Agents::default(),
            notices: Notices::default(),
            scans: [Scan::new("incoming"), Scan::new("deferred")],
            next_scan: INCOMING,
            deferred_scan_due: now,
            reports: HashMap::new(),
            next_report: 0,
        }
    }

    /// What the process before this one had in the active queue is new mail again.
    ///
    /// # Errors
    ///
    /// [`Fatal`] when the directories do not work.
    pub(crate) fn recover(&mut self) -> Result<(), Fatal> {
        for entry in self.desk.queues.walk("active") {
            match entry {
                Ok(entry) => self.desk.postpone(&entry.id, "incoming", Duration::ZERO)?,
                Err(error) => {
                    log::warn!("scan active: {}", postern_sys::error_text(&error));
                }
            }
        }
        self.scans[INCOMING].request(&self.desk.queues, ScanFlags::default());
        Ok(())
    }

    /// Somebody wants something.
    pub(crate) fn trigger(&mut self, request: &[u8]) {
        let wants = |byte| request.contains(&byte);
        let flags = ScanFlags {
            all: wants(trigger::SCAN_ALL),
            flush: wants(trigger::FLUSH_DEAD),
        };
        if flags.flush {
            self.core.now = Instant::now();
            self.core.forget_trouble();
        }
        if wants(trigger::WAKEUP) || wants(trigger::SCAN_INCOMING) {
            self.scans[INCOMING].request(&self.desk.queues, flags);
        }
        if wants(trigger::SCAN_DEFERRED) {
            self.scans[DEFERRED].request(&self.desk.queues, flags);
        }
    }

    /// The trigger that has the next process do what was asked of this one.
    pub(crate) fn unfinished(&self) -> Vec<u8> {
        let mut request = vec![trigger::WAKEUP];
        let deferred = self.scans[DEFERRED].unfinished();
        if deferred.is_some() {
            request.push(trigger::SCAN_DEFERRED);
        }
        for flags in [deferred, self.scans[INCOMING].unfinished()]
            .into_iter()
            .flatten()
        {
            if flags.all {
                request.push(trigger::SCAN_ALL);
            }
            if flags.flush {
                request.push(trigger::FLUSH_DEAD);
            }
        }
        request
    }

    /// An event of an agent or of bounce(8).
    ///
    /// # Errors
    ///
    /// [`Fatal`] when the directories do not work.
    pub(crate) fn event(&mut self, reactor: &mut Reactor, event: Event) -> Result<(), Fatal> {
        self.core.now = Instant::now();
        let mut hall = Hall {
            core: &mut self.core,
            desk: &mut self.desk,
            reactor,
        };
        match event {
            Event::Ready {
                token,
                readable,
                writable,
            } => {
                if !self.agents.ready(&mut hall, token, readable, writable) {
                    self.notices.ready(hall.reactor, token, readable, writable);
                }
            }
            Event::Timer(timer) => {
                if !self.agents.timeout(&mut hall, timer) {
                    self.notices.timeout(hall.reactor, timer);
                }
            }
        }
        self.settle(reactor)
    }

    /// One turn of the main loop; the result bounds the sleep after it.
    ///
    /// # Errors
    ///
    /// [`Fatal`] when the directories do not work.
    pub(crate) fn turn(
        &mut self,
        reactor: &mut Reactor,
        flow: Option<&Flow>,
    ) -> Result<Option<Duration>, Fatal> {
        self.core.now = Instant::now();
        self.core.expire();
        if self.core.now >= self.deferred_scan_due {
            self.deferred_scan_due = self.core.now + self.desk.settings.queue_run_delay;
            self.scans[DEFERRED].request(&self.desk.queues, ScanFlags::default());
        }
        if self
            .desk
            .look_again
            .is_some_and(|when| self.core.now >= when)
        {
            self.desk.look_again = None;
            self.scans[INCOMING].request(&self.desk.queues, ScanFlags::default());
        }
        self.settle(reactor)?;
        self.drain(reactor);
        let (busy, fresh) = self.fill()?;
        if let Some(flow) = flow {
            self.control_flow(flow, fresh);
        }
        self.settle(reactor)?;
        if busy {
            return Ok(Some(Duration::ZERO));
        }
        let next = [
            Some(self.deferred_scan_due),
            self.core.deadline(),
            self.desk.look_again,
        ];
        let next = next.into_iter().flatten().min();
        Ok(next.map(|when| when.saturating_duration_since(Instant::now())))
    }

    /// Starts to connect agents for the transports that need more.
    fn drain(&mut self, reactor: &mut Reactor) {
        while let Some(transport) = self.core.select_transport() {
            let mut hall = Hall {
                core: &mut self.core,
                desk: &mut self.desk,
                reactor,
            };
            self.agents.connect(&mut hall, transport);
        }
    }

    /// Takes at most one file into the active queue. The results: whether any file was looked at,
    /// and whether a new message came in.
    fn fill(&mut self) -> Result<(bool, bool), Fatal> {
        if self.core.message_count() >= self.desk.settings.active_limit {
            self.next_scan = INCOMING;
            return Ok((false, false));
        }
        let mut busy = false;
        for _ in 0..self.scans.len() {
            let at = self.next_scan;
            self.next_scan = (at + 1) % self.scans.len();
            let Some(entry) = self.scans[at].next(&self.desk.queues) else {
                busy |= !self.scans[at].is_idle();
                continue;
            };
            busy = true;
            let queue = self.scans[at].queue;
            let (id, flags) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    log::warn!("scan {queue}: {}", postern_sys::error_text(&error));
                    continue;
                }
            };
            let admission = self.desk.admit(&mut self.core, queue, id, flags)?;
            if let Admission::Admitted(message) = admission {
                self.round().idle(message)?;
                return Ok((true, at == INCOMING));
            }
        }
        Ok((busy, false))
    }

    fn round(&mut self) -> Round<'_> {
        Round {
            core: &mut self.core,
            desk: &mut self.desk,
            notices: &mut self.notices,
        }
    }

    /// Lets cleanup(8) take in as much as this program takes out of the incoming queue.
    fn control_flow(&self, flow: &Flow, fresh: bool) {
        let settings = &self.desk.settings;
        if settings.flow_delay.is_zero() {
            return;
        }
        let (tokens, limit) = (flow.count(), settings.process_limit);
        if tokens > limit {
            flow.take(tokens - limit);
        } else if tokens < limit {
            if fresh {
                flow.put(1);
            } else if self.scans[INCOMING].is_idle() {
                flow.put(limit - tokens);
            }
        }
    }

    /// Does what the scheduler and the answers of bounce(8) ask for, until nothing is left.
    fn settle(&mut self, reactor: &mut Reactor) -> Result<(), Fatal> {
        loop {
            if let Some(effect) = self.core.next_effect() {
                match effect {
                    Effect::Defer {
                        message,
                        recipients,
                        dsn,
                    } => {
                        self.report(message, recipients, &dsn);
                    }
                    Effect::Idle(message) => self.round().idle(message)?,
                }
                continue;
            }
            self.notices.start(&self.desk, reactor);
            match self.notices.next_answer() {
                Some(answer) => self.answered(answer)?,
                None => return Ok(()),
            }
        }
    }

    /// Reports recipients as deferred that no agent can take.
    fn report(&mut self, message: MessageId, recipients: Vec<Recipient>, dsn: &Dsn) {
        let Some(active) = self.desk.messages.get_mut(&message) else {
            return;
        };
        active.deferred = true;
        let probe = active.envelope.is_probe();
        let count = recipients.len();
        let mut dsn = dsn.clone();
        dsn.action = "delayed".into();
        self.next_report += 1;
        let number = self.next_report;
        for recipient in &recipients {
            let status = dsn.status.to_str_lossy();
            self.desk.log_status(
                message,
                recipient,
                &status,
                "deferred",
                dsn.reason.as_bstr(),
            );
        }
        if probe || count == 0 {
            self.core.deferred(message, count);
            return;
        }
        self.reports.insert(number, (message, count, count));
        for recipient in recipients {
            self.notices
                .append(&self.desk, message, number, recipient, dsn.clone());
        }
    }

    fn answered(&mut self, answer: Answer) -> Result<(), Fatal> {
        let Purpose::Append(number) = answer.purpose else {
            return self.round().answered(answer);
        };
        if !answer.ok
            && let Some(active) = self.desk.messages.get_mut(&answer.message)
        {
            log::warn!(
                "{}: {} service failure",
                active.id,
                self.desk.settings.defer_service
            );
            active.unreported = true;
        }
        let Some((message, count, left)) = self.reports.get_mut(&number) else {
            return Ok(());
        };
        *left -= 1;
        if *left == 0 {
            let (message, count) = (*message, *count);
            self.reports.remove(&number);
            self.core.deferred(message, count);
        }
        Ok(())
    }

    /// Messages in the active queue.
    #[cfg(test)]
    pub(crate) fn active_count(&self) -> usize {
        self.desk.messages.len()
    }

    /// Whether both scans are at their end.
    #[cfg(test)]
    pub(crate) fn is_scanning(&self) -> bool {
        !self.scans.iter().all(Scan::is_idle)
    }
}
