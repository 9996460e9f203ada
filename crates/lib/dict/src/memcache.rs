//! `memcache`: a cache server, with a slower table behind it where one is set.
//!
//! A value that is not in the cache comes from the `backup` table, and the cache learns it. The cache
//! may always lose entries; the backup decides. Source: memcache_table(5).

mod protocol;

use bstr::{BStr, BString};
use postern_config::Config;
use postern_wire::{Channel, Deadline};
use std::io::{self, Write};
use std::time::Duration;

use crate::client_config::ClientConfig;
use crate::digest::Digest;
use crate::expansion::{DomainFilter, Template, verbatim};
use crate::network::Server;
use crate::{
    Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown, split_type_name,
    try_open,
};

#[cfg(fuzzing)]
pub(crate) use protocol::fuzzing;
use protocol::{Limits, ReplyError, read_status, read_value};

/// In place of a `timeout` of zero, which would wait for ever.
const LONGEST: Duration = Duration::from_secs(3600);
/// How much of an unexpected reply goes to the log, up to Postfix 3.10 and from 3.11.
const SHOWN: [usize; 2] = [30, 100];

struct Memcache {
    name: String,
    flags: Flags,
    key_format: Template,
    digest: Option<Digest>,
    domains: DomainFilter,
    backup: Option<Box<dyn Table>>,
    client: Client,
    /// What `set` says beside the key: flags and time to live.
    flags_ttl: (i32, i32),
}

/// The connection and its limits.
struct Client {
    /// `type:name` and name, for messages.
    table: String,
    source: String,
    server: Server,
    channel: Option<Channel>,
    timeout: Duration,
    limits: Limits,
    max_try: u32,
    retry_pause: Duration,
    /// Bytes of an unexpected reply in messages.
    shown: usize,
}

/// Opens `memcache:name`; the connection is made by the first request.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let table = format!("memcache:{name}");
    if flags.contains(Flags::NO_UNAUTH) {
        return Err(OpenError(format!(
            "{table} map is not allowed for security-sensitive data"
        )));
    }
    let settings = ClientConfig::open(config, name)?;
    let client = client(config, &settings, table.clone(), name)?;
    let key_format = Template::query(name, BStr::new(&settings.bytes("key_format", "%s")))?;
    let digest = Digest::open(name, &settings.string("key_digest", "")?)?;
    let flags_ttl = (
        settings.int("flags", 0, None, None)?,
        settings.int("ttl", 3600, None, None)?,
    );
    let domains = DomainFilter::open(config, name, &settings.string("domain", "")?);
    let backup = settings.string("backup", "")?;
    let backup = match backup.as_str() {
        "" => None,
        backup => {
            split_type_name(backup)?;
            Some(try_open(config, backup, mode, flags)?)
        }
    };
    Ok(Box::new(Memcache {
        name: table,
        flags: flags | Flags::FIXED | Flags::MULTI_WRITER,
        key_format,
        digest,
        domains,
        backup,
        client,
        flags_ttl,
    }))
}

