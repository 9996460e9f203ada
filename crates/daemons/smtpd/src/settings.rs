//! The main.cf values that every session needs, read once per process.
//!
//! Values that only refusals need (reply codes and the like) are asked for when they are needed.

use crate::missing::Missing;
use crate::reply::ErrorClass;
use postern_config::{Config, params};
use postern_dns::Families;
use std::rc::Rc;
use std::time::Duration;

/// How line ends other than CR LF are treated (`smtpd_forbid_bare_newline`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BareNewline {
    /// LF ends a line, and the content.
    Allow,
    /// LF ends a line; the content ends with CR LF `.` CR LF only.
    Normalize,
    /// As normalize; the `disconnect from` line tells.
    Note,
    /// As normalize, and such mail is refused.
    Reject,
}

/// What becomes of a check that failed for now (`*_tempfail_action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TempfailAction {
    /// Refuse with 450 at once.
    Defer,
    /// Refuse with 450 when nothing else refuses.
    DeferIfPermit,
}

/// A setting that smtpd(8) does not start with. `Display` follows `fatal: ` in the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// An unknown word for a choice.
    #[error("bad parameter value: '{name} = {value}'")]
    Choice {
        /// Parameter name.
        name: &'static str,
        /// What it is set to.
        value: String,
    },
    /// An unknown `*_tempfail_action`.
    #[error("bad configuration: {name} = {value}")]
    Action {
        /// Parameter name.
        name: &'static str,
        /// What it is set to.
        value: String,
    },
    /// Nothing would stop a stranger from using this system as a relay.
    #[error(
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: \
         reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"
    )]
    OpenRelay,
}

/// See the module.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names are those of main.cf")]
pub(crate) struct Settings {
    pub(crate) myhostname: String,
    pub(crate) mail_name: String,
    pub(crate) banner: String,
    pub(crate) timeout: Duration,
    pub(crate) per_request_deadline: bool,
    pub(crate) min_data_rate: u32,
    pub(crate) line_length_limit: usize,
    pub(crate) message_size_limit: i64,
    pub(crate) queue_minfree: i64,
    pub(crate) soft_error_limit: u32,
    pub(crate) hard_error_limit: u32,
    pub(crate) junk_command_limit: u32,
    pub(crate) error_sleep_time: Duration,
    pub(crate) recipient_limit: u32,
    pub(crate) recipient_overshoot_limit: u32,
    pub(crate) history_flush_threshold: usize,
    pub(crate) soft_bounce: bool,
    pub(crate) helo_required: bool,
    pub(crate) delay_reject: bool,
    pub(crate) delay_open: bool,
    pub(crate) disable_vrfy: bool,
    pub(crate) smtputf8: bool,
    pub(crate) strict_smtputf8: bool,
    pub(crate) strict_rfc821: bool,
    pub(crate) peername_lookup: bool,
    pub(crate) port_logging: bool,
    pub(crate) forbid_unauth_pipelining: bool,
    pub(crate) bare_newline: BareNewline,
    pub(crate) bare_newline_code: i32,
    pub(crate) hide_client_session: bool,
    pub(crate) relay_first: bool,
    /// `relay_first` is off only because of an old `compatibility_level`.
    pub(crate) relay_last_by_level: bool,
    pub(crate) reject_unlisted_sender: bool,
    pub(crate) reject_unlisted_recipient: bool,
    pub(crate) allow_untrusted_routing: bool,
    pub(crate) notify_classes: ErrorClass,
    pub(crate) discard_ehlo_keywords: String,
    pub(crate) discard_ehlo_keyword_maps: String,
    pub(crate) command_filter: String,
    /// The words of `local_header_rewrite_clients`.
    pub(crate) local_header_rewrite_clients: Rc<[String]>,
    pub(crate) forbidden_commands: String,
    pub(crate) noop_commands: String,
    pub(crate) double_bounce_sender: String,
    pub(crate) null_access_key: String,
    pub(crate) log_internal_addresses: bool,
    pub(crate) missing: Missing,
    pub(crate) content_filter: String,
    pub(crate) receive_override_options: String,
    pub(crate) smtputf8_autodetect: bool,
    pub(crate) families: Families,
    pub(crate) ipv6_first: bool,
    pub(crate) ipc_timeout: Duration,
    pub(crate) cleanup_service: String,
    pub(crate) unknown_address_tempfail: TempfailAction,
    pub(crate) unknown_helo_tempfail: TempfailAction,
    pub(crate) unverified_sender_tempfail: TempfailAction,
    pub(crate) unverified_recipient_tempfail: TempfailAction,
}

