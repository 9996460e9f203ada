//! Delivery services: which one needs another agent, and which one is out of order.

use super::*;

/// Agents of one transport that may be in the state of being connected.
const PENDING_LIMIT: i32 = 2;

impl Core {
    /// Finds or makes a transport.
    pub(crate) fn transport(&mut self, name: &str) -> TransportId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let params = (self.params)(name);
        let id = self.transports.insert(Transport {
            name: name.to_owned(),
            free_slots: params.recipient_slots,
            params,
            dead: None,
            timer: None,
            pending: 0,
            rate_locked: false,
            queues: HashMap::new(),
            head: None,
            tail: None,
            current: None,
            unread: BTreeMap::new(),
            blocker_tag: 1,
            candidate: None,
        });
        self.by_name.insert(name.to_owned(), id);
        self.rotation.push_back(id);
        id
    }

    /// A transport that has more work than agents under way; it counts one more agent as pending.
    /// [`Core::connected`] or [`Core::throttle_transport`] follows.
    pub(crate) fn select_transport(&mut self) -> Option<TransportId> {
        let at = self.rotation.iter().position(|id| self.needs_agent(*id))?;
        let id = self.rotation.remove(at)?;
        self.rotation.push_back(id);
        self.transports[id].pending += 1;
        Some(id)
    }

    fn needs_agent(&self, id: TransportId) -> bool {
        let transport = &self.transports[id];
        if transport.dead.is_some()
            || transport.rate_locked
            || transport.pending >= PENDING_LIMIT
            || transport.head.is_none()
        {
            return false;
        }
        let mut need = transport.pending + 1;
        for queue in transport.queues.values() {
            let queue = &self.queues[*queue];
            if queue.has_room() {
                need -= (queue.window.size - queue.busy).min(queue.todo);
                if need <= 0 {
                    return true;
                }
            }
        }
        false
    }

    /// An agent is ready: gives it an entry, or `None` when there is nothing left to do.
    pub(crate) fn connected(&mut self, id: TransportId, refill: Refill<'_>) -> Option<EntryId> {
        self.agent_left(id);
        // What came from this transport while it was dead was moved to others.
        if self.transports[id].dead.is_some() {
            return None;
        }
        self.pick(id, refill)
    }

    /// One agent less is being connected.
    pub(crate) fn agent_left(&mut self, id: TransportId) {
        let transport = &mut self.transports[id];
        transport.pending = (transport.pending - 1).max(0);
    }

    /// The service does not work: what waits for it is deferred, and it is left alone for a while.
    pub(crate) fn throttle_transport(&mut self, id: TransportId, dsn: Dsn) {
        self.transports[id].rate_locked = false;
        if self.transports[id].dead.is_none() {
            self.transports[id].dead = Some(dsn.clone());
            let timer = self.set_timer(self.limits.transport_retry, Timer::ReviveTransport(id));
            self.transports[id].timer = Some(timer);
        }
        let queues: Vec<QueueId> = self.transports[id].queues.values().copied().collect();
        for queue in queues {
            self.defer_queue(queue, &dsn);
            self.tidy_queue(queue);
        }
    }

    /// The service may be tried again.
    pub(crate) fn revive_transport(&mut self, id: TransportId) {
        let transport = &mut self.transports[id];
        if transport.dead.take().is_some() {
            let timer = transport.timer.take();
            self.cancel_timer(timer);
        }
    }
}

impl Transport {
    /// Destinations in core.
    pub(crate) fn queue_count(&self) -> usize {
        self.queues.len()
    }
}
