//! The servers of a connection string: which can answer, which are down, and for how long.
//!
//! Tables with the same string share all this. A server that fails costs its time once and is then left
//! alone for a while. Members of a replica set are found through those that are known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::seeds;
use super::session::{Failure, MOST_MEMBERS, Question, Role, Session};
use super::uri::{Host, Preference, Seeds, Uri};

/// After this time, a member of a set is asked again what it is.
const NEWS: Duration = Duration::from_secs(10);
/// As [`NEWS`], for one that did not suit.
const BAD_NEWS: Duration = Duration::from_millis(500);
/// A connection that was not used for this long is not used again.
const IDLE: Duration = Duration::from_secs(60);

/// When all are down, or none suits.
const NONE: &str = "no server is available";

/// One server.
struct Server {
    host: Host,
    session: Option<Box<Session>>,
    /// When the session was used last.
    used: Instant,
    down_since: Option<Instant>,
    /// What it was when it said so last.
    role: Option<Role>,
}

impl Server {
    /// Leaves it alone for a while.
    fn leave(&mut self) {
        self.down_since = Some(Instant::now());
        self.role = None;
    }
}

/// The servers of a connection string.
pub(super) struct Cluster {
    uri: Uri,
    servers: Vec<Server>,
    /// Who is the primary, as another member says.
    hint: Option<Host>,
    /// When the names of servers could not be found.
    unnamed_since: Option<Instant>,
}

/// Which roles are good enough.
type Suits = fn(Role) -> bool;

fn writes(role: Role) -> bool {
    matches!(role, Role::Alone | Role::Router | Role::Primary)
}

fn only_reads(role: Role) -> bool {
    matches!(role, Role::Alone | Role::Router | Role::Secondary)
}

fn answers(role: Role) -> bool {
    role != Role::Useless
}

/// What is looked for, first and then, for a preference.
fn wishes(preference: Preference) -> &'static [Suits] {
    match preference {
        Preference::Primary => &[writes],
        Preference::PrimaryPreferred => &[writes, answers],
        Preference::Secondary => &[only_reads],
        Preference::SecondaryPreferred => &[only_reads, answers],
        Preference::Nearest => &[answers],
    }
}

/// How asking one server went.
enum Visit {
    Answer(Option<Vec<u8>>),
    /// Its role does not suit.
    Unsuitable,
    /// Another server may do better; logged.
    Failed,
    /// Every server would say the same.
    Refused(String),
}

type Shared = Arc<Mutex<Cluster>>;

static CLUSTERS: Mutex<Option<HashMap<String, Shared>>> = Mutex::new(None);

/// The servers for the string `text`, which means `uri`; nobody is connected yet.
pub(super) fn shared(text: &str, uri: Uri) -> Shared {
    let mut all = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let clusters = all.get_or_insert_with(HashMap::new);
    clusters
        .entry(text.to_owned())
        .or_insert_with(|| Arc::new(Mutex::new(Cluster::new(uri))))
        .clone()
}

impl Cluster {
    /// The servers of `uri`.
    pub(super) fn new(uri: Uri) -> Self {
        let mut cluster = Self {
            uri,
            servers: Vec::new(),
            hint: None,
            unnamed_since: None,
        };
        if let Seeds::Hosts(hosts) = &cluster.uri.seeds {
            for host in hosts.clone() {
                cluster.add(host);
            }
        }
        cluster
    }

