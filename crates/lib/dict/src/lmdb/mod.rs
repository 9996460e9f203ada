//! `lmdb`: LMDB files with Postfix's own file lock instead of the library's.
//!
//! Source: bdb-format.md §8 of the specification, lmdb_table(5).

mod changes;
mod reader;

use bstr::{BStr, BString};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use postern_sys::lmdb::{Env, Error};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use self::changes::{Change, Changes};
use self::reader::{Access, Problem, Reader};
use crate::dbfile::{NulForms, cut_nul, directory, duplicate, warn_if_older, with_nul};
use crate::sorter::{Duplicate, Merge, Sorter};
use crate::{Builder, Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table};

/// The library's key limit.
const LONGEST_KEY: usize = 511;
/// Free room that an opened map has at least.
const ROOM: u64 = 10_240;
/// How often the length of the file is compared with what the library believes.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of a page.
const PAGE: usize = 4096;
/// How often one call may be repeated after the map was enlarged.
const RETRIES: usize = 128;
const TORN: &str = "MDB_CORRUPTED: Located page was wrong type";
const BAD_SIZE: &str =
    "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size";

#[derive(Clone, Copy)]
enum LockKind {
    Shared,
    Exclusive,
    None,
}

/// Takes or drops the lock on the whole file. The lock belongs to the open file, so another
/// handle of this process cannot drop it; it excludes the process locks that Postfix takes.
fn lock(env: &Env, kind: LockKind) -> Result<(), Errno> {
    let mode = match kind {
        LockKind::Shared => nix::libc::F_RDLCK,
        LockKind::Exclusive => nix::libc::F_WRLCK,
        LockKind::None => nix::libc::F_UNLCK,
    };
    let range = nix::libc::flock {
        l_type: i16::try_from(mode).unwrap_or_default(),
        l_whence: i16::try_from(nix::libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(env.file(), FcntlArg::F_OFD_SETLKW(&range)) {
            Err(Errno::EINTR) => {}
            other => return other.map(|_| ()),
        }
    }
}

struct Lmdb {
    name: String,
    flags: Flags,
    owner: Owner,
    env: Env,
    limit: usize,
    forms: NulForms,
    scratch: Vec<u8>,
    last: Option<Vec<u8>>,
    /// Locked exclusively from open to drop.
    held: bool,
    /// When the file was found to be whole.
    checked: Option<Instant>,
    /// Readers look up without the library.
    reader: Option<Reader>,
    /// Whether changes may wait for more of them.
    gathers: bool,
    /// Those that wait; as long as there are some, the file is locked.
    waiting: Changes,
}

/// Opens the environment with a map that holds the file.
fn open_env(source: &str, read_only: bool, limit: usize) -> Result<(Env, usize), OpenError> {
    let path = format!("{source}.lmdb");
    let size = std::fs::metadata(&path)
        .map(|status| status.len())
        .unwrap_or(0);
    let needed = usize::try_from(size.saturating_add(ROOM)).unwrap_or(usize::MAX);
    let limit = limit.max(needed);
    let env = Env::open(Path::new(&path), read_only, 0o644, limit)
        .map_err(|error| OpenError(format!("open database {path}: {error}")))?;
    Ok((env, limit))
}

/// Opens `lmdb:source` (the file `source.lmdb`). `limit` is `lmdb_map_size`.
pub(crate) fn open(
    source: &str,
    mode: OpenMode,
    flags: Flags,
    limit: usize,
) -> Result<Box<dyn Table>, OpenError> {
    let path = format!("{source}.lmdb");
    if mode != OpenMode::ReadWriteCreate {
        File::open(&path).map_err(|error| OpenError::io(format!("database {path}"), &error))?;
    }
    let (env, limit) = open_env(source, mode == OpenMode::Read, limit)?;
    let status = std::fs::metadata(&path)
        .map_err(|error| OpenError::io(format!("database {path}"), &error))?;
    if mode == OpenMode::Read && flags.contains(Flags::LOCK) {
        warn_if_older(&path, source, &status);
    }
    let held = flags.contains(Flags::OPEN_LOCK) && mode != OpenMode::Read;
    if held {
        lock(&env, LockKind::Exclusive)
            .map_err(|errno| OpenError(format!("{path}: lock dictionary: {}", errno.desc())))?;
    }
    let reader = (mode == OpenMode::Read)
        .then(|| env.file().try_clone_to_owned().ok())
        .flatten()
        .map(|fd| Reader::new(File::from(fd)));
    Ok(Box::new(Lmdb {
        name: format!("lmdb:{source}"),
        flags: flags | Flags::FIXED | Flags::MULTI_WRITER,
        owner: Owner::of_uid(status.uid()),
        env,
        limit,
        forms: NulForms::new(flags),
        scratch: Vec::new(),
        last: None,
        held,
        checked: None,
        reader,
        gathers: false,
        waiting: Changes::default(),
    }))
}

/// Repeats `work` while enlarging the map helps.
fn with_room<T>(
    env: &mut Env,
    limit: &mut usize,
    mut work: impl FnMut(&mut Env) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match work(env) {
            Err(error) if error.is_map_full() && tries < RETRIES => {
                *limit = limit
                    .saturating_mul(2)
                    .min(usize::try_from(i64::MAX).unwrap_or(usize::MAX));
                env.set_map_size(*limit)?;
            }
            Err(error) if error.is_map_resized() && tries < RETRIES => {
                env.set_map_size(0)?;
                *limit = env.sizes()?.0;
            }
            other => return other,
        }
        tries += 1;
    }
}

