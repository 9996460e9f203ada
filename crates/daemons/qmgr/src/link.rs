//! A connection to an internal service that never makes the caller wait.
//!
//! Bytes to send and bytes received are kept here until the peer takes them or a whole attribute
//! list is there. The link knows no protocol but the shape of a list.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use postern_attr::{AttrError, Encoding, Extra};
use postern_server::{Interest, Reactor, TimerId, Token};
use postern_sys::socket::recv_append_now;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Bytes that are received at once; nearly every list is shorter.
const CHUNK: usize = 1024;
/// Longest list that a service may send.
const INPUT_LIMIT: usize = 1024 * 1024;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    pub(crate) token: Token,
    /// The events tell of room for output, too.
    waits_for_room: bool,
    input: Vec<u8>,
    /// The peer sent its last byte, or the connection broke.
    ended: bool,
    output: Vec<u8>,
    timer: Option<TimerId>,
}

impl Link {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Those of connect(2); `EAGAIN` when the server's backlog is full.
    pub(crate) fn connect(reactor: &mut Reactor, path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        let stream = UnixStream::from(fd);
        // The room for output is there already; waiting for it as well would wake this process up
        // once more whenever the peer has read something.
        let token = reactor.register(&stream, Interest::Read)?;
        Ok(Self {
            stream,
            token,
            waits_for_room: false,
            input: Vec::new(),
            ended: false,
            output: Vec::new(),
            timer: None,
        })
    }

    /// Starts the wait for the peer's next step anew.
    pub(crate) fn set_limit(&mut self, reactor: &mut Reactor, limit: Duration) {
        if let Some(old) = self.timer.replace(reactor.set_timer(limit)) {
            reactor.cancel_timer(old);
        }
    }

    /// Whether this timer is the link's.
    pub(crate) fn is_limit(&self, timer: TimerId) -> bool {
        self.timer == Some(timer)
    }

    /// Adds bytes to send, and sends what the peer takes now.
    pub(crate) fn send(&mut self, reactor: &mut Reactor, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.write();
        if !self.is_sent() && !self.waits_for_room {
            self.waits_for_room = true;
            let watched = reactor.reregister(self.token, &self.stream, Interest::Both);
            self.ended |= watched.is_err();
        }
    }

    /// Whether everything was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.output.is_empty()
    }

    /// Moves bytes after an event.
    pub(crate) fn ready(&mut self, readable: bool, writable: bool) {
        if writable {
            self.write();
        }
        if readable {
            self.read();
        }
    }

    fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // What the peer wrote before it went is still to be read.
                    self.read();
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn read(&mut self) {
        while !self.ended {
            match recv_append_now(&self.stream, &mut self.input, CHUNK) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    // What the caller waits for. The next event tells of anything that follows.
                    if count < CHUNK && self.has_list() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.ended = true,
            }
            if self.input.len() > INPUT_LIMIT {
                self.ended = true;
            }
        }
    }

    fn has_list(&self) -> bool {
        postern_attr::complete_list(&self.input, Encoding::Null).is_some()
    }

    /// The next list, when all of it is there; an error when it is malformed or will never come.
    pub(crate) fn list<T: DeserializeOwned>(&mut self) -> Option<Result<T, AttrError>> {
        if !self.ended && !self.has_list() {
            return None;
        }
        let mut input = self.input.as_slice();
        let list = postern_attr::read(&mut input, Encoding::Null, Extra::Refuse);
        let rest = input.len();
        self.input.drain(..self.input.len() - rest);
        Some(list)
    }

    /// Closes the connection.
    pub(crate) fn close(self, reactor: &mut Reactor) {
        if let Some(timer) = self.timer {
            reactor.cancel_timer(timer);
        }
        // Nobody else has the descriptor: with it, the kernel's watch ends, too.
        drop(self.stream);
    }
}

/// The text for a list that did not come as it should, after `warning: PATH: `.
pub(crate) fn trouble_text(error: &AttrError) -> &'static str {
    if error.is_disconnect() {
        "premature disconnect"
    } else {
        "malformed response"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_ipc::{Announcement, StatusReply};
    use postern_server::Event;
    use std::io::Read;

    fn wait(reactor: &mut Reactor, link: &mut Link) {
        let mut events = Vec::new();
        reactor
            .wait(Some(Duration::from_secs(10)), &mut events)
            .unwrap();
        for event in events {
            if let Event::Ready {
                readable, writable, ..
            } = event
            {
                link.ready(readable, writable);
            }
        }
    }

    #[test]
    fn lists_come_in_pieces_and_a_large_request_waits_for_the_peer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let mut link = Link::connect(&mut reactor, &path).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"protocol\0delivery_re").unwrap();
        wait(&mut reactor, &mut link);
        assert!(link.list::<Announcement>().is_none());
        peer.write_all(b"quest_protocol\0\0").unwrap();
        while link.input.len() < 30 {
            wait(&mut reactor, &mut link);
        }
        let list: Announcement = link.list().unwrap().unwrap();
        assert_eq!(list.protocol, "delivery_request_protocol");
        let large = vec![b'x'; 4 * 1024 * 1024];
        link.send(&mut reactor, &large);
        assert!(!link.is_sent());
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; large.len()];
            peer.read_exact(&mut got).unwrap();
            peer.write_all(b"status\0").unwrap();
            got == large
        });
        while !link.ended {
            wait(&mut reactor, &mut link);
        }
        assert!(link.is_sent());
        assert!(reader.join().unwrap());
        let error = link.list::<StatusReply>().unwrap().unwrap_err();
        assert_eq!(trouble_text(&error), "premature disconnect");
        link.close(&mut reactor);
        assert!(Link::connect(&mut reactor, &directory.path().join("none")).is_err());
    }
}
