//! Tells comsat(8) that mail has come.

use std::net::UdpSocket;

use postern_sys::user::udp_service_port;

/// Sends `USER@OFFSET` to this host's comsat service; nobody need listen.
pub(crate) fn notify(user: &[u8], offset: u64) {
    let Some(port) = udp_service_port("biff") else {
        log::warn!("service not found: biff/udp");
        return;
    };
    let mut message = user.to_vec();
    message.extend_from_slice(format!("@{offset}\0").as_bytes());
    let sent = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.send_to(&message, ("127.0.0.1", port)));
    if let Err(error) = sent {
        log::debug!("biff: {error}");
    }
}
