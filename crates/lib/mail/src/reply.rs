//! SMTP replies as a client reads them (RFC 5321 §4.2).

use bstr::{BStr, BString};

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three-digit code; 0 when the line had none.
    pub code: u16,
    /// Enhanced status code of the text, or `class.0.0`; `5.5.0` without a reply code.
    pub dsn: String,
    /// All lines as received, joined by line feeds.
    pub text: BString,
}

impl Reply {
    /// First digit of the code.
    pub fn class(&self) -> u16 {
        self.code / 100
    }
}

/// What a line was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More lines follow.
    More,
    /// The reply is complete.
    Done(Reply),
    /// Not an SMTP reply line; the caller may log it and goes on reading.
    Malformed,
}

/// Assembles a reply from lines.
#[derive(Debug, Default)]
pub struct ReplyParser {
    text: BString,
    /// Text past this many bytes is dropped.
    limit: usize,
}

impl ReplyParser {
    /// Keeps at most `limit` bytes of text.
    pub fn new(limit: usize) -> Self {
        Self {
            text: BString::default(),
            limit,
        }
    }

    /// Takes one line, without its line end.
    ///
    /// The code of the last line counts. A line that does not start with three digits followed by
    /// a blank, `-` or nothing is [`Progress::Malformed`]; its text is kept with the reply.
    pub fn line(&mut self, line: &BStr) -> Progress {
        if !self.text.is_empty() && self.text.len() < self.limit {
            self.text.push(b'\n');
        }
        let room = self.limit.saturating_sub(self.text.len());
        self.text
            .extend_from_slice(line.get(..room.min(line.len())).unwrap_or_default());
        let Some(code) = reply_code(line) else {
            return Progress::Malformed;
        };
        if line.get(3) == Some(&b'-') {
            return Progress::More;
        }
        let rest = line.get(4..).unwrap_or_default().trim_ascii_start();
        let text = std::mem::take(&mut self.text);
        Progress::Done(Reply {
            code,
            dsn: enhanced(code, rest),
            text,
        })
    }
}

/// The enhanced status of a reply's text, when it is of the code's class; else `class.0.0`.
fn enhanced(code: u16, text: &[u8]) -> String {
    let class = code / 100;
    let fallback = match class {
        2 | 4 | 5 => format!("{class}.0.0"),
        _ => "5.5.0".to_owned(),
    };
    let length = crate::dsn::status_length(text).unwrap_or(0);
    let status = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
    if !status.is_empty() && status.starts_with(&class.to_string()) {
        status
    } else {
        fallback
    }
}

/// The code at the start of a reply line.
pub fn reply_code(line: &BStr) -> Option<u16> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(line.get(3), None | Some(b' ' | b'-')) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |code, &digit| code * 10 + u16::from(digit - b'0')),
    )
}

/// Splits a complete reply line `550 5.7.1 text` into code, enhanced status (may be empty), text.
pub fn split_reply(line: &BStr) -> Option<(u16, &BStr, &BStr)> {
    let code = reply_code(line)?;
    let rest = line.get(4..).unwrap_or_default();
    let length = crate::dsn::status_length(rest).unwrap_or(0);
    let (status, text) = rest.split_at_checked(length)?;
    Some((code, BStr::new(status), BStr::new(text.trim_ascii_start())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Progress {
        let mut parser = ReplyParser::new(1000);
        let mut progress = Progress::More;
        for line in lines {
            progress = parser.line(BStr::new(line));
        }
        progress
    }

    #[test]
    fn lines_make_a_reply() {
        #[rustfmt::skip]
        let cases: &[(&[&str], u16, &str, &str)] = &[
            (&["250 ok"], 250, "2.0.0", "250 ok"),
            (&["250"], 250, "2.0.0", "250"),
            (&["550-5.7.1 first", "550 5.7.1 second"], 550, "5.7.1", "550-5.7.1 first\n550 5.7.1 second"),
            (&["450 5.1.1 wrong class"], 450, "4.0.0", "450 5.1.1 wrong class"),
            (&["354 go"], 354, "5.5.0", "354 go"),
        ];
        for (lines, code, dsn, text) in cases {
            let want = Reply {
                code: *code,
                dsn: (*dsn).to_owned(),
                text: BString::from(*text),
            };
            assert_eq!(parse(lines), Progress::Done(want));
        }
        assert_eq!(parse(&["250-a"]), Progress::More);
        assert_eq!(parse(&["hello"]), Progress::Malformed);
        assert_eq!(parse(&["2500 x"]), Progress::Malformed);
    }

    #[test]
    fn text_is_bounded() {
        let mut parser = ReplyParser::new(10);
        for _ in 0..100 {
            parser.line(BStr::new("250-aaaaaaaaaaaaaaaa"));
        }
        let Progress::Done(reply) = parser.line(BStr::new("250 b")) else {
            panic!()
        };
        assert!(reply.text.len() <= 10);
    }
}
