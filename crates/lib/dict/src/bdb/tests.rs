//! Files made and read here, and files that Postfix 3.7.11 with libdb 5.3 made.

use std::collections::BTreeMap;
use std::path::Path;

use bstr::{BStr, BString};
use proptest::prelude::*;

use super::{Kind, create, open};
use crate::sorter::{Duplicate, Sorter};
use crate::{Flags, OpenMode, Table};

pub(super) const KINDS: [Kind; 2] = [Kind::Hash, Kind::Btree];
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn source(directory: &Path) -> String {
    directory.join("t").to_str().unwrap().to_owned()
}

pub(super) fn build(
    kind: Kind,
    source: &str,
    entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) {
    let mut builder = create(kind, source, Flags::DUP_WARN).unwrap();
    for (key, value) in entries {
        builder.add(BStr::new(&key), BStr::new(&value)).unwrap();
    }
    builder.finish().unwrap();
}

pub(super) fn writable(kind: Kind, source: &str) -> Box<dyn Table> {
    writable_with(kind, source, Flags::NONE)
}

fn writable_with(kind: Kind, source: &str, more: Flags) -> Box<dyn Table> {
    let flags = Flags::LOCK | Flags::DUP_REPLACE | more;
    open(kind, source, OpenMode::ReadWriteCreate, flags).unwrap()
}

pub(super) fn walk(table: &mut dyn Table) -> Entries {
    let mut entries = Entries::new();
    let mut entry = table.sequence(true).unwrap();
    while let Some((key, value)) = entry {
        assert_eq!(
            entries.insert(key.into(), value.into()),
            None,
            "a key came twice"
        );
        entry = table.sequence(false).unwrap();
    }
    entries
}

pub(super) fn check(table: &mut dyn Table, want: &Entries) {
    assert!(walk(table) == *want, "other entries");
    for (key, value) in want {
        assert_eq!(
            table.lookup(BStr::new(key)).unwrap(),
            Some(BString::from(value.clone()))
        );
    }
    assert_eq!(table.lookup(BStr::new("absent")).unwrap(), None);
}

fn numbered(count: usize) -> Entries {
    (0..count)
        .map(|n| {
            (
                format!("key{n}").into_bytes(),
                format!("value {n}").into_bytes(),
            )
        })
        .collect()
}

/// Pairs at and around every size limit.
fn awkward() -> Entries {
    let mut entries = numbered(300);
    for size in [
        1, 1003, 1006, 1007, 1008, 1022, 1023, 1024, 1025, 4069, 4070, 4071, 10_000,
    ] {
        entries.insert(vec![b'k'; size], vec![b'v'; size]);
        entries.insert(
            [&[b'p'; 1500][..], size.to_string().as_bytes()].concat(),
            vec![b'w'; size],
        );
    }
    entries
}

#[test]
fn what_was_built_is_found_and_walked() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    for kind in KINDS {
        for entries in [
            Entries::new(),
            numbered(1),
            numbered(10),
            numbered(5000),
            awkward(),
        ] {
            build(kind, &source, entries.clone());
            let mut table = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
            check(table.as_mut(), &entries);
        }
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }
}

#[test]
fn tables_grow_and_shrink_in_place() {
    let directory = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let source = directory
            .path()
            .join(kind.name())
            .to_str()
            .unwrap()
            .to_owned();
        let mut table = writable(kind, &source);
        let mut entries = awkward();
        entries.extend(numbered(3000));
        for (key, value) in &entries {
            table.update(BStr::new(key), BStr::new(value)).unwrap();
        }
        check(table.as_mut(), &entries);
        let gone: Vec<Vec<u8>> = entries.keys().step_by(2).cloned().collect();
        for key in gone {
            assert!(table.delete(BStr::new(&key)).unwrap());
            assert!(!table.delete(BStr::new(&key)).unwrap());
            entries.remove(&key);
        }
        check(table.as_mut(), &entries);
        let size = std::fs::metadata(format!("{source}.db")).unwrap().len();
        for (key, value) in &mut entries {
            value.extend_from_slice(b" changed");
            table.update(BStr::new(key), BStr::new(value)).unwrap();
        }
        check(table.as_mut(), &entries);
        assert!(
            std::fs::metadata(format!("{source}.db")).unwrap().len() <= size,
            "free pages are used again"
        );
        for key in entries.keys() {
            assert!(table.delete(BStr::new(key)).unwrap());
        }
        check(table.as_mut(), &Entries::new());
    }
}

