//! Shows master.cf: entries, single fields, and `-o` settings.

use postern_config::lines;
use postern_config::master_cf::FIELD_NAMES;

use crate::layout::{argument_text, json_string, master_entry};
use crate::model::{MasterEntry, Model, setting_text, setting_value};
use crate::names::{Names, is_read_only};
use crate::options::{Flag, Options};
use crate::show_main::{print, shown_value};
use crate::{Fatal, hints, warn};

/// `service/type/item`, where `*` and what is missing match anything.
pub(crate) struct Pattern {
    text: String,
    parts: Vec<String>,
}

impl Pattern {
    /// Splits `text` into at most `most` parts; `None` when it has more, an empty one,
    /// or one with `*` among other text.
    pub(crate) fn parse(text: &str, most: usize) -> Option<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_string).collect();
        let is_valid = parts.len() <= most
            && parts
                .iter()
                .all(|part| !part.is_empty() && (part == "*" || !part.contains('*')));
        is_valid.then(|| Self {
            text: text.to_string(),
            parts,
        })
    }

    fn is_match(&self, index: usize, text: &str) -> bool {
        self.parts
            .get(index)
            .is_none_or(|part| part == "*" || part == text)
    }

    pub(crate) fn selects(&self, entry: &MasterEntry) -> bool {
        self.is_match(0, entry.name()) && self.is_match(1, entry.kind())
    }

    /// The third part, unless it is a wild card.
    fn item(&self) -> Option<&str> {
        self.parts
            .get(2)
            .map(String::as_str)
            .filter(|part| *part != "*")
    }
}

/// Prints what the options and words ask for.
pub(crate) fn run(
    options: &Options,
    model: &Model,
    names: &Names,
    out: &mut Vec<u8>,
) -> Result<(), Fatal> {
    let (most, problem) = if options.has(Flag::MasterEntry) {
        (2, "-M option requires service_name[/type]")
    } else if options.has(Flag::MasterField) {
        (3, "-F option requires service_name[/type[/field]]")
    } else {
        (3, "-P option requires service_name[/type[/parameter]]")
    };
    let mut patterns = Vec::new();
    for word in &options.words {
        let pattern = Pattern::parse(word, most).ok_or_else(|| Fatal::text(problem))?;
        if let Some(item) = pattern.item().filter(|_| options.has(Flag::MasterField))
            && !FIELD_NAMES.contains(&item)
        {
            return Err(Fatal::Text(format!(
                "invalid service attribute name: \"{item}\""
            )));
        }
        patterns.push((pattern, false));
    }
    for (index, entry) in model.entries.iter().enumerate() {
        if options.has(Flag::AllMasterParams) {
            show_all(options, model, names, (index, entry), &mut patterns, out)?;
            continue;
        }
        let expanded = if options.has(Flag::Expand) {
            Some(expand(model, entry)?)
        } else {
            None
        };
        let entry = expanded.as_ref().unwrap_or(entry);
        if options.has(Flag::MasterEntry) {
            show_entry(options, entry, &mut patterns, out);
        } else if options.has(Flag::MasterField) {
            show_fields(options, entry, &mut patterns, out);
        } else {
            show_settings(options, model, entry, &mut patterns, out);
        }
    }
    for (pattern, _) in patterns.iter().filter(|(_, is_matched)| !is_matched) {
        warn(&format!("unmatched request: \"{}\"", pattern.text));
        hints::unmatched_service(&pattern.text, model);
    }
    Ok(())
}

/// Expands the `-o` settings with the service's own view.
fn expand(model: &Model, entry: &MasterEntry) -> Result<MasterEntry, Fatal> {
    let config = model.service_config(entry);
    let mut expanded = entry.clone();
    for (name, value) in &entry.settings {
        for at in entry.setting_positions(name) {
            let text = setting_value(&entry.arguments[at]);
            expanded.arguments[at] = setting_text(name, &model.expand(&config, text)?);
        }
        let value = model.expand(&config, value)?;
        expanded.settings.insert(name.clone(), value);
    }
    Ok(expanded)
}

