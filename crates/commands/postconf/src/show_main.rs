//! Shows main.cf parameters.

use postern_config::params::{self, Kind};
use postern_config::{Config, lines};

use crate::layout::{json_string, main_line};
use crate::model::Model;
use crate::names::{Names, check_level, is_read_only};
use crate::options::{Flag, Options};
use crate::{Fatal, hints, warn};

/// Prints what the options and words ask for.
pub(crate) fn run(
    options: &Options,
    model: &Model,
    names: &Names,
    out: &mut Vec<u8>,
) -> Result<(), Fatal> {
    if options.words.is_empty() {
        for name in names.listed(options.classes, &model.config) {
            show(options, model, name, out)?;
        }
        return Ok(());
    }
    for name in &options.words {
        if names.contains(name) {
            show(options, model, name, out)?;
        } else {
            warn(&format!("{name}: unknown parameter"));
            hints::unknown_word(name, names);
        }
    }
    Ok(())
}

fn show(options: &Options, model: &Model, name: &str, out: &mut Vec<u8>) -> Result<(), Fatal> {
    if options.has(Flag::NonDefault) && !is_set(options, model, name) {
        return Ok(());
    }
    let text = shown_value(options, model, &model.config, name)?;
    print(options, name, &text, out);
    Ok(())
}

/// The value as `config` sees it, expanded when the options say so.
pub(crate) fn shown_value(
    options: &Options,
    model: &Model,
    config: &Config,
    name: &str,
) -> Result<String, Fatal> {
    let text = value(model, config, name);
    let info = params::find(name);
    let is_raw = info.is_some_and(|info| info.kind == Kind::Raw);
    if options.has(Flag::Expand)
        && info.is_some_and(|info| info.old.is_some())
        && !config.is_set(name)
    {
        check_level(config)?;
    }
    if options.has(Flag::Expand) && !is_raw {
        model.expand(config, &text)
    } else {
        Ok(text)
    }
}

/// Whether `-n` shows the parameter.
fn is_set(options: &Options, model: &Model, name: &str) -> bool {
    if is_read_only(model, name) {
        return false;
    }
    model.config.is_set(name) || (name == "config_directory" && options.is_directory_chosen)
}

/// The unexpanded text.
fn value(model: &Model, config: &Config, name: &str) -> String {
    if is_read_only(model, name) && name == "service_name" {
        return String::new();
    }
    config
        .raw(name)
        .or_else(|| model.service_default(name))
        .unwrap_or_default()
}

/// Prints one parameter in the form that the options choose.
pub(crate) fn print(options: &Options, name: &str, value: &str, out: &mut Vec<u8>) {
    let line = if options.has(Flag::Json) {
        if options.has(Flag::HideValue) {
            json_string(name)
        } else {
            format!("{{{}: {}}}", json_string(name), json_string(value))
        }
    } else if options.has(Flag::HideValue) {
        name.to_string()
    } else {
        main_line(
            (!options.has(Flag::HideName)).then_some(name),
            value,
            options.has(Flag::Fold),
        )
    };
    out.extend_from_slice(&lines::to_bytes(&line));
    out.push(b'\n');
}
