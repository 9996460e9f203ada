//! Tables without a file: `static`, `inline`, `internal`, `environ`, `fail`, `randmap`.
//!
//! Source: tables.md §4 of the specification.

use bstr::{BStr, BString, ByteSlice};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;

use crate::layer::{fold_ascii, fold_key};
use crate::lines::is_space;
use crate::source::{files_as_base64, unbrace, word_end};
use crate::{Builder, Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, split_list};

/// Refuses every mode but reading.
pub(crate) fn read_only(kind: &str, name: &str, mode: OpenMode) -> Result<(), OpenError> {
    match mode {
        OpenMode::Read => Ok(()),
        OpenMode::ReadWrite | OpenMode::ReadWriteCreate => Err(OpenError(format!(
            "{kind}:{name} map requires O_RDONLY access mode"
        ))),
    }
}

/// Refuses a table whose answers anybody on the way could make, for data that must not be forged.
pub(crate) fn not_sensitive(kind: &str, name: &str, flags: Flags) -> Result<(), OpenError> {
    if flags.contains(Flags::NO_UNAUTH) {
        return Err(OpenError(format!(
            "{kind}:{name} map is not allowed for security-sensitive data"
        )));
    }
    Ok(())
}

/// The value as stored, or the base64 contents of the files it names.
pub(crate) fn stored_value(value: &str, flags: Flags) -> Result<BString, OpenError> {
    if !flags.contains(Flags::SRC_RHS_IS_FILE) {
        return Ok(BString::from(value));
    }
    files_as_base64(BStr::new(value)).map_err(OpenError)
}

/// `static`: the same answer for every key.
struct Static {
    name: String,
    flags: Flags,
    value: BString,
}

/// Opens `static:name`.
pub(crate) fn open_static(name: &str, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    let type_name = format!("static:{name}");
    let text = if name.starts_with('{') {
        unbrace(name).map_err(|error| OpenError(format!("bad static:name syntax: {error}")))?
    } else {
        name
    };
    let value = stored_value(text, flags)?;
    Ok(Box::new(Static {
        name: type_name,
        flags: flags | Flags::FIXED,
        value,
    }))
}

impl Table for Static {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, _key: &BStr) -> Lookup {
        Ok(Some(self.value.clone()))
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}

/// Entries in memory: `inline` (read-only), `internal` and `texthash` share it.
pub(crate) struct Memory {
    name: String,
    flags: Flags,
    owner: Owner,
    writable: bool,
    entries: BTreeMap<BString, BString>,
    last: Option<BString>,
}

impl Memory {
    /// A read-only table of `entries`.
    pub(crate) fn fixed(
        name: String,
        flags: Flags,
        owner: Owner,
        entries: BTreeMap<BString, BString>,
    ) -> Self {
        Self {
            name,
            flags: flags | Flags::FIXED,
            owner,
            writable: false,
            entries,
            last: None,
        }
    }
}

