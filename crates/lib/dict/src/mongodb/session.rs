//! A connection to one server: greeting, login, and questions. Every step ends at a given time.

use postern_wire::{Channel, Deadline, connect_tcp, connect_unix, is_timeout, timed_out};
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::bson::{Document, Element, Elements, Malformed};
use super::scram::{Mechanism, Scram};
use super::uri::{Host, Login, Preference, Uri};
use super::wire::{self, WireError};
use crate::{io_text, tls};

/// Bytes of all the documents of one answer.
pub(super) const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Bytes of a reply to anything but a question.
const LARGEST_REPLY: usize = 256 * 1024;
/// Servers a replica set may have.
pub(super) const MOST_MEMBERS: usize = 50;
/// The first version of the protocol with `OP_MSG`: MongoDB 3.6.
const OLDEST_VERSION: i64 = 6;
/// What a server may say about an error, in characters of the log.
const LONGEST_TEXT: usize = 200;

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
    /// The server is no longer the member of its set that it was.
    Demoted(String),
}

impl Failure {
    /// What happened.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Lost(text)
            | Self::Late(text)
            | Self::Spoilt(text)
            | Self::Refused(text)
            | Self::Demoted(text) => text,
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let text = error.to_string();
        match error {
            WireError::Io(error) if is_timeout(&error) => Self::Late(text),
            WireError::Io(_) | WireError::Malformed => Self::Lost(text),
            WireError::TooLong(_) => Self::Spoilt(text),
        }
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        WireError::from(error).into()
    }
}

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A server that belongs to no replica set.
    Alone,
    /// A router to the shards of a cluster.
    Router,
    Primary,
    Secondary,
    /// A member that takes no questions, or one of another set.
    Useless,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) role: Role,
    /// The members of its set.
    pub(super) members: Vec<Host>,
    /// Which of them takes writes.
    pub(super) primary: Option<Host>,
    /// How the user may log in, if that was asked and is known.
    mechanisms: Option<Vec<String>>,
}

impl Hello {
    /// Reads a reply; `replica_set` is the set that the server has to be in.
    fn read(reply: Elements<'_>, replica_set: Option<&str>) -> Result<Self, Failure> {
        let version = reply.get("maxWireVersion")?;
        let version = version.and_then(|version| match version {
            Element::Int32(_) | Element::Int64(_) => version.number(),
            _ => None,
        });
        if version.is_none_or(|version| version < OLDEST_VERSION) {
            let text = "the server is older than MongoDB 3.6";
            return Err(Failure::Lost(text.to_owned()));
        }
        let set = reply.get_text("setName")?;
        let is_router = reply.get_text("msg")? == Some("isdbgrid");
        let is_writable = reply.get_true("isWritablePrimary")? || reply.get_true("ismaster")?;
        let role = match set {
            _ if replica_set.is_some() && set != replica_set => Role::Useless,
            None if is_router => Role::Router,
            None if reply.get_true("isreplicaset")? => Role::Useless,
            None => Role::Alone,
            Some(_) if is_writable => Role::Primary,
            Some(_) if reply.get_true("secondary")? => Role::Secondary,
            Some(_) => Role::Useless,
        };
        let mut members = Vec::new();
        for list in ["hosts", "passives"] {
            for name in texts(reply, list)?.unwrap_or_default() {
                if members.len() < MOST_MEMBERS
                    && let Ok(host) = Host::parse(&name)
                {
                    members.push(host);
                }
            }
        }
        let primary = reply.get_text("primary")?;
        Ok(Self {
            role,
            members,
            primary: primary.and_then(|name| Host::parse(name).ok()),
            mechanisms: texts(reply, "saslSupportedMechs")?,
        })
    }
}

/// An array of texts; anything else in it is left out.
fn texts(document: Elements<'_>, name: &str) -> Result<Option<Vec<String>>, Malformed> {
    let Some(Element::Array(list)) = document.get(name)? else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for element in list {
        if let (_, Element::Text(text)) = element? {
            found.push(text.to_owned());
        }
    }
    Ok(Some(found))
}

/// A connection that is logged in.
pub(super) struct Session {
    channel: Channel,
    next_id: i32,
    hello: Hello,
    /// When the server said what it is.
    greeted: Instant,
}

