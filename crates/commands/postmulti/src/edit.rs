//! Changes of main.cf files, and the main.cf of a new instance.

use std::collections::BTreeMap;
use std::path::Path;

use postern_config::edit::{self, Change};
use postern_config::{Config, params};

use crate::Failure;
use crate::instances::Instance;

/// Parameters about files that all instances share. A new instance has the primary one's settings.
const SHARED: &[params::Param<String>] = &[
    params::COMMAND_DIRECTORY,
    params::DAEMON_DIRECTORY,
    params::HTML_DIRECTORY,
    params::MAIL_OWNER,
    params::MAILQ_PATH,
    params::MANPAGE_DIRECTORY,
    params::META_DIRECTORY,
    params::NEWALIASES_PATH,
    params::README_DIRECTORY,
    params::SAMPLE_DIRECTORY,
    params::SENDMAIL_PATH,
    params::SETGID_GROUP,
    params::SHLIB_DIRECTORY,
];

/// Changes of one main.cf.
pub(crate) type Changes = BTreeMap<String, Change>;

/// Sets `name` to `value`.
pub(crate) fn set(changes: &mut Changes, name: &str, value: &str) {
    changes.insert(name.to_owned(), Change::Set(value.to_owned()));
}

/// Applies changes to `DIRECTORY/main.cf`, and complains in the name of postconf(1).
pub(crate) fn apply(directory: &str, changes: &Changes) -> Result<(), Failure> {
    let path = Path::new(directory).join("main.cf");
    let shown = path.display().to_string();
    edit::replace(&path, |old| Ok(edit::main_cf(&shown, old, changes).0)).map_err(|error| {
        postern_command::complain!("postconf: fatal: {error}");
        Failure::Told
    })
}

/// What makes the stock main.cf the one of `new`.
pub(crate) fn for_new_instance(primary: &Config, new: &Instance) -> Changes {
    let mut changes = Changes::new();
    for param in SHARED {
        let name = param.info.name;
        let change = match primary.raw(name) {
            Some(value) if primary.is_set(name) => Change::Set(value),
            // The stock file must not say more than the primary instance does.
            _ => Change::CommentOut,
        };
        changes.insert(name.to_owned(), change);
    }
    set(&mut changes, "queue_directory", &new.queue_directory);
    set(&mut changes, "data_directory", &new.data_directory);
    // Nobody reaches a new instance until its administrator says so.
    set(&mut changes, "master_service_disable", "inet");
    set(&mut changes, "authorized_submit_users", "");
    for (name, value) in [
        ("multi_instance_name", &new.name),
        ("multi_instance_group", &new.group),
    ] {
        if !value.is_empty() {
            set(&mut changes, name, value);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_instance_shares_what_the_primary_one_sets() {
        let primary = Config::from_text("command_directory = /sbin\n").unwrap();
        let mut new = Instance::from_config(&primary, "/etc/a");
        new.queue_directory = "/qa".to_owned();
        new.data_directory = "/da".to_owned();
        new.name = "postfix-a".to_owned();
        let changes = for_new_instance(&primary, &new);
        let old = "# stock\ncommand_directory = /usr/sbin\nmail_owner = postfix\n  # x\n";
        let (text, _) = edit::main_cf("F", old.as_bytes(), &changes);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "# stock\ncommand_directory = /sbin\n#mail_owner = postfix\n  # x\n\
             authorized_submit_users = \ndata_directory = /da\nmaster_service_disable = inet\n\
             multi_instance_name = postfix-a\nqueue_directory = /qa\n"
        );
    }
}
