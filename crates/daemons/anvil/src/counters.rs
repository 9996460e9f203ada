//! The counters: pure, the clock comes from outside.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use postern_ipc::anvil::LookupReply;
use postern_sys::clock::{LocalTime, local_now};

/// What is counted per time unit besides connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// MAIL commands.
    Message,
    /// RCPT commands.
    Recipient,
    /// TLS handshakes without a cached session.
    NewTls,
    /// AUTH commands.
    Auth,
}

/// One client.
#[derive(Debug, Clone)]
struct Client {
    /// Open connections.
    count: i32,
    /// Connections, then [`Event`]s, in the current unit.
    rates: [i32; 5],
    /// When the current unit began.
    start: Instant,
}

const CONNECTION: usize = 0;
/// What the statistics call the rates.
const NAMES: [&str; 5] = ["connection", "message", "recipient", "newtls", "auth"];

fn index(event: Event) -> usize {
    match event {
        Event::Message => 1,
        Event::Recipient => 2,
        Event::NewTls => 3,
        Event::Auth => 4,
    }
}

/// The largest value since the last report.
#[derive(Debug, Clone, Default)]
struct Peak {
    value: i32,
    ident: Vec<u8>,
    at: Option<LocalTime>,
}

impl Peak {
    fn note(&mut self, value: i32, ident: &[u8]) {
        if value > self.value {
            *self = Self {
                value,
                ident: ident.to_vec(),
                at: Some(local_now()),
            };
        }
    }
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Counters {
    unit: Duration,
    clients: HashMap<Vec<u8>, Client>,
    /// Clients without connection, by the time when they may be forgotten.
    leaving: VecDeque<(Instant, Vec<u8>)>,
    peaks: [Peak; 5],
    peak_count: Peak,
    peak_size: Peak,
}

impl Counters {
    pub(crate) fn new(unit: Duration) -> Self {
        Self {
            unit,
            clients: HashMap::new(),
            leaving: VecDeque::new(),
            peaks: Default::default(),
            peak_count: Peak::default(),
            peak_size: Peak::default(),
        }
    }

    /// The client, with its unit begun anew when it is over.
    fn client(&mut self, ident: &[u8], now: Instant) -> &mut Client {
        if !self.clients.contains_key(ident) {
            self.clients.insert(
                ident.to_vec(),
                Client {
                    count: 0,
                    rates: [0; 5],
                    start: now,
                },
            );
            self.leaving.push_back((now + self.unit, ident.to_vec()));
            let size = i32::try_from(self.clients.len()).unwrap_or(i32::MAX);
            self.peak_size.note(size, b"");
        }
        let unit = self.unit;
        let client = self
            .clients
            .entry(ident.to_vec())
            .or_insert_with(|| Client {
                count: 0,
                rates: [0; 5],
                start: now,
            });
        if now.duration_since(client.start) > unit {
            client.start = now;
            client.rates = [0; 5];
        }
        client
    }

    /// One more connection; returns open connections and connections in this unit.
    pub(crate) fn connect(&mut self, ident: &[u8], now: Instant) -> (i32, i32) {
        let client = self.client(ident, now);
        client.count = client.count.saturating_add(1);
        client.rates[CONNECTION] = client.rates[CONNECTION].saturating_add(1);
        let (count, rate) = (client.count, client.rates[CONNECTION]);
        self.peak_count.note(count, ident);
        self.peaks[CONNECTION].note(rate, ident);
        (count, rate)
    }

    /// One connection less. The rates stay for a unit.
    pub(crate) fn disconnect(&mut self, ident: &[u8], now: Instant) {
        if let Some(client) = self.clients.get_mut(ident) {
            client.count = (client.count - 1).max(0);
            if client.count == 0 {
                self.leaving.push_back((now + self.unit, ident.to_vec()));
            }
        }
    }

    /// One more event; returns how many there are in this unit.
    pub(crate) fn count(&mut self, ident: &[u8], event: Event, now: Instant) -> i32 {
        let rate = &mut self.client(ident, now).rates[index(event)];
        *rate = rate.saturating_add(1);
        let rate = *rate;
        self.peaks[index(event)].note(rate, ident);
        rate
    }

    /// Events in this unit; asks without counting.
    pub(crate) fn rate(&self, ident: &[u8], event: Event, now: Instant) -> i32 {
        self.current(ident, now).1[index(event)]
    }

