//! Opening connections (smtp-client.md §3.4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use postern_sys::nix;
use postern_wire::Channel;

use crate::failure::Failure;
use crate::routing::Routing;
use crate::session::Peer;

/// Connects to a TCP server.
///
/// # Errors
///
/// 4.4.1 with the system's words, or 4.4.0 when the local address cannot be used and must be.
pub fn tcp(
    peer: &Peer,
    address: IpAddr,
    port: u16,
    routing: &Routing,
    timeout: Duration,
) -> Result<Channel, Failure> {
    let local = if address.is_ipv4() {
        routing.bind_v4
    } else {
        routing.bind_v6
    };
    let remote = SocketAddr::new(address, port);
    log::debug!("smtp_connect_addr: trying: {} port {port}...", peer.short());
    if let Some(local) = local {
        match postern_wire::connect_tcp(remote, Some(SocketAddr::new(local, 0)), timeout) {
            Err(error) if is_bind_error(&error) => {
                log::warn!(
                    "smtp_connect_addr: bind {local}: {}",
                    postern_sys::error_text(&error)
                );
                if routing.bind_enforce {
                    return Err(Failure::local("4.4.0", "server configuration error"));
                }
            }
            other => return other.map_err(|error| failure(peer, &error)),
        }
    }
    postern_wire::connect_tcp(remote, None, timeout).map_err(|error| failure(peer, &error))
}

/// Connects to a UNIX socket.
///
/// # Errors
///
/// 4.4.1 with the system's words.
pub fn unix(peer: &Peer, path: &str, timeout: Duration) -> Result<Channel, Failure> {
    log::debug!("smtp_connect_unix: trying: {path}...");
    postern_wire::connect_unix(Path::new(path), timeout).map_err(|error| failure(peer, &error))
}

/// bind(2) fails with these; connect(2) from a bound socket hardly ever does.
fn is_bind_error(error: &io::Error) -> bool {
    let known = [
        nix::libc::EADDRNOTAVAIL,
        nix::libc::EADDRINUSE,
        nix::libc::EACCES,
    ];
    error
        .raw_os_error()
        .is_some_and(|number| known.contains(&number))
}

fn failure(peer: &Peer, error: &io::Error) -> Failure {
    Failure::local(
        "4.4.1",
        format!(
            "connect to {}: {}",
            peer.long(),
            postern_sys::error_text(error)
        ),
    )
}
