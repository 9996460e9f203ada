//! How much is logged: the `-v` options, and what is added to them for a while.
//!
//! Knows levels only, not who is watched or why. One session at a time: the level is that of the whole
//! process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How verbose the process is now.
static LEVEL: AtomicU32 = AtomicU32::new(0);
/// A [`Verbose`] that raised the level lives.
static IS_RAISED: AtomicBool = AtomicBool::new(false);

/// How often `-v` was given: 0 hides `debug!` lines, 2 shows `trace!` lines, too.
pub fn set_verbose(level: u32) {
    LEVEL.store(level, Ordering::Relaxed);
    log::set_max_level(match level {
        0 => log::LevelFilter::Info,
        1 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    });
}

/// Runs `work` without verbose lines.
pub(crate) fn without_verbose<T>(work: impl FnOnce() -> T) -> T {
    let level = log::max_level();
    log::set_max_level(level.min(log::LevelFilter::Info));
    let result = work();
    log::set_max_level(level);
    result
}

/// Makes the process more verbose by `by` levels for as long as the result lives. Inside of such a
/// time nothing is added: the level is raised once.
pub fn raise_verbose(by: u32) -> Verbose {
    if IS_RAISED.swap(true, Ordering::Relaxed) {
        return Verbose { before: None };
    }
    let before = LEVEL.load(Ordering::Relaxed);
    set_verbose(before.saturating_add(by));
    Verbose {
        before: Some(before),
    }
}

/// A time of more verbose logging, from [`raise_verbose`]. Dropping it ends it.
#[derive(Debug)]
#[must_use = "verbose logging ends when this is dropped"]
pub struct Verbose {
    /// The level to go back to; `None` inside of another such time, which ends later.
    before: Option<u32>,
}

impl Drop for Verbose {
    fn drop(&mut self) {
        if let Some(level) = self.before {
            set_verbose(level);
            IS_RAISED.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::LevelFilter::{Debug, Info, Trace};

    // One test: the level is the whole process's.
    #[test]
    fn the_level_is_raised_once_and_comes_back() {
        for (options, by, during) in [(0, 1, Debug), (0, 2, Trace), (1, 1, Trace), (2, 2, Trace)] {
            set_verbose(options);
            let before = log::max_level();
            let outer = raise_verbose(by);
            assert_eq!(log::max_level(), during, "{options} {by}");
            let inner = raise_verbose(9);
            assert_eq!(log::max_level(), during, "{options} {by}");
            drop(inner);
            assert_eq!(log::max_level(), during, "{options} {by}");
            drop(outer);
            assert_eq!(log::max_level(), before, "{options} {by}");
        }
        set_verbose(1);
        without_verbose(|| assert_eq!(log::max_level(), Info));
        assert_eq!(log::max_level(), Debug);
        set_verbose(0);
        assert_eq!(log::max_level(), Info);
        let unwound = std::panic::catch_unwind(|| {
            let _verbose = raise_verbose(1);
            panic!("a session ends early");
        });
        assert!(unwound.is_err());
        assert_eq!(log::max_level(), Info);
    }
}
