//! main.cf, master.cf, `$name` expansion and the parameter tables.
//!
//! Values are parsed and expanded when asked for. This crate neither logs nor exits; a value that
//! cannot be parsed goes to the hook of [`set_fatal_hook`], which ends the process in programs.
#![forbid(unsafe_code)]

pub mod params;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use params::{Param, ParamInfo};

/// Why main.cf could not be read or a value was refused. `Display` is the text that follows
/// `fatal: ` in the log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Placeholder until the exact variants are in.
    #[error("{0}")]
    Text(String),
}

/// One program's view of main.cf: file entries, then `-o` overrides, then defaults.
#[derive(Debug, Clone, Default)]
pub struct Config {}

impl Config {
    /// Reads `DIR/main.cf`, where DIR is `$MAIL_CONFIG` or `/etc/postfix`.
    pub fn load() -> Result<Self, ConfigError> {
        todo!()
    }
    /// Reads `dir/main.cf`.
    pub fn load_from(_dir: &Path) -> Result<Self, ConfigError> {
        todo!()
    }
    /// A configuration from text, for tests: no files, no host name look-ups.
    pub fn from_text(_text: &str) -> Result<Self, ConfigError> {
        todo!()
    }
    /// The configuration directory.
    pub fn directory(&self) -> PathBuf {
        todo!()
    }
    /// Applies one `-o name=value` of the command line; overrides main.cf.
    pub fn set_override(&mut self, _name: &str, _value: &str) {
        todo!()
    }
    /// Checks start-up sanity and every explicitly set parameter that `program` uses.
    pub fn check(&self, _program: &str) -> Result<(), ConfigError> {
        todo!()
    }
    /// The typed, expanded value. A bad value ends the process through the fatal hook.
    pub fn get<T: params::Value>(&self, _param: Param<T>) -> T {
        todo!()
    }
    /// As [`Config::get`], with the error returned.
    pub fn try_get<T: params::Value>(&self, _param: Param<T>) -> Result<T, ConfigError> {
        todo!()
    }
    /// The expanded value of any name, declared or not; `None` when it is neither set nor declared.
    pub fn lookup(&self, _name: &str) -> Option<String> {
        todo!()
    }
    /// The text as it stands in main.cf, in an override, or as default; unexpanded.
    pub fn raw(&self, _name: &str) -> Option<String> {
        todo!()
    }
    /// Whether main.cf or an override sets `name`.
    pub fn is_set(&self, _name: &str) -> bool {
        todo!()
    }
    /// Expands `$name` forms in `text`; names that `extra` knows come first.
    pub fn expand(&self, _text: &str, _extra: &dyn Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
        todo!()
    }
    /// A service-derived integer such as `<service>_destination_concurrency_limit`, falling back to
    /// the parameter `fallback` (`default_destination_concurrency_limit`).
    pub fn service_int(&self, _service: &str, _suffix: &str, _fallback: Param<i32>) -> i32 {
        todo!()
    }
    /// As [`Config::service_int`], for times.
    pub fn service_time(&self, _service: &str, _suffix: &str, _fallback: Param<Duration>) -> Duration {
        todo!()
    }
}

/// Installs what happens on a bad value: programs log `fatal: TEXT` and exit; the default panics.
pub fn set_fatal_hook(_hook: fn(&ConfigError) -> !) {
    todo!()
}
