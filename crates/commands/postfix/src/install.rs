//! What `post-install` does: makes directories that are missing, sets owners and modes, and writes new
//! places of an installation to main.cf.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::Path;

use nix::fcntl::OFlag;
use postern_config::edit::{self, Change};
use postern_config::{Config, params};
use postern_sys::{error_text, user};

use crate::files::{self, Entry};
use crate::program::{Failure, Program};
use crate::walk::walk;

/// Parameters that `name=value` words may set, in the order in which they are written.
const SETTABLE: &[params::Param<String>] = &[
    params::COMMAND_DIRECTORY,
    params::DAEMON_DIRECTORY,
    params::DATA_DIRECTORY,
    params::HTML_DIRECTORY,
    params::MAIL_OWNER,
    params::MAILQ_PATH,
    params::MANPAGE_DIRECTORY,
    params::META_DIRECTORY,
    params::NEWALIASES_PATH,
    params::QUEUE_DIRECTORY,
    params::README_DIRECTORY,
    params::SAMPLE_DIRECTORY,
    params::SENDMAIL_PATH,
    params::SETGID_GROUP,
    params::SHLIB_DIRECTORY,
];
/// Directories that an installation may lack; their value is `no` then.
const OPTIONAL: &[&str] = &["html_directory", "readme_directory", "shlib_directory"];

/// What the words of a `post-install` command line ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    settings: BTreeMap<String, String>,
    config_directory: Option<String>,
    create: bool,
    /// Set permissions: of everything, or of what an upgrade touches.
    permissions: Option<Scope>,
    upgrade_configuration: bool,
    remind: bool,
}

/// Which entries get their owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Upgraded,
}

impl Program {
    /// Runs `post-install` with these words.
    pub(crate) fn post_install(&self, words: &[OsString]) -> Result<u8, Failure> {
        let request = self.understand(words)?;
        let changed = self.apply_settings(&request)?;
        let program = changed.as_ref().unwrap_or(self);
        if request.create {
            program.create_missing()?;
        }
        if let Some(scope) = request.permissions {
            program.set_permissions(scope)?;
        }
        if request.upgrade_configuration {
            program.upgrade_configuration()?;
        }
        if request.remind {
            program.remind();
        }
        Ok(0)
    }

    fn understand(&self, words: &[OsString]) -> Result<Request, Failure> {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        parse_words(&words).map_err(|problem| {
            let shown = self.daemon_directory.join("post-install");
            let shown = shown.display();
            match problem {
                Some(text) => postern_command::complain!("{shown}: Error: {text}"),
                None => postern_command::complain!(
                    "{shown}: Error: Usage: {shown} [name=value] command\n    \
                     create-missing          Create missing queue directories.\n    \
                     upgrade-source          When installing or upgrading from source code.\n    \
                     upgrade-package         When installing or upgrading from pre-built package.\n    \
                     first-install-reminder  Remind of mandatory first-time configuration steps.\n    \
                     name=value              Specify an installation parameter."
                ),
            }
            Failure::TOLD
        })
    }

    /// Writes settings that differ from what main.cf says, with all other places of the installation, so
    /// that they no longer depend on defaults. Gives the program for the new configuration.
    fn apply_settings(&self, request: &Request) -> Result<Option<Self>, Failure> {
        let directory = request
            .config_directory
            .as_ref()
            .map_or_else(|| self.config.directory(), Into::into);
        let load = || Config::load_now(&directory).map_err(|error| self.complain(&error));
        let config = if request.config_directory.is_some() {
            load()?
        } else {
            self.config.clone()
        };
        let changes = changes(&request.settings, &config);
        if changes.is_empty() {
            return Ok(request
                .config_directory
                .is_some()
                .then(|| self.with_config(config)));
        }
        self.check_names(&request.settings)?;
        let path = directory.join("main.cf");
        let shown = path.display().to_string();
        edit::replace(&path, |old| Ok(edit::main_cf(&shown, old, &changes).0))
            .map_err(|error| self.complain(&error))?;
        load().map(|config| Some(self.with_config(config)))
    }

    /// An unknown user or group must not get into main.cf: no command would run then.
    fn check_names(&self, settings: &BTreeMap<String, String>) -> Result<(), Failure> {
        if let Some(name) = settings.get("mail_owner") {
            user_id(name)?;
        }
        if let Some(name) = settings.get("setgid_group") {
            group_id(name)?;
        }
        Ok(())
    }

