//! `sendmail -t`: the recipients in the message header.

use bstr::{BStr, BString, ByteSlice};
use postern_mail::address_tree;

/// Most tokens of one header that are looked at.
const TOKEN_LIMIT: usize = 100_000;
/// Longest header that is looked at; the rest of it holds no recipients.
const HEADER_LIMIT: usize = 1024 * 1024;

/// Collects recipients line by line.
#[derive(Debug, Default)]
pub(crate) struct Recipients {
    /// The header being collected, with its continuation lines.
    current: Vec<u8>,
    /// From `To:`, `Cc:`, `Bcc:`.
    plain: Vec<BString>,
    /// From `Resent-To:`, `Resent-Cc:`, `Resent-Bcc:`.
    resent: Vec<BString>,
    has_resent: bool,
    in_body: bool,
}

impl Recipients {
    /// Takes the next line of the message, without its line end.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if self.in_body {
            return;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) && !self.current.is_empty() {
            if self.current.len() < HEADER_LIMIT {
                self.current.push(b'\n');
                self.current.extend_from_slice(line);
            }
            return;
        }
        self.header_ends();
        match header_name(line) {
            Some(_) => self.current = line[..line.len().min(HEADER_LIMIT)].to_vec(),
            None => self.in_body = true,
        }
    }

    fn header_ends(&mut self) {
        let header = std::mem::take(&mut self.current);
        let Some(name) = header_name(&header) else {
            return;
        };
        let lower = name.to_ascii_lowercase();
        let (resent, kind) = match lower.strip_prefix(b"resent-".as_slice()) {
            Some(kind) => (true, kind),
            None => (false, lower.as_slice()),
        };
        if !matches!(kind, b"to" | b"cc" | b"bcc") {
            return;
        }
        let Some(colon) = header.find_byte(b':') else {
            return;
        };
        let found = addresses(header[colon + 1..].as_bstr());
        self.has_resent |= resent;
        if resent {
            self.resent.extend(found)
        } else {
            self.plain.extend(found)
        }
    }

    /// The recipients: of the resent headers alone, if there is any.
    pub(crate) fn finish(mut self) -> Vec<BString> {
        self.header_ends();
        if self.has_resent {
            self.resent
        } else {
            self.plain
        }
    }
}

/// The name before the colon, if `line` is a header.
fn header_name(line: &[u8]) -> Option<&[u8]> {
    let name = line.get(..line.find_byte(b':')?)?.trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(|byte| (33..=126).contains(byte));
    valid.then_some(name)
}

/// The addresses of a list, internal form, without empty ones.
pub(crate) fn addresses(text: &BStr) -> Vec<BString> {
    let mut found = all_addresses(text);
    found.retain(|address| !address.is_empty());
    found
}

/// The addresses of a list, internal form; `<>` and `""` are empty ones.
pub(crate) fn all_addresses(text: &BStr) -> Vec<BString> {
    let tree = address_tree::parse(text, TOKEN_LIMIT);
    address_tree::addresses(&tree)
        .map(address_tree::Address::internal)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(text: &str) -> Vec<String> {
        let mut recipients = Recipients::default();
        for line in text.lines() {
            recipients.line(line.as_bytes());
        }
        recipients
            .finish()
            .into_iter()
            .map(|address| address.to_string())
            .collect()
    }

    #[test]
    fn recipients_come_from_headers_alone() {
        let text = "From: a@x\nTo: a1@x, \"Two, Words\" <a2@x>,\n a3@x (comment), grp: a4@x, a5@x;\nBcc: b1@x,\n\tb2@x\nSubject: s\n\nTo: not@x\n";
        assert_eq!(
            collect(text),
            ["a1@x", "a2@x", "a3@x", "a4@x", "a5@x", "b1@x", "b2@x"]
        );
    }

    #[test]
    fn resent_headers_replace_the_others() {
        assert_eq!(
            collect("To: a@x\nResent-To: r@x\nCc: c@x\nResent-Bcc: s@x\n\n"),
            ["r@x", "s@x"]
        );
    }

    #[test]
    fn header_names_may_have_any_case_and_a_blank_behind() {
        assert_eq!(
            collect("to: low@x\nTO: UP@x\nTo : blank@x\n\n"),
            ["low@x", "UP@x", "blank@x"]
        );
    }

    #[test]
    fn empty_groups_have_nobody() {
        assert!(collect("To: nobody-at-all:;\nCc:\n\n").is_empty());
    }
}