/// Whether any pattern (or none given) asks for something; marks those that do.
fn is_wanted(patterns: &mut [(Pattern, bool)], matches: impl Fn(&Pattern) -> bool) -> bool {
    if patterns.is_empty() {
        return true;
    }
    let mut wanted = false;
    for (pattern, is_matched) in patterns.iter_mut().filter(|(pattern, _)| matches(pattern)) {
        let _ = pattern;
        *is_matched = true;
        wanted = true;
    }
    wanted
}

fn show_entry(
    options: &Options,
    entry: &MasterEntry,
    patterns: &mut [(Pattern, bool)],
    out: &mut Vec<u8>,
) {
    if !is_wanted(patterns, |pattern| pattern.selects(entry)) {
        return;
    }
    let line = if options.has(Flag::Json) {
        let words: Vec<&str> = entry
            .fields
            .iter()
            .chain(&entry.arguments)
            .map(String::as_str)
            .collect();
        let name = format!("{}/{}", entry.name(), entry.kind());
        format!(
            "{{{}: {}}}",
            json_string(&name),
            json_string(&words.join(" "))
        )
    } else {
        master_entry(
            &entry.fields,
            &entry.arguments,
            entry.options,
            options.has(Flag::Fold),
        )
    };
    out.extend_from_slice(&lines::to_bytes(&line));
    out.push(b'\n');
}

fn show_fields(
    options: &Options,
    entry: &MasterEntry,
    patterns: &mut [(Pattern, bool)],
    out: &mut Vec<u8>,
) {
    for (index, field) in FIELD_NAMES.iter().enumerate() {
        if !is_wanted(patterns, |pattern| {
            pattern.selects(entry) && pattern.is_match(2, field)
        }) {
            continue;
        }
        let name = format!("{}/{}/{field}", entry.name(), entry.kind());
        let value = &entry.fields[index];
        if index + 1 < FIELD_NAMES.len() || options.has(Flag::Json) || options.has(Flag::HideValue)
        {
            let arguments = if index + 1 < FIELD_NAMES.len() {
                String::new()
            } else {
                argument_text(&entry.arguments, 0, 0, false)
            };
            print(options, &name, &format!("{value}{arguments}"), out);
            continue;
        }
        let head = if options.has(Flag::HideName) {
            value.clone()
        } else {
            format!("{name} = {value}")
        };
        let arguments = argument_text(
            &entry.arguments,
            entry.options,
            head.len(),
            options.has(Flag::Fold),
        );
        out.extend_from_slice(&lines::to_bytes(&format!("{head}{arguments}\n")));
    }
}

/// Shows the `-o` settings of an entry, but for those that its program ignores.
fn show_settings(
    options: &Options,
    model: &Model,
    entry: &MasterEntry,
    patterns: &mut [(Pattern, bool)],
    out: &mut Vec<u8>,
) {
    for (name, value) in &entry.settings {
        if is_read_only(model, name) {
            continue;
        }
        if is_wanted(patterns, |pattern| {
            pattern.selects(entry) && pattern.is_match(2, name)
        }) {
            print(options, &setting_name(entry, name), value, out);
        }
    }
}

/// Shows every parameter as the entry's program sees it.
fn show_all(
    options: &Options,
    model: &Model,
    names: &Names,
    (index, entry): (usize, &MasterEntry),
    patterns: &mut [(Pattern, bool)],
    out: &mut Vec<u8>,
) -> Result<(), Fatal> {
    let config = model.service_config(entry);
    for name in names.listed_for_service(index, options.classes, &config) {
        let is_shown = is_wanted(patterns, |pattern| {
            pattern.selects(entry) && pattern.is_match(2, name)
        });
        if is_shown {
            let value = shown_value(options, model, &config, name)?;
            print(options, &setting_name(entry, name), &value, out);
        }
    }
    Ok(())
}

fn setting_name(entry: &MasterEntry, name: &str) -> String {
    format!("{}/{}/{name}", entry.name(), entry.kind())
}
