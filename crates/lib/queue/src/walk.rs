//! One walk over a queue directory, an entry at a time, so that a large queue neither fills the
//! memory nor holds up the caller.

use postern_queue_file::QueueId;
use std::fs::{DirEntry, ReadDir};
use std::io;
use std::path::PathBuf;

/// Hash directories that one path may have; deeper ones are not entered.
const DEPTH_LIMIT: usize = 64;

/// A file with a valid queue ID as its name. It may be anything: the walk does not stat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The queue ID.
    pub id: QueueId,
    /// Where it was found, which after a change of `hash_queue_depth` is not where a look-up
    /// would search.
    pub path: PathBuf,
}

/// An iterator over a queue. Every one-character name is a hash directory; names that are no
/// queue IDs (temporary files) are skipped. After an error the walk goes on with what is left.
#[derive(Debug)]
pub struct Walk {
    /// The directory to start with; taken by the first step.
    start: Option<PathBuf>,
    /// Open directories, the innermost last.
    open: Vec<ReadDir>,
}

impl Walk {
    /// Starts at the queue's top directory, which must exist.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            start: Some(directory),
            open: Vec::new(),
        }
    }

    fn enter(&mut self, directory: &DirEntry) -> io::Result<()> {
        if self.open.len() >= DEPTH_LIMIT || !directory.file_type()?.is_dir() {
            return Ok(());
        }
        match std::fs::read_dir(directory.path()) {
            Ok(entries) => self.open.push(entries),
            // Somebody tidied up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(directory) = self.start.take() {
            match std::fs::read_dir(directory) {
                Ok(entries) => self.open.push(entries),
                Err(error) => return Some(Err(error)),
            }
        }
        loop {
            let entry = match self.open.last_mut()?.next() {
                None => {
                    self.open.pop();
                    continue;
                }
                Some(Err(error)) => {
                    self.open.pop();
                    return Some(Err(error));
                }
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name();
            if name.len() == 1 {
                if let Err(error) = self.enter(&entry) {
                    return Some(Err(error));
                }
            } else if let Ok(id) = QueueId::parse(name.as_encoded_bytes()) {
                return Some(Ok(Entry {
                    id,
                    path: entry.path(),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_depths_are_walked_and_other_names_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("4/A")).unwrap();
        std::fs::create_dir_all(root.path().join("ab")).unwrap();
        for name in [
            "12345ABC",
            "4/4A111BC",
            "4/A/4A222BC",
            "993.1234",
            "7",
            "ab/77777F",
        ] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let mut names: Vec<_> = Walk::new(root.path().to_owned())
            .map(|entry| entry.unwrap().id.to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["12345ABC", "4A111BC", "4A222BC", "ab"]);
        let mut missing = Walk::new(root.path().join("nowhere"));
        assert!(missing.next().unwrap().is_err());
        assert!(missing.next().is_none());
    }
}
