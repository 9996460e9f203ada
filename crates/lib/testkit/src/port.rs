//! Ports that a server started later can still bind.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the system gives to clients, where a port found free could be taken any moment.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A TCP port of 127.0.0.1 that nobody listens on, another one at each call.
///
/// # Panics
///
/// When all are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    // Test programs that run at once are spread out by a step that shares no factor with the range.
    let start = u32::from(offset) * 97;
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = (start + step) % u32::from(COUNT);
        let port = FIRST + u16::try_from(place).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
