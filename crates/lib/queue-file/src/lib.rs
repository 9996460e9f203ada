//! The queue file format: records, queue IDs, hashed directories, and the steps by which a file
//! is created, committed and marked.
//!
//! The format is shared with Postfix programs, byte for byte. This crate knows no configuration,
//! no log and no process; walks over whole directories are in `postern-queue`.
//!
//! - [`record`]: record letters, one record in a byte stream;
//! - [`reader`], [`writer`]: whole files, with pointers and in-place edits;
//! - [`size`], [`attribute`]: payloads of `C` and `A` records;
//! - [`id`], [`path`]: queue IDs and where a file lives;
//! - [`mod@file`]: create, commit, open, lock, mark.
#![forbid(unsafe_code)]

pub mod attribute;
pub mod file;
pub mod id;
pub mod path;
pub mod reader;
pub mod record;
pub mod size;
pub mod writer;

pub use attribute::{Attribute, AttributeError};
pub use id::QueueId;
pub use path::Hashing;
pub use reader::{ReadOptions, Reader};
pub use record::{Record, RecordError, RecordType};
pub use size::SizeRecord;
pub use writer::Writer;
