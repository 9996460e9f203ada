//! Destinations: throttling, suspension, room for more deliveries.

use super::*;
use bstr::ByteSlice;

/// A delivery that ended within this time makes the next one a candidate for a cached connection.
const CACHE_WINDOW: Duration = Duration::from_secs(1);

impl Core {
    /// Finds or makes the queue of a target.
    pub(super) fn queue(&mut self, target: &Target) -> QueueId {
        let transport = &self.transports[target.transport];
        if let Some(queue) = transport.queues.get(&target.queue_name) {
            return *queue;
        }
        let window = Window::new(&transport.params.window);
        let queue = self.queues.insert(Queue {
            transport: target.transport,
            name: target.queue_name.clone(),
            nexthop: target.nexthop.clone(),
            state: QueueState::Ready,
            timer: None,
            window,
            todo: 0,
            busy: 0,
            peers: HashMap::new(),
            blocker_tag: 0,
            cache_load: false,
            cache_store: false,
            last_done: None,
            clog_warned: None,
        });
        let name = target.queue_name.clone();
        self.transports[target.transport].queues.insert(name, queue);
        queue
    }

    /// The queue of this name, if there is one.
    pub(crate) fn find_queue(&self, transport: TransportId, name: &[u8]) -> Option<QueueId> {
        let queues = &self.transports[transport].queues;
        queues.get(name.as_bstr()).copied()
    }

    /// Why this destination is not tried now.
    pub(crate) fn queue_trouble(&self, transport: TransportId, name: &[u8]) -> Option<&Dsn> {
        match &self.queues[self.find_queue(transport, name)?].state {
            QueueState::Throttled(dsn) => Some(dsn),
            _ => None,
        }
    }

    pub(super) fn queue_succeeded(&mut self, id: QueueId) {
        if matches!(self.queues[id].state, QueueState::Throttled(_)) {
            self.revive_queue(id);
            return;
        }
        let queue = &mut self.queues[id];
        let params = &self.transports[queue.transport].params.window;
        queue.window.succeed(params, queue.busy);
    }

    pub(super) fn queue_failed(&mut self, id: QueueId, dsn: Dsn) {
        let queue = &mut self.queues[id];
        if queue.state != QueueState::Ready {
            return;
        }
        let params = &self.transports[queue.transport].params.window;
        if queue.window.fail(params) {
            self.throttle_queue(id, dsn);
        }
    }

    /// The destination is dead: what waits for it is deferred.
    fn throttle_queue(&mut self, id: QueueId, dsn: Dsn) {
        let queue = &mut self.queues[id];
        queue.cache_load = false;
        queue.cache_store = false;
        queue.state = QueueState::Throttled(dsn.clone());
        let timer = self.set_timer(self.limits.minimal_backoff, Timer::ReviveQueue(id));
        self.queues[id].timer = Some(timer);
        self.defer_queue(id, &dsn);
    }

    /// Moves all entries that wait in a queue to the retry service.
    pub(super) fn defer_queue(&mut self, id: QueueId, dsn: &Dsn) {
        let mut peers: Vec<PeerId> = self.queues[id].peers.values().copied().collect();
        // In the order of the messages, for the log.
        peers.sort_by_key(|peer| {
            let message = &self.messages[self.jobs[self.peers[*peer].job].message];
            (message.queued, message.sequence)
        });
        for peer in peers {
            let Some(peer) = self.peers.get(peer) else {
                continue;
            };
            for entry in peer.todo.clone() {
                self.defer_entry(entry, dsn);
            }
        }
    }

    fn defer_entry(&mut self, entry_id: EntryId, dsn: &Dsn) {
        let entry = &mut self.entries[entry_id];
        let message = entry.message;
        let recipients = std::mem::take(&mut entry.recipients);
        let count = recipients.len();
        // The recipients leave their job, but not the message.
        self.jobs[self.peers[entry.peer].job].recipients -= i64::try_from(count).unwrap_or(0);
        self.messages[message].recipients -= i64::try_from(count).unwrap_or(0);
        self.recipients -= count;
        let from = self.queues[entry.queue].transport;
        let retry = self.retry_target(dsn);
        let usable = retry.filter(|target| target.transport != from);
        match usable {
            Some(target) => {
                for recipient in recipients {
                    self.assign(message, target.clone(), recipient);
                }
                let job = self.job(message, target.transport);
                if !self.jobs[job].listed {
                    self.enlist(job);
                }
            }
            None => self.defer_directly(message, recipients, dsn.clone()),
        }
        self.remove_entry(entry_id);
        self.messages[message].outstanding -= 1;
    }

