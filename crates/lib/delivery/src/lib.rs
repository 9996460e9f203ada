//! What delivery agents share: requests, status lines, bounce and defer logging, done-marks,
//! mailbox and maildir writing, commands, passing mail on.
//!
//! The story of an agent: [`Delivery::receive`], one [`Agent`] outcome per recipient
//! ([`Agent::sent`], [`Agent::bounce`], [`Agent::defer`]), [`Delivery::finish`]. This crate does not
//! know how mail is delivered. Source: delivery.md §2 of our specification.
#![forbid(unsafe_code)]

pub mod command;
pub mod copy;
mod delivered_to;
mod errno;
pub mod maildir;
pub mod mbox;
mod outcome;
pub mod pass;
mod request;
pub mod status_line;

pub use delivered_to::DeliveredTo;
pub use errno::{mail_status, write_status};
pub use outcome::{Agent, Outcome, Report};
pub use postern_queue::hashing;
pub use request::{Delivery, ReceiveError, serve};
