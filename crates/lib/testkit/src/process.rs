//! The processes of an instance: its master and what that started, found by parentage alone.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Instance;
use crate::{instance::PATIENCE, wait_until};

/// A running program of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process number.
    pub pid: i32,
    /// Name of the program.
    pub name: String,
}

impl Instance {
    /// The master in the lock file, if it is alive and is a master.
    #[must_use]
    pub fn master(&self) -> Option<Process> {
        let text = fs::read_to_string(self.file("spool/pid/master.pid")).ok()?;
        let pid: i32 = text.trim().parse().ok()?;
        let (name, _) = stat(pid)?;
        (name == "master").then_some(Process { pid, name })
    }

    /// What the master started.
    #[must_use]
    pub fn daemons(&self) -> Vec<Process> {
        let Some(master) = self.master() else {
            return Vec::new();
        };
        let mut found: Vec<Process> = numbers()
            .filter_map(|pid| {
                let (name, parent) = stat(pid)?;
                (parent == master.pid).then_some(Process { pid, name })
            })
            .collect();
        found.sort_by_key(|process| process.pid);
        found
    }

    /// Programs of this instance that its master, if there is one, did not start: what a killed master
    /// left behind. A program of the mail system works in the queue directory.
    #[must_use]
    pub fn strays(&self) -> Vec<Process> {
        let spool = self.file("spool");
        let master = self.master().map_or(0, |master| master.pid);
        numbers()
            .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|path| path == spool))
            .filter_map(|pid| {
                let (name, parent) = stat(pid)?;
                (pid != master && parent != master).then_some(Process { pid, name })
            })
            .collect()
    }

    /// Waits for a daemon called `name`.
    #[track_caller]
    pub fn wait_daemon(&self, name: &str) -> Process {
        wait_until(&format!("a process {name}"), PATIENCE, || {
            self.daemons()
                .into_iter()
                .find(|process| process.name == name)
        })
    }

    /// SIGKILL, to a process that is still what [`Self::daemons`] or [`Self::master`] said.
    pub fn kill(&self, process: &Process) -> bool {
        let alive = stat(process.pid).is_some_and(|(name, _)| name == process.name);
        alive && kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok()
    }

    /// After a stop: whatever is left of the mail system must not outlive its directory.
    pub(crate) fn kill_rest(&self) {
        if let Some(master) = self.master() {
            for process in self.daemons() {
                self.kill(&process);
            }
            self.kill(&master);
        }
    }
}

fn numbers() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Name and parent of a process that has not ended.
fn stat(pid: i32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (front, rest) = text.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then(|| (name.to_owned(), parent))
}
