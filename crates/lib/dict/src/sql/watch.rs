//! Whether the file of a database was replaced or written over behind the back of its library.
//!
//! SQLite takes what it has read for current while a counter in the file has the same value. A file that a
//! script makes anew and copies over the old one, or that was empty for a moment meanwhile, may have the
//! counter of the old one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was changed this recently may be changed again without getting another time.
const UNSETTLED: Duration = Duration::from_millis(100);

/// What became of the file since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing, as far as can be known.
    None,
    /// It was written to.
    Content,
    /// Its name stands for another file than the one that is open.
    File,
}

/// Device and number of a file.
type Identity = (u64, u64);

/// What tells a state of the file from others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    identity: Identity,
    size: u64,
    /// When content or rights were changed: seconds and nanoseconds. Unlike the time of modification, it
    /// cannot be set.
    changed: (i64, i64),
}

/// The file of a database that is kept open.
pub(super) struct Watch {
    path: PathBuf,
    /// The root directory when the file was opened: in a jail the name may stand for another file.
    root: Option<Identity>,
    /// The file that is open.
    open: Option<Identity>,
    seen: Option<State>,
}

impl Watch {
    /// To be made before the file is opened.
    pub(super) fn new(path: &str) -> Self {
        // Daemons change their working directory later.
        let path = std::path::absolute(path).unwrap_or_default();
        let seen = state(&path);
        Self {
            root: root(),
            open: seen.as_ref().map(|seen| seen.identity),
            seen,
            path,
        }
    }

    /// The path, also after the working directory was changed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file. One that is gone stays as it is for those who have it open.
    pub(super) fn look(&mut self) -> Change {
        self.look_at(SystemTime::now())
    }

    fn look_at(&mut self, time: SystemTime) -> Change {
        if self.root.is_none() || root() != self.root {
            return Change::None;
        }
        let Some(now) = state(&self.path) else {
            return Change::None;
        };
        let change = if self.seen.as_ref() == Some(&now) && now.is_settled(time) {
            Change::None
        } else if self.open == Some(now.identity) {
            Change::Content
        } else {
            Change::File
        };
        self.seen = Some(now);
        change
    }

    /// The file that was seen last is open now.
    pub(super) fn reopened(&mut self) {
        self.open = self.seen.as_ref().map(|seen| seen.identity);
    }
}

fn root() -> Option<Identity> {
    state(Path::new("/")).map(|root| root.identity)
}

fn state(path: &Path) -> Option<State> {
    let found = std::fs::metadata(path).ok()?;
    Some(State {
        identity: (found.dev(), found.ino()),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

impl State {
    /// Whether another change after `time` would show.
    fn is_settled(&self, time: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let part = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        let since_epoch = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + part;
        time.duration_since(UNIX_EPOCH)
            .is_ok_and(|time| time > since_epoch + UNSETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn changes_of_a_file_show() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(path.to_str().unwrap());
        let later = SystemTime::now() + Duration::from_secs(9);
        assert_eq!(watch.look_at(later), Change::None);
        // What is written next may not show.
        assert_eq!(watch.look(), Change::Content);
        fs::write(&path, "longer").unwrap();
        assert_eq!(watch.look_at(later), Change::Content);
        assert_eq!(watch.look_at(later), Change::None);
        fs::rename(&path, dir.path().join("old")).unwrap();
        assert_eq!(watch.look_at(later), Change::None);
        fs::write(&path, "longer").unwrap();
        assert_eq!(watch.look_at(later), Change::File);
        // It could not be opened; it is tried again when it changes.
        assert_eq!(watch.look_at(later), Change::None);
        fs::write(&path, "and longer").unwrap();
        assert_eq!(watch.look_at(later), Change::File);
        watch.reopened();
        fs::write(&path, "short").unwrap();
        assert_eq!(watch.look_at(later), Change::Content);
        watch.root = Some((0, 0));
        fs::write(&path, "in a jail").unwrap();
        assert_eq!(watch.look_at(later), Change::None);
    }
}
