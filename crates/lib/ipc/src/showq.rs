//! Service `showq`: the mail queue listing. The client only reads. Source: ipc.md §4.8.
//!
//! After the announcement comes one list per message: [`Message`], then pairs of [`Recipient`], then the
//! terminator; an empty list ends the listing.

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "mail_queue_list_protocol";

/// The fixed part of a message's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Queue.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// Arrival, seconds since the epoch.
    pub time: i64,
    /// Size in bytes.
    pub size: i64,
    /// 1 when the message is to expire at once.
    pub forced_expire: i32,
    /// Sender in external form; the null sender as `empty_address_recipient`.
    pub sender: BString,
}

/// One recipient with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Recipient in external form.
    pub recipient: BString,
    /// Why it is deferred; empty when it is not.
    pub reason: BString,
}
