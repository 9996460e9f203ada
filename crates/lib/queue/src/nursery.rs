//! Where new queue files are created: in `incoming`, or, where that is slow, in directories of their own.
//!
//! A file system looks for the inode of a new file near its directory. After many files were deleted there,
//! ext4 without journal searches past all of them, with every creation and under the lock of the directory,
//! which costs several times what the rest of the message does. So the time is taken, and when most
//! creations are slow, files begin in `private/new/NAME` and get their place in the queue with their final
//! name, when they are complete. The flag on `private/new` makes ext4 put each directory elsewhere; XFS
//! does so anyway. Where creations are fast nothing is made and nothing changes.
//!
//! Left-over files are as harmless as those with temporary names in `incoming`: they are no mail yet.

use crate::queues::remove_file;
use postern_sys::file::spread_subdirectories;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The directory below `queue_directory`; the mail system's user may make it there.
pub const DIRECTORY: &str = "private/new";
/// The usual place.
const INCOMING: &str = "incoming";
/// Mode of the directories.
const MODE: u32 = 0o700;
/// Directories that there may be.
const ROOM: usize = 8;
/// The creation of a file or directory takes a fifth of this where the file system finds an inode at once.
pub const SLOW: Duration = Duration::from_micros(100);
/// Slow creations, each outweighed by two fast ones, from which a process looks for another directory.
const TOO_SLOW: u32 = 6;
/// Directories that one process tries: where all of them are slow, it stays.
const MOVES: u32 = 6;
/// Age from which a file is a left-over.
const LEFT_OVER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory in which one process creates files.
#[derive(Debug)]
pub struct Nursery {
    root: PathBuf,
    /// Below the root; `None` before the first file.
    place: Option<String>,
    slow: u32,
    moves: u32,
}

impl Nursery {
    /// Looks for nothing yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            place: None,
            slow: 0,
            moves: MOVES,
        }
    }

    /// Calls `create` with the directory, below the root, for a new file.
    ///
    /// # Errors
    ///
    /// Those of `create`.
    pub fn create<T>(&mut self, create: impl Fn(&str) -> io::Result<T>) -> io::Result<T> {
        let place = self.place.take().unwrap_or_else(|| self.look());
        let begun = Instant::now();
        let created = create(&place);
        let elapsed = begun.elapsed();
        match created {
            // Somebody tidied up.
            Err(error) if error.kind() == io::ErrorKind::NotFound && place != INCOMING => {
                self.place = Some(INCOMING.to_owned());
                create(INCOMING)
            }
            created => {
                self.place = Some(self.rate(place, elapsed));
                created
            }
        }
    }

    /// The place for the next file.
    fn rate(&mut self, place: String, elapsed: Duration) -> String {
        if self.moves == 0 {
            return place;
        }
        self.slow = if elapsed > SLOW {
            self.slow + 1
        } else {
            self.slow.saturating_sub(2)
        };
        if self.slow < TOO_SLOW {
            return place;
        }
        self.slow = 0;
        self.moves -= 1;
        self.move_on(&place).unwrap_or(place)
    }

    /// One of the directories that others found necessary.
    fn look(&self) -> String {
        let there = names(&self.root.join(DIRECTORY)).unwrap_or_default();
        pick(&there).unwrap_or_else(|| INCOMING.to_owned())
    }

    /// Another directory, a new one if there are not too many.
    fn move_on(&self, slow: &str) -> Option<String> {
        let parent = self.root.join(DIRECTORY);
        let there = match names(&parent) {
            Ok(there) => there,
            Err(_) => {
                self.establish(&parent).ok()?;
                Vec::new()
            }
        };
        if there.len() < ROOM {
            let name = format!("{:08x}", random());
            make(&parent.join(&name)).ok()?;
            return Some(format!("{DIRECTORY}/{name}"));
        }
        let others: Vec<_> = there
            .into_iter()
            .filter(|name| !slow.ends_with(name.as_str()))
            .collect();
        pick(&others)
    }

    /// Makes the parent of the directories, where its files can be renamed into the queue.
    fn establish(&self, parent: &Path) -> io::Result<()> {
        let device = |path: PathBuf| Ok::<_, io::Error>(path.metadata()?.dev());
        if device(self.root.join("private"))? != device(self.root.join(INCOMING))? {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        make(parent)?;
        // Only some file systems know the flag, and only those need it.
        let _ = spread_subdirectories(parent);
        Ok(())
    }
}

