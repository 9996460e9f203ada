//! Room in the queue file for changes that milters ask for at the end of the message.
//!
//! With milters in use, pointer records that point nowhere are reserved where text may be added,
//! and short records are padded so that a pointer record can take their place. The places are
//! remembered in [`EditPoints`]; this module is where `m` records and, later, milter edits belong.

use postern_ipc::cleanup::status;
use postern_queue_file::RecordType;

use crate::message::Message;

/// Bytes of a pointer record's payload.
const POINTER_WIDTH: usize = 15;
/// Bytes of its type and length.
const OVERHEAD: usize = 2;

/// File offsets of reserved pointer records, and where reading goes on after each.
#[derive(Debug, Default)]
pub(crate) struct EditPoints {
    /// Records are reserved: a client announced milters.
    pub(crate) reserve: bool,
    /// What follows in the stream is not records.
    pub(crate) out_of_step: bool,
    /// The sender record, and the record after its padding.
    pub(crate) sender: Option<(i64, i64)>,
    /// Where recipients are added.
    pub(crate) recipients: Option<(i64, i64)>,
    /// Where headers are added.
    pub(crate) headers: Option<(i64, i64)>,
    /// Where the body ends.
    pub(crate) body_end: Option<(i64, i64)>,
    /// Where content filters and the like are added.
    pub(crate) decisions: Option<(i64, i64)>,
}

impl Message<'_> {
    /// An `m` record: the client had milters look at the message. Their state follows a count above
    /// zero; no milters are spoken to here, so the client has to try again later.
    pub(crate) fn milter_record(&mut self, count: &[u8]) {
        self.edits.reserve = true;
        if count != b"0" {
            log::warn!(
                "{}: cannot take over milters from the client",
                self.queue_id
            );
            self.status |= status::WRITE;
            self.edits.out_of_step = true;
        }
    }

    /// Reserves a pointer record; `None` without milters.
    pub(crate) fn reserve_pointer(&mut self) -> Option<(i64, i64)> {
        if !self.edits.reserve {
            return None;
        }
        let at = self.file.offset();
        self.put(
            RecordType::POINTER,
            format!("{:POINTER_WIDTH$}", 0).as_bytes(),
        );
        Some((at, self.file.offset()))
    }

    /// Pads a record of `length` payload bytes so that a pointer record fits over both.
    pub(crate) fn pad(&mut self, kind: RecordType, length: usize) {
        if self.edits.reserve && length < POINTER_WIDTH {
            let width = POINTER_WIDTH.saturating_sub(length + OVERHEAD).max(1);
            self.put(kind, format!("{:width$}", 0).as_bytes());
        }
    }
}
