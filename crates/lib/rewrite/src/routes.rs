//! From an address class to transport and next hop: the `*_transport` parameters, `relayhost`,
//! `transport_maps`, `relocated_maps`.

use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, Param, params};
use postern_dict::search::{Extensions, Form, find_address, find_domain};
use postern_dict::{Flags, Lookup, LookupError, Maps, parent_domain_matches};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address::{quote, split, strip_extension};

use crate::domains::{Class, LocalDomains};
use crate::resolver::{Purpose, Resolved};

/// How long the answer for the key `*` holds.
const WILDCARD_TTL: Duration = Duration::from_secs(30);
/// Flags of the tables that choose transports and next hops.
const ROUTE_FLAGS: Flags = Flags::ADDRESS.with(Flags::NO_REGSUB);

/// A parameter of the form `transport:nexthop`.
struct Route {
    name: &'static str,
    value: BString,
}

/// Tables searched with the sender.
struct SenderMaps {
    name: &'static str,
    maps: Maps,
    /// Key for the null sender.
    null_key: BString,
}

/// `transport_maps`, with the answer for `*`.
struct TransportMaps {
    name: &'static str,
    maps: Maps,
    /// Parents are looked up as `parent`, not `.parent`: `parent_domain_matches_subdomains` says so.
    plain_parents: Result<bool, LookupError>,
    wildcard: Lookup,
    wildcard_until: Instant,
}

/// Everything that routes mail for one purpose.
pub(crate) struct Routes {
    main_cf: String,
    local: Route,
    virtual_mailbox: Route,
    relay: Route,
    default: Route,
    relayhost: BString,
    sender_relayhost: SenderMaps,
    sender_default: SenderMaps,
    transport_maps: TransportMaps,
    relocated: Maps,
    relocated_prefix: bool,
    names_alias_table: bool,
    extensions: Extensions,
}

impl Routes {
    pub(crate) fn new(config: &Config, purpose: Purpose) -> Self {
        let pick = |mail: Param<String>, probe: Param<String>| match purpose {
            Purpose::Delivery => mail,
            Purpose::Probe => probe,
        };
        let route = |mail, probe| Route::new(config, pick(mail, probe));
        let relayhost = pick(params::RELAYHOST, params::ADDRESS_VERIFY_RELAYHOST);
        Self {
            main_cf: config.main_cf(),
            local: route(
                params::LOCAL_TRANSPORT,
                params::ADDRESS_VERIFY_LOCAL_TRANSPORT,
            ),
            virtual_mailbox: route(
                params::VIRTUAL_TRANSPORT,
                params::ADDRESS_VERIFY_VIRTUAL_TRANSPORT,
            ),
            relay: route(
                params::RELAY_TRANSPORT,
                params::ADDRESS_VERIFY_RELAY_TRANSPORT,
            ),
            default: route(
                params::DEFAULT_TRANSPORT,
                params::ADDRESS_VERIFY_DEFAULT_TRANSPORT,
            ),
            relayhost: BString::from(config.get(relayhost)),
            sender_relayhost: SenderMaps::open(
                config,
                pick(
                    params::SENDER_DEPENDENT_RELAYHOST_MAPS,
                    params::ADDRESS_VERIFY_SENDER_DEPENDENT_RELAYHOST_MAPS,
                ),
                params::EMPTY_ADDRESS_RELAYHOST_MAPS_LOOKUP_KEY,
            ),
            sender_default: SenderMaps::open(
                config,
                pick(
                    params::SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
                    params::ADDRESS_VERIFY_SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
                ),
                params::EMPTY_ADDRESS_DEFAULT_TRANSPORT_MAPS_LOOKUP_KEY,
            ),
            transport_maps: TransportMaps::open(
                config,
                pick(
                    params::TRANSPORT_MAPS,
                    params::ADDRESS_VERIFY_TRANSPORT_MAPS,
                ),
            ),
            relocated: Maps::open(
                config,
                "relocated_maps",
                &config.get(params::RELOCATED_MAPS),
                Flags::ADDRESS,
            ),
            relocated_prefix: config.get(params::RELOCATED_PREFIX_ENABLE),
            names_alias_table: config.get(params::SHOW_USER_UNKNOWN_TABLE_NAME),
            extensions: Extensions::from_config(config),
        }
    }

