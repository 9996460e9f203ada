//! A file of pages: reading, changing as a unit, allocation, and chains of overflow pages.
//!
//! Changes, of one operation or of many, collect in memory and are written by [`Pager::commit`], in an
//! order that a process may be killed at any time: what is written points only at what is there, so that
//! every entry but the changed ones can be found, and these are as they were or as they should be. At worst pages are never used again, and an entry of a bucket or
//! page that was being split shows twice in a listing. This module does not know what keys are. Source: bdb-format.md §1.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::page::{
    Bytes, HEADER, INVALID, OVERFLOW, Page, Shape, at, damaged, get_u32, number, put_u16, put_u32,
};
use super::{Kind, OpenProblem};
use crate::dbfile::FRESH;

/// Where meta page fields are.
const FREE_LIST: usize = 28;
const LAST_PAGE: usize = 32;

/// Bytes of the meta page that hold fields.
const META_LENGTH: usize = 512;
/// Bytes of pages that are remembered at first. A page is remembered when it was needed, so that only
/// processes that look up much get there.
const CACHED_BYTES: usize = 16 << 20;
/// The same for whoever had to read more than that.
const MOST_CACHED_BYTES: usize = 128 << 20;
/// A file changed less than this ago may change again without a new time: file systems that keep
/// fractions of seconds take them from the kernel's clock tick, others count whole or two seconds.
const SETTLED: Duration = Duration::from_millis(30);
const SETTLED_COARSE: Duration = Duration::from_secs(3);

/// Bytes of pages that wait to be written.
const MOST_WAITING: usize = 32 << 20;

/// Pages that are remembered, and the state of the file that they are from.
#[derive(Debug, Default)]
pub(super) struct Cache {
    stamp: Option<Stamp>,
    /// When the file last had this stamp.
    checked: Option<Instant>,
    meta: Option<Bytes>,
    /// Each page has one possible place, so that a lookup costs a comparison.
    pages: Vec<Option<Page>>,
    /// Pages of the file that have been read.
    reads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    length: u64,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        // Cheaper than the standard library's call, and made for every lookup.
        let status = nix::sys::stat::fstat(file)?;
        Ok(Self {
            seconds: status.st_mtime,
            nanoseconds: status.st_mtime_nsec,
            length: u64::try_from(status.st_size).unwrap_or(0),
        })
    }

    /// Whether every later change shows in the time.
    fn is_settled(self) -> bool {
        let fraction = u32::try_from(self.nanoseconds).unwrap_or(0);
        let (Ok(seconds), true) = (u64::try_from(self.seconds), fraction < 1_000_000_000) else {
            return false;
        };
        let limit = if fraction == 0 {
            SETTLED_COARSE
        } else {
            SETTLED
        };
        let changed = UNIX_EPOCH + Duration::new(seconds, fraction);
        SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age > limit)
    }
}

impl Cache {
    /// Whether the pages are still those of the file, so that no lock is needed to use them.
    pub(super) fn is_current(&mut self, file: &File) -> io::Result<bool> {
        let Some(stamp) = self.stamp else {
            return Ok(false);
        };
        let now = Instant::now();
        let fresh = |then: Instant| now.duration_since(then) < FRESH;
        if self.checked.is_some_and(fresh) {
            return Ok(true);
        }
        let current = Stamp::of(file)? == stamp;
        self.checked = current.then_some(now);
        Ok(current)
    }

    /// Forgets all pages and makes room for those of a file of `length` bytes.
    fn begin(&mut self, length: u64, size: usize) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let most = if self.reads > CACHED_BYTES / size {
            MOST_CACHED_BYTES
        } else {
            CACHED_BYTES
        };
        self.meta = None;
        self.pages.clear();
        self.pages.resize((length.min(most) / size).max(1), None);
    }

    /// Makes more room once for whoever has read more than there is.
    fn count_read(&mut self, pages: u32, size: usize) {
        self.reads = self.reads.saturating_add(1);
        if self.reads == CACHED_BYTES / size + 1 && self.pages.len() < at(pages) {
            let meta = self.meta.take();
            self.begin(u64::from(pages) * u64::try_from(size).unwrap_or(0), size);
            self.meta = meta;
        }
    }

    fn get(&self, number: u32) -> Option<&Page> {
        let place = at(number).checked_rem(self.pages.len())?;
        let page = self.pages.get(place)?.as_ref();
        page.filter(|page| page.number == number)
    }

    fn put(&mut self, page: Page) {
        if let Some(place) = at(page.number).checked_rem(self.pages.len())
            && let Some(place) = self.pages.get_mut(place)
        {
            *place = Some(page);
        }
    }
}

