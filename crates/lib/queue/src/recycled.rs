//! Emptied files of finished messages, kept in `private/recycled` for the next messages.
//!
//! Creating and removing thousands of files a second makes some file systems (ext4) search past
//! all inodes that were freed a moment ago, with every creation. A file that is used again costs
//! the same under any load; with little mail nothing is kept. The queue manager puts files in ([`Retiring`]), cleanup(8) takes them
//! out ([`Spares`]). The directory is made by the first busy queue manager.
//!
//! Secrecy and crashes: a file leaves the queue by one rename(2), is cut to length 0, and gets
//! mode 0600 last; only an empty file of mode 0600 is taken. The cut is an operation of the
//! journal, as renames and modes are, so that after a power loss no old content can stand under a
//! new name. Overwriting in place, which is cheaper still, does not have this property.

use crate::queues::remove_file;
use postern_queue_file::file::{MODE_WRITING, Spare};
use postern_sys::lock::{LockMode, LockStyle, try_lock};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The directory below `queue_directory`; the mail system's user may make it there.
pub const DIRECTORY: &str = "private/recycled";
/// Its mode.
const MODE: u32 = 0o700;
/// Files that are kept at most.
const ROOM: usize = 1024;
/// Removals within [`PERIOD`] from which files are kept. Below that rate creations are cheap.
const BUSY: u32 = 250;
/// The time over which removals are counted.
const PERIOD: Duration = Duration::from_secs(10);
/// Files that stay when others are taken, so that it takes a while until the same inode, and with
/// it half of the queue ID, is seen again.
const STOCK: usize = 128;
/// Files that one process looks up at once.
const BATCH: usize = 32;
/// Files that are created before a process looks for spare ones again.
const PAUSE: u32 = 64;
/// Candidates that are tried for one message; other processes may have been faster.
const TRIES: usize = 4;

/// The queue manager's side.
#[derive(Debug)]
pub struct Retiring {
    directory: PathBuf,
    /// Files that may be put in before they are counted again.
    room: usize,
    /// Removals until the count.
    wait: usize,
    /// When the present period of [`PERIOD`] began, and the removals in it.
    period: (Instant, u32),
}

impl Retiring {
    /// Removes what a crash left half emptied.
    pub fn new(root: &Path) -> Self {
        let mut retiring = Self {
            directory: root.join(DIRECTORY),
            room: 0,
            wait: 0,
            period: (Instant::now(), 0),
        };
        retiring.count(true);
        retiring.wait = 0;
        retiring
    }

    /// Takes a finished message's file out of the queue; `false` when it was gone already.
    ///
    /// # Errors
    ///
    /// Those of unlink(2).
    pub fn remove(&mut self, path: &Path) -> io::Result<bool> {
        if self.is_busy() && self.has_room() && self.keep(path) {
            return Ok(true);
        }
        remove_file(path)
    }

    fn is_busy(&mut self) -> bool {
        let (began, removals) = &mut self.period;
        if began.elapsed() > PERIOD {
            // A busy period lets the next one begin as busy.
            let was_busy = *removals > BUSY && began.elapsed() < 2 * PERIOD;
            self.period = (Instant::now(), if was_busy { BUSY } else { 0 });
        }
        self.period.1 = self.period.1.saturating_add(1);
        self.period.1 > BUSY
    }

    fn has_room(&mut self) -> bool {
        if self.room == 0 {
            match self.wait.checked_sub(1) {
                Some(less) => self.wait = less,
                None => self.count(false),
            }
        }
        self.room > 0
    }

