//! Delivery to a command: identity, environment, time limit, and what its end means (delivery.md §2.8).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bstr::{BString, ByteSlice};
use nix::sys::signal::Signal;
use postern_ipc::deliver::{Dsn, Recipient};
use postern_sys::socket::{Interest, wait};
use postern_sys::{error_text, process, signal, user};

use crate::Delivery;
use crate::copy::{CopyOptions, copy};

/// Bytes of output that are looked at.
const OUTPUT_LIMIT: usize = 4096;
/// What a command finds as its search path.
const PATH: &str = "/usr/bin:/bin";

/// A command and how it is to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Program and arguments.
    pub argv: Vec<BString>,
    /// Let the shell try when there is no such program: it may know the name itself.
    pub or_shell: bool,
    /// The command as it is shown in reasons.
    pub shown: BString,
    /// Real and effective user.
    pub uid: u32,
    /// Real and effective group.
    pub gid: u32,
    /// Working directory; the queue directory when absent.
    pub directory: Option<PathBuf>,
    /// Environment besides PATH and the exported names.
    pub environment: Vec<(String, BString)>,
    /// `export_environment`: names that are kept, and `name=value`.
    pub export: Vec<String>,
    /// Limit of each wait.
    pub time_limit: Duration,
    /// Most bytes of a file that the command may write; 0 is no limit.
    pub file_size_limit: u64,
    /// Name of the agent, and what it puts before `execvp`, as in `local: fatal: execvp`.
    pub agent: (&'static str, &'static str),
}

/// What a command's end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered; the output, if any, is a comment.
    Delivered(BString),
    /// Class 4 or 5.
    Failed(Dsn),
}

/// Runs the command with the message on its standard input.
pub fn run(
    job: &Job,
    delivery: &Delivery,
    recipient: &Recipient,
    options: &CopyOptions,
) -> Verdict {
    if job.uid == 0 || job.gid == 0 {
        log::warn!(
            "refused to run a command with user ID {} and group ID {}: {}",
            job.uid,
            job.gid,
            job.shown
        );
        return failed("4.3.5", "mail system configuration error".to_owned());
    }
    let spawned =
        user::as_user(0, 0, || spawn_or_shell(job)).unwrap_or_else(|_| spawn_or_shell(job));
    let (mut child, output) = match spawned {
        Ok(child) => child,
        Err(error) => return not_started(job, &error),
    };
    let Some(input) = child.stdin.take() else {
        return failed("4.3.0", "Delivery failed: no pipe".to_owned());
    };
    let mut input = Timed {
        pipe: OwnedFd::from(input).into(),
        limit: job.time_limit,
    };
    let (copied, text, timed_out) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_output(output, job.time_limit));
        let copied = copy(delivery, recipient, options, &mut input);
        drop(input);
        let (text, timed_out) = reader.join().unwrap_or_default();
        (copied, text, timed_out)
    });
    let copy_error = match copied {
        Ok(()) => None,
        // A command need not read all of its input.
        Err(crate::copy::CopyError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            None
        }
        Err(error) => Some(error),
    };
    let write_late = matches!(&copy_error, Some(crate::copy::CopyError::Write(error)) if error.kind() == io::ErrorKind::TimedOut);
    if write_late {
        log::warn!("pipe_command_write: write time limit exceeded");
    }
    if timed_out {
        log::warn!("pipe_command_read: read time limit exceeded");
    }
    let patience = if timed_out || write_late {
        Duration::ZERO
    } else {
        job.time_limit
    };
    let status = wait_or_kill(&mut child, patience, timed_out || write_late);
    judge(
        job,
        status,
        &text,
        copy_error.map(|error| error.to_string()),
    )
}

fn failed(status: &str, reason: String) -> Verdict {
    Verdict::Failed(Dsn {
        status: status.into(),
        reason: reason.into(),
        ..Dsn::default()
    })
}

