//! Queue directories: walks, look-ups, moves between queues, removal, and files used again.
//!
//! Shared by the queue manager, showq, pickup, flush and postsuper. Moves are single rename(2)
//! calls, so a crash leaves a message in one queue or the other and never in none. The content
//! of queue files is the subject of `postern-queue-file`.
#![forbid(unsafe_code)]

mod queues;
pub mod recycled;
mod walk;

pub use queues::{FileInfo, Queues};
pub use walk::{Entry, Walk};
