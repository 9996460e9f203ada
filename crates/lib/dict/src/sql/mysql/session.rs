//! A login at a MySQL server, and the queries on it.

use bstr::{BStr, BString};
use mysql_common::constants::{CapabilityFlags, Command, StatusFlags};
use mysql_common::packets::{HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use nix::errno::Errno;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::auth::{self, Secret};
use super::escape::{self, Quoting};
use super::has_double_quotes;
use super::packets::{Greeting, PacketError, Packets, Reply, complaint};
use crate::expansion::Template;
use crate::io_text;
use crate::sql::Cell;
use crate::sql::dial::{self, DialError};
use crate::sql::pool::{Failure, LARGEST_ANSWER, Limits, Session};
use crate::sql::tls::{self, Check, TlsFiles};

/// A greeting is never longer.
const LONGEST_GREETING: usize = 64 * 1024;
/// What the server is told about the longest packet.
const ROOM: u32 = 16 * 1024 * 1024;
/// `utf8mb4_general_ci`; the session's real character set is set after the login.
const COLLATION: u8 = 45;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Socket(String),
    Inet(String, u16),
}

/// How to log in, the same at all servers.
pub(super) struct Login {
    pub(super) user: BString,
    pub(super) password: BString,
    pub(super) database: BString,
    pub(super) charset: String,
    /// A statement to begin with.
    pub(super) init: Option<String>,
    pub(super) tls: Option<(TlsFiles, Check)>,
    /// `type:name`, for messages.
    pub(super) table: String,
    /// A query without rows is an error.
    pub(super) require_result_set: bool,
    pub(super) limits: Limits,
}

/// One server and how to log in there.
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) login: Arc<Login>,
}

/// A session at a server.
pub(super) struct Connection {
    packets: Packets,
    login: Arc<Login>,
    /// Worked out at the first query.
    double_quotes: Option<bool>,
}

impl Session for Connection {
    type Target = Target;

    fn connect(target: &Target, label: &str) -> Result<Self, String> {
        Self::begin(target).map_err(|why| format!("connect to mysql server {label}: {why}"))
    }

    fn is_stale(&self) -> bool {
        self.packets.is_closed()
    }
}

/// Connects, in the words of MariaDB's client library.
fn dial(place: &Place, end: Instant) -> Result<Packets, String> {
    let channel = match place {
        Place::Socket(path) => dial::dial_unix(path, end).map_err(|error| {
            let number = dial::number(&error);
            format!("Can't connect to local server through socket '{path}' ({number})")
        })?,
        Place::Inet(host, port) => dial::dial(host, *port, end).map_err(|error| match error {
            DialError::Name(_) => format!("Unknown server host '{host}' (-2)"),
            DialError::Connect { error, .. } => {
                // The library does not wait in connect(2), and shows what that call said.
                let number = match error.kind() {
                    io::ErrorKind::ConnectionRefused => Errno::EINPROGRESS as i32,
                    _ => dial::number(&error),
                };
                format!("Can't connect to server on '{host}' ({number})")
            }
        })?,
    };
    Ok(Packets::new(channel))
}

/// What the protocol must have.
const NEEDED: CapabilityFlags =
    CapabilityFlags::CLIENT_PROTOCOL_41.union(CapabilityFlags::CLIENT_SECURE_CONNECTION);
/// What we can. Neither several statements in a query nor the server's wish for files of ours are among it.
const KNOWN: CapabilityFlags = NEEDED
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB);

/// The greeting, encryption when wanted, and the proof of the password.
fn log_in(packets: &mut Packets, target: &Target, end: Instant) -> Result<(), String> {
    dial::limit(packets.channel(), end);
    let greeting = packets
        .read(LONGEST_GREETING)
        .map_err(|error| lost(&error, "reading initial communication packet"))?;
    if greeting.first() == Some(&0xff) {
        return Err(complaint(&greeting).to_string());
    }
    let hello = Greeting::parse(&greeting).ok_or_else(|| PacketError::Malformed.to_string())?;
    if hello.protocol != 10 || !hello.capabilities.contains(NEEDED) {
        let version = hello.protocol;
        return Err(format!(
            "Protocol mismatch; server version = {version}, client version = 10"
        ));
    }
    packets.set_status(hello.status);
    let is_encrypted = encrypt_if_wanted(packets, hello.capabilities, target, end)
        .map_err(|error| format!("TLS/SSL error: {error}"))?;
    prove(packets, hello, target, is_encrypted, end)
        .map_err(|error| lost(&error, "reading authorization packet"))
}

