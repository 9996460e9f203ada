//! main.cf, master.cf, `$name` expansion and the parameter tables.
//!
//! Values are parsed and expanded when asked for. This crate neither logs nor exits; a value that
//! cannot be parsed goes to the hook of [`set_fatal_hook`], which ends the process in programs.
//!
//! Reading order: [`Config`] (one program's view), [`params`] (what can be set), [`expand`]
//! (`$name`), [`master_cf`] (services), [`edit`] (changing the files).
#![forbid(unsafe_code)]

pub mod compat;
mod computed;
mod config;
pub mod edit;
mod error;
pub mod expand;
mod idna;
mod level;
pub mod lines;
mod look;
pub mod master_cf;
pub mod milters;
mod net;
pub mod params;
mod reading;
mod sanity;
pub mod suggest;
pub mod tables;
pub mod value;
pub mod words;

use std::sync::OnceLock;

pub use computed::valid_hostname;
pub use config::{Config, Source};
pub use error::{ConfigError, Severity};
pub use level::Level;
pub use look::Look;
pub use net::{InterfaceAddress, own_addresses, own_networks};
pub use params::{Param, ParamInfo};

/// Where main.cf is unless `MAIL_CONFIG` or `-c` says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/etc/postfix";

static FATAL: OnceLock<fn(&ConfigError) -> !> = OnceLock::new();

/// Installs what happens on a bad value: programs log the [`ConfigError::preceding`] lines and
/// `fatal: TEXT`, then exit; the default panics. The first call wins.
pub fn set_fatal_hook(hook: fn(&ConfigError) -> !) {
    let _ = FATAL.set(hook);
}

/// Ends the process through the hook.
pub(crate) fn fail(error: &ConfigError) -> ! {
    match FATAL.get() {
        Some(hook) => hook(error),
        None => panic!("{error}"),
    }
}