impl Session {
    /// Connects to `host` and logs in before `end`.
    pub(super) fn connect(uri: &Uri, host: &Host, end: Instant) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::from(WireError::Io(error));
        let mut channel = dial(host, end).map_err(failed)?;
        if uri.is_encrypted() && matches!(host, Host::Inet(..)) {
            tls::encrypt(
                &mut channel,
                &uri.tls_files,
                uri.tls_check,
                host.name(),
                end,
            )
            .map_err(|error| Failure::Lost(format!("TLS: {}", io_text(&error))))?;
        }
        Self::start(uri, channel, end)
    }

    /// Greets the server behind `channel` and logs in.
    pub(super) fn start(uri: &Uri, channel: Channel, end: Instant) -> Result<Self, Failure> {
        let mut session = Self {
            channel,
            next_id: 0,
            hello: Hello {
                role: Role::Useless,
                members: Vec::new(),
                primary: None,
                mechanisms: None,
            },
            greeted: Instant::now(),
        };
        session.greet(uri, end)?;
        // A member that takes no questions may have no users.
        if let Some(login) = &uri.login
            && session.hello.role != Role::Useless
        {
            session.log_in(login, uri.auth_database(), end)?;
        }
        Ok(session)
    }

    /// What the server said about itself last.
    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Time since it said so.
    pub(super) fn age(&self) -> Duration {
        self.greeted.elapsed()
    }

    /// Whether the server has closed the connection, as far as that is known without waiting.
    pub(super) fn is_stale(&self) -> bool {
        self.channel.is_closed_by_peer()
    }

    /// Asks the server what it is.
    pub(super) fn greet(&mut self, uri: &Uri, end: Instant) -> Result<(), Failure> {
        let is_first = self.next_id == 0;
        let hello = |command: &str| {
            let mut hello = Document::new().int32(command, 1);
            if is_first {
                hello = hello.document("client", &client(uri.app_name.as_deref()));
            }
            if let Some(login) = &uri.login
                && is_first
                && login.mechanism.is_none()
            {
                let user = format!("{}.{}", uri.auth_database(), login.user);
                hello = hello.text("saslSupportedMechs", &user);
            }
            hello.text("$db", "admin")
        };
        let reply = self.exchange(&hello("hello"), LARGEST_REPLY, end)?;
        let reply = match Reply::check(&reply)? {
            Reply::Good(_) => reply,
            // Before MongoDB 4.4.2 the command had another name.
            Reply::Bad { .. } => self.exchange(&hello("isMaster"), LARGEST_REPLY, end)?,
        };
        let good = Reply::check(&reply)?.good()?;
        self.hello = Hello::read(good, uri.replica_set.as_deref())?;
        self.greeted = Instant::now();
        Ok(())
    }

    /// Proves who we are, and has the server prove that it is who knows us.
    fn log_in(&mut self, login: &Login, database: &str, end: Instant) -> Result<(), Failure> {
        let mechanism = login.mechanism.unwrap_or_else(|| {
            let offered = self.hello.mechanisms.as_deref().unwrap_or_default();
            let is_new = offered.iter().any(|name| name == Mechanism::Sha256.name());
            if is_new {
                Mechanism::Sha256
            } else {
                Mechanism::Sha1
            }
        });
        let failed = |error: super::scram::ScramError| {
            Failure::Refused(format!("authentication failed: {error}"))
        };
        let scram = Scram::new(mechanism, &login.user, &login.password).map_err(failed)?;
        let begin = Document::new()
            .int32("saslStart", 1)
            .text("mechanism", mechanism.name())
            .binary("payload", 0, scram.first().as_bytes())
            .document(
                "options",
                &Document::new().boolean("skipEmptyExchange", true),
            )
            .text("$db", database);
        let step = self.sasl(&begin, end)?;
        let proof = scram.answer(&step.payload).map_err(failed)?;
        let step = self.sasl(&step.next(proof.message(), database), end)?;
        proof.check(&step.payload).map_err(failed)?;
        if step.is_done {
            return Ok(());
        }
        // Servers before MongoDB 4.4 want one more exchange, which says nothing.
        let last = self.sasl(&step.next("", database), end)?;
        if last.is_done {
            return Ok(());
        }
        let text = "authentication failed: the server wants to go on for ever";
        Err(Failure::Refused(text.to_owned()))
    }

    fn sasl(&mut self, command: &Document, end: Instant) -> Result<SaslStep, Failure> {
        let reply = self.exchange(command, LARGEST_REPLY, end)?;
        let reply = Reply::check(&reply)?.good()?;
        let payload = match reply.get("payload")? {
            Some(Element::Binary(payload)) => {
                std::str::from_utf8(payload).map_err(|_| Malformed)?
            }
            Some(Element::Text(payload)) => payload,
            _ => return Err(Malformed.into()),
        };
        let conversation = reply.get("conversationId")?;
        let conversation = conversation.and_then(|id| match id {
            Element::Int32(id) => Some(id),
            _ => None,
        });
        Ok(SaslStep {
            conversation: conversation.ok_or(Malformed)?,
            is_done: reply.get_true("done")?,
            payload: payload.to_owned(),
        })
    }

    /// Runs `question` and gives the last document that it finds, if any; all before `end`.
    pub(super) fn find_last(
        &mut self,
        question: &Question<'_>,
        preference: Option<Preference>,
        end: Instant,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut command = question.command(preference, left(end));
        let mut batch = "firstBatch";
        let (mut last, mut size) = (None, 0);
        loop {
            let room = LARGEST_ANSWER.saturating_sub(size);
            let reply = self.exchange(&command, room, end)?;
            size += reply.len();
            let good = Reply::check(&reply)?.good()?;
            let Some(Element::Document(cursor)) = good.get("cursor")? else {
                return Err(Malformed.into());
            };
            let Some(Element::Array(found)) = cursor.get(batch)? else {
                return Err(Malformed.into());
            };
            let mut newest = None;
            for document in found {
                let (_, Element::Document(document)) = document? else {
                    return Err(Malformed.into());
                };
                newest = Some(document);
            }
            if let Some(document) = newest {
                last = Some(document.to_bytes());
            }
            match cursor.get("id")? {
                Some(Element::Int64(0)) => return Ok(last),
                Some(Element::Int64(id)) => command = question.more(id, preference),
                _ => return Err(Malformed.into()),
            }
            batch = "nextBatch";
        }
    }

    /// One request and its reply.
    fn exchange(
        &mut self,
        request: &Document,
        most: usize,
        end: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let limit = end.saturating_duration_since(Instant::now());
        if limit.is_zero() {
            return Err(WireError::Io(timed_out()).into());
        }
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.channel.set_deadline(Some(Deadline {
            limit,
            min_data_rate: 0,
        }));
        wire::send(&mut self.channel, self.next_id, request)?;
        Ok(wire::receive(&mut self.channel, self.next_id, most)?)
    }
}

