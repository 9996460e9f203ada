//! Where to connect or listen: `[inet:][host][:port]` or `unix:pathname`.

use postern_sys::socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Which internet protocols may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// One end of the connections, with all its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP; at least one address.
    Inet(Vec<SocketAddr>),
    /// A UNIX-domain stream socket.
    Unix(PathBuf),
}

/// Why a text names no end point. `Display` is the text after `fatal: `.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The host is unknown.
    #[error("{0}: {1}")]
    Host(String, String),
    /// The port is neither a number nor a known service.
    #[error("{0}: Servname not supported for ai_socktype")]
    Service(String),
    /// There is no host to connect to.
    #[error("{0}: missing host information")]
    NoHost(String),
    /// The host has no address of the wanted family.
    #[error("{0}: Address family for hostname not supported")]
    Family(String),
}

impl Endpoint {
    /// Reads where to connect; `service` is the port when none is given.
    pub fn to_connect(text: &str, service: &str, family: Family) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let inside = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = split(inside);
        if host.is_empty() {
            return Err(EndpointError::NoHost(inside.to_owned()));
        }
        let port = match port {
            None | Some("") => service,
            Some(port) => port,
        };
        addresses(inside, host, port, family)
    }

    /// Reads where to listen: a single word is a port.
    pub fn to_listen(text: &str, family: Family) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let inside = text.strip_prefix("inet:").unwrap_or(text);
        match split(inside) {
            (port, None) => addresses(inside, "", port, family),
            (host, Some(port)) => addresses(inside, host, port, family),
        }
    }

    /// Starts to connect; the non-blocking socket becomes writable when that has ended. For internet
    /// hosts with several addresses, `attempt` chooses one.
    pub fn begin_connect(&self, attempt: usize, window: Option<usize>) -> io::Result<OwnedFd> {
        match self {
            Self::Inet(addresses) => {
                let at = attempt % addresses.len().max(1);
                let address = addresses.get(at).ok_or(io::ErrorKind::NotFound)?;
                socket::begin_connect_tcp(*address, window)
            }
            Self::Unix(path) => Ok(socket::connect_unix(path, None)?.into()),
        }
    }

    /// Listens with room for `backlog` waiting connections. The error is the text after `fatal: `.
    pub fn listen(&self, backlog: i32, window: Option<usize>) -> Result<Listener, String> {
        let listener = match self {
            Self::Unix(path) => Listener::Unix(listen_unix(path, backlog)?),
            Self::Inet(addresses) => {
                let address = addresses.first().copied().unwrap_or(UNSPECIFIED);
                Listener::Inet(socket::listen_tcp(address, backlog).map_err(|error| {
                    let text = postern_sys::error_text(&error);
                    format!("bind {} port {}: {text}", address.ip(), address.port())
                })?)
            }
        };
        if let Some(window) = window {
            socket::set_window(&listener, window)
                .map_err(|error| format!("set window: {}", postern_sys::error_text(&error)))?;
        }
        postern_sys::file::set_nonblocking(&listener, true)
            .map_err(|error| format!("fcntl: {}", postern_sys::error_text(&error)))?;
        Ok(listener)
    }
}

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn listen_unix(path: &Path, backlog: i32) -> Result<UnixListener, String> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let shown = path.display();
    let failed = |error: io::Error| format!("bind: {shown}: {}", postern_sys::error_text(&error));
    // A socket that an earlier run left is in the way; anything else is not ours.
    if path
        .symlink_metadata()
        .is_ok_and(|data| data.file_type().is_socket())
    {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = socket::listen_unix(path, backlog).map_err(failed)?;
    // Everybody may connect, as everybody may connect to a TCP port.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

/// A listening socket that does not block.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Inet(TcpListener),
    /// UNIX-domain.
    Unix(UnixListener),
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Inet(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Host and, if there is one, port. A host may stand in brackets; several colons make an IPv6 address.
fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn addresses(
    text: &str,
    host: &str,
    port: &str,
    family: Family,
) -> Result<Endpoint, EndpointError> {
    let port = port_number(port).ok_or_else(|| EndpointError::Service(text.to_owned()))?;
    let all: Vec<SocketAddr> = if host.is_empty() {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        vec![v4, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]
    } else {
        let found = (host, port).to_socket_addrs();
        found
            .map_err(|error| EndpointError::Host(text.to_owned(), resolver_text(&error)))?
            .collect()
    };
    let wanted: Vec<SocketAddr> = all
        .into_iter()
        .filter(|address| match family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        })
        .collect();
    if wanted.is_empty() {
        return Err(EndpointError::Family(text.to_owned()));
    }
    Ok(Endpoint::Inet(wanted))
}

fn port_number(text: &str) -> Option<u16> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        postern_sys::user::service_port(text)
    }
}

/// The resolver's own text, without what the standard library puts before it.
fn resolver_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((_, text)) => text.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("host", "host", None),
            ("host:25", "host", Some("25")),
            (":25", "", Some("25")),
            ("[::1]:25", "::1", Some("25")),
            ("[127.0.0.1]", "127.0.0.1", None),
            ("::1", "::1", None),
        ];
        for (text, host, port) in cases {
            assert_eq!(split(text), (*host, *port), "{text}");
        }
    }

    #[test]
    fn end_points_are_read_for_either_side() {
        let v4 = |text: &str| Ok(Endpoint::Inet(vec![text.parse().unwrap()]));
        assert_eq!(
            Endpoint::to_connect("127.0.0.1", "25", Family::Any),
            v4("127.0.0.1:25")
        );
        assert_eq!(
            Endpoint::to_connect("inet:127.0.0.1:26", "25", Family::V4),
            v4("127.0.0.1:26")
        );
        assert_eq!(Endpoint::to_listen("2525", Family::V4), v4("0.0.0.0:2525"));
        assert_eq!(
            Endpoint::to_connect("inet::25", "25", Family::Any),
            Err(EndpointError::NoHost(":25".to_owned()))
        );
        assert_eq!(
            Endpoint::to_connect("unix:/a/b", "25", Family::Any),
            Ok(Endpoint::Unix("/a/b".into()))
        );
        assert_eq!(
            Endpoint::to_listen("127.0.0.1:no-such", Family::Any).map_err(|e| e.to_string()),
            Err("127.0.0.1:no-such: Servname not supported for ai_socktype".to_owned())
        );
        assert_eq!(
            Endpoint::to_listen("127.0.0.1:25", Family::V6),
            Err(EndpointError::Family("127.0.0.1:25".to_owned()))
        );
    }
}
