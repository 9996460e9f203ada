//! Lookup tables, one module per type, and the lists and searches built on them.
//!
//! A lookup error is never "not found". This crate does not know who asks or what a value means.
#![forbid(unsafe_code)]

use bstr::{BStr, BString};
use postern_config::Config;

/// A lookup that could not be answered: a temporary condition (4xx, defer), never "not found".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct LookupError {
    /// `type:name`.
    pub table: String,
    /// What failed.
    pub reason: String,
}

/// Result of a lookup.
pub type Lookup<T = BString> = Result<Option<T>, LookupError>;

/// Flag bits of an open table; they travel in the proxymap protocol (ipc.md §5.9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

/// One open lookup table.
pub trait Table: Send {
    /// `type:name`.
    fn name(&self) -> &str;
    /// Flags after opening: request flags plus what the implementation adds (fixed, pattern, …).
    fn flags(&self) -> Flags;
    /// Looks `key` up.
    fn lookup(&mut self, key: &BStr) -> Lookup;
    /// Stores a value; tables that cannot are an error.
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError>;
    /// Removes a key; `Ok(false)` when it was not there.
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError>;
    /// First (`restart`) or next entry in storage order.
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)>;
    /// Whether the file behind the table changed since it was opened.
    fn changed(&self) -> bool {
        false
    }
}

/// Opens `type:name` for reading. Never fails: a table that cannot be opened becomes a surrogate
/// whose lookups fail with the reason, as Postfix does.
pub fn open(_config: &Config, _type_name: &str, _flags: Flags) -> Box<dyn Table> {
    todo!()
}

/// The value of a `*_maps` parameter: tables searched in order, first hit wins, an error stops.
pub struct Maps {}

impl Maps {
    /// Opens every table of `value` (comma or blank separated, braces group). `title` is the
    /// parameter name, for messages.
    pub fn open(_config: &Config, _title: &str, _value: &str, _flags: Flags) -> Self {
        todo!()
    }
    /// Whether no table is listed.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Looks `key` up; `partial` lookups skip pattern tables.
    pub fn find(&mut self, _key: &BStr, _partial: bool) -> Lookup {
        todo!()
    }
}
