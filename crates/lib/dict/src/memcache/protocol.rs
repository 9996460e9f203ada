//! Replies of memcache's text protocol, read with limits.

use bstr::{BStr, BString, ByteSlice};
use std::io::{self, BufRead, Read};

use crate::io_text;

/// How much is read before a reply counts as broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of a line.
    pub(crate) line: usize,
    /// Bytes of a value.
    pub(crate) data: usize,
}

/// Why a reply is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    /// The connection failed or was too slow.
    #[error("{}", io_text(.0))]
    Io(#[from] io::Error),
    /// The connection or the data ended early.
    #[error("unexpected EOF")]
    Eof,
    /// A line or a value that is longer than allowed.
    #[error("data exceeds size limit")]
    TooLong,
    /// Another reply than the request has; errors of the server, too.
    #[error("unexpected reply")]
    Unexpected(BString),
}

/// One line without its end, of at most `limit` bytes.
fn read_line(input: &mut impl BufRead, limit: usize) -> Result<BString, ReplyError> {
    let mut line = Vec::new();
    let most = u64::try_from(limit.saturating_add(2)).unwrap_or(u64::MAX);
    Read::take(&mut *input, most).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => {}
        Some(_) if line.len() > limit => return Err(ReplyError::TooLong),
        _ => return Err(ReplyError::Eof),
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() > limit {
        return Err(ReplyError::TooLong);
    }
    Ok(BString::from(line))
}

/// Reads the reply to `get key`; `None` when the server has no such key.
pub(crate) fn read_value(
    input: &mut impl BufRead,
    key: &BStr,
    limits: &Limits,
) -> Result<Option<BString>, ReplyError> {
    let line = read_line(input, limits.line)?;
    if line == "END" {
        return Ok(None);
    }
    let Some(length) = value_length(&line, key).filter(|length| *length <= limits.data) else {
        return Err(ReplyError::Unexpected(line));
    };
    let mut data = vec![0; length.saturating_add(2)];
    input
        .read_exact(&mut data)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReplyError::Eof,
            _ => ReplyError::Io(error),
        })?;
    if !data.ends_with(b"\r\n") {
        return Err(ReplyError::Eof);
    }
    data.truncate(length);
    let end = read_line(input, limits.line)?;
    if end == "END" {
        Ok(Some(BString::from(data)))
    } else {
        Err(ReplyError::Unexpected(end))
    }
}

/// The length in `VALUE key flags length [unique]`.
fn value_length(line: &[u8], key: &BStr) -> Option<usize> {
    let mut words = line.split_str(" ");
    if words.next()? != b"VALUE" || words.next()? != key.as_bytes() {
        return None;
    }
    let (_flags, length) = (words.next()?, words.next()?);
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    length.to_str().ok()?.parse().ok()
}

/// Reads a reply of one line; which of `expected` it is.
pub(crate) fn read_status(
    input: &mut impl BufRead,
    limits: &Limits,
    expected: &[&[u8]],
) -> Result<usize, ReplyError> {
    let line = read_line(input, limits.line)?;
    match expected.iter().position(|status| line == *status) {
        Some(at) => Ok(at),
        None => Err(ReplyError::Unexpected(line)),
    }
}

/// A door for the target of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    /// Reads `bytes` as replies about the key `k`; whether all were within the limit `data`.
    pub fn read_values(mut bytes: &[u8], data: usize) -> bool {
        use super::{BStr, Limits, read_value};
        let limits = Limits { line: 100, data };
        while let Ok(value) = read_value(&mut bytes, BStr::new("k"), &limits) {
            if value.is_some_and(|value| value.len() > data) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { line: 40, data: 10 };

    fn read(reply: &[u8]) -> Result<Option<BString>, ReplyError> {
        read_value(&mut &*reply, BStr::new("k"), &LIMITS)
    }

    #[test]
    fn values_are_read_strictly() {
        assert_eq!(read(b"END\r\n").unwrap(), None);
        for good in [
            "VALUE k 0 3\r\nabc\r\nEND\r\n",
            "VALUE k 0 3 77\r\nabc\r\nEND\r\n",
        ] {
            assert_eq!(read(good.as_bytes()).unwrap().unwrap(), "abc");
        }
        let value = read(b"VALUE k 0 4\r\n\r\n\r\n\r\nEND\r\n").unwrap();
        assert_eq!(value.unwrap(), "\r\n\r\n");
        assert_eq!(read(b"VALUE k 0 0\r\n\r\nEND\r\n").unwrap().unwrap(), "");
        for bad in [
            "VALUE k 0 3\r\nabcd\r\nEND\r\n",
            "VALUE k 0 3\nabc\nEND\n",
            "",
            "EN",
            "END",
            "VALUE k 0 3\r\nab",
            "VALUE k 0 3\r\nabc\r\n",
        ] {
            assert!(
                matches!(read(bad.as_bytes()), Err(ReplyError::Eof)),
                "{bad}"
            );
        }
    }

    #[test]
    fn other_replies_are_told_apart() {
        for bad in [
            "ERROR",
            "SERVER_ERROR out of memory",
            "VALUE other 0 3",
            "VALUE k 0",
            "VALUE k 0 x",
            "VALUE k 0 -1",
            "VALUE k 0 11",
            "VALUE k 0 99999999999999999999999",
            "",
        ] {
            match read(format!("{bad}\r\n").as_bytes()) {
                Err(ReplyError::Unexpected(line)) => assert_eq!(line, bad),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert!(matches!(read(&[b'x'; 5000]), Err(ReplyError::TooLong)));
        let reply = b"VALUE k 0 3\r\nabc\r\nFOO\r\n";
        assert!(matches!(read(reply), Err(ReplyError::Unexpected(_))));
    }

    #[test]
    fn a_status_is_one_of_those_expected() {
        let read =
            |reply: &str| read_status(&mut reply.as_bytes(), &LIMITS, &[b"NOT_FOUND", b"DELETED"]);
        assert_eq!(read("DELETED\r\n").unwrap(), 1);
        assert_eq!(read("NOT_FOUND\r\n").unwrap(), 0);
        assert!(matches!(read("ERROR\r\n"), Err(ReplyError::Unexpected(_))));
    }

    proptest! {
        #[test]
        fn any_reply_is_answered_within_the_limits(
            reply in proptest::collection::vec(any::<u8>(), 0..100),
            head in "(VALUE k [0-9]{1,2} [0-9]{1,2}\r\n)?",
        ) {
            let reply = [head.as_bytes(), &reply].concat();
            if let Ok(Some(value)) = read(&reply) {
                prop_assert!(value.len() <= LIMITS.data);
            }
        }

        #[test]
        fn what_a_server_stores_comes_back(value in proptest::collection::vec(any::<u8>(), 0..10)) {
            let mut reply = format!("VALUE k 0 {}\r\n", value.len()).into_bytes();
            reply.extend_from_slice(&value);
            reply.extend_from_slice(b"\r\nEND\r\n");
            prop_assert_eq!(read(&reply).unwrap().unwrap(), value);
        }
    }
}
