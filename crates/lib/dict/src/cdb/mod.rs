//! `cdb`: constant databases, read in place and built as a whole.
//!
//! Source: bdb-format.md §7 of the specification; the layout is D. J. Bernstein's.

mod build;
mod reader;

use bstr::{BStr, BString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use self::reader::Reader;
use crate::dbfile::{NulForms, cut_nul, warn_if_older};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text};

pub(crate) use build::create;

const TABLES: usize = 256;
const HEADER: usize = TABLES * 8;

fn hash(key: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(33) ^ u32::from(*byte);
    // By pieces whose length is known, which makes the loop half as long.
    let (pieces, rest) = key.as_chunks::<8>();
    let hash = pieces
        .iter()
        .fold(5381, |hash, piece| piece.iter().fold(hash, step));
    rest.iter().fold(hash, step)
}

fn malformed() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EPROTO as i32)
}

/// Reads a constant database.
struct Cdb {
    name: String,
    path: String,
    flags: Flags,
    reader: Reader,
    owner: Owner,
    mtime: i64,
    tables: Vec<Slots>,
    forms: NulForms,
    scratch: Vec<u8>,
    /// The key that comes next and the one after it.
    expected: [Expected; 2],
    /// Offset of the next record of a walk.
    next: u64,
}

/// A key that will be looked up, in stored form, and where to look for it first.
#[derive(Debug, Default)]
struct Expected {
    form: Vec<u8>,
    /// Whether the form has a NUL at its end.
    with_nul: bool,
    start: Option<Start>,
}

impl Expected {
    fn is_for(&self, key: &BStr) -> bool {
        match self.form.split_last() {
            Some((0, form)) if self.with_nul => form == key,
            _ => !self.with_nul && self.form == *key,
        }
    }
}

/// One of the hash tables.
#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    offset: u32,
    count: u32,
}

/// The hash of a key, and where its slots are.
#[derive(Debug, Clone, Copy)]
struct Start {
    hash: u32,
    /// Not empty.
    table: Slots,
    /// The slot to begin with.
    first: u32,
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
    let (entries, _) = header.as_chunks::<8>();
    let tables = entries.iter().map(Slots::new).collect();
    Ok(Box::new(Cdb {
        name: format!("cdb:{path}"),
        path,
        flags: flags | Flags::FIXED,
        reader: Reader::new(file, status.len()),
        owner: Owner::of_uid(status.uid()),
        mtime: status.mtime(),
        tables,
        forms: NulForms::new(flags),
        scratch: Vec::new(),
        expected: [Expected::default(), Expected::default()],
        next: 0,
    }))
}

impl Slots {
    /// A table as the header has it.
    fn new(entry: &[u8; 8]) -> Self {
        let (offset, count) = reader::numbers(entry);
        Self { offset, count }
    }
}

/// Where to look for a key in stored form; `None` when there is nothing.
fn start(tables: &[Slots], key: &[u8]) -> Option<Start> {
    let hash = hash(key);
    let table = *tables.get(usize::try_from(hash % 256).ok()?)?;
    (hash >> 8)
        .checked_rem(table.count)
        .map(|first| Start { hash, table, first })
}

/// Looks a key in stored form up.
fn find(
    reader: &mut Reader,
    key: &[u8],
    start: Option<Start>,
    value: &mut BString,
) -> io::Result<bool> {
    let Some(start) = start else {
        return Ok(false);
    };
    let table = u64::from(start.table.offset);
    if table + u64::from(start.table.count) * 8 > reader.length() {
        return Err(malformed());
    }
    let mut slot = start.first;
    for _ in 0..start.table.count {
        let (stored, position) = reader.pair(table + u64::from(slot) * 8)?;
        if position == 0 {
            return Ok(false);
        }
        if stored == start.hash && reader.record(u64::from(position), key, value)? {
            return Ok(true);
        }
        slot += 1;
        if slot == start.table.count {
            slot = 0;
        }
    }
    Ok(false)
}

