//! `texthash`: a text file read whole when it is opened.

use bstr::{BStr, BString, ByteSlice};
use std::borrow::Cow;

use crate::layer::{fold_ascii, fold_key};
use crate::lines::LogicalLines;
use crate::simple::read_only;
use crate::source::{EntryError, files_as_base64, read_settled, split_entry};
use crate::strings::Strings;
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text};

/// Opens `texthash:path`. `utf8` is `smtputf8_enable`.
pub(crate) fn open(
    path: &str,
    mode: OpenMode,
    flags: Flags,
    utf8: bool,
) -> Result<Box<dyn Table>, OpenError> {
    read_only("texthash", path, mode)?;
    let file = read_settled(path, "database ")?;
    let utf8 = utf8 && flags.contains(Flags::UTF8_REQUEST);
    let failed = |error| OpenError(format!("read {path}: {}", io_text(&error)));
    let mut entries = Strings::with_room(file.content.len());
    let mut lines = LogicalLines::new(file.content.as_slice(), path);
    while let Some(line) = lines.next_line().map_err(failed)? {
        let place = Place {
            path,
            line: line.first,
        };
        let (key, value) = match split_entry(line.text.as_bstr(), utf8) {
            Ok(entry) => entry,
            Err(EntryError::Incomplete) => {
                log::warn!("{place}: {} -- ignoring this line", EntryError::Incomplete);
                continue;
            }
            Err(error) => {
                log::warn!("{place}: {error}");
                continue;
            }
        };
        if key.ends_with(b":") {
            log::warn!("{place}: record is in \"key: value\" format; is this an alias file?");
        }
        let stored = if flags.contains(Flags::SRC_RHS_IS_FILE) {
            match files_as_base64(value) {
                Ok(content) => Cow::Owned(content),
                Err(error) => {
                    log::warn!("{place}: {error}: skipping this entry");
                    continue;
                }
            }
        } else {
            Cow::Borrowed(value)
        };
        let folded = match (flags.contains(Flags::FOLD_FIX), utf8) {
            (false, _) => Cow::Borrowed(key),
            (true, true) => fold_key(key),
            (true, false) => fold_ascii(key),
        };
        if entries.insert(&folded, &stored).map_err(failed)? || flags.contains(Flags::DUP_IGNORE) {
            continue;
        }
        if flags.contains(Flags::DUP_REPLACE) {
            entries.replace(&folded, &stored).map_err(failed)?;
        } else if flags.contains(Flags::DUP_WARN) {
            log::warn!("{place}: duplicate entry: \"{key}\"");
        } else {
            return Err(OpenError(format!("{place}: duplicate entry: \"{key}\"")));
        }
    }
    Ok(Box::new(TextHash {
        name: format!("texthash:{path}"),
        flags: flags | Flags::FIXED,
        owner: file.owner,
        entries,
        listed: Vec::new(),
    }))
}

/// Where a line is; shown only in warnings.
struct Place<'a> {
    path: &'a str,
    line: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}, line {}", self.path, self.line)
    }
}

struct TextHash {
    name: String,
    flags: Flags,
    owner: Owner,
    entries: Strings,
    /// Entries that a walk has not reached, the last one first.
    listed: Vec<usize>,
}

impl Table for TextHash {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        Ok(self.entries.get(key).map(BString::from))
    }
    fn lookup_into(&mut self, key: &BStr, value: &mut BString) -> Result<bool, LookupError> {
        let Some(found) = self.entries.get(key) else {
            return Ok(false);
        };
        value.clear();
        value.extend_from_slice(found);
        Ok(true)
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        if restart {
            let entries = &self.entries;
            let key = |entry: &usize| entries.entry(*entry).map(|(key, _)| key);
            self.listed = (0..entries.len()).collect();
            self.listed.sort_unstable_by(|a, b| key(b).cmp(&key(a)));
        }
        let next = self.listed.pop();
        let pair = next.and_then(|entry| self.entries.entry(entry));
        Ok(pair.map(|(key, value)| (key.into(), value.into())))
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}
