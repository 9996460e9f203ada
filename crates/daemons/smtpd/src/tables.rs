//! The recipient and address tables that say which addresses exist.

use bstr::{BStr, BString};
use postern_config::{Config, Param, params};
use postern_dict::search::{Extensions, Form, find_address};
use postern_dict::{Flags, LookupError, Maps};
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
    /// `smtpd_sender_login_maps`.
    SenderLogin,
}

/// In the order of [`MapName`].
const PARAMS: [(Param<String>, &str); 8] = [
    (params::CANONICAL_MAPS, "canonical_maps"),
    (params::RECIPIENT_CANONICAL_MAPS, "recipient_canonical_maps"),
    (params::SENDER_CANONICAL_MAPS, "sender_canonical_maps"),
    (params::VIRTUAL_ALIAS_MAPS, "virtual_alias_maps"),
    (params::VIRTUAL_MAILBOX_MAPS, "virtual_mailbox_maps"),
    (params::LOCAL_RECIPIENT_MAPS, "local_recipient_maps"),
    (params::RELAY_RECIPIENT_MAPS, "relay_recipient_maps"),
    (params::SMTPD_SENDER_LOGIN_MAPS, "smtpd_sender_login_maps"),
];

/// See the module.
pub(crate) struct AddressMaps {
    maps: Vec<Maps>,
    local: Option<LocalDomains>,
    extensions: Extensions,
}

impl std::fmt::Debug for AddressMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddressMaps").finish_non_exhaustive()
    }
}

impl AddressMaps {
    /// Opens the tables.
    pub(crate) fn open(config: &Config) -> Self {
        let open = |(param, title): (Param<String>, &str)| {
            Maps::open(config, title, &config.get(param), Flags::ADDRESS)
        };
        Self {
            maps: PARAMS.into_iter().map(open).collect(),
            local: Some(LocalDomains::new(config)),
            extensions: Extensions::from_config(config),
        }
    }

    /// No tables.
    pub(crate) fn none(config: &Config) -> Self {
        Self {
            maps: Vec::new(),
            local: None,
            extensions: Extensions::from_config(config),
        }
    }

    /// Whether a parameter lists no table.
    pub(crate) fn is_empty(&self, name: MapName) -> bool {
        self.maps.get(name as usize).is_none_or(Maps::is_empty)
    }

    /// Whether an address (internal form) is in a table, in the search order of virtual(5).
    pub(crate) fn find_address(
        &mut self,
        name: MapName,
        address: &BStr,
    ) -> Result<bool, LookupError> {
        Ok(self.find_value(name, address)?.is_some())
    }

    /// As [`AddressMaps::find_address`]; tells what the table says.
    pub(crate) fn find_value(
        &mut self,
        name: MapName,
        address: &BStr,
    ) -> Result<Option<BString>, LookupError> {
        let Some(maps) = self
            .maps
            .get_mut(name as usize)
            .filter(|maps| !maps.is_empty())
        else {
            return Ok(None);
        };
        let local = &mut self.local;
        let mut is_local = |domain: &BStr| {
            local
                .as_mut()
                .map_or(Ok(false), |local| local.has_bare_names(domain))
        };
        let found = find_address(
            maps,
            address,
            Form::External,
            &self.extensions,
            &mut is_local,
        )?;
        Ok(found.map(|found| found.value))
    }
}
