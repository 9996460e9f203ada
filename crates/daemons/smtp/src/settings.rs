//! The parameters of this program, read once: `smtp_…` or `lmtp_…` as the role has it.

use std::time::Duration;

use postern_config::{Config, ConfigError, Param, params, words};
use postern_dict::search::Extensions;
use postern_dict::{DebugPeers, Flags, Maps, MatchKind, MatchList, Table};
use postern_rewrite::LocalDomains;

use crate::features::Keywords;
use crate::generic::Generic;
use crate::role::Role;
use crate::routing::Routing;
use crate::security::Level;

/// Picks the parameter of the role.
macro_rules! pick {
    ($config:expr, $role:expr, $smtp:ident, $lmtp:ident) => {
        match $role {
            Role::Smtp => $config.get(params::$smtp),
            Role::Lmtp => $config.get(params::$lmtp),
        }
    };
}

pub(crate) use pick;

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

/// How far an address probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTarget {
    /// The reply to RCPT decides.
    Rcpt,
    /// The reply to DATA decides.
    Data,
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
    pub reply_filter: Option<Box<dyn Table>>,
    /// `smtp_discard_ehlo_keyword_address_maps`.
    pub discard_maps: Maps,
    /// `smtp_pix_workaround_maps`.
    pub pix_maps: Maps,
    /// `smtp_generic_maps`.
    pub generic: Generic,
    /// `smtp_connection_cache_destinations`.
    pub cache_destinations: MatchList,
    /// `debug_peer_list`.
    pub debug_peers: DebugPeers,
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
        let discard_set = Keywords::parse_list(config.get(discard).as_bytes().into());
        let classes = config.get(params::NOTIFY_CLASSES);
        let notifies =
            |class: &str| words::words(&classes).any(|word| word.eq_ignore_ascii_case(class));
        let smtp_only = |param: Param<bool>| role == Role::Smtp && config.get(param);
        Ok(Self {
            role,
            service: service.to_owned(),
            routing: Routing::new(config, role)?,
            myhostname: config.get(params::MYHOSTNAME),
            helo_name: pick!(config, role, SMTP_HELO_NAME, LMTP_LHLO_NAME),
            timeouts: Timeouts::new(config, role),
            per_request_deadline: pick!(
                config,
                role,
                SMTP_PER_REQUEST_DEADLINE,
                LMTP_PER_REQUEST_DEADLINE
            ),
            min_data_rate: u32::try_from(pick!(
                config,
                role,
                SMTP_MIN_DATA_RATE,
                LMTP_MIN_DATA_RATE
            ))
            .unwrap_or(500),
            always_ehlo: smtp_only(params::SMTP_ALWAYS_SEND_EHLO),
            never_ehlo: smtp_only(params::SMTP_NEVER_SEND_EHLO),
            skip_5xx_greeting: pick!(config, role, SMTP_SKIP_5XX_GREETING, LMTP_SKIP_5XX_GREETING),
            skip_quit_response: pick!(
                config,
                role,
                SMTP_SKIP_QUIT_RESPONSE,
                LMTP_SKIP_QUIT_RESPONSE
            ),
            quote_envelope: pick!(
                config,
                role,
                SMTP_QUOTE_RFC821_ENVELOPE,
                LMTP_QUOTE_RFC821_ENVELOPE
            ),
            send_xforward: pick!(
                config,
                role,
                SMTP_SEND_XFORWARD_COMMAND,
                LMTP_SEND_XFORWARD_COMMAND
            ),
            line_limit: size(pick!(
                config,
                role,
                SMTP_LINE_LENGTH_LIMIT,
                LMTP_LINE_LENGTH_LIMIT
            )),
            reply_line_limit: size(config.get(params::LINE_LENGTH_LIMIT)),
            discard: discard_set,
            pix_workarounds: pick!(config, role, SMTP_PIX_WORKAROUNDS, LMTP_PIX_WORKAROUNDS),
            pix_threshold: seconds(pick!(
                config,
                role,
                SMTP_PIX_WORKAROUND_THRESHOLD_TIME,
                LMTP_PIX_WORKAROUND_THRESHOLD_TIME
            )),
            pix_delay: pick!(
                config,
                role,
                SMTP_PIX_WORKAROUND_DELAY_TIME,
                LMTP_PIX_WORKAROUND_DELAY_TIME
            ),
            cache_on_demand: pick!(
                config,
                role,
                SMTP_CONNECTION_CACHE_ON_DEMAND,
                LMTP_CONNECTION_CACHE_ON_DEMAND
            ),
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
            reuse_count_limit: pick!(
                config,
                role,
                SMTP_CONNECTION_REUSE_COUNT_LIMIT,
                LMTP_CONNECTION_REUSE_COUNT_LIMIT
            ),
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
        let flags = Flags::LOCK | Flags::FOLD_FIX | Flags::UTF8_REQUEST;
        let open = |smtp: Param<String>, lmtp: Param<String>| {
            let param = if role == Role::Smtp { smtp } else { lmtp };
            Maps::open(config, param.info.name, &config.get(param), flags)
        };
        // One table, not a list.
        let reply_filter = pick!(config, role, SMTP_REPLY_FILTER, LMTP_REPLY_FILTER);
        let reply_filter =
            (!reply_filter.is_empty()).then(|| postern_dict::open(config, &reply_filter, flags));
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
        // In messages it has one name for both roles.
        let cache_destinations = MatchList::open(
            config,
            params::SMTP_CONNECTION_CACHE_DESTINATIONS.info.name,
            &config.get(destinations),
            MatchKind::Text,
        );
        Self {
            reply_filter,
            discard_maps: open(
                params::SMTP_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS,
                params::LMTP_DISCARD_LHLO_KEYWORD_ADDRESS_MAPS,
            ),
            pix_maps: open(
                params::SMTP_PIX_WORKAROUND_MAPS,
                params::LMTP_PIX_WORKAROUND_MAPS,
            ),
            generic,
            cache_destinations,
            debug_peers: DebugPeers::open(
                config,
                &config.get(params::DEBUG_PEER_LIST),
                config.get(params::DEBUG_PEER_LEVEL),
            ),
            dns_filter: open(params::SMTP_DNS_REPLY_FILTER, params::LMTP_DNS_REPLY_FILTER),
            tls_policy: open(params::SMTP_TLS_POLICY_MAPS, params::LMTP_TLS_POLICY_MAPS),
            passwords: open(
                params::SMTP_SASL_PASSWORD_MAPS,
                params::LMTP_SASL_PASSWORD_MAPS,
            ),
            header_checks: open(params::SMTP_HEADER_CHECKS, params::LMTP_HEADER_CHECKS),
            mime_header_checks: open(
                params::SMTP_MIME_HEADER_CHECKS,
                params::LMTP_MIME_HEADER_CHECKS,
            ),
            nested_header_checks: open(
                params::SMTP_NESTED_HEADER_CHECKS,
                params::LMTP_NESTED_HEADER_CHECKS,
            ),
            body_checks: open(params::SMTP_BODY_CHECKS, params::LMTP_BODY_CHECKS),
        }
    }
}

