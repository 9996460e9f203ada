//! From the queue file to the wire: dots, line lengths, and where needed headers and MIME
//! (smtp-client.md §6.1).

use std::fs::File;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::Recipient;
use postern_mail::address;
use postern_mail::mime::{self, LineEnd, MimeState};
use postern_queue_file::{Reader, RecordType};
use std::io::Write;

use crate::failure::Failure;
use crate::filter::Filter;
use crate::job::Job;
use crate::session::Session;
use crate::settings::{Settings, Tables};
use crate::trouble::Trouble;

/// Output is sent in pieces of about this size.
const CHUNK: usize = 32 * 1024;

/// The message in its queue file.
pub struct Source<'a> {
    /// The file; its position is not kept.
    pub file: &'a File,
    /// Offset of the first content record.
    pub offset: u64,
    /// Path, for warnings.
    pub path: String,
}

/// What goes before the message, and what filters must know.
pub struct Options {
    /// `flags=D`: Delivered-To.
    pub delivered_to: bool,
    /// `flags=O`: X-Original-To.
    pub original_to: bool,
    /// `flags=R`: Return-Path.
    pub return_path: bool,
    /// `flags=X`: this is final delivery.
    pub is_final: bool,
    /// `mime_nesting_limit`, `mime_boundary_length_limit`, `header_size_limit`.
    pub limits: (usize, usize, usize),
    /// `body_checks_size_limit`.
    pub body_checks_limit: u64,
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum ContentError {
    /// The connection.
    Peer(Trouble),
    /// The message or this system.
    Local(Failure),
}

impl From<Trouble> for ContentError {
    fn from(trouble: Trouble) -> Self {
        Self::Peer(trouble)
    }
}

/// Turns pieces of lines into what goes over the wire.
pub struct TextOut<'a> {
    session: &'a mut Session,
    buffer: Vec<u8>,
    /// Longest line, without its end; 0 is no limit.
    limit: usize,
    /// Bytes on the current line.
    column: usize,
    queue_id: &'a str,
    warned: bool,
    failure: Option<Trouble>,
}

impl<'a> TextOut<'a> {
    /// Writes to `session`.
    pub fn new(session: &'a mut Session, limit: usize, queue_id: &'a str) -> Self {
        Self {
            session,
            buffer: Vec::with_capacity(CHUNK + 4096),
            limit,
            column: 0,
            queue_id,
            warned: false,
            failure: None,
        }
    }

