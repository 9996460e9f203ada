//! What is known about the message that is being received.

use std::collections::HashSet;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_ipc::deliver::{Moment, flag as trace_flag};
use postern_mail::address::quote;
use postern_queue_file::{RecordType, SizeRecord};

use crate::Cleanup;
use crate::edits::EditPoints;
use crate::headers::Headers;
use crate::queue::{QueueError, QueueFile};

/// Errors after which a message to be bounced is still written.
const STOP_WHEN_BOUNCING: i32 = status::BAD | status::WRITE | status::SIZE | status::DEFER;
/// Errors after which no bounce is possible.
const CANNOT_BOUNCE: i32 = status::BAD | status::WRITE | status::DEFER | status::RCPT;

/// SMTPUTF8 bits of the size record.
pub(crate) mod send_option {
    /// The client asked for SMTPUTF8, or it was detected.
    pub(crate) const REQUESTED: i64 = 1;
    /// A header holds 8-bit text.
    pub(crate) const HEADER: i64 = 2;
    /// The sender address does.
    pub(crate) const SENDER: i64 = 4;
}

/// The segment that the client is sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Envelope,
    Content,
    Extracted,
    /// The `E` record was seen.
    Done,
}

/// Whose rules complete header addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderRewriting {
    /// Headers stay as they are.
    Off,
    Local,
    Remote,
}

/// DSN attributes that wait for their recipient record.
#[derive(Debug, Default)]
pub(crate) struct PendingRecipient {
    pub(crate) original: Option<BString>,
    pub(crate) dsn_original: Option<BString>,
    pub(crate) notify: u32,
}

/// One message.
pub(crate) struct Message<'a> {
    pub(crate) cleanup: &'a mut Cleanup,
    pub(crate) file: QueueFile,
    pub(crate) queue_id: String,
    /// `postern_ipc::cleanup::flag` bits.
    pub(crate) flags: i32,
    /// `postern_ipc::cleanup::status` bits.
    pub(crate) status: i32,
    /// `x.y.z text`, or empty.
    pub(crate) reason: BString,
    pub(crate) stage: Stage,
    pub(crate) arrival: Option<Moment>,
    pub(crate) sender: Option<BString>,
    pub(crate) full_name: Option<BString>,
    pub(crate) warn_seen: bool,
    /// Recipients of this segment have begun; other records make it mixed.
    pub(crate) in_recipients: bool,
    pub(crate) mixed: bool,
    /// Union of the NOTIFY bits that clients gave.
    pub(crate) notify_union: u32,
    pub(crate) pending: PendingRecipient,
    pub(crate) recipient_count: i64,
    /// The last recipient after rewriting, for log lines.
    pub(crate) last_recipient: Option<BString>,
    pub(crate) duplicates: HashSet<BString>,
    /// Those attributes of the envelope that are looked at later.
    pub(crate) attributes: Vec<(&'static str, BString)>,
    pub(crate) attribute_count: usize,
    pub(crate) envelope_id: BString,
    pub(crate) ret_flags: i32,
    pub(crate) encoding: Option<BString>,
    pub(crate) header_rewriting: HeaderRewriting,
    pub(crate) headers: Headers,
    pub(crate) data_offset: i64,
    pub(crate) data_size: i64,
    pub(crate) send_options: i64,
    /// content_filter of a FILTER action.
    pub(crate) filter: Option<BString>,
    pub(crate) redirect: Option<BString>,
    /// Recipients of BCC actions.
    pub(crate) check_bcc: Vec<BString>,
    pub(crate) hold_logged: bool,
    pub(crate) edits: EditPoints,
}

impl<'a> Message<'a> {
    pub(crate) fn new(cleanup: &'a mut Cleanup, file: QueueFile) -> Self {
        let queue_id = file.id.to_string();
        let mut message = Self {
            cleanup,
            file,
            queue_id,
            flags: 0,
            status: 0,
            reason: BString::default(),
            stage: Stage::Envelope,
            arrival: None,
            sender: None,
            full_name: None,
            warn_seen: false,
            in_recipients: false,
            mixed: false,
            notify_union: 0,
            pending: PendingRecipient::default(),
            recipient_count: 0,
            last_recipient: None,
            duplicates: HashSet::new(),
            attributes: Vec::new(),
            attribute_count: 0,
            envelope_id: BString::default(),
            ret_flags: 0,
            encoding: None,
            header_rewriting: HeaderRewriting::Local,
            headers: Headers::default(),
            data_offset: 0,
            data_size: 0,
            send_options: 0,
            filter: None,
            redirect: None,
            check_bcc: Vec::new(),
            hold_logged: false,
            edits: EditPoints::default(),
        };
        message.put(RecordType::SIZE, SizeRecord::default().payload().as_bytes());
        message
    }

    /// Whether `bit` of the flags is set.
    pub(crate) fn is(&self, bit: i32) -> bool {
        self.flags & bit != 0
    }

    /// Whether records are still wanted: no error that ends the message, not discarded.
    pub(crate) fn is_going_on(&self) -> bool {
        let stops = if self.is(flag::BOUNCE) {
            STOP_WHEN_BOUNCING
        } else {
            !0
        };
        self.status & stops == 0 && !self.is(flag::DISCARD)
    }

    /// Whether the errors so far can be told to the sender by a bounce.
    pub(crate) fn can_bounce(&self) -> bool {
        self.is(flag::BOUNCE) && self.status & CANNOT_BOUNCE == 0
    }

    /// Whether this is an address probe of this system.
    pub(crate) fn is_probe(&self) -> bool {
        self.trace_flags() & trace_flag::MTA_VERIFY != 0
    }

    fn trace_flags(&self) -> i32 {
        self.attribute("trace_flags")
            .and_then(|text| text.to_str().ok()?.parse().ok())
            .unwrap_or(0)
    }

    /// The value of a named attribute of the envelope.
    pub(crate) fn attribute(&self, name: &str) -> Option<&BStr> {
        let known = self.attributes.iter().find(|(known, _)| *known == name);
        known.map(|(_, value)| value.as_bstr())
    }

    /// Refuses the message as malformed.
    pub(crate) fn reject_input(&mut self, why: &str) {
        log::warn!("{}: message rejected: {why}", self.queue_id);
        self.status |= status::BAD;
    }

    /// Appends a record to the queue file, unless the message is lost already.
    pub(crate) fn put(&mut self, kind: RecordType, data: &[u8]) {
        if self.is_going_on() {
            let written = self.file.put(kind, data);
            self.note_write(written);
        }
    }

    /// Appends a named attribute.
    pub(crate) fn put_attribute(&mut self, name: &str, value: &[u8]) {
        if self.is_going_on() {
            let written = self.file.put_attribute(name, value);
            self.note_write(written);
        }
    }

    /// Appends one text line.
    pub(crate) fn put_line(&mut self, line: &[u8]) {
        if self.is_going_on() {
            let written = self
                .file
                .put_line(line, self.cleanup.settings.line_length_limit);
            self.note_write(written);
        }
    }

    pub(crate) fn note_write(&mut self, written: Result<(), QueueError>) {
        if let Err(error) = written {
            log::warn!("{}: {error}", self.queue_id);
            self.status |= match error {
                QueueError::TooBig => status::SIZE,
                QueueError::Io(_) => status::WRITE,
            };
        }
    }

    /// An address as log lines show it.
    pub(crate) fn logged(&self, address: &BStr) -> BString {
        if self.cleanup.settings.log_internal {
            address.to_owned()
        } else {
            quote(address)
        }
    }
}
