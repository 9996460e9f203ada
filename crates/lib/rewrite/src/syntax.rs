//! Whether the domain of a resolved address can be used at all.

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use postern_mail::host::{
    HostaddrError, valid_hostaddr, valid_hostname, valid_ipv4, valid_ipv6, valid_utf8_hostname,
};

/// What main.cf allows in domains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DomainSyntax {
    utf8: bool,
    numeric: bool,
}

/// The address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAddress;

impl DomainSyntax {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            utf8: config.get(params::SMTPUTF8_ENABLE),
            numeric: config.get(params::RESOLVE_NUMERIC_DOMAIN),
        }
    }

    /// Checks the domain of `recipient`. `Some` is the literal that takes the place of a bare
    /// numerical address.
    pub(crate) fn check(
        self,
        recipient: &BStr,
        domain: &BStr,
    ) -> Result<Option<BString>, BadAddress> {
        if self.utf8 && recipient.to_str().is_err() {
            return Err(BadAddress);
        }
        if let Some(inner) = postern_mail::address::literal(domain) {
            return match valid_literal(inner) {
                Ok(()) => Ok(None),
                Err(error) => {
                    log::warn!("{error}");
                    Err(BadAddress)
                }
            };
        }
        let usable = if self.utf8 {
            valid_utf8_hostname(domain, true)
        } else {
            valid_hostname(domain)
        };
        if usable.is_ok() {
            return Ok(None);
        }
        if self.numeric && valid_hostaddr(domain).is_ok() {
            // IPv6 without its prefix is used nevertheless, as in Postfix.
            if let Err(error) = valid_literal(domain) {
                log::warn!("{error}");
            }
            let mut literal = BString::from("[");
            literal.extend_from_slice(domain);
            literal.push(b']');
            return Ok(Some(literal));
        }
        Err(BadAddress)
    }
}

/// RFC 5321 §4.1.3: IPv4, or IPv6 after `IPv6:`.
fn valid_literal(inner: &BStr) -> Result<(), HostaddrError> {
    match inner.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case(b"IPv6:") => valid_ipv6(inner[5..].as_bstr()),
        _ => valid_ipv4(inner),
    }
}
