//! The scheduler's model, without files, sockets, clock and configuration.
//!
//! A *transport* is a master.cf service; it has *queues*, one per destination, and *jobs*, one per
//! message that has recipients for it. A job's recipients for one queue are a *peer*; they are cut
//! into *entries*, each of which becomes one delivery request. Time comes in by [`Core::now`];
//! what must happen outside goes out as [`Effect`]s. Source: delivery.md §1.4–1.11.

pub(crate) mod feedback;
mod job;
mod queue;
#[cfg(test)]
mod tests;
mod transport;

use crate::arena::{Arena, Id};
use bstr::BString;
use feedback::{Window, WindowParams};
use postern_ipc::deliver::{Dsn, Recipient};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) type TransportId = Id<Transport>;
pub(crate) type QueueId = Id<Queue>;
pub(crate) type MessageId = Id<Message>;
pub(crate) type JobId = Id<Job>;
pub(crate) type PeerId = Id<Peer>;
pub(crate) type EntryId = Id<Entry>;

/// The service that defers mail for destinations known to be unavailable.
pub(crate) const RETRY_SERVICE: &str = "retry";
/// The service that returns mail.
pub(crate) const ERROR_SERVICE: &str = "error";

/// Parameters of the whole scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// `qmgr_message_recipient_limit`.
    pub(crate) recipients: usize,
    /// `qmgr_message_recipient_minimum`.
    pub(crate) recipient_minimum: usize,
    /// `minimal_backoff_time`: how long a destination is dead.
    pub(crate) minimal_backoff: Duration,
    /// `transport_retry_time`.
    pub(crate) transport_retry: Duration,
}

/// Parameters of one transport, with the service's own values where it has some.
#[derive(Debug, Clone)]
pub(crate) struct TransportParams {
    pub(crate) window: WindowParams,
    /// Recipients per request; 0 is no limit.
    pub(crate) recipient_limit: usize,
    /// Recipients in core.
    pub(crate) recipient_slots: i64,
    /// More of them for jobs that overtook others.
    pub(crate) extra_slots: i64,
    pub(crate) refill_limit: i64,
    pub(crate) refill_delay: Duration,
    pub(crate) slot_cost: i64,
    pub(crate) slot_loan: i64,
    pub(crate) slot_discount: i64,
    pub(crate) minimum_slots: i64,
    pub(crate) transport_rate_delay: Duration,
    pub(crate) destination_rate_delay: Duration,
}

/// A delivery service.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) name: String,
    pub(crate) params: TransportParams,
    /// Why no deliveries are tried.
    pub(crate) dead: Option<Dsn>,
    timer: Option<TimerKey>,
    /// Agents being connected.
    pub(crate) pending: i32,
    /// A delivery of a transport with a rate delay is on its way.
    pub(crate) rate_locked: bool,
    queues: HashMap<BString, QueueId>,
    /// The job list.
    head: Option<JobId>,
    tail: Option<JobId>,
    /// Where the next pick starts; `None` is the head.
    current: Option<JobId>,
    /// Jobs of the list whose messages have unread recipients, by age.
    unread: BTreeMap<(Instant, u64), JobId>,
    /// Recipient slots that no job has.
    free_slots: i64,
    /// Marks jobs and queues that have no room now.
    blocker_tag: u64,
    /// The best job to overtake `.0`, as of the time `.2`.
    candidate: Option<(JobId, Option<JobId>, Instant)>,
}

/// Whether a queue may deliver.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QueueState {
    Ready,
    /// The destination is dead, for this reason.
    Throttled(Dsn),
    /// Between two deliveries of a destination with a rate delay.
    Suspended,
}

/// A destination of a transport.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) transport: TransportId,
    pub(crate) name: BString,
    pub(crate) nexthop: BString,
    pub(crate) state: QueueState,
    timer: Option<TimerKey>,
    pub(crate) window: Window,
    pub(crate) todo: i32,
    pub(crate) busy: i32,
    peers: HashMap<JobId, PeerId>,
    blocker_tag: u64,
    /// Connection caching flags of the next request.
    cache_load: bool,
    cache_store: bool,
    last_done: Option<Instant>,
    /// When this queue was last reported as clogging.
    pub(crate) clog_warned: Option<Instant>,
}

/// A message in the active queue, as far as scheduling goes.
#[derive(Debug)]
pub(crate) struct Message {
    /// When it entered core.
    queued: Instant,
    /// Breaks ties of `queued`.
    sequence: u64,
    /// Each recipient gets a request of its own (VERP).
    single: bool,
    jobs: HashMap<TransportId, JobId>,
    /// Recipients in core, and how many there may be.
    recipients: i64,
    recipient_limit: i64,
    /// Recipients in the file that were not read; an estimate unless 0.
    unread: i64,
    refilled: Instant,
    /// Entries, and recipients being deferred, that are not done.
    outstanding: usize,
}

