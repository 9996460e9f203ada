//! Connections to table servers.

use postern_wire::{Channel, Received, connect_tcp, connect_unix};
use std::fmt;
use std::io::{self, BufRead};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use bstr::{BString, ByteSlice};

use crate::OpenError;

/// Where a table's server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    /// `host:port`; IPv6 addresses in brackets.
    Inet(String),
    /// Path of a socket.
    Unix(String),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(place) | Self::Unix(place) => f.write_str(place),
        }
    }
}

impl Server {
    /// `inet:host:port`, `unix:path` or `local:path`.
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        match text.split_once(':') {
            Some(("unix" | "local", path)) => Ok(Self::Unix(path.to_owned())),
            Some(("inet", host)) => Ok(Self::Inet(host.to_owned())),
            None => Err(OpenError(format!(
                "need service transport:endpoint instead of \"{text}\""
            ))),
            Some((scheme, _)) => Err(OpenError(format!(
                "invalid transport name: {scheme} in service: {text}"
            ))),
        }
    }

    /// The host without its port, as certificates name it.
    #[cfg(feature = "redis")]
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Inet(place) => {
                let host = place
                    .rsplit_once(':')
                    .map_or(place.as_str(), |(host, _)| host);
                host.trim_start_matches('[').trim_end_matches(']')
            }
            Self::Unix(_) => "localhost",
        }
    }

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

/// Bytes that a server may say without being asked.
const MOST_UNASKED: usize = 64 * 1024;

/// Drops what a server said without being asked: it is no answer to the next question.
///
/// # Errors
///
/// What the connection suffered from, or the server talks on and on.
pub(crate) fn drop_unasked(channel: &mut Channel) -> io::Result<()> {
    let mut dropped = 0;
    loop {
        let pending = channel.pending();
        channel.consume(pending);
        dropped += pending;
        if dropped > MOST_UNASKED {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match channel.receive_now(MOST_UNASKED)? {
            Received::Some | Received::Full => {}
            Received::Nothing | Received::End => return Ok(()),
        }
    }
}

/// Tables are made of C strings elsewhere: a value ends at its first NUL.
pub(crate) fn until_nul(mut value: BString) -> BString {
    if let Some(end) = value.find_byte(0) {
        value.truncate(end);
    }
    value
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
