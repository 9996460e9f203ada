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
pub mod cache;
mod cdb;
mod cidr;
#[cfg_attr(
    not(all(feature = "ldap", feature = "memcache")),
    allow(dead_code, reason = "each database client uses a part")
)]
mod client_config;
mod composite;
pub mod dbfile;
#[cfg(feature = "memcache")]
mod digest;
mod error;
#[cfg_attr(
    not(all(feature = "ldap", feature = "memcache")),
    allow(dead_code, reason = "each database client uses a part")
)]
mod expansion;
mod flags;
mod layer;
#[cfg(feature = "ldap")]
mod ldap;
pub mod lines;
mod lmdb;
mod maps;
mod match_list;
#[cfg(feature = "memcache")]
mod memcache;
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
pub mod source;
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "sqlite"))]
mod sql;
mod surrogate;
mod table;
mod tcp;
mod template;
mod texthash;
#[cfg(any(
    feature = "ldap",
    feature = "mysql",
    feature = "pgsql",
    feature = "redis"
))]
mod tls;
mod unix;

pub use cidr::{Net, NetError};
pub use error::{ErrorKind, Lookup, LookupError, OpenError, io_text, shown};
pub use flags::Flags;
pub use layer::{Layer, decode_base64, fold_ascii, fold_key};
pub use maps::Maps;
pub use match_list::{MatchKind, MatchList, domain_keys, parent_domain_matches};
pub use postern_config::words::grouped_words as split_list;
pub use registry::{
    TYPES, changed_table, check_creatable, create, open, open_mode, split_type_name, try_open,
};
pub use surrogate::Surrogate;
pub use table::{Builder, OpenMode, Owner, Table};

/// Doors for the targets of `fuzz/`, which exist only in their builds.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::ldap::fuzzing::{read_filter, read_messages};
    pub use crate::memcache::fuzzing::read_values;
    pub use crate::redis::fuzzing::read_replies;
}
