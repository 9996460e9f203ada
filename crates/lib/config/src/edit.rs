//! Changing main.cf and master.cf in place: comments, order and every untouched byte stay.
//!
//! [`main_cf`] turns old text into new text; [`replace`] puts it in place of the file in one step,
//! so that a reader sees the old or the new file, never a part.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::ConfigError;
use crate::computed::reason;
use crate::lines::{physical_lines, split_name_value, to_bytes, to_text};
use crate::value::is_space;

/// What to do with main.cf entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give the entry this value, or add it.
    Set(String),
    /// Put `#` before the entry.
    CommentOut,
    /// Remove the entry.
    Remove,
}

/// Applies `changes`, by parameter name, to the text of main.cf. New entries go to the end, sorted by
/// name. The second result is the warnings; `path` is for these.
#[must_use]
pub fn main_cf(
    path: &str,
    content: &[u8],
    changes: &BTreeMap<String, Change>,
) -> (Vec<u8>, Vec<String>) {
    let mut editor = Editor {
        path,
        changes,
        seen: BTreeMap::new(),
        state: State::Keep,
        warnings: Vec::new(),
    };
    let mut out = Vec::with_capacity(content.len() + 80);
    for line in physical_lines(content) {
        editor.line(line, &mut out);
    }
    for (name, change) in changes {
        if let Change::Set(value) = change
            && !editor.seen.contains_key(name.as_str())
        {
            push_entry(&mut out, name, value);
        }
    }
    (out, editor.warnings)
}

fn push_entry(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(&to_bytes(&format!("{name} = {value}\n")));
}

/// What happens to the continuation lines of the entry that was read last.
#[derive(Clone, Copy)]
enum State {
    Keep,
    Drop,
    CommentOut,
}

struct Editor<'a> {
    path: &'a str,
    changes: &'a BTreeMap<String, Change>,
    /// How often each name to change was found.
    seen: BTreeMap<&'a str, usize>,
    state: State,
    warnings: Vec<String>,
}

impl Editor<'_> {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let first = line
            .iter()
            .copied()
            .find(|byte| !is_space(char::from(*byte)));
        let is_entry = line
            .first()
            .is_some_and(|byte| !is_space(char::from(*byte)));
        if first.is_none_or(|byte| byte == b'#') {
            push_line(out, b"", line);
        } else if is_entry {
            self.entry(line, out);
        } else {
            match self.state {
                State::Keep => push_line(out, b"", line),
                State::CommentOut => push_line(out, b"#", line),
                State::Drop => {}
            }
        }
    }

    fn entry(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let text = to_text(line);
        let end = text.find([' ', '\t', '\r', '=']).unwrap_or(text.len());
        let Some((name, change)) = self.changes.get_key_value(&text[..end]) else {
            self.state = State::Keep;
            return push_line(out, b"", line);
        };
        let count = self.seen.entry(name).or_default();
        *count += 1;
        if *count == 2 {
            self.warnings
                .push(format!("{}: multiple entries for \"{name}\"", self.path));
        }
        self.state = match change {
            Change::Set(value) => {
                push_entry(out, name, value);
                State::Drop
            }
            Change::CommentOut => {
                push_line(out, b"#", line);
                State::CommentOut
            }
            Change::Remove => State::Drop,
        };
    }
}

/// Adds a line, with a newline even where the file's last line had none.
fn push_line(out: &mut Vec<u8>, before: &[u8], line: &[u8]) {
    out.extend_from_slice(before);
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// Reads an argument `name=value` of an edit request.
pub fn parse_setting(text: &str) -> Result<(&str, &str), ConfigError> {
    split_name_value(text).map_err(|error| ConfigError::Text(error.describe(text)))
}

/// A file that is about to be replaced: `FILE.tmp` is open and locked against other editors.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    is_committed: bool,
}