    fn count(&mut self, tidy: bool) {
        self.wait = ROOM / 4;
        if !tidy {
            // It may exist, and when it cannot be made, files are removed.
            let _ = std::fs::DirBuilder::new()
                .mode(MODE)
                .create(&self.directory);
        }
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return;
        };
        let mut files = 0;
        for entry in entries.flatten() {
            let is_spare = !tidy || entry.metadata().is_ok_and(|meta| is_spare(&meta));
            if is_spare {
                files += 1;
            } else if let Err(error) = std::fs::remove_file(entry.path()) {
                let path = entry.path();
                let text = postern_sys::error_text(&error);
                log::warn!("remove {}: {text}", path.display());
            }
        }
        self.room = ROOM.saturating_sub(files);
    }

    /// Whether the file is out of the queue now.
    fn keep(&mut self, path: &Path) -> bool {
        let Ok(meta) = path.symlink_metadata() else {
            return false;
        };
        // Somebody who made a link wants to keep the content.
        if !meta.is_file() || meta.nlink() != 1 {
            return false;
        }
        let spare = self.directory.join(format!("{:X}", meta.ino()));
        if std::fs::rename(path, &spare).is_err() {
            self.room = 0;
            return false;
        }
        self.room -= 1;
        let emptied = nix::unistd::truncate(&spare, 0)
            .map_err(io::Error::from)
            .and_then(|()| std::fs::set_permissions(&spare, Permissions::from_mode(MODE_WRITING)));
        if emptied.is_err() {
            // It is mail no more in any case, and nobody takes it as it is.
            let _ = std::fs::remove_file(spare);
        }
        true
    }
}

/// cleanup(8)'s side.
#[derive(Debug)]
pub struct Spares {
    directory: PathBuf,
    /// Candidates, taken from the end.
    names: Vec<PathBuf>,
    /// Messages until the next look into the directory.
    pause: u32,
}

impl Spares {
    /// Looks for nothing yet.
    pub fn new(root: &Path) -> Self {
        Self {
            directory: root.join(DIRECTORY),
            names: Vec::new(),
            pause: 0,
        }
    }

    /// An empty file, open and still under its old name; others may be about to take it, too, and
    /// the first who renames it has it.
    pub fn candidate(&mut self) -> Option<Spare> {
        for _ in 0..TRIES {
            if self.names.is_empty() {
                self.look();
            }
            let path = self.names.pop()?;
            if let Some(spare) = open(path) {
                return Some(spare);
            }
        }
        None
    }

    fn look(&mut self) {
        if let Some(less) = self.pause.checked_sub(1) {
            self.pause = less;
            return;
        }
        self.pause = PAUSE;
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return;
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        let Some(free) = names.len().checked_sub(STOCK).filter(|free| *free > 0) else {
            return;
        };
        self.pause = 0;
        // Processes that look at the same time start at different places.
        let place = usize::try_from(std::process::id())
            .unwrap_or(0)
            .wrapping_mul(BATCH);
        let start = place % names.len();
        names.rotate_left(start);
        names.truncate(free.min(BATCH));
        self.names = names.iter().map(|name| self.directory.join(name)).collect();
    }
}

fn is_spare(meta: &std::fs::Metadata) -> bool {
    meta.is_file() && meta.len() == 0 && meta.nlink() == 1 && meta.mode() & 0o7777 == MODE_WRITING
}

fn open(path: PathBuf) -> Option<Spare> {
    let file = postern_queue_file::file::open_for_update(&path).ok()?;
    let meta = file.metadata().ok()?;
    (is_spare(&meta) && is_unused(&file)).then(|| Spare {
        inode: meta.ino(),
        file,
        path,
    })
}

