//! The parameters of this program, read once: `smtp_…` or `lmtp_…` as the role has it.

use std::net::IpAddr;
use std::time::Duration;

use postern_config::{Config, ConfigError, Param, own_addresses, params, words};
use postern_dict::search::Extensions;
use postern_dict::{Flags, MatchKind, MatchList, Maps};
use postern_dns::Families;
use postern_rewrite::LocalDomains;

use crate::features::Keywords;
use crate::generic::Generic;
use crate::nexthop::parse_known_ports;
use crate::role::Role;
use crate::security::Level;

/// Time limits of the stages of a dialogue.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "named as the parameters are")]
pub struct Timeouts {
    pub connect: Duration,
    pub helo: Duration,
    pub xforward: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data_init: Duration,
    pub data_xfer: Duration,
    pub data_done: Duration,
    pub rset: Duration,
    pub quit: Duration,
}

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

/// How far an address probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTarget {
    /// The reply to RCPT decides.
    Rcpt,
    /// The reply to DATA decides.
    Data,
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

/// The parameters.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named as the parameters are")]
pub struct Settings {
    pub role: Role,
    /// Name in master.cf.
    pub service: String,
    pub routing: Routing,
    pub myhostname: String,
    pub helo_name: String,
    pub timeouts: Timeouts,
    pub per_request_deadline: bool,
    pub min_data_rate: u32,
    pub always_ehlo: bool,
    pub never_ehlo: bool,
    pub skip_5xx_greeting: bool,
    pub skip_quit_response: bool,
    pub quote_envelope: bool,
    pub send_xforward: bool,
    /// Longest line sent; 0 is no limit.
    pub line_limit: usize,
    /// Longest reply line.
    pub reply_line_limit: usize,
    pub discard: Keywords,
    pub pix_workarounds: String,
    pub pix_threshold: i64,
    pub pix_delay: Duration,
    pub cache_on_demand: bool,
    pub cache_time_limit: i32,
    pub reuse_time_limit: i64,
    pub reuse_count_limit: i32,
    pub probe_target: ProbeTarget,
    pub soft_bounce: bool,
    /// 8-bit content is converted for servers without 8BITMIME.
    pub convert_mime: bool,
    pub notify_protocol: bool,
    pub notify_data: bool,
    pub list_separator: &'static str,
    pub smtputf8_try_all: bool,
    pub checks_log_limit: usize,
    pub tls_level: Level,
    pub tls_wrapper: bool,
    pub sasl_enable: bool,
    pub sender_dependent_auth: bool,
}

/// The tables.
pub struct Tables {
    /// `smtp_reply_filter`.
    pub reply_filter: Maps,
    /// `smtp_discard_ehlo_keyword_address_maps`.
    pub discard_maps: Maps,
    /// `smtp_pix_workaround_maps`.
    pub pix_maps: Maps,
    /// `smtp_generic_maps`.
    pub generic: Generic,
    /// `smtp_connection_cache_destinations`.
    pub cache_destinations: MatchList,
    /// `smtp_dns_reply_filter`.
    pub dns_filter: Maps,
    /// `smtp_tls_policy_maps`.
    pub tls_policy: Maps,
    /// `smtp_sasl_password_maps`.
    pub passwords: Maps,
    /// `smtp_header_checks`.
    pub header_checks: Maps,
    /// `smtp_mime_header_checks`.
    pub mime_header_checks: Maps,
    /// `smtp_nested_header_checks`.
    pub nested_header_checks: Maps,
    /// `smtp_body_checks`.
    pub body_checks: Maps,
}

/// Picks the parameter of the role.
macro_rules! pick {
    ($config:expr, $role:expr, $smtp:ident, $lmtp:ident) => {
        match $role {
            Role::Smtp => $config.get(params::$smtp),
            Role::Lmtp => $config.get(params::$lmtp),
        }
    };
}

