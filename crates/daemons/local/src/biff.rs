//! Tells comsat(8) that mail has come.

use std::net::UdpSocket;

/// biff/udp in the list of services, should the system not know it.
const PORT: u16 = 512;

/// Sends `USER@OFFSET` to this host's comsat service; nobody need listen.
pub(crate) fn notify(user: &[u8], offset: u64) {
    let mut message = user.to_vec();
    message.extend_from_slice(format!("@{offset}\0").as_bytes());
    let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&message, ("127.0.0.1", PORT)));
    if let Err(error) = sent {
        log::debug!("biff: {error}");
    }
}
