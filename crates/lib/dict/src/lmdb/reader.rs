//! Lookups in an LMDB file without the library: pages are read, not mapped, and remembered as long
//! as nobody commits. So most lookups need no lock, and no damage of the file can harm the process.
//!
//! A commit changes the transaction number in a meta page, and never a page that the meta page
//! before it leads to; but the commit after may. Hence pages are read under the lock, together with
//! their meta page, and used without it. Source: the file format of LMDB 0.9 (data version 1).

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::blocks::{BLOCK, Blocks};
use crate::dbfile::FRESH;

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
/// Bytes of a page header, and of a node before its key.
const HEADER: usize = 16;
const NODE: usize = 8;
/// Page flags.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const KINDS: u16 = 0x2f;
/// Node flag: the data is in overflow pages.
const BIG: u16 = 1;
/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// No tree is deeper.
const DEEPEST: usize = 32;

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meta {
    transaction: u64,
    root: u64,
    last_page: u64,
}

/// Why there is no answer from here.
#[derive(Debug)]
pub(super) enum Problem {
    /// A page is needed that is not remembered: take the lock.
    Missing,
    /// The file is of a kind, or in a state, that the library may judge.
    Foreign,
    Io(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether the caller holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Locked,
    Remembered,
}

/// The file and what is remembered of it.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    meta: Option<Meta>,
    checked: Option<Instant>,
    blocks: Blocks,
}

impl Reader {
    pub(super) fn new(file: File) -> Self {
        let length = file.metadata().map_or(0, |status| status.len());
        Self {
            file,
            meta: None,
            checked: None,
            blocks: Blocks::for_length(length),
        }
    }

    /// Looks `key` up. Without lock, only what is remembered and still valid answers.
    pub(super) fn get(&mut self, key: &[u8], access: Access) -> Result<Option<Vec<u8>>, Problem> {
        let meta = self.current(access)?;
        if meta.root == NO_PAGE {
            return Ok(None);
        }
        let mut page = meta.root;
        for _ in 0..DEEPEST {
            let found = {
                let bytes = self.page(page, meta, access)?;
                search(bytes, page, key).ok_or(Problem::Foreign)?
            };
            match found {
                Found::Child(child) => page = child,
                Found::Nothing => return Ok(None),
                Found::Data(data) => return Ok(Some(data)),
                Found::Big { page, length } => {
                    return self.big(page, length, meta, access).map(Some);
                }
            }
        }
        Err(Problem::Foreign)
    }

    /// The valid meta page. Under the lock, always that of the file.
    fn current(&mut self, access: Access) -> Result<Meta, Problem> {
        let now = Instant::now();
        let fresh = |then: Instant| now.duration_since(then) < FRESH;
        if let (Access::Remembered, Some(meta)) = (access, self.meta)
            && self.checked.is_some_and(fresh)
        {
            return Ok(meta);
        }
        let mut bytes = [0; 2 * BLOCK];
        self.file.read_exact_at(&mut bytes, 0)?;
        let (first, second) = bytes.split_at(BLOCK);
        let first = parse_meta(first).ok_or(Problem::Foreign)?;
        let second = parse_meta(second).ok_or(Problem::Foreign)?;
        let meta = if second.transaction > first.transaction {
            second
        } else {
            first
        };
        if self.meta != Some(meta) {
            if access == Access::Remembered {
                return Err(Problem::Missing);
            }
            self.blocks.clear();
            self.meta = Some(meta);
        }
        self.checked = Some(now);
        Ok(meta)
    }

    fn page(&mut self, number: u64, meta: Meta, access: Access) -> Result<&[u8], Problem> {
        let number = u32::try_from(number)
            .ok()
            .filter(|number| u64::from(*number) <= meta.last_page)
            .ok_or(Problem::Foreign)?;
        if self.blocks.get(number).is_none() {
            if access == Access::Remembered {
                return Err(Problem::Missing);
            }
            return Ok(self.blocks.load(&self.file, number, BLOCK)?);
        }
        self.blocks.get(number).ok_or(Problem::Foreign)
    }

    /// Data in overflow pages. They are not remembered, but for the first.
    fn big(
        &mut self,
        page: u64,
        length: usize,
        meta: Meta,
        access: Access,
    ) -> Result<Vec<u8>, Problem> {
        if access == Access::Remembered {
            return Err(Problem::Missing);
        }
        let head = self.page(page, meta, access)?;
        let (kind, pages) = (number16(head, 10), number32(head, 12));
        let room = usize::try_from(pages.unwrap_or(0))
            .unwrap_or(0)
            .saturating_mul(BLOCK);
        if kind.is_none_or(|kind| kind & KINDS != OVERFLOW)
            || length.saturating_add(HEADER) > room
            || page.saturating_add(u64::from(pages.unwrap_or(0))) > meta.last_page.saturating_add(1)
        {
            return Err(Problem::Foreign);
        }
        let block = u64::try_from(BLOCK).unwrap_or(0);
        let mut data = vec![0; length];
        self.file.read_exact_at(&mut data, page * block + 16)?;
        Ok(data)
    }
}

