//! The set of queue directories below `queue_directory`.

use crate::walk::Walk;
use nix::errno::Errno;
use postern_queue_file::file::{self, MODE_FORCE_EXPIRE, MODE_UNTHROTTLE, Readiness};
use postern_queue_file::path::make_directories;
use postern_queue_file::{Hashing, QueueId};
use std::fs::{File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Age from which a second hard link is suspicious; younger ones may be a rename going on.
const LINK_GRACE: Duration = Duration::from_secs(60);

/// Where the queues are and which of them are hashed.
#[derive(Debug, Clone)]
pub struct Queues {
    root: PathBuf,
    hashing: Hashing,
}

/// What lstat(2) tells about a queue file.
#[derive(Debug, Clone)]
pub struct FileInfo {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Inode number.
    pub inode: u64,
    /// Hard links.
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// In incoming and deferred: the earliest time to look at the file.
    pub modified: SystemTime,
}

impl FileInfo {
    /// Complete, being written, or marked corrupt.
    pub fn readiness(&self) -> Readiness {
        file::readiness(self.mode)
    }

    /// Whether dead destinations must be forgotten for this message.
    pub fn unthrottle(&self) -> bool {
        self.mode & MODE_UNTHROTTLE != 0
    }

    /// Whether the message must be returned at the next chance. A file in maildrop has the bit
    /// because it is readable by all, not because somebody asked.
    pub fn force_expire(&self) -> bool {
        self.mode & MODE_FORCE_EXPIRE != 0
    }
}

impl Queues {
    /// `root` is the queue directory, `.` in daemons.
    pub fn new(root: impl Into<PathBuf>, hashing: Hashing) -> Self {
        Self {
            root: root.into(),
            hashing,
        }
    }

    /// The queue directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which queues are hashed.
    pub fn hashing(&self) -> &Hashing {
        &self.hashing
    }

    /// The path of a file, hash directories included.
    pub fn path(&self, queue: &str, id: &QueueId) -> PathBuf {
        self.hashing.path_below(&self.root, queue, id)
    }

    /// Walks over all files of a queue.
    pub fn walk(&self, queue: &str) -> Walk {
        Walk::new(self.root.join(queue))
    }

    /// lstat(2); `None` when the file is gone or is no regular file.
    ///
    /// # Errors
    ///
    /// Other errors of lstat(2).
    pub fn info(&self, queue: &str, id: &QueueId) -> io::Result<Option<FileInfo>> {
        info(&self.path(queue, id))
    }

    /// Moves a file to another queue, and makes hash directories that are missing there.
    ///
    /// # Errors
    ///
    /// `NotFound` when the file is gone, or those of rename(2).
    pub fn rename(&self, id: &QueueId, from: &str, to: &str) -> io::Result<()> {
        let (old, new) = (self.path(from, id), self.path(to, id));
        match std::fs::rename(&old, &new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.hashing.depth(to) > 0 => {
                make_directories(&self.root, to, id, &self.hashing)?;
                std::fs::rename(old, new)
            }
            done => done,
        }
    }

    /// Sets access and modification time.
    ///
    /// # Errors
    ///
    /// `NotFound` when the file is gone, or those of utimensat(2).
    pub fn set_time(&self, queue: &str, id: &QueueId, time: SystemTime) -> io::Result<()> {
        use nix::sys::stat::{UtimensatFlags, utimensat};
        use nix::sys::time::TimeSpec;
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let time = TimeSpec::from_duration(since);
        let path = self.path(queue, id);
        let no_follow = UtimensatFlags::NoFollowSymlink;
        utimensat(nix::fcntl::AT_FDCWD, &path, &time, &time, no_follow)?;
        Ok(())
    }

    /// Removes a file; `false` when it was gone already.
    ///
    /// # Errors
    ///
    /// Those of unlink(2).
    pub fn remove(&self, queue: &str, id: &QueueId) -> io::Result<bool> {
        remove_file(&self.path(queue, id))
    }

    /// Removes the logs of a message in `bounce`, `defer` and `trace`; returns the names of those
    /// that existed.
    ///
    /// # Errors
    ///
    /// The first error of unlink(2), after all three were tried.
    pub fn remove_logs(&self, id: &QueueId) -> io::Result<Vec<&'static str>> {
        let mut removed = Vec::new();
        let mut failure = None;
        for log in ["bounce", "defer", "trace"] {
            match self.remove(log, id) {
                Ok(true) => removed.push(log),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(removed), Err)
    }

    /// Whether a message has a log with content in `bounce`, `defer` or `trace`.
    ///
    /// # Errors
    ///
    /// Those of lstat(2).
    pub fn has_log(&self, log: &str, id: &QueueId) -> io::Result<bool> {
        Ok(self.info(log, id)?.is_some_and(|info| info.size > 0))
    }

    /// Moves a damaged file to `corrupt`, with Postfix's warning. A file that is gone is fine.
    ///
    /// # Errors
    ///
    /// Those of rename(2); the file stays where it is then.
    pub fn save_corrupt(&self, id: &QueueId, queue: &str) -> io::Result<()> {
        log::warn!("saving corrupt file \"{id}\" from queue \"{queue}\" to queue \"corrupt\"");
        match self.rename(id, queue, "corrupt") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Looks for a file in several queues, in the order given. Two rounds, because a file may be
    /// moved from a queue not yet searched to one that already was.
    ///
    /// # Errors
    ///
    /// Those of lstat(2).
    pub fn find<'q>(
        &self,
        id: &QueueId,
        queues: &[&'q str],
    ) -> io::Result<Option<(&'q str, FileInfo)>> {
        for _ in 0..2 {
            for queue in queues {
                if let Some(info) = self.info(queue, id)? {
                    return Ok(Some((queue, info)));
                }
            }
        }
        Ok(None)
    }

    /// Whether the file may be mail, for programs that read it: a complete regular file; more
    /// than one hard link is worth a warning.
    ///
    /// # Errors
    ///
    /// Those of lstat(2).
    pub fn ready(
        &self,
        queue: &str,
        id: &QueueId,
        now: SystemTime,
    ) -> io::Result<Option<FileInfo>> {
        let path = self.path(queue, id);
        let Some(info) = info(&path)? else {
            return Ok(None);
        };
        if info.readiness() != Readiness::Ready {
            return Ok(None);
        }
        if info.links > 1 && info.modified + LINK_GRACE < now {
            let (uid, links) = (info.uid, info.links);
            log::warn!("{}: uid {uid}: file has {links} links", path.display());
        }
        Ok(Some(info))
    }
}

/// Removes a file; `false` when it was gone already.
pub(crate) fn remove_file(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn info(path: &Path) -> io::Result<Option<FileInfo>> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !meta.is_file() {
        return Ok(None);
    }
    Ok(Some(FileInfo {
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        inode: meta.ino(),
        links: meta.nlink(),
        size: meta.len(),
        modified: meta.modified()?,
    }))
}

/// The file, or a hash directory above it, does not exist.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENOTDIR as i32)
}

/// Changes of an open file's attributes.
impl Queues {
    /// Clears the bit that asked to forget dead destinations.
    ///
    /// # Errors
    ///
    /// Those of fstat(2) and fchmod(2).
    pub fn clear_unthrottle(file: &File) -> io::Result<()> {
        let mode = file.metadata()?.mode() & 0o7777;
        file.set_permissions(Permissions::from_mode(mode & !MODE_UNTHROTTLE))
    }

    /// Sets the times of an open file.
    ///
    /// # Errors
    ///
    /// Those of futimens(2).
    pub fn set_file_time(file: &File, time: SystemTime) -> io::Result<()> {
        file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues() -> (tempfile::TempDir, Queues, QueueId) {
        let root = tempfile::tempdir().unwrap();
        for queue in [
            "incoming", "active", "deferred", "corrupt", "bounce", "defer", "trace",
        ] {
            std::fs::create_dir(root.path().join(queue)).unwrap();
        }
        let queues = Queues::new(root.path(), Hashing::default());
        let id = QueueId::parse("46BD999E172").unwrap();
        (root, queues, id)
    }

    fn put(queues: &Queues, queue: &str, id: &QueueId, mode: u32) {
        let path = queues.path(queue, id);
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_move_makes_the_hash_directory() {
        let (root, queues, id) = queues();
        put(&queues, "active", &id, 0o700);
        queues.rename(&id, "active", "deferred").unwrap();
        assert!(root.path().join("deferred/4/46BD999E172").exists());
        let gone = queues.rename(&id, "active", "deferred").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        let found = queues.find(&id, &["incoming", "deferred"]).unwrap();
        assert_eq!(found.unwrap().0, "deferred");
    }

    #[test]
    fn only_complete_files_are_ready() {
        let (_root, queues, id) = queues();
        let now = SystemTime::now();
        let cases = [
            (0o700, true),
            (0o740, true),
            (0o744, true),
            (0o600, false),
            (0o400, false),
        ];
        for (mode, want) in cases {
            put(&queues, "active", &id, mode);
            assert_eq!(
                queues.ready("active", &id, now).unwrap().is_some(),
                want,
                "{mode:o}"
            );
            std::fs::remove_file(queues.path("active", &id)).unwrap();
        }
        assert!(queues.ready("active", &id, now).unwrap().is_none());
    }

    #[test]
    fn logs_are_removed_and_absent_ones_are_fine() {
        let (_root, queues, id) = queues();
        put(&queues, "bounce", &id, 0o600);
        assert!(queues.has_log("bounce", &id).unwrap());
        assert!(!queues.has_log("defer", &id).unwrap());
        assert_eq!(queues.remove_logs(&id).unwrap(), ["bounce"]);
        assert!(queues.remove_logs(&id).unwrap().is_empty());
        queues.save_corrupt(&id, "active").unwrap();
    }

    #[test]
    fn times_are_set_to_the_second() {
        let (_root, queues, id) = queues();
        put(&queues, "active", &id, 0o700);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_353_374);
        queues.set_time("active", &id, time).unwrap();
        assert_eq!(queues.info("active", &id).unwrap().unwrap().modified, time);
    }
}