/// Tells who we are and proves it.
fn prove(
    packets: &mut Packets,
    hello: Greeting<'_>,
    target: &Target,
    is_encrypted: bool,
    end: Instant,
) -> Result<(), PacketError> {
    let login = &target.login;
    let plugin = auth::first(hello.plugin);
    let secret = Secret {
        password: &login.password,
        is_private: is_encrypted || matches!(target.place, Place::Socket(_)),
    };
    let proof = auth::proof(&plugin, &secret, &hello.nonce)?;
    let mut flags = KNOWN & hello.capabilities;
    flags.set(CapabilityFlags::CLIENT_SSL, is_encrypted);
    let response = HandshakeResponse::new(
        Some(proof.as_slice()),
        // New enough for utf8mb4.
        (5, 5, 3),
        Some(login.user.as_slice()),
        Some(login.database.as_slice()),
        Some(plugin.clone()),
        flags,
        None,
        ROOM,
    );
    let mut packet = Vec::new();
    response.serialize(&mut packet);
    dial::limit(packets.channel(), end);
    packets.write(&packet)?;
    auth::finish(packets, &secret, plugin, hello.nonce)
}

/// Encrypts the connection as the table wants; tells whether it is encrypted.
fn encrypt_if_wanted(
    packets: &mut Packets,
    offered: CapabilityFlags,
    target: &Target,
    end: Instant,
) -> Result<bool, PacketError> {
    let Some((files, check)) = &target.login.tls else {
        return Ok(false);
    };
    if !offered.contains(CapabilityFlags::CLIENT_SSL) {
        // Whoever takes any certificate takes none, too; whoever checks it must not be talked out of that.
        if *check == Check::Nothing {
            return Ok(false);
        }
        let why = "SSL is required, but the server does not support it";
        return Err(PacketError::Server(why.to_owned()));
    }
    let flags = (KNOWN & offered) | CapabilityFlags::CLIENT_SSL;
    encrypt(packets, flags, files, *check, &target.place, end).map(|()| true)
}

fn encrypt(
    packets: &mut Packets,
    flags: CapabilityFlags,
    files: &TlsFiles,
    check: Check,
    place: &Place,
    end: Instant,
) -> Result<(), PacketError> {
    let mut request = Vec::new();
    SslRequest::new(flags, ROOM, COLLATION).serialize(&mut request);
    packets.write(&request)?;
    let name = match place {
        Place::Inet(host, _) => host,
        Place::Socket(_) => "localhost",
    };
    tls::encrypt(packets.channel(), files, check, name, end).map_err(|error| {
        // The files' errors read like the system's.
        PacketError::Server(match error.raw_os_error() {
            Some(number) => format!("{} ({number})", io_text(&error)),
            None => error.to_string(),
        })
    })
}

/// The text of a login that broke off at `step`.
fn lost(error: &PacketError, step: &str) -> String {
    match error {
        PacketError::Io(error) => {
            let number = dial::number(error);
            format!("Lost connection to server at '{step}', system error: {number}")
        }
        other => other.to_string(),
    }
}

/// A text that is the same for all failures of the connection.
fn during(error: &PacketError, io_text: &str) -> String {
    match error {
        PacketError::Io(_) => io_text.to_owned(),
        other => other.to_string(),
    }
}

impl Connection {
    fn begin(target: &Target) -> Result<Self, String> {
        let end = Instant::now() + target.login.limits.connect;
        Self::over(dial(&target.place, end)?, target, end)
    }

    /// A session on a new connection.
    fn over(mut packets: Packets, target: &Target, end: Instant) -> Result<Self, String> {
        log_in(&mut packets, target, end)?;
        let mut connection = Self {
            packets,
            login: Arc::clone(&target.login),
            double_quotes: None,
        };
        connection
            .prepare(end)
            .map_err(|error| during(&error, "Lost connection to server during query"))?;
        Ok(connection)
    }

