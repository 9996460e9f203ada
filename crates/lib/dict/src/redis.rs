//! `redis`: keys and values in a Redis or Valkey server; an extension of ours.
//!
//! The settings are named and work as those of `memcache`: see [`open`]. Lookups are `GET`, changes `SET`
//! with a time to live and `DEL`, and a listing is `SCAN`. As with `memcache`, whoever reaches the server
//! can write, so that tables with security-sensitive data are refused.

mod protocol;

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_wire::{Channel, Deadline};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Instant;

use crate::cache_server::{Keys, Patience, connection};
use crate::client_config::ClientConfig;
use crate::expansion::{DomainFilter, Template};
use crate::network::Server;
use crate::simple::not_sensitive;
use crate::tls::{self, Check, TlsFiles};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown};

#[cfg(fuzzing)]
pub(crate) use protocol::fuzzing;
use protocol::{Limits, Reply, ReplyError, command, read_reply};

/// How many keys a step of a listing asks for.
const SCAN_COUNT: &[u8] = b"100";

struct Redis {
    flags: Flags,
    keys: Keys,
    /// Whether the key format is the key alone, so that keys can be listed.
    is_plain: bool,
    /// Comes before every key; tables that share a database differ in it.
    prefix: BString,
    /// Seconds that a stored value lives; 0 is for ever.
    ttl: u32,
    client: Client,
    listing: Option<Listing>,
}

/// A listing that is going on.
struct Listing {
    /// Where `SCAN` goes on; none when it has been everywhere.
    cursor: Option<BString>,
    /// Keys that were found, as the server has them.
    keys: VecDeque<BString>,
}

struct Client {
    /// `type:name`, for messages.
    table: String,
    server: Server,
    channel: Option<Channel>,
    patience: Patience,
    limits: Limits,
    database: u32,
    username: BString,
    password: BString,
    /// TLS, and how the server is checked.
    tls: Option<(TlsFiles, Check)>,
}

/// Opens `redis:name`; the connection is made by the first request.
///
/// Parameters: `redis` (`inet:localhost:6379`, or `unix:path`), `db` (0), `username`, `password`,
/// `key_format` (`%s`), `key_prefix`, `domain`, `ttl` (3600 seconds, 0 for ever), `timeout` (2),
/// `max_try` (2), `retry_pause` (1), `data_size_limit` (102400), `tls` (no), `tls_verify_cert` (yes),
/// `tls_CAfile`, `tls_CApath`, `tls_cert_file`, `tls_key_file`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    _mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let table = format!("redis:{name}");
    not_sensitive("redis", name, flags)?;
    let settings = ClientConfig::open(config, name)?;
    let format = settings.bytes("key_format", "%s");
    Ok(Box::new(Redis {
        client: client(&settings, table.clone())?,
        flags: flags | Flags::FIXED | Flags::MULTI_WRITER,
        keys: Keys {
            table,
            format: Template::query(name, BStr::new(&format))?,
            domains: DomainFilter::open(config, name, &settings.string("domain", "")?),
        },
        is_plain: format == "%s",
        prefix: settings.bytes("key_prefix", ""),
        ttl: settings.count("ttl", 3600, 0)?,
        listing: None,
    }))
}

fn client(settings: &ClientConfig<'_>, table: String) -> Result<Client, OpenError> {
    let patience = Patience::open(settings)?;
    let data = settings.count("data_size_limit", 102_400, 1)?;
    Ok(Client {
        table,
        server: Server::parse(&settings.string("redis", "inet:localhost:6379")?)?,
        channel: None,
        patience,
        limits: Limits {
            data: usize::try_from(data).unwrap_or(usize::MAX),
        },
        database: settings.count("db", 0, 0)?,
        username: settings.bytes("username", ""),
        password: settings.bytes("password", ""),
        tls: encryption(settings)?,
    })
}

