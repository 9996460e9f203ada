//! `cargo xtask ci`: format, lints, documentation, layers; then every test.

use crate::{build, layers, test};

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
    test::test(&["--strict".to_owned()])
}
