//! An open Berkeley DB table: locks, NUL forms, and the walk through all entries.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use bstr::{BStr, BString};
use postern_sys::lock::{LockMode, LockStyle, lock};

use super::btree::Btree;
use super::create::create_empty;
use super::hash::Hash;
use super::pager::{Cache, Pager, Source, State, check_meta};
use super::{Kind, OpenProblem};
use crate::dbfile::{NulForms, cut_nul, duplicate, warn_if_older, with_nul};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text};

/// Bytes of a meta page that are needed to know the page size.
const META_START: usize = 512;

/// An open `hash:` or `btree:` table.
struct Bdb {
    name: String,
    path: String,
    kind: Kind,
    mode: OpenMode,
    flags: Flags,
    file: File,
    page_size: usize,
    owner: Owner,
    mtime: i64,
    forms: NulForms,
    scratch: Vec<u8>,
    walk: Walk,
    cache: RefCell<Cache>,
    /// Whether something was written that may not have reached the disk.
    is_dirty: bool,
    /// Whether changes may wait for more of them.
    gathers: bool,
    /// Those that wait; as long as there are some, the file is locked.
    waiting: Option<State>,
}

/// Where a walk through all entries stands.
#[derive(Debug, Default)]
struct Walk {
    /// Read already, not yet returned.
    pairs: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Hash: the bucket to read next.
    bucket: u32,
    /// Btree: the last key read.
    last: Option<Vec<u8>>,
}

/// Opens `kind:source` (the file `source.db`).
pub(crate) fn open(
    kind: Kind,
    source: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let path = format!("{source}.db");
    let failed = |problem: &OpenProblem| {
        if let Some(remark) = problem.remark(kind, &path) {
            log::warn!("{remark}");
        }
        match problem {
            // Postfix opens the old file for its lock before libdb comes into it.
            OpenProblem::Io(error)
                if mode == OpenMode::ReadWriteCreate && error.kind() != io::ErrorKind::NotFound =>
            {
                OpenError::io(&path, error)
            }
            _ => OpenError(format!("open database {path}: {}", problem.text())),
        }
    };
    let (file, page_size, status) = loop {
        let (file, page_size) = open_file(kind, &path, mode).map_err(|problem| failed(&problem))?;
        if flags.contains(Flags::OPEN_LOCK) {
            hold_lock(&file, &path)?;
        }
        let status = file.metadata().map_err(|error| failed(&error.into()))?;
        if mode == OpenMode::Read || status.nlink() > 0 {
            break (file, page_size, status);
        }
        // Replaced while we waited.
    };
    if mode == OpenMode::Read && flags.contains(Flags::LOCK) {
        warn_if_older(&path, source, &status);
    }
    Ok(Box::new(Bdb {
        name: format!("{}:{path}", kind.name()),
        path,
        kind,
        mode,
        flags: flags | Flags::FIXED,
        file,
        page_size,
        owner: Owner::of_uid(status.uid()),
        mtime: status.mtime(),
        forms: NulForms::new(flags),
        scratch: Vec::new(),
        walk: Walk::default(),
        cache: RefCell::default(),
        is_dirty: false,
        gathers: false,
        waiting: None,
    }))
}

/// Waits for the lock that is kept as long as the table is open.
fn hold_lock(file: &File, path: &str) -> Result<(), OpenError> {
    lock(file, LockStyle::Flock, LockMode::Exclusive)
        .map_err(|error| OpenError(format!("lock database {path}: {}", io_text(&error))))
}

