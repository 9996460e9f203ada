//! The instances that there are, as their main.cf files tell.

use std::path::{Path, PathBuf};

use postern_config::{Config, params, words};

use crate::options::Selection;

/// Parameters whose directories no two instances may share.
pub(crate) const DIRECTORIES: &[&str] = &[
    "config_directory",
    "command_directory",
    "daemon_directory",
    "queue_directory",
    "data_directory",
];

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) config_directory: String,
    pub(crate) command_directory: String,
    pub(crate) daemon_directory: String,
    pub(crate) queue_directory: String,
    pub(crate) data_directory: String,
    /// Empty for none.
    pub(crate) name: String,
    /// Empty for none.
    pub(crate) group: String,
    pub(crate) is_enabled: bool,
    pub(crate) is_primary: bool,
}

/// All instances: the primary one first, the others as its main.cf lists them.
pub(crate) struct Instances {
    /// Of the primary instance.
    pub(crate) config: Config,
    pub(crate) all: Vec<Instance>,
}

impl Instance {
    /// Reads the parameters that matter here.
    pub(crate) fn from_config(config: &Config, directory: &str) -> Self {
        Self {
            config_directory: directory.to_owned(),
            command_directory: config.get(params::COMMAND_DIRECTORY),
            daemon_directory: config.get(params::DAEMON_DIRECTORY),
            queue_directory: config.get(params::QUEUE_DIRECTORY),
            data_directory: config.get(params::DATA_DIRECTORY),
            name: config.get(params::MULTI_INSTANCE_NAME),
            group: config.get(params::MULTI_INSTANCE_GROUP),
            is_enabled: config.get(params::MULTI_INSTANCE_ENABLE),
            is_primary: false,
        }
    }

    /// The value of one of [`DIRECTORIES`].
    pub(crate) fn directory(&self, parameter: &str) -> &str {
        match parameter {
            "config_directory" => &self.config_directory,
            "command_directory" => &self.command_directory,
            "daemon_directory" => &self.daemon_directory,
            "queue_directory" => &self.queue_directory,
            _ => &self.data_directory,
        }
    }

    /// Whether `-i TEXT` means this one.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        (text == "-" && self.is_primary) || self.name == text || self.config_directory == text
    }

    fn is_selected(&self, selection: &Selection) -> bool {
        match selection {
            Selection::Default | Selection::All => true,
            Selection::Group(group) => self.group == *group,
            Selection::Name(name) => self.is_called(name),
        }
    }
}

impl Instances {
    /// Reads the main.cf of every instance. The error is a line to log.
    pub(crate) fn load(config: Config) -> Result<Self, String> {
        let directory = config.directory().to_string_lossy().into_owned();
        let list = config.get(params::MULTI_INSTANCE_DIRECTORIES);
        let mut primary = Instance::from_config(&config, &directory);
        primary.is_primary = true;
        let mut all = vec![primary];
        for directory in words::words(&list) {
            all.push(read(directory, &all[0].command_directory)?);
        }
        if let [primary] = all.as_mut_slice() {
            // Alone, it is started like any instance that nobody manages.
            primary.is_enabled = true;
        }
        Ok(Self { config, all })
    }

    pub(crate) fn primary(&self) -> Option<&Instance> {
        self.all.first()
    }

    pub(crate) fn secondary(&self) -> &[Instance] {
        self.all.get(1..).unwrap_or_default()
    }

    /// The instances that `selection` names, in order.
    pub(crate) fn selected(&self, selection: &Selection) -> Vec<&Instance> {
        self.all
            .iter()
            .filter(|instance| instance.is_selected(selection))
            .collect()
    }

    /// Why `new` cannot be, next to the instances that there are.
    pub(crate) fn conflict(&self, new: &Instance) -> Option<String> {
        let directory = &new.config_directory;
        if let Some(other) = self
            .all
            .iter()
            .find(|other| other.config_directory == *directory)
        {
            return Some(format!(
                "new config_directory={directory} is already in use by instance {}, \
                 config_directory={}",
                other.config_directory, other.config_directory
            ));
        }
        self.name_conflict(new)
            .or_else(|| self.directory_conflict(new))
    }

