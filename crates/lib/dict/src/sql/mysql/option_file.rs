//! MySQL's option files: what the groups for clients say about sessions.
//!
//! Options that mean nothing for a table are ignored, as are files that cannot be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the client library looks when no file is named; the user's own comes last.
const DEFAULT_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];
/// Groups that every client reads.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// Files may include files, but not for ever.
const DEEPEST: usize = 10;

/// Options by name, with `-` between words; the last of a name counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads `file`, or the default files, and takes the groups for clients and `group`.
    pub(super) fn read(file: Option<&str>, group: &str) -> Self {
        let mut options = Self::default();
        match file {
            Some(file) => options.add_file(Path::new(file), group, 0),
            None => {
                for file in DEFAULT_FILES {
                    options.add_file(Path::new(file), group, 0);
                }
                if let Some(home) = home() {
                    options.add_file(&home.join(".my.cnf"), group, 0);
                }
            }
        }
        options
    }

    /// The value of an option, if it is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a switch is on: given without value, or with one that means yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| {
            !matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "false")
        })
    }

    fn add_file(&mut self, path: &Path, group: &str, depth: usize) {
        if depth < DEEPEST
            && let Ok(content) = std::fs::read(path)
        {
            self.add(&String::from_utf8_lossy(&content), path, group, depth);
        }
    }

    fn add(&mut self, content: &str, path: &Path, group: &str, depth: usize) {
        let mut is_ours = false;
        for line in content.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directory) = line.strip_prefix("!includedir") {
                for file in files_of(&beside(path, directory)) {
                    self.add_file(&file, group, depth + 1);
                }
            } else if let Some(file) = line.strip_prefix("!include") {
                self.add_file(&beside(path, file), group, depth + 1);
            } else if let Some(name) = line.strip_prefix('[') {
                let name = name.split(']').next().unwrap_or_default().trim();
                is_ours = GROUPS.contains(&name) || (!group.is_empty() && name == group);
            } else if is_ours {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let name = name.trim().replace('_', "-").to_ascii_lowercase();
                self.0.insert(name, unquote(value.trim()));
            }
        }
    }
}

/// `name` below the directory of `path` unless it is absolute.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).join(name.trim())
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "cnf"))
        .collect();
    files.sort();
    files
}

/// The home of whom the process runs as.
fn home() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()?
        .map(|user| user.dir)
}

/// A value without its quotes or the comment behind it, and with its escapes read.
fn unquote(value: &str) -> String {
    let quote = value
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let mut text = String::new();
    let mut rest = value.chars().skip(usize::from(quote.is_some()));
    while let Some(character) = rest.next() {
        match character {
            _ if Some(character) == quote => break,
            '#' if quote.is_none() && text.ends_with([' ', '\t']) => break,
            '\\' => text.push(match rest.next() {
                Some('b') => '\u{8}',
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('s') => ' ',
                Some(other) => other,
                None => '\\',
            }),
            _ => text.push(character),
        }
    }
    if quote.is_none() {
        text.truncate(text.trim_end().len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_clients_and_the_named_one_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(
            path("main.cnf"),
            "# c\nport=1\n[client]\nuser = me ; no comment\npassword = \"a#b\\\"c\" # comment\nssl_ca=/x # y\n\
             ssl\n[mysqld]\nport = 2\n[mine]\ninit-command='SET @a = 1'\n[other]\nport=3\n\
             !include sub.cnf\n!includedir d\n",
        )
        .unwrap();
        std::fs::write(
            path("sub.cnf"),
            "[client-server]\nsocket=/s\nssl-verify-server-cert=0\n",
        )
        .unwrap();
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("d/a.cnf"), "[client]\nuser=you\n").unwrap();
        std::fs::write(path("d/b.txt"), "[client]\nuser=nobody\n").unwrap();
        let file = path("main.cnf");
        let options = Options::read(file.to_str(), "mine");
        assert_eq!(options.get("user"), Some("you"));
        assert_eq!(options.get("password"), Some("a#b\"c"));
        assert_eq!(options.get("ssl-ca"), Some("/x"));
        assert_eq!(options.get("socket"), Some("/s"));
        assert_eq!(options.get("init-command"), Some("SET @a = 1"));
        assert_eq!(options.get("port"), None);
        assert!(options.is_on("ssl") && !options.is_on("ssl-verify-server-cert"));
        assert_eq!(Options::read(file.to_str(), "").get("init-command"), None);
        assert_eq!(
            Options::read(Some("/nonexistent"), "client"),
            Options::default()
        );
    }
}
