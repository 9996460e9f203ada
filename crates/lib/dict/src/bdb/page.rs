//! Pages of Berkeley DB files: the header, the index array, and items as bytes.
//!
//! Everything read is checked against the page; nothing here knows files. Source: bdb-format.md §1.

use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Bytes of a page header.
pub(super) const HEADER: usize = 26;
/// Page types.
pub(super) const INVALID: u8 = 0;
pub(super) const HASH_UNSORTED: u8 = 2;
pub(super) const BTREE_INTERNAL: u8 = 3;
pub(super) const BTREE_LEAF: u8 = 5;
pub(super) const OVERFLOW: u8 = 7;
pub(super) const HASH: u8 = 13;

/// A damaged file, as an error to report.
pub(super) fn damaged(page: u32, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged database: page {page}: {what}"),
    )
}

/// Index into memory of a number from a file; such numbers have 32 bits.
pub(crate) fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A length or count for a file.
pub(super) fn number(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

pub(super) fn get_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    let two = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

pub(crate) fn get_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

pub(super) fn put_u16(bytes: &mut [u8], offset: usize, value: u16) {
    if let Some(two) = bytes.get_mut(offset..offset + 2) {
        two.copy_from_slice(&value.to_le_bytes());
    }
}

pub(super) fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(four) = bytes.get_mut(offset..offset + 4) {
        four.copy_from_slice(&value.to_le_bytes());
    }
}

/// The header fields that a page is made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) number: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) level: u8,
    pub(super) kind: u8,
}

/// The bytes of a page. Copies share them until one is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Bytes(Arc<Vec<u8>>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        Arc::<Vec<u8>>::make_mut(&mut self.0)
    }
}

/// One page in memory. `bytes` is never shorter than the header.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) bytes: Bytes,
    pub(super) number: u32,
}

impl Page {
    /// An empty page.
    pub(super) fn new(size: usize, shape: Shape) -> Self {
        let mut bytes = vec![0; size];
        put_u32(&mut bytes, 4, 1);
        put_u32(&mut bytes, 8, shape.number);
        put_u32(&mut bytes, 12, shape.previous);
        put_u32(&mut bytes, 16, shape.next);
        // The largest page of 65536 bytes writes 0 here, like the reference.
        put_u16(&mut bytes, 22, u16::try_from(size).unwrap_or(0));
        bytes[24] = shape.level;
        bytes[25] = shape.kind;
        Self {
            bytes: bytes.into(),
            number: shape.number,
        }
    }

    /// A page with these items, in index order, each aligned to `align` bytes.
    pub(super) fn with_items<T: AsRef<[u8]>>(
        size: usize,
        shape: Shape,
        items: &[T],
        align: usize,
    ) -> io::Result<Self> {
        let mut page = Self::new(size, shape);
        let mut end = size;
        let too_much = || damaged(shape.number, "items do not fit");
        let entries = u16::try_from(items.len()).map_err(|_| too_much())?;
        let bytes: &mut [u8] = &mut page.bytes;
        for (index, item) in items.iter().enumerate() {
            let item = item.as_ref();
            let start = end
                .checked_sub(item.len().next_multiple_of(align))
                .ok_or_else(too_much)?;
            if start < HEADER + 2 * items.len() {
                return Err(too_much());
            }
            bytes[start..start + item.len()].copy_from_slice(item);
            put_u16(
                bytes,
                HEADER + 2 * index,
                u16::try_from(start).map_err(|_| too_much())?,
            );
            end = start;
        }
        put_u16(bytes, 20, entries);
        put_u16(bytes, 22, u16::try_from(end).unwrap_or(0));
        Ok(page)
    }

