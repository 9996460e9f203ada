//! Which names mean something: built-in parameters, names made from services, and names that the
//! files themselves give a meaning. The rest is probably misspelt and is reported.
//!
//! main.cf and every entry of master.cf are a [`Scope`] each. A name that a text refers to is valid in
//! the scope itself and in the scopes that it reaches; see [`Scopes::refer`].

use std::collections::{BTreeMap, BTreeSet};

use postern_config::params::{self, Class, Kind, flag};
use postern_config::{Config, ConfigError, Level, expand, tables, words};

use crate::model::{MasterEntry, Model, service_suffixes};
use crate::options::{BUILTIN, Flag, Options, SERVICE, USER};
use crate::table_files::check_table_file;
use crate::{Fatal, inform, warn};

/// The names that can be listed, and what is wrong with others.
pub(crate) struct Names {
    /// Name to class bit.
    known: BTreeMap<String, u32>,
    /// For each entry of master.cf, the names of its own that mean something.
    service_names: Vec<BTreeSet<String>>,
    /// Old names of parameters that an entry of master.cf sets.
    service_aliases: BTreeSet<String>,
    /// Warnings for after the listing.
    pub(crate) late: Vec<Late>,
}

/// A warning for after the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Late {
    /// The text after `warning: `.
    pub(crate) text: String,
    /// The name that means nothing, and where it is set.
    pub(crate) unknown: Option<Unknown>,
}

/// A name that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) name: String,
    /// Index of the master.cf entry; `None` is main.cf.
    pub(crate) entry: Option<usize>,
}

impl Names {
    /// Finds all names, and warns about undefined ones.
    pub(crate) fn build(model: &Model, options: &Options) -> Result<Self, Fatal> {
        let mut known = built_in_and_service_names(model);
        if options.has(Flag::Defaults) {
            return Ok(Self {
                known,
                service_names: Vec::new(),
                service_aliases: BTreeSet::new(),
                late: Vec::new(),
            });
        }
        let mut scopes = Scopes::new(model, options, &known);
        scopes.follow_classes_and_references()?;
        scopes.follow_tables(model)?;
        let late = if options.is_quiet {
            Vec::new()
        } else {
            scopes.late(options)
        };
        let service_names = scopes.services.into_iter().map(|scope| scope.valid);
        let service_names = service_names.collect();
        for name in scopes.main.valid {
            known.entry(name).or_insert(USER);
        }
        let set = model.entries.iter().flat_map(|entry| entry.settings.keys());
        Ok(Self {
            known,
            service_names,
            service_aliases: set.filter(|name| is_alias(name)).cloned().collect(),
            late,
        })
    }

    /// Whether `name` can be shown when asked for.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Every name that means something.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// The names of `classes`, sorted. Aliases are listed only when set, be it for a service.
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
            let is_listed = !(is_alias || is_hidden)
                || config.is_set(name)
                || self.service_aliases.contains(name);
            (classes & class != 0 && is_listed).then_some(name.as_str())
        })
    }

    /// As [`Names::listed`], with the names that only this entry of master.cf knows.
    pub(crate) fn listed_for_service<'n>(
        &'n self,
        index: usize,
        classes: u32,
        config: &'n Config,
    ) -> BTreeSet<&'n str> {
        let own = self.service_names.get(index).into_iter().flatten();
        let own = own
            .filter(|name| classes & USER != 0 && !self.known.contains_key(*name))
            .map(String::as_str);
        self.listed(classes, config).chain(own).collect()
    }
}

/// main.cf, or the `-o` settings of one service.
struct Scope<'m> {
    /// The file, for warnings.
    path: String,
    /// The file and the entry, as messages about texts name them.
    label: String,
    config: Config,
    /// Where the restriction classes are looked for: services do so before the overrides of the command
    /// line are there.
    class_config: Config,
    set: BTreeMap<&'m str, &'m str>,
    /// Names set here that are not built in and mean something, because a text refers to them.
    valid: BTreeSet<String>,
}

struct Scopes<'m> {
    known: &'m BTreeMap<String, u32>,
    main: Scope<'m>,
    services: Vec<Scope<'m>>,
    is_verbose: bool,
    is_read_only_service_name: bool,
    warns_about_comments: bool,
}

/// Which scope a text stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Main,
    Service(usize),
}

