//! Service `flush`: mail by destination for ETRN and `postqueue -s`. Source: ipc.md §4.7.

use bstr::BString;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::StatusReply;
use crate::client::{ClientError, Endpoint, one_shot};

/// Announced by the server first.
pub const PROTOCOL: &str = "queue_flush_protocol";

/// Status values.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// Bad request.
    pub const BAD: i32 = 3;
    /// Site not eligible.
    pub const DENY: i32 = 4;
    /// Failure.
    pub const FAIL: i32 = -1;
}

/// First attribute of every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `add`, `send_site`, `send_file`, `rfrsh`, `purge`.
    pub request: String,
}

/// Body of `add`.
#[derive(Debug, Serialize, Deserialize)]
pub struct AddBody {
    /// Destination domain.
    pub site: BString,
    /// Queue ID of the deferred message.
    pub queue_id: BString,
}

/// Body of `send_site`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SiteBody {
    /// Destination domain.
    pub site: BString,
}

/// Body of `send_file`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileBody {
    /// Queue ID.
    pub queue_id: BString,
}

/// `add` with its body.
#[derive(Debug, Serialize)]
struct Add<'a> {
    request: &'static str,
    body: &'a AddBody,
}
#[derive(Debug, Serialize)]
struct Site<'a> {
    request: &'static str,
    body: &'a SiteBody,
}
#[derive(Debug, Serialize)]
struct File<'a> {
    request: &'static str,
    body: &'a FileBody,
}
#[derive(Debug, Serialize)]
struct Plain {
    request: &'static str,
}

/// Records that mail for `site` is deferred.
pub fn add(at: &Endpoint, timeout: Duration, body: &AddBody) -> Result<i32, ClientError> {
    one_shot::<_, StatusReply>(
        at,
        timeout,
        PROTOCOL,
        &Add {
            request: "add",
            body,
        },
    )
    .map(|reply| reply.status)
}

/// Asks for delivery of everything deferred for a site.
pub fn send_site(at: &Endpoint, timeout: Duration, site: &[u8]) -> Result<i32, ClientError> {
    let body = SiteBody { site: site.into() };
    one_shot::<_, StatusReply>(
        at,
        timeout,
        PROTOCOL,
        &Site {
            request: "send_site",
            body: &body,
        },
    )
    .map(|reply| reply.status)
}

/// Asks for delivery of one deferred message.
pub fn send_file(at: &Endpoint, timeout: Duration, queue_id: &str) -> Result<i32, ClientError> {
    let body = FileBody {
        queue_id: queue_id.into(),
    };
    one_shot::<_, StatusReply>(
        at,
        timeout,
        PROTOCOL,
        &File {
            request: "send_file",
            body: &body,
        },
    )
    .map(|reply| reply.status)
}

/// Asks for a clean-up: `rfrsh`, or `purge` with age 0.
pub fn refresh(at: &Endpoint, timeout: Duration, purge: bool) -> Result<i32, ClientError> {
    let request = if purge { "purge" } else { "rfrsh" };
    one_shot::<_, StatusReply>(at, timeout, PROTOCOL, &Plain { request }).map(|reply| reply.status)
}
