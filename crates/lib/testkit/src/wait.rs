//! Waiting for a condition with a deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::instance::PATIENCE;

/// Polls `probe` until it gives a value, for as long as anything may take on a loaded machine.
///
/// # Panics
///
/// When it takes longer, naming `what` was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_until(what, PATIENCE, probe)
}

/// Polls `probe` until it gives a value.
///
/// # Panics
///
/// After `limit`, naming `what` was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "timed out after {limit:?} waiting for {what}"
        );
        sleep(Duration::from_millis(10));
    }
}
