//! sendmail(1) to postdrop(1), over a pipe or socket pair. Source: ipc.md §4.2.

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by postdrop first, together with the queue ID.
pub const PROTOCOL: &str = "postdrop_protocol";

/// postdrop's first list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// File name in maildrop.
    pub queue_id: String,
}

/// postdrop's last list; the status values are cleanup's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// See [`crate::cleanup::status`].
    pub status: i32,
    /// Reason, may be empty.
    pub reason: BString,
}
