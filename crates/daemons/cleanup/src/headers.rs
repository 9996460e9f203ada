//! Header lines: counting, checks, rewriting of addresses, output.

use std::borrow::Cow;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_mail::address::{eq_ignore_case, quote, unquote};
use postern_mail::address_tree::{self, Node};
use postern_mail::header::{self, Addresses, Known};
use postern_mail::mime::{MimeError, MimeState, Part};
use postern_queue_file::RecordType;
use postern_rewrite::Context;

use crate::checks::{Subject, Verdict};
use crate::message::{HeaderRewriting, Message, send_option};
use crate::settings::class;

/// What the headers so far have told.
#[derive(Default)]
pub(crate) struct Headers {
    /// The parser, from the first content line on.
    pub(crate) mime: Option<Box<MimeState>>,
    /// Errors in the current line.
    pub(crate) errors: Vec<(MimeError, BString)>,
    /// The MIME error that the message is refused for at its end.
    pub(crate) worst_error: Option<MimeError>,
    /// Received: lines, those of nested messages included.
    pub(crate) received: usize,
    /// Names of known primary headers.
    pub(crate) seen: Vec<&'static str>,
    /// A Resent- header was seen.
    pub(crate) resent: bool,
}

impl Headers {
    /// Whether the primary header holds `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.seen.contains(&name)
    }
}

