//! One program's view of main.cf: file entries, then `-o` overrides, then defaults.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::expand;
use crate::lines::{logical_lines, orphan_warning, split_name_value, to_text};
use crate::net::InterfaceAddress;
use crate::params::{self, Kind, Order, Param, ParamInfo, flag};
use crate::reading::{check_directory, open_error, read_cool, require_listed};
use crate::{ConfigError, DEFAULT_DIRECTORY, Level, Look, computed, fail, net, sanity, value};

/// Where the text of a parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `-o name=value`, or set by the program itself.
    Override,
    /// main.cf.
    File,
    /// Computed at run time: host names, networks, process names.
    Computed,
    /// The declaration.
    Default,
}

/// One program's view of main.cf. Cheap to clone; clones made before [`Config::set_override`] do not
/// see the override.
#[derive(Debug, Clone, Default)]
pub struct Config {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    directory: PathBuf,
    entries: BTreeMap<String, String>,
    overrides: BTreeMap<String, String>,
    warnings: Vec<String>,
    /// Through whose eyes `$name` is seen; nobody's: every default is there.
    reader: Option<String>,
    /// No files, no host name and no network look-ups: for tests.
    is_isolated: bool,
    cache: Cache,
}

/// Values that cost a system call or a file; forgotten when an override changes.
#[derive(Debug, Default)]
struct Cache {
    level: OnceLock<Level>,
    myhostname: OnceLock<String>,
    mynetworks: OnceLock<String>,
    myorigin: OnceLock<Result<String, ConfigError>>,
    own_addresses: OnceLock<Result<Vec<InterfaceAddress>, ConfigError>>,
}

impl Clone for Cache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Config {
    /// Reads `DIR/main.cf`, where DIR is `$MAIL_CONFIG` or `/etc/postfix`. A set-id program accepts
    /// only directories that the default main.cf lists.
    pub fn load() -> Result<Self, ConfigError> {
        let directory = std::env::var_os("MAIL_CONFIG")
            .map_or_else(|| PathBuf::from(DEFAULT_DIRECTORY), PathBuf::from);
        check_directory(&directory)?;
        Self::load_from(&directory)
    }

    /// Refuses a directory that the default main.cf does not list, for programs that take it from users
    /// on behalf of set-id ones.
    pub fn require_listed_directory(directory: &Path) -> Result<(), ConfigError> {
        require_listed(directory)
    }

    /// Reads `dir/main.cf`. Waits while the file is so fresh that an editor may still be writing it.
    pub fn load_from(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join("main.cf");
        let content = read_cool(&path)?;
        let mut config = Self {
            inner: Arc::new(Inner {
                directory: dir.to_path_buf(),
                ..Inner::default()
            }),
        };
        config.parse(&path.to_string_lossy(), &content)?;
        config.check_ports();
        Ok(config)
    }

    /// Warns about items of known_tcp_ports that name no port.
    fn check_ports(&mut self) {
        let Some(text) = self.set_text("known_tcp_ports") else {
            return;
        };
        let text = self.expand_explicit(&text, &[]).unwrap_or_default();
        let items = text
            .split(',')
            .map(|item| item.trim_matches(value::is_space));
        let bad = items.filter(|item| !item.is_empty() && split_name_value(item).is_err());
        let bad = bad
            .map(|item| format!("known_tcp_ports: in \"{item}\" is not in \"name = value\" form"));
        Arc::make_mut(&mut self.inner).warnings.extend(bad);
    }

    /// As [`Config::load_from`], but reads what is there now: for tools that show the file.
    pub fn load_now(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join("main.cf");
        let content = fs::read(&path).map_err(|error| open_error(&path, &error))?;
        let mut config = Self {
            inner: Arc::new(Inner {
                directory: dir.to_path_buf(),
                ..Inner::default()
            }),
        };
        config.parse(&path.to_string_lossy(), &content)?;
        Ok(config)
    }

    /// Defaults only, for `postconf -d`.
    #[must_use]
    pub fn defaults(dir: &Path) -> Self {
        let inner = Inner {
            directory: dir.to_path_buf(),
            ..Inner::default()
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// A configuration from text, for tests: no files, no host name look-ups. `myhostname` is
    /// `mail.example.test` unless set, and `mynetworks` the loopback networks.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        let inner = Inner {
            directory: PathBuf::from(DEFAULT_DIRECTORY),
            is_isolated: true,
            ..Inner::default()
        };
        let mut config = Self {
            inner: Arc::new(inner),
        };
        config.parse("main.cf", text.as_bytes())?;
        Ok(config)
    }