impl Settings {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// A value that makes no sense; the process ends with it.
    pub fn new(config: &Config, role: Role, service: &str) -> Result<Self, ConfigError> {
        let look = config.look();
        let discard = match role {
            Role::Smtp => params::SMTP_DISCARD_EHLO_KEYWORDS,
            Role::Lmtp => params::LMTP_DISCARD_LHLO_KEYWORDS,
        };
        let (discard_set, unknown) = Keywords::parse_list(config.get(discard).as_bytes().into());
        for word in unknown {
            log::warn!("unknown EHLO keyword \"{word}\" in {}", discard.info.name);
        }
        let classes = config.get(params::NOTIFY_CLASSES);
        let notifies = |class: &str| words::words(&classes).any(|word| word.eq_ignore_ascii_case(class));
        let smtp_only = |param: Param<bool>| role == Role::Smtp && config.get(param);
        Ok(Self {
            role,
            service: service.to_owned(),
            routing: Routing::new(config, role)?,
            myhostname: config.get(params::MYHOSTNAME),
            helo_name: pick!(config, role, SMTP_HELO_NAME, LMTP_LHLO_NAME),
            timeouts: Timeouts::new(config, role),
            per_request_deadline: pick!(config, role, SMTP_PER_REQUEST_DEADLINE, LMTP_PER_REQUEST_DEADLINE),
            min_data_rate: u32::try_from(pick!(config, role, SMTP_MIN_DATA_RATE, LMTP_MIN_DATA_RATE)).unwrap_or(500),
            always_ehlo: smtp_only(params::SMTP_ALWAYS_SEND_EHLO),
            never_ehlo: smtp_only(params::SMTP_NEVER_SEND_EHLO),
            skip_5xx_greeting: pick!(config, role, SMTP_SKIP_5XX_GREETING, LMTP_SKIP_5XX_GREETING),
            skip_quit_response: pick!(config, role, SMTP_SKIP_QUIT_RESPONSE, LMTP_SKIP_QUIT_RESPONSE),
            quote_envelope: pick!(config, role, SMTP_QUOTE_RFC821_ENVELOPE, LMTP_QUOTE_RFC821_ENVELOPE),
            send_xforward: pick!(config, role, SMTP_SEND_XFORWARD_COMMAND, LMTP_SEND_XFORWARD_COMMAND),
            line_limit: size(pick!(config, role, SMTP_LINE_LENGTH_LIMIT, LMTP_LINE_LENGTH_LIMIT)),
            reply_line_limit: size(config.get(params::LINE_LENGTH_LIMIT)),
            discard: discard_set,
            pix_workarounds: pick!(config, role, SMTP_PIX_WORKAROUNDS, LMTP_PIX_WORKAROUNDS),
            pix_threshold: seconds(pick!(
                config,
                role,
                SMTP_PIX_WORKAROUND_THRESHOLD_TIME,
                LMTP_PIX_WORKAROUND_THRESHOLD_TIME
            )),
            pix_delay: pick!(config, role, SMTP_PIX_WORKAROUND_DELAY_TIME, LMTP_PIX_WORKAROUND_DELAY_TIME),
            cache_on_demand: pick!(config, role, SMTP_CONNECTION_CACHE_ON_DEMAND, LMTP_CONNECTION_CACHE_ON_DEMAND),
            cache_time_limit: i32::try_from(seconds(pick!(
                config,
                role,
                SMTP_CONNECTION_CACHE_TIME_LIMIT,
                LMTP_CONNECTION_CACHE_TIME_LIMIT
            )))
            .unwrap_or(2),
            reuse_time_limit: seconds(pick!(
                config,
                role,
                SMTP_CONNECTION_REUSE_TIME_LIMIT,
                LMTP_CONNECTION_REUSE_TIME_LIMIT
            )),
            reuse_count_limit: pick!(config, role, SMTP_CONNECTION_REUSE_COUNT_LIMIT, LMTP_CONNECTION_REUSE_COUNT_LIMIT),
            probe_target: probe_target(config, role)?,
            soft_bounce: config.get(params::SOFT_BOUNCE),
            convert_mime: !config.get(params::DISABLE_MIME_OUTPUT_CONVERSION),
            notify_protocol: notifies("protocol"),
            notify_data: notifies("data"),
            list_separator: if look.log_list_comma() { ", " } else { " " },
            smtputf8_try_all: look.smtp_smtputf8_try_all(),
            checks_log_limit: look.header_checks_log_limit(),
            tls_level: tls_level(config, role)?,
            tls_wrapper: pick!(config, role, SMTP_TLS_WRAPPERMODE, LMTP_TLS_WRAPPERMODE),
            sasl_enable: pick!(config, role, SMTP_SASL_AUTH_ENABLE, LMTP_SASL_AUTH_ENABLE),
            sender_dependent_auth: pick!(
                config,
                role,
                SMTP_SENDER_DEPENDENT_AUTHENTICATION,
                LMTP_SENDER_DEPENDENT_AUTHENTICATION
            ),
        })
    }
}

