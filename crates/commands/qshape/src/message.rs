//! What qshape wants to know of one queue file.

use postern_queue_file::{Reader, RecordType, SizeRecord, file};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Sender domain of messages without sender.
const NO_SENDER: &str = "MAILER-DAEMON";

/// A message in the queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Arrival, seconds since 1970.
    pub(crate) arrival: i64,
    /// One domain for each recipient to be delivered, or that of the sender.
    pub(crate) domains: Vec<String>,
}

/// Reads a queue file; `None` for files that are not complete or gone. A damaged file gives what
/// could be read.
pub(crate) fn read(path: &Path, by_sender: bool) -> Option<Message> {
    let file = file::open_for_reading(path).ok()?;
    let mode = file.metadata().ok()?.permissions().mode();
    if mode & 0o100 == 0 {
        return None;
    }
    let mut message = Message::default();
    scan(file, by_sender, &mut message)?;
    Some(message)
}

/// `None` when the arrival time is missing.
fn scan(file: File, by_sender: bool, message: &mut Message) -> Option<()> {
    let mut reader = Reader::new(file);
    let mut size = None;
    let mut arrival = None;
    let mut recipients = 0;
    while let Ok(Some(record)) = reader.next_record() {
        match record.kind {
            RecordType::SIZE => size = SizeRecord::parse(&record.data).ok(),
            RecordType::TIME if arrival.is_none() => arrival = number(&record.data),
            RecordType::FROM if by_sender => {
                message.domains.push(domain(&record.data));
                break;
            }
            RecordType::RECIPIENT | RecordType::DONE if !by_sender => {
                recipients += 1;
                if record.kind == RecordType::RECIPIENT {
                    message.domains.push(domain(&record.data));
                }
            }
            RecordType::MESSAGE => {
                // Recipients may follow the content, which is jumped over.
                let Some(size) = size.filter(|size| recipients < size.recipient_count) else {
                    break;
                };
                let here = i64::try_from(reader.offset()).ok();
                let end = size.data_offset.checked_add(size.data_size);
                let end = end.and_then(|end| u64::try_from(end).ok());
                // A size record that does not fit its file is not believed.
                if let (true, Some(end)) = (here == Some(size.data_offset), end)
                    && reader.seek(end).is_err()
                {
                    break;
                }
            }
            RecordType::END => break,
            _ => {}
        }
    }
    message.arrival = arrival?;
    Some(())
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = text.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The domain in lower case and without final dots; the whole address when it has none.
fn domain(address: &[u8]) -> String {
    if address.is_empty() {
        return NO_SENDER.to_owned();
    }
    let after = address
        .iter()
        .rposition(|byte| *byte == b'@')
        .map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(address.get(after..).unwrap_or_default()).to_lowercase();
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_queue_file::record::encode;
    use std::fs;

    #[test]
    fn domains_are_taken_from_addresses() {
        #[rustfmt::skip]
        let cases: &[(&str, &str)] = &[
            ("u@D.Example",       "d.example"),
            ("a@b@c.example",     "c.example"),
            ("\"a@b\"@q.example", "q.example"),
            ("local",             "local"),
            ("u@upper.example.",  "upper.example"),
            ("",                  "MAILER-DAEMON"),
        ];
        for (address, want) in cases {
            assert_eq!(domain(address.as_bytes()), *want, "{address}");
        }
    }

    fn queue_file(extracted: bool) -> Vec<u8> {
        let recipients = |out: &mut Vec<u8>| {
            encode(out, RecordType::RECIPIENT, b"u@one.example");
            encode(out, RecordType::DONE, b"u@two.example");
            encode(out, RecordType::RECIPIENT, b"u@three.example");
        };
        let build = |offset: usize| {
            let size = format!("{:15} {offset:15} {:15} {:15} {:15}", 6, 3, 0, 4);
            let mut out = Vec::new();
            encode(&mut out, RecordType::SIZE, size.as_bytes());
            encode(&mut out, RecordType::TIME, b"1000 5");
            encode(&mut out, RecordType::FROM, b"a@s.example");
            if !extracted {
                recipients(&mut out);
            }
            encode(&mut out, RecordType::MESSAGE, b"");
            let offset = out.len();
            encode(&mut out, RecordType::TEXT, b"text");
            encode(&mut out, RecordType::EXTRACTED, b"");
            if extracted {
                recipients(&mut out);
            }
            encode(&mut out, RecordType::END, b"");
            (out, offset)
        };
        build(build(0).1).0
    }

    #[test]
    fn recipients_count_on_either_side_of_the_content_until_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ABCDEF");
        for extracted in [false, true] {
            fs::write(&path, queue_file(extracted)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(&path, false), None, "incomplete");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            let message = read(&path, false).unwrap();
            assert_eq!(message.arrival, 1000);
            assert_eq!(
                message.domains,
                ["one.example", "three.example"],
                "{extracted}"
            );
            assert_eq!(read(&path, true).unwrap().domains, ["s.example"]);
        }
    }
}
