//! The files whose locks show that master runs: `pid/master.pid` and `data_directory/master.lock`.

use postern_sys::error_text;
use postern_sys::lock::{LockMode, LockStyle, try_lock};
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A held lock; it lasts as long as the value, or the process.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
}

/// Why there is no lock. `Display` of the variants is the text after `open lock file PATH: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The file cannot be opened or made.
    #[error("cannot open file: {0}")]
    Open(String),
    /// Another master holds the lock.
    #[error("unable to set exclusive lock: Resource temporarily unavailable")]
    Busy,
    /// Locking is impossible.
    #[error("unable to set exclusive lock: {0}")]
    Lock(String),
}

impl LockFile {
    /// Opens or makes the file and takes its lock without waiting.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| LockError::Open(error_text(&error)))?;
        Self::lock(file)
    }

    /// Takes the lock of an existing file only.
    pub(crate) fn take_existing(path: &Path) -> Result<Option<Self>, LockError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self::lock(file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LockError::Open(error_text(&error))),
        }
    }

    fn lock(file: File) -> Result<Self, LockError> {
        match try_lock(&file, LockStyle::Flock, LockMode::Exclusive) {
            Ok(true) => Ok(Self { file }),
            Ok(false) => Err(LockError::Busy),
            Err(error) => Err(LockError::Lock(error_text(&error))),
        }
    }

    /// Writes the process id: right-aligned in 32 columns, newline.
    pub(crate) fn write_pid(&mut self, pid: u32) -> std::io::Result<()> {
        let line = pid_line(pid);
        self.file.rewind()?;
        self.file.write_all(line.as_bytes())?;
        // The line of an earlier master was as long; anything else was not written by one.
        let end = line.len() as u64;
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        Ok(())
    }
}

fn pid_line(pid: u32) -> String {
    format!("{pid:>32}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_line_has_33_bytes() {
        assert_eq!(pid_line(24594), format!("{}24594\n", " ".repeat(27)));
    }

    #[test]
    fn second_master_finds_the_lock_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.pid");
        assert!(LockFile::take_existing(&path).unwrap().is_none());
        let mut first = LockFile::take(&path).unwrap();
        first.write_pid(7).unwrap();
        assert!(matches!(LockFile::take(&path), Err(LockError::Busy)));
        drop(first);
        let mut next = LockFile::take(&path).unwrap();
        next.write_pid(12345).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "12345");
        let missing = LockFile::take(&directory.path().join("no/such")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "cannot open file: No such file or directory"
        );
    }
}