impl Lmdb {
    /// Whether the file is as long as it should be; asked now and then.
    fn is_whole(&mut self) -> bool {
        let now = Instant::now();
        let recently = |then: Instant| now.duration_since(then) < CHECK_INTERVAL;
        if self.checked.is_some_and(recently) {
            return true;
        }
        let whole = self.env.is_whole();
        self.checked = whole.then_some(now);
        whole
    }

    fn failed(&self, verb: &str, why: &dyn std::fmt::Display) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error {verb} {}: {why}", self.name),
        )
    }

    fn take_lock(&self, kind: LockKind) -> Result<(), LookupError> {
        lock(&self.env, kind).map_err(|errno| {
            let text = format!("{}: lock dictionary: {}", self.name, errno.desc());
            LookupError::fatal(self.name.clone(), text)
        })
    }

    /// The value of a stored key, read without the library where that is possible.
    fn read(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, LookupError> {
        let Some(reader) = &mut self.reader else {
            return self.locked(LockKind::Shared, "reading", |env| env.get(key));
        };
        if let Ok(answer) = reader.get(key, Access::Remembered) {
            return Ok(answer);
        }
        self.take_lock(LockKind::Shared)?;
        let answer = self
            .reader
            .as_mut()
            .map(|reader| reader.get(key, Access::Locked));
        let _ = lock(&self.env, LockKind::None);
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(Problem::Io(error))) => Err(self.failed("reading", &crate::io_text(&error))),
            Some(Err(Problem::Foreign | Problem::Missing)) | None => {
                self.locked(LockKind::Shared, "reading", |env| env.get(key))
            }
        }
    }

    /// Runs `work` under the lock.
    fn locked<T>(
        &mut self,
        kind: LockKind,
        verb: &str,
        work: impl FnMut(&mut Env) -> Result<T, Error>,
    ) -> Result<T, LookupError> {
        let holds = self.held || !self.waiting.is_empty();
        if !holds {
            self.take_lock(kind)?;
        }
        // A file cut short by someone else would kill the process at the first access.
        let result = if self.is_whole() {
            with_room(&mut self.env, &mut self.limit, work)
                .map_err(|error| self.failed(verb, &error))
        } else {
            Err(self.failed(verb, &TORN))
        };
        if !holds {
            let _ = lock(&self.env, LockKind::None);
        }
        result
    }

    /// Makes one change of the file; whether there was something to do.
    fn change(&mut self, verb: &str, change: Change) -> Result<bool, LookupError> {
        if !self.gathers {
            return self.locked(LockKind::Exclusive, verb, |env| change.apply(env));
        }
        if self.waiting.is_empty() && !self.held {
            self.take_lock(LockKind::Exclusive)?;
        }
        let result = self.change_later(verb, &change);
        if result.is_ok() {
            self.waiting.add(change);
            if self.waiting.are_enough() {
                self.write_waiting()?;
            }
        } else if self.waiting.is_empty() {
            self.env.abort_bulk();
            self.release();
        }
        result
    }

    /// Makes one change together with those that wait.
    fn change_later(&mut self, verb: &str, change: &Change) -> Result<bool, LookupError> {
        if !self.is_whole() {
            return Err(self.failed(verb, &TORN));
        }
        let waiting = &self.waiting;
        with_room(&mut self.env, &mut self.limit, |env| {
            waiting.resume(env)?;
            change.apply(env)
        })
        .map_err(|error| self.failed(verb, &error))
    }

    /// Gives the lock back that one operation, or those that waited, had taken.
    fn release(&self) {
        if !self.held {
            let _ = lock(&self.env, LockKind::None);
        }
    }

    /// Writes what waits.
    fn write_waiting(&mut self) -> Result<(), LookupError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let result = with_room(&mut self.env, &mut self.limit, |env| {
            waiting.resume(env)?;
            env.commit_bulk()
        });
        self.release();
        result.map_err(|error| self.failed("updating", &error))
    }
}