fn client(
    config: &Config,
    settings: &ClientConfig<'_>,
    table: String,
    name: &str,
) -> Result<Client, OpenError> {
    let count = |parameter: &str, default: i32, min: i32| {
        let value = settings.int(parameter, default, Some(min), None)?;
        Ok::<u32, OpenError>(u32::try_from(value).unwrap_or(0))
    };
    let size = |parameter: &str, default: i32| {
        let value = count(parameter, default, 1)?;
        Ok::<usize, OpenError>(usize::try_from(value).unwrap_or(usize::MAX))
    };
    let timeout = match count("timeout", 2, 0)? {
        0 => LONGEST,
        seconds => Duration::from_secs(seconds.into()),
    };
    Ok(Client {
        table,
        source: name.to_owned(),
        server: Server::parse(&settings.string("memcache", "inet:localhost:11211")?)?,
        channel: None,
        timeout,
        limits: Limits {
            line: size("line_size_limit", 1024)?,
            data: size("data_size_limit", 10240)?,
        },
        max_try: count("max_try", 2, 1)?,
        retry_pause: Duration::from_secs(count("retry_pause", 1, 1)?.into()),
        shown: if config.look().message_texts() {
            SHOWN[1]
        } else {
            SHOWN[0]
        },
    })
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The server takes no connection; already logged.
    #[error("{}", io_text(.0))]
    Connect(io::Error),
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl Client {
    /// Does `request` and lets `read` take the reply, with new tries as set. `what` begins the message
    /// about a reply that is refused.
    fn ask<T>(
        &mut self,
        what: Complaint,
        request: &[u8],
        read: impl Fn(&mut Channel, &Limits) -> Result<T, ReplyError>,
    ) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.attempt(request, &read) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.channel = None;
            let Failure::Reply(why) = &error else {
                return Err(error);
            };
            // The first failure may be no more than an old connection.
            if tries > 1 {
                self.complain(what, why);
            }
            if tries >= self.max_try {
                return Err(error);
            }
            std::thread::sleep(self.retry_pause);
        }
    }

    fn attempt<T>(
        &mut self,
        request: &[u8],
        read: impl Fn(&mut Channel, &Limits) -> Result<T, ReplyError>,
    ) -> Result<T, Failure> {
        if self
            .channel
            .as_ref()
            .is_some_and(Channel::is_closed_by_peer)
        {
            self.channel = None;
        }
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => {
                let server = &self.server;
                let connected = server.connect(self.timeout).map_err(|error| {
                    log::warn!("connect to {server}: {}", io_text(&error));
                    Failure::Connect(error)
                })?;
                self.channel.insert(connected)
            }
        };
        channel.set_deadline(Some(Deadline {
            limit: self.timeout,
            min_data_rate: 0,
        }));
        channel.write_all(request).map_err(ReplyError::Io)?;
        Ok(read(channel, &self.limits)?)
    }

    fn complain(&self, what: Complaint, error: &ReplyError) {
        let (table, source) = (&self.table, &self.source);
        match error {
            ReplyError::Io(error) => {
                log::warn!("database {table}: I/O error: {}", io_text(error));
            }
            ReplyError::TooLong => log::warn!("database {table}: I/O error"),
            ReplyError::Eof => log::warn!("{source}: EOF receiving memcache server reply"),
            ReplyError::Unexpected(line) => {
                let line = shown(line.get(..self.shown).unwrap_or(line));
                match what {
                    Complaint::Lookup => {
                        log::warn!("{source}: unexpected memcache server reply: {line}");
                    }
                    Complaint::Update => log::warn!("database {table}: update failed: {line}"),
                    Complaint::Delete => log::warn!("database {table}: delete failed: {line}"),
                }
            }
        }
    }

    fn error(&self, failure: &Failure) -> LookupError {
        LookupError::retry(self.table.clone(), failure.to_string())
    }
}

/// A request of `parts` and a line end.
fn command(parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat().as_slice(), b"\r\n"].concat()
}

/// How a refused request is reported.
#[derive(Debug, Clone, Copy)]
enum Complaint {
    Lookup,
    Update,
    Delete,
}

impl Memcache {
    /// The key as the server gets it; `None` when there is nothing to ask for.
    fn server_key(&mut self, key: &BStr) -> Result<Option<BString>, LookupError> {
        let admitted = self.domains.admits(key).map_err(|error| LookupError {
            table: self.name.clone(),
            ..error
        })?;
        if !admitted {
            return Ok(None);
        }
        let filled = self.key_format.fill_query(key, &verbatim);
        let filled = filled.map(|text| match &self.digest {
            Some(digest) => digest.hex(&text),
            None => text,
        });
        // A blank or a line end would make another request of it.
        let safe = |text: &BString| {
            !text.is_empty()
                && !text
                    .iter()
                    .any(|byte| *byte == b' ' || byte.is_ascii_control())
        };
        Ok(filled.filter(safe))
    }

