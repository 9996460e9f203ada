//! One table, two programs: what Debian's postmap writes, Postern's reads, changes and extends, and the
//! other way round.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use postern_testkit::{Suite, skip};

/// A postmap program with an empty configuration of its own.
struct Postmap {
    program: PathBuf,
    config: tempfile::TempDir,
}

type Entries = BTreeMap<String, String>;

impl Postmap {
    fn of(suite: &Suite) -> Self {
        let config = tempfile::tempdir().expect("make a directory");
        fs::write(config.path().join("main.cf"), "compatibility_level = 3.6\n").expect("main.cf");
        fs::write(config.path().join("master.cf"), "").expect("master.cf");
        Self {
            program: suite.commands.join("postmap"),
            config,
        }
    }

    fn command(&self, args: &[&str], table: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(self.config.path())
            .args(args)
            .arg(table)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str], table: &str, input: &str) -> Output {
        let mut child = self.command(args, table).spawn().expect("start postmap");
        let mut pipe = child.stdin.take().expect("its input");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // A program that has seen enough closes its input.
            let _ = pipe.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("wait for postmap");
        writer.join().expect("write its input");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            complaint.is_empty(),
            "{} {args:?} {table}: {complaint}",
            self.program.display()
        );
        output
    }

    fn read(&self, args: &[&str], table: &str, input: &str) -> Entries {
        let output = self.run(args, table, input);
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// The whole table, listed and asked key by key; both have to agree with `want`.
    fn check(&self, table: &str, want: &Entries, absent: &str) {
        let keys: String = want.keys().map(|key| format!("{key}\n")).collect();
        let asked = self.read(&["-q", "-"], table, &format!("{keys}{absent}"));
        assert!(
            asked == *want,
            "asked {table}: {} of {}",
            asked.len(),
            want.len()
        );
        if table.starts_with("cdb:") {
            // The reference cannot list these.
            return;
        }
        let listed = self.read(&["-s"], table, "");
        assert!(
            listed == *want,
            "listed {table}: {} of {}",
            listed.len(),
            want.len()
        );
    }
}

/// Both programs, or none with a message.
fn both() -> Option<(Postmap, Postmap)> {
    let missing = if std::env::var_os("POSTERN_TEST_REFERENCE").is_some() {
        "the reference is under test itself"
    } else {
        match Suite::reference() {
            Some(suite) => return Some((Postmap::of(&Suite::under_test()), Postmap::of(&suite))),
            None => "Debian's Postfix is not installed",
        }
    };
    skip("one table with two programs", missing);
    None
}

/// The types that both know.
fn types(reference: &Postmap) -> Vec<&'static str> {
    let postconf = reference.program.with_file_name("postconf");
    let output = Command::new(postconf)
        .arg("-m")
        .output()
        .expect("run postconf");
    let known = String::from_utf8_lossy(&output.stdout).into_owned();
    let (here, missing): (Vec<_>, Vec<_>) = ["hash", "btree", "lmdb", "cdb"]
        .into_iter()
        .partition(|name| known.lines().any(|line| line == *name));
    for name in missing {
        skip(name, "Debian's Postfix has no such table type");
    }
    here
}

fn numbered(count: usize) -> Entries {
    (0..count)
        .map(|n| {
            (
                format!("user{:07}@d{:03}.example", n * 7919 % count, n % 211),
                format!("box{n}/"),
            )
        })
        .collect()
}

/// Contents that stress the formats.
fn contents() -> Vec<(&'static str, Entries)> {
    let long = (0..40)
        .map(|n| (format!("long{n}"), format!("{n}{}", "v".repeat(10_000 + n))))
        .chain((0..200).map(|n| (format!("k{n}"), "short".to_owned())))
        .chain((1..=40).map(|n| (format!("{n}{}", "k".repeat(n * 12)), format!("key of {n}"))));
    let one = ("only@example".to_owned(), "one".to_owned());
    vec![
        ("empty", Entries::new()),
        ("one", Entries::from([one])),
        ("many", numbered(5_000)),
        ("long", long.collect()),
    ]
}

fn source(directory: &Path, name: &str, entries: &Entries) -> String {
    let path = directory.join(name);
    let text: String = entries
        .iter()
        .map(|(key, value)| format!("{key} {value}\n"))
        .collect();
    fs::write(&path, text).expect("write the source");
    path.display().to_string()
}

