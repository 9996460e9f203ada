//! `cargo xtask fuzz`: the targets of fuzz/, each for a while.

use std::process::Command;

use crate::build;

/// Default time for each target.
const SECONDS: &str = "60";

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
