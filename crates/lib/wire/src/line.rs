//! Lines of the SMTP kind: ended by CRLF, or LF alone, and of limited length.

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// CR LF.
    CrLf,
    /// LF without CR before it.
    Lf,
    /// The length limit was reached first; more of the line follows.
    Partial,
    /// The input ended before the line did; the line may be empty.
    Eof,
}

impl LineEnd {
    /// Whether the whole line was read.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::CrLf | Self::Lf)
    }
}
