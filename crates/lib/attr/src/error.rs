//! What can go wrong with an attribute list, and the warning for it.

use crate::ByteString;
use std::io;

/// Where in an attribute the input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// In the name, or where a name should begin.
    Name,
    /// In the value.
    Value,
}

impl Part {
    fn text(self) -> &'static str {
        match self {
            Self::Name => "input attribute name",
            Self::Value => "input attribute value",
        }
    }
}

/// Why a list was not read or written. `Display` is Postfix's warning with `peer` for the path;
/// [`AttrError::warning`] puts the path in.
#[derive(Debug)]
pub enum AttrError {
    /// The peer closed before the first byte.
    Eof,
    /// Reading or writing failed.
    Io(io::Error),
    /// The read timer expired.
    Timeout(Part),
    /// The peer closed between the parts of a list.
    PrematureEnd(Part),
    /// The peer closed inside a name or value.
    UnexpectedEnd(Part),
    /// The list ended before this attribute.
    Missing(String),
    /// An attribute that the reader did not ask for.
    Unexpected {
        /// The attribute received.
        got: ByteString,
        /// The attribute wanted next, or `(list terminator)`.
        want: String,
    },
    /// Not a number, or out of range.
    BadNumber(ByteString),
    /// Not base64.
    BadBase64(ByteString),
    /// The server speaks another protocol.
    UnexpectedProtocol {
        /// The announced protocol.
        got: ByteString,
        /// The protocol of this client.
        want: String,
    },
    /// Other malformed input, or a list that cannot be written.
    Malformed(String),
}

impl AttrError {
    /// The warning Postfix logs, e.g. `missing attribute NAME in input from PATH`; `path` is
    /// `CLASS/NAME socket` in a client and `SERVICE socket` in a server. `None` for [`AttrError::Eof`].
    pub fn warning(&self, path: &str) -> Option<String> {
        Some(match self {
            Self::Eof => return None,
            // The reference sees any read error as the end of the stream.
            Self::Io(_) => format!(
                "premature end-of-input on {path} while reading {}",
                Part::Name.text()
            ),
            Self::Timeout(part) => format!("timeout on {path} while reading {}", part.text()),
            Self::PrematureEnd(part) => {
                format!(
                    "premature end-of-input on {path} while reading {}",
                    part.text()
                )
            }
            Self::UnexpectedEnd(part) => {
                format!(
                    "unexpected end-of-input from {path} while reading {}",
                    part.text()
                )
            }
            Self::Missing(name) => format!("missing attribute {name} in input from {path}"),
            Self::Unexpected { got, want } => {
                format!("unexpected attribute {got} from {path} (expecting: {want})")
            }
            Self::BadNumber(text) => format!(
                "malformed numerical data from {path} while reading {}: {text}",
                Part::Value.text()
            ),
            Self::BadBase64(text) => format!(
                "malformed base64 data from {path} while reading {}: {text}",
                Part::Value.text()
            ),
            Self::UnexpectedProtocol { got, want } => {
                format!("unexpected protocol {got} from {path} (expected: {want})")
            }
            Self::Malformed(text) => format!("malformed attribute list from {path}: {text}"),
        })
    }

    /// True when the peer went away or stayed silent: another attempt may succeed.
    pub fn is_disconnect(&self) -> bool {
        matches!(
            self,
            Self::Eof
                | Self::Io(_)
                | Self::Timeout(_)
                | Self::PrematureEnd(_)
                | Self::UnexpectedEnd(_)
        )
    }
}

impl std::fmt::Display for AttrError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eof => f.write_str("end of input"),
            Self::Io(error) => error.fmt(f),
            other => f.write_str(&other.warning("peer").unwrap_or_default()),
        }
    }
}

impl std::error::Error for AttrError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for AttrError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl serde::ser::Error for AttrError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Malformed(message.to_string())
    }
}

impl serde::de::Error for AttrError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Malformed(message.to_string())
    }
}
