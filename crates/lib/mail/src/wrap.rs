//! Wrapping the text of notices at blanks (dsn.md §4).

use bstr::BString;

/// Widest line.
const WIDTH: usize = 79;

/// Splits `text` at blanks into lines of at most 79 columns, of which the first begins with `first` and
/// the others with `next`. A word that is too long keeps its line to itself. Blanks at the end are left out.
#[must_use]
pub fn wrap(text: &[u8], first: &str, next: &str) -> Vec<BString> {
    let mut lines = Vec::new();
    let mut line = BString::from(first);
    let mut words_on_line = 0;
    for word in text.trim_ascii_end().split(|byte| *byte == b' ') {
        if words_on_line > 0 && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::replace(&mut line, next.into()));
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
            assert_eq!(wrap(text.as_bytes(), "", "    "), [want], "{text:?}");
        }
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_stay_whole() {
        let word = "x".repeat(30);
        let text = format!("{word} {word} {word} {}", "y".repeat(100));
        let want = [
            format!("{word} {word}"),
            format!("    {word}"),
            format!("    {}", "y".repeat(100)),
        ];
        assert_eq!(wrap(text.as_bytes(), "", "    "), want);
    }

    #[test]
    fn what_begins_a_line_counts() {
        let (long, short) = ("x".repeat(300), "y".repeat(40));
        let want = [
            " In:  550".to_owned(),
            format!("     {long}"),
            format!("     {short}"),
            format!("     {short}"),
        ];
        let text = format!("In:  550 {long} {short} {short}");
        assert_eq!(wrap(text.as_bytes(), " ", "     "), want);
    }
}
