//! Mail syntax, pure: addresses, SMTP commands and replies, headers, MIME. No I/O, no clock, no configuration.
#![forbid(unsafe_code)]
