//! The two maps: destinations to endpoints, endpoints to connections.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bstr::BString;
use postern_sys::clock::local_now;

/// Entries that end within this time are dropped together: looking through all takes a while.
const EXPIRY_STEP: Duration = Duration::from_millis(100);
/// Connections that are kept at most; more are closed at once, which a client must expect anyway.
const CONNECTION_LIMIT: usize = 5_000;

#[derive(Debug)]
struct Connection {
    property: BString,
    connection: OwnedFd,
    until: Instant,
}

#[derive(Debug)]
struct Destination {
    property: BString,
    endpoint: BString,
    until: Instant,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The oldest connection of each endpoint comes first, and is used first.
    endpoints: HashMap<BString, VecDeque<Connection>>,
    destinations: HashMap<BString, Vec<Destination>>,
    count: usize,
    /// When to look for entries that are over; not after the first of them.
    next_expiry: Option<Instant>,
}

impl Connections {
    /// Keeps a connection to an endpoint.
    pub(crate) fn save_endpoint(
        &mut self,
        label: BString,
        property: BString,
        connection: OwnedFd,
        until: Instant,
    ) {
        if self.count >= CONNECTION_LIMIT {
            return;
        }
        self.count += 1;
        self.note_expiry(until);
        self.endpoints
            .entry(label)
            .or_default()
            .push_back(Connection {
                property,
                connection,
                until,
            });
    }

    /// Binds a destination to an endpoint.
    pub(crate) fn save_destination(
        &mut self,
        label: BString,
        property: BString,
        endpoint: BString,
        until: Instant,
    ) {
        if self.destinations.len() >= CONNECTION_LIMIT && !self.destinations.contains_key(&label) {
            return;
        }
        self.note_expiry(until);
        let list = self.destinations.entry(label).or_default();
        list.retain(|old| old.endpoint != endpoint || old.property != property);
        if list.len() < CONNECTION_LIMIT {
            list.push(Destination {
                property,
                endpoint,
                until,
            });
        }
    }

    /// Takes a connection to an endpoint out.
    pub(crate) fn find_endpoint(
        &mut self,
        label: &BString,
        now: Instant,
    ) -> Option<(BString, OwnedFd)> {
        let list = self.endpoints.get_mut(label)?;
        let mut found = None;
        while found.is_none()
            && let Some(oldest) = list.pop_front()
        {
            self.count -= 1;
            found = Some(oldest).filter(|oldest| oldest.until > now);
        }
        if list.is_empty() {
            self.endpoints.remove(label);
        }
        found.map(|found| (found.property, found.connection))
    }

    /// Takes a connection of a destination out: of the first endpoint that has one.
    pub(crate) fn find_destination(
        &mut self,
        label: &BString,
        now: Instant,
    ) -> Option<(BString, BString, OwnedFd)> {
        let candidates: Vec<(BString, BString)> = self
            .destinations
            .get(label)?
            .iter()
            .filter(|entry| entry.until > now)
            .map(|entry| (entry.property.clone(), entry.endpoint.clone()))
            .collect();
        candidates.into_iter().find_map(|(property, endpoint)| {
            let (endpoint_property, connection) = self.find_endpoint(&endpoint, now)?;
            Some((property, endpoint_property, connection))
        })
    }

    /// When [`Connections::expire`] is to be called.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    fn note_expiry(&mut self, until: Instant) {
        self.next_expiry = Some(self.next_expiry.map_or(until, |next| next.min(until)));
    }

    /// Closes and forgets what is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        self.endpoints.retain(|_, list| {
            list.retain(|entry| entry.until > now);
            !list.is_empty()
        });
        self.destinations.retain(|_, list| {
            list.retain(|entry| entry.until > now);
            !list.is_empty()
        });
        self.count = self.endpoints.values().map(VecDeque::len).sum();
        let endpoints = self.endpoints.values().flatten().map(|entry| entry.until);
        let destinations = self.destinations.values().flatten();
        let first = endpoints.chain(destinations.map(|entry| entry.until)).min();
        self.next_expiry = first.map(|first| first.max(now + EXPIRY_STEP));
    }
}

