//! The content segment: lines into the MIME parser, headers and body out of it.

use std::borrow::Cow;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_mail::mime::{Handler, LineEnd, MimeError, MimeState, Options, Part};
use postern_queue_file::RecordType;

use crate::checks::{Subject, Verdict};
use crate::message::{Message, Stage};

/// Bytes of offending text in the log line of a MIME error.
const SHOWN_ERROR: usize = 100;

impl Message<'_> {
    /// Handles one content record.
    pub(crate) fn content_record(&mut self, kind: RecordType, data: &BStr) {
        let end = match kind {
            RecordType::TEXT => LineEnd::End,
            RecordType::TEXT_PART => LineEnd::More,
            RecordType::EXTRACTED => return self.end_of_content(),
            _ => {
                // The first words are Postfix's; log analysers know them.
                log::warn!(
                    "cleanup_message_headerbody: message rejected: unexpected record type {} in message content",
                    kind.0
                );
                self.status |= status::BAD;
                return;
            }
        };
        let mut mime = match self.headers.mime.take() {
            Some(mime) => mime,
            None => Box::new(MimeState::new(self.mime_options())),
        };
        if let Some(text) = self.filter_characters(data) {
            mime.line(BStr::new(text.as_ref()), end, self);
            self.note_mime_errors();
        }
        self.headers.mime = Some(mime);
    }

    fn mime_options(&self) -> Options {
        let settings = &self.cleanup.settings;
        let mime = &settings.mime;
        let filter = self.is(flag::FILTER);
        let strict = mime.strict_header || mime.strict_body || mime.strict_encoding_domain;
        Options {
            parse_structure: !mime.disabled,
            downgrade: mime.force_conversion,
            report_nesting: filter && (strict || self.cleanup.tables.has_header_checks()),
            report_8bit_header: filter && mime.strict_header,
            report_8bit_body: filter && mime.strict_body,
            report_encoding_domain: filter && mime.strict_encoding_domain,
            nesting_limit: mime.nesting_limit,
            boundary_length_limit: mime.boundary_limit,
            header_size_limit: settings.header_size_limit,
        }
    }

    /// Stray line ends, refused and unwanted bytes. `None`: the text is refused.
    fn filter_characters<'t>(&mut self, data: &'t BStr) -> Option<Cow<'t, [u8]>> {
        let settings = &self.cleanup.settings;
        let mut text = Cow::Borrowed(data.as_bytes());
        if settings.replace_stray && text.find_byteset(b"\r\n").is_some() {
            let blank = |byte: &u8| {
                if matches!(byte, b'\r' | b'\n') {
                    b' '
                } else {
                    *byte
                }
            };
            text = Cow::Owned(text.iter().map(blank).collect());
        }
        if !self.is(flag::FILTER) {
            return Some(text);
        }
        let (reject, strip) = (&settings.reject_characters, &settings.strip_characters);
        if !reject.is_empty() && text.find_byteset(reject).is_some() {
            self.reject_content(
                "content",
                BStr::new(text.as_ref()),
                "5.7.1 disallowed character",
            );
            self.flags &= !flag::FILTER;
            return None;
        }
        if !strip.is_empty() && text.find_byteset(strip).is_some() {
            text = Cow::Owned(
                text.iter()
                    .copied()
                    .filter(|byte| !strip.contains(byte))
                    .collect(),
            );
        }
        Some(text)
    }

    /// Refuses the message for its content: log line, status, reason.
    fn reject_content(&mut self, context: &str, text: &BStr, reason: &str) {
        self.log_action("reject", context, text, Some(BStr::new(reason)));
        self.refuse(reason);
    }

    /// Refuses the message with `x.y.z text`; a class of 4 tells the client to come back.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.reason = BString::from(reason);
        if reason.starts_with('4') {
            self.status |= status::DEFER;
        } else {
            self.status |= status::CONTENT;
        }
    }

    /// Logs errors when the line that they were found in has been handled. Only the end of the content
    /// makes them count, so that the checks see the rest, and what these say goes first.
    fn note_mime_errors(&mut self) {
        if self.headers.errors.is_empty() {
            return;
        }
        for (error, text) in std::mem::take(&mut self.headers.errors) {
            if self.is(flag::FILTER) && self.is_going_on() {
                self.log_mime_error(&error.to_string(), text.as_bstr());
                let worst = self.headers.worst_error.get_or_insert(error);
                *worst = error.min(*worst);
            }
        }
    }

    fn end_of_content(&mut self) {
        let mut mime = match self.headers.mime.take() {
            Some(mime) => mime,
            None => Box::new(MimeState::new(self.mime_options())),
        };
        mime.finish(self);
        self.note_mime_errors();
        if let Some(error) = self.headers.worst_error
            && self.is_going_on()
            && self.reason.is_empty()
        {
            self.refuse(&format!("{} {error}", MimeError::DSN));
        }
        if !self.is_going_on() {
            return;
        }
        self.edits.body_end = self.reserve_pointer();
        self.data_size = self.file.offset() - self.data_offset;
        self.put(RecordType::EXTRACTED, b"");
        self.stage = Stage::Extracted;
        self.in_recipients = false;
    }
}

impl Handler for Message<'_> {
    fn header(&mut self, part: Part, text: &BStr) {
        if self.is_going_on() {
            self.header_line(part, text);
        }
    }

    fn header_end(&mut self, _empty_line: bool) {
        if self.is_going_on() {
            self.add_missing_headers();
        }
    }

    fn body(&mut self, text: &BStr, end: LineEnd, offset: u64) {
        if !self.is_going_on() {
            return;
        }
        let limit = self.cleanup.settings.body_checks_limit;
        let checked = self.is(flag::FILTER)
            && !self.cleanup.tables.body_checks.is_empty()
            && (limit == 0 || offset < limit)
            && !text.is_empty();
        if !checked {
            return self.put_body(text, end);
        }
        match self.check(Subject::Body, text) {
            Verdict::Keep => self.put_body(text, end),
            Verdict::Drop => {}
            Verdict::Replace(new) => self.put_body(new.as_bstr(), end),
        }
    }

    fn error(&mut self, error: MimeError, text: &BStr) {
        let shown = text.get(..SHOWN_ERROR.min(text.len())).unwrap_or_default();
        self.headers.errors.push((error, BString::from(shown)));
    }
}

impl Message<'_> {
    /// Writes a piece of body as it came.
    pub(crate) fn put_body(&mut self, text: &BStr, end: LineEnd) {
        let kind = match end {
            LineEnd::End => RecordType::TEXT,
            LineEnd::More => RecordType::TEXT_PART,
        };
        if text.len() <= self.cleanup.settings.line_length_limit || end == LineEnd::More {
            self.put(kind, text);
        } else {
            self.put_line(text);
        }
    }
}