/// Opens the file and checks what it is, under a shared lock so that a rebuild is waited for.
fn open_file(kind: Kind, path: &str, mode: OpenMode) -> Result<(File, usize), OpenProblem> {
    loop {
        let writable = mode != OpenMode::Read;
        let file = match OpenOptions::new().read(true).write(writable).open(path) {
            Ok(file) => file,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && mode == OpenMode::ReadWriteCreate =>
            {
                create_empty(kind, path)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        lock(&file, LockStyle::Flock, LockMode::Shared)?;
        if writable && file.metadata()?.nlink() == 0 {
            // Replaced while we waited.
            continue;
        }
        if file.metadata()?.len() == 0 && mode == OpenMode::ReadWriteCreate {
            log::warn!("removing zero-length database file: {path}");
            std::fs::remove_file(path)?;
            continue;
        }
        let mut meta = [0; META_START];
        let size = match file.read_exact_at(&mut meta, 0) {
            Ok(()) => check_meta(&meta, kind).and_then(|size| whole_pages(&file, size)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(OpenProblem::NotThisKind)
            }
            Err(error) => Err(error.into()),
        };
        lock(&file, LockStyle::Flock, LockMode::Unlock)?;
        return Ok((file, size?));
    }
}

/// Passes the page size on if the file consists of whole pages. The caller holds a lock, so nobody is
/// just writing.
fn whole_pages(file: &File, size: usize) -> Result<usize, OpenProblem> {
    let length = file.metadata()?.len();
    let is_whole = u64::try_from(size).is_ok_and(|size| length.is_multiple_of(size));
    is_whole.then_some(size).ok_or(OpenProblem::TornPage)
}

impl Bdb {
    /// Runs `action` on the file under a lock, and writes what it changed, unless that may wait. A reader
    /// needs no lock while the file is the one whose pages it remembers.
    fn with_pager<T>(
        &mut self,
        mode: LockMode,
        action: impl Fn(&mut Pager<'_>, Kind) -> io::Result<T>,
    ) -> Result<T, LookupError> {
        if self.mode == OpenMode::Read
            && let Some(answer) = self.remembered(&action)
        {
            return Ok(answer);
        }
        let waiting = self.waiting.take();
        if waiting.is_none() && self.locks() {
            let mode = if self.gathers {
                LockMode::Exclusive
            } else {
                mode
            };
            self.take_lock(mode).map_err(|error| {
                let text = format!("{}: lock dictionary: {}", self.path, io_text(&error));
                LookupError::fatal(self.name.clone(), text)
            })?;
        }
        let result = self.run(waiting, mode, action);
        if result.is_err() {
            // Whatever was not written whole is not known.
            self.cache.take();
        }
        self.is_dirty |= mode == LockMode::Exclusive;
        if self.waiting.is_none() {
            self.release();
        }
        result.map_err(|error| {
            let what = match mode {
                LockMode::Exclusive => "writing",
                _ => "reading",
            };
            self.failed(what, &error)
        })
    }

    /// Runs `action` together with what waits to be written, under the lock.
    fn run<T>(
        &mut self,
        waiting: Option<State>,
        mode: LockMode,
        action: impl Fn(&mut Pager<'_>, Kind) -> io::Result<T>,
    ) -> io::Result<T> {
        let source = if self.mode == OpenMode::Read {
            Source::Fill(&self.cache)
        } else if self.gathers || self.flags.contains(Flags::OPEN_LOCK) {
            Source::Own(&self.cache)
        } else {
            Source::File
        };
        let mut pager = match waiting {
            Some(state) => Pager::resume(&self.file, self.page_size, source, state),
            None => Pager::new(&self.file, self.page_size, source)?,
        };
        let result = action(&mut pager, self.kind)?;
        if self.gathers {
            self.waiting = Some(pager.pause()?);
            return Ok(result);
        }
        pager.commit()?;
        if mode == LockMode::Exclusive && self.flags.contains(Flags::SYNC_UPDATE) {
            self.file.sync_data()?;
        }
        Ok(result)
    }

    /// Whether each operation takes the lock for itself.
    fn locks(&self) -> bool {
        self.flags.contains(Flags::LOCK) && !self.flags.contains(Flags::OPEN_LOCK)
    }

    /// Gives the lock back. Then others may change the file.
    fn release(&mut self) {
        if self.locks() {
            let _ = lock(&self.file, LockStyle::Flock, LockMode::Unlock);
            if self.gathers {
                self.cache.take();
            }
        }
    }

    /// Writes what waits.
    fn write_waiting(&mut self) -> io::Result<()> {
        let Some(state) = self.waiting.take() else {
            return Ok(());
        };
        let source = Source::Own(&self.cache);
        let result = Pager::resume(&self.file, self.page_size, source, state).commit();
        self.release();
        result
    }

    fn failed(&self, what: &str, error: &io::Error) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error {what} {}: {}", self.path, io_text(error)),
        )
    }

    /// A reader's answer without lock, while the file is as it was.
    fn remembered<T>(&self, action: impl Fn(&mut Pager<'_>, Kind) -> io::Result<T>) -> Option<T> {
        if !self.cache.borrow_mut().is_current(&self.file).ok()? {
            return None;
        }
        let mut pager =
            Pager::new(&self.file, self.page_size, Source::Remembered(&self.cache)).ok()?;
        action(&mut pager, self.kind).ok()
    }

    /// A writer that waited while the file was replaced goes on with the new one.
    fn take_lock(&mut self, mode: LockMode) -> io::Result<()> {
        lock(&self.file, LockStyle::Flock, mode)?;
        while mode == LockMode::Exclusive && self.file.metadata()?.nlink() == 0 {
            match open_file(self.kind, &self.path, self.mode) {
                Ok((file, page_size)) => (self.file, self.page_size) = (file, page_size),
                Err(OpenProblem::Io(error)) => return Err(error),
                Err(problem) => return Err(io::Error::other(problem.text())),
            }
            lock(&self.file, LockStyle::Flock, mode)?;
        }
        Ok(())
    }

    /// The stored value of a stored key.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, LookupError> {
        self.with_pager(LockMode::Shared, |pager, kind| get(pager, kind, key))
    }

    /// Stores a pair in stored form; `Ok(false)` when the key was there and was not to be replaced.
    fn put(&mut self, key: &[u8], value: &[u8], replace: bool) -> Result<bool, LookupError> {
        self.with_pager(LockMode::Exclusive, |pager, kind| match kind {
            Kind::Hash => Hash(pager).put(key, value, replace),
            Kind::Btree => Btree(pager).put(key, value, replace),
        })
    }

    /// Reads the next pairs of the walk; `false` at the end.
    fn read_on(&mut self) -> Result<bool, LookupError> {
        let (bucket, last) = (self.walk.bucket, self.walk.last.take());
        let (bucket, pairs) = self.with_pager(LockMode::Shared, |pager, kind| match kind {
            Kind::Hash => {
                let hash = Hash(pager);
                let mut bucket = bucket;
                while bucket < hash.buckets() {
                    let pairs = hash.pairs(bucket)?;
                    bucket += 1;
                    if !pairs.is_empty() {
                        return Ok((bucket, pairs));
                    }
                }
                Ok((bucket, Vec::new()))
            }
            Kind::Btree => Ok((0, Btree(pager).pairs_after(last.as_deref())?)),
        })?;
        self.walk.bucket = bucket;
        self.walk.last = pairs.last().map(|(key, _)| key.clone()).or(last);
        let more = !pairs.is_empty();
        self.walk.pairs = pairs.into();
        Ok(more)
    }
}

fn get(pager: &mut Pager<'_>, kind: Kind, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match kind {
        Kind::Hash => Hash(pager).get(key),
        Kind::Btree => Btree(pager).get(key),
    }
}

fn remove(pager: &mut Pager<'_>, kind: Kind, key: &[u8]) -> io::Result<bool> {
    match kind {
        Kind::Hash => Hash(pager).remove(key),
        Kind::Btree => Btree(pager).remove(key),
    }
}

impl Drop for Bdb {
    /// Changes are on the disk when the table is closed.
    fn drop(&mut self) {
        let written = self.write_waiting();
        let synced = if self.is_dirty && (self.gathers || !self.flags.contains(Flags::SYNC_UPDATE))
        {
            self.file.sync_data()
        } else {
            Ok(())
        };
        if let Err(error) = written.and(synced) {
            log::warn!("close database {}: {}", self.path, io_text(&error));
        }
    }
}

impl Table for Bdb {
    fn name(&self) -> &str {
        &self.name
    }

    fn flags(&self) -> Flags {
        self.flags
    }

    fn lookup(&mut self, key: &BStr) -> Lookup {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut answer = Ok(None);
        for (with, form) in self.forms.keys(key, &mut scratch) {
            answer = self.get(form);
            if let Ok(Some(_)) = answer {
                self.forms.settle(with);
            }
            if !matches!(answer, Ok(None)) {
                break;
            }
        }
        self.scratch = scratch;
        Ok(answer?.map(cut_nul))
    }

    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let nul = self.forms.writes_nul(true);
        self.forms.settle(nul);
        let (stored, data) = if nul {
            (with_nul(key), with_nul(value))
        } else {
            (key.to_owned(), value.to_owned())
        };
        if self.put(&stored, &data, self.flags.contains(Flags::DUP_REPLACE))? {
            return Ok(());
        }
        duplicate(self.flags, &self.path, key)
    }

    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        for (with, form) in self.forms.keys(key, &mut Vec::new()) {
            if self.with_pager(LockMode::Exclusive, |pager, kind| remove(pager, kind, form))? {
                self.forms.settle(with);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn gather(&mut self) {
        self.gathers = self.mode != OpenMode::Read;
    }

    fn flush(&mut self) -> Result<(), LookupError> {
        self.write_waiting()
            .map_err(|error| self.failed("writing", &error))
    }

    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        if restart {
            self.walk = Walk::default();
        }
        loop {
            let Some((key, value)) = self.walk.pairs.pop_front() else {
                if self.read_on()? {
                    continue;
                }
                return Ok(None);
            };
            // Somebody may have changed the entry since its neighbours were read.
            let value = if self.mode == OpenMode::Read {
                Some(value)
            } else {
                self.get(&key)?
            };
            if let Some(value) = value {
                return Ok(Some((cut_nul(key), cut_nul(value))));
            }
        }
    }

    fn changed(&self) -> bool {
        self.mode == OpenMode::Read
            && self
                .file
                .metadata()
                .is_ok_and(|now| now.nlink() == 0 || (self.mtime != 0 && now.mtime() != self.mtime))
    }

    fn owner(&self) -> Owner {
        self.owner
    }
}
