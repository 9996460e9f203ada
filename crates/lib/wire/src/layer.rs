//! The bytes on the socket, and what may lie between them and the application.

use postern_sys::socket::{self, Interest};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// One or two descriptors with time limits on every operation.
///
/// Sockets carry their limits in the kernel, so that no poll precedes a read or write; other
/// descriptors (pipes in stand-alone mode) are polled.
#[derive(Debug)]
pub struct Raw {
    input: File,
    output: Option<File>,
    is_socket: bool,
    read_limit: Duration,
    write_limit: Duration,
    /// What the kernel knows of `write_limit`; told only when a write has to wait.
    kernel_write_limit: Duration,
}

impl Raw {
    /// `sent_limit` is the send timeout that the socket has already.
    pub(crate) fn new(input: OwnedFd, output: Option<OwnedFd>, sent_limit: Duration) -> Self {
        Self {
            input: input.into(),
            is_socket: output.is_none(),
            output: output.map(File::from),
            read_limit: Duration::ZERO,
            write_limit: Duration::ZERO,
            kernel_write_limit: sent_limit,
        }
    }

    /// How long the next reads and writes may take; zero is for ever. Costs a system call only when
    /// the limit changes.
    pub(crate) fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
        if self.is_socket && limit != self.read_limit {
            socket::set_receive_timeout(&self.input, limit)?;
        }
        self.read_limit = limit;
        Ok(())
    }

    pub(crate) fn set_write_limit(&mut self, limit: Duration) {
        self.write_limit = limit;
    }

    /// Most writes fit the socket's buffer; only those that must wait need the time limit.
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        match socket::send_now(&self.input, data) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        if self.kernel_write_limit != self.write_limit {
            socket::set_send_timeout(&self.input, self.write_limit)?;
            self.kernel_write_limit = self.write_limit;
        }
        socket::send(&self.input, data).map_err(would_block_is_timeout)
    }

    /// The reading side.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// The writing side; the same as the reading side for sockets.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_ref().unwrap_or(&self.input).as_fd()
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.is_socket
    }

    pub(crate) fn into_input(self) -> OwnedFd {
        self.input.into()
    }

    fn wait(&self, fd: BorrowedFd<'_>, interest: Interest, limit: Duration) -> io::Result<()> {
        if self.is_socket || limit.is_zero() || socket::wait(fd, interest, Some(limit))? {
            Ok(())
        } else {
            Err(crate::timed_out())
        }
    }
}

impl Raw {
    /// Reads up to `limit` bytes, which are appended to `buffer`.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        if self.is_socket {
            return socket::recv_append(&self.input, buffer, limit).map_err(would_block_is_timeout);
        }
        let old = buffer.len();
        buffer.resize(old.saturating_add(limit), 0);
        let result = self.read(buffer.get_mut(old..).unwrap_or_default());
        buffer.truncate(old.saturating_add(*result.as_ref().unwrap_or(&0)));
        result
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_socket {
            return socket::recv(&self.input, buffer).map_err(would_block_is_timeout);
        }
        self.wait(self.input(), Interest::Read, self.read_limit)?;
        retry(|| self.input.read(buffer))
    }
}

impl Write for Raw {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.is_socket {
            return self.send(data);
        }
        self.wait(self.output(), Interest::Write, self.write_limit)?;
        retry(|| self.output.as_mut().unwrap_or(&mut self.input).write(data))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn would_block_is_timeout(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        crate::timed_out()
    } else {
        error
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Something between the socket and the application that changes the bytes: TLS.
///
/// Every call gets the raw stream, whose time limits are already set for the operation.
pub trait Layer: Send {
    /// Reads decrypted bytes; 0 is the end of input.
    fn read(&mut self, raw: &mut Raw, buffer: &mut [u8]) -> io::Result<usize>;
    /// Encrypts and writes all of `data` to the raw stream.
    fn write_all(&mut self, raw: &mut Raw, data: &[u8]) -> io::Result<()>;
    /// Whether decrypted input waits that a poll of the socket would not show.
    fn has_pending(&self) -> bool;
    /// Says good-bye to the peer, as far as that works without waiting.
    fn shutdown(&mut self, raw: &mut Raw);
    /// The layer's own type, for facts such as the protocol version.
    fn as_any(&self) -> &dyn std::any::Any;
}
