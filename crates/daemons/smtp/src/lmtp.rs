//! The smtp program under its other name: lmtp.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    postern_smtp::main()
}