    /// Asks one server after the other until one answers with the last document that it finds.
    /// Failures are logged.
    ///
    /// # Errors
    ///
    /// What to say to whom the answer is due.
    pub(super) fn find_last(
        &mut self,
        table: &str,
        question: &Question<'_>,
    ) -> Result<Option<Vec<u8>>, String> {
        let end = Instant::now() + self.uri.selection_limit;
        self.name_servers(table)?;
        let mut why = NONE;
        let mut has_unsuitable = false;
        for suits in wishes(self.uri.preference) {
            let suits = if self.uri.is_direct() {
                // The administrator named this one server; whatever it can answer is wanted.
                answers
            } else {
                *suits
            };
            let mut tried = Vec::new();
            while let Some(index) = self.choose(&tried, suits) {
                if Instant::now() >= end {
                    why = "no server answered in time";
                    log::warn!("{table}: {why}");
                    return Err(why.to_owned());
                }
                tried.push(index);
                match self.visit(index, suits, table, question, end) {
                    Visit::Answer(answer) => return Ok(answer),
                    Visit::Refused(why) => return Err(why),
                    Visit::Failed => why = "Application error",
                    Visit::Unsuitable => has_unsuitable = true,
                }
            }
        }
        if has_unsuitable {
            let wanted = self.uri.preference.name();
            log::warn!("{table}: no server suits readPreference {wanted}");
        }
        Err(why.to_owned())
    }

    /// Finds the names of servers where the string has none.
    fn name_servers(&mut self, table: &str) -> Result<(), String> {
        let Seeds::Srv { name, service } = &self.uri.seeds else {
            return Ok(());
        };
        if !self.servers.is_empty() {
            return Ok(());
        }
        let retry = self.uri.retry;
        if self
            .unnamed_since
            .is_some_and(|since| since.elapsed() < retry)
        {
            return Err(NONE.to_owned());
        }
        let found = seeds::find(name, service).and_then(|(hosts, options)| {
            let mut uri = self.uri.clone();
            uri.add_record(&options)
                .map_err(|error| error.to_string())?;
            Ok((hosts, uri))
        });
        match found {
            Ok((hosts, uri)) => {
                self.uri = uri;
                self.unnamed_since = None;
                hosts.into_iter().for_each(|host| self.add(host));
                Ok(())
            }
            Err(why) => {
                self.unnamed_since = Some(Instant::now());
                log::warn!("{table}: no servers found for {name}: {why}");
                Err(why)
            }
        }
    }

    fn add(&mut self, host: Host) {
        let is_known = self.servers.iter().any(|server| server.host == host);
        if !is_known && self.servers.len() < 2 * MOST_MEMBERS {
            self.servers.push(Server {
                host,
                session: None,
                used: Instant::now(),
                down_since: None,
                role: None,
            });
        }
    }

    /// The most promising of the servers that were not tried: one that is connected and suits, the one that
    /// is said to be the primary, one that is not known, one that did not suit.
    fn choose(&self, tried: &[usize], suits: Suits) -> Option<usize> {
        let retry = self.uri.retry;
        let rank = |server: &Server| match server.role {
            Some(role) if suits(role) && server.session.is_some() => 0,
            Some(role) if !suits(role) && self.hint.as_ref() != Some(&server.host) => 3,
            _ if self.hint.as_ref() == Some(&server.host) => 1,
            _ => 2,
        };
        // Processes begin at different servers, so that each gets a share.
        let first = usize::try_from(std::process::id()).unwrap_or(0);
        let count = self.servers.len().max(1);
        let candidates = self.servers.iter().enumerate().filter(|(index, server)| {
            let is_due = server
                .down_since
                .is_none_or(|since| since.elapsed() >= retry);
            is_due && !tried.contains(index)
        });
        candidates
            .min_by_key(|(index, server)| (rank(server), index.wrapping_add(first) % count))
            .map(|(index, _)| index)
    }

    fn visit(
        &mut self,
        index: usize,
        suits: Suits,
        table: &str,
        question: &Question<'_>,
        end: Instant,
    ) -> Visit {
        let Some(server) = self.servers.get_mut(index) else {
            return Visit::Unsuitable;
        };
        let kept = server.session.take();
        let kept = kept.filter(|session| server.used.elapsed() < IDLE && !session.is_stale());
        let is_fresh = kept.is_none();
        let mut outcome = match kept {
            Some(session) => self.talk(session, suits, question),
            None => self.connect_and_talk(index, suits, question, end),
        };
        if let Err((Failure::Lost(text), _)) = &outcome
            && !is_fresh
        {
            // A restarted server ends old connections; that says nothing about new ones.
            log::warn!("{table}: {text}");
            outcome = self.connect_and_talk(index, suits, question, end);
        }
        match outcome {
            Ok((answer, session)) => {
                self.keep(index, session);
                answer.map_or(Visit::Unsuitable, Visit::Answer)
            }
            Err((failure, session)) => self.judge(index, table, failure, session),
        }
    }

