//! Address rewriting and resolving, service `rewrite`; server: trivial-rewrite(8). Source: ipc.md §4.3.
#![allow(
    unreachable_patterns,
    reason = "two attributes of the reply are both named flags"
)]

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "trivial_rewrite_protocol";

/// First attribute of every request; the body follows in the same list.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestName {
    /// `rewrite`, `resolve` or `verify`.
    pub request: String,
}

/// Body of `rewrite`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RewriteBody {
    /// `local` or `remote`.
    pub rule: BString,
    /// Address in external (quoted) form.
    pub address: BString,
}

/// The whole `rewrite` request, as a client sends it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RewriteRequest {
    /// `rewrite`.
    pub request: String,
    /// `local` or `remote`.
    pub rule: BString,
    /// Address in external form.
    pub address: BString,
}

/// Reply to `rewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteReply {
    /// Nonzero: the server's tables changed; reconnect before the next request.
    pub flags: i32,
    /// Rewritten address in external form.
    pub address: BString,
}

/// Body of `resolve` and `verify`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResolveBody {
    /// Envelope sender, internal form.
    pub sender: BString,
    /// Recipient, internal form.
    pub address: BString,
}

/// The whole `resolve` (or `verify`) request.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResolveRequest {
    /// `resolve` or `verify`.
    pub request: String,
    /// Envelope sender, internal form.
    pub sender: BString,
    /// Recipient, internal form.
    pub address: BString,
}

/// Reply to `resolve` and `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveReply {
    /// Nonzero: the server's tables changed; reconnect before the next request.
    #[serde(rename = "flags")]
    pub server_flags: i32,
    /// master.cf service name.
    pub transport: BString,
    /// What the transport delivers to.
    pub nexthop: BString,
    /// Recipient, internal form.
    pub recipient: BString,
    /// Address class and error bits, see [`resolve_flag`].
    #[serde(rename = "flags")]
    pub result_flags: i32,
}

/// Bits of [`ResolveReply::result_flags`] (ipc.md §5.4).
pub mod resolve_flag {
    /// The local part still has routing (`a@b@c`, `%`, `!`).
    pub const ROUTED: i32 = 2;
    /// The address cannot be used.
    pub const ERROR: i32 = 4;
    /// A table could not be read.
    pub const FAIL: i32 = 8;
    /// Class local.
    pub const CLASS_LOCAL: i32 = 256;
    /// Class virtual alias.
    pub const CLASS_ALIAS: i32 = 512;
    /// Class virtual mailbox.
    pub const CLASS_VIRTUAL: i32 = 1024;
    /// Class relay.
    pub const CLASS_RELAY: i32 = 2048;
    /// Class default.
    pub const CLASS_DEFAULT: i32 = 4096;
    /// Classes where this system is the final destination.
    pub const CLASS_FINAL: i32 = CLASS_LOCAL | CLASS_ALIAS | CLASS_VIRTUAL;
}
