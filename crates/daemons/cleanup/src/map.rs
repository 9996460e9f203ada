//! Address mappings: rewriting to standard form, canonical tables, masquerading, virtual aliases.
//!
//! Everything here takes and gives addresses in internal form, except where header rewriting
//! needs the external one. Source: canonical(5), virtual(5), ADDRESS_REWRITING_README.

use std::collections::HashSet;

use bstr::{BStr, BString, ByteSlice};
use postern_dict::LookupError;
use postern_dict::search::{Form, Found, find_address};
use postern_mail::address::{append_extension, eq_ignore_case, fold_case, quote, split, unquote};
use postern_mail::address_tree;
use postern_rewrite::Context;

use crate::Cleanup;
use crate::settings::class;
use crate::tables::Tables;

/// How often a canonical mapping is repeated.
const MAX_CANONICAL: usize = 10;
/// The list that is no table, in messages.
const MASQUERADE_EXCEPTIONS: &str = "masquerade_exceptions";
/// Bytes of an overlong result that a warning shows.
const SHOWN_RESULT: usize = 300;

/// A table could not be asked, or answered nonsense; the message must be tried again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title} map lookup problem{} -- message not accepted, try again later", for_address(.address.as_ref()))]
pub(crate) struct MapProblem {
    title: &'static str,
    /// The address that was looked up, where Postfix's text names it.
    address: Option<BString>,
}

fn for_address(address: Option<&BString>) -> String {
    address.map_or_else(String::new, |address| format!(" for {address}"))
}

/// Why a virtual alias was not expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error(transparent)]
    Problem(#[from] MapProblem),
    #[error(
        "unreasonable {title} map expansion size for {address} -- message not accepted, try again later"
    )]
    Size {
        title: &'static str,
        address: BString,
    },
    #[error(
        "unreasonable {title} map nesting for {address} -- message not accepted, try again later"
    )]
    Nesting {
        title: &'static str,
        address: BString,
    },
    #[error("unreasonable {title} result {shown}... -- message not accepted, try again later")]
    Length { title: &'static str, shown: BString },
}

/// Which address tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Map {
    SenderCanonical,
    RecipientCanonical,
    Canonical,
    VirtualAlias,
    SenderBcc,
    RecipientBcc,
}

impl Map {
    /// The parameter.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::SenderCanonical => "sender_canonical_maps",
            Self::RecipientCanonical => "recipient_canonical_maps",
            Self::Canonical => "canonical_maps",
            Self::VirtualAlias => "virtual_alias_maps",
            Self::SenderBcc => "sender_bcc_maps",
            Self::RecipientBcc => "recipient_bcc_maps",
        }
    }

    /// A result `@newdomain` stands for the same user there.
    fn keeps_local_part(self) -> bool {
        !matches!(self, Self::SenderBcc | Self::RecipientBcc)
    }

    fn form(self) -> Form {
        match self {
            Self::SenderBcc | Self::RecipientBcc => Form::External,
            _ => Form::ExternalOnly,
        }
    }
}

impl MapProblem {
    /// Tells it in the log.
    pub(crate) fn log(&self, queue_id: &str) {
        // Of the list, the failure itself was told as a warning.
        let level = if self.title == MASQUERADE_EXCEPTIONS {
            log::Level::Info
        } else {
            log::Level::Warn
        };
        log::log!(level, "{queue_id}: {self}");
    }

    fn new(map: Map, address: &BStr) -> Self {
        Self {
            title: map.title(),
            address: map.keeps_local_part().then(|| address.to_owned()),
        }
    }
}

impl Tables {
    /// Standard form of an address in external form; internal form out.
    pub(crate) fn rewrite_external(&mut self, context: Context, external: &BStr) -> BString {
        match self.rewriter.rewrite(context, external) {
            Ok(rewritten) => rewritten,
            // Rewriting in process asks no table.
            Err(_) => external.to_owned(),
        }
    }

    /// Standard form of an address in internal form, in the local context.
    pub(crate) fn rewrite_internal(&mut self, internal: &BStr) -> BString {
        let external = quote(internal);
        let rewritten = self.rewrite_external(Context::Local, BStr::new(&external));
        unquote(BStr::new(&rewritten))
    }