impl Drop for Lmdb {
    fn drop(&mut self) {
        if let Err(error) = self.write_waiting() {
            log::warn!("{}", error.reason);
        }
    }
}

impl Table for Lmdb {
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
            if form.is_empty() || form.len() > LONGEST_KEY {
                continue;
            }
            answer = self.read(form);
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
        let (form, content) = if nul {
            (with_nul(key), with_nul(value))
        } else {
            (key.to_owned(), value.to_owned())
        };
        let replace = self.flags.contains(Flags::DUP_REPLACE);
        if self.change("updating", Change::put(&form, &content, replace))? {
            return Ok(());
        }
        duplicate(self.flags, &self.name, key)
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let mut scratch = Vec::new();
        for (with, form) in self.forms.keys(key, &mut scratch) {
            if !form.is_empty()
                && form.len() <= LONGEST_KEY
                && self.change("deleting from", Change::remove(form))?
            {
                self.forms.settle(with);
                return Ok(true);
            }
        }
        Ok(false)
    }
    fn gather(&mut self) {
        self.gathers = self.reader.is_none();
    }
    fn flush(&mut self) -> Result<(), LookupError> {
        self.write_waiting()
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        let after = if restart { None } else { self.last.take() };
        let entry = self.locked(LockKind::Shared, "seeking", |env| {
            env.next(after.as_deref())
        })?;
        match entry {
            Some((key, value)) => {
                self.last = Some(key.clone());
                Ok(Some((cut_nul(key), cut_nul(value))))
            }
            None => {
                self.last = after;
                Ok(None)
            }
        }
    }
    fn changed(&self) -> bool {
        nix::sys::stat::fstat(self.env.file()).is_ok_and(|status| status.st_nlink == 0)
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

/// Gathers entries and stores them sorted, in one transaction.
struct LmdbBuilder {
    name: String,
    flags: Flags,
    nul: bool,
    env: Env,
    limit: usize,
    sorter: Option<Sorter>,
    /// Bytes that the entries may take in the file, at most.
    room: usize,
}

/// Starts to build `source.lmdb`; the old contents stay until the end.
pub(crate) fn create(
    source: &str,
    flags: Flags,
    limit: usize,
) -> Result<Box<dyn Builder>, OpenError> {
    let (env, limit) = open_env(source, false, limit)?;
    Ok(Box::new(LmdbBuilder {
        name: format!("lmdb:{source}"),
        flags,
        nul: NulForms::new(flags).writes_nul(true),
        env,
        limit,
        sorter: Some(Sorter::new(directory(source))),
        room: 0,
    }))
}

/// Bytes that an entry takes, at most: pages filled in order are at least half full, and long
/// values have pages of their own.
fn room_for(key: &[u8], value: &[u8]) -> usize {
    let length = key.len() + value.len() + 32;
    if length > PAGE / 4 {
        length + 2 * PAGE
    } else {
        2 * length
    }
}

impl LmdbBuilder {
    fn failed(&self, verb: &str, why: &dyn std::fmt::Display) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error {verb} {}: {why}", self.name),
        )
    }

    fn insert(
        &mut self,
        key: &[u8],
        value: &[u8],
        shown: &BStr,
        policy: Duplicate,
    ) -> Result<(), LookupError> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(self.failed("updating", &BAD_SIZE));
        }
        self.room = self.room.saturating_add(room_for(key, value));
        let Some(sorter) = &mut self.sorter else {
            return Ok(());
        };
        match sorter.add(0, key, value, policy) {
            Ok(true) => Ok(()),
            Ok(false) => duplicate(self.flags, &self.name, shown),
            Err(error) => Err(self.failed("updating", &crate::io_text(&error))),
        }
    }

    /// Stores everything, or leaves what was there.
    fn store(&mut self, entries: &mut Merge) -> Result<(), LookupError> {
        let result = self.fill(entries);
        if result.is_err() {
            self.env.abort_bulk();
        }
        result
    }

    fn fill(&mut self, entries: &mut Merge) -> Result<(), LookupError> {
        let failed = |name: &str, why: &dyn std::fmt::Display| {
            LookupError::fatal(name, format!("error updating {name}: {why}"))
        };
        let name = self.name.clone();
        self.env
            .begin_bulk()
            .map_err(|error| failed(&name, &error))?;
        while let Some(entry) = entries
            .next()
            .map_err(|error| failed(&name, &crate::io_text(&error)))?
        {
            self.env
                .append(&entry.key, &entry.value)
                .map_err(|error| failed(&name, &error))?;
        }
        self.env
            .commit_bulk()
            .map_err(|error| failed(&name, &error))
    }

    /// Enlarges the map for the entries, beside those that the file has now: the transaction cannot
    /// be repeated.
    fn make_room(&mut self) -> Result<(), Error> {
        let used = usize::try_from(self.env.sizes()?.1).unwrap_or(usize::MAX);
        let needed = used.saturating_add(self.room).saturating_add(64 * PAGE);
        if needed > self.limit {
            self.limit = needed.next_multiple_of(PAGE);
            self.env.set_map_size(self.limit)?;
        }
        Ok(())
    }
}

