//! The recipient and address tables that say which addresses exist.

use bstr::{BStr, BString};
use postern_config::{Config, Param, params};
use postern_dict::{Flags, LookupError, Maps};
use postern_mail::address::{quote, split, split_extension};
use postern_rewrite::LocalDomains;

/// The tables by parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapName {
    /// `canonical_maps`.
    Canonical,
    /// `recipient_canonical_maps`.
    RecipientCanonical,
    /// `sender_canonical_maps`.
    SenderCanonical,
    /// `virtual_alias_maps`.
    VirtualAlias,
    /// `virtual_mailbox_maps`.
    VirtualMailbox,
    /// `local_recipient_maps`.
    LocalRecipient,
    /// `relay_recipient_maps`.
    RelayRecipient,
}

/// In the order of [`MapName`].
const PARAMS: [(Param<String>, &str); 7] = [
    (params::CANONICAL_MAPS, "canonical_maps"),
    (params::RECIPIENT_CANONICAL_MAPS, "recipient_canonical_maps"),
    (params::SENDER_CANONICAL_MAPS, "sender_canonical_maps"),
    (params::VIRTUAL_ALIAS_MAPS, "virtual_alias_maps"),
    (params::VIRTUAL_MAILBOX_MAPS, "virtual_mailbox_maps"),
    (params::LOCAL_RECIPIENT_MAPS, "local_recipient_maps"),
    (params::RELAY_RECIPIENT_MAPS, "relay_recipient_maps"),
];

/// See the module.
pub(crate) struct AddressMaps {
    maps: Vec<Maps>,
    local: LocalDomains,
    delimiters: Vec<u8>,
    owner_request_special: bool,
}

impl std::fmt::Debug for AddressMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddressMaps").finish_non_exhaustive()
    }
}

impl AddressMaps {
    /// Opens the tables.
    pub(crate) fn open(config: &Config) -> Self {
        let open = |(param, title): (Param<String>, &str)| Maps::open(config, title, &config.get(param), Flags::ADDRESS);
        Self {
            maps: PARAMS.into_iter().map(open).collect(),
            local: LocalDomains::new(config),
            delimiters: config.get(params::RECIPIENT_DELIMITER).into_bytes(),
            owner_request_special: config.get(params::OWNER_REQUEST_SPECIAL),
        }
    }

    /// Whether a parameter lists no table.
    pub(crate) fn is_empty(&self, name: MapName) -> bool {
        self.maps.get(name as usize).is_none_or(Maps::is_empty)
    }

    /// Whether an address (internal form) is in a table, in the search order of virtual(5).
    pub(crate) fn find_address(&mut self, name: MapName, address: &BStr) -> Result<bool, LookupError> {
        let Some(maps) = self.maps.get_mut(name as usize).filter(|maps| !maps.is_empty()) else { return Ok(false) };
        let (local, domain) = split(address);
        let bare = split_extension(local, &self.delimiters, self.owner_request_special).map(|(user, _)| user);
        if find_key(maps, address, false)? {
            return Ok(true);
        }
        if let (Some(user), Some(domain)) = (bare, domain) {
            if find_key(maps, join(user, domain).as_ref(), true)? {
                return Ok(true);
            }
        }
        let Some(domain) = domain else { return Ok(false) };
        if self.local.matches(domain)? {
            for user in [Some(local), bare].into_iter().flatten() {
                if find_key(maps, user, true)? {
                    return Ok(true);
                }
            }
        }
        Ok(maps.find(join(BStr::new(""), domain).as_ref(), true)?.is_some())
    }
}

fn join(user: &BStr, domain: &BStr) -> BString {
    let mut address = user.to_owned();
    address.push(b'@');
    address.extend_from_slice(domain);
    address
}

/// Quoted as in headers, then as it is.
fn find_key(maps: &mut Maps, key: &BStr, partial: bool) -> Result<bool, LookupError> {
    let quoted = quote(key);
    if maps.find(quoted.as_ref(), partial)?.is_some() {
        return Ok(true);
    }
    Ok(quoted != key && maps.find(key, partial)?.is_some())
}