    /// Makes the directories that are missing.
    pub(crate) fn create_missing(&self) -> Result<(), Failure> {
        for entry in files::read(&self.config)? {
            if !entry.is_created || entry.path.is_dir() {
                continue;
            }
            fs::create_dir(&entry.path).map_err(|error| {
                tell(&format!(
                    "mkdir: cannot create directory '{}': {}",
                    entry.path.display(),
                    error_text(&error)
                ))
            })?;
            self.settle(&entry)?;
        }
        Ok(())
    }

    /// Gives files and directories their owner and mode. What is missing is told, and the rest goes on.
    fn set_permissions(&self, scope: Scope) -> Result<(), Failure> {
        self.create_missing()?;
        let mut result = Ok(());
        for entry in files::read(&self.config)? {
            if scope == Scope::Upgraded && !entry.is_upgraded {
                continue;
            }
            if !entry.path.exists() {
                result = Err(tell(&format!(
                    "chown: cannot access '{}': No such file or directory",
                    entry.path.display()
                )));
                continue;
            }
            self.settle(&entry)?;
        }
        result
    }

    /// Gives one entry its owner, group and mode.
    fn settle(&self, entry: &Entry) -> Result<(), Failure> {
        let mode = u32::from_str_radix(&entry.mode, 8)
            .map_err(|_| tell(&format!("chmod: invalid mode: '{}'", entry.mode)))?;
        // Without privileges nobody else may have to reach the sockets, and a group cannot be kept.
        let mode = if self.is_root { mode } else { mode & 0o777 };
        let ids = if self.is_root {
            let group = entry.group.as_deref().map(group_id).transpose()?;
            Some((user_id(&entry.owner)?, group))
        } else {
            None
        };
        if let Some((owner, group)) = ids {
            own(&entry.path, user::chown(&entry.path, Some(owner), group))?;
        }
        set_mode(&entry.path, mode)?;
        if entry.is_recursive {
            settle_below(&entry.path, ids, mode)?;
        }
        Ok(())
    }

    fn remind(&self) {
        let main_cf = self.config.directory().join("main.cf");
        postern_command::tell(format_args!(
            "\n    Warning: you still need to edit myorigin/mydestination/mynetworks\n    \
             parameter settings in {}.\n\n    \
             See also http://www.postfix.org/STANDARD_CONFIGURATION_README.html\n    \
             for information about dialup sites or about sites inside a firewalled\n    network.\n\n    \
             BTW: Check your /etc/aliases file and be sure to set up aliases\n    \
             that send mail for root and postmaster to a real person, then run\n    {}.\n",
            main_cf.display(),
            self.config.get(params::NEWALIASES_PATH)
        ));
    }
}

/// Understands words; a problem without text asks for the usage.
fn parse_words(words: &[String]) -> Result<Request, Option<String>> {
    let mut request = Request::default();
    let mut is_empty = true;
    for word in words {
        if let Some((name, value)) = word.split_once('=') {
            if word.contains(char::is_whitespace) {
                return Err(Some(format!("argument contains whitespace: '{word}'")));
            }
            if value.is_empty() {
                continue;
            }
            if name == "config_directory" {
                request.config_directory = Some(value.to_owned());
            } else if SETTABLE.iter().any(|param| param.info.name == name) {
                check_setting(name, value)?;
                request.settings.insert(name.to_owned(), value.to_owned());
            }
            continue;
        }
        is_empty = false;
        match word.as_str() {
            "create-missing" => request.create = true,
            "set-permissions" | "set-perms" => request.permissions = Some(Scope::All),
            "upgrade-permissions" => {
                request.permissions.get_or_insert(Scope::Upgraded);
            }
            "upgrade-configuration" => {
                (request.create, request.upgrade_configuration) = (true, true);
            }
            "upgrade-source" => {
                request.permissions.get_or_insert(Scope::Upgraded);
                request.upgrade_configuration = true;
            }
            "upgrade-package" => {
                request.permissions = Some(Scope::All);
                request.upgrade_configuration = true;
            }
            "first-install-reminder" => request.remind = true,
            _ => return Err(None),
        }
    }
    if is_empty { Err(None) } else { Ok(request) }
}

fn check_setting(name: &str, value: &str) -> Result<(), Option<String>> {
    let is_path = name.ends_with("_directory") || name.ends_with("_path");
    let is_optional = OPTIONAL.contains(&name);
    if !is_path || value.starts_with('/') || (is_optional && value == "no") {
        return Ok(());
    }
    let alternative = if is_optional { "\"no\" or " } else { "" };
    Err(Some(format!(
        "\"{value}\" should be {alternative}an absolute path name."
    )))
}

