//! Walks over the queue directories.
#![forbid(unsafe_code)]
