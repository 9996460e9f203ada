//! A timer that ends a process which makes no progress.
//!
//! Main loops call [`progress`] once per turn, which costs no system call. The timer fires three
//! times per time limit; three times without progress in between means the process hangs.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

static TURNS: AtomicU32 = AtomicU32::new(0);
static SEEN: AtomicU32 = AtomicU32::new(0);
static STRIKES: AtomicU32 = AtomicU32::new(0);
static BARK: AtomicUsize = AtomicUsize::new(0);

/// Starts (or restarts with a new limit) the watchdog. `bark` runs in a signal handler after `limit`
/// without progress and should log and end the process; when it hangs itself, the kernel ends the
/// process ten seconds later.
pub fn start(limit: Duration, bark: fn()) -> io::Result<()> {
    BARK.store(bark as usize, Ordering::SeqCst);
    progress();
    let action = SigAction::new(
        SigHandler::Handler(on_alarm),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: `on_alarm` touches atomics only, until the process is given up.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    set_timer(Duration::max(limit / 3, Duration::from_secs(1)))
}

/// Starts the timer again in a forked process, which does not inherit it.
pub fn restart(limit: Duration) -> io::Result<()> {
    set_timer(Duration::max(limit / 3, Duration::from_secs(1)))
}

/// Stops the timer.
pub fn stop() {
    let _ = set_timer(Duration::ZERO);
}

/// Tells that the main loop turns.
pub fn progress() {
    TURNS.fetch_add(1, Ordering::Relaxed);
}

fn set_timer(interval: Duration) -> io::Result<()> {
    let step = libc::timeval {
        tv_sec: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
        tv_usec: 0,
    };
    let timer = libc::itimerval {
        it_interval: step,
        it_value: step,
    };
    // SAFETY: the pointer is to a live local value; no old value is asked for.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_alarm(_: libc::c_int) {
    let turns = TURNS.load(Ordering::Relaxed);
    if SEEN.swap(turns, Ordering::Relaxed) != turns {
        STRIKES.store(0, Ordering::Relaxed);
        return;
    }
    if STRIKES.fetch_add(1, Ordering::Relaxed) < 2 {
        return;
    }
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: restores the default action, by which the next alarm ends the process.
    let _ = unsafe { sigaction(Signal::SIGALRM, &action) };
    let _ = SigSet::from(Signal::SIGALRM).thread_unblock();
    let _ = set_timer(Duration::from_secs(10));
    let bark = BARK.load(Ordering::SeqCst);
    if bark != 0 {
        // SAFETY: the only non-zero value ever stored is a `fn()` given to `start`.
        let bark: fn() = unsafe { std::mem::transmute::<usize, fn()>(bark) };
        bark();
    }
}