    /// Looks an address up and parses the result into rewritten addresses. `propagate` appends an
    /// extension that the matching key did not have.
    pub(crate) fn lookup(
        &mut self,
        map: Map,
        address: &BStr,
        propagate: bool,
    ) -> Result<Option<Vec<BString>>, MapProblem> {
        let Some(found) = self.find(map, address)? else {
            return Ok(None);
        };
        let nodes = address_tree::parse(BStr::new(&found.value), 0);
        // A key for the whole domain matches any user: there is nothing left over to pass on.
        let extension = found.extension.as_ref().filter(|_| !found.whole_domain);
        let mut results = Vec::new();
        for node in address_tree::addresses(&nodes) {
            let mut result = node.external();
            if map.keeps_local_part() && result.starts_with(b"@") && result.len() > 1 {
                result =
                    self.with_local_part(address, extension.map(|e| e.as_bstr()), result.as_bstr());
            } else {
                result = self.rewrite_external(Context::Local, BStr::new(&result));
            }
            let mut result = unquote(BStr::new(&result));
            if let Some(extension) = extension.filter(|_| propagate && !result.is_empty()) {
                result = append_extension(BStr::new(&result), extension);
            }
            results.push(result);
        }
        if results.is_empty() {
            log::warn!(
                "{} lookup of {address} returns non-address result \"{}\"",
                map.title(),
                found.value
            );
            return Err(MapProblem::new(map, address));
        }
        Ok(Some(results))
    }

    /// Looks an address up by the keys of its table.
    pub(crate) fn find(&mut self, map: Map, address: &BStr) -> Result<Option<Found>, MapProblem> {
        let (extensions, here) = (self.extensions.clone(), &mut self.here);
        let maps = match map {
            Map::SenderCanonical => &mut self.sender_canonical,
            Map::RecipientCanonical => &mut self.recipient_canonical,
            Map::Canonical => &mut self.canonical,
            Map::VirtualAlias => &mut self.virtual_alias,
            Map::SenderBcc => &mut self.sender_bcc,
            Map::RecipientBcc => &mut self.recipient_bcc,
        };
        if maps.is_empty() {
            return Ok(None);
        }
        let mut is_local = |domain: &BStr| here.is_local(domain);
        // The empty address is looked up as it is written in a header: two quotes.
        let (key, form) = match map.form() {
            Form::ExternalOnly if address.is_empty() => (BStr::new("\"\""), Form::AsIs),
            form => (address, form),
        };
        let found = find_address(maps, key, form, &extensions, &mut is_local);
        found.map_err(|_: LookupError| MapProblem::new(map, address))
    }

    /// `@newdomain` keeps the local part, without its extension. External form.
    fn with_local_part(
        &mut self,
        address: &BStr,
        extension: Option<&BStr>,
        domain: &BStr,
    ) -> BString {
        let (local, _) = split(address);
        let kept = local.len().saturating_sub(extension.map_or(0, |e| e.len()));
        let mut internal = BString::from(local.get(..kept).unwrap_or_default());
        internal.extend_from_slice(domain);
        let external = quote(BStr::new(&internal));
        self.rewrite_external(Context::Local, BStr::new(&external))
    }
}

impl Cleanup {
    /// Maps an address through `map` until nothing changes. Tells whether it changed.
    pub(crate) fn canonical(
        &mut self,
        queue_id: &str,
        map: Map,
        address: &mut BString,
    ) -> Result<bool, MapProblem> {
        let before = address.clone();
        for _ in 0..MAX_CANONICAL {
            let found = self.tables.lookup(
                map,
                BStr::new(address.as_slice()),
                self.settings.propagate_canonical,
            )?;
            let Some(results) = found else {
                return Ok(*address != before);
            };
            if results.len() > 1 {
                let title = map.title();
                log::warn!("{queue_id}: multi-valued {title} entry for {address}");
            }
            let Some(result) = results.into_iter().next() else {
                return Ok(*address != before);
            };
            let fixed = eq_ignore_case(&result, address);
            *address = result;
            if fixed {
                return Ok(*address != before);
            }
        }
        let title = map.title();
        log::warn!(
            "{queue_id}: unreasonable {title} map nesting for {address} -- message not accepted, try again later"
        );
        Ok(*address != before)
    }

    /// The mappings of a sender address, in the envelope or in a header.
    pub(crate) fn map_sender(
        &mut self,
        queue_id: &str,
        class: u32,
        address: &mut BString,
    ) -> Result<bool, MapProblem> {
        self.map_address(
            queue_id,
            class,
            Map::SenderCanonical,
            self.settings.sender_canonical_classes,
            address,
        )
    }

    /// The mappings of a recipient address, in the envelope or in a header.
    pub(crate) fn map_recipient(
        &mut self,
        queue_id: &str,
        class: u32,
        address: &mut BString,
    ) -> Result<bool, MapProblem> {
        self.map_address(
            queue_id,
            class,
            Map::RecipientCanonical,
            self.settings.recipient_canonical_classes,
            address,
        )
    }

    fn map_address(
        &mut self,
        queue_id: &str,
        class: u32,
        own_map: Map,
        own_classes: u32,
        address: &mut BString,
    ) -> Result<bool, MapProblem> {
        let mut changed = false;
        if own_classes & class != 0 {
            changed |= self.canonical(queue_id, own_map, address)?;
        }
        if self.settings.canonical_classes & class != 0 {
            changed |= self.canonical(queue_id, Map::Canonical, address)?;
        }
        if self.settings.masquerade_classes & class != 0 {
            changed |= self.masquerade(address)?;
        }
        Ok(changed)
    }

