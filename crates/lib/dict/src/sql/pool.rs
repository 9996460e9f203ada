//! The servers of one table: which is asked, which is down, and for how long a connection may idle.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::OpenError;
use crate::client_config::ClientConfig;

/// A server that failed is left alone for this long, unless the table says otherwise.
pub(super) const RETRY_INTERVAL: i32 = 60;
/// A connection that was not used for this long is not used again, unless the table says otherwise.
pub(super) const IDLE_INTERVAL: i32 = 60;
/// A connection used this recently is taken to be there still; looking costs a system call.
const RECENTLY: Duration = Duration::from_millis(20);
/// Bytes of one answer: what MariaDB's library takes at most, and what PostgreSQL has for one value.
pub(super) const LARGEST_ANSWER: usize = 1 << 30;

/// A number of seconds of the table, at least 1.
pub(super) fn interval(
    file: &ClientConfig<'_>,
    parameter: &str,
    default: i32,
) -> Result<Duration, OpenError> {
    let seconds = file.int(parameter, default, Some(1), None)?;
    Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))
}

/// How long a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connecting, encryption and login together.
    pub(super) connect: Duration,
    /// A question, until the whole answer is there.
    pub(super) answer: Duration,
}

impl Limits {
    /// What every table allows.
    pub(super) const USUAL: Self = Self {
        connect: Duration::from_secs(10),
        answer: Duration::from_secs(30),
    };
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is gone or out of step.
    Lost(String),
    /// The server took too long: it is not asked again soon.
    Late(String),
    /// The rest of the answer is still on its way, and nobody wants it: the connection is given up.
    Spoilt(String),
    /// The server is well and does not like the question.
    Refused(String),
    /// The question cannot be asked of this kind of server.
    Unsafe(String),
}

impl Failure {
    fn text(&self) -> &str {
        match self {
            Self::Lost(text)
            | Self::Late(text)
            | Self::Spoilt(text)
            | Self::Refused(text)
            | Self::Unsafe(text) => text,
        }
    }
}

/// A login at a server.
pub(super) trait Session: Send + Sized {
    /// Where and how to log in.
    type Target: Send;
    /// Logs in at the server that the table names `label`, within its limit. The error is a line for
    /// the log.
    fn connect(target: &Self::Target, label: &str) -> Result<Self, String>;
    /// Whether the server has closed the connection, as far as that is known without waiting.
    fn is_stale(&self) -> bool;
}

/// Servers of a better class are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Unix,
    Inet,
    Uri,
}

enum State<S> {
    Unused,
    Up { session: S, since: Instant },
    Down { since: Instant },
}

/// One server.
struct Host<S: Session> {
    label: String,
    class: Class,
    target: S::Target,
    state: State<S>,
}

/// A server did not answer; the reason is logged.
struct Failed;

/// The servers of a table.
pub(super) struct Pool<S: Session> {
    hosts: Vec<Host<S>>,
    retry: Duration,
    idle: Duration,
}

impl<S: Session> Pool<S> {
    /// A pool of servers as the table lists them.
    pub(super) fn new(retry: Duration, idle: Duration) -> Self {
        Self {
            hosts: Vec::new(),
            retry,
            idle,
        }
    }

    /// Adds a server; `label` is how the table names it.
    pub(super) fn add(&mut self, label: String, class: Class, target: S::Target) {
        self.hosts.push(Host {
            label,
            class,
            target,
            state: State::Unused,
        });
    }