    /// Adds a piece of a line.
    pub fn put(&mut self, text: &[u8], end: LineEnd) {
        let mut rest = text;
        while self.limit > 0 && self.column + rest.len() > self.limit {
            let (line, more) =
                rest.split_at(self.limit.saturating_sub(self.column).min(rest.len()));
            self.emit(line);
            self.buffer.extend_from_slice(b"\r\n ");
            self.column = 1;
            rest = more;
            if !self.warned {
                self.warned = true;
                log::info!(
                    "{}: breaking line > {} bytes with <CR><LF>SPACE",
                    self.queue_id,
                    self.limit
                );
            }
        }
        self.emit(rest);
        if end == LineEnd::End {
            self.buffer.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        if self.buffer.len() >= CHUNK {
            self.flush();
        }
    }

    fn emit(&mut self, text: &[u8]) {
        if self.column == 0 && text.first() == Some(&b'.') {
            self.buffer.push(b'.');
        }
        self.buffer.extend_from_slice(text);
        self.column += text.len();
    }

    fn flush(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.session.channel.write_all(&self.buffer)
        {
            self.failure = Some(Trouble::from_io(&error));
        }
        self.buffer.clear();
    }

    /// The message is complete: supplies a missing line end. What is left goes out with the dot.
    pub fn finish(mut self) -> Result<(), Trouble> {
        if self.column > 0 {
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.flush();
        self.failure.map_or(Ok(()), Err)
    }
}

/// Sends the message, but for the final dot.
pub fn send(
    session: &mut Session,
    job: &Job<'_>,
    settings: &Settings,
    tables: &mut Tables,
    source: &Source<'_>,
    options: &Options,
    downgrade: bool,
) -> Result<(), ContentError> {
    let queue_id = job.request.queue_id.as_str();
    let delay_dot = session.delay_dot;
    let peer = session.short.clone();
    let mut out = TextOut::new(session, settings.line_limit, queue_id);
    let mut filter = Filter {
        out: &mut out,
        tables,
        settings,
        options,
        queue_id,
        error: None,
    };
    prepend(&mut filter, job, options)?;
    let plain = !downgrade && filter.is_idle();
    let result = if plain {
        each_record(source, queue_id, &mut |text, end| {
            filter.out.put(text, end);
            filter.out.failure.is_none()
        })
    } else {
        let (nesting_limit, boundary_length_limit, header_size_limit) = options.limits;
        let mut state = MimeState::new(mime::Options {
            downgrade,
            report_nesting: true,
            nesting_limit,
            boundary_length_limit,
            header_size_limit,
            ..mime::Options::default()
        });
        let result = each_record(source, queue_id, &mut |text, end| {
            state.line(text, end, &mut filter);
            filter.error.is_none() && filter.out.failure.is_none()
        });
        if result.is_ok() {
            state.finish(&mut filter);
        }
        result
    };
    let error = filter.error.take();
    let sent = out.finish();
    result?;
    sent?;
    match error {
        Some(crate::filter::FilterError::Lookup) => {
            let reason = format!("local data error while talking to {peer}");
            return Err(ContentError::Local(Failure::local("4.3.0", reason)));
        }
        Some(crate::filter::FilterError::Mime(text)) => {
            return Err(ContentError::Local(Failure::local(
                mime::MimeError::DSN,
                text,
            )));
        }
        None => {}
    }
    if delay_dot {
        session
            .channel
            .flush()
            .map_err(|error| Trouble::from_io(&error))?;
        std::thread::sleep(settings.pix_delay);
    }
    Ok(())
}

/// The headers that `flags=` asks for. D and O come with single recipients only.
fn prepend(
    filter: &mut Filter<'_, '_>,
    job: &Job<'_>,
    options: &Options,
) -> Result<(), ContentError> {
    let recipient: Recipient = job
        .recipients
        .first()
        .map(|entry| entry.recipient.clone())
        .unwrap_or_default();
    let mut lines: Vec<(&str, BString)> = Vec::new();
    if options.return_path {
        let sender = external(filter, &job.request.sender)?;
        lines.push(("Return-Path", format!("<{sender}>").into()));
    }
    if options.original_to && !recipient.original_recipient.is_empty() {
        lines.push((
            "X-Original-To",
            external(filter, &recipient.original_recipient)?,
        ));
    }
    if options.delivered_to {
        lines.push(("Delivered-To", external(filter, &recipient.recipient)?));
    }
    for (name, value) in lines {
        let line = format!("{name}: {value}").replace(['\r', '\n'], "?");
        filter.out.put(line.as_bytes(), LineEnd::End);
    }
    Ok(())
}

fn external(filter: &mut Filter<'_, '_>, internal: &BString) -> Result<BString, ContentError> {
    let mapped = filter.tables.generic.map_or_same(internal.as_bstr())?;
    Ok(address::quote(mapped.as_bstr()))
}

/// Calls `each` with every piece of the content until it returns `false`.
fn each_record(
    source: &Source<'_>,
    queue_id: &str,
    each: &mut dyn FnMut(&BStr, LineEnd) -> bool,
) -> Result<(), ContentError> {
    use std::io::Seek;
    let unreadable = || ContentError::Local(Failure::local("4.3.0", "queue file read error"));
    let mut file = source.file;
    file.rewind().map_err(|_| unreadable())?;
    let mut reader = Reader::new(file);
    reader.seek(source.offset).map_err(|_| unreadable())?;
    loop {
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => return Err(corrupt(source, queue_id, "unexpected end of file")),
            Err(error) if error.is_malformed() => {
                return Err(corrupt(source, queue_id, &error.to_string()));
            }
            Err(error) => {
                log::warn!("{}: {error}", source.path);
                return Err(unreadable());
            }
        };
        let end = match record.kind {
            RecordType::TEXT => LineEnd::End,
            RecordType::TEXT_PART => LineEnd::More,
            RecordType::EXTRACTED => return Ok(()),
            other => {
                let text = format!("bad record type: {other} in message content");
                return Err(corrupt(source, queue_id, &text));
            }
        };
        if !each(record.data.as_bstr(), end) {
            return Ok(());
        }
    }
}

/// The file is damaged: it is put aside, and the sender is told.
fn corrupt(source: &Source<'_>, queue_id: &str, text: &str) -> ContentError {
    log::warn!("{queue_id}: {text}");
    if let Err(error) = postern_queue_file::file::mark_corrupt(source.file) {
        log::warn!("{}: mark as corrupt: {error}", source.path);
    }
    ContentError::Local(Failure::local("5.3.0", "unreadable mail queue entry"))
}

/// Whether the message's header has `Delivered-To:` with this address: it was here before. A file
/// that cannot be read says nothing; sending it will tell.
pub fn has_delivered_to(source: &Source<'_>, recipient: &BStr) -> bool {
    let mut found = false;
    let mut starts_line = true;
    // Trouble with the file shows when the message is sent.
    let _ = each_record(source, "", &mut |text, end| {
        if starts_line && text.is_empty() {
            return false;
        }
        if starts_line
            && let Some((name, _)) = postern_mail::header::name(text)
            && name.eq_ignore_ascii_case(b"Delivered-To")
            && let Some((_, value)) = postern_mail::header::split(text)
        {
            found |= address::unquote(value).eq_ignore_ascii_case(recipient);
        }
        starts_line = end == LineEnd::End;
        !found
    });
    found
}
