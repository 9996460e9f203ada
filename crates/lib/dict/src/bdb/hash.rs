//! The hash access method: linear hashing, one chain of pages for each bucket.
//!
//! Source: bdb-format.md §3.

use std::cmp::Ordering;
use std::io;

use super::page::{HASH, HASH_UNSORTED, HEADER, INVALID, Page, Shape, at, damaged, get_u32};
use super::pager::{Pager, chain_reference};

/// Where meta page fields are.
pub(super) const MAX_BUCKET: usize = 72;
pub(super) const HIGH_MASK: usize = 76;
pub(super) const LOW_MASK: usize = 80;
pub(super) const ELEMENTS: usize = 88;
pub(super) const CHARKEY: usize = 92;
pub(super) const SPARES: usize = 96;
const SPARES_COUNT: u32 = 32;

/// Item types.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;
/// Index entries of a key and its data.
const SLOTS: usize = 4;

/// FNV-1 order with offset basis zero.
pub(super) fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &byte| {
        hash.wrapping_mul(16_777_619) ^ u32::from(byte)
    })
}

/// An item longer than this goes to overflow pages.
pub(super) fn inline_limit(page_size: usize) -> usize {
    page_size / 4
}

/// The item for bytes that stay on the page.
pub(super) fn inline_item(data: &[u8]) -> Vec<u8> {
    [&[INLINE], data].concat()
}

/// The item for `length` bytes in the chain that starts at `first`.
pub(super) fn off_page_item(first: u32, length: usize) -> io::Result<Vec<u8>> {
    Ok([&[OFF_PAGE, 0, 0, 0][..], &chain_reference(first, length)?].concat())
}

/// A key's bytes, and the items of the key and its data.
pub(super) type KeyedPair = (Vec<u8>, (Vec<u8>, Vec<u8>));

/// What an item says about its bytes.
enum Item<'a> {
    Here(&'a [u8]),
    Chain { first: u32, total: u32 },
}

fn parse(item: &[u8]) -> Option<Item<'_>> {
    match item.split_first()? {
        (&INLINE, data) => Some(Item::Here(data)),
        (&OFF_PAGE, rest) if rest.len() == 11 => Some(Item::Chain {
            first: get_u32(rest, 3)?,
            total: get_u32(rest, 7)?,
        }),
        _ => None,
    }
}

/// Operations on a hash file.
#[derive(Debug)]
pub(super) struct Hash<'p, 'f>(pub(super) &'p mut Pager<'f>);

