//! The life of a queue file on disk: create, commit, open for delivery, mark.
//!
//! A file is visible to others from its creation, with mode 0600; it counts as mail only after
//! [`NewFile::commit`] set 0700. All functions take `root`, the queue directory (`.` in daemons).

use crate::id::QueueId;
use crate::path::{Hashing, make_directories};
use crate::record::RecordType;
use postern_sys::lock::{LockMode, LockStyle, try_lock};
use postern_sys::process;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Mode of a file being written.
pub const MODE_WRITING: u32 = 0o600;
/// Mode of a complete file: all three owner bits. Every reader tests them.
pub const MODE_READY: u32 = 0o700;
/// Group read: qmgr must forget dead destinations for this message.
pub const MODE_UNTHROTTLE: u32 = 0o040;
/// Group execute: return the message to the sender at the next chance.
pub const MODE_FORCE_EXPIRE: u32 = 0o010;
/// Mode by which a delivery agent tells that the file is damaged.
pub const MODE_CORRUPT: u32 = 0o400;

/// Attempts to find a free name.
const NAME_TRIES: u32 = 1000;

/// What a file's mode says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Complete.
    Ready,
    /// Being written, or left behind by a writer that died.
    Incomplete,
    /// Marked by a delivery agent.
    Corrupt,
}

/// Looks at the permission bits of a queue file.
pub fn readiness(mode: u32) -> Readiness {
    match mode & 0o700 {
        MODE_READY => Readiness::Ready,
        MODE_CORRUPT => Readiness::Corrupt,
        _ => Readiness::Incomplete,
    }
}

/// A queue file being created.
#[derive(Debug)]
pub struct NewFile {
    /// The open file, at position 0.
    pub file: File,
    /// Its name.
    pub id: QueueId,
    /// Its path below `root`.
    pub path: PathBuf,
    /// When it got its name; the time in the ID and in the Message-Id.
    pub created: SystemTime,
}

/// An empty file of an earlier message, under a name outside of the queues.
#[derive(Debug)]
pub struct Spare {
    /// The open file, at position 0.
    pub file: File,
    /// Its path; others may know it, too.
    pub path: PathBuf,
    /// Its inode number.
    pub inode: u64,
}

/// Which form of queue ID a new file gets (`enable_long_queue_ids`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdForm {
    /// Time of day and inode.
    Short,
    /// Time and inode, unique over time.
    Long,
}

impl NewFile {
    /// Creates an empty file in `queue`; `extra_mode` is added to 0600 (postdrop: 0444).
    ///
    /// # Errors
    ///
    /// Those of open(2) and rename(2).
    pub fn create(
        root: &Path,
        queue: &str,
        extra_mode: u32,
        form: IdForm,
        hashing: &Hashing,
    ) -> io::Result<Self> {
        let (file, temporary) = create_temporary(root, queue, MODE_WRITING | extra_mode)?;
        let temporary = root.join(temporary);
        let named = file
            .metadata()
            .and_then(|meta| give_name(root, queue, &temporary, meta.ino(), form, hashing));
        match named {
            Ok((id, path, created)) => Ok(Self {
                file,
                id,
                path,
                created,
            }),
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                Err(error)
            }
        }
    }

    /// As [`NewFile::create`], but the file keeps a temporary name, which no scanner takes for mail,
    /// until it is renamed. Its ID is settled: no other file has the inode.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub fn prepare(root: &Path, queue: &str, form: IdForm) -> io::Result<Self> {
        let (file, path) = create_temporary(root, queue, MODE_WRITING)?;
        let created = SystemTime::now();
        match file.metadata() {
            Ok(meta) => Ok(Self {
                id: make_id(created, meta.ino(), form),
                file,
                path,
                created,
            }),
            Err(error) => {
                let _ = std::fs::remove_file(root.join(path));
                Err(error)
            }
        }
    }

    /// Moves an empty file of an earlier message to `queue`, under a new ID.
    ///
    /// # Errors
    ///
    /// `NotFound` when another process was faster, and those of rename(2).
    pub fn reuse(
        root: &Path,
        queue: &str,
        spare: Spare,
        form: IdForm,
        hashing: &Hashing,
    ) -> io::Result<Self> {
        let (id, path, created) = give_name(root, queue, &spare.path, spare.inode, form, hashing)?;
        Ok(Self {
            file: spare.file,
            id,
            path,
            created,
        })
    }

    /// Makes the file mail: mode 0700 plus `extra_mode`, then everything to the disk. Only after
    /// this may a client be told that the message is queued.
    ///
    /// # Errors
    ///
    /// Those of fchmod(2) and fsync(2); the file must be removed then.
    pub fn commit(&self, extra_mode: u32) -> io::Result<()> {
        commit(&self.file, extra_mode)
    }
}

