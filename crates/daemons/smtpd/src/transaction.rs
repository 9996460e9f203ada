//! A mail transaction: from an accepted MAIL to the end of the message.
//!
//! What belongs to a transaction lives and dies with it.

use bstr::BString;
use postern_mail::smtp_command::Body;
use std::time::SystemTime;

use crate::content::{Content, Splitter};
use crate::submit::Queue;

/// What MAIL said, and how far the message is.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// When MAIL came.
    pub(crate) arrival: SystemTime,
    /// BODY=.
    pub(crate) body: Option<Body>,
    /// RET= as mask.
    pub(crate) ret: Option<u32>,
    /// ENVID=, decoded.
    pub(crate) envelope_id: Option<BString>,
    /// SMTPUTF8.
    pub(crate) smtputf8: bool,
    /// XVERP delimiters.
    pub(crate) verp: Option<BString>,
    /// `local` or `remote`.
    pub(crate) rewrite_context: &'static str,
    /// Accepted recipients.
    pub(crate) recipients: u32,
    /// The stream to cleanup or postdrop, once there is one.
    pub(crate) queue: Option<Queue>,
    /// Status bits of what went wrong on our side.
    pub(crate) error: i32,
    /// Bytes of content, counting two for a line end.
    pub(crate) size: u64,
    /// State of the content.
    pub(crate) content: Content,
    /// The unfinished line of a chunk.
    pub(crate) splitter: Splitter,
}

impl Transaction {
    /// Queue ID, when the stream is open.
    pub(crate) fn queue_id(&self) -> Option<&str> {
        self.queue.as_ref().map(Queue::id)
    }

    /// The message cannot be stored; the rest of it is only read.
    pub(crate) fn note_write_error(&mut self, error: &std::io::Error) {
        log::warn!(
            "{}: writing to queue: {}",
            self.queue_id().unwrap_or("NOQUEUE"),
            postern_sys::error_text(error)
        );
        self.error |= postern_ipc::cleanup::status::WRITE;
    }
}

/// Where a message that comes with BDAT stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunking {
    /// No BDAT was given.
    None,
    /// Chunks are being received.
    Receiving,
    /// A chunk was refused; the others are dropped until LAST, RSET, HELO or EHLO.
    Failed,
}

/// What access tables ordered for the message.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// FILTER.
    pub(crate) filter: Option<BString>,
    /// REDIRECT.
    pub(crate) redirect: Option<BString>,
    /// BCC, one recipient each.
    pub(crate) bcc: Vec<BString>,
    /// PREPEND.
    pub(crate) prepend: Vec<BString>,
    /// HOLD.
    pub(crate) hold: bool,
    /// DISCARD.
    pub(crate) discard: bool,
}
