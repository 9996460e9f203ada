//! Tests that cannot run here say so, also when the test runner hides what passing tests print.

use std::fs::File;
use std::io::Write;

/// Tells that something was not tested and why; `cargo xtask test` repeats it at the end, from the file
/// that `$POSTERN_SKIPPED` names.
pub fn skip(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}\n");
    eprint!("{line}");
    let Some(path) = std::env::var_os("POSTERN_SKIPPED") else {
        return;
    };
    let written = File::options()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("note what was skipped: {error}");
    }
}
