//! `cdb`: constant databases, read in place and built as a whole.
//!
//! Source: bdb-format.md §7 of the specification; the layout is D. J. Bernstein's.

use bstr::{BStr, BString};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::dbfile::{NulForms, cut_nul, duplicate, warn_if_older, with_nul};
use crate::{Builder, Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text};
use postern_sys::lock::{LockMode, LockStyle, lock};

const TABLES: usize = 256;
const HEADER: usize = TABLES * 8;

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381u32, |hash, &byte| {
        hash.wrapping_mul(33) ^ u32::from(byte)
    })
}

fn malformed() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EPROTO as i32)
}

/// Reads a constant database.
struct Cdb {
    name: String,
    path: String,
    flags: Flags,
    file: File,
    owner: Owner,
    mtime: i64,
    length: u64,
    header: Vec<u8>,
    forms: NulForms,
    /// Offset of the next record of a walk.
    next: u64,
}

/// Opens `cdb:path` (the file `path.cdb`).
pub(crate) fn open(
    source: &str,
    mode: OpenMode,
    flags: Flags,
    new_texts: bool,
) -> Result<Box<dyn Table>, OpenError> {
    if mode != OpenMode::Read {
        let text = if new_texts {
            "unsupported non-bulk change request"
        } else {
            "dict_cdb_open: inappropriate open flags for cdb database - specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC"
        };
        return Err(OpenError(text.to_owned()));
    }
    let path = format!("{source}.cdb");
    let failed = |error: &io::Error| OpenError::io(format!("database {path}"), error);
    let file = File::open(&path).map_err(|error| failed(&error))?;
    let status = file.metadata().map_err(|error| failed(&error))?;
    let mut header = vec![0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(|_| {
        OpenError(format!(
            "dict_cdbq_open: unable to init {path}: Protocol error"
        ))
    })?;
    warn_if_older(&path, source, &status);
    Ok(Box::new(Cdb {
        name: format!("cdb:{path}"),
        path,
        flags: flags | Flags::FIXED,
        file,
        owner: Owner::of_uid(status.uid()),
        mtime: status.mtime(),
        length: status.len(),
        header,
        forms: NulForms::new(flags),
        next: 0,
    }))
}

/// A little-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes
        .get(at..at + 4)
        .and_then(|four| four.try_into().ok())
        .ok_or_else(malformed)?;
    Ok(u32::from_le_bytes(four))
}

fn index(value: u32) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| malformed())
}