    /// The retry service with the reason as its next hop, unless it is in trouble itself.
    pub(crate) fn retry_target(&mut self, dsn: &Dsn) -> Option<Target> {
        let nexthop: BString = [&dsn.status[..], b" ", &dsn.reason[..]].concat().into();
        let transport = self.transport(RETRY_SERVICE);
        let queue_name: BString = nexthop.to_ascii_lowercase().into();
        if self.transports[transport].dead.is_some()
            || self.queue_trouble(transport, &queue_name).is_some()
        {
            return None;
        }
        Some(Target {
            transport,
            queue_name,
            nexthop,
        })
    }

    /// Has the engine report recipients as deferred, because no agent can.
    pub(crate) fn defer_directly(
        &mut self,
        message: MessageId,
        recipients: Vec<Recipient>,
        dsn: Dsn,
    ) {
        self.recipients += recipients.len();
        self.messages[message].recipients += i64::try_from(recipients.len()).unwrap_or(0);
        self.messages[message].outstanding += 1;
        self.effects.push_back(Effect::Defer {
            message,
            recipients,
            dsn,
        });
    }

    /// The destination may be tried again.
    pub(crate) fn revive_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        if !matches!(queue.state, QueueState::Throttled(_)) {
            return;
        }
        let params = &self.transports[queue.transport].params.window;
        queue.state = QueueState::Ready;
        queue.window.reset(params, queue.busy);
        let timer = queue.timer.take();
        self.cancel_timer(timer);
        self.queue_has_room(id);
        self.tidy_queue(id);
    }

    /// Starts the pause after a delivery of a destination with a rate delay.
    pub(super) fn suspend_after_delivery(&mut self, id: QueueId) {
        let queue = &mut self.queues[id];
        let delay = self.transports[queue.transport]
            .params
            .destination_rate_delay;
        if delay.is_zero() || queue.state != QueueState::Ready {
            return;
        }
        queue.state = QueueState::Suspended;
        self.set_timer(delay, Timer::ResumeQueue(id));
    }

    pub(super) fn resume_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        if queue.state != QueueState::Suspended {
            return;
        }
        queue.state = QueueState::Ready;
        queue.window.size = 1;
        self.queue_has_room(id);
        self.tidy_queue(id);
    }

    /// Lets the scheduler look again at jobs that waited for this queue.
    pub(super) fn queue_has_room(&mut self, id: QueueId) {
        let queue = &self.queues[id];
        let transport = &mut self.transports[queue.transport];
        if queue.blocker_tag == transport.blocker_tag && queue.has_room() {
            transport.blocker_tag += 2;
            transport.current = None;
        }
    }

    /// Forgets a queue that has nothing to do. A dead one is kept for its state, unless there are
    /// too many.
    pub(super) fn tidy_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get(id) else {
            return;
        };
        if queue.todo > 0 || queue.busy > 0 {
            return;
        }
        let crowded = self.queues.len() > 2 * self.limits.recipients;
        match queue.state {
            QueueState::Ready => {}
            QueueState::Throttled(_) if crowded => {}
            _ => return,
        }
        let Some(queue) = self.queues.remove(id) else {
            return;
        };
        self.cancel_timer(queue.timer);
        self.transports[queue.transport].queues.remove(&queue.name);
    }

    /// Forgets all dead transports and destinations.
    pub(crate) fn forget_trouble(&mut self) {
        for transport in self.transports.ids() {
            self.revive_transport(transport);
        }
        for queue in self.queues.ids() {
            self.revive_queue(queue);
        }
    }

    /// Decides whether the next request may use cached connections.
    pub(super) fn cache_flags(&mut self, id: QueueId) -> (bool, bool) {
        let queue = &mut self.queues[id];
        let recent = queue
            .last_done
            .is_some_and(|done| self.now.saturating_duration_since(done) <= CACHE_WINDOW);
        if !queue.cache_store {
            if recent {
                queue.cache_load = true;
                queue.cache_store = true;
            }
        } else if queue.busy <= 1 && !recent {
            // The entry being picked is counted as busy already.
            queue.cache_store = false;
        }
        (queue.cache_load, queue.cache_store)
    }
}

impl Queue {
    /// Whether another delivery may start.
    pub(super) fn has_room(&self) -> bool {
        self.state == QueueState::Ready && self.window.size > self.busy
    }

    pub(super) fn set_blocked(&mut self, tag: u64) {
        self.blocker_tag = tag;
    }
}
