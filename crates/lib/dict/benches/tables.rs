//! Lookups and building, one row for each table type that is a file.
//!
//! Postfix's own figures come from its programs and not from here; this is for comparing a change with what
//! was before it: `cargo bench -p postern-dict -- lookup/cdb`.
#![allow(
    missing_docs,
    reason = "the macros of the harness make public functions"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bstr::BStr;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postern_config::Config;
use postern_dict::{Flags, OpenMode, Table, create, open_own};

const ENTRIES: usize = 20_000;
const RULES: usize = 500;
const NETS: usize = 5000;

fn key(number: usize) -> String {
    format!("user{number:07}@d{:03}.example.test", number % 997)
}

fn config() -> Config {
    Config::from_text("").expect("the defaults are sound")
}

/// Builds `kind:NAME` in `directory`.
fn build(kind: &str, directory: &Path) -> String {
    let name = format!("{kind}:{}/{kind}", directory.display());
    let mut builder = create(&config(), &name, Flags::DUP_WARN).expect("a new table");
    for number in 0..ENTRIES {
        let value = format!("box{number}/");
        builder
            .add(BStr::new(&key(number)), BStr::new(&value))
            .expect("an entry");
    }
    builder.finish().expect("the end of the table");
    name
}

/// Writes `text` as the source of a table of type `kind`, long ago: readers do not wait for it to settle.
fn source(kind: &str, directory: &Path, text: &str) -> String {
    let path = directory.join(format!("{kind}.source"));
    std::fs::write(&path, text).expect("write the source");
    age(&path);
    format!("{kind}:{}", path.display())
}

fn age(path: &Path) {
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::open(path)
        .and_then(|file| file.set_modified(long_ago))
        .expect("an older file");
}

fn open(name: &str) -> Box<dyn Table> {
    let flags = Flags::LOCK | Flags::FOLD_FIX | Flags::UTF8_REQUEST;
    open_own(&config(), name, OpenMode::Read, flags).expect("the table")
}

fn lookups(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(1));
    let mut row = |name: &str, keys: &[String]| {
        let mut table = open(name);
        let kind = name.split(':').next().unwrap_or_default();
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
            bencher.iter(|| {
                // Not in the order of the file.
                next = (next + 7919) % keys.len();
                black_box(table.lookup(BStr::new(&keys[next]))).expect("an answer")
            });
        });
    };
    let keys: Vec<String> = (0..ENTRIES).map(key).collect();
    for (kind, suffix) in [
        ("hash", "db"),
        ("btree", "db"),
        ("lmdb", "lmdb"),
        ("cdb", "cdb"),
    ] {
        let name = build(kind, directory);
        age(&directory.join(format!("{kind}.{suffix}")));
        row(&name, &keys);
    }
    let text: String = keys.iter().map(|key| format!("{key} box/\n")).collect();
    row(&source("texthash", directory, &text), &keys);
    let text: String = (0..NETS)
        .map(|net| format!("10.{}.{}.0/24 net{net}\n", net / 256, net % 256))
        .collect();
    let addresses: Vec<String> = (0..NETS)
        .map(|net| format!("10.{}.{}.7", net / 256, net % 256))
        .collect();
    row(&source("cidr", directory, &text), &addresses);
    let text: String = (0..RULES)
        .map(|rule| format!("/^user[0-9]*@d{rule:03}\\.example\\.test$/ rule{rule}\n"))
        .collect();
    for kind in ["pcre", "regexp"] {
        row(&source(kind, directory, &text), &keys);
    }
}

fn builds(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ENTRIES.try_into().unwrap_or(0)));
    for kind in ["hash", "btree", "lmdb", "cdb"] {
        group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
            bencher.iter(|| build(kind, directory.path()));
        });
    }
}

criterion_group!(tables, lookups, builds);
criterion_main!(tables);