    /// Sets transport, next hop and the class bit of `answer`.
    ///
    /// # Errors
    ///
    /// When a table cannot be read; `answer` then holds what was known up to there.
    pub(crate) fn apply(
        &mut self,
        class: Class,
        sender: &BStr,
        domain: &BStr,
        answer: &mut Resolved,
        local_domains: &mut LocalDomains,
    ) -> Result<(), RouteError> {
        self.by_class(class, sender, domain, answer, local_domains)?;
        if class != Class::VirtualAlias {
            self.by_recipient(domain, answer)?;
        }
        self.by_relocation(answer, local_domains)
    }

    fn by_class(
        &mut self,
        class: Class,
        sender: &BStr,
        domain: &BStr,
        answer: &mut Resolved,
        local_domains: &mut LocalDomains,
    ) -> Result<(), RouteError> {
        let sender_default = match class {
            Class::Default => self
                .sender_default
                .find(sender, &self.extensions, local_domains)?,
            _ => None,
        };
        answer.flags |= class_flag(class);
        let (name, route) = match (class, &sender_default) {
            (Class::VirtualAlias, _) => {
                answer.transport = BString::from("error");
                let table = if self.names_alias_table {
                    " in virtual alias table"
                } else {
                    ""
                };
                answer.nexthop = BString::from(format!("5.1.1 User unknown{table}"));
                return Ok(());
            }
            (Class::Local, _) => (self.local.name, &self.local.value),
            (Class::VirtualMailbox, _) => (self.virtual_mailbox.name, &self.virtual_mailbox.value),
            (Class::Relay, _) => (self.relay.name, &self.relay.value),
            (Class::Default, Some(value)) => (self.sender_default.name, value),
            (Class::Default, None) => (self.default.name, &self.default.value),
        };
        // Should the next lookup fail, Postfix answers with the value as it is.
        answer.transport = route.clone();
        let relayhost = match class {
            Class::Relay | Class::Default => self
                .sender_relayhost
                .find(sender, &self.extensions, local_domains)?
                .unwrap_or_else(|| self.relayhost.clone()),
            _ => BString::default(),
        };
        let (transport, destination) = split_route(route.as_ref());
        answer.transport = transport.to_owned();
        answer.nexthop = match destination {
            Some(destination) => destination.to_owned(),
            None if !relayhost.is_empty() => relayhost,
            None => domain.to_owned(),
        };
        if transport.is_empty() {
            log::warn!(
                "file {}: parameter {name}: null transport is not allowed",
                self.main_cf
            );
            return Err(RouteError);
        }
        Ok(())
    }

    /// `transport_maps`.
    fn by_recipient(&mut self, domain: &BStr, answer: &mut Resolved) -> Result<(), RouteError> {
        let Some(value) = self
            .transport_maps
            .find(answer.recipient.as_ref(), &self.extensions)?
        else {
            return Ok(());
        };
        let (transport, destination) = split_route(value.as_ref());
        if !transport.is_empty() {
            answer.transport = transport.to_owned();
            answer.nexthop = match transport.as_bytes() {
                b"error" | b"retry" => BString::from("Address is undeliverable"),
                _ => domain.to_owned(),
            };
        }
        if let Some(destination) = destination {
            answer.nexthop = destination.to_owned();
        }
        Ok(())
    }

    fn by_relocation(
        &mut self,
        answer: &mut Resolved,
        local_domains: &mut LocalDomains,
    ) -> Result<(), RouteError> {
        let recipient = answer.recipient.as_ref();
        let found = find_by_address(
            &mut self.relocated,
            recipient,
            &self.extensions,
            local_domains,
        )
        .map_err(|error| lookup_failed("relocated_maps", &error))?;
        let Some(place) = found else {
            return Ok(());
        };
        answer.transport = BString::from("error");
        answer.nexthop = if self.relocated_prefix {
            [b"5.1.6 User has moved to ", &place[..]].concat().into()
        } else if has_dsn(place.as_ref()) {
            place
        } else {
            log::warn!("relocated_maps result must contain RFC 3463 status and text: '{place}'");
            BString::from("5.2.0 Mailbox is unavailable")
        };
        Ok(())
    }
}

/// A table could not be read, or says nothing usable; it was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteError;

impl From<LookupError> for RouteError {
    fn from(_: LookupError) -> Self {
        Self
    }
}

impl Route {
    fn new(config: &Config, param: Param<String>) -> Self {
        Self {
            name: param.info.name,
            value: BString::from(config.get(param)),
        }
    }
}

impl SenderMaps {
    fn open(config: &Config, param: Param<String>, null_key: Param<String>) -> Self {
        let name = param.info.name;
        Self {
            name,
            maps: Maps::open(config, name, &config.get(param), ROUTE_FLAGS),
            null_key: BString::from(config.get(null_key)),
        }
    }