fn encryption(settings: &ClientConfig<'_>) -> Result<Option<(TlsFiles, Check)>, OpenError> {
    let files = TlsFiles {
        ca_file: settings.string("tls_CAfile", "")?,
        ca_path: settings.string("tls_CApath", "")?,
        cert_file: settings.string("tls_cert_file", "")?,
        key_file: settings.string("tls_key_file", "")?,
        ciphers: String::new(),
    };
    let check = if settings.boolean("tls_verify_cert", true)? {
        Check::ChainAndName
    } else {
        Check::Nothing
    };
    Ok(settings.boolean("tls", false)?.then_some((files, check)))
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The server takes no connection; not tried again.
    #[error("{}", io_text(.0))]
    Connect(io::Error),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The server refuses.
    #[error("{}", shown(.0))]
    Refused(BString),
}

impl Client {
    /// Sends a request and gives its reply, with new tries as set.
    fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, LookupError> {
        let request = command(words);
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.attempt(&request) {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            self.channel = None;
            let again = match &failure {
                Failure::Connect(_) => false,
                Failure::Reply(_) => true,
                // While it loads its data after a start.
                Failure::Refused(text) => text.starts_with(b"LOADING"),
            };
            if !again || tries >= self.patience.max_try {
                return Err(self.error(&failure));
            }
            std::thread::sleep(self.patience.retry_pause);
        }
    }

    /// Logs a failure and makes it the table's.
    fn error(&self, failure: &Failure) -> LookupError {
        let (table, server) = (&self.table, &self.server);
        match failure {
            Failure::Connect(error) => log::warn!("connect to {server}: {}", io_text(error)),
            Failure::Reply(error) => log::warn!("database {table}: I/O error: {error}"),
            Failure::Refused(text) => log::warn!("database {table}: {}", shown(text)),
        }
        LookupError::retry(self.table.clone(), failure.to_string())
    }

    /// A reply of another kind than the request has: whatever comes next on the connection may be out of
    /// step, too.
    fn unexpected(&mut self) -> LookupError {
        self.channel = None;
        let text = "unexpected reply of the server";
        log::warn!("database {}: {text}", self.table);
        LookupError::retry(self.table.clone(), text)
    }

    fn attempt(&mut self, request: &[u8]) -> Result<Reply, Failure> {
        let mut kept = self.channel.take();
        let channel = connection(&mut kept, || self.connect())?;
        let end = Instant::now() + self.patience.timeout;
        let answer = exchange(channel, request, &self.limits, end);
        self.channel = kept;
        answer
    }

    /// Connects, encrypts, logs in and chooses the database, all within the timeout.
    fn connect(&self) -> Result<Channel, Failure> {
        let end = Instant::now() + self.patience.timeout;
        let server = self.server.connect(self.patience.timeout);
        let mut channel = server.map_err(Failure::Connect)?;
        if let Some((files, check)) = &self.tls {
            tls::encrypt(&mut channel, files, *check, self.server.host(), end)
                .map_err(Failure::Connect)?;
        }
        if !self.password.is_empty() {
            let (username, password) = (self.username.as_slice(), self.password.as_slice());
            let words = [b"AUTH".as_slice(), username, password];
            let request = if username.is_empty() {
                command(&[b"AUTH", password])
            } else {
                command(&words)
            };
            exchange(&mut channel, &request, &self.limits, end)?;
        }
        if self.database != 0 {
            let number = self.database.to_string();
            let request = command(&[b"SELECT", number.as_bytes()]);
            exchange(&mut channel, &request, &self.limits, end)?;
        }
        Ok(channel)
    }
}

/// One request and its reply before `end`; a reply that is an error becomes one.
fn exchange(
    channel: &mut Channel,
    request: &[u8],
    limits: &Limits,
    end: Instant,
) -> Result<Reply, Failure> {
    let limit = end.saturating_duration_since(Instant::now());
    if limit.is_zero() {
        return Err(ReplyError::Io(postern_wire::timed_out()).into());
    }
    channel.set_deadline(Some(Deadline {
        limit,
        min_data_rate: 0,
    }));
    channel.write_all(request).map_err(ReplyError::Io)?;
    match read_reply(channel, limits)? {
        Reply::Error(text) => Err(Failure::Refused(text)),
        reply => Ok(reply),
    }
}

impl Redis {
    /// The key as the server gets it; `None` when there is nothing to ask for.
    fn server_key(&mut self, key: &BStr) -> Result<Option<BString>, LookupError> {
        let filled = self.keys.fill(key)?;
        let filled = filled.filter(|text| !text.is_empty());
        Ok(filled.map(|text| [self.prefix.as_slice(), &text].concat().into()))
    }