impl Settings {
    /// Reads the values.
    ///
    /// # Errors
    ///
    /// [`SettingError`] for words that mean nothing.
    pub(crate) fn load(config: &Config) -> Result<Self, SettingError> {
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        let protocols = config.get(params::INET_PROTOCOLS).to_ascii_lowercase();
        let receive_override_options = config.get(params::RECEIVE_OVERRIDE_OPTIONS);
        let no_milters = words(&receive_override_options)
            .any(|option| option.eq_ignore_ascii_case("no_milters"));
        Ok(Self {
            myhostname: config.get(params::MYHOSTNAME),
            mail_name: config.get(params::MAIL_NAME),
            banner: config.get(params::SMTPD_BANNER),
            timeout: config.get(params::SMTPD_TIMEOUT),
            per_request_deadline: config.get(params::SMTPD_PER_REQUEST_DEADLINE),
            min_data_rate: count(config.get(params::SMTPD_MIN_DATA_RATE)),
            line_length_limit: usize::try_from(config.get(params::LINE_LENGTH_LIMIT))
                .unwrap_or(2048)
                .max(1),
            message_size_limit: config.get(params::MESSAGE_SIZE_LIMIT),
            queue_minfree: config.get(params::QUEUE_MINFREE),
            soft_error_limit: count(config.get(params::SMTPD_SOFT_ERROR_LIMIT)),
            hard_error_limit: count(config.get(params::SMTPD_HARD_ERROR_LIMIT)),
            junk_command_limit: count(config.get(params::SMTPD_JUNK_COMMAND_LIMIT)),
            error_sleep_time: config.get(params::SMTPD_ERROR_SLEEP_TIME),
            recipient_limit: count(config.get(params::SMTPD_RECIPIENT_LIMIT)),
            recipient_overshoot_limit: count(config.get(params::SMTPD_RECIPIENT_OVERSHOOT_LIMIT)),
            history_flush_threshold: usize::try_from(
                config.get(params::SMTPD_HISTORY_FLUSH_THRESHOLD),
            )
            .unwrap_or(100),
            soft_bounce: config.get(params::SOFT_BOUNCE),
            helo_required: config.get(params::SMTPD_HELO_REQUIRED),
            delay_reject: config.get(params::SMTPD_DELAY_REJECT),
            delay_open: config.get(params::SMTPD_DELAY_OPEN_UNTIL_VALID_RCPT),
            disable_vrfy: config.get(params::DISABLE_VRFY_COMMAND),
            smtputf8: config.get(params::SMTPUTF8_ENABLE),
            strict_smtputf8: config.get(params::STRICT_SMTPUTF8),
            strict_rfc821: config.get(params::STRICT_RFC821_ENVELOPES),
            peername_lookup: config.get(params::SMTPD_PEERNAME_LOOKUP),
            port_logging: config.get(params::SMTPD_CLIENT_PORT_LOGGING),
            forbid_unauth_pipelining: config.get(params::SMTPD_FORBID_UNAUTH_PIPELINING),
            bare_newline: bare_newline(config.get(params::SMTPD_FORBID_BARE_NEWLINE))?,
            bare_newline_code: config.get(params::SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE),
            hide_client_session: config.get(params::SMTPD_HIDE_CLIENT_SESSION),
            relay_first: config.get(params::SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS),
            relay_last_by_level: !config.get(params::SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS)
                && !config.explicit().any(|(name, _)| {
                    name == params::SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS.info.name
                }),
            reject_unlisted_sender: config.get(params::SMTPD_REJECT_UNLISTED_SENDER),
            reject_unlisted_recipient: config.get(params::SMTPD_REJECT_UNLISTED_RECIPIENT),
            allow_untrusted_routing: config.get(params::ALLOW_UNTRUSTED_ROUTING),
            notify_classes: ErrorClass::parse(&config.get(params::NOTIFY_CLASSES)),
            discard_ehlo_keywords: config.get(params::SMTPD_DISCARD_EHLO_KEYWORDS),
            discard_ehlo_keyword_maps: config.get(params::SMTPD_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS),
            command_filter: config.get(params::SMTPD_COMMAND_FILTER),
            local_header_rewrite_clients: postern_dict::split_list(
                &config.get(params::LOCAL_HEADER_REWRITE_CLIENTS),
            )
            .into_iter()
            .map(str::to_owned)
            .collect(),
            forbidden_commands: config.get(params::SMTPD_FORBIDDEN_COMMANDS),
            noop_commands: config.get(params::SMTPD_NOOP_COMMANDS),
            double_bounce_sender: config.get(params::DOUBLE_BOUNCE_SENDER),
            null_access_key: config.get(params::SMTPD_NULL_ACCESS_LOOKUP_KEY),
            log_internal_addresses: log_internal(config.get(params::INFO_LOG_ADDRESS_FORMAT))?,
            missing: Missing::load(config, no_milters),
            content_filter: config.get(params::CONTENT_FILTER),
            receive_override_options,
            smtputf8_autodetect: words(&config.get(params::SMTPUTF8_AUTODETECT_CLASSES))
                .any(|word| word.eq_ignore_ascii_case("smtpd") || word.eq_ignore_ascii_case("all")),
            families: families(&protocols),
            ipv6_first: words(&protocols).next() == Some("ipv6"),
            ipc_timeout: config.get(params::IPC_TIMEOUT),
            cleanup_service: config.get(params::CLEANUP_SERVICE_NAME),
            unknown_address_tempfail: tempfail(
                "unknown_address_tempfail_action",
                config.get(params::UNKNOWN_ADDRESS_TEMPFAIL_ACTION),
            )?,
            unknown_helo_tempfail: tempfail(
                "unknown_helo_hostname_tempfail_action",
                config.get(params::UNKNOWN_HELO_HOSTNAME_TEMPFAIL_ACTION),
            )?,
            unverified_sender_tempfail: tempfail(
                "unverified_sender_tempfail_action",
                config.get(params::UNVERIFIED_SENDER_TEMPFAIL_ACTION),
            )?,
            unverified_recipient_tempfail: tempfail(
                "unverified_recipient_tempfail_action",
                config.get(params::UNVERIFIED_RECIPIENT_TEMPFAIL_ACTION),
            )?,
        })
    }

