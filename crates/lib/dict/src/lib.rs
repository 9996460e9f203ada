//! Lookup tables, one module per type, and the lists and searches built on them.
//!
//! A lookup error is never "not found". This crate does not know who asks or what a value means.
//!
//! A table type is a function `open(config, name, mode, flags) -> Result<Box<dyn Table>, OpenError>`
//! and, where `postmap` can build it, `create(config, name, flags) -> Result<Box<dyn Builder>, OpenError>`;
//! `registry` has one line for each.
#![forbid(unsafe_code)]

pub mod alias;
mod bdb;
mod blocks;
mod by_postmap;
pub mod cache;
#[cfg(any(feature = "memcache", feature = "redis"))]
mod cache_server;
mod cdb;
mod cidr;
#[cfg_attr(
    not(all(feature = "ldap", feature = "memcache")),
    allow(dead_code, reason = "each database client uses a part")
)]
mod client_config;
mod composite;
pub mod dbfile;
mod debug_peers;
#[cfg(feature = "memcache")]
mod digest;
mod dns_filter;
mod error;
#[cfg_attr(
    not(all(feature = "ldap", feature = "memcache")),
    allow(dead_code, reason = "each database client uses a part")
)]
mod expansion;
mod flags;
mod hash;
mod layer;
#[cfg(feature = "ldap")]
mod ldap;
pub mod lines;
mod lmdb;
mod maps;
mod match_list;
#[cfg(feature = "memcache")]
mod memcache;
mod migration;
#[cfg(feature = "mongodb")]
mod mongodb;
mod network;
mod nis;
mod prefilter;
mod proxy;
#[cfg(feature = "redis")]
mod redis;
mod registry;
mod rules;
pub mod search;
mod simple;
mod socketmap;
mod sorter;
pub mod source;
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "sqlite"))]
mod sql;
mod strings;
mod surrogate;
mod table;
mod tcp;
mod template;
mod texthash;
#[cfg(feature = "tls")]
#[cfg_attr(
    not(all(feature = "ldap", feature = "mysql")),
    allow(dead_code, reason = "each database client uses a part")
)]
mod tls;
mod unix;

pub use cidr::{Net, NetError};
pub use debug_peers::DebugPeers;
pub use dns_filter::ignores_dns_record;
pub use error::{ErrorKind, Lookup, LookupError, OpenError, io_text, shown};
pub use flags::Flags;
pub use layer::{Layer, decode_base64, fold_ascii, fold_key};
pub use maps::Maps;
pub use match_list::{MatchKind, MatchList, domain_keys, parent_domain_matches};
pub use postern_config::words::grouped_words as split_list;
pub use registry::{
    TYPES, changed_table, check_creatable, create, open, open_mode, open_own, open_small,
    split_type_name, try_open,
};
pub use surrogate::Surrogate;
pub use table::{Answer, Builder, OpenMode, Owner, Table};

/// Doors for the targets of `fuzz/`, which exist only in their builds.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::ldap::fuzzing::{read_filter, read_messages};
    pub use crate::memcache::fuzzing::read_values;
    pub use crate::redis::fuzzing::read_replies;

    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// A session at a MySQL server that says `bytes`: from the greeting on, or after the login.
    pub fn mysql_session(bytes: &[u8], is_logged_in: bool) {
        if let Some((channel, _open)) = spoken(bytes) {
            crate::sql::mysql::fuzzing::session(channel, is_logged_in);
        }
    }

    /// A session at a MongoDB server that says `bytes`: a member of a replica set, or one with a login.
    pub fn mongodb_session(bytes: &[u8], has_login: bool) {
        if let Some((channel, _open)) = spoken(bytes) {
            crate::mongodb::fuzzing::session(channel, has_login);
        }
    }

    /// Reads `text` as a query for a MongoDB server, filled with `key`, and as a connection string.
    pub fn mongodb_texts(text: &str, key: &str) {
        crate::mongodb::fuzzing::read_texts(text, key);
    }

    /// As [`mysql_session`], at a PostgreSQL server.
    pub fn pgsql_session(bytes: &[u8], is_logged_in: bool) {
        if let Some((channel, _open)) = spoken(bytes) {
            crate::sql::pgsql::fuzzing::session(channel, is_logged_in);
        }
    }

    /// The verdict on certificates: the first two bytes say how long the trusted one is, the server's follows.
    pub fn judge_certificates(bytes: &[u8]) {
        crate::tls::fuzzing::judge(bytes);
    }

    /// A connection to somebody who said `bytes` and will say no more, and the other end, which takes
    /// what is written. The bytes must fit into the system's buffers, because nobody waits there.
    fn spoken(bytes: &[u8]) -> Option<(postern_wire::Channel, UnixStream)> {
        const ROOM: usize = 64 * 1024;
        let (ours, mut theirs) = UnixStream::pair().ok()?;
        theirs.write_all(bytes.get(..ROOM).unwrap_or(bytes)).ok()?;
        theirs.shutdown(std::net::Shutdown::Write).ok()?;
        Some((postern_wire::Channel::new(ours.into()), theirs))
    }

    /// Takes a reply line of a `tcp:` server apart.
    pub fn tcp_reply(line: &[u8]) {
        crate::tcp::parse_any(line);
    }

    /// Reads a netstring as from a `socketmap:` server, and the reply in it.
    pub fn socketmap_reply(stream: &[u8]) {
        crate::socketmap::judge_any(stream);
    }

    /// Looks keys up in an LMDB file without the library.
    pub fn lmdb_file(content: &[u8], keys: &[&[u8]]) {
        let Ok(mut file) = tempfile() else { return };
        if file.write_all(content).is_ok() {
            crate::lmdb::read_any(file, keys);
        }
    }

    fn tempfile() -> std::io::Result<std::fs::File> {
        let path = std::env::temp_dir().join(format!("postern-fuzz.{}", std::process::id()));
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }
}
