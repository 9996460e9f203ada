//! Builds, changes, queries and lists alias databases. Manual page: postalias(1).
#![forbid(unsafe_code)]

use bstr::{BStr, BString};
use postern_config::{Config, params};
use postern_dict::alias;
use postern_table_command::{Dialect, Entry, Options};
use std::borrow::Cow;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// The lines and options of postalias.
struct Postalias;

impl Dialect for Postalias {
    const NAME: &'static str = "postalias";
    const LETTERS: &'static str = "c:d:finNopq:rsuvw";
    const USAGE: &'static str =
        "postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...";
    const SEPARATOR: &'static str = ":\t";

    fn entry<'a>(line: &'a BStr, place: &dyn Display, utf8: bool, _options: &Options) -> Entry<'a> {
        if line.is_empty() {
            // All that it had was behind a null byte.
            return Entry::Skip;
        }
        match alias::parse(line, utf8) {
            Ok((name, value)) => Entry::Pair(Cow::Owned(name), Cow::Owned(value)),
            Err(error) => {
                log::warn!("{place}: {error}");
                Entry::Skip
            }
        }
    }

    /// The mark that sendmail looks for, and what NIS needs of its maps.
    fn trailer(config: &Config) -> Vec<(BString, BString, bool)> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        vec![
            (BString::from("@"), BString::from("@"), false),
            (
                BString::from("YP_LAST_MODIFIED"),
                BString::from(format!("{now:010}")),
                true,
            ),
            (
                BString::from("YP_MASTER_NAME"),
                BString::from(config.get(params::MYHOSTNAME)),
                true,
            ),
        ]
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    postern_table_command::main::<Postalias>()
}