#[test]
fn what_one_program_builds_the_other_reads_deletes_and_extends() {
    let Some((ours, reference)) = both() else {
        return;
    };
    for (writer, reader) in [(&ours, &reference), (&reference, &ours)] {
        for kind in types(&reference) {
            for (name, entries) in contents() {
                let directory = tempfile::tempdir().expect("make a directory");
                let table = format!("{kind}:{}", source(directory.path(), name, &entries));
                writer.run(&[], &table, "");
                reader.check(&table, &entries, "absent@example\n");
                if kind == "cdb" {
                    continue;
                }
                change(writer, reader, &table, entries);
            }
        }
    }
}

/// `second` deletes every third entry and adds others; then `first` deletes and adds.
fn change(first: &Postmap, second: &Postmap, table: &str, mut entries: Entries) {
    for (round, program) in [second, first].into_iter().enumerate() {
        let gone: Vec<String> = entries.keys().step_by(3).cloned().collect();
        program.run(&["-d", "-"], table, &gone.join("\n"));
        gone.iter().for_each(|key| {
            entries.remove(key);
        });
        let fresh: Entries = (0..300)
            .map(|n| (format!("fresh{round}-{n}"), "f".repeat(n * 11 % 6000 + 1)))
            .collect();
        let lines: String = fresh
            .iter()
            .map(|(key, value)| format!("{key} {value}\n"))
            .collect();
        program.run(&["-i"], table, &lines);
        entries.extend(fresh);
        first.check(table, &entries, "absent\n");
        second.check(table, &entries, "absent\n");
    }
}

#[test]
fn keys_end_at_a_nul_and_tables_are_called_as_the_user_calls_them() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("t").display().to_string();
    fs::write(&source, "a b\nempty /dev/null\n").unwrap();
    let ours = Postmap::of(&Suite::under_test());
    for kind in ["hash", "cdb", "lmdb", "texthash"] {
        let table = format!("{kind}:{source}");
        if kind != "texthash" {
            ours.run(&[], &table, "");
        }
        let found = ours.run(&["-q", "-"], &table, "a\0c\nx\0a\na\n");
        assert_eq!(
            String::from_utf8_lossy(&found.stdout),
            "a\tb\na\tb\n",
            "{kind}"
        );
    }
    let table = "inline:{{k = }}";
    let output = ours.command(&["-q", "k"], table).output().unwrap();
    let want = format!(
        "postmap: warning: table {table}: key k: empty string result is not allowed\n\
         postmap: warning: table {table} should return NO RESULT in case of NOT FOUND\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), want);
}

#[test]
fn a_build_that_is_killed_leaves_the_old_table() {
    let Some((ours, reference)) = both() else {
        return;
    };
    for kind in types(&reference) {
        let directory = tempfile::tempdir().expect("make a directory");
        let old = numbered(1000);
        let table = format!("{kind}:{}", source(directory.path(), "t", &old));
        ours.run(&[], &table, "");
        let new = numbered(60_000);
        source(directory.path(), "t", &new);
        for round in 0..4_usize {
            let mut child = ours.command(&[], &table).spawn().expect("start postmap");
            wait_for_work(&mut child, directory.path(), round * 1_000_000);
            child.kill().expect("kill postmap");
            child.wait().expect("wait for postmap");
        }
        // The kill may come too late, but never in between. The source is newer in any case.
        let later = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        let text = fs::File::options()
            .write(true)
            .open(directory.path().join("t"))
            .expect("open");
        text.set_modified(later)
            .expect("set the time of the source");
        let count = ours.read(&["-s"], &table, "").len();
        let want = if count == old.len() { &old } else { &new };
        reference.check(&table, want, "absent\n");
        ours.check(&table, want, "absent\n");
        // Nothing is in the way of the next build.
        ours.run(&[], &table, "");
        reference.check(&table, &new, "absent\n");
    }
}

