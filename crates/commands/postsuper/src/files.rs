//! The steps on files, with Postfix's words for what goes wrong.

use std::io;
use std::path::{Path, PathBuf};

use postern_command::Interrupts;
use postern_queue_file::file::MODE_FORCE_EXPIRE;
use postern_queue_file::file::{Readiness, open_for_update, readiness};
use postern_queue_file::path::SUBDIRECTORY_MODE;
use postern_sys::error_text;
use postern_sys::nix::errno::Errno;
use postern_sys::nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use postern_sys::nix::sys::signal::Signal;
use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

/// Why the program ends before everything is done. `Display` follows `fatal: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The operator named no queue of ours.
    #[error("invalid directory name: {0}")]
    UnknownQueue(String),
    #[error("scan_dir_push: open directory {}: {}", .0.display(), error_text(.1))]
    Scan(PathBuf, io::Error),
    #[error("remove file {}: {}", .0.display(), error_text(.1))]
    Remove(PathBuf, io::Error),
    #[error("rename file {} as {}: {}", .0.display(), .1.display(), error_text(.2))]
    Rename(PathBuf, PathBuf, io::Error),
    #[error("reset time of file {}: {}", .0.display(), error_text(.1))]
    Time(PathBuf, io::Error),
    #[error("read standard input: {}", error_text(.0))]
    Input(io::Error),
    /// Messages were named by the operator, but a repair has just changed names.
    #[error("CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND")]
    NamesChanged,
    #[error("interrupted by {0}")]
    Interrupted(Signal),
}

impl Failure {
    /// The signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<Signal> {
        match self {
            Self::Interrupted(signal) => Some(*signal),
            _ => None,
        }
    }
}

/// Fails when a signal asks the program to end: between two files, never within one.
pub(crate) fn check(interrupts: &Interrupts) -> Result<(), Failure> {
    interrupts
        .caught()
        .map_or(Ok(()), |signal| Err(Failure::Interrupted(signal)))
}

/// Removes a file; `false` when it was gone.
pub(crate) fn remove(path: &Path) -> Result<bool, Failure> {
    match std::fs::remove_file(path) {
        Ok(()) => {
            log::debug!("removed file {}", path.display());
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::Remove(path.to_owned(), error)),
    }
}

/// Moves a file and makes missing hash directories; `false` when it was gone. An existing target
/// is a failure, as both files may be mail.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<bool, Failure> {
    let failure = |error: io::Error| Failure::Rename(from.to_owned(), to.to_owned(), error);
    let done = match rename_once(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if std::fs::symlink_metadata(from)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            {
                return Ok(false);
            }
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(SUBDIRECTORY_MODE);
            builder
                .create(to.parent().unwrap_or(Path::new(".")))
                .map_err(failure)?;
            rename_once(from, to)
        }
        done => done,
    };
    done.map_err(failure)?;
    log::debug!("renamed file {} as {}", from.display(), to.display());
    Ok(true)
}

fn rename_once(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // The file system does not know the flag.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            if std::fs::symlink_metadata(to).is_ok() {
                return Err(Errno::EEXIST.into());
            }
            std::fs::rename(from, to)
        }
        done => Ok(done?),
    }
}

/// Marks a complete message for return at the next chance; `false` when that is already asked for,
/// or cannot be.
pub(crate) fn expire(path: &Path) -> bool {
    let file = match open_for_update(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
        Err(error) => {
            log::warn!(
                "expire file {}: cannot open file: {}",
                path.display(),
                error_text(&error)
            );
            return false;
        }
    };
    let changed = file.metadata().and_then(|meta| {
        let mode = meta.mode() & 0o7777;
        let wanted = readiness(mode) == Readiness::Ready && mode & MODE_FORCE_EXPIRE == 0;
        if wanted {
            file.set_permissions(Permissions::from_mode(mode | MODE_FORCE_EXPIRE))?;
        }
        Ok(wanted)
    });
    changed.unwrap_or_else(|error| {
        log::warn!("expire file {}: {}", path.display(), error_text(&error));
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_makes_directories_and_spares_other_files() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::write(path("a"), "a").unwrap();
        std::fs::write(path("b"), "b").unwrap();
        assert!(!rename(&path("gone"), &path("x/y")).unwrap());
        assert!(!path("x").exists());
        assert!(rename(&path("a"), &path("x/y/a")).unwrap());
        let refused = rename(&path("b"), &path("x/y/a")).unwrap_err();
        assert!(refused.to_string().ends_with(": File exists"), "{refused}");
        assert_eq!(std::fs::read(path("x/y/a")).unwrap(), b"a");
        assert!(path("b").exists());
    }

    #[test]
    fn only_complete_files_are_expired_and_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        for (mode, want) in [(0o600, false), (0o700, true), (0o710, false), (0o740, true)] {
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(expire(&path), want, "{mode:o}");
            std::fs::remove_file(&path).unwrap();
        }
        assert!(!expire(&path));
    }
}
