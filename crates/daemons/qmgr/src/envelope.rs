//! Reads a queue file: once for everything but the recipients, and batch by batch for those.
//!
//! Works on any [`Read`] + [`Seek`]; knows neither queue directories nor the scheduler. A file
//! that breaks the format is [`ReadError::Corrupt`]; trouble with the system is not the file's
//! fault. Source: queue.md §3–5 and §11, delivery.md §1.3 and §1.14.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::{Moment, Recipient, flag};
use postern_queue_file::attribute::Attribute;
use postern_queue_file::reader::{ReadOptions, Reader};
use postern_queue_file::record::{Record, RecordError, RecordType};
use postern_queue_file::size::SizeRecord;
use std::io::{Read, Seek};

/// Recipients that one read may bring at most.
const READ_LIMIT: usize = 5000;
/// Bits that a `trace_flags` attribute may carry.
const TRACE_FLAGS: i32 = flag::TRACE_ONLY | flag::RECORD | flag::REPORT_CLEARED;
/// DSN NOTIFY bits: never, success, failure, delay.
const NOTIFY_BITS: i32 = 15;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file is damaged; the text was logged already or says what is missing.
    #[error("{0}")]
    Corrupt(String),
    /// The system is at fault: try again later.
    #[error(transparent)]
    System(std::io::Error),
}

/// Everything of a message but its recipients.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) size: SizeRecord,
    pub(crate) arrival: Moment,
    /// Seconds since the epoch: the base of expiry and back-off.
    pub(crate) created: i64,
    pub(crate) sender: BString,
    pub(crate) encoding: BString,
    pub(crate) envelope_id: BString,
    pub(crate) ret_flags: i32,
    /// `transport:nexthop` of content_filter or FILTER.
    pub(crate) filter: Option<BString>,
    /// The obsolete content inspector.
    pub(crate) inspector: Option<BString>,
    pub(crate) redirect: Option<BString>,
    /// Two characters.
    pub(crate) verp_delimiters: Option<BString>,
    /// Where the time of the delay warning stands, and that time; 0 is no warning.
    pub(crate) warn_offset: u64,
    pub(crate) warn_time: i64,
    pub(crate) trace_flags: i32,
    /// Where the trace_flags attribute stands; 0 is nowhere.
    pub(crate) trace_offset: u64,
    pub(crate) log_client_name: BString,
    pub(crate) log_client_address: BString,
    pub(crate) log_client_port: BString,
    pub(crate) log_protocol_name: BString,
    pub(crate) log_helo_name: BString,
    pub(crate) sasl_method: BString,
    pub(crate) sasl_username: BString,
    pub(crate) sasl_sender: BString,
    pub(crate) log_ident: BString,
    pub(crate) rewrite_context: BString,
    /// Real client attributes, for files without `log_…`.
    pub(crate) client: ClientFallback,
}

/// The client as it is, as opposed to what the log calls it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ClientFallback {
    name: BString,
    address: BString,
    port: BString,
    protocol: BString,
    helo: BString,
}

/// How far the recipients of a file have been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where to go on; 0 is the end.
    pub(crate) offset: u64,
    /// Recipient records that were not seen yet, by the size record.
    pub(crate) unread: i64,
    /// Which segment goes on there. Records that a milter added stand behind the end of the file
    /// proper, so the offset does not tell.
    in_envelope: bool,
}

impl Progress {
    /// For the scheduler: 0 only when all is read.
    pub(crate) fn unread_count(self) -> usize {
        match self.offset {
            0 => 0,
            _ => usize::try_from(self.unread.max(1)).unwrap_or(usize::MAX),
        }
    }
}

/// What one read of the recipients brought.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) progress: Progress,
}

