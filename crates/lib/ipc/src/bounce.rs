//! Services `bounce`, `defer` and `trace`; server: bounce(8). Source: ipc.md §4.6.

use std::time::Duration;

use bstr::BString;
use serde::{Deserialize, Serialize};

use crate::StatusReply;
use crate::client::{ClientError, Endpoint, one_shot};
use crate::deliver::{Dsn, Recipient};

/// Announced by the server first.
pub const PROTOCOL: &str = "delivery_status_protocol";

/// Values of `nrequest`.
pub mod command {
    /// Add a recipient to the log.
    pub const APPEND: i32 = 0;
    /// Send the notice (bounce: non-delivery; defer: the message expired).
    pub const FLUSH: i32 = 1;
    /// Send a delay notice.
    pub const WARN: i32 = 2;
    /// As flush, one notice per recipient.
    pub const VERP: i32 = 3;
    /// Bounce one recipient at once, without a log.
    pub const ONE: i32 = 4;
    /// Send a delivery report.
    pub const TRACE: i32 = 5;
}

/// Bounce flags: remove the log if the request fails.
pub const FLAG_CLEAN: i32 = 1;
/// Bounce flags: delete the recipient from the queue file after logging.
pub const FLAG_DELRCPT: i32 = 2;

/// First attribute of every request; the body follows in the same list.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestNumber {
    /// One of [`command`].
    pub nrequest: i32,
}

/// Body of append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendBody {
    /// Bounce and delivery request flags.
    pub flags: i32,
    /// Queue ID.
    pub queue_id: String,
    /// The recipient.
    pub recipient: Recipient,
    /// What happened.
    pub dsn: Dsn,
}

/// Body of flush, warn and trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeBody {
    /// Bounce and delivery request flags.
    pub flags: i32,
    /// Queue that holds the message.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// `7bit`, `8bit` or empty.
    pub encoding: BString,
    /// Send options.
    pub smtputf8: i32,
    /// Envelope sender: who gets the notice.
    pub sender: BString,
    /// DSN envelope ID.
    pub envelope_id: BString,
    /// DSN RET.
    pub ret_flags: i32,
}

/// Body of verp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerpBody {
    /// As for flush.
    pub notice: NoticeBody,
    /// Two characters.
    pub verp_delimiters: BString,
}

/// Body of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneBody {
    /// As for flush.
    pub notice: NoticeBody,
    /// The recipient.
    pub recipient: Recipient,
    /// What happened.
    pub dsn: Dsn,
}

/// A whole request: number, then body, in one list.
#[derive(Debug, Serialize)]
pub struct Request<'a, B> {
    /// One of [`command`].
    pub nrequest: i32,
    /// The matching body.
    pub body: &'a B,
}

/// Sends one request to `service` (`bounce`, `defer`, `trace`) and returns the server's status.
///
/// # Errors
///
/// The service could not be asked; the recipient or message must then be deferred.
pub fn ask<B: Serialize>(
    at: &Endpoint,
    timeout: Duration,
    nrequest: i32,
    body: &B,
) -> Result<i32, ClientError> {
    let reply: StatusReply = one_shot(at, timeout, PROTOCOL, &Request { nrequest, body })?;
    Ok(reply.status)
}
