//! Writes whole database files from sorted entries.
//!
//! Source: the recipes of bdb-format.md §3.5 and §4.4.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{SystemTime, UNIX_EPOCH};

use super::page::{BTREE_INTERNAL, BTREE_LEAF, HEADER, Page, Shape, at, put_u32};
use super::pager::chain_pages;
use super::{Kind, btree, hash};
use crate::sorter::{Entry, Merge};

/// Page size of new files: what libdb takes on common file systems.
pub(super) const PAGE_SIZE: usize = 4096;
/// Hash of the bytes by which libdb checks that a file uses its own hash function.
const CHARKEY_HASH: u32 = 0x5e68_8dd1;
/// Postfix's files count from here.
const FIRST_ELEMENT: u32 = 4096;
/// How full the pages of a new hash table may be, in percent.
const FILL: u64 = 85;

/// The file being written. Pages are written when they are complete, in any order.
struct Output<'a> {
    file: &'a File,
    next: u32,
}

impl Output<'_> {
    fn allocate(&mut self) -> io::Result<u32> {
        let page = self.next;
        self.next = page
            .checked_add(1)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(page)
    }

    fn write(&self, page: &Page) -> io::Result<()> {
        self.file
            .write_all_at(&page.bytes, u64::from(page.number) * 4096)
    }

    /// Writes bytes that are too many for an item to pages of their own.
    fn chain(&mut self, data: &[u8]) -> io::Result<u32> {
        let chunks: Vec<&[u8]> = data.chunks(PAGE_SIZE - HEADER).collect();
        let mut numbers = Vec::with_capacity(chunks.len());
        for _ in &chunks {
            numbers.push(self.allocate()?);
        }
        for page in chain_pages(PAGE_SIZE, &chunks, &numbers) {
            self.write(&page)?;
        }
        Ok(numbers.first().copied().unwrap_or(0))
    }

    /// Writes the meta page with the fields that both kinds have, and `fields` of one kind.
    fn meta(&self, kind: Kind, fields: &[(usize, u32)]) -> io::Result<()> {
        let mut meta = vec![0; PAGE_SIZE];
        let status = self.file.metadata()?;
        let low = |wide: u64| u32::try_from(wide & u64::from(u32::MAX)).unwrap_or(0);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let common = [
            (4, 1),
            (12, kind.magic()),
            (16, 9),
            (20, 4096),
            (32, self.next - 1),
            (52, low(status.ino())),
            (56, low(status.dev())),
            (60, low(now.as_secs()) ^ now.subsec_nanos()),
            (64, std::process::id()),
        ];
        for &(offset, value) in common.iter().chain(fields) {
            put_u32(&mut meta, offset, value);
        }
        meta[25] = kind.meta_type();
        self.file.write_all_at(&meta, 0)
    }
}

/// Bytes that an entry takes on hash pages; for the choice of the number of buckets.
pub(super) fn hash_space(key: &[u8], value: &[u8]) -> u64 {
    let item = |data: &[u8]| {
        if data.len() > hash::inline_limit(PAGE_SIZE) {
            12
        } else {
            data.len() + 1
        }
    };
    u64::try_from(item(key) + item(value) + 4).unwrap_or(u64::MAX)
}

/// The order in which a hash table's entries have to arrive: all that may share a bucket, whatever
/// the number of buckets, stand together.
pub(super) fn hash_order(key: &[u8]) -> u32 {
    hash::hash(key).reverse_bits()
}

/// Writes a hash table to an empty file. `space` is the sum of [`hash_space`].
pub(super) fn write_hash(file: &File, entries: &mut Merge, space: u64) -> io::Result<()> {
    let usable = u64::try_from(PAGE_SIZE - HEADER).unwrap_or(u64::MAX) * FILL / 100;
    let buckets = u32::try_from((space / usable + 1).max(2).next_power_of_two())
        .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let bits = buckets.trailing_zeros();
    let mut output = Output {
        file,
        next: buckets.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?,
    };
    let mut count = 0_u32;
    let mut next = entries.next()?;
    for reversed in 0..buckets {
        let bucket = reversed.reverse_bits() >> (u32::BITS - bits);
        let mut pairs = Vec::new();
        while let Some(entry) = next.take_if(|entry| entry.order >> (u32::BITS - bits) == reversed)
        {
            pairs.push(hash_pair(&mut output, &entry)?);
            count = count.wrapping_add(1);
            next = entries.next()?;
        }
        pairs.sort();
        let contents = hash::pack(PAGE_SIZE, pairs.into_iter().map(|(_, pair)| pair));
        let mut numbers = vec![bucket + 1];
        while numbers.len() < contents.len() {
            numbers.push(output.allocate()?);
        }
        for page in hash::bucket_pages(PAGE_SIZE, &contents, &numbers) {
            output.write(&page?)?;
        }
    }
    let mut fields = vec![
        (hash::MAX_BUCKET, buckets - 1),
        (hash::HIGH_MASK, buckets - 1),
        (hash::LOW_MASK, buckets / 2 - 1),
        (hash::ELEMENTS, FIRST_ELEMENT.wrapping_add(count)),
        (hash::CHARKEY, CHARKEY_HASH),
    ];
    fields.extend((0..=bits).map(|group| (hash::SPARES + 4 * at(group), 1)));
    output.meta(Kind::Hash, &fields)
}

