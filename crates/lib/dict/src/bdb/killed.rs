//! Processes that die between two writes, as far as the file is concerned.

use bstr::BStr;

use super::tests::{Entries, KINDS, build, check, source, walk, writable};
use super::{Kind, open};
use crate::{Flags, OpenMode, Table};

/// One change of a table: what happens to a key, and its value.
type Change = (Vec<u8>, Option<Vec<u8>>);

fn apply(table: &mut dyn Table, (key, value): &Change) -> Result<(), crate::LookupError> {
    let key = BStr::new(key);
    match value {
        Some(value) => table.update(key, BStr::new(value)),
        None => table.delete(key).map(|_| ()),
    }
}

/// Every entry can be found, but for `but`, which may be as it was or as it should be.
fn check_found(kind: Kind, source: &str, entries: &Entries, but: &Change) {
    let mut table = open(kind, source, OpenMode::Read, Flags::NONE).unwrap();
    let mut found = |key: &[u8]| table.lookup(BStr::new(key)).unwrap().map(Vec::from);
    let now = found(&but.0);
    assert!(
        now == but.1 || now.as_ref() == entries.get(&but.0),
        "the changed entry"
    );
    for (key, value) in entries.iter().filter(|(key, _)| **key != but.0) {
        assert_eq!(found(key).as_ref(), Some(value), "{}", BStr::new(key));
    }
}

/// An empty table, its file, and where that can be saved.
fn empty(kind: Kind, directory: &std::path::Path) -> (String, [String; 2]) {
    let source = source(directory);
    build(kind, &source, []);
    let files = ["db", "saved"].map(|suffix| format!("{source}.{suffix}"));
    (source, files)
}

#[test]
fn a_process_that_dies_between_two_writes_loses_no_other_entry() {
    for kind in KINDS {
        let directory = tempfile::tempdir().unwrap();
        let (source, [file, saved]) = empty(kind, directory.path());
        let mut next = random();
        let mut entries = Entries::new();
        let mut interrupted = 0;
        for round in 0..400 {
            let key = format!(
                "key{}{}",
                next(250),
                "k".repeat(
                    [1, 30, 1100][usize::from(next(20) == 0) + usize::from(round % 50 == 0)]
                )
            )
            .into_bytes();
            let length = [3, 60, 900, 1500, 9000][usize::try_from(next(9)).unwrap() % 5];
            let value =
                (next(4) > 0).then(|| vec![b'a' + u8::try_from(round % 26).unwrap(); length]);
            let change = (key, value);
            if round > 330 || round % 10 == 0 {
                std::fs::copy(&file, &saved).unwrap();
                for writes in 0.. {
                    std::fs::copy(&saved, &file).unwrap();
                    super::pager::testing::LEFT.set(writes);
                    let done = apply(&mut *writable(kind, &source), &change);
                    super::pager::testing::LEFT.set(usize::MAX);
                    if done.is_ok() {
                        break;
                    }
                    interrupted += 1;
                    check_found(kind, &source, &entries, &change);
                    if kind == Kind::Btree {
                        let mut listed = walk(&mut *writable(kind, &source));
                        listed.remove(&change.0);
                        let mut others = entries.clone();
                        others.remove(&change.0);
                        assert!(listed == others, "a listing");
                    }
                    // Life goes on.
                    let mut table = writable(kind, &source);
                    let more = (b"more".to_vec(), Some(vec![b'm'; 5000]));
                    apply(&mut *table, &change).unwrap();
                    apply(&mut *table, &more).unwrap();
                    apply(&mut *table, &(more.0, None)).unwrap();
                    let mut entries = entries.clone();
                    match &change.1 {
                        Some(value) => drop(entries.insert(change.0.clone(), value.clone())),
                        None => drop(entries.remove(&change.0)),
                    }
                    check_found(kind, &source, &entries, &change);
                }
            } else {
                apply(&mut *writable(kind, &source), &change).unwrap();
            }
            match change.1 {
                Some(value) => drop(entries.insert(change.0, value)),
                None => drop(entries.remove(&change.0)),
            }
        }
        assert!(interrupted > 200, "{interrupted}");
        assert_eq!(walk(&mut *writable(kind, &source)), entries);
    }
}

/// Numbers that look random.
fn random() -> impl FnMut(u64) -> u64 {
    let mut state = 1_u64;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Changes of one table in a row: many of neighbours, so that pages fill and become empty.
fn changes(next: &mut impl FnMut(u64) -> u64) -> Vec<Change> {
    let (first, removes) = (next(300), next(5));
    let count = 1 + next(120);
    (0..count)
        .map(|_| {
            let number = first + next(150);
            let long = if number.is_multiple_of(41) { 1100 } else { 60 };
            let key = format!("key{number:04}{}", "k".repeat(long)).into_bytes();
            let length =
                usize::try_from([3, 60, 300, 900, 1500, 9000][usize::try_from(next(6)).unwrap()]);
            let value = (next(5) >= removes).then(|| vec![b'v'; length.unwrap()]);
            (key, value)
        })
        .collect()
}

fn apply_all(kind: Kind, source: &str, changes: &[Change]) -> Result<(), crate::LookupError> {
    let mut table = writable(kind, source);
    table.gather();
    for change in changes {
        apply(&mut *table, change)?;
    }
    table.flush()
}

/// Every key has one of the values that it had before or got from a change.
fn check_between(kind: Kind, source: &str, before: &Entries, changes: &[Change]) {
    let mut table = open(kind, source, OpenMode::Read, Flags::NONE).unwrap();
    for key in before.keys().chain(changes.iter().map(|(key, _)| key)) {
        let now = table.lookup(BStr::new(key)).unwrap().map(Vec::from);
        let mut given = changes.iter().filter(|change| change.0 == *key);
        let is_fine = now.as_ref() == before.get(key) || given.any(|change| now == change.1);
        let length = now.as_ref().map(Vec::len);
        assert!(is_fine, "{}: {length:?} bytes", BStr::new(key));
    }
}

#[test]
fn a_process_that_dies_amid_many_changes_leaves_each_entry_old_or_new() {
    for kind in KINDS {
        let directory = tempfile::tempdir().unwrap();
        let (source, [file, saved]) = empty(kind, directory.path());
        let mut next = random();
        let mut entries = Entries::new();
        let mut interrupted = 0;
        for round in 0..8 {
            let changes = changes(&mut next);
            let before = entries.clone();
            for (key, value) in changes.clone() {
                match value {
                    Some(value) => drop(entries.insert(key, value)),
                    None => drop(entries.remove(&key)),
                }
            }
            std::fs::copy(&file, &saved).unwrap();
            for writes in (round % 9..).step_by(9) {
                std::fs::copy(&saved, &file).unwrap();
                super::pager::testing::LEFT.set(writes);
                let done = apply_all(kind, &source, &changes);
                super::pager::testing::LEFT.set(usize::MAX);
                if done.is_ok() {
                    break;
                }
                interrupted += 1;
                check_between(kind, &source, &before, &changes);
                if writes % 2 == 0 {
                    // Life goes on.
                    apply_all(kind, &source, &changes).unwrap();
                    check(&mut *writable(kind, &source), &entries);
                }
            }
            check(&mut *writable(kind, &source), &entries);
        }
        assert!(interrupted > 20, "{interrupted}");
    }
}
