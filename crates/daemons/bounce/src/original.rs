//! The message that a notice is about, read from its queue file.

use std::fs::File;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use postern_queue_file::file::{mark_done, open_for_reading, open_for_update};
use postern_queue_file::{Hashing, QueueId, Reader, RecordType, SizeRecord};

/// Called with the bytes of a content record and its kind.
type EachLine<'a, E> = dyn FnMut(&[u8], RecordType) -> Result<(), E> + 'a;

/// An original message. What could not be read is absent: a notice goes out all the same.
#[derive(Debug)]
pub(crate) struct Original {
    path: PathBuf,
    reader: Option<Reader<File>>,
    /// Size field 1 of the size record, in bytes.
    pub(crate) size: Option<u64>,
    /// Arrival, seconds since the epoch.
    pub(crate) arrival: Option<i64>,
    /// `Message-ID:` value.
    pub(crate) message_id: Option<BString>,
    /// Offset of the first content record.
    content: u64,
}

impl Original {
    /// Opens `queue_name/queue_id` and reads its envelope.
    pub(crate) fn open(hashing: &Hashing, queue_name: &str, queue_id: &QueueId) -> Self {
        let path = hashing.path(queue_name, queue_id);
        let mut original = Self {
            path,
            reader: None,
            size: None,
            arrival: None,
            message_id: None,
            content: 0,
        };
        match open_for_reading(&original.path) {
            Ok(file) => {
                original.reader = Some(Reader::new(file));
                original.read_envelope();
            }
            Err(error) => log::warn!(
                "open {}: {}",
                original.path.display(),
                postern_sys::error_text(&error)
            ),
        }
        original
    }

    fn read_envelope(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        loop {
            let record = match reader.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("{}: {error}", self.path.display());
                    break;
                }
            };
            match record.kind {
                RecordType::SIZE => {
                    self.size = SizeRecord::parse(&record.data)
                        .ok()
                        .and_then(|size| u64::try_from(size.data_size).ok())
                }
                RecordType::TIME if self.arrival.is_none() => {
                    let seconds = record.data.split_str(" ").next().unwrap_or_default();
                    self.arrival = seconds.to_str().ok().and_then(|text| text.parse().ok());
                }
                RecordType::MESSAGE => {
                    self.content = reader.offset();
                    return;
                }
                _ => {}
            }
        }
        self.reader = None;
    }

    /// Finds the `Message-ID:` header, for threaded notices.
    pub(crate) fn find_message_id(&mut self) {
        let _ = self
            .for_each_line(true, &mut |line, _| {
                if let Some((name, value)) = line.split_once_str(":")
                    && name.eq_ignore_ascii_case(b"message-id")
                {
                    return Err(Found(value.trim_ascii().into()));
                }
                Ok(())
            })
            .map_err(|Found(value)| self.message_id = Some(value));
    }

    /// Calls `each` with every content record: bytes, and whether a line ends there. `headers_only` stops
    /// before the first line that is neither header nor continuation. Returns whether the content could be
    /// read at all.
    pub(crate) fn for_each_line<E>(
        &mut self,
        headers_only: bool,
        each: &mut EachLine<'_, E>,
    ) -> Result<bool, E> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        if reader.seek(self.content).is_err() {
            return Ok(false);
        }
        let mut line_start = true;
        loop {
            let record = match reader.next_record() {
                Ok(Some(record))
                    if matches!(record.kind, RecordType::TEXT | RecordType::TEXT_PART) =>
                {
                    record
                }
                Ok(_) => return Ok(true),
                Err(error) => {
                    log::warn!("{}: {error}", self.path.display());
                    return Ok(true);
                }
            };
            if headers_only && line_start && !is_header(&record.data) {
                return Ok(true);
            }
            each(&record.data, record.kind)?;
            line_start = record.kind == RecordType::TEXT;
        }
    }

    /// Marks recipients as done after they were reported.
    pub(crate) fn mark_done(&self, offsets: impl Iterator<Item = i64>) {
        let file = match open_for_update(&self.path) {
            Ok(file) => file,
            Err(error) => {
                log::warn!(
                    "open {}: {}",
                    self.path.display(),
                    postern_sys::error_text(&error)
                );
                return;
            }
        };
        for offset in offsets {
            if let Err(error) = mark_done(&file, offset) {
                log::warn!(
                    "update queue file {}: {}",
                    self.path.display(),
                    postern_sys::error_text(&error)
                );
            }
        }
    }
}

struct Found(BString);

/// Whether a line belongs to the headers: a continuation, or a name and a colon.
fn is_header(line: &[u8]) -> bool {
    match line.first() {
        None => false,
        Some(b' ' | b'\t') => true,
        Some(_) => {
            let name = line
                .find_byte(b':')
                .map_or(&line[..0], |end| &line[..end])
                .trim_ascii_end();
            !name.is_empty() && name.iter().all(|byte| (33..=126).contains(byte))
        }
    }
}
