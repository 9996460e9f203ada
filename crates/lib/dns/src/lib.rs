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

/// A door for the targets of `fuzz/`, which exists only in their builds.
#[cfg(fuzzing)]
pub mod fuzzing {
    use crate::Type;
    use crate::wire::{self, Question};

    /// Decodes `reply` as the answer to each kind of question; the names are those of the seeds.
    pub fn decode(reply: &[u8]) {
        let id = match reply {
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        for rtype in [
            Type::A,
            Type::Mx,
            Type::Ptr,
            Type::Txt,
            Type::Srv,
            Type::Tlsa,
        ] {
            let question = Question {
                name: "a.test",
                rtype,
                edns: true,
                dnssec: true,
                ad: true,
            };
            if let Ok(message) = wire::decode(id, &question, reply) {
                assert!(message.answers.len() <= wire::MAX_RECORDS);
            }
        }
    }
}
