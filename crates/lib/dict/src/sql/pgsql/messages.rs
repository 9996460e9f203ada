//! Messages of PostgreSQL's protocol, version 3.

use bstr::{BStr, BString, ByteSlice};
use bytes::BytesMut;
use postern_wire::Channel;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::sql::Cell;

/// Bytes of the largest field that PostgreSQL has.
const LARGEST_FIELD: usize = 1 << 30;

/// One message: its type and contents.
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) body: Vec<u8>,
}

/// A stream of messages.
pub(super) struct Messages {
    channel: Channel,
}

impl Messages {
    /// Messages on a new connection.
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// The connection below.
    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Whether the connection can be used no more: the server has closed it, or says something unasked,
    /// which is a farewell.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self.channel.is_readable(Duration::ZERO), Ok(false))
    }

    /// The next message of at most `room` bytes; a longer row is `FileTooLarge`.
    pub(super) fn read(&mut self, room: usize) -> io::Result<Message> {
        let mut header = [0; 5];
        self.channel.read_exact(&mut header)?;
        let [tag, length @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let length = length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?;
        if length > room {
            // No field of a row is larger than PostgreSQL's limit; what claims to be is none.
            let is_row = tag == b'D' && length <= LARGEST_FIELD;
            let kind = if is_row {
                io::ErrorKind::FileTooLarge
            } else {
                io::ErrorKind::InvalidData
            };
            return Err(kind.into());
        }
        // Memory is taken as the bytes come, not as they are promised.
        let mut body = Vec::new();
        let promised = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut self.channel).take(promised).read_to_end(&mut body)?;
        if body.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Message { tag, body })
    }

    /// A single byte, the answer to a wish for encryption.
    pub(super) fn read_byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.channel.read_exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    /// Sends what `fill` writes.
    pub(super) fn write(
        &mut self,
        fill: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        fill(&mut buffer)?;
        self.channel.write_all(&buffer)?;
        self.channel.flush()
    }

    /// Sends a query in the text protocol, which may hold any bytes but NUL.
    pub(super) fn query(&mut self, text: &[u8]) -> io::Result<()> {
        let length = u32::try_from(text.len() + 5).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.channel.write_all(b"Q")?;
        self.channel.write_all(&length.to_be_bytes())?;
        self.channel.write_all(text)?;
        self.channel.write_all(&[0])?;
        self.channel.flush()
    }
}

/// The columns of a data row; `None` if it is malformed.
pub(super) fn columns(body: &[u8]) -> Option<Vec<Cell>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut cells = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            cells.push(None);
            continue;
        };
        let (value, tail) = rest.split_at_checked(length)?;
        rest = tail;
        cells.push(Some(BString::from(value)));
    }
    Some(cells)
}

/// A name and its value, each with a NUL behind it.
pub(super) fn name_and_value(body: &[u8]) -> Option<(&BStr, &BStr)> {
    let mut parts = body.split_str(b"\0").map(BStr::new);
    Some((parts.next()?, parts.next()?))
}

/// A complaint of the server as libpq shows it, with the place in `query` where the server tells one.
pub(super) fn complaint(body: &[u8], query: &[u8]) -> String {
    let field = |code: u8| {
        let mut fields = body.split_str(b"\0");
        let found = fields.find(|field| field.first() == Some(&code))?;
        Some(found.get(1..)?.to_str_lossy().into_owned())
    };
    let severity = field(b'S').unwrap_or_else(|| "ERROR".to_owned());
    let mut text = format!("{severity}:  {}\n", field(b'M').unwrap_or_default());
    if let Some(position) = field(b'P').and_then(|position| position.parse().ok()) {
        text.push_str(&place(query, position).unwrap_or_default());
    }
    for (code, name) in [(b'D', "DETAIL"), (b'H', "HINT"), (b'W', "CONTEXT")] {
        if let Some(more) = field(code) {
            text.push_str(&format!("{name}:  {more}\n"));
        }
    }
    text
}

/// Columns that the line of a query may have to be shown.
const WIDEST: usize = 60;

/// The line of `query` with the character number `position`, and a mark below that.
fn place(query: &[u8], position: usize) -> Option<String> {
    let query = query.to_str().ok()?;
    let before: String = query.chars().take(position.checked_sub(1)?).collect();
    let number = before.matches('\n').count() + 1;
    let line = query.lines().nth(number - 1)?;
    if line.chars().count() > WIDEST {
        return None;
    }
    let column = before.rsplit('\n').next()?.chars().count();
    let head = format!("LINE {number}: ");
    let blanks = " ".repeat(head.len() + column);
    Some(format!("{head}{line}\n{blanks}^\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn complaints_read_as_in_libpq() {
        let body = b"SERROR\0VERROR\0C42601\0Msyntax error at or near \"SELEKT\"\0P1\0Fscan.l\0\0";
        assert_eq!(
            complaint(body, b"SELEKT 1"),
            "ERROR:  syntax error at or near \"SELEKT\"\nLINE 1: SELEKT 1\n        ^\n"
        );
        let body = b"SFATAL\0Mno\0Dd\0Hh\0\0";
        assert_eq!(complaint(body, b""), "FATAL:  no\nDETAIL:  d\nHINT:  h\n");
        assert_eq!(complaint(b"", b""), "ERROR:  \n");
    }

    #[test]
    fn rows_are_taken_apart() {
        let body = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
        let want = vec![Some(BString::from("ab")), None, Some(BString::default())];
        assert_eq!(columns(body), Some(want));
        assert_eq!(columns(b"\0\x02\0\0\0\x02ab"), None);
        assert_eq!(columns(b"\0\x01\0\0\0\x03ab"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_not(body in proptest::collection::vec(any::<u8>(), 0..40), query: Vec<u8>) {
            let _ = columns(&body);
            let _ = name_and_value(&body);
            let _ = complaint(&body, &query);
        }
    }
}
