//! Message header fields: names, properties that cleanup(8) and others act on, and the words of
//! structured MIME fields (RFC 5322 §2.2, RFC 2045 §5.1).

use bstr::{BStr, BString};

/// Whose addresses a header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// No addresses that are rewritten.
    None,
    /// Rewritten as sender.
    Sender,
    /// Rewritten as recipient.
    Recipient,
}

/// A header field that Postfix knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Usual spelling.
    pub name: &'static str,
    /// Whose addresses it holds.
    pub addresses: Addresses,
    /// Belongs to a Resent- block.
    pub resent: bool,
    /// Checked with `mime_header_checks` wherever it is.
    pub mime: bool,
    /// `sendmail -t` takes recipients from it.
    pub extract: bool,
}

const fn plain(name: &'static str) -> Known {
    Known {
        name,
        addresses: Addresses::None,
        resent: false,
        mime: false,
        extract: false,
    }
}
const fn mime(name: &'static str) -> Known {
    Known {
        mime: true,
        ..plain(name)
    }
}
const fn sender(name: &'static str) -> Known {
    Known {
        addresses: Addresses::Sender,
        ..plain(name)
    }
}
const fn recipient(name: &'static str) -> Known {
    Known {
        addresses: Addresses::Recipient,
        ..plain(name)
    }
}
const fn extract(known: Known) -> Known {
    Known {
        extract: true,
        ..known
    }
}
const fn resent(known: Known) -> Known {
    Known {
        resent: true,
        ..known
    }
}

/// Sorted by name without case.
const KNOWN: [Known; 43] = [
    recipient("Apparently-To"),
    extract(recipient("Bcc")),
    extract(recipient("Cc")),
    mime("Content-Description"),
    mime("Content-Disposition"),
    mime("Content-ID"),
    plain("Content-Length"),
    mime("Content-Transfer-Encoding"),
    mime("Content-Type"),
    plain("Date"),
    plain("Delivered-To"),
    sender("Disposition-Notification-To"),
    sender("Errors-To"),
    sender("From"),
    sender("Mail-Followup-To"),
    plain("Message-Id"),
    mime("MIME-Version"),
    plain("Received"),
    sender("Reply-To"),
    plain("Require-TLS-ESMTP"),
    resent(extract(recipient("Resent-Bcc"))),
    resent(extract(recipient("Resent-Cc"))),
    resent(plain("Resent-Date")),
    resent(sender("Resent-From")),
    resent(plain("Resent-Message-Id")),
    resent(recipient("Resent-Reply-To")),
    resent(sender("Resent-Sender")),
    resent(extract(recipient("Resent-To"))),
    sender("Return-Path"),
    sender("Return-Receipt-To"),
    sender("Sender"),
    plain("Status"),
    plain("Subject"),
    plain("TLS-Required"),
    extract(recipient("To")),
    plain("X-Mailer"),
    plain("X-Priority"),
    plain("In-Reply-To"),
    plain("References"),
    plain("Comments"),
    plain("Keywords"),
    plain("Auto-Submitted"),
    plain("Precedence"),
];

/// The properties of the header `name` (any case); `None` when nothing is known.
pub fn lookup(name: &BStr) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.name.len() == name.len() && name.eq_ignore_ascii_case(known.name.as_bytes())
    })
}

/// Whether a header is about MIME: any `Content-*` that is known, and `MIME-Version`.
pub fn is_mime(name: &BStr) -> bool {
    lookup(name).is_some_and(|known| known.mime)
}

/// Name and position of the colon when `line` starts a header: at least one printable ASCII
/// character that is no blank and no colon, optional blanks, a colon.
pub fn name(line: &BStr) -> Option<(&BStr, usize)> {
    let length = line
        .iter()
        .take_while(|b| (b'!'..=b'~').contains(*b) && **b != b':')
        .count();
    let blanks = line
        .get(length..)?
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let colon = length + blanks;
    if length == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    Some((BStr::new(line.get(..length)?), colon))
}

/// Splits a header into name and value; the value starts after the colon and its blanks.
pub fn split(header: &BStr) -> Option<(&BStr, &BStr)> {
    let (name, colon) = name(header)?;
    let value = header.get(colon + 1..)?;
    let blanks = value.iter().take_while(|b| b.is_ascii_whitespace()).count();
    Some((name, BStr::new(value.get(blanks..)?)))
}

/// A word of a structured MIME header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Token or quoted string, unquoted.
    Text(BString),
    /// One special character.
    Special(u8),
}

/// The words of a structured MIME header value, without comments.
pub fn words(value: &BStr) -> Vec<Word> {
    let mut words = Vec::new();
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b if b.is_ascii_whitespace() => {}
            b'(' => skip_comment(&mut bytes),
            b'"' => {
                let mut text = BString::default();
                while let Some(inner) = bytes.next() {
                    match inner {
                        b'"' => break,
                        b'\\' => text.extend(bytes.next()),
                        _ => text.push(inner),
                    }
                }
                words.push(Word::Text(text));
            }
            b if is_special(b) => words.push(Word::Special(b)),
            b => {
                let mut text = BString::from(vec![b]);
                while let Some(next) =
                    bytes.next_if(|b| !b.is_ascii_whitespace() && !is_special(*b))
                {
                    text.push(next);
                }
                words.push(Word::Text(text));
            }
        }
    }
    words
}

fn skip_comment(bytes: &mut impl Iterator<Item = u8>) {
    let mut depth = 1_usize;
    while depth > 0 {
        match bytes.next() {
            Some(b'\\') => {
                bytes.next();
            }
            Some(b'(') => depth += 1,
            Some(b')') => depth -= 1,
            Some(_) => {}
            None => return,
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_recognised() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<(&str, &str)>)] = &[
            ("Subject: x", Some(("Subject", "x"))),
            ("Subject : x", Some(("Subject", "x"))),
            ("X:", Some(("X", ""))),
            ("X:\n\ty", Some(("X", "y"))),
            (": x", None),
            ("Sub ject: x", None),
            ("no colon", None),
            ("\u{fc}: x", None),
            ("", None),
            (" x: y", None),
        ];
        for (line, want) in cases {
            let want = want.map(|(name, value)| (BStr::new(name), BStr::new(value)));
            assert_eq!(split(BStr::new(line)), want, "{line:?}");
        }
    }

    #[test]
    fn properties_are_found_in_any_case() {
        let known = |name: &str| lookup(BStr::new(name)).copied();
        assert_eq!(known("TO").unwrap().addresses, Addresses::Recipient);
        assert_eq!(known("reply-to").unwrap().addresses, Addresses::Sender);
        assert!(known("Resent-Date").unwrap().resent);
        assert!(is_mime(BStr::new("content-type")));
        assert_eq!(known("X-Foo"), None);
    }

    #[test]
    fn mime_words_skip_comments_and_undo_quoting() {
        let text = |t: &str| Word::Text(BString::from(t));
        let got = words(BStr::new(
            "(c) multipart (d (e))/mixed; boundary = \"a \\\"b\"",
        ));
        let special = Word::Special;
        let want = [
            text("multipart"),
            special(b'/'),
            text("mixed"),
            special(b';'),
            text("boundary"),
            special(b'='),
            text("a \"b"),
        ];
        assert_eq!(got, want);
    }
}