    /// Cuts the domain to the first entry of `masquerade_domains` that is the domain or a parent.
    fn masquerade(&mut self, address: &mut BString) -> Result<bool, MapProblem> {
        if self.settings.masquerade_domains.is_empty() {
            return Ok(false);
        }
        let (local, Some(domain)) = split(BStr::new(address.as_slice())) else {
            return Ok(false);
        };
        let problem = |_| MapProblem {
            title: MASQUERADE_EXCEPTIONS,
            address: None,
        };
        if self
            .tables
            .masquerade_exceptions
            .matches(local)
            .map_err(problem)?
        {
            return Ok(false);
        }
        for entry in &self.settings.masquerade_domains {
            if eq_ignore_case(domain, &entry.domain) {
                return Ok(false);
            }
            let Some(cut) = domain.len().checked_sub(entry.domain.len() + 1) else {
                continue;
            };
            let (sub, parent) = domain.split_at(cut);
            let is_parent = parent.first() == Some(&b'.')
                && parent
                    .get(1..)
                    .is_some_and(|parent| eq_ignore_case(parent, &entry.domain));
            if !is_parent || sub.is_empty() {
                continue;
            }
            if entry.keep {
                return Ok(false);
            }
            let mut masked = BString::from(local);
            masked.push(b'@');
            masked.extend_from_slice(&entry.domain);
            *address = masked;
            return Ok(true);
        }
        Ok(false)
    }

    /// Expands an address through `virtual_alias_maps`, recursively.
    pub(crate) fn expand(&mut self, address: &BStr) -> Result<Vec<BString>, ExpandError> {
        let title = Map::VirtualAlias.title();
        let mut results = vec![address.to_owned()];
        // Names that expanded to themselves and others are final wherever they come up again.
        let mut finished: HashSet<BString> = HashSet::new();
        let mut index = 0;
        while index < results.len() {
            let mut depth = 0;
            loop {
                if results.len() > self.settings.virtual_expansion_limit {
                    return Err(ExpandError::Size {
                        title,
                        address: address.to_owned(),
                    });
                }
                if depth >= self.settings.virtual_recursion_limit {
                    return Err(ExpandError::Nesting {
                        title,
                        address: address.to_owned(),
                    });
                }
                depth += 1;
                let Some(current) = results.get(index).cloned() else {
                    break;
                };
                if finished.contains(&fold_case(current.as_bstr())) {
                    break;
                }
                let propagate = self.settings.propagate_virtual;
                let found = self
                    .tables
                    .lookup(Map::VirtualAlias, current.as_bstr(), propagate)
                    // The recipient is named, whatever it became before.
                    .map_err(|_| MapProblem::new(Map::VirtualAlias, address))?;
                let Some(found) = found else {
                    break;
                };
                self.check_length(title, &found)?;
                if found.iter().any(|result| eq_ignore_case(result, &current)) {
                    finished.insert(fold_case(current.as_bstr()));
                }
                let alone = found.len() == 1;
                let mut found = found.into_iter();
                if let (Some(first), Some(slot)) = (found.next(), results.get_mut(index)) {
                    let fixed = alone && eq_ignore_case(&first, &current);
                    *slot = first;
                    results.extend(found);
                    if fixed {
                        break;
                    }
                }
            }
            index += 1;
        }
        Ok(results)
    }

    fn check_length(&self, title: &'static str, found: &[BString]) -> Result<(), ExpandError> {
        let limit = self.settings.virtual_address_limit;
        match found.iter().find(|result| result.len() > limit) {
            Some(long) => Err(ExpandError::Length {
                title,
                shown: BString::from(long.get(..SHOWN_RESULT.min(long.len())).unwrap_or_default()),
            }),
            None => Ok(()),
        }
    }
}

/// Whether any mapping of `class` is configured at all.
pub(crate) fn has_mappings(cleanup: &Cleanup, class: u32, sender: bool) -> bool {
    let (own, own_classes) = if sender {
        (
            &cleanup.tables.sender_canonical,
            cleanup.settings.sender_canonical_classes,
        )
    } else {
        (
            &cleanup.tables.recipient_canonical,
            cleanup.settings.recipient_canonical_classes,
        )
    };
    debug_assert!(class <= class::HEADER_RECIPIENT);
    (own_classes & class != 0 && !own.is_empty())
        || (cleanup.settings.canonical_classes & class != 0 && !cleanup.tables.canonical.is_empty())
        || (cleanup.settings.masquerade_classes & class != 0
            && !cleanup.settings.masquerade_domains.is_empty())
}
