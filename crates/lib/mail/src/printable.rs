//! Masking of text for logs, queue logs and identifiers.

use bstr::{BStr, BString, ByteSlice};

/// What counts as printable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// 0x20 to 0x7e.
    Ascii,
    /// Also well-formed UTF-8 (`smtputf8_enable = yes`).
    Utf8,
}

/// Replaces every byte that is not printable by `replacement`.
pub fn mask(text: &[u8], charset: Charset, replacement: u8) -> BString {
    let mut out = BString::from(text.to_vec());
    mask_in_place(&mut out, charset, replacement);
    out
}

/// As [`mask`], in place.
pub fn mask_in_place(text: &mut [u8], charset: Charset, replacement: u8) {
    let printable = |b: u8| (b' '..=b'~').contains(&b);
    if charset == Charset::Ascii || text.is_ascii() {
        for byte in text.iter_mut().filter(|b| !printable(**b)) {
            *byte = replacement;
        }
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let (valid, invalid) = match std::str::from_utf8(rest) {
            Ok(_) => (rest.len(), 0),
            Err(error) => (
                error.valid_up_to(),
                error
                    .error_len()
                    .unwrap_or(rest.len() - error.valid_up_to()),
            ),
        };
        let (head, tail) = rest.split_at_mut(valid);
        for byte in head.iter_mut().filter(|b| b.is_ascii() && !printable(**b)) {
            *byte = replacement;
        }
        let (bad, tail) = tail.split_at_mut(invalid.min(tail.len()));
        bad.fill(replacement);
        rest = tail;
    }
}

/// Text fit for one log line: non-printables become `?`.
pub fn quote_for_log(text: &[u8], charset: Charset) -> String {
    // Masked text is UTF-8 by construction.
    mask(text, charset, b'?').to_str_lossy().into_owned()
}

/// C-style escapes for binary data in log lines: `\r`, `\n`, `\ooo`.
pub fn escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x0b => out.push_str("\\v"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

/// The reverse of [`escape`], as configuration values use it (`\b`, `\ooo`, `\\`); a lone
/// backslash before another character is dropped.
pub fn unescape(text: &BStr) -> BString {
    let mut out = BString::default();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escaped, tail)) = rest.split_first() else {
            break;
        };
        rest = tail;
        out.push(match escaped {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let mut value = u32::from(escaped - b'0');
                for _ in 0..2 {
                    let Some((&digit @ b'0'..=b'7', tail)) = rest.split_first() else {
                        break;
                    };
                    value = value * 8 + u32::from(digit - b'0');
                    rest = tail;
                }
                u8::try_from(value & 0xff).unwrap_or_default()
            }
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_printables_become_question_marks() {
        assert_eq!(quote_for_log(b"a\tb\r\nc\x7f", Charset::Ascii), "a?b??c?");
        assert_eq!(quote_for_log("\u{e9}\n".as_bytes(), Charset::Ascii), "???");
        assert_eq!(
            quote_for_log("\u{e9}\n".as_bytes(), Charset::Utf8),
            "\u{e9}?"
        );
        assert_eq!(quote_for_log(b"\xe9x\xc3", Charset::Utf8), "?x?");
    }

    #[test]
    fn escapes_round_trip() {
        let text = b"a\\b\r\n\0\xff\x07 z";
        assert_eq!(unescape(BStr::new(&escape(text))), *text);
        assert_eq!(unescape(BStr::new("\\000x\\0y")), *b"\0x\0y");
    }
}
