//! Logical lines of table source files: comments, blank lines and continuation.
//!
//! Knows nothing of what a line means. Source: tables.md §2.7 of the specification.

use bstr::{BStr, BString, ByteSlice};
use std::io::{self, BufRead};

/// One logical line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Text without the newline; continuation lines keep their leading blanks.
    pub text: BString,
    /// First physical line, from 1.
    pub first: usize,
    /// Last physical line.
    pub last: usize,
}

/// Reads logical lines. Warnings name `source`.
pub struct LogicalLines<R> {
    input: R,
    source: String,
    number: usize,
    line: Line,
    /// The physical line after `line`, if `has_ahead`. Both keep their memory.
    ahead: Line,
    has_ahead: bool,
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
            line: Line::default(),
            ahead: Line::default(),
            has_ahead: false,
        }
    }

    /// The next logical line; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<&Line>> {
        while self.gather()? {
            let text = &self.line.text;
            if !text.first().copied().is_some_and(is_space) {
                return Ok(Some(&self.line));
            }
            let shown = text.get(..30).unwrap_or(text);
            let more = if text.len() > 30 { "..." } else { "" };
            let source = &self.source;
            log::warn!(
                "{source}: logical line must not start with whitespace: \"{}{more}\"",
                BStr::new(shown)
            );
        }
        Ok(None)
    }

    /// A first physical line and all that continue it; `false` at the end.
    fn gather(&mut self) -> io::Result<bool> {
        if !std::mem::take(&mut self.has_ahead) && !self.physical()? {
            return Ok(false);
        }
        std::mem::swap(&mut self.line, &mut self.ahead);
        while self.physical()? {
            if !self.ahead.text.first().copied().is_some_and(is_space) {
                self.has_ahead = true;
                break;
            }
            self.line.text.extend_from_slice(&self.ahead.text);
            self.line.last = self.ahead.last;
        }
        self.cut_at_nul();
        Ok(true)
    }

    /// Reads the next physical line that is neither blank nor a comment; `false` at the end.
    fn physical(&mut self) -> io::Result<bool> {
        let line = &mut self.ahead;
        loop {
            line.text.clear();
            if self.input.read_until(b'\n', &mut line.text)? == 0 {
                return Ok(false);
            }
            self.number += 1;
            if line.text.last() == Some(&b'\n') {
                line.text.pop();
            }
            match line.text.iter().find(|&&byte| !is_space(byte)) {
                None | Some(b'#') => {}
                Some(_) => break,
            }
        }
        (line.first, line.last) = (self.number, self.number);
        Ok(true)
    }

    fn cut_at_nul(&mut self) {
        let Some(at) = self.line.text.find_byte(0) else {
            return;
        };
        log::warn!("{}: text after null byte may be ignored", self.place());
        self.line.text.truncate(at);
    }

    /// `F, line N` or `F, line N-M`.
    fn place(&self) -> String {
        let line = &self.line;
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