/// As [`NewFile::commit`], for a file at hand.
///
/// # Errors
///
/// Those of fchmod(2) and fsync(2).
pub fn commit(file: &File, extra_mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(MODE_READY | extra_mode))?;
    file.sync_all()
}

/// A file under a name that no scanner takes for a queue ID (it has a dot).
fn create_temporary(root: &Path, queue: &str, mode: u32) -> io::Result<(File, PathBuf)> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..NAME_TRIES {
        let (_, microseconds) = split_time(SystemTime::now());
        // Two threads of one process may ask in the same microsecond.
        let number = u64::from(microseconds) + u64::from(attempt);
        let path = Path::new(queue).join(format!("{number}.{}", process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        match options.open(root.join(&path)) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Renames to the final name, never over another file.
fn give_name(
    root: &Path,
    queue: &str,
    temporary: &Path,
    inode: u64,
    form: IdForm,
    hashing: &Hashing,
) -> io::Result<(QueueId, PathBuf, SystemTime)> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAME_TRIES {
        let created = SystemTime::now();
        let id = make_id(created, inode, form);
        let path = hashing.path(queue, &id);
        match rename_new(temporary, &root.join(&path)) {
            Ok(()) => return Ok((id, path, created)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !temporary.exists() {
                    return Err(error);
                }
                make_directories(root, queue, &id, hashing)?;
                last = error;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn make_id(created: SystemTime, inode: u64, form: IdForm) -> QueueId {
    let (seconds, microseconds) = split_time(created);
    match form {
        IdForm::Short => QueueId::short(microseconds, inode),
        IdForm::Long => QueueId::long(seconds, microseconds, inode),
    }
}

/// rename(2) that fails with `EEXIST` instead of replacing, also where the file system lacks
/// that flag.
///
/// # Errors
///
/// Those of rename(2) and link(2).
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(nix::Error::EINVAL | nix::Error::ENOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

/// Seconds and microseconds since the epoch.
pub fn split_time(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}

/// Why a queue file cannot be opened for delivery.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The queue manager has it locked.
    #[error("file is locked by another process")]
    Locked,
    /// open(2) or flock(2) failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens a file for reading and marking, with the shared lock by which the queue manager sees
/// that a delivery is going on.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_for_delivery(path: &Path) -> Result<LockedFile, OpenError> {
    lock(open_for_update(path)?, LockMode::Shared)
}

/// Opens a file with the queue manager's exclusive lock.
///
/// # Errors
///
/// [`OpenError::Locked`] while a delivery agent is still at work.
pub fn open_exclusive(path: &Path) -> Result<LockedFile, OpenError> {
    lock(open_for_update(path)?, LockMode::Exclusive)
}

/// Opens a file for reading and in-place edits, without a lock.
///
/// # Errors
///
/// Those of open(2); a symbolic link is refused.
pub fn open_for_update(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOFOLLOW);
    options.open(path)
}

/// Opens a file for reading.
///
/// # Errors
///
/// Those of open(2); a symbolic link is refused.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
}

/// An open queue file with a lock. The lock is given back before the file is closed: a close that
/// fails may leave the descriptor open, and nobody could ever take up the message again.
#[derive(Debug)]
pub struct LockedFile(File);

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let _ = try_lock(&self.0, LockStyle::Flock, LockMode::Unlock);
    }
}

fn lock(file: File, mode: LockMode) -> Result<LockedFile, OpenError> {
    if try_lock(&file, LockStyle::Flock, mode)? {
        Ok(LockedFile(file))
    } else {
        Err(OpenError::Locked)
    }
}

/// Marks the recipient whose record stands at `offset` as done, by one byte. An offset of 0 or
/// below means "do not mark".
///
/// # Errors
///
/// `InvalidData` when no recipient record stands there (nothing is written then), or those of
/// pwrite(2).
pub fn mark_done(file: &File, offset: i64) -> io::Result<()> {
    match u64::try_from(offset) {
        Ok(0) | Err(_) => Ok(()),
        Ok(offset) => change_type(file, offset, RecordType::RECIPIENT, RecordType::DONE),
    }
}

/// Kills the attribute record at `offset` (trace_flags, after its report was sent).
///
/// # Errors
///
/// As [`mark_done`].
pub fn kill_attribute(file: &File, offset: u64) -> io::Result<()> {
    change_type(file, offset, RecordType::ATTRIBUTE, RecordType::KILLED)
}

/// Writes the time of the next delay warning into the `W` record at `offset`; -1 = never.
///
/// # Errors
///
/// As [`mark_done`].
pub fn rewrite_warn_time(file: &File, offset: u64, time: i64) -> io::Result<()> {
    let mut head = [0; 2];
    file.read_exact_at(&mut head, offset)?;
    if head != [RecordType::WARN.0, 15] {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no delay warning record at this offset",
        ));
    }
    file.write_all_at(format!("{time:15}").as_bytes(), offset + 2)
}