impl Cdb {
    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        if offset.saturating_add(u64::from(length)) > self.length {
            return Err(malformed());
        }
        let mut bytes = vec![0; index(length)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn pair(&self, offset: u64) -> io::Result<(u32, u32)> {
        let bytes = self.read(offset, 8)?;
        Ok((number(&bytes, 0)?, number(&bytes, 4)?))
    }

    fn find(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let hash = hash(key);
        let entry = index(hash % 256)? * 8;
        let (table, slots) = (
            number(&self.header, entry)?,
            number(&self.header, entry + 4)?,
        );
        if slots == 0 {
            return Ok(None);
        }
        if u64::from(table) + u64::from(slots) * 8 > self.length {
            return Err(malformed());
        }
        let start = (hash >> 8) % slots;
        for step in 0..slots {
            let slot = (u64::from(start) + u64::from(step)) % u64::from(slots);
            let (stored, position) = self.pair(u64::from(table) + slot * 8)?;
            if position == 0 {
                return Ok(None);
            }
            if stored != hash {
                continue;
            }
            let (key_length, data_length) = self.pair(u64::from(position))?;
            if index(key_length)? != key.len() {
                continue;
            }
            let body = u64::from(position) + 8;
            if self.read(body, key_length)? == key {
                return self
                    .read(body + u64::from(key_length), data_length)
                    .map(Some);
            }
        }
        Ok(None)
    }

    /// Where the records end: the first hash table.
    fn end(&self) -> u64 {
        (0..TABLES)
            .filter_map(|table| number(&self.header, table * 8).ok())
            .min()
            .map_or(0, u64::from)
    }

    fn step(&mut self) -> io::Result<Option<(BString, BString)>> {
        if self.next >= self.end() {
            return Ok(None);
        }
        let (key_length, data_length) = self.pair(self.next)?;
        let body = self.next + 8;
        let key = self.read(body, key_length)?;
        let data = self.read(body + u64::from(key_length), data_length)?;
        self.next = body + u64::from(key_length) + u64::from(data_length);
        Ok(Some((cut_nul(key), cut_nul(data))))
    }

    fn failed(&self, error: &io::Error) -> LookupError {
        LookupError::fatal(
            self.name.clone(),
            format!("error reading {}: {}", self.path, io_text(error)),
        )
    }
}

impl Table for Cdb {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        for (with, form) in self.forms.keys(key) {
            if let Some(value) = self.find(&form).map_err(|error| self.failed(&error))? {
                self.forms.settle(with);
                return Ok(Some(cut_nul(value)));
            }
        }
        Ok(None)
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        if restart || self.next == 0 {
            self.next = u64::try_from(HEADER).unwrap_or(0);
        }
        self.step().map_err(|error| self.failed(&error))
    }
    fn changed(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|now| now.nlink() == 0 || (self.mtime != 0 && now.mtime() != self.mtime))
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

/// Builds a constant database beside the old one and renames it into place.
struct CdbBuilder {
    source: String,
    temporary: String,
    flags: Flags,
    nul: bool,
    /// Locked as long as it is open.
    file: File,
    /// In insertion order; `None` for replaced entries.
    entries: Vec<Option<(BString, BString)>>,
    places: HashMap<BString, usize>,
}

/// Starts to build `path.cdb`.
pub(crate) fn create(source: &str, flags: Flags) -> Result<Box<dyn Builder>, OpenError> {
    let temporary = format!("{source}.cdb.tmp");
    let failed = |error: &io::Error| OpenError::io(format!("database {temporary}"), error);
    let file = lock_temporary(&temporary).map_err(|error| failed(&error))?;
    file.set_len(0).map_err(|error| failed(&error))?;
    Ok(Box::new(CdbBuilder {
        source: source.to_owned(),
        temporary,
        flags,
        nul: NulForms::new(flags).writes_nul(false),
        file,
        entries: Vec::new(),
        places: HashMap::new(),
    }))
}

/// Opens and locks the temporary file; when another builder renamed it meanwhile, tries again.
fn lock_temporary(path: &str) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
        let (ours, named) = (file.metadata()?, std::fs::metadata(path));
        if named.is_ok_and(|named| (named.ino(), named.dev()) == (ours.ino(), ours.dev())) {
            return Ok(file);
        }
    }
}

impl CdbBuilder {
    fn insert(
        &mut self,
        key: BString,
        value: BString,
        shown: &BStr,
        flags: Flags,
    ) -> Result<(), LookupError> {
        if let Some(&place) = self.places.get(&key) {
            if flags.contains(Flags::DUP_REPLACE) {
                if let Some(old) = self.entries.get_mut(place) {
                    *old = None;
                }
            } else if !flags.contains(Flags::DUP_IGNORE) {
                return duplicate(flags, &self.source, shown);
            }
        }
        // With "ignore" both records are stored and readers find the first.
        if !flags.contains(Flags::DUP_IGNORE) || !self.places.contains_key(&key) {
            self.places.insert(key.clone(), self.entries.len());
        }
        self.entries.push(Some((key, value)));
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let mut out = BufWriter::new(&self.file);
        out.write_all(&[0; HEADER])?;
        let mut position = u32::try_from(HEADER).map_err(|_| too_big())?;
        let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); TABLES];
        for (key, value) in self.entries.iter().flatten() {
            let lengths = [u32::try_from(key.len()), u32::try_from(value.len())];
            let [Ok(key_length), Ok(value_length)] = lengths else {
                return Err(too_big());
            };
            out.write_all(&key_length.to_le_bytes())?;
            out.write_all(&value_length.to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(value)?;
            let hash = hash(key);
            if let Some(table) = tables.get_mut(index(hash % 256)?) {
                table.push((hash, position));
            }
            let size = u64::from(key_length) + u64::from(value_length) + 8;
            position = u32::try_from(u64::from(position) + size).map_err(|_| too_big())?;
        }
        let mut header = Vec::with_capacity(HEADER);
        for table in &tables {
            let count = u32::try_from(table.len() * 2).map_err(|_| too_big())?;
            header.extend_from_slice(&position.to_le_bytes());
            header.extend_from_slice(&count.to_le_bytes());
            for (hash, record) in slots(table) {
                out.write_all(&hash.to_le_bytes())?;
                out.write_all(&record.to_le_bytes())?;
            }
            position =
                u32::try_from(u64::from(position) + u64::from(count) * 8).map_err(|_| too_big())?;
        }
        out.flush()?;
        drop(out);
        self.file.write_all_at(&header, 0)?;
        self.file.sync_data()?;
        std::fs::rename(&self.temporary, format!("{}.cdb", self.source))
    }
}

