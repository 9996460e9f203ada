//! BSON, the binary form of MongoDB's documents, as far as lookups need it.
//!
//! [`Document`] writes a document; [`Elements`] reads one where it lies, element by element, and never
//! beyond its end. Nothing here recurses. Source: bsonspec.org, version 1.1.

use std::fmt;

/// The smallest document: its length and its end.
const EMPTY: usize = 5;

/// A document that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// The elements, without length and end.
    elements: Vec<u8>,
}

impl Document {
    /// A document without elements.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The document as it is sent.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.elements.len() + EMPTY);
        bytes.extend_from_slice(&length(self.elements.len() + EMPTY));
        bytes.extend_from_slice(&self.elements);
        bytes.push(0);
        bytes
    }

    /// An element of the type `kind` with its value as bytes. A name ends at a NUL, as nothing else can be
    /// written.
    fn element(mut self, kind: u8, name: &str, value: &[&[u8]]) -> Self {
        self.elements.push(kind);
        let end = name.find('\0').unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        self.elements.extend_from_slice(name.as_bytes());
        self.elements.push(0);
        for part in value {
            self.elements.extend_from_slice(part);
        }
        self
    }

    /// A floating-point number.
    pub(super) fn double(self, name: &str, value: f64) -> Self {
        self.element(0x01, name, &[&value.to_le_bytes()])
    }

    /// A text.
    pub(super) fn text(self, name: &str, value: &str) -> Self {
        let size = length(value.len() + 1);
        self.element(0x02, name, &[&size, value.as_bytes(), &[0]])
    }

    /// A document in the document.
    pub(super) fn document(self, name: &str, value: &Self) -> Self {
        self.element(0x03, name, &[&value.to_bytes()])
    }

    /// An array: a document whose names are the numbers from 0 on.
    pub(super) fn array(self, name: &str, value: &Self) -> Self {
        self.element(0x04, name, &[&value.to_bytes()])
    }

    /// Bytes; subtype 0 is plain, 4 is a UUID.
    pub(super) fn binary(self, name: &str, subtype: u8, value: &[u8]) -> Self {
        self.element(0x05, name, &[&length(value.len()), &[subtype], value])
    }

    /// An object identifier.
    pub(super) fn object_id(self, name: &str, value: [u8; 12]) -> Self {
        self.element(0x07, name, &[&value])
    }

    /// True or false.
    pub(super) fn boolean(self, name: &str, value: bool) -> Self {
        self.element(0x08, name, &[&[u8::from(value)]])
    }

    /// A time, in milliseconds since 1970.
    pub(super) fn date(self, name: &str, value: i64) -> Self {
        self.element(0x09, name, &[&value.to_le_bytes()])
    }

    /// Null.
    pub(super) fn null(self, name: &str) -> Self {
        self.element(0x0a, name, &[])
    }

    /// A regular expression; neither text may have a NUL.
    pub(super) fn regex(self, name: &str, pattern: &str, options: &str) -> Self {
        self.element(
            0x0b,
            name,
            &[pattern.as_bytes(), &[0], options.as_bytes(), &[0]],
        )
    }

    /// A number of 32 bits.
    pub(super) fn int32(self, name: &str, value: i32) -> Self {
        self.element(0x10, name, &[&value.to_le_bytes()])
    }

    /// A number of 64 bits.
    pub(super) fn int64(self, name: &str, value: i64) -> Self {
        self.element(0x12, name, &[&value.to_le_bytes()])
    }
}

/// A length as it is written. One that does not fit belongs to a message that is too long to be sent.
fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}

/// The bytes are no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed document")]
pub(super) struct Malformed;

