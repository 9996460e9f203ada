//! `cargo xtask ci`: format, lints, documentation, layers, the fuzz targets' code; then every test.

use crate::{build, fuzz, layers, test};

/// Runs everything; the first failure ends it.
pub(crate) fn ci() -> Result<(), String> {
    build::run(build::cargo().args(["fmt", "--all", "--check"]))?;
    layers::layers()?;
    build::run(build::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    build::run(
        build::cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    fuzz::check()?;
    test::test(&["--strict".to_owned()])
}