impl Replacement {
    /// Opens and locks `FILE.tmp`, waiting for another editor to finish.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let mut temporary = path.as_os_str().to_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let fail = |error: &io::Error| ConfigError::Open {
            path: temporary.to_string_lossy().into_owned(),
            reason: reason(error),
        };
        loop {
            let file = open_temporary(&temporary).map_err(|error| fail(&error))?;
            postern_sys::lock::lock(
                file.as_fd(),
                postern_sys::lock::LockStyle::Flock,
                postern_sys::lock::LockMode::Exclusive,
            )
            .map_err(|error| fail(&error))?;
            match found(&file, &temporary) {
                Found::Ours => {
                    file.set_len(0).map_err(|error| fail(&error))?;
                    return Ok(Self {
                        path: path.to_path_buf(),
                        temporary,
                        file,
                        is_committed: false,
                    });
                }
                Found::Unsafe => match fs::remove_file(&temporary) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(fail(&error));
                    }
                    _ => {}
                },
                Found::Others => {}
            }
        }
    }

    /// The present text of the file.
    pub fn old_text(&self) -> Result<Vec<u8>, ConfigError> {
        let path = self.path.display();
        let failed =
            |what: String| move |error| ConfigError::Text(format!("{what}: {}", reason(&error)));
        let mut file =
            File::open(&self.path).map_err(failed(format!("open {path} for reading")))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(failed(format!("read {path}")))?;
        Ok(text)
    }

    /// Makes `text` the file, durably. The mode becomes 0644, as with the reference.
    pub fn commit(mut self, text: &[u8]) -> Result<(), ConfigError> {
        let temporary = self.temporary.display().to_string();
        let fail = |what: &str, error: &io::Error| {
            ConfigError::Text(format!("{what} {temporary}: {}", reason(error)))
        };
        // The reference notices a full disk when it closes the file, and says so.
        self.file
            .write_all(text)
            .map_err(|error| fail("close", &error))?;
        self.file
            .set_permissions(Permissions::from_mode(0o644))
            .map_err(|error| fail("chmod", &error))?;
        self.file
            .sync_all()
            .map_err(|error| fail("fsync", &error))?;
        fs::rename(&self.temporary, &self.path).map_err(|error| {
            ConfigError::Text(format!(
                "rename {temporary} to {}: {}",
                self.path.display(),
                reason(&error)
            ))
        })?;
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    /// Leaves nothing behind when the edit failed. The lock is still held, so the file is our own; who
    /// waits for the lock notices that the name is gone and begins anew.
    fn drop(&mut self) {
        if !self.is_committed {
            // Best effort: what stays behind is used again by the next edit.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// What the path of the temporary file names, now that a file is locked.
enum Found {
    /// The locked file, which nobody else can have written.
    Ours,
    /// The locked file, but with other names or rights; or no regular file. It has to go.
    Unsafe,
    /// Nothing, or the file of another editor, which must not be touched: the lock was that of a file
    /// that has become the real one meanwhile.
    Others,
}

fn found(file: &File, path: &Path) -> Found {
    let (Ok(held), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return Found::Others;
    };
    let is_held = (held.dev(), held.ino()) == (named.dev(), named.ino());
    if !named.is_file() {
        Found::Unsafe
    } else if !is_held {
        Found::Others
    } else if named.nlink() == 1 && named.mode() & 0o7777 == 0o600 {
        Found::Ours
    } else {
        Found::Unsafe
    }
}

/// Opens the temporary file, never through a symbolic link: a link is removed.
fn open_temporary(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
    };
    open().or_else(|error| {
        if fs::symlink_metadata(path).is_ok_and(|named| named.is_symlink()) {
            fs::remove_file(path)?;
            open()
        } else {
            Err(error)
        }
    })
}

/// Replaces the file at `path` by what `edit` makes of its text.
pub fn replace(
    path: &Path,
    edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, ConfigError>,
) -> Result<(), ConfigError> {
    let replacement = Replacement::open(path)?;
    let text = edit(&replacement.old_text()?)?;
    replacement.commit(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# head\na = 1,\n# inside\n    2\n\n    3\nb=x\na = 9\nlast = z";

    fn edit(changes: &[(&str, Change)]) -> (String, Vec<String>) {
        let changes = changes
            .iter()
            .map(|(name, change)| ((*name).to_string(), change.clone()))
            .collect();
        let (text, warnings) = main_cf("/m", OLD.as_bytes(), &changes);
        (String::from_utf8(text).unwrap(), warnings)
    }

    #[test]
    fn settings_replace_the_first_line_and_keep_comments() {
        let (text, warnings) = edit(&[
            ("b", Change::Set("y".into())),
            ("z", Change::Set("1".into())),
            ("c", Change::Set(String::new())),
        ]);
        assert_eq!(
            text,
            "# head\na = 1,\n# inside\n    2\n\n    3\nb = y\na = 9\nlast = z\nc = \nz = 1\n"
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn every_entry_of_a_name_changes_with_one_warning() {
        let (text, warnings) = edit(&[("a", Change::Set("5".into()))]);
        assert_eq!(text, "# head\na = 5\n# inside\n\nb=x\na = 5\nlast = z\n");
        assert_eq!(warnings, ["/m: multiple entries for \"a\""]);
    }

    #[test]
    fn entries_are_commented_out_or_removed_with_their_continuations() {
        assert_eq!(
            edit(&[("a", Change::CommentOut)]).0,
            "# head\n#a = 1,\n# inside\n#    2\n\n#    3\nb=x\n#a = 9\nlast = z\n"
        );
        assert_eq!(
            edit(&[("a", Change::Remove), ("nosuch", Change::Remove)]).0,
            "# head\n# inside\n\nb=x\nlast = z\n"
        );
    }

    #[test]
    fn a_replaced_file_is_complete_and_readable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main.cf");
        fs::write(&path, "a = 1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(
            directory.path().join("main.cf.tmp"),
            "left behind by a crash",
        )
        .unwrap();
        replace(&path, |old| Ok([old, b"b = 2\n"].concat())).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = 1\nb = 2\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert!(!directory.path().join("main.cf.tmp").exists());
    }

    #[test]
    fn a_failed_edit_leaves_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main.cf");
        fs::write(&path, "a = 1\n").unwrap();
        let result = replace(&path, |_| Err(ConfigError::Text("no".into())));
        assert!(result.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = 1\n");
    }

    proptest::proptest! {
        /// A setting can be read back, is written once for each entry, and costs no other line.
        #[test]
        fn edits_of_any_text_keep_what_they_do_not_change(old in "(([ab#] ?=? ?[xy]?|[ \t]+z|)\n){0,8}") {
            let changes = BTreeMap::from([("a".to_string(), Change::Set("new".to_string()))]);
            let (once, _) = main_cf("/m", old.as_bytes(), &changes);
            let (twice, _) = main_cf("/m", &once, &changes);
            assert_eq!(once, twice, "a second edit changes nothing");
            let once = String::from_utf8(once).unwrap();
            let is_own = |line: &&str| {
                line.strip_prefix('a').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
            };
            let mut kept = once.lines().filter(|line| !is_own(line));
            for line in old.lines().filter(|line| !is_own(line) && !line.starts_with([' ', '\t'])) {
                assert!(kept.any(|found| found == line), "{line:?} is lost");
            }
            assert!(once.contains("a = new\n"));
        }
    }
}