    /// Makes the session what the table wants.
    fn prepare(&mut self, end: Instant) -> Result<(), PacketError> {
        let charset = self.login.charset.clone();
        if !charset.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(unknown_charset(&charset));
        }
        if !charset.eq_ignore_ascii_case("utf8mb4") {
            let statement = format!("SET NAMES {charset}");
            self.run(&statement, end).map_err(|error| match error {
                PacketError::Server(_) => unknown_charset(&charset),
                other => other,
            })?;
        }
        match self.login.init.clone() {
            Some(statement) => self.run(&statement, end),
            None => Ok(()),
        }
    }

    /// Runs a statement whose rows nobody wants.
    fn run(&mut self, statement: &str, end: Instant) -> Result<(), PacketError> {
        dial::limit(self.packets.channel(), end);
        self.packets
            .command(Command::COM_QUERY as u8, statement.as_bytes())?;
        let mut room = LARGEST_ANSWER;
        loop {
            if let Reply::Rows(columns) = self.packets.reply()? {
                self.packets.rows(columns, &mut room, &mut Vec::new())?;
            }
            if !self.has_more() {
                return Ok(());
            }
        }
    }

    fn has_more(&self) -> bool {
        let status = self.packets.status();
        status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS)
    }

    /// The columns that `query` filled with `key` gives.
    pub(super) fn query(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, Failure> {
        let table = self.login.table.clone();
        let failed = |what: &str| format!("{table}: query failed: {what}");
        let double_quotes = *self
            .double_quotes
            .get_or_insert_with(|| has_double_quotes(query));
        let quoting = Quoting {
            plain_backslash: self
                .packets
                .status()
                .contains(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES),
            ascii_safe: escape::is_safe(&self.login.charset),
            double_quotes,
        };
        if !quoting.can_quote(key) {
            let what = "the key cannot be quoted safely in this session";
            return Err(Failure::Unsafe(failed(what)));
        }
        let quote = |text: &[u8], out: &mut Vec<u8>| quoting.quote(text, out);
        let Some(text) = query.fill_query(key, &quote) else {
            return Ok(Vec::new());
        };
        dial::limit(
            self.packets.channel(),
            Instant::now() + self.login.limits.answer,
        );
        let sent = self.packets.command(Command::COM_QUERY as u8, &text);
        sent.map_err(|error| judge(&error, &failed(&during(&error, "Server has gone away"))))?;
        self.answer(&table)
    }

    /// Reads all that a query gives: at most one result set, and what a procedure says at its end.
    fn answer(&mut self, table: &str) -> Result<Vec<Cell>, Failure> {
        const LOST: &str = "Lost connection to server during query";
        let (mut cells, mut room, mut sets) = (Vec::new(), LARGEST_ANSWER, 0);
        let mut step = "";
        loop {
            let mut part = Vec::new();
            let done = match self.packets.reply() {
                Ok(Reply::Done) => Ok(()),
                Ok(Reply::Rows(columns)) => {
                    sets += 1;
                    self.packets.rows(columns, &mut room, &mut part)
                }
                Err(error) => Err(error),
            };
            done.map_err(|error| {
                let what = during(&error, LOST);
                judge(&error, &format!("{table}: query failed{step}: {what}"))
            })?;
            if sets == 1 {
                cells.append(&mut part);
            }
            if !self.has_more() {
                break;
            }
            step = " (mysql_next_result)";
        }
        let refuse = |what| Err(Failure::Refused(format!("{table}: query failed: {what}")));
        match sets {
            0 if self.login.require_result_set => {
                refuse("query returned no result set(require_result_set = yes)")
            }
            0 | 1 => Ok(cells),
            _ => refuse("multiple result sets returning data are not supported"),
        }
    }
}

fn unknown_charset(charset: &str) -> PacketError {
    PacketError::Server(format!(
        "Can't initialize character set {charset} (path: compiled_in)"
    ))
}

/// What a failure says about the server.
fn judge(error: &PacketError, text: &str) -> Failure {
    let text = text.to_owned();
    match error {
        PacketError::Server(_) => Failure::Refused(text),
        PacketError::Io(error) if postern_wire::is_timeout(error) => Failure::Late(text),
        PacketError::Io(_) => Failure::Lost(text),
        PacketError::Malformed | PacketError::TooLarge => Failure::Spoilt(text),
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Servers log clients that leave without a word.
        dial::limit(self.packets.channel(), Instant::now());
        let _ = self.packets.command(Command::COM_QUIT as u8, b"");
    }
}

/// The doors for the targets of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    use super::*;

    /// A login, or a session after it, at a server that says what is in `channel`; then a query.
    pub(crate) fn session(channel: postern_wire::Channel, is_logged_in: bool) {
        let login = Arc::new(Login {
            user: "user".into(),
            password: "secret".into(),
            database: "mail".into(),
            charset: "utf8mb4".to_owned(),
            init: None,
            tls: None,
            table: "mysql:fuzz".to_owned(),
            require_result_set: false,
            limits: Limits::USUAL,
        });
        // Not a socket's: passwords are sealed with the server's key there.
        let target = Target {
            place: Place::Inet("localhost".to_owned(), 3306),
            login: Arc::clone(&login),
        };
        let packets = Packets::new(channel);
        let connection = if is_logged_in {
            Ok(Connection {
                packets,
                login,
                double_quotes: None,
            })
        } else {
            Connection::over(packets, &target, Instant::now() + login.limits.connect)
        };
        let template = Template::query("fuzz", BStr::new("SELECT a FROM t WHERE k = '%s'"));
        if let (Ok(mut connection), Ok(template)) = (connection, template) {
            let _ = connection.query(&template, BStr::new("o'key"));
        }
    }
}
