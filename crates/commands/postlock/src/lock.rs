//! The locks of a mailbox file: flock(2), fcntl(2), and a `.lock` file beside it.

use postern_sys::error_text;
use postern_sys::lock::{LockMode, LockStyle, try_lock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One kind of lock, as named in `mailbox_delivery_lock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Flock,
    Fcntl,
    Dotlock,
}

impl Style {
    /// Reads a list of names. The error is the text after `fatal: `.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let words = text
            .split([' ', '\t', ',', '\r', '\n'])
            .filter(|word| !word.is_empty());
        words
            .map(|word| match word {
                "flock" => Ok(Self::Flock),
                "fcntl" => Ok(Self::Fcntl),
                "dotlock" => Ok(Self::Dotlock),
                _ => Err(format!(
                    "unknown mailbox_delivery_lock value \"{word}\" in \"{text}\""
                )),
            })
            .collect()
    }
}

/// How often and how long to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    /// A `.lock` file that is older is removed.
    pub(crate) stale: Duration,
}

/// Why there is no lock. `Display` is what follows `open file PATH: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot create file exclusively: {0}")]
    Create(String),
    #[error("cannot open file: {0}")]
    Open(String),
    #[error("unable to lock for exclusive access: {0}")]
    Busy(String),
    #[error("unable to create lock file {0}: {1}")]
    Dotlock(String, String),
}

/// A locked mailbox; dropping it unlocks.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    _dotlock: Option<DotLock>,
}

/// A lock file of ours; dropping it removes it.
#[derive(Debug)]
struct DotLock(PathBuf);

impl Drop for DotLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Lock {
    /// Takes the lock file, opens (or makes) the mailbox, and takes the other locks.
    pub(crate) fn take(path: &Path, styles: &[Style], patience: Patience) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::Open("Is a directory".to_owned()));
        }
        let dotlock = if styles.contains(&Style::Dotlock) {
            Some(DotLock::take(path, patience)?)
        } else {
            None
        };
        let file = open(path)?;
        for style in styles {
            let style = match style {
                Style::Flock => LockStyle::Flock,
                Style::Fcntl => LockStyle::Fcntl,
                Style::Dotlock => continue,
            };
            lock_file(&file, style, patience)?;
        }
        Ok(Self {
            _file: file,
            _dotlock: dotlock,
        })
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let existing = || OpenOptions::new().read(true).append(true).open(path);
    match existing() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map_err(|error| Error::Open(error_text(&error))),
    }
    let created = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            existing().map_err(|error| Error::Open(error_text(&error)))
        }
        other => other.map_err(|error| Error::Create(error_text(&error))),
    }
}

fn lock_file(file: &File, style: LockStyle, patience: Patience) -> Result<(), Error> {
    for attempt in 1.. {
        match try_lock(file, style, LockMode::Exclusive) {
            Ok(true) => return Ok(()),
            Ok(false) if attempt < patience.attempts => std::thread::sleep(patience.delay),
            Ok(false) => break,
            Err(error) => return Err(Error::Busy(error_text(&error))),
        }
    }
    Err(Error::Busy("Resource temporarily unavailable".to_owned()))
}

impl DotLock {
    fn take(path: &Path, patience: Patience) -> Result<Self, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let failed =
            |error: io::Error| Error::Dotlock(name.display().to_string(), error_text(&error));
        for attempt in 1.. {
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o000)
                .open(&name)
            {
                Ok(_) => break,
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && attempt < patience.attempts =>
                {
                    if !remove_stale(&name, patience.stale) {
                        std::thread::sleep(patience.delay);
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Self(name))
    }
}

/// Removes a lock file whose owner is long gone.
fn remove_stale(name: &Path, stale: Duration) -> bool {
    let age = fs::symlink_metadata(name)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > stale) && fs::remove_file(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Patience = Patience {
        attempts: 1,
        delay: Duration::ZERO,
        stale: Duration::from_secs(500),
    };

    #[test]
    fn held_locks_are_reported_with_the_known_texts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("box");
        let held = Lock::take(&path, &[Style::Flock, Style::Dotlock], ONCE).unwrap();
        let error = Lock::take(&path, &[Style::Flock], ONCE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to lock for exclusive access: Resource temporarily unavailable"
        );
        let error = Lock::take(&path, &[Style::Dotlock], ONCE).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "unable to create lock file {}.lock: File exists",
                path.display()
            )
        );
        let other = directory.path().join("other");
        fs::write(directory.path().join("other.lock"), "").unwrap();
        Lock::take(&other, &[Style::Dotlock], ONCE).unwrap_err();
        assert!(
            !other.exists(),
            "a mailbox that is locked by others is not made"
        );
        drop(held);
        assert!(!path.with_extension("lock").exists());
        Lock::take(&path, &[Style::Flock, Style::Fcntl, Style::Dotlock], ONCE).unwrap();
    }

    #[test]
    fn stale_lock_file_gives_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("box");
        fs::write(directory.path().join("box.lock"), "").unwrap();
        let eager = Patience {
            attempts: 2,
            delay: Duration::ZERO,
            stale: Duration::ZERO,
        };
        Lock::take(&path, &[Style::Dotlock], eager).unwrap();
    }

    #[test]
    fn unknown_style_is_refused() {
        assert_eq!(
            Style::parse_list("fcntl, dotlock").unwrap(),
            [Style::Fcntl, Style::Dotlock]
        );
        let error = Style::parse_list("fcntl bogus").unwrap_err();
        assert_eq!(
            error,
            "unknown mailbox_delivery_lock value \"bogus\" in \"fcntl bogus\""
        );
    }
}
