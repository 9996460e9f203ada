//! The size record: six numbers, each right-aligned in 15, one blank between; 95 bytes.

use std::fmt;

/// Bytes in the payload.
const LENGTH: usize = 95;

/// Payload of a `C` record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeRecord {
    /// Offset of the `X` record minus `data_offset`.
    pub data_size: i64,
    /// Offset of the first content record.
    pub data_offset: i64,
    /// `R` records written; not counted down later.
    pub recipient_count: i64,
    /// See [`SizeRecord::MIXED`] and [`SizeRecord::notify`].
    pub flags: i64,
    /// Bytes of content, `size=` in the log.
    pub content_length: i64,
    /// SMTPUTF8 bits (later versions: send options).
    pub send_options: i64,
}

/// The payload is no size record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Fewer than the three numbers that every file has.
    #[error("invalid size record")]
    Malformed,
    /// Flag bits that this version does not know.
    #[error("invalid flags in size record")]
    BadFlags,
    /// A negative content length.
    #[error("invalid content length in size record")]
    BadLength,
}

impl SizeRecord {
    /// Flag: recipients stand between other records, so a reader must look at all of them.
    pub const MIXED: i64 = 1;
    /// Every flag bit in use.
    const FLAG_MASK: i64 = 0x1f;

    /// Union of the NOTIFY bits of the recipients (1 never, 2 success, 4 failure, 8 delay).
    pub fn notify(&self) -> i64 {
        self.flags >> 1
    }

    /// Reads the payload. Numbers after the third may be missing (older files); a missing or
    /// zero content length is replaced by the data size.
    ///
    /// # Errors
    ///
    /// See [`SizeError`]; the file is corrupt then.
    pub fn parse(payload: &[u8]) -> Result<Self, SizeError> {
        let text = std::str::from_utf8(payload).map_err(|_| SizeError::Malformed)?;
        let mut numbers = [0; 6];
        let mut count = 0;
        // As scanf: what follows the first word that is no number is not looked at.
        for (slot, word) in numbers.iter_mut().zip(text.split_ascii_whitespace()) {
            let Ok(number) = word.parse() else { break };
            *slot = number;
            count += 1;
        }
        let [
            data_size,
            data_offset,
            recipient_count,
            flags,
            mut content_length,
            send_options,
        ] = numbers;
        if count < 3 || data_size < 0 || data_offset < 0 || recipient_count < 0 {
            return Err(SizeError::Malformed);
        }
        if flags & !Self::FLAG_MASK != 0 {
            return Err(SizeError::BadFlags);
        }
        if content_length < 0 {
            return Err(SizeError::BadLength);
        }
        if content_length == 0 {
            content_length = data_size;
        }
        Ok(Self {
            data_size,
            data_offset,
            recipient_count,
            flags,
            content_length,
            send_options,
        })
    }
}

impl fmt::Display for SizeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.payload())
    }
}

impl SizeRecord {
    /// The payload. Every message has two of these: padding by hand is much faster.
    pub fn payload(&self) -> String {
        const BLANKS: &str = "               ";
        let mut text = String::with_capacity(LENGTH);
        let numbers = [
            self.data_size,
            self.data_offset,
            self.recipient_count,
            self.flags,
            self.content_length,
            self.send_options,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            let digits = number.to_string();
            if index > 0 {
                text.push(' ');
            }
            text.push_str(BLANKS.get(digits.len()..).unwrap_or_default());
            text.push_str(&digits);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_real_file_round_trips() {
        let text = "            259             334               2               0             259               0";
        let size = SizeRecord::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (size.data_size, size.data_offset, size.recipient_count),
            (259, 334, 2)
        );
        assert_eq!(size.to_string(), text);
        assert_eq!(text.len(), 95);
    }

    #[test]
    fn older_and_damaged_records() {
        assert_eq!(SizeRecord::parse(b"10 20 1").unwrap().content_length, 10);
        assert_eq!(SizeRecord::parse(b"10 20 1 13 0 0").unwrap().notify(), 6);
        let cases: &[(&[u8], SizeError)] = &[
            (b"", SizeError::Malformed),
            (b"10 20", SizeError::Malformed),
            (b"-1 20 1", SizeError::Malformed),
            (b"10 x 1", SizeError::Malformed),
            (b"\xff", SizeError::Malformed),
            (b"10 20 1 32", SizeError::BadFlags),
            (b"10 20 1 -1", SizeError::BadFlags),
            (b"10 20 1 0 -5", SizeError::BadLength),
        ];
        for (payload, want) in cases {
            assert_eq!(SizeRecord::parse(payload), Err(*want));
        }
    }
}
