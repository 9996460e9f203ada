//! How entries are laid out: folding of main.cf lines, columns and folding of master.cf entries.

use postern_config::words::split_grouped;

/// Bytes of a text as it is printed.
fn width(text: &str) -> usize {
    postern_config::lines::to_bytes(text).len()
}

/// Longest line of a folded listing.
const LINE_LIMIT: usize = 80;
/// Continuation lines start with this.
const INDENT: &str = "    ";
/// Where the fields of a master.cf entry start.
const COLUMNS: &[usize] = &[0, 11, 17, 25, 33, 41, 49, 57];

/// White space runs become one blank; none at the ends.
pub(crate) fn squeeze(text: &str) -> String {
    text.split([' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// One main.cf line, or several when `is_folded`: `name = value`, or the value alone.
pub(crate) fn main_line(name: Option<&str>, value: &str, is_folded: bool) -> String {
    let value = squeeze(value);
    let head = match name {
        Some(name) if value.is_empty() => format!("{name} ="),
        Some(name) => format!("{name} = "),
        None => String::new(),
    };
    if !is_folded {
        return head + &value;
    }
    let mut out = head.clone();
    let mut length = width(&head);
    let mut is_first = true;
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if !is_first || name.is_some() {
            // A blank counts once it is written, and the first one is in the head already.
            let written = length - usize::from(is_first);
            if written + width(word) < LINE_LIMIT {
                if !is_first {
                    out.push(' ');
                    length += 1;
                }
            } else {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(INDENT);
                length = INDENT.len();
            }
        }
        out.push_str(word);
        length += width(word);
        is_first = false;
    }
    out
}

/// A master.cf entry: fields in columns, then the arguments. `options` of the arguments are `-o`
/// options with their values, before the command's own arguments.
pub(crate) fn master_entry(
    fields: &[String],
    arguments: &[String],
    options: usize,
    is_folded: bool,
) -> String {
    let mut out = String::new();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            let column = COLUMNS.get(index).copied().unwrap_or(0);
            let blanks = column.saturating_sub(width(&out)).max(1);
            out.push_str(&" ".repeat(blanks));
        }
        out.push_str(field);
    }
    let length = width(&out);
    out.push_str(&argument_text(arguments, options, length, is_folded));
    out
}

/// The arguments of an entry, as they follow `length` bytes of text.
pub(crate) fn argument_text(
    arguments: &[String],
    options: usize,
    mut length: usize,
    is_folded: bool,
) -> String {
    let mut out = String::new();
    let mut breaks_next = false;
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        let is_option = at < options && word == "-o" && at + 1 < arguments.len();
        let text = if is_option {
            format!("-o {}", arguments[at + 1])
        } else {
            word.clone()
        };
        let breaks = is_option || breaks_next || length + 1 + width(&text) >= LINE_LIMIT;
        if is_folded && breaks {
            out.push('\n');
            out.push_str(INDENT);
            length = INDENT.len();
        } else {
            out.push(' ');
            length += 1;
        }
        length += width(&text);
        out.push_str(&text);
        breaks_next = is_option;
        at += if is_option { 2 } else { 1 };
    }
    out
}

/// A string of JSON, quotes included.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other < ' ' || other == '\u{7f}' => {
                out.push_str(&format!("\\u{:04X}", u32::from(other)))
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Splits command text of `-F` edits into words, groups whole.
pub(crate) fn command_words(text: &str) -> Vec<String> {
    split_grouped(text, |c| matches!(c, ' ' | '\t' | '\r' | '\n'))
        .into_iter()
        .map(str::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fold_before_the_eightieth_byte() {
        let value = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, reject_unknown_sender_domain, check_policy_service unix:private/policy";
        let want = "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated,\n    reject_unauth_destination, reject_unknown_sender_domain,\n    check_policy_service unix:private/policy";
        assert_eq!(
            main_line(Some("smtpd_recipient_restrictions"), value, true),
            want
        );
        let long = "a".repeat(80);
        assert_eq!(
            main_line(Some("x"), &format!("{long} b"), true),
            format!("x =\n    {long}\n    b")
        );
        assert_eq!(main_line(Some("x"), "", true), "x =");
        let (fits, too_long) = ("b".repeat(76), "b".repeat(77));
        assert_eq!(main_line(Some("x"), &fits, true), format!("x = {fits}"));
        assert_eq!(
            main_line(Some("x"), &too_long, true),
            format!("x =\n    {too_long}")
        );
        assert_eq!(main_line(None, " a \t b ", false), "a b");
    }

    #[test]
    fn entries_have_columns_and_options_on_own_lines() {
        let fields: Vec<String> = "smtp inet n - y - - smtpd"
            .split(' ')
            .map(str::to_string)
            .collect();
        let arguments: Vec<String> = ["-o", "a=b", "-v"]
            .iter()
            .map(|word| (*word).to_string())
            .collect();
        assert_eq!(
            master_entry(&fields, &arguments, 3, false),
            "smtp       inet  n       -       y       -       -       smtpd -o a=b -v"
        );
        assert_eq!(
            master_entry(&fields, &arguments, 3, true),
            "smtp       inet  n       -       y       -       -       smtpd\n    -o a=b\n    -v"
        );
    }
}
