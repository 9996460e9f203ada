//! Builds a database as a whole: beside the old file under its lock, then renamed into place.
//!
//! Postfix truncates and rewrites the old file. Here a crash leaves the old table; readers see
//! that their file has no name any more and restart, as they do after a change. Where the
//! directory does not allow a second file, the old one is rewritten.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bstr::{BStr, BString};
use postern_sys::lock::{LockMode, LockStyle, lock, try_lock};

use super::{Kind, build};
use crate::dbfile::{NulForms, directory, duplicate, with_nul};
use crate::sorter::{Duplicate, Sorter};
use crate::{Builder, Flags, LookupError, OpenError, io_text};

/// A build that has not written for so long may have been killed.
const ABANDONED: Duration = Duration::from_secs(60);
/// Mode of new files before the umask.
const MODE: u32 = 0o644;

/// A table being built.
struct Create {
    kind: Kind,
    name: String,
    path: String,
    flags: Flags,
    nul: bool,
    target: Target,
    /// `None` once finished.
    sorter: Option<Sorter>,
    /// Sum of [`build::hash_space`].
    space: u64,
}

/// Where the table is written.
struct Target {
    /// The old file, locked for the whole job.
    old: Option<File>,
    /// The new file; `None` when the old one is rewritten.
    new: Option<(PathBuf, File)>,
}

/// Starts to build `source.db`.
pub(crate) fn create(
    kind: Kind,
    source: &str,
    flags: Flags,
) -> Result<Box<dyn Builder>, OpenError> {
    let path = format!("{source}.db");
    // Postfix opens the old file for its lock before libdb comes into it.
    let old = lock_old(&path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
            OpenError::io(&path, &error)
        }
        _ => OpenError::io(format!("database {path}"), &error),
    })?;
    let target = Target::prepare(&path, old)
        .map_err(|error| OpenError::io(format!("database {path}"), &error))?;
    let sorter = Sorter::new(directory(&path));
    Ok(Box::new(Create {
        kind,
        name: format!("{}:{path}", kind.name()),
        path,
        flags,
        nul: NulForms::new(flags).writes_nul(true),
        target,
        sorter: Some(sorter),
        space: 0,
    }))
}

/// Makes an empty database unless somebody else just did.
pub(super) fn create_empty(kind: Kind, path: &str) -> io::Result<()> {
    let (temporary, file) = temporary_file(path)?;
    let linked = write(kind, &file, Sorter::new(directory(path)), 0)
        .and_then(|_| file.sync_data())
        .and_then(|()| std::fs::hard_link(&temporary, path));
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes the entries; returns the keys of dropped duplicates in source order.
fn write(kind: Kind, file: &File, sorter: Sorter, space: u64) -> io::Result<Vec<Vec<u8>>> {
    let mut entries = sorter.finish()?;
    match kind {
        Kind::Hash => build::write_hash(file, &mut entries, space)?,
        Kind::Btree => build::write_btree(file, &mut entries)?,
    }
    Ok(entries.into_reported().collect())
}

/// A new file beside `path`, with a name as libdb's own.
fn temporary_file(path: &str) -> io::Result<(PathBuf, File)> {
    let name = Path::new(path)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let temporary = directory(path).join(format!("__db.{name}.{}", std::process::id()));
    let create = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&temporary)
    };
    let file = match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Left by a process that died and had our number.
            std::fs::remove_file(&temporary)?;
            create()
        }
        result => result,
    }?;
    // Whoever finds the file knows by the lock that its maker lives.
    lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
    remove_abandoned(directory(path), &format!("__db.{name}."));
    Ok((temporary, file))
}

/// Removes what builds that were killed have left behind. A failure costs disk space only.
fn remove_abandoned(directory: &Path, prefix: &str) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let is_ours = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        if is_ours && is_abandoned(&entry.path()).unwrap_or(false) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether nobody has written for a while, and nobody holds the lock.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)?;
    let status = file.metadata()?;
    let is_old = status
        .modified()?
        .elapsed()
        .is_ok_and(|age| age > ABANDONED);
    Ok(status.is_file() && is_old && try_lock(&file, LockStyle::Flock, LockMode::Exclusive)?)
}

