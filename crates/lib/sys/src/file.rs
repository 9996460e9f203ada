//! Files and file systems: what std does not offer.

use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::linkat;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
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

/// Opens a file without a name in `directory` (O_TMPFILE), for reading and writing.
///
/// # Errors
///
/// `EOPNOTSUPP` on file systems without such files.
pub fn create_unnamed(directory: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let fd = open(directory, flags, Mode::from_bits_truncate(mode))?;
    Ok(fd.into())
}

/// Gives the unnamed `file` its name.
///
/// # Errors
///
/// `EEXIST` when the name is taken; `ENOENT` where /proc is missing (chroot) and the process may
/// not link by descriptor.
pub fn link_unnamed(file: &File, name: &Path) -> io::Result<()> {
    match linkat(file.as_fd(), "", AT_FDCWD, name, AtFlags::AT_EMPTY_PATH) {
        // Without CAP_DAC_READ_SEARCH the kernel wants the way through /proc.
        Err(nix::Error::ENOENT | nix::Error::EPERM) => {
            let proc = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(
                AT_FDCWD,
                proc.as_str(),
                AT_FDCWD,
                name,
                AtFlags::AT_SYMLINK_FOLLOW,
            )?;
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The way by which an unprivileged process gives an unnamed file its name: `/proc/self/fd`, held
/// open so that it also works in a chroot jail.
#[derive(Debug)]
pub struct DescriptorDirectory(OwnedFd);

impl DescriptorDirectory {
    /// Opens it; call this before entering a jail, and in the process that will use it.
    ///
    /// # Errors
    ///
    /// /proc is not mounted.
    pub fn open() -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open("/proc/self/fd", flags, Mode::empty())?))
    }

    /// Gives the unnamed `file` its name.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the name is taken, and those of link(2).
    pub fn link(&self, file: &File, name: &Path) -> io::Result<()> {
        let number = file.as_raw_fd().to_string();
        linkat(
            &self.0,
            number.as_str(),
            AT_FDCWD,
            name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?;
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn unnamed_file_appears_under_its_name_complete() {
        let directory =
            std::env::temp_dir().join(format!("postern-sys-file-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut file = create_unnamed(&directory, 0o600).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        let name = directory.join("A1");
        link_unnamed(&file, &name).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"whole");
        let error = link_unnamed(&file, &name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
