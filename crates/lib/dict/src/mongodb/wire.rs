//! Messages of MongoDB's protocol: one request, one reply, each a document in an `OP_MSG`.
//!
//! Source: MongoDB's wire protocol reference.

use postern_wire::Channel;
use std::io::{self, Read, Write};

use super::bson::{Document, Elements, Malformed};

/// The only operation of today's servers and clients.
const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// Header, flags, the kind of the section, the smallest document.
const SMALLEST: usize = HEADER + 4 + 1 + 5;
/// A checksum of four bytes ends the message.
const CHECKSUM: u32 = 1;
/// Flags of which a reader must know what they mean.
const REQUIRED: u32 = 0xffff;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The connection failed or was too slow.
    #[error("{}", crate::io_text(.0))]
    Io(#[from] io::Error),
    /// Not a message that fits here.
    #[error("malformed reply of the server")]
    Malformed,
    /// Longer than wanted, in bytes.
    #[error("the reply is longer than {0} bytes")]
    TooLong(usize),
}

impl From<Malformed> for WireError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Sends the request number `id`.
pub(super) fn send(channel: &mut Channel, id: i32, request: &Document) -> Result<(), WireError> {
    let body = request.to_bytes();
    let size = HEADER + 4 + 1 + body.len();
    let size = i32::try_from(size).map_err(|_| WireError::Malformed)?;
    let mut message = Vec::with_capacity(HEADER + 5 + body.len());
    for number in [size, id, 0, OP_MSG, 0] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    channel.write_all(&message)?;
    channel.flush()?;
    Ok(())
}

/// Reads the reply to the request number `id`: a document of at most `most` bytes.
pub(super) fn receive(channel: &mut impl Read, id: i32, most: usize) -> Result<Vec<u8>, WireError> {
    let mut header = [0; HEADER + 5];
    channel.read_exact(&mut header)?;
    let (numbers, _kind) = header.as_chunks::<4>();
    let mut numbers = numbers.iter().map(|bytes| i32::from_le_bytes(*bytes));
    let mut number = || numbers.next().ok_or(WireError::Malformed);
    let (size, _own_id, answered, operation) = (number()?, number()?, number()?, number()?);
    let flags = number()?.cast_unsigned();
    let size = usize::try_from(size).map_err(|_| WireError::Malformed)?;
    let is_checked = flags & CHECKSUM != 0;
    let extra = if is_checked { 4 } else { 0 };
    let is_ours = operation == OP_MSG
        && answered == id
        && flags & REQUIRED & !CHECKSUM == 0
        && header.last() == Some(&0)
        && size >= SMALLEST + extra;
    if !is_ours {
        return Err(WireError::Malformed);
    }
    let left = size - header.len();
    if left - extra > most {
        return Err(WireError::TooLong(most));
    }
    let mut body = Vec::new();
    // Room is made as bytes come, not as they are announced.
    let limit = u64::try_from(left).map_err(|_| WireError::Malformed)?;
    if channel.by_ref().take(limit).read_to_end(&mut body)? < left {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    // TLS and TCP have checksums of their own.
    body.truncate(left - extra);
    Elements::whole(&body)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i32, operation: i32, flags: u32, kind: u8, body: &[u8]) -> Vec<u8> {
        let size = i32::try_from(body.len() + 21).unwrap();
        let mut bytes = Vec::new();
        for number in [size, 77, id, operation, flags.cast_signed()] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.push(kind);
        bytes.extend_from_slice(body);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        receive(&mut &bytes[..], 5, 100).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_reply_to_the_request_counts() {
        let body = Document::new().int32("ok", 1).to_bytes();
        assert_eq!(read(&message(5, OP_MSG, 0, 0, &body)), Ok(body.clone()));
        let checked = [body.as_slice(), b"sums"].concat();
        assert_eq!(read(&message(5, OP_MSG, 1, 0, &checked)), Ok(body.clone()));
        // Optional flags mean nothing.
        assert_eq!(
            read(&message(5, OP_MSG, 1 << 16, 0, &body)),
            Ok(body.clone())
        );
        let malformed = Err("malformed reply of the server".to_owned());
        let two = [body.as_slice(), &[0], &body].concat();
        for bytes in [
            message(6, OP_MSG, 0, 0, &body),
            message(5, 1, 0, 0, &body),
            message(5, OP_MSG, 2, 0, &body),
            message(5, OP_MSG, 4, 0, &body),
            message(5, OP_MSG, 0, 1, &body),
            message(5, OP_MSG, 0, 0, &two),
            message(5, OP_MSG, 0, 0, b"1234"),
            message(5, OP_MSG, 1, 0, b"12345678"),
            message(5, OP_MSG, 0, 0, b"\x06\0\0\0\0"),
            [0xff; 30].to_vec(),
        ] {
            assert_eq!(read(&bytes), malformed, "{bytes:?}");
        }
        let long = Document::new().text("a", &"x".repeat(100)).to_bytes();
        let found = read(&message(5, OP_MSG, 0, 0, &long));
        assert_eq!(found, Err("the reply is longer than 100 bytes".to_owned()));
        let whole = message(5, OP_MSG, 0, 0, &body);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err());
        }
    }
}
