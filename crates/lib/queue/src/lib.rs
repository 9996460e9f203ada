//! Queue directories: walks, look-ups, moves between queues, removal, files used again, and where new ones
//! begin.
//!
//! Shared by the queue manager, showq, pickup, flush and postsuper. Moves are single rename(2)
//! calls, so a crash leaves a message in one queue or the other and never in none. The content
//! of queue files is the subject of `postern-queue-file`.
#![forbid(unsafe_code)]

pub mod nursery;
mod queues;
pub mod recycled;
mod walk;

use postern_config::{Config, params};
use postern_queue_file::Hashing;

pub use queues::{FileInfo, Queues};
pub use walk::{Entry, Walk};

/// Which queues have subdirectories, and how deep: `hash_queue_names` and `hash_queue_depth`.
pub fn hashing(config: &Config) -> Hashing {
    let depth = usize::try_from(config.get(params::HASH_QUEUE_DEPTH)).unwrap_or(1);
    Hashing::new(&config.get(params::HASH_QUEUE_NAMES), depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_queue_file::QueueId;

    #[test]
    fn hashing_follows_main_cf() {
        let id = QueueId::parse("7F00012345").unwrap();
        for (settings, incoming, deferred) in [
            ("", "incoming/7F00012345", "deferred/7/7F00012345"),
            (
                "hash_queue_names = incoming\nhash_queue_depth = 2\n",
                "incoming/7/F/7F00012345",
                "deferred/7F00012345",
            ),
        ] {
            let hashing = hashing(&Config::from_text(settings).unwrap());
            assert_eq!(hashing.path("incoming", &id).to_str(), Some(incoming));
            assert_eq!(hashing.path("deferred", &id).to_str(), Some(deferred));
        }
    }
}
