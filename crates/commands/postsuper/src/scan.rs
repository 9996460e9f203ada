//! Walks over whole queues and does the wanted things to every file.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use postern_queue_file::QueueId;
use postern_queue_file::file::{Readiness, readiness};
use postern_sys::error_text;

use crate::files::{self, Failure};
use crate::{Work, structure};

/// Age from which an incomplete file in a queue of messages is garbage.
const GARBAGE_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Hash directories that one path may have; deeper ones are not entered.
const DEPTH_LIMIT: usize = 64;

/// A queue directory that this program may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) name: &'static str,
    /// It holds messages, not logs about them.
    pub(crate) messages: bool,
}

const QUEUES: [Queue; 9] = [
    Queue {
        name: "maildrop",
        messages: true,
    },
    Queue {
        name: "incoming",
        messages: true,
    },
    Queue {
        name: "active",
        messages: true,
    },
    Queue {
        name: "deferred",
        messages: true,
    },
    Queue {
        name: "hold",
        messages: true,
    },
    Queue {
        name: "trace",
        messages: false,
    },
    Queue {
        name: "defer",
        messages: false,
    },
    Queue {
        name: "bounce",
        messages: false,
    },
    Queue {
        name: "flush",
        messages: false,
    },
];

impl Queue {
    /// The queue of this name.
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        let found = QUEUES.iter().find(|queue| queue.name == name);
        found
            .copied()
            .ok_or_else(|| Failure::UnknownQueue(name.to_owned()))
    }

    /// Whether messages may be expired, held and requeued: what is in maildrop has not been
    /// accepted yet.
    pub(crate) fn accepted_mail(self) -> bool {
        self.messages && self.name != "maildrop"
    }
}

/// What is done to each file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Jobs {
    /// Old incomplete files are removed.
    pub(crate) purge: bool,
    /// Names and places are put right.
    pub(crate) structure: bool,
    /// Long names must match the inode number, too.
    pub(crate) redundant: bool,
    pub(crate) delete: bool,
    pub(crate) expire: bool,
    pub(crate) hold: bool,
    pub(crate) release: bool,
    pub(crate) requeue: bool,
}

impl Work {
    /// Does the jobs on every file of the named queues.
    pub(crate) fn scan(&mut self, names: &[String], jobs: Jobs) -> Result<(), Failure> {
        for name in names {
            let queue = Queue::named(name)?;
            log::debug!("queue: {name}");
            self.directory(queue, Path::new(queue.name), 0, jobs)?;
        }
        Ok(())
    }

    /// Reads all names of a directory before it touches a file: renamed files must not turn up again.
    fn directory(
        &mut self,
        queue: Queue,
        directory: &Path,
        depth: usize,
        jobs: Jobs,
    ) -> Result<(), Failure> {
        let names = match names(directory) {
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(|error| Failure::Scan(directory.to_owned(), error))?,
        };
        for (name, is_directory) in names {
            files::check(&self.interrupts)?;
            let path = directory.join(&name);
            if is_directory && name.len() == 1 && depth < DEPTH_LIMIT {
                self.directory(queue, &path, depth + 1, jobs)?;
                if depth >= self.queues.hashing().depth(queue.name) {
                    remove_directory("directory", &path);
                }
                continue;
            }
            self.entry(queue, &path, &name, jobs)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        queue: Queue,
        path: &Path,
        name: &OsStr,
        jobs: Jobs,
    ) -> Result<(), Failure> {
        self.progress.step();
        let meta = match std::fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!("{}: {}", path.display(), error_text(&error));
                }
                return Ok(());
            }
        };
        if meta.is_dir() {
            remove_directory("subdirectory", path);
        } else if !meta.is_file() {
            files::remove(path)?;
        } else if jobs.delete {
            let removed = files::remove(path)?;
            let counts = removed && queue.messages && is_ready(&meta);
            self.counts.deleted += u64::from(counts);
        } else if jobs.purge && queue.messages && is_garbage(&meta) {
            files::remove(path)?;
        } else if jobs.structure {
            self.put_right(queue, path, name, &meta, jobs.redundant)?;
        } else if let Ok(id) = QueueId::parse(name.as_bytes()) {
            self.treat(queue, path, &id, jobs)?;
        } else {
            structure::warn_of_name(path);
        }
        Ok(())
    }

    fn treat(
        &mut self,
        queue: Queue,
        path: &Path,
        id: &QueueId,
        jobs: Jobs,
    ) -> Result<(), Failure> {
        if !queue.accepted_mail() {
            return Ok(());
        }
        if jobs.expire && files::expire(path) {
            self.counts.expired += 1;
        }
        if jobs.hold && queue.name != "hold" && self.transfer(path, id, "hold")? {
            self.counts.held += 1;
        }
        if jobs.release && queue.name == "hold" && self.transfer(path, id, "deferred")? {
            self.counts.released += 1;
        }
        if jobs.requeue && self.transfer(path, id, "maildrop")? {
            self.counts.requeued += 1;
        }
        Ok(())
    }

    /// Moves a message to another queue; `false` when it was gone.
    pub(crate) fn transfer(&self, path: &Path, id: &QueueId, queue: &str) -> Result<bool, Failure> {
        files::rename(path, &self.queues.path(queue, id))
    }
}

fn names(directory: &Path) -> io::Result<Vec<(OsString, bool)>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // Without the type the entry is examined as a file, which finds it out.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.push((entry.file_name(), is_directory));
    }
    Ok(names)
}

/// A directory that cannot be removed holds something odd, about which there is a warning, too. Mail
/// goes on nevertheless.
fn remove_directory(what: &str, path: &Path) {
    if let Err(error) = std::fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("remove {what} {}: {}", path.display(), error_text(&error));
    }
}

fn is_ready(meta: &Metadata) -> bool {
    readiness(meta.mode()) == Readiness::Ready
}

fn is_garbage(meta: &Metadata) -> bool {
    let is_old = |modified| {
        SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|age| age > GARBAGE_AGE)
    };
    !is_ready(meta) && meta.modified().is_ok_and(is_old)
}
