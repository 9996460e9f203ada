//! Headers that every message must have, added at the end of the primary header.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::status;
use postern_mail::address::quote;
use postern_mail::date::{compact_utc, rfc822};
use postern_mail::header;
use postern_mail::token;
use postern_sys::clock;

use crate::message::{HeaderRewriting, Message};

impl Message<'_> {
    /// Message-Id, Date, From and a recipient header, where missing and wanted.
    pub(crate) fn add_missing_headers(&mut self) {
        let wanted = self.header_rewriting != HeaderRewriting::Off
            || self.cleanup.settings.always_add_missing_headers;
        let resent = self.headers.resent;
        if wanted {
            let prefix = if resent { "Resent-" } else { "" };
            self.add_message_id(prefix);
            self.add_date(prefix);
            self.add_from(prefix);
            self.add_recipients();
        }
        self.edits.headers = self.reserve_pointer();
        let has_id = self.headers.has("Message-Id") || (wanted && !resent);
        if !has_id {
            log::info!("{}: message-id=<>", self.queue_id);
        }
        if self.headers.received == 0 {
            log::warn!("{}: message rejected: no Received: header", self.queue_id);
            self.status |= status::BAD;
        }
    }

    fn put_added_header(&mut self, text: &BStr) {
        if self.cleanup.settings.detect_in_added {
            self.note_8bit_header(text);
        }
        self.put_header_text(text);
    }

    fn lacks(&self, prefix: &str, name: &str) -> bool {
        !self.headers.has(&format!("{prefix}{name}"))
    }

    fn add_message_id(&mut self, prefix: &str) {
        if !self.lacks(prefix, "Message-Id") {
            return;
        }
        let (id, host) = (&self.queue_id, &self.cleanup.settings.myhostname);
        let message_id = if self.cleanup.settings.long_queue_ids {
            format!("<{id}@{host}>")
        } else {
            format!(
                "<{}.{id}@{host}>",
                compact_utc(clock::seconds(self.file.created))
            )
        };
        self.put_added_header(BStr::new(&format!("{prefix}Message-Id: {message_id}")));
        log::info!(
            "{}: {}message-id={message_id}",
            self.queue_id,
            prefix.to_ascii_lowercase()
        );
    }

    fn add_date(&mut self, prefix: &str) {
        if self.lacks(prefix, "Date") {
            let arrival = self
                .arrival
                .map_or_else(clock::unix_time, |arrival| arrival.seconds);
            let local = clock::local_time(arrival);
            let date = rfc822(
                arrival,
                local.offset,
                &local.zone,
                self.cleanup.settings.date_day,
            );
            self.put_added_header(BStr::new(&format!("{prefix}Date: {date}")));
        }
    }

    fn add_from(&mut self, prefix: &str) {
        if !self.lacks(prefix, "From") {
            return;
        }
        let sender = self.sender.clone().unwrap_or_default();
        let mut text = BString::from(format!("{prefix}From: "));
        let name = self.full_name.clone().filter(|name| !name.is_empty());
        if sender.is_empty() {
            text.extend_from_slice(b"MAILER-DAEMON");
        } else if let Some(name) = name {
            let address = quote(sender.as_bstr());
            if self.cleanup.settings.obsolete_from {
                text.extend_from_slice(&address);
                text.extend_from_slice(b" (");
                text.extend_from_slice(&comment(&name));
                text.push(b')');
            } else {
                put_phrase(&name, &mut text);
                text.extend_from_slice(b" <");
                text.extend_from_slice(&address);
                text.push(b'>');
            }
        } else {
            text.extend_from_slice(&quote(sender.as_bstr()));
        }
        self.put_added_header(text.as_bstr());
    }

    fn add_recipients(&mut self) {
        let text = self.cleanup.settings.undisclosed_recipients_header.clone();
        let seen = ["To", "Cc", "Resent-To", "Resent-Cc"]
            .iter()
            .any(|name| self.headers.has(name));
        if seen || text.is_empty() {
            return;
        }
        if header::name(text.as_bstr()).is_none() {
            log::warn!(
                "bad undisclosed_recipients_header header text \"{text}\" -- need \"headername: headervalue\""
            );
            return;
        }
        self.put_added_header(text.as_bstr());
    }
}

/// A full name as RFC 5322 phrase; quoted where it could be misread.
fn put_phrase(name: &BString, out: &mut BString) {
    let misread = |&byte: &u8| {
        b"()<>@,;:\\\".[]%!".contains(&byte)
            || byte == 0x7f
            || (byte < b' ' && !byte.is_ascii_whitespace())
    };
    if name.iter().any(misread) {
        token::write_quoted_string(name, out);
        return;
    }
    for (index, word) in name.fields_with(|c| c.is_ascii_whitespace()).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// A full name as comment: as it is, unless its parentheses or a last backslash would end it early.
fn comment(name: &BString) -> BString {
    if is_comment_text(name) {
        return name.clone();
    }
    let mut out = BString::default();
    for &byte in name.iter() {
        if matches!(byte, b'(' | b')' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// Whether each parenthesis has its partner, and each backslash something to quote.
fn is_comment_text(name: &BString) -> bool {
    let mut open = 0_usize;
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' => open += 1,
            b')' if open == 0 => return false,
            b')' => open -= 1,
            b'\\' if bytes.next().is_none() => return false,
            _ => {}
        }
    }
    open == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_escaped_only_where_it_would_end_early() {
        for (name, text) in [
            ("A B", "A B"),
            ("A (x) B", "A (x) B"),
            ("A \"q\" \\ B", "A \"q\" \\ B"),
            ("A (x B", "A \\(x B"),
            ("A )x( B", "A \\)x\\( B"),
            ("A \\", "A \\\\"),
            ("A \\) (B)", "A \\) (B)"),
        ] {
            assert_eq!(comment(&name.into()), text, "{name}");
        }
    }
}
