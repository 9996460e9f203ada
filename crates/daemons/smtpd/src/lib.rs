//! The SMTP server. Manual page: smtpd(8).
//!
//! One process serves one client at a time. A session (`session`) reads commands (`command`), asks
//! the restriction lists (`access`), and gives messages to cleanup(8) (`submit`). Encryption,
//! logins, Milters, block lists, policy services and the proxy filter are not here yet; mail that
//! needs them is refused (`missing`).
#![forbid(unsafe_code)]

mod access;
mod client;
mod command;
mod content;
mod ehlo_keywords;
mod footer;
mod limits;
mod missing;
mod received;
mod reply;
mod server;
mod session;
mod settings;
mod space;
mod submit;
mod tables;
mod transaction;
mod transcript;
mod verb;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    postern_server::single_server::main::<server::Server>()
}
