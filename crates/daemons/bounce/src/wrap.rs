//! Wrapping report text at blanks (dsn.md §4).

/// Widest line.
const WIDTH: usize = 79;
/// Blanks before a line that goes on.
const INDENT: usize = 4;

/// Splits `text` at blanks into lines of at most 79 columns; further lines are indented by four blanks.
/// A word that is too long keeps its line to itself. Blanks at the end are left out.
pub(crate) fn wrap(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut words_on_line = 0;
    for word in text.trim_ascii_end().split(|&byte| byte == b' ') {
        if words_on_line > 0 && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::replace(&mut line, vec![b' '; INDENT]));
            words_on_line = 0;
        }
        if words_on_line > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
        words_on_line += 1;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_end_are_left_out() {
        for (text, want) in [("out ", "out"), (" a  b", " a  b"), ("  ", ""), ("", "")] {
            assert_eq!(wrap(text.as_bytes()), [want.as_bytes()], "{text:?}");
        }
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_stay_whole() {
        let word = "x".repeat(30);
        let text = format!("{word} {word} {word} {}", "y".repeat(100));
        let lines: Vec<String> = wrap(text.as_bytes())
            .into_iter()
            .map(|line| String::from_utf8(line).expect("text"))
            .collect();
        assert_eq!(
            lines,
            [
                format!("{word} {word}"),
                format!("    {word}"),
                format!("    {}", "y".repeat(100))
            ]
        );
    }
}
