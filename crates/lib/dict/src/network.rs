//! Connections to table servers.

use postern_config::master_cf::split_inet_name;
use postern_sys::user::service_port;
use postern_wire::{Channel, Received, connect_tcp, connect_unix};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
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
            Some(("unix" | "local", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            Some(("inet", place)) if !place.is_empty() => Self::inet(place),
            None | Some(("unix" | "local" | "inet", _)) => Err(OpenError(format!(
                "need service transport:endpoint instead of \"{text}\""
            ))),
            Some((scheme, _)) => Err(OpenError(format!(
                "invalid transport name: {scheme} in service: {text}"
            ))),
        }
    }

    /// The server at `place`, `[host:]port`.
    ///
    /// # Errors
    ///
    /// `place` is no such thing. Whether the host and the port exist shows when one connects.
    pub(crate) fn inet(place: &str) -> Result<Self, OpenError> {
        split_inet_name(place).map_err(|what| OpenError(format!("{place}: {what}")))?;
        Ok(Self::Inet(place.to_owned()))
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

/// Whether the server has neither closed the connection nor said anything without being asked. What it said
/// would be taken for the answer to the next question; with the connection, it is gone for good.
pub(crate) fn is_in_step(channel: &mut Channel) -> bool {
    if channel.pending() > 0 {
        return false;
    }
    if channel.layer().is_some() {
        // Encryption has messages of its own, which say nothing about answers.
        return !channel.is_closed_by_peer();
    }
    matches!(channel.receive_now(1), Ok(Received::Nothing))
}

/// Tables are made of C strings elsewhere: a value ends at its first NUL.
pub(crate) fn until_nul(mut value: BString) -> BString {
    if let Some(end) = value.find_byte(0) {
        value.truncate(end);
    }
    value
}

/// Tries every address of a place.
fn connect_any(place: &str, limit: Duration) -> io::Result<Channel> {
    let mut last = io::Error::from_raw_os_error(nix::errno::Errno::EADDRNOTAVAIL as i32);
    let addresses = match addresses(place) {
        Ok(addresses) => addresses,
        Err(why) => {
            log::warn!("host or service {place} not found: {why}");
            return Err(last);
        }
    };
    for address in addresses {
        match connect_tcp(address, None, limit) {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of `host:port`, `[host]:port`, or a port of this host; a port may have a name.
fn addresses(place: &str) -> Result<impl Iterator<Item = SocketAddr>, String> {
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]:"))
    {
        Some(parts) => parts,
        None => place.rsplit_once(':').unwrap_or(("", place)),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = if host.is_empty() { "localhost" } else { host };
    let port = match port.parse() {
        Ok(number) => Some(number),
        Err(_) => service_port(port),
    };
    let port = port.ok_or("Servname not supported for ai_socktype")?;
    (host, port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        match text.split_once(": ") {
            Some((_, why)) => why.to_owned(),
            None => text,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_one_is_told_when_the_table_is_opened() {
        #[rustfmt::skip]
        let cases = [
            ("inet:127.0.0.1", "127.0.0.1: garbage after numerical service"),
            ("inet:127.0.0.1:1x", "127.0.0.1:1x: garbage after numerical service"),
            ("inet:x:y:z", "x:y:z: valid hostname or network address required"),
            ("inet:[::1]", "[::1]: missing service information"),
            ("inet:[::1]x:1", "[::1]x:1: garbage after \"]\""),
            ("inet:[::1:5", "[::1:5: missing \"]\""),
            ("inet:127.0.0.1:", "127.0.0.1:: missing service information"),
            ("inet:", "need service transport:endpoint instead of \"inet:\""),
            ("unix:", "need service transport:endpoint instead of \"unix:\""),
            ("foo", "need service transport:endpoint instead of \"foo\""),
            ("foo:bar", "invalid transport name: foo in service: foo:bar"),
        ];
        for (server, want) in cases {
            assert_eq!(Server::parse(server).unwrap_err().to_string(), want);
        }
        for place in [
            "1",
            ":1",
            "x",
            "127.0.0.1:smtp",
            "[::1]:9",
            "::1:9",
            "no_such.example:9",
        ] {
            assert!(Server::inet(place).is_ok(), "{place}");
        }
    }

    #[test]
    fn places_have_a_host_and_a_port_or_the_name_of_one() {
        #[rustfmt::skip]
        let cases = [
            ("127.0.0.1:9", Some("127.0.0.1:9")), ("[127.0.0.1]:9", Some("127.0.0.1:9")), ("[::1]:9", Some("[::1]:9")),
            ("::1:9", Some("[::1]:9")), ("127.0.0.1:smtp", Some("127.0.0.1:25")), ("127.0.0.1:no-such-service", None),
            ("127.0.0.1:99999", None), ("127.0.0.1", None), ("x", None), ("", None), ("[127.0.0.1]", None),
        ];
        for (place, want) in cases {
            let first = addresses(place).ok().and_then(|mut all| all.next());
            assert_eq!(
                first.map(|address| address.to_string()).as_deref(),
                want,
                "{place}"
            );
        }
        for place in ["9", ":9", "localhost:9"] {
            let mut all = addresses(place).unwrap();
            assert!(all.all(|address| address.ip().is_loopback() && address.port() == 9));
        }
    }
}
