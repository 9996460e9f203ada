//! What must be right before a start, and what an administrator should know about owners and modes
//! (source: config.md §11 of our specification).

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use postern_config::{Config, DEFAULT_DIRECTORY, master_cf, params, words};
use postern_sys::user;

use crate::program::{Failure, Program};
use crate::walk::{dotted, walk, walk_following};

/// Queue directories that mail_owner alone may use.
const QUEUES: &[&str] = &[
    "saved", "incoming", "active", "defer", "deferred", "bounce", "hold", "trace", "corrupt",
    "public", "private", "flush",
];
/// Copies for jailed processes.
const JAIL: &[&str] = &["bin", "etc", "lib", "sbin", "usr"];
/// Commands that run with the group of the maildrop queue.
const SET_GID_COMMANDS: &[&str] = &["postqueue", "postdrop"];

/// Where programs look for sendmail.
const SENDMAIL_PATHS: [&str; 2] = ["/usr/lib/sendmail", "/usr/sbin/sendmail"];

/// Whose files and modes are expected.
struct Expected {
    root: u32,
    owner: Option<(u32, String)>,
    group: Option<(u32, String)>,
}

impl Program {
    /// Refuses to go on without queue directories, services and a sound queue.
    pub(crate) fn check_fatal(&self) -> Result<(), Failure> {
        self.create_missing()
            .map_err(|_| Failure::new("unable to create missing queue directories"))?;
        let path = self.config.directory().join("master.cf");
        let shown = path.display().to_string();
        let Ok(content) = fs::read(&path) else {
            return Err(Failure::new(format!("no {shown} file found")));
        };
        if !self.config.get(params::MAILLOG_FILE).is_empty() {
            let service = self.config.get(params::POSTLOG_SERVICE_NAME);
            let is_there = master_cf::entries(&shown, &content, drop)
                .iter()
                .any(|entry| {
                    entry.fields.first() == Some(&service)
                        && entry.fields.get(1).is_some_and(|kind| kind == "unix-dgram")
                });
            if !is_there {
                return Err(Failure::new(
                    "missing 'postlog' service in master.cf - run 'postfix upgrade-configuration'",
                ));
            }
        }
        match self.run_program(&self.command_directory.join("postsuper"), &[])? {
            0 => Ok(()),
            _ => Err(Failure::TOLD),
        }
    }

    /// Logs what is owned or writable by the wrong people.
    pub(crate) fn check_warn(&self) {
        let expected = self.expected();
        let mut told = BTreeSet::new();
        let mut warn = |text: String| {
            if told.insert(text.clone()) {
                self.say("warning: ", &text);
            }
        };
        self.check_root_trees(&expected, &mut warn);
        self.check_owner_trees(&expected, &mut warn);
        self.check_group(&expected, &mut warn);
        self.check_jail(&expected, &mut warn);
        Self::check_sendmail(&mut warn);
        walk(&PathBuf::from("corrupt"), &mut |path, metadata| {
            if metadata.is_file() {
                warn(format!("damaged message: {}", path.display()));
            }
        });
    }

    fn expected(&self) -> Expected {
        let owner = self.config.get(params::MAIL_OWNER);
        let group = self.config.get(params::SETGID_GROUP);
        let owner_id = user::user_by_name(&owner)
            .ok()
            .flatten()
            .map(|user| (user.uid, owner));
        let group_id = user::group_by_name(&group)
            .ok()
            .flatten()
            .map(|entry| (entry.gid, group));
        Expected {
            // Without privileges everything is the administrator's own, and groups do not matter.
            root: if self.is_root { 0 } else { user::euid() },
            owner: owner_id,
            group: group_id.filter(|_| self.is_root),
        }
    }

    /// The trees of root, as starting points. What instances share is checked with the first one.
    fn root_trees(&self) -> Vec<PathBuf> {
        let mut trees = vec![self.config.get(params::CONFIG_DIRECTORY)];
        if !self.is_secondary() {
            for param in [
                params::DAEMON_DIRECTORY,
                params::META_DIRECTORY,
                params::SHLIB_DIRECTORY,
            ] {
                let directory = self.config.get(param);
                if directory != "no" && !trees.contains(&directory) {
                    trees.push(directory);
                }
            }
        }
        trees.iter().map(|tree| dotted(tree)).collect()
    }

    /// Whether the default instance lists this one.
    fn is_secondary(&self) -> bool {
        let directory = self.config.directory();
        directory != Path::new(DEFAULT_DIRECTORY)
            && Config::load_now(Path::new(DEFAULT_DIRECTORY)).is_ok_and(|config| {
                let list = config.get(params::MULTI_INSTANCE_DIRECTORIES);
                words::words(&list).any(|word| Path::new(word) == directory)
            })
    }