impl Hash<'_, '_> {
    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.find(key)? {
            Some((page, index)) => self
                .bytes(page.hash_item(index + 1)?, page.number)
                .map(Some),
            None => Ok(None),
        }
    }

    /// Stores a pair; `false` when the key was there and was not to be replaced.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], replace: bool) -> io::Result<bool> {
        let Some((page, index)) = self.find(key)? else {
            self.insert(key, value)?;
            return Ok(true);
        };
        if replace {
            self.replace(page, index, key, value)?;
        }
        Ok(replace)
    }

    /// Gives the key at `index` of a page another value.
    fn replace(
        &mut self,
        mut page: Page,
        index: usize,
        key: &[u8],
        value: &[u8],
    ) -> io::Result<()> {
        let old = page.hash_item(index + 1)?.to_vec();
        let new = self.store(value)?;
        if page.free_space()? + old.len() >= new.len() {
            self.0.take(&page);
            page.remove_hash_items(index + 1, 1)?;
            page.insert_hash_item(index + 1, &new)?;
            self.0.write(page);
        } else {
            self.replace_in_bucket(key, new)?;
        }
        self.free_item(&old)
    }

    /// Gives a key another value for which its page has no room. All pages of the bucket but the first are
    /// replaced, so that the key is never missing or there twice in the file.
    fn replace_in_bucket(&mut self, key: &[u8], value: Vec<u8>) -> io::Result<()> {
        let bucket = self.bucket_of(hash(key));
        let (mut pairs, others) = self.contents(bucket)?;
        if let Some((_, pair)) = pairs.iter_mut().find(|(other, _)| other == key) {
            pair.1 = value;
        }
        self.fill(bucket, pairs)?;
        for page in others {
            self.0.free(page);
        }
        Ok(())
    }

    /// Stores a pair whose key is not there.
    fn insert(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let pair = [self.store(key)?, self.store(value)?];
        let bucket = self.bucket_of(hash(key));
        let needed = pair[0].len() + pair[1].len() + SLOTS;
        let mut last = None;
        let mut walk = self.walk(bucket)?;
        while let Some(mut page) = walk.next(self)? {
            if page.free_space()? >= needed {
                let place = self.place(&page, key)?;
                self.0.take(&page);
                page.insert_hash_item(place, &pair[0])?;
                page.insert_hash_item(place + 1, &pair[1])?;
                self.0.write(page);
                return self.count(1);
            }
            last = Some(page);
        }
        let Some(mut last) = last else {
            return Err(damaged(0, "bucket without page"));
        };
        let number = self.0.allocate()?;
        let shape = Shape {
            number,
            previous: last.number,
            next: 0,
            level: 0,
            kind: HASH,
        };
        self.0
            .write(Page::with_items(self.0.page_size(), shape, &pair, 1)?);
        last.set_next(number);
        self.0.write(last);
        self.count(1)?;
        self.grow()
    }

    /// Removes `key`; `false` when it was not there.
    pub(super) fn remove(&mut self, key: &[u8]) -> io::Result<bool> {
        let Some((page, index)) = self.find(key)? else {
            return Ok(false);
        };
        self.remove_at(page, index)?;
        Ok(true)
    }

    /// Removes the pair at `index` of a page.
    fn remove_at(&mut self, mut page: Page, index: usize) -> io::Result<()> {
        for item in index..index + 2 {
            self.free_item(page.hash_item(item)?)?;
        }
        if page.entries() == 2 && (page.previous() != 0 || page.next() != 0) {
            self.drop_page(&page)?;
        } else {
            self.0.take(&page);
            page.remove_hash_items(index, 2)?;
            self.0.write(page);
        }
        self.count(-1)
    }

    /// Buckets in use.
    pub(super) fn buckets(&self) -> u32 {
        self.0.meta(MAX_BUCKET).saturating_add(1)
    }

    /// The pairs of a bucket, in storage order.
    pub(super) fn pairs(&self, bucket: u32) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut pairs = Vec::new();
        let mut walk = self.walk(bucket)?;
        while let Some(page) = walk.next(self)? {
            for index in pair_indices(&page) {
                let key = self.bytes(page.hash_item(index)?, page.number)?;
                // A process that died may have left pairs in a bucket that was being split.
                if self.bucket_of(hash(&key)) == bucket {
                    pairs.push((key, self.bytes(page.hash_item(index + 1)?, page.number)?));
                }
            }
        }
        Ok(pairs)
    }

    /// The page and index of a key.
    fn find(&self, key: &[u8]) -> io::Result<Option<(Page, usize)>> {
        let mut walk = self.walk(self.bucket_of(hash(key)))?;
        while let Some(page) = walk.next(self)? {
            for index in pair_indices(&page) {
                let item = page.hash_item(index)?;
                let same = match parse(item).ok_or_else(|| page.damaged("unknown item type"))? {
                    Item::Here(data) => data == key,
                    Item::Chain { first, total } => {
                        at(total) == key.len() && self.0.read_chain(first, total)? == key
                    }
                };
                if same {
                    return Ok(Some((page, index)));
                }
            }
        }
        Ok(None)
    }

    fn bucket_of(&self, hash: u32) -> u32 {
        let bucket = hash & self.0.meta(HIGH_MASK);
        if bucket > self.0.meta(MAX_BUCKET) {
            bucket & self.0.meta(LOW_MASK)
        } else {
            bucket
        }
    }

    fn walk(&self, bucket: u32) -> io::Result<Walk> {
        let group = group_of(bucket);
        let spare = if group < SPARES_COUNT {
            self.0.meta(SPARES + 4 * at(group))
        } else {
            0
        };
        let page = bucket.checked_add(spare).filter(|_| spare != 0);
        let next = page.ok_or_else(|| damaged(0, "bucket without page"))?;
        Ok(Walk {
            next,
            first: true,
            left: self.0.pages(),
        })
    }

    fn bytes(&self, item: &[u8], page: u32) -> io::Result<Vec<u8>> {
        match parse(item).ok_or_else(|| damaged(page, "unknown item type"))? {
            Item::Here(data) => Ok(data.to_vec()),
            Item::Chain { first, total } => self.0.read_chain(first, total),
        }
    }

    /// Makes an item, writing overflow pages when the bytes are too many.
    fn store(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        if data.len() <= inline_limit(self.0.page_size()) {
            return Ok(inline_item(data));
        }
        let first = self.0.write_chain(data)?;
        off_page_item(first, data.len())
    }

    /// Frees the pages that an item has outside.
    fn free_item(&mut self, item: &[u8]) -> io::Result<()> {
        match parse(item) {
            Some(Item::Chain { first, .. }) => self.0.free_chain(first),
            _ => Ok(()),
        }
    }

    /// Where a new pair comes: at its place on sorted pages, at the end on others.
    fn place(&self, page: &Page, key: &[u8]) -> io::Result<usize> {
        if page.kind() != HASH {
            return Ok(page.entries());
        }
        for index in pair_indices(page) {
            let item = page.hash_item(index)?;
            let order = match parse(item).ok_or_else(|| page.damaged("unknown item type"))? {
                Item::Here(data) => data.cmp(key),
                Item::Chain { first, total } => {
                    self.0.read_chain(first, total)?.as_slice().cmp(key)
                }
            };
            if order == Ordering::Greater {
                return Ok(index);
            }
        }
        Ok(page.entries())
    }

    /// Takes an empty page out of its bucket's chain. The first page has a fixed place, so there
    /// the second one's content moves in.
    fn drop_page(&mut self, page: &Page) -> io::Result<()> {
        let gone = if page.previous() == 0 {
            let second = self.chain_page(page.next())?;
            let shape = Shape {
                number: page.number,
                previous: 0,
                ..second.shape()
            };
            let moved = Page::with_items(page.size(), shape, &second.items()?, 1)?;
            self.link_back(moved.next(), moved.number)?;
            self.0.write(moved);
            second.number
        } else {
            let mut before = self.chain_page(page.previous())?;
            before.set_next(page.next());
            self.0.write(before);
            self.link_back(page.next(), page.previous())?;
            page.number
        };
        self.0.free(gone);
        Ok(())
    }

    fn link_back(&mut self, page: u32, previous: u32) -> io::Result<()> {
        if page != 0 {
            let mut page = self.chain_page(page)?;
            page.set_previous(previous);
            self.0.write(page);
        }
        Ok(())
    }

    fn chain_page(&self, number: u32) -> io::Result<Page> {
        let page = self.0.read(number)?;
        if matches!(page.kind(), HASH | HASH_UNSORTED) {
            Ok(page)
        } else {
            Err(page.damaged("not a hash page"))
        }
    }

    fn count(&mut self, change: i32) -> io::Result<()> {
        let count = self.0.meta(ELEMENTS).saturating_add_signed(change);
        self.0.set_meta(ELEMENTS, count);
        Ok(())
    }

    /// Adds one bucket and moves what belongs there out of the bucket it splits.
    fn grow(&mut self) -> io::Result<()> {
        let Some(new) = self.0.meta(MAX_BUCKET).checked_add(1) else {
            return Ok(());
        };
        let group = group_of(new);
        if group >= SPARES_COUNT {
            return Ok(());
        }
        let (mut low, mut high) = (self.0.meta(LOW_MASK), self.0.meta(HIGH_MASK));
        if new > high {
            low = high;
            high = new | low;
        }
        let spare = SPARES + 4 * at(group);
        if self.0.meta(spare) == 0 {
            // The first bucket of its group: room for all of them, which is `new` pages.
            let first = self.0.extend(new)?;
            self.0.set_meta(
                spare,
                first
                    .checked_sub(new)
                    .ok_or_else(|| damaged(0, "bad bucket count"))?,
            );
            self.0.write(self.empty(first + (new - 1)));
        }
        let old = new & low;
        let (pairs, others) = self.contents(old)?;
        let mut kept = Vec::new();
        let mut moved = Vec::new();
        for (key, pair) in pairs {
            match hash(&key) & high {
                bucket if bucket == new => moved.push((key, pair)),
                bucket if bucket == old => kept.push((key, pair)),
                // Left by a process that died while it split the bucket another time.
                _ => {}
            }
        }
        self.0.set_meta(MAX_BUCKET, new);
        self.0.set_meta(LOW_MASK, low);
        self.0.set_meta(HIGH_MASK, high);
        let first = self.walk(new)?.next;
        self.0.mark_fresh(first);
        for (bucket, pairs) in [(old, kept), (new, moved)] {
            self.fill(bucket, pairs)?;
        }
        for page in others {
            self.0.free(page);
        }
        Ok(())
    }

    /// All pairs of a bucket, and its pages but the first.
    fn contents(&self, bucket: u32) -> io::Result<(Vec<KeyedPair>, Vec<u32>)> {
        let mut pairs = Vec::new();
        let mut others = Vec::new();
        let mut walk = self.walk(bucket)?;
        while let Some(page) = walk.next(self)? {
            for index in pair_indices(&page) {
                let (key, value) = (page.hash_item(index)?, page.hash_item(index + 1)?);
                let pair = (key.to_vec(), value.to_vec());
                pairs.push((self.bytes(key, page.number)?, pair));
            }
            if page.previous() != 0 {
                others.push(page.number);
            }
        }
        Ok((pairs, others))
    }

    fn empty(&self, number: u32) -> Page {
        let shape = Shape {
            number,
            previous: 0,
            next: 0,
            level: 0,
            kind: HASH,
        };
        Page::new(self.0.page_size(), shape)
    }

    /// Writes a bucket's pages anew; all but the first are new ones.
    fn fill(&mut self, bucket: u32, mut pairs: Vec<KeyedPair>) -> io::Result<()> {
        pairs.sort();
        let size = self.0.page_size();
        let items = pairs.into_iter().map(|(_, pair)| pair);
        let contents = pack(size, items);
        let mut numbers = vec![self.walk(bucket)?.next];
        while numbers.len() < contents.len() {
            numbers.push(self.0.allocate()?);
        }
        for page in bucket_pages(size, &contents, &numbers) {
            self.0.write(page?);
        }
        Ok(())
    }
}

