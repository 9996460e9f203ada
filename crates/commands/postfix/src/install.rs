//! Creating directories, setting owners and modes, and adding services that master.cf lacks.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use postern_config::{edit, master_cf, params};
use postern_sys::{error_text, user};

use crate::program::{Failure, Program};

/// One directory of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    path: String,
    /// Names that may hold `$name`; `-` leaves the group alone.
    owner: String,
    group: String,
    mode: u32,
    /// Made when it is missing.
    is_created: bool,
}

/// The directories of an installation without `postfix-files`, in that file's form.
const BUILT_IN: &str = "\
$queue_directory:d:root:-:755:uc
$data_directory:d:$mail_owner:-:700:uc
$queue_directory/active:d:$mail_owner:-:700:ucr
$queue_directory/bounce:d:$mail_owner:-:700:ucr
$queue_directory/corrupt:d:$mail_owner:-:700:ucr
$queue_directory/defer:d:$mail_owner:-:700:ucr
$queue_directory/deferred:d:$mail_owner:-:700:ucr
$queue_directory/flush:d:$mail_owner:-:700:ucr
$queue_directory/hold:d:$mail_owner:-:700:ucr
$queue_directory/incoming:d:$mail_owner:-:700:ucr
$queue_directory/private:d:$mail_owner:-:700:uc
$queue_directory/maildrop:d:$mail_owner:$setgid_group:1730:uc
$queue_directory/public:d:$mail_owner:$setgid_group:2710:uc
$queue_directory/pid:d:root:-:755:uc
$queue_directory/saved:d:$mail_owner:-:700:ucr
$queue_directory/trace:d:$mail_owner:-:700:ucr
";

/// Directories that Postfix's `postfix-files` does not list.
const OURS: &str = "\
$queue_directory/recycled:d:$mail_owner:-:700:ucr
";

/// Services that every installation needs: name, type, and the entry.
const SERVICES: &[(&str, &str, &str)] = &[
    (
        "relay",
        "unix",
        "relay     unix  -       -       n       -       -       smtp",
    ),
    (
        "flush",
        "unix",
        "flush     unix  n       -       n       1000?   0       flush",
    ),
    (
        "trace",
        "unix",
        "trace     unix  -       -       n       -       0       bounce",
    ),
    (
        "verify",
        "unix",
        "verify    unix  -       -       n       -       1       verify",
    ),
    (
        "proxymap",
        "unix",
        "proxymap  unix  -       -       n       -       -       proxymap",
    ),
    (
        "anvil",
        "unix",
        "anvil     unix  -       -       n       -       1       anvil",
    ),
    (
        "scache",
        "unix",
        "scache    unix  -       -       n       -       1       scache",
    ),
    (
        "discard",
        "unix",
        "discard   unix  -       -       n       -       -       discard",
    ),
    (
        "tlsmgr",
        "unix",
        "tlsmgr    unix  -       -       n       1000?   1       tlsmgr",
    ),
    (
        "retry",
        "unix",
        "retry     unix  -       -       n       -       -       error",
    ),
    (
        "proxywrite",
        "unix",
        "proxywrite unix -       -       n       -       1       proxymap",
    ),
    (
        "postlog",
        "unix-dgram",
        "postlog   unix-dgram n  -       n       -       1       postlogd",
    ),
];

impl Program {
    /// Makes the directories that are missing.
    pub(crate) fn create_missing(&self) -> Result<(), Failure> {
        for directory in self
            .directories()
            .iter()
            .filter(|directory| directory.is_created)
        {
            let path = Path::new(&directory.path);
            if !path.is_dir() {
                fs::create_dir_all(path)
                    .map_err(|_| Failure::new("unable to create missing queue directories"))?;
                self.settle(directory)?;
            }
        }
        Ok(())
    }

    /// Gives every directory and set-gid command its owner and mode.
    pub(crate) fn set_permissions(&self) -> Result<u8, Failure> {
        self.create_missing()?;
        for directory in self.directories() {
            if Path::new(&directory.path).is_dir() {
                self.settle(&directory)?;
            }
        }
        if self.is_root {
            let group = self.config.get(params::SETGID_GROUP);
            for name in ["postqueue", "postdrop"] {
                let path = self.command_directory.join(name);
                if path.is_file() {
                    self.own(&path, "root", &group)?;
                    set_mode(&path, 0o2755)?;
                }
            }
        }
        Ok(0)
    }

