//! Opening, locking and appending to an mbox or file (delivery.md §2.5, §2.6).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use postern_config::{Config, params};
use postern_ipc::deliver::Recipient;
use postern_sys::error_text;
use postern_sys::lock::{LockMode, LockStyle, try_lock};

use crate::Delivery;
use crate::copy::{CopyError, CopyOptions, copy};

/// Which locks keep other programs away (`mailbox_delivery_lock`, `virtual_mailbox_lock`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockSet {
    /// flock(2).
    pub flock: bool,
    /// fcntl(2).
    pub fcntl: bool,
    /// A file PATH.lock.
    pub dotlock: bool,
}

/// How locks are waited for.
#[derive(Debug, Clone, Copy)]
pub struct LockPolicy {
    /// Kinds of locks.
    pub set: LockSet,
    /// `deliver_lock_attempts`.
    pub attempts: u32,
    /// `deliver_lock_delay`.
    pub delay: Duration,
    /// `stale_lock_time`.
    pub stale: Duration,
}

impl LockSet {
    /// Parses a list of lock names.
    ///
    /// # Errors
    ///
    /// The text that follows `fatal: `.
    pub fn parse(parameter: &str, value: &str) -> Result<Self, String> {
        let mut set = Self::default();
        for name in value
            .split([' ', ',', '\t', '\r', '\n'])
            .filter(|name| !name.is_empty())
        {
            match name.to_ascii_lowercase().as_str() {
                "flock" => set.flock = true,
                "fcntl" => set.fcntl = true,
                "dotlock" => set.dotlock = true,
                _ => {
                    return Err(format!(
                        "unknown {parameter} value \"{name}\" in \"{value}\""
                    ));
                }
            }
        }
        Ok(set)
    }
}

impl LockPolicy {
    /// From the parameters shared by all agents.
    pub fn new(config: &Config, set: LockSet) -> Self {
        Self {
            set,
            attempts: u32::try_from(config.get(params::DELIVER_LOCK_ATTEMPTS))
                .unwrap_or(1)
                .max(1),
            delay: config.get(params::DELIVER_LOCK_DELAY),
            stale: config.get(params::STALE_LOCK_TIME),
        }
    }
}

/// Why a file is not open for appending. `Display` is the reason without the agent's prefix.
#[derive(Debug, thiserror::Error)]
pub enum MboxError {
    /// PATH.lock could not be made.
    #[error("unable to create lock file {}: {}", path.display(), error_text(error))]
    DotLock {
        /// PATH.lock.
        path: PathBuf,
        /// What the system said; `AlreadyExists` when another program kept it.
        error: io::Error,
    },
    /// PATH.lock is old enough to be forgotten, but could not be removed.
    #[error("unable to create lock file {}: {}", path.display(), error_text(error))]
    StaleLock {
        /// PATH.lock.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// flock or fcntl lock not granted.
    #[error("unable to lock for exclusive access: {}", error_text(.0))]
    Lock(io::Error),
    /// open(2).
    #[error("cannot open file: {}", error_text(.0))]
    Open(io::Error),
    /// open(2) of a file that does not exist yet.
    #[error("cannot create file exclusively: {}", error_text(.0))]
    Create(io::Error),
    /// The file is none to write mail to.
    #[error("{0}")]
    Refused(String),
    /// The file was replaced while it was being locked.
    #[error("target file status changed unexpectedly")]
    Changed,
    /// Copying failed; the file was cut back.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl MboxError {
    /// Enhanced status, `default` for errors that have none of their own.
    pub fn status(&self, default: &'static str) -> &'static str {
        match self {
            Self::DotLock { error, .. } if error.kind() == io::ErrorKind::AlreadyExists => "4.2.0",
            Self::DotLock { error, .. } | Self::Open(error) | Self::Create(error) => {
                crate::mail_status(error, default)
            }
            Self::Lock(_) | Self::Changed | Self::StaleLock { .. } => "4.2.0",
            Self::Refused(_) => default,
            Self::Copy(error) => error.status(),
        }
    }
}

/// A file open for appending, with its locks; they end on drop.
#[derive(Debug)]
pub struct Mbox {
    file: File,
    path: PathBuf,
    dotlock: Option<PathBuf>,
    created: bool,
}

impl Mbox {
    /// Opens and locks `path` with the current effective identity. `missing_lock_is_fatal` is false for
    /// `/file` destinations, where a dot lock that cannot be made only warns.
    ///
    /// # Errors
    ///
    /// [`MboxError`].
    pub fn open(
        path: &Path,
        policy: &LockPolicy,
        missing_lock_is_fatal: bool,
    ) -> Result<Self, MboxError> {
        let lockable = fs::symlink_metadata(path).map_or_else(
            |error| error.kind() == io::ErrorKind::NotFound,
            |status| status.is_file(),
        );
        let mut dotlock = None;
        if policy.set.dotlock && lockable {
            match take_dotlock(path, policy) {
                Ok(lock) => dotlock = Some(lock),
                Err(error)
                    if missing_lock_is_fatal
                        || matches!(&error, MboxError::DotLock { error, .. } if error.kind() == io::ErrorKind::AlreadyExists) =>
                {
                    return Err(error);
                }
                Err(error) => log::warn!("{error}"),
            }
        }
        let opened =
            open_append(path).and_then(|opened| lock_file(&opened.0, policy).map(|()| opened));
        let (file, created) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                release(dotlock.as_deref());
                return Err(error);
            }
        };
        let mbox = Self {
            file,
            path: path.to_owned(),
            dotlock,
            created,
        };
        mbox.check_unchanged()?;
        Ok(mbox)
    }