impl<'m> Scopes<'m> {
    fn new(model: &'m Model, options: &Options, known: &'m BTreeMap<String, u32>) -> Self {
        let service = |entry: &'m MasterEntry| Scope {
            path: model.master_cf(),
            label: format!("master.cf:{}/{}", entry.name(), entry.kind()),
            config: model.service_config(entry),
            class_config: model.service_file_config(entry),
            set: entry
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            valid: BTreeSet::new(),
        };
        let ignored = model.ignored.iter();
        Self {
            known,
            main: Scope {
                path: model.main_cf(),
                label: "main.cf".to_string(),
                config: model.config.clone(),
                class_config: model.config.clone(),
                set: model
                    .config
                    .explicit()
                    .chain(ignored.map(|(name, value)| (name.as_str(), value.as_str())))
                    .collect(),
                valid: BTreeSet::new(),
            },
            services: model.entries.iter().map(service).collect(),
            is_verbose: options.verbosity > 0,
            is_read_only_service_name: is_read_only(model, "service_name"),
            warns_about_comments: model.config.look().comment_warnings() && !options.is_quiet,
        }
    }

    /// Services first, as the reference goes through the files.
    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.services.len())
            .map(Place::Service)
            .chain([Place::Main])
    }

    fn scope(&self, place: Place) -> &Scope<'m> {
        match place {
            Place::Main => &self.main,
            Place::Service(index) => &self.services[index],
        }
    }

    /// Takes settings out that cannot have an effect.
    fn drop_read_only(&mut self, place: Place) {
        let is_read_only_service_name = self.is_read_only_service_name;
        let scope = match place {
            Place::Main => &mut self.main,
            Place::Service(index) => &mut self.services[index],
        };
        let path = &scope.path;
        scope.set.retain(|name, value| {
            let is_read_only = params::find(name).is_some_and(|info| info.has(flag::READ_ONLY))
                || (*name == "service_name" && is_read_only_service_name);
            if is_read_only {
                warn(&format!(
                    "{path}: read-only parameter assignment: {name}={value}"
                ));
            }
            !is_read_only
        });
    }

    fn follow_classes_and_references(&mut self) -> Result<(), Fatal> {
        let mut warned = BTreeSet::new();
        for place in self.places() {
            if place == Place::Main {
                evaluate_basics(&self.main.config)?;
            }
            self.drop_read_only(place);
            for class in self.classes(place)? {
                self.refer(place, &class, false);
            }
            for name in self.references(place, &mut warned) {
                self.refer(place, &name, true);
            }
        }
        Ok(())
    }

    /// The restriction classes that a scope declares.
    fn classes(&self, place: Place) -> Result<Vec<String>, Fatal> {
        let scope = self.scope(place);
        let name = params::SMTPD_RESTRICTION_CLASSES.info.name;
        let Some(text) = scope.set.get(name) else {
            return Ok(Vec::new());
        };
        let text = scope
            .class_config
            .expand_explicit(text, &["process_name", "service_name"])
            .map_err(Fatal::from_expansion)?;
        Ok(words::words(&text).map(str::to_string).collect())
    }

    /// What the texts of a scope refer to, once for each time.
    fn references(&self, place: Place, warned: &mut BTreeSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in &self.scope(place).set {
            if is_raw(name) {
                continue;
            }
            let result = expand::references(value, &mut |name| found.push(name.to_string()));
            if let Err(ConfigError::Macro { warning }) = result
                && warned.insert(warning.clone())
            {
                warn(&warning);
            }
        }
        found
    }

    /// A text in `place` refers to `name`: a setting of that name means something where the reference
    /// finds it. A service finds its own setting, else that of main.cf; main.cf finds its own and those
    /// of all services, because a service reads main.cf with its own settings on top.
    fn refer(&mut self, place: Place, name: &str, is_dollar: bool) {
        let mut is_found = false;
        match place {
            Place::Service(index) if self.services[index].set.contains_key(name) => {
                self.validate(place, place, name, is_dollar);
                is_found = true;
            }
            Place::Service(_) => {}
            Place::Main => {
                for index in 0..self.services.len() {
                    if self.services[index].set.contains_key(name) {
                        self.validate(place, Place::Service(index), name, is_dollar);
                        is_found = true;
                    }
                }
            }
        }
        if (place == Place::Main || !is_found) && self.main.set.contains_key(name) {
            self.validate(place, Place::Main, name, is_dollar);
            is_found = true;
        }
        if !is_found && !self.known.contains_key(name) {
            warn(&format!(
                "{}: undefined parameter: {name}",
                self.scope(place).path
            ));
        }
    }

    fn validate(&mut self, from: Place, at: Place, name: &str, is_dollar: bool) {
        let from = self.scope(from).label.clone();
        let is_built_in = self.known.contains_key(name);
        let scope = match at {
            Place::Main => &mut self.main,
            Place::Service(index) => &mut self.services[index],
        };
        if (at == Place::Main && is_built_in) || !scope.valid.insert(name.to_string()) {
            return;
        }
        if self.is_verbose && is_dollar {
            let at = &scope.label;
            inform(&format!("${name} in {from} validates {name}=value in {at}"));
        }
    }

    /// Gives a meaning to the settings of table clients: `mysql:NAME` reads `NAME_hosts` and so on.
    fn follow_tables(&mut self, model: &Model) -> Result<(), Fatal> {
        let mut seen = BTreeSet::new();
        for place in self.places() {
            let scope = self.scope(place);
            let mut clients = Vec::new();
            for (name, value) in &scope.set {
                if !self.known.contains_key(*name) || is_raw(name) || is_alias(name) {
                    continue;
                }
                let value = model.expand(&scope.config, value)?;
                let found = tables::find(&value);
                for table in &found.tables {
                    if let Some(settings) = tables::client_settings(table.kind) {
                        let (kind, source) = (table.kind.to_string(), table.source.to_string());
                        clients.push((kind, source, settings));
                    }
                }
                for problem in &found.problems {
                    warn(&format!("{}: {problem}", scope.label));
                }
                if let Some(comment) = found.comment.filter(|_| self.warns_about_comments) {
                    warn(&comment_warning(&scope.path, comment));
                }
            }
            for (kind, source, settings) in clients {
                if source.starts_with('/') {
                    if seen.insert(format!("{kind}:{source}")) {
                        check_table_file(&kind, settings, &source)?;
                    }
                } else if !source.starts_with('.') {
                    for suffix in settings {
                        self.give_meaning(place, &format!("{source}_{suffix}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// As [`Scopes::refer`], for a name that need not be set.
    fn give_meaning(&mut self, place: Place, name: &str) {
        let is_defined = self.main.set.contains_key(name)
            || self
                .services
                .iter()
                .any(|scope| scope.set.contains_key(name));
        let is_seen_here = match place {
            Place::Main => is_defined,
            Place::Service(index) => {
                self.services[index].set.contains_key(name) || self.main.set.contains_key(name)
            }
        };
        if is_seen_here {
            self.refer(place, name, false);
        }
    }

    /// The warnings for after the listing: main.cf, unless only master.cf is shown, then services.
    fn late(&self, options: &Options) -> Vec<Late> {
        let mut late = Vec::new();
        let mut is_deprecated = false;
        let shows_main =
            !options.has_any(&[Flag::MasterEntry, Flag::MasterField, Flag::MasterParam]);
        let services = (0..self.services.len()).map(Place::Service);
        let level = self.main.config.level();
        for place in [Place::Main]
            .into_iter()
            .filter(|_| shows_main)
            .chain(services)
        {
            let scope = self.scope(place);
            for (name, value) in &scope.set {
                let path = &scope.path;
                let deprecation = params::deprecation(name).filter(|all| level >= all.since);
                if let Some(deprecation) = deprecation {
                    is_deprecated = true;
                    late.push(Late {
                        text: format!("{path}: {}", deprecation.warning(name)),
                        unknown: None,
                    });
                } else if !self.known.contains_key(*name)
                    && !scope.valid.contains(*name)
                    && !self.main.valid.contains(*name)
                {
                    late.push(Late {
                        text: format!("{path}: unused parameter: {name}={value}"),
                        unknown: Some(Unknown {
                            name: (*name).to_string(),
                            entry: match place {
                                Place::Main => None,
                                Place::Service(index) => Some(index),
                            },
                        }),
                    });
                }
            }
        }
        if is_deprecated {
            late.push(Late {
                text: params::DEPRECATION_HINT.to_string(),
                unknown: None,
            });
        }
        late
    }
}

/// Old names are only known because a default refers to them.
fn is_alias(name: &str) -> bool {
    params::find(name).is_some_and(|info| info.class == Class::ObsoleteAlias)
}

fn is_raw(name: &str) -> bool {
    params::find(name).is_some_and(|info| info.kind == Kind::Raw)
}

/// Evaluates what every program needs first, as the reference does between the two files: host name,
/// domain, protocols and, unless they are set, networks, whose style may depend on the level.
fn evaluate_basics(config: &Config) -> Result<(), Fatal> {
    let has_networks = config.is_set(params::MYNETWORKS.info.name);
    if !has_networks && !config.is_set(params::MYNETWORKS_STYLE.info.name) {
        check_level(config)?;
    }
    for param in [params::MYHOSTNAME, params::MYDOMAIN] {
        let text = config.raw(param.info.name).unwrap_or_default();
        config.expand_explicit(&text, &[])?;
    }
    config.check_protocols()?;
    Ok(config.check_networks()?)
}

/// A bad level, in the words of the expansion that stumbles over it.
pub(crate) fn check_level(config: &Config) -> Result<(), Fatal> {
    match config.try_level() {
        Ok(_) => Ok(()),
        Err(error @ ConfigError::BadLevel(_)) => Err(Fatal::Macro(error.to_string())),
        Err(other) => Err(Fatal::from_expansion(other)),
    }
}

/// The warning about `#` inside a list.
fn comment_warning(path: &str, comment: &str) -> String {
    const SHOWN: usize = 20;
    let (token, rest) = comment
        .split_once(words::is_separator)
        .unwrap_or((comment, ""));
    let rest: String = rest.chars().take(SHOWN).collect();
    format!("{path}: #comment after other text is not allowed: {token} {rest}...")
}

/// Whether settings of `name` are ignored at this level.
pub(crate) fn is_read_only(model: &Model, name: &str) -> bool {
    params::find(name).is_some_and(|info| info.has(flag::READ_ONLY))
        || (name == "service_name" && model.config.level() < Level::new(3, 11))
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
