//! The job list of a transport: order, preemption, recipient slots, and picking the next entry.
//!
//! Jobs stand in the order in which their messages came. A small job may overtake the current,
//! large one, when the large one has been served long enough to pay for it: then it stands
//! directly before that job, as its child. Source: delivery.md §1.8 and §1.9.

use super::*;

impl Job {
    pub(super) fn has_entries(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl Core {
    fn has_unread(&self, job: JobId) -> bool {
        self.messages[self.jobs[job].message].unread > 0
    }

    /// Keeps the transport's index of jobs that want recipient slots.
    pub(super) fn update_unread(&mut self, id: JobId) {
        let job = &self.jobs[id];
        let message = &self.messages[job.message];
        let key = (message.queued, message.sequence);
        let waiting = job.listed && message.unread > 0;
        let index = &mut self.transports[job.transport].unread;
        if waiting {
            index.insert(key, id);
        } else {
            index.remove(&key);
        }
    }

    /// Puts a job into the list, behind those whose messages came before.
    pub(super) fn enlist(&mut self, id: JobId) {
        let transport = self.jobs[id].transport;
        let key = self.age_key(id);
        let mut before = self.transports[transport].tail;
        while let Some(other) = before {
            if self.jobs[other].level == 0 && self.age_key(other) <= key {
                break;
            }
            before = self.jobs[other].previous;
        }
        self.link_after(id, before);
        self.transports[transport].current = None;
        self.update_unread(id);
        let pool = std::mem::take(&mut self.transports[transport].free_slots);
        if pool > 0 {
            self.lend(id, pool);
        } else {
            self.transports[transport].free_slots = pool;
        }
    }

    fn age_key(&self, job: JobId) -> (Instant, u64) {
        let message = &self.messages[self.jobs[job].message];
        (message.queued, message.sequence)
    }

    fn link_after(&mut self, id: JobId, before: Option<JobId>) {
        let transport = self.jobs[id].transport;
        let after = match before {
            Some(before) => self.jobs[before].next.replace(id),
            None => self.transports[transport].head.replace(id),
        };
        match after {
            Some(after) => self.jobs[after].previous = Some(id),
            None => self.transports[transport].tail = Some(id),
        }
        let job = &mut self.jobs[id];
        (job.previous, job.next, job.listed) = (before, after, true);
        self.transports[transport].candidate = None;
    }

    fn unlink(&mut self, id: JobId) {
        let job = &mut self.jobs[id];
        let (before, after, transport) = (job.previous.take(), job.next.take(), job.transport);
        job.listed = false;
        match before {
            Some(before) => self.jobs[before].next = after,
            None => self.transports[transport].head = after,
        }
        match after {
            Some(after) => self.jobs[after].previous = before,
            None => self.transports[transport].tail = before,
        }
        let transport = &mut self.transports[transport];
        if transport.current == Some(id) {
            transport.current = after;
        }
        transport.candidate = None;
    }

    /// Takes a job out of the list when nothing of it is left to pick or to read.
    pub(super) fn retire_if_done(&mut self, id: JobId) {
        if self.jobs[id].listed && !self.jobs[id].has_entries() && !self.has_unread(id) {
            self.retire(id);
        }
    }

    pub(super) fn retire(&mut self, id: JobId) {
        self.leave_stack(id);
        self.unlink(id);
        self.update_unread(id);
        let job = &mut self.jobs[id];
        (job.slots_used, job.slots_available) = (0, 0);
    }

    /// Ends a job's precedence: the job that it overtook pays what was really used, and takes over
    /// those that overtook this one.
    fn leave_stack(&mut self, id: JobId) {
        let job = &mut self.jobs[id];
        let children = std::mem::take(&mut job.children);
        let (parent, used, transport) = (job.parent.take(), job.slots_used, job.transport);
        job.level = 0;
        if let Some(parent) = parent {
            let cost = self.transports[transport].params.slot_cost;
            let parent = &mut self.jobs[parent];
            parent.slots_available -= used * cost;
            parent.children.retain(|child| *child != id);
            parent.children.extend(&children);
        }
        for child in children {
            self.jobs[child].parent = parent;
            self.lower(child);
            if parent.is_none() {
                // Back to the order of time.
                self.unlink(child);
                let before = self.place_by_age(child);
                self.link_after(child, before);
            }
        }
    }

    fn place_by_age(&self, id: JobId) -> Option<JobId> {
        let key = self.age_key(id);
        let mut before = self.transports[self.jobs[id].transport].tail;
        while let Some(other) = before {
            if self.jobs[other].level == 0 && self.age_key(other) <= key {
                break;
            }
            before = self.jobs[other].previous;
        }
        before
    }

    fn lower(&mut self, root: JobId) {
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            let job = &mut self.jobs[id];
            job.level = job.level.saturating_sub(1);
            open.extend(&job.children);
        }
    }

    fn is_blocker(&self, id: JobId) -> bool {
        let job = &self.jobs[id];
        job.blocker_tag == self.transports[job.transport].blocker_tag
    }

    /// Chooses the next entry of a transport and makes it busy.
    pub(super) fn pick(&mut self, transport: TransportId, refill: Refill<'_>) -> Option<EntryId> {
        let list = &self.transports[transport];
        let mut next = list.current.or(list.head);
        while let Some(job) = next.filter(|job| self.is_blocker(*job)) {
            next = self.jobs[job].next;
        }
        let first = next?;
        let mut job = Some(self.preempt(transport, first).unwrap_or(first));
        while let Some(id) = job {
            if !self.is_blocker(id)
                && let Some(entry) = self.pick_from(id, refill)
            {
                return Some(entry);
            }
            // The refill may have moved jobs, but never removes one from the list.
            job = self.jobs[id].next;
            if self.jobs[id].has_entries() {
                self.block(id);
            } else {
                self.retire_if_done(id);
            }
        }
        None
    }

    fn pick_from(&mut self, id: JobId, refill: Refill<'_>) -> Option<EntryId> {
        let message = self.jobs[id].message;
        if self.refill_due(id) {
            refill(self, message);
        }
        if let Some(peer) = self.peer_with_room(id) {
            return Some(self.pick_entry(id, peer));
        }
        let stuck = self.has_unread(id) && self.free_slots_of(message) > 0;
        if !stuck || self.messages[message].outstanding == 0 {
            return None;
        }
        refill(self, message);
        let peer = self.peer_with_room(id)?;
        Some(self.pick_entry(id, peer))
    }

    fn refill_due(&self, id: JobId) -> bool {
        let job = &self.jobs[id];
        let message = &self.messages[job.message];
        if message.unread == 0 || message.outstanding == 0 {
            return false;
        }
        let params = &self.transports[job.transport].params;
        let free = message.recipient_limit - message.recipients;
        free >= params.refill_limit
            || (free > 0
                && self.now.saturating_duration_since(message.refilled) >= params.refill_delay)
    }

    fn peer_with_room(&self, id: JobId) -> Option<PeerId> {
        let ready = self.jobs[id].ready.iter();
        let mut ready = ready.filter(|peer| self.queues[self.peers[**peer].queue].has_room());
        ready.next().copied()
    }

    fn pick_entry(&mut self, job_id: JobId, peer_id: PeerId) -> EntryId {
        let peer = &mut self.peers[peer_id];
        let Some(entry_id) = peer.todo.pop_front() else {
            panic!("a ready peer has no entry");
        };
        peer.busy += 1;
        let (queue, left) = (peer.queue, !peer.todo.is_empty());
        self.queues[queue].todo -= 1;
        self.queues[queue].busy += 1;
        let job = &mut self.jobs[job_id];
        job.ready.retain(|other| *other != peer_id);
        if left {
            job.ready.push_back(peer_id);
        }
        job.selected += 1;
        job.slots_used += 1;
        job.slots_available += 1;
        self.transports[job.transport].current = Some(job_id);
        let (load, store) = self.cache_flags(queue);
        let entry = &mut self.entries[entry_id];
        entry.busy = true;
        (entry.cache_load, entry.cache_store) = (load, store);
        self.retire_if_done(job_id);
        entry_id
    }

    /// Marks a job whose queues are all full, so that it is not looked at again until one of them
    /// has room.
    fn block(&mut self, id: JobId) {
        let tag = self.transports[self.jobs[id].transport].blocker_tag;
        self.jobs[id].blocker_tag = tag;
        let queues: Vec<QueueId> = self.jobs[id]
            .ready
            .iter()
            .map(|peer| self.peers[*peer].queue)
            .collect();
        for queue in queues {
            self.queues[queue].set_blocked(tag);
        }
    }

    /// Entries that a job has or may get.
    fn max_entries(&self, id: JobId) -> i64 {
        let job = &self.jobs[id];
        job.read + self.messages[job.message].unread
    }

    /// Lets a smaller job overtake `current`, if there is one that `current` has paid for.
    fn preempt(&mut self, transport: TransportId, current: JobId) -> Option<JobId> {
        let params = &self.transports[transport].params;
        let (cost, loan, discount) = (params.slot_cost, params.slot_loan, params.slot_discount);
        if cost < 2
            || self.jobs[current].slots_available <= 0
            || self.max_entries(current) < params.minimum_slots * cost
        {
            return None;
        }
        let candidate = self.candidate(transport, current)?;
        let needed = self.max_entries(candidate) - self.jobs[candidate].selected;
        if self.jobs[current].slots_available / cost + loan < needed * (100 - discount) / 100 {
            return None;
        }
        self.leave_stack(candidate);
        self.unlink(candidate);
        let before = self.jobs[current].previous;
        self.link_after(candidate, before);
        self.jobs[current].slots_available -= needed * cost;
        self.jobs[current].children.push(candidate);
        let level = self.jobs[current].level + 1;
        let job = &mut self.jobs[candidate];
        (job.parent, job.level, job.slots_used) = (Some(current), level, -needed);
        self.transports[transport].current = Some(candidate);
        if self.has_unread(candidate) {
            let transport = &mut self.transports[transport];
            let lent = (transport.params.extra_slots + transport.free_slots + 1) / 2;
            transport.free_slots -= lent;
            self.lend(candidate, lent);
        }
        self.update_unread(candidate);
        Some(candidate)
    }

    /// The job behind `current` that has waited longest for its size and is small enough.
    fn candidate(&mut self, transport: TransportId, current: JobId) -> Option<JobId> {
        if let Some((of, best, when)) = self.transports[transport].candidate
            && of == current
            && self.now.saturating_duration_since(when) < Duration::from_secs(1)
        {
            return best;
        }
        let params = &self.transports[transport].params;
        let job = &self.jobs[current];
        let room = (job.read - job.selected + job.slots_available) / params.slot_cost;
        let mut best: Option<(f64, JobId)> = None;
        let mut next = job.next;
        while let Some(id) = next {
            let job = &self.jobs[id];
            next = job.next;
            let queued = self.messages[job.message].queued;
            let delay = self.now.saturating_duration_since(queued).as_secs_f64() + 1.0;
            if job.level == 0 && best.is_some_and(|(score, _)| delay <= score) {
                break;
            }
            let max = self.max_entries(id);
            let needed = max - job.selected;
            if self.is_blocker(id) || !job.children.is_empty() || needed <= 0 || needed > room {
                continue;
            }
            let score = delay / f64::from(i32::try_from(max).unwrap_or(i32::MAX));
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, id));
            }
        }
        let best = best.map(|(_, id)| id);
        self.transports[transport].candidate = Some((current, best, self.now));
        best
    }

    fn lend(&mut self, job: JobId, slots: i64) {
        self.jobs[job].recipient_limit += slots;
        self.messages[self.jobs[job].message].recipient_limit += slots;
    }

    /// Returns the unused slots of a message that is read to its end; they go to the oldest job
    /// that still has something to read.
    pub(super) fn release_slots(&mut self, message: MessageId) {
        if self.messages[message].unread > 0 {
            return;
        }
        let jobs: Vec<JobId> = self.messages[message].jobs.values().copied().collect();
        for id in jobs {
            let job = &self.jobs[id];
            let unused = (job.recipient_limit - job.recipients).min(self.free_slots_of(message));
            if unused > 0 {
                let transport = self.jobs[id].transport;
                self.lend(id, -unused);
                self.transports[transport].free_slots += unused;
                self.hand_out(transport);
            }
        }
    }

    /// Takes everything back from a job that goes away.
    pub(super) fn return_all_slots(&mut self, id: JobId) {
        let (lent, transport) = (self.jobs[id].recipient_limit, self.jobs[id].transport);
        self.lend(id, -lent);
        self.transports[transport].free_slots += lent;
        self.hand_out(transport);
    }

    fn hand_out(&mut self, transport: TransportId) {
        let list = &mut self.transports[transport];
        if list.free_slots <= 0 {
            return;
        }
        if let Some(oldest) = list.unread.values().next().copied() {
            let slots = std::mem::take(&mut list.free_slots);
            self.lend(oldest, slots);
        }
    }
}
