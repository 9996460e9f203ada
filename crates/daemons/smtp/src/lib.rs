//! Delivers mail by SMTP or LMTP, one request per connection. Manual pages: smtp(8), lmtp(8);
//! smtp-client.md of our specification. Knows no queue and no scheduling: qmgr(8) decides what is
//! tried when.
//!
//! [`deliver`] tells the story; [`addresses`] finds the servers, [`handshake`] and [`transaction`]
//! are the dialogue, [`content`] is the message on its way out, [`job`] keeps account of the
//! recipients.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod cache;
pub mod connect;
pub mod content;
pub mod deliver;
pub mod envelope;
pub mod failure;
pub mod features;
pub mod filter;
pub mod generic;
pub mod handshake;
pub mod job;
pub mod nexthop;
pub mod notice;
pub mod order;
mod program;
pub mod reply;
pub mod role;
pub mod routing;
pub mod security;
pub mod session;
pub mod settings;
pub mod transaction;
pub mod trouble;

#[cfg(test)]
mod tests;

pub use program::main;