/// A delivery agent may have the file of its last message open, and locked, for a moment longer:
/// the queue manager would take the next message for one that is being delivered.
fn is_unused(file: &File) -> bool {
    let locked = try_lock(file, LockStyle::Flock, LockMode::Exclusive);
    locked.is_ok_and(|locked| locked) && try_lock(file, LockStyle::Flock, LockMode::Unlock).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for queue in ["active", DIRECTORY] {
            std::fs::create_dir_all(root.path().join(queue)).unwrap();
        }
        root
    }

    fn busy(root: &Path) -> Retiring {
        let mut retiring = Retiring::new(root);
        retiring.period.1 = BUSY;
        retiring
    }

    fn message(root: &Path, name: &str) -> PathBuf {
        let path = root.join("active").join(name);
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_finished_file_is_emptied_and_taken_once_there_are_enough() {
        let root = root();
        let mut retiring = busy(root.path());
        let mut spares = Spares::new(root.path());
        for number in 0..=STOCK {
            let path = message(root.path(), "A");
            assert!(spares.candidate().is_none(), "after {number}");
            spares.pause = 0;
            assert!(retiring.remove(&path).unwrap());
            assert!(!path.exists());
        }
        let spare = spares.candidate().unwrap();
        assert_eq!(spare.file.metadata().unwrap().len(), 0);
        assert_eq!(spare.file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(spare.file.metadata().unwrap().ino(), spare.inode);
        std::fs::rename(&spare.path, root.path().join("active/B")).unwrap();
        assert!(spares.candidate().is_none(), "the others are kept back");
    }

    #[test]
    fn a_file_in_use_or_half_emptied_is_not_taken() {
        let root = root();
        let directory = root.path().join(DIRECTORY);
        let cases = [("1", "", 0o600), ("2", "old", 0o600), ("3", "", 0o700)];
        for (name, content, mode) in cases {
            std::fs::write(directory.join(name), content).unwrap();
            let mode = Permissions::from_mode(mode);
            std::fs::set_permissions(directory.join(name), mode).unwrap();
        }
        let reader = File::open(directory.join("1")).unwrap();
        assert!(try_lock(&reader, LockStyle::Flock, LockMode::Shared).unwrap());
        for (name, ..) in cases {
            assert!(open(directory.join(name)).is_none(), "{name}");
        }
        drop(reader);
        assert!(open(directory.join("1")).is_some());
        Retiring::new(root.path());
        assert!(directory.join("1").exists());
        assert!(!directory.join("2").exists());
        assert!(!directory.join("3").exists());
    }

    #[test]
    fn files_with_links_and_full_or_missing_directories_are_removed_as_ever() {
        let root = root();
        let mut retiring = busy(root.path());
        let path = message(root.path(), "A");
        let link = root.path().join("kept");
        std::fs::hard_link(&path, &link).unwrap();
        assert!(retiring.remove(&path).unwrap());
        assert_eq!(std::fs::read(&link).unwrap(), b"secret");
        assert!(!retiring.remove(&path).unwrap());

        for number in 0..ROOM + 10 {
            let path = message(root.path(), &format!("{number}"));
            assert!(retiring.remove(&path).unwrap());
        }
        let kept = std::fs::read_dir(root.path().join(DIRECTORY))
            .unwrap()
            .count();
        assert_eq!(kept, ROOM);

        std::fs::remove_dir_all(root.path().join("private")).unwrap();
        let mut retiring = busy(root.path());
        let path = message(root.path(), "A");
        assert!(retiring.remove(&path).unwrap());
        assert!(!path.exists());
        assert!(Spares::new(root.path()).candidate().is_none());
    }

    #[test]
    fn the_directory_is_made_when_it_is_needed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("active")).unwrap();
        std::fs::create_dir(root.path().join("private")).unwrap();
        let mut retiring = busy(root.path());
        assert!(!root.path().join(DIRECTORY).exists());
        assert!(retiring.remove(&message(root.path(), "A")).unwrap());
        let kept = std::fs::read_dir(root.path().join(DIRECTORY))
            .unwrap()
            .count();
        assert_eq!(kept, 1);
    }

    #[test]
    fn a_few_files_are_removed_and_those_after_many_are_kept() {
        let root = root();
        let mut retiring = Retiring::new(root.path());
        for _ in 0..=BUSY {
            let kept = std::fs::read_dir(root.path().join(DIRECTORY))
                .unwrap()
                .count();
            assert_eq!(kept, 0);
            assert!(retiring.remove(&message(root.path(), "A")).unwrap());
        }
        let kept = std::fs::read_dir(root.path().join(DIRECTORY))
            .unwrap()
            .count();
        assert_eq!(kept, 1);
    }
}