/// Reads a message from the start: the envelope, and at most `limit` recipients. `id` is for
/// warnings; `started` is called when the sender is known, to log that the message is active.
///
/// # Errors
///
/// See [`ReadError`].
pub(crate) fn read_message<R: Read + Seek>(
    source: R,
    id: &str,
    limit: usize,
    started: impl FnOnce(&Envelope),
) -> Result<(Envelope, Batch), ReadError> {
    let mut scan = Scan::new(source, id, limit);
    let mut started = Some(started);
    let mut record = Record::default();
    while scan.next(&mut record)? {
        if scan.take(&record)? {
            return scan.finish();
        }
        if record.kind == RecordType::FROM
            && scan.has_size
            && let Some(started) = started.take()
        {
            started(&scan.envelope);
        }
    }
    log::warn!("{id}: message rejected: missing end record");
    Err(ReadError::Corrupt("missing end record".to_owned()))
}

/// Reads more recipients of a message, at most `limit`.
///
/// # Errors
///
/// See [`ReadError`].
pub(crate) fn read_more<R: Read + Seek>(
    source: R,
    id: &str,
    envelope: &Envelope,
    progress: Progress,
    limit: usize,
) -> Result<Batch, ReadError> {
    let mut scan = Scan::new(source, id, limit);
    scan.envelope = envelope.clone();
    scan.again = true;
    scan.progress.unread = progress.unread;
    scan.reader
        .seek(progress.offset)
        .map_err(ReadError::System)?;
    scan.in_envelope = progress.in_envelope;
    let mut record = Record::default();
    while scan.next(&mut record)? {
        if scan.take(&record)? {
            return Ok(scan.batch());
        }
        if scan.is_full() {
            scan.stop_here();
            return Ok(scan.batch());
        }
    }
    log::warn!("{id}: message rejected: missing end record");
    Err(ReadError::Corrupt("missing end record".to_owned()))
}

/// Where the content ends and the `X` record stands.
fn data_end(size: &SizeRecord) -> i64 {
    size.data_offset.saturating_add(size.data_size)
}

struct Scan<'a, R: Read + Seek> {
    reader: Reader<R>,
    id: &'a str,
    limit: usize,
    envelope: Envelope,
    recipients: Vec<Recipient>,
    progress: Progress,
    /// A later read: only recipients matter.
    again: bool,
    in_envelope: bool,
    has_size: bool,
    has_sender: bool,
    has_arrival: bool,
    /// What belongs to the next recipient.
    original: Option<BString>,
    dsn_original: Option<BString>,
    notify: Option<i32>,
}

impl<'a, R: Read + Seek> Scan<'a, R> {
    fn new(source: R, id: &'a str, limit: usize) -> Self {
        Self {
            reader: Reader::with_options(source, ReadOptions::default()),
            id,
            limit: limit.clamp(1, READ_LIMIT),
            envelope: Envelope::default(),
            recipients: Vec::new(),
            progress: Progress::default(),
            again: false,
            in_envelope: true,
            has_size: false,
            has_sender: false,
            has_arrival: false,
            original: None,
            dsn_original: None,
            notify: None,
        }
    }

    /// Reads the next record into `record`; `false` at the end of the file.
    fn next(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        match self.reader.next_record_into(record) {
            Ok(found) => Ok(found),
            Err(RecordError::Io(error)) => Err(ReadError::System(error)),
            Err(error) => {
                log::warn!("active/{}: {error}", self.id);
                Err(ReadError::Corrupt(error.to_string()))
            }
        }
    }

    fn corrupt<T>(&self, text: String) -> Result<T, ReadError> {
        log::warn!("{}: {text}", self.id);
        Err(ReadError::Corrupt(text))
    }

    fn is_full(&self) -> bool {
        self.recipients.len() >= self.limit
    }

