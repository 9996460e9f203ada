//! What `$name` sees in a value: what somebody set, and defaults. A program sees the defaults that it
//! had read by the time when it evaluates the value; tools that belong to no program see all.

use super::{Config, Source};
use crate::ConfigError;
use crate::expand::{self, Found};
use crate::params::{self, Kind, Moment, ParamInfo};

impl Config {
    /// Expands `$name` forms in `text`; names that `extra` knows come first, and their values are
    /// inserted as they are.
    pub fn expand(
        &self,
        text: &str,
        extra: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, ConfigError> {
        let moment = self.late();
        expand::expand(text, &|name| {
            extra(name)
                .map(Found::Verbatim)
                .or_else(|| self.found(name, moment))
        })
    }

    /// As [`Config::expand`]; the flag tells whether `text` refers, outside conditions, to a name that
    /// nobody knows.
    pub fn expand_strictly(
        &self,
        text: &str,
        extra: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(String, bool), ConfigError> {
        let moment = self.late();
        expand::expand_strictly(text, &|name| {
            extra(name)
                .map(Found::Verbatim)
                .or_else(|| self.found(name, moment))
        })
    }

    pub(super) fn expand_all(&self, text: &str) -> Result<String, ConfigError> {
        self.expand_at(text, self.late())
    }

    /// Expands `text` with what is visible at `moment`; everything is without one.
    pub(super) fn expand_at(
        &self,
        text: &str,
        moment: Option<Moment>,
    ) -> Result<String, ConfigError> {
        if !text.contains('$') {
            return Ok(text.to_string());
        }
        expand::expand(text, &|name| self.found(name, moment))
    }

    /// Expands `text` with what main.cf and overrides set, except `hidden`: for values that defaults
    /// are computed from, which must not ask for those defaults.
    pub fn expand_explicit(&self, text: &str, hidden: &[&str]) -> Result<String, ConfigError> {
        expand::expand(text, &|name| {
            self.set_text(name)
                .filter(|_| !hidden.contains(&name))
                .map(Found::Expand)
        })
    }

    /// When the program evaluates `info`; `None` when there is none.
    pub(super) fn moment_of(&self, info: &ParamInfo) -> Option<Moment> {
        let reader = self.inner.reader.as_deref()?;
        Some(Moment::of(reader, info))
    }

    /// When the program has read all of its parameters.
    fn late(&self) -> Option<Moment> {
        self.inner.reader.as_deref().map(Moment::late)
    }

    /// A name as `$name` sees it at `moment`.
    fn found(&self, name: &str, moment: Option<Moment>) -> Option<Found> {
        let (text, source) = self.raw_with_source(name)?;
        if name == params::MYORIGIN.info.name && text.starts_with('/') {
            return self.myorigin_from_file(&text).ok().map(Found::Verbatim);
        }
        let is_default = match source {
            Source::Override | Source::File => false,
            // Put in before anything is read, or after all of it.
            Source::Computed => !matches!(name, "config_directory" | "process_name"),
            Source::Default => true,
        };
        match moment {
            Some(moment) if is_default => self.read_by(name, text, moment),
            None if source == Source::Default => Some(Found::Default(text)),
            _ => Some(Found::Expand(text)),
        }
    }

    /// The default of `name` as the program keeps it once it has read it: texts expanded, expressions
    /// for numbers as they are.
    fn read_by(&self, name: &str, text: String, moment: Moment) -> Option<Found> {
        if name == params::PROCESS_ID.info.name {
            return (moment.rank == usize::MAX).then_some(Found::Expand(text));
        }
        let read = moment.before(name)?;
        let is_text = params::find(name).is_some_and(|info| info.kind == Kind::Str);
        if !is_text || !text.contains('$') {
            return Some(Found::Expand(text));
        }
        self.expand_at(&text, Some(read)).ok().map(Found::Expand)
    }

    /// A name as `$name` sees it in compatibility_level: programs read that first; elsewhere a default
    /// that depends on the level is not there yet.
    pub(super) fn found_without_level(&self, name: &str) -> Option<Found> {
        if let Some(text) = self.set_text(name) {
            return Some(Found::Expand(text));
        }
        let moment = self.moment_of(params::COMPATIBILITY_LEVEL.info);
        match params::find(name) {
            Some(info) if info.old.is_some() || name == params::MYNETWORKS.info.name => None,
            _ => self.found(name, moment),
        }
    }
}
