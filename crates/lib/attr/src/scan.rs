//! Reads names and values from a stream and matches them with the names a reader wants.

use crate::{AttrError, ByteString, Encoding, Extra, Part};
use std::collections::HashSet;
use std::io::{BufRead, ErrorKind};

/// Attributes in one list, the ones that are skipped included.
pub const ATTRIBUTE_LIMIT: usize = 4096;
/// Keys in one `{`…`}` group.
pub const GROUP_LIMIT: usize = 1024;
/// Bytes in a name.
pub const NAME_LIMIT: usize = 4096;
/// Bytes in a value.
pub const VALUE_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes in one list, names and values together.
pub const LIST_LIMIT: usize = 2 * VALUE_LIMIT;

pub(crate) const GROUP_OPEN: &[u8] = b"{";
pub(crate) const GROUP_CLOSE: &[u8] = b"}";

/// What stands at the next place of a list.
enum Next {
    /// The list terminator.
    End,
    /// An attribute, whose name is in [`Scanner::name`]; in the plain encoding the value came along.
    Attribute(Option<ByteString>),
}

/// The state of one list.
pub(crate) struct Scanner<'a, R: BufRead> {
    input: &'a mut R,
    encoding: Encoding,
    extra: Extra,
    /// The last name that was read.
    name: Vec<u8>,
    /// Attributes read so far.
    count: usize,
    /// Bytes that the list may still have.
    room: usize,
    /// Nothing of this list was read yet.
    fresh: bool,
    /// The terminator was read.
    ended: bool,
}

impl<'a, R: BufRead> Scanner<'a, R> {
    pub(crate) fn new(input: &'a mut R, encoding: Encoding, extra: Extra) -> Self {
        Self {
            input,
            encoding,
            extra,
            name: Vec::new(),
            count: 0,
            room: LIST_LIMIT,
            fresh: true,
            ended: false,
        }
    }

    /// Reads up to the attribute `wanted` and returns its value.
    pub(crate) fn value_of(&mut self, wanted: &str) -> Result<ByteString, AttrError> {
        loop {
            let value = match self.next_name()? {
                Next::End => return Err(AttrError::Missing(wanted.to_owned())),
                Next::Attribute(value) => value,
            };
            if self.name == wanted.as_bytes() {
                return self.value(value);
            }
            if self.extra == Extra::Refuse {
                return Err(AttrError::Unexpected {
                    got: self.take_name(),
                    want: wanted.to_owned(),
                });
            }
            self.skip_value(value)?;
        }
    }

    /// Reads a `{`…`}` group, or every remaining attribute when the next name is not `{`.
    /// The first occurrence of a key wins.
    pub(crate) fn group(&mut self) -> Result<Vec<(ByteString, ByteString)>, AttrError> {
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        let mut next = self.next_name()?;
        let braced = matches!(next, Next::Attribute(_)) && self.name == GROUP_OPEN;
        if braced {
            next = self.next_name()?;
        }
        loop {
            let value = match next {
                Next::End if braced => return Err(AttrError::Missing("}".to_owned())),
                Next::End => return Ok(pairs),
                Next::Attribute(value) => value,
            };
            if braced && self.name == GROUP_CLOSE {
                return Ok(pairs);
            }
            let (name, value) = (self.take_name(), self.value(value)?);
            if seen.insert(name.clone()) {
                if pairs.len() >= GROUP_LIMIT {
                    return Err(AttrError::Malformed(format!(
                        "more than {GROUP_LIMIT} keys in a group"
                    )));
                }
                pairs.push((name, value));
            }
            next = self.next_name()?;
        }
    }

    /// Tells whether another attribute follows; consumes the terminator when it does not.
    pub(crate) fn more(&mut self) -> Result<bool, AttrError> {
        if self.ended {
            return Ok(false);
        }
        match self.peek() {
            Ok(Some(byte)) if byte == self.encoding.terminator() => {
                self.input.consume(1);
                self.ended = true;
                Ok(false)
            }
            Ok(Some(_)) => Ok(true),
            Ok(None) => Err(AttrError::PrematureEnd(Part::Name)),
            Err(error) => Err(read_error(error, Part::Name)),
        }
    }

    /// Ends the list as the reader's `Extra` asks; returns the warning about an extra attribute.
    pub(crate) fn finish(&mut self) -> Result<Option<AttrError>, AttrError> {
        if self.ended || self.extra == Extra::Leave {
            return Ok(None);
        }
        if self.extra == Extra::Skip {
            self.skip_to_end()?;
            return Ok(None);
        }
        Ok(match self.next_name()? {
            Next::End => None,
            Next::Attribute(_) => Some(AttrError::Unexpected {
                got: self.take_name(),
                want: "(list terminator)".to_owned(),
            }),
        })
    }

