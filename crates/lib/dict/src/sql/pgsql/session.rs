//! A login at a PostgreSQL server, and the queries on it. Texts are libpq's, which end in newlines.

use bstr::{BStr, BString, ByteSlice};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::binding::end_point;
use super::messages::{Message, Messages, columns, complaint, name_and_value};
use super::uri::{Binding, SslMode};
use crate::expansion::Template;
use crate::io_text;
use crate::sql::Cell;
use crate::sql::dial::{self, DialError};
use crate::sql::pool::{Failure, LARGEST_ANSWER, Limits, Session};
use crate::sql::tls::{self, Check, TlsFiles};

/// A message of the login is never longer.
const LONGEST: usize = 64 * 1024;
/// Rounds of a password's hash; a server that asks for more wants our time, not our password.
const MOST_ROUNDS: u32 = 1_000_000;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Socket(String),
    Inet(String, u16),
}

impl Place {
    /// The socket for `port` in `directory`.
    pub(super) fn socket(directory: &str, port: u16) -> Self {
        Self::Socket(format!("{directory}/.s.PGSQL.{port}"))
    }
}

/// One server and how to log in there; texts that are not set are empty.
pub(super) struct Target {
    pub(super) places: Result<Vec<Place>, String>,
    pub(super) user: BString,
    pub(super) password: BString,
    pub(super) database: BString,
    /// `client_encoding` of the session.
    pub(super) encoding: String,
    /// Other parameters of the session.
    pub(super) session: Vec<(&'static str, BString)>,
    pub(super) ssl_mode: SslMode,
    pub(super) binding: Binding,
    pub(super) tls: TlsFiles,
    pub(super) limits: Limits,
    pub(super) read_write: bool,
}

/// A session at a server.
pub(super) struct Connection {
    messages: Messages,
    label: String,
    /// Bytes below 128 are ASCII characters and never part of another one.
    ascii_safe: bool,
    /// The backslash is an ordinary character in literals.
    plain_backslash: bool,
    answer_limit: Duration,
    /// The hash of the server's certificate, if logins are to be bound to it.
    end_point: Option<Vec<u8>>,
    /// The proof of the password is bound to it.
    is_bound: bool,
}

impl Session for Connection {
    type Target = Target;

    fn connect(target: &Target, label: &str) -> Result<Self, String> {
        let why = |why: &str| format!("connect to pgsql server {label}: {why}");
        let mut all = String::new();
        for place in target.places.as_deref().map_err(|text| why(text))? {
            match log_in(target, place, label) {
                Ok(mut connection) => {
                    connection.set_encoding(&target.encoding, label)?;
                    return Ok(connection);
                }
                Err(why) => all.push_str(&why),
            }
        }
        Err(why(&all))
    }

