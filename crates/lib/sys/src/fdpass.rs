//! Handing an open descriptor to another process: one NUL byte with one SCM_RIGHTS message.

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Sends `descriptor` over a UNIX stream socket; the sender keeps its own copy.
pub fn send_fd(socket: impl AsFd, descriptor: impl AsFd) -> io::Result<()> {
    let fds = [descriptor.as_fd().as_raw_fd()];
    let data = [IoSlice::new(&[0])];
    let control = [ControlMessage::ScmRights(&fds)];
    loop {
        match sendmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &data,
            &control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Receives one descriptor, close-on-exec.
///
/// # Errors
///
/// `InvalidData` when the byte came without a descriptor, `UnexpectedEof` when the peer closed.
pub fn recv_fd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut byte = [0_u8];
    let mut data = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; 4]);
    let message = loop {
        match recvmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &mut data,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(nix::Error::EINTR) => {}
            other => break other?,
        }
    };
    let mut received: Vec<OwnedFd> = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nobody else
            // has seen their numbers.
            received.extend(
                fds.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    match received.into_iter().next() {
        Some(fd) => Ok(fd),
        None if message.bytes == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no file descriptor received",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn passed_descriptor_reaches_the_same_file() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut far, near) = UnixStream::pair().unwrap();
        send_fd(&ours, &near).unwrap();
        drop(near);
        let mut got = UnixStream::from(recv_fd(&theirs).unwrap());
        far.write_all(b"x").unwrap();
        let mut byte = [0];
        got.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }

    #[test]
    fn plain_byte_and_closed_peer_are_errors() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"y").unwrap();
        assert_eq!(
            recv_fd(&theirs).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        drop(ours);
        assert_eq!(
            recv_fd(&theirs).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
