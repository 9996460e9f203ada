//! The two maps: destinations to endpoints, endpoints to connections.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use bstr::BString;
use postern_sys::clock::local_now;

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
    endpoints: HashMap<BString, Vec<Connection>>,
    destinations: HashMap<BString, Vec<Destination>>,
    count: usize,
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
        self.endpoints.entry(label).or_default().push(Connection {
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
        self.expire(now);
        let list = self.endpoints.get_mut(label)?;
        let found = list.pop()?;
        if list.is_empty() {
            self.endpoints.remove(label);
        }
        self.count -= 1;
        Some((found.property, found.connection))
    }

    /// Takes a connection of a destination out: of the first endpoint that has one.
    pub(crate) fn find_destination(
        &mut self,
        label: &BString,
        now: Instant,
    ) -> Option<(BString, BString, OwnedFd)> {
        self.expire(now);
        let candidates: Vec<(BString, BString)> = self
            .destinations
            .get(label)?
            .iter()
            .map(|entry| (entry.property.clone(), entry.endpoint.clone()))
            .collect();
        candidates.into_iter().find_map(|(property, endpoint)| {
            let (endpoint_property, connection) = self.find_endpoint(&endpoint, now)?;
            Some((property, endpoint_property, connection))
        })
    }

    /// When the next entry ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let endpoints = self.endpoints.values().flatten().map(|entry| entry.until);
        let destinations = self
            .destinations
            .values()
            .flatten()
            .map(|entry| entry.until);
        endpoints.chain(destinations).min()
    }

    /// Closes and forgets what is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.endpoints.retain(|_, list| {
            list.retain(|entry| entry.until > now);
            !list.is_empty()
        });
        self.destinations.retain(|_, list| {
            list.retain(|entry| entry.until > now);
            !list.is_empty()
        });
        self.count = self.endpoints.values().map(Vec::len).sum();
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
        assert_eq!(kept.next_expiry(), None);
    }
}
