//! Tells a person at a terminal how far long work is. Short work, and work whose messages nobody
//! watches, shows nothing.

use std::fs::File;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

/// Work that takes less is not told of.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two lines.
const PAUSE: Duration = Duration::from_millis(500);
/// The clock is looked at after so many steps.
const STEPS: u64 = 256;

/// Counts what is done.
#[derive(Debug)]
pub struct Progress {
    /// `PROGRAM` and what is counted; none when nobody watches.
    names: Option<(&'static str, &'static str)>,
    count: u64,
    /// When to show the next line.
    next: Instant,
    is_shown: bool,
}

impl Progress {
    /// Shows `PROGRAM: COUNT WHAT` on standard error, if that is a terminal.
    #[must_use]
    pub fn new(program: &'static str, what: &'static str) -> Self {
        Self::for_watcher(program, what, stderr().is_terminal(), Instant::now())
    }

    /// The same for a program with much output of its own: its output must go to a file, because the
    /// lines would spoil it on a terminal, and a pager's screen.
    #[must_use]
    pub fn beside_output(program: &'static str, what: &'static str) -> Self {
        let is_away = stdout()
            .as_fd()
            .try_clone_to_owned()
            .and_then(|output| File::from(output).metadata())
            .is_ok_and(|output| !output.file_type().is_fifo());
        let watched = is_away && !stdout().is_terminal() && stderr().is_terminal();
        Self::for_watcher(program, what, watched, Instant::now())
    }

    fn for_watcher(
        program: &'static str,
        what: &'static str,
        is_watched: bool,
        now: Instant,
    ) -> Self {
        Self {
            names: is_watched.then_some((program, what)),
            count: 0,
            next: now + PATIENCE,
            is_shown: false,
        }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.count += 1;
        if self.names.is_some()
            && self.count.is_multiple_of(STEPS)
            && let Some(line) = self.line(Instant::now())
        {
            // The cursor goes back, so that the next message takes the line's place.
            let _ = write!(stderr(), "\r\x1b[K{line}\r");
        }
    }

    /// The line to show now, if any.
    fn line(&mut self, now: Instant) -> Option<String> {
        let (program, what) = self.names?;
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        self.is_shown = true;
        Some(format!("{program}: {} {what}", self.count))
    }
}

impl Drop for Progress {
    /// Takes the last line away.
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_work_that_somebody_watches_is_told_of() {
        let start = Instant::now();
        let at = |seconds: f32| start + Duration::from_secs_f32(seconds);
        let mut progress = Progress::for_watcher("postsuper", "files", true, start);
        progress.count = 100_000;
        assert_eq!(progress.line(at(2.9)), None);
        let line = Some("postsuper: 100000 files".to_owned());
        assert_eq!(progress.line(at(3.0)), line);
        assert_eq!(progress.line(at(3.2)), None);
        assert_eq!(progress.line(at(3.6)), line);
        progress.is_shown = false;
        let mut unwatched = Progress::for_watcher("postsuper", "files", false, start);
        assert_eq!(unwatched.line(at(100.0)), None);
    }
}