/// A message's recipients for one transport.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) message: MessageId,
    transport: TransportId,
    peers: HashMap<QueueId, PeerId>,
    /// Peers with entries to do, the next one first.
    ready: VecDeque<PeerId>,
    /// Entries made and entries given to agents.
    read: i64,
    selected: i64,
    recipients: i64,
    recipient_limit: i64,
    slots_used: i64,
    slots_available: i64,
    blocker_tag: u64,
    /// The job that this one overtook, and those that overtook this one.
    parent: Option<JobId>,
    children: Vec<JobId>,
    level: u32,
    listed: bool,
    previous: Option<JobId>,
    next: Option<JobId>,
}

/// A message's recipients for one destination.
#[derive(Debug)]
pub(crate) struct Peer {
    job: JobId,
    queue: QueueId,
    todo: VecDeque<EntryId>,
    busy: usize,
}

/// One delivery request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: MessageId,
    pub(crate) queue: QueueId,
    peer: PeerId,
    pub(crate) recipients: Vec<Recipient>,
    busy: bool,
    /// Connection caching flags, set when the entry was picked.
    pub(crate) cache_load: bool,
    pub(crate) cache_store: bool,
}

/// Where a recipient goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) transport: TransportId,
    pub(crate) queue_name: BString,
    pub(crate) nexthop: BString,
}

/// What the engine has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Report these recipients as deferred; [`Core::deferred`] when done.
    Defer {
        message: MessageId,
        recipients: Vec<Recipient>,
        dsn: Dsn,
    },
    /// The last entry in core is done: read more, or end the round.
    Idle(MessageId),
}

/// How a delivery ended, as far as scheduling goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The agent answered; nothing is wrong with the destination.
    Good,
    /// The destination is in trouble.
    Site(Dsn),
    /// The agent went away or wrote nonsense.
    Crash(Dsn),
}

/// What happens later.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Timer {
    ReviveTransport(TransportId),
    ReviveQueue(QueueId),
    ResumeQueue(QueueId),
}

/// When a timer fires; the number tells those of one moment apart.
type TimerKey = (Instant, u64);

/// Makes the parameters of a transport from its name.
pub(crate) type ParamSource = Box<dyn Fn(&str) -> TransportParams>;

/// Reads more recipients of a message during a pick, and assigns them.
pub(crate) type Refill<'a> = &'a mut dyn FnMut(&mut Core, MessageId);

/// All of it.
pub(crate) struct Core {
    /// The present, set by the engine before each call that depends on it.
    pub(crate) now: Instant,
    pub(crate) limits: Limits,
    pub(crate) transports: Arena<Transport>,
    pub(crate) queues: Arena<Queue>,
    messages: Arena<Message>,
    jobs: Arena<Job>,
    peers: Arena<Peer>,
    pub(crate) entries: Arena<Entry>,
    by_name: HashMap<String, TransportId>,
    /// Transports in the order in which they are looked at.
    rotation: VecDeque<TransportId>,
    recipients: usize,
    sequence: u64,
    timers: BTreeMap<TimerKey, Timer>,
    effects: VecDeque<Effect>,
    params: ParamSource,
}

impl Core {
    pub(crate) fn new(limits: Limits, params: ParamSource, now: Instant) -> Self {
        Self {
            now,
            limits,
            transports: Arena::default(),
            queues: Arena::default(),
            messages: Arena::default(),
            jobs: Arena::default(),
            peers: Arena::default(),
            entries: Arena::default(),
            by_name: HashMap::new(),
            rotation: VecDeque::new(),
            recipients: 0,
            sequence: 0,
            timers: BTreeMap::new(),
            effects: VecDeque::new(),
            params,
        }
    }

