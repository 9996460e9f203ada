//! Changes main.cf: settings, comment-out, removal.

use std::collections::BTreeMap;

use postern_config::edit::{self, Change};
use postern_config::params;

use crate::options::{Flag, Options};
use crate::{Fatal, warn};

/// Applies the command line's words to main.cf.
pub(crate) fn run(options: &Options) -> Result<(), Fatal> {
    let changes = changes(options)?;
    let path = options.directory.join("main.cf");
    let shown = path.to_string_lossy().into_owned();
    edit::replace(&path, |old| {
        let (new, warnings) = edit::main_cf(&shown, old, &changes);
        warnings.iter().for_each(|text| warn(text));
        Ok(new)
    })?;
    for (name, change) in &changes {
        if matches!(change, Change::Set(_)) && params::find(name).is_none() {
            let known = params::ALL.iter().map(|info| info.name);
            crate::hints::meant(name, known);
        }
    }
    Ok(())
}

/// Checks a word of any edit request.
pub(crate) fn check_word(word: &str, options: &str) -> Result<(), Fatal> {
    if word.contains('\n') {
        return Err(Fatal::Text(format!(
            "{options} accepts no multi-line input"
        )));
    }
    if word.trim_start().starts_with('#') {
        return Err(Fatal::Text(format!("{options} accepts no comment input")));
    }
    Ok(())
}

fn changes(options: &Options) -> Result<BTreeMap<String, Change>, Fatal> {
    let is_set = options.has(Flag::Edit);
    if options.words.is_empty() {
        return Err(Fatal::text(if is_set {
            "-e requires name=value argument"
        } else {
            "missing service argument"
        }));
    }
    let mut changes = BTreeMap::new();
    for word in &options.words {
        check_word(word, "-e, -X, or -#")?;
        if is_set {
            let (name, value) = edit::parse_setting(word)?;
            let old = changes.insert(name.to_string(), Change::Set(value.to_string()));
            if let Some(Change::Set(old)) = old
                && old != value
            {
                warn(&format!("ignoring earlier request: '{name} = {old}'"));
            }
            continue;
        }
        if word.contains('=') {
            return Err(Fatal::text(
                "-X or -# requires parameter names without value",
            ));
        }
        let name = word.trim();
        if name.is_empty() {
            return Err(Fatal::text("-X or -# requires non-blank parameter names"));
        }
        let change = if options.has(Flag::Remove) {
            Change::Remove
        } else {
            Change::CommentOut
        };
        changes.insert(name.to_string(), change);
    }
    Ok(changes)
}
