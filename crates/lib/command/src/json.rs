//! JSON for programs that read what commands tell (RFC 8259).

use std::fmt::Write;

/// `text` as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn json_string(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_controls_are_escaped() {
        assert_eq!(
            json_string(b"a\"b\\c\n\x01\xff\xc3\xa9"),
            "\"a\\\"b\\\\c\\n\\u0001\u{fffd}é\""
        );
    }
}
