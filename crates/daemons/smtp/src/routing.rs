//! The parameters about destinations, addresses and connections.

use std::net::IpAddr;

use postern_config::{Config, ConfigError, own_addresses, params, words};
use postern_dns::Families;

use crate::nexthop::parse_known_ports;
use crate::role::Role;
use crate::settings::{pick, size};

/// `smtp_dns_support_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsSupport {
    /// Native lookups only.
    Disabled,
    /// Without validation.
    Enabled,
    /// With validation.
    Dnssec,
}

/// Which family goes first among addresses of equal preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyPreference {
    /// As they come.
    Any,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Everything about destinations and addresses.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named as the parameters are")]
pub struct Routing {
    pub families: Families,
    pub dns: DnsSupport,
    pub lookup_dns: bool,
    pub lookup_native: bool,
    pub resolver_search: bool,
    pub resolver_default_names: bool,
    pub ignore_mx_lookup_error: bool,
    pub defer_if_no_mx_address: bool,
    pub use_srv_lookup: Vec<String>,
    pub ignore_srv_lookup_error: bool,
    pub allow_srv_fallback: bool,
    pub cname_overrides: bool,
    pub randomize: bool,
    pub balance: bool,
    pub preference: FamilyPreference,
    pub address_limit: usize,
    pub session_limit: usize,
    pub default_port: String,
    pub known_ports: Vec<(String, String)>,
    pub fallback_relay: String,
    pub relayhost: String,
    pub best_mx_transport: String,
    /// inet_interfaces and proxy_interfaces.
    pub own: Vec<IpAddr>,
    pub bind_v4: Option<IpAddr>,
    pub bind_v6: Option<IpAddr>,
    pub bind_enforce: bool,
}

impl Routing {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// A value that makes no sense; the process ends with it.
    pub fn new(config: &Config, role: Role) -> Result<Self, ConfigError> {
        let own = own_addresses(config)?;
        let mut own: Vec<IpAddr> = own.iter().map(|interface| interface.address).collect();
        let bind = BindAddresses::new(config, role, &own)?;
        for text in words::words(&config.get(params::PROXY_INTERFACES)) {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            match bare.parse() {
                Ok(address) => own.push(address),
                Err(_) => own.extend(
                    postern_dns::Resolver::system()
                        .host(bare, Families::All)
                        .unwrap_or_default(),
                ),
            }
        }
        let lookup = pick!(config, role, SMTP_HOST_LOOKUP, LMTP_HOST_LOOKUP);
        let has = |word: &str| words::words(&lookup).any(|known| known.eq_ignore_ascii_case(word));
        let options = pick!(
            config,
            role,
            SMTP_DNS_RESOLVER_OPTIONS,
            LMTP_DNS_RESOLVER_OPTIONS
        );
        let option =
            |word: &str| words::words(&options).any(|known| known.eq_ignore_ascii_case(word));
        let dns = dns_support(config, role)?;
        let is_smtp = role == Role::Smtp;
        Ok(Self {
            families: families(&config.get(params::INET_PROTOCOLS)),
            dns,
            lookup_dns: has("dns") && dns != DnsSupport::Disabled,
            lookup_native: has("native") || dns == DnsSupport::Disabled,
            resolver_search: option("res_dnsrch"),
            resolver_default_names: option("res_defnames"),
            ignore_mx_lookup_error: is_smtp && config.get(params::IGNORE_MX_LOOKUP_ERROR),
            defer_if_no_mx_address: pick!(
                config,
                role,
                SMTP_DEFER_IF_NO_MX_ADDRESS_FOUND,
                LMTP_DEFER_IF_NO_MX_ADDRESS_FOUND
            ),
            use_srv_lookup: words::words(&config.get(params::USE_SRV_LOOKUP))
                .map(str::to_owned)
                .collect(),
            ignore_srv_lookup_error: config.get(params::IGNORE_SRV_LOOKUP_ERROR),
            allow_srv_fallback: config.get(params::ALLOW_SRV_LOOKUP_FALLBACK),
            cname_overrides: pick!(
                config,
                role,
                SMTP_CNAME_OVERRIDES_SERVERNAME,
                LMTP_CNAME_OVERRIDES_SERVERNAME
            ),
            randomize: pick!(
                config,
                role,
                SMTP_RANDOMIZE_ADDRESSES,
                LMTP_RANDOMIZE_ADDRESSES
            ),
            balance: pick!(
                config,
                role,
                SMTP_BALANCE_INET_PROTOCOLS,
                LMTP_BALANCE_INET_PROTOCOLS
            ),
            preference: preference(config, role)?,
            address_limit: size(pick!(
                config,
                role,
                SMTP_MX_ADDRESS_LIMIT,
                LMTP_MX_ADDRESS_LIMIT
            )),
            session_limit: size(pick!(
                config,
                role,
                SMTP_MX_SESSION_LIMIT,
                LMTP_MX_SESSION_LIMIT
            )),
            default_port: pick!(config, role, SMTP_TCP_PORT, LMTP_TCP_PORT),
            known_ports: parse_known_ports(&config.get(params::KNOWN_TCP_PORTS)),
            fallback_relay: pick!(config, role, SMTP_FALLBACK_RELAY, LMTP_FALLBACK_RELAY),
            relayhost: config.get(params::RELAYHOST),
            best_mx_transport: config.get(params::BEST_MX_TRANSPORT),
            own,
            bind_v4: bind.v4,
            bind_v6: bind.v6,
            bind_enforce: bind.enforce,
        })
    }
}

