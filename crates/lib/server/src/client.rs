//! Accepting clients, also those that another process hands over.

use crate::Transport;
use postern_sys::{fdpass, socket};
use postern_wire::{Channel, Deadline};
use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long a handing-over peer may take, for the descriptor and again for the attributes.
const PASS_LIMIT: Duration = Duration::from_secs(100);
/// The longest attribute list of a handed-over connection.
const PASS_LIST_LIMIT: usize = 4096;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    /// The stream, with the skeleton's time limit set.
    pub channel: Channel,
    /// How it came.
    pub kind: ClientKind,
}

/// How a client came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKind {
    /// Over TCP.
    Inet,
    /// Over a UNIX stream socket.
    Unix,
    /// Handed over by another process, with what that process knows about the peer.
    Pass(PassAttributes),
    /// On standard input and output.
    StandAlone,
}

/// What comes with a handed-over connection. Absent attributes are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassAttributes {
    /// The remote address.
    pub client_address: Option<String>,
    /// The remote port.
    pub client_port: Option<String>,
    /// The local address.
    pub server_address: Option<String>,
    /// The local port.
    pub server_port: Option<String>,
}

/// How long a process rests that cannot accept: the system lacks descriptors or memory, and the
/// client still waits.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The system did not let a client in that waits; this is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AcceptFailed;

/// Accepts one connection, and logs what keeps it from that.
pub(crate) fn accept_fd(listener: impl AsFd) -> Result<Option<OwnedFd>, AcceptFailed> {
    socket::accept(listener).map_err(|error| {
        // No error line: a shortage that lasts must not end the process.
        log::warn!("accept connection: {}", postern_sys::error_text(&error));
        AcceptFailed
    })
}

/// Accepts one client. `None` when nobody waits.
pub(crate) fn accept(
    listener: impl AsFd,
    transport: Transport,
    timeout: Duration,
) -> Result<Option<Client>, AcceptFailed> {
    loop {
        let Some(fd) = accept_fd(&listener)? else {
            return Ok(None);
        };
        let (fd, kind) = match transport {
            Transport::Inet => (fd, ClientKind::Inet),
            Transport::Pass => match receive_passed(fd) {
                Ok((fd, attributes)) => (fd, ClientKind::Pass(attributes)),
                Err(error) => {
                    log::warn!("pass_accept_attr: {error}");
                    continue;
                }
            },
            Transport::Unix | Transport::Fifo | Transport::Datagram => (fd, ClientKind::Unix),
        };
        // Accepted TCP connections have the listener's options; a connection handed over may not.
        if matches!(kind, ClientKind::Pass(_)) {
            socket::tune_tcp(&fd);
        }
        return Ok(Some(Client {
            channel: channel(fd, timeout),
            kind,
        }));
    }
}

fn channel(fd: OwnedFd, timeout: Duration) -> Channel {
    let mut channel = Channel::new(fd);
    channel.set_timeout(timeout);
    channel
}

/// The client on standard input and output.
pub(crate) fn stand_alone(timeout: Duration) -> io::Result<Client> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let mut channel = Channel::from_pair(input, output);
    channel.set_timeout(timeout);
    Ok(Client {
        channel,
        kind: ClientKind::StandAlone,
    })
}

/// Takes over a connection: the descriptor first, then one attribute list.
fn receive_passed(fd: OwnedFd) -> Result<(OwnedFd, PassAttributes), String> {
    let describe = |error: io::Error| {
        format!(
            "cannot receive file descriptor: {}",
            postern_sys::error_text(&error)
        )
    };
    match socket::wait(&fd, socket::Interest::Read, Some(PASS_LIMIT)) {
        Ok(true) => {}
        Ok(false) => return Err(describe(postern_wire::timed_out())),
        Err(error) => return Err(describe(error)),
    }
    let passed = fdpass::recv_fd(&fd).map_err(describe)?;
    postern_sys::file::set_nonblocking(&passed, false).map_err(describe)?;
    let mut channel = Channel::new(fd);
    channel.set_deadline(Some(Deadline {
        limit: PASS_LIMIT,
        min_data_rate: 0,
    }));
    let attributes = read_attributes(&mut channel).map_err(|error| {
        format!(
            "cannot receive connection attributes: {}",
            postern_sys::error_text(&error)
        )
    })?;
    Ok((passed, attributes))
}

/// Reads `name NUL value NUL … NUL` in any order; unknown names are skipped, the first of several
/// equal names counts.
fn read_attributes(input: &mut impl BufRead) -> io::Result<PassAttributes> {
    let mut attributes = PassAttributes::default();
    let mut budget = PASS_LIST_LIMIT;
    loop {
        let name = read_text(input, &mut budget)?;
        if name.is_empty() {
            return Ok(attributes);
        }
        let value = read_text(input, &mut budget)?;
        let place = match name.as_str() {
            "client_address" => &mut attributes.client_address,
            "client_port" => &mut attributes.client_port,
            "server_address" => &mut attributes.server_address,
            "server_port" => &mut attributes.server_port,
            _ => continue,
        };
        place.get_or_insert(value);
    }
}

fn read_text(input: &mut impl BufRead, budget: &mut usize) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = available.iter().position(|byte| *byte == 0);
        let taken = end.map_or(available.len(), |at| at + 1);
        *budget = budget
            .checked_sub(taken)
            .ok_or(io::ErrorKind::InvalidData)?;
        text.extend_from_slice(available.get(..end.unwrap_or(taken)).unwrap_or_default());
        input.consume(taken);
        if end.is_some() {
            return String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn passed_connection_arrives_with_its_attributes() {
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        let (far, near) = UnixStream::pair().unwrap();
        fdpass::send_fd(&sender, &near).unwrap();
        sender
            .write_all(b"server_port\x002527\0odd\0x\0client_address\x00127.0.0.1\0client_port\x0040998\0\0")
            .unwrap();
        let (fd, attributes) = receive_passed(receiver.into()).unwrap();
        assert_eq!(attributes.client_address.as_deref(), Some("127.0.0.1"));
        assert_eq!(attributes.client_port.as_deref(), Some("40998"));
        assert_eq!(attributes.server_address, None);
        assert_eq!(attributes.server_port.as_deref(), Some("2527"));
        drop((near, fd));
        assert!(socket::is_at_end(&far));
    }

    #[test]
    fn a_client_that_fails_does_not_hide_those_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        UnixStream::connect(&path).unwrap().write_all(b"x").unwrap();
        let mut sender = UnixStream::connect(&path).unwrap();
        let (_far, near) = UnixStream::pair().unwrap();
        fdpass::send_fd(&sender, &near).unwrap();
        sender
            .write_all(b"client_address\x00192.0.2.1\0\0")
            .unwrap();
        let accept = || accept(&listener, Transport::Pass, Duration::from_secs(1)).unwrap();
        let client = accept().unwrap();
        assert!(matches!(client.kind, ClientKind::Pass(_)));
        assert!(accept().is_none());
    }

    #[test]
    fn hostile_attribute_lists_are_refused() {
        let cases: &[&[u8]] = &[
            b"name",
            b"name\0value\0",
            &[b'x'; 5000],
            b"client_address\0\xff\0\0",
        ];
        for input in cases {
            assert!(read_attributes(&mut &input[..]).is_err());
        }
        assert_eq!(
            read_attributes(&mut &b"\0"[..]).unwrap(),
            PassAttributes::default()
        );
    }
}