impl Routing {
    fn new(config: &Config, role: Role) -> Result<Self, ConfigError> {
        let own = own_addresses(config)?;
        let mut own: Vec<IpAddr> = own.iter().map(|interface| interface.address).collect();
        let bind = BindAddresses::new(config, role, &own)?;
        for text in words::words(&config.get(params::PROXY_INTERFACES)) {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            match bare.parse() {
                Ok(address) => own.push(address),
                Err(_) => own.extend(postern_dns::Resolver::system().host(bare, Families::All).unwrap_or_default()),
            }
        }
        let lookup = pick!(config, role, SMTP_HOST_LOOKUP, LMTP_HOST_LOOKUP);
        let has = |word: &str| words::words(&lookup).any(|known| known.eq_ignore_ascii_case(word));
        let options = pick!(config, role, SMTP_DNS_RESOLVER_OPTIONS, LMTP_DNS_RESOLVER_OPTIONS);
        let option = |word: &str| words::words(&options).any(|known| known.eq_ignore_ascii_case(word));
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
            use_srv_lookup: words::words(&config.get(params::USE_SRV_LOOKUP)).map(str::to_owned).collect(),
            ignore_srv_lookup_error: config.get(params::IGNORE_SRV_LOOKUP_ERROR),
            allow_srv_fallback: config.get(params::ALLOW_SRV_LOOKUP_FALLBACK),
            cname_overrides: pick!(config, role, SMTP_CNAME_OVERRIDES_SERVERNAME, LMTP_CNAME_OVERRIDES_SERVERNAME),
            randomize: pick!(config, role, SMTP_RANDOMIZE_ADDRESSES, LMTP_RANDOMIZE_ADDRESSES),
            balance: pick!(config, role, SMTP_BALANCE_INET_PROTOCOLS, LMTP_BALANCE_INET_PROTOCOLS),
            preference: preference(config, role)?,
            address_limit: size(pick!(config, role, SMTP_MX_ADDRESS_LIMIT, LMTP_MX_ADDRESS_LIMIT)),
            session_limit: size(pick!(config, role, SMTP_MX_SESSION_LIMIT, LMTP_MX_SESSION_LIMIT)),
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
            Role::Smtp => (params::SMTP_BIND_ADDRESS.info.name, params::SMTP_BIND_ADDRESS6.info.name),
            Role::Lmtp => (params::LMTP_BIND_ADDRESS.info.name, params::LMTP_BIND_ADDRESS6.info.name),
        };
        let mut v4 = explicit(pick!(config, role, SMTP_BIND_ADDRESS, LMTP_BIND_ADDRESS), name4, true)?;
        let mut v6 = explicit(pick!(config, role, SMTP_BIND_ADDRESS6, LMTP_BIND_ADDRESS6), name6, false)?;
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
        let enforce = pick!(config, role, SMTP_BIND_ADDRESS_ENFORCE, LMTP_BIND_ADDRESS_ENFORCE);
        Ok(Self { v4, v6, enforce })
    }
}

impl Timeouts {
    fn new(config: &Config, role: Role) -> Self {
        Self {
            connect: pick!(config, role, SMTP_CONNECT_TIMEOUT, LMTP_CONNECT_TIMEOUT),
            helo: pick!(config, role, SMTP_HELO_TIMEOUT, LMTP_LHLO_TIMEOUT),
            xforward: pick!(config, role, SMTP_XFORWARD_TIMEOUT, LMTP_XFORWARD_TIMEOUT),
            mail: pick!(config, role, SMTP_MAIL_TIMEOUT, LMTP_MAIL_TIMEOUT),
            rcpt: pick!(config, role, SMTP_RCPT_TIMEOUT, LMTP_RCPT_TIMEOUT),
            data_init: pick!(config, role, SMTP_DATA_INIT_TIMEOUT, LMTP_DATA_INIT_TIMEOUT),
            data_xfer: pick!(config, role, SMTP_DATA_XFER_TIMEOUT, LMTP_DATA_XFER_TIMEOUT),
            data_done: pick!(config, role, SMTP_DATA_DONE_TIMEOUT, LMTP_DATA_DONE_TIMEOUT),
            rset: pick!(config, role, SMTP_RSET_TIMEOUT, LMTP_RSET_TIMEOUT),
            quit: pick!(config, role, SMTP_QUIT_TIMEOUT, LMTP_QUIT_TIMEOUT),
        }
    }
}

