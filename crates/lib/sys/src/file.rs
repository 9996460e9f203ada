//! Files and file systems: what std does not offer.

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
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

/// Makes changes of directory entries in `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