/// Distributes pairs to as many pages as they need, at least one.
pub(super) fn pack(
    size: usize,
    pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Vec<Vec<Vec<u8>>> {
    let mut pages = vec![Vec::new()];
    let mut free = size - HEADER;
    for (key, value) in pairs {
        let needed = key.len() + value.len() + SLOTS;
        if needed > free {
            pages.push(Vec::new());
            free = size - HEADER;
        }
        free = free.saturating_sub(needed);
        if let Some(page) = pages.last_mut() {
            page.push(key);
            page.push(value);
        }
    }
    pages
}

/// The chain of pages of one bucket.
pub(super) fn bucket_pages<'a>(
    size: usize,
    contents: &'a [Vec<Vec<u8>>],
    numbers: &'a [u32],
) -> impl Iterator<Item = io::Result<Page>> + 'a {
    contents
        .iter()
        .zip(numbers)
        .enumerate()
        .map(move |(index, (items, &number))| {
            let previous = index
                .checked_sub(1)
                .and_then(|before| numbers.get(before))
                .copied()
                .unwrap_or(0);
            let next = if index + 1 < contents.len() {
                numbers.get(index + 1).copied().unwrap_or(0)
            } else {
                0
            };
            Page::with_items(
                size,
                Shape {
                    number,
                    previous,
                    next,
                    level: 0,
                    kind: HASH,
                },
                items,
                1,
            )
        })
}

/// The group of buckets that a bucket belongs to: 0, 1, 2–3, 4–7, ….
fn group_of(bucket: u32) -> u32 {
    u32::BITS - bucket.leading_zeros()
}

fn pair_indices(page: &Page) -> impl Iterator<Item = usize> + use<> {
    (0..page.entries() / 2).map(|pair| pair * 2)
}

/// A walk along the pages of a bucket.
struct Walk {
    next: u32,
    first: bool,
    left: u32,
}

impl Walk {
    fn next(&mut self, hash: &Hash<'_, '_>) -> io::Result<Option<Page>> {
        if self.next == 0 {
            return Ok(None);
        }
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| damaged(self.next, "endless bucket"))?;
        let page = hash.0.read(self.next)?;
        let page = match page.kind() {
            HASH | HASH_UNSORTED => page,
            // A reserved page that was never used.
            INVALID if self.first && page.entries() == 0 && page.next() == 0 => {
                hash.empty(self.next)
            }
            _ => return Err(page.damaged("not a hash page")),
        };
        self.first = false;
        self.next = page.next();
        Ok(Some(page))
    }
}
