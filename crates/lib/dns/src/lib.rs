//! Stub resolver: what libresolv, the hosts file and nsswitch.conf would answer.
//!
//! [`Resolver::lookup`] is one DNS question with Postfix's outcome classes and reason texts;
//! [`Resolver::addresses`] asks for the addresses of a host in DNS; [`Resolver::host`] and
//! [`Resolver::host_name`] are the "native" lookups, as getaddrinfo(3) and getnameinfo(3) do them;
//! [`Resolver::client_name`] is the verified name of an SMTP client. Nothing is cached: that is the
//! name server's work. This crate knows no main.cf parameter and no SMTP status code.
//!
//! The wire format is written here by hand: the handful of record types that a mail system asks for
//! needs few lines, and the general crates bring an order of magnitude more code into set-gid and
//! chrooted programs.
#![forbid(unsafe_code)]

mod hosts;
mod lookup;
mod name;
mod record;
mod resolv_conf;
mod transport;
mod wire;

pub use hosts::{ClientName, Families, HostError, HostErrorKind, NameStatus};
pub use lookup::{Answer, DnsError, ErrorKind, Options, Resolver};
pub use name::{is_host_address, is_valid_name, reverse_name, to_ascii};
pub use record::{Data, Record, Type};
pub use resolv_conf::ResolvConf;