/// A value.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Element<'a> {
    Double(f64),
    Text(&'a str),
    Document(Elements<'a>),
    Array(Elements<'a>),
    Binary(&'a [u8]),
    Boolean(bool),
    Int32(i32),
    Int64(i64),
    /// A type that no answer needs, by its name.
    Other(&'static str),
}

impl Element<'_> {
    /// The type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Document(_) => "document",
            Self::Array(_) => "array",
            Self::Binary(_) => "binary",
            Self::Boolean(_) => "boolean",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::Other(name) => name,
        }
    }

    /// A whole number, in whatever type it is.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Int32(number) => Some(i64::from(*number)),
            Self::Int64(number) => Some(*number),
            // Servers send `ok: 1.0`; no other double is of use here.
            Self::Double(number) => [0i32, 1]
                .into_iter()
                .find(|known| f64::from(*known) == *number)
                .map(i64::from),
            _ => None,
        }
    }

    /// Whether it is `true`, or a number that counts as that.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Boolean(value) => *value,
            other => other.number().is_some_and(|number| number != 0),
        }
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Document(inner) | Self::Array(inner) => write!(f, "{inner:?}"),
            Self::Int32(number) => write!(f, "{number}"),
            other => f.write_str(other.kind()),
        }
    }
}

/// The elements of a document that are not read yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> Elements<'a> {
    /// The document that `bytes` are as a whole.
    pub(super) fn whole(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match Self::split(bytes)? {
            (found, []) => Ok(found),
            _ => Err(Malformed),
        }
    }

    /// The document that `bytes` begin with, and what follows it.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (size, _) = int32(bytes)?;
        let size = usize::try_from(size).map_err(|_| Malformed)?;
        let (document, after) = bytes.split_at_checked(size).ok_or(Malformed)?;
        let inner = document.get(4..).ok_or(Malformed)?;
        let rest = inner.strip_suffix(&[0]).ok_or(Malformed)?;
        Ok((Self { rest }, after))
    }

    /// The elements as a document of its own.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let elements = self.rest.to_vec();
        Document { elements }.to_bytes()
    }

    /// The value of the first element with this name.
    ///
    /// # Errors
    ///
    /// What comes before it, or it, is malformed.
    pub(super) fn get(self, name: &str) -> Result<Option<Element<'a>>, Malformed> {
        for element in self {
            let (found, value) = element?;
            if found == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// As [`Elements::get`], for a text.
    pub(super) fn get_text(self, name: &str) -> Result<Option<&'a str>, Malformed> {
        Ok(match self.get(name)? {
            Some(Element::Text(text)) => Some(text),
            _ => None,
        })
    }

    /// As [`Elements::get`], for something that may be true.
    pub(super) fn get_true(self, name: &str) -> Result<bool, Malformed> {
        Ok(self.get(name)?.is_some_and(|value| value.is_true()))
    }

    fn read(&mut self) -> Result<(&'a str, Element<'a>), Malformed> {
        let (kind, rest) = self.rest.split_first().ok_or(Malformed)?;
        let (name, rest) = cstring(rest)?;
        let name = std::str::from_utf8(name).map_err(|_| Malformed)?;
        let (value, rest) = value(*kind, rest)?;
        self.rest = rest;
        Ok((name, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(&'a str, Element<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.read();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

type Read<'a, T> = Result<(T, &'a [u8]), Malformed>;

/// The value of the type `kind` that `bytes` begin with.
fn value(kind: u8, bytes: &[u8]) -> Read<'_, Element<'_>> {
    let other = |name, size: usize| {
        let (_, rest) = bytes.split_at_checked(size).ok_or(Malformed)?;
        Ok((Element::Other(name), rest))
    };
    match kind {
        0x01 => {
            let (value, rest) = take(bytes)?;
            Ok((Element::Double(f64::from_le_bytes(value)), rest))
        }
        0x02 => {
            let (text, rest) = text(bytes)?;
            Ok((Element::Text(text), rest))
        }
        0x03 => Elements::split(bytes).map(|(inner, rest)| (Element::Document(inner), rest)),
        0x04 => Elements::split(bytes).map(|(inner, rest)| (Element::Array(inner), rest)),
        0x05 => {
            let (size, rest) = int32(bytes)?;
            let size = usize::try_from(size).map_err(|_| Malformed)?;
            let (_subtype, rest) = rest.split_first().ok_or(Malformed)?;
            let (value, rest) = rest.split_at_checked(size).ok_or(Malformed)?;
            Ok((Element::Binary(value), rest))
        }
        0x06 => other("undefined", 0),
        0x07 => other("ObjectId", 12),
        0x08 => match bytes.split_first() {
            Some((0, rest)) => Ok((Element::Boolean(false), rest)),
            Some((1, rest)) => Ok((Element::Boolean(true), rest)),
            _ => Err(Malformed),
        },
        0x09 => other("date", 8),
        0x0a => other("null", 0),
        0x0b => {
            let (_pattern, rest) = cstring(bytes)?;
            let (_options, rest) = cstring(rest)?;
            Ok((Element::Other("regex"), rest))
        }
        0x0c => {
            let (_namespace, rest) = text(bytes)?;
            let (_id, rest) = take::<12>(rest)?;
            Ok((Element::Other("DBPointer"), rest))
        }
        0x0d => text(bytes).map(|(_, rest)| (Element::Other("code"), rest)),
        0x0e => text(bytes).map(|(_, rest)| (Element::Other("symbol"), rest)),
        0x0f => {
            let (size, _) = int32(bytes)?;
            other(
                "code with scope",
                usize::try_from(size)
                    .ok()
                    .filter(|size| *size >= 4)
                    .ok_or(Malformed)?,
            )
        }
        0x10 => int32(bytes).map(|(value, rest)| (Element::Int32(value), rest)),
        0x11 => other("timestamp", 8),
        0x12 => {
            let (value, rest) = take(bytes)?;
            Ok((Element::Int64(i64::from_le_bytes(value)), rest))
        }
        0x13 => other("decimal128", 16),
        0x7f => other("maxKey", 0),
        0xff => other("minKey", 0),
        _ => Err(Malformed),
    }
}

fn take<const SIZE: usize>(bytes: &[u8]) -> Read<'_, [u8; SIZE]> {
    let (value, rest) = bytes.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    Ok((*value, rest))
}

fn int32(bytes: &[u8]) -> Read<'_, i32> {
    take(bytes).map(|(value, rest)| (i32::from_le_bytes(value), rest))
}

/// Bytes up to a NUL.
fn cstring(bytes: &[u8]) -> Read<'_, &[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
    let (text, rest) = bytes.split_at_checked(end).ok_or(Malformed)?;
    Ok((text, rest.get(1..).ok_or(Malformed)?))
}

