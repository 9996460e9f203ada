//! A program and its life.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use nix::sys::signal::Signal;
use postern_sys::child::{self, Child, Step};
use postern_sys::process::{self, ChildEvent};
use postern_sys::{error_text, signal, user};

/// What a program finds as its search path.
const PATH: &str = "/usr/bin:/bin";
/// The longest pause between two looks at a program that should end.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A program and how it is to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Program and arguments; further ones are tried when there is no program of the name before.
    pub argv: Vec<Vec<BString>>,
    /// User and group; neither may be 0. A process that is not root runs the program as itself.
    pub rights: (u32, u32),
    /// New root directory.
    pub root: Option<PathBuf>,
    /// Working directory; the present one (`/` with a new root) when absent.
    pub directory: Option<PathBuf>,
    /// `export_environment`: names that are kept, and `name=value`; the search path is never taken
    /// from there.
    pub export: Vec<String>,
    /// Environment besides PATH and the exported names.
    pub environment: Vec<(String, BString)>,
    /// Most bytes of a file that the program may write; 0 is no limit.
    pub file_size_limit: u64,
}

impl Program {
    /// Starts the program; `failed` runs in the child when that fails half way, see [`child::start`].
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for rights that no program gets, which is logged; else no process could be
    /// made.
    pub fn start(
        &self,
        descriptors: &[(BorrowedFd<'_>, RawFd)],
        failed: impl FnOnce(Step, &io::Error) -> i32,
    ) -> io::Result<Running> {
        let (uid, gid) = self.rights;
        if uid == 0 || gid == 0 {
            log::warn!(
                "refused to run a command with user ID {uid} and group ID {gid}: {}",
                self.name()
            );
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let words = |argv: &Vec<BString>| argv.iter().map(|word| c_string(word)).collect();
        let argv: Vec<Vec<CString>> = self.argv.iter().map(words).collect::<io::Result<_>>()?;
        let child = Child {
            argv: &argv,
            env: &self.environment()?,
            root: self.root.as_deref(),
            identity: (user::uid() == 0).then_some(self.rights),
            directory: self.directory.as_deref(),
            descriptors,
            file_size: (self.file_size_limit > 0).then_some(self.file_size_limit),
        };
        let pid = child::start(&child, |step, error| failed(step, &error))?;
        Ok(Running {
            pid,
            has_ended: false,
        })
    }

    /// The program's name as given.
    pub fn name(&self) -> &BStr {
        let first = self.argv.first().and_then(|argv| argv.first());
        first.map(|name| name.as_bstr()).unwrap_or_default()
    }

    /// What to log about a step before the last one, which each agent words in its own way.
    pub fn failure(&self, step: Step, error: &io::Error) -> Option<String> {
        let (uid, gid) = self.rights;
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default().display().to_string();
        let error = error_text(error);
        Some(match step {
            Step::Execute => return None,
            Step::Root => format!("chroot({}): {error}", path(&self.root)),
            Step::Directory => format!(
                "cannot change directory to \"{}\" for uid={uid} gid={gid}: {error}",
                path(&self.directory)
            ),
            Step::Privilege => format!("set_eugid(0, 0): {error}"),
            Step::Identity => format!("set_ugid({uid}, {gid}): {error}"),
            Step::Session => format!("setsid: {error}"),
            Step::Descriptors => format!("dup2: {error}"),
        })
    }

    /// The exported names, PATH, and what comes with the program; the last value of a name counts.
    fn environment(&self) -> io::Result<Vec<CString>> {
        let mut found = Vec::new();
        for item in &self.export {
            match item.split_once('=') {
                Some((name, value)) => set(&mut found, name, value.as_bytes()),
                None => {
                    if let Some(value) = std::env::var_os(item) {
                        set(&mut found, item, value.as_bytes());
                    }
                }
            }
        }
        set(&mut found, "PATH", PATH.as_bytes());
        for (name, value) in &self.environment {
            set(&mut found, name, value);
        }
        let item =
            |(name, value): &(String, BString)| c_string(&[name.as_bytes(), b"=", value].concat());
        found.iter().map(item).collect()
    }
}

/// Sets a variable; a new one comes last.
fn set(environment: &mut Vec<(String, BString)>, name: &str, value: &[u8]) {
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value.into(),
        None => environment.push((name.to_owned(), value.into())),
    }
}

fn c_string(text: &[u8]) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A program that was started. It must be waited for.
#[derive(Debug)]
pub struct Running {
    pid: i32,
    has_ended: bool,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Waits until it ends; `None` when that takes longer than `limit`.
    ///
    /// # Errors
    ///
    /// The system does not know the process.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<Option<ChildEvent>> {
        let event = match limit {
            None => Some(process::wait_for(self.pid)?),
            Some(limit) => self.wait_until(Instant::now() + limit)?,
        };
        self.has_ended |= event.is_some();
        Ok(event)
    }

    fn wait_until(&self, end: Instant) -> io::Result<Option<ChildEvent>> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(event) = process::try_wait(self.pid)? {
                return Ok(Some(event));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Kills it and all it started in its session. Nothing happens once [`Running::wait`] has seen its
    /// end: the number may be somebody else's then.
    pub fn kill(&self) {
        if self.has_ended {
            return;
        }
        let kill = || {
            // Without a session of its own it has not come far.
            signal::kill(-self.pid, Signal::SIGKILL)
                .or_else(|_| signal::kill(self.pid, Signal::SIGKILL))
        };
        let killed = user::as_user(0, 0, kill).unwrap_or_else(|_| kill());
        if let Err(error) = killed {
            log::warn!("kill process {}: {}", self.pid, error_text(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_has_the_last_value_of_each_name_and_a_path() {
        let of = |export: &[&str], environment: &[(&str, &str)]| -> Vec<String> {
            let program = Program {
                export: export.iter().map(ToString::to_string).collect(),
                environment: environment
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), BString::from(*value)))
                    .collect(),
                ..Program::default()
            };
            let found = program.environment().expect("no NUL");
            found
                .iter()
                .map(|item| item.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(
            of(&["A=1", "NOT_SET_ANYWHERE"], &[]),
            ["A=1", "PATH=/usr/bin:/bin"]
        );
        assert_eq!(
            of(&["PATH=/x", "B=a=b"], &[("C", "1")]),
            ["PATH=/usr/bin:/bin", "B=a=b", "C=1"]
        );
        assert_eq!(
            of(&["A=1"], &[("A", "2"), ("PATH", "/y")]),
            ["A=2", "PATH=/y"]
        );
    }

    #[test]
    fn no_program_runs_with_the_rights_of_root() {
        for rights in [(0, 1), (1, 0)] {
            let program = Program {
                rights,
                ..Program::default()
            };
            let error = program.start(&[], |_, _| 1).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
