//! qmgr
#![forbid(unsafe_code)]
mod arena;
mod core;
mod envelope;

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
