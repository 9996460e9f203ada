//! Lookup tables, one module per type, and the lists and searches built on them.
//!
//! A lookup error is never "not found". This crate does not know who asks or what a value means.
//!
//! A table type is a function `open(config, name, mode, flags) -> Result<Box<dyn Table>, OpenError>`
//! and, where `postmap` can build it, `create(config, name, flags) -> Result<Box<dyn Builder>, OpenError>`;
//! `registry` has one line for each.
#![forbid(unsafe_code)]

mod cdb;
mod cidr;
mod composite;
pub mod dbfile;
mod error;
mod flags;
mod layer;
pub mod lines;
mod lmdb;
mod maps;
mod prefilter;
mod registry;
mod rules;
mod simple;
pub mod source;
mod surrogate;
mod table;
mod template;
mod texthash;
mod unix;

pub use cidr::{Net, NetError};
pub use error::{ErrorKind, Lookup, LookupError, OpenError, io_text};
pub use flags::Flags;
pub use layer::{Layer, fold_ascii, fold_key};
pub use maps::Maps;
pub use registry::{changed_table, create, open, open_mode, split_list, split_type_name, try_open};
pub use surrogate::Surrogate;
pub use table::{Builder, OpenMode, Owner, Table};
