//! Messages and typed clients of the internal services, one module per service.
//!
//! Who talks to whom is all here; the servers implement what their module's documentation says.
//! Every module names the protocol that the server announces first. Source: ipc.md of our
//! specification, verified against Postfix 3.7.11. This crate does not know how a server lives
//! (that is `server`) nor what a message means for mail (that is the programs).
#![forbid(unsafe_code)]

pub mod anvil;
pub mod bounce;
pub mod cleanup;
pub mod client;
pub mod deliver;
pub mod flush;
pub mod post;
pub mod postdrop;
pub mod probe_sender;
pub mod proxymap;
pub mod rewrite;
pub mod scache;
pub mod showq;
pub mod tlsmgr;
pub mod trigger;
pub mod verify;

use serde::{Deserialize, Serialize};

pub use client::ClientError;

/// The first list of every announcing server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Protocol name, one of the modules' `PROTOCOL` constants.
    pub protocol: String,
}

impl Announcement {
    /// The announcement of `protocol`.
    pub fn new(protocol: &str) -> Self {
        Self {
            protocol: protocol.to_owned(),
        }
    }
}

/// The reply of services that answer with a status alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// 0 is success; the other values are the service's.
    pub status: i32,
}
