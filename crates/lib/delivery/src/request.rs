//! One delivery request from the wire to the final reply (ipc.md §4.5, delivery.md §2.1).

use std::io::{Read, Write};
use std::path::PathBuf;

use bstr::{BStr, BString};
use postern_attr::{AttrError, Encoding, Extra};
use postern_ipc::Announcement;
use postern_ipc::deliver::{Dsn, MessageStats, Moment, PROTOCOL, Recipient, Reply, Request, flag};
use postern_queue_file::file::{LockedFile, OpenError, mark_done, open_for_delivery};
use postern_queue_file::id::is_queue_name;
use postern_queue_file::{Hashing, QueueId};
use postern_wire::Channel;

use crate::{Outcome, Report};

/// Most recipients that one request may announce: qmgr(8) sends at most
/// `default_destination_recipient_limit` and keeps no more in core than its own limits.
const RECIPIENT_LIMIT: i32 = 1_000_000;

/// One connection of an agent: receives a request, lets `deliver` handle its recipients and answers.
/// `deliver` returns whether some recipient is deferred.
pub fn serve(channel: &mut Channel, hashing: &Hashing, deliver: impl FnOnce(&Delivery) -> bool) {
    match Delivery::receive(channel, hashing) {
        Ok(delivery) => {
            let deferred = deliver(&delivery);
            delivery.finish(channel, Dsn::default(), deferred);
        }
        Err(ReceiveError::Eof) => {}
        Err(error) => log::warn!("{error}"),
    }
}

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
    pub file: LockedFile,
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
    pub fn receive(channel: &mut Channel, hashing: &Hashing) -> Result<Self, ReceiveError> {
        let announced = postern_attr::write(channel, Encoding::Null, &Announcement::new(PROTOCOL))
            .is_ok()
            && channel.flush().is_ok();
        if !announced {
            return Err(ReceiveError::Eof);
        }
        let result = read_request(channel)
            .and_then(|(request, stats, recipients)| open(request, stats, recipients, hashing));
        match result {
            Err(error @ (ReceiveError::Malformed(_) | ReceiveError::File(_))) => {
                if answer(channel, Dsn::default(), -1) {
                    // Closing with unread input would break the queue manager's end.
                    let _ = channel.read(&mut [0]);
                }
                Err(error)
            }
            other => other,
        }
    }

    /// Gives the queue file back and sends the final reply.
    ///
    /// `dsn` is about the destination as a whole (default: nothing to say); `deferred` tells that some
    /// recipient remains.
    pub fn finish(self, channel: &mut Channel, dsn: Dsn, deferred: bool) {
        // After the reply the queue manager may want the file for itself.
        drop(self.file);
        answer(channel, dsn, if deferred { -1 } else { 0 });
    }

    /// Whether only a report is wanted (`sendmail -bv`, address probes): nothing is delivered.
    pub fn is_trace_only(&self) -> bool {
        self.request.flags & flag::TRACE_ONLY != 0
    }

    /// Marks a recipient as done in the queue file: one byte, not synced. A crash can repeat a
    /// delivery, never lose one.
    pub fn mark_done(&self, recipient: &Recipient) {
        if let Err(error) = mark_done(&self.file, recipient.offset) {
            log::warn!(
                "{}: update queue file {}: {error}",
                self.request.queue_id,
                self.path.display()
            );
        }
    }

    /// Marks the queue file as damaged; the queue manager moves it to `corrupt`.
    pub fn mark_corrupt(&self) {
        log::warn!("corrupted queue file: {}", self.path.display());
        if let Err(error) = postern_queue_file::file::mark_corrupt(&self.file) {
            log::warn!("mark {} corrupt: {error}", self.path.display());
        }
    }

    /// What an outcome of `recipient` is about.
    pub fn report<'a>(&'a self, recipient: &'a Recipient, relay: &'a BStr) -> Report<'a> {
        Report {
            flags: self.request.flags,
            queue_id: &self.request.queue_id,
            stats: &self.stats,
            recipient,
            relay,
        }
    }

    /// Marks a recipient as far as its outcome and the request allow. Returns whether it is deferred.
    pub fn settle(&self, recipient: &Recipient, outcome: Outcome) -> bool {
        if outcome == Outcome::Done && self.request.flags & flag::DEFAULT != 0 {
            self.mark_done(recipient);
        }
        outcome == Outcome::Deferred
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
    hashing: &Hashing,
) -> Result<Delivery, ReceiveError> {
    let id = QueueId::parse(&request.queue_id)
        .map_err(|_| ReceiveError::Malformed("common attributes"))?;
    if !is_queue_name(&request.queue_name) {
        return Err(ReceiveError::Malformed("common attributes"));
    }
    let path = hashing.path(&request.queue_name, &id);
    let file = match open_for_delivery(&path) {
        Ok(file) => file,
        Err(OpenError::Locked) => {
            postern_maillog::fatal!(
                "shared lock {}: Resource temporarily unavailable",
                path.display()
            )
        }
        Err(OpenError::Io(error)) => {
            let text = postern_sys::error_text(&error);
            return Err(ReceiveError::File(format!(
                "open {} {}: {text}",
                request.queue_name, request.queue_id
            )));
        }
    };
    Ok(Delivery {
        request,
        stats,
        recipients,
        file,
        path,
    })
}

/// The reply stays in the queue manager's socket when this side closes first, provided that all its
/// bytes were read here.
fn answer(channel: &mut Channel, dsn: Dsn, status: i32) -> bool {
    postern_attr::write(channel, Encoding::Null, &Reply::new(dsn, status)).is_ok()
        && channel.flush().is_ok()
}
