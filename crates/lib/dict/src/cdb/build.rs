//! Builds a constant database beside the old one and renames it into place.
//!
//! Records go to the file as they come. In memory are only their hashes and places, in as many open
//! hash tables as the file will have, so that duplicates are found at once.

use bstr::BStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::{HEADER, TABLES, hash, malformed};
use crate::dbfile::{NulForms, duplicate, with_nul};
use crate::{Builder, Flags, LookupError, OpenError, io_text};
use postern_sys::lock::{LockMode, LockStyle, lock};

/// Bytes for reading and writing.
const BUFFER: usize = 32 * 1024;

/// A record: hash and place.
type Place = (u32, u32);
/// A record in memory: the upper three bytes of its hash, whose lowest is the number of the table,
/// and its place.
type Slot = [u8; 7];
/// A slot without record; no record is at the start of the file.
const FREE: Slot = [0; 7];

fn index(value: u32) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| malformed())
}

fn pack((hash, place): Place) -> Slot {
    let ([_, a, b, c], [d, e, f, g]) = (hash.to_le_bytes(), place.to_le_bytes());
    [a, b, c, d, e, f, g]
}

fn unpack([a, b, c, d, e, f, g]: Slot, table: u8) -> Place {
    (
        u32::from_le_bytes([table, a, b, c]),
        u32::from_le_bytes([d, e, f, g]),
    )
}

/// Slots of a page. Tables grow by pages, which stay where they are: nothing between them is wasted.
const PAGE: usize = 256;

/// One open hash table of places.
#[derive(Debug, Clone, Default)]
struct Places {
    #[expect(clippy::vec_box, reason = "a page must not move when another comes")]
    pages: Vec<Box<[Slot; PAGE]>>,
    used: usize,
}

impl Places {
    fn room(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Where the search for a hash begins. The low bits chose the table.
    fn start(&self, hash: u32) -> usize {
        let spread = (hash >> 8).wrapping_mul(0x9e37_79b9);
        let wide = u64::from(spread) * u64::try_from(self.room()).unwrap_or(0);
        usize::try_from(wide >> 32).unwrap_or(0)
    }

    /// All slots, those from the start of `hash` first.
    fn slots_from(&self, hash: u32) -> impl Iterator<Item = &Slot> {
        let start = self.start(hash);
        let page = (start / PAGE).min(self.pages.len());
        let (before, behind) = self.pages.split_at(page);
        let (first, rest) = behind.split_first().unzip();
        let (head, tail) = first.map(|first| first.split_at(start % PAGE)).unzip();
        let rest = rest.unwrap_or_default().iter().chain(before);
        tail.into_iter()
            .flatten()
            .chain(rest.flat_map(|page| page.iter()))
            .chain(head.into_iter().flatten())
    }

    /// The places of records with this hash.
    fn with_hash(&self, hash: u32) -> impl Iterator<Item = u32> {
        let [table, ..] = hash.to_le_bytes();
        self.slots_from(hash)
            .take_while(|slot| **slot != FREE)
            .map(move |slot| unpack(*slot, table))
            .filter(move |(stored, _)| *stored == hash)
            .map(|(_, place)| place)
    }

    fn insert(&mut self, place: Place) {
        // Fifteen sixteenths full at most: memory matters more than some more steps.
        if (self.used + 1) * 16 > self.room() * 15 {
            self.grow(place.0.to_le_bytes()[0]);
        }
        self.exchange(place.0, FREE, pack(place));
        self.used += 1;
    }

    /// Adds pages and puts the records of `table` where they belong then.
    fn grow(&mut self, table: u8) {
        let records: Vec<Slot> = self.records().copied().collect();
        for page in &mut self.pages {
            page.fill(FREE);
        }
        let more = 1 + self.pages.len() / 16;
        self.pages.reserve_exact(more);
        self.pages
            .extend(std::iter::repeat_with(|| Box::new([FREE; PAGE])).take(more));
        for slot in records {
            let (hash, _) = unpack(slot, table);
            self.exchange(hash, FREE, slot);
        }
    }

    /// Puts `new` into the first slot from the start of `hash` that holds `old`.
    fn exchange(&mut self, hash: u32, old: Slot, new: Slot) {
        let Some(steps) = self.slots_from(hash).position(|slot| *slot == old) else {
            return;
        };
        let at = (self.start(hash) + steps) % self.room();
        if let Some(slot) = self
            .pages
            .get_mut(at / PAGE)
            .and_then(|page| page.get_mut(at % PAGE))
        {
            *slot = new;
        }
    }

    fn records(&self) -> impl Iterator<Item = &Slot> {
        self.pages
            .iter()
            .flat_map(|page| page.iter())
            .filter(|slot| **slot != FREE)
    }

    /// The records in the order of the file.
    fn sorted(&self, table: u8) -> Vec<Place> {
        let mut places: Vec<Place> = self.records().map(|slot| unpack(*slot, table)).collect();
        places.sort_unstable_by_key(|place| place.1);
        places
    }
}

struct CdbBuilder {
    source: String,
    temporary: String,
    flags: Flags,
    nul: bool,
    /// Locked as long as it is open.
    file: File,
    /// What is not yet written, and where it will be.
    pending: Vec<u8>,
    written: u64,
    tables: Vec<Places>,
    /// Places of records that were replaced.
    replaced: Vec<u32>,
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
        pending: vec![0; HEADER],
        written: 0,
        tables: vec![Places::default(); TABLES],
        replaced: Vec::new(),
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
        key: &[u8],
        value: &[u8],
        shown: &BStr,
        flags: Flags,
    ) -> Result<(), LookupError> {
        let stored = self
            .store(key, value, flags)
            .map_err(|error| self.failed(&error))?;
        if stored {
            Ok(())
        } else {
            duplicate(flags, &self.source, shown)
        }
    }

