//! Logical lines, as in main.cf, master.cf and most text tables, and `name = value` splitting.
//!
//! Works on bytes; lookup tables use it too (source: postconf(5), master(5), config.md §1 of our
//! specification).

use crate::ConfigError;
use crate::value::is_space;

/// One logical line: the physical lines joined, comments and blank lines inside dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalLine {
    /// Number of the first physical line, counted from 1.
    pub first: usize,
    /// Number of the last physical line that gave text.
    pub last: usize,
    /// The text without newlines; a continuation line keeps its leading white space.
    pub text: Vec<u8>,
}

/// Splits `content` into logical lines. Text that starts with white space before any entry is given
/// to `orphan` and skipped.
#[must_use]
pub fn logical_lines(content: &[u8], mut orphan: impl FnMut(usize, &[u8])) -> Vec<LogicalLine> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    for (index, physical) in physical_lines(content).enumerate() {
        let number = index + 1;
        let first = physical
            .iter()
            .copied()
            .find(|byte| !is_space(char::from(*byte)));
        if first.is_none_or(|byte| byte == b'#') {
            continue;
        }
        if !is_space(char::from(physical[0])) {
            lines.push(LogicalLine {
                first: number,
                last: number,
                text: physical.to_vec(),
            });
        } else if let Some(open) = lines.last_mut() {
            open.text.extend_from_slice(physical);
            open.last = number;
        } else {
            orphan(number, physical);
        }
    }
    lines
}

/// The physical lines without their newline.
pub(crate) fn physical_lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// First of the 128 private characters that stand for the bytes 0x80 to 0xff.
const ESCAPE: u32 = 0x0010_ff80;

/// Text from a file: bytes that are not UTF-8 become private characters, which [`to_bytes`] turns
/// back. So are those characters themselves, byte by byte, so that nothing is lost.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    let escape = |out: &mut String, byte: u8| {
        let code = ESCAPE + u32::from(byte) - 0x80;
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    };
    if let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !has_escape(text))
    {
        return text.to_string();
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if u32::from(character) < ESCAPE {
                out.push(character);
            } else {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    escape(&mut out, byte);
                }
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| escape(&mut out, *byte));
    }
    out
}

/// The bytes that [`to_text`] was given.
#[must_use]
pub fn to_bytes(text: &str) -> Vec<u8> {
    if !has_escape(text) {
        return text.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(ESCAPE).map(u8::try_from) {
            Some(Ok(offset)) => out.push(offset | 0x80),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Whether a character stands for a byte. All of them begin with this byte, and few others do.
fn has_escape(text: &str) -> bool {
    text.bytes().any(|byte| byte == 0xf4) && text.chars().any(|c| u32::from(c) >= ESCAPE)
}

/// The warning for text that continues nothing.
#[must_use]
pub fn orphan_warning(path: &str, text: &[u8]) -> String {
    let shown = to_text(&text[..text.len().min(30)]);
    let more = if text.len() > 30 { "..." } else { "" };
    format!("{path}: logical line must not start with whitespace: \"{shown}{more}\"")
}

/// Why a line is not `name = value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError {
    /// Nothing before `=`.
    MissingName,
    /// No `=` after the name.
    MissingEquals,
}

impl SplitError {
    /// The complaint about `text`, as in every message about such a line.
    #[must_use]
    pub fn describe(self, text: &str) -> String {
        match self {
            Self::MissingName => format!("missing attribute name: \"{text}\""),
            Self::MissingEquals => format!("missing '=' after attribute name: \"{text}\""),
        }
    }

    pub(crate) fn into_error(self, path: &str, line: usize, text: &str) -> ConfigError {
        let (path, text) = (path.to_string(), text.to_string());
        match self {
            Self::MissingName => ConfigError::MissingName { path, line, text },
            Self::MissingEquals => ConfigError::MissingEquals { path, line, text },
        }
    }
}

/// Splits `name = value`; both come back without blanks around them.
pub fn split_name_value(text: &str) -> Result<(&str, &str), SplitError> {
    let text = text.trim_matches(is_space);
    let end = text
        .find(|character| is_space(character) || character == '=')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(SplitError::MissingName);
    }
    let value = rest
        .trim_start_matches(is_space)
        .strip_prefix('=')
        .ok_or(SplitError::MissingEquals)?;
    Ok((name, value.trim_matches(is_space)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Vec<(usize, usize, String)> {
        logical_lines(content.as_bytes(), |_, _| ())
            .into_iter()
            .map(|line| (line.first, line.last, String::from_utf8(line.text).unwrap()))
            .collect()
    }

    #[test]
    fn continuations_join_across_comments_and_blank_lines() {
        assert_eq!(
            read("a\n  b\n# c\n\n\td # x\ne"),
            [(1, 5, "a  b\td # x".into()), (6, 6, "e".into())]
        );
        assert_eq!(read("a = 1\n  # c\n  2\n"), [(1, 3, "a = 1  2".into())]);
    }

    #[test]
    fn bytes_of_any_charset_come_back_as_they_were() {
        let rows: [&[u8]; 6] = [
            b"plain",
            "J\u{e4}ger \u{1f600}".as_bytes(),
            b"J\xe4ger",
            b"\x80\xff\xc3",
            "\u{10ff80}\u{10ffff}x".as_bytes(),
            b"\xf4\x8f\xbe\x80 \xf4",
        ];
        for bytes in rows {
            assert_eq!(to_bytes(&to_text(bytes)), bytes, "{bytes:?}");
        }
        assert_eq!(to_text("J\u{e4}ger".as_bytes()), "J\u{e4}ger");
    }

    #[test]
    fn text_before_any_entry_is_an_orphan() {
        let mut seen = Vec::new();
        let lines = logical_lines(
            b"  lost text that is longer than thirty bytes\na\n",
            |number, text| seen.push((number, text.to_vec())),
        );
        assert_eq!((lines.len(), seen.len()), (1, 1));
        assert_eq!(
            orphan_warning("/f", &seen[0].1),
            "/f: logical line must not start with whitespace: \"  lost text that is longer tha...\""
        );
    }

    #[test]
    fn names_end_at_blank_or_equals() {
        let rows = [
            ("a = b", Ok(("a", "b"))),
            ("a=b = c ", Ok(("a", "b = c"))),
            (" a\t= ", Ok(("a", ""))),
            ("= x", Err(SplitError::MissingName)),
            ("my origin = x", Err(SplitError::MissingEquals)),
        ];
        for (text, want) in rows {
            assert_eq!(split_name_value(text), want, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_survive_the_way_to_text_and_back(bytes: Vec<u8>) {
            assert_eq!(to_bytes(&to_text(&bytes)), bytes);
        }
    }
}
