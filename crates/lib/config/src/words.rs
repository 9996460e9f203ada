//! Lists in values: separators, `{…}` groups, and sets of known names.

use crate::ConfigError;
use crate::value::is_space;

/// What separates list items: comma and white space.
#[must_use]
pub const fn is_separator(character: char) -> bool {
    matches!(character, ',' | ' ' | '\t' | '\r' | '\n')
}

/// Splits at comma and white space.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator).filter(|word| !word.is_empty())
}

/// Splits at comma and white space, except inside `{…}`; groups keep their braces. A group that does
/// not end reaches to the end of the text.
#[must_use]
pub fn grouped_words(text: &str) -> Vec<&str> {
    split_grouped(text, is_separator)
}

/// As [`grouped_words`], with other separators.
#[must_use]
pub fn split_grouped(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut depth) = (None, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && is_separator(character) {
            if let Some(from) = start.take() {
                found.push(&text[from..at]);
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(from) = start {
        found.push(&text[from..]);
    }
    found
}

/// Removes the braces around `text` and the blanks next to them.
pub fn unbrace(text: &str) -> Result<&str, String> {
    if !text.starts_with('{') {
        return Err(format!("no '{{' at start of text in \"{text}\""));
    }
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            if !text[at + 1..].trim_matches(is_space).is_empty() {
                return Err(format!("syntax error after '}}' in \"{text}\""));
            }
            return Ok(text[1..at].trim_matches(is_space));
        }
    }
    Err(format!("missing '}}' in \"{text}\""))
}

/// Turns a list of known names into the union of their bits. `parameter` is for the complaint.
pub fn name_set(
    parameter: &str,
    text: &str,
    known: &[(&str, u32)],
    any_case: bool,
) -> Result<u32, ConfigError> {
    let mut set = 0;
    for word in words(text) {
        let bit = known
            .iter()
            .find(|(name, _)| {
                if any_case {
                    name.eq_ignore_ascii_case(word)
                } else {
                    *name == word
                }
            })
            .map(|(_, bit)| *bit);
        set |= bit.ok_or_else(|| ConfigError::UnknownName {
            name: parameter.to_string(),
            word: word.to_string(),
            text: text.to_string(),
        })?;
    }
    Ok(set)
}

/// The items of import_environment and export_environment: `NAME`, whose value is kept, and
/// `NAME=value`. In the file an item with blanks stands in braces, as in `{ NAME = value }`.
/// `action` is the reference's word for what is about to happen (`clean_env`, `update_env`).
pub fn environment(parameter: &str, action: &str, text: &str) -> Result<Vec<String>, ConfigError> {
    let fail = |problem: String| ConfigError::Text(problem);
    let mut items = Vec::new();
    for word in grouped_words(text) {
        let item = if word.starts_with('{') {
            unbrace(word).map_err(|problem| fail(format!("{parameter}: {problem}")))?
        } else {
            word
        };
        let item = match item.split_once('=') {
            Some((name, value)) => {
                format!(
                    "{}={}",
                    name.trim_matches(is_space),
                    value.trim_matches(is_space)
                )
            }
            None => item.to_string(),
        };
        if item.is_empty() || item.starts_with('=') {
            return Err(fail(format!("{action}: missing attribute name in: {item}")));
        }
        items.push(item);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_protect_separators() {
        assert_eq!(
            grouped_words("a, {b c, {d e}} f"),
            ["a", "{b c, {d e}}", "f"]
        );
        assert_eq!(
            grouped_words("inline:{a=b, {c = d e}} x"),
            ["inline:{a=b, {c = d e}}", "x"]
        );
        assert_eq!(words(" a,b\tc ").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn environment_items_may_stand_in_braces() {
        let read = |text: &str| {
            environment("import_environment", "clean_env", text).map_err(|error| error.to_string())
        };
        assert_eq!(
            read("MAIL_CONFIG, TZ=UTC {MY_A = one two}\t{ B } C={d e}"),
            Ok(["MAIL_CONFIG", "TZ=UTC", "MY_A=one two", "B", "C={d e}"]
                .map(str::to_string)
                .to_vec())
        );
        let rows = [
            ("{A=b", "import_environment: missing '}' in \"{A=b\""),
            (
                "{A=b}c",
                "import_environment: syntax error after '}' in \"{A=b}c\"",
            ),
            ("A = b", "clean_env: missing attribute name in: ="),
            ("{=x}", "clean_env: missing attribute name in: =x"),
        ];
        for (text, want) in rows {
            assert_eq!(read(text), Err(want.to_string()), "{text}");
        }
    }

    #[test]
    fn braces_come_off_or_are_complained_about() {
        assert_eq!(unbrace("{ a = b }"), Ok("a = b"));
        assert_eq!(unbrace("{A=b"), Err("missing '}' in \"{A=b\"".into()));
        assert_eq!(
            unbrace("{a}b"),
            Err("syntax error after '}' in \"{a}b\"".into())
        );
        assert_eq!(
            unbrace("ab"),
            Err("no '{' at start of text in \"ab\"".into())
        );
    }

    #[test]
    fn unknown_names_are_quoted_with_the_whole_value() {
        let known = [("bounce", 1), ("2bounce", 2)];
        assert_eq!(
            name_set("notify_classes", "bounce, 2bounce", &known, false),
            Ok(3)
        );
        let error = name_set("notify_classes", "bounce foo", &known, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown notify_classes value \"foo\" in \"bounce foo\""
        );
    }
}