    pub(super) fn shape(&self) -> Shape {
        Shape {
            number: self.number,
            previous: self.previous(),
            next: self.next(),
            level: self.level(),
            kind: self.kind(),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn previous(&self) -> u32 {
        get_u32(&self.bytes, 12).unwrap_or(0)
    }

    pub(super) fn next(&self) -> u32 {
        get_u32(&self.bytes, 16).unwrap_or(0)
    }

    pub(super) fn set_previous(&mut self, page: u32) {
        put_u32(&mut self.bytes, 12, page);
    }

    pub(super) fn set_next(&mut self, page: u32) {
        put_u32(&mut self.bytes, 16, page);
    }

    /// Items on the page; on overflow pages the number of references to the chain.
    pub(super) fn entries(&self) -> usize {
        get_u16(&self.bytes, 20).map_or(0, usize::from)
    }

    /// End of the free space; on overflow pages the number of data bytes.
    pub(super) fn high_offset(&self) -> usize {
        get_u16(&self.bytes, 22).map_or(0, usize::from)
    }

    pub(super) fn level(&self) -> u8 {
        self.bytes.get(24).copied().unwrap_or(0)
    }

    pub(super) fn kind(&self) -> u8 {
        self.bytes.get(25).copied().unwrap_or(0)
    }

    pub(super) fn damaged(&self, what: &str) -> io::Error {
        damaged(self.number, what)
    }

    /// Where item `index` starts; checked to lie behind the index array.
    pub(super) fn slot(&self, index: usize) -> io::Result<usize> {
        let lowest = HEADER + 2 * self.entries();
        get_u16(&self.bytes, HEADER + 2 * index)
            .map(usize::from)
            .filter(|&start| index < self.entries() && start >= lowest && start < self.size())
            .ok_or_else(|| self.damaged("bad item offset"))
    }

    /// Item `index` of a hash page: type byte and payload.
    pub(super) fn hash_item(&self, index: usize) -> io::Result<&[u8]> {
        let (start, end) = (self.slot(index)?, self.hash_end(index)?);
        self.bytes
            .get(start..end)
            .filter(|item| !item.is_empty())
            .ok_or_else(|| self.damaged("bad item order"))
    }

    /// Item `index` of a btree leaf or internal page, without padding.
    pub(super) fn btree_item(&self, index: usize) -> io::Result<&[u8]> {
        let start = self.slot(index)?;
        let bad = || self.damaged("bad item length");
        let length = usize::from(get_u16(&self.bytes, start).ok_or_else(bad)?);
        let kind = self.bytes.get(start + 2).copied().ok_or_else(bad)?;
        let size = match (self.kind(), kind & 0x7f) {
            (BTREE_LEAF, 1) => 3 + length,
            (BTREE_LEAF, 3) => 12,
            (BTREE_INTERNAL, 1) => 12 + length,
            (BTREE_INTERNAL, 3) => 24,
            _ => return Err(self.damaged("unknown item type")),
        };
        self.bytes.get(start..start + size).ok_or_else(bad)
    }

    /// Where items start, in index order.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let index = HEADER..HEADER + 2 * self.entries();
        let starts = self.bytes.get(index).unwrap_or_default().as_chunks().0;
        starts.iter().map(|&start| u16::from_le_bytes(start).into())
    }

    /// Where the first byte of an item is; the page's end without items.
    fn lowest(&self) -> io::Result<usize> {
        let lowest = self.starts().fold(self.size(), usize::min);
        if lowest < HEADER + 2 * self.entries() {
            return Err(self.damaged("bad item offset"));
        }
        Ok(lowest)
    }

    /// Bytes for more items and their index entries.
    pub(super) fn free_space(&self) -> io::Result<usize> {
        Ok(self.lowest()? - (HEADER + 2 * self.entries()))
    }

    /// Removes item `index` of a btree page.
    pub(super) fn remove_btree_item(&mut self, index: usize) -> io::Result<()> {
        let start = self.slot(index)?;
        let length = self.btree_item(index)?.len().next_multiple_of(4);
        let end = (start + length).min(self.size());
        let is_shared = self.starts().filter(|&other| other == start).count() > 1;
        self.remove_items(index, 1, start..if is_shared { start } else { end })
    }

    /// Removes `count` items of a hash page from `index` on.
    pub(super) fn remove_hash_items(&mut self, index: usize, count: usize) -> io::Result<()> {
        let end = self.hash_end(index)?;
        let start = self.slot(index + count - 1)?;
        if start >= end {
            return Err(self.damaged("bad item order"));
        }
        self.remove_items(index, count, start..end)
    }

    /// Removes items that have these bytes; what is before the bytes moves up.
    fn remove_items(&mut self, index: usize, count: usize, gap: Range<usize>) -> io::Result<()> {
        let lowest = self.lowest()?;
        let new_lowest = lowest + gap.len();
        self.move_items(lowest..gap.start, new_lowest);
        let (first, end) = (HEADER + 2 * index, HEADER + 2 * self.entries());
        self.bytes.copy_within(first + 2 * count..end, first);
        self.set_entries(self.entries() - count, new_lowest);
        Ok(())
    }

    /// Moves the bytes of some items, with the index entries that point there.
    fn move_items(&mut self, from: Range<usize>, to: usize) {
        let index = HEADER..HEADER + 2 * self.entries();
        let slots = self.bytes.get_mut(index).unwrap_or_default();
        for slot in slots.as_chunks_mut().0 {
            let start = usize::from(u16::from_le_bytes(*slot));
            if from.contains(&start) {
                let moved = u16::try_from(start + to - from.start).unwrap_or(0);
                *slot = moved.to_le_bytes();
            }
        }
        self.bytes.copy_within(from, to);
    }

    /// Adds an item of a btree page at `index`; the caller has seen to it that there is room.
    pub(super) fn insert_btree_item(&mut self, index: usize, item: &[u8]) -> io::Result<()> {
        let start = self.lowest_with(index, item.len().next_multiple_of(4))?;
        self.insert_item(index, item, start, start);
        Ok(())
    }

    /// Adds an item of a hash page at `index`, before the bytes of those behind it; the caller has seen
    /// to it that there is room.
    pub(super) fn insert_hash_item(&mut self, index: usize, item: &[u8]) -> io::Result<()> {
        let lowest = self.lowest_with(index, item.len())?;
        let end = self.hash_end(index)?;
        self.move_items(lowest + item.len()..end, lowest);
        self.insert_item(index, item, end - item.len(), lowest);
        Ok(())
    }

    /// Where items will start with `length` more bytes and one more at `index`.
    fn lowest_with(&self, index: usize, length: usize) -> io::Result<usize> {
        let used = HEADER + 2 * (self.entries() + 1);
        self.lowest()?
            .checked_sub(length)
            .filter(|&start| index <= self.entries() && start >= used)
            .ok_or_else(|| self.damaged("items do not fit"))
    }

    fn insert_item(&mut self, index: usize, item: &[u8], start: usize, lowest: usize) {
        let (first, end) = (HEADER + 2 * index, HEADER + 2 * self.entries());
        self.bytes[start..start + item.len()].copy_from_slice(item);
        self.bytes.copy_within(first..end, first + 2);
        put_u16(&mut self.bytes, first, u16::try_from(start).unwrap_or(0));
        self.set_entries(self.entries() + 1, lowest);
    }

    fn set_entries(&mut self, entries: usize, lowest: usize) {
        put_u16(&mut self.bytes, 20, u16::try_from(entries).unwrap_or(0));
        // An empty page of 65536 bytes has 0 here, like the reference.
        put_u16(&mut self.bytes, 22, u16::try_from(lowest).unwrap_or(0));
    }

    /// Where item `index` of a hash page ends, also that of one which is to come.
    fn hash_end(&self, index: usize) -> io::Result<usize> {
        match index.checked_sub(1) {
            Some(before) => self.slot(before),
            None => Ok(self.size()),
        }
    }

    /// Copies of all items.
    pub(super) fn items(&self) -> io::Result<Vec<Vec<u8>>> {
        self.items_between(0..self.entries())
    }

    /// Copies of these items.
    pub(super) fn items_between(&self, indices: Range<usize>) -> io::Result<Vec<Vec<u8>>> {
        indices
            .map(|index| match self.kind() {
                BTREE_LEAF | BTREE_INTERNAL => self.btree_item(index),
                _ => self.hash_item(index),
            })
            .map(|item| item.map(<[u8]>::to_vec))
            .collect()
    }
}
