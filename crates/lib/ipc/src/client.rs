//! Connecting to a service: the three kinds of clients that Postfix has.
//!
//! One-shot commands ([`one_shot`]: bounce, defer, trace, flush), connect-and-wait
//! ([`connect_wait`]: cleanup) and persistent connections ([`Persistent`]: rewrite, proxymap, verify, anvil, scache).
//! Source: ipc.md §2.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use postern_attr::{AttrError, Encoding, Extra};
use postern_wire::Channel;
use serde::{Serialize, de::DeserializeOwned};

use crate::Announcement;

/// Directory classes of service sockets below the queue directory.
pub const PUBLIC: &str = "public";
/// See [`PUBLIC`].
pub const PRIVATE: &str = "private";

/// Tries of a connect-and-wait client before it gives up.
const CONNECT_TRIES: u32 = 10;
/// Pause between two such tries.
const CONNECT_PAUSE: Duration = Duration::from_secs(10);

/// Tries of a client that can put off what it does.
const PATIENCE: u32 = 10;

/// Why a service did not answer. The caller decides whether that is fatal, a retry or a 4xx.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket could not be connected.
    #[error("connect to {path}: {}", postern_sys::error_text(.source))]
    Connect {
        /// `CLASS/NAME`.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The exchange failed; `PATH` is `CLASS/NAME socket`.
    #[error("{}", .error.warning(.path).unwrap_or_else(|| format!("premature end-of-input from {}", .path)))]
    Exchange {
        /// `CLASS/NAME socket`.
        path: String,
        /// What was wrong with it.
        error: AttrError,
    },
    /// The announcement named another protocol.
    #[error("unexpected protocol {got} from {path} (expected: {want})")]
    Protocol {
        /// `CLASS/NAME socket`.
        path: String,
        /// What was announced.
        got: String,
        /// What this client speaks.
        want: &'static str,
    },
}

/// Address of a service socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Queue directory; empty for a process whose working directory it is.
    pub queue_directory: PathBuf,
    /// `public` or `private`.
    pub class: &'static str,
    /// Service name.
    pub name: String,
}

impl Endpoint {
    /// A socket relative to the working directory, as daemons use it.
    pub fn new(class: &'static str, name: &str) -> Self {
        Self {
            queue_directory: PathBuf::new(),
            class,
            name: name.to_owned(),
        }
    }

    /// A socket below `queue_directory`, as commands use it.
    pub fn below(queue_directory: impl Into<PathBuf>, class: &'static str, name: &str) -> Self {
        Self {
            queue_directory: queue_directory.into(),
            class,
            name: name.to_owned(),
        }
    }

    /// `CLASS/NAME`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.class, self.name)
    }

    /// Path of the socket.
    pub fn path(&self) -> PathBuf {
        self.queue_directory.join(self.class).join(&self.name)
    }

    /// Connects once; reads and writes then time out after `timeout`.
    pub fn connect(&self, timeout: Duration) -> Result<Channel, ClientError> {
        let mut channel = postern_wire::connect_unix(&self.path(), timeout).map_err(|source| {
            ClientError::Connect {
                path: self.label(),
                source,
            }
        })?;
        channel.set_timeout(timeout);
        Ok(channel)
    }
}

/// Sends one list and flushes.
pub fn send<T: Serialize>(
    channel: &mut Channel,
    at: &Endpoint,
    encoding: Encoding,
    list: &T,
) -> Result<(), ClientError> {
    let exchange = |error| ClientError::Exchange {
        path: format!("{} socket", at.label()),
        error,
    };
    postern_attr::write(channel, encoding, list).map_err(exchange)?;
    channel
        .flush()
        .map_err(|error| exchange(AttrError::Io(error)))
}

/// Reads one list.
pub fn receive<T: DeserializeOwned>(
    channel: &mut Channel,
    at: &Endpoint,
    encoding: Encoding,
    extra: Extra,
) -> Result<T, ClientError> {
    postern_attr::read(channel, encoding, extra).map_err(|error| ClientError::Exchange {
        path: format!("{} socket", at.label()),
        error,
    })
}