impl Target {
    /// `old` is the locked old file, if there is one.
    fn prepare(path: &str, old: Option<File>) -> io::Result<Self> {
        match temporary_file(path) {
            Ok((temporary, file)) => {
                if let Some(old) = &old
                    && let Err(error) = take_attributes(old, &file)
                {
                    std::fs::remove_file(&temporary)?;
                    log::debug!("rewriting {path} in place: {error}");
                    return Ok(Self {
                        old: Some(old.try_clone()?),
                        new: None,
                    });
                }
                Ok(Self {
                    old,
                    new: Some((temporary, file)),
                })
            }
            Err(_) if old.is_some() => Ok(Self { old, new: None }),
            Err(error) => Err(error),
        }
    }

    fn file(&self) -> io::Result<&File> {
        match (&self.new, &self.old) {
            (Some((_, file)), _) | (None, Some(file)) => Ok(file),
            (None, None) => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Makes the new table visible.
    fn publish(&mut self, path: &str) -> io::Result<()> {
        self.file()?.sync_data()?;
        if let Some((temporary, _)) = &self.new {
            std::fs::rename(temporary, path)?;
            self.new = None;
            // The rename survives a power loss only with its directory; a failure here loses
            // nothing, the old table is as good a state.
            let _ = File::open(directory(path)).and_then(|directory| directory.sync_all());
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.new {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Opens the existing file and waits until nobody else uses it.
fn lock_old(path: &str) -> io::Result<Option<File>> {
    loop {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
        let (ours, named) = (file.metadata()?, std::fs::metadata(path));
        if named.is_ok_and(|named| (named.ino(), named.dev()) == (ours.ino(), ours.dev())) {
            if ours.len() == 0 {
                log::warn!("removing zero-length database file: {path}");
                std::fs::remove_file(path)?;
                return Ok(None);
            }
            return Ok(Some(file));
        }
    }
}

/// Gives the new file owner and mode of the old one.
fn take_attributes(old: &File, new: &File) -> io::Result<()> {
    let (old, fresh) = (old.metadata()?, new.metadata()?);
    if (old.uid(), old.gid()) != (fresh.uid(), fresh.gid()) {
        fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

impl Create {
    fn add_stored(
        &mut self,
        key: &BStr,
        value: &BStr,
        policy: Duplicate,
    ) -> Result<bool, LookupError> {
        let Some(sorter) = &mut self.sorter else {
            return Ok(true);
        };
        let order = match self.kind {
            Kind::Hash => build::hash_order(key),
            Kind::Btree => 0,
        };
        self.space = self.space.saturating_add(build::hash_space(key, value));
        sorter
            .add(order, key, value, policy)
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error writing {}: {}", self.path, io_text(error)),
        )
    }

    fn write(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let Some(sorter) = self.sorter.take() else {
            return Ok(Vec::new());
        };
        let file = self.target.file()?;
        file.set_len(0)?;
        let reported = write(self.kind, file, sorter, self.space)?;
        self.target.publish(&self.path)?;
        Ok(reported)
    }
}

impl Builder for Create {
    fn name(&self) -> &str {
        &self.name
    }

    fn add(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let policy = Duplicate::by_flags(self.flags);
        let stored = if self.nul {
            self.add_stored(with_nul(key).as_ref(), with_nul(value).as_ref(), policy)?
        } else {
            self.add_stored(key, value, policy)?
        };
        if stored {
            Ok(())
        } else {
            duplicate(self.flags, &self.path, key)
        }
    }

    fn add_raw(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.add_stored(key, value, Duplicate::Replace).map(|_| ())
    }

    fn finish(mut self: Box<Self>) -> Result<(), LookupError> {
        let reported = self.write().map_err(|error| self.failed(&error))?;
        for key in reported {
            let shown = BString::from(key.strip_suffix(b"\0").unwrap_or(&key));
            duplicate(self.flags, &self.path, shown.as_ref())?;
        }
        Ok(())
    }
}
