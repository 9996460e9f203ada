//! Shows main.cf parameters.

use postern_config::params::{self, Kind};

use crate::layout::{json_string, main_line};
use crate::model::Model;
use crate::names::{Names, is_read_only};
use crate::options::{Flag, Options};
use crate::{Fatal, warn};

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
        }
    }
    Ok(())
}

fn show(options: &Options, model: &Model, name: &str, out: &mut Vec<u8>) -> Result<(), Fatal> {
    if options.has(Flag::NonDefault) && !is_set(options, model, name) {
        return Ok(());
    }
    let text = value(model, name);
    let is_raw = params::find(name).is_some_and(|info| info.kind == Kind::Raw);
    let text = if options.has(Flag::Expand) && !is_raw {
        model.expand(&model.config, &text)?
    } else {
        text
    };
    print(options, name, &text, out);
    Ok(())
}

/// Whether `-n` shows the parameter.
fn is_set(options: &Options, model: &Model, name: &str) -> bool {
    if is_read_only(model, name) {
        return false;
    }
    model.config.is_set(name) || (name == "config_directory" && options.is_directory_chosen)
}

/// The unexpanded text.
fn value(model: &Model, name: &str) -> String {
    if is_read_only(model, name) && name == "service_name" {
        return String::new();
    }
    model
        .config
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
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}