    fn check_unchanged(&self) -> Result<(), MboxError> {
        let status = self.file.metadata().map_err(MboxError::Open)?;
        if status.is_file() && status.nlink() != 1 {
            log::warn!("{}: file status changed unexpectedly", self.path.display());
            return Err(MboxError::Changed);
        }
        Ok(())
    }

    /// The open file's status.
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// Whether the file did not exist before.
    pub fn is_new(&self) -> bool {
        self.created
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends the message, synced. `size_limit` (0: none) is the largest size of the file.
    ///
    /// Returns the offset at which the message begins.
    ///
    /// # Errors
    ///
    /// [`CopyError`]; the file has its old length again.
    pub fn append(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        options: &CopyOptions,
        size_limit: u64,
    ) -> Result<u64, MboxError> {
        let status = self.file.metadata().map_err(MboxError::Open)?;
        let mut file = &self.file;
        let start = if status.is_file() {
            file.seek(SeekFrom::End(0)).map_err(MboxError::Open)?
        } else {
            0
        };
        let mut out = BufWriter::with_capacity(
            64 * 1024,
            Limited {
                file,
                room: (size_limit > 0).then(|| size_limit.saturating_sub(start)),
            },
        );
        let result = copy(delivery, recipient, options, &mut out);
        // Without this, dropping the writer after a failure would try to write what is left.
        let _ = out.into_parts();
        let result = match result {
            Ok(()) if status.is_file() => self.file.sync_all().map_err(CopyError::Write),
            other => other,
        };
        if result.is_err()
            && status.is_file()
            && let Err(error) = self.file.set_len(start)
        {
            log::warn!("truncate {}: {}", self.path.display(), error_text(&error));
        }
        result?;
        Ok(start)
    }
}

impl Drop for Mbox {
    fn drop(&mut self) {
        release(self.dotlock.as_deref());
    }
}

/// A file that refuses to grow beyond a limit, as RLIMIT_FSIZE would.
struct Limited<'a> {
    file: &'a File,
    room: Option<u64>,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = data.len() as u64;
        if self.room.is_some_and(|room| room < size) {
            return Err(nix::errno::Errno::EFBIG.into());
        }
        let written = self.file.write(data)?;
        if let Some(room) = &mut self.room {
            *room -= written as u64;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn release(dotlock: Option<&Path>) {
    if let Some(path) = dotlock
        && let Err(error) = fs::remove_file(path)
    {
        log::warn!("remove {}: {}", path.display(), error_text(&error));
    }
}

fn take_dotlock(path: &Path, policy: &LockPolicy) -> Result<PathBuf, MboxError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    for attempt in 1.. {
        let created = File::options()
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(&lock);
        let Err(error) = created else { return Ok(lock) };
        if error.kind() != io::ErrorKind::AlreadyExists || attempt >= policy.attempts {
            return Err(MboxError::DotLock { path: lock, error });
        }
        if is_stale(&lock, policy.stale) {
            if let Err(error) = fs::remove_file(&lock)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(MboxError::StaleLock { path: lock, error });
            }
        } else {
            pause(policy.delay);
        }
    }
    unreachable!("attempts end the loop")
}

fn is_stale(lock: &Path, limit: Duration) -> bool {
    let Ok(status) = fs::symlink_metadata(lock) else {
        return false;
    };
    let changed =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(status.ctime()).unwrap_or(0));
    SystemTime::now()
        .duration_since(changed)
        .is_ok_and(|age| age > limit)
}

