//! The attribute protocol between daemons, as a serde data format.
//!
//! A struct is one attribute list: field order is wire order, field names are the wire names
//! (two fields may share a name, because a reader matches by position). Types of fields:
//!
//! | Rust type | On the wire |
//! |---|---|
//! | `i32`, `u32`, `bool` | "int": unsigned 32-bit decimal text, negative numbers as two's complement |
//! | `i64`, `u64` | "long": the same with 64 bits |
//! | [`ByteString`] (`bstr::BString`), `String`, unit-only enums | string; raw bytes. A `String` or an enum refuses what is not UTF-8 |
//! | [`Data`] | binary, base64 text |
//! | a struct or tuple | its attributes, spliced in place (a "function" attribute) |
//! | a map | a `{`…`}` group; the field's own name is not sent |
//! | `Vec<T>` as the last field | `T` repeated up to the end of the list |
//! | `()` | nothing |
//!
//! Messages should use [`ByteString`] for every string that comes from mail (addresses, host
//! names, reasons) and `String` only for protocol words. `Vec<u8>`, `Option` and floats are no
//! attribute types and give an error. A module with a struct that has one name twice needs
//! `#![allow(unreachable_patterns)]` for the code that serde derives. This crate knows no service and no socket.
#![forbid(unsafe_code)]

mod de;
mod error;
mod frame;
mod scan;
mod ser;
#[cfg(test)]
mod tests;

pub use error::{AttrError, Part};
pub use frame::ListEnd;
pub use scan::{ATTRIBUTE_LIMIT, GROUP_LIMIT, LIST_LIMIT, NAME_LIMIT, VALUE_LIMIT};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{BufRead, Write};

/// A string attribute: raw bytes without NUL.
pub type ByteString = bstr::BString;

/// The serde name by which the two halves of this format recognize [`Data`].
pub(crate) const DATA_NAME: &str = "postern_attr::Data";

/// Binary attribute value, base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);

impl Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DATA_NAME, bstr::BStr::new(&self.0))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(DATA_NAME, de::DataVisitor)
    }
}

/// How a reader treats attributes that it does not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// A warning and failure ("strict").
    Refuse,
    /// Skipped up to the terminator ("missing" alone).
    Skip,
    /// Extra attributes before a wanted one are skipped; the reader stops after the last wanted
    /// attribute and the terminator stays unread ("more").
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

/// The first list of most services, sent by the server.
#[derive(Debug, Serialize, Deserialize)]
struct Announcement {
    protocol: ByteString,
}

/// Writes one list with its terminator, in one `write`.
///
/// # Errors
///
/// [`AttrError::Io`], or [`AttrError::Malformed`] when a string holds the encoding's separator.
pub fn write<T: Serialize>(
    out: &mut impl Write,
    encoding: Encoding,
    list: &T,
) -> Result<(), AttrError> {
    out.write_all(&to_bytes(encoding, list)?)?;
    Ok(())
}

/// Writes attributes without the terminator (the list goes on).
///
/// # Errors
///
/// As [`write()`].
pub fn write_open<T: Serialize>(
    out: &mut impl Write,
    encoding: Encoding,
    list: &T,
) -> Result<(), AttrError> {
    out.write_all(&ser::attributes(encoding, list)?)?;
    Ok(())
}

/// The bytes of one list with its terminator.
///
/// # Errors
///
/// [`AttrError::Malformed`] when a string holds the encoding's separator.
pub fn to_bytes<T: Serialize>(encoding: Encoding, list: &T) -> Result<Vec<u8>, AttrError> {
    let mut bytes = ser::attributes(encoding, list)?;
    bytes.push(encoding.terminator());
    Ok(bytes)
}

/// Reads one list. With [`Extra::Leave`] the next call goes on in the same list.
///
/// An unexpected attribute after the last wanted one is not an error even with
/// [`Extra::Refuse`] (the request is complete); use [`read_noting`] to log it.
///
/// # Errors
///
/// [`AttrError::Eof`] when the peer closed before the first byte, otherwise what was wrong;
/// after an error the position in `input` is undefined and the connection should be closed.
pub fn read<T: DeserializeOwned>(
    input: &mut impl BufRead,
    encoding: Encoding,
    extra: Extra,
) -> Result<T, AttrError> {
    read_noting(input, encoding, extra).map(|(list, _)| list)
}

/// Like [`read`]; the second value is the warning about an attribute after the last wanted one.
/// In that case the rest of the list is left unread.
///
/// # Errors
///
/// As [`read`].
pub fn read_noting<T: DeserializeOwned>(
    input: &mut impl BufRead,
    encoding: Encoding,
    extra: Extra,
) -> Result<(T, Option<AttrError>), AttrError> {
    let mut scanner = scan::Scanner::new(input, encoding, extra);
    let list = T::deserialize(de::Root(&mut scanner))?;
    let note = scanner.finish()?;
    Ok((list, note))
}

/// Tells whether another attribute follows in the list that an [`Extra::Leave`] reader left open.
/// The terminator, when it is next, is consumed.
///
/// # Errors
///
/// As [`read`]; a closed connection is [`AttrError::PrematureEnd`].
pub fn more(input: &mut impl BufRead, encoding: Encoding) -> Result<bool, AttrError> {
    scan::Scanner::new(input, encoding, Extra::Leave).more()
}

/// Writes the list that announces a protocol.
///
/// # Errors
///
/// As [`write()`].
pub fn write_announcement(
    out: &mut impl Write,
    encoding: Encoding,
    protocol: &str,
) -> Result<(), AttrError> {
    let protocol = protocol.into();
    write(out, encoding, &Announcement { protocol })
}

/// Reads a server's announcement and checks it.
///
/// # Errors
///
/// As [`read`], and [`AttrError::UnexpectedProtocol`]. A connection closed at once is
/// [`AttrError::Eof`]; clients of services that announce only the protocol may treat it as an
/// announcement and fail at the reply.
pub fn read_announcement(
    input: &mut impl BufRead,
    encoding: Encoding,
    protocol: &str,
) -> Result<(), AttrError> {
    let announcement: Announcement = read(input, encoding, Extra::Refuse)?;
    check_protocol(&announcement.protocol, protocol)
}

/// Compares an announced protocol with the expected one.
///
/// # Errors
///
/// [`AttrError::UnexpectedProtocol`].
pub fn check_protocol(got: &[u8], want: &str) -> Result<(), AttrError> {
    if got == want.as_bytes() {
        return Ok(());
    }
    Err(AttrError::UnexpectedProtocol {
        got: got.into(),
        want: want.into(),
    })
}

/// Length in bytes of the first complete list in `buffer`, terminator included; `None` when more
/// input is needed. For event-driven programs, which collect bytes before they parse.
pub fn complete_list(buffer: &[u8], encoding: Encoding) -> Option<usize> {
    let mut input = buffer;
    let mut scanner = scan::Scanner::new(&mut input, encoding, Extra::Skip);
    // A malformed list counts as complete up to the fault: the parser will name it.
    match scanner.skip_to_end() {
        Ok(()) => Some(buffer.len() - input.len()),
        Err(AttrError::Eof | AttrError::PrematureEnd(_) | AttrError::UnexpectedEnd(_)) => None,
        Err(_) => Some(buffer.len()),
    }
}

impl Encoding {
    /// The byte that ends a list when it stands where a name should begin.
    pub(crate) fn terminator(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Plain => b'\n',
        }
    }
}
