//! Copies one maildrop file to cleanup(8), record by record.

use std::io;
use std::path::Path;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use postern_ipc::cleanup::Submission;
use postern_ipc::client::{ClientError, Endpoint};
use postern_mail::address;
use postern_queue_file::file::open_for_reading;
use postern_queue_file::record::write_record;
use postern_queue_file::{
    Attribute, QueueId, ReadOptions, Reader, Record, RecordError, RecordType,
};
use postern_sys::clock::local_now;

/// Parameters of every copy.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) content_filter: String,
    pub(crate) host: String,
    pub(crate) mail_name: String,
    pub(crate) line_limit: usize,
    pub(crate) log_internal: bool,
    /// User ID of `mail_owner`.
    pub(crate) owner: u32,
}

/// A maildrop file to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) id: &'a QueueId,
    pub(crate) path: &'a Path,
    pub(crate) uid: u32,
    pub(crate) requeued: bool,
}

/// Why a file stays, or is dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// Not a message; logged already. The file is removed.
    #[error("malformed message")]
    Malformed,
    /// The file could not be read; tried again later.
    #[error("{}", postern_sys::error_text(.0))]
    Read(io::Error),
    /// cleanup(8) could not be asked or went away; tried again later.
    #[error(transparent)]
    Cleanup(#[from] ClientError),
}

/// Longest record of requeued mail: a queue file holds what cleanup(8) wrote.
const REQUEUED_LIMIT: usize = 1024 * 1024;

/// Copies `file` and returns the status of cleanup(8).
pub(crate) fn copy(
    file: &File<'_>,
    cleanup: &Endpoint,
    flags: i32,
    options: &Options,
) -> Result<i32, CopyError> {
    let input = open_for_reading(file.path).map_err(CopyError::Read)?;
    // Edits of milters leave pointers in requeued mail; a submitted file has no business with them.
    let read_options = if file.requeued {
        ReadOptions::default()
    } else {
        ReadOptions::RAW
    };
    let reader = Reader::with_options(input, read_options);
    let submission = Submission::open(cleanup, options.timeout, flags)?;
    let mut copier = Copier {
        file,
        options,
        reader,
        submission,
    };
    match copier.run() {
        Ok(()) => {}
        Err(Failure::Malformed(kind)) => {
            log::warn!(
                "uid={}: unexpected or malformed record type {kind}",
                file.uid
            );
            return Err(CopyError::Malformed);
        }
        Err(Failure::Read(error)) => return Err(CopyError::Read(error)),
        // cleanup(8) may have refused the message and stopped reading: its verdict says why.
        Err(Failure::Write(_)) => {}
    }
    let reply = copier.submission.finish()?;
    Ok(reply.status)
}

