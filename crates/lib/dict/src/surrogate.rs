//! The table in place of one that could not be opened: every operation fails with the reason.

use bstr::{BStr, BString};

use crate::{Flags, Lookup, LookupError, OpenError, Owner, Table};

/// Stands in for a table that could not be opened.
pub struct Surrogate {
    name: String,
    flags: Flags,
    reason: String,
}

impl Surrogate {
    /// A surrogate for `type_name`. The caller logs the reason once.
    pub fn new(type_name: &str, flags: Flags, error: &OpenError) -> Self {
        Self {
            name: type_name.to_owned(),
            flags: flags | Flags::PATTERN | Flags::SURROGATE,
            reason: error.to_string(),
        }
    }

    fn fail<T>(&self) -> Result<T, LookupError> {
        log::warn!("{} is unavailable. {}", self.name, self.reason);
        Err(LookupError::retry(self.name.clone(), self.reason.clone()))
    }
}

impl Table for Surrogate {
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
        Owner::Unknown
    }
}