    /// Handles one record; true at the end of the file.
    fn take(&mut self, record: &Record) -> Result<bool, ReadError> {
        let allowed = match self.in_envelope {
            true => RecordType::ENVELOPE,
            false => RecordType::EXTRACTED_SEGMENT,
        };
        if !record.kind.is_in(allowed) {
            return unexpected(record);
        }
        let attribute = match record.kind {
            RecordType::ATTRIBUTE => match Attribute::parse(&record.data) {
                Ok(attribute) => Some(attribute),
                Err(why) => {
                    return self.corrupt(format!("bad attribute record: {why}: {}", record.data));
                }
            },
            _ => None,
        };
        let kind = attribute.and_then(|attribute| attribute.pseudo_type());
        let value = attribute.map_or(record.data.as_bstr(), |attribute| attribute.value);
        match kind.unwrap_or(record.kind) {
            RecordType::END => {
                self.warn_pending();
                return Ok(true);
            }
            RecordType::MESSAGE => self.skip_content()?,
            RecordType::RECIPIENT => self.recipient(record, true),
            RecordType::DONE | RecordType::CANCELED => self.recipient(record, false),
            RecordType::ORIGINAL_RECIPIENT => {
                if let Some(old) = self.original.replace(value.to_owned()) {
                    let id = self.id;
                    log::warn!("{id}: ignoring out-of-order original recipient <{old}>");
                }
            }
            RecordType::DSN_ORIGINAL_RECIPIENT => {
                if let Some(old) = self.dsn_original.replace(value.to_owned()) {
                    let id = self.id;
                    log::warn!(
                        "{id}: ignoring out-of-order DSN original recipient address <{old}>"
                    );
                }
            }
            RecordType::DSN_NOTIFY => self.notify(value),
            _ if self.again => {}
            RecordType::ATTRIBUTE => {
                if let Some(attribute) = attribute {
                    self.attribute(attribute, record.offset);
                }
            }
            kind => self.header(kind, value, record.offset)?,
        }
        Ok(false)
    }

    /// Jumps over the message text; the record after it must end it.
    fn skip_content(&mut self) -> Result<(), ReadError> {
        self.warn_pending();
        self.in_envelope = false;
        let Ok(end) = u64::try_from(data_end(&self.envelope.size)) else {
            return self.corrupt("invalid size record".to_owned());
        };
        if self.envelope.size.data_offset <= 0 {
            return self.corrupt("missing size record".to_owned());
        }
        self.reader.seek(end).map_err(ReadError::System)?;
        let mut record = Record::default();
        if !self.next(&mut record)? {
            return self.corrupt("message rejected: missing end record".to_owned());
        }
        match record.kind {
            RecordType::EXTRACTED => Ok(()),
            _ => unexpected(&record),
        }
    }

    fn recipient(&mut self, record: &Record, todo: bool) {
        let mut recipient = Recipient {
            original_recipient: self.original.take().unwrap_or_default(),
            recipient: record.data.clone(),
            offset: i64::try_from(record.offset).unwrap_or(0),
            dsn_orig_rcpt: self.dsn_original.take().unwrap_or_default(),
            notify_flags: self.notify.take().unwrap_or(0),
        };
        if self.is_full() {
            return;
        }
        self.progress.unread -= 1;
        if !todo {
            return;
        }
        if recipient.original_recipient.is_empty() {
            recipient.original_recipient = recipient.recipient.clone();
        }
        self.recipients.push(recipient);
        if self.is_full() && !self.again {
            self.batch_is_full();
        }
    }

    /// The next read goes on at this place.
    fn stop_here(&mut self) {
        self.progress.offset = self.reader.offset();
        self.progress.in_envelope = self.in_envelope;
    }

    /// The first read goes on for the records that are not recipients. When recipients stand
    /// together, they are all behind the others of their segment.
    fn batch_is_full(&mut self) {
        self.stop_here();
        let pure = self.envelope.size.flags & SizeRecord::MIXED == 0;
        if pure && self.in_envelope && self.envelope.size.data_offset > 0 {
            let end = u64::try_from(data_end(&self.envelope.size)).unwrap_or(0);
            // A failed jump only makes the scan longer; the `X` record is checked as always.
            if self.reader.seek(end).is_ok() {
                match self.reader.next_record() {
                    Ok(Some(record)) if record.kind == RecordType::EXTRACTED => {
                        self.in_envelope = false;
                    }
                    _ => drop(self.reader.seek(self.progress.offset)),
                }
            }
        }
    }

