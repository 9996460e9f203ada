//! Test support: private instances, a scripted SMTP client, a receiving SMTP and LMTP server.
//!
//! Used by the end-to-end tests and by `cargo xtask run`; never linked into a program. It speaks to
//! the programs only as an operator and a mail client do.
#![forbid(unsafe_code)]

mod account;
mod certificate;
mod database;
mod instance;
mod layout;
mod port;
mod process;
mod random;
mod sink;
mod skip;
mod smtp;
mod store;
mod suite;
mod wait;
mod watch;

pub use account::{Account, mail_account};
pub use certificate::version_1_certificates;
pub use database::{MariaDb, PostgreSql, TableLock};
pub use instance::Instance;
pub use layout::Settings;
pub use port::free_port;
pub use process::Process;
pub use random::Random;
pub use sink::{Sink, SinkMessage};
pub use skip::skip;
pub use smtp::{Reply, SmtpClient, content};
pub use store::Store;
pub use suite::Suite;
pub use wait::{wait_for, wait_until};
