//! The LMTP client: lmtp(8).

use super::params;

params! {
    /// LMTP client: ipv4, ipv6 or any first.
    LMTP_ADDRESS_PREFERENCE: str "lmtp_address_preference" = "any", { min: 1, used_by: "lmtp", since: "2.8", in_3_7: true };
    /// LMTP client: Protocol stage for probes: rcpt or data.
    LMTP_ADDRESS_VERIFY_TARGET: str "lmtp_address_verify_target" = "rcpt", { min: 1, used_by: "lmtp", since: "3.0", in_3_7: true };
    /// Count LMTP success as final delivery in DSN status.
    LMTP_ASSUME_FINAL: bool "lmtp_assume_final" = "no", { used_by: "lmtp,smtp", in_3_7: true };
    /// LMTP client: Keep room for both IPv4 and IPv6 in the address list.
    LMTP_BALANCE_INET_PROTOCOLS: bool "lmtp_balance_inet_protocols" = "yes", { used_by: "lmtp", since: "3.3", in_3_7: true };
    /// LMTP client: Source IPv4 address.
    LMTP_BIND_ADDRESS: str "lmtp_bind_address" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Source IPv6 address.
    LMTP_BIND_ADDRESS6: str "lmtp_bind_address6" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Defer mail when the source address cannot be used.
    LMTP_BIND_ADDRESS_ENFORCE: bool "lmtp_bind_address_enforce" = "no", { used_by: "lmtp", since: "3.7", in_3_7: true };
    /// LMTP client: Body checks during delivery.
    LMTP_BODY_CHECKS: str "lmtp_body_checks" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Use the CNAME expansion as server name.
    LMTP_CNAME_OVERRIDES_SERVERNAME: bool "lmtp_cname_overrides_servername" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true, flags: flag::DEPRECATED };
    /// LMTP client: TCP connect limit.
    LMTP_CONNECT_TIMEOUT: time "lmtp_connect_timeout" = "0s", { unit: 's', used_by: "lmtp", in_3_7: true };
    /// LMTP client: Destinations that are always cached.
    LMTP_CONNECTION_CACHE_DESTINATIONS: str "lmtp_connection_cache_destinations" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Cache while a destination has much mail.
    LMTP_CONNECTION_CACHE_ON_DEMAND: bool "lmtp_connection_cache_on_demand" = "yes", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Time to keep an idle cached connection.
    LMTP_CONNECTION_CACHE_TIME_LIMIT: time "lmtp_connection_cache_time_limit" = "2s", { unit: 's', min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Deliveries per cached connection; 0 is none.
    LMTP_CONNECTION_REUSE_COUNT_LIMIT: int "lmtp_connection_reuse_count_limit" = "0", { used_by: "lmtp", since: "2.11", in_3_7: true };
    /// LMTP client: Life of a cached connection.
    LMTP_CONNECTION_REUSE_TIME_LIMIT: time "lmtp_connection_reuse_time_limit" = "300s", { unit: 's', min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Limit for the reply to end-of-data.
    LMTP_DATA_DONE_TIMEOUT: time "lmtp_data_done_timeout" = "600s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Limit for the DATA reply.
    LMTP_DATA_INIT_TIMEOUT: time "lmtp_data_init_timeout" = "120s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Limit for sending content.
    LMTP_DATA_XFER_TIMEOUT: time "lmtp_data_xfer_timeout" = "180s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Defer instead of bounce when no MX has an address.
    LMTP_DEFER_IF_NO_MX_ADDRESS_FOUND: bool "lmtp_defer_if_no_mx_address_found" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Delivery status filter.
    LMTP_DELIVERY_STATUS_FILTER: str "lmtp_delivery_status_filter" = "$default_delivery_status_filter", { used_by: "lmtp", since: "3.0", in_3_7: true };
    /// Per-server LHLO keywords to ignore.
    LMTP_DISCARD_LHLO_KEYWORD_ADDRESS_MAPS: str "lmtp_discard_lhlo_keyword_address_maps" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LHLO keywords to ignore.
    LMTP_DISCARD_LHLO_KEYWORDS: str "lmtp_discard_lhlo_keywords" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Filter for DNS replies.
    LMTP_DNS_REPLY_FILTER: str "lmtp_dns_reply_filter" = "", { used_by: "lmtp", since: "3.0", in_3_7: true };
    /// LMTP client: Resolver flags: res_defnames, res_dnsrch.
    LMTP_DNS_RESOLVER_OPTIONS: str "lmtp_dns_resolver_options" = "", { used_by: "lmtp", since: "2.8", in_3_7: true };
    /// LMTP client: disabled, enabled or dnssec.
    LMTP_DNS_SUPPORT_LEVEL: str "lmtp_dns_support_level" = "", { used_by: "lmtp", since: "2.11", in_3_7: true };
    /// LMTP client: Old form of TLS security level encrypt.
    LMTP_ENFORCE_TLS: bool "lmtp_enforce_tls" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true, flags: flag::DEPRECATED };
    /// LMTP client: Relay hosts used when the destination is unreachable.
    LMTP_FALLBACK_RELAY: str "lmtp_fallback_relay" = "", { used_by: "lmtp", since: "3.1", in_3_7: true };
    /// LMTP client: Address rewriting on outgoing mail.
    LMTP_GENERIC_MAPS: str "lmtp_generic_maps" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Header checks during delivery.
    LMTP_HEADER_CHECKS: str "lmtp_header_checks" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: dns and/or native.
    LMTP_HOST_LOOKUP: str "lmtp_host_lookup" = "dns", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// Host name in LHLO.
    LMTP_LHLO_NAME: str "lmtp_lhlo_name" = "$myhostname", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// Time limit for LHLO and greeting.
    LMTP_LHLO_TIMEOUT: time "lmtp_lhlo_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Longest line sent; longer ones are broken.
    LMTP_LINE_LENGTH_LIMIT: int "lmtp_line_length_limit" = "998", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Log tls=level/feature between delays= and dsn= of delivery records.
    LMTP_LOG_TLS_FEATURE_STATUS: nbool "lmtp_log_tls_feature_status" = "yes", { old: Some(OldDefault { below: "3.11", text: "no", unless_set: None }), used_by: "lmtp", since: "3.11" };
    /// LMTP client: Limit for MAIL FROM.
    LMTP_MAIL_TIMEOUT: time "lmtp_mail_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: MIME header checks during delivery.
    LMTP_MIME_HEADER_CHECKS: str "lmtp_mime_header_checks" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Minimum bytes per second with per-request deadline.
    LMTP_MIN_DATA_RATE: int "lmtp_min_data_rate" = "500", { min: 1, used_by: "lmtp", since: "3.7", in_3_7: true };
    /// LMTP client: MX addresses considered.
    LMTP_MX_ADDRESS_LIMIT: int "lmtp_mx_address_limit" = "5", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Sessions per delivery.
    LMTP_MX_SESSION_LIMIT: int "lmtp_mx_session_limit" = "2", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Nested header checks during delivery.
    LMTP_NESTED_HEADER_CHECKS: str "lmtp_nested_header_checks" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// Old name of lmtp_per_request_deadline.
    LMTP_PER_RECORD_DEADLINE: str "lmtp_per_record_deadline" = "", { used_by: "lmtp", since: "2.9", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// LMTP client: Time limit covers whole request.
    LMTP_PER_REQUEST_DEADLINE: nbool "lmtp_per_request_deadline" = "${lmtp_per_record_deadline?{$lmtp_per_record_deadline}:{no}}", { used_by: "lmtp", since: "3.7", in_3_7: true };
    /// LMTP client: Pause before `.<CRLF>` for the PIX bug.
    LMTP_PIX_WORKAROUND_DELAY_TIME: time "lmtp_pix_workaround_delay_time" = "10s", { unit: 's', min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: PIX workarounds by server.
    LMTP_PIX_WORKAROUND_MAPS: str "lmtp_pix_workaround_maps" = "", { used_by: "lmtp", since: "2.4", in_3_7: true };
    /// LMTP client: Queue age before PIX workarounds start.
    LMTP_PIX_WORKAROUND_THRESHOLD_TIME: time "lmtp_pix_workaround_threshold_time" = "500s", { unit: 's', used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: PIX workarounds to use.
    LMTP_PIX_WORKAROUNDS: str "lmtp_pix_workarounds" = "disable_esmtp,delay_dotcrlf", { used_by: "lmtp", since: "2.4", in_3_7: true };
    /// LMTP client: Limit for QUIT.
    LMTP_QUIT_TIMEOUT: time "lmtp_quit_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Quote special local parts.
    LMTP_QUOTE_RFC821_ENVELOPE: bool "lmtp_quote_rfc821_envelope" = "yes", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Shuffle equal-preference MX hosts.
    LMTP_RANDOMIZE_ADDRESSES: bool "lmtp_randomize_addresses" = "yes", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Limit for RCPT TO.
    LMTP_RCPT_TIMEOUT: time "lmtp_rcpt_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Table that rewrites server replies.
    LMTP_REPLY_FILTER: str "lmtp_reply_filter" = "", { used_by: "lmtp", since: "2.7", in_3_7: true };
    /// LMTP client: REQUIRETLS enforcement by next-hop domain.
    LMTP_REQUIRETLS_POLICY: str "lmtp_requiretls_policy" = "opportunistic", { used_by: "lmtp", since: "3.11" };
    /// LMTP client: Limit for RSET.
    LMTP_RSET_TIMEOUT: time "lmtp_rset_timeout" = "20s", { unit: 's', min: 1, used_by: "lmtp", in_3_7: true };
    /// LMTP client: Table of failed logins.
    LMTP_SASL_AUTH_CACHE_NAME: str "lmtp_sasl_auth_cache_name" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Life of a failed login record.
    LMTP_SASL_AUTH_CACHE_TIME: time "lmtp_sasl_auth_cache_time" = "90d", { unit: 'd', used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Use AUTH.
    LMTP_SASL_AUTH_ENABLE: bool "lmtp_sasl_auth_enable" = "no", { used_by: "lmtp", in_3_7: true };
    /// LMTP client: Defer instead of bounce on login failure.
    LMTP_SASL_AUTH_SOFT_BOUNCE: bool "lmtp_sasl_auth_soft_bounce" = "yes", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Mechanisms to use.
    LMTP_SASL_MECHANISM_FILTER: str "lmtp_sasl_mechanism_filter" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Login data by server or sender.
    LMTP_SASL_PASSWORD_MAPS: str "lmtp_sasl_password_maps" = "", { used_by: "lmtp", in_3_7: true };
    /// LMTP client: Text between user and password in lookup result.
    LMTP_SASL_PASSWORD_RESULT_DELIMITER: str "lmtp_sasl_password_result_delimiter" = ":", { min: 1, max: 1, used_by: "lmtp", since: "3.9" };
    /// LMTP client: Plug-in specific configuration.
    LMTP_SASL_PATH: str "lmtp_sasl_path" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Mechanism restrictions without TLS.
    LMTP_SASL_SECURITY_OPTIONS: str "lmtp_sasl_security_options" = "noplaintext, noanonymous", { used_by: "lmtp", in_3_7: true };
    /// LMTP client: Mechanism restrictions with TLS.
    LMTP_SASL_TLS_SECURITY_OPTIONS: str "lmtp_sasl_tls_security_options" = "$lmtp_sasl_security_options", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Mechanism restrictions with verified TLS.
    LMTP_SASL_TLS_VERIFIED_SECURITY_OPTIONS: str "lmtp_sasl_tls_verified_security_options" = "$lmtp_sasl_tls_security_options", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Plug-in type.
    LMTP_SASL_TYPE: str "lmtp_sasl_type" = "cyrus", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Add `AUTH=<>` to MAIL FROM when logged in.
    LMTP_SEND_DUMMY_MAIL_AUTH: bool "lmtp_send_dummy_mail_auth" = "no", { used_by: "lmtp", since: "2.9", in_3_7: true };
    /// LMTP client: Send XFORWARD when offered.
    LMTP_SEND_XFORWARD_COMMAND: bool "lmtp_send_xforward_command" = "no", { used_by: "lmtp", since: "2.1", in_3_7: true };
    /// LMTP client: Look up login by sender; no connection reuse.
    LMTP_SENDER_DEPENDENT_AUTHENTICATION: bool "lmtp_sender_dependent_authentication" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Try the next server after a 5xx greeting.
    LMTP_SKIP_5XX_GREETING: bool "lmtp_skip_5xx_greeting" = "yes", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Do not wait for the QUIT reply.
    LMTP_SKIP_QUIT_RESPONSE: bool "lmtp_skip_quit_response" = "no", { used_by: "lmtp", in_3_7: true };
    /// LMTP client: Limit for STARTTLS I/O.
    LMTP_STARTTLS_TIMEOUT: time "lmtp_starttls_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Default port.
    LMTP_TCP_PORT: str "lmtp_tcp_port" = "24", { used_by: "lmtp", in_3_7: true };
    /// LMTP client: Trusted CA certificates file.
    LMTP_TLS_CAFILE: str "lmtp_tls_CAfile" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Trusted CA certificates directory.
    LMTP_TLS_CAPATH: str "lmtp_tls_CApath" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Detect plaintext injected around STARTTLS.
    LMTP_TLS_BLOCK_EARLY_MAIL_REPLY: bool "lmtp_tls_block_early_mail_reply" = "no", { used_by: "lmtp", since: "2.7", in_3_7: true };
    /// LMTP client: RSA certificate file.
    LMTP_TLS_CERT_FILE: str "lmtp_tls_cert_file" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Key and certificate chain files, any type.
    LMTP_TLS_CHAIN_FILES: str "lmtp_tls_chain_files" = "", { used_by: "lmtp", since: "3.4", in_3_7: true };
    /// LMTP client: Cipher grade for opportunistic TLS.
    LMTP_TLS_CIPHERS: str "lmtp_tls_ciphers" = "medium", { min: 1, used_by: "lmtp", since: "2.6", in_3_7: true };
    /// LMTP client: Reuse TLS connections through tlsproxy.
    LMTP_TLS_CONNECTION_REUSE: bool "lmtp_tls_connection_reuse" = "no", { used_by: "lmtp", since: "3.4", in_3_7: true };
    /// LMTP client: DSA certificate file.
    LMTP_TLS_DCERT_FILE: str "lmtp_tls_dcert_file" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: DSA key file.
    LMTP_TLS_DKEY_FILE: str "lmtp_tls_dkey_file" = "$lmtp_tls_dcert_file", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: ECDSA certificate file.
    LMTP_TLS_ECCERT_FILE: str "lmtp_tls_eccert_file" = "", { used_by: "lmtp", since: "2.6", in_3_7: true };
    /// LMTP client: ECDSA key file.
    LMTP_TLS_ECKEY_FILE: str "lmtp_tls_eckey_file" = "$lmtp_tls_eccert_file", { used_by: "lmtp", since: "2.6", in_3_7: true };
    /// LMTP client: Allow raw public keys.
    LMTP_TLS_ENABLE_RPK: bool "lmtp_tls_enable_rpk" = "no", { used_by: "lmtp", since: "3.9" };
    /// LMTP client: Old: demand name match with enforced TLS.
    LMTP_TLS_ENFORCE_PEERNAME: bool "lmtp_tls_enforce_peername" = "yes", { used_by: "lmtp", since: "2.3", in_3_7: true, flags: flag::DEPRECATED };
    /// LMTP client: Apply MTA-STS mx patterns from policy result.
    LMTP_TLS_ENFORCE_STS_MX_PATTERNS: nbool "lmtp_tls_enforce_sts_mx_patterns" = "yes", { used_by: "lmtp", since: "3.10.5" };
    /// LMTP client: Ciphers never used.
    LMTP_TLS_EXCLUDE_CIPHERS: str "lmtp_tls_exclude_ciphers" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Fingerprints accepted at level fingerprint.
    LMTP_TLS_FINGERPRINT_CERT_MATCH: str "lmtp_tls_fingerprint_cert_match" = "", { used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Fingerprint algorithm.
    LMTP_TLS_FINGERPRINT_DIGEST: str "lmtp_tls_fingerprint_digest" = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", { min: 1, used_by: "lmtp", since: "2.5", in_3_7: true };
    /// LMTP client: Look up TLSA even for unsigned hosts.
    LMTP_TLS_FORCE_INSECURE_HOST_TLSA_LOOKUP: bool "lmtp_tls_force_insecure_host_tlsa_lookup" = "no", { used_by: "lmtp", since: "2.11", in_3_7: true };
    /// LMTP client: RSA key file.
    LMTP_TLS_KEY_FILE: str "lmtp_tls_key_file" = "$lmtp_tls_cert_file", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: TLS logging 0-4.
    LMTP_TLS_LOGLEVEL: str "lmtp_tls_loglevel" = "0", { used_by: "lmtp,tlsmgr", since: "2.3", in_3_7: true };
    /// LMTP client: TLS log level by peer name or address (snapshot).
    LMTP_TLS_LOGLEVEL_MAPS: str "lmtp_tls_loglevel_maps" = "", { used_by: "lmtp", since: "3.12", flags: flag::ONLY_3_12 };
    /// LMTP client: Cipher grade for mandatory TLS.
    LMTP_TLS_MANDATORY_CIPHERS: str "lmtp_tls_mandatory_ciphers" = "medium", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: More ciphers never used with mandatory TLS.
    LMTP_TLS_MANDATORY_EXCLUDE_CIPHERS: str "lmtp_tls_mandatory_exclude_ciphers" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: TLS versions for mandatory TLS.
    LMTP_TLS_MANDATORY_PROTOCOLS: str "lmtp_tls_mandatory_protocols" = ">=TLSv1", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Log servers that offer STARTTLS.
    LMTP_TLS_NOTE_STARTTLS_OFFER: bool "lmtp_tls_note_starttls_offer" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Old per-site TLS table.
    LMTP_TLS_PER_SITE: str "lmtp_tls_per_site" = "", { used_by: "lmtp", since: "2.3", in_3_7: true, flags: flag::DEPRECATED };
    /// LMTP client: TLS policy by next-hop.
    LMTP_TLS_POLICY_MAPS: str "lmtp_tls_policy_maps" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: TLS versions for opportunistic TLS.
    LMTP_TLS_PROTOCOLS: str "lmtp_tls_protocols" = ">=TLSv1", { used_by: "lmtp", since: "2.6", in_3_7: true };
    /// LMTP client: CA chain depth.
    LMTP_TLS_SCERT_VERIFYDEPTH: int "lmtp_tls_scert_verifydepth" = "9", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Names matched at level secure.
    LMTP_TLS_SECURE_CERT_MATCH: str "lmtp_tls_secure_cert_match" = "nexthop", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Default TLS level.
    LMTP_TLS_SECURITY_LEVEL: str "lmtp_tls_security_level" = "", { used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: SNI name to send.
    LMTP_TLS_SERVERNAME: str "lmtp_tls_servername" = "", { used_by: "lmtp", since: "3.4", in_3_7: true };
    /// LMTP client: Session cache file.
    LMTP_TLS_SESSION_CACHE_DATABASE: str "lmtp_tls_session_cache_database" = "", { used_by: "tlsmgr", since: "2.3", in_3_7: true };
    /// LMTP client: Session cache life.
    LMTP_TLS_SESSION_CACHE_TIMEOUT: time "lmtp_tls_session_cache_timeout" = "3600s", { unit: 's', max: 8640000, used_by: "tlsmgr", since: "2.3", in_3_7: true };
    /// LMTP client: Bytes of TLS transcript per connection; 0 disables (snapshot).
    LMTP_TLS_TRACE_SIZE_LIMIT: int "lmtp_tls_trace_size_limit" = "102400", { used_by: "lmtp", since: "3.12", flags: flag::ONLY_3_12 };
    /// LMTP client: Files of trust anchors.
    LMTP_TLS_TRUST_ANCHOR_FILE: str "lmtp_tls_trust_anchor_file" = "", { used_by: "lmtp", since: "2.11", in_3_7: true };
    /// LMTP client: Names matched at level verify.
    LMTP_TLS_VERIFY_CERT_MATCH: str "lmtp_tls_verify_cert_match" = "hostname", { min: 1, used_by: "lmtp", since: "2.3", in_3_7: true };
    /// LMTP client: Start TLS at connect.
    LMTP_TLS_WRAPPERMODE: bool "lmtp_tls_wrappermode" = "no", { used_by: "lmtp", since: "3.0", in_3_7: true };
    /// LMTP client: Send data to a TLSRPT library.
    LMTP_TLSRPT_ENABLE: nbool "lmtp_tlsrpt_enable" = "no", { used_by: "lmtp", since: "3.10" };
    /// LMTP client: Do not report resumed TLS sessions.
    LMTP_TLSRPT_SKIP_REUSED_HANDSHAKES: nbool "lmtp_tlsrpt_skip_reused_handshakes" = "no", { old: Some(OldDefault { below: "3.11", text: "yes", unless_set: None }), used_by: "lmtp", since: "3.10" };
    /// LMTP client: Datagram socket of the TLSRPT reporter.
    LMTP_TLSRPT_SOCKET_NAME: str "lmtp_tlsrpt_socket_name" = "", { used_by: "lmtp", since: "3.10" };
    /// LMTP client: Old form of TLS security level may.
    LMTP_USE_TLS: bool "lmtp_use_tls" = "no", { used_by: "lmtp", since: "2.3", in_3_7: true, flags: flag::DEPRECATED };
    /// LMTP client: Limit for XFORWARD.
    LMTP_XFORWARD_TIMEOUT: time "lmtp_xforward_timeout" = "300s", { unit: 's', min: 1, used_by: "lmtp", since: "2.1", in_3_7: true };
}
