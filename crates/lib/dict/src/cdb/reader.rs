//! Bytes of a constant database, which nobody changes once it has its name.

use bstr::BString;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::malformed;
use crate::blocks::{BLOCK, Blocks};
use crate::dbfile::before_nul;

/// The file and what was read of it.
pub(super) struct Reader {
    file: File,
    length: u64,
    blocks: Blocks,
}

impl Reader {
    /// `length` is that of the file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self {
            file,
            length,
            blocks: Blocks::for_length(length),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of the file; what lies beyond its end makes it malformed.
    pub(super) fn read(&mut self, offset: u64, length: u32) -> io::Result<Cow<'_, [u8]>> {
        let wanted = usize::try_from(length).map_err(|_| malformed())?;
        if offset.saturating_add(u64::from(length)) > self.length {
            return Err(malformed());
        }
        let position = usize::try_from(offset).map_err(|_| malformed())?;
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

    /// Whether the record at `offset` has `key`; then its data, up to the first NUL, is in `value`.
    pub(super) fn record(
        &mut self,
        offset: u64,
        key: &[u8],
        value: &mut BString,
    ) -> io::Result<bool> {
        let (key_length, data_length) = self.pair(offset)?;
        if usize::try_from(key_length).ok() != Some(key.len()) {
            return Ok(false);
        }
        let body = offset + 8;
        if let Some(known) = self.here(body) {
            // Both are in a block that is remembered: nearly always.
            let start = known.get(..key.len());
            if start.is_some_and(|stored| stored != key) {
                return Ok(false);
            }
            let end = usize::try_from(data_length).map_err(|_| malformed())?;
            let data = known
                .get(key.len()..)
                .and_then(|data| data.get(..end))
                .filter(|_| body + u64::from(key_length) + u64::from(data_length) <= self.length);
            if let Some(data) = data {
                value.clear();
                value.extend_from_slice(before_nul(data));
                return Ok(true);
            }
        }
        if *self.read(body, key_length)? != *key {
            return Ok(false);
        }
        let data = self.read(body + u64::from(key_length), data_length)?;
        value.clear();
        value.extend_from_slice(before_nul(&data));
        Ok(true)
    }

    /// What is remembered from `offset` to the end of its block.
    fn here(&self, offset: u64) -> Option<&[u8]> {
        let position = usize::try_from(offset).ok()?;
        let block = self.blocks.get(u32::try_from(position / BLOCK).ok()?)?;
        block.get(position % BLOCK..)
    }

    /// Says that what is at `offset` will be needed soon.
    pub(super) fn expect(&self, offset: u64) {
        if let Ok(position) = usize::try_from(offset)
            && let Ok(number) = u32::try_from(position / BLOCK)
        {
            self.blocks.expect(number, position % BLOCK);
        }
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
        if self.blocks.get(number).is_none() {
            let start = u64::from(number) * u64::try_from(BLOCK).unwrap_or(0);
            let left = usize::try_from(self.length.saturating_sub(start)).unwrap_or(BLOCK);
            return self.blocks.load(&self.file, number, left);
        }
        self.blocks.get(number).ok_or_else(malformed)
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
