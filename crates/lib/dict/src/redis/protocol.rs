//! The protocol of Redis, version 2 (RESP2): requests as bytes, replies read with limits.

use bstr::{BString, ByteSlice};
use std::io::{self, BufRead, Read};

use crate::io_text;

/// Longest line: a status, an error or a number.
const LONGEST_LINE: usize = 1024;
/// Arrays in arrays, and elements of a reply altogether.
const DEEPEST: usize = 4;
const MOST_ELEMENTS: usize = 10_000;

/// How much is read before a reply counts as broken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a value.
    pub(super) data: usize,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Simple(BString),
    Error(BString),
    Integer(i64),
    /// `None` is "no such key".
    Bulk(Option<BString>),
    Array(Vec<Self>),
}

/// Why a reply is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplyError {
    #[error("{}", io_text(.0))]
    Io(#[from] io::Error),
    #[error("unexpected EOF")]
    Eof,
    #[error("data exceeds size limit")]
    TooLong,
    #[error("malformed reply")]
    Malformed,
}

/// A request of `words`.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Reads one reply.
pub(super) fn read_reply(input: &mut impl BufRead, limits: &Limits) -> Result<Reply, ReplyError> {
    let mut reader = Reader {
        input,
        limits,
        elements: MOST_ELEMENTS,
    };
    reader.reply(0)
}

struct Reader<'a, R> {
    input: &'a mut R,
    limits: &'a Limits,
    /// How many elements may still come.
    elements: usize,
}

impl<R: BufRead> Reader<'_, R> {
    fn reply(&mut self, depth: usize) -> Result<Reply, ReplyError> {
        self.elements = self.elements.checked_sub(1).ok_or(ReplyError::TooLong)?;
        let line = self.line()?;
        let (&kind, text) = line.split_first().ok_or(ReplyError::Malformed)?;
        match kind {
            b'+' => Ok(Reply::Simple(text.into())),
            b'-' => Ok(Reply::Error(text.into())),
            b':' => Ok(Reply::Integer(number(text)?)),
            b'$' => self.bulk(text),
            b'*' if depth < DEEPEST => self.array(text, depth),
            _ => Err(ReplyError::Malformed),
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, ReplyError> {
        let mut line = Vec::new();
        let most = u64::try_from(LONGEST_LINE + 2).unwrap_or(u64::MAX);
        Read::take(&mut *self.input, most).read_until(b'\n', &mut line)?;
        if line.ends_with(b"\r\n") {
            line.truncate(line.len().saturating_sub(2));
            return Ok(line);
        }
        Err(if line.ends_with(b"\n") {
            ReplyError::Malformed
        } else if line.len() > LONGEST_LINE {
            ReplyError::TooLong
        } else {
            ReplyError::Eof
        })
    }

    fn bulk(&mut self, text: &[u8]) -> Result<Reply, ReplyError> {
        if text == b"-1" {
            return Ok(Reply::Bulk(None));
        }
        let length = usize::try_from(number(text)?).map_err(|_| ReplyError::Malformed)?;
        if length > self.limits.data {
            return Err(ReplyError::TooLong);
        }
        let mut data = vec![0; length.saturating_add(2)];
        self.input
            .read_exact(&mut data)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => ReplyError::Eof,
                _ => ReplyError::Io(error),
            })?;
        if !data.ends_with(b"\r\n") {
            return Err(ReplyError::Malformed);
        }
        data.truncate(length);
        Ok(Reply::Bulk(Some(BString::from(data))))
    }

    fn array(&mut self, text: &[u8], depth: usize) -> Result<Reply, ReplyError> {
        if text == b"-1" {
            return Ok(Reply::Array(Vec::new()));
        }
        let count = usize::try_from(number(text)?).map_err(|_| ReplyError::Malformed)?;
        if count > self.elements {
            return Err(ReplyError::TooLong);
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.reply(depth + 1)?);
        }
        Ok(Reply::Array(elements))
    }
}

fn number(text: &[u8]) -> Result<i64, ReplyError> {
    let text = text.to_str().map_err(|_| ReplyError::Malformed)?;
    text.parse().map_err(|_| ReplyError::Malformed)
}

/// A door for the target of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    /// Reads `bytes` as replies; whether all were within the limit `data`.
    pub fn read_replies(mut bytes: &[u8], data: usize) -> bool {
        use super::{Limits, Reply, read_reply};
        fn is_within(reply: &Reply, data: usize) -> bool {
            match reply {
                Reply::Bulk(Some(value)) => value.len() <= data,
                Reply::Array(list) => list.iter().all(|one| is_within(one, data)),
                _ => true,
            }
        }
        while let Ok(reply) = read_reply(&mut bytes, &Limits { data }) {
            if !is_within(&reply, data) {
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

    fn read(reply: &[u8]) -> Result<Reply, ReplyError> {
        read_reply(&mut &*reply, &Limits { data: 10 })
    }

    #[test]
    fn requests_are_arrays_of_strings() {
        assert_eq!(
            command(&[b"GET", b"a\r\nb", b""]),
            b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n"
        );
    }

    #[test]
    fn replies_are_read() {
        let bulk = |text: &str| Reply::Bulk(Some(BString::from(text)));
        #[rustfmt::skip]
        let cases: &[(&str, Reply)] = &[
            ("+OK\r\n", Reply::Simple(BString::from("OK"))),
            ("-ERR no\r\n", Reply::Error(BString::from("ERR no"))),
            (":-7\r\n", Reply::Integer(-7)), ("$-1\r\n", Reply::Bulk(None)),
            ("$3\r\nabc\r\n", bulk("abc")), ("$0\r\n\r\n", bulk("")), ("$2\r\n\r\n\r\n", bulk("\r\n")),
            ("*0\r\n", Reply::Array(Vec::new())), ("*-1\r\n", Reply::Array(Vec::new())),
            ("*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n",
             Reply::Array(vec![bulk("0"), Reply::Array(vec![bulk("k")])])),
        ];
        for (text, want) in cases {
            assert_eq!(&read(text.as_bytes()).unwrap(), want, "{text}");
            for end in 0..text.len() {
                assert!(matches!(
                    read(&text.as_bytes()[..end]),
                    Err(ReplyError::Eof)
                ));
            }
        }
    }

    #[test]
    fn broken_replies_are_refused() {
        #[rustfmt::skip]
        let malformed = ["\r\n", "x\r\n", "+OK\n", "$x\r\n", "$-2\r\n", ":\r\n", "$3\r\nabcd\r\n", "*x\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"];
        for text in malformed {
            assert!(
                matches!(read(text.as_bytes()), Err(ReplyError::Malformed)),
                "{text}"
            );
        }
        let long = "+".to_owned() + &"x".repeat(5000);
        for text in ["$11\r\n", "$99999999999\r\n", "*99999999\r\n", &long] {
            assert!(
                matches!(read(text.as_bytes()), Err(ReplyError::TooLong)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_reply_has_an_answer(text in "([*$:+-][0-9]{0,2}\r\n|[a-z]{0,3}\r\n){0,12}") {
            let _ = read(text.as_bytes());
        }
    }
}
