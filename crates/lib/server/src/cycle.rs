//! When a process ends by itself: idle time and use count.

use crate::Limits;
use std::time::{Duration, Instant};

/// Counts clients and idle time.
#[derive(Debug)]
pub(crate) struct Cycle {
    limits: Limits,
    used: u32,
    since: Instant,
    idle_since: Instant,
}

impl Cycle {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            used: 0,
            since: Instant::now(),
            idle_since: Instant::now(),
        }
    }

    /// A client (or request) was served.
    pub(crate) fn served(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    /// The process ends with the client that it serves now.
    pub(crate) fn serve_one_only(&mut self) {
        self.limits.max_use = 1;
        self.used = 1;
    }

    /// Idle time starts now.
    pub(crate) fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Whether the process has served enough, or for long enough.
    pub(crate) fn is_worn_out(&self) -> bool {
        let retired = self.service_left().is_some_and(|left| left.is_zero());
        retired || (self.limits.max_use > 0 && self.used >= self.limits.max_use)
    }

    fn service_left(&self) -> Option<Duration> {
        let limit = self.limits.retire?;
        Some(limit.saturating_sub(self.since.elapsed()))
    }

    /// Whether the process has been idle for too long.
    pub(crate) fn is_idle_too_long(&self) -> bool {
        self.idle_left().is_some_and(|left| left.is_zero())
    }

    /// How long the process may go on idling; `None` is for ever.
    pub(crate) fn idle_left(&self) -> Option<Duration> {
        let limit = self.limits.max_idle;
        let idle = (!limit.is_zero()).then(|| limit.saturating_sub(self.idle_since.elapsed()));
        idle.into_iter().chain(self.service_left()).min()
    }

    /// The longest sleep of a main loop: the watchdog must see it turn.
    pub(crate) fn longest_sleep(&self) -> Duration {
        (self.limits.watchdog / 4).clamp(Duration::from_millis(500), Duration::from_secs(600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_use: u32, max_idle: u64) -> Limits {
        Limits {
            max_use,
            max_idle: Duration::from_secs(max_idle),
            retire: None,
            watchdog: Duration::from_secs(18000),
            client_timeout: Duration::ZERO,
        }
    }

    #[test]
    fn zero_means_no_limit() {
        let mut cycle = Cycle::new(limits(0, 0));
        (0..1000).for_each(|_| cycle.served());
        assert!(!cycle.is_worn_out());
        assert_eq!(cycle.idle_left(), None);
        let mut cycle = Cycle::new(limits(2, 100));
        cycle.served();
        assert!(!cycle.is_worn_out());
        cycle.served();
        assert!(cycle.is_worn_out());
        assert!(!cycle.is_idle_too_long());
        let retire = |retire| {
            Cycle::new(Limits {
                retire: Some(retire),
                ..limits(0, 0)
            })
        };
        assert!(!retire(Duration::from_secs(1000)).is_worn_out());
        let retired = retire(Duration::ZERO);
        assert!(retired.is_worn_out() && retired.is_idle_too_long());
    }
}