/// A step of a login.
struct SaslStep {
    conversation: i32,
    is_done: bool,
    payload: String,
}

impl SaslStep {
    fn next(&self, payload: &str, database: &str) -> Document {
        Document::new()
            .int32("saslContinue", 1)
            .int32("conversationId", self.conversation)
            .binary("payload", 0, payload.as_bytes())
            .text("$db", database)
    }
}

/// Who we are, for the server's log.
fn client(app_name: Option<&str>) -> Document {
    let driver = Document::new()
        .text("name", "postern")
        .text("version", env!("CARGO_PKG_VERSION"));
    let mut client = Document::new();
    if let Some(name) = app_name {
        client = client.document("application", &Document::new().text("name", name));
    }
    client
        .document("driver", &driver)
        .document("os", &Document::new().text("type", "Linux"))
}

/// What is asked of a collection.
pub(super) struct Question<'q> {
    pub(super) database: &'q str,
    pub(super) collection: &'q str,
    pub(super) filter: &'q Document,
    pub(super) projection: &'q Document,
}

impl Question<'_> {
    fn command(&self, preference: Option<Preference>, limit: Duration) -> Document {
        // The server gives up, too, when nobody waits any more.
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
        let find = Document::new()
            .text("find", self.collection)
            .document("filter", self.filter)
            .document("projection", self.projection)
            .int32("maxTimeMS", limit);
        self.ended(find, preference)
    }

    fn more(&self, cursor: i64, preference: Option<Preference>) -> Document {
        let more = Document::new()
            .int64("getMore", cursor)
            .text("collection", self.collection);
        self.ended(more, preference)
    }

    fn ended(&self, command: Document, preference: Option<Preference>) -> Document {
        let command = command.text("$db", self.database);
        match preference {
            None => command,
            Some(preference) => {
                let mode = Document::new().text("mode", preference.name());
                command.document("$readPreference", &mode)
            }
        }
    }
}

/// A reply after a look at how it went.
enum Reply<'r> {
    Good(Elements<'r>),
    Bad { code: i64, text: String },
}

impl<'r> Reply<'r> {
    fn check(reply: &'r [u8]) -> Result<Self, Malformed> {
        let reply = Elements::whole(reply)?;
        let is_good = reply.get("ok")?.ok_or(Malformed)?.is_true();
        if is_good {
            return Ok(Self::Good(reply));
        }
        let code = reply.get("code")?.and_then(|code| code.number());
        let text = reply.get_text("errmsg")?.unwrap_or("unknown error");
        let name = reply.get_text("codeName")?.unwrap_or_default();
        let text = match name {
            "" => text.to_owned(),
            name => format!("{name}: {text}"),
        };
        Ok(Self::Bad {
            code: code.unwrap_or(0),
            text: text.chars().take(LONGEST_TEXT).collect(),
        })
    }

    fn good(self) -> Result<Elements<'r>, Failure> {
        match self {
            Self::Good(reply) => Ok(reply),
            // Not primary any more, shutting down, or recovering.
            Self::Bad {
                code: 91 | 189 | 10107 | 11600 | 11602 | 13435 | 13436,
                text,
            } => Err(Failure::Demoted(text)),
            Self::Bad { text, .. } => Err(Failure::Refused(text)),
        }
    }
}

/// What is left until `end`.
fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

/// Connects, trying each address of a name.
fn dial(host: &Host, end: Instant) -> io::Result<Channel> {
    let (name, port) = match host {
        Host::Unix(path) => {
            return connect_unix(Path::new(path), left(end).max(Duration::from_millis(1)));
        }
        Host::Inet(name, port) => (name.as_str(), *port),
    };
    let addresses: Vec<_> = (name, port).to_socket_addrs()?.collect();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.iter().enumerate() {
        // A dead address must leave time for the next.
        let share = u32::try_from(addresses.len() - index).unwrap_or(1);
        let limit = (left(end) / share).max(Duration::from_millis(1));
        match connect_tcp(*address, None, limit) {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error,
        }
    }
    Err(last)
}
