//! `lmdb`: LMDB files with Postfix's own file lock instead of the library's.
//!
//! Source: bdb-format.md §8 of the specification, lmdb_table(5).

use bstr::{BStr, BString};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use postern_sys::lmdb::{Env, Error};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::dbfile::{NulForms, cut_nul, duplicate, warn_if_older, with_nul};
use crate::{Builder, Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table};

/// The library's key limit.
const LONGEST_KEY: usize = 511;
/// Free room that an opened map has at least.
const ROOM: u64 = 10_240;
/// How often one call may be repeated after the map was enlarged.
const RETRIES: usize = 128;
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
    last: Option<Vec<u8>>,
    /// Locked exclusively from open to drop.
    held: bool,
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
        std::fs::File::open(&path)
            .map_err(|error| OpenError::io(format!("database {path}"), &error))?;
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
    Ok(Box::new(Lmdb {
        name: format!("lmdb:{source}"),
        flags: flags | Flags::FIXED | Flags::MULTI_WRITER,
        owner: Owner::of_uid(status.uid()),
        env,
        limit,
        forms: NulForms::new(flags),
        last: None,
        held,
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
    fn failed(&self, verb: &str, why: &dyn std::fmt::Display) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error {verb} {}: {why}", self.name),
        )
    }

    /// Runs `work` under the lock.
    fn locked<T>(
        &mut self,
        kind: LockKind,
        verb: &str,
        work: impl FnMut(&mut Env) -> Result<T, Error>,
    ) -> Result<T, LookupError> {
        if !self.held {
            lock(&self.env, kind).map_err(|errno| {
                LookupError::fatal(
                    self.name.clone(),
                    format!("{}: lock dictionary: {}", self.name, errno.desc()),
                )
            })?;
        }
        // A file cut short by someone else would kill the process at the first access.
        let result = if self.env.is_whole() {
            with_room(&mut self.env, &mut self.limit, work)
                .map_err(|error| self.failed(verb, &error))
        } else {
            Err(self.failed(verb, &"MDB_CORRUPTED: Located page was wrong type"))
        };
        if !self.held {
            let _ = lock(&self.env, LockKind::None);
        }
        result
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
        let forms = self.forms;
        let found = self.locked(LockKind::Shared, "reading", |env| {
            for (with, form) in forms.keys(key) {
                if form.is_empty() || form.len() > LONGEST_KEY {
                    continue;
                }
                if let Some(value) = env.get(&form)? {
                    return Ok(Some((with, value)));
                }
            }
            Ok(None)
        })?;
        let Some((with, value)) = found else {
            return Ok(None);
        };
        self.forms.settle(with);
        Ok(Some(cut_nul(value)))
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let nul = self.forms.writes_nul(true);
        let (form, content) = if nul {
            (with_nul(key), with_nul(value))
        } else {
            (key.to_owned(), value.to_owned())
        };
        let replace = self.flags.contains(Flags::DUP_REPLACE);
        if self.locked(LockKind::Exclusive, "updating", |env| {
            env.put(&form, &content, replace)
        })? {
            return Ok(());
        }
        duplicate(self.flags, &self.name, key)
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let forms = self.forms;
        let removed = self.locked(LockKind::Exclusive, "deleting from", |env| {
            for (with, form) in forms.keys(key) {
                if !form.is_empty() && form.len() <= LONGEST_KEY && env.del(&form)? {
                    return Ok(Some(with));
                }
            }
            Ok(None)
        })?;
        if let Some(with) = removed {
            self.forms.settle(with);
        }
        Ok(removed.is_some())
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
    entries: BTreeMap<BString, BString>,
    bytes: usize,
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
        entries: BTreeMap::new(),
        bytes: 0,
    }))
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
        key: BString,
        value: BString,
        shown: &BStr,
        flags: Flags,
    ) -> Result<(), LookupError> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(self.failed("updating", &BAD_SIZE));
        }
        self.bytes += key.len() + value.len();
        match self.entries.entry(key) {
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
            Entry::Occupied(mut old) if flags.contains(Flags::DUP_REPLACE) => {
                old.insert(value);
                Ok(())
            }
            Entry::Occupied(_) => duplicate(flags, &self.name, shown),
        }
    }

    fn store(&mut self) -> Result<(), Error> {
        let entries = &self.entries;
        with_room(&mut self.env, &mut self.limit, |env| {
            env.begin_bulk()?;
            for (key, value) in entries {
                env.put(key, value, true)?;
            }
            env.commit_bulk()
        })
    }
}

impl Builder for LmdbBuilder {
    fn name(&self) -> &str {
        &self.name
    }
    fn add(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let flags = self.flags;
        if self.nul {
            self.insert(with_nul(key), with_nul(value), key, flags)
        } else {
            self.insert(key.to_owned(), value.to_owned(), key, flags)
        }
    }
    fn add_raw(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.insert(key.to_owned(), value.to_owned(), key, Flags::DUP_REPLACE)
    }
    fn finish(mut self: Box<Self>) -> Result<(), LookupError> {
        lock(&self.env, LockKind::Exclusive).map_err(|errno| {
            LookupError::fatal(
                self.name.clone(),
                format!("{}: lock dictionary: {}", self.name, errno.desc()),
            )
        })?;
        // Pages of a tree built in order are half full at worst; starting with enough room avoids
        // doing the work again and again.
        let estimate = (self.bytes + self.entries.len() * 32).saturating_mul(3);
        if estimate > self.limit {
            self.limit = estimate;
            self.env
                .set_map_size(self.limit)
                .map_err(|error| self.failed("updating", &error))?;
        }
        let result = self.store();
        let _ = lock(&self.env, LockKind::None);
        result.map_err(|error| self.failed("updating", &error))
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