    fn notify(&mut self, text: &BStr) {
        let id = self.id;
        let flags = number(text).and_then(|n| i32::try_from(n).ok());
        let Some(flags) = flags.filter(|flags| flags & !NOTIFY_BITS == 0) else {
            log::warn!("{id}: ignoring malformed DSN notify flags <{text}>");
            return;
        };
        if let Some(old) = self.notify.replace(flags) {
            log::warn!("{id}: ignoring out-of-order DSN notify flags <{old}>");
        }
    }

    /// Recipient attributes without a recipient behind them.
    fn warn_pending(&mut self) {
        let id = self.id;
        if let Some(old) = self.dsn_original.take() {
            log::warn!("{id}: ignoring out-of-order DSN original recipient address <{old}>");
        }
        if let Some(old) = self.notify.take() {
            log::warn!("{id}: ignoring out-of-order DSN notify flags <{old}>");
        }
        if let Some(old) = self.original.take() {
            log::warn!("{id}: ignoring out-of-order original recipient <{old}>");
        }
    }

    /// A record that belongs to the whole message.
    fn header(&mut self, kind: RecordType, data: &BStr, offset: u64) -> Result<(), ReadError> {
        let envelope = &mut self.envelope;
        match kind {
            RecordType::SIZE if !self.has_size => match SizeRecord::parse(data) {
                Ok(size) => {
                    self.progress.unread = size.recipient_count;
                    envelope.size = size;
                    self.has_size = true;
                }
                Err(error) => return self.corrupt(error.to_string()),
            },
            RecordType::TIME if !self.has_arrival => match parse_time(data) {
                Some(arrival) => {
                    envelope.arrival = arrival;
                    self.has_arrival = true;
                }
                None => return self.corrupt(format!("malformed arrival time: {data}")),
            },
            RecordType::CTIME => {
                if let Some(created) = number(data).filter(|_| envelope.created == 0) {
                    envelope.created = created;
                }
            }
            RecordType::FROM if !self.has_sender => {
                envelope.sender = data.to_owned();
                self.has_sender = true;
            }
            RecordType::FILTER => envelope.filter = non_empty(data),
            RecordType::INSPECTOR => envelope.inspector = non_empty(data),
            RecordType::REDIRECT => envelope.redirect = non_empty(data),
            RecordType::DSN_ENVELOPE_ID => envelope.envelope_id = data.to_owned(),
            RecordType::DSN_RET => {
                let flags = number(data).and_then(|n| i32::try_from(n).ok());
                envelope.ret_flags = flags.unwrap_or(0);
            }
            RecordType::WARN if envelope.warn_offset == 0 => {
                envelope.warn_offset = offset;
                envelope.warn_time = number(data).unwrap_or(0);
            }
            RecordType::VERP => self.verp(data),
            _ => {}
        }
        Ok(())
    }

    fn verp(&mut self, data: &BStr) {
        let id = self.id;
        if self.envelope.verp_delimiters.is_some() {
            return;
        }
        if self.has_sender && self.envelope.sender.is_empty() {
            log::warn!("{id}: ignoring VERP request for null sender");
        } else if data.len() != 2 {
            log::warn!("{id}: ignoring bad VERP request: \"{data}\"");
        } else {
            self.envelope.verp_delimiters = Some(data.to_owned());
        }
    }

    fn attribute(&mut self, attribute: Attribute<'_>, offset: u64) {
        let (name, value) = (attribute.name, attribute.value);
        let envelope = &mut self.envelope;
        let client = &mut envelope.client;
        let once = match name.as_bytes() {
            b"encoding" => {
                envelope.encoding = value.to_owned();
                return;
            }
            b"trace_flags" => {
                let flags = number(value).and_then(|n| i32::try_from(n).ok());
                envelope.trace_flags = flags.unwrap_or(0) & TRACE_FLAGS;
                envelope.trace_offset = if envelope.trace_flags == 0 { 0 } else { offset };
                return;
            }
            b"log_client_name" => return set(&mut envelope.log_client_name, value),
            b"log_client_address" => return set(&mut envelope.log_client_address, value),
            b"log_client_port" => return set(&mut envelope.log_client_port, value),
            b"log_protocol_name" => return set(&mut envelope.log_protocol_name, value),
            b"log_helo_name" => return set(&mut envelope.log_helo_name, value),
            b"client_name" => return set(&mut client.name, value),
            b"client_address" => return set(&mut client.address, value),
            b"client_port" => return set(&mut client.port, value),
            b"protocol_name" => return set(&mut client.protocol, value),
            b"helo_name" => return set(&mut client.helo, value),
            b"sasl_method" => &mut envelope.sasl_method,
            b"sasl_username" => &mut envelope.sasl_username,
            b"sasl_sender" => &mut envelope.sasl_sender,
            b"log_ident" => &mut envelope.log_ident,
            b"rewrite_context" => &mut envelope.rewrite_context,
            _ => return,
        };
        if once.is_empty() {
            *once = value.to_owned();
        } else {
            let id = self.id;
            log::warn!("{id}: ignoring multiple {name} attribute: {value}");
        }
    }

