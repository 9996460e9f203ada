//! The default search order of tables with mail addresses as keys.
//!
//! `user+ext@domain`, `user@domain`, for local domains `user+ext` and `user`, `@domain`.
//! Source: virtual(5), canonical(5), relocated(5) "TABLE SEARCH ORDER".

use bstr::{BStr, BString};
use postern_config::{Config, params};
use postern_dict::{Lookup, Maps};
use postern_mail::address::{quote, split, split_extension};

use crate::domains::LocalDomains;

/// How address extensions are recognized.
#[derive(Debug, Clone)]
pub(crate) struct Extensions {
    delimiters: Vec<u8>,
    owner_request_special: bool,
}

impl Extensions {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            delimiters: config.get(params::RECIPIENT_DELIMITER).into_bytes(),
            owner_request_special: config.get(params::OWNER_REQUEST_SPECIAL),
        }
    }

    /// The local part without its extension, when it has one.
    pub(crate) fn strip<'a>(&self, local: &'a BStr) -> Option<&'a BStr> {
        split_extension(local, &self.delimiters, self.owner_request_special).map(|(user, _)| user)
    }
}

/// Whether a key is a whole address or only a part of one, which pattern tables do not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Whole,
    Part,
}

/// Searches `maps` for an address in internal form. Each key is tried quoted first.
pub(crate) fn find_address(
    maps: &mut Maps,
    extensions: &Extensions,
    local_domains: &mut LocalDomains,
    address: &BStr,
) -> Lookup {
    if maps.is_empty() {
        return Ok(None);
    }
    let (local, domain) = split(address);
    let bare = extensions.strip(local);
    let mut keys: Vec<(BString, Key)> = vec![(address.to_owned(), Key::Whole)];
    if let Some(bare) = bare {
        keys.push((join(bare, domain), Key::Part));
    }
    for (key, kind) in &keys {
        if let Some(value) = find_key(maps, key.as_ref(), *kind)? {
            return Ok(Some(value));
        }
    }
    let Some(domain) = domain else {
        return Ok(None);
    };
    if local_domains.matches(domain)? {
        for user in [Some(local), bare].into_iter().flatten() {
            if let Some(value) = find_key(maps, user, Key::Part)? {
                return Ok(Some(value));
            }
        }
    }
    maps.find(join(BStr::new(""), Some(domain)).as_ref(), true)
}

fn find_key(maps: &mut Maps, key: &BStr, kind: Key) -> Lookup {
    let quoted = quote(key);
    let found = maps.find(quoted.as_ref(), kind == Key::Part)?;
    if found.is_some() || quoted == key {
        return Ok(found);
    }
    maps.find(key, kind == Key::Part)
}

/// `local@domain`, or the local part alone.
pub(crate) fn join(local: &BStr, domain: Option<&BStr>) -> BString {
    let mut address = local.to_owned();
    if let Some(domain) = domain {
        address.push(b'@');
        address.extend_from_slice(domain);
    }
    address
}
