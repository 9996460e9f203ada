//! Whether the queue's file system has room for another message.

use postern_sys::file;
use std::path::Path;

/// Files that must be possible before mail is taken: the message, the logs about it, directories for
/// them, and those of mail that is being taken at the same time.
pub(crate) const FILES_WANTED: u64 = 20;

/// What there is room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Free {
    pub(crate) bytes: u64,
    /// `None` where the file system does not limit their number.
    pub(crate) files: Option<u64>,
}

/// Room at `directory`; `None` when the system does not say.
///
/// It is asked for each message: what was true for the last one may have been the disk's last room, and
/// a disk that is free again must not cost mail.
pub(crate) fn free(directory: &Path) -> Option<Free> {
    let space = file::space(directory).ok()?;
    Some(Free {
        bytes: space.free_bytes(),
        files: space.free_files,
    })
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
