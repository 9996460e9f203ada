//! The queue file of one message: created under a temporary name, with mode 0600, which every
//! reader takes for incomplete; named and made mail when its last byte is written.
//!
//! Name, mode and data become durable by one fsync(2), before the client is told. Files of
//! finished messages are used again where there are some.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use postern_config::{Config, params};
use postern_queue::nursery::Nursery;
use postern_queue::recycled::Spares;
use postern_queue_file::file::{IdForm, NewFile, commit, rename_new};
use postern_queue_file::path::make_directories;
use postern_queue_file::{Hashing, QueueId, RecordType, SizeRecord, Writer};

/// Queue of messages that the queue manager may take.
pub(crate) const INCOMING: &str = "incoming";
/// Queue of messages that wait for the administrator.
pub(crate) const HOLD: &str = "hold";
/// Bytes collected before they go to the file: most messages are written by one system call.
const BUFFER: usize = 256 * 1024;

/// Where queue files go.
pub(crate) struct QueueDirectory {
    root: PathBuf,
    hashing: Hashing,
    form: IdForm,
    limit: Option<u64>,
    spares: Spares,
    nursery: Nursery,
}

/// Why a record did not get into the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("queue file size limit exceeded")]
    TooBig,
    #[error("write queue file: {}", postern_sys::error_text(.0))]
    Io(#[from] io::Error),
}

impl QueueDirectory {
    /// Files go below the working directory.
    pub(crate) fn new(config: &Config) -> Self {
        let limit = u64::try_from(config.get(params::MESSAGE_SIZE_LIMIT)).ok();
        Self {
            root: PathBuf::new(),
            hashing: postern_queue::hashing(config),
            form: if config.get(params::ENABLE_LONG_QUEUE_IDS) {
                IdForm::Long
            } else {
                IdForm::Short
            },
            limit: limit.filter(|limit| *limit > 0),
            spares: Spares::new(Path::new("")),
            nursery: Nursery::new(Path::new("")),
        }
    }

    /// Files go below `root`.
    #[cfg(test)]
    pub(crate) fn below(mut self, root: &Path) -> Self {
        self.root = root.to_owned();
        self.spares = Spares::new(root);
        self.nursery = Nursery::new(root);
        self
    }

    /// Starts a file.
    pub(crate) fn create(&mut self) -> io::Result<QueueFile> {
        let new = match self.reuse() {
            Some(new) => new,
            None => self
                .nursery
                .create(|place| NewFile::prepare(&self.root, place, self.form))?,
        };
        self.remove_stale_logs(&new.id);
        Ok(QueueFile {
            id: new.id,
            created: new.created,
            writer: Writer::with_capacity(new.file, BUFFER),
            limit: self.limit,
            path: new.path,
        })
    }

    fn reuse(&mut self) -> Option<NewFile> {
        let spare = self.spares.candidate()?;
        NewFile::reuse(&self.root, INCOMING, spare, self.form, &self.hashing).ok()
    }

    /// Logs of an earlier message with the same ID must not be taken for this one's.
    fn remove_stale_logs(&self, id: &QueueId) {
        for queue in ["defer", "bounce", "trace"] {
            if std::fs::remove_file(self.at(self.hashing.path(queue, id))).is_ok() {
                log::warn!("{queue}: removed spurious {id} log");
            }
        }
    }

    /// Where a file is, as seen from the working directory.
    fn at<'p>(&self, path: impl Into<Cow<'p, Path>>) -> Cow<'p, Path> {
        let path = path.into();
        if self.root.as_os_str().is_empty() {
            path
        } else {
            self.root.join(path).into()
        }
    }

    /// Gives the file its name in `queue`.
    fn move_to(&self, file: &mut QueueFile, queue: &'static str) -> io::Result<()> {
        let path = self.hashing.path(queue, &file.id);
        if file.path != path {
            let (from, to) = (self.at(&file.path), self.at(&path));
            rename_new(&from, &to).or_else(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    return Err(error);
                }
                make_directories(&self.root, queue, &file.id, &self.hashing)?;
                rename_new(&from, &to)
            })?;
            file.path = path;
        }
        Ok(())
    }

    /// Shows the file, incomplete as it is, to bounce(8).
    pub(crate) fn publish(&self, file: &mut QueueFile) -> Result<(), QueueError> {
        file.flush()?;
        Ok(self.move_to(file, INCOMING)?)
    }

    /// Makes the file mail in `queue`. Only after this may the client be told so.
    ///
    /// # Errors
    ///
    /// The message is not safe; the file is removed.
    pub(crate) fn commit(
        &self,
        mut file: QueueFile,
        queue: &'static str,
    ) -> Result<(), QueueError> {
        let done = file.flush().and_then(|()| {
            self.move_to(&mut file, queue)?;
            Ok(commit(file.writer.get_ref(), 0)?)
        });
        if done.is_err() {
            self.discard(file);
        }
        done
    }

    /// Removes the file.
    pub(crate) fn discard(&self, file: QueueFile) {
        let path = self.at(&file.path);
        let removed = std::fs::remove_file(&path);
        if let Err(error) = removed.or_else(ignore_missing) {
            log::warn!(
                "remove {}: {}",
                path.display(),
                postern_sys::error_text(&error)
            );
        }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// A queue file being written.
pub(crate) struct QueueFile {
    /// The message's ID.
    pub(crate) id: QueueId,
    /// The time in the ID and in a generated Message-Id.
    pub(crate) created: SystemTime,
    writer: Writer<File>,
    limit: Option<u64>,
    /// Where it is, below the queue directory.
    path: PathBuf,
}

impl QueueFile {
    /// Appends a record.
    pub(crate) fn put(&mut self, kind: RecordType, data: &[u8]) -> Result<(), QueueError> {
        self.writer.put(kind, data)?;
        self.check_size()
    }

    /// Appends a named attribute.
    pub(crate) fn put_attribute(&mut self, name: &str, value: &[u8]) -> Result<(), QueueError> {
        self.writer.put_attribute(name, value)?;
        self.check_size()
    }

    /// Appends one text line in pieces that readers can take.
    pub(crate) fn put_line(&mut self, line: &[u8], limit: usize) -> Result<(), QueueError> {
        self.writer.put_line(line, limit)?;
        self.check_size()
    }

    /// Postfix finds out that a file is too large when a buffer of its size goes to the disk; log
    /// lines depend on when that is.
    fn check_size(&self) -> Result<(), QueueError> {
        const FLUSHED: u64 = 4096;
        match self.limit {
            Some(limit) if self.writer.offset() / FLUSHED * FLUSHED > limit => {
                Err(QueueError::TooBig)
            }
            _ => Ok(()),
        }
    }

    /// Whether the whole file is too large.
    pub(crate) fn is_too_big(&self) -> bool {
        self.limit.is_some_and(|limit| self.writer.offset() > limit)
    }

    /// Position of the next record.
    pub(crate) fn offset(&self) -> i64 {
        i64::try_from(self.writer.offset()).unwrap_or(i64::MAX)
    }

    /// Fills in the size record.
    pub(crate) fn put_size(&mut self, size: &SizeRecord) -> Result<(), QueueError> {
        Ok(self.writer.rewrite_size(size)?)
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        Ok(self.writer.flush()?)
    }

    /// A second handle, at the start of the file, for reading what was flushed.
    pub(crate) fn reader(&self) -> io::Result<File> {
        // The descriptor shares its position with the writer, which is at its end from here on.
        let mut file = self.writer.get_ref().try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}
