//! `cargo xtask test`: every test, and what was skipped.

use crate::build::{self, Profile};
use crate::deps;

/// Builds the programs, then runs all tests against them.
pub(crate) fn test(args: &[String]) -> Result<(), String> {
    let strict = args.iter().any(|arg| arg == "--strict");
    let rest: Vec<&String> = args.iter().filter(|arg| *arg != "--strict").collect();
    let bin = build::programs(Profile::Debug)?;
    build::run(
        build::cargo()
            .args(["test", "--workspace"])
            .args(rest)
            .env("POSTERN_BIN_DIR", bin),
    )?;
    let missing = deps::missing();
    if missing.is_empty() {
        return Ok(());
    }
    for peer in &missing {
        eprintln!("skipped: tests against {} (not installed)", peer.name);
    }
    eprintln!("`cargo xtask deps` installs what is missing");
    if strict {
        Err(format!("{} peers are missing", missing.len()))
    } else {
        Ok(())
    }
}
