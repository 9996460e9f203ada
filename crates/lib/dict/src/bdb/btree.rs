//! The btree access method.
//!
//! Source: bdb-format.md §4. Separators that this module makes never share a chain with a leaf's
//! key; those that it finds may, and then only lose a reference.

use std::cmp::Ordering;
use std::io;

use super::page::{
    BTREE_INTERNAL, BTREE_LEAF, HEADER, Page, Shape, damaged, get_u32, put_u16, put_u32,
};
use super::pager::{Pager, chain_reference};

/// The root's page; it never moves.
pub(super) const ROOT: u32 = 1;
/// Where the meta page names the root.
pub(super) const ROOT_FIELD: usize = 88;
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;
const DELETED: u8 = 0x80;
/// Alignment of items.
pub(super) const ALIGN: usize = 4;

/// An item longer than this goes to overflow pages, so that four fit on a page.
pub(super) fn inline_limit(page_size: usize) -> usize {
    (page_size - HEADER) / 4 - 10
}

/// The leaf item for bytes that stay on the page.
pub(super) fn inline_item(data: &[u8]) -> Vec<u8> {
    let mut item = vec![0, 0, INLINE];
    put_u16(&mut item, 0, u16::try_from(data.len()).unwrap_or(u16::MAX));
    item.extend_from_slice(data);
    item
}

/// The leaf item for `length` bytes in the chain that starts at `first`.
pub(super) fn off_page_item(first: u32, length: usize) -> io::Result<Vec<u8>> {
    Ok([&[0, 0, OFF_PAGE, 0][..], &chain_reference(first, length)?].concat())
}

/// The internal item for a child and the key (as a leaf item) that separates it from the one before.
pub(super) fn internal_item(child: u32, key: &[u8]) -> Vec<u8> {
    let kind = key.get(2).copied().unwrap_or(INLINE);
    let mut item = vec![0; 12];
    item[2] = kind;
    put_u32(&mut item, 4, child);
    let body = if kind == OFF_PAGE {
        key
    } else {
        key.get(3..).unwrap_or_default()
    };
    put_u16(&mut item, 0, u16::try_from(body.len()).unwrap_or(u16::MAX));
    item.extend_from_slice(body);
    item
}

/// What an item says about its bytes.
enum Item<'a> {
    Here(&'a [u8]),
    Chain { first: u32, total: u32 },
}

fn parse_leaf(item: &[u8]) -> Option<Item<'_>> {
    match item.get(2)? & !DELETED {
        INLINE => Some(Item::Here(item.get(3..)?)),
        OFF_PAGE => Some(Item::Chain {
            first: get_u32(item, 4)?,
            total: get_u32(item, 8)?,
        }),
        _ => None,
    }
}

fn parse_internal(item: &[u8]) -> Option<Item<'_>> {
    match item.get(2)? & !DELETED {
        INLINE => Some(Item::Here(item.get(12..)?)),
        OFF_PAGE => Some(Item::Chain {
            first: get_u32(item, 16)?,
            total: get_u32(item, 20)?,
        }),
        _ => None,
    }
}

/// A step from the root: an internal page and the index of the child taken.
struct Step {
    page: Page,
    index: usize,
}

/// Operations on a btree file.
#[derive(Debug)]
pub(super) struct Btree<'p, 'f>(pub(super) &'p mut Pager<'f>);

