//! Blocks of a file that were read, in bounded memory.
//!
//! Each block has one possible place, so that a lookup costs a comparison. The memory is one piece,
//! of which only the blocks that were needed exist.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 4096;
/// Blocks that are remembered at first, 16 MiB. A block is remembered when it was needed, so that
/// only processes that look up much get there.
const FIRST: usize = 4096;
/// Blocks that are remembered at most, 128 MiB: for whoever had to read more than [`FIRST`].
const MOST: usize = 32 * 1024;
/// After so many reads of single blocks, whoever looks up that much will need the others, too: then they
/// are read in runs, which costs fewer calls.
const SINGLE: usize = 8;
/// Blocks of a run; a power of two.
const RUN: usize = 16;

/// The blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    data: Vec<u8>,
    /// The number of the block at each place, counted from 1; 0 for none.
    owners: Vec<u32>,
    /// There is a place for each block of the file, so that a run takes no other's.
    has_all: bool,
    /// Blocks of the file.
    wanted: usize,
    reads: usize,
}

impl Blocks {
    /// Room for the blocks of a file of `length` bytes.
    pub(crate) fn for_length(length: u64) -> Self {
        let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        let wanted = usize::try_from(length.div_ceil(block)).unwrap_or(usize::MAX);
        Self::with_places(wanted, FIRST)
    }

    fn with_places(wanted: usize, most: usize) -> Self {
        let places = wanted.clamp(1, most).next_power_of_two();
        Self {
            data: vec![0; places * BLOCK],
            owners: vec![0; places],
            has_all: wanted <= places && places >= RUN,
            wanted,
            reads: 0,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.owners.fill(0);
    }

    fn place(&self, number: u32) -> usize {
        usize::try_from(number).unwrap_or(0) & self.owners.len().wrapping_sub(1)
    }

    /// A block, if it is remembered.
    pub(crate) fn get(&self, number: u32) -> Option<&[u8]> {
        let place = self.place(number);
        if *self.owners.get(place)? != number.wrapping_add(1) {
            return None;
        }
        self.data.get(place * BLOCK..(place + 1) * BLOCK)
    }

    /// Reads a block of which `available` bytes are in the file, up to its end if that is less than a
    /// block; the rest is zero. Blocks beside it may be read, too.
    pub(crate) fn load(&mut self, file: &File, number: u32, available: usize) -> io::Result<&[u8]> {
        self.reads = self.reads.saturating_add(1);
        if self.reads > FIRST && self.owners.len() < self.wanted.min(MOST) {
            *self = Self::with_places(self.wanted, MOST);
        }
        if self.has_all && self.reads > SINGLE && available >= BLOCK {
            self.load_run(file, number)?;
        }
        self.load_one(file, number, available)
    }

    /// The same, but no blocks beside it are read.
    pub(crate) fn load_one(
        &mut self,
        file: &File,
        number: u32,
        available: usize,
    ) -> io::Result<&[u8]> {
        let place = self.place(number);
        let outside = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let owner = self.owners.get_mut(place).ok_or_else(outside)?;
        let block = self
            .data
            .get_mut(place * BLOCK..(place + 1) * BLOCK)
            .ok_or_else(outside)?;
        let mark = number.checked_add(1).ok_or_else(outside)?;
        if *owner != mark {
            *owner = 0;
            let (part, rest) = block.split_at_mut(available.min(BLOCK));
            file.read_exact_at(part, u64::from(number) * u64::try_from(BLOCK).unwrap_or(0))?;
            rest.fill(0);
            *owner = mark;
        }
        Ok(block)
    }

    /// Reads the run of blocks that `number` is in, as far as they are whole.
    fn load_run(&mut self, file: &File, number: u32) -> io::Result<()> {
        let first = number - number % u32::try_from(RUN).unwrap_or(1);
        let place = self.place(first);
        let (Some(data), Some(owners)) = (
            self.data.get_mut(place * BLOCK..(place + RUN) * BLOCK),
            self.owners.get_mut(place..place + RUN),
        ) else {
            return Ok(());
        };
        owners.fill(0);
        let offset = u64::from(first) * u64::try_from(BLOCK).unwrap_or(0);
        let count = loop {
            match file.read_at(data, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        for (owner, mark) in owners.iter_mut().zip(first + 1..).take(count / BLOCK) {
            *owner = mark;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file of numbered blocks, and how many of two rounds through them had to be loaded.
    fn loads(count: u32, mut blocks: Blocks) -> (usize, Blocks) {
        let mut file = tempfile::tempfile().unwrap();
        for number in 0..count {
            file.write_all(&[number.to_le_bytes(); BLOCK / 4].concat())
                .unwrap();
        }
        let mut loads = 0;
        for number in (0..count).rev().chain((0..count).rev()) {
            let block = match blocks.get(number) {
                Some(block) => block,
                None => {
                    loads += 1;
                    blocks.load(&file, number, BLOCK).unwrap()
                }
            };
            assert_eq!(block[..4], number.to_le_bytes());
        }
        (loads, blocks)
    }

    #[test]
    fn blocks_are_those_of_the_file_also_when_they_share_a_place() {
        let (loads, mut blocks) = loads(12, Blocks::with_places(12, 8));
        assert_eq!(loads, 12 + 8);
        assert!(blocks.get(2).is_some());
        blocks.clear();
        assert_eq!(blocks.get(2), None);
    }

    #[test]
    fn more_is_remembered_of_large_files_for_those_who_read_much() {
        let count = FIRST + 3;
        let length = u64::try_from(count * BLOCK).unwrap();
        let (loads, blocks) = loads(u32::try_from(count).unwrap(), Blocks::for_length(length));
        // What is remembered at first, then singly a few, and once more all in runs.
        assert!(loads < count + SINGLE + count / RUN + 2, "{loads}");
        assert!(blocks.get(2).is_some() && blocks.get(2 + 3).is_some());
    }
}
