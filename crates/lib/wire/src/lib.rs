//! Byte streams to peers, with timeouts: what SMTP sessions and internal channels read and write.
//!
//! [`Channel`] is the one stream type of smtpd(8), of the SMTP client and of the internal services.
//! This crate knows no protocol beyond lines; encryption comes in as a [`Layer`].
#![forbid(unsafe_code)]

mod channel;
mod connect;
mod layer;
mod line;

pub use channel::{Channel, Deadline, Received};
pub use connect::{connect_tcp, connect_unix};
pub use layer::{Layer, Raw};
pub use line::LineEnd;

/// The error of an operation that took longer than allowed.
pub fn timed_out() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut)
}

/// Whether an error means that the peer was too slow.
pub fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock
    )
}