    /// Sets permissions, and adds the services that master.cf lacks.
    pub(crate) fn upgrade_configuration(&self) -> Result<u8, Failure> {
        self.create_missing()?;
        let path = self.config.directory().join("master.cf");
        let shown = path.display().to_string();
        let content =
            fs::read(&path).map_err(|_| Failure::new(format!("no {shown} file found")))?;
        let entries = master_cf::entries(&shown, &content, drop);
        let is_there = |name: &str, kind: &str| {
            entries.iter().any(|entry| {
                entry.fields.first().is_some_and(|field| field == name)
                    && entry.fields.get(1).is_some_and(|field| field == kind)
            })
        };
        let missing: Vec<_> = SERVICES
            .iter()
            .filter(|(name, kind, _)| !is_there(name, kind))
            .collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let edit = |old: &[u8]| {
            let mut new = old.to_vec();
            if new.last().is_some_and(|byte| *byte != b'\n') {
                new.push(b'\n');
            }
            for (name, kind, entry) in &missing {
                let what = if *kind == "unix-dgram" {
                    " unix-domain datagram"
                } else {
                    ""
                };
                println!("Editing {shown}, adding missing entry for {name}{what} service");
                new.extend_from_slice(entry.as_bytes());
                new.push(b'\n');
            }
            Ok(new)
        };
        edit::replace(&path, edit).map_err(|error| Failure::new(error.to_string()))?;
        Ok(0)
    }

    /// The directories that `postfix-files` lists, or the built-in ones.
    fn directories(&self) -> Vec<Directory> {
        let file = PathBuf::from(self.config.get(params::META_DIRECTORY)).join("postfix-files");
        let text = fs::read_to_string(file).unwrap_or_default();
        let parse = |text: &str| parse_directories(text, &|text| self.expand(text));
        let mut listed = parse(&text);
        if !listed.iter().any(|directory| directory.is_created) {
            listed = parse(BUILT_IN);
        }
        listed.extend(parse(OURS));
        listed
    }

    fn expand(&self, text: &str) -> String {
        self.config
            .expand(text, &|_| None)
            .unwrap_or_else(|_| text.to_string())
    }

    /// Gives a directory its owner, group and mode.
    fn settle(&self, directory: &Directory) -> Result<(), Failure> {
        let path = Path::new(&directory.path);
        if self.is_root {
            self.own(path, &directory.owner, &directory.group)?;
        }
        // Without privileges nobody else may have to reach the sockets, and a group cannot be kept.
        let mode = if self.is_root {
            directory.mode
        } else {
            directory.mode & 0o777
        };
        set_mode(path, mode)
    }

    fn own(&self, path: &Path, owner: &str, group: &str) -> Result<(), Failure> {
        let unknown = |what: &str, name: &str| Failure::new(format!("unknown {what} name: {name}"));
        let owner = user::user_by_name(owner)
            .ok()
            .flatten()
            .ok_or_else(|| unknown("user", owner))?;
        let group = match group {
            "-" => None,
            name => Some(
                user::group_by_name(name)
                    .ok()
                    .flatten()
                    .ok_or_else(|| unknown("group", name))?,
            ),
        };
        user::chown(path, Some(owner.uid), group.map(|group| group.gid)).map_err(|error| {
            Failure::new(format!("chown {}: {}", path.display(), error_text(&error)))
        })
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o7777 == mode) {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| Failure::new(format!("chmod {}: {}", path.display(), error_text(&error))))
}

/// Reads `PATH:TYPE:OWNER:GROUP:MODE:FLAGS` lines; other types than `d` are for package tools.
fn parse_directories(text: &str, expand: &dyn Fn(&str) -> String) -> Vec<Directory> {
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(':').collect();
        let [path, "d", owner, group, mode, rest @ ..] = fields.as_slice() else {
            continue;
        };
        let Ok(mode) = u32::from_str_radix(mode, 8) else {
            continue;
        };
        let path = expand(path);
        if path.starts_with('/') {
            found.push(Directory {
                path,
                owner: expand(owner),
                group: expand(group),
                mode,
                is_created: rest.first().is_some_and(|flags| flags.contains('c')),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_are_read() {
        let text = "#$a:d:x\n$queue_directory/hold:d:$mail_owner:-:700:ucr\n$daemon_directory/master:f:root:-:755\n$config_directory:d:root:-:755:u\n";
        let expand = |text: &str| {
            text.replace("$queue_directory", "/q")
                .replace("$mail_owner", "m")
                .replace("$config_directory", "/c")
        };
        let found = parse_directories(text, &expand);
        let want = [
            Directory {
                path: "/q/hold".into(),
                owner: "m".into(),
                group: "-".into(),
                mode: 0o700,
                is_created: true,
            },
            Directory {
                path: "/c".into(),
                owner: "root".into(),
                group: "-".into(),
                mode: 0o755,
                is_created: false,
            },
        ];
        assert_eq!(found, want);
        assert_eq!(
            parse_directories(BUILT_IN, &|text| text.replace('$', "/")).len(),
            16
        );
    }
}
