//! Why a table could not be opened or a lookup not be answered.

use bstr::BString;

/// What a failed operation asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Temporary: try again later.
    Retry,
    /// The administrator has to mend the table; still temporary for mail.
    Config,
    /// Postfix's programs end here with `reason` as the whole text after `fatal: `; a daemon may
    /// defer instead.
    Fatal,
}

/// A lookup that could not be answered: a temporary condition (4xx, defer), never "not found".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct LookupError {
    /// `type:name`.
    pub table: String,
    /// What failed.
    pub reason: String,
    /// How bad it is.
    pub kind: ErrorKind,
}

impl LookupError {
    /// A temporary failure of `table`.
    pub fn retry(table: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            reason: reason.into(),
            kind: ErrorKind::Retry,
        }
    }

    /// A failure that the administrator has to mend.
    pub fn config(table: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            reason: reason.into(),
            kind: ErrorKind::Config,
        }
    }

    /// A failure on which Postfix's programs end; `reason` is the whole text.
    pub fn fatal(table: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            reason: reason.into(),
            kind: ErrorKind::Fatal,
        }
    }

    /// `operation` (lookup, update, delete, sequence) is not supported by `table`.
    pub fn unsupported(table: &str, operation: &str) -> Self {
        Self::fatal(
            table,
            format!("table {table}: {operation} operation is not supported"),
        )
    }

    fn text(&self) -> String {
        match self.kind {
            ErrorKind::Fatal => self.reason.clone(),
            ErrorKind::Retry | ErrorKind::Config => {
                format!("table {}: {}", self.table, self.reason)
            }
        }
    }
}

/// Result of a lookup.
pub type Lookup<T = BString> = Result<Option<T>, LookupError>;

/// Why a table was not opened or created. `Display` is the whole text that commands show after
/// `fatal: ` and surrogates show as the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

impl OpenError {
    /// `open WHAT: <strerror>`, e.g. `open database F.db: No such file or directory`.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self(format!("open {what}: {}", io_text(error)))
    }
}

pub use postern_sys::error_text as io_text;

/// Text for a message: bytes that are not UTF-8 show as `?`.
pub fn shown(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out
}
