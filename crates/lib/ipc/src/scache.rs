//! Service `scache`: open SMTP sessions between deliveries. Source: ipc.md §4.14.
//!
//! Between request and reply of `save_*` the client passes a descriptor after the server's [`Dummy`];
//! after the reply of `find_*` the server passes one after the client's [`Dummy`].
#![allow(unreachable_patterns, reason = "attributes of one list share a name")]

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "connection_cache_protocol";

/// Values of `status`.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// Bad request.
    pub const BAD: i32 = 1;
    /// Failed or not found.
    pub const FAIL: i32 = 2;
}

/// First attribute of every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `save_endp`, `find_endp`, `save_dest`, `find_dest`.
    pub request: String,
}

/// The list that makes room for a descriptor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Dummy {
    /// Empty.
    pub dummy: BString,
}

/// Body of `save_endp`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SaveEndpointBody {
    /// Seconds to keep it.
    pub ttl: i32,
    /// Endpoint label.
    pub label: BString,
    /// Session properties, opaque.
    pub property: BString,
}

/// Body of `find_endp` and `find_dest`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindBody {
    /// Endpoint or destination label.
    pub label: BString,
}

/// Reply to `find_endp`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindEndpointReply {
    /// See [`status`].
    pub status: i32,
    /// Session properties.
    pub property: BString,
}

/// Body of `save_dest`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SaveDestinationBody {
    /// Seconds to keep it.
    pub ttl: i32,
    /// Destination label.
    pub label: BString,
    /// Destination properties, opaque.
    pub property: BString,
    /// Endpoint label.
    #[serde(rename = "label")]
    pub endpoint: BString,
}

/// Reply to `find_dest`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindDestinationReply {
    /// See [`status`].
    pub status: i32,
    /// Destination properties.
    pub property: BString,
    /// Session properties.
    #[serde(rename = "property")]
    pub endpoint_property: BString,
}
