//! Which names mean something: built-in parameters, names made from services, and names that the
//! files themselves give a meaning. The rest is probably misspelled and is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;

use postern_config::params::{self, Class, Kind, flag};
use postern_config::{Config, Level, expand, lines, words};

use crate::model::{MasterEntry, Model, service_suffixes};
use crate::options::{BUILTIN, Flag, Options, SERVICE, USER};
use crate::{Fatal, warn};

/// The names that can be listed.
pub(crate) struct Names {
    /// Name to class bit.
    known: BTreeMap<String, u32>,
    /// Warnings about entries without meaning, for after the listing.
    pub(crate) unused: Vec<String>,
}

/// Names that texts refer to.
#[derive(Default)]
struct Uses {
    references: BTreeSet<String>,
    classes: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl Uses {
    fn contains(&self, name: &str) -> bool {
        self.references.contains(name) || self.classes.contains(name) || self.tables.contains(name)
    }
}

impl Names {
    /// Finds all names, and warns about undefined ones.
    pub(crate) fn build(model: &Model, options: &Options) -> Result<Self, Fatal> {
        let mut names = Self {
            known: built_in_and_service_names(model),
            unused: Vec::new(),
        };
        if !options.has(Flag::Defaults) {
            names.add_user_names(model, options)?;
        }
        Ok(names)
    }

    fn add_user_names(&mut self, model: &Model, options: &Options) -> Result<(), Fatal> {
        let main_cf = model.main_cf();
        let set: BTreeMap<String, String> = explicit(&model.config).collect();
        self.warn_read_only(model, &set);
        let main = self.uses(&model.config, &set, &mut Default::default())?;
        let mut seen_tables = BTreeSet::new();
        let main = self.with_tables(model, &model.config, &set, main, &mut seen_tables)?;
        let services: Vec<(&MasterEntry, Uses)> = self.service_uses(model, &mut seen_tables)?;
        let set_in_service = |name: &str| {
            model
                .entries
                .iter()
                .any(|entry| entry.settings.contains_key(name))
        };
        for name in main.references.union(&main.classes) {
            if !set.contains_key(name) && !self.known.contains_key(name) && !set_in_service(name) {
                warn(&format!("{main_cf}: undefined parameter: {name}"));
            }
        }
        for (entry, uses) in &services {
            for name in uses.references.union(&uses.classes) {
                let is_defined = entry.settings.contains_key(name) || set.contains_key(name);
                if !is_defined && !self.known.contains_key(name) {
                    warn(&format!(
                        "{}: undefined parameter: {name}",
                        model.master_cf()
                    ));
                }
            }
        }
        let unused = self.unused(model, &set, &main, &services, options);
        for name in set
            .keys()
            .filter(|name| !self.known.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            if main.contains(&name) || services.iter().any(|(_, uses)| uses.contains(&name)) {
                self.known.insert(name, USER);
            }
        }
        if !options.is_quiet {
            self.unused = unused;
        }
        Ok(())
    }

    /// Settings that cannot have an effect.
    fn warn_read_only(&self, model: &Model, set: &BTreeMap<String, String>) {
        for (name, value) in set.iter().filter(|(name, _)| is_read_only(model, name)) {
            warn(&format!(
                "{}: read-only parameter assignment: {name}={value}",
                model.main_cf()
            ));
        }
    }

    fn service_uses<'m>(
        &self,
        model: &'m Model,
        seen_tables: &mut BTreeSet<String>,
    ) -> Result<Vec<(&'m MasterEntry, Uses)>, Fatal> {
        let mut all = Vec::new();
        for entry in &model.entries {
            let config = model.service_config(entry);
            let uses = self.uses(&config, &entry.settings, &mut Default::default())?;
            all.push((
                entry,
                self.with_tables(model, &config, &entry.settings, uses, seen_tables)?,
            ));
        }
        Ok(all)
    }

    /// What the texts of `set` refer to.
    fn uses(
        &self,
        config: &Config,
        set: &BTreeMap<String, String>,
        warned: &mut BTreeSet<String>,
    ) -> Result<Uses, Fatal> {
        let mut uses = Uses::default();
        for (name, value) in set {
            if params::find(name).is_some_and(|info| info.kind == Kind::Raw) {
                continue;
            }
            let result = expand::references(value, &mut |found| {
                uses.references.insert(found.to_string());
            });
            if let Err(postern_config::ConfigError::Macro { warning }) = result
                && warned.insert(warning.clone())
            {
                warn(&warning);
            }
        }
        if let Some(text) = set.get(params::SMTPD_RESTRICTION_CLASSES.info.name) {
            let text = config
                .expand(text, &|_| None)
                .map_err(Fatal::from_expansion)?;
            uses.classes.extend(words::words(&text).map(str::to_string));
        }
        Ok(uses)
    }

