//! `cdb`: constant databases, read in place and built as a whole.
//!
//! Source: bdb-format.md §7 of the specification; the layout is D. J. Bernstein's.

mod build;
mod reader;

use bstr::{BStr, BString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use self::reader::{Data, Reader};
use crate::dbfile::{NulForms, cut_nul, warn_if_older};
use crate::table::{Answer, one_by_one};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text};

pub(crate) use build::create;

const TABLES: usize = 256;
const HEADER: usize = TABLES * 8;

/// Of nothing.
const HASH: u32 = 5381;

fn hash(key: &[u8]) -> u32 {
    hash_more(HASH, key)
}

fn step(hash: u32, byte: u8) -> u32 {
    hash.wrapping_mul(33) ^ u32::from(byte)
}

fn hash_more(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| step(hash, *byte))
}

/// The hashes of four keys. Each step of one waits for the one before it, those of four do not.
fn hash_four(keys: [&[u8]; 4]) -> [u32; 4] {
    let common = keys.iter().map(|key| key.len()).min().unwrap_or(0);
    let [a, b, c, d] = keys.map(|key| key.split_at_checked(common).unwrap_or_default());
    let mut hashes = [HASH; 4];
    for (((a, b), c), d) in a.0.iter().zip(b.0).zip(c.0).zip(d.0) {
        let [e, f, g, h] = hashes;
        hashes = [step(e, *a), step(f, *b), step(g, *c), step(h, *d)];
    }
    let [e, f, g, h] = hashes;
    [
        hash_more(e, a.1),
        hash_more(f, b.1),
        hash_more(g, c.1),
        hash_more(h, d.1),
    ]
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
    /// Offset of the next record of a walk.
    next: u64,
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

/// Keys that are looked up together.
const BATCH: usize = 32;

impl Cdb {
    /// Where to look for a key in stored form with this hash; `None` when there is nothing.
    fn start(&self, hash: u32) -> Option<Start> {
        let table = *self.tables.get(usize::try_from(hash % 256).ok()?)?;
        (hash >> 8)
            .checked_rem(table.count)
            .map(|first| Start { hash, table, first })
    }

    /// Looks up the forms of a key that come into question.
    fn find_forms(&mut self, key: &[u8]) -> io::Result<Option<Data>> {
        let hash = hash(key);
        for (with, nul) in self.forms.endings() {
            let start = self.start(hash_more(hash, nul));
            let data = self.reader.find(key, nul, start)?;
            if data.is_some() {
                self.forms.settle(with);
                return Ok(data);
            }
        }
        Ok(None)
    }

    /// Looks up at most [`BATCH`] keys, whose stored form ends with `nul`. What they need first is on its way
    /// from memory while hashes of others are computed.
    fn find_batch(
        &mut self,
        keys: &[&BStr],
        nul: &[u8],
        answer: &mut Answer<'_>,
    ) -> Result<(), LookupError> {
        let mut starts = [None; BATCH];
        for (keys, starts) in keys.chunks(4).zip(starts.chunks_mut(4)) {
            let key = |number: usize| keys.get(number).map_or(&b""[..], |key| key);
            let hashes = hash_four([key(0), key(1), key(2), key(3)]);
            for (start, hash) in starts.iter_mut().zip(hashes) {
                *start = self.start(hash_more(hash, nul));
                if let Some(start) = start {
                    self.reader.expect(start);
                }
            }
        }
        for start in starts.iter().flatten() {
            self.reader.expect_record(start);
        }
        for (key, start) in keys.iter().zip(starts) {
            let data = self.reader.find(key, nul, start);
            match data.and_then(|data| self.reader.value(data)) {
                Ok(value) => answer(key, value.as_deref().map(BStr::new))?,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
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
        let data = self.find_forms(key);
        let found = data.and_then(|data| self.reader.value(data)).map(|found| {
            value.clear();
            found.is_some_and(|found| {
                value.extend_from_slice(&found);
                true
            })
        });
        found.map_err(|error| self.failed(&error))
    }
    fn lookup_all(&mut self, keys: &[&BStr], answer: &mut Answer<'_>) -> Result<(), LookupError> {
        self.reader.announce(keys.len());
        let mut keys = keys;
        let nul = loop {
            // Until a key was found, both forms come into question.
            if let Some(with) = self.forms.only() {
                break NulForms::ending(with);
            }
            let Some((key, rest)) = keys.split_first() else {
                return Ok(());
            };
            one_by_one(self, &[key], answer)?;
            keys = rest;
        };
        keys.chunks(BATCH)
            .try_for_each(|keys| self.find_batch(keys, nul, answer))
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
    fn many_keys_at_once_get_the_answers_of_each() {
        let dir = tempfile::tempdir().unwrap();
        // Files that are read by blocks to the end, and at once; keys of all lengths, one of them in no block.
        for (count, flags) in [
            (10, Flags::NONE),
            (4000, Flags::TRY0NULL),
            (20_000, Flags::NONE),
        ] {
            let many: Vec<(String, String)> = (0..count)
                .map(|n| ("k".repeat(n % 70) + &n.to_string(), format!("value{n}")))
                .chain([("long".repeat(3000), "long".repeat(5000))])
                .collect();
            let list: Vec<(&str, &str)> =
                many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let source = build(dir.path(), flags, &list);
            let mut table = open(&source, OpenMode::Read, flags, true).unwrap();
            let keys: Vec<String> = (0..count * 2)
                .map(|n| "k".repeat(n % 70) + &n.to_string())
                .chain(["long".repeat(3000), String::new(), "long".to_owned()])
                .collect();
            for keys in keys.chunks(77) {
                let keys: Vec<&BStr> = keys.iter().map(BStr::new).collect();
                let mut asked = keys.iter();
                table
                    .lookup_all(&keys, &mut |key, value| {
                        assert_eq!(asked.next(), Some(&key));
                        let want = list.iter().find(|entry| entry.0 == *key);
                        assert_eq!(value, want.map(|entry| BStr::new(entry.1)), "{key}");
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(asked.next(), None);
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_open_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let source = build(dir.path(), Flags::NONE, &[("a", "1"), ("bb", "22")]);
        let mut table = open(&source, OpenMode::Read, Flags::TRY0NULL, true).unwrap();
        let file = File::options().write(true).open(format!("{source}.cdb"));
        file.unwrap().set_len(2050).unwrap();
        let error = table.lookup_all(&[BStr::new("a")], &mut |_, _| panic!("an answer"));
        assert!(error.is_err());
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