    fn is_stale(&self) -> bool {
        self.messages.is_closed()
    }
}

fn log_in(target: &Target, place: &Place, label: &str) -> Result<Connection, String> {
    let end = Instant::now() + target.limits.connect;
    let (mut messages, at) = dial(place, end)?;
    let failed = |why| format!("{at} failed: {why}");
    let privacy = want_encryption(&mut messages, target, place, end).map_err(failed)?;
    let mut certificate = None;
    match privacy {
        Privacy::None => {}
        Privacy::Encrypted(shown) => certificate = Some(shown),
        Privacy::Spoilt(plain) => messages = *plain,
    }
    if certificate.is_none() && target.binding == Binding::Require {
        return Err(failed(
            "channel binding required, but SSL not in use\n".to_owned(),
        ));
    }
    dial::limit(messages.channel(), end);
    let mut connection = Connection::new(messages, target, label);
    if target.binding != Binding::Disable {
        connection.end_point = certificate.and_then(|certificate| end_point(&certificate));
    }
    connection.start(target).map_err(failed)?;
    if target.read_write {
        connection.want_read_write().map_err(failed)?;
    }
    Ok(connection)
}

/// Connects, and tells in libpq's words to what.
fn dial(place: &Place, end: Instant) -> Result<(Messages, String), String> {
    match place {
        Place::Socket(path) => {
            let at = format!("connection to server on socket \"{path}\"");
            let channel = dial::dial_unix(path, end).map_err(|error| {
                let why = io_text(&error);
                format!(
                    "{at} failed: {why}\n\tIs the server running locally and accepting connections on that socket?\n"
                )
            })?;
            Ok((Messages::new(channel), at))
        }
        Place::Inet(host, port) => {
            let at = |address: Option<IpAddr>| match address {
                Some(address) => {
                    format!("connection to server at \"{host}\" ({address}), port {port}")
                }
                None => format!("connection to server at \"{host}\", port {port}"),
            };
            let channel = dial::dial(host, *port, end).map_err(|error| match error {
                DialError::Name(error) => {
                    // The standard library puts its own words before the system's.
                    let text = error.to_string();
                    let why = text.rsplit(": ").next().unwrap_or_default();
                    format!("could not translate host name \"{host}\" to address: {why}\n")
                }
                DialError::Connect { address, error } => format!(
                    "{} failed: {}\n\tIs the server running on that host and accepting TCP/IP connections?\n",
                    at(address),
                    io_text(&error)
                ),
            })?;
            let peer = channel.peer_address().map(|address| address.ip());
            let peer = peer.filter(|_| host.parse::<IpAddr>().is_err());
            Ok((Messages::new(channel), at(peer)))
        }
    }
}

/// What came of the wish for encryption.
enum Privacy {
    None,
    /// With the server's certificate.
    Encrypted(Vec<u8>),
    /// It was tried in vain; this connection takes the place of the other.
    Spoilt(Box<Messages>),
}

/// Encrypts the connection as the mode wants.
fn want_encryption(
    messages: &mut Messages,
    target: &Target,
    place: &Place,
    end: Instant,
) -> Result<Privacy, String> {
    let Place::Inet(host, _) = place else {
        return Ok(Privacy::None);
    };
    let (files, mode) = (&target.tls, target.ssl_mode);
    let check = match mode {
        SslMode::Disable => return Ok(Privacy::None),
        SslMode::VerifyFull => Check::ChainAndName,
        SslMode::VerifyCa => Check::Chain,
        // As libpq does: with authorities at hand, "require" checks against them.
        SslMode::Require if !files.ca_file.is_empty() => Check::Chain,
        SslMode::Prefer | SslMode::Require => Check::Nothing,
    };
    dial::limit(messages.channel(), end);
    let ask = |buffer: &mut bytes::BytesMut| {
        frontend::ssl_request(buffer);
        Ok(())
    };
    let answer = messages.write(ask).and_then(|()| messages.read_byte());
    let answer = answer.map_err(|error| closed(&error))?;
    if answer != b'S' {
        if mode == SslMode::Prefer {
            return Ok(Privacy::None);
        }
        return Err("server does not support SSL, but SSL was required\n".to_owned());
    }
    match tls::encrypt_and_identify(messages.channel(), files, check, host, end) {
        Ok(certificate) => Ok(Privacy::Encrypted(certificate)),
        Err(error) if mode == SslMode::Prefer && !postern_wire::is_timeout(&error) => {
            let (plain, _) = dial(place, end)?;
            Ok(Privacy::Spoilt(Box::new(plain)))
        }
        Err(error) => Err(format!("SSL error: {}\n", io_text(&error))),
    }
}

/// A connection that broke off.
fn closed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "server closed the connection unexpectedly\n\tThis probably means \
             the server terminated abnormally\n\tbefore or while processing the request.\n"
                .to_owned()
        }
        io::ErrorKind::FileTooLarge => "the answer is too large\n".to_owned(),
        io::ErrorKind::InvalidData => "lost synchronization with server\n".to_owned(),
        _ if postern_wire::is_timeout(error) => "timeout expired\n".to_owned(),
        _ => format!("could not receive data from server: {}\n", io_text(error)),
    }
}

/// Encodings in which no character contains bytes of ASCII characters.
#[rustfmt::skip]
const SAFE: [&str; 16] = [
    "utf8", "unicode", "sqlascii", "eucjp", "euccn", "euckr", "euctw", "koi8r", "koi8u", "koi8", "alt", "abc",
    "tcvn", "tcvn5712", "vscii", "eucjis2004",
];

/// Whether keys with any bytes may be sent in `encoding`. In the others (`SJIS`, `GBK`, …) a byte of the key
/// and a backslash could make one character together.
fn is_safe(encoding: &str) -> bool {
    let plain: String = encoding
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    let families = ["latin", "iso8859", "win", "windows"];
    SAFE.contains(&plain.as_str())
        || families.iter().any(|family| {
            plain.strip_prefix(family).is_some_and(|number| {
                !number.is_empty()
                    && number.bytes().all(|digit| digit.is_ascii_digit())
                    // windows-932, 936, 949 and 950 are SJIS, GBK, UHC and BIG5.
                    && !["932", "936", "949", "950", "54936"].contains(&number)
            })
        })
}

