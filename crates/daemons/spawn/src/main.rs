//! The spawn program; all of it is in the library beside.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    postern_spawn::main()
}