/// Where a reader's pages come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The file, whose lock the caller holds.
    File,
    /// The same; pages are remembered.
    Fill(&'a RefCell<Cache>),
    /// What is remembered, and other pages as long as the file is the one that those are from. Where that
    /// is not certain, the error is [`io::ErrorKind::WouldBlock`].
    Remembered(&'a RefCell<Cache>),
    /// The file, which is locked as long as it is open: what was read or written stays true.
    Own(&'a RefCell<Cache>),
}

impl<'a> Source<'a> {
    /// Where pages are remembered.
    fn cache(self) -> Option<&'a RefCell<Cache>> {
        match self {
            Self::File => None,
            Self::Fill(cache) | Self::Remembered(cache) | Self::Own(cache) => Some(cache),
        }
    }
}

/// One operation on a database file, or more of them that are written together.
#[derive(Debug)]
pub(super) struct Pager<'a> {
    file: &'a File,
    source: Source<'a>,
    size: usize,
    state: State,
}

/// What operations know of the file, and what they are going to change.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whole pages in the file; also the bound for every walk along links.
    pages: u32,
    meta: Bytes,
    /// The meta page as it is in the file, when it is to change.
    old_meta: Option<Bytes>,
    grown: bool,
    changed: BTreeMap<u32, Page>,
    /// Pages that nothing in the file points at: they were free, or not in use.
    fresh: BTreeSet<u32>,
    /// Pages that nothing points at any more after this operation.
    freed: Vec<u32>,
}

/// Checks the first bytes of a meta page and returns the page size.
pub(super) fn check_meta(meta: &[u8], kind: Kind) -> Result<usize, OpenProblem> {
    let field = |offset| get_u32(meta, offset).ok_or(OpenProblem::NotThisKind);
    let flag = |offset: usize| meta.get(offset).copied().unwrap_or(1);
    if field(12)? != kind.magic() || flag(25) != kind.meta_type() {
        return Err(OpenProblem::NotThisKind);
    }
    let version = field(16)?;
    if version < kind.oldest_version() {
        return Err(OpenProblem::TooOld(version));
    }
    if version > 9 {
        return Err(OpenProblem::TooNew(version));
    }
    let size = at(field(20)?);
    let plain = flag(24) == 0 && flag(26) == 0 && field(48)? == 0;
    if !plain || !size.is_power_of_two() || !(512..=65536).contains(&size) {
        return Err(OpenProblem::NotThisKind);
    }
    Ok(size)
}