impl Connection {
    fn new(messages: Messages, target: &Target, label: &str) -> Self {
        Self {
            messages,
            label: label.to_owned(),
            ascii_safe: is_safe(&target.encoding),
            plain_backslash: false,
            answer_limit: target.limits.answer,
            end_point: None,
            is_bound: false,
        }
    }

    fn read(&mut self) -> Result<Message, String> {
        let message = self
            .messages
            .read(LONGEST)
            .map_err(|error| closed(&error))?;
        if message.tag == b'E' {
            return Err(complaint(&message.body, b""));
        }
        Ok(message)
    }

    /// The start-up of the session and the proof of the password.
    fn start(&mut self, target: &Target) -> Result<(), String> {
        let user = login_name(&target.user)?;
        let database = if target.database.is_empty() {
            user.clone()
        } else {
            text(BStr::new(&target.database))?
        };
        let more = target
            .session
            .iter()
            .map(|(name, value)| Ok((*name, text(BStr::new(value))?)))
            .collect::<Result<Vec<_>, String>>()?;
        let mut parameters = vec![("user", user.as_str()), ("database", database.as_str())];
        parameters.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        self.send(|buffer| frontend::startup_message(parameters, buffer))?;
        let mut scram = None;
        loop {
            let message = self.read()?;
            match message.tag {
                b'R' => self.authenticate(&message.body, target, &user, &mut scram)?,
                b'S' => self.take_parameter(&message.body),
                b'Z' => return Ok(()),
                // Notices, and the key for cancelling, which nobody uses.
                b'N' | b'K' | b'v' => {}
                _ => return Err(closed(&io::ErrorKind::InvalidData.into())),
            }
        }
    }

    fn send(
        &mut self,
        fill: impl FnOnce(&mut bytes::BytesMut) -> io::Result<()>,
    ) -> Result<(), String> {
        self.messages.write(fill).map_err(|error| closed(&error))
    }

    fn take_parameter(&mut self, body: &[u8]) {
        if let Some((name, value)) = name_and_value(body)
            && name == "standard_conforming_strings"
        {
            self.plain_backslash = value == "on";
        }
    }

    /// One step of the proof.
    fn authenticate(
        &mut self,
        body: &[u8],
        target: &Target,
        user: &str,
        scram: &mut Option<ScramSha256>,
    ) -> Result<(), String> {
        let bad = || closed(&io::ErrorKind::InvalidData.into());
        let (kind, data) = body.split_first_chunk::<4>().ok_or_else(bad)?;
        let kind = u32::from_be_bytes(*kind);
        let password = &target.password;
        if matches!(kind, 3 | 5 | 10) && password.is_empty() {
            return Err("fe_sendauth: no password supplied\n".to_owned());
        }
        // A login that was not bound has not proved who is at the other end.
        if target.binding == Binding::Require && matches!(kind, 3 | 5) {
            return Err(
                "channel binding required but not supported by server's authentication request\n"
                    .to_owned(),
            );
        }
        match kind {
            // A server that does not know the password must not go without its own proof.
            0 if scram.is_some() => {
                Err("server did not prove that it knows the password\n".to_owned())
            }
            0 if target.binding == Binding::Require && !self.is_bound => Err(
                "channel binding required, but server authenticated client without channel binding\n"
                    .to_owned(),
            ),
            0 => Ok(()),
            3 => self.send(|buffer| frontend::password_message(password, buffer)),
            5 => {
                let salt = data.first_chunk::<4>().ok_or_else(bad)?;
                let hash = md5_hash(user.as_bytes(), password, *salt);
                self.send(|buffer| frontend::password_message(hash.as_bytes(), buffer))
            }
            10 => {
                let (mechanism, binding) = self.choose_mechanism(data, target.binding)?;
                let state = scram.insert(ScramSha256::new(password, binding));
                let first = state.message().to_vec();
                self.is_bound = mechanism == SCRAM_SHA_256_PLUS;
                self.send(|buffer| frontend::sasl_initial_response(mechanism, &first, buffer))
            }
            11 => {
                let state = scram.as_mut().ok_or_else(bad)?;
                if rounds(data).is_none_or(|rounds| rounds > MOST_ROUNDS) {
                    return Err("invalid SCRAM response (iteration count)\n".to_owned());
                }
                state.update(data).map_err(|error| format!("{error}\n"))?;
                let proof = state.message().to_vec();
                self.send(|buffer| frontend::sasl_response(&proof, buffer))
            }
            12 => {
                let mut state = scram.take().ok_or_else(bad)?;
                state.finish(data).map_err(|error| format!("{error}\n"))
            }
            _ => Err(format!("authentication method {kind} not supported\n")),
        }
    }