/// Why no command runs: no process could be made, or the program could not be executed. The latter
/// looks as if a child had said so.
fn not_started(job: &Job, error: &io::Error) -> Verdict {
    use nix::errno::Errno;
    if matches!(
        error.raw_os_error().map(Errno::from_raw),
        None | Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
    ) {
        return failed("4.3.0", format!("Delivery failed: {}", error_text(error)));
    }
    let (agent, context) = job.agent;
    let output = match &job.directory {
        Some(directory) if !is_enterable(directory, job) => {
            say_in_child(&format!(
                "cannot change directory to \"{}\" for uid={} gid={}: {}",
                directory.display(),
                job.uid,
                job.gid,
                error_text(error)
            ));
            String::new()
        }
        _ => {
            let program = job
                .argv
                .first()
                .map(|program| program.as_bstr())
                .unwrap_or_default();
            let text = format!("{context}execvp {program}: {}", error_text(error));
            say_in_child(&text);
            format!("{agent}: fatal: {text}\n")
        }
    };
    judge(
        job,
        End::Exit(ExitStatus::from_raw(75 << 8)),
        output.as_bytes(),
        None,
    )
}

/// Logs `fatal: text` from a process of its own: the agent itself goes on, and must not seem to have
/// ended.
fn say_in_child(text: &str) {
    match process::fork() {
        Ok(process::Fork::Child) => {
            postern_maillog::log(postern_maillog::Severity::Fatal, text);
            process::exit_now(75)
        }
        Ok(process::Fork::Parent(child)) => {
            let _ = process::wait_for(child);
        }
        Err(_) => postern_maillog::log(postern_maillog::Severity::Fatal, text),
    }
}

/// Whether the command's user may make `directory` the working directory.
fn is_enterable(directory: &std::path::Path, job: &Job) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let open = || {
        File::options()
            .read(true)
            .custom_flags(nix::libc::O_PATH | nix::libc::O_DIRECTORY)
            .open(directory.join("."))
    };
    user::as_user(job.uid, job.gid, open).is_ok_and(|opened| opened.is_ok())
}

fn spawn_or_shell(job: &Job) -> io::Result<(Child, OwnedFd)> {
    match spawn(job, &job.argv) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && job.or_shell
                && !job
                    .argv
                    .first()
                    .is_some_and(|program| program.contains(&b'/')) =>
        {
            spawn(job, &through_shell(&job.shown))
        }
        other => other,
    }
}

fn spawn(job: &Job, argv: &[BString]) -> io::Result<(Child, OwnedFd)> {
    use std::os::unix::ffi::OsStrExt;
    let os = |text: &BString| std::ffi::OsStr::from_bytes(text).to_owned();
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(os(program));
    command.args(args.iter().map(os));
    command.env_clear().env("PATH", PATH);
    for item in &job.export {
        match item.split_once('=') {
            Some((name, value)) => {
                command.env(name, value);
            }
            None => {
                if let Some(value) = std::env::var_os(item) {
                    command.env(item, value);
                }
            }
        }
    }
    for (name, value) in &job.environment {
        command.env(name, os(value));
    }
    if let Some(directory) = &job.directory {
        command.current_dir(directory);
    }
    command
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    process::detach_child(
        &mut command,
        (job.file_size_limit > 0).then_some(job.file_size_limit),
    );
    if user::euid() == 0 {
        command.gid(job.gid).uid(job.uid);
    }
    let child = command.spawn()?;
    // The command's copies of the pipe must be the only ones.
    drop(command);
    Ok((child, reader.into()))
}

/// A pipe whose writes wait a limited time.
struct Timed {
    pipe: File,
    limit: Duration,
}

