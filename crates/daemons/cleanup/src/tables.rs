//! The tables that cleanup opens, before it enters a jail.

use bstr::BStr;
use postern_config::{Config, Param, params};
use postern_dict::search::Extensions;
use postern_dict::{Flags, LookupError, Maps, MatchKind, MatchList};
use postern_mail::address::{eq_ignore_case, literal};
use postern_mail::host::{HostaddrError, valid_ipv4, valid_ipv6};
use postern_rewrite::{LocalDomains, Rewriter};

/// Open tables, and what address searches need besides.
pub(crate) struct Tables {
    pub(crate) sender_canonical: Maps,
    pub(crate) recipient_canonical: Maps,
    pub(crate) canonical: Maps,
    pub(crate) virtual_alias: Maps,
    pub(crate) sender_bcc: Maps,
    pub(crate) recipient_bcc: Maps,
    pub(crate) header_checks: Maps,
    pub(crate) mime_header_checks: Maps,
    pub(crate) nested_header_checks: Maps,
    pub(crate) body_checks: Maps,
    pub(crate) masquerade_exceptions: MatchList,
    pub(crate) extensions: Extensions,
    pub(crate) rewriter: Rewriter,
    pub(crate) here: Here,
}

/// Decides which domains are local for table searches.
pub(crate) struct Here {
    domains: LocalDomains,
}

impl Here {
    /// `$myorigin`, or mydestination and own addresses.
    pub(crate) fn is_local(&mut self, domain: &BStr) -> Result<bool, LookupError> {
        if let Some(Err(error)) = literal(domain).map(valid_literal) {
            log::warn!("{error}");
        }
        self.domains.has_bare_names(domain)
    }
}

/// RFC 5321 §4.1.3: IPv4, or IPv6 after `IPv6:`.
fn valid_literal(inner: &BStr) -> Result<(), HostaddrError> {
    match inner.split_at_checked(5) {
        Some((prefix, address)) if eq_ignore_case(prefix, b"IPv6:") => {
            valid_ipv6(BStr::new(address))
        }
        _ => valid_ipv4(inner),
    }
}

impl Tables {
    pub(crate) fn open(config: &Config) -> Self {
        let address = |param: Param<String>| {
            Maps::open(config, param.info.name, &config.get(param), Flags::ADDRESS)
        };
        let checks = |param: Param<String>| {
            Maps::open(config, param.info.name, &config.get(param), Flags::LOCK)
        };
        Self {
            sender_canonical: address(params::SENDER_CANONICAL_MAPS),
            recipient_canonical: address(params::RECIPIENT_CANONICAL_MAPS),
            canonical: address(params::CANONICAL_MAPS),
            virtual_alias: address(params::VIRTUAL_ALIAS_MAPS),
            sender_bcc: address(params::SENDER_BCC_MAPS),
            recipient_bcc: address(params::RECIPIENT_BCC_MAPS),
            header_checks: checks(params::HEADER_CHECKS),
            mime_header_checks: checks(params::MIME_HEADER_CHECKS),
            nested_header_checks: checks(params::NESTED_HEADER_CHECKS),
            body_checks: checks(params::BODY_CHECKS),
            masquerade_exceptions: MatchList::open(
                config,
                params::MASQUERADE_EXCEPTIONS.info.name,
                &config.get(params::MASQUERADE_EXCEPTIONS),
                MatchKind::Text,
            ),
            extensions: Extensions::from_config(config),
            rewriter: Rewriter::of_service(config),
            here: Here {
                domains: LocalDomains::new(config),
            },
        }
    }

    /// Whether any header or body checks are configured.
    pub(crate) fn has_header_checks(&self) -> bool {
        !(self.header_checks.is_empty()
            && self.mime_header_checks.is_empty()
            && self.nested_header_checks.is_empty())
    }
}
