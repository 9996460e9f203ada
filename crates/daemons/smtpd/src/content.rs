//! Message content: lines of a client become records of the queue file.
//!
//! Pure. Source: smtpd.md §7, §10.

use bstr::ByteSlice;
use postern_queue_file::RecordType;

/// What one piece of a line becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The end of the line was reached.
    End,
    /// The line goes on; it is longer than `line_length_limit`.
    Part,
}

/// Where in the content the next piece belongs.
#[derive(Debug)]
pub(crate) struct Content {
    /// Nothing but mailbox separators so far.
    first: bool,
    /// The last piece did not end its line.
    inside_line: bool,
    /// The last line ended in CR LF; the command line before the content did.
    after_crlf: bool,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            first: true,
            inside_line: false,
            after_crlf: true,
        }
    }
}

/// What to do with a line of DATA.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// It is content, without the dot that protected it.
    Text(&'a [u8]),
    /// The content is complete.
    EndOfData,
    /// A lone dot that could end the content for somebody else: dropped.
    Ignored,
}

impl Content {
    /// Takes the dot off a line (RFC 5321 §4.5.2), and finds the end of the content. With `strict`
    /// that is CR LF `.` CR LF only.
    pub(crate) fn unstuff<'a>(&mut self, line: &'a [u8], crlf: bool, strict: bool) -> Line<'a> {
        let at_start = !self.inside_line;
        let after_crlf = std::mem::replace(&mut self.after_crlf, crlf);
        if !at_start {
            return Line::Text(line);
        }
        match line {
            b"." if strict && !(crlf && after_crlf) => Line::Ignored,
            b"." => Line::EndOfData,
            _ => Line::Text(line.strip_prefix(b".").unwrap_or(line)),
        }
    }

    /// Takes note of a piece, also of one that nobody wants, so that the end of the content is found. Whether
    /// the piece begins a line.
    pub(crate) fn enter(&mut self, piece: Piece) -> bool {
        !std::mem::replace(&mut self.inside_line, piece == Piece::Part)
    }

    /// Writes a piece of a line as records; `starts` is what [`Content::enter`] said of it, `write` gets type
    /// and data.
    ///
    /// Mailbox separators before the header become headers, and a header that begins with a blank
    /// is kept from being taken for one.
    pub(crate) fn put<E>(
        &mut self,
        line: &[u8],
        piece: Piece,
        starts: bool,
        write: WriteRecord<'_, E>,
    ) -> Result<(), E> {
        let kind = match piece {
            Piece::End => RecordType::TEXT,
            Piece::Part => RecordType::TEXT_PART,
        };
        if self.first && starts {
            if line
                .strip_prefix(b">")
                .unwrap_or(line)
                .starts_with(b"From ")
            {
                let renamed = [b"X-Mailbox-Line: ", line].concat();
                return write(kind, &renamed);
            }
            self.first = false;
            if line
                .first()
                .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            {
                write(RecordType::TEXT, b"")?;
            }
        }
        write(kind, line)
    }
}

/// Takes a record.
pub(crate) type WriteRecord<'a, E> = &'a mut dyn FnMut(RecordType, &[u8]) -> Result<(), E>;

/// Cuts chunks of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    held: Vec<u8>,
}

/// One line, or part of one, of chunked content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChunkLine {
    /// Text without its end.
    pub(crate) text: Vec<u8>,
    /// Whether it is a whole line or its end.
    pub(crate) piece: Piece,
    /// Whether the line ended in CR LF.
    pub(crate) crlf: bool,
}

