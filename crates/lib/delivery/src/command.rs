//! Delivery to a command: the message on its standard input, what it says, and what its end means
//! (delivery.md §2.8).

mod shell;
mod streams;
mod verdict;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use postern_ipc::deliver::{Dsn, Recipient};
use postern_mail::printable::Charset;
use postern_program::{Program, Running};
use postern_sys::child::Step;
use postern_sys::error_text;

use crate::Delivery;
use crate::copy::{CopyError, CopyOptions, copy};
use streams::Streams;
use verdict::{End, Said, judge};

pub use shell::shell_argv;

/// A command and how it is to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// What runs.
    pub program: Program,
    /// The command as it is shown in reasons.
    pub shown: BString,
    /// Limit of each wait.
    pub time_limit: Duration,
    /// What may stay as it is in the command's output.
    pub charset: Charset,
    /// Name of the agent, and what it puts before `execvp`, as in `local: fatal: execvp`.
    pub agent: (&'static str, &'static str),
}

/// What a command's end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered; the output, if any, is a comment.
    Delivered(BString),
    /// Class 4 for now, any other class for ever.
    Failed(Dsn),
}

/// Runs the command with the message on its standard input.
pub fn run(
    job: &Job,
    delivery: &Delivery,
    recipient: &Recipient,
    options: &CopyOptions,
) -> Verdict {
    let (mut running, mut streams) = match start(job) {
        Ok(started) => started,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Verdict::Failed(verdict::dsn("4.3.5", "mail system configuration error"));
        }
        Err(error) => return Verdict::Failed(verdict::not_run(&error)),
    };
    let copied = streams.send(|out| copy(delivery, recipient, options, out));
    if let Err(error @ (CopyError::Read(_) | CopyError::Corrupt(_))) = &copied {
        // Before its input ends: the command must not take half a message for a whole one.
        running.kill();
        let _ = running.wait(None);
        let reason = format!("Command failed: {error}: \"{}\"", job.shown);
        return Verdict::Failed(verdict::dsn(error.status(), &reason));
    }
    streams.close_input();
    let is_late = match &copied {
        Err(CopyError::Write(error)) if error.kind() == io::ErrorKind::TimedOut => {
            log::warn!("pipe_command_write: write time limit exceeded");
            true
        }
        _ => !streams.receive_rest(),
    };
    let end = end_of(&mut running, is_late, job.time_limit);
    let unsent = match copied {
        // A command need not read all of its input.
        Err(CopyError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => None,
        other => other.err(),
    };
    let said = Said::new(streams.output(), job.charset);
    judge(job.shown.as_bstr(), &end, &said, unsent.as_ref())
}

fn start(job: &Job) -> io::Result<(Running, Streams)> {
    let (their_input, input) = io::pipe()?;
    let (output, their_output) = io::pipe()?;
    let descriptors = [
        (their_input.as_fd(), 0),
        (their_output.as_fd(), 1),
        (their_output.as_fd(), 2),
    ];
    let running = job.program.start(&descriptors, |step, error| {
        report_in_child(job, step, error);
        verdict::TEMPORARY_FAILURE
    })?;
    let streams = Streams::new(input.into(), output.into(), job.time_limit);
    Ok((running, streams))
}

/// Logs why the command cannot run, in the child, as if it were the agent. What goes wrong after the
/// child has streams of its own is part of the command's output, too.
fn report_in_child(job: &Job, step: Step, error: &io::Error) {
    use std::io::Write;
    let (agent, context) = job.agent;
    let text = job.program.failure(step, error).unwrap_or_else(|| {
        format!(
            "{context}execvp {}: {}",
            job.program.name(),
            error_text(error)
        )
    });
    postern_maillog::log(postern_maillog::Severity::Fatal, &text);
    if step == Step::Execute {
        let _ = writeln!(io::stderr(), "{agent}: fatal: {text}");
    }
}

/// Waits for the command, or ends it and all it started in its session.
fn end_of(running: &mut Running, is_late: bool, limit: Duration) -> End {
    if !is_late {
        match running.wait(Some(limit)) {
            Ok(Some(event)) => return End::Event(event),
            Ok(None) => {
                log::warn!("pipe_command_wait_or_kill: child wait time limit exceeded");
            }
            Err(error) => return End::Unknown(error),
        }
    }
    running.kill();
    let _ = running.wait(None);
    End::TimedOut
}
