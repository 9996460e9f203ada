//! Service `anvil`: connection and request rates per client. Plain encoding. Source: ipc.md §4.10.

use bstr::BString;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "anvil_protocol";

/// Every request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// `connect`, `disconnect`, `message`, `recipient`, `newtls`, `newtls_status`, `auth`, `lookup`.
    pub request: BString,
    /// `SERVICE:ADDRESS`.
    pub ident: BString,
}

/// Reply to `connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectReply {
    /// 0, or -1 on failure.
    pub status: i32,
    /// Connections open now.
    pub count: i32,
    /// Connections in the current time unit.
    pub rate: i32,
}

/// Reply to `message`, `recipient`, `newtls`, `newtls_status`, `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateReply {
    /// 0, or -1 on failure.
    pub status: i32,
    /// Events in the current time unit.
    pub rate: i32,
}

/// Reply to `lookup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupReply {
    /// 0, or -1 on failure.
    pub status: i32,
    /// Connections open now.
    pub count: i32,
    /// Connections in the current time unit.
    pub rate: i32,
    /// Messages.
    pub mail: i32,
    /// Recipients.
    pub rcpt: i32,
    /// New TLS sessions.
    pub newtls: i32,
    /// AUTH commands.
    pub auth: i32,
}
