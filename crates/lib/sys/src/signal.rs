//! Signal dispositions and sending signals.

use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::Pid;
use std::io;

/// What a signal shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The system's default.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets the disposition of a signal.
pub fn set_disposition(signal: Signal, disposition: Disposition) -> io::Result<()> {
    let handler = match disposition {
        Disposition::Default => SigHandler::SigDfl,
        Disposition::Ignore => SigHandler::SigIgn,
    };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler function is installed, only default or ignore.
    unsafe { signal::sigaction(signal, &action) }?;
    Ok(())
}

/// Ignores SIGPIPE and SIGXFSZ: writes fail with an error instead.
pub fn ignore_write_signals() {
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // Cannot fail: both signals exist and may be ignored.
        let _ = set_disposition(signal, Disposition::Ignore);
    }
}

/// Sends a signal to one process.
pub fn kill(pid: i32, signal: Signal) -> io::Result<()> {
    signal::kill(Pid::from_raw(pid), signal)?;
    Ok(())
}

/// Sends a signal to every process of the caller's group.
pub fn kill_own_group(signal: Signal) -> io::Result<()> {
    signal::killpg(nix::unistd::getpgrp(), signal)?;
    Ok(())
}

/// Ends this process by `signal` with its default action, so that the parent sees it.
pub fn die_by(signal: Signal) -> ! {
    let _ = set_disposition(signal, Disposition::Default);
    let _ = SigSet::from(signal).thread_unblock();
    let _ = signal::raise(signal);
    std::process::exit(1)
}
