//! What main.cf and master.cf say, with the overrides of the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use postern_config::master_cf::{self, FIELDS};
use postern_config::words::unbrace;
use postern_config::{Config, ConfigError, DEFAULT_DIRECTORY, lines, params};

use crate::options::{Flag, Options};
use crate::{Fatal, warn};

/// One entry of master.cf.
#[derive(Debug, Clone)]
pub(crate) struct MasterEntry {
    /// Service name to command name.
    pub(crate) fields: Vec<String>,
    /// Normalised arguments: `-o` apart from its value, braces only where needed.
    pub(crate) arguments: Vec<String>,
    /// How many arguments come before the command's own.
    pub(crate) options: usize,
    /// The `-o` settings; the last of a name counts.
    pub(crate) settings: BTreeMap<String, String>,
    /// First and last physical line, counted from 1.
    pub(crate) lines: (usize, usize),
}

impl MasterEntry {
    pub(crate) fn name(&self) -> &str {
        &self.fields[0]
    }

    pub(crate) fn kind(&self) -> &str {
        &self.fields[1]
    }

    pub(crate) fn command(&self) -> &str {
        &self.fields[7]
    }

    /// Checks and normalises a split entry; `place` is for complaints about the number of fields.
    pub(crate) fn from_entry(
        entry: &master_cf::Entry,
        place: &dyn Fn() -> String,
    ) -> Result<Self, Fatal> {
        if entry.fields.len() < FIELDS {
            return Err(Fatal::text(place()));
        }
        master_cf::check_fields(&entry.fields, &entry.text).map_err(Fatal::Text)?;
        let mut made = Self {
            fields: entry.fields.clone(),
            arguments: Vec::new(),
            options: 0,
            settings: BTreeMap::new(),
            lines: (entry.line, entry.last_line),
        };
        made.set_arguments(&entry.arguments);
        Ok(made)
    }

    /// Normalises arguments: `-oa=b` and `-vo a=b` are taken apart, braces come off `{ a = b }`.
    pub(crate) fn set_arguments(&mut self, words: &[String]) {
        self.arguments.clear();
        self.settings.clear();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            // A program gets its arguments without the braces, so an option may be in a group, too.
            let word = unbrace(word).map_or_else(|_| word.clone(), str::to_string);
            if !word.starts_with('-') || word == "--" {
                break;
            }
            at += 1;
            match word.find('o').filter(|_| !word.starts_with("--")) {
                None => self.arguments.push(word.clone()),
                Some(index) => {
                    if index > 1 {
                        self.arguments.push(word[..index].to_string());
                    }
                    self.arguments.push("-o".to_string());
                    let value = if index + 1 < word.len() {
                        Some(word[index + 1..].to_string())
                    } else {
                        at += 1;
                        words.get(at - 1).cloned()
                    };
                    if let Some(value) = value {
                        self.push_setting(&value);
                    }
                }
            }
        }
        self.options = self.arguments.len();
        self.arguments
            .extend(words.iter().skip(at).map(|word| normal_group(word)));
    }

    fn push_setting(&mut self, value: &str) {
        let text = if value.starts_with('{') {
            strip(value)
        } else {
            value.to_string()
        };
        match lines::split_name_value(&text) {
            Ok((name, value)) => {
                self.settings.insert(name.to_string(), value.to_string());
                self.arguments.push(setting_text(name, value));
            }
            Err(error) => {
                if value.starts_with('{') {
                    warn(&format!("master.cf: {}", error.describe(&text)));
                }
                self.arguments.push(in_group(text));
            }
        }
    }

    /// Where each `-o NAME=…` value is among the arguments.
    pub(crate) fn setting_positions(&self, name: &str) -> Vec<usize> {
        let is_named = |at: &usize| {
            let text = &self.arguments[*at];
            let bare = unbrace(text).unwrap_or(text);
            lines::split_name_value(bare).is_ok_and(|(found, _)| found == name)
        };
        (1..self.options)
            .filter(|at| self.arguments[at - 1] == "-o")
            .filter(is_named)
            .collect()
    }
}

/// The value in `name=value` or `{name=value}`.
pub(crate) fn setting_value(text: &str) -> &str {
    let bare = unbrace(text).unwrap_or(text);
    lines::split_name_value(bare).map_or("", |(_, value)| value)
}