/// `None` when the page is none, or of a database that is not a plain one.
fn parse_meta(page: &[u8]) -> Option<Meta> {
    let plain = number32(page, HEADER)? == MAGIC
        && number32(page, HEADER + 4)? == VERSION
        && usize::try_from(number32(page, 40)?) == Ok(BLOCK)
        && number16(page, 92)? == 0;
    plain.then_some(Meta {
        transaction: number64(page, 144)?,
        root: number64(page, 128)?,
        last_page: number64(page, 136)?,
    })
}

enum Found {
    Child(u64),
    Nothing,
    Data(Vec<u8>),
    Big { page: u64, length: usize },
}

/// One node: its flags, key, the bytes behind, and the number at its start.
struct Node<'a> {
    flags: u16,
    key: &'a [u8],
    rest: &'a [u8],
    low: u32,
}

fn node(page: &[u8], index: usize) -> Option<Node<'_>> {
    let at = usize::from(number16(page, HEADER + 2 * index)?);
    let bytes = page.get(at..)?;
    let length = usize::from(number16(bytes, 6)?);
    let (key, rest) = bytes.get(NODE..)?.split_at_checked(length)?;
    Some(Node {
        flags: number16(bytes, 4)?,
        key,
        rest,
        low: number32(bytes, 0)?,
    })
}

/// Searches a page; `None` when it is damaged or not the page with this number.
fn search(page: &[u8], number: u64, key: &[u8]) -> Option<Found> {
    let nodes = usize::from(number16(page, 12)?).checked_sub(HEADER)? / 2;
    let kind = number16(page, 10)? & KINDS;
    if number64(page, 0)? != number || nodes == 0 {
        return None;
    }
    // The first key of a branch page counts as smaller than all.
    let (mut low, mut high) = (usize::from(kind == BRANCH), nodes);
    while low < high {
        let middle = low + (high - low) / 2;
        match node(page, middle)?.key.cmp(key) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal if kind == BRANCH => {
                low = middle + 1;
                break;
            }
            Ordering::Equal => return data(&node(page, middle)?),
        }
    }
    match kind {
        BRANCH => {
            let node = node(page, low.checked_sub(1)?)?;
            Some(Found::Child(
                u64::from(node.low) | (u64::from(node.flags) << 32),
            ))
        }
        LEAF => Some(Found::Nothing),
        _ => None,
    }
}

fn data(node: &Node<'_>) -> Option<Found> {
    let length = usize::try_from(node.low).ok()?;
    match node.flags {
        0 => Some(Found::Data(node.rest.get(..length)?.to_vec())),
        BIG => Some(Found::Big {
            page: number64(node.rest, 0)?,
            length,
        }),
        _ => None,
    }
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Flags};
    use bstr::BStr;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn sound() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("t").to_str().unwrap().to_owned();
        let mut builder: Box<dyn Builder> =
            super::super::create(&source, Flags::NONE, 1 << 20).unwrap();
        for n in 0..300 {
            let value = "v".repeat(if n == 7 { 9000 } else { 20 });
            builder
                .add(BStr::new(&format!("key{n}")), BStr::new(&value))
                .unwrap();
        }
        builder.finish().unwrap();
        std::fs::read(format!("{source}.lmdb")).unwrap()
    }

    #[test]
    fn answers_come_from_memory_once_they_were_read_under_the_lock() {
        let mut reader = Reader::new(file(&sound()));
        assert!(matches!(
            reader.get(b"key1\0", Access::Remembered),
            Err(Problem::Missing)
        ));
        let want = Some([b"v".repeat(20), vec![0]].concat());
        assert_eq!(reader.get(b"key1\0", Access::Locked).unwrap(), want);
        assert_eq!(reader.get(b"key1\0", Access::Remembered).unwrap(), want);
        assert_eq!(reader.get(b"absent\0", Access::Locked).unwrap(), None);
        let long = reader.get(b"key7\0", Access::Locked).unwrap();
        assert_eq!(long.map(|value| value.len()), Some(9001));
    }

    #[test]
    fn an_empty_or_foreign_file_has_no_answer() {
        for bytes in [&b""[..], &[0; 3 * BLOCK]] {
            assert!(Reader::new(file(bytes)).get(b"x", Access::Locked).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn damage_gives_errors_or_misses_and_ends(
            flips in proptest::collection::vec((0..30_000_usize, any::<u8>()), 1..30),
        ) {
            static SOUND: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut bytes = SOUND.get_or_init(sound).clone();
            for (at, value) in flips {
                let length = bytes.len();
                if let Some(byte) = bytes.get_mut(at % length) {
                    *byte = value;
                }
            }
            let mut reader = Reader::new(file(&bytes));
            for n in [0, 7, 150, 299, 999] {
                let _ = reader.get(format!("key{n}\0").as_bytes(), Access::Locked);
            }
        }
    }
}