/// What to write to main.cf: nothing when all settings are in force already.
fn changes(settings: &BTreeMap<String, String>, config: &Config) -> BTreeMap<String, Change> {
    let differs = SETTABLE.iter().any(|param| {
        settings
            .get(param.info.name)
            .is_some_and(|value| *value != config.get(*param))
    });
    if !differs {
        return BTreeMap::new();
    }
    SETTABLE
        .iter()
        .filter_map(|param| {
            let name = param.info.name;
            let value = match settings.get(name) {
                Some(value) => value.clone(),
                None if config.is_set(name) => return None,
                None => config.get(*param),
            };
            (!value.is_empty()).then(|| (name.to_owned(), Change::Set(value)))
        })
        .collect()
}

fn tell(text: &str) -> Failure {
    postern_command::complain!("{text}");
    Failure::TOLD
}

fn user_id(name: &str) -> Result<u32, Failure> {
    let found = user::user_by_name(name).ok().flatten();
    found
        .map(|user| user.uid)
        .ok_or_else(|| tell(&format!("chown: invalid user: '{name}'")))
}

fn group_id(name: &str) -> Result<u32, Failure> {
    let found = user::group_by_name(name).ok().flatten();
    found
        .map(|group| group.gid)
        .ok_or_else(|| tell(&format!("chgrp: invalid group: '{name}'")))
}

/// Owners of everything below `top`, and modes of its directories. Its owner is less trusted than the
/// caller and may put links there, so that no link is followed.
fn settle_below(top: &Path, ids: Option<(u32, Option<u32>)>, mode: u32) -> Result<(), Failure> {
    let mut result = Ok(());
    walk(top, &mut |path, metadata| {
        if path == top || result.is_err() {
            return;
        }
        let owned = match ids {
            Some((owner, group)) => own(path, lchown(path, Some(owner), group)),
            None => Ok(()),
        };
        result = owned.and_then(|()| {
            if !metadata.is_dir() || metadata.mode() & 0o7777 == mode {
                return Ok(());
            }
            let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
            let changed = File::options()
                .read(true)
                .custom_flags(flags.bits())
                .open(path)
                .and_then(|directory| directory.set_permissions(Permissions::from_mode(mode)));
            moded(path, changed)
        });
    });
    result
}

fn own(path: &Path, changed: io::Result<()>) -> Result<(), Failure> {
    changed.map_err(|error| {
        tell(&format!(
            "chown: changing ownership of '{}': {}",
            path.display(),
            error_text(&error)
        ))
    })
}

fn moded(path: &Path, changed: io::Result<()>) -> Result<(), Failure> {
    changed.map_err(|error| {
        tell(&format!(
            "chmod: changing permissions of '{}': {}",
            path.display(),
            error_text(&error)
        ))
    })
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o7777 == mode) {
        return Ok(());
    }
    moded(
        path,
        fs::set_permissions(path, Permissions::from_mode(mode)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_commands_and_settings() {
        let request = parse_words(&words(
            "mail_owner=m|html_directory=|foo=bar|set-permissions",
        ));
        let want = Request {
            settings: BTreeMap::from([("mail_owner".to_owned(), "m".to_owned())]),
            permissions: Some(Scope::All),
            ..Request::default()
        };
        assert_eq!(request, Ok(want));
        for (text, want) in [
            ("foo", None),
            ("foo=bar", None),
            (
                "set-permissions|queue_directory=rel",
                Some("\"rel\" should be an absolute path name."),
            ),
            (
                "set-permissions|html_directory=rel",
                Some("\"rel\" should be \"no\" or an absolute path name."),
            ),
            (
                "set-permissions|mail_owner=a b",
                Some("argument contains whitespace: 'mail_owner=a b'"),
            ),
        ] {
            let want = want.map(str::to_owned);
            assert_eq!(parse_words(&words(text)), Err(want), "{text}");
        }
        assert!(parse_words(&words("html_directory=no|create-missing")).is_ok());
    }

    #[test]
    fn one_new_setting_writes_the_others_that_are_not_set() {
        let config = Config::from_text("queue_directory = /q\nmail_owner = m\n").unwrap();
        let set = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(changes(&set("mail_owner", "m"), &config).is_empty());
        let changes = changes(&set("mail_owner", "n"), &config);
        assert_eq!(changes.get("mail_owner"), Some(&Change::Set("n".into())));
        assert_eq!(changes.get("queue_directory"), None);
        assert!(changes.contains_key("setgid_group"));
    }
}
