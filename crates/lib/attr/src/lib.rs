//! The attribute protocol between daemons, as a serde data format.
//!
//! A struct is one attribute list: field order is wire order, field names are the wire names
//! (two fields may share a name). `i32`/`u32` are "int" (unsigned 32-bit decimal text), `i64`/`u64`
//! "long" (unsigned 64-bit), [`Data`] base64, `Vec<u8>`/`BString`/`String` strings. A field whose
//! type is a struct is spliced in place (a "function" attribute), a map is a `{`…`}` group.
//! This crate knows no service and no socket.
#![forbid(unsafe_code)]

use serde::{Serialize, de::DeserializeOwned};
use std::io::{BufRead, Write};

/// Binary attribute value, base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);

/// How a reader treats attributes that it does not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// A warning and failure ("strict").
    Refuse,
    /// Skipped up to the terminator ("missing" alone).
    Skip,
    /// Stop after the last wanted attribute; the terminator stays unread ("more").
    Leave,
}

/// The encodings in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `name NUL value NUL … NUL`.
    Null,
    /// `name=value LF … LF`: anvil and the policy protocol.
    Plain,
}

/// Why a list was not read or written. `Display` is the text of Postfix's warning, with `PATH` for
/// the peer left to [`AttrError::warning`].
#[derive(Debug, thiserror::Error)]
pub enum AttrError {
    /// The peer closed before the first byte.
    #[error("end of input")]
    Eof,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Malformed input.
    #[error("{0}")]
    Malformed(String),
}

impl AttrError {
    /// The warning Postfix logs, e.g. `missing attribute NAME in input from PATH`; `None` for [`AttrError::Eof`].
    pub fn warning(&self, _path: &str) -> Option<String> {
        todo!()
    }
}

/// Writes one list with its terminator.
pub fn write<T: Serialize>(_out: &mut impl Write, _encoding: Encoding, _list: &T) -> Result<(), AttrError> {
    todo!()
}

/// Writes attributes without the terminator (the list goes on).
pub fn write_open<T: Serialize>(_out: &mut impl Write, _encoding: Encoding, _list: &T) -> Result<(), AttrError> {
    todo!()
}

/// Reads one list.
pub fn read<T: DeserializeOwned>(_input: &mut impl BufRead, _encoding: Encoding, _extra: Extra) -> Result<T, AttrError> {
    todo!()
}
