//! One program's view of main.cf: file entries, then `-o` overrides, then defaults.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::expand::{self, Found};
use crate::lines::{logical_lines, orphan_warning, split_name_value};
use crate::params::{self, Kind, Param, ParamInfo, flag};
use crate::{ConfigError, DEFAULT_DIRECTORY, Level, Look, computed, fail, sanity, value, words};

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
        Ok(config)
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
            let text = String::from_utf8_lossy(text);
            let (name, value) = split_name_value(&text)
                .map_err(|error| error.into_error(path, line.first, &text))?;
            match inner.entries.insert(name.to_string(), value.to_string()) {
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
    pub(crate) fn explicit(&self) -> impl Iterator<Item = (&str, &str)> {
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

    /// Checks start-up sanity and every explicitly set parameter that `program` uses.
    pub fn check(&self, program: &str) -> Result<(), ConfigError> {
        sanity::check(self)?;
        for (name, _) in self.explicit() {
            if let Some(info) = params::find(name).filter(|info| info.is_used_by(program)) {
                self.check_value(info)?;
            }
        }
        Ok(())
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
        let text = self.raw(info.name).unwrap_or_default();
        if info.name == "myorigin" && text.starts_with('/') {
            return self.myorigin_from_file(&text);
        }
        if info.kind == Kind::Raw || !text.contains('$') {
            Ok(text)
        } else {
            self.expand_all(&text)
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
        if let Some(text) = self
            .inner
            .overrides
            .get(name)
            .filter(|_| name != "process_id")
        {
            return Some((text.clone(), Source::Override));
        }
        let info = params::find(name);
        let is_read_only = info.is_some_and(|info| info.has(flag::READ_ONLY));
        if let Some(text) = self.inner.entries.get(name).filter(|_| !is_read_only) {
            return Some((text.clone(), Source::File));
        }
        if let Some(text) = self.computed(name) {
            return Some((text, Source::Computed));
        }
        info.map(|info| (self.default_text(info).to_string(), Source::Default))
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

    pub(crate) fn try_level(&self) -> Result<Level, ConfigError> {
        Level::parse(
            &self.expand_all(
                &self
                    .set_text("compatibility_level")
                    .unwrap_or_else(|| "0".to_string()),
            )?,
        )
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

    /// Expands `$name` forms in `text`; names that `extra` knows come first, and their values are
    /// inserted as they are.
    pub fn expand(
        &self,
        text: &str,
        extra: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, ConfigError> {
        expand::expand(text, &|name| {
            extra(name)
                .map(Found::Verbatim)
                .or_else(|| self.found(name))
        })
    }

    fn expand_all(&self, text: &str) -> Result<String, ConfigError> {
        if !text.contains('$') {
            return Ok(text.to_string());
        }
        expand::expand(text, &|name| self.found(name))
    }

    /// A name as `$name` sees it.
    fn found(&self, name: &str) -> Option<Found> {
        let (text, source) = self.raw_with_source(name)?;
        if name == "myorigin" && text.starts_with('/') {
            return self.myorigin_from_file(&text).ok().map(Found::Verbatim);
        }
        Some(match source {
            Source::Default => Found::Default(text),
            _ => Found::Expand(text),
        })
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

fn open_error(path: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::Open {
        path: path.to_string_lossy().into_owned(),
        reason: computed::reason(error),
    }
}

/// Reads a file until it has been left alone for a second, so that a half-written file is not taken
/// for the whole. Times in the future do not count.
fn read_cool(path: &Path) -> Result<Vec<u8>, ConfigError> {
    const QUIET: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(300);
    loop {
        let before = SystemTime::now();
        let content = fs::read(path).map_err(|error| open_error(path, &error))?;
        let Ok(metadata) = fs::metadata(path) else {
            continue;
        };
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
        let changed = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        if changed + QUIET < before || changed > SystemTime::now() {
            return Ok(content);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Set-id programs read other people's configuration only where the administrator allows it.
fn check_directory(directory: &Path) -> Result<(), ConfigError> {
    use nix::unistd::{getegid, geteuid, getgid, getuid};
    let is_set_id = geteuid() != getuid() || getegid() != getgid();
    if directory == Path::new(DEFAULT_DIRECTORY) || !is_set_id || getuid().is_root() {
        return Ok(());
    }
    let default = Config::load_from(Path::new(DEFAULT_DIRECTORY))?;
    let wanted = directory.to_string_lossy();
    let is_listed = ["alternate_config_directories", "multi_instance_directories"]
        .iter()
        .filter_map(|name| default.set_text(name))
        .any(|list| words::words(&list).any(|word| word == wanted));
    if is_listed {
        return Ok(());
    }
    Err(ConfigError::UnauthorizedDirectory {
        directory: wanted.into_owned(),
        default_main_cf: default.main_cf(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::*;

    fn config(text: &str) -> Config {
        Config::from_text(text).unwrap()
    }

    #[test]
    fn values_have_their_types_and_defaults() {
        let config = config(
            "smtpd_timeout = 5m\nsoft_bounce = YES\nmydestination = $myhostname, $mydomain\n",
        );
        assert_eq!(config.get(SMTPD_TIMEOUT), Duration::from_secs(300));
        assert!(config.get(SOFT_BOUNCE));
        assert_eq!(config.get(MYDESTINATION), "mail.example.test, example.test");
        assert_eq!(config.get(SMTPD_HARD_ERROR_LIMIT), 20);
        assert_eq!(config.get(MAIL_VERSION), "3.11.6");
    }

    #[test]
    fn overrides_win_and_change_only_this_copy() {
        let first = config("max_use = 7\n");
        let mut second = first.clone();
        second.set_override("max_use", "9");
        second.set_override("stress", "yes");
        assert_eq!((first.get(MAX_USE), second.get(MAX_USE)), (7, 9));
        assert_eq!(
            (
                first.get(SMTPD_HARD_ERROR_LIMIT),
                second.get(SMTPD_HARD_ERROR_LIMIT)
            ),
            (20, 1)
        );
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        let error = Config::from_text("a = 1\n\n= x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "main.cf, line 3: missing attribute name: \"= x\""
        );
        let error = Config::from_text("my origin = x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "main.cf, line 1: missing '=' after attribute name: \"my origin = x\""
        );
    }

    #[test]
    fn the_last_of_two_entries_wins_with_a_warning() {
        let config = config("a = 1\nb = 1\na = 2\nb = 1\n  lost\n");
        assert_eq!(config.raw("a").as_deref(), Some("2"));
        assert_eq!(
            config.warnings(),
            [
                "main.cf, line 3: overriding earlier entry: a=1",
                "main.cf, line 4: overriding earlier entry: b=1"
            ]
        );
    }

    #[test]
    fn defaults_follow_the_level() {
        let old = config("compatibility_level = 3.6\n");
        assert_eq!(old.get(SMTPD_FORBID_BARE_NEWLINE), "no");
        assert_eq!(old.get(RELAY_DOMAINS), "");
        assert_eq!(old.get(SMTP_TLS_SECURITY_LEVEL), "");
        let new = config("compatibility_level = 3.11\n");
        assert_eq!(new.get(SMTPD_FORBID_BARE_NEWLINE), "normalize");
        assert_eq!(new.get(SMTP_TLS_SECURITY_LEVEL), "may");
        assert_eq!(
            config("").get(RELAY_DOMAINS),
            "mail.example.test, localhost.example.test, localhost"
        );
        assert_eq!(
            config("smtpd_forbid_bare_newline = yes").get(SMTPD_FORBID_BARE_NEWLINE),
            "yes"
        );
    }

    #[test]
    fn a_cache_type_that_is_set_counts_at_any_level() {
        assert_eq!(
            config("").raw("address_verify_map").as_deref(),
            Some("btree:$data_directory/verify_cache")
        );
        assert_eq!(
            config("default_cache_db_type = lmdb").get(ADDRESS_VERIFY_MAP),
            "lmdb:/var/lib/postfix/verify_cache"
        );
    }

    #[test]
    fn raw_parameters_keep_their_names() {
        assert!(config("").get(DEFAULT_RBL_REPLY).contains("$rbl_code"));
    }

    #[test]
    fn bad_values_name_the_parameter() {
        let rows = [
            (
                "max_use = abc",
                "bad numerical configuration: max_use = abc",
            ),
            ("max_use = 0", "invalid max_use parameter value 0 < 1"),
            (
                "soft_bounce = true",
                "bad boolean configuration: soft_bounce = true",
            ),
            ("mail_name =", "bad string length 0 < 1: mail_name = "),
            (
                "max_idle = 10x",
                "parameter max_idle: bad time value or unit: 10x",
            ),
            ("max_idle = 0", "invalid max_idle: 0 (min 1)"),
            ("in_flow_delay = 20", "invalid in_flow_delay: 20 (max 10)"),
            (
                "mail_name = ${",
                "dictionary mail_dict: macro processing error",
            ),
        ];
        for (text, want) in rows {
            let config = config(text);
            let name = text.split(' ').next().unwrap_or_default();
            let error = config.check_value(find(name).unwrap()).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn service_limits_fall_back_to_the_common_one() {
        let config = config(
            "slow_destination_concurrency_limit = 3\ndefault_destination_concurrency_limit = 8\n",
        );
        let limit = |service| {
            config.service_int(
                service,
                "_destination_concurrency_limit",
                DEFAULT_DESTINATION_CONCURRENCY_LIMIT,
            )
        };
        assert_eq!((limit("slow"), limit("smtp"), limit("local")), (3, 8, 2));
    }

    #[test]
    fn extra_names_are_inserted_as_they_are() {
        let config = config("a = <$b>\n");
        let text = config.expand("$a $recipient", &|name| {
            (name == "recipient").then(|| "$a@x".to_string())
        });
        assert_eq!(text.as_deref(), Ok("<> $a@x"));
    }

    #[test]
    fn a_fresh_file_is_read_again_until_it_is_quiet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main.cf");
        fs::write(&path, "max_use = 5\n").unwrap();
        let old = SystemTime::now() - Duration::from_secs(100);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(old)
            .unwrap();
        let config = Config::load_from(directory.path()).unwrap();
        assert_eq!(config.get(MAX_USE), 5);
        assert_eq!(
            config.lookup("config_directory"),
            Some(directory.path().to_string_lossy().into_owned())
        );
        let error = Config::load_from(&directory.path().join("no")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "open {}/no/main.cf: No such file or directory",
                directory.path().display()
            )
        );
    }

    #[test]
    fn configurations_travel_between_threads() {
        fn is_send_sync<T: Send + Sync>() {}
        is_send_sync::<Config>();
    }
}
