//! A session with one of several servers: connecting, TLS, binding, searching; each step in bounded time.
//!
//! Tables with equal settings share a session. A server that does not answer is asked last for a while.

use bstr::{BString, ByteSlice};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::code;
use super::message::{self, Credentials, Reply, Search};
use super::session::{Answer, MOST_BYTES, Session, dial, explained, io_code};
use super::url::{self, LdapServer, Transport};
use crate::io_text;
use crate::tls::TlsFiles;

/// How long a server that did not answer is asked after the others.
const PENALTY: Duration = Duration::from_secs(60);
/// Referrals from server to server, and referrals of one search.
const MOST_HOPS: usize = 5;
const MOST_REFERENCES: usize = 100;

/// How to say who we are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Bind {
    None,
    Simple {
        dn: BString,
        password: BString,
    },
    Sasl {
        mechanisms: String,
        dn: BString,
        password: BString,
        authorization: BString,
        /// Security strength that the connection must have.
        min_ssf: i32,
    },
}

/// What makes a session; equal settings share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionSettings {
    pub(super) servers: Vec<LdapServer>,
    pub(super) version: i32,
    pub(super) timeout: Duration,
    pub(super) bind: Bind,
    pub(super) start_tls: bool,
    pub(super) tls: TlsFiles,
    pub(super) verify: bool,
    pub(super) chase_referrals: bool,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: i32,
    pub(super) reason: String,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Init,
    Reach,
    StartTls,
    Bind,
}

impl Failure {
    fn new(step: Step, code: i32, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let reason = if reason.is_empty() {
            code::text(code).to_owned()
        } else {
            reason
        };
        Self { code, reason, step }
    }

    /// Whether another server may do better.
    fn is_the_servers(&self) -> bool {
        matches!(
            self.code,
            code::SERVER_DOWN
                | code::TIMEOUT
                | code::DECODING_ERROR
                | code::CONNECT_ERROR
                | 51
                | 52
        )
    }
}

/// A session that is made when it is needed.
pub(super) struct Connection {
    settings: SessionSettings,
    session: Option<Session>,
    /// When a server was last found not to answer.
    down_since: HashMap<Transport, Instant>,
    /// The code of the last search, as the library keeps it.
    pub(super) last_code: i32,
    hops: usize,
}

type Shared = Arc<Mutex<Connection>>;

static CONNECTIONS: Mutex<Option<HashMap<SessionSettings, Shared>>> = Mutex::new(None);

/// The connection that all tables with these settings use; not made yet.
pub(super) fn shared(settings: SessionSettings) -> Shared {
    let mut all = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let connections = all.get_or_insert_with(HashMap::new);
    connections
        .entry(settings.clone())
        .or_insert_with(|| Arc::new(Mutex::new(Connection::new(settings, 0))))
        .clone()
}

impl Connection {
    fn new(settings: SessionSettings, hops: usize) -> Self {
        Self {
            settings,
            session: None,
            down_since: HashMap::new(),
            last_code: code::SUCCESS,
            hops,
        }
    }

    /// The servers, for messages.
    fn place(&self) -> String {
        let urls: Vec<&str> = self
            .settings
            .servers
            .iter()
            .map(|server| server.url.as_str())
            .collect();
        urls.join(" ")
    }

