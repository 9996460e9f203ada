//! Signals that end a command between two steps of its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

/// Remembers the last of the signals that ask a program to end.
#[derive(Debug, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Catches SIGHUP, SIGINT, SIGQUIT and SIGTERM from now on.
    pub fn catch() -> Self {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
        ] {
            let number = signal as i32;
            let value = usize::try_from(number).unwrap_or_default();
            // On failure the signal keeps its default, which ends the program as well.
            let _ = signal_hook::flag::register_usize(number, Arc::clone(&last), value);
        }
        Self(last)
    }

    /// The signal that came, if any.
    pub fn caught(&self) -> Option<Signal> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(
                i32::try_from(number)
                    .ok()
                    .and_then(|number| Signal::try_from(number).ok())
                    .unwrap_or(Signal::SIGTERM),
            ),
        }
    }
}
