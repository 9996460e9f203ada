//! `hash` and `btree`: Berkeley DB files, read, changed in place and built as a whole.
//!
//! The layout is that of libdb 3.1 to 5.3, so that Postfix's own programs read, list and update
//! the same files. Source: bdb-format.md; flock(2) rules §6 there. Nothing here knows how a key
//! was folded or what a value means.

mod btree;
mod build;
mod create;
mod hash;
#[cfg(test)]
mod killed;
mod page;
mod pager;
mod table;
#[cfg(test)]
mod tests;

use std::io;

pub(crate) use create::create;
pub(crate) use page::{at, get_u32};
pub(crate) use table::open;

/// The two access methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Btree,
}

impl Kind {
    /// The type's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Btree => "btree",
        }
    }

    fn magic(self) -> u32 {
        match self {
            Self::Hash => 0x0006_1561,
            Self::Btree => 0x0005_3162,
        }
    }

    /// Page type of the meta page.
    fn meta_type(self) -> u8 {
        match self {
            Self::Hash => 8,
            Self::Btree => 9,
        }
    }

    fn oldest_version(self) -> u32 {
        match self {
            Self::Hash => 7,
            Self::Btree => 8,
        }
    }
}

/// Why a file is not opened.
#[derive(Debug)]
enum OpenProblem {
    Io(io::Error),
    /// Another kind of file, or something that this code does not handle (encryption, duplicates).
    NotThisKind,
    /// The end of the file is missing, or something else was written behind it.
    TornPage,
    TooOld(u32),
    TooNew(u32),
}

impl From<io::Error> for OpenProblem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl OpenProblem {
    /// The system's words for it, as libdb's error numbers give them.
    fn text(&self) -> String {
        match self {
            Self::Io(error) => crate::io_text(error),
            Self::NotThisKind | Self::TornPage | Self::TooNew(_) => "Invalid argument".to_owned(),
            Self::TooOld(_) => "Unknown error -30987".to_owned(),
        }
    }

    /// What libdb prints besides.
    fn remark(&self, kind: Kind, path: &str) -> Option<String> {
        let kind = kind.name();
        match self {
            Self::TornPage => Some(format!(
                "BDB3037 {path}: file size not a multiple of the pagesize"
            )),
            Self::TooOld(version) => Some(format!(
                "BDB1008 {path}: {kind} version {version} requires a version upgrade"
            )),
            Self::TooNew(version) => Some(format!(
                "BDB1009 {path}: unsupported {kind} version: {version}"
            )),
            _ => None,
        }
    }
}
