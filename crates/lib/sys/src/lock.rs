//! Advisory locks on open files: flock(2) and fcntl(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What a lock allows to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others may hold shared locks.
    Shared,
    /// Nobody else may hold a lock.
    Exclusive,
    /// Gives the lock back.
    Unlock,
}

/// Which system call makes the lock; the two kinds do not see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockStyle {
    /// flock(2): belongs to the open file description.
    Flock,
    /// fcntl(2): belongs to the process.
    Fcntl,
}

/// Waits for the lock. Interrupted waits go on.
pub fn lock(file: impl AsFd, style: LockStyle, mode: LockMode) -> io::Result<()> {
    retry(|| raw_lock(&file, style, mode, true))
}

/// Takes the lock if nobody is in the way; `false` when somebody is.
pub fn try_lock(file: impl AsFd, style: LockStyle, mode: LockMode) -> io::Result<bool> {
    match retry(|| raw_lock(&file, style, mode, false)) {
        Ok(()) => Ok(true),
        Err(error) if is_busy(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_busy(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn raw_lock(file: &impl AsFd, style: LockStyle, mode: LockMode, wait: bool) -> io::Result<()> {
    let fd = file.as_fd();
    match style {
        LockStyle::Flock => {
            let operation = match mode {
                LockMode::Shared => libc::LOCK_SH,
                LockMode::Exclusive => libc::LOCK_EX,
                LockMode::Unlock => libc::LOCK_UN,
            } | if wait { 0 } else { libc::LOCK_NB };
            // SAFETY: flock takes two integers; the borrowed descriptor is open during the call.
            match unsafe { libc::flock(fd.as_raw_fd(), operation) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
        LockStyle::Fcntl => {
            let kind = match mode {
                LockMode::Shared => libc::F_RDLCK,
                LockMode::Exclusive => libc::F_WRLCK,
                LockMode::Unlock => libc::F_UNLCK,
            };
            let range = libc::flock {
                l_type: i16::try_from(kind).unwrap_or(0),
                l_whence: 0, // SEEK_SET, with length 0: the whole file
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            let request = if wait {
                nix::fcntl::FcntlArg::F_SETLKW(&range)
            } else {
                nix::fcntl::FcntlArg::F_SETLK(&range)
            };
            nix::fcntl::fcntl(fd, request)?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_exclusive_flock_is_refused_until_the_first_is_gone() {
        let path = std::env::temp_dir().join(format!("postern-sys-lock-{}", std::process::id()));
        let first = std::fs::File::create(&path).unwrap();
        let second = std::fs::File::open(&path).unwrap();
        assert!(try_lock(&first, LockStyle::Flock, LockMode::Exclusive).unwrap());
        assert!(!try_lock(&second, LockStyle::Flock, LockMode::Shared).unwrap());
        lock(&first, LockStyle::Flock, LockMode::Unlock).unwrap();
        assert!(try_lock(&second, LockStyle::Flock, LockMode::Shared).unwrap());
        assert!(
            try_lock(&first, LockStyle::Fcntl, LockMode::Exclusive).unwrap(),
            "fcntl locks are another kind"
        );
        std::fs::remove_file(path).unwrap();
    }
}
