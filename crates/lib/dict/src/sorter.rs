//! Sorts the entries of a table that is built, in bounded memory.
//!
//! Entries collect in memory; when that is full they go to a temporary file as a sorted run, and
//! the runs are merged at the end. Duplicate keys are found at once while everything is in memory,
//! which gives warnings in the order of the source, and otherwise while merging.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::fs::{File, OpenOptions};
use std::hash::BuildHasherDefault;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Flags;
use crate::bdb::{at, get_u32};
use crate::hash::{Hashed, Seed};

/// Bytes of entries kept in memory, with what is kept about them. Postfix's programs need about twice
/// this for a large table.
const MEMORY: usize = 10 << 20;
/// What remembering a key costs, roughly.
const KNOWN: usize = 34;
/// Bytes for reading all runs.
const READ_AHEAD: usize = 2 << 20;
/// Bytes of a run's record before the key.
const RECORD_HEADER: usize = 17;

/// What happens to the second entry with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicate {
    /// It takes the place of the first.
    Replace,
    /// It is dropped.
    Ignore,
    /// It is dropped and reported.
    Report,
}

impl Duplicate {
    /// What the flags of a builder ask for.
    pub(crate) fn by_flags(flags: Flags) -> Self {
        if flags.contains(Flags::DUP_REPLACE) {
            Self::Replace
        } else if flags.contains(Flags::DUP_IGNORE) {
            Self::Ignore
        } else {
            Self::Report
        }
    }
}

/// An entry of the table, in stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Sorts before the key.
    pub(crate) order: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    sequence: u32,
    duplicate: Duplicate,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.order, &self.key, self.sequence).cmp(&(other.order, &other.key, other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An entry in the arena.
#[derive(Debug, Clone, Copy)]
struct Slot {
    order: u32,
    sequence: u32,
    start: u32,
    key: u32,
    value: u32,
    duplicate: Duplicate,
}

impl Slot {
    fn key<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        let start = at(self.start);
        arena.get(start..start + at(self.key)).unwrap_or_default()
    }

    fn value<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        let start = at(self.start) + at(self.key);
        arena.get(start..start + at(self.value)).unwrap_or_default()
    }
}

