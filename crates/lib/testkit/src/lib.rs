//! Test support: private instances, a scripted SMTP client, a receiving SMTP server.
//!
//! Used by the end-to-end tests and by `cargo xtask run`; never linked into a program. It speaks to
//! the programs only as an operator and a mail client do.
#![forbid(unsafe_code)]

mod account;
mod instance;
mod sink;
mod smtp;
mod wait;

pub use account::{Account, mail_account};
pub use instance::{Instance, Settings};
pub use sink::{Sink, SinkMessage};
pub use smtp::{Reply, SmtpClient};
pub use wait::wait_until;
