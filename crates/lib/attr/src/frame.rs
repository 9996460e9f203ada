//! Finds the end of a list in bytes that arrive in parts, each byte looked at once.

use bstr::ByteSlice;

use crate::Encoding;
use crate::scan::{GROUP_CLOSE, GROUP_OPEN};

/// How far the first list of a growing buffer was looked through. For event-driven programs, which
/// collect a list before they parse it.
///
/// Says where a well-formed list ends. What is malformed is the parser's to tell: it finds the fault
/// before the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListEnd {
    /// Start of the name or value that the end of the buffer cut off.
    start: usize,
    /// Bytes looked at.
    seen: usize,
    /// A value comes next, in the encoding that separates it from its name.
    value: bool,
}

impl ListEnd {
    /// Length in bytes of the first list in `buffer`, terminator included, or `None` when more input is
    /// needed. Call it again with the same bytes and more behind them; for another list begin anew.
    pub fn find(&mut self, buffer: &[u8], encoding: Encoding) -> Option<usize> {
        let delimiter = encoding.terminator();
        while let Some(at) = buffer
            .get(self.seen..)
            .and_then(|rest| rest.find_byte(delimiter))
        {
            let end = self.seen + at;
            let text = buffer.get(self.start..end).unwrap_or_default();
            if text.is_empty() && !self.value {
                return Some(end + 1);
            }
            self.value = encoding == Encoding::Null
                && !self.value
                && text != GROUP_OPEN
                && text != GROUP_CLOSE;
            (self.start, self.seen) = (end + 1, end + 1);
        }
        self.seen = buffer.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complete_list;
    use proptest::prelude::*;

    #[test]
    fn the_end_is_found_whatever_parts_the_list_comes_in() {
        let cases: &[(&[u8], Encoding, Option<usize>)] = &[
            (b"", Encoding::Null, None),
            (b"\0", Encoding::Null, Some(1)),
            (b"a\0b\0\0", Encoding::Null, Some(5)),
            (b"a\0\0\0", Encoding::Null, Some(4)),
            (b"a\0\0", Encoding::Null, None),
            (b"a\0b\0\0c\0d\0\0", Encoding::Null, Some(5)),
            (b"{\0a\0b\0}\0\0", Encoding::Null, Some(9)),
            (b"a=b\n\n", Encoding::Plain, Some(5)),
            (b"a=\n", Encoding::Plain, None),
            (b"\n", Encoding::Plain, Some(1)),
        ];
        for (list, encoding, want) in cases {
            assert_eq!(ListEnd::default().find(list, *encoding), *want, "{list:?}");
            let mut end = ListEnd::default();
            let found = (0..=list.len()).find_map(|count| end.find(&list[..count], *encoding));
            assert_eq!(found, *want, "{list:?} byte by byte");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_parser(bytes in "[ab{}\\x00]{0,40}") {
            let bytes = bytes.as_bytes();
            // The parser may refuse a group earlier, never later.
            let found = ListEnd::default().find(bytes, Encoding::Null);
            prop_assert_eq!(found, complete_list(bytes, Encoding::Null));
        }
    }
}
