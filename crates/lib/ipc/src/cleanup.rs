//! Service `cleanup`: every new message goes through it. Source: ipc.md §4.1, §5.1, §5.2.

use bstr::BString;
use postern_attr::{Encoding, Extra};
use postern_wire::Channel;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::client::{self, ClientError, Endpoint};

/// Announced by the server first, together with the queue ID.
pub const PROTOCOL: &str = "cleanup_protocol";

/// The server's first list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// Queue ID of the message to come.
    pub queue_id: String,
}

/// The client's first list; queue file records follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// [`flag`] bits.
    pub flags: i32,
}

/// The server's last list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// [`status`] bits; 0 is success.
    pub status: i32,
    /// Reason, may be empty; a whole SMTP reply with [`flag::SMTP_REPLY`].
    pub reason: BString,
}

/// Cleanup flags.
pub mod flag {
    /// Bounce bad mail instead of reporting the error.
    pub const BOUNCE: i32 = 1;
    /// Header and body checks.
    pub const FILTER: i32 = 2;
    /// Put on hold.
    pub const HOLD: i32 = 4;
    /// Discard silently.
    pub const DISCARD: i32 = 8;
    /// Automatic BCC.
    pub const BCC_OK: i32 = 16;
    /// Address mapping.
    pub const MAP_OK: i32 = 32;
    /// Milters.
    pub const MILTER: i32 = 64;
    /// The reason may be an SMTP reply.
    pub const SMTP_REPLY: i32 = 128;
    /// SMTPUTF8 requested by the client.
    pub const SMTPUTF8: i32 = 256;
    /// SMTPUTF8 to be detected.
    pub const AUTOUTF8: i32 = 512;
    /// What mail from outside gets.
    pub const MASK_EXTERNAL: i32 = FILTER | MILTER | BCC_OK | MAP_OK;
    /// What mail made inside gets.
    pub const MASK_INTERNAL: i32 = MAP_OK;
}

/// Cleanup status bits.
pub mod status {
    /// Success.
    pub const OK: i32 = 0;
    /// Internal protocol error.
    pub const BAD: i32 = 1;
    /// Queue file write error.
    pub const WRITE: i32 = 2;
    /// Message file too big.
    pub const SIZE: i32 = 4;
    /// Message content rejected.
    pub const CONTENT: i32 = 8;
    /// Too many hops.
    pub const HOPS: i32 = 16;
    /// No recipients specified.
    pub const RCPT: i32 = 64;
    /// Queue file write error (proxy).
    pub const PROXY: i32 = 128;
    /// Service unavailable.
    pub const DEFER: i32 = 256;
    /// Service denied.
    pub const NOPERM: i32 = 512;
    /// Bare LF received.
    pub const BARE_LF: i32 = 65536;

    /// Text, SMTP code and enhanced status of the first status bit that matters, in Postfix's order.
    pub fn detail(status: i32) -> (&'static str, u16, &'static str) {
        const TABLE: [(i32, &str, u16, &str); 10] = [
            (DEFER, "service unavailable", 451, "4.7.1"),
            (PROXY, "queue file write error", 451, "4.3.0"),
            (BAD, "internal protocol error", 451, "4.3.0"),
            (RCPT, "no recipients specified", 550, "5.1.0"),
            (HOPS, "too many hops", 554, "5.4.0"),
            (SIZE, "message file too big", 552, "5.3.4"),
            (CONTENT, "message content rejected", 550, "5.7.1"),
            (WRITE, "queue file write error", 451, "4.3.0"),
            (NOPERM, "service denied", 550, "5.7.1"),
            (BARE_LF, "bare <LF> received", 521, "5.5.2"),
        ];
        TABLE
            .iter()
            .find(|(bit, ..)| status & bit != 0)
            .map_or(("Success", 250, "2.0.0"), |&(_, text, code, dsn)| {
                (text, code, dsn)
            })
    }
}

/// An open submission: connected, queue ID known, flags sent. Write records to `channel`, then [`Submission::finish`].
#[derive(Debug)]
pub struct Submission {
    /// Where the records go.
    pub channel: Channel,
    /// Queue ID that the server gave.
    pub queue_id: String,
    at: Endpoint,
}

impl Submission {
    /// Connects (waiting for the service), reads the queue ID and sends `flags` (unflushed).
    pub fn open(at: &Endpoint, timeout: Duration, flags: i32) -> Result<Self, ClientError> {
        let mut channel = client::connect_wait(at, timeout)?;
        let hello: Hello = client::receive(&mut channel, at, Encoding::Null, Extra::Refuse)?;
        client::check_protocol(at, hello.protocol, PROTOCOL)?;
        postern_attr::write(&mut channel, Encoding::Null, &Options { flags }).map_err(|error| {
            ClientError::Exchange {
                path: format!("{} socket", at.label()),
                error,
            }
        })?;
        Ok(Self {
            channel,
            queue_id: hello.queue_id,
            at: at.clone(),
        })
    }

    /// Flushes the records (the last is `E`) and reads the verdict.
    pub fn finish(mut self) -> Result<Reply, ClientError> {
        use std::io::Write;
        self.channel
            .flush()
            .map_err(|error| ClientError::Exchange {
                path: format!("{} socket", self.at.label()),
                error: error.into(),
            })?;
        client::receive(&mut self.channel, &self.at, Encoding::Null, Extra::Skip)
    }
}