    fn current(&self, ident: &[u8], now: Instant) -> (i32, [i32; 5]) {
        match self.clients.get(ident) {
            Some(client) if now.duration_since(client.start) <= self.unit => {
                (client.count, client.rates)
            }
            Some(client) => (client.count, [0; 5]),
            None => (0, [0; 5]),
        }
    }

    /// Everything about a client.
    pub(crate) fn lookup(&self, ident: &[u8], now: Instant) -> LookupReply {
        let (count, [rate, mail, rcpt, newtls, auth]) = self.current(ident, now);
        LookupReply {
            status: 0,
            count,
            rate,
            mail,
            rcpt,
            newtls,
            auth,
        }
    }

    /// When [`Counters::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.leaving.front().map(|(when, _)| *when)
    }

    /// Forgets clients that have been silent and gone for a unit.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((when, _)) = self.leaving.front()
            && *when <= now
        {
            let Some((_, ident)) = self.leaving.pop_front() else {
                break;
            };
            let Some(client) = self.clients.get(&ident) else {
                continue;
            };
            if client.count > 0 {
                continue;
            }
            let over = client.start + self.unit;
            if over <= now {
                self.clients.remove(&ident);
            } else {
                self.leaving.push_back((over, ident));
            }
        }
    }

    /// Logs the peaks and begins new ones.
    pub(crate) fn report(&mut self) {
        let seconds = self.unit.as_secs();
        for (name, peak) in NAMES.iter().zip(std::mem::take(&mut self.peaks)) {
            if let Some(line) = peak_line(
                &format!("{name} rate"),
                &format!("/{seconds}s"),
                &peak,
                true,
            ) {
                log::info!("{line}");
            }
            if *name == "connection"
                && let Some(line) = peak_line(
                    "connection count",
                    "",
                    &std::mem::take(&mut self.peak_count),
                    true,
                )
            {
                log::info!("{line}");
            }
        }
        if let Some(line) = peak_line(
            "cache size",
            "",
            &std::mem::take(&mut self.peak_size),
            false,
        ) {
            log::info!("{line}");
        }
    }
}

fn peak_line(what: &str, per: &str, peak: &Peak, with_client: bool) -> Option<String> {
    let at = peak.at.as_ref()?;
    let client = if with_client {
        format!("for ({}) ", String::from_utf8_lossy(&peak.ident))
    } else {
        String::new()
    };
    let time = format!(
        "{} {:2} {:02}:{:02}:{:02}",
        at.month_name(),
        at.day,
        at.hour,
        at.minute,
        at.second
    );
    Some(format!(
        "statistics: max {what} {}{per} {client}at {time}",
        peak.value
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Duration = Duration::from_secs(60);

    #[test]
    fn rates_start_anew_after_a_unit_and_counts_stay() {
        let mut counters = Counters::new(UNIT);
        let start = Instant::now();
        assert_eq!(counters.connect(b"smtp:1", start), (1, 1));
        assert_eq!(counters.connect(b"smtp:1", start + UNIT), (2, 2));
        assert_eq!(
            counters.connect(b"smtp:1", start + UNIT + Duration::from_secs(1)),
            (3, 1)
        );
    }

    #[test]
    fn lookup_shows_every_rate_without_counting() {
        let mut counters = Counters::new(UNIT);
        let now = Instant::now();
        counters.connect(b"x", now);
        counters.count(b"x", Event::Message, now);
        counters.count(b"x", Event::Recipient, now);
        counters.count(b"x", Event::Recipient, now);
        let reply = counters.lookup(b"x", now);
        assert_eq!(
            (
                reply.count,
                reply.rate,
                reply.mail,
                reply.rcpt,
                reply.newtls,
                reply.auth
            ),
            (1, 1, 1, 2, 0, 0)
        );
        assert_eq!(counters.lookup(b"unknown", now).rate, 0);
    }

    #[test]
    fn silent_clients_are_forgotten_and_connected_ones_are_not() {
        let mut counters = Counters::new(UNIT);
        let now = Instant::now();
        counters.connect(b"gone", now);
        counters.disconnect(b"gone", now);
        counters.connect(b"here", now);
        counters.count(b"asked", Event::Auth, now);
        counters.expire(now + UNIT + UNIT);
        let mut left: Vec<&[u8]> = counters.clients.keys().map(Vec::as_slice).collect();
        left.sort_unstable();
        assert_eq!(left, [b"here"]);
    }
}
