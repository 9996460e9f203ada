//! `smtp_generic_maps`: addresses as the outside world shall see them (generic(5)).

use bstr::{BStr, BString, ByteSlice};
use postern_dict::Maps;
use postern_mail::address;

use crate::trouble::Trouble;

/// The tables with the rules of their search.
pub struct Generic<'a> {
    /// The tables.
    pub maps: &'a mut Maps,
    /// `recipient_delimiter`.
    pub delimiter: &'a [u8],
    /// Whether an extension that did not match is kept.
    pub propagate: bool,
    /// Domain of results without one.
    pub origin: &'a str,
    /// Whether a bare local part may match in this domain.
    pub is_local: &'a dyn Fn(&BStr) -> bool,
}

impl Generic<'_> {
    /// Whether there is nothing to map.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// The mapped form of an address, both in internal form.
    ///
    /// # Errors
    ///
    /// A table that cannot be read.
    pub fn map_internal(&mut self, internal: &BStr) -> Result<BString, Trouble> {
        if self.maps.is_empty() {
            return Ok(internal.into());
        }
        let external = address::quote(internal);
        Ok(match self.map(external.as_bstr())? {
            Some(mapped) => address::unquote(mapped.as_bstr()),
            None => internal.into(),
        })
    }

    /// The mapped form of an address in external form; `None` when no table has it.
    ///
    /// # Errors
    ///
    /// A table that cannot be read.
    pub fn map(&mut self, external: &BStr) -> Result<Option<BString>, Trouble> {
        let (local, domain) = address::split(external);
        let bare = address::strip_extension(external, self.delimiter, true);
        let mut keys: Vec<(BString, bool, Option<BString>)> = vec![(external.into(), false, None)];
        if let Some((stripped, extension)) = &bare {
            keys.push((stripped.clone(), false, Some(extension.clone())));
        }
        if domain.is_none_or(|domain| (self.is_local)(domain)) {
            keys.push((local.into(), true, None));
            if let Some((stripped, extension)) = &bare {
                let (local, _) = address::split(stripped.as_bstr());
                keys.push((local.into(), true, Some(extension.clone())));
            }
        }
        if let Some(domain) = domain {
            keys.push(([b"@", domain.as_bytes()].concat().into(), true, None));
        }
        for (key, partial, extension) in keys {
            let found = self.maps.find(key.as_bstr(), partial).map_err(|_| Trouble::Data)?;
            let Some(value) = found else { continue };
            return Ok(Some(self.result(local, value.as_bstr(), extension)));
        }
        Ok(None)
    }

    fn result(&self, local: &BStr, value: &BStr, extension: Option<BString>) -> BString {
        let value = value.trim_ascii();
        if value.contains(&b',') {
            log::warn!("multi-valued {} entry: {}", self.maps.title(), value.as_bstr());
        }
        let mut mapped: BString = match value.strip_prefix(b"@") {
            Some(_) => [local.as_bytes(), value].concat().into(),
            None if !value.contains(&b'@') => [value, b"@", self.origin.as_bytes()].concat().into(),
            None => value.into(),
        };
        if let Some(extension) = extension.filter(|_| self.propagate) {
            mapped = address::append_extension(mapped.as_bstr(), &extension);
        }
        mapped
    }
}