/// `name=value`, in braces when the value has white space.
pub(crate) fn setting_text(name: &str, value: &str) -> String {
    let text = format!("{name}={value}");
    if value.contains([' ', '\t', '\r', '\n']) {
        format!("{{{text}}}")
    } else {
        text
    }
}

/// An argument in braces where it needs them, without blanks next to them.
fn normal_group(word: &str) -> String {
    in_group(if word.starts_with('{') {
        strip(word)
    } else {
        word.to_string()
    })
}

/// Puts braces around an argument that is empty or holds white space.
fn in_group(text: String) -> String {
    if text.is_empty() || text.contains([' ', '\t', '\r', '\n']) {
        format!("{{{text}}}")
    } else {
        text
    }
}

/// Takes braces off, with a complaint where they do not match; text behind them is lost.
fn strip(text: &str) -> String {
    match unbrace(text) {
        Ok(inner) => inner.to_string(),
        Err(problem) => {
            warn(&format!("master.cf: {problem}"));
            let inner = &text[1..];
            let mut depth = 1_usize;
            let end = inner.find(|character| {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            inner[..end.unwrap_or(inner.len())].trim().to_string()
        }
    }
}

/// Both files.
pub(crate) struct Model {
    /// main.cf with the overrides of the command line.
    pub(crate) config: Config,
    /// main.cf alone.
    file: Config,
    pub(crate) entries: Vec<MasterEntry>,
    /// Overrides of the command line that have no effect.
    pub(crate) ignored: Vec<(String, String)>,
    directory: String,
}

impl Model {
    /// Reads both files as the options say. A missing master.cf stops only modes that are about it.
    pub(crate) fn load(options: &Options, needs_master: bool) -> Result<Self, Fatal> {
        let directory = &options.directory;
        let entries = if needs_master {
            Some(read_master(directory)?)
        } else {
            None
        };
        let mut config = if options.has(Flag::Defaults) {
            Config::defaults(Path::new(DEFAULT_DIRECTORY))
        } else {
            Config::load_now(directory)?
        };
        config.warnings().iter().for_each(|text| warn(text));
        let file = config.clone();
        let mut ignored = Vec::new();
        for (name, value) in &options.overrides {
            if params::find(name).is_some_and(|info| info.has(params::flag::READ_ONLY)) {
                ignored.push((name.clone(), value.clone()));
            } else {
                config.set_override(name, value);
            }
        }
        let mut entries = match entries.map_or_else(|| read_master(directory), Ok) {
            Err(Fatal::Config(error @ ConfigError::Open { .. })) => {
                warn(&error.to_string());
                Vec::new()
            }
            result => result?,
        };
        share_settings(&mut entries);
        Ok(Self {
            config,
            file,
            entries,
            ignored,
            directory: directory.to_string_lossy().into_owned(),
        })
    }

    /// `DIR/main.cf` as messages name it.
    pub(crate) fn main_cf(&self) -> String {
        format!("{}/main.cf", self.directory)
    }

    pub(crate) fn master_cf(&self) -> String {
        format!("{}/master.cf", self.directory)
    }

    /// The default of a name that exists because of a service in master.cf.
    pub(crate) fn service_default(&self, name: &str) -> Option<String> {
        self.entries.iter().find_map(|entry| {
            let suffix = name.strip_prefix(entry.name())?.strip_prefix('_')?;
            service_suffixes(entry.command())
                .find(|(known, _)| *known == suffix)
                .map(|(_, base)| format!("${base}"))
        })
    }

    /// The settings of an entry, as its program sees them.
    pub(crate) fn service_config(&self, entry: &MasterEntry) -> Config {
        Self::with_settings(&self.config, entry)
    }

    /// As [`Model::service_config`], without the overrides of the command line.
    pub(crate) fn service_file_config(&self, entry: &MasterEntry) -> Config {
        Self::with_settings(&self.file, entry)
    }

    fn with_settings(config: &Config, entry: &MasterEntry) -> Config {
        let mut config = config.clone();
        for (name, value) in &entry.settings {
            config.set_override(name, value);
        }
        config.set_names(entry.command(), entry.name());
        config
    }

    /// Expands `text` as `config` sees it, with the defaults of service-derived names.
    pub(crate) fn expand(&self, config: &Config, text: &str) -> Result<String, Fatal> {
        let service_default = |name: &str| -> Option<String> {
            // Programs read the file that myorigin names; here the name is shown.
            if name == params::MYORIGIN.info.name {
                return config.raw(name).filter(|text| text.starts_with('/'));
            }
            let info = params::find(name);
            if info.is_some_and(|info| info.kind == params::Kind::Raw) {
                // Inserted as it stands from 3.11 on; before, expanded like any other.
                return config.raw(name).filter(|_| config.look().message_texts());
            }
            if config.is_set(name) || info.is_some() {
                return None;
            }
            let base = self.service_default(name)?;
            config.expand(&base, &|_| None).ok()
        };
        config
            .expand(text, &service_default)
            .map_err(Fatal::from_expansion)
    }
}

/// Entries of one name and type are one service to the reference: from the first on that has `-o`, each
/// has the settings of all.
fn share_settings(entries: &mut [MasterEntry]) {
    let key = |entry: &MasterEntry| (entry.name().to_string(), entry.kind().to_string());
    let mut shared: BTreeMap<(String, String), BTreeMap<String, String>> = BTreeMap::new();
    for entry in entries.iter() {
        let settings = entry.settings.clone();
        shared.entry(key(entry)).or_default().extend(settings);
    }
    if shared.len() == entries.len() {
        return;
    }
    let mut begun = BTreeSet::new();
    for entry in entries {
        let has_option = entry.arguments[..entry.options]
            .iter()
            .any(|word| word == "-o");
        let key = key(entry);
        if (has_option || begun.contains(&key))
            && let Some(settings) = shared.get(&key)
        {
            entry.settings.clone_from(settings);
            begun.insert(key);
        }
    }
}

fn read_master(directory: &Path) -> Result<Vec<MasterEntry>, Fatal> {
    let path = directory.join("master.cf");
    let shown = path.to_string_lossy().into_owned();
    let content = std::fs::read(&path).map_err(|error| ConfigError::Open {
        path: shown.clone(),
        reason: postern_sys::error_text(&error),
    })?;
    master_cf::entries(&shown, &content, |text| warn(&text))
        .iter()
        .map(|entry| {
            MasterEntry::from_entry(entry, &|| {
                format!("file {shown}: line {}: bad field count", entry.line)
            })
        })
        .collect()
}

/// What a delivery agent's name is combined with, and where the default comes from.
const DELIVERY_SUFFIXES: &[(&str, &str)] = &[
    ("recipient_limit", "default_recipient_limit"),
    ("extra_recipient_limit", "default_extra_recipient_limit"),
    ("recipient_refill_limit", "default_recipient_refill_limit"),
    ("recipient_refill_delay", "default_recipient_refill_delay"),
    ("delivery_slot_cost", "default_delivery_slot_cost"),
    ("delivery_slot_loan", "default_delivery_slot_loan"),
    ("delivery_slot_discount", "default_delivery_slot_discount"),
    ("minimum_delivery_slots", "default_minimum_delivery_slots"),
    (
        "initial_destination_concurrency",
        "initial_destination_concurrency",
    ),
    (
        "destination_concurrency_limit",
        "default_destination_concurrency_limit",
    ),
    (
        "destination_recipient_limit",
        "default_destination_recipient_limit",
    ),
    (
        "destination_concurrency_positive_feedback",
        "default_destination_concurrency_positive_feedback",
    ),
    (
        "destination_concurrency_negative_feedback",
        "default_destination_concurrency_negative_feedback",
    ),
    (
        "destination_concurrency_failed_cohort_limit",
        "default_destination_concurrency_failed_cohort_limit",
    ),
    ("destination_rate_delay", "default_destination_rate_delay"),
    ("transport_rate_delay", "default_transport_rate_delay"),
];
const TIME_LIMIT: &[(&str, &str)] = &[("time_limit", "command_time_limit")];

/// The suffixes that exist for a service which runs `command`, each with the base of its default.
pub(crate) fn service_suffixes(
    command: &str,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_agent = matches!(
        command,
        "local" | "error" | "virtual" | "smtp" | "lmtp" | "pipe"
    );
    let has_limit = matches!(command, "pipe" | "spawn");
    let agent = if is_agent { DELIVERY_SUFFIXES } else { &[] };
    let limit = if has_limit { TIME_LIMIT } else { &[] };
    agent.iter().chain(limit).copied()
}