/// Removes directories that are not in use, and what crashes left behind.
pub fn tidy(root: &Path) {
    let parent = root.join(DIRECTORY);
    for name in names(&parent).unwrap_or_default() {
        let directory = parent.join(name);
        for file in names(&directory).unwrap_or_default() {
            let file = directory.join(file);
            let is_old = file
                .symlink_metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LEFT_OVER));
            if is_old && let Err(error) = remove_file(&file) {
                let text = postern_sys::error_text(&error);
                log::warn!("remove {}: {text}", file.display());
            }
        }
        // Fails, as it shall, while files are created there.
        let _ = std::fs::remove_dir(directory);
    }
}

fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.collect())
}

fn pick(names: &[String]) -> Option<String> {
    let at = usize::try_from(random()).ok()?.checked_rem(names.len())?;
    Some(format!("{DIRECTORY}/{}", names.get(at)?))
}

/// Differs between processes and calls; nothing depends on its quality.
fn random() -> u32 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = time.unwrap_or_default().subsec_nanos();
    (nanoseconds ^ std::process::id().rotate_left(16)).wrapping_mul(0x9E37_79B1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in [INCOMING, "private"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        root
    }

    /// Where `count` files are created when each creation takes `pause`.
    fn places(nursery: &mut Nursery, count: u32, pause: Duration) -> Vec<String> {
        let places = RefCell::new(Vec::new());
        for _ in 0..count {
            let create = |place: &str| {
                std::thread::sleep(pause);
                places.borrow_mut().push(place.to_owned());
                Ok(())
            };
            nursery.create(create).unwrap();
        }
        places.into_inner()
    }

    #[test]
    fn slow_creations_move_to_new_directories_until_there_are_enough_moves() {
        let root = root();
        let mut nursery = Nursery::new(root.path());
        let slow = Duration::from_millis(1);
        let seen = places(&mut nursery, 2 * TOO_SLOW, slow);
        let (first, then) = seen.split_at(usize::try_from(TOO_SLOW).unwrap());
        assert!(first.iter().all(|place| place == INCOMING), "{first:?}");
        assert!(then.iter().all(|place| place.starts_with(DIRECTORY)));
        assert!(root.path().join(&then[0]).is_dir());
        places(&mut nursery, MOVES * TOO_SLOW, slow);
        let there = names(&root.path().join(DIRECTORY)).unwrap().len();
        assert_eq!(there, usize::try_from(MOVES).unwrap());
        let mut later = Nursery::new(root.path());
        let seen = places(&mut later, 1, Duration::ZERO);
        assert!(seen[0].starts_with(DIRECTORY), "{seen:?}");
        for number in 0..2 * ROOM {
            let mut other = Nursery::new(root.path());
            places(&mut other, TOO_SLOW + 1, slow);
            let there = names(&root.path().join(DIRECTORY)).unwrap().len();
            assert!(there <= ROOM, "{there} after {number}");
        }
    }

    #[test]
    fn a_directory_that_vanished_is_replaced_by_incoming() {
        let root = root();
        let directory = root.path().join(DIRECTORY).join("a");
        std::fs::create_dir_all(&directory).unwrap();
        let mut nursery = Nursery::new(root.path());
        std::fs::remove_dir_all(directory).unwrap();
        nursery.place = Some(format!("{DIRECTORY}/a"));
        let file = |place: &str| std::fs::write(root.path().join(place).join("1.2"), "");
        nursery.create(file).unwrap();
        assert!(root.path().join(INCOMING).join("1.2").exists());
    }

    #[test]
    fn nothing_is_made_where_files_could_not_be_renamed() {
        let root = root();
        std::fs::remove_dir(root.path().join(INCOMING)).unwrap();
        let mut nursery = Nursery::new(root.path());
        places(&mut nursery, 2 * TOO_SLOW, Duration::from_millis(1));
        assert!(!root.path().join(DIRECTORY).exists());
    }

    #[test]
    fn tidying_spares_fresh_files() {
        let root = root();
        let parent = root.path().join(DIRECTORY);
        for name in ["old", "used"] {
            std::fs::create_dir_all(parent.join(name)).unwrap();
            std::fs::write(parent.join(name).join("1.2"), "").unwrap();
        }
        let old = SystemTime::now() - LEFT_OVER - Duration::from_secs(60);
        let file = std::fs::File::options()
            .write(true)
            .open(parent.join("old/1.2"))
            .unwrap();
        file.set_modified(old).unwrap();
        tidy(root.path());
        assert!(!parent.join("old").exists());
        assert!(parent.join("used/1.2").exists());
    }
}
