//! Service `tlsmgr`: randomness, TLS session caches, ticket keys. Source: ipc.md §4.12.

use bstr::BString;
use postern_attr::Data;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "tlsmgr_protocol";

/// Values of `status`.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// Error or not found.
    pub const ERR: i32 = -1;
    /// Bad request.
    pub const FAIL: i32 = -2;
}

/// First attribute of every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `seed`, `policy`, `lookup`, `update`, `delete`, `tktkey`.
    pub request: String,
}

/// Body of `seed`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeedBody {
    /// Bytes wanted, 1 to 255.
    pub size: i32,
}

/// Reply to `seed`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeedReply {
    /// See [`status`].
    pub status: i32,
    /// Random bytes.
    pub seed: Data,
}

/// Body of `policy`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyBody {
    /// `smtpd`, `smtp` or `lmtp`.
    pub cache_type: BString,
}

/// Reply to `policy`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyReply {
    /// See [`status`].
    pub status: i32,
    /// 1 when there is a cache.
    pub cachable: i32,
    /// Seconds a session lives; 0 is caching off.
    pub timeout: i32,
}

/// Body of `lookup` and `delete`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionBody {
    /// `smtpd`, `smtp` or `lmtp`.
    pub cache_type: BString,
    /// Session name.
    pub cache_id: BString,
}

/// Reply to `lookup`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionReply {
    /// See [`status`].
    pub status: i32,
    /// The session.
    pub session: Data,
}

/// Body of `update`.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateBody {
    /// `smtpd`, `smtp` or `lmtp`.
    pub cache_type: BString,
    /// Session name.
    pub cache_id: BString,
    /// The session.
    pub session: Data,
}

/// Body of `tktkey`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TicketKeyBody {
    /// Empty for the current key, or a key's 16-byte name.
    pub keyname: Data,
}

/// Reply to `tktkey`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TicketKeyReply {
    /// See [`status`].
    pub status: i32,
    /// Name 16, cipher key 32, HMAC key 32, expiry 8 bytes.
    pub keybuf: Data,
}
