//! Services `proxymap` and `proxywrite`: table lookups for others. Source: ipc.md §4.11.

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "proxymap_protocol";

/// Values of `status`.
pub mod status {
    /// Found, done.
    pub const OK: i32 = 0;
    /// Not found.
    pub const NOKEY: i32 = 1;
    /// Temporary error.
    pub const RETRY: i32 = 2;
    /// Bad request.
    pub const BAD: i32 = 3;
    /// Table not approved.
    pub const DENY: i32 = 4;
    /// Configuration error.
    pub const CONFIG: i32 = 5;
}

/// First attribute of every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `open`, `lookup`, `update`, `delete`, `sequence`.
    pub request: String,
}

/// Body of `open`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenBody {
    /// `type:name`, the text after `proxy:`.
    pub table: BString,
    /// Instance flags.
    pub flags: i32,
}

/// Body of `lookup` and `delete`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyBody {
    /// `type:name`.
    pub table: BString,
    /// Instance and request flags.
    pub flags: i32,
    /// The key.
    pub key: BString,
}

/// Body of `update`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateBody {
    /// `type:name`.
    pub table: BString,
    /// Instance and request flags.
    pub flags: i32,
    /// The key.
    pub key: BString,
    /// The value.
    pub value: BString,
}

/// Body of `sequence`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequenceBody {
    /// `type:name`.
    pub table: BString,
    /// Instance and request flags.
    pub flags: i32,
    /// 0 first, 1 next.
    pub function: i32,
}

/// A whole request: name, then body, in one list.
#[derive(Debug, Serialize)]
pub struct Request<'a, B> {
    /// See [`RequestName`].
    pub request: &'static str,
    /// The matching body.
    pub body: &'a B,
}

/// Reply to `open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenReply {
    /// See [`status`].
    pub status: i32,
    /// The table's flags.
    pub flags: i32,
}

/// Reply to `lookup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupReply {
    /// See [`status`].
    pub status: i32,
    /// The value, empty unless found.
    pub value: BString,
}

/// Reply to `sequence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceReply {
    /// See [`status`].
    pub status: i32,
    /// The key.
    pub key: BString,
    /// The value.
    pub value: BString,
}
