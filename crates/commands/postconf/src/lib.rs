//! Shows and edits main.cf and master.cf. Manual page: postconf(1).
//!
//! [`options`] reads the command line; [`model`] is what the two files say; [`names`] knows which
//! names mean something; the other modules do one mode each. Nothing here logs: messages go to
//! stderr, tagged with the program's name as typed.
#![forbid(unsafe_code)]

mod edit_main;
mod edit_master;
mod layout;
mod lists;
mod model;
mod names;
mod options;
mod show_main;
mod show_master;

use std::io::Write;
use std::process::ExitCode;

use postern_config::ConfigError;

use crate::model::Model;
use crate::options::{Flag, Options};

/// Why the program stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value that is shown cannot be expanded.
    #[error("macro processing error")]
    Macro(String),
    /// Anything else.
    #[error("{0}")]
    Text(String),
    /// A message is out already.
    #[error("")]
    Silent,
}

impl Fatal {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Expansion errors in postconf's own words.
    pub(crate) fn from_expansion(error: ConfigError) -> Self {
        match error {
            ConfigError::Macro { warning } => Self::Macro(warning),
            other => Self::Config(other),
        }
    }
}

/// The program's name as typed, which tags its messages.
pub(crate) fn tag() -> String {
    std::env::args_os().next().map_or_else(
        || "postconf".into(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Shows a warning, with control characters made harmless.
pub(crate) fn warn(text: &str) {
    complain("warning: ", text);
}

fn complain(severity: &str, text: &str) {
    let printable: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let _ = writeln!(std::io::stderr(), "{}: {severity}{printable}", tag());
}

fn report(fatal: &Fatal) {
    match fatal {
        Fatal::Silent => {}
        Fatal::Macro(warning) => {
            warn(warning);
            complain("fatal: ", &fatal.to_string());
        }
        Fatal::Config(error) => {
            for (_, text) in error.preceding() {
                warn(&text);
            }
            complain("fatal: ", &fatal.to_string());
        }
        Fatal::Text(_) => complain("fatal: ", &fatal.to_string()),
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    postern_sys::file::umask(0o022);
    postern_config::set_fatal_hook(|error| {
        report(&Fatal::Config(error.clone()));
        std::process::exit(1)
    });
    let arguments = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut out = Vec::new();
    let mut late = Vec::new();
    let result = run(arguments, &mut out, &mut late);
    let written = std::io::stdout()
        .write_all(&out)
        .and_then(|()| std::io::stdout().flush());
    for text in late {
        warn(&text);
    }
    match result {
        Ok(()) if written.is_ok() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(fatal) => {
            report(&fatal);
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments ask for. `late` gets the warnings that follow the listing.
fn run(arguments: Vec<String>, out: &mut Vec<u8>, late: &mut Vec<String>) -> Result<(), Fatal> {
    let options = Options::parse(arguments)?.complete()?;
    if lists::run(&options, out)? {
        return Ok(());
    }
    if options.is_edit() {
        return if options.has_any(&[Flag::MasterEntry, Flag::MasterField, Flag::MasterParam]) {
            edit_master::run(&options)
        } else {
            edit_main::run(&options)
        };
    }
    let is_master = options.has_any(&[Flag::MasterEntry, Flag::MasterField, Flag::MasterParam]);
    let model = Model::load(&options, is_master)?;
    for warning in model.warnings() {
        warn(warning);
    }
    let names = names::Names::build(&model, &options)?;
    if is_master {
        show_master::run(&options, &model, &names, out)?;
    } else {
        show_main::run(&options, &model, &names, out)?;
    }
    late.extend(names.unused);
    Ok(())
}