    /// What to do next outside.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Core::expire`] has work.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(when, _)| *when)
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Timer::ReviveTransport(id) => self.revive_transport(id),
                Timer::ReviveQueue(id) => self.revive_queue(id),
                Timer::ResumeQueue(id) => self.resume_queue(id),
            }
        }
    }

    fn set_timer(&mut self, delay: Duration, timer: Timer) -> TimerKey {
        let key = (self.now + delay, self.next_sequence());
        self.timers.insert(key, timer);
        key
    }

    fn cancel_timer(&mut self, key: Option<TimerKey>) {
        if let Some(key) = key {
            self.timers.remove(&key);
        }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A new message without recipients.
    pub(crate) fn add_message(&mut self, single: bool) -> MessageId {
        let sequence = self.next_sequence();
        let minimum = i64::try_from(self.limits.recipient_minimum).unwrap_or(i64::MAX);
        self.messages.insert(Message {
            queued: self.now,
            sequence,
            single,
            jobs: HashMap::new(),
            recipients: 0,
            recipient_limit: minimum,
            unread: 0,
            refilled: self.now,
            outstanding: 0,
        })
    }

    /// Messages in core.
    pub(crate) fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// Recipients that the first read of a message may take.
    pub(crate) fn first_batch(&self) -> usize {
        let free = self.limits.recipients.saturating_sub(self.recipients);
        free.max(self.limits.recipient_minimum)
    }

    /// Recipients that a later read may take.
    pub(crate) fn next_batch(&self, message: MessageId) -> usize {
        usize::try_from(self.free_slots_of(message)).unwrap_or(0)
    }

    fn free_slots_of(&self, message: MessageId) -> i64 {
        let message = &self.messages[message];
        message.recipient_limit - message.recipients
    }

    /// Adds a recipient to the jobs of its message; [`Core::finish_batch`] after the last one.
    pub(crate) fn assign(
        &mut self,
        message: MessageId,
        target: Target,
        recipient: Recipient,
    ) -> QueueId {
        let queue = self.queue(&target);
        let job = self.job(message, target.transport);
        let peer = self.peer(job, queue);
        let limit = match self.messages[message].single {
            true => 1,
            false => self.transports[target.transport].params.recipient_limit,
        };
        let last = self.peers[peer].todo.back().copied();
        let open = last.filter(|entry| limit == 0 || self.entries[*entry].recipients.len() < limit);
        let entry = open.unwrap_or_else(|| self.new_entry(message, queue, job, peer));
        self.entries[entry].recipients.push(recipient);
        self.jobs[job].recipients += 1;
        self.messages[message].recipients += 1;
        self.recipients += 1;
        queue
    }

    fn new_entry(
        &mut self,
        message: MessageId,
        queue: QueueId,
        job: JobId,
        peer: PeerId,
    ) -> EntryId {
        let entry = self.entries.insert(Entry {
            message,
            queue,
            peer,
            recipients: Vec::new(),
            busy: false,
            cache_load: false,
            cache_store: false,
        });
        self.messages[message].outstanding += 1;
        self.queues[queue].todo += 1;
        self.jobs[job].read += 1;
        self.push_todo(peer, entry);
        entry
    }

    /// Puts an entry behind the others of its peer; the job has something to do then.
    fn push_todo(&mut self, peer_id: PeerId, entry: EntryId) {
        let peer = &mut self.peers[peer_id];
        peer.todo.push_back(entry);
        let (job_id, queue) = (peer.job, peer.queue);
        let first = peer.todo.len() == 1;
        let job = &mut self.jobs[job_id];
        if first {
            job.ready.push_back(peer_id);
        }
        let transport = &mut self.transports[job.transport];
        let tag = transport.blocker_tag;
        if job.blocker_tag == tag && self.queues[queue].blocker_tag != tag {
            job.blocker_tag = 0;
        }
        // The job may stand before the current one, where nobody would look.
        transport.current = None;
        transport.candidate = None;
    }

    fn job(&mut self, message: MessageId, transport: TransportId) -> JobId {
        if let Some(job) = self.messages[message].jobs.get(&transport) {
            return *job;
        }
        let job = self.jobs.insert(Job {
            message,
            transport,
            peers: HashMap::new(),
            ready: VecDeque::new(),
            read: 0,
            selected: 0,
            recipients: 0,
            recipient_limit: 0,
            slots_used: 0,
            slots_available: 0,
            blocker_tag: 0,
            parent: None,
            children: Vec::new(),
            level: 0,
            listed: false,
            previous: None,
            next: None,
        });
        self.messages[message].jobs.insert(transport, job);
        job
    }

    fn peer(&mut self, job: JobId, queue: QueueId) -> PeerId {
        if let Some(peer) = self.jobs[job].peers.get(&queue) {
            return *peer;
        }
        let peer = self.peers.insert(Peer {
            job,
            queue,
            todo: VecDeque::new(),
            busy: 0,
        });
        self.jobs[job].peers.insert(queue, peer);
        self.queues[queue].peers.insert(job, peer);
        peer
    }

    /// Ends a batch of [`Core::assign`] calls: `unread` recipients are left in the file (at least
    /// 1 unless everything was read). Jobs with work take their place in the job lists.
    pub(crate) fn finish_batch(&mut self, message: MessageId, unread: usize) {
        self.messages[message].unread = i64::try_from(unread).unwrap_or(i64::MAX);
        self.messages[message].refilled = self.now;
        let jobs: Vec<JobId> = self.messages[message].jobs.values().copied().collect();
        for job in jobs {
            self.update_unread(job);
            if !self.jobs[job].listed && self.jobs[job].has_entries() {
                self.enlist(job);
            }
        }
        self.release_slots(message);
    }

    /// Whether nothing of this message waits for anything in core.
    pub(crate) fn is_idle(&self, message: MessageId) -> bool {
        self.messages[message].outstanding == 0
    }

    /// A delivery of `entry` ended.
    pub(crate) fn done(&mut self, entry: EntryId, outcome: Outcome) {
        let queue = self.entries[entry].queue;
        let transport = self.queues[queue].transport;
        self.transports[transport].rate_locked = false;
        match outcome {
            Outcome::Good => {
                self.revive_transport(transport);
                self.queue_succeeded(queue);
            }
            Outcome::Site(dsn) => {
                self.revive_transport(transport);
                self.queue_failed(queue, dsn);
            }
            Outcome::Crash(dsn) => self.queue_failed(queue, dsn),
        }
        self.queues[queue].last_done = Some(self.now);
        let (message, count) = self.remove_entry(entry);
        self.suspend_after_delivery(queue);
        self.queue_has_room(queue);
        self.tidy_queue(queue);
        self.recipients_done(message, count, 1);
    }

    /// The recipients of an [`Effect::Defer`] have been reported.
    pub(crate) fn deferred(&mut self, message: MessageId, recipients: usize) {
        self.recipients_done(message, recipients, 1);
    }

    fn recipients_done(&mut self, message_id: MessageId, recipients: usize, outstanding: usize) {
        self.recipients = self.recipients.saturating_sub(recipients);
        let message = &mut self.messages[message_id];
        message.recipients -= i64::try_from(recipients).unwrap_or(0);
        message.outstanding = message.outstanding.saturating_sub(outstanding);
        let idle = message.outstanding == 0;
        self.release_slots(message_id);
        if idle {
            self.effects.push_back(Effect::Idle(message_id));
        }
    }

    /// Takes an entry out of its peer, job and queue; returns the message and the number of
    /// recipients, whose accounts are still to be settled.
    fn remove_entry(&mut self, entry_id: EntryId) -> (MessageId, usize) {
        let Some(entry) = self.entries.remove(entry_id) else {
            panic!("stale entry");
        };
        let count = entry.recipients.len();
        let peer = &mut self.peers[entry.peer];
        let job_id = peer.job;
        if entry.busy {
            peer.busy -= 1;
            self.queues[entry.queue].busy -= 1;
        } else {
            peer.todo.retain(|other| *other != entry_id);
            self.queues[entry.queue].todo -= 1;
            self.jobs[job_id].read -= 1;
        }
        let (no_todo, empty) = (peer.todo.is_empty(), peer.todo.is_empty() && peer.busy == 0);
        let job = &mut self.jobs[job_id];
        if no_todo {
            job.ready.retain(|other| *other != entry.peer);
        }
        job.recipients -= i64::try_from(count).unwrap_or(0);
        if empty {
            job.peers.remove(&entry.queue);
            self.queues[entry.queue].peers.remove(&job_id);
            self.peers.remove(entry.peer);
        }
        self.retire_if_done(job_id);
        (entry.message, count)
    }

    /// Gives an entry back that was picked but not sent.
    pub(crate) fn unpick(&mut self, entry_id: EntryId) {
        let entry = &mut self.entries[entry_id];
        entry.busy = false;
        let (peer, queue) = (entry.peer, entry.queue);
        self.peers[peer].busy -= 1;
        let job = self.peers[peer].job;
        self.queues[queue].busy -= 1;
        self.queues[queue].todo += 1;
        self.jobs[job].selected -= 1;
        self.push_todo(peer, entry_id);
        if !self.jobs[job].listed {
            self.enlist(job);
        }
        self.queue_has_room(queue);
    }

    /// Forgets a message whose entries are all done.
    pub(crate) fn remove_message(&mut self, message_id: MessageId) {
        let jobs: Vec<JobId> = self.messages[message_id].jobs.values().copied().collect();
        self.messages[message_id].unread = 0;
        for job in jobs {
            self.update_unread(job);
            if self.jobs[job].listed {
                self.retire(job);
            }
            self.return_all_slots(job);
            self.jobs.remove(job);
        }
        self.messages.remove(message_id);
    }
}
