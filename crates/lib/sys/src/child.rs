//! Starting a program for somebody else: root directory, identity, session, working directory,
//! descriptors, in this order, then the program itself.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd;

use crate::{process, user};

/// A program and how it is to run.
#[derive(Debug)]
pub struct Child<'a> {
    /// What is executed, each tried when there is no program of the name before. A name without `/` is
    /// searched in the PATH of `env`.
    pub argv: &'a [Vec<CString>],
    /// The whole environment, `NAME=value`.
    pub env: &'a [CString],
    /// New root and working directory.
    pub root: Option<&'a Path>,
    /// User and group, for good; no other groups. Absent: those of the caller.
    pub identity: Option<(u32, u32)>,
    /// Working directory, entered with the new rights.
    pub directory: Option<&'a Path>,
    /// Which descriptor the child finds at which number. All others must be close-on-exec.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Most bytes of a file that the child may write.
    pub file_size: Option<u64>,
}

/// Where starting a program failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Becoming root again, for what follows.
    Privilege,
    /// The new root directory.
    Root,
    /// User and groups.
    Identity,
    /// Session and limits.
    Session,
    /// The working directory.
    Directory,
    /// The descriptors.
    Descriptors,
    /// The program. From here on the child has its own standard error stream.
    Execute,
}

/// Starts the program as the leader of a new session, and returns its process id. Dispositions of
/// signals that the caller ignores are kept.
///
/// What goes wrong in the child is told to `failed`, which runs there and returns its exit status. The
/// caller must have one thread only.
///
/// # Errors
///
/// When no process can be made.
pub fn start(child: &Child<'_>, failed: impl FnOnce(Step, io::Error) -> i32) -> io::Result<i32> {
    match process::fork()? {
        process::Fork::Parent(pid) => Ok(pid),
        process::Fork::Child => {
            let (step, error) = match prepare(child).and_then(|()| execute(child)) {
                Err(failure) => failure,
                Ok(never) => match never {},
            };
            process::exit_now(failed(step, error))
        }
    }
}

fn prepare(child: &Child<'_>) -> Result<(), (Step, io::Error)> {
    let at = |step: Step| move |error: io::Error| (step, error);
    let at_errno = |step: Step| move |error: nix::Error| (step, io::Error::from(error));
    if child.root.is_some() && user::euid() != 0 {
        unistd::seteuid(unistd::Uid::from_raw(0)).map_err(at_errno(Step::Privilege))?;
    }
    if let Some(root) = child.root {
        user::change_root(root).map_err(at(Step::Root))?;
    }
    if let Some((uid, gid)) = child.identity {
        user::set_ugid(uid, gid).map_err(at(Step::Identity))?;
    }
    process::new_session().map_err(at(Step::Session))?;
    if let Some(limit) = child.file_size {
        setrlimit(Resource::RLIMIT_FSIZE, limit, limit).map_err(at_errno(Step::Session))?;
    }
    if let Some(directory) = child.directory {
        unistd::chdir(directory).map_err(at_errno(Step::Directory))?;
    }
    process::place(child.descriptors).map_err(at(Step::Descriptors))
}

fn execute(child: &Child<'_>) -> Result<Infallible, (Step, io::Error)> {
    let mut error = io::Error::from_raw_os_error(libc::ENOENT);
    for argv in child.argv {
        error = exec(argv, child.env);
        if error.raw_os_error() != Some(libc::ENOENT) {
            break;
        }
    }
    Err((Step::Execute, error))
}

/// execvp(3) with the search path of `env`.
fn exec(argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        let ends = std::iter::once(std::ptr::null());
        texts.iter().map(|text| text.as_ptr()).chain(ends).collect()
    };
    let (argv_pointers, env_pointers) = (pointers(argv), pointers(env));
    let program: &CStr = argv.first().map_or(c"", |program| program.as_c_str());
    // SAFETY: this is the child of a process with one thread, so nobody else reads `environ`, and it
    // never reads its own environment again: it executes another program or exits. Both lists end with
    // a null pointer, and what they point to outlives the call.
    unsafe {
        libc::environ = env_pointers.as_ptr().cast_mut().cast();
        libc::execvp(program.as_ptr(), argv_pointers.as_ptr());
    }
    io::Error::last_os_error()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn texts(words: &[&str]) -> Vec<CString> {
        let text = |word: &&str| CString::new(*word).expect("no NUL");
        words.iter().map(text).collect()
    }

    /// Output and exit status of the first of `programs` that exists.
    fn run(programs: &[&[&str]], directory: Option<&str>) -> (String, process::ChildEvent) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let argv: Vec<_> = programs.iter().map(|argv| texts(argv)).collect();
        let child = Child {
            argv: &argv,
            env: &texts(&["B=2", "PATH=/usr/bin:/bin", "A=1"]),
            root: None,
            identity: None,
            directory: directory.map(Path::new),
            descriptors: &[(writer.as_fd(), 1), (writer.as_fd(), 2)],
            file_size: None,
        };
        let pid = start(&child, |step, _| 100 + step as i32).expect("a process");
        drop(writer);
        let mut text = String::new();
        let mut reader = reader;
        reader.read_to_string(&mut text).expect("output");
        (text, process::wait_for(pid).expect("an end"))
    }

    #[test]
    fn program_gets_environment_in_order_directory_and_session() {
        let script = "echo $A$B; pwd; exit 3";
        let (text, end) = run(&[&["sh", "-c", script]], Some("/usr"));
        assert_eq!(text, "12\n/usr\n");
        assert_eq!(end, process::ChildEvent::Exited(3));
        let (text, _) = run(&[&["env"]], None);
        assert_eq!(text, "B=2\nPATH=/usr/bin:/bin\nA=1\n");
        let (text, _) = run(
            &[&["sh", "-c", "ps -o sid= -p $$ | tr -d ' '; echo $$"]],
            None,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 1 || lines.first() == lines.get(1), "{text}");
    }

    #[test]
    fn next_program_is_tried_only_when_there_is_none_of_the_name() {
        let (text, _) = run(&[&["no-such-program"], &["echo", "second"]], None);
        assert_eq!(text, "second\n");
        let (text, end) = run(&[&["/etc"], &["echo", "second"]], None);
        assert_eq!(text, "");
        assert_eq!(end, process::ChildEvent::Exited(100 + Step::Execute as i32));
        let (_, end) = run(&[&["true"]], Some("/no/such"));
        assert_eq!(
            end,
            process::ChildEvent::Exited(100 + Step::Directory as i32)
        );
    }
}
