//! Connecting to peers.

use crate::Channel;
use postern_sys::socket;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Connects to a UNIX stream socket. `limit` bounds the connecting only; set the limits of the
/// dialogue with [`Channel::set_timeout`].
pub fn connect_unix(path: &Path, limit: Duration) -> io::Result<Channel> {
    let stream = socket::connect_unix(path, nonzero(limit))?;
    Ok(Channel::with_send_timeout(stream.into(), limit))
}

/// Connects to a TCP peer, from the local address `bind` when given. `limit` bounds the connecting
/// only; zero is for ever.
pub fn connect_tcp(
    address: SocketAddr,
    bind: Option<SocketAddr>,
    limit: Duration,
) -> io::Result<Channel> {
    let stream = socket::connect_tcp(address, bind, nonzero(limit))?;
    socket::tune_tcp(&stream);
    Ok(Channel::with_send_timeout(stream.into(), limit))
}

fn nonzero(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then_some(limit)
}
