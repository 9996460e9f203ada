//! What to set in place of a parameter that is going away. Source: DEPRECATION_README of 3.11.

use crate::level::Level;

/// Why a set parameter is complained about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecation {
    /// What to do instead, as it stands in the warning.
    pub instead: &'static str,
    /// First release that warns.
    pub since: Level,
    /// It has no effect any more.
    pub is_removed: bool,
}

impl Deprecation {
    /// The warning about `name`, without the file before it.
    #[must_use]
    pub fn warning(&self, name: &str) -> String {
        let instead = self.instead;
        if self.is_removed {
            format!("support for parameter {name} has been removed; instead, {instead}")
        } else {
            format!("support for parameter \"{name}\" will be removed; instead, {instead}")
        }
    }
}

/// Follows the last warning about deprecated parameters.
pub const DEPRECATION_HINT: &str =
    "See https://www.postfix.org/DEPRECATION_README.html for details";

/// Whether and how `name` is going away.
#[must_use]
pub fn deprecation(name: &str) -> Option<Deprecation> {
    let (_, minor, instead) = TEXTS
        .binary_search_by(|(known, _, _)| (*known).cmp(name))
        .ok()
        .map(|at| TEXTS[at])?;
    Some(Deprecation {
        instead,
        since: Level::new(3, minor),
        is_removed: name == "tls_legacy_public_key_fingerprints",
    })
}

/// Sorted by name: first release 3.N that warns, and what to do.
#[rustfmt::skip]
const TEXTS: &[(&str, u16, &str)] = &[
    ("authorized_verp_clients", 11, "specify \"smtpd_authorized_verp_clients\""),
    ("disable_dns_lookups", 9, "specify \"smtp_dns_support_level\""),
    ("fallback_relay", 11, "specify \"smtp_fallback_relay\""),
    ("lmtp_cname_overrides_servername", 11, "do not specify"),
    ("lmtp_enforce_tls", 9, "lmtp_tls_security_level"),
    ("lmtp_per_record_deadline", 11, "specify \"lmtp_per_request_deadline\""),
    ("lmtp_tls_enforce_peername", 11, "specify \"lmtp_tls_security_level\""),
    ("lmtp_tls_per_site", 9, "specify \"lmtp_tls_policy_maps\""),
    ("lmtp_use_tls", 9, "specify \"lmtp_tls_security_level\""),
    ("postscreen_blacklist_action", 11, "specify \"postscreen_denylist_action\""),
    ("postscreen_dnsbl_ttl", 11, "specify \"postscreen_dnsbl_max_ttl\""),
    ("postscreen_dnsbl_whitelist_threshold", 11, "specify \"postscreen_dnsbl_allowlist_threshold\""),
    ("postscreen_enforce_tls", 9, "specify \"postscreen_tls_security_level\""),
    ("postscreen_use_tls", 9, "specify \"postscreen_tls_security_level\""),
    ("postscreen_whitelist_interfaces", 11, "specify \"postscreen_allowlist_interfaces\""),
    ("smtp_cname_overrides_servername", 11, "do not specify"),
    ("smtp_enforce_tls", 9, "specify \"smtp_tls_security_level\""),
    ("smtp_per_record_deadline", 11, "specify \"smtp_per_request_deadline\""),
    ("smtp_tls_enforce_peername", 11, "specify \"smtp_tls_security_level\""),
    ("smtp_tls_per_site", 9, "specify \"smtp_tls_policy_maps\""),
    ("smtp_use_tls", 9, "specify \"smtp_tls_security_level\""),
    ("smtpd_client_connection_limit_exceptions", 11, "specify \"smtpd_client_event_limit_exceptions\""),
    ("smtpd_enforce_tls", 9, "specify \"smtpd_tls_security_level\""),
    ("smtpd_per_record_deadline", 11, "specify \"smtpd_per_request_deadline\""),
    ("smtpd_tls_dh1024_param_file", 9, "do not specify (leave at default)"),
    ("smtpd_tls_eecdh_grade", 9, "do not specify (leave at default)"),
    ("smtpd_use_tls", 9, "specify \"smtpd_tls_security_level\""),
    ("tls_legacy_public_key_fingerprints", 9, "do not specify"),
    ("tlsproxy_client_enforce_tls", 9, "specify \"tlsproxy_client_security_level\""),
    ("tlsproxy_client_level", 11, "specify \"tlsproxy_client_security_level\""),
    ("tlsproxy_client_per_site", 9, "specify \"tlsproxy_client_policy_maps\""),
    ("tlsproxy_client_policy", 11, "specify \"tlsproxy_client_policy_maps\""),
    ("tlsproxy_client_use_tls", 9, "specify \"tlsproxy_client_security_level\""),
    ("tlsproxy_enforce_tls", 9, "specify \"tlsproxy_tls_security_level\""),
    ("tlsproxy_use_tls", 9, "specify \"tlsproxy_tls_security_level\""),
    ("virtual_maps", 11, "specify \"virtual_alias_maps\""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{ALL, find, flag};

    #[test]
    fn every_deprecated_parameter_has_its_words() {
        for pair in TEXTS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        for info in ALL {
            assert_eq!(
                deprecation(info.name).is_some(),
                info.has(flag::DEPRECATED | flag::REMOVED),
                "{}",
                info.name
            );
        }
        assert!(TEXTS.iter().all(|(name, _, _)| find(name).is_some()));
    }

    #[test]
    fn the_words_are_the_reference_words() {
        assert_eq!(
            deprecation("smtp_use_tls").map(|all| all.warning("smtp_use_tls")),
            Some(
                "support for parameter \"smtp_use_tls\" will be removed; instead, \
                 specify \"smtp_tls_security_level\""
                    .into()
            )
        );
        assert_eq!(deprecation("myhostname"), None);
    }
}
