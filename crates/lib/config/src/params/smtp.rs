//! The SMTP client: smtp(8), and what lmtp(8) reads under the same name.

use super::params;

params! {
    /// Use MX/address lookup when SRV lookup fails or finds no record.
    ALLOW_SRV_LOOKUP_FALLBACK: bool "allow_srv_lookup_fallback" = "no", { used_by: "lmtp,smtp", since: "3.8" };
    /// Transport used when the local host is the best MX but not a local destination.
    BEST_MX_TRANSPORT: str "best_mx_transport" = "", { used_by: "lmtp,smtp", in_3_7: true };
    /// Time limit for talking to the scache service.
    CONNECTION_CACHE_PROTOCOL_TIMEOUT: time "connection_cache_protocol_timeout" = "5s", { unit: 's', min: 1, used_by: "lmtp,smtp", since: "2.3", in_3_7: true };
    /// Service name of the connection cache daemon.
    CONNECTION_CACHE_SERVICE_NAME: str "connection_cache_service_name" = "scache", { min: 1, used_by: "lmtp,smtp", since: "2.2", in_3_7: true };
    /// Search path for Cyrus SASL application configuration files.
    CYRUS_SASL_CONFIG_PATH: str "cyrus_sasl_config_path" = "", { used_by: "lmtp,smtp,smtpd", since: "2.5", in_3_7: true };
    /// Address for software, resource, protocol notices.
    ERROR_NOTICE_RECIPIENT: str "error_notice_recipient" = "postmaster", { min: 1, used_by: "lmtp,smtp,smtpd", in_3_7: true };
    /// Old name of smtp_fallback_relay.
    FALLBACK_RELAY: str "fallback_relay" = "", { used_by: "smtp", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Use A/AAAA lookup when MX lookup fails temporarily.
    IGNORE_MX_LOOKUP_ERROR: bool "ignore_mx_lookup_error" = "no", { used_by: "smtp", in_3_7: true };
    /// Use MX/address lookup when SRV lookup fails.
    IGNORE_SRV_LOOKUP_ERROR: bool "ignore_srv_lookup_error" = "no", { used_by: "lmtp,smtp", since: "3.8" };
    /// Openssl command used by postfix tls.
    OPENSSL_PATH: str "openssl_path" = "openssl", { min: 1, used_by: "lmtp,postfix,posttls-finger,smtp,smtpd,tlsproxy", since: "3.1", in_3_7: true, flags: flag::BUILD_TIME };
    /// SMTP client: ipv4, ipv6 or any first.
    SMTP_ADDRESS_PREFERENCE: str "smtp_address_preference" = "any", { min: 1, used_by: "smtp", since: "2.8", in_3_7: true };
    /// SMTP client: Protocol stage for probes: rcpt or data.
    SMTP_ADDRESS_VERIFY_TARGET: str "smtp_address_verify_target" = "rcpt", { min: 1, used_by: "smtp", since: "3.0", in_3_7: true };
    /// SMTP client: Send EHLO even without ESMTP in the banner.
    SMTP_ALWAYS_SEND_EHLO: bool "smtp_always_send_ehlo" = "yes", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Keep room for both IPv4 and IPv6 in the address list.
    SMTP_BALANCE_INET_PROTOCOLS: bool "smtp_balance_inet_protocols" = "yes", { used_by: "smtp", since: "3.3", in_3_7: true };
    /// SMTP client: Source IPv4 address.
    SMTP_BIND_ADDRESS: str "smtp_bind_address" = "", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Source IPv6 address.
    SMTP_BIND_ADDRESS6: str "smtp_bind_address6" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Defer mail when the source address cannot be used.
    SMTP_BIND_ADDRESS_ENFORCE: bool "smtp_bind_address_enforce" = "no", { used_by: "smtp", since: "3.7", in_3_7: true };
    /// SMTP client: Body checks during delivery.
    SMTP_BODY_CHECKS: str "smtp_body_checks" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Use the CNAME expansion as server name.
    SMTP_CNAME_OVERRIDES_SERVERNAME: bool "smtp_cname_overrides_servername" = "no", { used_by: "smtp", since: "2.2.9", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP client: TCP connect limit.
    SMTP_CONNECT_TIMEOUT: time "smtp_connect_timeout" = "30s", { unit: 's', used_by: "smtp", in_3_7: true };
    /// SMTP client: Destinations that are always cached.
    SMTP_CONNECTION_CACHE_DESTINATIONS: str "smtp_connection_cache_destinations" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Cache while a destination has much mail.
    SMTP_CONNECTION_CACHE_ON_DEMAND: bool "smtp_connection_cache_on_demand" = "yes", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Time to keep an idle cached connection.
    SMTP_CONNECTION_CACHE_TIME_LIMIT: time "smtp_connection_cache_time_limit" = "2s", { unit: 's', min: 1, used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Deliveries per cached connection; 0 is none.
    SMTP_CONNECTION_REUSE_COUNT_LIMIT: int "smtp_connection_reuse_count_limit" = "0", { used_by: "smtp", since: "2.11", in_3_7: true };
    /// SMTP client: Life of a cached connection.
    SMTP_CONNECTION_REUSE_TIME_LIMIT: time "smtp_connection_reuse_time_limit" = "300s", { unit: 's', min: 1, used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Limit for the reply to end-of-data.
    SMTP_DATA_DONE_TIMEOUT: time "smtp_data_done_timeout" = "600s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: Limit for the DATA reply.
    SMTP_DATA_INIT_TIMEOUT: time "smtp_data_init_timeout" = "120s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: Limit for sending content.
    SMTP_DATA_XFER_TIMEOUT: time "smtp_data_xfer_timeout" = "180s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: Defer instead of bounce when no MX has an address.
    SMTP_DEFER_IF_NO_MX_ADDRESS_FOUND: bool "smtp_defer_if_no_mx_address_found" = "no", { used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Delivery status filter.
    SMTP_DELIVERY_STATUS_FILTER: str "smtp_delivery_status_filter" = "$default_delivery_status_filter", { used_by: "smtp", in_3_7: true };
    /// SMTP client: EHLO keywords to ignore by server.
    SMTP_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS: str "smtp_discard_ehlo_keyword_address_maps" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: EHLO keywords to ignore.
    SMTP_DISCARD_EHLO_KEYWORDS: str "smtp_discard_ehlo_keywords" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Filter for DNS replies.
    SMTP_DNS_REPLY_FILTER: str "smtp_dns_reply_filter" = "", { used_by: "smtp", since: "3.0", in_3_7: true };
    /// SMTP client: Resolver flags: res_defnames, res_dnsrch.
    SMTP_DNS_RESOLVER_OPTIONS: str "smtp_dns_resolver_options" = "", { used_by: "smtp", since: "2.8", in_3_7: true };
    /// SMTP client: disabled, enabled or dnssec.
    SMTP_DNS_SUPPORT_LEVEL: str "smtp_dns_support_level" = "", { used_by: "smtp", since: "2.11", in_3_7: true };
    /// SMTP client: Old form of TLS security level encrypt.
    SMTP_ENFORCE_TLS: bool "smtp_enforce_tls" = "no", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP client: Relay hosts used when the destination is unreachable.
    SMTP_FALLBACK_RELAY: str "smtp_fallback_relay" = "$fallback_relay", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Address rewriting on outgoing mail.
    SMTP_GENERIC_MAPS: str "smtp_generic_maps" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Header checks during delivery.
    SMTP_HEADER_CHECKS: str "smtp_header_checks" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Name sent in HELO/EHLO.
    SMTP_HELO_NAME: str "smtp_helo_name" = "$myhostname", { min: 1, used_by: "smtp", since: "2.0", in_3_7: true };
    /// SMTP client: Limit for HELO and greeting.
    SMTP_HELO_TIMEOUT: time "smtp_helo_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: dns and/or native.
    SMTP_HOST_LOOKUP: str "smtp_host_lookup" = "dns", { min: 1, used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Longest line sent; longer ones are broken.
    SMTP_LINE_LENGTH_LIMIT: int "smtp_line_length_limit" = "998", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Log tls=level/feature between delays= and dsn= of delivery records.
    SMTP_LOG_TLS_FEATURE_STATUS: nbool "smtp_log_tls_feature_status" = "yes", { old: Some(OldDefault { below: "3.11", text: "no", unless_set: None }), used_by: "smtp", since: "3.11" };
    /// SMTP client: Limit for MAIL FROM.
    SMTP_MAIL_TIMEOUT: time "smtp_mail_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: MIME header checks during delivery.
    SMTP_MIME_HEADER_CHECKS: str "smtp_mime_header_checks" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Minimum bytes per second with per-request deadline.
    SMTP_MIN_DATA_RATE: int "smtp_min_data_rate" = "500", { min: 1, used_by: "smtp", since: "3.7", in_3_7: true };
    /// SMTP client: MX addresses considered.
    SMTP_MX_ADDRESS_LIMIT: int "smtp_mx_address_limit" = "5", { used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Sessions per delivery.
    SMTP_MX_SESSION_LIMIT: int "smtp_mx_session_limit" = "2", { used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Nested header checks during delivery.
    SMTP_NESTED_HEADER_CHECKS: str "smtp_nested_header_checks" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Never send EHLO.
    SMTP_NEVER_SEND_EHLO: bool "smtp_never_send_ehlo" = "no", { used_by: "smtp", in_3_7: true };
    /// Old name of smtp_per_request_deadline.
    SMTP_PER_RECORD_DEADLINE: str "smtp_per_record_deadline" = "", { used_by: "smtp", since: "2.9", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// SMTP client: Time limit covers whole request.
    SMTP_PER_REQUEST_DEADLINE: nbool "smtp_per_request_deadline" = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}", { used_by: "smtp", since: "3.7", in_3_7: true };
    /// SMTP client: Pause before `.<CRLF>` for the PIX bug.
    SMTP_PIX_WORKAROUND_DELAY_TIME: time "smtp_pix_workaround_delay_time" = "10s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: PIX workarounds by server.
    SMTP_PIX_WORKAROUND_MAPS: str "smtp_pix_workaround_maps" = "", { used_by: "smtp", since: "2.4", in_3_7: true };
    /// SMTP client: Queue age before PIX workarounds start.
    SMTP_PIX_WORKAROUND_THRESHOLD_TIME: time "smtp_pix_workaround_threshold_time" = "500s", { unit: 's', used_by: "smtp", in_3_7: true };
    /// SMTP client: PIX workarounds to use.
    SMTP_PIX_WORKAROUNDS: str "smtp_pix_workarounds" = "disable_esmtp,delay_dotcrlf", { used_by: "smtp", since: "2.4", in_3_7: true };
    /// SMTP client: Limit for QUIT.
    SMTP_QUIT_TIMEOUT: time "smtp_quit_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: Quote special local parts.
    SMTP_QUOTE_RFC821_ENVELOPE: bool "smtp_quote_rfc821_envelope" = "yes", { used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Shuffle equal-preference MX hosts.
    SMTP_RANDOMIZE_ADDRESSES: bool "smtp_randomize_addresses" = "yes", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Limit for RCPT TO.
    SMTP_RCPT_TIMEOUT: time "smtp_rcpt_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", in_3_7: true };
    /// SMTP client: Table that rewrites server replies.
    SMTP_REPLY_FILTER: str "smtp_reply_filter" = "", { used_by: "smtp", since: "2.7", in_3_7: true };
    /// SMTP client: REQUIRETLS enforcement by next-hop domain.
    SMTP_REQUIRETLS_POLICY: str "smtp_requiretls_policy" = "inline:{{${domain_to_ascii{$mydomain}}=opportunistic}, {.${domain_to_ascii{$mydomain}}=opportunistic}, {localhost=opportunistic}}, cidr:{{0.0.0.0/0 opportunistic}, {::/0 opportunistic}}, enforce", { used_by: "smtp", since: "3.11" };
    /// SMTP client: Limit for RSET.
    SMTP_RSET_TIMEOUT: time "smtp_rset_timeout" = "20s", { unit: 's', min: 1, used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Table of failed logins.
    SMTP_SASL_AUTH_CACHE_NAME: str "smtp_sasl_auth_cache_name" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Life of a failed login record.
    SMTP_SASL_AUTH_CACHE_TIME: time "smtp_sasl_auth_cache_time" = "90d", { unit: 'd', used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Use AUTH.
    SMTP_SASL_AUTH_ENABLE: bool "smtp_sasl_auth_enable" = "no", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Defer instead of bounce on login failure.
    SMTP_SASL_AUTH_SOFT_BOUNCE: bool "smtp_sasl_auth_soft_bounce" = "yes", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Mechanisms to use.
    SMTP_SASL_MECHANISM_FILTER: str "smtp_sasl_mechanism_filter" = "", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Login data by server or sender.
    SMTP_SASL_PASSWORD_MAPS: str "smtp_sasl_password_maps" = "", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Text between user and password in lookup result.
    SMTP_SASL_PASSWORD_RESULT_DELIMITER: str "smtp_sasl_password_result_delimiter" = ":", { min: 1, max: 1, used_by: "smtp", since: "3.9" };
    /// SMTP client: Plug-in specific configuration.
    SMTP_SASL_PATH: str "smtp_sasl_path" = "", { used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Mechanism restrictions without TLS.
    SMTP_SASL_SECURITY_OPTIONS: str "smtp_sasl_security_options" = "noplaintext, noanonymous", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Mechanism restrictions with TLS.
    SMTP_SASL_TLS_SECURITY_OPTIONS: str "smtp_sasl_tls_security_options" = "$smtp_sasl_security_options", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Mechanism restrictions with verified TLS.
    SMTP_SASL_TLS_VERIFIED_SECURITY_OPTIONS: str "smtp_sasl_tls_verified_security_options" = "$smtp_sasl_tls_security_options", { used_by: "smtp", since: "2.6", in_3_7: true };
    /// SMTP client: Plug-in type.
    SMTP_SASL_TYPE: str "smtp_sasl_type" = "cyrus", { min: 1, used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Add `AUTH=<>` to MAIL FROM when logged in.
    SMTP_SEND_DUMMY_MAIL_AUTH: bool "smtp_send_dummy_mail_auth" = "no", { used_by: "smtp", since: "2.9", in_3_7: true };
    /// SMTP client: Send XFORWARD when offered.
    SMTP_SEND_XFORWARD_COMMAND: bool "smtp_send_xforward_command" = "no", { used_by: "smtp", since: "2.1", in_3_7: true };
    /// SMTP client: Look up login by sender; no connection reuse.
    SMTP_SENDER_DEPENDENT_AUTHENTICATION: bool "smtp_sender_dependent_authentication" = "no", { used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Try the next server after a 5xx greeting.
    SMTP_SKIP_5XX_GREETING: bool "smtp_skip_5xx_greeting" = "yes", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Do not wait for the QUIT reply.
    SMTP_SKIP_QUIT_RESPONSE: bool "smtp_skip_quit_response" = "yes", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Limit for STARTTLS I/O.
    SMTP_STARTTLS_TIMEOUT: time "smtp_starttls_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Default port.
    SMTP_TCP_PORT: str "smtp_tcp_port" = "smtp", { used_by: "smtp", in_3_7: true };
    /// SMTP client: Trusted CA certificates file.
    SMTP_TLS_CAFILE: str "smtp_tls_CAfile" = "", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: Trusted CA certificates directory.
    SMTP_TLS_CAPATH: str "smtp_tls_CApath" = "", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: Detect plaintext injected around STARTTLS.
    SMTP_TLS_BLOCK_EARLY_MAIL_REPLY: bool "smtp_tls_block_early_mail_reply" = "no", { used_by: "smtp", since: "2.7", in_3_7: true };
    /// SMTP client: RSA certificate file.
    SMTP_TLS_CERT_FILE: str "smtp_tls_cert_file" = "", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: Key and certificate chain files, any type.
    SMTP_TLS_CHAIN_FILES: str "smtp_tls_chain_files" = "", { used_by: "smtp,tlsproxy", since: "3.4", in_3_7: true };
    /// SMTP client: Cipher grade for opportunistic TLS.
    SMTP_TLS_CIPHERS: str "smtp_tls_ciphers" = "medium", { min: 1, used_by: "smtp", since: "2.6", in_3_7: true };
    /// SMTP client: Reuse TLS connections through tlsproxy.
    SMTP_TLS_CONNECTION_REUSE: bool "smtp_tls_connection_reuse" = "no", { used_by: "smtp", since: "3.4", in_3_7: true };
    /// SMTP client: Policy when MX records are not signed.
    SMTP_TLS_DANE_INSECURE_MX_POLICY: str "smtp_tls_dane_insecure_mx_policy" = "dane", { old: Some(OldDefault { below: "3.10", text: "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}", unless_set: None }), used_by: "smtp", since: "3.1", in_3_7: true };
    /// SMTP client: DSA certificate file.
    SMTP_TLS_DCERT_FILE: str "smtp_tls_dcert_file" = "", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: DSA key file.
    SMTP_TLS_DKEY_FILE: str "smtp_tls_dkey_file" = "$smtp_tls_dcert_file", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: ECDSA certificate file.
    SMTP_TLS_ECCERT_FILE: str "smtp_tls_eccert_file" = "", { used_by: "smtp,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP client: ECDSA key file.
    SMTP_TLS_ECKEY_FILE: str "smtp_tls_eckey_file" = "$smtp_tls_eccert_file", { used_by: "smtp,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP client: Allow raw public keys.
    SMTP_TLS_ENABLE_RPK: bool "smtp_tls_enable_rpk" = "no", { used_by: "smtp", since: "3.9" };
    /// SMTP client: Old: demand name match with enforced TLS.
    SMTP_TLS_ENFORCE_PEERNAME: bool "smtp_tls_enforce_peername" = "yes", { used_by: "smtp", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP client: Apply MTA-STS mx patterns from policy result.
    SMTP_TLS_ENFORCE_STS_MX_PATTERNS: nbool "smtp_tls_enforce_sts_mx_patterns" = "yes", { used_by: "smtp", since: "3.10.5" };
    /// SMTP client: Ciphers never used.
    SMTP_TLS_EXCLUDE_CIPHERS: str "smtp_tls_exclude_ciphers" = "", { used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Fingerprints accepted at level fingerprint.
    SMTP_TLS_FINGERPRINT_CERT_MATCH: str "smtp_tls_fingerprint_cert_match" = "", { used_by: "smtp", since: "2.5", in_3_7: true };
    /// SMTP client: Fingerprint algorithm.
    SMTP_TLS_FINGERPRINT_DIGEST: str "smtp_tls_fingerprint_digest" = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", { min: 1, used_by: "posttls-finger,smtp,tlsproxy", since: "2.5", in_3_7: true };
    /// SMTP client: Look up TLSA even for unsigned hosts.
    SMTP_TLS_FORCE_INSECURE_HOST_TLSA_LOOKUP: bool "smtp_tls_force_insecure_host_tlsa_lookup" = "no", { used_by: "smtp", since: "2.11", in_3_7: true };
    /// SMTP client: RSA key file.
    SMTP_TLS_KEY_FILE: str "smtp_tls_key_file" = "$smtp_tls_cert_file", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: TLS logging 0-4.
    SMTP_TLS_LOGLEVEL: str "smtp_tls_loglevel" = "0", { used_by: "smtp,tlsmgr,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: TLS log level by peer name or address (snapshot).
    SMTP_TLS_LOGLEVEL_MAPS: str "smtp_tls_loglevel_maps" = "", { used_by: "smtp", since: "3.12", flags: flag::ONLY_3_12 };
    /// SMTP client: Cipher grade for mandatory TLS.
    SMTP_TLS_MANDATORY_CIPHERS: str "smtp_tls_mandatory_ciphers" = "medium", { min: 1, used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: More ciphers never used with mandatory TLS.
    SMTP_TLS_MANDATORY_EXCLUDE_CIPHERS: str "smtp_tls_mandatory_exclude_ciphers" = "", { used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: TLS versions for mandatory TLS.
    SMTP_TLS_MANDATORY_PROTOCOLS: str "smtp_tls_mandatory_protocols" = ">=TLSv1", { used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Log servers that offer STARTTLS.
    SMTP_TLS_NOTE_STARTTLS_OFFER: bool "smtp_tls_note_starttls_offer" = "no", { used_by: "smtp", since: "2.2", in_3_7: true };
    /// SMTP client: Old per-site TLS table.
    SMTP_TLS_PER_SITE: str "smtp_tls_per_site" = "", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP client: TLS policy by next-hop.
    SMTP_TLS_POLICY_MAPS: str "smtp_tls_policy_maps" = "", { used_by: "smtp,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP client: TLS versions for opportunistic TLS.
    SMTP_TLS_PROTOCOLS: str "smtp_tls_protocols" = ">=TLSv1", { used_by: "smtp", since: "2.6", in_3_7: true };
    /// SMTP client: CA chain depth.
    SMTP_TLS_SCERT_VERIFYDEPTH: int "smtp_tls_scert_verifydepth" = "9", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP client: Names matched at level secure.
    SMTP_TLS_SECURE_CERT_MATCH: str "smtp_tls_secure_cert_match" = "nexthop, dot-nexthop", { min: 1, used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Default TLS level.
    SMTP_TLS_SECURITY_LEVEL: str "smtp_tls_security_level" = "${{$compatibility_level} <level {3.11} ? {} : {may}}", { old: Some(OldDefault { below: "3.11", text: "", unless_set: None }), used_by: "smtp,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP client: SNI name to send.
    SMTP_TLS_SERVERNAME: str "smtp_tls_servername" = "", { used_by: "smtp", since: "3.4", in_3_7: true };
    /// SMTP client: Session cache file.
    SMTP_TLS_SESSION_CACHE_DATABASE: str "smtp_tls_session_cache_database" = "", { used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// SMTP client: Session cache life.
    SMTP_TLS_SESSION_CACHE_TIMEOUT: time "smtp_tls_session_cache_timeout" = "3600s", { unit: 's', max: 8640000, used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// SMTP client: Bytes of TLS transcript per connection; 0 disables (snapshot).
    SMTP_TLS_TRACE_SIZE_LIMIT: int "smtp_tls_trace_size_limit" = "102400", { used_by: "smtp", since: "3.12", flags: flag::ONLY_3_12 };
    /// SMTP client: Files of trust anchors.
    SMTP_TLS_TRUST_ANCHOR_FILE: str "smtp_tls_trust_anchor_file" = "", { used_by: "smtp", since: "2.11", in_3_7: true };
    /// SMTP client: Names matched at level verify.
    SMTP_TLS_VERIFY_CERT_MATCH: str "smtp_tls_verify_cert_match" = "hostname", { min: 1, used_by: "smtp", since: "2.3", in_3_7: true };
    /// SMTP client: Start TLS at connect.
    SMTP_TLS_WRAPPERMODE: bool "smtp_tls_wrappermode" = "no", { used_by: "smtp", since: "3.0", in_3_7: true };
    /// SMTP client: Send data to a TLSRPT library.
    SMTP_TLSRPT_ENABLE: nbool "smtp_tlsrpt_enable" = "no", { used_by: "smtp", since: "3.10" };
    /// SMTP client: Do not report resumed TLS sessions.
    SMTP_TLSRPT_SKIP_REUSED_HANDSHAKES: nbool "smtp_tlsrpt_skip_reused_handshakes" = "no", { old: Some(OldDefault { below: "3.11", text: "yes", unless_set: None }), used_by: "smtp", since: "3.10" };
    /// SMTP client: Datagram socket of the TLSRPT reporter.
    SMTP_TLSRPT_SOCKET_NAME: str "smtp_tlsrpt_socket_name" = "", { used_by: "smtp", since: "3.10" };
    /// SMTP client: Old form of TLS security level may.
    SMTP_USE_TLS: bool "smtp_use_tls" = "no", { used_by: "smtp,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP client: Limit for XFORWARD.
    SMTP_XFORWARD_TIMEOUT: time "smtp_xforward_timeout" = "300s", { unit: 's', min: 1, used_by: "smtp", since: "2.1", in_3_7: true };
    /// Services (submission, smtp, ...) whose next-hop is found by SRV lookup.
    USE_SRV_LOOKUP: str "use_srv_lookup" = "", { used_by: "lmtp,smtp", since: "3.8" };
}