/// Points the links of all internal pages of a btree file at a leaf that has nothing to do with them, which
/// is what libdb leaves behind when it takes such pages out of the tree and uses them anew.
fn spoil_internal_links(path: &Path) -> usize {
    let mut bytes = std::fs::read(path).unwrap();
    let leaf = bytes.chunks(4096).rposition(|page| page[25] == 5).unwrap();
    let leaf = u32::try_from(leaf).unwrap().to_le_bytes();
    let mut spoiled = 0;
    for page in bytes.chunks_mut(4096).skip(2).filter(|page| page[25] == 3) {
        page[12..16].copy_from_slice(&leaf);
        page[16..20].copy_from_slice(&leaf);
        spoiled += 1;
    }
    std::fs::write(path, bytes).unwrap();
    spoiled
}

#[test]
fn stale_links_between_internal_pages_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let path = directory.path().join("t.db");
    let entry = |number: usize| {
        let key = format!("{}{number:04}", "k".repeat(500));
        (key.into_bytes(), format!("v{number}").into_bytes())
    };
    let mut want: Entries = (0..400).map(|number| entry(number * 2)).collect();
    build(Kind::Btree, &source, want.clone());
    assert!(spoil_internal_links(&path) > 2, "too few levels");
    let mut table = writable(Kind::Btree, &source);
    for number in 0..400 {
        let (key, value) = entry(number * 2 + 1);
        table.update(BStr::new(&key), BStr::new(&value)).unwrap();
        want.insert(key, value);
    }
    check(table.as_mut(), &want);
    drop(table);
    spoil_internal_links(&path);
    let mut table = writable(Kind::Btree, &source);
    while let Some((key, _)) = want.pop_last() {
        assert!(table.delete(BStr::new(&key)).unwrap());
        if want.len().is_multiple_of(100) {
            check(table.as_mut(), &want);
        }
    }
    drop(table);
    // All pages but the first two are in the free list.
    let bytes = std::fs::read(&path).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut free, mut count) = (word(28), 0);
    while free != 0 {
        count += 1;
        free = word(free * 4096 + 16);
    }
    assert_eq!(count, bytes.len() / 4096 - 2);
}

#[test]
fn entries_may_be_deleted_during_a_walk() {
    let directory = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let source = directory
            .path()
            .join(kind.name())
            .to_str()
            .unwrap()
            .to_owned();
        build(kind, &source, numbered(2000));
        let mut table = writable(kind, &source);
        let mut seen = 0;
        let mut entry = table.sequence(true).unwrap();
        while let Some((key, _)) = entry {
            seen += 1;
            assert!(table.delete(key.as_ref()).unwrap());
            entry = table.sequence(false).unwrap();
        }
        assert_eq!(seen, 2000);
        assert_eq!(table.sequence(true).unwrap(), None);
    }
}