    /// Skips everything up to and including the terminator.
    pub(crate) fn skip_to_end(&mut self) -> Result<(), AttrError> {
        while let Next::Attribute(value) = self.next_name()? {
            self.skip_value(value)?;
        }
        Ok(())
    }

    /// Skips the value of an unwanted attribute; a brace has none, so its group is skipped as
    /// plain attributes.
    fn skip_value(&mut self, value: Option<ByteString>) -> Result<(), AttrError> {
        if self.name == GROUP_OPEN || self.name == GROUP_CLOSE || value.is_some() {
            return Ok(());
        }
        let mut skipped = std::mem::take(&mut self.name);
        self.text(&mut skipped, 0, VALUE_LIMIT, Part::Value)?;
        self.name = skipped;
        Ok(())
    }

    fn take_name(&mut self) -> ByteString {
        std::mem::take(&mut self.name).into()
    }

    fn next_name(&mut self) -> Result<Next, AttrError> {
        if self.ended {
            return Ok(Next::End);
        }
        let fresh = std::mem::replace(&mut self.fresh, false);
        let mut text = std::mem::take(&mut self.name);
        let read = match self.encoding {
            Encoding::Null => self.text(&mut text, 0, NAME_LIMIT, Part::Name),
            Encoding::Plain => self.text(&mut text, b'\n', NAME_LIMIT + VALUE_LIMIT, Part::Name),
        };
        match read {
            Err(AttrError::PrematureEnd(_)) if fresh => return Err(AttrError::Eof),
            other => other?,
        }
        if text.is_empty() {
            self.ended = true;
            return Ok(Next::End);
        }
        self.count += 1;
        if self.count > ATTRIBUTE_LIMIT {
            let text = format!("more than {ATTRIBUTE_LIMIT} attributes");
            return Err(AttrError::Malformed(text));
        }
        match self.encoding {
            Encoding::Null => {
                self.name = text;
                Ok(Next::Attribute(None))
            }
            Encoding::Plain => {
                let value = split_line(&mut text)?;
                self.name = text;
                Ok(Next::Attribute(value))
            }
        }
    }

    fn value(&mut self, value: Option<ByteString>) -> Result<ByteString, AttrError> {
        match value {
            Some(value) => Ok(value),
            None => {
                let mut text = Vec::new();
                self.text(&mut text, 0, VALUE_LIMIT, Part::Value)?;
                Ok(text.into())
            }
        }
    }

    /// Reads up to `delimiter`, which is consumed and not in `text`.
    fn text(
        &mut self,
        text: &mut Vec<u8>,
        delimiter: u8,
        limit: usize,
        part: Part,
    ) -> Result<(), AttrError> {
        text.clear();
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_error(error, part)),
            };
            if chunk.is_empty() {
                return Err(if text.is_empty() {
                    AttrError::PrematureEnd(part)
                } else {
                    AttrError::UnexpectedEnd(part)
                });
            }
            let end = bstr::ByteSlice::find_byte(chunk, delimiter);
            let taken = end.unwrap_or(chunk.len());
            if text.len() + taken > limit {
                return Err(AttrError::Malformed(format!(
                    "more than {limit} bytes in an attribute"
                )));
            }
            let Some(room) = self.room.checked_sub(taken) else {
                return Err(AttrError::Malformed(format!(
                    "more than {LIST_LIMIT} bytes in a list"
                )));
            };
            self.room = room;
            text.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.input.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.input.fill_buf() {
                Ok(chunk) => return Ok(chunk.first().copied()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Splits a line of the plain encoding at its first `=`; braces end with a NUL instead.
fn split_line(line: &mut Vec<u8>) -> Result<Option<ByteString>, AttrError> {
    if let Some(at) = bstr::ByteSlice::find_byte(&**line, b'=') {
        let value = line.split_off(at + 1);
        line.pop();
        return Ok(Some(value.into()));
    }
    match line.strip_suffix(b"\0") {
        Some(brace) if brace == GROUP_OPEN || brace == GROUP_CLOSE => {
            line.pop();
            Ok(None)
        }
        _ => Err(AttrError::Malformed(format!(
            "no value for attribute {}",
            ByteString::from(std::mem::take(line))
        ))),
    }
}

fn read_error(error: std::io::Error, part: Part) -> AttrError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AttrError::Timeout(part),
        // The peer died with our bytes unread; for the reader that is an end of input.
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => AttrError::PrematureEnd(part),
        _ => AttrError::Io(error),
    }
}