/// Reads the server's announcement and checks it.
pub fn expect_protocol(
    channel: &mut Channel,
    at: &Endpoint,
    encoding: Encoding,
    want: &'static str,
) -> Result<(), ClientError> {
    let greeting: Announcement = receive(channel, at, encoding, Extra::Refuse)?;
    check_protocol(at, greeting.protocol, want)
}

/// Compares an announced protocol with the wanted one.
pub fn check_protocol(at: &Endpoint, got: String, want: &'static str) -> Result<(), ClientError> {
    if got == want {
        return Ok(());
    }
    Err(ClientError::Protocol {
        path: format!("{} socket", at.label()),
        got,
        want,
    })
}

/// Connects, sends one request, reads one reply and closes.
pub fn one_shot<Q: Serialize, R: DeserializeOwned>(
    at: &Endpoint,
    timeout: Duration,
    protocol: &'static str,
    request: &Q,
) -> Result<R, ClientError> {
    let mut channel = at.connect(timeout)?;
    expect_protocol(&mut channel, at, Encoding::Null, protocol)?;
    send(&mut channel, at, Encoding::Null, request)?;
    receive(&mut channel, at, Encoding::Null, Extra::Refuse)
}

/// Connects, waiting for a service that is not there yet: up to ten tries ten seconds apart.
///
/// # Errors
///
/// The failure of the last try; Postfix's programs end then with `fatal: connect #11 to subsystem …`.
pub fn connect_wait(at: &Endpoint, timeout: Duration) -> Result<Channel, ClientError> {
    let mut tries = 0;
    loop {
        let error = match at.connect(timeout) {
            Ok(channel) => return Ok(channel),
            Err(error) => error,
        };
        tries += 1;
        if tries > CONNECT_TRIES {
            return Err(error);
        }
        if let ClientError::Connect { path, source } = &error {
            log::warn!(
                "connect #{tries} to subsystem {path}: {}",
                postern_sys::error_text(source)
            );
        }
        sleep(CONNECT_PAUSE);
    }
}

/// A connection that is kept for many requests in lock step and reopened when it went away.
#[derive(Debug)]
pub struct Persistent {
    at: Endpoint,
    protocol: &'static str,
    encoding: Encoding,
    timeout: Duration,
    /// Longest idle time and longest age of a connection; `None` is no limit.
    limits: Option<(Duration, Duration)>,
    open: Option<Open>,
    /// When [`Persistent::ask_patiently`] last gave up.
    gave_up: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    channel: Channel,
    since: Instant,
    last: Instant,
}

impl Persistent {
    /// A client of `protocol` at `at`; `limits` are `ipc_idle` and `ipc_ttl`.
    pub fn new(
        at: Endpoint,
        protocol: &'static str,
        encoding: Encoding,
        timeout: Duration,
        limits: Option<(Duration, Duration)>,
    ) -> Self {
        Self {
            at,
            protocol,
            encoding,
            timeout,
            limits,
            open: None,
            gave_up: None,
        }
    }

