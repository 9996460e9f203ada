//! The small differences in texts, log lines and replies between 3.7.11 and 3.11.6, which no Postfix
//! parameter controls. Below the level of the release that brought one, the old look is kept.

use crate::level::Level;

/// The look that a compatibility level asks for. Each method tells whether the newer look applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    level: Level,
}

macro_rules! looks {
    ($($(#[doc = $doc:literal])+ $name:ident: $minor:literal;)*) => {
        impl Look {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $name(self) -> bool {
                    self.level >= Level::new(3, $minor)
                }
            )*
        }
    };
}

impl Look {
    /// The look at `level`.
    #[must_use]
    pub const fn at(level: Level) -> Self {
        Self { level }
    }

    /// Bytes of a header that a log line about header checks shows.
    #[must_use]
    pub fn header_checks_log_limit(self) -> usize {
        if self.level >= Level::new(3, 8) {
            200
        } else {
            60
        }
    }
}

looks! {
    /// smtpd answers HELP with 214 and counts it; before, it is an unknown command.
    smtpd_help_enable: 9;
    /// Lines with bad syntax and empty lines count as `unknown` in the session statistics.
    smtpd_count_bad_syntax: 11;
    /// Queue ID or `NOQUEUE` before the line about an abnormal end of a session.
    smtpd_log_session_end_id: 10;
    /// `sasl_*` attributes in reject lines.
    smtpd_log_reject_sasl: 10;
    /// Version attributes in policy requests.
    policy_send_versions: 8;
    /// Removed restrictions (`reject_maps_rbl`, `permit_naked_ip_address`, `check_relay_domains`) fail
    /// with 451 4.3.5, and `permit_mx_backup` warns.
    smtpd_without_old_restrictions: 9;
    /// XCLIENT LOGIN works without SASL.
    xclient_login_always: 10;
    /// The strings of a TXT record of a DNS list are joined; before, the first is taken.
    dns_join_txt: 10;
    /// The reason of a quarantine is logged, repeats are not.
    milter_log_hold_reason: 10;
    /// Milters see the whole line of an unknown command and may answer it.
    milter_unknown_full: 10;
    /// cleanup logs `removed (canceled)` and `removed (discarded)`.
    cleanup_log_removed: 10;
    /// Queue files hold the `message_id` attribute.
    queue_message_id: 10;
    /// Dates have two-digit days.
    date_two_digit_day: 9;
    /// Full names are encoded (RFC 2047) with `full_name_encoding_charset`.
    full_name_encode: 10;
    /// The line about a notification comes before the notice, also when there is none.
    bounce_log_first: 11;
    /// A result of a delivery status filter without text gives `()`.
    status_filter_empty_text: 11;
    /// Without SMTPUTF8 other servers are tried first.
    smtp_smtputf8_try_all: 11;
    /// A certificate is `Trusted` when only its name differs.
    tls_log_trusted_mismatch: 11;
    /// `, ` between listed words in log lines.
    log_list_comma: 11;
    /// postfix and postlog write to a stderr that is no terminal.
    command_stderr: 8;
    /// postmulti writes to a stderr that is no terminal.
    postmulti_stderr: 11;
    /// Warnings about deprecated parameters.
    config_warnings: 9;
    /// `#comment after other text` warnings, with their new words.
    comment_warnings: 8;
    /// `orig_address` and `bounce_reason` in JSON queue listings, pending bounces in all.
    postqueue_fields: 11;
    /// MySQL and PostgreSQL sessions use UTF-8 when the table file does not say.
    sql_utf8: 9;
    /// Texts that only changed their words.
    message_texts: 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_switch_at_their_level() {
        let at = |text| Look::at(Level::parse(text).unwrap());
        assert!(!at("3.6").smtpd_help_enable());
        assert!(at("3.9").smtpd_help_enable());
        assert!(!at("3.10").message_texts());
        assert!(at("3.11").message_texts());
        assert_eq!(
            (
                at("2").header_checks_log_limit(),
                at("3.8").header_checks_log_limit()
            ),
            (60, 200)
        );
    }
}
