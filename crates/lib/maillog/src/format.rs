//! The text of one line: severity prefix, masking, length limit.

use std::borrow::Cow;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No prefix.
    Info,
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// `fatal: `
    Fatal,
    /// `panic: `
    Panic,
}

impl Severity {
    /// What precedes the text.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }

    /// The severity in a syslog priority.
    pub(crate) fn syslog(self) -> u8 {
        match self {
            Self::Info => syslog::Severity::LOG_INFO as u8,
            Self::Warning => syslog::Severity::LOG_WARNING as u8,
            Self::Error => syslog::Severity::LOG_ERR as u8,
            Self::Fatal | Self::Panic => syslog::Severity::LOG_CRIT as u8,
        }
    }
}

/// Longest text of a line in bytes, with the severity prefix.
const LIMIT: usize = 2000;

/// Appends severity prefix and text to `line`: unprintable bytes become `?`, the whole is cut at
/// 2000 bytes.
pub(crate) fn append_text(line: &mut Vec<u8>, severity: Severity, text: &str, utf8: bool) {
    append_cut(line, severity, text, utf8, LIMIT);
}

/// As [`append_text`], but of any length: what people read on standard error is not cut.
pub(crate) fn append_whole_text(line: &mut Vec<u8>, severity: Severity, text: &str, utf8: bool) {
    append_cut(line, severity, text, utf8, usize::MAX);
}

/// A replacement character stands for a byte that was no text when the line was put together, and becomes a
/// single `?` too.
fn append_cut(line: &mut Vec<u8>, severity: Severity, text: &str, utf8: bool, limit: usize) {
    let prefix = severity.prefix();
    line.extend_from_slice(prefix.as_bytes());
    let text = if text.contains(char::REPLACEMENT_CHARACTER) {
        Cow::Owned(text.replace(char::REPLACEMENT_CHARACTER, "?"))
    } else {
        Cow::Borrowed(text)
    };
    let room = limit.saturating_sub(prefix.len()).min(text.len());
    mask(line, text.as_bytes().get(..room).unwrap_or_default(), utf8);
}

/// Appends `text` with every byte that is not printable ASCII as `?`; well-formed UTF-8 passes when
/// `utf8` says so.
pub fn mask(line: &mut Vec<u8>, text: &[u8], utf8: bool) {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~');
    if text.iter().all(is_printable) {
        line.extend_from_slice(text);
        return;
    }
    let masked = |byte: u8| if is_printable(&byte) { byte } else { b'?' };
    if !utf8 {
        line.extend(text.iter().map(|byte| masked(*byte)));
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_ascii() {
                line.push(masked(u8::try_from(character).unwrap_or(b'?')));
            } else {
                line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        line.extend(chunk.invalid().iter().map(|_| b'?'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(severity: Severity, text: &str, utf8: bool) -> String {
        let mut line = Vec::new();
        append_text(&mut line, severity, text, utf8);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn unprintable_bytes_become_question_marks() {
        let cases = [
            ("plain text ~", false, "plain text ~"),
            ("tab\tcr\rlf\nnul\0del\x7f", false, "tab?cr?lf?nul?del?"),
            ("grün", false, "gr??n"),
            ("grün\t", true, "grün?"),
            ("a\u{fffd}b", true, "a?b"),
            ("a\u{fffd}b", false, "a?b"),
        ];
        for (text, utf8, want) in cases {
            assert_eq!(line(Severity::Info, text, utf8), want);
        }
        let mut out = Vec::new();
        mask(&mut out, b"a\xff\xc3(", true);
        assert_eq!(out, b"a??(");
    }

    #[test]
    fn text_is_cut_at_2000_bytes_including_the_severity() {
        let long = "x".repeat(3000);
        assert_eq!(line(Severity::Info, &long, false).len(), 2000);
        let warning = line(Severity::Warning, &long, false);
        assert_eq!(warning.len(), 2000);
        assert!(warning.starts_with("warning: x"));
        let mut whole = Vec::new();
        append_whole_text(&mut whole, Severity::Warning, &long, false);
        assert_eq!(whole.len(), "warning: ".len() + long.len());
    }
}