    fn parse(&mut self, path: &str, content: &[u8]) -> Result<(), ConfigError> {
        let inner = Arc::make_mut(&mut self.inner);
        let warnings = &mut inner.warnings;
        let lines = logical_lines(content, |_, text| warnings.push(orphan_warning(path, text)));
        for line in lines {
            let text = match line.text.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    let to = if line.last > line.first {
                        format!("-{}", line.last)
                    } else {
                        String::new()
                    };
                    warnings.push(format!(
                        "{path}, line {}{to}: text after null byte may be ignored",
                        line.first
                    ));
                    &line.text[..end]
                }
                None => &line.text[..],
            };
            let text = to_text(text);
            let (name, value) = split_name_value(&text)
                .map_err(|error| error.into_error(path, line.first, &text))?;
            let directory = (name == "config_directory")
                .then(|| inner.directory.to_string_lossy().into_owned());
            match inner
                .entries
                .insert(name.to_string(), value.to_string())
                .or(directory)
            {
                Some(old) if old != value => {
                    warnings.push(format!(
                        "{path}, line {}: overriding earlier entry: {name}={old}",
                        line.first
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What was odd in main.cf; each goes to the log with `warning: ` before it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// The configuration directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.inner.directory.clone()
    }

    /// Path of main.cf, as it stands in messages.
    #[must_use]
    pub fn main_cf(&self) -> String {
        self.inner
            .directory
            .join("main.cf")
            .to_string_lossy()
            .into_owned()
    }

    /// The entries of main.cf, sorted by name, unexpanded.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner
            .entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names that main.cf or an override sets, with their text.
    pub fn explicit(&self) -> impl Iterator<Item = (&str, &str)> {
        let from_file = self
            .inner
            .entries
            .iter()
            .filter(|(name, _)| !self.inner.overrides.contains_key(*name));
        self.inner
            .overrides
            .iter()
            .chain(from_file)
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// main.cf alone, without what [`Config::set_override`] and [`Config::set_names`] changed.
    #[must_use]
    pub fn without_overrides(&self) -> Self {
        let mut plain = self.clone();
        let inner = Arc::make_mut(&mut plain.inner);
        inner.overrides.clear();
        inner.cache = Cache::default();
        plain
    }

    /// Applies one `-o name=value` of the command line; overrides main.cf. Later calls win.
    pub fn set_override(&mut self, name: &str, value: &str) {
        let inner = Arc::make_mut(&mut self.inner);
        inner.overrides.insert(name.to_string(), value.to_string());
        inner.cache = Cache::default();
    }

    /// Applies the argument of `-o`, with its complaint about a missing `=`.
    pub fn set_override_text(&mut self, text: &str) -> Result<(), ConfigError> {
        let (name, value) = split_name_value(text).map_err(|error| {
            ConfigError::Text(format!(
                "invalid \"-o {text}\" option value: {}",
                match error {
                    crate::lines::SplitError::MissingName => "missing attribute name",
                    crate::lines::SplitError::MissingEquals => "missing '=' after attribute name",
                }
            ))
        })?;
        self.set_override(name, value);
        Ok(())
    }

    /// Sets `process_name` and `service_name`, which neither main.cf nor `-o` can change.
    pub fn set_names(&mut self, process: &str, service: &str) {
        self.set_override("process_name", process);
        self.set_override("service_name", service);
    }

    /// From now on `$name` sees what it sees in `program` while that one reads its parameters: what is
    /// set, and the defaults that were read before.
    pub fn set_reader(&mut self, program: &str) {
        let inner = Arc::make_mut(&mut self.inner);
        inner.reader = Some(program.to_string());
        inner.cache = Cache::default();
    }

    /// Checks start-up sanity and every explicitly set parameter that `program` uses, in the order in
    /// which it reads them.
    pub fn check(&self, program: &str) -> Result<(), ConfigError> {
        sanity::check(self)?;
        let order = Order::of(program);
        for name in order.names().filter(|name| self.is_set(name)) {
            self.check_named(name, program)?;
        }
        for (name, _) in self.explicit() {
            if order.rank(name).is_none() {
                self.check_named(name, program)?;
            }
        }
        Ok(())
    }

    /// Checks the value of `name` if it is a parameter that `program` reads at its start.
    fn check_named(&self, name: &str, program: &str) -> Result<(), ConfigError> {
        match params::find(name) {
            Some(info) if !info.is_checked_late() && info.is_used_by(program) => {
                self.check_value(info)
            }
            _ => Ok(()),
        }
    }

    /// Evaluates inet_protocols.
    pub fn check_protocols(&self) -> Result<(), ConfigError> {
        net::families(self).map(drop)
    }

    /// Evaluates mynetworks, unless it is set: the reference computes it before it does anything else.
    pub fn check_networks(&self) -> Result<(), ConfigError> {
        if self.is_isolated() || self.is_set("mynetworks") {
            return Ok(());
        }
        net::own_networks(self).map(drop)
    }

    /// Expands every explicitly set parameter, as postconf(1) does before anything.
    pub fn check_expansion(&self) -> Result<(), ConfigError> {
        let mut of_nobody = self.clone();
        Arc::make_mut(&mut of_nobody.inner).reader = None;
        let mut declared = self.explicit().filter_map(|(name, _)| params::find(name));
        declared.try_for_each(|info| of_nobody.text_of(info).map(drop))
    }

    /// Whether the value of `info` can be expanded and parsed.
    pub fn check_value(&self, info: &'static ParamInfo) -> Result<(), ConfigError> {
        let text = self.text_of(info)?;
        match info.kind {
            Kind::Str | Kind::Raw => value::text(info, text).map(drop),
            Kind::Bool | Kind::NBool => value::boolean(info, &text).map(drop),
            Kind::Int | Kind::NInt => value::int(info, &text).map(drop),
            Kind::Long => value::long(info, &text).map(drop),
            Kind::Time => value::time(info, &text).map(drop),
        }
    }

    /// The typed, expanded value. A bad value ends the process through the fatal hook.
    #[must_use]
    pub fn get<T: params::Value>(&self, param: Param<T>) -> T {
        self.try_get(param).unwrap_or_else(|error| fail(&error))
    }

    /// As [`Config::get`], with the error returned.
    pub fn try_get<T: params::Value>(&self, param: Param<T>) -> Result<T, ConfigError> {
        T::parse(param.info, self.text_of(param.info)?)
    }

    /// The expanded text of a declared parameter; raw ones stay unexpanded.
    fn text_of(&self, info: &'static ParamInfo) -> Result<String, ConfigError> {
        let text = self.raw_declared(info).0;
        if info.name == "myorigin" && text.starts_with('/') {
            return self.myorigin_from_file(&text);
        }
        if info.kind == Kind::Raw || !text.contains('$') {
            Ok(text)
        } else {
            self.expand_at(&text, self.moment_of(info))
        }
    }

    /// Debian's rule: a myorigin that is a path stands for the first line of that file.
    fn myorigin_from_file(&self, path: &str) -> Result<String, ConfigError> {
        self.inner
            .cache
            .myorigin
            .get_or_init(|| computed::myorigin_file(path))
            .clone()
    }

    /// What `find` finds, the first time.
    pub(crate) fn own_addresses(
        &self,
        find: fn(&Self) -> Result<Vec<InterfaceAddress>, ConfigError>,
    ) -> Result<Vec<InterfaceAddress>, ConfigError> {
        let cache = &self.inner.cache;
        cache.own_addresses.get_or_init(|| find(self)).clone()
    }

    /// The expanded value of any name, declared or not; `None` when it is neither set nor declared.
    /// A value that cannot be expanded ends the process through the fatal hook.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<String> {
        let text = match params::find(name) {
            Some(info) if info.kind != Kind::Raw => self.text_of(info),
            _ => self.expand_all(&self.raw(name)?),
        };
        Some(text.unwrap_or_else(|error| fail(&error)))
    }

    /// The text as it stands in main.cf, in an override, or as default; unexpanded.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<String> {
        self.raw_with_source(name).map(|(text, _)| text)
    }

    /// As [`Config::raw`], with where the text comes from.
    #[must_use]
    pub fn raw_with_source(&self, name: &str) -> Option<(String, Source)> {
        match params::find(name) {
            Some(info) => Some(self.raw_declared(info)),
            None => self.raw_set(name, false),
        }
    }

    /// As [`Config::raw_with_source`], without the search for the declaration.
    fn raw_declared(&self, info: &'static ParamInfo) -> (String, Source) {
        self.raw_set(info.name, info.has(flag::READ_ONLY))
            .unwrap_or_else(|| (self.default_text(info).to_string(), Source::Default))
    }

    /// The text that somebody set, or that was computed.
    fn raw_set(&self, name: &str, is_read_only: bool) -> Option<(String, Source)> {
        let inner = &self.inner;
        let given = |texts: &BTreeMap<String, String>, source| {
            texts.get(name).map(|text| (text.clone(), source))
        };
        given(&inner.overrides, Source::Override)
            .filter(|_| name != "process_id")
            .or_else(|| given(&inner.entries, Source::File).filter(|_| !is_read_only))
            .or_else(|| self.computed(name).map(|text| (text, Source::Computed)))
    }

    /// Defaults that depend on the machine or the process.
    fn computed(&self, name: &str) -> Option<String> {
        let cache = &self.inner.cache;
        Some(match name {
            "config_directory" => self.inner.directory.to_string_lossy().into_owned(),
            "myhostname" => cache
                .myhostname
                .get_or_init(|| computed::myhostname(self))
                .clone(),
            "mydomain" => computed::mydomain(self),
            "mynetworks" => cache
                .mynetworks
                .get_or_init(|| computed::mynetworks(self).unwrap_or_else(|error| fail(&error)))
                .clone(),
            "process_id" => std::process::id().to_string(),
            "process_name" => computed::process_name(),
            _ => return None,
        })
    }

    /// The default text of `info` at this configuration's compatibility level.
    #[must_use]
    pub fn default_text(&self, info: &'static ParamInfo) -> &'static str {
        match info.old {
            Some(old)
                if !old.unless_set.is_some_and(|name| self.is_set(name))
                    && Level::from_text(old.below).is_some_and(|level| self.level() < level) =>
            {
                old.text
            }
            _ => info.default,
        }
    }

    /// compatibility_level; 0 while it cannot be parsed (`check` refuses such a value).
    #[must_use]
    pub fn level(&self) -> Level {
        *self
            .inner
            .cache
            .level
            .get_or_init(|| self.try_level().unwrap_or_default())
    }

    /// `compatibility_level`, or why it is none.
    pub fn try_level(&self) -> Result<Level, ConfigError> {
        let text = self.set_text("compatibility_level");
        let text = text.as_deref().unwrap_or("0");
        Level::parse(&expand::expand(text, &|name| {
            self.found_without_level(name)
        })?)
    }

    /// The small differences in texts and log lines that follow the level.
    #[must_use]
    pub fn look(&self) -> Look {
        Look::at(self.level())
    }

    /// The text that main.cf or an override gives.
    pub(crate) fn set_text(&self, name: &str) -> Option<String> {
        self.inner
            .overrides
            .get(name)
            .or_else(|| self.inner.entries.get(name))
            .cloned()
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.inner.is_isolated
    }

    /// Whether main.cf or an override sets `name`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.inner.overrides.contains_key(name) || self.inner.entries.contains_key(name)
    }

    /// A service-derived integer such as `<service>_destination_concurrency_limit`, falling back to
    /// the parameter `fallback` (`default_destination_concurrency_limit`).
    #[must_use]
    pub fn service_int(&self, service: &str, suffix: &str, fallback: Param<i32>) -> i32 {
        let name = service_name(service, suffix);
        match self.service_text(&name) {
            Some(text) => text
                .and_then(|text| {
                    value::named_int(&name, &text, fallback.info.min, fallback.info.max)
                })
                .unwrap_or_else(|error| fail(&error)),
            None => self.get(fallback),
        }
    }

    /// As [`Config::service_int`], for times.
    #[must_use]
    pub fn service_time(&self, service: &str, suffix: &str, fallback: Param<Duration>) -> Duration {
        let name = service_name(service, suffix);
        match self.service_text(&name) {
            Some(text) => text
                .and_then(|text| {
                    value::named_time(&name, &text, 's', fallback.info.min, fallback.info.max)
                })
                .unwrap_or_else(|error| fail(&error)),
            None => self.get(fallback),
        }
    }

    /// As [`Config::service_int`], for texts.
    #[must_use]
    pub fn service_str(&self, service: &str, suffix: &str, fallback: Param<String>) -> String {
        let name = service_name(service, suffix);
        match self.service_text(&name) {
            Some(text) => text.unwrap_or_else(|error| fail(&error)),
            None => self.get(fallback),
        }
    }

    fn service_text(&self, name: &str) -> Option<Result<String, ConfigError>> {
        self.raw(name).map(|text| self.expand_all(&text))
    }
}

/// `service` and `suffix` joined; callers may write the suffix with or without its underscore.
fn service_name(service: &str, suffix: &str) -> String {
    format!("{service}_{}", suffix.trim_start_matches('_'))
}

mod visible;

#[cfg(test)]
mod tests;