    /// Where this client connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.at
    }

    /// The open channel, for exchanges that pass descriptors between lists.
    ///
    /// # Errors
    ///
    /// When it must be connected first and that fails.
    pub fn channel(&mut self) -> Result<&mut Channel, ClientError> {
        let now = Instant::now();
        let stale = self.open.as_ref().is_some_and(|open| {
            let expired = self
                .limits
                .is_some_and(|(idle, age)| now - open.last > idle || now - open.since > age);
            expired || open.channel.is_closed_by_peer()
        });
        if stale {
            self.open = None;
        }
        if self.open.is_none() {
            let mut channel = self.at.connect(self.timeout)?;
            expect_protocol(&mut channel, &self.at, self.encoding, self.protocol)?;
            self.open = Some(Open {
                channel,
                since: now,
                last: now,
            });
        }
        match &mut self.open {
            Some(open) => {
                open.last = now;
                Ok(&mut open.channel)
            }
            None => unreachable!("connected above"),
        }
    }

    /// Forgets the connection.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// One request and its reply; the connection is dropped on failure.
    pub fn ask<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        extra: Extra,
    ) -> Result<R, ClientError> {
        let result = self.try_ask(request, extra);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn try_ask<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        extra: Extra,
    ) -> Result<R, ClientError> {
        let (at, encoding) = (self.at.clone(), self.encoding);
        let channel = self.channel()?;
        send(channel, &at, encoding, request)?;
        receive(channel, &at, encoding, extra)
    }

    /// As [`Persistent::ask`], but goes on until the service answers: a warning from the second failure
    /// on and a pause of a second between tries. For services without which nothing can go on.
    pub fn ask_forever<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        extra: Extra,
    ) -> R {
        let mut failures = 0;
        loop {
            match self.ask(request, extra) {
                Ok(reply) => return reply,
                Err(error) => self.rest(&mut failures, &error),
            }
        }
    }

    /// As [`Persistent::ask_forever`], but gives up in the end: for programs that can put off what they
    /// do. A service that starts anew, or has no process free for a moment, makes no difference. When it
    /// has given up just before, it asks only once: all the work that waits would take too long.
    ///
    /// # Errors
    ///
    /// The failure of the last try.
    pub fn ask_patiently<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        extra: Extra,
    ) -> Result<R, ClientError> {
        let (begin, mut failures) = (Instant::now(), 0);
        let hopeless = self
            .gave_up
            .is_some_and(|when| when.elapsed() < CONNECT_PAUSE);
        loop {
            let error = match self.ask(request, extra) {
                Ok(reply) => {
                    self.gave_up = None;
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let over = begin.elapsed() >= self.timeout.max(CONNECT_PAUSE);
            if hopeless || over || failures >= PATIENCE {
                self.gave_up = Some(Instant::now());
                log::warn!("problem talking to service {}: {error}", self.at.name);
                return Err(error);
            }
            self.rest(&mut failures, &error);
        }
    }

    fn rest(&self, failures: &mut u32, error: &ClientError) {
        *failures += 1;
        if *failures > 1 {
            log::warn!("problem talking to service {}: {error}", self.at.name);
        }
        sleep(Duration::from_secs(1));
    }

    /// As [`Persistent::ask`], twice with a second between; for services that are only an aid
    /// (anvil, tlsmgr, scache).
    pub fn ask_twice<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        extra: Extra,
    ) -> Result<R, ClientError> {
        let first = self.ask(request, extra);
        let Err(error) = first else { return first };
        log::warn!("problem talking to server {}: {error}", self.at.label());
        sleep(Duration::from_secs(1));
        self.ask(request, extra)
    }
}

/// Whether unread bytes wait in a channel's buffer (a look-ahead for lists that go on).
pub fn next_byte(channel: &mut Channel) -> std::io::Result<Option<u8>> {
    Ok(channel.fill_buf()?.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_service_that_says_nothing_is_given_up_after_the_timeout() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(PRIVATE)).unwrap();
        let at = Endpoint::below(directory.path(), PRIVATE, "silent");
        let _listener = UnixListener::bind(at.path()).unwrap();
        let timeout = Duration::from_millis(20);
        let mut client = Persistent::new(at, "p", Encoding::Null, timeout, None);
        let request = Announcement::new("request");
        let asked: Result<Announcement, _> = client.ask(&request, Extra::Refuse);
        assert_eq!(
            asked.unwrap_err().to_string(),
            "timeout on private/silent socket while reading input attribute name"
        );
        client.gave_up = Some(Instant::now());
        let asked: Result<Announcement, _> = client.ask_patiently(&request, Extra::Refuse);
        assert!(asked.is_err());
    }
}
