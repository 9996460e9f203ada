//! What every table type implements, and what a bulk build implements.

use bstr::{BStr, BString};

use crate::{Flags, Lookup, LookupError};

/// Who may be blamed for what a table says; local(8) decides by it under whose rights a command
/// from an alias runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Root, or part of main.cf.
    Trusted,
    /// This user.
    User(u32),
    /// Nobody knows: remote tables, or members with different owners.
    Unknown,
}

impl Owner {
    /// The status of a file by its owner's uid.
    pub fn of_uid(uid: u32) -> Self {
        if uid == 0 {
            Self::Trusted
        } else {
            Self::User(uid)
        }
    }

    /// The status of a table made of two.
    pub fn combine(self, other: Self) -> Self {
        match (self, other) {
            (Self::Trusted, one) | (one, Self::Trusted) => one,
            (Self::User(a), Self::User(b)) if a == b => Self::User(a),
            _ => Self::Unknown,
        }
    }
}

/// How a table is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// `O_RDONLY`.
    Read,
    /// `O_RDWR`: update or delete entries of an existing table.
    ReadWrite,
    /// `O_RDWR|O_CREAT`: as `ReadWrite`, a missing table is created (`postmap -i`, caches).
    ReadWriteCreate,
}

impl OpenMode {
    /// The Linux open flags, as registered names show them in octal.
    pub fn open_flags(self) -> u32 {
        match self {
            Self::Read => 0,
            Self::ReadWrite => 0o2,
            Self::ReadWriteCreate => 0o102,
        }
    }
}

/// Looks keys up as [`Table::lookup_all`] does, each by itself.
pub(crate) fn one_by_one<T: Table + ?Sized>(
    table: &mut T,
    keys: &[&BStr],
    answer: &mut Answer<'_>,
) -> Result<(), LookupError> {
    let mut value = BString::default();
    keys.iter().try_for_each(|key| {
        let is_found = table.lookup_into(key, &mut value)?;
        answer(key, is_found.then_some(BStr::new(&value)))
    })
}

/// What becomes of a key and its value.
pub type Answer<'a> = dyn FnMut(&BStr, Option<&BStr>) -> Result<(), LookupError> + 'a;

/// One open lookup table.
///
/// Implementations see keys as they are stored: folding, UTF-8 checks and base64 decoding are
/// done once, by the layer that [`crate::open`] puts around every table.
pub trait Table: Send {
    /// `type:name`; types with a file suffix show the file (`hash:/etc/aliases.db`).
    fn name(&self) -> &str;
    /// Flags after opening: request flags plus what the implementation adds (fixed, pattern, …).
    fn flags(&self) -> Flags;
    /// Looks `key` up.
    fn lookup(&mut self, key: &BStr) -> Lookup;
    /// As [`Table::lookup`], into memory that is used again: for programs that look up much. `Ok(false)`
    /// when the key is not there; then `value` means nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Table::lookup`].
    fn lookup_into(&mut self, key: &BStr, value: &mut BString) -> Result<bool, LookupError> {
        match self.lookup(key)? {
            Some(found) => {
                *value = found;
                Ok(true)
            }
            None => Ok(false),
        }
    }
    /// Looks `keys` up in their order and hands each with its value, if there is one, to `answer`: for programs
    /// that have many keys at once. Nothing is asked after an error.
    ///
    /// # Errors
    ///
    /// The first of a key, as of [`Table::lookup`], or of `answer`.
    fn lookup_all(&mut self, keys: &[&BStr], answer: &mut Answer<'_>) -> Result<(), LookupError> {
        one_by_one(self, keys, answer)
    }
    /// Stores a value; tables that cannot are an error.
    fn update(&mut self, _key: &BStr, _value: &BStr) -> Result<(), LookupError> {
        Err(LookupError::unsupported(self.name(), "update"))
    }
    /// Removes a key; `Ok(false)` when it was not there.
    fn delete(&mut self, _key: &BStr) -> Result<bool, LookupError> {
        Err(LookupError::unsupported(self.name(), "delete"))
    }
    /// Says that many changes come: they may be kept back, and the file locked, until [`Table::flush`] or
    /// the end.
    fn gather(&mut self) {}
    /// Writes changes that were kept back, for others to see.
    ///
    /// # Errors
    ///
    /// Those of [`Table::update`].
    fn flush(&mut self) -> Result<(), LookupError> {
        Ok(())
    }
    /// First (`restart`) or next entry in storage order.
    fn sequence(&mut self, _restart: bool) -> Lookup<(BString, BString)> {
        Err(LookupError::unsupported(self.name(), "sequence"))
    }
    /// Whether the file behind the table changed since it was opened.
    fn changed(&self) -> bool {
        false
    }
    /// Who may be blamed for the contents.
    fn owner(&self) -> Owner {
        Owner::Unknown
    }
    /// `type:name(open flags,flag words)`, for "has changed" and owner messages.
    fn registered_name(&self) -> String {
        self.name().to_owned()
    }
}

/// A table that is being built as a whole (`postmap`, `postalias`).
///
/// Creation opens, locks and truncates the output; `finish` makes it complete. Dropping a builder
/// leaves the output as Postfix would leave it after a crash at this point.
///
/// Duplicates follow the flags given at creation: `DUP_REPLACE`, `DUP_IGNORE`, else a warning
/// in the words of the type; the first entry stays.
pub trait Builder {
    /// `type:name` as messages show it.
    fn name(&self) -> &str;
    /// Stores one entry. Keys arrive folded.
    fn add(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError>;
    /// Stores one entry exactly as given (no NUL added), replacing an older one silently.
    fn add_raw(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        self.add(key, value)
    }
    /// Completes, flushes and unlocks the table.
    fn finish(self: Box<Self>) -> Result<(), LookupError>;
}