    /// The mechanism among those that the server offers, and what the proof says of the channel.
    fn choose_mechanism(
        &self,
        offered: &[u8],
        wanted: Binding,
    ) -> Result<(&'static str, ChannelBinding), String> {
        let offers = |wanted: &str| {
            offered
                .split_str(b"\0")
                .any(|name| name == wanted.as_bytes())
        };
        match &self.end_point {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => Ok((
                SCRAM_SHA_256_PLUS,
                ChannelBinding::tls_server_end_point(hash.clone()),
            )),
            _ if wanted == Binding::Require => Err(
                "channel binding is required, but server did not offer an authentication method that supports channel binding\n"
                    .to_owned(),
            ),
            _ if !offers(SCRAM_SHA_256) => Err(
                "none of the server's SASL authentication mechanisms are supported\n".to_owned(),
            ),
            // The server hears that its offer of a binding, if it made one, was lost on the way.
            Some(_) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
            None => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
        }
    }

    fn set_encoding(&mut self, encoding: &str, label: &str) -> Result<(), String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let set = format!("SET client_encoding TO '{encoding}'");
        if encoding.bytes().all(is_name) && self.run(set.as_bytes()).is_ok() {
            return Ok(());
        }
        Err(format!(
            "dict_pgsql: cannot set the encoding to {encoding}, skipping {label}"
        ))
    }

    fn want_read_write(&mut self) -> Result<(), String> {
        let cells = self.run(b"SHOW transaction_read_only");
        match cells.as_deref() {
            Ok([Some(value)]) if value == "off" => Ok(()),
            _ => Err("session is read-only\n".to_owned()),
        }
    }

    /// The columns that `query` filled with `key` gives.
    pub(super) fn query(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, Failure> {
        if !self.ascii_safe && !key.is_ascii() {
            return Err(Failure::Unsafe(format!(
                "pgsql query failed: the key cannot be quoted safely in the encoding of host {}",
                self.label
            )));
        }
        let plain_backslash = self.plain_backslash;
        let quote = |text: &[u8], out: &mut Vec<u8>| quote(text, plain_backslash, out);
        let Some(text) = query.fill_query(key, &quote) else {
            return Ok(Vec::new());
        };
        dial::limit(self.messages.channel(), Instant::now() + self.answer_limit);
        self.run(&text)
    }

    /// Runs `text` and gives the columns of its last statement.
    fn run(&mut self, text: &[u8]) -> Result<Vec<Cell>, Failure> {
        let label = self.label.clone();
        let fatal = |why: &str| format!("pgsql query failed: fatal error from host {label}: {why}");
        self.messages
            .query(text)
            .map_err(|error| judge(&error, fatal(&closed(&error))))?;
        let (mut cells, mut room) = (Vec::new(), LARGEST_ANSWER);
        let mut verdict = Ok(());
        loop {
            let message = self.messages.read(room);
            let message = message.map_err(|error| judge(&error, fatal(&closed(&error))))?;
            let body = &message.body;
            // Small messages cost memory, too.
            room = room.saturating_sub(body.len() + 32);
            match message.tag {
                b'Z' => return verdict.map(|()| cells),
                b'T' => cells.clear(),
                b'D' => match columns(body) {
                    Some(row) => cells.extend(row),
                    None => {
                        let text = format!("pgsql query failed: protocol error, host {label}");
                        return Err(Failure::Spoilt(text));
                    }
                },
                b'E' => verdict = Err(Failure::Refused(fatal(&complaint(body, text)))),
                b'S' => self.take_parameter(body),
                b'I' => verdict = Err(unknown(0, &label)),
                // Data in or out belongs to no lookup; the session is of no use any more.
                b'G' | b'W' => return Err(Failure::Spoilt(unknown_text(4, &label))),
                b'H' => verdict = Err(unknown(3, &label)),
                // Done with a statement, notices, data that goes out.
                b'C' | b'N' | b'A' | b'd' | b'c' => {}
                _ => {
                    let text = format!("pgsql query failed: protocol error, host {label}");
                    return Err(Failure::Spoilt(text));
                }
            }
        }
    }
}

fn unknown(code: u8, label: &str) -> Failure {
    Failure::Refused(unknown_text(code, label))
}

fn unknown_text(code: u8, label: &str) -> String {
    format!("pgsql query failed: unknown code 0x{code:x} from host {label}")
}

