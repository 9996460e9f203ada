//! Reply texts: what is done to every one of them before it is sent.
//!
//! Pure. A reply is lines without line ends; several lines are separated by LF, each with its code.

use bstr::{BStr, BString, ByteSlice};
use postern_mail::dsn;
use postern_mail::printable::{self, Charset};

/// Kinds of trouble a session had; postmaster hears of those in `notify_classes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ErrorClass(pub(crate) u8);

impl ErrorClass {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// Refused by a restriction or a limit.
    pub(crate) const POLICY: Self = Self(1);
    /// Syntax or sequence errors of the client.
    pub(crate) const PROTOCOL: Self = Self(2);
    /// Configuration or program errors of this system.
    pub(crate) const SOFTWARE: Self = Self(4);
    /// No space, queue write errors.
    pub(crate) const RESOURCE: Self = Self(8);
    /// Mail that a bounce would tell of: unknown recipients, size, hops.
    pub(crate) const BOUNCE: Self = Self(16);
    /// Errors while the content was read.
    pub(crate) const DATA: Self = Self(32);

    /// These and those.
    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether they have one in common.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The value of `notify_classes`; words of other programs are skipped.
    pub(crate) fn parse(text: &str) -> Self {
        let mut classes = Self::NONE;
        for word in text.split([',', ' ', '\t', '\n']) {
            classes.add(match word.to_ascii_lowercase().as_str() {
                "policy" => Self::POLICY,
                "protocol" => Self::PROTOCOL,
                "software" => Self::SOFTWARE,
                "resource" => Self::RESOURCE,
                "bounce" => Self::BOUNCE,
                "data" => Self::DATA,
                _ => Self::NONE,
            });
        }
        classes
    }
}

/// Turns permanent failures of every line into temporary ones (`soft_bounce`).
pub(crate) fn soften(reply: &[u8]) -> BString {
    let mut out = BString::from(reply);
    let mut start = 0;
    for line in reply.split(|byte| *byte == b'\n') {
        if line.first() == Some(&b'5') {
            if let Some(code) = out.get_mut(start) {
                *code = b'4';
            }
            if line.get(4) == Some(&b'5')
                && line.get(5) == Some(&b'.')
                && let Some(class) = out.get_mut(start + 4)
            {
                *class = b'4';
            }
        }
        start += line.len() + 1;
    }
    out
}

/// Makes text that may hold a client's words fit for one reply line: unprintable bytes become
/// blanks. Valid UTF-8 stays when `utf8` says so. What a table or another server said is not cut, however
/// long: clients have seen all of it from Postfix, too.
pub(crate) fn clean(text: &[u8], utf8: bool) -> BString {
    printable::mask(
        text,
        if utf8 { Charset::Utf8 } else { Charset::Ascii },
        b' ',
    )
}

/// The three digits and the enhanced status code (with a trailing blank) that a reply begins with.
pub(crate) fn split_codes(reply: &BStr) -> Option<(&[u8], &[u8])> {
    let code = reply.get(..3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(reply.get(3), Some(b' ' | b'-')) {
        return None;
    }
    let rest = reply.get(4..)?;
    Some((
        code,
        rest.get(..dsn::status_length(rest).unwrap_or(0))
            .unwrap_or_default(),
    ))
}

/// Appends a footer template's text to a reply.
///
/// The template's `\n` separate lines, each of which repeats the codes; `\c` at its start appends
/// to the last line. `expand` replaces the macros of the template.
pub(crate) fn append_footer(
    reply: &BStr,
    template: &[u8],
    expand: &dyn Fn(&[u8]) -> BString,
) -> BString {
    let (template, joined) = match template.strip_prefix(br"\c") {
        Some(rest) => (rest, true),
        None => (template, false),
    };
    let Some((code, status)) = split_codes(reply) else {
        return reply.into();
    };
    let mut lines: Vec<BString> = reply.split(|byte| *byte == b'\n').map(Into::into).collect();
    for (index, part) in template.split_str(br"\n").enumerate() {
        let text = expand(part);
        if joined && index == 0 {
            if let Some(last) = lines.last_mut() {
                last.extend_from_slice(&text);
            }
            continue;
        }
        let mut line = BString::from(code);
        line.push(b' ');
        if !status.is_empty() {
            line.extend_from_slice(status);
            line.push(b' ');
        }
        line.extend_from_slice(&text);
        lines.push(line);
    }
    let last = lines.len().saturating_sub(1);
    for (index, line) in lines.iter_mut().enumerate() {
        if let Some(separator) = line.get_mut(3) {
            *separator = if index == last { b' ' } else { b'-' };
        }
    }
    bstr::join(b"\n", lines).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_bounce_changes_the_codes_of_every_line() {
        #[rustfmt::skip]
        let cases = [
            ("550 5.1.1 no", "450 4.1.1 no"),
            ("501 Syntax: HELO hostname", "401 Syntax: HELO hostname"),
            ("550-5.1.1 a\n550 5.1.1 b", "450-4.1.1 a\n450 4.1.1 b"),
            ("250 2.0.0 Ok", "250 2.0.0 Ok"),
            ("550 5 apples", "450 5 apples"),
        ];
        for (reply, want) in cases {
            assert_eq!(soften(reply.as_bytes()), want);
        }
    }

    #[test]
    fn footers_repeat_the_codes() {
        let expand = |text: &[u8]| BString::from(text);
        #[rustfmt::skip]
        let cases = [
            ("500 5.5.2 Error: x", r"Call us.\nNow.", "500-5.5.2 Error: x\n500-5.5.2 Call us.\n500 5.5.2 Now."),
            ("501 Syntax: HELO", "Call us.", "501-Syntax: HELO\n501 Call us."),
            ("450 4.1.1 x", r"\c. And y\nz", "450-4.1.1 x. And y\n450 4.1.1 z"),
        ];
        for (reply, template, want) in cases {
            assert_eq!(
                append_footer(reply.into(), template.as_bytes(), &expand),
                want
            );
        }
    }

    #[test]
    fn client_text_in_replies_is_printable_and_whole() {
        assert_eq!(clean(b"a\x08b\r\nc", false), "a b  c");
        assert_eq!(clean("ä\u{1}".as_bytes(), true), "ä ");
        assert_eq!(clean("ä".as_bytes(), false), "  ");
        assert_eq!(clean(b"\xff", true), " ");
        assert_eq!(clean(&[b'x'; 5000], true).len(), 5000);
    }
}
