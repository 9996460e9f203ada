//! Writes a queue file: records in order, and in-place changes of records already written.

use crate::record::{self, RecordType};
use crate::size::SizeRecord;
use std::io::{self, Seek, SeekFrom, Write};

/// Bytes collected before they go to the file. Most messages fit, so that a queue file is
/// written by one system call.
const BUFFER: usize = 64 * 1024;
/// Room for a small message. Larger pieces of memory cost more to get and to give back.
const FIRST_ROOM: usize = 8 * 1024;

/// A queue file being written. Bytes reach the file on [`Writer::flush`] and when the buffer is
/// full; dropping the writer loses what was not flushed.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    buffer: Vec<u8>,
    /// Bytes collected before they go to the file.
    capacity: usize,
    /// File position of the buffer's first byte.
    start: u64,
    /// Set by a write that failed: the file's content is unknown then.
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Starts at position 0.
    pub fn new(out: W) -> Self {
        Self::with_capacity(out, BUFFER)
    }

    /// As [`Writer::new`], collecting up to `capacity` bytes before they go to the file.
    pub fn with_capacity(out: W, capacity: usize) -> Self {
        Self {
            out,
            buffer: Vec::with_capacity(capacity.min(FIRST_ROOM)),
            capacity,
            start: 0,
            failed: false,
        }
    }

    /// Position of the next record.
    pub fn offset(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// The file.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// Appends a record and returns its position.
    ///
    /// # Errors
    ///
    /// Those of the file, when the buffer had to be written; the writer is unusable then.
    pub fn put(&mut self, kind: RecordType, data: &[u8]) -> io::Result<u64> {
        let offset = self.offset();
        record::encode(&mut self.buffer, kind, data);
        self.flush_if_full()?;
        Ok(offset)
    }

    /// Appends a named attribute and returns its position.
    ///
    /// # Errors
    ///
    /// As [`Writer::put`].
    pub fn put_attribute(&mut self, name: &str, value: &[u8]) -> io::Result<u64> {
        let offset = self.offset();
        record::encode_attribute(&mut self.buffer, name, value);
        self.flush_if_full()?;
        Ok(offset)
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= self.capacity {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends one text line, in parts of at most `limit` bytes (`line_length_limit`).
    ///
    /// # Errors
    ///
    /// As [`Writer::put`].
    pub fn put_line(&mut self, line: &[u8], limit: usize) -> io::Result<u64> {
        let offset = self.offset();
        let mut parts = line.chunks(limit.max(1)).peekable();
        while let Some(part) = parts.next() {
            let kind = if parts.peek().is_some() {
                RecordType::TEXT_PART
            } else {
                RecordType::TEXT
            };
            self.put(kind, part)?;
        }
        if line.is_empty() {
            self.put(RecordType::TEXT, b"")?;
        }
        Ok(offset)
    }

    /// Appends a pointer record to `target`; 0 makes a dummy.
    ///
    /// # Errors
    ///
    /// As [`Writer::put`].
    pub fn put_pointer(&mut self, target: u64) -> io::Result<u64> {
        self.put(RecordType::POINTER, pointer_payload(target).as_bytes())
    }

    /// Brings every byte to the file (not to the disk).
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        if let Err(error) = self.out.write_all(&self.buffer) {
            self.failed = true;
            return Err(error);
        }
        self.start += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Flushes and gives the file back, at its end.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Overwrites the bytes at `offset` with this record; the next [`Writer::put`] appends again.
    /// The caller makes sure that the record fits the place.
    ///
    /// # Errors
    ///
    /// Those of the file, and `InvalidInput` when the place is not all written yet.
    pub fn rewrite(&mut self, offset: u64, kind: RecordType, data: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(data.len() + 6);
        record::encode(&mut bytes, kind, data);
        self.overwrite(offset, &bytes)
    }

    /// Puts a pointer to `target` over the record at `offset` (17 bytes).
    ///
    /// # Errors
    ///
    /// As [`Writer::rewrite`].
    pub fn rewrite_pointer(&mut self, offset: u64, target: u64) -> io::Result<()> {
        self.rewrite(
            offset,
            RecordType::POINTER,
            pointer_payload(target).as_bytes(),
        )
    }

    /// Fills in the size record at the start of the file.
    ///
    /// # Errors
    ///
    /// As [`Writer::rewrite`].
    pub fn rewrite_size(&mut self, size: &SizeRecord) -> io::Result<()> {
        self.rewrite(0, RecordType::SIZE, size.payload().as_bytes())
    }

    /// Changes the letter of the record at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Writer::rewrite`].
    pub fn rewrite_type(&mut self, offset: u64, kind: RecordType) -> io::Result<()> {
        self.overwrite(offset, &[kind.0])
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.offset() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // Most edits happen while the message is still in the buffer.
        if let Some(at) = offset
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok())
            && let Some(place) = self.buffer.get_mut(at..at + bytes.len())
        {
            place.copy_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        let written = self
            .out
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.out.write_all(bytes));
        let back = self.out.seek(SeekFrom::Start(self.start));
        if let Err(error) = written.and(back.map(drop)) {
            self.failed = true;
            return Err(error);
        }
        Ok(())
    }
}

/// A file offset as pointer records hold it: right-aligned in 15.
pub fn pointer_payload(target: u64) -> String {
    format!("{target:15}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{ReadOptions, Reader};
    use std::io::Cursor;

    #[test]
    fn a_file_is_written_and_patched_in_place() {
        for filler in [0usize, 70_000] {
            let mut writer = Writer::new(Cursor::new(Vec::new()));
            writer
                .put(
                    RecordType::SIZE,
                    SizeRecord::default().to_string().as_bytes(),
                )
                .unwrap();
            let pointer = writer.put_pointer(0).unwrap();
            writer.put(RecordType::TEXT, &vec![b'x'; filler]).unwrap();
            let line = writer.put_line(b"abcde", 2).unwrap();
            writer.rewrite_pointer(pointer, line).unwrap();
            let size = SizeRecord {
                data_size: 7,
                data_offset: 9,
                ..SizeRecord::default()
            };
            writer.rewrite_size(&size).unwrap();
            writer.rewrite_type(line, RecordType::KILLED).unwrap();
            assert!(
                writer
                    .rewrite(writer.offset() - 1, RecordType::TEXT, b"abc")
                    .is_err()
            );
            let bytes = writer.finish().unwrap().into_inner();
            let mut reader = Reader::with_options(Cursor::new(bytes), ReadOptions::default());
            let mut seen = Vec::new();
            while let Some(record) = reader.next_record().unwrap() {
                seen.push((record.kind.0, record.data));
            }
            assert_eq!(seen[0].1, size.to_string().as_bytes());
            let rest: Vec<(u8, &[u8])> =
                seen[1..].iter().map(|(k, d)| (*k, d.as_slice())).collect();
            assert_eq!(rest, [(b'K', &b"ab"[..]), (b'L', b"cd"), (b'N', b"e")]);
        }
    }

    #[test]
    fn a_failed_write_is_remembered() {
        let mut room = [0u8; 4];
        let mut writer = Writer::new(&mut room[..]);
        writer.put(RecordType::TEXT, b"too long").unwrap();
        assert!(writer.flush().is_err());
        assert!(writer.flush().is_err());
    }
}
