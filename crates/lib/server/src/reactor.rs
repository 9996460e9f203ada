//! Descriptors and timers of one event loop, on mio.

use mio::unix::SourceFd;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Names a registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub(crate) usize);

/// Names a pending timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(u64);

/// What to wait for. Events are edge-triggered: read or write until it would block (or until the
/// whole expected message was read) before waiting for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Input, or the peer's end of it.
    Read,
    /// Room for output, or the end of connecting.
    Write,
    /// Both.
    Both,
}

impl Interest {
    fn for_mio(self) -> mio::Interest {
        match self {
            Self::Read => mio::Interest::READABLE,
            Self::Write => mio::Interest::WRITABLE,
            Self::Both => mio::Interest::READABLE | mio::Interest::WRITABLE,
        }
    }
}

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// At a descriptor.
    Ready {
        /// Which.
        token: Token,
        /// Input, end of input, or an error.
        readable: bool,
        /// Room for output, or an error.
        writable: bool,
    },
    /// A timer ran out; it is gone now.
    Timer(TimerId),
}

/// The descriptors and timers that an event loop watches.
#[derive(Debug)]
pub struct Reactor {
    poll: mio::Poll,
    events: mio::Events,
    next_token: usize,
    timers: BTreeSet<(Instant, u64)>,
    deadlines: HashMap<u64, Instant>,
    next_timer: u64,
}

impl Reactor {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: mio::Poll::new()?,
            events: mio::Events::with_capacity(256),
            next_token: 0,
            timers: BTreeSet::new(),
            deadlines: HashMap::new(),
            next_timer: 0,
        })
    }

    /// Watches a descriptor. Deregister it before it is closed or given away.
    pub fn register(&mut self, fd: &impl AsFd, interest: Interest) -> io::Result<Token> {
        let token = Token(self.next_token);
        self.next_token += 1;
        let raw = fd.as_fd().as_raw_fd();
        self.poll.registry().register(
            &mut SourceFd(&raw),
            mio::Token(token.0),
            interest.for_mio(),
        )?;
        Ok(token)
    }

    /// Changes what a watched descriptor waits for. A condition that already holds is reported again.
    pub fn reregister(
        &mut self,
        token: Token,
        fd: &impl AsFd,
        interest: Interest,
    ) -> io::Result<()> {
        let raw = fd.as_fd().as_raw_fd();
        self.poll.registry().reregister(
            &mut SourceFd(&raw),
            mio::Token(token.0),
            interest.for_mio(),
        )
    }

    /// Stops watching a descriptor.
    pub fn deregister(&mut self, fd: &impl AsFd) -> io::Result<()> {
        let raw = fd.as_fd().as_raw_fd();
        self.poll.registry().deregister(&mut SourceFd(&raw))
    }

    /// Starts a timer that fires once.
    pub fn set_timer(&mut self, after: Duration) -> TimerId {
        self.set_timer_at(Instant::now() + after)
    }

    /// Starts a timer that fires once, at `when`.
    pub fn set_timer_at(&mut self, when: Instant) -> TimerId {
        let id = self.next_timer;
        self.next_timer += 1;
        self.timers.insert((when, id));
        self.deadlines.insert(id, when);
        TimerId(id)
    }

    /// Stops a timer; nothing happens when it has fired already.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        if let Some(when) = self.deadlines.remove(&timer.0) {
            self.timers.remove(&(when, timer.0));
        }
    }

    /// Waits, at most `longest`, and adds what happened to `happened`: descriptors first.
    pub fn wait(&mut self, longest: Option<Duration>, happened: &mut Vec<Event>) -> io::Result<()> {
        let now = Instant::now();
        let until_timer = self
            .timers
            .first()
            .map(|(when, _)| when.saturating_duration_since(now));
        let timeout = match (longest, until_timer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        happened.extend(self.events.iter().map(|event| Event::Ready {
            token: Token(event.token().0),
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
        }));
        self.events.clear();
        self.take_due(happened);
        Ok(())
    }

    fn take_due(&mut self, happened: &mut Vec<Event>) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((when, id)) = self.timers.first().copied() {
            if when > now {
                break;
            }
            self.timers.remove(&(when, id));
            self.deadlines.remove(&id);
            happened.push(Event::Timer(TimerId(id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_and_due_timers_are_reported_once() {
        let mut reactor = Reactor::new().unwrap();
        let (mut far, near) = UnixStream::pair().unwrap();
        let token = reactor.register(&near, Interest::Read).unwrap();
        far.write_all(b"x").unwrap();
        let late = reactor.set_timer(Duration::from_secs(3600));
        let gone = reactor.set_timer(Duration::ZERO);
        let due = reactor.set_timer(Duration::ZERO);
        reactor.cancel_timer(gone);
        let mut happened = Vec::new();
        reactor.wait(None, &mut happened).unwrap();
        assert_eq!(
            happened,
            [
                Event::Ready {
                    token,
                    readable: true,
                    writable: false
                },
                Event::Timer(due)
            ]
        );
        happened.clear();
        reactor.wait(Some(Duration::ZERO), &mut happened).unwrap();
        assert_eq!(happened, []);
        reactor.reregister(token, &near, Interest::Read).unwrap();
        reactor.wait(Some(Duration::ZERO), &mut happened).unwrap();
        assert_eq!(
            happened.len(),
            1,
            "unread input is reported again after reregister"
        );
        reactor.cancel_timer(late);
        reactor.deregister(&near).unwrap();
    }
}
