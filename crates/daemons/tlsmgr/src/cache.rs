//! A session cache in memory: bounded in count, size and age.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bstr::BString;

/// Most sessions that are kept; the oldest goes first.
const COUNT_LIMIT: usize = 20_000;
/// Largest session.
pub(crate) const VALUE_LIMIT: usize = 64 * 1024;
/// Longest session name.
const NAME_LIMIT: usize = 4096;

struct Entry {
    session: Vec<u8>,
    stored: Instant,
}

/// Sessions by name.
pub(crate) struct Cache {
    timeout: Duration,
    value_limit: usize,
    entries: HashMap<BString, Entry>,
    /// Names by the time they were stored; may hold names that were deleted or stored again.
    order: VecDeque<(Instant, BString)>,
}

impl Cache {
    /// Sessions live for `timeout`; larger ones than `value_limit` bytes are not kept.
    pub(crate) fn new(timeout: Duration, value_limit: usize) -> Self {
        Self {
            timeout,
            value_limit,
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// A session that is young enough.
    pub(crate) fn lookup(&mut self, name: &BString, now: Instant) -> Option<Vec<u8>> {
        self.expire(now);
        self.entries.get(name).map(|entry| entry.session.clone())
    }

    /// Keeps a session; false when it is too large.
    pub(crate) fn update(&mut self, name: BString, session: Vec<u8>, now: Instant) -> bool {
        if name.len() > NAME_LIMIT || session.len() > self.value_limit {
            return false;
        }
        self.expire(now);
        while self.entries.len() >= COUNT_LIMIT {
            self.drop_oldest();
        }
        self.order.push_back((now, name.clone()));
        self.entries.insert(
            name,
            Entry {
                session,
                stored: now,
            },
        );
        true
    }

    /// Forgets a session; false when there was none.
    pub(crate) fn delete(&mut self, name: &BString) -> bool {
        self.entries.remove(name).is_some()
    }

    fn expire(&mut self, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(stored, _)| now.duration_since(*stored) > self.timeout)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((stored, name)) = self.order.pop_front() else {
            self.entries.clear();
            return;
        };
        // A name that was stored again is in the order again, further back.
        if self
            .entries
            .get(&name)
            .is_some_and(|entry| entry.stored == stored)
        {
            self.entries.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_live_for_their_time_and_storing_again_renews_them() {
        let mut cache = Cache::new(Duration::from_secs(10), 100);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(cache.update("a".into(), vec![1], at(0)));
        assert!(cache.update("b".into(), vec![2], at(0)));
        assert!(cache.update("a".into(), vec![3], at(8)));
        assert_eq!(cache.lookup(&"b".into(), at(10)), Some(vec![2]));
        assert_eq!(cache.lookup(&"b".into(), at(11)), None);
        assert_eq!(cache.lookup(&"a".into(), at(11)), Some(vec![3]));
        assert!(cache.delete(&"a".into()));
        assert!(!cache.delete(&"a".into()));
    }

    #[test]
    fn count_and_size_are_bounded() {
        let mut cache = Cache::new(Duration::from_secs(10), 4);
        let now = Instant::now();
        assert!(!cache.update("big".into(), vec![0; 5], now));
        for number in 0..=COUNT_LIMIT {
            assert!(cache.update(number.to_string().into(), vec![0], now));
        }
        assert_eq!(cache.entries.len(), COUNT_LIMIT);
        assert_eq!(cache.lookup(&"0".into(), now), None);
    }
}
