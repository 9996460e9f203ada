//! Checks the records that come in and copies the harmless ones to the file.

use std::fs::File;
use std::io::{self, BufRead, Write};

use crate::sender::{Policy, Refusal};
use bstr::ByteSlice;
use postern_ipc::deliver::Moment;
use postern_queue_file::record::{encode, read_record};
use postern_queue_file::{Attribute, RecordError, RecordType};

/// Limits of main.cf; a size of 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `line_length_limit`, bytes of one record.
    pub(crate) line: usize,
    /// `message_size_limit`, bytes of the file.
    pub(crate) size: u64,
}

/// How the input ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// With an end record, and with sender and recipient.
    Complete,
    /// With an end record, but nobody to send from or to.
    Incomplete,
    /// With an end record, but with a sender that the user may not use.
    Refused(Refusal),
    /// Early: the caller has changed its mind.
    Cancelled,
}

/// Why the input is refused.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The caller's mistake; the text follows `fatal: uid=N: `.
    Input(String),
    /// Larger than message_size_limit.
    TooBig,
    /// The file could not be written.
    Write(io::Error),
}

/// How much is collected before a write.
const BLOCK: usize = 64 * 1024;

/// Reads records from `input` to the end record and writes them to `file`.
pub(crate) fn receive(
    input: &mut impl BufRead,
    file: &File,
    uid: u32,
    limits: &Limits,
    policy: Option<&mut Policy>,
) -> Result<Received, Fault> {
    let mut copy = Copy {
        file,
        uid,
        limits,
        policy,
        refusal: None,
        buffer: Vec::with_capacity(BLOCK),
        size: 0,
        from: false,
        rcpt: false,
    };
    let now = Moment::now();
    copy.put(
        RecordType::TIME,
        format!("{} {}", now.seconds, now.microseconds).as_bytes(),
    )?;
    let segments: [(&[u8], RecordType); 3] = [
        (RecordType::POSTDROP_ENVELOPE, RecordType::MESSAGE),
        (RecordType::POSTDROP_CONTENT, RecordType::EXTRACTED),
        (RecordType::POSTDROP_EXTRACTED, RecordType::END),
    ];
    for (allowed, last) in segments {
        if !copy.segment(input, allowed, last)? {
            return Ok(Received::Cancelled);
        }
    }
    copy.flush()?;
    if let Some(refusal) = copy.refusal {
        return Ok(Received::Refused(refusal));
    }
    Ok(if copy.from && copy.rcpt {
        Received::Complete
    } else {
        Received::Incomplete
    })
}

struct Copy<'a> {
    file: &'a File,
    uid: u32,
    limits: &'a Limits,
    policy: Option<&'a mut Policy>,
    /// The rest is read and forgotten: the caller listens only when it has said everything.
    refusal: Option<Refusal>,
    buffer: Vec<u8>,
    size: u64,
    from: bool,
    rcpt: bool,
}

impl Copy<'_> {
    /// One segment up to the record `last`; false when the input ends early.
    fn segment(
        &mut self,
        input: &mut impl BufRead,
        allowed: &[u8],
        last: RecordType,
    ) -> Result<bool, Fault> {
        loop {
            let (kind, data) = match read_record(input) {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(false),
                Err(RecordError::Io(_)) => return Ok(false),
                Err(error) => {
                    log::warn!("stdin: {error}");
                    return Err(Fault::Input("malformed input".to_owned()));
                }
            };
            if data.len() > self.limits.line {
                return Err(Fault::Input("malformed input".to_owned()));
            }
            if !kind.is_in(allowed) {
                return Err(Fault::Input(format!("unexpected record type: {}", kind.0)));
            }
            self.from |= kind == RecordType::FROM;
            self.rcpt |= kind == RecordType::RECIPIENT;
            if kind == RecordType::ATTRIBUTE && !is_welcome(&data) {
                log::warn!("uid={}: ignoring attribute record: {data}", self.uid);
                continue;
            }
            if kind == RecordType::FROM
                && let Some(Err(refusal)) = self
                    .policy
                    .as_mut()
                    .map(|policy| policy.check(data.as_bstr()))
            {
                self.refusal.get_or_insert(refusal);
            }
            self.put(kind, &data)?;
            if kind == last {
                return Ok(true);
            }
        }
    }

    fn put(&mut self, kind: RecordType, data: &[u8]) -> Result<(), Fault> {
        if self.refusal.is_some() {
            return Ok(());
        }
        encode(&mut self.buffer, kind, data);
        if self.buffer.len() >= BLOCK {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.size += self.buffer.len() as u64;
        if self.limits.size > 0 && self.size > self.limits.size {
            return Err(Fault::TooBig);
        }
        let mut file = self.file;
        file.write_all(&self.buffer).map_err(Fault::Write)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Attributes that a user may set: what concerns the user's own message.
fn is_welcome(record: &[u8]) -> bool {
    let Ok(attribute) = Attribute::parse(record) else {
        return false;
    };
    let value: &[u8] = attribute.value;
    match attribute.name.as_bytes() {
        b"encoding" => matches!(value, b"7bit" | b"8bit" | b""),
        b"rewrite_context" => matches!(value, b"local" | b"remote"),
        b"trace_flags" | b"envelope_id" | b"ret_flags" | b"notify_flags" | b"dsn_orig_rcpt"
        | b"create_time" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8], size: u64) -> (Result<Received, Fault>, Vec<u8>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let file = File::create(&path).expect("a file");
        let result = receive(
            &mut &input[..],
            &file,
            1,
            &Limits { line: 2048, size },
            None,
        );
        (result, std::fs::read(&path).expect("readable"))
    }

    #[test]
    fn message_is_copied_with_a_time_of_its_own() {
        let (result, copy) = run(b"S\x05aliceA\x05x=yyyR\x03bobM\x00N\x01xX\x00E\x00", 0);
        assert_eq!(result.ok(), Some(Received::Complete));
        assert_eq!(copy.first(), Some(&b'T'));
        assert!(
            copy.ends_with(b"S\x05aliceR\x03bobM\x00N\x01xX\x00E\x00"),
            "{:?}",
            copy.as_bstr()
        );
    }

    #[test]
    fn input_that_ends_early_is_cancelled_and_nobody_is_incomplete() {
        for (input, want) in [
            (&b""[..], Received::Cancelled),
            (b"S\x05alice", Received::Cancelled),
            (b"S\x01aR\x01bM\x00N\x01xX\x00", Received::Cancelled),
            (b"S\x01aM\x00N\x01xX\x00E\x00", Received::Incomplete),
        ] {
            assert_eq!(run(input, 0).0.ok(), Some(want), "{:?}", input.as_bstr());
        }
    }

    #[test]
    fn bad_input_is_named() {
        for (input, want) in [
            (&b"garbage\n"[..], "malformed input"),
            (b"X\x00E\x00", "unexpected record type: 88"),
            (
                b"T\x01xS\x01aR\x01bM\x00X\x00E\x00",
                "unexpected record type: 84",
            ),
        ] {
            match run(input, 0).0 {
                Err(Fault::Input(text)) => assert_eq!(text, want),
                other => panic!("{input:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn message_above_the_limit_is_refused() {
        let (result, _) = run(b"S\x05aliceR\x03bobM\x00N\x01xX\x00E\x00", 20);
        assert!(matches!(result, Err(Fault::TooBig)));
    }
}