impl Message<'_> {
    /// Handles one logical header.
    pub(crate) fn header_line(&mut self, part: Part, text: &BStr) {
        if header::name(text).is_some_and(|(name, _)| eq_ignore_case(name, b"Received")) {
            self.headers.received += 1;
        }
        let text = if self.is(flag::FILTER) {
            let subject = Subject::of_header(part, text);
            match self.check(subject, text) {
                Verdict::Keep => Cow::Borrowed(text.as_bytes()),
                Verdict::Drop => return,
                Verdict::Replace(new) => Cow::Owned(new.into()),
            }
        } else {
            Cow::Borrowed(text.as_bytes())
        };
        let text = BStr::new(text.as_ref());
        let Some((name, value)) = header::split(text) else {
            return self.put_header(text);
        };
        let known = header::lookup(name);
        if let Some(known) = known {
            self.note_encoding(known, value);
        }
        match known {
            Some(known) if part == Part::Primary => self.primary_header(known, text, value),
            _ if part == Part::Primary && self.is_dropped(name) => {}
            _ => self.put_header(text),
        }
    }

    /// A declared 8-bit encoding anywhere makes the message an 8-bit one.
    fn note_encoding(&mut self, known: &Known, value: &BStr) {
        if !self.cleanup.settings.detect_8bit_header || known.name != "Content-Transfer-Encoding" {
            return;
        }
        if eq_ignore_case(value, b"8bit") || eq_ignore_case(value, b"binary") {
            self.encoding = Some(BString::from("8bit"));
        }
    }

    fn primary_header(&mut self, known: &'static Known, text: &BStr, value: &BStr) {
        if !self.headers.has(known.name) {
            self.headers.seen.push(known.name);
        }
        self.headers.resent |= known.resent;
        match known.name {
            "Message-Id" => log::info!("{}: message-id={value}", self.queue_id),
            "Resent-Message-Id" => log::info!("{}: resent-message-id={value}", self.queue_id),
            "Received" if self.headers.received >= self.cleanup.settings.hopcount_limit => {
                log::warn!("{}: message rejected: hopcount exceeded", self.queue_id);
                self.status |= status::HOPS;
            }
            _ => {}
        }
        if self.is_dropped(BStr::new(known.name)) {
            return;
        }
        if known.addresses == Addresses::None || self.header_rewriting == HeaderRewriting::Off {
            return self.put_header(text);
        }
        match self.rewrite_header(known.addresses, text, value) {
            Some(rewritten) => self.put_header(rewritten.as_bstr()),
            None => self.put_header(text),
        }
    }

    fn is_dropped(&self, name: &BStr) -> bool {
        self.cleanup
            .settings
            .drop_headers
            .iter()
            .any(|dropped| eq_ignore_case(dropped, name))
    }

    /// The header with its addresses completed and mapped; `None` when nothing changes.
    fn rewrite_header(
        &mut self,
        addresses: Addresses,
        text: &BStr,
        value: &BStr,
    ) -> Option<BString> {
        let mut nodes = address_tree::parse(value, self.cleanup.settings.header_token_limit);
        let mut changed = false;
        for address in address_tree::addresses_mut(&mut nodes) {
            let before = address.external();
            let mut after = self.rewrite_header_address(before.as_bstr());
            if self.is(flag::MAP_OK) {
                self.map_header_address(addresses, &mut after);
            }
            if after != before {
                changed = true;
                address.replace(after);
            }
        }
        changed.then(|| self.regenerate(text, &mut nodes))
    }

    fn rewrite_header_address(&mut self, external: &BStr) -> BString {
        let context = match self.header_rewriting {
            HeaderRewriting::Remote => Context::Remote,
            _ => Context::Local,
        };
        self.cleanup.tables.rewrite_external(context, external)
    }

    fn map_header_address(&mut self, addresses: Addresses, external: &mut BString) {
        let sender = addresses == Addresses::Sender;
        let class = if sender {
            class::HEADER_SENDER
        } else {
            class::HEADER_RECIPIENT
        };
        if !crate::map::has_mappings(self.cleanup, class, sender) {
            return;
        }
        let mut internal = unquote(external.as_bstr());
        let mapped = if sender {
            self.cleanup
                .map_sender(&self.queue_id, class, &mut internal)
        } else {
            self.cleanup
                .map_recipient(&self.queue_id, class, &mut internal)
        };
        match mapped {
            Ok(true) => *external = quote(internal.as_bstr()),
            Ok(false) => {}
            Err(problem) => self.note_problem(Some(problem)),
        }
    }

    fn regenerate(&mut self, text: &BStr, nodes: &mut Vec<Node>) -> BString {
        for stripped in address_tree::strip_long_comments(nodes) {
            log::warn!("stripping too many comments from address: {stripped:.100}");
        }
        let name = header::name(text).map_or(BStr::new(""), |(name, _)| name);
        // Writing adds the tabs, which do not count for header_size_limit.
        address_tree::header(name, nodes)
            .replace("\n\t", "\n")
            .into()
    }

    /// Writes one logical header: a record a line, cut at `header_size_limit`.
    pub(crate) fn put_header(&mut self, text: &BStr) {
        self.note_8bit_header(text);
        self.put_header_text(text);
    }

    pub(crate) fn note_8bit_header(&mut self, text: &BStr) {
        if !text.is_ascii() {
            self.send_options |= send_option::HEADER;
            self.detect_smtputf8();
        }
    }

    pub(crate) fn put_header_text(&mut self, text: &BStr) {
        // Headers are text: what follows a NUL byte is not part of it.
        let text = BStr::new(text.split(|&byte| byte == 0).next().unwrap_or_default());
        let limit = self.cleanup.settings.header_size_limit;
        for (start, line) in lines_with_offset(text) {
            if start >= limit {
                return;
            }
            let room = limit - start;
            // The end of a header is cut at a line where that loses little.
            if line.len() > room && start > 0 && start > limit / 10 * 9 {
                return;
            }
            let line = line.get(..room.min(line.len())).unwrap_or_default();
            if start > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
                let mut indented = vec![b'\t'];
                indented.extend_from_slice(line);
                self.put_line(&indented);
            } else {
                self.put_line(line);
            }
            if start == 0 {
                self.pad(RecordType::PADDING, line.len());
            }
        }
    }
}

fn lines_with_offset(text: &BStr) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    text.split(|&byte| byte == b'\n').map(move |line| {
        let at = start;
        start += line.len() + 1;
        (at, line)
    })
}