/// A length or position in memory; more than 4 GiB at once are refused.
fn small(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// Collects entries.
#[derive(Debug)]
pub(crate) struct Sorter {
    arena: Vec<u8>,
    slots: Vec<Slot>,
    /// Slots by the hash of their key, as long as nothing was moved to a file.
    known: Option<HashMap<u64, u32, BuildHasherDefault<Hashed>>>,
    seed: Seed,
    next_sequence: u32,
    directory: PathBuf,
    spool: Option<Arc<File>>,
    spool_end: u64,
    runs: Vec<(u64, u64)>,
    memory: usize,
}

impl Sorter {
    /// `directory` is where a temporary file may go.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            arena: Vec::new(),
            slots: Vec::new(),
            known: Some(HashMap::default()),
            seed: Seed::random(),
            next_sequence: 0,
            directory: directory.to_owned(),
            spool: None,
            spool_end: 0,
            runs: Vec::new(),
            memory: MEMORY,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_memory(directory: &Path, memory: usize) -> Self {
        Self {
            memory,
            ..Self::new(directory)
        }
    }

    /// Takes an entry; `false` when its key is known to be there and it was dropped to be reported.
    pub(crate) fn add(
        &mut self,
        order: u32,
        key: &[u8],
        value: &[u8],
        duplicate: Duplicate,
    ) -> io::Result<bool> {
        if let Some(known) = &mut self.known {
            let hash = self.seed.hash(key);
            let slot = known
                .get(&hash)
                .and_then(|&index| self.slots.get_mut(at(index)));
            match slot {
                Some(slot) if slot.key(&self.arena) == key => match duplicate {
                    Duplicate::Report => return Ok(false),
                    Duplicate::Ignore => return Ok(true),
                    Duplicate::Replace => {
                        slot.start = small(self.arena.len())?;
                        slot.value = small(value.len())?;
                        self.arena.extend_from_slice(key);
                        self.arena.extend_from_slice(value);
                        return self.make_room().map(|()| true);
                    }
                },
                // Another key with the same hash: merging finds its duplicates.
                Some(_) => {}
                None => {
                    known.insert(hash, small(self.slots.len())?);
                }
            }
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence
            .checked_add(1)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.slots.push(Slot {
            order,
            sequence,
            start: small(self.arena.len())?,
            key: small(key.len())?,
            value: small(value.len())?,
            duplicate,
        });
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.make_room().map(|()| true)
    }

    fn make_room(&mut self) -> io::Result<()> {
        let known = self.known.as_ref().map_or(0, HashMap::len);
        let used = self.arena.len() + self.slots.len() * size_of::<Slot>() + known * KNOWN;
        if used > self.memory {
            self.spill()?;
        }
        Ok(())
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        self.slots.sort_unstable_by(|a, b| {
            (a.order.cmp(&b.order))
                .then_with(|| a.key(arena).cmp(b.key(arena)))
                .then(a.sequence.cmp(&b.sequence))
        });
    }

    /// Moves everything in memory to a sorted run.
    fn spill(&mut self) -> io::Result<()> {
        self.known = None;
        self.sort();
        let spool = match &self.spool {
            Some(spool) => Arc::clone(spool),
            None => Arc::clone(
                self.spool
                    .insert(Arc::new(anonymous_file(&self.directory)?)),
            ),
        };
        let mut file: &File = &spool;
        file.seek(SeekFrom::Start(self.spool_end))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let start = self.spool_end;
        for slot in &self.slots {
            write_record(&mut out, slot, &self.arena)?;
            let length = RECORD_HEADER + at(slot.key) + at(slot.value);
            self.spool_end += u64::try_from(length).unwrap_or(0);
        }
        out.flush()?;
        self.runs.push((start, self.spool_end));
        self.arena.clear();
        self.slots.clear();
        Ok(())
    }

    /// All entries in order, one for each key. Keys whose later entries were dropped to be
    /// reported are given by [`Merge::into_reported`].
    pub(crate) fn finish(mut self) -> io::Result<Merge> {
        self.sort();
        let mut sources = vec![Source::Memory {
            arena: self.arena,
            slots: self.slots.into_iter(),
        }];
        if let Some(spool) = &self.spool {
            let ahead = (READ_AHEAD / self.runs.len().max(1)).clamp(1 << 12, 1 << 16);
            for &(start, end) in &self.runs {
                let run = Run {
                    file: Arc::clone(spool),
                    at: start,
                    end,
                };
                sources.push(Source::Run(BufReader::with_capacity(ahead, run)));
            }
        }
        let mut heap = BinaryHeap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.next()? {
                heap.push(std::cmp::Reverse((entry, index)));
            }
        }
        Ok(Merge {
            sources,
            heap,
            reported: Vec::new(),
        })
    }
}

/// A file without a name, in `directory` or else where temporary files go.
fn anonymous_file(directory: &Path) -> io::Result<File> {
    let create = |directory: &Path| {
        let path = directory.join(format!("__db.sort.{}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    };
    create(directory).or_else(|_: io::Error| create(&std::env::temp_dir()))
}

fn write_record(out: &mut impl Write, slot: &Slot, arena: &[u8]) -> io::Result<()> {
    let duplicate = match slot.duplicate {
        Duplicate::Replace => 0,
        Duplicate::Ignore => 1,
        Duplicate::Report => 2_u8,
    };
    out.write_all(&slot.order.to_le_bytes())?;
    out.write_all(&slot.sequence.to_le_bytes())?;
    out.write_all(&[duplicate])?;
    out.write_all(&slot.key.to_le_bytes())?;
    out.write_all(&slot.value.to_le_bytes())?;
    out.write_all(slot.key(arena))?;
    out.write_all(slot.value(arena))
}

/// A part of the spool as a stream.
struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Run {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
}

enum Source {
    Memory {
        arena: Vec<u8>,
        slots: std::vec::IntoIter<Slot>,
    },
    Run(BufReader<Run>),
}

impl Source {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Memory { arena, slots } => Ok(slots.next().map(|slot| Entry {
                order: slot.order,
                key: slot.key(arena).to_vec(),
                value: slot.value(arena).to_vec(),
                sequence: slot.sequence,
                duplicate: slot.duplicate,
            })),
            Self::Run(run) => read_record(run),
        }
    }
}

fn read_record(run: &mut BufReader<Run>) -> io::Result<Option<Entry>> {
    if run.buffer().is_empty() && run.get_ref().at == run.get_ref().end {
        return Ok(None);
    }
    let mut header = [0; RECORD_HEADER];
    run.read_exact(&mut header)?;
    let field = |at: usize| get_u32(&header, at).unwrap_or(0);
    let mut part = |length: u32| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; at(length)];
        run.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    Ok(Some(Entry {
        order: field(0),
        sequence: field(4),
        duplicate: match header[8] {
            0 => Duplicate::Replace,
            1 => Duplicate::Ignore,
            _ => Duplicate::Report,
        },
        key: part(field(9))?,
        value: part(field(13))?,
    }))
}

/// The entries in order.
pub(crate) struct Merge {
    sources: Vec<Source>,
    heap: BinaryHeap<std::cmp::Reverse<(Entry, usize)>>,
    /// Keys of dropped duplicates with their place in the source.
    reported: Vec<(u32, Vec<u8>)>,
}

impl Merge {
    /// The keys of dropped duplicates that nobody was told about, in the order of the source.
    pub(crate) fn into_reported(mut self) -> impl Iterator<Item = Vec<u8>> {
        self.reported.sort();
        self.reported.into_iter().map(|(_, key)| key)
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut current) = self.pop()? else {
            return Ok(None);
        };
        while self
            .heap
            .peek()
            .is_some_and(|next| next.0.0.order == current.order && next.0.0.key == current.key)
        {
            let Some(later) = self.pop()? else { break };
            match later.duplicate {
                Duplicate::Replace => current = later,
                Duplicate::Ignore => {}
                Duplicate::Report => self.reported.push((later.sequence, later.key)),
            }
        }
        Ok(Some(current))
    }

    fn pop(&mut self) -> io::Result<Option<Entry>> {
        let Some(std::cmp::Reverse((entry, index))) = self.heap.pop() else {
            return Ok(None);
        };
        if let Some(source) = self.sources.get_mut(index)
            && let Some(next) = source.next()?
        {
            self.heap.push(std::cmp::Reverse((next, index)));
        }
        Ok(Some(entry))
    }
}