pub(crate) fn size(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn probe_target(config: &Config, role: Role) -> Result<ProbeTarget, ConfigError> {
    let text = pick!(
        config,
        role,
        SMTP_ADDRESS_VERIFY_TARGET,
        LMTP_ADDRESS_VERIFY_TARGET
    );
    match text.to_ascii_lowercase().as_str() {
        "rcpt" => Ok(ProbeTarget::Rcpt),
        "data" => Ok(ProbeTarget::Data),
        _ => {
            let name = role.name();
            Err(ConfigError::Text(format!(
                "bad protocol stage: \"{name}_address_verify_target = {text}\""
            )))
        }
    }
}

fn tls_level(config: &Config, role: Role) -> Result<Level, ConfigError> {
    let text = pick!(
        config,
        role,
        SMTP_TLS_SECURITY_LEVEL,
        LMTP_TLS_SECURITY_LEVEL
    );
    if text.is_empty() {
        let enforce = pick!(config, role, SMTP_ENFORCE_TLS, LMTP_ENFORCE_TLS);
        let names = pick!(
            config,
            role,
            SMTP_TLS_ENFORCE_PEERNAME,
            LMTP_TLS_ENFORCE_PEERNAME
        );
        let opportunistic = pick!(config, role, SMTP_USE_TLS, LMTP_USE_TLS);
        return Ok(match (enforce, names, opportunistic) {
            (true, true, _) => Level::Verify,
            (true, false, _) => Level::Encrypt,
            (false, _, true) => Level::May,
            (false, _, false) => Level::None,
        });
    }
    Level::named(&text)
        .ok_or_else(|| ConfigError::Text(format!("invalid TLS security level \"{text}\"")))
}