impl Tables {
    /// Opens every table of the role.
    pub fn open(config: &Config, role: Role) -> Self {
        let open = |smtp: Param<String>, lmtp: Param<String>| {
            let param = if role == Role::Smtp { smtp } else { lmtp };
            Maps::open(config, param.info.name, &config.get(param), Flags::LOCK | Flags::FOLD_FIX | Flags::UTF8_REQUEST)
        };
        let propagate = words::words(&config.get(params::PROPAGATE_UNMATCHED_EXTENSIONS))
            .any(|word| word.eq_ignore_ascii_case("generic"));
        let generic = Generic::new(
            open(params::SMTP_GENERIC_MAPS, params::LMTP_GENERIC_MAPS),
            Extensions::from_config(config),
            propagate,
            config.get(params::MYORIGIN),
            LocalDomains::new(config),
        );
        let destinations = match role {
            Role::Smtp => params::SMTP_CONNECTION_CACHE_DESTINATIONS,
            Role::Lmtp => params::LMTP_CONNECTION_CACHE_DESTINATIONS,
        };
        let cache_destinations =
            MatchList::open(config, destinations.info.name, &config.get(destinations), MatchKind::Text);
        Self {
            reply_filter: open(params::SMTP_REPLY_FILTER, params::LMTP_REPLY_FILTER),
            discard_maps: open(
                params::SMTP_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS,
                params::LMTP_DISCARD_LHLO_KEYWORD_ADDRESS_MAPS,
            ),
            pix_maps: open(params::SMTP_PIX_WORKAROUND_MAPS, params::LMTP_PIX_WORKAROUND_MAPS),
            generic,
            cache_destinations,
            dns_filter: open(params::SMTP_DNS_REPLY_FILTER, params::LMTP_DNS_REPLY_FILTER),
            tls_policy: open(params::SMTP_TLS_POLICY_MAPS, params::LMTP_TLS_POLICY_MAPS),
            passwords: open(params::SMTP_SASL_PASSWORD_MAPS, params::LMTP_SASL_PASSWORD_MAPS),
            header_checks: open(params::SMTP_HEADER_CHECKS, params::LMTP_HEADER_CHECKS),
            mime_header_checks: open(params::SMTP_MIME_HEADER_CHECKS, params::LMTP_MIME_HEADER_CHECKS),
            nested_header_checks: open(params::SMTP_NESTED_HEADER_CHECKS, params::LMTP_NESTED_HEADER_CHECKS),
            body_checks: open(params::SMTP_BODY_CHECKS, params::LMTP_BODY_CHECKS),
        }
    }
}

fn size(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
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
        _ => Err(ConfigError::Text(format!("invalid {}_dns_support_level: \"{text}\"", role.name()))),
    }
}

fn preference(config: &Config, role: Role) -> Result<FamilyPreference, ConfigError> {
    let text = pick!(config, role, SMTP_ADDRESS_PREFERENCE, LMTP_ADDRESS_PREFERENCE);
    match text.to_ascii_lowercase().as_str() {
        "any" => Ok(FamilyPreference::Any),
        "ipv4" => Ok(FamilyPreference::Ipv4),
        "ipv6" => Ok(FamilyPreference::Ipv6),
        _ => Err(ConfigError::Text(format!("bad {}_address_preference value: {text}", role.name()))),
    }
}

fn probe_target(config: &Config, role: Role) -> Result<ProbeTarget, ConfigError> {
    let text = pick!(config, role, SMTP_ADDRESS_VERIFY_TARGET, LMTP_ADDRESS_VERIFY_TARGET);
    match text.to_ascii_lowercase().as_str() {
        "rcpt" => Ok(ProbeTarget::Rcpt),
        "data" => Ok(ProbeTarget::Data),
        _ => {
            let name = role.name();
            Err(ConfigError::Text(format!("bad protocol stage: \"{name}_address_verify_target = {text}\"")))
        }
    }
}

fn tls_level(config: &Config, role: Role) -> Result<Level, ConfigError> {
    let text = pick!(config, role, SMTP_TLS_SECURITY_LEVEL, LMTP_TLS_SECURITY_LEVEL);
    if text.is_empty() {
        let enforce = pick!(config, role, SMTP_ENFORCE_TLS, LMTP_ENFORCE_TLS);
        let names = pick!(config, role, SMTP_TLS_ENFORCE_PEERNAME, LMTP_TLS_ENFORCE_PEERNAME);
        let opportunistic = pick!(config, role, SMTP_USE_TLS, LMTP_USE_TLS);
        return Ok(match (enforce, names, opportunistic) {
            (true, true, _) => Level::Verify,
            (true, false, _) => Level::Encrypt,
            (false, _, true) => Level::May,
            (false, _, false) => Level::None,
        });
    }
    Level::named(&text).ok_or_else(|| ConfigError::Text(format!("invalid TLS security level \"{text}\"")))
}