    /// Decides what a failure says about the server, and logs it. There is a session if it came so far.
    fn judge(
        &mut self,
        index: usize,
        table: &str,
        failure: Failure,
        session: Option<Box<Session>>,
    ) -> Visit {
        let Some(server) = self.servers.get_mut(index) else {
            return Visit::Failed;
        };
        let (host, text) = (&server.host, failure.text());
        let Some(session) = session else {
            log::warn!("connect to mongodb server {host}: {text}");
            server.leave();
            return Visit::Failed;
        };
        log::warn!("{table}: query failed: server {host}: {text}");
        match failure {
            Failure::Refused(text) => {
                self.keep(index, session);
                Visit::Refused(text)
            }
            Failure::Spoilt(text) => Visit::Refused(text),
            Failure::Demoted(_) => {
                server.role = None;
                self.hint = None;
                Visit::Failed
            }
            Failure::Lost(_) | Failure::Late(_) => {
                server.leave();
                Visit::Failed
            }
        }
    }

    fn keep(&mut self, index: usize, session: Box<Session>) {
        if let Some(server) = self.servers.get_mut(index) {
            server.role = Some(session.hello().role);
            server.used = Instant::now();
            server.down_since = None;
            server.session = Some(session);
        }
    }

    fn connect_and_talk(
        &mut self,
        index: usize,
        suits: Suits,
        question: &Question<'_>,
        end: Instant,
    ) -> Talk {
        let Some(server) = self.servers.get(index) else {
            return Err((Failure::Refused("no server".to_owned()), None));
        };
        let end = end.min(Instant::now() + self.uri.connect_limit);
        match Session::connect(&self.uri, &server.host, end) {
            Ok(session) => {
                self.learn(&session);
                self.talk(Box::new(session), suits, question)
            }
            Err(failure) => Err((failure, None)),
        }
    }

    /// Asks the question if the server suits.
    fn talk(&mut self, mut session: Box<Session>, suits: Suits, question: &Question<'_>) -> Talk {
        let role = session.hello().role;
        let is_member = !matches!(role, Role::Alone | Role::Router);
        let fresh = if suits(role) { NEWS } else { BAD_NEWS };
        if is_member && session.age() >= fresh {
            let end = Instant::now() + self.uri.connect_limit;
            if let Err(failure) = session.greet(&self.uri, end) {
                return Err((failure, Some(session)));
            }
            self.learn(&session);
        }
        let role = session.hello().role;
        if !suits(role) {
            return Ok((None, session));
        }
        let wanted = self.uri.preference;
        let preference = match role {
            Role::Primary | Role::Alone => None,
            Role::Router => Some(wanted).filter(|wanted| *wanted != Preference::Primary),
            Role::Secondary | Role::Useless if wanted == Preference::Primary => {
                Some(Preference::PrimaryPreferred)
            }
            Role::Secondary | Role::Useless => Some(wanted),
        };
        let end = Instant::now() + self.uri.answer_limit;
        match session.find_last(question, preference, end) {
            Ok(answer) => Ok((Some(answer), session)),
            Err(failure) => Err((failure, Some(session))),
        }
    }

    /// Takes over what a member knows about its set.
    fn learn(&mut self, session: &Session) {
        let hello = session.hello();
        if self.uri.is_direct() || hello.role == Role::Useless {
            return;
        }
        self.hint.clone_from(&hello.primary);
        for host in &hello.members {
            self.add(host.clone());
        }
    }
}

/// The answer of a server that suits, and the session; or what failed, with the session if it began.
type Talk = Result<(Option<Option<Vec<u8>>>, Box<Session>), (Failure, Option<Box<Session>>)>;
