//! Starting, watching and becoming processes.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The process id, remembered so that log lines cost no system call for it.
pub fn id() -> u32 {
    static ID: AtomicU32 = AtomicU32::new(0);
    match ID.load(Ordering::Relaxed) {
        0 => {
            let id = std::process::id();
            ID.store(id, Ordering::Relaxed);
            ON_FORK.call_once(|| forget_at_fork(&ID));
            id
        }
        id => id,
    }
}

static ON_FORK: std::sync::Once = std::sync::Once::new();
static ID_CELL: std::sync::OnceLock<&'static AtomicU32> = std::sync::OnceLock::new();

fn forget_at_fork(id: &'static AtomicU32) {
    extern "C" fn in_child() {
        if let Some(id) = ID_CELL.get() {
            id.store(0, Ordering::Relaxed);
        }
    }
    let _ = ID_CELL.set(id);
    // SAFETY: `in_child` is a plain function that stores to an atomic; libc keeps the pointer.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// A program to start with exactly the given arguments, environment and descriptors.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// Path of the program; no search.
    pub program: CString,
    /// argv, with `argv[0]`.
    pub args: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Which descriptor the child finds at which number. All others must be close-on-exec.
    pub descriptors: Vec<(BorrowedFd<'a>, RawFd)>,
}

/// Starts a program and returns its process id.
///
/// In the child, when the program cannot be executed, `failed` runs; then the child exits with
/// status 1. The caller must have one thread only.
///
/// # Errors
///
/// When no process can be made.
pub fn spawn(spawn: &Spawn<'_>, failed: impl FnOnce(io::Error)) -> io::Result<i32> {
    // SAFETY: the process has one thread (documented demand), so the child may run any code.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            let error = match place(&spawn.descriptors) {
                Ok(()) => match unistd::execve(&spawn.program, &spawn.args, &spawn.env) {
                    Err(error) => io::Error::from(error),
                    Ok(never) => match never {},
                },
                Err(error) => error,
            };
            failed(error);
            // SAFETY: _exit has no preconditions; no destructors of the parent's state shall run.
            unsafe { libc::_exit(1) }
        }
    }
}

/// Moves the descriptors to their numbers, whatever the overlap between old and new numbers.
pub(crate) fn place(descriptors: &[(BorrowedFd<'_>, RawFd)]) -> io::Result<()> {
    let above = descriptors
        .iter()
        .map(|(_, target)| target + 1)
        .max()
        .unwrap_or(0);
    let mut moved: Vec<(OwnedFd, RawFd)> = Vec::with_capacity(descriptors.len());
    for (source, target) in descriptors {
        let copy = nix::fcntl::fcntl(source, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(above))?;
        // SAFETY: fcntl has just made this descriptor.
        moved.push((unsafe { OwnedFd::from_raw_fd(copy) }, *target));
    }
    for (copy, target) in &moved {
        // SAFETY: dup2 takes two numbers; whatever was open at `target` in this child is given up.
        if unsafe { libc::dup2(copy.as_raw_fd(), *target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// How a child changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEvent {
    /// It ended with this exit status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
}

/// The next child that changed, without waiting.
pub fn reap() -> Option<(i32, ChildEvent)> {
    loop {
        return match waitpid(
            Pid::from_raw(-1),
            Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED),
        ) {
            Ok(WaitStatus::Exited(pid, status)) => Some((pid.as_raw(), ChildEvent::Exited(status))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                Some((pid.as_raw(), ChildEvent::Killed(signal as i32)))
            }
            Ok(WaitStatus::Stopped(pid, signal)) => {
                Some((pid.as_raw(), ChildEvent::Stopped(signal as i32)))
            }
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => None,
            // A signal number that nix does not know: report the child as killed by it is not
            // possible, but its siblings must still be seen.
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(_) => None,
        };
    }
}

/// The two sides after [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The old process; the value is the child's id.
    Parent(i32),
    /// The new process.
    Child,
}

/// Splits the process in two. The caller must have one thread only.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the process has one thread (documented demand), so the child may run any code.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Ends the process at once, without destructors and exit handlers.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Whether one child ended, without waiting.
pub fn try_wait(pid: i32) -> io::Result<Option<ChildEvent>> {
    loop {
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(Some(ChildEvent::Exited(status))),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Ok(Some(ChildEvent::Killed(signal as i32)));
            }
            Ok(_) => return Ok(None),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for one child to end.
pub fn wait_for(pid: i32) -> io::Result<ChildEvent> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(ChildEvent::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(ChildEvent::Killed(signal as i32)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Detaches from the terminal: a new session and process group.
pub fn new_session() -> io::Result<()> {
    unistd::setsid()?;
    Ok(())
}

/// Standard streams by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// Descriptor 0.
    Input,
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

/// Points standard streams to /dev/null.
pub fn to_dev_null(streams: &[Standard]) -> io::Result<()> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for stream in streams {
        redirect(null.as_fd(), *stream)?;
    }
    Ok(())
}

/// Points a standard stream to `file`.
pub fn redirect(file: impl AsFd, stream: Standard) -> io::Result<()> {
    match stream {
        Standard::Input => unistd::dup2_stdin(file)?,
        Standard::Output => unistd::dup2_stdout(file)?,
        Standard::Error => unistd::dup2_stderr(file)?,
    }
    Ok(())
}

/// Closes every descriptor from `first` up. Call at the very start, before anything is open.
pub fn close_from(first: u32) {
    // SAFETY: called before this program opened anything (documented demand), so that no owner of
    // a descriptor is robbed.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Raises the limit of file sizes as far as the hard limit allows.
pub fn unlimit_file_size() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_FSIZE)
        && soft != hard
    {
        let _ = setrlimit(Resource::RLIMIT_FSIZE, hard, hard);
    }
}

/// Raises the number of descriptors that may be open as far as the hard limit allows; the result
/// is the limit now.
pub fn unlimit_descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() => hard,
        Ok((soft, _)) => soft,
        Err(_) => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn descriptors_arrive_at_the_numbers_asked_for() {
        let (reader, writer) = unistd::pipe().unwrap();
        let spawn_it = Spawn {
            program: c"/bin/sh".to_owned(),
            args: vec![
                c"sh".to_owned(),
                c"-c".to_owned(),
                c"echo $X >&9".to_owned(),
            ],
            env: vec![c"X=value".to_owned()],
            descriptors: vec![(writer.as_fd(), 9)],
        };
        let pid = spawn(&spawn_it, |_| ()).unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "value\n");
        assert_eq!(wait_for(pid).unwrap(), ChildEvent::Exited(0));
    }
}
