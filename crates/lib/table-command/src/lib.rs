//! What postmap(1) and postalias(1) have in common: options, and creating, changing, querying and
//! listing tables. How a source line reads and what is added at the end is each program's own
//! ([`Dialect`]).
//!
//! Source: tables.md §10 and §11 of the specification; texts as observed with Postfix 3.7.11.
#![forbid(unsafe_code)]

mod create;
mod input;
mod message;
mod options;
mod query;

use bstr::{BStr, BString};
use postern_config::Config;
use postern_dict::{ErrorKind, LookupError, OpenError, OpenMode, Table};
use postern_maillog::{Severity, fatal};
use std::borrow::Cow;
use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;

pub use options::{Action, Options};

/// What one source line gives.
pub enum Entry<'a> {
    /// Key (not folded) and value.
    Pair(Cow<'a, BStr>, Cow<'a, BStr>),
    /// Nothing; a warning was logged.
    Skip,
}

/// How a program differs from the other.
pub trait Dialect {
    /// Program name.
    const NAME: &'static str;
    /// Option letters for getopt(3).
    const LETTERS: &'static str;
    /// Text after `usage: `.
    const USAGE: &'static str;
    /// Between key and value in listings.
    const SEPARATOR: &'static str;

    /// Reads one logical line; `place` is `F, line N`. Logs what is wrong with it.
    fn entry<'a>(line: &'a BStr, place: &dyn Display, utf8: bool, options: &Options) -> Entry<'a>;

    /// Entries added at the end, replacing older ones: key, value, and whether they are stored
    /// exactly so, without folding and without NUL.
    fn trailer(_config: &Config) -> Vec<(BString, BString, bool)> {
        Vec::new()
    }
}

/// Runs the program.
pub fn main<D: Dialect>() -> ExitCode {
    postern_command::begin(D::NAME);
    let options = Options::from_process::<D>();
    let config = postern_command::load_config(options.directory.as_deref());
    postern_command::update_environment(&config);
    match &options.action {
        Action::Delete(key) => query::delete(&config, &options, BStr::new(key)),
        Action::Query(key) => query::query::<D>(&config, &options, BStr::new(key)),
        Action::List => query::list::<D>(&config, &options),
        Action::Create => create::create::<D>(&config, &options),
    }
}

/// `type:name` of an operand; a name without type has the default one.
fn type_name(config: &Config, operand: &str) -> String {
    if operand.contains(':') {
        operand.to_owned()
    } else {
        format!(
            "{}:{operand}",
            config.get(postern_config::params::DEFAULT_DATABASE_TYPE)
        )
    }
}

/// Opens a table or ends the program with the reason.
fn open(config: &Config, operand: &str, mode: OpenMode, options: &Options) -> Box<dyn Table> {
    let type_name = type_name(config, operand);
    postern_dict::open_own(config, &type_name, mode, options.flags)
        .unwrap_or_else(|error| refuse(&type_name, &error))
}

/// Ends the program because the table cannot be opened. A person at a terminal is told which type was
/// probably meant.
fn refuse(type_name: &str, error: &OpenError) -> ! {
    let kind = type_name.split(':').next().unwrap_or_default();
    if postern_dict::TYPES.contains(&kind) || !std::io::stderr().is_terminal() {
        fatal!("{error}");
    }
    postern_maillog::log(Severity::Fatal, &error.to_string());
    let program = postern_command::process_name("postmap");
    postern_command::hint(&program, kind, postern_dict::TYPES);
    std::process::exit(1)
}

/// Ends the program because `operation` (query, delete, sequence, write) on `table` failed.
fn give_up(table: &str, operation: &str, error: &LookupError) -> ! {
    match error.kind {
        ErrorKind::Retry => fatal!("table {table}: {operation} error: {}", error.reason),
        ErrorKind::Config => fatal!("table {table}: {operation} error"),
        ErrorKind::Fatal => fatal!("{error}"),
    }
}

/// Exit status of an answer.
fn found(found: bool) -> ExitCode {
    if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
