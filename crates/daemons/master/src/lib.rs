//! master: runs the daemons of master.cf on demand. Manual page: master(8).
//!
//! master owns all listening sockets, starts a process when a client waits and no process is free,
//! and learns from the processes' status records which are free. It speaks no protocol itself.
//! Sources: master(8), master(5), master.md §1-2 of our specification.
#![forbid(unsafe_code)]

mod children;
mod inet;
mod lock_file;
mod master;
mod options;
mod plan;
mod reload;
mod service;
mod sockets;
mod spawn;
mod startup;
mod status;
mod wakeup;

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    startup::main()
}
