//! Queue directories: walks, look-ups, moves between queues, removal.
//!
//! Shared by the queue manager, showq, pickup, flush and postsuper. Moves are single rename(2)
//! calls, so a crash leaves a message in one queue or the other and never in none. The content
//! of queue files is the subject of `postern-queue-file`.
#![forbid(unsafe_code)]

mod queues;
mod walk;

pub use queues::{FileInfo, Queues};
pub use walk::{Entry, Walk};