    fn batch(self) -> Batch {
        let (id, mut progress) = (self.id, self.progress);
        if progress.offset == 0 && progress.unread != 0 {
            log::warn!("{id}: rcpt count mismatch ({})", progress.unread);
            progress.unread = 0;
        }
        Batch {
            recipients: self.recipients,
            progress,
        }
    }

    fn finish(mut self) -> Result<(Envelope, Batch), ReadError> {
        let missing = match () {
            () if !self.has_size => Some("missing size record"),
            () if !self.has_arrival => Some("missing arrival time record"),
            () if !self.has_sender => Some("missing sender record"),
            () if self.in_envelope => Some("missing message content"),
            () => None,
        };
        if let Some(missing) = missing {
            return self.corrupt(missing.to_owned());
        }
        let mut envelope = std::mem::take(&mut self.envelope);
        if envelope.created == 0 {
            envelope.created = envelope.arrival.seconds;
        }
        if envelope.sender.is_empty() && envelope.verp_delimiters.take().is_some() {
            log::warn!("{}: ignoring VERP request for null sender", self.id);
        }
        envelope.use_client_fallback();
        if envelope.rewrite_context.is_empty() {
            envelope.rewrite_context = "local".into();
        }
        Ok((envelope, self.batch()))
    }
}

impl Envelope {
    /// Files from before the `log_…` attributes name the client only once.
    fn use_client_fallback(&mut self) {
        if !self.log_client_name.is_empty() {
            return;
        }
        let client = std::mem::take(&mut self.client);
        self.log_client_name = client.name;
        for (field, value) in [
            (&mut self.log_client_address, client.address),
            (&mut self.log_client_port, client.port),
            (&mut self.log_protocol_name, client.protocol),
            (&mut self.log_helo_name, client.helo),
        ] {
            if field.is_empty() {
                *field = value;
            }
        }
    }

    /// Whether nothing is to be delivered, only reported.
    pub(crate) fn is_probe(&self) -> bool {
        self.trace_flags & flag::TRACE_ONLY != 0
    }
}

/// The first value counts.
fn set(field: &mut BString, value: &BStr) {
    if field.is_empty() {
        *field = value.to_owned();
    }
}

fn non_empty(data: &BStr) -> Option<BString> {
    (!data.is_empty()).then(|| data.to_owned())
}

fn number(text: &[u8]) -> Option<i64> {
    text.to_str().ok()?.trim().parse().ok()
}

fn parse_time(data: &[u8]) -> Option<Moment> {
    let mut words = data.to_str().ok()?.split_ascii_whitespace();
    let seconds: i64 = words.next()?.parse().ok().filter(|seconds| *seconds > 0)?;
    let microseconds = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Some(Moment {
        seconds,
        microseconds,
    })
}

/// A record letter that may not stand where it does. Postfix logs this without the queue ID; the
/// warning that names the file follows.
fn unexpected<T>(record: &Record) -> Result<T, ReadError> {
    let (letter, offset) = (char::from(record.kind.0), record.offset);
    let text = format!("Unexpected record type '{letter}' at offset {offset}");
    log::warn!("{text}");
    Err(ReadError::Corrupt(text))
}

#[cfg(test)]
mod tests;
