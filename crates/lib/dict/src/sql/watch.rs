//! Whether the file of a database was replaced or written over behind the back of its library.
//!
//! SQLite takes what it has read for current while a counter in the file has the same value. A file that a
//! script makes anew and copies over the old one, or that was empty for a moment meanwhile, may have the
//! counter of the old one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file that was written to this recently may be written to again without getting another time.
const UNSETTLED: Duration = Duration::from_millis(100);

/// What became of the file since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing, as far as can be known.
    None,
    /// It was written to.
    Content,
    /// Another file has its name.
    File,
}

/// Device and number of a file.
type Identity = (u64, u64);

/// What tells a state of the file from others.
#[derive(Debug, PartialEq, Eq)]
struct State {
    identity: Identity,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

/// The file of a database that is kept open.
pub(super) struct Watch {
    path: PathBuf,
    /// The root directory when the file was opened: in a jail the name may stand for another file.
    root: Option<Identity>,
    seen: Option<State>,
}

impl Watch {
    /// To be made before the file is opened.
    pub(super) fn new(path: &str) -> Self {
        // Daemons change their working directory later.
        let path = std::path::absolute(path).unwrap_or_default();
        let seen = std::fs::metadata(&path).ok();
        Self {
            root: root(),
            seen: seen.map(|found| state(&found)),
            path,
        }
    }

    /// The path, also after the working directory was changed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file. A file that is gone stays as it is for those who have it open.
    pub(super) fn look(&mut self) -> Change {
        if self.root.is_none() || root() != self.root {
            return Change::None;
        }
        let Ok(found) = std::fs::metadata(&self.path) else {
            return Change::None;
        };
        let now = state(&found);
        let change = match &self.seen {
            Some(seen) if seen.identity != now.identity => Change::File,
            Some(seen) if *seen == now && is_settled(&found) => Change::None,
            _ => Change::Content,
        };
        self.seen = Some(now);
        change
    }
}

fn root() -> Option<Identity> {
    let found = std::fs::metadata("/").ok()?;
    Some((found.dev(), found.ino()))
}

fn state(found: &Metadata) -> State {
    State {
        identity: (found.dev(), found.ino()),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    }
}

/// Whether another change would show.
fn is_settled(found: &Metadata) -> bool {
    let modified = found.modified().ok();
    modified
        .and_then(|then| SystemTime::now().duration_since(then).ok())
        .is_some_and(|age| age > UNSETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn changes_of_a_file_show() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let age = |seconds: u64| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(then).unwrap();
        };
        fs::write(&path, "one").unwrap();
        age(9);
        let mut watch = Watch::new(path.to_str().unwrap());
        assert_eq!(watch.look(), Change::None);
        fs::write(&path, "two").unwrap();
        // The time may not show what is written next.
        assert_eq!(watch.look(), Change::Content);
        age(8);
        assert_eq!(watch.look(), Change::Content);
        assert_eq!(watch.look(), Change::None);
        fs::rename(&path, dir.path().join("old")).unwrap();
        assert_eq!(watch.look(), Change::None);
        fs::write(&path, "two").unwrap();
        age(8);
        assert_eq!(watch.look(), Change::File);
        assert_eq!(watch.look(), Change::None);
        watch.root = Some((0, 0));
        fs::write(&path, "jail").unwrap();
        assert_eq!(watch.look(), Change::None);
    }
}
