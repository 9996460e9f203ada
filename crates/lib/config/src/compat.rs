//! What of an existing configuration would behave differently under Postern: parameters that are not
//! obeyed, table types and programs that are missing. For `postfix check --compat` and whoever else
//! asks; nothing here prints.
//!
//! Which parameters are obeyed is known here (`cargo xtask parameters`); which table types exist and
//! which programs are installed, the caller says.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::lines::{logical_lines, split_name_value, to_text};
use crate::params::{self, Kind};
use crate::words::unbrace;
use crate::{Config, ConfigError, master_cf, suggest, tables};

/// What the caller knows of the installation.
pub struct Installation<'i> {
    /// The table types that can be opened.
    pub table_types: &'i [&'i str],
    /// Whether the daemon directory has the program that master.cf names.
    pub has_program: &'i dyn Fn(&str) -> bool,
}

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file.
    pub path: String,
    /// First physical line of the entry, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.path, self.line)
    }
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A parameter is set and has no effect, or not its whole effect.
    Parameter {
        /// The name.
        name: String,
        /// The value as it stands in the file.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// A parameter names a table of a type that cannot be opened.
    TableType {
        /// The parameter.
        name: String,
        /// The table type.
        kind: String,
        /// A known type that was probably meant.
        meant: Option<String>,
    },
    /// A service runs a program that is not installed.
    Program {
        /// First field of the entry.
        service: String,
        /// The program.
        command: String,
    },
}

/// One difference. Its `Display` is a line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.what {
            What::Parameter {
                name,
                value,
                reason,
            } => write!(f, "{name} = {value}: {reason}"),
            What::TableType { name, kind, meant } => {
                write!(f, "{name}: there is no table type \"{kind}\"")?;
                match meant {
                    Some(meant) => write!(f, "; did you mean \"{meant}\"?"),
                    None => Ok(()),
                }
            }
            What::Program { service, command } => {
                write!(f, "service {service}: there is no program \"{command}\"")
            }
        }
    }
}

/// Compares `DIR/main.cf` and `DIR/master.cf` with what works. A missing master.cf has no services.
/// The result is in the order of the files.
///
/// # Errors
///
/// Files that cannot be read, and main.cf entries that are no `name = value`.
pub fn differences(
    directory: &Path,
    installation: &Installation<'_>,
) -> Result<Vec<Difference>, ConfigError> {
    let config = Config::load_now(directory)?;
    let mut finder = Finder {
        installation,
        found: Vec::new(),
    };
    finder.main_cf(&config)?;
    match master_cf::read(&directory.join("master.cf")) {
        Ok(content) => finder.master_cf(&config, &content),
        Err(_) if !directory.join("master.cf").exists() => {}
        Err(error) => return Err(error),
    }
    Ok(finder.found)
}

struct Finder<'f> {
    installation: &'f Installation<'f>,
    found: Vec<Difference>,
}

impl Finder<'_> {
    fn main_cf(&mut self, config: &Config) -> Result<(), ConfigError> {
        let path = config.main_cf();
        let content =
            fs::read(&path).map_err(|error| ConfigError::Text(format!("open {path}: {error}")))?;
        for line in logical_lines(&content, |_, _| ()) {
            let text = to_text(&line.text);
            let Ok((name, value)) = split_name_value(&text) else {
                continue;
            };
            // Of several entries the last counts.
            if config.raw(name).as_deref() == Some(value) {
                let place = Place {
                    path: path.clone(),
                    line: line.first,
                };
                self.setting(config, &place, name, value);
            }
        }
        Ok(())
    }

    fn master_cf(&mut self, config: &Config, content: &[u8]) {
        let path = config.directory().join("master.cf");
        let path = path.to_string_lossy().into_owned();
        for entry in master_cf::entries(&path, content, drop) {
            let place = Place {
                path: path.clone(),
                line: entry.line,
            };
            let (Some(service), Some(command)) = (entry.fields.first(), entry.fields.get(7)) else {
                continue;
            };
            if !(self.installation.has_program)(command) {
                self.add(
                    &place,
                    What::Program {
                        service: service.clone(),
                        command: command.clone(),
                    },
                );
            }
            for pair in entry.arguments.windows(2).filter(|pair| pair[0] == "-o") {
                let text = unbrace(&pair[1]).unwrap_or(&pair[1]);
                if let Ok((name, value)) = split_name_value(text) {
                    self.setting(config, &place, name, value);
                }
            }
        }
    }

    fn setting(&mut self, config: &Config, place: &Place, name: &str, value: &str) {
        let Some(info) = params::find(name) else {
            return;
        };
        let reason = params::readers(name).map_or("", |readers| readers.reason);
        if !reason.is_empty() && value != config.default_text(info) {
            let what = What::Parameter {
                name: name.to_string(),
                value: value.to_string(),
                reason,
            };
            self.add(place, what);
        }
        if info.kind == Kind::Raw {
            return;
        }
        // A value that cannot be expanded is reported by every program that reads it.
        let Ok(text) = config.expand(value, &|_| None) else {
            return;
        };
        let holds_tables = ["_maps", "_map", "_checks", "_database"]
            .iter()
            .any(|end| name.ends_with(end));
        for table in tables::find(&text).tables {
            let kind = table.kind.trim_start_matches('!');
            let is_type = KNOWN_TYPES.contains(&kind) || (holds_tables && is_type_name(kind));
            if is_type && !self.installation.table_types.contains(&kind) {
                let types = self.installation.table_types.iter().copied();
                let meant = suggest::nearest(kind, types).map(str::to_string);
                let what = What::TableType {
                    name: name.to_string(),
                    kind: kind.to_string(),
                    // A type that Postfix has was meant as it stands.
                    meant: meant.filter(|_| !KNOWN_TYPES.contains(&kind)),
                };
                self.add(place, what);
            }
        }
    }

    fn add(&mut self, place: &Place, what: What) {
        let difference = Difference {
            place: place.clone(),
            what,
        };
        if !self.found.contains(&difference) {
            self.found.push(difference);
        }
    }
}

