//! What is sent: addresses, headers and content.

use postern_sys::clock;
use std::rc::Rc;

/// The longest line of generated content, without its end.
const LINE: usize = 78;

/// The content after the headers, ready for the wire; shared by all sessions.
pub(crate) struct Body {
    pub(crate) wire: Rc<[u8]>,
    /// The content brings its own headers.
    pub(crate) has_headers: bool,
}

/// What every message has in common.
pub(crate) struct Content {
    pub(crate) host: Vec<u8>,
    pub(crate) sender: Vec<u8>,
    pub(crate) recipient: Vec<u8>,
    /// Recipients of each message.
    pub(crate) recipients: usize,
    /// Recipients get numbers that are never used twice.
    pub(crate) number: bool,
    pub(crate) lmtp: bool,
    /// No HELO, no headers.
    pub(crate) old: bool,
    /// Several messages over one connection.
    pub(crate) keep_connection: bool,
    pub(crate) subject: Option<Vec<u8>>,
    pub(crate) body: Body,
}

impl Body {
    /// Four short lines.
    pub(crate) fn default_text() -> Self {
        let lines: String = (1..=4)
            .map(|n| format!("La de da de da {n}.\r\n"))
            .collect();
        Self::made(lines.into_bytes())
    }

    /// So many bytes, line ends included in each line but the last; whole lines begin with their
    /// number.
    pub(crate) fn of_length(length: usize) -> Self {
        let full = LINE + 2;
        let mut wire = Vec::with_capacity(length + full);
        let mut left = length;
        let mut number = 1_u64;
        while left >= full {
            let start = wire.len();
            wire.extend_from_slice(number.to_string().as_bytes());
            wire.resize(start + LINE, b'X');
            wire.extend_from_slice(b"\r\n");
            left -= full;
            number += 1;
        }
        if left > 0 {
            wire.resize(wire.len() + left, b'X');
            wire.extend_from_slice(b"\r\n");
        }
        Self::made(wire)
    }

    /// The lines of a file with their dots protected, and one empty line. An empty file gives the
    /// default text.
    pub(crate) fn of_file(text: &[u8]) -> Self {
        if text.is_empty() {
            return Self {
                has_headers: true,
                ..Self::default_text()
            };
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + text.len() / 32);
        for line in text.split(|byte| *byte == b'\n') {
            if line.first() == Some(&b'.') {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        Self {
            wire: wire.into(),
            has_headers: true,
        }
    }

    fn made(wire: Vec<u8>) -> Self {
        Self {
            wire: wire.into(),
            has_headers: false,
        }
    }
}

impl Content {
    /// The generated headers and the empty line after them; nothing when the content has its own.
    /// `serial` and `descriptor` make the message ID unique.
    pub(crate) fn headers(&self, descriptor: i32, serial: usize) -> Vec<u8> {
        let mut text = Vec::new();
        if self.old || self.body.has_headers {
            return text;
        }
        let mut header = |name: &str, parts: &[&[u8]]| {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            parts.iter().for_each(|part| text.extend_from_slice(part));
            text.extend_from_slice(b"\r\n");
        };
        header("From", &[b"<", &self.sender, b">"]);
        header("To", &[b"<", &self.recipient, b">"]);
        header("Date", &[clock::local_now().mail_date().as_bytes()]);
        let process = postern_sys::process::id() & 0xffff;
        let id = format!(
            "<{process:04x}.{:04x}.{:04x}@",
            descriptor & 0xffff,
            serial & 0xffff
        );
        header("Message-Id", &[id.as_bytes(), &self.host, b">"]);
        if let Some(subject) = &self.subject {
            header("Subject", &[subject]);
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_content_has_numbered_lines_and_a_rest() {
        let line = |number: &str| format!("{number}{}\r\n", "X".repeat(LINE - number.len()));
        #[rustfmt::skip]
        let cases: &[(usize, String)] = &[
            (1,   "X\r\n".to_owned()),
            (10,  format!("{}\r\n", "X".repeat(10))),
            (80,  line("1")),
            (90,  format!("{}{}\r\n", line("1"), "X".repeat(10))),
            (200, format!("{}{}{}\r\n", line("1"), line("2"), "X".repeat(40))),
        ];
        for (length, want) in cases {
            assert_eq!(&*Body::of_length(*length).wire, want.as_bytes(), "{length}");
        }
    }

    #[test]
    fn files_are_sent_line_by_line() {
        #[rustfmt::skip]
        let cases: &[(&[u8], &[u8])] = &[
            (b".a\nb\n\n",    b"..a\r\nb\r\n\r\n\r\n"),
            (b"b",            b"b\r\n\r\n"),
            (b"x\r\ny\0z\r\n", b"x\r\r\ny\0z\r\r\n\r\n"),
        ];
        for (text, want) in cases {
            assert_eq!(
                &*Body::of_file(text).wire,
                *want,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
