//! Why a parameter has no effect yet, or only a part of it. A pattern may begin or end with `*`; the
//! first that fits counts.

/// Patterns and reasons.
pub(super) type Reasons = &'static [(&'static str, &'static str)];

/// Parameters that no program reads.
#[rustfmt::skip]
pub(super) const UNREAD: Reasons = &[
    ("*tlsrpt_*",                        "TLS reporting is not built yet"),
    ("*requiretls_*",                    "REQUIRETLS is not built yet"),
    ("tls_required_enable",              "REQUIRETLS is not built yet"),
    ("*sasl_*",                          "SASL is not built yet"),
    ("*_send_dummy_mail_auth",           "SASL is not built yet"),
    ("smtpd_client_auth_rate_limit",     "SASL is not built yet"),
    ("postscreen_*",                     "postscreen is not built yet"),
    ("dnsblog_*",                        "dnsblog is not built yet"),
    ("tlsproxy_*",                       "tlsproxy is not built yet"),
    ("*_tls_*",                          "TLS is not built yet"),
    ("tls_legacy_public_key_fingerprints", "Postfix has removed it"),
    ("tls_*",                            "TLS is not built yet"),
    ("*_starttls_timeout",               "TLS is not built yet"),
    ("smtpd_use_tls",                    "TLS is not built yet"),
    ("relay_clientcerts",                "TLS is not built yet"),
    ("tlsmgr_service_name",              "TLS is not built yet"),
    ("milter_*",                         "Milters are not built yet"),
    ("smtpd_policy_service_*",           "policy services are not built yet"),
    ("smtpd_proxy_*",                    "before-queue filters are not built yet"),
    ("smtpd_upstream_proxy_*",           "the proxy protocol is not built yet"),
    ("default_rbl_reply",                "DNS lists are not built yet"),
    ("rbl_reply_maps",                   "DNS lists are not built yet"),
    ("maps_rbl_*",                       "DNS lists are not built yet"),
    ("qmqpd_*",                          "qmqpd is not built yet"),
    ("qmgr_fudge_factor",                "oqmgr is not built yet"),
    ("non_bdb_*",                        "nothing is indexed anew: `hash:` and `btree:` files are read as they are"),
    ("berkeley_db_*",                    "the own reader of these files has no such buffer"),
    ("destination_concurrency_feedback_debug", "debug logging of the scheduler is not built yet"),
    ("daemon_table_open_error_is_fatal", "a table that cannot be opened never ends a daemon"),
    ("dns_ncache_ttl_fix_enable",        "the own resolver needs no such fix"),
    ("dnssec_probe",                     "the resolver's DNSSEC support is not probed"),
    ("dont_remove",                      "finished messages are always removed"),
    ("enable_idna2003_compatibility",    "domain names follow IDNA 2008 only"),
    ("fault_injection_code",             "for tests of Postfix itself"),
    ("fork_*",                           "a failed start of a process is tried again by its own rule"),
    ("full_name_encoding_charset",       "full names are not encoded yet"),
    ("mail_release_date",                "only shown"),
    ("postern_version",                  "only shown"),
    ("non_empty_end_of_header_action",   "text at the end of a header is not acted on yet"),
    ("process_id_directory",             "Postfix does not use it either"),
    ("respectful_logging",               "changes log texts of postscreen only"),
    ("smtpd_authorized_x*",              "XCLIENT and XFORWARD are refused"),
    ("smtpd_service_name",               "postscreen is not built yet"),
    ("socketmap_max_query_size",         "limits of the protocol are fixed"),
    ("tcp_windowsize",                   "the kernel chooses"),
];

/// Parameters that are read, but not obeyed in full.
#[rustfmt::skip]
pub(super) const PARTIAL: Reasons = &[
    ("smtpd_sender_login_maps",          "SASL is not built yet: nobody is logged in"),
    ("*requiretls_*",                    "REQUIRETLS is not built yet"),
    ("*sasl_*",                          "SASL is not built yet"),
    ("*_tls_*",                          "TLS is not built yet"),
    ("*_use_tls",                        "TLS is not built yet"),
    ("*_enforce_tls",                    "TLS is not built yet"),
    ("milter_*",                         "Milters are not built yet: each counts as unreachable"),
    ("*smtpd_milter*",                   "Milters are not built yet: each counts as unreachable"),
    ("smtpd_proxy_filter",               "before-queue filters are not built yet: each counts as unreachable"),
    ("smtpd_upstream_proxy_protocol",    "the proxy protocol is not built yet: clients are refused"),
];

/// The first pattern of `table` that fits `name`.
pub(super) fn find(table: Reasons, name: &str) -> Option<(&'static str, &'static str)> {
    table
        .iter()
        .copied()
        .find(|(pattern, _)| fits(pattern, name))
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_be_open_at_both_ends() {
        let table: Reasons = &[("a_*", "1"), ("*_b", "2"), ("*mid*", "3"), ("x", "4")];
        let reason = |name| find(table, name).map(|(_, reason)| reason);
        assert_eq!(reason("a_b"), Some("1"));
        assert_eq!(reason("c_b"), Some("2"));
        assert_eq!(reason("amidst"), Some("3"));
        assert_eq!(reason("x"), Some("4"));
        assert_eq!(reason("y"), None);
    }
}
