//! A thousand lookups at once while the database stops, hangs, throws clients out and comes back: answers are
//! right or temporary errors, nobody waits beyond the limits, and no descriptor is left open.
//!
//! One test alone in its program: it counts the descriptors of the process.

use bstr::BStr;
use postern_config::Config;
use postern_dict::{ErrorKind, Flags, OpenMode, Table};
use postern_testkit::{MariaDb, PostgreSql, skip, wait_for};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 20;
const LOOKUPS: usize = 50;
/// Connecting and one answer at two servers, with room for a busy machine.
const LONGEST: Duration = Duration::from_secs(90);

/// What lookups came to.
#[derive(Default)]
struct Count {
    answers: AtomicUsize,
    errors: AtomicUsize,
}

impl Count {
    fn sum(&self) -> usize {
        self.answers.load(Ordering::SeqCst) + self.errors.load(Ordering::SeqCst)
    }
}

fn open(dir: &Path, number: usize, kind: &str, settings: &str) -> Box<dyn Table> {
    let path = dir.join(format!("{number}.cf"));
    fs::write(&path, settings).unwrap();
    let config = Config::from_text("compatibility_level = 3.11\n").unwrap();
    let name = format!("{kind}:{}", path.display());
    postern_dict::try_open(&config, &name, OpenMode::Read, Flags::ADDRESS).unwrap()
}

/// Looks keys up; the table has `k1` to `k9`, whose values are `v1` to `v9`.
fn work(table: &mut dyn Table, count: &Count, round: usize) {
    let number = round % 12;
    let key = format!("k{number}");
    let want = (1..10).contains(&number).then(|| format!("v{number}"));
    let begin = Instant::now();
    let found = table.lookup(BStr::new(&key));
    assert!(begin.elapsed() < LONGEST, "{:?}", begin.elapsed());
    match found {
        Ok(value) => {
            assert_eq!(value.map(|value| value.to_string()), want);
            count.answers.fetch_add(1, Ordering::SeqCst);
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Retry);
            count.errors.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs the lookups of all threads beside `trouble`, which gets the count so far, and then until all is well.
fn storm(kind: &str, settings: &str, trouble: impl FnOnce(&Count)) {
    let dir = tempfile::tempdir().unwrap();
    let before = descriptors();
    let count = Arc::new(Count::default());
    let is_over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let mut table = open(dir.path(), number, kind, settings);
            let (count, is_over) = (Arc::clone(&count), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut round = 0;
                while round < LOOKUPS || !is_over.load(Ordering::SeqCst) {
                    work(table.as_mut(), &count, number + round);
                    round += 1;
                }
                // The server is back: in the end everybody gets answers.
                wait_for("an answer after the trouble", || {
                    let mine = Count::default();
                    work(table.as_mut(), &mine, 1);
                    (mine.answers.load(Ordering::SeqCst) == 1).then_some(())
                });
            })
        })
        .collect();
    trouble(&count);
    is_over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(count.sum() >= THREADS * LOOKUPS);
    assert!(count.errors.load(Ordering::SeqCst) > 0);
    assert!(count.answers.load(Ordering::SeqCst) > 0);
    assert_eq!(descriptors(), before);
}

/// Waits until `more` lookups are done.
fn after(count: &Count, more: usize) {
    let start = count.sum();
    wait_for("lookups", || (count.sum() >= start + more).then_some(()));
}

const ROWS: &str = "CREATE TABLE t (k VARCHAR(9), v VARCHAR(9)); INSERT INTO t VALUES ('k1','v1'),('k2','v2'),\
    ('k3','v3'),('k4','v4'),('k5','v5'),('k6','v6'),('k7','v7'),('k8','v8'),('k9','v9');";

fn settings(port: u16, more: &str) -> String {
    format!(
        "hosts = 127.0.0.1:{port}\nuser = mail\npassword = secret\ndbname = mail\nretry_interval = 1\n\
         query = SELECT v FROM t WHERE k = '%s'\n{more}"
    )
}

fn mariadb() {
    let Some(mut server) = MariaDb::start_new(&[]) else {
        return skip("an outage of MariaDB", "MariaDB is not installed");
    };
    server.sql(ROWS);
    storm("mysql", &settings(server.port(), ""), |count| {
        after(count, 200);
        for _ in 0..3 {
            server.sql("KILL USER mail");
            after(count, 50);
        }
        server.hold(true);
        let mut last = 0;
        wait_for("all clients to wait", || {
            let is_quiet = last == count.sum();
            last = count.sum();
            is_quiet.then_some(())
        });
        server.hold(false);
        after(count, 200);
        server.stop();
        after(count, 200);
        server.start();
        after(count, 200);
    });
}

fn postgresql() {
    let Some(mut server) = PostgreSql::start_new(&[]) else {
        return skip("an outage of PostgreSQL", "PostgreSQL is not installed");
    };
    server.sql(ROWS);
    server.sql("GRANT SELECT ON t TO mail");
    storm("pgsql", &settings(server.port(), ""), |count| {
        after(count, 200);
        for _ in 0..3 {
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mail'",
            );
            after(count, 50);
        }
        server.stop();
        after(count, 200);
        server.start();
        after(count, 200);
    });
}

#[test]
fn a_thousand_lookups_survive_outages_of_the_database() {
    mariadb();
    postgresql();
}