impl Write for Timed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if !wait(self.pipe.as_fd(), Interest::Write, Some(self.limit))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A pipe that is writable takes at least PIPE_BUF bytes without blocking.
        self.pipe.write(&data[..data.len().min(4096)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first 4096 bytes, and whether a read took too long.
fn read_output(output: OwnedFd, limit: Duration) -> (Vec<u8>, bool) {
    use std::io::Read;
    let mut output = File::from(output);
    let mut text = Vec::new();
    let mut chunk = [0; OUTPUT_LIMIT];
    while text.len() < OUTPUT_LIMIT {
        match wait(output.as_fd(), Interest::Read, Some(limit)) {
            Ok(true) => {}
            Ok(false) => return (text, true),
            Err(_) => break,
        }
        match output.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => text.extend_from_slice(&chunk[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    text.truncate(OUTPUT_LIMIT);
    (text, false)
}

/// How the command ended.
enum End {
    Exit(ExitStatus),
    TimedOut,
    Unknown(io::Error),
}

fn wait_or_kill(child: &mut Child, patience: Duration, late: bool) -> End {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) if !late => return End::Exit(status),
            Ok(Some(_)) => return End::TimedOut,
            Err(error) => return End::Unknown(error),
            Ok(None) if Instant::now() >= deadline => break,
            Ok(None) => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        }
    }
    if !late {
        log::warn!("pipe_command_wait_or_kill: child wait time limit exceeded");
    }
    if let Ok(pid) = i32::try_from(child.id()) {
        let kill = || signal::kill(-pid, Signal::SIGKILL);
        let _ = user::as_user(0, 0, kill).or_else(|_| Ok::<_, io::Error>(kill()));
    }
    let _ = child.wait();
    End::TimedOut
}

fn judge(job: &Job, end: End, output: &[u8], copy_error: Option<String>) -> Verdict {
    let shown = &job.shown;
    let text = printable_output(output);
    let and_output = if text.is_empty() {
        String::new()
    } else {
        format!(". Command output: {text}")
    };
    let status = match end {
        End::Exit(status) => status,
        End::TimedOut => {
            return failed(
                "5.3.0",
                format!("Command time limit exceeded: \"{shown}\"{and_output}"),
            );
        }
        End::Unknown(error) => {
            return failed("4.3.0", format!("Delivery failed: {}", error_text(&error)));
        }
    };
    if let Some(signal) = status.signal() {
        return failed(
            "4.3.0",
            format!("Command died with signal {signal}: \"{shown}\"{and_output}"),
        );
    }
    let code = status.code().unwrap_or(-1);
    if code == 0 {
        return match copy_error {
            Some(error) => failed("5.3.0", format!("Command failed: {error}: \"{shown}\"")),
            None => Verdict::Delivered(text),
        };
    }
    // A status code in the output says more than the exit status.
    if let Some(length) = postern_mail::dsn::status_length(&text) {
        let reason = text[length..].trim_ascii_start();
        return Verdict::Failed(Dsn {
            status: text[..length].into(),
            reason: reason.into(),
            ..diagnostic(reason)
        });
    }
    match sysexit(code) {
        Some((status, meaning)) => {
            let reason = format!("{meaning}{and_output}");
            Verdict::Failed(Dsn {
                status: status.into(),
                reason: reason.clone().into(),
                ..diagnostic(meaning.as_bytes())
            })
        }
        None => {
            let reason = format!("Command died with status {code}: \"{shown}\"{and_output}");
            Verdict::Failed(Dsn {
                status: "5.3.0".into(),
                reason: reason.into(),
                ..diagnostic(format!("unknown mail system error {code}").as_bytes())
            })
        }
    }
}

/// `Diagnostic-Code: x-unix; …` of notices.
fn diagnostic(text: &[u8]) -> Dsn {
    Dsn {
        diag_type: "x-unix".into(),
        diag_text: text.into(),
        ..Dsn::default()
    }
}

fn printable_output(output: &[u8]) -> BString {
    output
        .iter()
        .map(|&byte| match byte {
            b'\t' | b'\n' => b' ',
            32..=126 => byte,
            _ => b'_',
        })
        .collect::<Vec<u8>>()
        .into()
}

/// Status and meaning of the exit codes of sysexits(3).
pub fn sysexit(code: i32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        64 => ("5.3.0", "command line usage error"),
        65 => ("5.6.0", "data format error"),
        66 => ("5.3.0", "cannot open input"),
        67 => ("5.1.1", "user unknown"),
        68 => ("5.1.2", "host name unknown"),
        69 => ("5.3.0", "service unavailable"),
        70 => ("5.3.0", "internal software error"),
        71 => ("4.3.0", "system resource problem"),
        72 => ("5.3.0", "critical OS file missing"),
        73 => ("5.2.0", "can't create user output file"),
        74 => ("5.3.0", "input/output error"),
        75 => ("4.3.0", "temporary failure"),
        76 => ("5.5.0", "remote error in protocol"),
        77 => ("5.7.0", "permission denied"),
        78 => ("5.3.5", "local configuration error"),
        _ => return None,
    })
}

