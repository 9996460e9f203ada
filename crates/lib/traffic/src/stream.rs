//! A stream that never blocks, with as much buffered output as the caller gives it.

use postern_sys::socket;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Bytes received at a time, at first; streams that fill it get more.
const CHUNK: usize = 2 * 1024;
const LARGEST_CHUNK: usize = 64 * 1024;
/// Shared texts up to this length are copied, so that one system call sends them with the rest.
const COPIED: usize = 32 * 1024;

/// What a receive found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes; more may wait.
    Data,
    /// Nothing for now.
    Nothing,
    /// The peer sends no more.
    End,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    input: Vec<u8>,
    start: usize,
    chunk: usize,
    output: VecDeque<Piece>,
    /// How much of the first piece is sent.
    sent: usize,
}

impl Stream {
    /// Takes over a connected socket.
    pub fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            input: Vec::new(),
            start: 0,
            chunk: CHUNK,
            output: VecDeque::new(),
            sent: 0,
        }
    }

    /// Received bytes that were not consumed yet.
    pub fn input(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    /// Forgets the first `count` bytes of the input.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.input.len());
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        }
    }

    /// Takes one line without its end (LF, or CR LF), if a whole one has come.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.input().iter().position(|byte| *byte == b'\n')?;
        let mut line = self.input().get(..end).unwrap_or_default().to_vec();
        self.consume(end + 1);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }

    /// Receives once, without waiting.
    pub fn receive(&mut self) -> io::Result<Received> {
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let before = self.input.len();
        self.input.resize(before + self.chunk, 0);
        let result = socket::recv_now(&self.fd, self.input.get_mut(before..).unwrap_or_default());
        self.input
            .truncate(before + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                if count == self.chunk {
                    self.chunk = self.chunk.saturating_mul(2).min(LARGEST_CHUNK);
                }
                Ok(Received::Data)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Adds bytes to the output; [`Stream::flush`] sends them.
    pub fn put(&mut self, bytes: &[u8]) {
        match self.output.back_mut() {
            Some(Piece::Own(last)) => last.extend_from_slice(bytes),
            _ => self.output.push_back(Piece::Own(bytes.to_vec())),
        }
    }

    /// Adds bytes that many streams send.
    pub fn put_shared(&mut self, bytes: &Rc<[u8]>) {
        if bytes.len() <= COPIED {
            self.put(bytes);
        } else {
            self.output.push_back(Piece::Shared(Rc::clone(bytes)));
        }
    }

    /// Sends what the peer takes without waiting; `true` when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(piece) = self.output.front() {
            let rest = piece.bytes().get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                self.output.pop_front();
                self.sent = 0;
                continue;
            }
            match socket::send_now(&self.fd, rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether output waits for the peer.
    pub fn is_sending(&self) -> bool {
        !self.output.is_empty()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_larger_than_the_socket_arrives_in_order() {
        let (near, far) = socket::pair().unwrap();
        let (mut near, mut far) = (Stream::new(near), Stream::new(far));
        let shared: Rc<[u8]> = vec![b'x'; 1_000_000].into();
        near.put(b"head\r\n");
        near.put_shared(&shared);
        near.put(b"\r\ntail\n");
        let mut got = 0;
        while !near.flush().unwrap() {
            while far.receive().unwrap() == Received::Data {}
            got = far.input().len();
        }
        while far.receive().unwrap() == Received::Data {}
        assert!(got > 0 && !near.is_sending());
        assert_eq!(far.line().unwrap(), b"head");
        assert_eq!(far.line().unwrap().len(), 1_000_000);
        assert_eq!(far.line().unwrap(), b"tail");
        assert_eq!(far.line(), None);
        drop(near);
        assert_eq!(far.receive().unwrap(), Received::End);
    }
}
