//! Service `verify`: what is known of an address. Source: ipc.md §4.9.

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first; Postfix's spelling.
pub const PROTOCOL: &str = "address_verification_prrotocol";

/// Values of `status`.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// Failure.
    pub const FAIL: i32 = -1;
    /// Bad request.
    pub const BAD: i32 = -2;
}

/// Values of `recipient_status`.
pub mod recipient_status {
    /// Deliverable.
    pub const OK: i32 = 0;
    /// Temporary failure.
    pub const DEFER: i32 = 1;
    /// Undeliverable.
    pub const BOUNCE: i32 = 2;
    /// Not known yet; a probe is on its way.
    pub const TODO: i32 = 3;
}

/// First attribute of every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `query` or `update`.
    pub request: String,
}

/// Body of `query`.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueryBody {
    /// Address in internal form.
    pub address: BString,
}

/// The whole `query` request.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueryRequest {
    /// `query`.
    pub request: String,
    /// Address in internal form.
    pub address: BString,
}

/// Reply to `query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReply {
    /// See [`status`].
    pub status: i32,
    /// See [`recipient_status`].
    pub recipient_status: i32,
    /// Text.
    pub reason: BString,
}

/// Body of `update`.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateBody {
    /// Address in internal form.
    pub address: BString,
    /// See [`recipient_status`].
    pub recipient_status: i32,
    /// Text.
    pub reason: BString,
}

/// The whole `update` request.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// `update`.
    pub request: String,
    /// Address in internal form.
    pub address: BString,
    /// See [`recipient_status`].
    pub recipient_status: i32,
    /// Text.
    pub reason: BString,
}
