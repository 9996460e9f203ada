//! MySQL's option files: what the groups for clients say about sessions.
//!
//! Options that mean nothing for a table are ignored, as are files that cannot be read. The syntax is that
//! of MariaDB's client library, which knows no comments behind a value and reads no further in a file with
//! an option before the first group, or a group without `]`. Nor does that library obey `!includedir`: files of
//! Debian's `/etc/mysql/conf.d` mean nothing to Postfix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

/// Where the client library looks when no file is named; the user's own comes last.
const DEFAULT_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];
/// Groups that every client reads.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// Files may include files, but not for ever.
const DEEPEST: usize = 10;

/// The statements to begin with: each of this name counts.
const INIT_COMMAND: &str = "init-command";

/// Options by name, with `-` between words; the last of a name counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    values: BTreeMap<String, BString>,
    init_commands: Vec<BString>,
}

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
    pub(super) fn bytes(&self, name: &str) -> Option<&BStr> {
        self.values
            .get(name)
            .map(|value| value.as_slice().as_bstr())
            .filter(|value| !value.is_empty())
    }

    /// As [`Self::bytes`], of an option that is text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.bytes(name)?.to_str().ok()
    }

    /// The statements to begin a session with.
    pub(super) fn init_commands(&self) -> &[BString] {
        &self.init_commands
    }

    /// Whether a switch is on: given without value, or with one that means yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| {
            !matches!(
                value.to_ascii_lowercase().as_slice(),
                b"0" | b"off" | b"no" | b"false"
            )
        })
    }

    fn add_file(&mut self, path: &Path, group: &str, depth: usize) {
        if depth < DEEPEST
            && let Ok(content) = std::fs::read(path)
        {
            // What a broken file said so far counts.
            let _ = self.add(&content, group, depth);
        }
    }

    /// `None` at a line that ends the file.
    fn add(&mut self, content: &[u8], group: &str, depth: usize) -> Option<()> {
        // Unknown before the first group.
        let mut is_ours = None;
        for line in content.lines() {
            let line = line.trim_with(|letter| letter.is_ascii_whitespace());
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
                continue;
            }
            if let Some(file) = line.strip_prefix(b"!include ") {
                // As it stands: below the working directory unless it is absolute.
                self.add_file(&file.trim_ascii().to_path_lossy(), group, depth + 1);
            } else if line.starts_with(b"!") {
                // No other order is known, not even `!includedir`.
            } else if let Some(name) = line.strip_prefix(b"[") {
                let name = name.get(..name.find_byte(b']')?)?.trim_ascii_end();
                let is_named = !group.is_empty() && name == group.as_bytes();
                is_ours = Some(is_named || GROUPS.iter().any(|known| name == known.as_bytes()));
            } else if is_ours? {
                self.add_option(line);
            }
        }
        Some(())
    }

    fn add_option(&mut self, line: &[u8]) {
        let (name, value) = line.split_once_str("=").unwrap_or((line, b""));
        let name = name.trim_ascii_end().to_str_lossy().replace('_', "-");
        let value = unquote(value.trim_ascii());
        if name == INIT_COMMAND && !value.is_empty() {
            self.init_commands.push(value);
        } else {
            self.values.insert(name, value);
        }
    }
}

/// The home of whom the process runs as.
fn home() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()?
        .map(|user| user.dir)
}

/// A value without its quotes, and with its escapes read.
fn unquote(value: &[u8]) -> BString {
    let inside = match value {
        [quote @ (b'"' | b'\''), inside @ ..] => {
            inside.strip_suffix(&[*quote][..]).unwrap_or(inside)
        }
        _ => value,
    };
    let mut text = BString::default();
    let mut rest = inside.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'b') => text.push(8),
            Some(b't') => text.push(b'\t'),
            Some(b'n') => text.push(b'\n'),
            Some(b'r') => text.push(b'\r'),
            Some(b's') => text.push(b' '),
            Some(same @ (b'\\' | b'"' | b'\'')) => text.push(same),
            Some(other) => text.extend_from_slice(&[b'\\', other]),
            None => text.push(b'\\'),
        }
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
            format!(
                "# c\n[client]\nuser = me ; no comment\npassword = \"a#b\\\"c\"\nssl_ca=/x\n\
             ssl\n[mysqld]\nport = 2\n[mine]\ninit-command='SET @a = 1'\n[other]\nport=3\n\
             !include {}\n!includedir {}\n",
                path("sub.cnf").display(),
                path("d").display()
            ),
        )
        .unwrap();
        std::fs::write(
            path("sub.cnf"),
            "[client-server]\nsocket=/s\nssl-verify-server-cert=0\n",
        )
        .unwrap();
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("d/a.cnf"), "[client]\nuser=nobody\n").unwrap();
        let file = path("main.cnf");
        let options = Options::read(file.to_str(), "mine");
        assert_eq!(options.get("user"), Some("me ; no comment"));
        assert_eq!(options.get("password"), Some("a#b\"c"));
        assert_eq!(options.get("ssl-ca"), Some("/x"));
        assert_eq!(options.get("socket"), Some("/s"));
        assert_eq!(options.init_commands(), ["SET @a = 1"]);
        assert_eq!(options.get("port"), None);
        assert!(options.is_on("ssl") && !options.is_on("ssl-verify-server-cert"));
        assert!(Options::read(file.to_str(), "").init_commands().is_empty());
        assert_eq!(
            Options::read(Some("/nonexistent"), "client"),
            Options::default()
        );
    }

    /// The options of one file.
    fn of(content: &str) -> Options {
        let mut options = Options::default();
        let _ = options.add(content.as_bytes(), "", 0);
        options
    }

    #[test]
    fn values_are_what_the_client_library_makes_of_them() {
        #[rustfmt::skip]
        let cases = [
            ("a #b", "a #b"), ("a\\#b", "a\\#b"), ("\"a\" b", "a\" b"), ("'x' # c", "x' # c"), ("\"half", "half"),
            ("half'", "half'"), ("\"'\"", "'"), ("\"a\\\"b\"", "a\"b"), ("a\\sb", "a b"), ("a\\xb", "a\\xb"), ("a\\", "a\\"),
            ("a\\r", "a\r"), ("  a b\t", "a b"), ("\"", ""), ("''", ""), ("a=b", "a=b"), ("a\\\\b", "a\\b"),
        ];
        for (text, want) in cases {
            let options = of(&format!("[client]\nuser={text}\n"));
            assert_eq!(options.get("user").unwrap_or_default(), want, "{text}");
        }
    }

    #[test]
    fn broken_lines_end_a_file_and_others_do_not() {
        #[rustfmt::skip]
        let cases = [
            ("user=z\n[client]\nuser=a", None), ("[client\nuser=a\n[client]\nuser=b", None), ("[ client ]\nuser=a", None),
            ("[client]\nuser=a\n[client\nuser=b", Some("a")), ("[client ]x\nuser=a", Some("a")), ("[client]\nUSER=a", None),
            ("[client]\nuser=a\n!bogus\n=x\njunk here\nuser=b", Some("b")), ("[client]\r\nuser=\"a\"\r\n", Some("a")),
            ("[Client]\nuser=a", None), ("[client]\nuser=a\nuser", None), ("[client]\nuser=a\n[]\nuser=b", Some("a")),
        ];
        for (content, want) in cases {
            assert_eq!(of(content).get("user"), want, "{content}");
        }
        let two = of("[client]\ninit-command=SET 1 # c\ninit_command=SET 2\n");
        assert_eq!(two.init_commands(), ["SET 1 # c", "SET 2"]);
    }
}
