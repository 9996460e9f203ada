//! The content of a message: where it ends, and what of it is kept.

/// How far the end of the message has come: CR LF `.` CR LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Text,
    Cr,
    LineStart,
    Dot,
    DotCr,
}

/// What was found in a piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes that belong to the message.
    pub(crate) used: usize,
    /// Whether the message ends with them.
    pub(crate) end: bool,
    /// Where the next piece begins.
    pub(crate) state: Ending,
}

/// Adds to `kept` what is to be kept: line ends become LF, and protected dots lose their protection.
pub(crate) fn keep(input: &[u8], from: Ending, kept: &mut Vec<u8>) -> Seen {
    let mut state = from;
    for (at, byte) in input.iter().enumerate() {
        match (state, byte) {
            (Ending::DotCr, b'\n') => {
                return Seen {
                    used: at + 1,
                    end: true,
                    state,
                };
            }
            // Neither CR nor the dot that protects a line is kept.
            (_, b'\r') | (Ending::LineStart, b'.') => {}
            (_, byte) => kept.push(*byte),
        }
        state = step(state, *byte);
    }
    Seen {
        used: input.len(),
        end: false,
        state,
    }
}

/// As [`keep`] when nothing is kept: looks only at what follows line ends.
pub(crate) fn skip(input: &[u8], from: Ending) -> Seen {
    let mut state = from;
    let mut at = 0;
    while let Some(byte) = input.get(at) {
        if state == Ending::Text && *byte != b'\r' {
            let rest = input.get(at..).unwrap_or_default();
            at += rest
                .iter()
                .position(|byte| *byte == b'\r')
                .unwrap_or(rest.len());
            continue;
        }
        if state == Ending::DotCr && *byte == b'\n' {
            return Seen {
                used: at + 1,
                end: true,
                state,
            };
        }
        state = step(state, *byte);
        at += 1;
    }
    Seen {
        used: at,
        end: false,
        state,
    }
}

fn step(state: Ending, byte: u8) -> Ending {
    match (state, byte) {
        (Ending::Dot, b'\r') => Ending::DotCr,
        (_, b'\r') => Ending::Cr,
        (Ending::Cr, b'\n') => Ending::LineStart,
        (Ending::LineStart, b'.') => Ending::Dot,
        _ => Ending::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dot_between_whole_line_ends_ends_the_message() {
        #[rustfmt::skip]
        let cases: &[(&[u8], Option<usize>, &[u8])] = &[
            (b".\r\nQUIT",                 Some(3),  b""),
            (b"a\r\n.\r\n",                Some(6),  b"a\n"),
            (b"a\n.\r\n..\r\n.\n.\r\r\nx", None,     b"a\n.\n.\n\n.\nx"),
            (b"a\r\n..\r\nb\r\n.\r\nNOOP", Some(13), b"a\n.\nb\n"),
            (b"a\r\n.\r",                 None,     b"a\n"),
            (b"\r\r\n.\r\n",              Some(6),  b"\n"),
        ];
        for (input, want, text) in cases {
            // In pieces of every size the answer is the same.
            for size in 1..=input.len() {
                let mut kept = Vec::new();
                let keeping = run(input, size, |piece, state| keep(piece, state, &mut kept));
                assert_eq!((keeping, kept.as_slice()), (*want, *text), "{size}");
                assert_eq!(run(input, size, skip), *want, "{size}");
            }
        }
    }

    fn run(
        input: &[u8],
        size: usize,
        mut look: impl FnMut(&[u8], Ending) -> Seen,
    ) -> Option<usize> {
        let (mut state, mut used) = (Ending::LineStart, 0);
        for piece in input.chunks(size) {
            let seen = look(piece, state);
            used += seen.used;
            if seen.end {
                return Some(used);
            }
            state = seen.state;
        }
        None
    }
}
