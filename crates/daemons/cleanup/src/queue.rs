//! The queue file of one message: created without a name, linked when complete.
//!
//! The file gets its name after its last byte and before fsync(2), so that one journal commit
//! makes data and directory entry durable; a process that dies leaves nothing behind. Where a
//! file system has no unnamed files, the file is created under its name with mode 0600, which
//! every reader takes for incomplete.

use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use postern_config::{Config, params};
use postern_queue_file::file::{IdForm, MODE_READY, MODE_WRITING, NewFile, commit, split_time};
use postern_queue_file::path::make_directories;
use postern_queue_file::{Hashing, QueueId, RecordType, SizeRecord, Writer};
use postern_sys::file::{DescriptorDirectory, create_unnamed};

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
    descriptors: Option<DescriptorDirectory>,
    /// Unnamed files did not work here; do not try again.
    named_only: bool,
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
            descriptors: DescriptorDirectory::open().ok(),
            named_only: false,
        }
    }

    /// Files go below `root`.
    #[cfg(test)]
    pub(crate) fn below(mut self, root: &Path) -> Self {
        self.root = root.to_owned();
        self
    }

    /// Starts a file in the incoming queue.
    pub(crate) fn create(&mut self) -> io::Result<QueueFile> {
        let (file, id, created, named) = match self.unnamed() {
            Some((file, id, created)) => (file, id, created, None),
            None => {
                let new = NewFile::create(&self.root, INCOMING, 0, self.form, &self.hashing)?;
                (new.file, new.id, new.created, Some(INCOMING))
            }
        };
        self.remove_stale_logs(&id);
        Ok(QueueFile {
            id,
            created,
            writer: Writer::with_capacity(file, BUFFER),
            limit: self.limit,
            named,
        })
    }

    fn unnamed(&mut self) -> Option<(File, QueueId, SystemTime)> {
        if self.named_only || self.descriptors.is_none() {
            return None;
        }
        // The mode is final: nobody sees the file before it is complete.
        match create_unnamed(&self.root.join(INCOMING), MODE_READY) {
            Ok(file) => {
                let inode = file.metadata().ok()?.ino();
                let created = SystemTime::now();
                let (seconds, microseconds) = split_time(created);
                let id = match self.form {
                    IdForm::Short => QueueId::short(microseconds, inode),
                    IdForm::Long => QueueId::long(seconds, microseconds, inode),
                };
                Some((file, id, created))
            }
            Err(error) => {
                // EOPNOTSUPP, or EISDIR from kernels that do not know the flag, will not go away.
                self.named_only = matches!(
                    error.raw_os_error(),
                    Some(nix::libc::EOPNOTSUPP | nix::libc::EISDIR)
                );
                None
            }
        }
    }

    /// Logs of an earlier message with the same ID must not be taken for this one's.
    fn remove_stale_logs(&self, id: &QueueId) {
        for queue in ["defer", "bounce", "trace"] {
            if std::fs::remove_file(self.root.join(self.hashing.path(queue, id))).is_ok() {
                log::warn!("{queue}: removed spurious {id} log");
            }
        }
    }

    fn path(&self, queue: &str, id: &QueueId) -> PathBuf {
        self.root.join(self.hashing.path(queue, id))
    }

    /// Puts the file under its name into `queue`.
    fn name(&self, file: &mut QueueFile, queue: &'static str) -> io::Result<()> {
        let path = self.path(queue, &file.id);
        self.place(file, &path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            make_directories(&self.root, queue, &file.id, &self.hashing)?;
            self.place(file, &path)
        })?;
        file.named = Some(queue);
        Ok(())
    }

    fn place(&self, file: &QueueFile, path: &Path) -> io::Result<()> {
        match (file.named, &self.descriptors) {
            (Some(queue), _) => {
                let now = self.path(queue, &file.id);
                if now == path {
                    Ok(())
                } else {
                    std::fs::rename(now, path)
                }
            }
            (None, Some(descriptors)) => descriptors.link(file.writer.get_ref(), path),
            (None, None) => Err(io::ErrorKind::Unsupported.into()),
        }
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
        let was_named = file.named.is_some();
        let done = file
            .flush()
            .and_then(|()| self.name(&mut file, queue).map_err(QueueError::Io))
            .and_then(|()| {
                let out = file.writer.get_ref();
                let synced = if was_named {
                    commit(out, 0)
                } else {
                    out.sync_all()
                };
                synced.map_err(QueueError::Io)
            });
        if done.is_err() {
            self.discard(file);
        }
        done
    }

    /// Shows the file, incomplete as it is, to bounce(8).
    pub(crate) fn publish(&self, file: &mut QueueFile) -> Result<(), QueueError> {
        file.flush()?;
        if file.named.is_none() {
            file.writer
                .get_ref()
                .set_permissions(Permissions::from_mode(MODE_WRITING))?;
            self.name(file, INCOMING)?;
        }
        Ok(())
    }

    /// Removes the file.
    pub(crate) fn discard(&self, file: QueueFile) {
        if let Some(queue) = file.named {
            let path = self.path(queue, &file.id);
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
    /// The queue where it has a name.
    named: Option<&'static str>,
}

impl QueueFile {
    /// Appends a record.
    pub(crate) fn put(&mut self, kind: RecordType, data: &[u8]) -> Result<(), QueueError> {
        self.writer.put(kind, data)?;
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