fn too_big() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EFBIG as i32)
}

/// Places the records of one table in its slots.
fn slots(table: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let count = table.len() * 2;
    let mut slots = vec![(0, 0); count];
    for &(hash, record) in table {
        let start = usize::try_from(hash >> 8).unwrap_or(0) % count.max(1);
        let free = (0..count).map(|step| (start + step) % count);
        for at in free {
            if let Some(slot) = slots.get_mut(at).filter(|slot| slot.1 == 0) {
                *slot = (hash, record);
                break;
            }
        }
    }
    slots
}

impl Builder for CdbBuilder {
    fn name(&self) -> &str {
        &self.source
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
    fn finish(self: Box<Self>) -> Result<(), LookupError> {
        self.write().map_err(|error| {
            let text = format!("finish database {}: {}", self.temporary, io_text(&error));
            LookupError::fatal(format!("cdb:{}.cdb", self.source), text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(dir: &std::path::Path, flags: Flags, entries: &[(&str, &str)]) -> String {
        let source = dir.join("t").to_str().unwrap().to_owned();
        let mut builder = create(&source, flags).unwrap();
        for (key, value) in entries {
            builder.add(BStr::new(key), BStr::new(value)).unwrap();
        }
        builder.finish().unwrap();
        source
    }

    #[test]
    fn what_was_built_is_found_and_walked_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let many: Vec<(String, String)> = (0..1000)
            .map(|n| (format!("key{n}"), format!("value{n}")))
            .collect();
        let list: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for flags in [Flags::NONE, Flags::TRY1NULL] {
            let source = build(dir.path(), flags, &list);
            let mut table = open(&source, OpenMode::Read, Flags::NONE, true).unwrap();
            for (key, value) in &list {
                assert_eq!(
                    table.lookup(BStr::new(key)),
                    Ok(Some(BString::from(*value))),
                    "{key}"
                );
            }
            assert_eq!(table.lookup(BStr::new("absent")), Ok(None));
            let mut walked = Vec::new();
            let mut entry = table.sequence(true).unwrap();
            while let Some((key, value)) = entry {
                walked.push((key.to_string(), value.to_string()));
                entry = table.sequence(false).unwrap();
            }
            assert_eq!(walked, many);
            assert!(!dir.path().join("t.cdb.tmp").exists());
        }
    }

    #[test]
    fn duplicates_keep_the_first_or_the_last_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let entries = [("a", "1"), ("b", "2"), ("a", "3")];
        for (flags, want, size) in [
            (Flags::DUP_WARN, "1", 2048 + 2 * 10 + 2 * 2 * 8),
            (Flags::DUP_IGNORE, "1", 2048 + 3 * 10 + 3 * 2 * 8),
            (Flags::DUP_REPLACE, "3", 2048 + 2 * 10 + 2 * 2 * 8),
        ] {
            let source = build(dir.path(), flags, &entries);
            let mut table = open(&source, OpenMode::Read, Flags::NONE, true).unwrap();
            assert_eq!(table.lookup(BStr::new("a")), Ok(Some(BString::from(want))));
            assert_eq!(
                std::fs::metadata(format!("{source}.cdb")).unwrap().len(),
                size
            );
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let source = build(dir.path(), Flags::NONE, &[("a", "1"), ("bb", "22")]);
        let good = std::fs::read(format!("{source}.cdb")).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            std::fs::write(format!("{source}.cdb"), &bad).unwrap();
            let mut table = open(&source, OpenMode::Read, Flags::NONE, true).unwrap();
            let _ = table.lookup(BStr::new("a"));
            for step in 0..10 {
                if !matches!(table.sequence(step == 0), Ok(Some(_))) {
                    break;
                }
            }
        }
        std::fs::write(format!("{source}.cdb"), &good[..100]).unwrap();
        assert!(open(&source, OpenMode::Read, Flags::NONE, true).is_err());
    }
}
