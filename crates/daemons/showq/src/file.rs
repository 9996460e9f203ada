//! One queue file as the listing shows it.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use bstr::{BString, ByteSlice};
use postern_attr::{AttrError, Encoding};
use postern_ipc::showq::{Message, Recipient};
use postern_mail::address;
use postern_mail::printable::{Charset, mask};
use postern_queue::{Entry, FileInfo, Queues};
use postern_queue_file::file::open_for_reading;
use postern_queue_file::{Reader, RecordType, SizeRecord};
use postern_wire::Channel;

/// Longest line of a defer log that is looked at.
const LINE_LIMIT: u64 = 64 * 1024;

/// Settings of the listing.
#[derive(Debug)]
pub(crate) struct Lister {
    /// What stands for the null sender.
    pub(crate) null_sender: String,
    /// Directory of the defer logs.
    pub(crate) defer_log: String,
    /// Recipients that are remembered, so that none is shown twice.
    pub(crate) filter_limit: usize,
}

/// A message with its recipients.
#[derive(Debug)]
pub(crate) struct Listed {
    message: Message,
    recipients: Vec<Recipient>,
}

impl Listed {
    /// Writes the message's list.
    pub(crate) fn write(&self, channel: &mut Channel) -> Result<(), AttrError> {
        postern_attr::write_open(channel, Encoding::Null, &self.message)?;
        for recipient in &self.recipients {
            postern_attr::write_open(channel, Encoding::Null, recipient)?;
        }
        channel.write_all(&[0])?;
        Ok(())
    }
}

impl Lister {
    /// Reads one file. `None` when it is gone or damaged, which the log then says.
    pub(crate) fn read(
        &self,
        queues: &Queues,
        queue: &str,
        entry: &Entry,
        info: &FileInfo,
    ) -> Option<Listed> {
        let file = match open_for_reading(&entry.path) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    log::warn!(
                        "open {}: {}",
                        entry.path.display(),
                        postern_sys::error_text(&error)
                    );
                }
                return None;
            }
        };
        let mut envelope = Envelope::new(info);
        let mut reader = Reader::new(file);
        loop {
            let record = match reader.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("{}: {error}", entry.path.display());
                    break;
                }
            };
            let is_end = record.kind == RecordType::END;
            if record.kind == RecordType::MESSAGE {
                skip_content(&mut reader, &envelope);
                continue;
            }
            envelope.accept(record.kind, record.data);
            if is_end {
                break;
            }
        }
        let sender = envelope.sender.take()?;
        let mut seen = HashSet::new();
        let log = queues.path(&self.defer_log, &entry.id);
        let mut recipients = self.deferred(&log, &mut seen);
        for recipient in envelope.recipients {
            let shown = external(&recipient);
            if !seen.contains(&shown) {
                recipients.push(Recipient {
                    recipient: shown.clone(),
                    reason: BString::default(),
                });
                if seen.len() < self.filter_limit {
                    seen.insert(shown);
                }
            }
        }
        let sender = if sender.is_empty() {
            BString::from(self.null_sender.as_str())
        } else {
            external(&sender)
        };
        let message = Message {
            queue_name: queue.to_owned(),
            queue_id: entry.id.to_string(),
            time: envelope.time,
            size: envelope.size,
            forced_expire: i32::from(queue != "maildrop" && info.force_expire()),
            sender,
        };
        Some(Listed {
            message,
            recipients,
        })
    }

    /// Recipients of the defer log, with reasons.
    fn deferred(&self, log: &Path, seen: &mut HashSet<BString>) -> Vec<Recipient> {
        let Ok(file) = std::fs::File::open(log) else {
            return Vec::new();
        };
        let mut input = BufReader::new(file);
        let mut recipients = Vec::new();
        let (mut recipient, mut reason): (Option<BString>, BString) = (None, BString::default());
        loop {
            let mut line = Vec::new();
            let size = match input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
                Ok(size) => size,
                Err(error) => {
                    log::warn!(
                        "read {}: {}",
                        log.display(),
                        postern_sys::error_text(&error)
                    );
                    return recipients;
                }
            };
            let text = line.trim_end_with(|c| c == '\n');
            if text.is_empty() {
                if let Some(recipient) = recipient.take() {
                    let fresh = !seen.contains(&recipient);
                    if fresh {
                        recipients.push(Recipient {
                            recipient: mask(&recipient, Charset::Utf8, b'?'),
                            reason: std::mem::take(&mut reason),
                        });
                        if seen.len() < self.filter_limit {
                            seen.insert(recipient);
                        }
                    }
                }
                reason.clear();
                if size == 0 {
                    return recipients;
                }
            } else if let Some(value) = text.strip_prefix(b"recipient=") {
                recipient = Some(if value == b"<>" {
                    BString::default()
                } else {
                    BString::from(value)
                });
            } else if let Some(value) = text.strip_prefix(b"reason=") {
                reason = mask(value, Charset::Utf8, b'?');
            }
        }
    }
}

/// Jumps over the content where the file tells its size (not in maildrop); the recipients behind it are
/// those of `sendmail -t` and automatic copies.
fn skip_content(reader: &mut Reader<std::fs::File>, envelope: &Envelope) {
    if let Some(offset) = envelope.extracted
        && offset >= reader.offset()
        && let Err(error) = reader.seek(offset)
    {
        log::warn!("seek: {}", postern_sys::error_text(&error));
    }
}

/// What the envelope tells.
#[derive(Debug)]
struct Envelope {
    time: i64,
    time_seen: bool,
    size: i64,
    sender: Option<BString>,
    recipients: Vec<BString>,
    /// Where the content ends.
    extracted: Option<u64>,
}

impl Envelope {
    fn new(info: &FileInfo) -> Self {
        let time = info
            .modified
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
        Self {
            time,
            time_seen: false,
            size: i64::try_from(info.size).unwrap_or(i64::MAX),
            sender: None,
            recipients: Vec::new(),
            extracted: None,
        }
    }

    fn accept(&mut self, kind: RecordType, data: BString) {
        match kind {
            RecordType::SIZE => {
                if let Ok(size) = SizeRecord::parse(&data)
                    && size.data_offset > 0
                    && size.data_size > 0
                {
                    self.size = size.data_size;
                    self.extracted = size
                        .data_offset
                        .checked_add(size.data_size)
                        .and_then(|end| u64::try_from(end).ok());
                }
            }
            RecordType::TIME if !self.time_seen => {
                let seconds = data
                    .split_str(" ")
                    .next()
                    .and_then(|text| text.to_str().ok()?.parse().ok());
                if let Some(seconds) = seconds {
                    self.time = seconds;
                    self.time_seen = true;
                }
            }
            RecordType::FROM if self.sender.is_none() => self.sender = Some(data),
            RecordType::RECIPIENT => self.recipients.push(data),
            _ => {}
        }
    }
}

/// Printable external form.
fn external(address: &BString) -> BString {
    mask(&address::quote(address.as_bstr()), Charset::Utf8, b'?')
}
