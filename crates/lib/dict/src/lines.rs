//! Logical lines of table source files: comments, blank lines and continuation.
//!
//! Knows nothing of what a line means. Source: tables.md §2.7 of the specification.

use bstr::{BStr, BString, ByteSlice};
use std::io::{self, BufRead};

/// One logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Text without the newline; continuation lines keep their leading blanks.
    pub text: BString,
    /// First physical line, from 1.
    pub first: usize,
    /// Last physical line.
    pub last: usize,
}

/// Room for most lines.
const LINE: usize = 80;

/// Reads logical lines. Warnings name `source`.
pub struct LogicalLines<R> {
    input: R,
    source: String,
    number: usize,
    ahead: Option<(BString, usize)>,
}

/// Whether `byte` is white space of the C locale.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// `text` without leading and trailing white space.
pub fn trim(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1);
    trim_start(text.get(..end).unwrap_or_default())
}

/// `text` without leading white space.
pub fn trim_start(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_space(*byte))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

impl<R: BufRead> LogicalLines<R> {
    /// Reads from `input`; `source` is the file name for warnings.
    pub fn new(input: R, source: &str) -> Self {
        Self {
            input,
            source: source.to_owned(),
            number: 0,
            ahead: None,
        }
    }

    /// The next logical line; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        while let Some(line) = self.gather()? {
            if !line.text.first().copied().is_some_and(is_space) {
                return Ok(Some(line));
            }
            let shown = line.text.get(..30).unwrap_or(&line.text);
            let more = if line.text.len() > 30 { "..." } else { "" };
            let source = &self.source;
            log::warn!(
                "{source}: logical line must not start with whitespace: \"{}{more}\"",
                BStr::new(shown)
            );
        }
        Ok(None)
    }

    /// A first physical line and all that continue it.
    fn gather(&mut self) -> io::Result<Option<Line>> {
        let Some((text, first)) = (match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.physical()?,
        }) else {
            return Ok(None);
        };
        let mut line = Line {
            text,
            first,
            last: first,
        };
        while let Some((text, number)) = self.physical()? {
            if !text.first().copied().is_some_and(is_space) {
                self.ahead = Some((text, number));
                break;
            }
            line.text.extend_from_slice(&text);
            line.last = number;
        }
        self.cut_at_nul(&mut line);
        Ok(Some(line))
    }

    /// The next physical line that is neither blank nor a comment.
    fn physical(&mut self) -> io::Result<Option<(BString, usize)>> {
        loop {
            let mut text = Vec::with_capacity(LINE);
            if self.input.read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            match text.iter().find(|&&byte| !is_space(byte)) {
                None | Some(b'#') => {}
                Some(_) => return Ok(Some((BString::from(text), self.number))),
            }
        }
    }

    fn cut_at_nul(&self, line: &mut Line) {
        let Some(at) = line.text.find_byte(0) else {
            return;
        };
        log::warn!("{}: text after null byte may be ignored", self.place(line));
        line.text.truncate(at);
    }

    /// `F, line N` or `F, line N-M`.
    fn place(&self, line: &Line) -> String {
        if line.first == line.last {
            format!("{}, line {}", self.source, line.first)
        } else {
            format!("{}, line {}-{}", self.source, line.first, line.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, usize)> {
        let mut lines = LogicalLines::new(text.as_bytes(), "F");
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push((line.text.to_string(), line.first));
        }
        all
    }

    #[test]
    fn logical_lines_join_continuations_over_comments() {
        #[rustfmt::skip]
        let cases: &[(&str, &[(&str, usize)])] = &[
            ("k v\n  cont\n",            &[("k v  cont", 1)]),
            ("k v v2  \n  cont",         &[("k v v2    cont", 1)]),
            ("# c\n\nk v\n# x\n \n\tmore\nl w\n", &[("k v\tmore", 3), ("l w", 7)]),
            ("  first\n cont\nk v\n",    &[("k v", 3)]),
            ("a b\0c\nd e",              &[("a b", 1), ("d e", 2)]),
            ("",                         &[]),
        ];
        for (text, want) in cases {
            let want: Vec<(String, usize)> =
                want.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect();
            assert_eq!(read(text), want, "{text:?}");
        }
    }
}