/// A text with its length, which counts the NUL at its end.
fn text(bytes: &[u8]) -> Read<'_, &str> {
    let (size, rest) = int32(bytes)?;
    let size = usize::try_from(size).map_err(|_| Malformed)?;
    let (text, rest) = rest.split_at_checked(size).ok_or(Malformed)?;
    let text = text.strip_suffix(&[0]).ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    Ok((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn documents_are_written_as_the_specification_shows_them() {
        assert_eq!(hex(&Document::new().to_bytes()), "0500000000");
        let hello = Document::new().text("hello", "world").to_bytes();
        assert_eq!(hello, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
        let list = Document::new()
            .text("0", "awesome")
            .double("1", 5.05)
            .int32("2", 1986);
        let bson = Document::new().array("BSON", &list).to_bytes();
        let want = b"1\0\0\0\x04BSON\0&\0\0\0\x020\0\x08\0\0\0awesome\0\x011\x00333333\x14@\x102\0\xc2\x07\0\0\0\0";
        assert_eq!(bson, want);
    }

    #[test]
    fn each_type_is_read_or_named() {
        let inner = Document::new().int64("n", -3);
        let bytes = Document::new()
            .double("double", 0.5)
            .text("string", "\u{fc}")
            .document("document", &inner)
            .array("array", &inner)
            .binary("binary", 0, b"abc")
            .object_id("ObjectId", [7; 12])
            .boolean("boolean", true)
            .date("date", 1)
            .null("null")
            .regex("regex", "^a", "i")
            .int32("int32", 1)
            .int64("int64", i64::MIN)
            .to_bytes();
        let read: Vec<_> = Elements::whole(&bytes)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(read.len(), 12);
        for (name, value) in read {
            assert_eq!(name, value.kind());
        }
        let all = Elements::whole(&bytes).unwrap();
        assert_eq!(all.get_text("string"), Ok(Some("\u{fc}")));
        assert_eq!(all.get("binary"), Ok(Some(Element::Binary(b"abc"))));
        assert_eq!(all.get_true("boolean"), Ok(true));
        assert_eq!(all.get("nothing"), Ok(None));
        // Types that only servers write: they are stepped over.
        #[rustfmt::skip]
        let others: &[&[u8]] = &[
            b"\x06a\0", b"\x0ca\0\x02\0\0\0n\x00123456789012", b"\x0da\0\x02\0\0\0f\0", b"\x0ea\0\x01\0\0\0\0",
            b"\x0fa\0\x08\0\0\0wxyz", b"\x11a\0\0\0\0\0\0\0\0\0", b"\x13a\x001234567890123456", b"\x7fa\0", b"\xffa\0",
        ];
        for other in others {
            let mut elements = other.to_vec();
            elements.extend_from_slice(b"\x10b\0\x05\0\0\0");
            let bytes = Document { elements }.to_bytes();
            let found = Elements::whole(&bytes).unwrap().get("b");
            assert_eq!(found, Ok(Some(Element::Int32(5))), "{other:?}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_malformed() {
        #[rustfmt::skip]
        let documents: &[&[u8]] = &[
            b"", b"\x05\0\0", b"\x04\0\0\0", b"\x05\0\0\0\x01", b"\x06\0\0\0\0", b"\xff\xff\xff\xff\0",
            b"\x05\0\0\0\0\0",
        ];
        for bytes in documents {
            assert!(Elements::whole(bytes).is_err(), "{bytes:?}");
        }
        #[rustfmt::skip]
        let elements: &[&[u8]] = &[
            b"\x02a\0\0\0\0\0", b"\x02a\0\x02\0\0\0ab", b"\x02a\0\x02\0\0\0\xff\0", b"\x02a\0\xff\xff\xff\x7fa\0",
            b"\x08a\0\x02", b"\x10a\0\0\0", b"\x10a", b"\x14a\0", b"\0", b"\x03a\0\x05\0\0\0\x01",
            b"\x05a\0\x05\0\0\0\0abc", b"\x05a\0\xff\xff\xff\xff\0", b"\x0ba\0x", b"\x0fa\0\x01\0\0\0",
            b"\x10\xff\0\0\0\0\0",
        ];
        for bytes in elements {
            let whole = Document {
                elements: bytes.to_vec(),
            };
            let whole = whole.to_bytes();
            let mut read = Elements::whole(&whole).unwrap();
            assert_eq!(read.next(), Some(Err(Malformed)), "{bytes:?}");
            assert_eq!(read.next(), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec(("[^\0]{0,9}", "\\PC{0,9}", any::<i64>()), 0..9)) {
            let mut document = Document::new();
            for (name, text, number) in &texts {
                document = document.text(name, text).int64(name, *number);
            }
            let bytes = Document::new().document("in", &document).to_bytes();
            let Some(Element::Document(inner)) = Elements::whole(&bytes).unwrap().get("in").unwrap() else {
                panic!("no document");
            };
            let read: Vec<_> = inner.map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), texts.len() * 2);
            for ((name, text, number), pair) in texts.iter().zip(read.chunks(2)) {
                prop_assert_eq!(pair[0], (name.as_str(), Element::Text(text)));
                prop_assert_eq!(pair[1], (name.as_str(), Element::Int64(*number)));
            }
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let size = i32::try_from(bytes.len() + 5).unwrap().to_le_bytes();
            let framed = [&size, bytes.as_slice(), &[0]].concat();
            let count = Elements::whole(&framed).unwrap().count();
            prop_assert!(count <= bytes.len());
            let _ = Elements::whole(&bytes);
        }
    }
}