    /// Adds the names that table clients read: `mysql:NAME` reads `NAME_hosts` and so on.
    fn with_tables(
        &self,
        model: &Model,
        config: &Config,
        set: &BTreeMap<String, String>,
        mut uses: Uses,
        seen: &mut BTreeSet<String>,
    ) -> Result<Uses, Fatal> {
        for (name, value) in set {
            let is_known = self.known.contains_key(name) || uses.classes.contains(name);
            if !is_known || params::find(name).is_some_and(|info| info.kind == Kind::Raw) {
                continue;
            }
            let value = model.expand(config, value)?;
            let mut tables = Vec::new();
            table_clients(&value, &mut tables);
            for (kind, suffixes, source) in tables {
                if source.starts_with('/') {
                    if seen.insert(format!("{kind}:{source}")) {
                        check_table_file(kind, suffixes, &source)?;
                    }
                } else if !source.starts_with('.') {
                    uses.tables
                        .extend(suffixes.iter().map(|suffix| format!("{source}_{suffix}")));
                }
            }
        }
        Ok(uses)
    }

    fn unused(
        &self,
        model: &Model,
        set: &BTreeMap<String, String>,
        main: &Uses,
        services: &[(&MasterEntry, Uses)],
        options: &Options,
    ) -> Vec<String> {
        let mut unused = Vec::new();
        let shows_main =
            !options.has_any(&[Flag::MasterEntry, Flag::MasterField, Flag::MasterParam]);
        for (name, value) in set.iter().filter(|_| shows_main) {
            let is_used =
                main.contains(name) || services.iter().any(|(_, uses)| uses.contains(name));
            if !self.known.contains_key(name) && !is_used {
                unused.push(format!(
                    "{}: unused parameter: {name}={value}",
                    model.main_cf()
                ));
            }
        }
        for (entry, uses) in services {
            for (name, value) in &entry.settings {
                if !self.known.contains_key(name) && !uses.contains(name) && !main.contains(name) {
                    unused.push(format!(
                        "{}: unused parameter: {name}={value}",
                        model.master_cf()
                    ));
                }
            }
        }
        unused
    }

    /// Whether `name` can be shown when asked for.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// The names of `classes`, sorted. Aliases are listed only when set.
    pub(crate) fn listed<'n>(
        &'n self,
        classes: u32,
        config: &'n Config,
    ) -> impl Iterator<Item = &'n str> {
        let has_removed = config.level() < Level::new(3, 11);
        self.known.iter().filter_map(move |(name, class)| {
            let info = params::find(name);
            let is_alias = info.is_some_and(|info| info.class == Class::ObsoleteAlias);
            let is_hidden = info.is_some_and(|info| {
                info.has(flag::ONLY_3_12) || (info.has(flag::REMOVED) && !has_removed)
            });
            let class = if is_alias { USER } else { *class };
            let is_listed = !(is_alias || is_hidden) || config.is_set(name);
            (classes & class != 0 && is_listed).then_some(name.as_str())
        })
    }
}

/// Whether settings of `name` are ignored at this level.
pub(crate) fn is_read_only(model: &Model, name: &str) -> bool {
    params::find(name).is_some_and(|info| info.has(flag::READ_ONLY))
        || (name == "service_name" && model.config.level() < Level::new(3, 11))
}

fn explicit(config: &Config) -> impl Iterator<Item = (String, String)> {
    let own = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
    config.explicit().map(own)
}

fn built_in_and_service_names(model: &Model) -> BTreeMap<String, u32> {
    let mut known: BTreeMap<String, u32> = params::ALL
        .iter()
        .map(|info| (info.name.to_string(), BUILTIN))
        .collect();
    for entry in &model.entries {
        for (suffix, _) in service_suffixes(entry.command()) {
            known.insert(format!("{}_{suffix}", entry.name()), SERVICE);
        }
    }
    known
}

type Suffixes = &'static [&'static str];

