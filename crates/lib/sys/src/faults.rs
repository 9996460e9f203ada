//! Signals that a process usually gets for its own faults: SIGILL, SIGBUS, SIGSEGV.
//!
//! master(8) ends all its children with itself, whatever ends it.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// The signals that this module is for.
pub const SIGNALS: &[i32] = &[libc::SIGILL, libc::SIGBUS, libc::SIGSEGV];

/// The last such signal that another process sent; 0 for none.
static SENT: AtomicI32 = AtomicI32::new(0);
/// Who is told about it.
static WAKEUP: OnceLock<OwnedFd> = OnceLock::new();

/// Catches `signals`, some of [`SIGNALS`], from now on. One that another process sent is kept for
/// [`take`], and a byte goes to `wakeup`, which is that of the first call for good. For a fault of this
/// process the whole process group gets SIGTERM, and then the process ends by the signal.
///
/// # Errors
///
/// What sigaction(2) says.
pub fn catch(signals: &[i32], wakeup: OwnedFd) -> io::Result<()> {
    let _ = WAKEUP.set(wakeup);
    // The stack may be what is at fault; the standard library has set up another one.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::SigAction(on_signal), flags, SigSet::empty());
    for signal in signals {
        // SAFETY: `on_signal` calls async-signal-safe functions only.
        unsafe { sigaction(Signal::try_from(*signal)?, &action) }?;
    }
    Ok(())
}

/// The signal that another process sent since the last call.
pub fn take() -> Option<i32> {
    match SENT.swap(0, Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid structure.
    let was_sent = unsafe { (*info).si_code } <= 0;
    if let (true, Some(wakeup)) = (was_sent, WAKEUP.get()) {
        SENT.store(signal, Ordering::SeqCst);
        // SAFETY: write(2) on an open descriptor, from a live buffer of one byte.
        unsafe { libc::write(wakeup.as_raw_fd(), [0_u8].as_ptr().cast(), 1) };
        return;
    }
    // SAFETY: all three are async-signal-safe. The faulty instruction runs again after the return and
    // ends the process by the signal's default action.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::kill(0, libc::SIGTERM);
        libc::signal(signal, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_signal_that_was_sent_is_told_and_kept() {
        let (mut read, write) = UnixStream::pair().unwrap();
        catch(&[libc::SIGILL], write.into()).unwrap();
        assert_eq!(take(), None);
        // SAFETY: kill(2) has no preconditions; the handler is in place.
        assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGILL) }, 0);
        read.read_exact(&mut [0]).unwrap();
        assert_eq!(take(), Some(libc::SIGILL));
        assert_eq!(take(), None);
    }
}
