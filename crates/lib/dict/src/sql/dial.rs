//! Connections to database servers, and what the `hosts` parameter says about where they are.

use postern_sys::user::service_port;
use postern_wire::{Channel, Deadline, connect_tcp, connect_unix};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::OpenError;

/// `host`, `host:port`, `[address]` or `[address]:port`; a port may be the name of a service.
pub(super) fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some(inside) = text.strip_prefix('[')
        && let Some((address, rest)) = inside.split_once(']')
    {
        return (
            address,
            rest.strip_prefix(':').filter(|port| !port.is_empty()),
        );
    }
    match text.split_once(':') {
        Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
        None => (text, None),
    }
}

/// The number of a port, in the words that Postfix ends with when there is none.
pub(super) fn port_number(text: &str) -> Result<u16, OpenError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map_err(|_| OpenError(format!("bad port number: {text}")));
    }
    service_port(text).ok_or_else(|| OpenError(format!("unknown service: {text}/tcp")))
}

/// Why nobody was reached.
#[derive(Debug)]
pub(super) enum DialError {
    /// The name has no address.
    Name(io::Error),
    /// The last address that was tried, if it is not the text of the name itself.
    Connect {
        address: Option<IpAddr>,
        error: io::Error,
    },
}

/// What is left until `end`; at least a little, because zero would mean "for ever".
pub(super) fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// All that `channel` does from now on has to be done at `end`.
pub(super) fn limit(channel: &mut Channel, end: Instant) {
    channel.set_deadline(Some(Deadline {
        limit: left(end),
        min_data_rate: 0,
    }));
}

/// Connects to the socket at `path`.
pub(super) fn dial_unix(path: &str, end: Instant) -> io::Result<Channel> {
    connect_unix(Path::new(path), left(end))
}

/// Connects to `host`, a name or an address, trying each of its addresses.
pub(super) fn dial(host: &str, port: u16, end: Instant) -> Result<Channel, DialError> {
    let literal = host.parse::<IpAddr>().ok();
    let addresses: Vec<SocketAddr> = match literal {
        Some(address) => vec![(address, port).into()],
        None => (host, port)
            .to_socket_addrs()
            .map_err(DialError::Name)?
            .collect(),
    };
    let mut last = DialError::Name(io::Error::from(io::ErrorKind::NotFound));
    for (index, address) in addresses.iter().enumerate() {
        // A dead address must leave time for the next.
        let share = u32::try_from(addresses.len() - index).unwrap_or(1);
        match connect_tcp(
            *address,
            None,
            (left(end) / share).max(Duration::from_millis(1)),
        ) {
            Ok(channel) => return Ok(channel),
            Err(error) => {
                last = DialError::Connect {
                    address: literal.is_none().then_some(address.ip()),
                    error,
                }
            }
        }
    }
    Err(last)
}

/// The system's number of an error, as database libraries show it.
pub(super) fn number(error: &io::Error) -> i32 {
    let default = if postern_wire::is_timeout(error) {
        nix::errno::Errno::ETIMEDOUT as i32
    } else {
        0
    };
    error.raw_os_error().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_with_or_without_port() {
        #[rustfmt::skip]
        let cases: &[(&str, (&str, Option<&str>))] = &[
            ("db", ("db", None)), ("db:33", ("db", Some("33"))), ("db:", ("db", None)),
            ("[::1]", ("::1", None)), ("[::1]:33", ("::1", Some("33"))), ("127.0.0.1:x", ("127.0.0.1", Some("x"))),
        ];
        for (text, want) in cases {
            assert_eq!(host_and_port(text), *want, "{text}");
        }
        assert_eq!(port_number("33"), Ok(33));
        let text = |port: &str| port_number(port).unwrap_err().to_string();
        assert_eq!(text("99999"), "bad port number: 99999");
        assert_eq!(
            text("no-such-service"),
            "unknown service: no-such-service/tcp"
        );
    }
}