/// Table types whose settings may be in main.cf, with the settings' names.
const TABLE_CLIENTS: &[(&str, Suffixes)] = &[
    (
        "ldap",
        &[
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "chase_referrals",
            "debuglevel",
            "dereference",
            "domain",
            "expansion_limit",
            "leaf_result_attribute",
            "query_filter",
            "recursion_limit",
            "result_attribute",
            "result_filter",
            "result_format",
            "sasl_authz_id",
            "sasl_mechs",
            "sasl_minssf",
            "sasl_realm",
            "scope",
            "search_base",
            "server_host",
            "server_port",
            "size_limit",
            "special_result_attribute",
            "start_tls",
            "terminal_result_attribute",
            "timeout",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_cipher_suite",
            "tls_key",
            "tls_random_file",
            "tls_require_cert",
            "version",
        ],
    ),
    (
        "mysql",
        &[
            "additional_conditions",
            "charset",
            "dbname",
            "domain",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "option_file",
            "option_group",
            "password",
            "query",
            "require_result_set",
            "result_format",
            "retry_interval",
            "select_field",
            "table",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_ciphers",
            "tls_key_file",
            "tls_verify_cert",
            "user",
            "where_field",
        ],
    ),
    (
        "pgsql",
        &[
            "additional_conditions",
            "dbname",
            "domain",
            "encoding",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "password",
            "query",
            "result_format",
            "retry_interval",
            "select_field",
            "select_function",
            "table",
            "user",
            "where_field",
        ],
    ),
    (
        "sqlite",
        &[
            "additional_conditions",
            "dbpath",
            "domain",
            "expansion_limit",
            "query",
            "result_format",
            "select_field",
            "table",
            "where_field",
        ],
    ),
    (
        "memcache",
        &[
            "backup",
            "data_size_limit",
            "domain",
            "flags",
            "key_digest",
            "key_format",
            "line_size_limit",
            "max_try",
            "memcache",
            "retry_pause",
            "timeout",
            "ttl",
        ],
    ),
    (
        "mongodb",
        &[
            "collection",
            "dbname",
            "domain",
            "expansion_limit",
            "projection",
            "query_filter",
            "result_attribute",
            "result_format",
            "uri",
        ],
    ),
    (
        "redis",
        &[
            "data_size_limit",
            "db",
            "domain",
            "key_format",
            "key_prefix",
            "max_try",
            "password",
            "redis",
            "retry_pause",
            "timeout",
            "tls",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_key_file",
            "tls_verify_cert",
            "ttl",
            "username",
        ],
    ),
];

/// Finds `type:name` of table clients in `text`, also inside `{…}`.
fn table_clients(text: &str, found: &mut Vec<(&'static str, Suffixes, String)>) {
    for word in words::grouped_words(text) {
        if let Ok(inner) = words::unbrace(word) {
            table_clients(inner, found);
            continue;
        }
        let mut table = word;
        while let Some(rest) = table.strip_prefix("proxy:") {
            table = rest;
        }
        let Some((kind, source)) = table.split_once(':') else {
            continue;
        };
        if let Some((kind, suffixes)) = TABLE_CLIENTS.iter().find(|(known, _)| *known == kind) {
            found.push((kind, suffixes, source.to_string()));
        }
    }
}

/// Warns about settings in a table client's file that the client does not know.
fn check_table_file(kind: &str, suffixes: Suffixes, path: &str) -> Result<(), Fatal> {
    let complain = |reason: &str| {
        warn(&format!(
            "open \"{kind}\" configuration \"{path}\": {reason}"
        ))
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => {
            complain(&postern_sys::error_text(&error));
            return Ok(());
        }
    };
    if !metadata.is_file() {
        complain("not a regular file");
        return Ok(());
    }
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => {
            complain(&postern_sys::error_text(&error));
            return Ok(());
        }
    };
    let mut settings = BTreeMap::new();
    for line in lines::logical_lines(&content, |_, text| warn(&lines::orphan_warning(path, text))) {
        let text = String::from_utf8_lossy(&line.text).into_owned();
        let (name, value) = lines::split_name_value(&text).map_err(|error| {
            Fatal::Text(format!(
                "{path}, line {}: {}",
                line.first,
                error.describe(&text)
            ))
        })?;
        settings.insert(name.to_string(), value.to_string());
    }
    for (name, value) in settings
        .iter()
        .filter(|(name, _)| !suffixes.contains(&name.as_str()))
    {
        warn(&format!("{kind}:{path}: unused parameter: {name}={value}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_clients_are_found_through_proxies_and_groups() {
        let mut found = Vec::new();
        table_clients(
            "hash:/a, proxy:mysql:foo {check_x ldap:/b, y=z} regexp:/c",
            &mut found,
        );
        let names: Vec<(&str, &str)> = found
            .iter()
            .map(|(kind, _, source)| (*kind, source.as_str()))
            .collect();
        assert_eq!(names, [("mysql", "foo"), ("ldap", "/b")]);
    }
}
