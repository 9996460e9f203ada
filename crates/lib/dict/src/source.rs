//! Entries of table source files (`key whitespace value`), file contents as values, text of
//! pattern tables from a file or from `{…}`, and careful reading of text files.
//!
//! Source: tables.md §3 of the specification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bstr::{BStr, BString, ByteSlice};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lines::{is_space, trim};
use crate::{OpenError, Owner, io_text, shown, split_list};

/// What is wrong with one line of a table source; `Display` is the text after `F, line N: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The line is not valid UTF-8 and the UTF-8 layer is on.
    #[error("non-UTF-8 input \"{}\" -- ignoring this line", shown(.0))]
    NotUtf8(BString),
    /// A double quote is not closed.
    #[error("unbalanced '\"' in '{}' -- ignoring this line", shown(.0))]
    Unbalanced(BString),
    /// Key or value is missing.
    #[error("expected format: key whitespace value")]
    Incomplete,
}

/// Splits one logical line into key and value; the key keeps quotes and backslashes.
pub fn split_entry(line: &BStr, utf8: bool) -> Result<(&BStr, &BStr), EntryError> {
    if utf8 && !line.is_ascii() && line.to_str().is_err() {
        return Err(EntryError::NotUtf8(line.to_owned()));
    }
    let (at, quoted) = word_end(line, is_space);
    if quoted {
        return Err(EntryError::Unbalanced(line.to_owned()));
    }
    let (key, rest) = line.split_at(at);
    let value = trim(rest);
    if key.is_empty() || value.is_empty() {
        return Err(EntryError::Incomplete);
    }
    Ok((BStr::new(key), BStr::new(value)))
}

/// Where the first word of `text` ends: at a byte for which `stop` holds, outside double quotes; a
/// backslash protects the next byte. Also says whether a quote is left open.
pub(crate) fn word_end(text: &[u8], stop: impl Fn(u8) -> bool) -> (usize, bool) {
    let (mut quoted, mut at) = (false, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if text.get(at + 1).is_some() => at += 1,
            b'"' => quoted = !quoted,
            _ if !quoted && stop(byte) => break,
            _ => {}
        }
        at += 1;
    }
    (at.min(text.len()), quoted)
}

/// Reads the files named in `list` and returns their contents, joined with a newline, in base64.
/// The error is Postfix's text.
pub fn files_as_base64(list: &BStr) -> Result<BString, String> {
    /// More than any certificate chain or key; keeps a mistaken path from filling the memory.
    const LIMIT: u64 = 10 * 1024 * 1024;
    let names: Vec<&[u8]> = list
        .split(|byte| matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return Err(format!("empty pathname list: >>{}<<'", shown(list)));
    }
    let mut content = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = Path::new(OsStr::from_bytes(name));
        let name = shown(name);
        let file = File::open(path).map_err(|error| format!("open {name}: {}", io_text(&error)))?;
        if index > 0 {
            content.push(b'\n');
        }
        let read = file.take(LIMIT + 1).read_to_end(&mut content);
        let count = read.map_err(|error| format!("read {name}: {}", io_text(&error)))?;
        if u64::try_from(count).unwrap_or(u64::MAX) > LIMIT {
            return Err(format!("file too large: {name}"));
        }
    }
    Ok(BString::from(STANDARD.encode(content)))
}

/// A text file in memory with its owner.
pub struct TextFile {
    /// The contents.
    pub content: Vec<u8>,
    /// By the file's uid.
    pub owner: Owner,
}

/// How long nobody may have written to a file before it is taken as complete; files that were written
/// in the future are.
const QUIET: Duration = Duration::from_secs(1);

/// Reads a text file whole. A file that was written within the last second is read again until
/// it has settled, because a half-written table would lose entries until the next restart.
pub fn read_settled(path: &str, what: &str) -> Result<TextFile, OpenError> {
    let failed = |error: &std::io::Error| OpenError::io(format!("{what}{path}"), error);
    loop {
        let before = SystemTime::now();
        let mut file = File::open(path).map_err(|error| failed(&error))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(|error| OpenError(format!("read {path}: {}", io_text(&error))))?;
        let status = file.metadata().map_err(|error| failed(&error))?;
        let written = status.modified().map_err(|error| failed(&error))?;
        // Some file systems tell whole seconds only.
        let quiet = if status.mtime_nsec() == 0 {
            2 * QUIET
        } else {
            QUIET
        };
        let missing = match before.duration_since(written) {
            Ok(age) => quiet.saturating_sub(age),
            Err(_) if written > SystemTime::now() => Duration::ZERO,
            Err(_) => quiet,
        };
        if missing.is_zero() {
            return Ok(TextFile {
                content,
                owner: Owner::of_uid(status.uid()),
            });
        }
        std::thread::sleep(missing);
    }
}