    /// Asks one server after the other until one answers. Failures are logged.
    ///
    /// # Errors
    ///
    /// What to say to whom the answer is due.
    pub(super) fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut S) -> Result<T, Failure>,
    ) -> Result<T, &'static str> {
        let mut tried = vec![false; self.hosts.len()];
        let mut why = "no server is available";
        while let Some(index) = self.choose(&tried) {
            if let Some(mark) = tried.get_mut(index) {
                *mark = true;
            }
            match self.ask_host(index, &mut question) {
                Ok(answer) => return Ok(answer),
                Err(Failed) => why = "Application error",
            }
        }
        Err(why)
    }

    /// A server of the best class: one that is connected, else one that may be.
    fn choose(&self, tried: &[bool]) -> Option<usize> {
        let now = Instant::now();
        let may = |is_up: bool| {
            let found = self.hosts.iter().enumerate().filter(move |(index, host)| {
                let fits = match &host.state {
                    State::Up { .. } => is_up,
                    State::Unused => !is_up,
                    State::Down { since } => !is_up && now.duration_since(*since) >= self.retry,
                };
                fits && tried.get(*index) == Some(&false)
            });
            let best = found.clone().map(|(_, host)| host.class).min()?;
            let equal: Vec<usize> = found
                .filter(|(_, host)| host.class == best)
                .map(|(index, _)| index)
                .collect();
            equal.get(random_below(equal.len())).copied()
        };
        may(true).or_else(|| may(false))
    }

    fn ask_host<T>(
        &mut self,
        index: usize,
        question: &mut impl FnMut(&mut S) -> Result<T, Failure>,
    ) -> Result<T, Failed> {
        let idle = self.idle;
        let host = self.hosts.get_mut(index).ok_or(Failed)?;
        let known = match std::mem::replace(&mut host.state, State::Unused) {
            State::Up { session, since } if is_usable(&session, since.elapsed(), idle) => {
                Some(session)
            }
            // What cannot be used again ends before there is a new one: each server has one connection at most.
            _ => None,
        };
        let mut is_fresh = known.is_none();
        let mut session = match known {
            Some(session) => session,
            None => host.connect()?,
        };
        loop {
            let failure = match question(&mut session) {
                Ok(answer) => {
                    host.use_again(session);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            log::warn!("{}", failure.text());
            match failure {
                Failure::Refused(_) | Failure::Unsafe(_) => {
                    host.use_again(session);
                    return Err(Failed);
                }
                Failure::Spoilt(_) => return Err(Failed),
                // A restarted server ends old connections; that says nothing about new ones.
                Failure::Lost(_) if !is_fresh => {
                    drop(session);
                    session = host.connect()?;
                    is_fresh = true;
                }
                Failure::Lost(_) | Failure::Late(_) => {
                    host.leave();
                    return Err(Failed);
                }
            }
        }
    }
}

impl<S: Session> Host<S> {
    /// The failure is logged.
    fn connect(&mut self) -> Result<S, Failed> {
        S::connect(&self.target, &self.label).map_err(|line| {
            log::warn!("{line}");
            self.leave();
            Failed
        })
    }

    fn use_again(&mut self, session: S) {
        let since = Instant::now();
        self.state = State::Up { session, since };
    }

    fn leave(&mut self) {
        let since = Instant::now();
        self.state = State::Down { since };
    }
}

/// Whether a connection that was not used for `unused` can be used again.
fn is_usable(session: &impl Session, unused: Duration, idle: Duration) -> bool {
    unused < RECENTLY || (unused < idle && !session.is_stale())
}

/// A random number below `count`.
fn random_below(count: usize) -> usize {
    // A freshly seeded hasher is the standard library's only source of random numbers.
    let random = RandomState::new().build_hasher().finish();
    let count = u64::try_from(count).unwrap_or(1).max(1);
    usize::try_from(random % count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What the servers of a test are to do, and what was asked of them.
    #[derive(Default)]
    struct Script {
        /// Sessions that exist, and the most there were at a time.
        open: (usize, usize),
        refuses_login: Vec<usize>,
        stale: Vec<usize>,
        logins: Vec<usize>,
    }

    type Target = (usize, Arc<Mutex<Script>>);

    struct Fake(Target);

    impl Session for Fake {
        type Target = Target;
        fn connect((number, script): &Target, _: &str) -> Result<Self, String> {
            let mut state = script.lock().unwrap();
            state.logins.push(*number);
            if state.refuses_login.contains(number) {
                return Err("refused".to_owned());
            }
            state.open.0 += 1;
            state.open.1 = state.open.1.max(state.open.0);
            drop(state);
            Ok(Self((*number, Arc::clone(script))))
        }
        fn is_stale(&self) -> bool {
            self.0.1.lock().unwrap().stale.contains(&self.0.0)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let mut script = self.0.1.lock().unwrap();
            script.open.0 = script.open.0.saturating_sub(1);
        }
    }

    #[test]
    fn a_server_never_has_two_connections() {
        let (mut pool, script) = pool(&[Class::Inet], 60);
        for round in 0..6 {
            let mut lost = round % 2 == 0;
            script.lock().unwrap().stale = if round % 3 == 0 { vec![0] } else { Vec::new() };
            let answer = pool.ask(|_| {
                if std::mem::take(&mut lost) {
                    return Err(Failure::Lost("gone".to_owned()));
                }
                Ok(())
            });
            // The first connection is fresh: a failure on it says that the server is down.
            assert_eq!(answer.is_ok(), round > 0);
            pool.retry = Duration::ZERO;
        }
        assert_eq!(script.lock().unwrap().open, (1, 1));
    }

    fn pool(classes: &[Class], retry: u64) -> (Pool<Fake>, Arc<Mutex<Script>>) {
        let script = Arc::new(Mutex::new(Script::default()));
        let mut pool = Pool::new(Duration::from_secs(retry), Duration::from_secs(60));
        for (number, class) in classes.iter().enumerate() {
            pool.add(number.to_string(), *class, (number, Arc::clone(&script)));
        }
        (pool, script)
    }

    #[test]
    fn sockets_are_preferred_and_connections_are_kept() {
        let (mut pool, script) = pool(&[Class::Inet, Class::Uri, Class::Unix, Class::Inet], 60);
        for _ in 0..5 {
            assert_eq!(pool.ask(|session| Ok(session.0.0)), Ok(2));
        }
        assert_eq!(script.lock().unwrap().logins, [2]);
    }

    #[test]
    fn a_server_that_is_down_is_asked_again_only_after_the_retry_interval() {
        let (mut first, script) = pool(&[Class::Unix, Class::Inet], 60);
        script.lock().unwrap().refuses_login = vec![0];
        assert_eq!(first.ask(|session| Ok(session.0.0)), Ok(1));
        assert_eq!(first.ask(|session| Ok(session.0.0)), Ok(1));
        assert_eq!(script.lock().unwrap().logins, [0, 1]);
        let (mut second, script) = pool(&[Class::Inet], 60);
        script.lock().unwrap().refuses_login = vec![0];
        assert_eq!(second.ask(|_| Ok(())), Err("Application error"));
        assert_eq!(second.ask(|_| Ok(())), Err("no server is available"));
        assert_eq!(script.lock().unwrap().logins, [0]);
        let (mut third, script) = pool(&[Class::Inet], 0);
        script.lock().unwrap().refuses_login = vec![0];
        assert!(third.ask(|_| Ok(())).is_err() && third.ask(|_| Ok(())).is_err());
        assert_eq!(script.lock().unwrap().logins, [0, 0]);
    }

    #[test]
    fn an_old_connection_may_be_lost_once_and_a_stale_one_is_not_asked() {
        let (mut pool, script) = pool(&[Class::Inet], 60);
        assert_eq!(pool.ask(|_| Ok(1)), Ok(1));
        let mut answers = vec![Ok(2), Err(Failure::Lost("gone".to_owned()))];
        assert_eq!(pool.ask(|_| answers.pop().unwrap()), Ok(2));
        assert_eq!(script.lock().unwrap().logins, [0, 0]);
        script.lock().unwrap().stale = vec![0];
        let session = Fake((0, Arc::clone(&script)));
        let is_there = |unused| {
            is_usable(
                &session,
                Duration::from_millis(unused),
                Duration::from_secs(60),
            )
        };
        assert!(is_there(1) && !is_there(1000));
        script.lock().unwrap().stale.clear();
        assert!(is_there(1000) && !is_there(60_000));
        pool.hosts[0].state = State::Unused;
        assert_eq!(pool.ask(|_| Ok(3)), Ok(3));
        assert_eq!(script.lock().unwrap().logins, [0, 0, 0]);
        // A connection that is lost at once is the server's fault.
        let lost = |_: &mut Fake| Err::<(), _>(Failure::Lost("gone".to_owned()));
        assert_eq!(pool.ask(lost), Err("Application error"));
        assert_eq!(pool.ask(lost), Err("no server is available"));
    }

    #[test]
    fn a_late_server_costs_its_time_once_and_a_bad_question_takes_no_server_down() {
        let (mut pool, script) = pool(&[Class::Inet, Class::Inet], 60);
        let mut asked = 0;
        let late = pool.ask(|_| {
            asked += 1;
            Err::<(), _>(Failure::Late("late".to_owned()))
        });
        assert_eq!((late, asked), (Err("Application error"), 2));
        assert!(pool.ask(|_| Ok(())).is_err());
        assert_eq!(script.lock().unwrap().logins.len(), 2);
        let (mut pool, script) = self::pool(&[Class::Inet], 60);
        for _ in 0..3 {
            let refused = pool.ask(|_| Err::<(), _>(Failure::Refused("syntax".to_owned())));
            assert_eq!(refused, Err("Application error"));
        }
        assert_eq!(pool.ask(|_| Ok(())), Ok(()));
        assert_eq!(script.lock().unwrap().logins, [0]);
    }
}
