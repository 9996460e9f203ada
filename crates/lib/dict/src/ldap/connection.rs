//! A session with one of several servers: connecting, TLS, binding, searching; each step in bounded time.
//!
//! Tables with equal settings share a session. A server that does not answer is asked last for a while.

use bstr::{BString, ByteSlice};
use postern_wire::{Channel, Deadline, connect_tcp, connect_unix, is_timeout};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::code;
use super::message::{self, Attribute, Credentials, Outcome, ReadError, Reply, Search};
use super::url::{self, LdapServer, Transport};
use crate::io_text;
use crate::tls::{self, Check, TlsFiles};

/// How long a server that did not answer is asked after the others.
const PENALTY: Duration = Duration::from_secs(60);
/// Bytes that one search may bring.
const MOST_BYTES: usize = 64 * 1024 * 1024;
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

/// What a search brought.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: i32,
    /// What is known about a failure, for the caller's error.
    pub(super) reason: String,
    pub(super) entries: Vec<Vec<Attribute>>,
    /// Whether the log has the failure already.
    pub(super) is_reported: bool,
    references: Vec<Vec<BString>>,
}

impl Answer {
    fn failed(code: i32, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            ..Self::default()
        }
    }
}

/// A connected and bound session.
struct Session {
    channel: Channel,
    next_id: i32,
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
        if let Some(mut session) = self.session.take()
            && !session.channel.has_failed()
        {
            let bye = message::unbind(session.next_id);
            let _ = session.channel.write_all(&bye);
            session.channel.shutdown();
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
            if !session.channel.is_closed_by_peer() {
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
        let unreachable =
            |error: io::Error| Failure::new(Step::Reach, io_code(&error), io_text(&error));
        let channel = dial(place, end).map_err(unreachable)?;
        let mut session = Session {
            channel,
            next_id: 1,
        };
        let (name, mut is_protected) = match place {
            Transport::Tcp(host, _) => (host.as_str(), false),
            Transport::Tls(host, _) => {
                session
                    .encrypt(&self.settings, host, end)
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
                .encrypt(&self.settings, name, end)
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

/// Connects, trying each address of a name.
fn dial(place: &Transport, end: Instant) -> io::Result<Channel> {
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(postern_wire::timed_out()),
        left => Ok(left),
    };
    let (host, port) = match place {
        Transport::Unix(path) => return connect_unix(Path::new(path), left()?),
        Transport::Tcp(host, port) | Transport::Tls(host, port) => (host.as_str(), *port),
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match connect_tcp(address, None, left()?) {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn io_code(error: &io::Error) -> i32 {
    if is_timeout(error) {
        code::TIMEOUT
    } else {
        code::SERVER_DOWN
    }
}

/// A code in words, with what the server says about it.
fn explained(outcome: &Outcome) -> String {
    let (text, said) = (code::text(outcome.code), &outcome.text);
    match said.get(..200).unwrap_or(said) {
        b"" => text.to_owned(),
        said => format!("{text}: {}", said.as_bstr()),
    }
}

/// A code and what is known about it.
type Trouble = (i32, String);

fn io_trouble(error: &io::Error) -> Trouble {
    (io_code(error), io_text(error))
}

fn read_trouble(error: &ReadError) -> Trouble {
    match error {
        ReadError::Io(error) => io_trouble(error),
        ReadError::Malformed(error) => (code::DECODING_ERROR, error.to_string()),
    }
}

impl Session {
    fn id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(1);
        id
    }

    fn encrypt(&mut self, settings: &SessionSettings, name: &str, end: Instant) -> io::Result<()> {
        let check = if settings.verify {
            Check::ChainAndName
        } else {
            Check::Nothing
        };
        tls::encrypt(&mut self.channel, &settings.tls, check, name, end)
    }

    fn send(&mut self, request: &[u8], end: Instant) -> Result<(), Trouble> {
        let limit = end.saturating_duration_since(Instant::now());
        if limit.is_zero() {
            return Err((code::TIMEOUT, code::text(code::TIMEOUT).to_owned()));
        }
        self.channel.set_deadline(Some(Deadline {
            limit,
            min_data_rate: 0,
        }));
        let sent = self.channel.write_all(request);
        sent.and_then(|()| self.channel.flush())
            .map_err(|error| io_trouble(&error))
    }

    /// The next reply to the request `id`, and its size.
    fn receive(&mut self, id: i32) -> Result<(Reply, usize), Trouble> {
        loop {
            let body = message::read(&mut self.channel).map_err(|error| read_trouble(&error))?;
            let (found, reply) =
                message::parse(&body).map_err(|error| (code::DECODING_ERROR, error.to_string()))?;
            if found == id {
                return Ok((reply, body.len()));
            }
            if found == 0 {
                let text = "the server ended the session".to_owned();
                return Err((code::SERVER_DOWN, text));
            }
            // A late reply to a request that was given up.
        }
    }

    fn ask(
        &mut self,
        id: i32,
        request: &[u8],
        end: Instant,
        pick: impl Fn(Reply) -> Option<Outcome>,
    ) -> Result<Outcome, Trouble> {
        self.send(request, end)?;
        let (reply, _) = self.receive(id)?;
        pick(reply).ok_or((code::DECODING_ERROR, "unexpected reply".to_owned()))
    }

    fn search(&mut self, query: &Search, end: Instant, chase: bool) -> Result<Answer, Trouble> {
        let id = self.id();
        self.send(&message::search(id, query), end)?;
        let (mut answer, mut bytes) = (Answer::default(), 0usize);
        loop {
            let (reply, size) = self.receive(id)?;
            bytes = bytes.saturating_add(size);
            if bytes > MOST_BYTES {
                return Err((code::SIZE_LIMIT, "too much data".to_owned()));
            }
            match reply {
                Reply::Entry(entry) => {
                    answer.entries.push(entry);
                    let count = i32::try_from(answer.entries.len()).unwrap_or(i32::MAX);
                    if query.size_limit > 0 && count > query.size_limit {
                        return Err((code::SIZE_LIMIT, code::text(code::SIZE_LIMIT).to_owned()));
                    }
                }
                Reply::Reference(urls) if chase => answer.references.push(urls),
                Reply::Done(outcome) => {
                    answer.code = outcome.code;
                    answer.reason = explained(&outcome);
                    if chase && !outcome.referral.is_empty() {
                        answer.references.push(outcome.referral);
                    }
                    return Ok(answer);
                }
                _ => {}
            }
        }
    }
}
