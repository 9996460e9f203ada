//! Builds, changes, queries and lists lookup tables. Manual page: postmap(1).
#![forbid(unsafe_code)]

use bstr::BStr;
use postern_dict::Flags;
use postern_dict::source::{files_as_base64, split_entry};
use postern_table_command::{Dialect, Entry, Options};
use std::borrow::Cow;
use std::fmt::Display;
use std::process::ExitCode;

/// The lines and options of postmap.
struct Postmap;

impl Dialect for Postmap {
    const NAME: &'static str = "postmap";
    const LETTERS: &'static str = "bc:d:fFhijmnNopq:rsuUvw";
    const USAGE: &'static str =
        "postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...";
    const SEPARATOR: &'static str = "\t";

    fn entry<'a>(line: &'a BStr, place: &dyn Display, utf8: bool, options: &Options) -> Entry<'a> {
        let (key, value) = match split_entry(line, utf8) {
            Ok(pair) => pair,
            Err(error) => {
                log::warn!("{place}: {error}");
                return Entry::Skip;
            }
        };
        if key.ends_with(b":") {
            log::warn!("{place}: record is in \"key: value\" format; is this an alias file?");
        }
        if !options.flags.contains(Flags::SRC_RHS_IS_FILE) {
            return Entry::Pair(Cow::Borrowed(key), Cow::Borrowed(value));
        }
        match files_as_base64(value) {
            Ok(content) => Entry::Pair(Cow::Borrowed(key), Cow::Owned(content)),
            Err(error) => {
                log::warn!("{place}: {error}: skipping this entry");
                Entry::Skip
            }
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    postern_table_command::main::<Postmap>()
}