#[test]
fn duplicates_follow_the_flags() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    for kind in KINDS {
        for (flags, want) in [
            (Flags::DUP_WARN, "1"),
            (Flags::DUP_IGNORE, "1"),
            (Flags::DUP_REPLACE, "22"),
        ] {
            let mut builder = create(kind, &source, flags).unwrap();
            for (key, value) in [("a", "1"), ("b", "2"), ("a", "22")] {
                builder.add(BStr::new(key), BStr::new(value)).unwrap();
            }
            builder.add_raw(BStr::new("@"), BStr::new("old")).unwrap();
            builder.add_raw(BStr::new("@"), BStr::new("new")).unwrap();
            builder.finish().unwrap();
            let mut table = open(kind, &source, OpenMode::Read, Flags::NONE).unwrap();
            assert_eq!(
                table.lookup(BStr::new("a")).unwrap(),
                Some(BString::from(want))
            );
            // The form of the first answer is kept, and raw entries have the other one.
            let mut table = open(kind, &source, OpenMode::Read, Flags::NONE).unwrap();
            assert_eq!(
                table.lookup(BStr::new("@")).unwrap(),
                Some(BString::from("new"))
            );
        }
        let mut builder = create(kind, &source, Flags::NONE).unwrap();
        builder.add(BStr::new("a"), BStr::new("1")).unwrap();
        let error = builder.add(BStr::new("a"), BStr::new("2")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{source}.db: duplicate entry: \"a\"")
        );
    }
}

#[test]
fn both_nul_conventions_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    for kind in KINDS {
        for written in [Flags::TRY0NULL, Flags::TRY1NULL] {
            let mut builder = create(kind, &source, written).unwrap();
            builder.add(BStr::new("a"), BStr::new("1")).unwrap();
            builder.finish().unwrap();
            for asked in [Flags::NONE, Flags::TRY0NULL, Flags::TRY1NULL] {
                let mut table = open(kind, &source, OpenMode::Read, asked).unwrap();
                let found = table.lookup(BStr::new("a")).unwrap().is_some();
                assert_eq!(
                    found,
                    asked == Flags::NONE || asked == written,
                    "{written:?} {asked:?}"
                );
            }
        }
    }
}

#[test]
fn other_files_are_refused_in_the_words_of_postfix() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let path = format!("{source}.db");
    let problem = |kind| {
        open(kind, &source, OpenMode::Read, Flags::NONE)
            .err()
            .map(|error| error.to_string())
    };
    let words = |text: &str| Some(format!("open database {path}: {text}"));
    assert_eq!(problem(Kind::Hash), words("No such file or directory"));
    build(Kind::Btree, &source, numbered(3));
    assert_eq!(problem(Kind::Hash), words("Invalid argument"));
    let mut old = std::fs::read(&path).unwrap();
    let whole = old.len();
    for torn in [whole - 1, whole - 77, whole + 1] {
        old.resize(torn, 0);
        std::fs::write(&path, &old).unwrap();
        assert_eq!(problem(Kind::Btree), words("Invalid argument"), "{torn}");
    }
    old.resize(whole, 0);
    old[16] = 7;
    std::fs::write(&path, &old).unwrap();
    assert_eq!(problem(Kind::Btree), words("Unknown error -30987"));
    old[16] = 10;
    std::fs::write(&path, &old).unwrap();
    assert_eq!(problem(Kind::Btree), words("Invalid argument"));
    std::fs::write(&path, b"").unwrap();
    assert_eq!(problem(Kind::Btree), words("Invalid argument"));
    // A rebuild does not mind.
    build(Kind::Btree, &source, numbered(3));
    assert_eq!(problem(Kind::Btree), None);
}

#[test]
fn files_of_older_libraries_are_read_and_changed() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let path = format!("{source}.db");
    for (kind, version) in [(Kind::Hash, 7), (Kind::Hash, 8), (Kind::Btree, 8)] {
        let mut entries = numbered(500);
        build(kind, &source, entries.clone());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[16] = version;
        for page in bytes
            .chunks_mut(4096)
            .filter(|page| page[25] == super::page::HASH)
        {
            // Old pages hold pairs in any order; these are sorted by chance.
            page[25] = super::page::HASH_UNSORTED;
        }
        std::fs::write(&path, &bytes).unwrap();
        let mut table = writable(kind, &source);
        check(table.as_mut(), &entries);
        for n in 0..500 {
            let (key, value) = (format!("a{n}"), format!("new {n}"));
            table.update(BStr::new(&key), BStr::new(&value)).unwrap();
            entries.insert(key.into(), value.into());
        }
        assert!(table.delete(BStr::new("key7")).unwrap());
        entries.remove(&b"key7"[..]);
        check(table.as_mut(), &entries);
        assert_eq!(std::fs::read(&path).unwrap()[16], version);
    }
}

