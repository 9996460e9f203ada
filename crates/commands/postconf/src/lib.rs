//! Shows and edits main.cf and master.cf. Manual page: postconf(1).
//!
//! [`options`] reads the command line; [`model`] is what the two files say; [`names`] knows which
//! names mean something; the other modules do one mode each. Nothing here logs: messages go to
//! stderr, tagged with the program's name as typed.
#![forbid(unsafe_code)]

mod edit_main;
mod edit_master;
mod hints;
mod layout;
mod lists;
mod model;
mod names;
mod options;
mod show_main;
mod show_master;
mod table_files;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use postern_config::ConfigError;

use crate::model::Model;
use crate::names::Names;
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

/// Shows a warning, with what a terminal might interpret made harmless.
pub(crate) fn warn(text: &str) {
    complain("warning: ", text);
}

/// Shows a line of `-v`.
pub(crate) fn inform(text: &str) {
    complain("", text);
}

fn complain(severity: &str, text: &str) {
    // Byte by byte, as in the log: what is not printable ASCII becomes a question mark.
    let printable: String = postern_config::lines::to_bytes(text)
        .into_iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '?',
        })
        .collect();
    let _ = writeln!(std::io::stderr(), "{}: {severity}{printable}", tag());
}

fn report(fatal: &Fatal) {
    match fatal {
        Fatal::Silent => {}
        Fatal::Macro(warning) => {
            warning.lines().for_each(warn);
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
    // An edit that fails has a temporary file to remove.
    postern_sys::signal::ignore_write_signals();
    postern_config::set_fatal_hook(|error| {
        report(&Fatal::Config(error.clone()));
        std::process::exit(1)
    });
    let arguments = std::env::args_os()
        .skip(1)
        .map(|word| postern_config::lines::to_text(word.as_bytes()))
        .collect();
    let mut out = Vec::new();
    let mut directory = PathBuf::new();
    let result = run(arguments, &mut directory, &mut out);
    if result.is_err() {
        // A listing that cannot be completed is not begun.
        out.clear();
    }
    let written = std::io::stdout()
        .write_all(&out)
        .and_then(|()| std::io::stdout().flush());
    match result {
        Ok(shown) => {
            if let Some(shown) = shown {
                warn_late(&shown);
            }
            match written {
                Ok(()) => ExitCode::SUCCESS,
                // `postconf | head`: what shells show of a program that SIGPIPE ends.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    ExitCode::from(128 + 13)
                }
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(fatal) => {
            report(&fatal);
            if matches!(
                fatal,
                Fatal::Macro(_) | Fatal::Config(ConfigError::Macro { .. })
            ) {
                hints::bad_values(&directory);
            }
            ExitCode::FAILURE
        }
    }
}

/// What was listed.
struct Shown {
    model: Model,
    names: Names,
    /// It was main.cf, not defaults and not master.cf.
    is_main_cf: bool,
}

/// Shows the warnings that follow the listing.
fn warn_late(shown: &Shown) {
    for late in &shown.names.late {
        warn(&late.text);
        if let Some(unknown) = &late.unknown {
            hints::unused(unknown, &shown.model, &shown.names);
        }
    }
    if shown.is_main_cf {
        hints::table_types(&shown.model);
    }
}

/// Does what the arguments ask for. Returns what was shown, for the warnings that follow it;
/// `directory` gets the configuration directory, for complaints.
fn run(
    arguments: Vec<String>,
    directory: &mut PathBuf,
    out: &mut Vec<u8>,
) -> Result<Option<Shown>, Fatal> {
    let options = Options::parse(arguments)?.complete()?;
    directory.clone_from(&options.directory);
    if lists::run(&options, out)? {
        return Ok(None);
    }
    let is_master = options.has_any(&[Flag::MasterEntry, Flag::MasterField, Flag::MasterParam]);
    if options.is_edit() {
        let edit = if is_master {
            edit_master::run
        } else {
            edit_main::run
        };
        return edit(&options).map(|()| None);
    }
    let model = Model::load(&options, is_master)?;
    let names = Names::build(&model, &options)?;
    if is_master {
        show_master::run(&options, &model, &names, out)?;
    } else {
        show_main::run(&options, &model, &names, out)?;
    }
    Ok(Some(Shown {
        model,
        names,
        is_main_cf: !is_master && !options.has(Flag::Defaults),
    }))
}