    fn check_root_trees(&self, expected: &Expected, warn: &mut dyn FnMut(String)) {
        let queue = self.queue_directory.display();
        let own = [format!("{queue}/."), format!("{queue}/pid")];
        let trees = self.root_trees();
        for path in &own {
            if fs::metadata(path).is_ok_and(|metadata| metadata.uid() != expected.root) {
                warn(format!("not owned by root: {path}"));
            }
        }
        for tree in &trees {
            walk(tree, &mut |path, metadata| {
                if metadata.uid() != expected.root {
                    warn(format!("not owned by root: {}", path.display()));
                }
            });
        }
        for path in &own {
            if fs::metadata(path).is_ok_and(|metadata| is_writable(&metadata)) {
                warn(format!("group or other writable: {path}"));
            }
        }
        for tree in &trees {
            walk_following(tree, &mut |path, metadata| {
                if is_writable(metadata) {
                    warn(format!("group or other writable: {}", path.display()));
                }
            });
        }
        for tree in &trees {
            walk(tree, &mut |path, metadata| {
                if metadata.is_symlink() && leaves_directory(tree, path) {
                    warn(format!("symlink leaves directory: {}", path.display()));
                }
            });
        }
    }

    fn check_owner_trees(&self, expected: &Expected, warn: &mut dyn FnMut(String)) {
        let Some((uid, name)) = &expected.owner else {
            return;
        };
        walk(
            &dotted(&self.config.get(params::DATA_DIRECTORY)),
            &mut |path, metadata| {
                if metadata.uid() != *uid {
                    warn(format!("not owned by {name}: {}", path.display()));
                }
            },
        );
        walk(
            &dotted(&self.config.get(params::DATA_DIRECTORY)),
            &mut |path, metadata| {
                if is_writable(metadata) {
                    warn(format!("group or other writable: {}", path.display()));
                }
            },
        );
        for queue in QUEUES {
            walk(&self.queue_directory.join(queue), &mut |path, metadata| {
                let kind = metadata.file_type();
                if metadata.uid() != *uid && !kind.is_fifo() && !kind.is_socket() {
                    warn(format!("not owned by {name}: {}", path.display()));
                }
            });
        }
        let maildrop = self.queue_directory.join("maildrop");
        if fs::symlink_metadata(&maildrop).is_ok_and(|metadata| metadata.uid() != *uid) {
            warn(format!("not owned by {name}: {}", maildrop.display()));
        }
    }

    fn check_group(&self, expected: &Expected, warn: &mut dyn FnMut(String)) {
        let Some((gid, name)) = &expected.group else {
            return;
        };
        let directories = ["public", "maildrop"].map(|name| self.queue_directory.join(name));
        let commands: Vec<PathBuf> = SET_GID_COMMANDS
            .iter()
            .map(|name| self.command_directory.join(name))
            .collect();
        for path in commands.iter().chain(&directories) {
            tell_missing(path);
            if fs::metadata(path).is_ok_and(|metadata| metadata.gid() != *gid) {
                warn(format!("not owned by group {name}: {}", path.display()));
            }
        }
        for path in &commands {
            tell_missing(path);
            if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o2111 != 0o2111) {
                warn(format!(
                    "not set-gid or not owner+group+world executable: {}",
                    path.display()
                ));
            }
        }
    }

    /// Programs that submit mail know two places of sendmail.
    fn check_sendmail(warn: &mut dyn FnMut(String)) {
        let [left, right] = SENDMAIL_PATHS.map(Path::new);
        if left.is_file() && right.is_file() && !is_same(left, right) {
            warn(format!("{} and {} differ", left.display(), right.display()));
            warn("Replace one by a symbolic link to the other".to_owned());
        }
    }

    /// Files for jailed processes must be root's, and what the system has.
    fn check_jail(&self, expected: &Expected, warn: &mut dyn FnMut(String)) {
        for top in JAIL {
            let root = self.queue_directory.join(top);
            walk(&root, &mut |path, metadata| {
                if metadata.uid() != expected.root {
                    warn(format!("not owned by root: {}", path.display()));
                }
                let Ok(inside) = path.strip_prefix(&self.queue_directory) else {
                    return;
                };
                let original = Path::new("/").join(inside);
                if metadata.is_file() && original.is_file() && !is_same(path, &original) {
                    warn(format!(
                        "{} and {} differ",
                        path.display(),
                        original.display()
                    ));
                }
            });
        }
    }
}

/// As find(1) does, once for each look.
fn tell_missing(path: &Path) {
    if !path.exists() {
        postern_command::complain!("find: '{}': No such file or directory", path.display());
    }
}

fn is_writable(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

/// Whether a symbolic link below `tree` may point out of its directory. The build settings may be
/// elsewhere.
fn leaves_directory(tree: &Path, path: &Path) -> bool {
    path != tree.join("makedefs.out")
        && fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains('/'))
}

/// Compares two files; what cannot be read counts as different.
fn is_same(left: &Path, right: &Path) -> bool {
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    size(left) == size(right)
        && matches!((fs::read(left), fs::read(right)), (Ok(left), Ok(right)) if left == right)
}