fn change_type(file: &File, offset: u64, from: RecordType, to: RecordType) -> io::Result<()> {
    let mut letter = [0];
    file.read_exact_at(&mut letter, offset)?;
    if letter == [to.0] {
        return Ok(());
    }
    if letter != [from.0] {
        let text = format!(
            "record type {} instead of {from} at offset {offset}",
            letter[0]
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    file.write_all_at(&[to.0], offset)
}

/// Marks a damaged file, for the queue manager to move it away.
///
/// # Errors
///
/// Those of fchmod(2).
pub fn mark_corrupt(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(MODE_CORRUPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_its_inode_in_its_name_and_is_ready_after_commit() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("deferred")).unwrap();
        for form in [IdForm::Short, IdForm::Long] {
            let new =
                NewFile::create(root.path(), "deferred", 0, form, &Hashing::default()).unwrap();
            let meta = std::fs::metadata(root.path().join(&new.path)).unwrap();
            assert_eq!(new.id.inode(), Some(meta.ino()));
            assert_eq!(new.id.is_long(), form == IdForm::Long);
            assert_eq!(readiness(meta.mode()), Readiness::Incomplete);
            new.commit(0).unwrap();
            let meta = new.file.metadata().unwrap();
            assert_eq!(meta.mode() & 0o777, 0o700);
        }
        assert!(
            NewFile::create(
                root.path(),
                "nowhere",
                0,
                IdForm::Short,
                &Hashing::default()
            )
            .is_err()
        );
    }

    #[test]
    fn only_the_right_record_is_marked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("A");
        std::fs::write(&path, b"xR\x01aA\x03a=bW\x0f              9").unwrap();
        let file = open_for_update(&path).unwrap();
        mark_done(&file, 1).unwrap();
        mark_done(&file, 1).unwrap();
        mark_done(&file, 0).unwrap();
        mark_done(&file, -1).unwrap();
        assert!(mark_done(&file, 4).is_err());
        assert!(mark_done(&file, 400).is_err());
        kill_attribute(&file, 4).unwrap();
        rewrite_warn_time(&file, 9, -1).unwrap();
        assert!(rewrite_warn_time(&file, 4, -1).is_err());
        assert_eq!(
            std::fs::read(&path).unwrap(),
            b"xD\x01aK\x03a=bW\x0f             -1"
        );
    }

    #[test]
    fn a_delivery_keeps_the_queue_manager_away() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("A");
        std::fs::write(&path, b"x").unwrap();
        let first = open_for_delivery(&path).unwrap();
        let second = open_for_delivery(&path).unwrap();
        assert!(matches!(open_exclusive(&path), Err(OpenError::Locked)));
        drop((first, second));
        let exclusive = open_exclusive(&path).unwrap();
        assert!(matches!(open_for_delivery(&path), Err(OpenError::Locked)));
        drop(exclusive);
        std::os::unix::fs::symlink(&path, root.path().join("B")).unwrap();
        assert!(open_for_update(&root.path().join("B")).is_err());
    }
}
