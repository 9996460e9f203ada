//! The `Delivered-To:` headers of a message: a mail loop shows in them.

use std::collections::HashSet;

use bstr::{BStr, BString, ByteSlice};
use postern_mail::{address, header};
use postern_queue_file::RecordType;

use crate::Delivery;
use crate::copy::Content;

/// Most headers that are remembered.
const LIMIT: usize = 1000;

/// Addresses in `Delivered-To:` headers, case-folded, as written.
#[derive(Debug, Default)]
pub struct DeliveredTo(HashSet<BString>);

impl DeliveredTo {
    /// Reads the primary headers of the message; what cannot be read is found out when the message is
    /// copied. A header line is looked at up to `limit` bytes.
    pub fn of(delivery: &Delivery, limit: usize) -> Self {
        let mut known = Self::default();
        let Ok(mut content) = Content::open(delivery) else {
            return known;
        };
        let mut line = BString::default();
        let mut is_complete = true;
        while let Ok(Some((kind, data))) = content.next() {
            if is_complete {
                line.clear();
            }
            let room = limit.saturating_sub(line.len());
            line.extend_from_slice(&data[..data.len().min(room)]);
            is_complete = kind == RecordType::TEXT;
            if is_complete && !known.add(line.as_bstr()) {
                break;
            }
        }
        known
    }

    /// Takes one line; returns whether headers may follow.
    fn add(&mut self, line: &BStr) -> bool {
        if line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        {
            return true;
        }
        let Some((name, _)) = header::name(line) else {
            return false;
        };
        if name.eq_ignore_ascii_case(b"delivered-to")
            && self.0.len() < LIMIT
            && let Some((_, value)) = header::split(line)
        {
            self.0.insert(address::fold_case(value));
        }
        true
    }

    /// Whether the message was already delivered to `recipient` (internal form). The header may have it in
    /// either form: pipe(8) of Postfix looks for the internal one, local(8) for the external one.
    pub fn contains(&self, recipient: &BStr) -> bool {
        let has = |address: &BStr| self.0.contains(&address::fold_case(address));
        !self.0.is_empty() && (has(address::quote(recipient).as_bstr()) || has(recipient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_found_in_any_case_and_in_quoted_form() {
        let mut known = DeliveredTo::default();
        for line in [
            "Received: x",
            "\tby y",
            "DELIVERED-TO: Bob@Example.Test",
            "Delivered-To: \"a b\"@x",
            "Delivered-To: carol@x (c)",
            "Delivered-To: c d@X",
        ] {
            assert!(known.add(line.into()), "{line}");
        }
        assert!(!known.add("".into()) && !known.add("no header".into()));
        assert!(known.contains("bob@example.test".into()));
        assert!(known.contains("a b@X".into()));
        assert!(
            known.contains("c d@x".into()),
            "the internal form counts, too"
        );
        assert!(!known.contains("carol@x".into()), "the whole value counts");
        assert!(!known.contains("alice@example.test".into()));
    }
}
