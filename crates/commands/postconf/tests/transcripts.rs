//! Listings and edits of whole configurations, byte for byte as the reference prints and writes them.
//!
//! `fixtures/NAME/` is a configuration, `fixtures/NAME/transcript.txt` what Postfix 3.7.11 made of the
//! commands in `shows.txt` and `edits.txt`. With `POSTCONF=/usr/sbin/postconf UPDATE=1` the test
//! writes the transcripts anew from that program; where a real Postfix 3.7 is installed, they are also
//! checked against it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

const OURS: &str = env!("CARGO_BIN_EXE_postconf");
const REFERENCE: &str = "/usr/sbin/postconf";
/// Warnings of the reference come in no fixed order; names that it does not know cannot match.
const CONFIGURATIONS: &[&str] = &["relay", "users", "strange"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A copy of a configuration that is old enough for the reference not to wait.
fn copy(name: &str, to: &Path) {
    let folder = to.join("c");
    fs::create_dir(&folder).unwrap();
    for file in ["main.cf", "master.cf"] {
        let path = folder.join(file);
        fs::copy(fixtures().join(name).join(file), &path).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(old).unwrap();
    }
}

/// Runs one command in a fresh copy and tells all that it did.
fn run(program: &str, name: &str, line: &str, is_edit: bool) -> String {
    let scratch = tempfile::tempdir().unwrap();
    copy(name, scratch.path());
    let words = line.split(' ').map(|word| word.replace('|', " "));
    let output = Command::new(program)
        .args(["-c", "c"])
        .args(words)
        .current_dir(scratch.path())
        .env_remove("MAIL_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut text = format!("$ postconf {line}\n");
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    let errors =
        String::from_utf8_lossy(&output.stderr).replace(&format!("{program}:"), "postconf:");
    let mut errors: Vec<&str> = errors.lines().collect();
    errors.sort_unstable();
    for error in errors {
        text.push_str(&format!("! {error}\n"));
    }
    if !output.status.success() {
        text.push_str(&format!("= {}\n", output.status.code().unwrap_or(-1)));
    }
    if is_edit {
        for file in ["main.cf", "master.cf"] {
            let now = fs::read(scratch.path().join("c").join(file)).unwrap();
            if now != fs::read(fixtures().join(name).join(file)).unwrap() {
                text.push_str(&format!("> {file}\n{}", String::from_utf8_lossy(&now)));
            }
        }
    }
    text
}

fn transcript(program: &str, name: &str) -> String {
    let mut text = String::new();
    for (list, is_edit) in [("shows.txt", false), ("edits.txt", true)] {
        let lines = fs::read_to_string(fixtures().join(list)).unwrap();
        for line in lines.lines() {
            text.push_str(&run(program, name, line, is_edit));
        }
    }
    text
}

#[track_caller]
fn check(name: &str, got: &str, want: &str) {
    for (index, (got, want)) in got.lines().zip(want.lines()).enumerate() {
        assert_eq!(got, want, "{name}, line {} of the transcript", index + 1);
    }
    assert_eq!(got.lines().count(), want.lines().count(), "{name}");
}

#[test]
fn listings_and_edits_are_those_of_the_reference() {
    for name in CONFIGURATIONS {
        let path = fixtures().join(name).join("transcript.txt");
        if std::env::var_os("UPDATE").is_some() {
            let program = std::env::var("POSTCONF").unwrap_or_else(|_| REFERENCE.into());
            fs::write(&path, transcript(&program, name)).unwrap();
        }
        let want = fs::read_to_string(&path).unwrap();
        check(name, &transcript(OURS, name), &want);
    }
}

#[test]
fn the_transcripts_are_those_of_the_installed_reference() {
    let version = Command::new(REFERENCE)
        .args(["-dh", "mail_version"])
        .output();
    let is_reference =
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("3.7."));
    if !is_reference {
        eprintln!("skipped: no Postfix 3.7 is installed");
        return;
    }
    // A few commands of each, since the reference waits for a second on every error.
    for name in CONFIGURATIONS {
        let path = fixtures().join(name).join("transcript.txt");
        let want = fs::read_to_string(path).unwrap();
        for (line, is_edit) in [
            ("-n -f", false),
            ("-Mxf", false),
            ("-P", false),
            ("a=3", true),
        ] {
            let got = run(REFERENCE, name, line, is_edit);
            assert!(want.contains(&got), "{name}: {got}");
        }
    }
}