enum Failure {
    Malformed(i32),
    Read(io::Error),
    Write(#[allow(dead_code, reason = "kept for debugging")] io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

struct Copier<'a> {
    file: &'a File<'a>,
    options: &'a Options,
    reader: Reader<std::fs::File>,
    submission: Submission,
}

impl Copier<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        if !self.options.content_filter.is_empty() {
            self.put(
                RecordType::FILTER,
                self.options.content_filter.clone().as_bytes(),
            )?;
        }
        self.envelope()?;
        self.content()?;
        self.extracted()?;
        Ok(())
    }

    fn put(&mut self, kind: RecordType, data: &[u8]) -> io::Result<()> {
        write_record(&mut self.submission.channel, kind, data)
    }

    /// The next record, if its letter is in `allowed` and its size within the limit.
    fn next(&mut self, allowed: &[u8]) -> Result<Record, Failure> {
        let limit = if self.file.requeued {
            REQUEUED_LIMIT
        } else {
            self.options.line_limit
        };
        match self.reader.next_record() {
            Ok(Some(record)) if record.kind.is_in(allowed) && record.data.len() <= limit => {
                Ok(record)
            }
            Ok(Some(record)) => Err(Failure::Malformed(i32::from(record.kind.0))),
            Ok(None) => Err(Failure::Malformed(-1)),
            Err(RecordError::Io(error)) => Err(Failure::Read(error)),
            Err(error) => {
                log::warn!("{}: {error}", self.file.path.display());
                Err(Failure::Malformed(-1))
            }
        }
    }

    fn envelope(&mut self) -> Result<(), Failure> {
        let mut sender = None;
        loop {
            let record = self.next(RecordType::ENVELOPE)?;
            match record.kind {
                RecordType::MESSAGE => break,
                // Made anew by cleanup(8), or decided again with today's configuration.
                RecordType::SIZE
                | RecordType::CTIME
                | RecordType::FILTER
                | RecordType::REDIRECT
                | RecordType::INSPECTOR => {}
                RecordType::FROM => {
                    if sender.is_none() {
                        self.log_sender(&record.data);
                        sender = Some(());
                    }
                    self.put(record.kind, &record.data)?;
                }
                RecordType::ATTRIBUTE => {
                    let name = Attribute::parse(&record.data)
                        .map_err(|_| Failure::Malformed(i32::from(record.kind.0)))?
                        .name;
                    if name != "create_time" {
                        self.put(record.kind, &record.data)?;
                    }
                }
                kind => self.put(kind, &record.data)?,
            }
        }
        self.put(RecordType::MESSAGE, b"")?;
        Ok(())
    }

    fn log_sender(&self, sender: &BString) {
        let shown = if self.options.log_internal {
            sender.clone()
        } else {
            address::quote(sender.as_bstr())
        };
        let (id, uid) = (&self.submission.queue_id, self.file.uid);
        if self.file.requeued {
            log::info!("{id}: uid={uid} from=<{shown}> orig_id={}", self.file.id);
        } else {
            log::info!("{id}: uid={uid} from=<{shown}>");
        }
    }

    fn content(&mut self) -> Result<(), Failure> {
        let Options {
            host, mail_name, ..
        } = self.options;
        let received = format!(
            "Received: by {host} ({mail_name}, from userid {})",
            self.file.uid
        );
        let stamp = format!(
            "\tid {}; {}",
            self.submission.queue_id,
            local_now().mail_date()
        );
        self.put(RecordType::TEXT, received.as_bytes())?;
        self.put(RecordType::TEXT, stamp.as_bytes())?;
        let mut first = true;
        loop {
            let record = self.next(RecordType::CONTENT)?;
            match record.kind {
                RecordType::EXTRACTED => break,
                RecordType::PADDING => continue,
                _ => {}
            }
            // Text that would continue the Received: header is body.
            if first && matches!(record.data.first(), Some(b' ' | b'\t')) {
                self.put(RecordType::TEXT, b"")?;
            }
            first = false;
            self.put(record.kind, &record.data)?;
        }
        self.put(RecordType::EXTRACTED, b"")?;
        Ok(())
    }

    fn extracted(&mut self) -> Result<(), Failure> {
        loop {
            let record = self.next(RecordType::EXTRACTED_SEGMENT)?;
            match record.kind {
                RecordType::END => break,
                RecordType::FILTER
                | RecordType::REDIRECT
                | RecordType::RETURN_RECEIPT
                | RecordType::ERRORS_TO
                | RecordType::PRIORITY => {}
                RecordType::ATTRIBUTE => {
                    let is_dsn = Attribute::parse(&record.data).is_ok_and(|attribute| {
                        matches!(
                            attribute.pseudo_type(),
                            Some(RecordType::DSN_NOTIFY | RecordType::DSN_ORIGINAL_RECIPIENT)
                        )
                    });
                    if is_dsn {
                        self.put(record.kind, &record.data)?;
                    }
                }
                kind => self.put(kind, &record.data)?,
            }
        }
        self.put(RecordType::END, b"")?;
        Ok(())
    }
}
