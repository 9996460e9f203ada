//! Files and file systems: what std does not offer.

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Free and total space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the blocks that `free` counts, in bytes.
    pub block_size: u64,
    /// Blocks free for ordinary users.
    pub free: u64,
    /// Files that ordinary users may still make; `None` where that has no limit.
    pub free_files: Option<u64>,
}

impl Space {
    /// Bytes free for ordinary users.
    pub fn free_bytes(&self) -> u64 {
        self.free.saturating_mul(self.block_size)
    }
}

/// Free space where `path` lives.
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(Space {
        block_size: stat.fragment_size(),
        free: stat.blocks_available(),
        free_files: (stat.files() > 0).then(|| stat.files_available()),
    })
}

/// Sets the file mode creation mask and returns the old one.
pub fn umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// Sets or clears close-on-exec.
pub fn set_close_on_exec(fd: impl AsFd, on: bool) -> io::Result<()> {
    let flags = if on {
        FdFlag::FD_CLOEXEC
    } else {
        FdFlag::empty()
    };
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Sets or clears O_NONBLOCK.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let old = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    let new = if on {
        old | OFlag::O_NONBLOCK
    } else {
        old - OFlag::O_NONBLOCK
    };
    if new != old {
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(new))?;
    }
    Ok(())
}

/// Asks the file system to put each subdirectory of `directory` elsewhere on the disk, as it does with those
/// of its root (ext4's "T" flag, chattr(1)).
///
/// # Errors
///
/// `ENOTTY` or `EOPNOTSUPP` where the file system has no such flag, those of open(2) and ioctl(2).
pub fn spread_subdirectories(directory: &Path) -> io::Result<()> {
    nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);
    const TOP_DIRECTORY: libc::c_long = 0x0002_0000;
    let file = File::open(directory)?;
    let mut flags = 0;
    // SAFETY: the descriptor is open, and the kernel reads and writes one integer, no wider than c_long.
    unsafe {
        get_flags(file.as_raw_fd(), &raw mut flags)?;
        flags |= TOP_DIRECTORY;
        set_flags(file.as_raw_fd(), &raw const flags)?;
    }
    Ok(())
}

/// Makes changes of directory entries in `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
