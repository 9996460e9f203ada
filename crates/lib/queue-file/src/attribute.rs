//! Named attributes, the payload of `A` records.

use crate::record::RecordType;
use bstr::{BStr, ByteSlice};

/// `name=value`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The name, without blanks around it.
    pub name: &'a BStr,
    /// The value, without blanks around it; may be empty.
    pub value: &'a BStr,
}

/// Why a payload is no attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Nothing before the `=`.
    #[error("missing attribute name")]
    MissingName,
    /// No `=`.
    #[error("missing '=' after attribute name")]
    MissingEquals,
}

impl<'a> Attribute<'a> {
    /// Splits at the first `=`.
    ///
    /// # Errors
    ///
    /// See [`AttributeError`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, AttributeError> {
        let payload = payload.trim_ascii();
        let equals = payload.find_byte(b'=');
        let Some((name, [_, value @ ..])) = equals.and_then(|at| payload.split_at_checked(at))
        else {
            return Err(if payload.is_empty() {
                AttributeError::MissingName
            } else {
                AttributeError::MissingEquals
            });
        };
        let name = name.trim_ascii();
        if name.is_empty() {
            return Err(AttributeError::MissingName);
        }
        if name.iter().any(|byte| b" \t\r\n".contains(byte)) {
            return Err(AttributeError::MissingEquals);
        }
        Ok(Self {
            name: name.as_bstr(),
            value: value.trim_ascii().as_bstr(),
        })
    }

    /// The record type under which readers handle this attribute, for those that have one.
    pub fn pseudo_type(&self) -> Option<RecordType> {
        Some(match self.name.as_bytes() {
            b"ret_flags" => RecordType::DSN_RET,
            b"envelope_id" => RecordType::DSN_ENVELOPE_ID,
            b"dsn_orig_rcpt" => RecordType::DSN_ORIGINAL_RECIPIENT,
            b"notify_flags" => RecordType::DSN_NOTIFY,
            b"create_time" => RecordType::CTIME,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_split_at_the_first_equals_sign() {
        type Row<'a> = (&'a [u8], Result<(&'a str, &'a str), AttributeError>);
        let cases: &[Row<'_>] = &[
            (b"envelope_id=a=b", Ok(("envelope_id", "a=b"))),
            (b" a = b c ", Ok(("a", "b c"))),
            (b"a=", Ok(("a", ""))),
            (b"=b", Err(AttributeError::MissingName)),
            (b"", Err(AttributeError::MissingName)),
            (b"ab", Err(AttributeError::MissingEquals)),
            (b"a b=c", Err(AttributeError::MissingEquals)),
        ];
        for (payload, want) in cases {
            let got = Attribute::parse(payload);
            let want = want.map(|(name, value)| Attribute {
                name: name.into(),
                value: value.into(),
            });
            assert_eq!(got, want);
        }
        let notify = Attribute::parse(b"notify_flags=4").unwrap();
        assert_eq!(notify.pseudo_type(), Some(RecordType::DSN_NOTIFY));
    }
}