/// Seconds since 1970.
pub fn now_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The text of a pattern table: a file, or the lines of `{ {line 1}, {line 2} }`.
pub fn pattern_text(kind: &str, name: &str) -> Result<TextFile, OpenError> {
    if !name.starts_with('{') {
        let mut content = Vec::new();
        let failed = |error: &std::io::Error| OpenError::io(name, error);
        let mut file = File::open(name).map_err(|error| failed(&error))?;
        file.read_to_end(&mut content).map_err(|error| {
            OpenError(format!(
                "{kind} map {name}: read error: {}",
                io_text(&error)
            ))
        })?;
        let uid = file.metadata().map_err(|error| failed(&error))?.uid();
        return Ok(TextFile {
            content,
            owner: Owner::of_uid(uid),
        });
    }
    let syntax = |error: BraceError| OpenError(format!("{kind} map: {error}"));
    let mut content = Vec::new();
    for item in split_list(unbrace(name).map_err(syntax)?) {
        content.extend_from_slice(unbrace(item).map_err(syntax)?.as_bytes());
        content.push(b'\n');
    }
    Ok(TextFile {
        content,
        owner: Owner::of_uid(nix::unistd::getuid().as_raw()),
    })
}

/// What is wrong with a `{…}` text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BraceError {
    /// It does not begin with a brace.
    #[error("no '{{' at start of text in \"{0}\"")]
    NoOpen(String),
    /// The brace is not closed.
    #[error("missing '}}' in \"{0}\"")]
    NoClose(String),
    /// Text follows the closing brace.
    #[error("syntax error after '}}' in \"{0}\"")]
    After(String),
}

/// The text inside the outer braces of `text`, without surrounding blanks.
pub fn unbrace(text: &str) -> Result<&str, BraceError> {
    let body = text
        .strip_prefix('{')
        .ok_or_else(|| BraceError::NoOpen(text.to_owned()))?;
    let mut depth = 1usize;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (inside, rest) = body.split_at(at);
            if !rest.get(1..).unwrap_or_default().trim().is_empty() {
                return Err(BraceError::After(text.to_owned()));
            }
            return Ok(inside.trim());
        }
    }
    Err(BraceError::NoClose(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_splits_at_the_first_unquoted_blank() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<(&str, &str)>)] = &[
            ("key value",               Some(("key", "value"))),
            ("key \t value with  sp ",  Some(("key", "value with  sp"))),
            (r#""quoted key" val"#,     Some((r#""quoted key""#, "val"))),
            (r"a\ b c",                 Some((r"a\ b", "c"))),
            ("alias: you",              Some(("alias:", "you"))),
            ("key",                     None),
            ("key  ",                   None),
            (r#""open key val"#,        None),
        ];
        for (line, want) in cases {
            let got = split_entry(BStr::new(line), false)
                .ok()
                .map(|(k, v)| (k.to_string(), v.to_string()));
            let want = want.map(|(k, v)| (k.to_owned(), v.to_owned()));
            assert_eq!(got, want, "{line:?}");
        }
    }

    #[test]
    fn inline_pattern_text_is_one_line_an_item() {
        let text = pattern_text("cidr", "{ {10.0.0.0/8 ok}, { ::1 v6 } }").unwrap();
        assert_eq!(text.content.as_bstr(), "10.0.0.0/8 ok\n::1 v6\n");
        let error = pattern_text("regexp", "{/a(b)/ got $1}x").err().unwrap();
        assert_eq!(
            error.to_string(),
            "regexp map: syntax error after '}' in \"{/a(b)/ got $1}x\""
        );
    }

    #[test]
    fn a_file_that_is_still_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        std::fs::write(&path, "one 1\n").unwrap();
        let reader = {
            let path = path.display().to_string();
            std::thread::spawn(move || read_settled(&path, "").unwrap().content)
        };
        // The reader may begin before or after this: it must not be content with less.
        std::fs::write(&path, "one 1\ntwo 2\n").unwrap();
        assert_eq!(reader.join().unwrap(), b"one 1\ntwo 2\n");
        let future = SystemTime::now() + Duration::from_secs(1000);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(future).unwrap();
        let path = path.display().to_string();
        assert_eq!(read_settled(&path, "").unwrap().content.len(), 12);
    }
}
