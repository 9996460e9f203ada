//! `cargo xtask fuzz`: the targets of fuzz/, each for a while.

use std::process::Command;

use crate::build;

/// Default time for each target.
const SECONDS: &str = "60";

/// Whether every target still compiles: with the stable compiler, without cargo-fuzz and without a C++
/// compiler.
pub(crate) fn check() -> Result<(), String> {
    let top = build::top();
    build::run(
        build::cargo()
            .args(["check", "--quiet", "--bins", "--manifest-path"])
            .arg(top.join("fuzz/Cargo.toml"))
            // Away from what cargo-fuzz makes with other flags.
            .arg("--target-dir")
            .arg(top.join("target/fuzz"))
            .env("RUSTFLAGS", "--cfg fuzzing -D warnings")
            // Nothing is linked, so that libFuzzer need not be built.
            .env("CUSTOM_LIBFUZZER_PATH", "/not-linked/libfuzzer.a"),
    )
}

/// Runs every target, or the named one; needs cargo-fuzz.
pub(crate) fn fuzz(args: &[String]) -> Result<(), String> {
    let (numbers, names): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.parse::<u32>().is_ok());
    let seconds = numbers.first().map_or(SECONDS, |text| text.as_str());
    let fuzz = build::top().join("fuzz");
    let cargo = |args: &[&str]| {
        let mut command = Command::new("cargo");
        // libFuzzer's instrumentation needs flags that a stable compiler takes only with this.
        command
            .current_dir(&fuzz)
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("fuzz")
            .args(args);
        command
    };
    let listing = cargo(&["list"])
        .output()
        .map_err(|error| format!("cargo fuzz list: {error}; cargo install cargo-fuzz"))?;
    if !listing.status.success() {
        return Err("cargo fuzz list failed; cargo install cargo-fuzz".to_owned());
    }
    for target in String::from_utf8_lossy(&listing.stdout).lines() {
        if names.is_empty() || names.iter().any(|name| *name == target) {
            let corpus = fuzz.join("corpus").join(target);
            std::fs::create_dir_all(&corpus)
                .map_err(|error| format!("{}: {error}", corpus.display()))?;
            build::run(&mut cargo(&[
                "run",
                target,
                // New inputs go to the first directory; the second is part of the project.
                &format!("corpus/{target}"),
                &format!("seeds/{target}"),
                "--",
                &format!("-max_total_time={seconds}"),
                "-timeout=10",
                "-rss_limit_mb=2048",
            ]))?;
        }
    }
    Ok(())
}