    /// As [`Memcache::server_key`] for changes, which are not left out silently.
    fn key_to_change(&mut self, what: &str, key: &BStr) -> Result<Option<BString>, LookupError> {
        let found = self.server_key(key)?;
        if found.is_none() {
            log::warn!(
                "database {}: skipping {what} for key {}",
                self.name,
                shown(key)
            );
        }
        Ok(found)
    }

    fn get(&mut self, key: &BStr) -> Result<Option<BString>, Failure> {
        let request = command(&[b"get ", key]);
        let wanted = key.to_owned();
        self.client
            .ask(Complaint::Lookup, &request, |channel, limits| {
                read_value(channel, BStr::new(&wanted), limits)
            })
    }

    fn set(&mut self, key: &BStr, value: &BStr) -> Result<(), Failure> {
        let limit = self.client.limits.data;
        if value.len() > limit {
            let (table, key) = (&self.name, shown(key));
            log::warn!(
                "database {table}: data for key {key} is too long (data_size_limit={limit}) -- not stored"
            );
            return Err(Failure::Reply(ReplyError::TooLong));
        }
        let (flags, ttl) = self.flags_ttl;
        let head = format!(" {flags} {ttl} {}\r\n", value.len());
        let request = command(&[b"set ", key, head.as_bytes(), value]);
        self.client
            .ask(Complaint::Update, &request, |channel, limits| {
                read_status(channel, limits, &[b"STORED"]).map(|_| ())
            })
    }

    fn remove(&mut self, key: &BStr) -> Result<bool, Failure> {
        let request = command(&[b"delete ", key]);
        self.client
            .ask(Complaint::Delete, &request, |channel, limits| {
                Ok(read_status(channel, limits, &[b"NOT_FOUND", b"DELETED"])? == 1)
            })
    }
}

impl Table for Memcache {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let Some(server_key) = self.server_key(key)? else {
            return Ok(None);
        };
        let server_key = BStr::new(&server_key);
        let answer = self.get(server_key);
        let Some(backup) = &mut self.backup else {
            return answer.map_err(|failure| self.client.error(&failure));
        };
        if let Ok(Some(value)) = answer {
            return Ok(Some(value));
        }
        let Some(value) = backup.lookup(key)? else {
            return Ok(None);
        };
        // A cache that cannot be told costs time at the next lookup, no more; already logged. One
        // that takes no connection is not asked again.
        if answer.is_ok() {
            let _ = self.set(server_key, BStr::new(&value));
        }
        Ok(Some(value))
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let Some(server_key) = self.key_to_change("update", key)? else {
            return Ok(());
        };
        let backed = self.backup.as_mut().map(|backup| backup.update(key, value));
        let cached = self.set(BStr::new(&server_key), value);
        if cached.is_err() && backed.is_some() {
            // Better no entry than an old one.
            let _ = self.remove(BStr::new(&server_key));
        }
        backed.unwrap_or_else(|| cached.map_err(|failure| self.client.error(&failure)))
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let Some(server_key) = self.key_to_change("delete", key)? else {
            return Ok(false);
        };
        let backed = self.backup.as_mut().map(|backup| backup.delete(key));
        let cached = self.remove(BStr::new(&server_key));
        backed.unwrap_or_else(|| cached.map_err(|failure| self.client.error(&failure)))
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        match &mut self.backup {
            Some(backup) => backup.sequence(restart),
            None => {
                let text = "first/next support requires backup database";
                log::warn!("database {}: {text}", self.name);
                // As Postfix: nothing to list rather than an error.
                Ok(None)
            }
        }
    }
    fn changed(&self) -> bool {
        self.backup.as_ref().is_some_and(|backup| backup.changed())
    }
}