impl Splitter {
    /// Adds bytes and gives each line that is complete, or longer than `limit`, to `line`.
    pub(crate) fn feed<E>(
        &mut self,
        bytes: &[u8],
        limit: usize,
        line: &mut dyn FnMut(ChunkLine) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = limit.saturating_sub(self.held.len()).max(1);
            let window = rest.get(..room.min(rest.len())).unwrap_or(rest);
            if let Some(at) = window.find_byte(b'\n') {
                self.held
                    .extend_from_slice(window.get(..at).unwrap_or_default());
                rest = rest.get(at + 1..).unwrap_or_default();
                let mut text = std::mem::take(&mut self.held);
                let crlf = text.last() == Some(&b'\r');
                if crlf {
                    text.pop();
                }
                line(ChunkLine {
                    text,
                    piece: Piece::End,
                    crlf,
                })?;
                continue;
            }
            self.held.extend_from_slice(window);
            rest = rest.get(window.len()..).unwrap_or_default();
            if self.held.len() >= limit {
                line(ChunkLine {
                    text: std::mem::take(&mut self.held),
                    piece: Piece::Part,
                    crlf: true,
                })?;
            }
        }
        Ok(())
    }

    /// The last line, when it has no end.
    pub(crate) fn finish(&mut self) -> Option<ChunkLine> {
        if self.held.is_empty() {
            return None;
        }
        Some(ChunkLine {
            text: std::mem::take(&mut self.held),
            piece: Piece::End,
            crlf: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[(&str, Piece)]) -> Vec<String> {
        let mut out = Vec::new();
        let mut content = Content::default();
        for (line, piece) in lines {
            let mut write = |kind: RecordType, data: &[u8]| {
                out.push(format!("{}{}", char::from(kind.0), data.as_bstr()));
                Ok::<(), ()>(())
            };
            let starts = content.enter(*piece);
            content
                .put(line.as_bytes(), *piece, starts, &mut write)
                .unwrap();
        }
        out
    }

    #[test]
    fn the_start_of_the_content_is_made_a_header() {
        use Piece::{End, Part};
        type Case = (&'static [(&'static str, Piece)], &'static [&'static str]);
        #[rustfmt::skip]
        let cases: &[Case] = &[
            (&[("From x", End), (">From y", End), ("S: z", End), ("From b", End)],
             &["NX-Mailbox-Line: From x", "NX-Mailbox-Line: >From y", "NS: z", "NFrom b"]),
            (&[(" blank", End), ("S: z", End)], &["N", "N blank", "NS: z"]),
            (&[("", End), (" x", End)], &["N", "N x"]),
            (&[("aaa", Part), (" b", End)], &["Laaa", "N b"]),
        ];
        for (lines, want) in cases {
            assert_eq!(records(lines), *want, "{lines:?}");
        }
    }

    #[test]
    fn only_a_lone_dot_ends_the_content() {
        let steps = |lines: &[(&'static str, bool)], strict: bool| {
            let mut content = Content::default();
            let mut out = Vec::new();
            for (line, crlf) in lines {
                let got = match content.unstuff(line.as_bytes(), *crlf, strict) {
                    Line::Text(text) => text.to_str().unwrap(),
                    Line::EndOfData => "END",
                    Line::Ignored => "IGNORED",
                };
                out.push(got);
            }
            out
        };
        assert_eq!(
            steps(
                &[
                    ("..", true),
                    (".x", true),
                    ("x.", true),
                    (". ", true),
                    (".", true)
                ],
                true
            ),
            [".", "x", "x.", " ", "END"]
        );
        // Observed with smtpd_forbid_bare_newline = no and normalize.
        for (lines, loose, strict) in [
            ([("t", false), (".", false)], "END", "IGNORED"),
            ([("t", false), (".", true)], "END", "IGNORED"),
            ([("t", true), (".", false)], "END", "IGNORED"),
            ([("t", true), (".", true)], "END", "END"),
        ] {
            assert_eq!(steps(&lines, false)[1], loose);
            assert_eq!(steps(&lines, true)[1], strict);
        }
    }

    #[test]
    fn chunks_are_cut_into_lines_wherever_they_end() {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for chunk in [b"Subject: a\r".as_slice(), b"\nb\n\r\nlong line", b" rest"] {
            splitter
                .feed(chunk, 8, &mut |line: ChunkLine| {
                    out.push(format!(
                        "{}{}{}",
                        String::from_utf8(line.text).unwrap(),
                        if line.piece == Piece::Part { "+" } else { "" },
                        if line.crlf { "" } else { " LF" }
                    ));
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
        assert_eq!(out, ["Subject:+", " a", "b LF", "", "long lin+"]);
        assert_eq!(splitter.finish().unwrap().text, b"e rest");
        assert_eq!(splitter.finish(), None);
    }
}