    /// Ends the session; the next search begins another.
    pub(super) fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.close();
        }
    }

    /// Searches, and connects before where needed; all before `end`, and each step within the timeout.
    /// A session that was left idle may have ended: then there is another try.
    pub(super) fn search(&mut self, query: &Search, end: Instant) -> Answer {
        let reused = self.session.is_some();
        let mut answer = self.search_once(query, end);
        if reused && answer.code == code::SERVER_DOWN {
            answer = self.search_once(query, end);
        }
        if self.settings.chase_referrals {
            self.chase(query, &mut answer, end);
        }
        self.last_code = answer.code;
        answer
    }

    fn search_once(&mut self, query: &Search, end: Instant) -> Answer {
        if let Err(failure) = self.connect(end) {
            return Answer {
                is_reported: self.report(&failure),
                ..Answer::failed(failure.code, failure.reason)
            };
        }
        let limit = self.step_end(end);
        let Some(session) = &mut self.session else {
            return Answer::failed(code::LOCAL_ERROR, "no session");
        };
        match session.search(query, limit, self.settings.chase_referrals) {
            Ok(answer) => answer,
            Err((code, reason)) => {
                self.session = None;
                Answer::failed(code, reason)
            }
        }
    }

    fn step_end(&self, end: Instant) -> Instant {
        end.min(Instant::now() + self.settings.timeout)
    }

    /// Logs what kept us from a session, in Postfix's words. Without a bind, Postfix finds out at the
    /// search, and so the caller tells. Whether anything was logged.
    fn report(&self, failure: &Failure) -> bool {
        let (place, number) = (self.place(), failure.code);
        let text = code::text(number);
        match (failure.step, &self.settings.bind) {
            (Step::Init, _) => {
                log::warn!("dict_ldap_connect: Unable to init LDAP server {place}");
            }
            (Step::StartTls, _) => {
                log::error!("dict_ldap_connect: Unable to set STARTTLS: {number}: {text}");
            }
            (Step::Reach, Bind::None) => return false,
            (Step::Reach | Step::Bind, bind) => {
                let dn = match bind {
                    Bind::Simple { dn, .. } | Bind::Sasl { dn, .. } if !dn.is_empty() => {
                        dn.to_string()
                    }
                    _ => "empty or implicit".to_owned(),
                };
                log::warn!(
                    "dict_ldap_connect: Unable to bind to server {place} with dn {dn}: {number} ({text})"
                );
            }
        }
        true
    }

    fn connect(&mut self, end: Instant) -> Result<(), Failure> {
        if let Some(session) = &self.session {
            if !session.is_over() {
                return Ok(());
            }
            self.session = None;
        }
        let mut places = Vec::new();
        for server in &self.settings.servers {
            match &server.transport {
                Some(transport) => places.push(transport.clone()),
                None => {
                    let text = format!("bad URL: {}", server.url);
                    return Err(Failure::new(Step::Init, code::LOCAL_ERROR, text));
                }
            }
        }
        places.sort_by_key(|place| {
            let since = self.down_since.get(place);
            since.is_some_and(|since| since.elapsed() < PENALTY)
        });
        let mut last = Failure::new(Step::Init, code::LOCAL_ERROR, "no server");
        for place in places {
            match self.open(&place, self.step_end(end)) {
                Ok(session) => {
                    self.down_since.remove(&place);
                    self.session = Some(session);
                    return Ok(());
                }
                Err(failure) => {
                    if !failure.is_the_servers() {
                        return Err(failure);
                    }
                    self.down_since.insert(place, Instant::now());
                    last = failure;
                }
            }
        }
        Err(last)
    }

    /// A session with one server, before `end`.
    fn open(&self, place: &Transport, end: Instant) -> Result<Session, Failure> {
        let (tls, verify) = (&self.settings.tls, self.settings.verify);
        let unreachable =
            |error: io::Error| Failure::new(Step::Reach, io_code(&error), io_text(&error));
        let channel = dial(place, end).map_err(unreachable)?;
        let mut session = Session::new(channel);
        let (name, mut is_protected) = match place {
            Transport::Tcp(host, _) => (host.as_str(), false),
            Transport::Tls(host, _) => {
                session
                    .encrypt(tls, verify, host, end)
                    .map_err(unreachable)?;
                (host.as_str(), true)
            }
            Transport::Unix(_) => ("localhost", false),
        };
        if self.settings.start_tls {
            let failed = |code: i32, reason: String| Failure::new(Step::StartTls, code, reason);
            let id = session.id();
            let request = message::start_tls(id);
            let outcome = session
                .ask(id, &request, end, |reply| match reply {
                    Reply::Extended(outcome) => Some(outcome),
                    _ => None,
                })
                .map_err(|(code, reason)| failed(code, reason))?;
            if outcome.code != code::SUCCESS {
                return Err(failed(outcome.code, explained(&outcome)));
            }
            session
                .encrypt(tls, verify, name, end)
                .map_err(|error| failed(code::CONNECT_ERROR, io_text(&error)))?;
            is_protected = true;
        }
        let is_local = matches!(place, Transport::Unix(_));
        self.bind(&mut session, is_protected, is_local, end)?;
        Ok(session)
    }

    fn bind(
        &self,
        session: &mut Session,
        is_protected: bool,
        is_local: bool,
        end: Instant,
    ) -> Result<(), Failure> {
        let (dn, credentials) = match &self.settings.bind {
            Bind::None => return Ok(()),
            Bind::Simple { dn, password } => (dn.clone(), Credentials::Simple(password.clone())),
            sasl @ Bind::Sasl { .. } => (
                BString::default(),
                sasl_credentials(sasl, is_protected, is_local)?,
            ),
        };
        let id = session.id();
        let request = message::bind(id, self.settings.version, &dn, &credentials);
        let outcome = session
            .ask(id, &request, end, |reply| match reply {
                Reply::Bind(outcome) => Some(outcome),
                _ => None,
            })
            .map_err(|(code, reason)| Failure::new(Step::Bind, code, reason))?;
        if outcome.code == code::SUCCESS {
            return Ok(());
        }
        Err(Failure::new(Step::Bind, outcome.code, explained(&outcome)))
    }

    /// Asks the servers that know more. As with the library, without password: a referral must not make
    /// us tell it to a stranger. A server that cannot be asked makes the whole search fail: what it knows
    /// would be missing.
    fn chase(&mut self, query: &Search, answer: &mut Answer, end: Instant) {
        let references = std::mem::take(&mut answer.references);
        if references.is_empty() {
            return;
        }
        if self.hops >= MOST_HOPS || references.len() > MOST_REFERENCES {
            answer.code = code::REFERRAL_LIMIT;
            return;
        }
        if matches!(answer.code, code::REFERRAL | code::PARTIAL_RESULTS) {
            answer.code = code::SUCCESS;
        }
        for alternatives in references {
            let mut found = Answer::failed(code::SERVER_DOWN, "no referral of use");
            for url in alternatives {
                found = self.follow(query, &url, end);
                if found.code >= 0 {
                    break;
                }
            }
            answer.entries.append(&mut found.entries);
            answer.bytes = answer.bytes.saturating_add(found.bytes);
            if answer.bytes > MOST_BYTES {
                found = Answer::failed(code::SIZE_LIMIT, "too much data");
            }
            if found.code != code::SUCCESS {
                answer.code = found.code;
                answer.reason = found.reason;
                answer.is_reported = found.is_reported;
                return;
            }
        }
    }

    /// Does the search at the server of `url`.
    fn follow(&self, query: &Search, url: &BString, end: Instant) -> Answer {
        let useless = || Answer::failed(code::SERVER_DOWN, format!("bad referral: {url}"));
        let (Ok(text), Some(wanted)) = (url.to_str(), url::query(url)) else {
            return useless();
        };
        let Some(transport) = url::transport(text) else {
            return useless();
        };
        let server = LdapServer {
            url: text.to_owned(),
            transport: Some(transport),
        };
        let mut other = Self::new(
            SessionSettings {
                servers: vec![server],
                bind: Bind::Simple {
                    dn: BString::default(),
                    password: BString::default(),
                },
                ..self.settings.clone()
            },
            self.hops + 1,
        );
        let mut query = query.clone();
        if !wanted.base.is_empty() {
            query.base = wanted.base;
        }
        query.scope = wanted.scope.unwrap_or(query.scope);
        let answer = other.search(&query, end);
        other.disconnect();
        answer
    }
}

/// The mechanism to use, of those that the settings name and that are done here.
fn sasl_credentials(
    bind: &Bind,
    is_protected: bool,
    is_local: bool,
) -> Result<Credentials, Failure> {
    let unknown = |reason: &str| Failure::new(Step::Bind, code::AUTH_UNKNOWN, reason);
    let Bind::Sasl {
        mechanisms,
        dn,
        password,
        authorization,
        min_ssf,
    } = bind
    else {
        return Err(unknown("no SASL"));
    };
    if *min_ssf > 0 && !is_protected {
        return Err(unknown("sasl_minssf needs TLS"));
    }
    for mechanism in mechanisms.split([' ', ',', '\t']) {
        if mechanism.eq_ignore_ascii_case("EXTERNAL") {
            return Ok(Credentials::Sasl {
                mechanism: "EXTERNAL",
                response: authorization.to_vec(),
            });
        }
        if mechanism.eq_ignore_ascii_case("PLAIN") && (is_protected || is_local) {
            let response = [authorization.as_slice(), dn, password].join(&0);
            return Ok(Credentials::Sasl {
                mechanism: "PLAIN",
                response,
            });
        }
    }
    Err(unknown("only EXTERNAL, and PLAIN over TLS, are supported"))
}