/// What a failure of the connection says about the server.
fn judge(error: &io::Error, text: String) -> Failure {
    if postern_wire::is_timeout(error) {
        Failure::Late(text)
    } else if matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge
    ) {
        Failure::Spoilt(text)
    } else {
        Failure::Lost(text)
    }
}

/// Appends `text` for the inside of a literal.
fn quote(text: &[u8], plain_backslash: bool, out: &mut Vec<u8>) {
    for &byte in text {
        if byte == b'\'' || (byte == b'\\' && !plain_backslash) {
            out.push(byte);
        }
        out.push(byte);
    }
}

fn text(bytes: &BStr) -> Result<String, String> {
    let text = bytes.to_str().ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned)
        .ok_or_else(|| "non-UTF-8 connection option\n".to_owned())
}

/// The name to log in with; without one, that of whom the process runs as.
fn login_name(own: &BString) -> Result<String, String> {
    if !own.is_empty() {
        return text(BStr::new(own));
    }
    let id = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(id).ok().flatten();
    user.map(|user| user.name)
        .ok_or_else(|| format!("local user with ID {id} does not exist\n"))
}

/// The rounds that the server's first SCRAM message asks for.
fn rounds(message: &[u8]) -> Option<u32> {
    let field = message
        .split_str(b",")
        .find_map(|field| field.strip_prefix(b"i="))?;
    field.to_str().ok()?.parse().ok()
}

impl Drop for Connection {
    fn drop(&mut self) {
        dial::limit(self.messages.channel(), Instant::now());
        let _ = self.messages.write(|buffer| {
            frontend::terminate(buffer);
            Ok(())
        });
    }
}

/// The doors for the targets of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    use super::*;

    /// A login, or a session after it, at a server that says what is in `channel`; then a query.
    pub(crate) fn session(channel: postern_wire::Channel, is_logged_in: bool) {
        let target = Target {
            places: Ok(Vec::new()),
            user: "user".into(),
            password: "secret".into(),
            database: "mail".into(),
            encoding: "UTF8".to_owned(),
            session: Vec::new(),
            ssl_mode: SslMode::Disable,
            binding: Binding::Prefer,
            tls: TlsFiles::default(),
            limits: Limits::USUAL,
            read_write: true,
        };
        let mut connection = Connection::new(Messages::new(channel), &target, "fuzz");
        dial::limit(
            connection.messages.channel(),
            Instant::now() + target.limits.connect,
        );
        if !is_logged_in
            && (connection.start(&target).is_err()
                || connection.want_read_write().is_err()
                || connection.set_encoding(&target.encoding, "fuzz").is_err())
        {
            return;
        }
        if let Ok(template) = Template::query("fuzz", BStr::new("SELECT a FROM t WHERE k = '%s'")) {
            let _ = connection.query(&template, BStr::new("o'key"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodings_with_ascii_bytes_inside_characters_are_known() {
        for safe in [
            "UTF8",
            "UTF-8",
            "LATIN1",
            "latin-9",
            "ISO_8859_5",
            "SQL_ASCII",
            "WIN1252",
            "EUC_JP",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for other in [
            "SJIS",
            "GBK",
            "BIG5",
            "UHC",
            "JOHAB",
            "GB18030",
            "win932",
            "Windows936",
            "",
            "new",
        ] {
            assert!(!is_safe(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_proof_of_a_server_is_good_or_bad(first: Vec<u8>, text in "r=[a-z]{0,3},s=[a-z=]{0,5},i=[0-9]{0,2}") {
            for bytes in [first.as_slice(), text.as_bytes()] {
                let mut state = ScramSha256::new(b"p", ChannelBinding::unsupported());
                let _ = rounds(bytes);
                let _ = state.update(bytes);
                let _ = state.finish(bytes);
            }
        }

        #[test]
        fn no_key_leaves_its_literal(
            key in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\''), Just(b'\\')], 0..40),
            plain_backslash: bool,
        ) {
            let mut literal = Vec::new();
            quote(&key, plain_backslash, &mut literal);
            let (mut rest, mut read) = (literal.as_slice(), Vec::new());
            while let Some((&byte, tail)) = rest.split_first() {
                rest = tail;
                read.push(byte);
                if byte == b'\'' || (byte == b'\\' && !plain_backslash) {
                    // Only pairs: neither the end of the literal nor an escape of something else.
                    prop_assert_eq!(rest.first(), Some(&byte));
                    rest = &rest[1..];
                }
            }
            prop_assert_eq!(read, key);
        }
    }
}