impl Btree<'_, '_> {
    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (_, leaf) = self.descend(key)?;
        match self.search(&leaf, key)? {
            Ok(index) => self.leaf_bytes(&leaf, index + 1).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Stores a pair; `false` when the key was there and was not to be replaced.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], replace: bool) -> io::Result<bool> {
        let (path, mut leaf) = self.descend(key)?;
        let found = self.search(&leaf, key)?;
        if found.is_ok() && !replace {
            return Ok(false);
        }
        let place = match found {
            Ok(index) => {
                // The pair stays on its leaf or goes to a new one: it is never missing in the file.
                self.free_leaf_item(leaf.btree_item(index + 1)?)?;
                self.0.take(&leaf);
                leaf.remove_btree_item(index + 1)?;
                index + 1
            }
            Err(place) => place,
        };
        let mut new = Vec::with_capacity(2);
        if found.is_err() {
            new.push(self.store(key)?);
        }
        new.push(self.store(value)?);
        if leaf.free_space()? >= new.iter().map(|item| room(item)).sum() {
            self.0.take(&leaf);
            for (item, index) in new.iter().zip(place..) {
                leaf.insert_btree_item(index, item)?;
            }
            self.0.write(leaf);
            return Ok(true);
        }
        let mut items = leaf.items_between(0..place)?;
        let rest = leaf.items_between(place..leaf.entries())?;
        items.extend(new.into_iter().chain(rest));
        self.write_or_split(path, &leaf, items, place)?;
        Ok(true)
    }

    /// Writes a leaf with more than it had: the item at `place` and its pair are new.
    fn write_or_split(
        &mut self,
        path: Vec<Step>,
        leaf: &Page,
        mut items: Vec<Vec<u8>>,
        place: usize,
    ) -> io::Result<()> {
        self.drop_foreign(&path, &mut items, leaf)?;
        if fits(self.0.page_size(), &items) {
            let page = Page::with_items(leaf.size(), leaf.shape(), &items, ALIGN)?;
            self.0.write(page);
            return Ok(());
        }
        let at_end = leaf.next() == 0 && place + 2 == items.len();
        let middle = if at_end { place } else { middle(&items, 2) };
        let separator = self.separator(&items, middle)?;
        self.split(path, leaf, items, middle, separator)
    }

    /// Removes `key`; `false` when it was not there.
    pub(super) fn remove(&mut self, key: &[u8]) -> io::Result<bool> {
        let (path, mut leaf) = self.descend(key)?;
        let Ok(index) = self.search(&leaf, key)? else {
            return Ok(false);
        };
        let is_last = leaf.entries() == 2 && leaf.number != ROOT;
        if is_last {
            self.tidy_before(&path, &leaf)?;
        }
        for item in index..index + 2 {
            self.free_leaf_item(leaf.btree_item(item)?)?;
        }
        if is_last {
            self.unlink(&path, &leaf)?;
            self.remove_child(path)?;
        } else {
            self.0.take(&leaf);
            leaf.remove_btree_item(index + 1)?;
            leaf.remove_btree_item(index)?;
            self.0.write(leaf);
        }
        Ok(true)
    }

    fn free_leaf_item(&mut self, item: &[u8]) -> io::Result<()> {
        match parse_leaf(item) {
            Some(Item::Chain { first, .. }) => self.0.free_chain(first),
            _ => Ok(()),
        }
    }

    /// Prepares the removal of an empty leaf, to which `path` leads, and of the pages above it that become
    /// empty: the pages before take over their keys, and must not bring back what they still have from
    /// before a split.
    fn tidy_before(&mut self, path: &[Step], leaf: &Page) -> io::Result<()> {
        let mut page = leaf;
        for depth in (0..=path.len()).rev() {
            let path = path.get(..depth).unwrap_or_default();
            if let Some(before) = self.page_before(path, page)?
                && let Some(first) = self.first_key(path)?
            {
                let mut items = before.items()?;
                self.drop_from(&first, &mut items, &before)?;
                if items.len() < before.entries() {
                    // This is good without what comes, but not the other way round.
                    self.0.commit()?;
                    let tidy = Page::with_items(before.size(), before.shape(), &items, ALIGN)?;
                    self.0.write(tidy);
                    self.0.commit()?;
                }
            }
            match path.last() {
                Some(step) if step.page.entries() == 1 => page = &step.page,
                _ => break,
            }
        }
        Ok(())
    }

    /// The pairs of the first leaf that has keys greater than `after` (of all keys for `None`).
    /// Empty at the end.
    pub(super) fn pairs_after(&self, after: Option<&[u8]>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut from = after.unwrap_or_default().to_vec();
        for _ in 0..self.0.pages() {
            let (path, leaf) = self.descend(&from)?;
            let bound = self.bound(&path)?;
            let mut pairs = Vec::new();
            for index in (0..leaf.entries() / 2).map(|pair| pair * 2) {
                if is_deleted(&leaf, index)? {
                    continue;
                }
                let key = self.leaf_bytes(&leaf, index)?;
                if bound.as_ref().is_some_and(|bound| key >= *bound) {
                    break;
                }
                if after.is_none_or(|after| key.as_slice() > after) {
                    pairs.push((key, self.leaf_bytes(&leaf, index + 1)?));
                }
            }
            match bound {
                Some(bound) if pairs.is_empty() && bound > from => from = bound,
                _ => return Ok(pairs),
            }
        }
        Err(damaged(ROOT, "endless chain of leaves"))
    }

    /// The first key that is beyond the leaf or page to which `path` leads.
    fn bound(&self, path: &[Step]) -> io::Result<Option<Vec<u8>>> {
        let mut least: Option<Vec<u8>> = None;
        for Step { page, index } in path {
            if index + 1 < page.entries() {
                let item = page.btree_item(index + 1)?;
                let key = self.internal_bytes(item, page.number)?;
                if least.as_ref().is_none_or(|least| key < *least) {
                    least = Some(key);
                }
            }
        }
        Ok(least)
    }

    /// The first key that belongs to the leaf or page to which `path` leads.
    fn first_key(&self, path: &[Step]) -> io::Result<Option<Vec<u8>>> {
        let step = path.iter().rfind(|step| step.index > 0);
        step.map(|Step { page, index }| self.internal_bytes(page.btree_item(*index)?, page.number))
            .transpose()
    }

    /// Drops the items that a split has copied to the next page, and that a process which died could
    /// not remove from `page`, to which `path` leads.
    fn drop_foreign(&self, path: &[Step], items: &mut Vec<Vec<u8>>, page: &Page) -> io::Result<()> {
        match self.bound(path)? {
            Some(bound) => self.drop_from(&bound, items, page),
            None => Ok(()),
        }
    }

    /// Drops the items of a page from the key `bound` on, but not all.
    fn drop_from(&self, bound: &[u8], items: &mut Vec<Vec<u8>>, page: &Page) -> io::Result<()> {
        let is_leaf = page.kind() == BTREE_LEAF;
        let step = if is_leaf { 2 } else { 1 };
        while items.len() > step
            && let Some(item) = items.get(items.len() - step)
        {
            let key = if is_leaf {
                self.item_bytes(item, page.number)?
            } else {
                self.internal_bytes(item, page.number)?
            };
            if key.as_slice() < bound {
                break;
            }
            items.truncate(items.len() - step);
        }
        Ok(())
    }

    /// From the root to the leaf where `key` belongs.
    fn descend(&self, key: &[u8]) -> io::Result<(Vec<Step>, Page)> {
        let mut path = Vec::new();
        let mut page = self.0.read(ROOT)?;
        loop {
            match (page.kind(), page.level()) {
                (BTREE_LEAF, 1) => return Ok((path, page)),
                (BTREE_INTERNAL, 2..) => {}
                _ => return Err(page.damaged("not a btree page")),
            }
            let index = self.child_for(&page, key)?;
            let child = self.0.read(child_of(&page, index)?)?;
            // Levels go down by one, so a damaged file cannot lead in circles.
            if child.level() + 1 != page.level() {
                return Err(child.damaged("wrong level"));
            }
            path.push(Step { page, index });
            page = child;
        }
    }

    /// The last child whose key is not greater than `key`; the first one's key does not count.
    fn child_for(&self, page: &Page, key: &[u8]) -> io::Result<usize> {
        if page.entries() == 0 {
            return Err(page.damaged("internal page without child"));
        }
        let (mut low, mut high) = (0, page.entries());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.compare_internal(page, middle, key)? == Ordering::Greater {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(low)
    }

    fn compare_internal(&self, page: &Page, index: usize, key: &[u8]) -> io::Result<Ordering> {
        match parse_internal(page.btree_item(index)?)
            .ok_or_else(|| page.damaged("unknown item type"))?
        {
            Item::Here(data) => Ok(data.cmp(key)),
            Item::Chain { first, total } => {
                Ok(self.0.read_chain(first, total)?.as_slice().cmp(key))
            }
        }
    }

    /// The index of a key on a leaf, or the index where it belongs.
    fn search(&self, leaf: &Page, key: &[u8]) -> io::Result<Result<usize, usize>> {
        let (mut low, mut high) = (0, leaf.entries() / 2);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.compare_leaf(leaf, middle * 2, key)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                // A deleted pair may stand before the living one with the same key.
                Ordering::Equal if is_deleted(leaf, middle * 2)? => low = middle + 1,
                Ordering::Equal => return Ok(Ok(middle * 2)),
            }
        }
        Ok(Err(low * 2))
    }

    fn compare_leaf(&self, leaf: &Page, index: usize, key: &[u8]) -> io::Result<Ordering> {
        match parse_leaf(leaf.btree_item(index)?)
            .ok_or_else(|| leaf.damaged("unknown item type"))?
        {
            Item::Here(data) => Ok(data.cmp(key)),
            Item::Chain { first, total } => {
                Ok(self.0.read_chain(first, total)?.as_slice().cmp(key))
            }
        }
    }

    fn leaf_bytes(&self, leaf: &Page, index: usize) -> io::Result<Vec<u8>> {
        self.item_bytes(leaf.btree_item(index)?, leaf.number)
    }

    fn item_bytes(&self, item: &[u8], page: u32) -> io::Result<Vec<u8>> {
        match parse_leaf(item).ok_or_else(|| damaged(page, "unknown item type"))? {
            Item::Here(data) => Ok(data.to_vec()),
            Item::Chain { first, total } => self.0.read_chain(first, total),
        }
    }

    fn store(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        if data.len() <= inline_limit(self.0.page_size()) {
            return Ok(inline_item(data));
        }
        let first = self.0.write_chain(data)?;
        off_page_item(first, data.len())
    }

    /// The key that separates leaf items before `middle` from those behind, as a leaf item.
    fn separator(&mut self, items: &[Vec<u8>], middle: usize) -> io::Result<Vec<u8>> {
        let key = |index: Option<usize>| {
            let item = index
                .and_then(|index| items.get(index))
                .ok_or_else(|| damaged(0, "empty split"))?;
            self.item_bytes(item, 0)
        };
        let (left, right) = (key(middle.checked_sub(2))?, key(Some(middle))?);
        self.store(shortest_separator(&left, &right))
    }

    /// Distributes the items of a full page to it and a new page on its right.
    fn split(
        &mut self,
        mut path: Vec<Step>,
        page: &Page,
        left: Vec<Vec<u8>>,
        middle: usize,
        separator: Vec<u8>,
    ) -> io::Result<()> {
        let mut left = left;
        let right = left.split_off(middle);
        let size = self.0.page_size();
        let number = self.0.allocate()?;
        let shape = page.shape();
        if page.number == ROOT {
            let first = self.0.allocate()?;
            self.0.write(Page::with_items(
                size,
                Shape {
                    number: first,
                    next: number,
                    ..shape
                },
                &left,
                ALIGN,
            )?);
            self.0.write(Page::with_items(
                size,
                Shape {
                    number,
                    previous: first,
                    ..shape
                },
                &right,
                ALIGN,
            )?);
            let level = shape
                .level
                .checked_add(1)
                .ok_or_else(|| page.damaged("too many levels"))?;
            let root = Shape {
                number: ROOT,
                previous: 0,
                next: 0,
                level,
                kind: BTREE_INTERNAL,
            };
            let children = [
                internal_item(first, &inline_item(b"")),
                internal_item(number, &separator),
            ];
            self.0
                .write(Page::with_items(size, root, &children, ALIGN)?);
            return Ok(());
        }
        self.0.write(Page::with_items(
            size,
            Shape {
                next: number,
                ..shape
            },
            &left,
            ALIGN,
        )?);
        self.0.write(Page::with_items(
            size,
            Shape {
                number,
                previous: page.number,
                ..shape
            },
            &right,
            ALIGN,
        )?);
        self.link_back(page, number)?;
        let Some(Step {
            page: parent,
            index,
        }) = path.pop()
        else {
            return Err(page.damaged("page without parent"));
        };
        let mut items = parent.items()?;
        items.insert(index + 1, internal_item(number, &separator));
        if !fits(size, &items) {
            self.drop_foreign(&path, &mut items, &parent)?;
        }
        if fits(size, &items) {
            self.0
                .write(Page::with_items(size, parent.shape(), &items, ALIGN)?);
            return Ok(());
        }
        let at_end = parent.next() == 0 && index + 2 == items.len();
        let middle = if at_end { index + 1 } else { middle_of(&items) };
        let key = self.internal_key(&items, middle, parent.number)?;
        let key = self.store(&key)?;
        self.split(path, &parent, items, middle, key)
    }

    fn internal_key(&self, items: &[Vec<u8>], index: usize, page: u32) -> io::Result<Vec<u8>> {
        let item = items.get(index).map(Vec::as_slice).unwrap_or_default();
        self.internal_bytes(item, page)
    }

    fn internal_bytes(&self, item: &[u8], page: u32) -> io::Result<Vec<u8>> {
        match parse_internal(item).ok_or_else(|| damaged(page, "unknown item type"))? {
            Item::Here(data) => Ok(data.to_vec()),
            Item::Chain { first, total } => self.0.read_chain(first, total),
        }
    }

    /// Takes an empty page, to which `path` leads, out of the chain of its level and frees it. The page
    /// before takes over its keys ([`Self::tidy_before`]).
    fn unlink(&mut self, path: &[Step], page: &Page) -> io::Result<()> {
        if let Some(mut before) = self.page_before(path, page)? {
            before.set_next(page.next());
            self.0.write(before);
        }
        self.link_back(page, page.previous())?;
        self.0.free(page.number);
        Ok(())
    }

    /// The page to the left of `page`, to which `path` leads. Only the links of leaves are kept up by every
    /// writer: libdb lets those of internal pages point at pages that are free or in use for something else,
    /// so these neighbours are looked for from above.
    fn page_before(&self, path: &[Step], page: &Page) -> io::Result<Option<Page>> {
        if page.kind() == BTREE_LEAF {
            return match page.previous() {
                0 => Ok(None),
                before => self
                    .0
                    .read(before)
                    .and_then(|before| same_level(before, page))
                    .map(Some),
            };
        }
        let Some(step) = path.iter().rfind(|step| step.index > 0) else {
            return Ok(None);
        };
        let mut before = self.0.read(child_of(&step.page, step.index - 1)?)?;
        while before.kind() == BTREE_INTERNAL && before.level() > page.level() {
            let last = before.entries().saturating_sub(1);
            let child = self.0.read(child_of(&before, last)?)?;
            if child.level() + 1 != before.level() {
                return Err(child.damaged("wrong level"));
            }
            before = child;
        }
        same_level(before, page).map(Some)
    }

    /// Has the page behind `page` point back at `previous`.
    fn link_back(&mut self, page: &Page, previous: u32) -> io::Result<()> {
        if page.next() == 0 {
            return Ok(());
        }
        let mut next = self.0.read(page.next())?;
        if page.kind() == BTREE_LEAF {
            next = same_level(next, page)?;
        } else if (next.kind(), next.level()) != (page.kind(), page.level())
            || next.previous() != page.number
        {
            // A link between internal pages that has not been kept up; nobody follows it.
            return Ok(());
        }
        next.set_previous(previous);
        self.0.write(next);
        Ok(())
    }

    /// Removes the child that the last step of `path` took, and parents that become empty.
    fn remove_child(&mut self, mut path: Vec<Step>) -> io::Result<()> {
        let Some(Step { page, index }) = path.pop() else {
            return Err(damaged(ROOT, "page without parent"));
        };
        let mut items = page.items()?;
        if index >= items.len() {
            return Err(page.damaged("lost child"));
        }
        self.free_key(&items.remove(index))?;
        if index == 0
            && let Some(first) = items.first_mut()
        {
            // The first child's key does not count; an empty one cannot be wrong.
            let child = get_u32(first, 4).unwrap_or(0);
            let old = std::mem::replace(first, internal_item(child, &inline_item(b"")));
            self.free_key(&old)?;
        }
        if items.is_empty() && page.number == ROOT {
            let shape = Shape {
                number: ROOT,
                previous: 0,
                next: 0,
                level: 1,
                kind: BTREE_LEAF,
            };
            self.0.write(Page::new(self.0.page_size(), shape));
            return Ok(());
        }
        if items.is_empty() {
            self.unlink(&path, &page)?;
            return self.remove_child(path);
        }
        self.0
            .write(Page::with_items(page.size(), page.shape(), &items, ALIGN)?);
        self.lower_root()
    }

    fn free_key(&mut self, item: &[u8]) -> io::Result<()> {
        match parse_internal(item) {
            Some(Item::Chain { first, .. }) => self.0.free_chain(first),
            _ => Ok(()),
        }
    }

    /// A root with one child takes the child's place.
    fn lower_root(&mut self) -> io::Result<()> {
        loop {
            let root = self.0.read(ROOT)?;
            if root.kind() != BTREE_INTERNAL || root.entries() != 1 {
                return Ok(());
            }
            let child = self.0.read(child_of(&root, 0)?)?;
            if child.level() + 1 != root.level() {
                return Err(child.damaged("wrong level"));
            }
            let shape = Shape {
                number: ROOT,
                previous: 0,
                next: 0,
                ..child.shape()
            };
            self.0.write(Page::with_items(
                self.0.page_size(),
                shape,
                &child.items()?,
                ALIGN,
            )?);
            self.0.free(child.number);
        }
    }
}