fn is_type_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Table types that some build of Postfix has.
const KNOWN_TYPES: &[&str] = &[
    "btree",
    "cdb",
    "cidr",
    "dbm",
    "environ",
    "fail",
    "hash",
    "inline",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "netinfo",
    "nis",
    "nisplus",
    "pcre",
    "pgsql",
    "pipemap",
    "randmap",
    "regexp",
    "sdbm",
    "socketmap",
    "sqlite",
    "static",
    "tcp",
    "texthash",
    "unionmap",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(main_cf: &str, master_cf: Option<&str>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("main.cf"), main_cf).unwrap();
        if let Some(text) = master_cf {
            fs::write(directory.path().join("master.cf"), text).unwrap();
        }
        let installation = Installation {
            table_types: &["hash", "regexp", "inline"],
            has_program: &|command| matches!(command, "smtpd" | "smtp"),
        };
        let start = format!("{}/", directory.path().display());
        differences(directory.path(), &installation)
            .unwrap()
            .iter()
            .map(|difference| difference.to_string().replacen(&start, "", 1))
            .collect()
    }

    #[test]
    fn parameters_without_effect_are_named_with_the_reason() {
        let unread = params::ALL
            .iter()
            .find(|info| params::readers(info.name).is_some_and(|all| all.programs.is_empty()))
            .unwrap();
        let reason = params::readers(unread.name).unwrap().reason;
        let text = format!("# c\n{} = 17\nmyhostname = a.b\n", unread.name);
        assert_eq!(
            found(&text, None),
            [format!("main.cf, line 2: {} = 17: {reason}", unread.name)]
        );
        let default = unread.default;
        assert_eq!(
            found(&format!("{} = {default}\n", unread.name), None),
            [] as [&str; 0],
            "the default changes nothing"
        );
    }

    #[test]
    fn missing_table_types_are_named_where_tables_may_stand() {
        let text = "alias_maps = hash:/a, mysql:/b\n\
                    smtpd_client_restrictions = check_client_access { nisplus:x, a=b }, permit\n\
                    header_checks = pipemap:{regexp:/a, hahs:/b}\n\
                    relayhost = smtp:[a]:25\n\
                    transport_maps = rexexp:/x\n";
        assert_eq!(
            found(text, None),
            [
                "main.cf, line 1: alias_maps: there is no table type \"mysql\"",
                "main.cf, line 2: smtpd_client_restrictions: there is no table type \"nisplus\"",
                "main.cf, line 3: header_checks: there is no table type \"pipemap\"",
                "main.cf, line 3: header_checks: there is no table type \"hahs\"; did you mean \"hash\"?",
                "main.cf, line 5: transport_maps: there is no table type \"rexexp\"; did you mean \"regexp\"?",
            ]
        );
    }

    #[test]
    fn services_without_program_and_their_settings_are_named() {
        let master = "smtp inet n - n - - smtpd\n  -o { alias_maps = ldap:x }\n\
                      mail unix - n n - - pipe flags=R\n";
        assert_eq!(
            found("", Some(master)),
            [
                "master.cf, line 1: alias_maps: there is no table type \"ldap\"",
                "master.cf, line 3: service mail: there is no program \"pipe\"",
            ]
        );
    }
}
