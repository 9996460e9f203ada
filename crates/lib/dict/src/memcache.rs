//! `memcache`: a cache server, with a slower table behind it where one is set.
//!
//! A value that is not in the cache comes from the `backup` table, and the cache learns it. The cache
//! may always lose entries; the backup decides. Source: memcache_table(5).

mod protocol;

use bstr::{BStr, BString};
use postern_config::Config;
use postern_wire::{Channel, Deadline};
use std::io::{self, Write};

use crate::cache_server::{Keys, Patience, connection};
use crate::client_config::ClientConfig;
use crate::digest::Digest;
use crate::expansion::{DomainFilter, Template};
use crate::network::Server;
use crate::registry::{Unusable, open_part};
use crate::simple::not_sensitive;
use crate::{
    Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown, split_type_name,
};

#[cfg(fuzzing)]
pub(crate) use protocol::fuzzing;
use protocol::{Limits, ReplyError, read_status, read_value};

/// How much of an unexpected reply goes to the log, up to Postfix 3.10 and from 3.11.
const SHOWN: [usize; 2] = [30, 100];

struct Memcache {
    flags: Flags,
    keys: Keys,
    digest: Option<Digest>,
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
    patience: Patience,
    limits: Limits,
    /// Bytes of an unexpected reply in messages.
    shown: usize,
}

/// Opens `memcache:name`; the connection is made by the first request.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
    unusable: Unusable,
) -> Result<Box<dyn Table>, OpenError> {
    let table = format!("memcache:{name}");
    not_sensitive("memcache", name, flags)?;
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
            Some(open_part(config, backup, mode, flags, unusable)?)
        }
    };
    Ok(Box::new(Memcache {
        flags: flags | Flags::FIXED | Flags::MULTI_WRITER,
        keys: Keys {
            table,
            format: key_format,
            domains,
        },
        digest,
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
    let patience = Patience::open(settings)?;
    let size = |parameter: &str, default: i32| {
        let value = settings.count(parameter, default, 1)?;
        Ok::<usize, OpenError>(usize::try_from(value).unwrap_or(usize::MAX))
    };
    Ok(Client {
        table,
        source: name.to_owned(),
        server: Server::parse(&settings.string("memcache", "inet:localhost:11211")?)?,
        channel: None,
        patience,
        limits: Limits {
            line: size("line_size_limit", 1024)?,
            data: size("data_size_limit", 10240)?,
        },
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
            if tries >= self.patience.max_try {
                return Err(error);
            }
            std::thread::sleep(self.patience.retry_pause);
        }
    }

    fn attempt<T>(
        &mut self,
        request: &[u8],
        read: impl Fn(&mut Channel, &Limits) -> Result<T, ReplyError>,
    ) -> Result<T, Failure> {
        let (server, limit) = (&self.server, self.patience.timeout);
        let channel = connection(&mut self.channel, || {
            server.connect(limit).map_err(|error| {
                log::warn!("connect to {server}: {}", io_text(&error));
                Failure::Connect(error)
            })
        })?;
        channel.set_deadline(Some(Deadline {
            limit: self.patience.timeout,
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
        let filled = self.keys.fill(key)?;
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
            self.keys.tell_skipped(what, key);
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
            let (table, key) = (&self.keys.table, shown(key));
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
        &self.keys.table
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
                log::warn!("database {}: {text}", self.keys.table);
                // As Postfix: nothing to list rather than an error.
                Ok(None)
            }
        }
    }
    fn changed(&self) -> bool {
        self.backup.as_ref().is_some_and(|backup| backup.changed())
    }
}