    /// Why the instance cannot have its name.
    pub(crate) fn name_conflict(&self, new: &Instance) -> Option<String> {
        let other = self.all.iter().find(|other| {
            !new.name.is_empty()
                && other.name == new.name
                && other.config_directory != new.config_directory
        })?;
        Some(format!(
            "instance {}, multi_instance_name={} conflicts with instance {}, multi_instance_name={}",
            new.config_directory, new.name, other.config_directory, other.name
        ))
    }

    fn directory_conflict(&self, new: &Instance) -> Option<String> {
        let private = ["config_directory", "queue_directory", "data_directory"];
        for (at, parameter) in private.iter().enumerate() {
            let value = new.directory(parameter);
            let shown = |owner: &Instance, other: &str| {
                format!(
                    "instance {}, {parameter}={value} conflicts with instance {}, {other}={value}",
                    new.config_directory, owner.config_directory
                )
            };
            let own = private
                .iter()
                .take(at)
                .find(|other| new.directory(other) == value);
            if let Some(other) = own {
                return Some(shown(new, other));
            }
            for owner in &self.all {
                let theirs = DIRECTORIES
                    .iter()
                    .find(|other| owner.directory(other) == value);
                if let Some(other) = theirs {
                    return Some(shown(owner, other));
                }
            }
        }
        None
    }
}

/// Reads one instance, and complains in the name of postconf(1).
pub(crate) fn read(directory: &str, command_directory: &str) -> Result<Instance, String> {
    let failed = || format!("Failed to obtain all required {directory}/main.cf parameters");
    let complain = |error: &dyn std::fmt::Display| {
        let postconf: PathBuf = Path::new(command_directory).join("postconf");
        postern_command::complain!("{}: fatal: {error}", postconf.display());
        failed()
    };
    let config = Config::load_now(Path::new(directory)).map_err(|error| complain(&error))?;
    let name = params::MULTI_INSTANCE_ENABLE;
    if let Err(error) = config.try_get(name) {
        return Err(complain(&error));
    }
    if let Err(error) = config.check_expansion() {
        return Err(complain(&error));
    }
    Ok(Instance::from_config(&config, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(config: &str, queue: &str, data: &str, name: &str) -> Instance {
        Instance {
            config_directory: config.to_owned(),
            command_directory: "/sbin".to_owned(),
            daemon_directory: "/libexec".to_owned(),
            queue_directory: queue.to_owned(),
            data_directory: data.to_owned(),
            name: name.to_owned(),
            group: String::new(),
            is_enabled: false,
            is_primary: false,
        }
    }

    #[test]
    fn no_two_instances_share_a_name_or_a_directory() {
        let instances = Instances {
            config: Config::from_text("").unwrap(),
            all: vec![
                instance("/etc/postfix", "/q", "/d", ""),
                instance("/etc/a", "/qa", "/da", "postfix-a"),
            ],
        };
        #[rustfmt::skip]
        let cases = [
            (instance("/etc/b", "/qb", "/db", ""), None),
            (instance("/etc/a", "/qb", "/db", ""),
             Some("new config_directory=/etc/a is already in use by instance /etc/a, config_directory=/etc/a")),
            (instance("/etc/b", "/x", "/x", ""),
             Some("instance /etc/b, data_directory=/x conflicts with instance /etc/b, queue_directory=/x")),
            (instance("/etc/b", "/q", "/db", ""),
             Some("instance /etc/b, queue_directory=/q conflicts with instance /etc/postfix, queue_directory=/q")),
            (instance("/etc/b", "/sbin", "/db", ""),
             Some("instance /etc/b, queue_directory=/sbin conflicts with instance /etc/postfix, command_directory=/sbin")),
            (instance("/etc/b", "/qb", "/db", "postfix-a"),
             Some("instance /etc/b, multi_instance_name=postfix-a conflicts with instance /etc/a, multi_instance_name=postfix-a")),
        ];
        for (new, want) in cases {
            assert_eq!(instances.conflict(&new).as_deref(), want, "{new:?}");
        }
    }

    #[test]
    fn nobody_but_the_primary_is_called_dash() {
        let mut primary = instance("/etc/postfix", "/q", "/d", "postfix-p");
        primary.is_primary = true;
        assert!(primary.is_called("-") && primary.is_called("postfix-p"));
        let other = instance("/etc/a", "/qa", "/da", "");
        assert!(!other.is_called("-") && other.is_called("/etc/a"));
    }
}
