//! `cargo xtask test`: every test, and what was skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::build::{self, Profile};
use crate::{deps, parameters};

/// Builds the programs, then runs all tests against them.
pub(crate) fn test(args: &[String]) -> Result<(), String> {
    let strict = args.iter().any(|arg| arg == "--strict");
    let rest: Vec<&String> = args.iter().filter(|arg| *arg != "--strict").collect();
    parameters::check()?;
    let bin = build::programs(Profile::Debug)?;
    let skipped = build::target_directory().join("skipped-tests");
    // Left by an earlier run; mostly there is none.
    let _ = fs::remove_file(&skipped);
    let result = build::run(
        build::cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(rest)
            .env("POSTERN_BIN_DIR", bin)
            .env("POSTERN_SKIPPED", &skipped),
    );
    let count = tell_skipped(&skipped);
    result?;
    if strict && count > 0 {
        Err(format!("{count} things were not tested"))
    } else {
        Ok(())
    }
}

/// Names the peers that are missing and what the tests themselves left out.
fn tell_skipped(noted: &Path) -> usize {
    let text = fs::read_to_string(noted).unwrap_or_default();
    let mut lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let missing = deps::missing();
    for peer in &missing {
        lines.insert(format!(
            "skipped: tests against {} (not installed)",
            peer.name
        ));
    }
    for line in &lines {
        eprintln!("{line}");
    }
    if !missing.is_empty() {
        eprintln!("`cargo xtask deps` installs what is missing");
    }
    lines.len()
}
