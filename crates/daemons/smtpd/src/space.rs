//! Whether the queue's file system has room for another message.

use postern_sys::file;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer of the file system is believed.
const KEEP: Duration = Duration::from_secs(1);

/// Free bytes of the file system that holds the queue, asked for now and then.
#[derive(Debug, Default)]
pub(crate) struct Space {
    known: Option<(Instant, u64)>,
}

impl Space {
    /// Free bytes at `directory`; `None` when the system does not say.
    pub(crate) fn free(&mut self, directory: &Path) -> Option<u64> {
        let now = Instant::now();
        match self.known {
            Some((at, free)) if now.duration_since(at) < KEEP => Some(free),
            _ => {
                let free = file::space(directory).ok()?.free_bytes();
                self.known = Some((now, free));
                Some(free)
            }
        }
    }
}

/// Whether `free` bytes are too few for a message of the largest size: `queue_minfree` is wanted,
/// and one and a half times `message_size_limit`.
pub(crate) fn is_short(free: u64, minfree: i64, message_size_limit: i64) -> bool {
    let minfree = u64::try_from(minfree).unwrap_or(0);
    let largest = u64::try_from(message_size_limit).unwrap_or(0);
    (minfree > 0 && minfree >= free) || (largest > 0 && largest >= free / 3 * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_one_and_a_half_messages_is_wanted() {
        #[rustfmt::skip]
        let cases = [
            (1_000, 0, 0, false), (1_000, 1_000, 0, true), (1_000, 999, 0, false),
            (15_000, 0, 10_000, true), (15_300, 0, 10_000, false),
        ];
        for (free, minfree, limit, short) in cases {
            assert_eq!(
                is_short(free, minfree, limit),
                short,
                "{free} {minfree} {limit}"
            );
        }
    }
}