    fn find(
        &mut self,
        sender: &BStr,
        extensions: &Extensions,
        local_domains: &mut LocalDomains,
    ) -> Result<Option<BString>, RouteError> {
        let key = if sender.is_empty() {
            self.null_key.as_ref()
        } else {
            sender
        };
        let found = find_by_address(&mut self.maps, key, extensions, local_domains)
            .map_err(|error| lookup_failed(self.name, &error))?;
        Ok(found.filter(|value| !value.eq_ignore_ascii_case(b"DUNNO")))
    }
}

impl TransportMaps {
    fn open(config: &Config, param: Param<String>) -> Self {
        let name = param.info.name;
        let mut tables = Self {
            name,
            maps: Maps::open(config, name, &config.get(param), ROUTE_FLAGS),
            plain_parents: parent_domain_matches(config, "transport_maps"),
            wildcard: Ok(None),
            wildcard_until: Instant::now(),
        };
        tables.refresh_wildcard();
        tables
    }

    fn refresh_wildcard(&mut self) {
        self.wildcard = self.maps.find(BStr::new("*"), false);
        self.wildcard_until = Instant::now() + WILDCARD_TTL;
    }

    fn find(
        &mut self,
        recipient: &BStr,
        extensions: &Extensions,
    ) -> Result<Option<BString>, RouteError> {
        if self.maps.is_empty() {
            return Ok(None);
        }
        let name = self.name;
        self.search(recipient, extensions)
            .map_err(|error| lookup_failed(name, &error))
    }

    fn search(&mut self, recipient: &BStr, extensions: &Extensions) -> Lookup {
        // Other than most tables, this one is asked for the quoted form only.
        if let Some(value) = self.maps.find(quote(recipient).as_ref(), false)? {
            return Ok(Some(value));
        }
        let (delimiters, special) = (&extensions.delimiters, extensions.owner_request_special);
        if let Some((bare, _)) = strip_extension(recipient, delimiters, special)
            && let Some(value) = self.maps.find(quote(bare.as_ref()).as_ref(), true)?
        {
            return Ok(Some(value));
        }
        if let Some(domain) = split(recipient).1
            && let Some(value) =
                find_domain(&mut self.maps, domain, self.plain_parents.clone()?, true)?
        {
            return Ok(Some(value));
        }
        if Instant::now() >= self.wildcard_until {
            self.refresh_wildcard();
        }
        self.wildcard.clone()
    }
}

/// The default search for an address in internal form.
fn find_by_address(
    maps: &mut Maps,
    address: &BStr,
    extensions: &Extensions,
    local_domains: &mut LocalDomains,
) -> Lookup {
    if maps.is_empty() {
        return Ok(None);
    }
    let is_local = &mut |domain: &BStr| local_domains.has_bare_names(domain);
    let found = find_address(maps, address, Form::External, extensions, is_local)?;
    Ok(found.map(|found| found.value))
}

/// Splits `transport:nexthop`; no or an empty next hop is `None`.
fn split_route(value: &BStr) -> (&BStr, Option<&BStr>) {
    match value.find_byte(b':') {
        Some(colon) => {
            let nexthop = value[colon + 1..].as_bstr();
            (
                value[..colon].as_bstr(),
                (!nexthop.is_empty()).then_some(nexthop),
            )
        }
        None => (value, None),
    }
}

/// Whether `text` is an enhanced status code and something after it.
fn has_dsn(text: &BStr) -> bool {
    let Some((code, rest)) = text.split_once_str(b" ") else {
        return false;
    };
    let mut parts = code.split(|&byte| byte == b'.');
    let class = parts
        .next()
        .is_some_and(|class| matches!(class, b"2" | b"4" | b"5"));
    let mut number = || {
        parts
            .next()
            .is_some_and(|n| (1..=3).contains(&n.len()) && n.iter().all(u8::is_ascii_digit))
    };
    class && number() && number() && parts.next().is_none() && !rest.trim_ascii().is_empty()
}

fn class_flag(class: Class) -> i32 {
    match class {
        Class::Local => resolve_flag::CLASS_LOCAL,
        Class::VirtualAlias => resolve_flag::CLASS_ALIAS,
        Class::VirtualMailbox => resolve_flag::CLASS_VIRTUAL,
        Class::Relay => resolve_flag::CLASS_RELAY,
        Class::Default => resolve_flag::CLASS_DEFAULT,
    }
}

/// The tables said why; this line says for what.
fn lookup_failed(name: &str, _error: &LookupError) -> RouteError {
    log::warn!("{name} lookup failure");
    RouteError
}