    /// As [`Redis::server_key`] for changes, which are not left out silently.
    fn key_to_change(&mut self, what: &str, key: &BStr) -> Result<Option<BString>, LookupError> {
        let found = self.server_key(key)?;
        if found.is_none() {
            self.keys.tell_skipped(what, key);
        }
        Ok(found)
    }

    fn get(&mut self, server_key: &[u8]) -> Lookup {
        match self.client.ask(&[b"GET", server_key])? {
            Reply::Bulk(value) => Ok(value),
            _ => Err(self.client.unexpected()),
        }
    }

    /// Asks for more keys; whether there can be any.
    fn scan(&mut self) -> Result<bool, LookupError> {
        let cursor = self
            .listing
            .as_mut()
            .and_then(|listing| listing.cursor.take());
        let Some(cursor) = cursor else {
            return Ok(false);
        };
        let mut pattern = glob_literal(&self.prefix);
        pattern.push(b'*');
        let words = [
            b"SCAN",
            cursor.as_slice(),
            b"MATCH",
            &pattern,
            b"COUNT",
            SCAN_COUNT,
        ];
        let Reply::Array(parts) = self.client.ask(&words)? else {
            return Err(self.client.unexpected());
        };
        let Ok([Reply::Bulk(Some(cursor)), Reply::Array(keys)]) = <[Reply; 2]>::try_from(parts)
        else {
            return Err(self.client.unexpected());
        };
        let keys = keys.into_iter().filter_map(|key| match key {
            Reply::Bulk(key) => key,
            _ => None,
        });
        if let Some(listing) = &mut self.listing {
            listing.keys.extend(keys);
            listing.cursor = (cursor != "0").then_some(cursor);
        }
        Ok(true)
    }
}

/// `text` for a pattern that matches it alone.
fn glob_literal(text: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(text.len());
    for &byte in text {
        if b"*?[]^-\\".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern
}

impl Table for Redis {
    fn name(&self) -> &str {
        &self.keys.table
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        match self.server_key(key)? {
            Some(server_key) => self.get(&server_key),
            None => Ok(None),
        }
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let Some(server_key) = self.key_to_change("update", key)? else {
            return Ok(());
        };
        let limit = self.client.limits.data;
        if value.len() > limit {
            let text = format!(
                "data for key {} is too long (data_size_limit={limit}) -- not stored",
                shown(key)
            );
            log::warn!("database {}: {text}", self.keys.table);
            return Err(LookupError::retry(self.keys.table.clone(), text));
        }
        let ttl = self.ttl.to_string();
        let set = [b"SET".as_slice(), &server_key, value];
        let reply = if self.ttl == 0 {
            self.client.ask(&set)?
        } else {
            let expiring = [set.as_slice(), &[b"EX", ttl.as_bytes()]].concat();
            self.client.ask(&expiring)?
        };
        match reply {
            Reply::Simple(text) if text == "OK" => Ok(()),
            _ => Err(self.client.unexpected()),
        }
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let Some(server_key) = self.key_to_change("delete", key)? else {
            return Ok(false);
        };
        match self.client.ask(&[b"DEL", &server_key])? {
            Reply::Integer(count) => Ok(count > 0),
            _ => Err(self.client.unexpected()),
        }
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        if !self.is_plain {
            let text = "first/next support requires \"key_format = %s\"";
            log::warn!("database {}: {text}", self.keys.table);
            return Err(LookupError::config(self.keys.table.clone(), text));
        }
        if restart || self.listing.is_none() {
            self.listing = Some(Listing {
                cursor: Some(BString::from("0")),
                keys: VecDeque::new(),
            });
        }
        loop {
            let next = self
                .listing
                .as_mut()
                .and_then(|listing| listing.keys.pop_front());
            let Some(server_key) = next else {
                if self.scan()? {
                    continue;
                }
                return Ok(None);
            };
            let Some(key) = server_key.strip_prefix(self.prefix.as_slice()) else {
                continue;
            };
            // It may have expired meanwhile.
            if let Some(value) = self.get(&server_key)? {
                return Ok(Some((key.as_bstr().to_owned(), value)));
            }
        }
    }
}
