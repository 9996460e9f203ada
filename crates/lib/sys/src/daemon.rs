//! What master(8) leaves open for its children.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Descriptor numbers that master(8) and its children agree on.
pub const FLOW_READ: RawFd = 3;
/// Write end of the flow-control pipe.
pub const FLOW_WRITE: RawFd = 4;
/// The child's end of the status channel.
pub const STATUS: RawFd = 5;
/// The first listen socket.
pub const FIRST_LISTENER: RawFd = 6;

/// Everything a child inherits from master(8), close-on-exec.
#[derive(Debug)]
pub struct Inherited {
    /// Read end of the flow-control pipe.
    pub flow_read: OwnedFd,
    /// Write end of the flow-control pipe.
    pub flow_write: OwnedFd,
    /// Status channel; reads end-of-file when the child shall exit.
    pub status: OwnedFd,
    /// The listen sockets, in master.cf order.
    pub listeners: Vec<OwnedFd>,
}

/// Takes over the descriptors that master(8) left open at 3, 4, 5 and 6 up.
///
/// # Errors
///
/// The error of the first descriptor that is not open.
///
/// # Panics
///
/// On a second call: a descriptor has one owner.
pub fn inherited(listeners: usize) -> std::io::Result<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    assert!(
        !TAKEN.swap(true, Ordering::SeqCst),
        "inherited descriptors taken twice"
    );
    Ok(Inherited {
        flow_read: take(FLOW_READ)?,
        flow_write: take(FLOW_WRITE)?,
        status: take(STATUS)?,
        listeners: (FIRST_LISTENER..)
            .take(listeners)
            .map(take)
            .collect::<Result<_, _>>()?,
    })
}

fn take(fd: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: fcntl takes integers only; a closed descriptor gives an error.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (just checked), was opened by master before exec, and the
    // flag in `inherited` makes sure that it is wrapped once only.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
