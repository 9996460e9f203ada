//! Configurations as they are found after many years: comments inside values, tabs, CR LF, bytes of old
//! character sets, duplicates, groups, nested `$name`. Both suites read and edit them alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use postern_testkit::{Suite, skip};

/// What is shown.
const LISTINGS: &[&[&str]] = &[
    &["-n"],
    &["-n", "-f"],
    &["-n", "-h"],
    &["-M"],
    &["-M", "-f"],
    &["-M", "pipe"],
    &["-P"],
    &["-F"],
    &["-F", "*/inet/chroot"],
    &["-C", "user"],
];

/// What is changed, each time in a fresh copy.
const EDITS: &[&[&str]] = &[
    &["-e", "mydestination = a, b,  c"],
    &["-e", "myhostname=$mydomain ${x?y}"],
    &["-e", "brand_new = 1"],
    &["-X", "myhostname"],
    &["-#", "mydestination", "myhostname"],
    &[
        "-M",
        "smtp/inet=smtp inet n - y - 7 smtpd -o a=b -o { c = d e }",
    ],
    &["-MX", "smtp/inet"],
    &["-M#", "*/inet"],
    &["-F", "*/inet/chroot=y"],
    &["-F", "pickup/unix/command=pickup -v"],
    &["-P", "*/inet/smtpd_banner=hello"],
    &["-PX", "*/*/smtpd_banner"],
];

struct Outcome {
    status: Option<i32>,
    output: Vec<u8>,
    /// Sorted: the reference has no order.
    complaints: Vec<String>,
    main_cf: Vec<u8>,
    master_cf: Vec<u8>,
}

fn run(suite: &Suite, fixture: &Path, words: &[&str]) -> Outcome {
    let copy = tempfile::tempdir().expect("directory");
    for file in ["main.cf", "master.cf"] {
        let path = copy.path().join(file);
        fs::copy(fixture.join(file), &path).expect("copy");
        // The reference reads a fresh file again and again, in case it is still being written.
        let past = SystemTime::now() - Duration::from_secs(60);
        let file = fs::File::options().write(true).open(path).expect("open");
        file.set_modified(past).expect("set the time");
    }
    let output = Command::new(suite.commands.join("postconf"))
        .args(["-c", &copy.path().to_string_lossy()])
        .args(words)
        .output()
        .expect("postconf");
    let place = copy.path().to_string_lossy().into_owned();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&place, "DIR");
    // The reference shows its whole argv[0].
    let program = |line: &str| match line.split_once("postconf: ") {
        Some((_, rest)) => rest.to_owned(),
        None => line.to_owned(),
    };
    let mut complaints: Vec<String> = text(&output.stderr).lines().map(program).collect();
    complaints.sort_unstable();
    let read = |file: &str| fs::read(copy.path().join(file)).expect("read");
    let output_text = output
        .stdout
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| {
            // The value of config_directory.
            !line
                .windows(place.len())
                .any(|part| part == place.as_bytes())
        })
        .collect::<Vec<_>>()
        .concat();
    Outcome {
        status: output.status.code(),
        output: output_text,
        complaints,
        main_cf: read("main.cf"),
        master_cf: read("master.cf"),
    }
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config");
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .expect("fixtures")
        .map(|entry| entry.expect("entry").path())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn both_suites_show_and_edit_odd_configurations_alike() {
    let Some(reference) = Suite::reference() else {
        return skip("odd configurations", "Debian's Postfix is not installed");
    };
    let ours = Suite::under_test();
    for fixture in fixtures() {
        for words in LISTINGS.iter().chain(EDITS) {
            let want = run(&reference, &fixture, words);
            let got = run(&ours, &fixture, words);
            let place = format!("{} {words:?}", fixture.display());
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(got.complaints, want.complaints, "{place}");
            assert_eq!(got.status, want.status, "{place}");
            assert!(
                got.output == want.output,
                "{place}\n{}\n---\n{}",
                show(&got.output),
                show(&want.output)
            );
            assert!(
                got.main_cf == want.main_cf,
                "{place}\n{}\n---\n{}",
                show(&got.main_cf),
                show(&want.main_cf)
            );
            assert!(
                got.master_cf == want.master_cf,
                "{place}\n{}\n---\n{}",
                show(&got.master_cf),
                show(&want.master_cf)
            );
        }
    }
}

/// Comments are what an administrator cannot get back.
#[test]
fn no_edit_loses_a_comment() {
    let comments = |text: &[u8]| {
        let lines = text.split(|byte| *byte == b'\n');
        lines
            .filter(|line| line.trim_ascii_start().starts_with(b"#"))
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    for fixture in fixtures() {
        let before = |file: &str| comments(&fs::read(fixture.join(file)).expect("read"));
        for words in EDITS {
            let after = run(&Suite::under_test(), &fixture, words);
            for (file, text) in [("main.cf", &after.main_cf), ("master.cf", &after.master_cf)] {
                let kept = comments(text);
                let lost: Vec<_> = before(file)
                    .into_iter()
                    .filter(|comment| !kept.contains(comment))
                    .collect();
                assert!(lost.is_empty(), "{} {words:?}: {lost:?}", fixture.display());
            }
        }
    }
}