#[test]
fn who_adds_to_a_table_waits_for_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    for kind in KINDS {
        build(kind, &source, numbered(3));
        let add = move |key: &'static str, source: String| {
            let flags = Flags::LOCK | Flags::OPEN_LOCK | Flags::DUP_REPLACE;
            let mut table = open(kind, &source, OpenMode::ReadWriteCreate, flags).unwrap();
            table.update(BStr::new(key), BStr::new("x")).unwrap();
        };
        let writers: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"]
            .map(|key| {
                let source = source.clone();
                std::thread::spawn(move || add(key, source))
            })
            .into();
        for writer in writers {
            writer.join().unwrap();
        }
        let mut table = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
        assert_eq!(walk(table.as_mut()).len(), 11, "{kind:?}");
    }
}

#[test]
fn a_rebuilt_table_has_changed_for_its_readers() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    for kind in KINDS {
        build(kind, &source, numbered(3));
        let reader = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
        let mut writer = writable(kind, &source);
        assert!(!reader.changed());
        build(kind, &source, numbered(4));
        assert!(reader.changed());
        // A writer goes on with the new file.
        writer.update(BStr::new("late"), BStr::new("1")).unwrap();
        let mut fresh = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
        assert_eq!(
            fresh.lookup(BStr::new("late")).unwrap(),
            Some(BString::from("1"))
        );
    }
}

#[test]
fn a_reader_that_remembers_pages_sees_changes_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let age = || {
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        std::fs::File::open(format!("{source}.db"))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    };
    for kind in KINDS {
        build(kind, &source, numbered(3));
        age();
        let mut reader = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
        let mut value = || reader.lookup(BStr::new("key1")).unwrap();
        for _ in 0..3 {
            assert_eq!(value(), Some(BString::from("value 1")));
        }
        let mut writer = writable(kind, &source);
        for new in ["x", "y"] {
            writer.update(BStr::new("key1"), BStr::new(new)).unwrap();
            crate::dbfile::outwait_freshness();
            assert_eq!(value(), Some(BString::from(new)));
        }
    }
}