/// The delay plus up to half of it, so that two waiters do not meet again and again.
fn pause(delay: Duration) {
    let jitter = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos() % 1000);
    sleep(delay + delay / 2 * jitter / 1000);
}

/// The open file, and whether it is new.
fn open_append(path: &Path) -> Result<(File, bool), MboxError> {
    let before = fs::symlink_metadata(path);
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NONBLOCK);
    let (file, created) = match before {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (
            options
                .create_new(true)
                .open(path)
                .map_err(MboxError::Create)?,
            true,
        ),
        Err(error) => return Err(MboxError::Open(error)),
        Ok(_) => (options.open(path).map_err(MboxError::Open)?, false),
    };
    check_identity(path, &file)?;
    Ok((file, created))
}

/// root's links in root's directories were made on purpose.
fn is_trusted_link(path: &Path, link: &fs::Metadata) -> bool {
    let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
    link.uid() == 0 && parent.is_some_and(|parent| parent.uid() == 0 && parent.mode() & 0o022 == 0)
}

fn check_identity(path: &Path, file: &File) -> Result<(), MboxError> {
    let status = file.metadata().map_err(MboxError::Open)?;
    if status.is_dir() {
        return Err(MboxError::Refused("file is a directory".to_owned()));
    }
    if status.is_file() && status.nlink() != 1 {
        return Err(MboxError::Refused(format!(
            "file has {} hard links",
            status.nlink()
        )));
    }
    let entry = fs::symlink_metadata(path).map_err(MboxError::Open)?;
    if entry.file_type().is_symlink() && !is_trusted_link(path, &entry) {
        return Err(MboxError::Refused("file is a symbolic link".to_owned()));
    }
    let now = fs::metadata(path).map_err(MboxError::Open)?;
    let same = now.dev() == status.dev() && now.ino() == status.ino();
    if !same || status.file_type().is_socket() {
        return Err(MboxError::Refused(
            "file status changed unexpectedly".to_owned(),
        ));
    }
    Ok(())
}

fn lock_file(file: &File, policy: &LockPolicy) -> Result<(), MboxError> {
    for (wanted, style) in [
        (policy.set.flock, LockStyle::Flock),
        (policy.set.fcntl, LockStyle::Fcntl),
    ] {
        if !wanted {
            continue;
        }
        for attempt in 1.. {
            match try_lock(file, style, LockMode::Exclusive) {
                Ok(true) => break,
                Ok(false) if attempt >= policy.attempts => {
                    return Err(MboxError::Lock(nix::errno::Errno::EAGAIN.into()));
                }
                Ok(false) => pause(policy.delay),
                Err(error) => return Err(MboxError::Lock(error)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(set: LockSet) -> LockPolicy {
        LockPolicy {
            set,
            attempts: 1,
            delay: Duration::ZERO,
            stale: Duration::from_secs(500),
        }
    }

    #[test]
    fn lock_names_are_known_or_named_in_the_error() {
        let parsed = LockSet::parse("mailbox_delivery_lock", "fcntl, dotlock");
        assert_eq!(
            parsed,
            Ok(LockSet {
                flock: false,
                fcntl: true,
                dotlock: true
            })
        );
        let wrong = LockSet::parse("mailbox_delivery_lock", "fcntl nfs");
        assert_eq!(
            wrong,
            Err("unknown mailbox_delivery_lock value \"nfs\" in \"fcntl nfs\"".to_owned())
        );
    }

    #[test]
    fn second_dotlock_is_refused_as_temporary_and_the_first_goes_away_on_drop() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("box");
        let policy = policy(LockSet {
            dotlock: true,
            ..LockSet::default()
        });
        let first = Mbox::open(&path, &policy, true).expect("the file is free");
        let error = Mbox::open(&path, &policy, true).expect_err("the lock is taken");
        assert_eq!(error.status("5.2.0"), "4.2.0", "{error}");
        drop(first);
        Mbox::open(&path, &policy, true).expect("the lock is gone");
    }

    #[test]
    fn links_and_directories_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("box");
        fs::write(&path, "x").expect("a file");
        let second = directory.path().join("second");
        fs::hard_link(&path, &second).expect("a link");
        let policy = policy(LockSet::default());
        let linked = Mbox::open(&path, &policy, true).expect_err("two links");
        assert_eq!(linked.to_string(), "file has 2 hard links");
        let inside = Mbox::open(directory.path(), &policy, true).expect_err("a directory");
        assert_eq!(inside.to_string(), "cannot open file: Is a directory");
    }
}