/// An entry's items, and its key to sort by.
fn hash_pair(output: &mut Output<'_>, entry: &Entry) -> io::Result<hash::KeyedPair> {
    let mut item = |data: &[u8]| {
        if data.len() <= hash::inline_limit(PAGE_SIZE) {
            return Ok(hash::inline_item(data));
        }
        let first = output.chain(data)?;
        hash::off_page_item(first, data.len())
    };
    Ok((entry.key.clone(), (item(&entry.key)?, item(&entry.value)?)))
}

/// A page of a btree level and the key that separates it from the one before, as a leaf item.
type Child = (u32, Vec<u8>);

/// Writes a btree to an empty file; entries arrive in order of their keys.
pub(super) fn write_btree(file: &File, entries: &mut Merge) -> io::Result<()> {
    let mut output = Output {
        file,
        next: btree::ROOT + 1,
    };
    let mut level = 1;
    let mut children = write_leaves(&mut output, entries)?;
    while children.len() > 1 {
        level += 1;
        children = write_level(&mut output, level, children)?;
    }
    output.meta(
        Kind::Btree,
        &[(76, 2), (84, 0x20), (btree::ROOT_FIELD, btree::ROOT)],
    )
}

fn store(output: &mut Output<'_>, data: &[u8]) -> io::Result<Vec<u8>> {
    if data.len() <= btree::inline_limit(PAGE_SIZE) {
        return Ok(btree::inline_item(data));
    }
    let first = output.chain(data)?;
    btree::off_page_item(first, data.len())
}

fn write_leaves(output: &mut Output<'_>, entries: &mut Merge) -> io::Result<Vec<Child>> {
    let leaf = |number, previous, next, items: &[Vec<u8>]| {
        let shape = Shape {
            number,
            previous,
            next,
            level: 1,
            kind: BTREE_LEAF,
        };
        Page::with_items(PAGE_SIZE, shape, items, btree::ALIGN)
    };
    let mut children: Vec<Child> = Vec::new();
    let mut separator = btree::inline_item(b"");
    let (mut previous, mut number) = (0, None);
    let mut items: Vec<Vec<u8>> = Vec::new();
    let mut used = 0;
    let mut last_key = Vec::new();
    while let Some(entry) = entries.next()? {
        let pair = [store(output, &entry.key)?, store(output, &entry.value)?];
        let room = pair.iter().map(|item| btree::room(item)).sum::<usize>();
        if used + room > PAGE_SIZE - HEADER {
            let this = match number {
                Some(number) => number,
                None => output.allocate()?,
            };
            let next = output.allocate()?;
            output.write(&leaf(this, previous, next, &items)?)?;
            let next_separator = store(output, btree::shortest_separator(&last_key, &entry.key))?;
            children.push((this, std::mem::replace(&mut separator, next_separator)));
            (previous, number) = (this, Some(next));
            items.clear();
            used = 0;
        }
        items.extend(pair);
        used += room;
        last_key = entry.key;
    }
    // A tree of one leaf is its root.
    let this = number.unwrap_or(btree::ROOT);
    output.write(&leaf(this, previous, 0, &items)?)?;
    children.push((this, separator));
    Ok(children)
}

/// Writes one internal level; a level of one page is the root.
fn write_level(output: &mut Output<'_>, level: u8, children: Vec<Child>) -> io::Result<Vec<Child>> {
    let mut groups: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    let mut used = 0;
    for (child, separator) in children {
        let item = btree::internal_item(child, &separator);
        if let Some((_, items)) = groups.last_mut()
            && used + btree::room(&item) <= PAGE_SIZE - HEADER
        {
            used += btree::room(&item);
            items.push(item);
            continue;
        }
        // The first child's key moves up; here an empty one takes its place.
        let first = btree::internal_item(child, &btree::inline_item(b""));
        used = btree::room(&first);
        groups.push((separator, vec![first]));
    }
    let mut numbers = Vec::with_capacity(groups.len());
    if groups.len() == 1 {
        numbers.push(btree::ROOT);
    } else {
        for _ in &groups {
            numbers.push(output.allocate()?);
        }
    }
    let neighbour = |index: Option<usize>| {
        index
            .and_then(|index| numbers.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut parents = Vec::with_capacity(groups.len());
    for (index, (separator, items)) in groups.into_iter().enumerate() {
        let shape = Shape {
            number: neighbour(Some(index)),
            previous: neighbour(index.checked_sub(1)),
            next: neighbour(Some(index + 1)),
            level,
            kind: BTREE_INTERNAL,
        };
        output.write(&Page::with_items(PAGE_SIZE, shape, &items, btree::ALIGN)?)?;
        parents.push((shape.number, separator));
    }
    Ok(parents)
}