#[test]
fn owner_and_mode_of_the_old_file_stay() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    build(Kind::Hash, &source, numbered(3));
    let path = format!("{source}.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    build(Kind::Hash, &source, numbered(3));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[test]
fn an_unfinished_build_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    build(Kind::Hash, &source, numbered(3));
    let mut builder = create(Kind::Hash, &source, Flags::NONE).unwrap();
    builder.add(BStr::new("x"), BStr::new("y")).unwrap();
    drop(builder);
    check(
        open(Kind::Hash, &source, OpenMode::Read, Flags::NONE)
            .unwrap()
            .as_mut(),
        &numbered(3),
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn sorting_in_files_gives_the_answer_of_sorting_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let sort = |mut sorter: Sorter| {
        let mut now = 0;
        for n in 0..3000_u32 {
            let (key, value) = ((n * 7919 % 2000).to_string(), n.to_string());
            let policy = if n % 3 == 0 {
                Duplicate::Replace
            } else {
                Duplicate::Report
            };
            if !sorter
                .add(n % 2, key.as_bytes(), value.as_bytes(), policy)
                .unwrap()
            {
                now += 1;
            }
        }
        let mut merge = sorter.finish().unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = merge.next().unwrap() {
            entries.push((entry.order, entry.key, entry.value));
        }
        (entries, now + merge.into_reported().count())
    };
    let memory = sort(Sorter::new(directory.path()));
    let files = sort(Sorter::with_memory(directory.path(), 5000));
    assert_eq!(memory, files);
}

/// Everything that a reader and a writer may do to a damaged file.
fn exercise(kind: Kind, source: &str, more: Flags) {
    let flags = Flags::LOCK | Flags::DUP_REPLACE | more;
    let Ok(mut table) = open(kind, source, OpenMode::ReadWrite, flags) else {
        return;
    };
    if more.contains(Flags::OPEN_LOCK) {
        table.gather();
    }
    let _ = table.lookup(BStr::new("key7"));
    let _ = table.lookup(BStr::new(&vec![b'k'; 4070]));
    let mut restart = true;
    for _ in 0..2000 {
        match table.sequence(restart) {
            Ok(Some(_)) => restart = false,
            _ => break,
        }
    }
    for n in 0..20 {
        let _ = table.update(
            BStr::new(&format!("new{n}")),
            BStr::new(&vec![b'x'; n * 200]),
        );
        let _ = table.delete(BStr::new(&format!("key{n}")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tables_behave_like_a_map(
        hash in any::<bool>(),
        held in any::<bool>(),
        gathers in any::<bool>(),
        steps in proptest::collection::vec((0..40_u8, 0..4_u8, 0..3000_usize), 1..200),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path());
        let kind = if hash { Kind::Hash } else { Kind::Btree };
        let flags = if held { Flags::OPEN_LOCK } else { Flags::NONE };
        let mut table = writable_with(kind, &source, flags);
        if gathers {
            table.gather();
        }
        let mut model = Entries::new();
        for (key, action, size) in steps {
            let key = [&vec![b'k'; usize::from(key % 3) * 700][..], &[b'a' + key]].concat();
            if action == 0 {
                let was = model.remove(&key).is_some();
                prop_assert_eq!(table.delete(BStr::new(&key)).unwrap(), was);
            } else {
                let value = vec![b'v'; size + 1];
                table.update(BStr::new(&key), BStr::new(&value)).unwrap();
                model.insert(key, value);
            }
        }
        check(table.as_mut(), &model);
        drop(table);
        let mut file = open(kind, &source, OpenMode::Read, Flags::LOCK).unwrap();
        check(file.as_mut(), &model);
    }

    #[test]
    fn damaged_files_give_errors_and_end(
        hash in any::<bool>(),
        held in any::<bool>(),
        flips in proptest::collection::vec((0..40_000_usize, any::<u8>()), 1..40),
        keep in 0..40_000_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path());
        let kind = if hash { Kind::Hash } else { Kind::Btree };
        let mut entries = numbered(400);
        entries.insert(vec![b'k'; 4070], vec![b'v'; 9000]);
        build(kind, &source, entries);
        let path = format!("{source}.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let length = bytes.len();
        for (at, mask) in flips {
            // Half of the damage goes to headers and index arrays, where it hurts.
            let at = if mask & 1 == 0 { at % length } else { at % length / 4096 * 4096 + at % 120 };
            bytes[at.min(length - 1)] ^= mask;
        }
        if keep % 3 == 0 {
            bytes.truncate(keep % length);
        }
        std::fs::write(&path, &bytes).unwrap();
        exercise(kind, &source, if held { Flags::OPEN_LOCK } else { Flags::NONE });
    }
}

#[test]
fn what_killed_builds_leave_behind_goes_with_the_next_build() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let file = |name: &str| std::fs::File::create(directory.path().join(name)).unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let locked = file("__db.t.db.4000001");
    for old in [
        file("__db.t.db.4000000"),
        file("__db.t.db.x"),
        file("__db.u.db.4000000"),
        locked.try_clone().unwrap(),
    ] {
        old.set_modified(hour_ago).unwrap();
    }
    file("__db.t.db.4000002");
    let lock = postern_sys::lock::LockMode::Exclusive;
    postern_sys::lock::lock(&locked, postern_sys::lock::LockStyle::Flock, lock).unwrap();
    build(Kind::Hash, &source, []);
    let names = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let left = [
        "__db.t.db.4000001",
        "__db.t.db.4000002",
        "__db.t.db.x",
        "__db.u.db.4000000",
        "t.db",
    ];
    assert_eq!(names, left);
}
