//! Help for a person at a terminal: where a complaint comes from, and what was probably meant. Nothing
//! of this is shown when stderr is not a terminal, so that scripts see the reference's texts only.

use std::io::{IsTerminal, Write};
use std::path::Path;

use postern_config::compat::{self, Installation, What};
use postern_config::{Config, expand, lines, suggest};

use crate::lists::TABLES;
use crate::model::Model;
use crate::names::{Names, Unknown};
use crate::tag;

/// Whether hints are shown.
fn is_wanted() -> bool {
    std::io::stderr().is_terminal()
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}: note: {text}", tag());
}

/// Follows `unknown parameter` for a word of the command line.
pub(crate) fn unknown_word(word: &str, names: &Names) {
    meant(word, names.all());
}

/// Which of `candidates` was probably meant by `word`.
pub(crate) fn meant<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) {
    if is_wanted()
        && let Some(meant) = suggest::nearest(word, candidates)
    {
        note(&format!("did you mean \"{meant}\"?"));
    }
}

/// Follows `unmatched request` and the like: the service that was probably meant.
pub(crate) fn unmatched_service(pattern: &str, model: &Model) {
    let wanted = pattern.split('/').next().unwrap_or_default();
    let services = model.entries.iter().map(crate::model::MasterEntry::name);
    meant(wanted, services);
}

/// Follows `unused parameter`: file, line, and the name that was probably meant.
pub(crate) fn unused(unknown: &Unknown, model: &Model, names: &Names) {
    if is_wanted() {
        note(&unused_text(unknown, model, names));
    }
}

/// Follows a listing of main.cf: table types that do not exist and look like one that does.
pub(crate) fn table_types(model: &Model) {
    if !is_wanted() {
        return;
    }
    let installation = Installation {
        table_types: TABLES,
        has_program: &|_| true,
    };
    // The files were read a moment ago; a failure now is nothing to complain about.
    let found = compat::differences(&model.config.directory(), &installation).unwrap_or_default();
    for difference in &found {
        if matches!(&difference.what, What::TableType { meant: Some(_), .. }) {
            note(&difference.to_string());
        }
    }
}

/// Follows `macro processing error`: which settings of main.cf cannot be expanded.
pub(crate) fn bad_values(directory: &Path) {
    if !is_wanted() {
        return;
    }
    let Ok(config) = Config::load_now(directory) else {
        return;
    };
    let path = config.main_cf();
    let content = std::fs::read(&path).unwrap_or_default();
    for name in unexpandable(&config) {
        let place = place(&path, line_of(&content, &name));
        note(&format!("{place}: \"{name}\" cannot be expanded"));
    }
}

/// The names whose own text is at fault; all that cannot be expanded when there is none, because
/// values refer to each other in a circle.
fn unexpandable(config: &Config) -> Vec<String> {
    let fails = |(name, value): (&str, &str)| {
        let is_bad = config.expand(value, &|_| None).is_err();
        is_bad.then(|| (name.to_string(), value.to_string()))
    };
    let all: Vec<(String, String)> = config.entries().filter_map(fails).collect();
    let is_wrong = |value: &str| expand::references(value, &mut |_| ()).is_err();
    let own = all.iter().filter(|(_, value)| is_wrong(value));
    let own: Vec<String> = own.map(|(name, _)| name.clone()).collect();
    if own.is_empty() {
        all.into_iter().map(|(name, _)| name).collect()
    } else {
        own
    }
}

fn unused_text(unknown: &Unknown, model: &Model, names: &Names) -> String {
    let name = &unknown.name;
    let place = match unknown.entry.and_then(|index| model.entries.get(index)) {
        None if unknown.entry.is_none() => {
            let path = model.main_cf();
            let line = std::fs::read(Path::new(&path))
                .ok()
                .and_then(|content| line_of(&content, name));
            place(&path, line)
        }
        None => model.master_cf(),
        Some(entry) => {
            let path = model.master_cf();
            let line = std::fs::read(Path::new(&path))
                .ok()
                .and_then(|content| line_in_entry(&content, entry.lines, name))
                .unwrap_or(entry.lines.0);
            place(&path, Some(line))
        }
    };
    match suggest::nearest(name, names.all()) {
        Some(meant) => format!("{place}: did you mean \"{meant}\"?"),
        None => format!("{place}: no program and no other setting uses \"{name}\""),
    }
}

fn place(path: &str, line: Option<usize>) -> String {
    line.map_or_else(|| path.to_string(), |line| format!("{path}, line {line}"))
}

/// The line of main.cf that sets `name` last.
fn line_of(content: &[u8], name: &str) -> Option<usize> {
    lines::logical_lines(content, |_, _| ())
        .iter()
        .rev()
        .find(|line| {
            let text = lines::to_text(&line.text);
            lines::split_name_value(&text).is_ok_and(|(found, _)| found == name)
        })
        .map(|line| line.first)
}

/// The physical line between `first` and `last` that has `name` before an equals sign.
fn line_in_entry(content: &[u8], (first, last): (usize, usize), name: &str) -> Option<usize> {
    let sets = |text: &str| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].trim_start();
            before.is_none_or(|character| !is_name(character)) && after.starts_with('=')
        })
    };
    content
        .split(|byte| *byte == b'\n')
        .enumerate()
        .skip(first.saturating_sub(1))
        .take(last + 1 - first.min(last))
        .find(|(_, line)| sets(&String::from_utf8_lossy(line)))
        .map(|(index, _)| index + 1)
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_cannot_be_expanded_is_named() {
        let bad = |text: &str| unexpandable(&Config::from_text(text).unwrap());
        assert_eq!(bad("a = ${x\nb = $a\nc = $b"), ["a"]);
        assert_eq!(bad("a = $b\nb = $a\nc = 1"), ["a", "b"]);
        assert_eq!(bad("a = 1"), [] as [&str; 0]);
    }

    #[test]
    fn settings_are_found_in_their_files() {
        let main = b"# c\nfoo = 1,\n  2\nbar = x\nfoo=2\n";
        assert_eq!(line_of(main, "foo"), Some(5));
        assert_eq!(line_of(main, "bar"), Some(4));
        assert_eq!(line_of(main, "fo"), None);
        let master = b"a inet n - n - - smtpd\n  -o xfoo=1\n# c\n  -o { foo = 2 }\nb unix - - n - - smtp -o foo=3\n";
        assert_eq!(line_in_entry(master, (1, 4), "foo"), Some(4));
        assert_eq!(line_in_entry(master, (5, 5), "foo"), Some(5));
        assert_eq!(line_in_entry(master, (1, 4), "bar"), None);
    }
}
