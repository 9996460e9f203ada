//! The extracted segment: recipients found in headers, automatic copies, late decisions.

use bstr::{BStr, ByteSlice};
use postern_ipc::cleanup::flag;
use postern_queue_file::RecordType;

use crate::message::{Message, Stage};

impl Message<'_> {
    /// Handles one record of the extracted segment.
    pub(crate) fn extracted_record(&mut self, kind: RecordType, data: &BStr) {
        if kind == RecordType::FLAGS {
            return self.envelope_record(kind, data);
        }
        if !kind.is_in(RecordType::EXTRACTED_SEGMENT) {
            return self.reject_input(&format!(
                "unexpected record type {} in extracted envelope",
                kind.0
            ));
        }
        let Some(input) = self.attribute_type(kind, data) else {
            return;
        };
        let (kind, data) = (input.kind, input.data);
        if kind.is_in(RecordType::EXTRACTED_RECIPIENT) {
            if !self.in_recipients {
                self.in_recipients = true;
                self.put_decisions();
            }
        } else if self.in_recipients {
            self.mixed = true;
        }
        match kind {
            RecordType::END => self.end_of_input(),
            // These belong to the envelope.
            RecordType::DSN_RET | RecordType::DSN_ENVELOPE_ID | RecordType::CTIME => {}
            _ => self.common_record(kind, data),
        }
    }

    /// What header and body checks decided, and what the content turned out to be.
    fn put_decisions(&mut self) {
        if let Some(filter) = self.filter.clone() {
            self.put(RecordType::FILTER, &filter);
        }
        if let Some(redirect) = self.redirect.clone() {
            self.put(RecordType::REDIRECT, &redirect);
        }
        if let Some(encoding) = self.encoding.clone() {
            self.put_attribute("encoding", &encoding);
        }
        self.edits.decisions = self.reserve_pointer();
    }

    fn end_of_input(&mut self) {
        if self.is(flag::BCC_OK) && self.recipient_count > 0 {
            let address = self.cleanup.settings.always_bcc.clone();
            self.blind_copy(address.as_bstr());
        }
        for address in std::mem::take(&mut self.check_bcc) {
            self.blind_copy(address.as_bstr());
        }
        if self.edits.recipients.is_none() {
            self.edits.recipients = self.reserve_pointer();
        }
        self.put(RecordType::END, b"");
        self.stage = Stage::Done;
    }
}
