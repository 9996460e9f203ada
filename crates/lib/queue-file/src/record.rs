//! One record: a letter, a base-128 length (low group first), that many bytes.

use bstr::BString;
use std::io::{BufRead, ErrorKind, Read, Write};

/// Longest payload that is read. The format allows 2 GiB; no program writes more than a few
/// kilobytes, and a damaged length must not fill the memory.
pub const PAYLOAD_LIMIT: u32 = 4 * 1024 * 1024;

/// A record's letter. Unknown letters are carried along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RecordType(pub u8);

macro_rules! record_types {
    ($($(#[doc = $doc:literal])* $name:ident = $letter:literal, $text:literal;)*) => {
        impl RecordType {
            $($(#[doc = $doc])* pub const $name: Self = Self($letter);)*

            /// The name that postcat(1) prints; `None` for letters that it does not know.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($letter if !$text.is_empty() => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

record_types! {
    /// Size record: always first, rewritten in place.
    SIZE = b'C', "message_size";
    /// Arrival time, `<sec> <usec>`; the first one counts.
    TIME = b'T', "message_arrival_time";
    /// Creation time of the file; written as attribute `create_time`.
    CTIME = b'c', "queue_file_create_time";
    /// Sender's full name.
    FULL_NAME = b'F', "sender_fullname";
    /// Content inspector (obsolete).
    INSPECTOR = b'I', "content_inspector";
    /// Envelope: content filter. Content: text without line end, see [`Self::TEXT_PART`].
    FILTER = b'L', "content_filter";
    /// Envelope sender.
    FROM = b'S', "sender";
    /// VERP delimiters, two characters.
    VERP = b'V', "verp_delimiters";
    /// Time of the next delay warning; rewritten in place.
    WARN = b'W', "warning_message_time";
    /// `name=value`.
    ATTRIBUTE = b'A', "named_attribute";
    /// Recipient as received; belongs to the next recipient record.
    ORIGINAL_RECIPIENT = b'O', "original_recipient";
    /// Recipient still to be delivered.
    RECIPIENT = b'R', "recipient";
    /// Recipient that was delivered or bounced.
    DONE = b'D', "done_recipient";
    /// Recipient deleted by a milter.
    CANCELED = b'/', "canceled_recipient";
    /// REDIRECT target.
    REDIRECT = b'>', "redirect_to";
    /// Record invalidated in place.
    KILLED = b'K', "killed_record";
    /// Pseudo type of attribute `ret_flags`.
    DSN_RET = b'<', "dsn_return_flags";
    /// Pseudo type of attribute `envelope_id`.
    DSN_ENVELOPE_ID = b'i', "dsn_envelope_id";
    /// Pseudo type of attribute `dsn_orig_rcpt`.
    DSN_ORIGINAL_RECIPIENT = b'o', "dsn_original_recipient";
    /// Pseudo type of attribute `notify_flags`.
    DSN_NOTIFY = b'n', "dsn_notify_flags";
    /// End of the envelope.
    MESSAGE = b'M', "message_content";
    /// A text line or its last part.
    TEXT = b'N', "regular_text";
    /// Filler.
    PADDING = b'w', "padding";
    /// End of the content.
    EXTRACTED = b'X', "extracted_info";
    /// Obsolete, ignored.
    RETURN_RECEIPT = b'r', "return_receipt";
    /// Obsolete, ignored.
    ERRORS_TO = b'e', "errors_to";
    /// Obsolete, ignored.
    PRIORITY = b'P', "priority";
    /// Jump to a file offset; 0 is a dummy.
    POINTER = b'p', "pointer_record";
    /// End of the file.
    END = b'E', "message_end";
    /// Extra cleanup flags (stream only).
    FLAGS = b'f', "flags";
    /// Delay in seconds (stream only).
    DELAY = b'd', "";
    /// Count of milters whose state follows (stream only).
    MILTER_COUNT = b'm', "";
}

impl RecordType {
    /// In content: text whose line goes on in the next record.
    pub const TEXT_PART: Self = Self::FILTER;

    /// Envelope letters of a queue file; the first one ends the segment.
    pub const ENVELOPE: &'static [u8] = b"MCTcFILSDRO/WVA>K<ion";
    /// Content letters of a queue file.
    pub const CONTENT: &'static [u8] = b"XLNw";
    /// Letters of the extracted segment.
    pub const EXTRACTED_SEGMENT: &'static [u8] = b"EDRO/PreAFIL>Kon";
    /// Envelope letters that postdrop accepts.
    pub const POSTDROP_ENVELOPE: &'static [u8] = b"MFSRVAin";
    /// Content letters that postdrop accepts.
    pub const POSTDROP_CONTENT: &'static [u8] = b"XLN";
    /// Extracted letters that postdrop accepts.
    pub const POSTDROP_EXTRACTED: &'static [u8] = b"EAR";
    /// Letters that leave an envelope "pure": recipients and what belongs to them.
    pub const ENVELOPE_RECIPIENT: &'static [u8] = b"MDRO/Kon";
    /// The same for the extracted segment.
    pub const EXTRACTED_RECIPIENT: &'static [u8] = b"EDRO/Kon";

    /// Whether this letter stands in one of the lists above.
    pub fn is_in(self, list: &[u8]) -> bool {
        list.contains(&self.0)
    }
}

impl std::fmt::Display for RecordType {
    /// The number, as in Postfix's warnings.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A record as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Position of the letter in the file or stream.
    pub offset: u64,
    /// The letter.
    pub kind: RecordType,
    /// The payload.
    pub data: BString,
}

/// Why a record was not read. `Display` is Postfix's warning without the leading `<path>: `.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The length does not end after five bytes.
    #[error("too many length bits, record type {0}")]
    TooManyLengthBits(RecordType),
    /// The file ends in a length.
    #[error("unexpected EOF reading length, record type {0}")]
    EofInLength(RecordType),
    /// The length is negative as a 32-bit number, or above [`PAYLOAD_LIMIT`].
    #[error("illegal length {0}, record type {1}")]
    IllegalLength(i64, RecordType),
    /// The file ends in a payload.
    #[error("unexpected EOF in data, record type {0} length {1}")]
    EofInData(RecordType, u32),
    /// A pointer record without a number.
    #[error("malformed pointer record value: {0}")]
    BadPointer(BString),
    /// More than 10000 jumps backward.
    #[error("too many reverse jump records")]
    TooManyReverseJumps,
    /// The file could not be read; a temporary trouble, unlike the other errors.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl RecordError {
    /// True when the bytes are at fault and not the system.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// Reads one record from a stream; `None` at the end of input. Pointers and padding are
/// returned like any other record.
///
/// # Errors
///
/// See [`RecordError`].
pub fn read_record(input: &mut impl BufRead) -> Result<Option<(RecordType, BString)>, RecordError> {
    let mut data = BString::default();
    Ok(read_record_into(input, &mut data)?.map(|kind| (kind, data)))
}

/// As [`read_record`], with the payload in `data`, whose room is used again.
///
/// # Errors
///
/// See [`RecordError`].
pub fn read_record_into(
    input: &mut impl BufRead,
    data: &mut BString,
) -> Result<Option<RecordType>, RecordError> {
    Ok(read_counted(input, data)?.map(|(kind, _)| kind))
}

/// As [`read_record`]; the number is that of the bytes consumed. (Not always the shortest
/// encoding: the format allows lengths with leading zero groups.)
pub(crate) fn read_counted(
    input: &mut impl BufRead,
    data: &mut BString,
) -> Result<Option<(RecordType, u64)>, RecordError> {
    data.clear();
    if let Some(found) = read_buffered(input, data)? {
        return Ok(Some(found));
    }
    let Some(letter) = read_byte(input)? else {
        return Ok(None);
    };
    let kind = RecordType(letter);
    let (length, length_bytes) = read_length(input, kind)?;
    data.reserve(usize::try_from(length.min(4096)).unwrap_or_default());
    input.by_ref().take(u64::from(length)).read_to_end(data)?;
    if data.len() as u64 != u64::from(length) {
        return Err(RecordError::EofInData(kind, length));
    }
    Ok(Some((kind, 1 + length_bytes + u64::from(length))))
}

/// A record that is in the buffer as a whole, as most are. `None`, and nothing consumed, for anything
/// else: the end of input, damage, a record at the end of the buffer.
fn read_buffered(
    input: &mut impl BufRead,
    data: &mut Vec<u8>,
) -> std::io::Result<Option<(RecordType, u64)>> {
    let buffered = match input.fill_buf() {
        Ok(buffered) => buffered,
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((kind, payload, used)) = whole_record(buffered) else {
        return Ok(None);
    };
    data.extend_from_slice(payload);
    input.consume(used);
    Ok(Some((kind, used as u64)))
}

/// Letter, payload, and the bytes of all.
fn whole_record(buffered: &[u8]) -> Option<(RecordType, &[u8], usize)> {
    let (letter, rest) = buffered.split_first()?;
    let mut length = 0usize;
    // Lengths of four bytes are enough for every payload below the limit.
    for (at, byte) in rest.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let start = at + 1;
            let payload = rest.get(start..start + length)?;
            let is_legal = length <= usize::try_from(PAYLOAD_LIMIT).unwrap_or(usize::MAX);
            return is_legal.then_some((RecordType(*letter), payload, 1 + start + length));
        }
    }
    None
}

fn read_length(input: &mut impl BufRead, kind: RecordType) -> Result<(u32, u64), RecordError> {
    let mut length: u32 = 0;
    let mut shift = 0u32;
    loop {
        if shift >= 32 {
            return Err(RecordError::TooManyLengthBits(kind));
        }
        let byte = read_byte(input)?.ok_or(RecordError::EofInLength(kind))?;
        length |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    if length > PAYLOAD_LIMIT {
        let shown = i64::from(i32::from_ne_bytes(length.to_ne_bytes()));
        return Err(RecordError::IllegalLength(shown, kind));
    }
    Ok((length, u64::from(shift / 7) + 1))
}

fn read_byte(input: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        match input.fill_buf() {
            Ok(chunk) => {
                let byte = chunk.first().copied();
                input.consume(usize::from(byte.is_some()));
                return Ok(byte);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Appends the encoded record to `out`.
///
/// # Panics
///
/// Never for payloads up to 4 GiB; longer ones are cut.
pub fn encode(out: &mut Vec<u8>, kind: RecordType, data: &[u8]) {
    let (head, length) = head(kind, data.len());
    out.extend_from_slice(head.get(..length).unwrap_or_default());
    out.extend_from_slice(data);
}

/// Appends an encoded named attribute to `out`.
pub(crate) fn encode_attribute(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let (head, length) = head(RecordType::ATTRIBUTE, name.len() + 1 + value.len());
    out.extend_from_slice(head.get(..length).unwrap_or_default());
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

/// Letter and length, and how many bytes they take.
fn head(kind: RecordType, payload: usize) -> ([u8; 6], usize) {
    let mut rest = u32::try_from(payload).unwrap_or(u32::MAX);
    let mut bytes = [kind.0, 0, 0, 0, 0, 0];
    let mut used = 1;
    for place in bytes.iter_mut().skip(1) {
        *place = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        used += 1;
        if rest == 0 {
            break;
        }
        *place |= 0x80;
    }
    (bytes, used)
}

/// Writes one record to a stream; give it a buffered one.
///
/// # Errors
///
/// Those of the stream.
pub fn write_record(out: &mut impl Write, kind: RecordType, data: &[u8]) -> std::io::Result<()> {
    let (head, length) = head(kind, data.len());
    out.write_all(head.get(..length).unwrap_or_default())?;
    out.write_all(data)
}

/// Writes a named attribute to a stream, as [`write_record`].
///
/// # Errors
///
/// Those of the stream.
pub fn write_attribute(out: &mut impl Write, name: &str, value: &[u8]) -> std::io::Result<()> {
    let (head, length) = head(RecordType::ATTRIBUTE, name.len() + 1 + value.len());
    out.write_all(head.get(..length).unwrap_or_default())?;
    out.write_all(name.as_bytes())?;
    out.write_all(b"=")?;
    out.write_all(value)
}

/// Bytes that a record with this payload takes in the file.
pub fn encoded_length(payload: usize) -> usize {
    let mut length = 2;
    let mut rest = payload >> 7;
    while rest > 0 {
        length += 1;
        rest >>= 7;
    }
    length + payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damaged_records_give_the_warnings_of_the_reference() {
        let cases: &[(&[u8], &str)] = &[
            (
                b"N\x80\x80\x80\x80\x80\x80",
                "too many length bits, record type 78",
            ),
            (b"N", "unexpected EOF reading length, record type 78"),
            (b"N\x85", "unexpected EOF reading length, record type 78"),
            (
                b"N\x81\x80\x80\x80\x08",
                "illegal length -2147483647, record type 78",
            ),
            (
                b"N\x05ab",
                "unexpected EOF in data, record type 78 length 5",
            ),
        ];
        for (bytes, want) in cases {
            let error = read_record(&mut &bytes[..]).unwrap_err();
            assert_eq!(error.to_string(), *want);
            assert!(error.is_malformed());
        }
        assert!(read_record(&mut &b""[..]).unwrap().is_none());
    }

    #[test]
    fn lengths_use_the_shortest_form_low_group_first() {
        let cases = [
            (0usize, vec![b'N', 0]),
            (127, vec![b'N', 127]),
            (128, vec![b'N', 0x80, 1]),
        ];
        for (length, head) in cases {
            let mut out = Vec::new();
            encode(&mut out, RecordType::TEXT, &vec![b'a'; length]);
            assert!(out.starts_with(&head), "{length}");
            assert_eq!(out.len(), encoded_length(length));
        }
    }

    #[test]
    fn names_are_those_of_postcat() {
        assert_eq!(RecordType(b'R').name(), Some("recipient"));
        assert_eq!(RecordType(b'm').name(), None);
        assert_eq!(RecordType(b'?').name(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_records_or_an_error(bytes: Vec<u8>) {
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = read_record(&mut input) {}
        }

        #[test]
        fn the_size_of_the_buffer_changes_nothing(
            lengths in proptest::collection::vec(0usize..300, 0..20),
            damage: Vec<u8>,
            room in 1usize..500,
        ) {
            let mut bytes = Vec::new();
            for length in lengths {
                encode(&mut bytes, RecordType::TEXT, &vec![b'a'; length]);
            }
            bytes.extend_from_slice(&damage);
            let mut whole = bytes.as_slice();
            let mut pieces = std::io::BufReader::with_capacity(room, bytes.as_slice());
            loop {
                let want = read_record(&mut whole).map_err(|error| error.to_string());
                let got = read_record(&mut pieces).map_err(|error| error.to_string());
                prop_assert_eq!(&got, &want);
                if !matches!(want, Ok(Some(_))) {
                    break;
                }
            }
        }

        #[test]
        fn a_written_record_is_read_back(kind: u8, data in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut out = Vec::new();
            encode(&mut out, RecordType(kind), &data);
            let mut written = Vec::new();
            write_record(&mut written, RecordType(kind), &data).unwrap();
            prop_assert_eq!(&written, &out);
            let got = read_record(&mut out.as_slice()).unwrap().unwrap();
            prop_assert_eq!(got, (RecordType(kind), data.into()));
        }
    }
}
