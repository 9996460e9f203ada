//! One delivery request from the wire to the final reply (ipc.md §4.5, delivery.md §2.1).

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bstr::BString;
use postern_attr::{AttrError, Encoding, Extra};
use postern_ipc::Announcement;
use postern_ipc::deliver::{Dsn, MessageStats, Moment, PROTOCOL, Recipient, Reply, Request, flag};
use postern_sys::lock::{LockMode, LockStyle, try_lock};
use postern_wire::Channel;

/// Most recipients that one request may announce: qmgr(8) sends at most
/// `default_destination_recipient_limit` and keeps no more in core than its own limits.
const RECIPIENT_LIMIT: i32 = 1_000_000;

/// Why there is nothing to deliver.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The queue manager closed a spare connection; not an error.
    #[error("end of input")]
    Eof,
    /// A malformed request; it was answered with "deferred".
    #[error("deliver_request_get: error receiving {0}")]
    Malformed(&'static str),
    /// The queue file could not be used; it was answered with "deferred".
    #[error("{0}")]
    File(String),
}

/// A delivery request with its open queue file.
#[derive(Debug)]
pub struct Delivery {
    /// The request as received.
    pub request: Request,
    /// Its time stamps; the agent adds connection set-up and completion.
    pub stats: MessageStats,
    /// Who gets the message.
    pub recipients: Vec<Recipient>,
    /// The queue file, read-write, with a shared lock.
    pub file: File,
    /// Path of the queue file below the queue directory.
    pub path: PathBuf,
}

impl Delivery {
    /// Announces the protocol, waits for a request and opens the queue file.
    ///
    /// # Errors
    ///
    /// Everything but [`ReceiveError::Eof`] was answered with "deferred" already; the caller logs it
    /// as a warning and ends the session. A file that cannot be locked is fatal to the caller.
    pub fn receive(
        channel: &mut Channel,
        hash_depth: &dyn Fn(&str, &str) -> PathBuf,
    ) -> Result<Self, ReceiveError> {
        let announced = postern_attr::write(channel, Encoding::Null, &Announcement::new(PROTOCOL))
            .is_ok()
            && channel.flush().is_ok();
        if !announced {
            return Err(ReceiveError::Eof);
        }
        let result = read_request(channel)
            .and_then(|(request, stats, recipients)| open(request, stats, recipients, hash_depth));
        match result {
            Err(error @ (ReceiveError::Malformed(_) | ReceiveError::File(_))) => {
                answer(channel, Dsn::default(), -1);
                Err(error)
            }
            other => other,
        }
    }

    /// Sends the final reply and waits for the queue manager to close.
    ///
    /// `dsn` is about the destination as a whole (default: nothing to say); `deferred` tells that some
    /// recipient remains.
    pub fn finish(self, channel: &mut Channel, dsn: Dsn, deferred: bool) {
        answer(channel, dsn, if deferred { -1 } else { 0 });
    }

    /// Whether only a report is wanted (`sendmail -bv`, address probes): nothing is delivered.
    pub fn is_trace_only(&self) -> bool {
        self.request.flags & flag::TRACE_ONLY != 0
    }

    /// Marks a recipient as done in the queue file: one byte, not synced. A crash can repeat a
    /// delivery, never lose one.
    pub fn mark_done(&self, recipient: &Recipient) {
        let Ok(offset) = u64::try_from(recipient.offset) else {
            return;
        };
        if offset == 0 {
            return;
        }
        if let Err(error) = self.file.write_at(b"D", offset) {
            log::warn!(
                "{}: update queue file {}: {error}",
                self.request.queue_id,
                self.path.display()
            );
        }
    }

    /// Sender, in internal form.
    pub fn sender(&self) -> &BString {
        &self.request.sender
    }
}

fn read_request(
    channel: &mut Channel,
) -> Result<(Request, MessageStats, Vec<Recipient>), ReceiveError> {
    let request: Request = match postern_attr::read(channel, Encoding::Null, Extra::Refuse) {
        Ok(request) => request,
        Err(AttrError::Eof) => return Err(ReceiveError::Eof),
        Err(_) => return Err(ReceiveError::Malformed("common attributes")),
    };
    let mut stats = MessageStats::from_data(&request.time).map_err(|text| {
        log::warn!("{text}");
        ReceiveError::Malformed("common attributes")
    })?;
    if stats.agent_handoff.is_unset() {
        stats.agent_handoff = Moment::now();
    }
    if request.recipient_count <= 0 || request.recipient_count > RECIPIENT_LIMIT {
        let text = format!(
            "{}: no recipients in delivery request for destination {}",
            request.queue_id, request.nexthop
        );
        return Err(ReceiveError::File(text));
    }
    let mut recipients = Vec::new();
    for _ in 0..request.recipient_count {
        let recipient = postern_attr::read(channel, Encoding::Null, Extra::Refuse)
            .map_err(|_| ReceiveError::Malformed("recipient attributes"))?;
        recipients.push(recipient);
    }
    Ok((request, stats, recipients))
}

fn open(
    request: Request,
    stats: MessageStats,
    recipients: Vec<Recipient>,
    path_of: &dyn Fn(&str, &str) -> PathBuf,
) -> Result<Delivery, ReceiveError> {
    let valid = |name: &str| {
        !name.is_empty()
            && name.len() <= 255
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !valid(&request.queue_name) || !valid(&request.queue_id) {
        return Err(ReceiveError::Malformed("common attributes"));
    }
    let path = path_of(&request.queue_name, &request.queue_id);
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| {
            ReceiveError::File(format!(
                "open {} {}: {}",
                request.queue_name,
                request.queue_id,
                postern_sys::error_text(&error)
            ))
        })?;
    let locked = try_lock(&file, LockStyle::Flock, LockMode::Shared);
    if !locked.unwrap_or(false) {
        postern_maillog::fatal!(
            "shared lock {}: Resource temporarily unavailable",
            path.display()
        );
    }
    Ok(Delivery {
        request,
        stats,
        recipients,
        file,
        path,
    })
}

fn answer(channel: &mut Channel, dsn: Dsn, status: i32) {
    let sent = postern_attr::write(channel, Encoding::Null, &Reply::new(dsn, status)).is_ok()
        && channel.flush().is_ok();
    if sent {
        // The queue manager closes first; closing here before it has read the reply would lose it.
        let _ = channel.read(&mut [0]);
    }
}