/// Local addresses of connections.
struct BindAddresses {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    enforce: bool,
}

impl BindAddresses {
    fn new(config: &Config, role: Role, own: &[IpAddr]) -> Result<Self, ConfigError> {
        let explicit = |text: String, name: &str, v4: bool| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            if bare.is_empty() {
                return Ok(None);
            }
            match bare.parse::<IpAddr>() {
                Ok(address) if address.is_ipv4() == v4 => Ok(Some(address)),
                _ => Err(ConfigError::Text(format!("bad {name} parameter: {text}"))),
            }
        };
        let (name4, name6) = match role {
            Role::Smtp => (
                params::SMTP_BIND_ADDRESS.info.name,
                params::SMTP_BIND_ADDRESS6.info.name,
            ),
            Role::Lmtp => (
                params::LMTP_BIND_ADDRESS.info.name,
                params::LMTP_BIND_ADDRESS6.info.name,
            ),
        };
        let mut v4 = explicit(
            pick!(config, role, SMTP_BIND_ADDRESS, LMTP_BIND_ADDRESS),
            name4,
            true,
        )?;
        let mut v6 = explicit(
            pick!(config, role, SMTP_BIND_ADDRESS6, LMTP_BIND_ADDRESS6),
            name6,
            false,
        )?;
        // A host with one single address speaks from that address.
        if let [only] = own
            && !only.is_loopback()
        {
            if only.is_ipv4() {
                v4 = v4.or(Some(*only));
            } else {
                v6 = v6.or(Some(*only));
            }
        }
        let enforce = pick!(
            config,
            role,
            SMTP_BIND_ADDRESS_ENFORCE,
            LMTP_BIND_ADDRESS_ENFORCE
        );
        Ok(Self { v4, v6, enforce })
    }
}

fn families(text: &str) -> Families {
    let has = |word: &str| words::words(text).any(|known| known.eq_ignore_ascii_case(word));
    match (has("ipv4") || has("all"), has("ipv6") || has("all")) {
        (true, false) => Families::Ipv4,
        (false, true) => Families::Ipv6,
        _ => Families::All,
    }
}

fn dns_support(config: &Config, role: Role) -> Result<DnsSupport, ConfigError> {
    let text = pick!(config, role, SMTP_DNS_SUPPORT_LEVEL, LMTP_DNS_SUPPORT_LEVEL);
    match text.to_ascii_lowercase().as_str() {
        "" if config.get(params::DISABLE_DNS_LOOKUPS) => Ok(DnsSupport::Disabled),
        "" | "enabled" => Ok(DnsSupport::Enabled),
        "disabled" => Ok(DnsSupport::Disabled),
        "dnssec" => Ok(DnsSupport::Dnssec),
        _ => Err(ConfigError::Text(format!(
            "invalid {}_dns_support_level: \"{text}\"",
            role.name()
        ))),
    }
}

fn preference(config: &Config, role: Role) -> Result<FamilyPreference, ConfigError> {
    let text = pick!(
        config,
        role,
        SMTP_ADDRESS_PREFERENCE,
        LMTP_ADDRESS_PREFERENCE
    );
    match text.to_ascii_lowercase().as_str() {
        "any" => Ok(FamilyPreference::Any),
        "ipv4" => Ok(FamilyPreference::Ipv4),
        "ipv6" => Ok(FamilyPreference::Ipv6),
        _ => Err(ConfigError::Text(format!(
            "bad {}_address_preference value: {text}",
            role.name()
        ))),
    }
}