/// Counts since the last report.
#[derive(Debug)]
pub(crate) struct Statistics {
    start: String,
    endpoint: Hits,
    destination: Hits,
    domains: usize,
    addresses: usize,
    connections: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hits {
    hits: u64,
    misses: u64,
}

impl Hits {
    fn note(&mut self, hit: bool) {
        if hit {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
    }

    fn line(self, what: &str) -> Option<String> {
        let total = self.hits + self.misses;
        let percent = (self.hits * 100).checked_div(total)?;
        let Self { hits, misses } = self;
        Some(format!(
            "statistics: {what} lookup hits={hits} miss={misses} success={percent}%"
        ))
    }
}

impl Statistics {
    pub(crate) fn new() -> Self {
        let now = local_now();
        Self {
            start: format!(
                "{} {:2} {:02}:{:02}:{:02}",
                now.month_name(),
                now.day,
                now.hour,
                now.minute,
                now.second
            ),
            endpoint: Hits::default(),
            destination: Hits::default(),
            domains: 0,
            addresses: 0,
            connections: 0,
        }
    }

    pub(crate) fn note_endpoint(&mut self, hit: bool) {
        self.endpoint.note(hit);
    }

    pub(crate) fn note_destination(&mut self, hit: bool) {
        self.destination.note(hit);
    }

    pub(crate) fn note_sizes(&mut self, connections: &Connections) {
        self.domains = self.domains.max(connections.destinations.len());
        self.addresses = self.addresses.max(connections.endpoints.len());
        self.connections = self.connections.max(connections.count);
    }

    /// Logs what happened, if anything, and begins anew.
    pub(crate) fn report(&mut self) {
        let fresh = Self::new();
        let old = std::mem::replace(self, fresh);
        let lookups = [old.destination.line("domain"), old.endpoint.line("address")];
        if lookups.iter().all(Option::is_none) && old.connections == 0 {
            return;
        }
        log::info!("statistics: start interval {}", old.start);
        for line in lookups.into_iter().flatten() {
            log::info!("{line}");
        }
        let (domains, addresses, count) = (old.domains, old.addresses, old.connections);
        if count > 0 {
            log::info!(
                "statistics: max simultaneous domains={domains} addresses={addresses} connection={count}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn descriptor() -> OwnedFd {
        postern_sys::socket::pair().expect("a socket pair").0
    }

    #[test]
    fn connection_is_found_once_by_its_destination() {
        let mut kept = Connections::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(2);
        kept.save_endpoint("endpoint".into(), "e".into(), descriptor(), until);
        kept.save_destination("dest".into(), "d".into(), "other".into(), until);
        kept.save_destination("dest".into(), "d".into(), "endpoint".into(), until);
        let found = kept.find_destination(&"dest".into(), now);
        assert!(matches!(found, Some((d, e, _)) if d == "d" && e == "e"));
        assert!(kept.find_destination(&"dest".into(), now).is_none());
        assert_eq!(kept.count, 0);
    }

    #[test]
    fn the_oldest_connection_is_used_first_and_entries_end_in_groups() {
        let mut kept = Connections::default();
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        kept.save_endpoint("a".into(), "1".into(), descriptor(), at(1000));
        kept.save_endpoint("a".into(), "2".into(), descriptor(), at(1010));
        kept.save_endpoint("a".into(), "3".into(), descriptor(), at(2000));
        assert_eq!(
            kept.find_endpoint(&"a".into(), now).map(|found| found.0),
            Some("1".into())
        );
        kept.expire(at(1000));
        assert_eq!((kept.count, kept.next_expiry()), (2, Some(at(1100))));
        kept.expire(at(1100));
        assert_eq!((kept.count, kept.next_expiry()), (1, Some(at(2000))));
    }

    #[test]
    fn entries_end_with_their_time() {
        let mut kept = Connections::default();
        let now = Instant::now();
        kept.save_endpoint(
            "a".into(),
            "".into(),
            descriptor(),
            now + Duration::from_secs(1),
        );
        kept.save_endpoint(
            "a".into(),
            "late".into(),
            descriptor(),
            now + Duration::from_secs(3),
        );
        assert_eq!(kept.next_expiry(), Some(now + Duration::from_secs(1)));
        let found = kept.find_endpoint(&"a".into(), now + Duration::from_secs(2));
        assert!(matches!(found, Some((property, _)) if property == "late"));
        assert!(
            kept.find_endpoint(&"a".into(), now + Duration::from_secs(2))
                .is_none()
        );
        assert_eq!(kept.count, 0);
        kept.expire(now + Duration::from_secs(2));
        assert_eq!(kept.next_expiry(), None);
    }
}
