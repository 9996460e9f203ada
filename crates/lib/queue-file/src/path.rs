//! Where a queue file lives: queue directories, hash directories, owners and modes.

use crate::id::QueueId;
use std::path::{Path, PathBuf};

/// Room for a queue ID and the slashes before it.
const MAX_ID: usize = 24;

/// Which queues have hash directories, and how deep (`hash_queue_names`, `hash_queue_depth`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    names: Vec<String>,
    depth: usize,
}

impl Hashing {
    /// From the two parameter values; names are separated by blanks or commas.
    pub fn new(names: &str, depth: usize) -> Self {
        let names = names
            .split([' ', ',', '\t', '\r', '\n'])
            .filter(|name| !name.is_empty());
        Self {
            names: names.map(str::to_owned).collect(),
            depth: depth.max(1),
        }
    }

    /// Levels of hash directories in `queue`.
    pub fn depth(&self, queue: &str) -> usize {
        let hashed = self
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(queue));
        if hashed { self.depth } else { 0 }
    }

    /// Directory of the file, relative to the queue directory: `deferred/9`.
    pub fn directory(&self, queue: &str, id: &QueueId) -> PathBuf {
        self.directory_below(Path::new(""), queue, id)
    }

    /// The directory below `root`, with room for the name of the file.
    fn directory_below(&self, root: &Path, queue: &str, id: &QueueId) -> PathBuf {
        let depth = self.depth(queue);
        let room = root.as_os_str().len() + queue.len() + 2 * depth + MAX_ID;
        let mut path = PathBuf::with_capacity(room);
        path.push(root);
        path.push(queue);
        if depth > 0 {
            let key = id.hash_key();
            let mut key = key.chars();
            for _ in 0..depth {
                path.push(key.next().unwrap_or('_').encode_utf8(&mut [0; 4]));
            }
        }
        path
    }

    /// The file, relative to the queue directory: `deferred/9/9D9C499E1A0`.
    pub fn path(&self, queue: &str, id: &QueueId) -> PathBuf {
        self.path_below(Path::new(""), queue, id)
    }

    /// The file below `root`: `/var/spool/postfix/deferred/9/9D9C499E1A0`.
    pub fn path_below(&self, root: &Path, queue: &str, id: &QueueId) -> PathBuf {
        let mut path = self.directory_below(root, queue, id);
        path.push(id);
        path
    }
}

impl Default for Hashing {
    /// The defaults of main.cf.
    fn default() -> Self {
        Self::new("deferred, defer", 1)
    }
}

/// Mode of a directory made on demand.
pub const SUBDIRECTORY_MODE: u32 = 0o700;

/// Makes the hash directories of a file that go below `root`/`queue`.
///
/// # Errors
///
/// Those of mkdir(2); a directory that exists is fine.
pub fn make_directories(
    root: &Path,
    queue: &str,
    id: &QueueId,
    hashing: &Hashing,
) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(SUBDIRECTORY_MODE);
    builder.create(root.join(hashing.directory(queue, id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_real_files() {
        let cases = [
            ("deferred", 1, "46BD999E172", "deferred/4/46BD999E172"),
            (
                "deferred",
                1,
                "4jXTv44Dnvz1T1F8",
                "deferred/9/4jXTv44Dnvz1T1F8",
            ),
            ("Defer", 2, "4jXTv44Dnvz1T1F8", "Defer/9/1/4jXTv44Dnvz1T1F8"),
            ("incoming", 1, "46BD999E172", "incoming/46BD999E172"),
            ("deferred", 3, "4A", "deferred/4/A/_/4A"),
        ];
        for (queue, depth, id, want) in cases {
            let hashing = Hashing::new("deferred, defer", depth);
            assert_eq!(
                hashing.path(queue, &QueueId::parse(id).unwrap()),
                Path::new(want)
            );
        }
    }
}