    /// Adds a record; `false` when its key is there and has to be reported.
    fn store(&mut self, key: &[u8], value: &[u8], flags: Flags) -> io::Result<bool> {
        let hash = hash(key);
        let table = index(hash % 256)?;
        // With "ignore" both records are stored and readers find the first.
        let old = if flags.contains(Flags::DUP_IGNORE) {
            None
        } else {
            self.find(table, hash, key)?
        };
        if old.is_some() && !flags.contains(Flags::DUP_REPLACE) {
            return Ok(false);
        }
        let place =
            u32::try_from(self.written + wide(self.pending.len())).map_err(|_| too_big())?;
        for length in [key.len(), value.len()] {
            let length = u32::try_from(length).map_err(|_| too_big())?;
            self.pending.extend_from_slice(&length.to_le_bytes());
        }
        self.pending.extend_from_slice(key);
        self.pending.extend_from_slice(value);
        if self.pending.len() >= BUFFER {
            self.flush()?;
        }
        if let Some(table) = self.tables.get_mut(table) {
            match old {
                Some(old) => table.exchange(hash, pack((hash, old)), pack((hash, place))),
                None => table.insert((hash, place)),
            }
        }
        self.replaced.extend(old);
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.written)?;
        self.written += wide(self.pending.len());
        self.pending.clear();
        Ok(())
    }

    /// The record with this key.
    fn find(&self, table: usize, hash: u32, key: &[u8]) -> io::Result<Option<u32>> {
        let Some(places) = self.tables.get(table) else {
            return Ok(None);
        };
        for place in places.with_hash(hash) {
            if self.key_at(place, key.len())?.as_deref() == Some(key) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The key of a record, if it has this length.
    fn key_at(&self, place: u32, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; 4];
        self.peek(&mut head, u64::from(place))?;
        if index(u32::from_le_bytes(head))? != length {
            return Ok(None);
        }
        let mut key = vec![0; length];
        self.peek(&mut key, u64::from(place) + 8)?;
        Ok(Some(key))
    }

    /// Reads what was added, written or not; a record is never in both parts.
    fn peek(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(start) = offset.checked_sub(self.written) else {
            return self.file.read_exact_at(bytes, offset);
        };
        let start = usize::try_from(start).map_err(|_| malformed())?;
        let part = self
            .pending
            .get(start..start + bytes.len())
            .ok_or_else(malformed)?;
        bytes.copy_from_slice(part);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.flush()?;
        if !self.replaced.is_empty() {
            self.close_gaps()?;
        }
        let mut position = u32::try_from(self.written).map_err(|_| too_big())?;
        let mut header = Vec::with_capacity(HEADER);
        let mut out = BufWriter::with_capacity(
            BUFFER,
            Tail {
                file: &self.file,
                at: self.written,
            },
        );
        for (number, table) in (0..=u8::MAX).zip(std::mem::take(&mut self.tables)) {
            let places = table.sorted(number);
            drop(table);
            let count = u32::try_from(places.len() * 2).map_err(|_| too_big())?;
            header.extend_from_slice(&position.to_le_bytes());
            header.extend_from_slice(&count.to_le_bytes());
            for (hash, record) in slots(&places) {
                out.write_all(&hash.to_le_bytes())?;
                out.write_all(&record.to_le_bytes())?;
            }
            position =
                u32::try_from(u64::from(position) + u64::from(count) * 8).map_err(|_| too_big())?;
        }
        out.flush()?;
        drop(out);
        self.file.set_len(u64::from(position))?;
        self.file.write_all_at(&header, 0)?;
        self.file.sync_data()?;
        Ok(())
    }

    /// Puts the new file in the place of the old one.
    fn put_in_place(&self) -> Result<(), LookupError> {
        let name = format!("{}.cdb", self.source);
        std::fs::rename(&self.temporary, &name).map_err(|error| {
            let (temporary, reason) = (&self.temporary, io_text(&error));
            let text = format!("rename database from {temporary} to {name}: {reason}");
            LookupError::fatal(format!("cdb:{name}"), text)
        })
    }

    /// Moves the records together over those that were replaced.
    fn close_gaps(&mut self) -> io::Result<()> {
        let mut gaps = Vec::with_capacity(self.replaced.len());
        for place in &self.replaced {
            let mut lengths = [0; 8];
            self.file.read_exact_at(&mut lengths, u64::from(*place))?;
            let [a, b, c, d, e, f, g, h] = lengths;
            let key = u64::from(u32::from_le_bytes([a, b, c, d]));
            let value = u64::from(u32::from_le_bytes([e, f, g, h]));
            gaps.push((u64::from(*place), 8 + key + value));
        }
        gaps.sort_unstable();
        // Where each gap begins, and how much is missing from its end on.
        let mut missing = Vec::with_capacity(gaps.len());
        let mut total = 0;
        for (number, (start, length)) in gaps.iter().enumerate() {
            let end = gaps.get(number + 1).map_or(self.written, |next| next.0);
            move_down(&self.file, start + length, end, total + length)?;
            total += length;
            missing.push((*start, total));
        }
        for (number, table) in (0..=u8::MAX).zip(&mut self.tables) {
            let old = std::mem::take(table);
            for (hash, place) in old.sorted(number) {
                let before = missing.partition_point(|gap| gap.0 < u64::from(place));
                let moved = before.checked_sub(1).and_then(|gap| missing.get(gap));
                let distance = moved.map_or(0, |gap| gap.1);
                let place = u64::from(place).saturating_sub(distance);
                table.insert((hash, u32::try_from(place).map_err(|_| too_big())?));
            }
        }
        self.written -= total;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> LookupError {
        let text = format!("finish database {}: {}", self.temporary, io_text(error));
        LookupError::fatal(format!("cdb:{}.cdb", self.source), text)
    }
}

/// Moves the bytes from `start` to `end` down by `distance`.
fn move_down(file: &File, start: u64, end: u64, distance: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let part = buffer.get_mut(..count).unwrap_or_default();
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at - distance)?;
        at += wide(count);
    }
    Ok(())
}

/// Writes on from a position.
struct Tail<'a> {
    file: &'a File,
    at: u64,
}

impl Write for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.at)?;
        self.at += wide(count);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn too_big() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EFBIG as i32)
}

/// Places the records of one table in its slots.
fn slots(table: &[Place]) -> Vec<Place> {
    let count = table.len() * 2;
    let mut slots = vec![(0, 0); count];
    for &(hash, record) in table {
        let start = usize::try_from(hash >> 8).unwrap_or(0) % count.max(1);
        let (before, behind) = slots.split_at_mut(start.min(count));
        if let Some(slot) = behind.iter_mut().chain(before).find(|slot| slot.1 == 0) {
            *slot = (hash, record);
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
            self.insert(&with_nul(key), &with_nul(value), key, flags)
        } else {
            self.insert(key, value, key, flags)
        }
    }
    fn add_raw(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.insert(key, value, key, Flags::DUP_REPLACE)
    }
    fn finish(mut self: Box<Self>) -> Result<(), LookupError> {
        self.write().map_err(|error| self.failed(&error))?;
        self.put_in_place()
    }
}
