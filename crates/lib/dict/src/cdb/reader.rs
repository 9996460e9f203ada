//! Bytes of a constant database, which nobody changes once it has its name.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Start, malformed};
use crate::blocks::{BLOCK, Blocks};
use crate::dbfile::{before_nul, cut_nul};
use postern_sys::memory::{LargePages, prefetch};

/// Whoever announces a key for so many bytes of the file gets it whole at once; before, single blocks only.
const SPARSE: u64 = 128 * 1024;
/// The largest file of which that is true.
const MOST: u64 = 128 * 1024 * 1024;

/// Where the data of a record are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    offset: u64,
    length: u32,
}

/// The file and what was read of it.
pub(super) struct Reader {
    file: File,
    length: u64,
    blocks: Blocks,
    /// All bytes of the file, if they were read at once.
    whole: Option<LargePages>,
    /// How many keys were announced.
    announced: u64,
}

impl Reader {
    /// `length` is that of the file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self {
            file,
            length,
            blocks: Blocks::for_length(length),
            whole: None,
            announced: 0,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file; what lies beyond its end makes it malformed.
    pub(super) fn read(&mut self, offset: u64, length: u32) -> io::Result<Cow<'_, [u8]>> {
        let wanted = usize::try_from(length).map_err(|_| malformed())?;
        if offset.saturating_add(u64::from(length)) > self.length {
            return Err(malformed());
        }
        let position = usize::try_from(offset).map_err(|_| malformed())?;
        if self.whole.is_some() {
            let bytes = self.whole.as_deref().unwrap_or_default();
            let bytes = bytes.get(position..position + wanted);
            return bytes.map(Cow::Borrowed).ok_or_else(malformed);
        }
        let start = position % BLOCK;
        let number = u32::try_from(position / BLOCK).map_err(|_| malformed())?;
        if start + wanted <= BLOCK {
            let block = self.block(number)?;
            return Ok(Cow::Borrowed(
                block.get(start..start + wanted).unwrap_or_default(),
            ));
        }
        let mut bytes = Vec::with_capacity(wanted);
        if wanted > BLOCK {
            bytes.resize(wanted, 0);
            self.file.read_exact_at(&mut bytes, offset)?;
            return Ok(Cow::Owned(bytes));
        }
        bytes.extend_from_slice(self.block(number)?.get(start..).unwrap_or_default());
        let rest = wanted - bytes.len();
        bytes.extend_from_slice(self.block(number + 1)?.get(..rest).unwrap_or_default());
        Ok(Cow::Owned(bytes))
    }

    /// Looks for a key whose stored form ends with `nul`, from its first slot on.
    pub(super) fn find(
        &mut self,
        key: &[u8],
        nul: &[u8],
        start: Option<Start>,
    ) -> io::Result<Option<Data>> {
        let Some(start) = start else {
            return Ok(None);
        };
        let table = u64::from(start.table.offset);
        if table + u64::from(start.table.count) * 8 > self.length {
            return Err(malformed());
        }
        let mut slot = start.first;
        for _ in 0..start.table.count {
            let (stored, position) = self.pair(table + u64::from(slot) * 8)?;
            if position == 0 {
                return Ok(None);
            }
            if stored == start.hash
                && let Some(data) = self.record(u64::from(position), key, nul)?
            {
                return Ok(Some(data));
            }
            slot += 1;
            if slot == start.table.count {
                slot = 0;
            }
        }
        Ok(None)
    }

    /// Where the data of the record at `offset` are, if it has this key.
    fn record(&mut self, offset: u64, key: &[u8], nul: &[u8]) -> io::Result<Option<Data>> {
        let (key_length, data_length) = self.pair(offset)?;
        let wanted = key.len() + nul.len();
        if usize::try_from(key_length).ok() != Some(wanted) {
            return Ok(None);
        }
        let body = offset + 8;
        // Comparing nothing with nothing takes longer in the C library than comparing the key: its one load
        // from an address that is none costs a trap in some processors.
        let is_same =
            |stored: &[u8]| stored.starts_with(key) && (nul.is_empty() || stored.ends_with(nul));
        // It is in a block that is remembered, nearly always.
        let is_key = match self.here(body).and_then(|known| known.get(..wanted)) {
            Some(stored) => is_same(stored),
            None => is_same(&self.read(body, key_length)?),
        };
        Ok(is_key.then(|| Data {
            offset: body + u64::from(key_length),
            length: data_length,
        }))
    }

    /// Data of a record, up to the first NUL.
    pub(super) fn value(&mut self, data: Option<Data>) -> io::Result<Option<Cow<'_, [u8]>>> {
        let Some(Data { offset, length }) = data else {
            return Ok(None);
        };
        Ok(Some(match self.read(offset, length)? {
            Cow::Borrowed(stored) => Cow::Borrowed(before_nul(stored)),
            Cow::Owned(stored) => Cow::Owned(cut_nul(stored).into()),
        }))
    }

    /// What is remembered from `offset` to the end of its block at least.
    fn here(&self, offset: u64) -> Option<&[u8]> {
        let position = usize::try_from(offset).ok()?;
        if let Some(whole) = &self.whole {
            return whole.get(position..);
        }
        let block = self.blocks.get(u32::try_from(position / BLOCK).ok()?)?;
        block.get(position % BLOCK..)
    }

    /// Says that so many keys will be looked up.
    pub(super) fn announce(&mut self, keys: usize) {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        self.announced = self.announced.saturating_add(keys);
    }

    /// Says that a key will be looked up soon.
    pub(super) fn expect(&self, start: &Start) {
        if let Some((whole, slot)) = self.first_slot(start) {
            prefetch(whole, slot);
        }
    }

    /// Says that the record of a key will be needed soon, if its first slot has it.
    pub(super) fn expect_record(&self, start: &Start) {
        if let Some((whole, slot)) = self.first_slot(start)
            && let Some(slot) = whole.get(slot..).and_then(|rest| rest.first_chunk::<8>())
            && let (hash, position) = numbers(slot)
            && hash == start.hash
            && let Ok(position) = usize::try_from(position)
        {
            // Its key may be in the next line of the cache.
            prefetch(whole, position);
            prefetch(whole, position + 64);
        }
    }

    /// Where a key is looked for first, in a file that is here.
    fn first_slot(&self, start: &Start) -> Option<(&[u8], usize)> {
        let slot = u64::from(start.table.offset) + u64::from(start.first) * 8;
        Some((self.whole.as_deref()?, usize::try_from(slot).ok()?))
    }

    /// Two numbers.
    pub(super) fn pair(&mut self, offset: u64) -> io::Result<(u32, u32)> {
        let known = if offset.saturating_add(8) <= self.length {
            self.here(offset)
        } else {
            None
        };
        if let Some(bytes) = known.and_then(|known| known.first_chunk::<8>()) {
            return Ok(numbers(bytes));
        }
        let bytes = self.read(offset, 8)?;
        bytes.first_chunk().map(numbers).ok_or_else(malformed)
    }

    fn block(&mut self, number: u32) -> io::Result<&[u8]> {
        let start = u64::from(number) * u64::try_from(BLOCK).unwrap_or(0);
        if self.whole.is_none() && self.blocks.get(number).is_none() {
            let left = usize::try_from(self.length.saturating_sub(start)).unwrap_or(BLOCK);
            if self.announced == 0 || self.length > MOST {
                return self.blocks.load(&self.file, number, left);
            }
            if self.announced * SPARSE < self.length {
                return self.blocks.load_one(&self.file, number, left);
            }
            self.read_all()?;
        }
        let Some(whole) = &self.whole else {
            return self.blocks.get(number).ok_or_else(malformed);
        };
        let start = usize::try_from(start).map_err(|_| malformed())?;
        let rest = whole.get(start..).unwrap_or_default();
        Ok(rest.get(..BLOCK).unwrap_or(rest))
    }

    fn read_all(&mut self) -> io::Result<()> {
        let length = usize::try_from(self.length).map_err(|_| malformed())?;
        let mut whole = LargePages::new(length);
        self.file.read_exact_at(&mut whole, 0)?;
        self.whole = Some(whole);
        self.blocks = Blocks::default();
        Ok(())
    }
}

/// The two numbers of an entry of the header, of a slot, or before a record.
pub(super) fn numbers(bytes: &[u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *bytes;
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
}