    /// Whether `receive_override_options` has `word`.
    pub(crate) fn overrides(&self, word: &str) -> bool {
        words(&self.receive_override_options).any(|option| option.eq_ignore_ascii_case(word))
    }
}

/// The words of a list without braces.
pub(crate) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
}

fn families(protocols: &str) -> Families {
    let has = |name: &str| words(protocols).any(|word| word == name);
    match (has("ipv4"), has("ipv6")) {
        (true, false) => Families::Ipv4,
        (false, true) => Families::Ipv6,
        _ => Families::All,
    }
}

fn bare_newline(value: String) -> Result<BareNewline, SettingError> {
    match value.to_ascii_lowercase().as_str() {
        "no" => Ok(BareNewline::Allow),
        "normalize" | "yes" => Ok(BareNewline::Normalize),
        "note" => Ok(BareNewline::Note),
        "reject" => Ok(BareNewline::Reject),
        _ => Err(SettingError::Choice {
            name: "smtpd_forbid_bare_newline",
            value,
        }),
    }
}

fn log_internal(value: String) -> Result<bool, SettingError> {
    match value.to_ascii_lowercase().as_str() {
        "external" => Ok(false),
        "internal" => Ok(true),
        _ => Err(SettingError::Choice {
            name: "info_log_address_format",
            value,
        }),
    }
}

fn tempfail(name: &'static str, value: String) -> Result<TempfailAction, SettingError> {
    match value.to_ascii_lowercase().as_str() {
        "defer" => Ok(TempfailAction::Defer),
        "defer_if_permit" => Ok(TempfailAction::DeferIfPermit),
        _ => Err(SettingError::Action { name, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_choices_are_refused_in_postfix_words() {
        let error = bare_newline("maybe".to_owned()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bad parameter value: 'smtpd_forbid_bare_newline = maybe'"
        );
        let error = tempfail("unknown_address_tempfail_action", "reject".to_owned()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bad configuration: unknown_address_tempfail_action = reject"
        );
    }

    #[test]
    fn protocols_choose_the_address_families() {
        assert_eq!(families("ipv4"), Families::Ipv4);
        assert_eq!(families("ipv6"), Families::Ipv6);
        assert_eq!(families("all"), Families::All);
        assert_eq!(families("ipv6, ipv4"), Families::All);
    }
}