impl<'a> Pager<'a> {
    /// Starts an operation: reads the meta page.
    pub(super) fn new(file: &'a File, size: usize, source: Source<'a>) -> io::Result<Self> {
        let length = match source {
            Source::File => file.metadata()?.len(),
            Source::Own(cache) => {
                let length = file.metadata()?.len();
                let mut cache = cache.borrow_mut();
                if cache.pages.is_empty() {
                    // However small it is, it may grow.
                    cache.begin(u64::MAX, size);
                }
                length
            }
            Source::Fill(cache) => {
                let stamp = Stamp::of(file)?;
                let mut cache = cache.borrow_mut();
                if cache.stamp != Some(stamp) {
                    cache.begin(stamp.length, size);
                }
                cache.stamp = stamp.is_settled().then_some(stamp);
                cache.checked = None;
                stamp.length
            }
            Source::Remembered(cache) => cache.borrow().stamp.map_or(0, |stamp| stamp.length),
        };
        let pages =
            u32::try_from(length / u64::try_from(size).unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
        let mut pager = Self::resume(file, size, source, State::default());
        pager.state.pages = pages;
        pager.state.meta = pager.load_meta()?;
        Ok(pager)
    }

    /// Goes on with operations that are not written yet.
    pub(super) fn resume(file: &'a File, size: usize, source: Source<'a>, state: State) -> Self {
        Self {
            file,
            source,
            size,
            state,
        }
    }

    /// What [`Self::resume`] needs, after an operation. If that is much, it is written first.
    pub(super) fn pause(mut self) -> io::Result<State> {
        let waiting = self.state.changed.len() + self.state.freed.len();
        if waiting > MOST_WAITING / self.size {
            self.commit()?;
        }
        Ok(self.state)
    }

    fn load_meta(&self) -> io::Result<Bytes> {
        if let Some(cache) = self.source.cache()
            && let Some(meta) = &cache.borrow().meta
        {
            return Ok(meta.clone());
        }
        let meta = self.fetch(0, META_LENGTH)?;
        if let Some(cache) = self.source.cache() {
            cache.borrow_mut().meta = Some(meta.clone());
        }
        Ok(meta)
    }

    /// Reads a page, or its beginning, from the file.
    fn fetch(&self, page: u32, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        let offset = u64::from(page) * u64::try_from(self.size).unwrap_or(0);
        self.file.read_exact_at(&mut bytes, offset)?;
        if let Source::Remembered(cache) = self.source {
            // A writer, whose lock was not waited for, changes the time before it changes anything else.
            let stamp = Stamp::of(self.file)?;
            if cache.borrow().stamp != Some(stamp) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(bytes.into())
    }

    /// Reads a page.
    fn load(&self, number: u32) -> io::Result<Page> {
        if let Some(cache) = self.source.cache()
            && let Some(page) = cache.borrow().get(number)
        {
            return Ok(page.clone());
        }
        let bytes = self.fetch(number, self.size)?;
        let page = Page { bytes, number };
        if let Some(cache) = self.source.cache() {
            let mut cache = cache.borrow_mut();
            if !matches!(self.source, Source::Own(_)) {
                cache.count_read(self.state.pages, self.size);
            }
            cache.put(page.clone());
        }
        Ok(page)
    }

    pub(super) fn page_size(&self) -> usize {
        self.size
    }

    /// Pages in the file, those of this operation included.
    pub(super) fn pages(&self) -> u32 {
        self.state.pages
    }

    pub(super) fn meta(&self, offset: usize) -> u32 {
        get_u32(&self.state.meta, offset).unwrap_or(0)
    }

    pub(super) fn set_meta(&mut self, offset: usize, value: u32) {
        if self.state.old_meta.is_none() {
            self.state.old_meta = Some(self.state.meta.clone());
        }
        put_u32(&mut self.state.meta, offset, value);
    }

    pub(super) fn read(&self, page: u32) -> io::Result<Page> {
        if let Some(changed) = self.state.changed.get(&page) {
            return Ok(changed.clone());
        }
        if page == 0 || page >= self.state.pages {
            return Err(damaged(page, "no such page"));
        }
        self.load(page)
    }

    /// Forgets the state of a page that waits to be written, so that this one is not copied when it changes.
    /// The caller writes it.
    pub(super) fn take(&mut self, page: &Page) {
        self.state.changed.remove(&page.number);
    }

    pub(super) fn write(&mut self, page: Page) {
        self.state.changed.insert(page.number, page);
    }

    /// Takes a page from the free list, or `count` new ones in a row at the end.
    pub(super) fn allocate(&mut self) -> io::Result<u32> {
        let free = self.meta(FREE_LIST);
        if free == 0 {
            return self.extend(1);
        }
        let page = self.read(free)?;
        if page.kind() != INVALID {
            return Err(page.damaged("page in free list is in use"));
        }
        self.set_meta(FREE_LIST, page.next());
        self.state.fresh.insert(free);
        Ok(free)
    }

    /// Has a page written before others: nothing in the file points at it yet.
    pub(super) fn mark_fresh(&mut self, page: u32) {
        self.state.fresh.insert(page);
    }

    /// Adds `count` pages at the end; returns the first.
    pub(super) fn extend(&mut self, count: u32) -> io::Result<u32> {
        let first = self.meta(LAST_PAGE).checked_add(1);
        let first = first
            .filter(|&first| first <= self.state.pages)
            .ok_or_else(|| damaged(0, "bad last page number"))?;
        let last = first
            .checked_add(count - 1)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.set_meta(LAST_PAGE, last);
        self.state.grown |= last >= self.state.pages;
        self.state.pages = self.state.pages.max(last.saturating_add(1));
        Ok(first)
    }

    /// Has a page put on the free list with the end of this operation.
    pub(super) fn free(&mut self, page: u32) {
        self.state.freed.push(page);
    }

    /// Reads an overflow chain of `total` bytes.
    pub(super) fn read_chain(&self, first: u32, total: u32) -> io::Result<Vec<u8>> {
        let total = at(total);
        if total > at(self.state.pages).saturating_mul(self.size) {
            return Err(damaged(first, "item longer than the file"));
        }
        let mut data = Vec::with_capacity(total);
        let mut next = first;
        for _ in 0..self.state.pages {
            if data.len() >= total || next == 0 {
                break;
            }
            let page = self.read(next)?;
            if page.kind() != OVERFLOW {
                return Err(page.damaged("not an overflow page"));
            }
            let chunk = page.bytes.get(HEADER..HEADER + page.high_offset());
            data.extend_from_slice(chunk.ok_or_else(|| page.damaged("bad overflow length"))?);
            next = page.next();
        }
        if data.len() != total {
            return Err(damaged(first, "overflow chain has another length"));
        }
        Ok(data)
    }

    /// Writes `data` as an overflow chain; returns its first page.
    pub(super) fn write_chain(&mut self, data: &[u8]) -> io::Result<u32> {
        let chunks: Vec<&[u8]> = data.chunks(self.size - HEADER).collect();
        let mut numbers = Vec::with_capacity(chunks.len());
        for _ in &chunks {
            numbers.push(self.allocate()?);
        }
        for page in chain_pages(self.size, &chunks, &numbers) {
            self.write(page);
        }
        Ok(numbers.first().copied().unwrap_or(0))
    }

    /// Gives one reference to an overflow chain back; the last one frees its pages.
    pub(super) fn free_chain(&mut self, first: u32) -> io::Result<()> {
        let mut page = self.read(first)?;
        let references = get_references(&page);
        if page.kind() == OVERFLOW && references > 1 {
            put_u16(&mut page.bytes, 20, references - 1);
            self.write(page);
            return Ok(());
        }
        let mut next = first;
        for _ in 0..self.state.pages {
            if next == 0 {
                return Ok(());
            }
            let page = self.read(next)?;
            if page.kind() != OVERFLOW {
                return Err(page.damaged("not an overflow page"));
            }
            self.free(next);
            next = page.next();
        }
        Err(damaged(first, "endless overflow chain"))
    }

    /// Writes all changes: first that new pages are in use, then these, the meta page, the pages that
    /// point at all that, and last that pages are free.
    ///
    /// No operation moves entries between pages that were in use before and stay so, so the order of those
    /// does not matter in hash files. In btree files parents come first: what they do not name any more was
    /// empty, and what they name newly is there already.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let freed = std::mem::take(&mut self.state.freed);
        let mut changed = std::mem::take(&mut self.state.changed);
        for number in &freed {
            changed.remove(number);
        }
        let end = u64::from(self.state.pages) * self.offset(1);
        if std::mem::take(&mut self.state.grown) && self.file.metadata()?.len() < end {
            self.file.set_len(end)?;
        }
        let has_new_meta = self.state.old_meta.is_some();
        let old_last = match self.state.old_meta.take() {
            Some(old) => self.commit_room(old)?,
            None => self.meta(LAST_PAGE),
        };
        let fresh = std::mem::take(&mut self.state.fresh);
        let (new, mut pointing): (Vec<Page>, Vec<Page>) = changed
            .into_values()
            .partition(|page| page.number > old_last || fresh.contains(&page.number));
        for page in &new {
            self.write_at(&page.bytes, page.number)?;
        }
        if has_new_meta {
            self.write_at(&self.state.meta, 0)?;
        }
        pointing.sort_by_key(|page| Reverse(page.level()));
        for page in &pointing {
            self.write_at(&page.bytes, page.number)?;
        }
        self.commit_free(&freed)
    }

    /// Writes that pages are in use before anything else; returns the number of the last page before.
    fn commit_room(&self, mut old: Bytes) -> io::Result<u32> {
        let old_last = get_u32(&old, LAST_PAGE).unwrap_or(0);
        let mut is_needed = false;
        for field in [LAST_PAGE, FREE_LIST] {
            let value = self.meta(field);
            if get_u32(&old, field) != Some(value) {
                put_u32(&mut old, field, value);
                is_needed = true;
            }
        }
        if is_needed {
            self.write_at(&old, 0)?;
        }
        Ok(old_last)
    }

    /// Puts pages on the free list.
    fn commit_free(&mut self, pages: &[u32]) -> io::Result<()> {
        for &number in pages {
            let shape = Shape {
                number,
                previous: 0,
                next: self.meta(FREE_LIST),
                level: 0,
                kind: INVALID,
            };
            self.write_at(&Page::new(self.size, shape).bytes, number)?;
            put_u32(&mut self.state.meta, FREE_LIST, number);
        }
        if pages.is_empty() {
            return Ok(());
        }
        self.write_at(&self.state.meta, 0)
    }

    fn offset(&self, page: u32) -> u64 {
        u64::from(page) * u64::try_from(self.size).unwrap_or(0)
    }

    fn write_at(&self, bytes: &Bytes, page: u32) -> io::Result<()> {
        #[cfg(test)]
        testing::may_write()?;
        self.file.write_all_at(bytes, self.offset(page))?;
        if let Source::Own(cache) = self.source {
            let (mut cache, bytes) = (cache.borrow_mut(), bytes.clone());
            match page {
                0 => cache.meta = Some(bytes),
                number => cache.put(Page { bytes, number }),
            }
        }
        Ok(())
    }
}

fn get_references(page: &Page) -> u16 {
    u16::try_from(page.entries()).unwrap_or(u16::MAX)
}

/// The pages of an overflow chain at the given page numbers.
pub(super) fn chain_pages<'a>(
    size: usize,
    chunks: &'a [&'a [u8]],
    numbers: &'a [u32],
) -> impl Iterator<Item = Page> + 'a {
    numbers
        .iter()
        .zip(chunks)
        .enumerate()
        .map(move |(index, (&number, chunk))| {
            let neighbour =
                |at: Option<usize>| at.and_then(|at| numbers.get(at)).copied().unwrap_or(0);
            let shape = Shape {
                number,
                previous: neighbour(index.checked_sub(1)),
                next: neighbour(Some(index + 1)),
                level: 0,
                kind: OVERFLOW,
            };
            let mut page = Page::new(size, shape);
            put_u16(&mut page.bytes, 20, 1);
            put_u16(&mut page.bytes, 22, u16::try_from(chunk.len()).unwrap_or(0));
            page.bytes[HEADER..HEADER + chunk.len()].copy_from_slice(chunk);
            page
        })
}

/// A reference to a chain as hash items and btree items hold it: where, and how long.
pub(super) fn chain_reference(first: u32, length: usize) -> io::Result<[u8; 8]> {
    let mut reference = [0; 8];
    put_u32(&mut reference, 0, first);
    put_u32(&mut reference, 4, number(length)?);
    Ok(reference)
}

/// Lets a process die between two writes, as far as the file is concerned.
#[cfg(test)]
pub(super) mod testing {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Writes until the end.
        pub(in crate::bdb) static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    pub(super) fn may_write() -> io::Result<()> {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 0 {
            return Err(io::Error::other("no more writes"));
        }
        Ok(())
    }
}