/// The shortest key that is greater than `left` and not greater than `right`.
pub(super) fn shortest_separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    right.get(..common + 1).unwrap_or(right)
}

/// Bytes that an item takes on a page.
pub(super) fn room(item: &[u8]) -> usize {
    item.len().next_multiple_of(ALIGN) + 2
}

fn fits(size: usize, items: &[Vec<u8>]) -> bool {
    items.iter().map(|item| room(item)).sum::<usize>() <= size - HEADER
}

/// Where to split items, `step` of which belong together, so that the larger half is as small as
/// possible. Four of the largest items fit on a page, so both halves do.
fn middle(items: &[Vec<u8>], step: usize) -> usize {
    let total = items.iter().map(|item| room(item)).sum::<usize>();
    let (mut left, mut best, mut place) = (0, usize::MAX, step);
    for (index, group) in items.chunks(step).enumerate() {
        let larger = left.max(total - left);
        if index > 0 && larger < best {
            (best, place) = (larger, index * step);
        }
        left += group.iter().map(|item| room(item)).sum::<usize>();
    }
    place
}

fn middle_of(items: &[Vec<u8>]) -> usize {
    middle(items, 1)
}

fn child_of(page: &Page, index: usize) -> io::Result<u32> {
    get_u32(page.btree_item(index)?, 4).ok_or_else(|| page.damaged("unknown item type"))
}

/// `neighbour`, if it can be one of `page`.
fn same_level(neighbour: Page, page: &Page) -> io::Result<Page> {
    if (neighbour.kind(), neighbour.level()) == (page.kind(), page.level()) {
        Ok(neighbour)
    } else {
        Err(neighbour.damaged("no neighbour of the page that names it"))
    }
}

fn is_deleted(leaf: &Page, index: usize) -> io::Result<bool> {
    let flag = |index| {
        leaf.btree_item(index)
            .map(|item| item.get(2).is_some_and(|kind| kind & DELETED != 0))
    };
    Ok(flag(index)? || flag(index + 1)?)
}