impl Cdb {
    /// Both forms of a key that nobody announced.
    fn find_forms(&mut self, key: &BStr, value: &mut BString) -> io::Result<bool> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut answer = Ok(false);
        for (with, form) in self.forms.keys(key, &mut scratch) {
            let start = start(&self.tables, form);
            answer = find(&mut self.reader, form, start, value);
            match answer {
                Ok(true) => self.forms.settle(with),
                Ok(false) => continue,
                Err(_) => {}
            }
            break;
        }
        self.scratch = scratch;
        answer
    }

    /// Where the records end: the first hash table.
    fn end(&self) -> u64 {
        let offsets = self.tables.iter().map(|table| table.offset);
        offsets.min().map_or(0, u64::from)
    }

    fn step(&mut self) -> io::Result<Option<(BString, BString)>> {
        if self.next >= self.end() {
            return Ok(None);
        }
        let (key_length, data_length) = self.reader.pair(self.next)?;
        let body = self.next + 8;
        let key = self.reader.read(body, key_length)?.into_owned();
        let data = self
            .reader
            .read(body + u64::from(key_length), data_length)?
            .into_owned();
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
        let mut value = BString::default();
        Ok(self.lookup_into(key, &mut value)?.then_some(value))
    }
    fn lookup_into(&mut self, key: &BStr, value: &mut BString) -> Result<bool, LookupError> {
        // An announced key has one form; both only come into question until the first was found.
        let known = match self.forms.only() {
            Some(_) => self.expected.iter().find(|known| known.is_for(key)),
            None => None,
        };
        match known {
            Some(known) => find(&mut self.reader, &known.form, known.start, value),
            None => self.find_forms(key, value),
        }
        .map_err(|error| self.failed(&error))
    }
    fn expect(&mut self, key: &BStr) {
        let Some(with_nul) = self.forms.only() else {
            return;
        };
        self.expected.swap(0, 1);
        let [_, next] = &mut self.expected;
        next.form.clear();
        next.form.extend_from_slice(key);
        if with_nul {
            next.form.push(0);
        }
        next.with_nul = with_nul;
        next.start = start(&self.tables, &next.form);
        if let Some(start) = next.start {
            let slot = u64::from(start.table.offset) + u64::from(start.first) * 8;
            self.reader.expect(slot);
        }
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        if restart || self.next == 0 {
            self.next = u64::try_from(HEADER).unwrap_or(0);
        }
        self.step().map_err(|error| self.failed(&error))
    }
    fn changed(&self) -> bool {
        self.reader
            .file()
            .metadata()
            .is_ok_and(|now| now.nlink() == 0 || (self.mtime != 0 && now.mtime() != self.mtime))
    }
    fn owner(&self) -> Owner {
        self.owner
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
            for (at, (key, value)) in list.iter().enumerate() {
                // What was said to come next may come, or something else.
                table.expect(BStr::new(list[at / 2].0));
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
    fn entries_replaced_again_and_again_leave_no_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let many: Vec<(String, String)> = (0..30_000)
            .map(|n| (format!("key{}", n % 7000), "v".repeat(n % 13)))
            .collect();
        let list: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let source = build(dir.path(), Flags::DUP_REPLACE, &list);
        let mut table = open(&source, OpenMode::Read, Flags::NONE, true).unwrap();
        let mut size = 2048;
        for (key, value) in list.get(23_000..).unwrap() {
            let want = Ok(Some(BString::from(*value)));
            assert_eq!(table.lookup(BStr::new(key)), want, "{key}");
            size += u64::try_from(8 + key.len() + value.len() + 2 * 8).unwrap();
        }
        let path = format!("{source}.cdb");
        assert_eq!(std::fs::metadata(path).unwrap().len(), size);
        let mut walked = 0;
        let mut entry = table.sequence(true).unwrap();
        while entry.is_some() {
            walked += 1;
            entry = table.sequence(false).unwrap();
        }
        assert_eq!(walked, 7000);
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