impl Builder for LmdbBuilder {
    fn name(&self) -> &str {
        &self.name
    }
    fn add(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let policy = Duplicate::by_flags(self.flags);
        if self.nul {
            self.insert(&with_nul(key), &with_nul(value), key, policy)
        } else {
            self.insert(key, value, key, policy)
        }
    }
    fn add_raw(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.insert(key, value, key, Duplicate::Replace)
    }
    fn finish(mut self: Box<Self>) -> Result<(), LookupError> {
        let Some(sorter) = self.sorter.take() else {
            return Ok(());
        };
        let mut entries = sorter
            .finish()
            .map_err(|error| self.failed("updating", &crate::io_text(&error)))?;
        lock(&self.env, LockKind::Exclusive).map_err(|errno| {
            LookupError::fatal(
                self.name.clone(),
                format!("{}: lock dictionary: {}", self.name, errno.desc()),
            )
        })?;
        let result = self
            .make_room()
            .map_err(|error| self.failed("updating", &error))
            .and_then(|()| self.store(&mut entries));
        let _ = lock(&self.env, LockKind::None);
        result?;
        for key in entries.into_reported() {
            let shown = BStr::new(key.strip_suffix(b"\0").unwrap_or(&key));
            duplicate(self.flags, &self.name, shown)?;
        }
        Ok(())
    }
}

