//! Queue file format: records, queue IDs, hashed directories.
#![forbid(unsafe_code)]