/// The argument vector of a command line as local(8) runs it: through the shell only when it needs one
/// (see [`Job::or_shell`] for what only a shell knows).
pub fn shell_argv(command: &BString, shell: &str) -> Vec<BString> {
    let words = |text: &[u8]| -> Vec<BString> {
        text.fields_with(|c| c == ' ' || c == '\t')
            .map(BString::from)
            .collect()
    };
    if !shell.is_empty() {
        let mut argv = words(shell.as_bytes());
        argv.push(command.clone());
        return argv;
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!@%-_=+:,./ \t".contains(byte);
    let argv = words(command);
    if command.iter().all(plain) && !argv.is_empty() {
        argv
    } else {
        through_shell(command)
    }
}

fn through_shell(command: &BString) -> Vec<BString> {
    vec!["sh".into(), "-c".into(), command.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            argv: Vec::new(),
            or_shell: false,
            shown: "/bin/x".into(),
            uid: 1,
            gid: 1,
            directory: None,
            environment: Vec::new(),
            export: Vec::new(),
            time_limit: Duration::from_secs(1),
            file_size_limit: 0,
            agent: ("local", ""),
        }
    }

    #[test]
    fn end_of_a_command_decides_status_and_text() {
        let exit = |code: i32| End::Exit(ExitStatus::from_raw(code << 8));
        for (end, output, status, reason) in [
            (
                exit(1),
                "",
                "5.3.0",
                "Command died with status 1: \"/bin/x\"",
            ),
            (
                exit(75),
                "busy\n",
                "4.3.0",
                "temporary failure. Command output: busy ",
            ),
            (exit(1), "4.2.2 mailbox full", "4.2.2", "mailbox full"),
            (exit(1), "2.1.1 fine", "2.1.1", "fine"),
            (exit(67), "", "5.1.1", "user unknown"),
            (
                End::Exit(ExitStatus::from_raw(9)),
                "",
                "4.3.0",
                "Command died with signal 9: \"/bin/x\"",
            ),
            (
                End::TimedOut,
                "",
                "5.3.0",
                "Command time limit exceeded: \"/bin/x\"",
            ),
        ] {
            match judge(&job(), end, output.as_bytes(), None) {
                Verdict::Failed(dsn) => assert_eq!(
                    (dsn.status.as_bstr(), dsn.reason.as_bstr()),
                    (status.into(), reason.into())
                ),
                delivered @ Verdict::Delivered(_) => panic!("{delivered:?}"),
            }
        }
        assert_eq!(
            judge(&job(), exit(0), b"ok\n", None),
            Verdict::Delivered("ok ".into())
        );
    }

    #[test]
    fn shell_is_used_only_where_it_is_needed() {
        let argv = |command: &str, shell: &str| -> Vec<String> {
            shell_argv(&command.into(), shell)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(argv("/bin/prog a b", ""), ["/bin/prog", "a", "b"]);
        assert_eq!(argv("/bin/prog \"a\"", ""), ["sh", "-c", "/bin/prog \"a\""]);
        assert_eq!(argv("exit 1", ""), ["exit", "1"]);
        assert_eq!(argv(" ", ""), ["sh", "-c", " "]);
        assert_eq!(argv("x y", "/bin/smrsh -c"), ["/bin/smrsh", "-c", "x y"]);
    }
}