/// Looks keys up in a file of any content.
#[cfg(fuzzing)]
pub(crate) fn read_any(file: File, keys: &[&[u8]]) {
    let mut reader = Reader::new(file);
    for key in keys {
        for access in [Access::Remembered, Access::Locked, Access::Remembered] {
            let _ = reader.get(key, access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_table_grows_past_its_map_and_can_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("t").to_str().unwrap().to_owned();
        let limit = 64 * 1024;
        let mut builder = create(&source, Flags::DUP_WARN, limit).unwrap();
        let value = "v".repeat(300);
        for n in (0..2000).rev() {
            builder
                .add(BStr::new(&format!("key{n:04}")), BStr::new(&value))
                .unwrap();
        }
        assert!(
            builder
                .add(BStr::new(&"k".repeat(511)), BStr::new("v"))
                .is_err()
        );
        builder.finish().unwrap();

        let flags = Flags::LOCK | Flags::DUP_REPLACE;
        let mut table = open(&source, OpenMode::ReadWrite, flags, limit).unwrap();
        assert_eq!(
            table.lookup(BStr::new("key1999")),
            Ok(Some(BString::from(value.as_str())))
        );
        assert_eq!(table.lookup(BStr::new(&"k".repeat(600))), Ok(None));
        assert_eq!(table.sequence(true).unwrap().unwrap().0, "key0000");
        assert_eq!(table.sequence(false).unwrap().unwrap().0, "key0001");
        table
            .update(BStr::new("key0001"), BStr::new("new"))
            .unwrap();
        assert_eq!(
            table.lookup(BStr::new("key0001")),
            Ok(Some(BString::from("new")))
        );
        assert_eq!(table.delete(BStr::new("key0001")), Ok(true));
        assert_eq!(table.delete(BStr::new("key0001")), Ok(false));
        assert_eq!(table.sequence(true).unwrap().unwrap().0, "key0000");
        assert_eq!(table.sequence(false).unwrap().unwrap().0, "key0002");
    }

    #[test]
    fn many_changes_are_written_together_and_outgrow_the_map() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("t").to_str().unwrap().to_owned();
        let limit = 64 * 1024;
        let flags = Flags::LOCK | Flags::DUP_WARN;
        let mut table = open(&source, OpenMode::ReadWriteCreate, flags, limit).unwrap();
        let value = "v".repeat(300);
        let key = |n: usize| format!("key{:04}", n * 7919 % 3000);
        table.gather();
        for n in 0..2000 {
            table.update(BStr::new(&key(n)), BStr::new(&value)).unwrap();
        }
        assert_eq!(table.delete(BStr::new(&key(7))), Ok(true));
        assert_eq!(table.delete(BStr::new(&key(7))), Ok(false));
        // The first value stays.
        table
            .update(BStr::new(&key(8)), BStr::new("other"))
            .unwrap();
        assert!(
            table
                .update(BStr::new(&"k".repeat(600)), BStr::new("v"))
                .is_err()
        );
        table.flush().unwrap();
        // Nobody holds the lock now.
        let mut reader = open(&source, OpenMode::Read, flags, limit).unwrap();
        for n in 0..2000 {
            let want = (n != 7).then(|| BString::from(value.as_str()));
            assert_eq!(reader.lookup(BStr::new(&key(n))), Ok(want), "{n}");
        }
        assert_eq!(table.delete(BStr::new(&key(9))), Ok(true));
        drop(table);
        crate::dbfile::outwait_freshness();
        assert_eq!(reader.lookup(BStr::new(&key(9))), Ok(None));
    }

    #[test]
    fn a_reader_sees_what_the_library_sees_whoever_changes_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("t").to_str().unwrap().to_owned();
        let limit = 16 << 20;
        let mut builder = create(&source, Flags::DUP_WARN, limit).unwrap();
        let key = |n: usize| format!("key{:05}{}", n * 7919 % 30_000, "k".repeat(n % 200));
        let value = |n: usize| "v".repeat(if n.is_multiple_of(50) { n } else { n % 90 });
        for n in 0..5000 {
            builder
                .add(BStr::new(&key(n)), BStr::new(&value(n)))
                .unwrap();
        }
        builder.finish().unwrap();
        let flags = Flags::LOCK;
        let mut reader = open(&source, OpenMode::Read, flags, limit).unwrap();
        let writing = flags | Flags::DUP_REPLACE;
        let mut writer = open(&source, OpenMode::ReadWrite, writing, limit).unwrap();
        let mut check = |writer: &mut dyn Table| {
            for n in 0..5003 {
                let (got, want) = (
                    reader.lookup(key(n).as_str().into()),
                    writer.lookup(key(n).as_str().into()),
                );
                assert_eq!(got, want, "{n}");
            }
        };
        check(&mut *writer);
        for n in (0..5000).step_by(3) {
            assert_eq!(writer.delete(BStr::new(&key(n))), Ok(true));
        }
        crate::dbfile::outwait_freshness();
        check(&mut *writer);
        for n in 4000..5003 {
            writer.update(BStr::new(&key(n)), BStr::new("new")).unwrap();
        }
        crate::dbfile::outwait_freshness();
        check(&mut *writer);
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("t").to_str().unwrap().to_owned();
        let error = open(&source, OpenMode::Read, Flags::NONE, 1 << 20)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            format!("open database {source}.lmdb: No such file or directory")
        );
        std::fs::write(format!("{source}.lmdb"), vec![7; 10_000]).unwrap();
        assert!(open(&source, OpenMode::Read, Flags::NONE, 1 << 20).is_err());
    }
}
