//! Connections of the `tcp` and `socketmap` tables.

use postern_wire::{Channel, connect_tcp, connect_unix};
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

/// Where a table's server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    /// `host:port`; IPv6 addresses in brackets.
    Inet(String),
    /// Path of a socket.
    Unix(String),
}

impl Server {
    /// Connects; connecting and each later read or write may take `limit`.
    pub(crate) fn connect(&self, limit: Duration) -> io::Result<Channel> {
        let mut channel = match self {
            Self::Unix(path) => connect_unix(Path::new(path), limit)?,
            Self::Inet(host) => connect_any(host, limit)?,
        };
        channel.set_timeout(limit);
        Ok(channel)
    }
}

/// Tries every address of `host:port`.
fn connect_any(host: &str, limit: Duration) -> io::Result<Channel> {
    // A host that is left out is this host.
    let host = if host.starts_with(':') {
        format!("localhost{host}")
    } else {
        host.to_owned()
    };
    let mut last = io::Error::from_raw_os_error(nix::errno::Errno::EADDRNOTAVAIL as i32);
    for address in host.to_socket_addrs()? {
        match connect_tcp(address, None, limit) {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error,
        }
    }
    Err(last)
}