/// Returns when the files beside the table hold so many bytes, or the program has ended.
fn wait_for_work(child: &mut std::process::Child, directory: &Path, bytes: usize) {
    let size = || -> u64 {
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        files
            .filter(|file| file.file_name() != "t")
            .filter_map(|file| file.metadata().ok())
            .map(|status| status.len())
            .sum()
    };
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while size() < bytes && std::time::Instant::now() < deadline {
        if child.try_wait().expect("ask for postmap").is_some() {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_system_that_has_left_berkeley_db_goes_on_with_its_names() {
    let ours = Postmap::of(&Suite::under_test());
    if std::env::var_os("POSTERN_TEST_REFERENCE").is_some() {
        return skip("leaving Berkeley DB", "the reference is older than that");
    }
    let directory = tempfile::tempdir().expect("make a directory");
    let entries = numbered(100);
    let path = source(directory.path(), "t", &entries);
    let settings = |level: &str| {
        let text = format!(
            "compatibility_level = 3.11\nnon_bdb_migration_level = {level}\n\
             default_database_type = lmdb\ndefault_cache_db_type = lmdb\n\
             non_bdb_migration_log_redirect = no\n"
        );
        fs::write(ours.config.path().join("main.cf"), text).expect("main.cf");
    };
    let (old, new) = (format!("hash:{path}"), format!("lmdb:{path}"));
    settings("disable");
    ours.run(&[], &old, "");
    settings("enable-redirect");
    // The new file is not there yet.
    ours.check(&old, &entries, "absent@example\n");
    assert!(!Path::new(&format!("{path}.lmdb")).exists());
    ours.run(&[], &old, "");
    fs::remove_file(format!("{path}.db")).expect("the old file");
    ours.check(&old, &entries, "absent@example\n");
    ours.check(&new, &entries, "absent@example\n");
    ours.run(&["-i"], &format!("btree:{path}"), "more@example entry\n");
    let mut more = entries;
    more.insert("more@example".to_owned(), "entry".to_owned());
    ours.check(&old, &more, "absent@example\n");
    settings("whatever");
    let output = ours.command(&["-q", "x"], &old).output().expect("postmap");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaint.contains("fatal: invalid non-Berkeley-DB migration level: 'whatever'"),
        "{complaint}"
    );
}

/// Runs a change of a table, and kills it some microseconds after it has got `input`.
fn killed_change(ours: &Postmap, args: &[&str], table: &str, input: &[u8], pause: u64) {
    let mut child = ours.command(args, table).spawn().expect("start postmap");
    let mut pipe = child.stdin.take().expect("its input");
    // The end comes somewhere in what was read; the pipe stays open until then.
    let _ = pipe.write_all(input);
    let end = std::time::Instant::now() + std::time::Duration::from_micros(pause);
    while std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    child.kill().expect("kill postmap");
    child.wait().expect("wait for postmap");
}

#[test]
fn a_change_that_is_killed_leaves_every_other_entry() {
    let ours = Postmap::of(&Suite::under_test());
    if std::env::var_os("POSTERN_TEST_REFERENCE").is_some() {
        return skip("killed changes", "the reference is not better than libdb");
    }
    for kind in ["hash", "btree", "lmdb"] {
        let directory = tempfile::tempdir().expect("make a directory");
        let old = numbered(500);
        let table = format!("{kind}:{}", source(directory.path(), "t", &old));
        ours.run(&[], &table, "");
        let mut allowed = old.clone();
        for round in 0..12_u64 {
            let fresh: Entries = (0..400_usize)
                .map(|n| (format!("new{round}-{n}"), "f".repeat(n * 37 % 3000 + 1)))
                .collect();
            let lines: String = fresh
                .iter()
                .map(|(key, value)| format!("{key} {value}\n"))
                .collect();
            allowed.extend(fresh);
            let input = lines.as_bytes();
            let input = input.get(..input.len().min(60_000)).unwrap_or_default();
            killed_change(&ours, &["-i"], &table, input, round * 3_000);
            let keys: String = allowed.keys().map(|key| format!("{key}\n")).collect();
            let found = ours.read(&["-q", "-"], &table, &keys);
            assert!(
                found
                    .iter()
                    .all(|(key, value)| allowed.get(key) == Some(value)),
                "{table}: a strange value"
            );
            let lost = old.iter().filter(|(key, _)| !found.contains_key(*key));
            assert_eq!(lost.count(), 0, "{table}: lost entries");
        }
        ours.run(&["-i"], &table, "at@last x\n");
        assert_eq!(ours.run(&["-q", "at@last"], &table, "").stdout, b"x\n");
    }
}

#[test]
fn lookups_go_on_while_the_table_is_built_anew() {
    let ours = Postmap::of(&Suite::under_test());
    for kind in ["hash", "btree", "lmdb", "cdb"] {
        let directory = tempfile::tempdir().expect("make a directory");
        let old = numbered(300);
        let table = format!("{kind}:{}", source(directory.path(), "t", &old));
        ours.run(&[], &table, "");
        let new: Entries = old
            .iter()
            .map(|(key, value)| (key.clone(), format!("new-{value}")))
            .collect();
        let keys: String = old.keys().map(|key| format!("{key}\n")).collect();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let builder = scope.spawn(|| {
                for round in 0..12 {
                    let entries = if round % 2 == 0 { &new } else { &old };
                    source(directory.path(), "t", entries);
                    ours.run(&[], &table, "");
                }
                is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                let found = ours.read(&["-q", "-"], &table, &keys);
                assert_eq!(found.len(), old.len(), "{table}");
                for (key, value) in found {
                    let right = old.get(&key) == Some(&value) || new.get(&key) == Some(&value);
                    assert!(right, "{table}: {key} {value}");
                }
            }
            builder.join().expect("the builds");
        });
    }
}
