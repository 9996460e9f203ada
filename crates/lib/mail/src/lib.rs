//! Mail syntax, pure: addresses, SMTP commands and replies, headers, MIME. No I/O, no clock, no configuration.
#![forbid(unsafe_code)]

pub mod address;
pub mod address_tree;
pub mod date;
pub mod dsn;
pub mod header;
pub mod host;
pub mod mime;
pub mod printable;
pub mod reply;
pub mod smtp_command;
pub mod token;
pub mod wrap;
