//! Listing instances, and running a command for each of them.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use postern_command::json_string;
use postern_config::{params, words};
use postern_sys::error_text;

use crate::Failure;
use crate::instances::{Instance, Instances};
use crate::options::Options;

/// The lines of `-l`.
pub(crate) fn list(instances: &Instances, options: &Options) -> String {
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    for instance in selected(instances, options) {
        if options.json {
            out.push_str(&json(instance));
            continue;
        }
        let enabled = if instance.is_enabled { "y" } else { "n" };
        let _ = writeln!(
            out,
            "{:<15} {:<15} {:<9} {}",
            dash(&instance.name),
            dash(&instance.group),
            enabled,
            instance.config_directory
        );
    }
    out
}

/// One object a line.
fn json(instance: &Instance) -> String {
    let string = |text: &str| json_string(text.as_bytes());
    format!(
        "{{\"name\": {}, \"group\": {}, \"enabled\": {}, \"primary\": {}, \"config_directory\": {}, \
         \"queue_directory\": {}, \"data_directory\": {}}}\n",
        string(&instance.name),
        string(&instance.group),
        instance.is_enabled,
        instance.is_primary,
        string(&instance.config_directory),
        string(&instance.queue_directory),
        string(&instance.data_directory)
    )
}

fn selected<'a>(instances: &'a Instances, options: &Options) -> Vec<&'a Instance> {
    let mut found = instances.selected(&options.selection);
    if options.reverse {
        found.reverse();
    }
    found
}

/// Runs `words` for each instance; whether all of them went well.
pub(crate) fn command(
    instances: &Instances,
    options: &Options,
    words: &[OsString],
) -> Result<bool, Failure> {
    let found = selected(instances, options);
    if found.is_empty() {
        return Err(Failure::Fatal("No matching instances".to_owned()));
    }
    let mut is_well = true;
    for instance in found {
        is_well &= run_one(instance, words);
    }
    Ok(is_well)
}

/// How a postfix(1) command treats instances that are not enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They are checked only.
    Start,
    /// They are left out, and the order is reversed.
    Stop,
    /// They are left out.
    Control,
    /// They are treated like the others.
    Other,
}

/// Runs a postfix(1) command for each instance that it concerns; whether all of them went well.
pub(crate) fn postfix(
    instances: &Instances,
    options: &Options,
    operands: &[OsString],
) -> Result<bool, Failure> {
    let mut found = selected(instances, options);
    if found.is_empty() {
        return Err(Failure::Fatal("No matching instances".to_owned()));
    }
    let kind = kind(instances, operands);
    if kind == Kind::Stop {
        found.reverse();
    }
    let mut is_well = true;
    for instance in found {
        let arguments: &[OsString] = match (kind, instance.is_enabled) {
            (Kind::Start, false) => &["check".into()],
            (Kind::Stop | Kind::Control, false) => continue,
            _ => operands,
        };
        is_well &= run_one(instance, &postfix_command(instance, arguments));
    }
    Ok(is_well)
}

fn kind(instances: &Instances, operands: &[OsString]) -> Kind {
    let verb = operands
        .first()
        .map(|word| word.to_string_lossy())
        .unwrap_or_default();
    let lists = [
        (params::POSTMULTI_START_COMMANDS, Kind::Start),
        (params::POSTMULTI_STOP_COMMANDS, Kind::Stop),
        (params::POSTMULTI_CONTROL_COMMANDS, Kind::Control),
    ];
    lists
        .into_iter()
        .find(|(param, _)| words::words(&instances.config.get(*param)).any(|word| word == verb))
        .map_or(Kind::Other, |(_, kind)| kind)
}

/// postfix(1) for one instance.
pub(crate) fn postfix_command(instance: &Instance, arguments: &[OsString]) -> Vec<OsString> {
    let program = Path::new(&instance.command_directory).join("postfix");
    let mut words = vec![
        program.into_os_string(),
        "-c".into(),
        instance.config_directory.clone().into(),
    ];
    words.extend_from_slice(arguments);
    words
}

/// Runs a command in the environment of an instance; whether it went well.
pub(crate) fn run_one(instance: &Instance, words: &[OsString]) -> bool {
    let Some((program, arguments)) = words.split_first() else {
        return false;
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in environment(instance) {
        command.env(name, value);
    }
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            let text = format!(
                "execvp {}: {}",
                program.to_string_lossy(),
                error_text(&error)
            );
            postern_maillog::log(postern_maillog::Severity::Fatal, &text);
            false
        }
    }
}

fn environment(instance: &Instance) -> Vec<(&'static str, OsString)> {
    let enabled = if instance.is_enabled { "yes" } else { "no" };
    let mut path = OsString::from(&instance.command_directory);
    if let Some(old) = std::env::var_os("PATH") {
        path.push(":");
        path.push(old);
    }
    vec![
        ("PATH", path),
        ("MAIL_CONFIG", instance.config_directory.clone().into()),
        (
            "command_directory",
            instance.command_directory.clone().into(),
        ),
        ("daemon_directory", instance.daemon_directory.clone().into()),
        ("config_directory", instance.config_directory.clone().into()),
        ("queue_directory", instance.queue_directory.clone().into()),
        ("data_directory", instance.data_directory.clone().into()),
        ("multi_instance_name", instance.name.clone().into()),
        ("multi_instance_group", instance.group.clone().into()),
        ("multi_instance_enable", enabled.into()),
    ]
}
