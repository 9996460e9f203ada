//! Mail that the mail system itself sends: notices, reports, address probes.
//!
//! Source: ipc.md §4.1 ("internal senders"), §5.8; dsn.md §4.

use std::io::{self, Write};

use bstr::BStr;
use postern_config::{Config, params};
use postern_queue_file::RecordType;
use postern_queue_file::record::write_record;
use postern_sys::clock::local_now;

use crate::cleanup::{Reply, Submission, flag};
use crate::client::{ClientError, Endpoint, PUBLIC};
use crate::deliver::Moment;

/// What a message is, for `internal_mail_filter_classes` and `smtputf8_autodetect_classes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailClass {
    /// Non-delivery and delay notices, delivery reports.
    Bounce,
    /// Postmaster notices.
    Notify,
    /// Address probes.
    Verify,
    /// Mail forwarded by local(8).
    Forward,
}

impl MailClass {
    fn name(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Notify => "notify",
            Self::Verify => "verify",
            Self::Forward => "forward",
        }
    }

    /// Flags for cleanup(8): address mapping always, checks and milters where the operator wants them.
    pub fn cleanup_flags(self, config: &Config) -> i32 {
        let mut flags = flag::MASK_INTERNAL;
        if lists(
            &config.get(params::INTERNAL_MAIL_FILTER_CLASSES),
            self.name(),
        ) {
            flags |= flag::FILTER | flag::MILTER;
        }
        if config.get(params::SMTPUTF8_ENABLE)
            && lists(
                &config.get(params::SMTPUTF8_AUTODETECT_CLASSES),
                self.name(),
            )
        {
            flags |= flag::AUTOUTF8;
        }
        flags
    }
}

/// Whether a list of class names has `name` or `all`.
fn lists(value: &str, name: &str) -> bool {
    value
        .split([' ', ',', '\t', '\r', '\n'])
        .any(|word| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case("all"))
}

/// Who sends what to whom.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Envelope sender, internal form; empty is the null sender.
    pub sender: &'a BStr,
    /// Envelope recipient, internal form.
    pub recipient: &'a BStr,
    /// Class of the message.
    pub class: MailClass,
    /// `trace_flags` attribute ([`crate::deliver::flag`]), 0 normally.
    pub trace_flags: i32,
    /// Whether the message needs SMTPUTF8.
    pub smtputf8: bool,
}

/// Now, as the payload of a time record: seconds and microseconds.
pub fn arrival_time() -> String {
    let now = Moment::now();
    format!("{} {}", now.seconds, now.microseconds)
}

/// Writes the `Received:` header of mail that this system itself sends on.
///
/// # Errors
///
/// Those of `out`.
pub fn write_received(out: &mut impl Write, config: &Config, queue_id: &str) -> io::Result<()> {
    let (host, name) = (
        config.get(params::MYHOSTNAME),
        config.get(params::MAIL_NAME),
    );
    write_record(
        out,
        RecordType::TEXT,
        format!("Received: by {host} ({name})").as_bytes(),
    )?;
    let stamp = format!("\tid {queue_id}; {}", local_now().mail_date());
    write_record(out, RecordType::TEXT, stamp.as_bytes())
}

/// A message on its way into the queue. Dropping it without [`InternalMail::finish`] discards it.
#[derive(Debug)]
pub struct InternalMail {
    submission: Submission,
}

impl InternalMail {
    /// Opens a message: envelope, `Received:` and `Date:` are written.
    ///
    /// # Errors
    ///
    /// cleanup(8) cannot be reached; nothing is queued.
    pub fn open(config: &Config, envelope: &Envelope<'_>) -> Result<Self, ClientError> {
        let at = Endpoint::new(PUBLIC, &config.get(params::CLEANUP_SERVICE_NAME));
        let mut flags = envelope.class.cleanup_flags(config);
        if envelope.smtputf8 {
            flags |= flag::SMTPUTF8;
        }
        let submission = Submission::open(&at, config.get(params::IPC_TIMEOUT), flags)?;
        let mut mail = Self { submission };
        mail.begin(config, envelope)
            .map_err(|error| ClientError::Exchange {
                path: format!("{} socket", at.label()),
                error: error.into(),
            })?;
        Ok(mail)
    }

    fn begin(&mut self, config: &Config, envelope: &Envelope<'_>) -> io::Result<()> {
        self.put(RecordType::TIME, arrival_time().as_bytes())?;
        self.put(RecordType::ATTRIBUTE, b"log_message_origin=local")?;
        self.put(
            RecordType::ATTRIBUTE,
            format!("trace_flags={}", envelope.trace_flags).as_bytes(),
        )?;
        self.put(RecordType::FROM, envelope.sender)?;
        self.put(RecordType::RECIPIENT, envelope.recipient)?;
        self.put(RecordType::MESSAGE, b"")?;
        write_received(
            &mut self.submission.channel,
            config,
            &self.submission.queue_id,
        )?;
        self.put(
            RecordType::TEXT,
            format!("Date: {}", local_now().mail_date()).as_bytes(),
        )
    }

    /// Queue ID of the message.
    pub fn queue_id(&self) -> &str {
        &self.submission.queue_id
    }

    /// Adds one line of header or body, without line end.
    ///
    /// # Errors
    ///
    /// The connection to cleanup(8) is gone.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.put(RecordType::TEXT, line)
    }

    /// Adds one record of content.
    ///
    /// # Errors
    ///
    /// The connection to cleanup(8) is gone.
    pub fn put(&mut self, kind: RecordType, data: &[u8]) -> io::Result<()> {
        write_record(&mut self.submission.channel, kind, data)
    }

    /// Writes pending output; cleanup(8) may then already work on it.
    ///
    /// # Errors
    ///
    /// The connection to cleanup(8) is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        self.submission.channel.flush()
    }

    /// Ends the message and returns the verdict of cleanup(8).
    ///
    /// # Errors
    ///
    /// No verdict came: the message must be taken as not queued.
    pub fn finish(mut self) -> Result<Reply, ClientError> {
        let ended = self
            .put(RecordType::EXTRACTED, b"")
            .and_then(|()| self.put(RecordType::END, b""));
        if let Err(error) = ended {
            return Err(ClientError::Exchange {
                path: "public/cleanup socket".to_owned(),
                error: error.into(),
            });
        }
        self.submission.finish()
    }
}
