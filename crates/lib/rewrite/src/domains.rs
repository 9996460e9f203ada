//! Which class a domain belongs to: local, virtual alias, virtual mailbox, relay, or none of them.

use std::net::IpAddr;

use bstr::{BStr, ByteSlice};
use postern_config::{Config, own_addresses, params};
use postern_dict::{LookupError, MatchKind, MatchList};

/// Address classes, ADDRESS_CLASS_README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Local,
    VirtualAlias,
    VirtualMailbox,
    Relay,
    Default,
}

/// The domains that are local: `mydestination`, and own or proxy addresses as literals.
pub struct LocalDomains {
    mydestination: MatchList,
    addresses: Vec<IpAddr>,
    myorigin: String,
}

impl LocalDomains {
    /// Reads `mydestination`, `inet_interfaces` and `proxy_interfaces`; opens tables.
    pub fn new(config: &Config) -> Self {
        let mut addresses: Vec<IpAddr> = match own_addresses(config) {
            Ok(own) => own.into_iter().map(|own| own.address).collect(),
            Err(error) => {
                log::warn!("{error}");
                Vec::new()
            }
        };
        let proxies = config.get(params::PROXY_INTERFACES);
        addresses.extend(postern_config::words::words(&proxies).filter_map(parse_address));
        Self {
            mydestination: MatchList::open(
                config,
                "mydestination",
                &config.get(params::MYDESTINATION),
                MatchKind::Text,
            ),
            addresses,
            myorigin: config.get(params::MYORIGIN),
        }
    }

    /// Whether mail for `domain` is local.
    ///
    /// # Errors
    ///
    /// When a table of `mydestination` cannot be read.
    pub fn matches(&mut self, domain: &BStr) -> Result<bool, LookupError> {
        Ok(self.mydestination.matches(domain)? || self.is_own_address(domain))
    }

    /// Whether tables are asked for the bare user name of addresses in `domain`: it is local, or
    /// `myorigin`.
    ///
    /// # Errors
    ///
    /// As [`LocalDomains::matches`].
    pub fn has_bare_names(&mut self, domain: &BStr) -> Result<bool, LookupError> {
        Ok(domain.eq_ignore_ascii_case(self.myorigin.as_bytes()) || self.matches(domain)?)
    }

    fn is_own_address(&self, domain: &BStr) -> bool {
        let address = domain
            .to_str()
            .ok()
            .filter(|text| text.starts_with('['))
            .and_then(parse_address);
        address.is_some_and(|address| self.addresses.contains(&address))
    }
}

/// An address in the form of main.cf or of a domain literal.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let bare = match bare.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("ipv6:") => &bare[5..],
        _ => bare,
    };
    bare.parse().ok()
}

/// The lists that decide about classes.
pub(crate) struct Domains {
    local: LocalDomains,
    virtual_alias: MatchList,
    virtual_mailbox: MatchList,
    relay: MatchList,
    helpful_warnings: bool,
}

impl Domains {
    pub(crate) fn new(config: &Config) -> Self {
        let list = |name, value: String, kind| MatchList::open(config, name, &value, kind);
        Self {
            local: LocalDomains::new(config),
            virtual_alias: list(
                "virtual_alias_domains",
                config.get(params::VIRTUAL_ALIAS_DOMAINS),
                MatchKind::Text,
            ),
            virtual_mailbox: list(
                "virtual_mailbox_domains",
                config.get(params::VIRTUAL_MAILBOX_DOMAINS),
                MatchKind::Text,
            ),
            relay: list(
                "relay_domains",
                config.get(params::RELAY_DOMAINS),
                MatchKind::Domain,
            ),
            helpful_warnings: config.get(params::HELPFUL_WARNINGS),
        }
    }

    pub(crate) fn local(&mut self) -> &mut LocalDomains {
        &mut self.local
    }

    /// The class of `domain`, of which is known whether it is local.
    pub(crate) fn class(&mut self, domain: &BStr, local: bool) -> Result<Class, LookupError> {
        if local {
            warn_both(
                self.helpful_warnings,
                domain,
                "mydestination",
                &mut [&mut self.virtual_alias, &mut self.virtual_mailbox],
            );
            return Ok(Class::Local);
        }
        if matches(&mut self.virtual_alias, domain)? {
            warn_both(
                self.helpful_warnings,
                domain,
                "virtual_alias_domains",
                &mut [&mut self.virtual_mailbox, &mut self.relay],
            );
            return Ok(Class::VirtualAlias);
        }
        if matches(&mut self.virtual_mailbox, domain)? {
            warn_both(
                self.helpful_warnings,
                domain,
                "virtual_mailbox_domains",
                &mut [&mut self.relay],
            );
            return Ok(Class::VirtualMailbox);
        }
        if matches(&mut self.relay, domain)? {
            return Ok(Class::Relay);
        }
        Ok(Class::Default)
    }
}

fn matches(list: &mut MatchList, domain: &BStr) -> Result<bool, LookupError> {
    list.matches(domain)
        .inspect_err(|_| log::warn!("{} lookup failure", list.title()))
}

/// Warns about a domain that another class has, too. A list that cannot be read says nothing here.
fn warn_both(enabled: bool, domain: &BStr, first: &str, others: &mut [&mut MatchList]) {
    if !enabled {
        return;
    }
    for other in others {
        if other.matches(domain).unwrap_or(false) {
            log::warn!(
                "do not list domain {domain} in BOTH {first} and {}",
                other.title()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_know_bare_names_of_local_domains_and_of_myorigin() {
        let config = Config::from_text(
            "myhostname = mx.d.example\nmyorigin = o.example\nmydestination = d.example\n\
             inet_interfaces = 127.0.0.1\nproxy_interfaces = 192.0.2.9\n",
        )
        .unwrap();
        let mut domains = LocalDomains::new(&config);
        for (domain, local, bare) in [
            ("D.example", true, true),
            ("O.example", false, true),
            ("x.o.example", false, false),
            ("[127.0.0.1]", true, true),
            ("[192.0.2.9]", true, true),
            ("[192.0.2.8]", false, false),
        ] {
            assert_eq!(domains.matches(domain.into()), Ok(local), "{domain}");
            assert_eq!(domains.has_bare_names(domain.into()), Ok(bare), "{domain}");
        }
    }
}
