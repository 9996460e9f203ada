//! postscreen(8) and its helpers.

use super::params;

params! {
    /// Permit/reject list evaluated first for a client.
    POSTSCREEN_ACCESS_LIST: str "postscreen_access_list" = "permit_mynetworks", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Local addresses on which clients can earn allowlist status.
    POSTSCREEN_ALLOWLIST_INTERFACES: str "postscreen_allowlist_interfaces" = "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}", { used_by: "postscreen", since: "3.6", in_3_7: true };
    /// Action for lone newlines: ignore, enforce, drop.
    POSTSCREEN_BARE_NEWLINE_ACTION: str "postscreen_bare_newline_action" = "ignore", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Turn the lone-newline test on.
    POSTSCREEN_BARE_NEWLINE_ENABLE: bool "postscreen_bare_newline_enable" = "no", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Cache time of a passed lone-newline test.
    POSTSCREEN_BARE_NEWLINE_TTL: time "postscreen_bare_newline_ttl" = "30d", { unit: 'd', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Old name of postscreen_denylist_action.
    POSTSCREEN_BLACKLIST_ACTION: str "postscreen_blacklist_action" = "", { used_by: "postscreen", since: "2.8", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// How often the cache is swept.
    POSTSCREEN_CACHE_CLEANUP_INTERVAL: time "postscreen_cache_cleanup_interval" = "12h", { unit: 'h', used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Table with client test results.
    POSTSCREEN_CACHE_MAP: str "postscreen_cache_map" = "$default_cache_db_type:$data_directory/postscreen_cache", { old: Some(OldDefault { below: "3.11", text: "btree:$data_directory/postscreen_cache", unless_set: Some("default_cache_db_type") }), used_by: "postscreen,proxymap", since: "2.8", in_3_7: true };
    /// Keep expired entries this long before removal.
    POSTSCREEN_CACHE_RETENTION_TIME: time "postscreen_cache_retention_time" = "7d", { unit: 'd', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Simultaneous connections per client.
    POSTSCREEN_CLIENT_CONNECTION_COUNT_LIMIT: nint "postscreen_client_connection_count_limit" = "$smtpd_client_connection_count_limit", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Commands per session in the dummy engine.
    POSTSCREEN_COMMAND_COUNT_LIMIT: int "postscreen_command_count_limit" = "20", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Table that rewrites client commands.
    POSTSCREEN_COMMAND_FILTER: str "postscreen_command_filter" = "", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Time limit to read one command.
    POSTSCREEN_COMMAND_TIME_LIMIT: time "postscreen_command_time_limit" = "${stress?{10}:{300}}s", { unit: 's', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Action for access-list denials: ignore, enforce, drop.
    POSTSCREEN_DENYLIST_ACTION: str "postscreen_denylist_action" = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}", { min: 1, used_by: "postscreen", since: "3.6", in_3_7: true };
    /// Dummy engine: no VRFY.
    POSTSCREEN_DISABLE_VRFY_COMMAND: nbool "postscreen_disable_vrfy_command" = "$disable_vrfy_command", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Dummy engine: per-client EHLO keywords to hide.
    POSTSCREEN_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS: str "postscreen_discard_ehlo_keyword_address_maps" = "$smtpd_discard_ehlo_keyword_address_maps", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Dummy engine: EHLO keywords to hide.
    POSTSCREEN_DISCARD_EHLO_KEYWORDS: str "postscreen_discard_ehlo_keywords" = "$smtpd_discard_ehlo_keywords", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Action at DNS list score threshold.
    POSTSCREEN_DNSBL_ACTION: str "postscreen_dnsbl_action" = "ignore", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Score at or below which later tests are skipped.
    POSTSCREEN_DNSBL_ALLOWLIST_THRESHOLD: nint "postscreen_dnsbl_allowlist_threshold" = "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}", { used_by: "postscreen", since: "3.6", in_3_7: true };
    /// Upper bound of cached DNS list result.
    POSTSCREEN_DNSBL_MAX_TTL: time "postscreen_dnsbl_max_ttl" = "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h", { unit: 'h', min: 1, used_by: "postscreen", since: "3.1", in_3_7: true };
    /// Lower bound of cached DNS list result.
    POSTSCREEN_DNSBL_MIN_TTL: time "postscreen_dnsbl_min_ttl" = "60s", { unit: 's', min: 1, used_by: "postscreen", since: "3.1", in_3_7: true };
    /// Maps a list name with secrets to a public name.
    POSTSCREEN_DNSBL_REPLY_MAP: str "postscreen_dnsbl_reply_map" = "", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// DNS lists with =filter and *weight.
    POSTSCREEN_DNSBL_SITES: str "postscreen_dnsbl_sites" = "", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Score that triggers postscreen_dnsbl_action.
    POSTSCREEN_DNSBL_THRESHOLD: int "postscreen_dnsbl_threshold" = "1", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Time limit for DNS list lookups.
    POSTSCREEN_DNSBL_TIMEOUT: time "postscreen_dnsbl_timeout" = "10s", { unit: 's', min: 1, used_by: "postscreen", since: "3.0", in_3_7: true };
    /// Old name of postscreen_dnsbl_max_ttl.
    POSTSCREEN_DNSBL_TTL: str "postscreen_dnsbl_ttl" = "", { used_by: "postscreen", since: "2.8", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Old name of postscreen_dnsbl_allowlist_threshold.
    POSTSCREEN_DNSBL_WHITELIST_THRESHOLD: str "postscreen_dnsbl_whitelist_threshold" = "", { used_by: "postscreen", since: "2.11", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Old form of postscreen_tls_security_level=encrypt.
    POSTSCREEN_ENFORCE_TLS: nbool "postscreen_enforce_tls" = "$smtpd_enforce_tls", { used_by: "postscreen", since: "2.8", in_3_7: true, flags: flag::DEPRECATED };
    /// Characters kept in $name values in footers.
    POSTSCREEN_EXPANSION_FILTER: raw "postscreen_expansion_filter" = "$smtpd_expansion_filter", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Commands that trigger the non-SMTP command test.
    POSTSCREEN_FORBIDDEN_COMMANDS: str "postscreen_forbidden_commands" = "$smtpd_forbidden_commands", { used_by: "postscreen,proxymap", since: "2.8", in_3_7: true };
    /// Action for clients that talk before the banner.
    POSTSCREEN_GREET_ACTION: str "postscreen_greet_action" = "ignore", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Teaser line of the 220- greeting; empty disables it.
    POSTSCREEN_GREET_BANNER: str "postscreen_greet_banner" = "$smtpd_banner", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Cache time of a passed greet test.
    POSTSCREEN_GREET_TTL: time "postscreen_greet_ttl" = "1d", { unit: 'd', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Time that a client must stay silent.
    POSTSCREEN_GREET_WAIT: time "postscreen_greet_wait" = "${stress?{2}:{6}}s", { unit: 's', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Dummy engine: demand HELO/EHLO.
    POSTSCREEN_HELO_REQUIRED: nbool "postscreen_helo_required" = "$smtpd_helo_required", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Action for non-SMTP commands.
    POSTSCREEN_NON_SMTP_COMMAND_ACTION: str "postscreen_non_smtp_command_action" = "drop", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Turn the non-SMTP command test on.
    POSTSCREEN_NON_SMTP_COMMAND_ENABLE: bool "postscreen_non_smtp_command_enable" = "no", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Cache time of a passed non-SMTP test.
    POSTSCREEN_NON_SMTP_COMMAND_TTL: time "postscreen_non_smtp_command_ttl" = "30d", { unit: 'd', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Action for commands sent early.
    POSTSCREEN_PIPELINING_ACTION: str "postscreen_pipelining_action" = "enforce", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Turn the pipelining test on.
    POSTSCREEN_PIPELINING_ENABLE: bool "postscreen_pipelining_enable" = "no", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Cache time of a passed pipelining test.
    POSTSCREEN_PIPELINING_TTL: time "postscreen_pipelining_ttl" = "30d", { unit: 'd', min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Clients waiting for a real smtpd.
    POSTSCREEN_POST_QUEUE_LIMIT: nint "postscreen_post_queue_limit" = "$default_process_limit", { min: 5, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Clients waiting for a postscreen verdict.
    POSTSCREEN_PRE_QUEUE_LIMIT: nint "postscreen_pre_queue_limit" = "$default_process_limit", { min: 10, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Text appended to 4xx/5xx replies.
    POSTSCREEN_REJECT_FOOTER: raw "postscreen_reject_footer" = "$smtpd_reject_footer", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Table that selects reply footers.
    POSTSCREEN_REJECT_FOOTER_MAPS: str "postscreen_reject_footer_maps" = "$smtpd_reject_footer_maps", { used_by: "postscreen", since: "3.4", in_3_7: true };
    /// STARTTLS time limit (built-in TLS).
    POSTSCREEN_STARTTLS_TIMEOUT: time "postscreen_starttls_timeout" = "$smtpd_starttls_timeout", { unit: 's', min: 1, used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Trusted CA certificates file.
    POSTSCREEN_TLS_CAFILE: str "postscreen_tls_CAfile" = "$smtpd_tls_CAfile", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Trusted CA certificates directory.
    POSTSCREEN_TLS_CAPATH: str "postscreen_tls_CApath" = "$smtpd_tls_CApath", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Issue session IDs even without caching.
    POSTSCREEN_TLS_ALWAYS_ISSUE_SESSION_IDS: nbool "postscreen_tls_always_issue_session_ids" = "$smtpd_tls_always_issue_session_ids", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Ask for a client certificate.
    POSTSCREEN_TLS_ASK_CCERT: nbool "postscreen_tls_ask_ccert" = "$smtpd_tls_ask_ccert", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Client certificate chain depth.
    POSTSCREEN_TLS_CCERT_VERIFYDEPTH: nint "postscreen_tls_ccert_verifydepth" = "$smtpd_tls_ccert_verifydepth", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: RSA certificate file.
    POSTSCREEN_TLS_CERT_FILE: str "postscreen_tls_cert_file" = "$smtpd_tls_cert_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Key and certificate chain files, any type.
    POSTSCREEN_TLS_CHAIN_FILES: str "postscreen_tls_chain_files" = "$smtpd_tls_chain_files", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Cipher grade for opportunistic TLS.
    POSTSCREEN_TLS_CIPHERS: str "postscreen_tls_ciphers" = "$smtpd_tls_ciphers", { min: 1, used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: DSA certificate file.
    POSTSCREEN_TLS_DCERT_FILE: str "postscreen_tls_dcert_file" = "$smtpd_tls_dcert_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: DH parameters file; auto or built-in when empty.
    POSTSCREEN_TLS_DH1024_PARAM_FILE: str "postscreen_tls_dh1024_param_file" = "$smtpd_tls_dh1024_param_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Ignored (export DH).
    POSTSCREEN_TLS_DH512_PARAM_FILE: str "postscreen_tls_dh512_param_file" = "$smtpd_tls_dh512_param_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: DSA key file.
    POSTSCREEN_TLS_DKEY_FILE: str "postscreen_tls_dkey_file" = "$smtpd_tls_dkey_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: ECDSA certificate file.
    POSTSCREEN_TLS_ECCERT_FILE: str "postscreen_tls_eccert_file" = "$smtpd_tls_eccert_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: ECDSA key file.
    POSTSCREEN_TLS_ECKEY_FILE: str "postscreen_tls_eckey_file" = "$smtpd_tls_eckey_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: ECDH grade.
    POSTSCREEN_TLS_EECDH_GRADE: str "postscreen_tls_eecdh_grade" = "$smtpd_tls_eecdh_grade", { min: 1, used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Allow raw public keys.
    POSTSCREEN_TLS_ENABLE_RPK: nbool "postscreen_tls_enable_rpk" = "$smtpd_tls_enable_rpk", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Ciphers never used.
    POSTSCREEN_TLS_EXCLUDE_CIPHERS: str "postscreen_tls_exclude_ciphers" = "$smtpd_tls_exclude_ciphers", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Fingerprint algorithm.
    POSTSCREEN_TLS_FINGERPRINT_DIGEST: str "postscreen_tls_fingerprint_digest" = "$smtpd_tls_fingerprint_digest", { min: 1, used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: RSA key file.
    POSTSCREEN_TLS_KEY_FILE: str "postscreen_tls_key_file" = "$smtpd_tls_key_file", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: TLS logging 0-4.
    POSTSCREEN_TLS_LOGLEVEL: str "postscreen_tls_loglevel" = "$smtpd_tls_loglevel", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: TLS log level by peer name or address (snapshot).
    POSTSCREEN_TLS_LOGLEVEL_MAPS: str "postscreen_tls_loglevel_maps" = "$smtpd_tls_loglevel_maps", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Cipher grade for mandatory TLS.
    POSTSCREEN_TLS_MANDATORY_CIPHERS: str "postscreen_tls_mandatory_ciphers" = "$smtpd_tls_mandatory_ciphers", { min: 1, used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: More ciphers never used with mandatory TLS.
    POSTSCREEN_TLS_MANDATORY_EXCLUDE_CIPHERS: str "postscreen_tls_mandatory_exclude_ciphers" = "$smtpd_tls_mandatory_exclude_ciphers", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: TLS versions for mandatory TLS.
    POSTSCREEN_TLS_MANDATORY_PROTOCOLS: str "postscreen_tls_mandatory_protocols" = "$smtpd_tls_mandatory_protocols", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: TLS versions for opportunistic TLS.
    POSTSCREEN_TLS_PROTOCOLS: str "postscreen_tls_protocols" = "$smtpd_tls_protocols", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Demand a client certificate with mandatory TLS.
    POSTSCREEN_TLS_REQ_CCERT: nbool "postscreen_tls_req_ccert" = "$smtpd_tls_req_ccert", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Postscreen TLS: Default TLS level.
    POSTSCREEN_TLS_SECURITY_LEVEL: str "postscreen_tls_security_level" = "$smtpd_tls_security_level", { used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Postscreen TLS: Bytes of TLS transcript per connection; 0 disables (snapshot).
    POSTSCREEN_TLS_TRACE_SIZE_LIMIT: nint "postscreen_tls_trace_size_limit" = "$smtpd_tls_trace_size_limit", { used_by: "postscreen", since: "3.12", flags: flag::ONLY_3_12 };
    /// Haproxy to read the real client from a proxy.
    POSTSCREEN_UPSTREAM_PROXY_PROTOCOL: str "postscreen_upstream_proxy_protocol" = "", { used_by: "postscreen", since: "2.10", in_3_7: true };
    /// Time limit for the proxy header.
    POSTSCREEN_UPSTREAM_PROXY_TIMEOUT: time "postscreen_upstream_proxy_timeout" = "5s", { unit: 's', min: 1, used_by: "postscreen", since: "2.10", in_3_7: true };
    /// Old form of postscreen_tls_security_level=may.
    POSTSCREEN_USE_TLS: nbool "postscreen_use_tls" = "$smtpd_use_tls", { used_by: "postscreen", since: "2.8", in_3_7: true, flags: flag::DEPRECATED };
    /// Request watchdog.
    POSTSCREEN_WATCHDOG_TIMEOUT: time "postscreen_watchdog_timeout" = "10s", { unit: 's', min: 10, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Old name of postscreen_allowlist_interfaces.
    POSTSCREEN_WHITELIST_INTERFACES: str "postscreen_whitelist_interfaces" = "", { used_by: "postscreen", since: "2.9", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
}
