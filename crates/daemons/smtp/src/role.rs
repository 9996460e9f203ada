//! Which of the two protocols this process speaks.

/// The program name decides, as with Postfix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
}

impl Role {
    /// From the base name of `argv[0]`; `None` for any other name.
    pub fn from_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next() {
            Some("smtp") => Some(Self::Smtp),
            Some("lmtp") => Some(Self::Lmtp),
            _ => None,
        }
    }

    /// `smtp` or `lmtp`: the prefix of the parameter names and the program name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}
