//! The flow-control pipe that all daemons of a mail system share: each byte in it is a token that
//! lets one message in (master.md §2.5).

use nix::unistd::{read, write};
use std::os::fd::OwnedFd;

/// Both ends of the pipe, non-blocking.
#[derive(Debug)]
pub struct Flow {
    read: OwnedFd,
    write: OwnedFd,
}

/// The most tokens moved by one system call.
const CHUNK: usize = 1024;

impl Flow {
    pub(crate) fn new(read: OwnedFd, write: OwnedFd) -> Self {
        Self { read, write }
    }

    /// Takes up to `count` tokens out; the result is how many there were.
    pub fn take(&self, count: usize) -> usize {
        let mut buffer = [0; CHUNK];
        let mut taken = 0;
        while taken < count {
            let wanted = CHUNK.min(count - taken);
            match read(&self.read, buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(got) => taken += got,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        taken
    }

    /// Puts up to `count` tokens in; the result is how many there was room for.
    pub fn put(&self, count: usize) -> usize {
        let buffer = [0; CHUNK];
        let mut done = 0;
        while done < count {
            let wanted = CHUNK.min(count - done);
            match write(&self.write, buffer.get(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(got) => done += got,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        done
    }

    /// How many tokens are in the pipe.
    pub fn count(&self) -> usize {
        postern_sys::socket::available(&self.read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_out_as_they_went_in() {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
        let flow = Flow::new(read, write);
        assert_eq!(flow.take(1), 0);
        assert_eq!(flow.put(1500), 1500);
        assert_eq!(flow.count(), 1500);
        assert_eq!(flow.take(1499), 1499);
        assert_eq!(flow.take(5), 1);
    }
}
