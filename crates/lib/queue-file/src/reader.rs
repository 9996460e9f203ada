//! Reads a queue file record by record, along its pointers.

use crate::record::{self, Record, RecordError, RecordType};
use bstr::{BStr, ByteSlice};
use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// Jumps to the same place or backward that one file may hold.
const REVERSE_JUMP_LIMIT: u32 = 10_000;

/// What the reader does on its own. The default follows pointers and skips padding.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Jump at `p` records instead of returning them.
    pub follow_pointers: bool,
    /// Do not return `w` records.
    pub skip_padding: bool,
    /// Go to the end of the file after an `E` record, over what lies behind it.
    pub seek_to_end: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            follow_pointers: true,
            skip_padding: true,
            seek_to_end: false,
        }
    }
}

impl ReadOptions {
    /// Every record in file order.
    pub const RAW: Self = Self {
        follow_pointers: false,
        skip_padding: false,
        seek_to_end: false,
    };
}

/// A queue file being read.
#[derive(Debug)]
pub struct Reader<R: Read + Seek> {
    input: BufReader<R>,
    options: ReadOptions,
    /// Position of the next record.
    offset: u64,
    reverse_jumps: u32,
    /// Where jumps backward began since the caller chose a position. A pointer always leads to the
    /// same place, so one that is met again is met for ever.
    passed: HashSet<u64>,
}

impl<R: Read + Seek> Reader<R> {
    /// Starts at the source's current position, which must be 0.
    pub fn new(source: R) -> Self {
        Self::with_options(source, ReadOptions::default())
    }

    /// As [`Reader::new`].
    pub fn with_options(source: R, options: ReadOptions) -> Self {
        Self {
            input: BufReader::new(source),
            options,
            offset: 0,
            reverse_jumps: 0,
            passed: HashSet::new(),
        }
    }

    /// Starts at `offset`, which must be the start of a record, wherever the source stands.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub fn at(mut source: R, offset: u64) -> io::Result<Self> {
        source.seek(SeekFrom::Start(offset))?;
        let mut reader = Self::new(source);
        reader.offset = offset;
        Ok(reader)
    }

    /// Position of the next record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The source, at an undefined position.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// The source.
    pub fn get_ref(&self) -> &R {
        self.input.get_ref()
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn next_record(&mut self) -> Result<Option<Record>, RecordError> {
        let mut record = Record::default();
        Ok(self.next_record_into(&mut record)?.then_some(record))
    }

    /// As [`Reader::next_record`], into `record`, whose room is used again; `false` at the end of the
    /// file.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn next_record_into(&mut self, record: &mut Record) -> Result<bool, RecordError> {
        loop {
            record.offset = self.offset;
            let Some((kind, length)) = record::read_counted(&mut self.input, &mut record.data)?
            else {
                return Ok(false);
            };
            record.kind = kind;
            self.offset += length;
            match kind {
                RecordType::POINTER if self.options.follow_pointers => {
                    self.follow(record.data.as_bstr())?;
                }
                RecordType::PADDING if self.options.skip_padding => {}
                RecordType::END if self.options.seek_to_end => {
                    self.offset = self.input.seek(SeekFrom::End(0))?;
                    return Ok(true);
                }
                _ => return Ok(true),
            }
        }
    }

    /// Jumps where a pointer record says; offset 0 is no jump. For callers that read raw.
    ///
    /// # Errors
    ///
    /// [`RecordError::BadPointer`], [`RecordError::TooManyReverseJumps`], or a seek that fails.
    pub fn follow(&mut self, payload: &BStr) -> Result<(), RecordError> {
        let target = payload
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        // Offsets are file positions, which the system keeps in 63 bits.
        let target = target.filter(|target| i64::try_from(*target).is_ok());
        let target = target.ok_or_else(|| RecordError::BadPointer(payload.to_owned()))?;
        if target == 0 {
            return Ok(());
        }
        if target <= self.offset {
            self.reverse_jumps += 1;
            if self.reverse_jumps > REVERSE_JUMP_LIMIT || !self.passed.insert(self.offset) {
                return Err(RecordError::TooManyReverseJumps);
            }
        }
        Ok(self.go_to(target)?)
    }

    /// Goes to `offset`, which must be the start of a record.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.passed.clear();
        self.go_to(offset)
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        match i64::try_from(i128::from(offset) - i128::from(self.offset)) {
            Ok(distance) => self.input.seek_relative(distance)?,
            Err(_) => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
        self.offset = offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn file(records: &[(u8, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, data) in records {
            record::encode(&mut out, RecordType(*kind), data.as_bytes());
        }
        out
    }

    fn letters(bytes: Vec<u8>, options: ReadOptions) -> Result<String, RecordError> {
        let mut reader = Reader::with_options(Cursor::new(bytes), options);
        let mut letters = String::new();
        while let Some(record) = reader.next_record()? {
            letters.push(char::from(record.kind.0));
        }
        Ok(letters)
    }

    #[test]
    fn pointers_are_followed_and_padding_is_skipped() {
        let bytes = file(&[
            (b'N', "a"),
            (b'p', "             37"),
            (b'L', "old garbage bytes"[..12].into()),
            (b'w', "x"),
            (b'S', ""),
            (b'p', "              0"),
            (b'E', ""),
        ]);
        assert_eq!(
            letters(bytes.clone(), ReadOptions::default()).unwrap(),
            "NSE"
        );
        assert_eq!(letters(bytes, ReadOptions::RAW).unwrap(), "NpLwSpE");
    }

    #[test]
    fn what_lies_behind_the_end_record_can_be_skipped() {
        let bytes = file(&[(b'N', "a"), (b'E', ""), (b'N', "heap")]);
        let options = ReadOptions {
            seek_to_end: true,
            ..ReadOptions::default()
        };
        assert_eq!(letters(bytes.clone(), options).unwrap(), "NE");
        assert_eq!(letters(bytes, ReadOptions::default()).unwrap(), "NEN");
    }

    #[test]
    fn a_pointer_loop_ends_before_anything_is_read_twice() {
        // A long file whose end points to its beginning must not be read ten thousand times.
        let bytes = file(&[
            (b'N', "a"),
            (b'N', "b"),
            (b'p', "              0"),
            (b'p', "              3"),
        ]);
        let mut reader = Reader::new(Cursor::new(bytes));
        let mut count = 0;
        while let Ok(Some(_)) = reader.next_record() {
            count += 1;
        }
        assert_eq!(count, 3);
        // A caller may go back, of course.
        reader.seek(0).unwrap();
        assert_eq!(reader.next_record().unwrap().unwrap().data, "a");
    }

    #[test]
    fn a_pointer_loop_ends() {
        let bytes = file(&[(b'N', "a"), (b'p', "              3")]);
        let error = letters(bytes, ReadOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), "too many reverse jump records");
        let bad = letters(file(&[(b'p', "x")]), ReadOptions::default()).unwrap_err();
        assert_eq!(bad.to_string(), "malformed pointer record value: x");
    }

    proptest! {
        #[test]
        fn any_file_ends_or_gives_an_error(bytes: Vec<u8>, offset: u64) {
            let length = bytes.len();
            let mut reader = Reader::new(Cursor::new(bytes));
            let _ = reader.seek(offset % 300);
            let mut count = 0;
            while let Ok(Some(_)) = reader.next_record() { count += 1; }
            prop_assert!(count <= length + 1);
        }
    }
}
