//! What tables with a database file share: NUL forms of keys, change detection, the "older than
//! source" warning and duplicate entries.

use bstr::{BStr, BString, ByteSlice};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::source::now_seconds;
use crate::{Flags, LookupError};

/// How much the answers of a reader that remembers parts of its file may be out of date: less than
/// it takes one process to wake another. Then the state of the file is looked at.
pub(crate) const FRESH: Duration = Duration::from_micros(100);

/// Waits until every reader looks at its file again.
#[cfg(test)]
pub(crate) fn outwait_freshness() {
    let start = std::time::Instant::now();
    while start.elapsed() <= FRESH {
        std::hint::spin_loop();
    }
}

/// Warns when `source` was changed after the database `path` was, unless just now.
pub fn warn_if_older(path: &str, source: &str, database: &Metadata) {
    const GRACE: i64 = 100;
    let Ok(text) = std::fs::metadata(Path::new(source)) else {
        return;
    };
    if text.mtime() > database.mtime() && text.mtime() < now_seconds() - GRACE {
        log::warn!("database {path} is older than source file {source}");
    }
}

/// Which forms of keys a table tries: with and without a terminating NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NulForms {
    with: bool,
    without: bool,
}

impl NulForms {
    /// The forms that `flags` ask for; neither means both.
    pub fn new(flags: Flags) -> Self {
        let (with, without) = (
            flags.contains(Flags::TRY1NULL),
            flags.contains(Flags::TRY0NULL),
        );
        if with || without {
            Self { with, without }
        } else {
            Self {
                with: true,
                without: true,
            }
        }
    }

    /// Whether the only form has a NUL; `None` when both are to be tried.
    pub fn only(self) -> Option<bool> {
        (self.with != self.without).then_some(self.with)
    }

    /// What the stored form of a key ends with.
    pub fn ending(with: bool) -> &'static [u8] {
        if with { b"\0" } else { b"" }
    }

    /// The endings to try, in order.
    pub fn endings(self) -> impl Iterator<Item = (bool, &'static [u8])> {
        let with = self.with.then_some((true, Self::ending(true)));
        let without = self.without.then_some((false, Self::ending(false)));
        with.into_iter().chain(without)
    }

    /// The keys to try for `key`, in order. `scratch` keeps memory from lookup to lookup.
    pub fn keys<'a>(
        self,
        key: &'a BStr,
        scratch: &'a mut Vec<u8>,
    ) -> impl Iterator<Item = (bool, &'a BStr)> {
        if self.with {
            scratch.clear();
            scratch.extend_from_slice(key);
            scratch.push(0);
        }
        let with_nul = BStr::new(scratch.as_slice());
        self.endings()
            .map(move |(with, _)| (with, if with { with_nul } else { key }))
    }

    /// The form that answered is the only one from now on.
    pub fn settle(&mut self, with: bool) {
        *self = Self {
            with,
            without: !with,
        };
    }

    /// Whether new entries get a NUL; `by_default` when both forms are allowed.
    pub fn writes_nul(self, by_default: bool) -> bool {
        if self.with && self.without {
            by_default
        } else {
            self.with
        }
    }
}

/// Where files beside `path` go.
pub fn directory(path: &str) -> &Path {
    match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `text` with a NUL behind it.
pub fn with_nul(text: &BStr) -> BString {
    let mut stored = BString::from(Vec::with_capacity(text.len() + 1));
    stored.extend_from_slice(text);
    stored.push(0);
    stored
}

/// A value up to its first NUL.
pub fn cut_nul(mut value: Vec<u8>) -> BString {
    value.truncate(before_nul(&value).len());
    BString::from(value)
}

/// What is before the first NUL of a stored value.
pub fn before_nul(value: &[u8]) -> &[u8] {
    // A NUL is the last byte, if there is one at all, nearly always.
    let text = value.strip_suffix(b"\0").unwrap_or(value);
    if text.iter().fold(true, |none, byte| none & (*byte != 0)) {
        return text;
    }
    text.split_once_str(b"\0").map_or(text, |(first, _)| first)
}

/// Reports a key that exists already and is not to be replaced: silent, a warning, or an error,
/// as the flags say. `name` is how the type calls itself.
pub fn duplicate(flags: Flags, name: &str, key: &BStr) -> Result<(), LookupError> {
    let text = format!("{name}: duplicate entry: \"{key}\"");
    if flags.contains(Flags::DUP_IGNORE) {
        Ok(())
    } else if flags.contains(Flags::DUP_WARN) {
        log::warn!("{text}");
        Ok(())
    } else {
        Err(LookupError::fatal(name, text))
    }
}