impl Table for Memory {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        Ok(self.entries.get(key).cloned())
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        if !self.writable {
            return Err(LookupError::unsupported(&self.name, "update"));
        }
        self.entries.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        if !self.writable {
            return Err(LookupError::unsupported(&self.name, "delete"));
        }
        Ok(self.entries.remove(key).is_some())
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        let after = match self.last.take() {
            Some(last) if !restart => Bound::Excluded(last),
            _ => Bound::Unbounded,
        };
        let next = self
            .entries
            .range((after, Bound::Unbounded))
            .next()
            .map(|(k, v)| (k.clone(), v.clone()));
        // After the end the position stays behind the last entry.
        self.last = next
            .as_ref()
            .map(|(key, _)| key.clone())
            .or_else(|| self.entries.keys().next_back().cloned());
        Ok(next)
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

/// Opens `internal:name`: empty at start, gone with the process.
pub(crate) fn open_internal(name: &str, flags: Flags) -> Box<dyn Table> {
    let mut table = Memory::fixed(
        format!("internal:{name}"),
        flags,
        Owner::Trusted,
        BTreeMap::new(),
    );
    table.writable = true;
    Box::new(table)
}

/// Opens `inline:{k=v, {k = v}}`.
pub(crate) fn open_inline(
    name: &str,
    mode: OpenMode,
    flags: Flags,
    utf8: bool,
) -> Result<Box<dyn Table>, OpenError> {
    read_only("inline", name, mode)?;
    let type_name = format!("inline:{name}");
    let word = if flags.contains(Flags::SRC_RHS_IS_FILE) {
        "filename"
    } else {
        "value"
    };
    let need = |why: &str| {
        OpenError(format!(
            "{why}: \"{type_name}\"; need \"inline:{{name={word}...}}\""
        ))
    };
    let body = unbrace(name).map_err(|_| need("bad syntax"))?;
    if body.is_empty() && name == "{}" {
        return Err(need("bad syntax"));
    }
    let mut entries = BTreeMap::new();
    for item in split_list(body) {
        let text = if item.starts_with('{') {
            unbrace(item).map_err(|e| need(&e.to_string()))?
        } else {
            item
        };
        let (key, value) = name_and_value(text).map_err(|why| need(&why))?;
        let key = BStr::new(key);
        let folded = match (
            flags.contains(Flags::FOLD_FIX),
            utf8 && flags.contains(Flags::UTF8_REQUEST),
        ) {
            (false, _) => key.to_owned(),
            (true, true) => fold_key(key).into_owned(),
            (true, false) => fold_ascii(key).into_owned(),
        };
        entries.insert(
            folded,
            stored_value(value, flags).map_err(|error| need(&error.0))?,
        );
    }
    if entries.is_empty() {
        return Err(need("empty table"));
    }
    Ok(Box::new(Memory::fixed(
        type_name,
        flags,
        Owner::Trusted,
        entries,
    )))
}

/// Splits `name = value`; the name ends at white space or `=` outside double quotes, which it keeps.
fn name_and_value(text: &str) -> Result<(&str, &str), String> {
    let (end, open) = word_end(text.as_bytes(), |byte| byte == b'=' || is_space(byte));
    if open {
        return Err("unbalanced '\"'".to_owned());
    }
    if text.is_empty() {
        return Err("no key found; expected format: key = value".to_owned());
    }
    let split = text.split_at_checked(end);
    let found =
        split.and_then(|(name, rest)| Some((name, rest.trim_start().strip_prefix('=')?.trim())));
    found.ok_or_else(|| "missing '=' after attribute name".to_owned())
}

/// `environ`: the variables of this process.
struct Environ {
    name: String,
    flags: Flags,
    /// Values set through the table; the process's own environment is left alone.
    set: HashMap<BString, BString>,
}

/// Opens `environ:anything`.
pub(crate) fn open_environ(name: &str, flags: Flags) -> Box<dyn Table> {
    Box::new(Environ {
        name: format!("environ:{name}"),
        flags: flags | Flags::FIXED,
        set: HashMap::new(),
    })
}

impl Table for Environ {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        use nix::unistd::{getegid, geteuid, getgid, getuid};
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        if let Some(value) = self.set.get(key) {
            return Ok(Some(value.clone()));
        }
        let set_id = getuid() != geteuid() || getgid() != getegid();
        if set_id || key.is_empty() || key.find_byteset(b"=\0").is_some() {
            return Ok(None);
        }
        Ok(std::env::var_os(std::ffi::OsStr::from_bytes(key))
            .map(|value| BString::from(value.into_vec())))
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.set.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}

/// `fail`: every operation fails, to try out what happens then.
pub(crate) struct Fail {
    name: String,
    flags: Flags,
}

impl Fail {
    /// Opens `fail:name`.
    pub(crate) fn open(name: &str, flags: Flags) -> Self {
        Self {
            name: format!("fail:{name}"),
            flags: flags | Flags::PATTERN,
        }
    }
    fn fail<T>(&self) -> Result<T, LookupError> {
        Err(LookupError::retry(self.name.clone(), "Application error"))
    }
}

impl Builder for Fail {
    fn name(&self) -> &str {
        &self.name
    }
    fn add(&mut self, _key: &BStr, _value: &BStr) -> Result<(), LookupError> {
        self.fail()
    }
    fn finish(self: Box<Self>) -> Result<(), LookupError> {
        Ok(())
    }
}

impl Table for Fail {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, _key: &BStr) -> Lookup {
        self.fail()
    }
    fn update(&mut self, _key: &BStr, _value: &BStr) -> Result<(), LookupError> {
        self.fail()
    }
    fn delete(&mut self, _key: &BStr) -> Result<bool, LookupError> {
        self.fail()
    }
    fn sequence(&mut self, _restart: bool) -> Lookup<(BString, BString)> {
        self.fail()
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}

/// `randmap`: one of several values, at random.
struct Random {
    name: String,
    flags: Flags,
    values: Vec<BString>,
}

/// Opens `randmap:{value, …}`.
pub(crate) fn open_randmap(
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    read_only("randmap", name, mode)?;
    let type_name = format!("randmap:{name}");
    let bad = || {
        OpenError(format!(
            "bad syntax: \"{type_name}\"; need \"randmap:{{value...}}\""
        ))
    };
    let mut values = Vec::new();
    for item in split_list(unbrace(name).map_err(|_| bad())?) {
        // Braces keep a value together here and stay in it.
        values.push(stored_value(item, flags)?);
    }
    if values.is_empty() {
        return Err(bad());
    }
    Ok(Box::new(Random {
        name: type_name,
        flags: flags | Flags::PATTERN,
        values,
    }))
}

impl Table for Random {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, _key: &BStr) -> Lookup {
        // A freshly seeded hasher is the standard library's only source of random numbers.
        let random = RandomState::new().build_hasher().finish();
        let count = u64::try_from(self.values.len()).unwrap_or(1).max(1);
        let index = usize::try_from(random % count).unwrap_or(0);
        Ok(self.values.get(index).cloned())
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
