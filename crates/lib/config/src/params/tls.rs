//! TLS in general, tlsmgr(8) and tlsproxy(8).

use super::params;

params! {
    /// Add system CA certificates to configured ones.
    TLS_APPEND_DEFAULT_CA: bool "tls_append_default_CA" = "no", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.4.15", in_3_7: true };
    /// OpenSSL configuration file: default, none or path.
    TLS_CONFIG_FILE: str "tls_config_file" = "default", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.9", in_3_7: true };
    /// OpenSSL application section name.
    TLS_CONFIG_NAME: str "tls_config_name" = "", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.9", in_3_7: true };
    /// Seed bytes asked from tlsmgr.
    TLS_DAEMON_RANDOM_BYTES: int "tls_daemon_random_bytes" = "32", { min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// TLSA digest algorithms by preference.
    TLS_DANE_DIGESTS: str "tls_dane_digests" = "sha512 sha256", { min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.11", in_3_7: true };
    /// OpenSSL workarounds to turn off.
    TLS_DISABLE_WORKAROUNDS: str "tls_disable_workarounds" = "", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.8", in_3_7: true };
    /// Curves offered in automatic mode, by preference.
    TLS_EECDH_AUTO_CURVES: str "tls_eecdh_auto_curves" = "X25519 X448 prime256v1 secp384r1 secp521r1 ", { old: Some(OldDefault { below: "3.11", text: "X25519 X448 prime256v1 secp521r1 secp384r1", unless_set: None }), used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.2", in_3_7: true };
    /// Curve for grade strong.
    TLS_EECDH_STRONG_CURVE: str "tls_eecdh_strong_curve" = "prime256v1", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// Curve for grade ultra.
    TLS_EECDH_ULTRA_CURVE: str "tls_eecdh_ultra_curve" = "secp384r1", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// Ignored cipher list for grade export.
    TLS_EXPORT_CIPHERLIST: str "tls_export_cipherlist" = "", { old: Some(OldDefault { below: "3.8", text: "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH", unless_set: None }), used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// Do not wait for peer close_notify.
    TLS_FAST_SHUTDOWN_ENABLE: bool "tls_fast_shutdown_enable" = "yes", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.5", in_3_7: true };
    /// FFDHE groups offered, by preference.
    TLS_FFDHE_AUTO_GROUPS: str "tls_ffdhe_auto_groups" = "ffdhe2048 ffdhe3072 ", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.8" };
    /// Cipher list for grade high.
    TLS_HIGH_CIPHERLIST: str "tls_high_cipherlist" = "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH", { old: Some(OldDefault { below: "3.8", text: "aNULL:-aNULL:HIGH:@STRENGTH", unless_set: None }), min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// Accept old-style certificate digests too.
    TLS_LEGACY_PUBLIC_KEY_FINGERPRINTS: bool "tls_legacy_public_key_fingerprints" = "no", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.9.6", in_3_7: true, flags: flag::REMOVED };
    /// Ignored cipher list for grade low.
    TLS_LOW_CIPHERLIST: str "tls_low_cipherlist" = "", { old: Some(OldDefault { below: "3.8", text: "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", unless_set: None }), used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// Cipher list for grade medium.
    TLS_MEDIUM_CIPHERLIST: str "tls_medium_cipherlist" = "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH", { old: Some(OldDefault { below: "3.8", text: "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", unless_set: None }), min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// Cipher list for grade null.
    TLS_NULL_CIPHERLIST: str "tls_null_cipherlist" = "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL", { old: Some(OldDefault { below: "3.8", text: "eNULL:!aNULL", unless_set: None }), min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// Server cipher order wins.
    TLS_PREEMPT_CIPHERLIST: bool "tls_preempt_cipherlist" = "no", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.8", in_3_7: true };
    /// Bytes tlsmgr reads per reseed.
    TLS_RANDOM_BYTES: int "tls_random_bytes" = "32", { min: 1, used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// PRNG state file.
    TLS_RANDOM_EXCHANGE_NAME: str "tls_random_exchange_name" = "${data_directory}/prng_exch", { used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// Time between saving PRNG state.
    TLS_RANDOM_PRNG_UPDATE_PERIOD: time "tls_random_prng_update_period" = "3600s", { unit: 's', min: 1, used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// Longest time between reseeds.
    TLS_RANDOM_RESEED_PERIOD: time "tls_random_reseed_period" = "3600s", { unit: 's', min: 1, used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// Entropy source: dev:, egd: or file.
    TLS_RANDOM_SOURCE: str "tls_random_source" = "dev:/dev/urandom", { used_by: "tlsmgr", since: "2.2", in_3_7: true, flags: flag::BUILD_TIME };
    /// Honour the TLS-Required: no header.
    TLS_REQUIRED_ENABLE: nbool "tls_required_enable" = "yes", { old: Some(OldDefault { below: "3.10", text: "no", unless_set: None }), used_by: "all", since: "3.10" };
    /// Keys and certificates by SNI name.
    TLS_SERVER_SNI_MAPS: str "tls_server_sni_maps" = "", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.4", in_3_7: true };
    /// Cipher for session tickets.
    TLS_SESSION_TICKET_CIPHER: str "tls_session_ticket_cipher" = "aes-256-cbc", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.0", in_3_7: true };
    /// OpenSSL options to turn on.
    TLS_SSL_OPTIONS: str "tls_ssl_options" = "", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.11", in_3_7: true };
    /// TLS traces per anvil time unit, whole system; `<=0` is no limit (snapshot).
    TLS_TRACE_RATE_LIMIT: int "tls_trace_rate_limit" = "1", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.12", flags: flag::ONLY_3_12 };
    /// Trust client certificates whose extended key usage is only serverAuth (snapshot).
    TLS_TRUST_SERVER_CCERTS: bool "tls_trust_server_ccerts" = "no", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "3.12", flags: flag::ONLY_3_12 };
    /// *.domain matches more than one label.
    TLS_WILDCARD_MATCHES_MULTIPLE_LABELS: bool "tls_wildcard_matches_multiple_labels" = "yes", { used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.11", in_3_7: true };
    /// Service name of tlsmgr.
    TLSMGR_SERVICE_NAME: str "tlsmgr_service_name" = "tlsmgr", { min: 1, used_by: "lmtp,posttls-finger,smtp,smtpd,tlsproxy", since: "2.11", in_3_7: true };
    /// Tlsproxy client role: Trusted CA certificates file.
    TLSPROXY_CLIENT_CAFILE: str "tlsproxy_client_CAfile" = "$smtp_tls_CAfile", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: Trusted CA certificates directory.
    TLSPROXY_CLIENT_CAPATH: str "tlsproxy_client_CApath" = "$smtp_tls_CApath", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: RSA certificate file.
    TLSPROXY_CLIENT_CERT_FILE: str "tlsproxy_client_cert_file" = "$smtp_tls_cert_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: Key and certificate chain files, any type.
    TLSPROXY_CLIENT_CHAIN_FILES: str "tlsproxy_client_chain_files" = "$smtp_tls_chain_files", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: DSA certificate file.
    TLSPROXY_CLIENT_DCERT_FILE: str "tlsproxy_client_dcert_file" = "$smtp_tls_dcert_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: DSA key file.
    TLSPROXY_CLIENT_DKEY_FILE: str "tlsproxy_client_dkey_file" = "$smtp_tls_dkey_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: ECDSA certificate file.
    TLSPROXY_CLIENT_ECCERT_FILE: str "tlsproxy_client_eccert_file" = "$smtp_tls_eccert_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: ECDSA key file.
    TLSPROXY_CLIENT_ECKEY_FILE: str "tlsproxy_client_eckey_file" = "$smtp_tls_eckey_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Old form of tlsproxy_client_security_level=encrypt.
    TLSPROXY_CLIENT_ENFORCE_TLS: nbool "tlsproxy_client_enforce_tls" = "$smtp_enforce_tls", { used_by: "tlsproxy", since: "3.4", in_3_7: true, flags: flag::DEPRECATED };
    /// Tlsproxy client role: Fingerprint algorithm.
    TLSPROXY_CLIENT_FINGERPRINT_DIGEST: str "tlsproxy_client_fingerprint_digest" = "$smtp_tls_fingerprint_digest", { min: 1, used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: RSA key file.
    TLSPROXY_CLIENT_KEY_FILE: str "tlsproxy_client_key_file" = "$smtp_tls_key_file", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Old name of tlsproxy_client_security_level.
    TLSPROXY_CLIENT_LEVEL: str "tlsproxy_client_level" = "", { used_by: "tlsproxy", since: "3.4", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Tlsproxy client role: TLS logging 0-4.
    TLSPROXY_CLIENT_LOGLEVEL: str "tlsproxy_client_loglevel" = "$smtp_tls_loglevel", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Name of the parameter behind tlsproxy_client_loglevel, for error text.
    TLSPROXY_CLIENT_LOGLEVEL_PARAMETER: str "tlsproxy_client_loglevel_parameter" = "smtp_tls_loglevel", { used_by: "tlsproxy", since: "3.4", in_3_7: true, flags: flag::GONE_IN_3_12 };
    /// Tlsproxy client role: Old per-site TLS table.
    TLSPROXY_CLIENT_PER_SITE: str "tlsproxy_client_per_site" = "$smtp_tls_per_site", { used_by: "tlsproxy", since: "3.4", in_3_7: true, flags: flag::DEPRECATED };
    /// Old name of tlsproxy_client_policy_maps.
    TLSPROXY_CLIENT_POLICY: str "tlsproxy_client_policy" = "", { used_by: "tlsproxy", since: "3.4", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Tlsproxy client role: TLS policy by next-hop.
    TLSPROXY_CLIENT_POLICY_MAPS: str "tlsproxy_client_policy_maps" = "${tlsproxy_client_policy?{$tlsproxy_client_policy}:{$smtp_tls_policy_maps}}", { old: Some(OldDefault { below: "3.11", text: "${tlsproxy_client_policy:$smtp_tls_policy_maps}", unless_set: None }), used_by: "tlsproxy", since: "3.7", in_3_7: true };
    /// Tlsproxy client role: CA chain depth.
    TLSPROXY_CLIENT_SCERT_VERIFYDEPTH: nint "tlsproxy_client_scert_verifydepth" = "$smtp_tls_scert_verifydepth", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy client role: Default TLS level.
    TLSPROXY_CLIENT_SECURITY_LEVEL: str "tlsproxy_client_security_level" = "${tlsproxy_client_level?{$tlsproxy_client_level}:{$smtp_tls_security_level}}", { old: Some(OldDefault { below: "3.11", text: "${tlsproxy_client_level:$smtp_tls_security_level}", unless_set: None }), used_by: "tlsproxy", since: "3.7", in_3_7: true };
    /// Old form of tlsproxy_client_security_level=may.
    TLSPROXY_CLIENT_USE_TLS: nbool "tlsproxy_client_use_tls" = "$smtp_use_tls", { used_by: "tlsproxy", since: "3.4", in_3_7: true, flags: flag::DEPRECATED };
    /// Old form of tlsproxy_tls_security_level=encrypt.
    TLSPROXY_ENFORCE_TLS: nbool "tlsproxy_enforce_tls" = "$smtpd_enforce_tls", { used_by: "tlsproxy", since: "2.8", in_3_7: true, flags: flag::DEPRECATED };
    /// Service name of tlsproxy.
    TLSPROXY_SERVICE_NAME: str "tlsproxy_service_name" = "tlsproxy", { min: 1, used_by: "lmtp,postscreen,smtp,smtpd", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Trusted CA certificates file.
    TLSPROXY_TLS_CAFILE: str "tlsproxy_tls_CAfile" = "$smtpd_tls_CAfile", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Trusted CA certificates directory.
    TLSPROXY_TLS_CAPATH: str "tlsproxy_tls_CApath" = "$smtpd_tls_CApath", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Issue session IDs even without caching.
    TLSPROXY_TLS_ALWAYS_ISSUE_SESSION_IDS: nbool "tlsproxy_tls_always_issue_session_ids" = "$smtpd_tls_always_issue_session_ids", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Ask for a client certificate.
    TLSPROXY_TLS_ASK_CCERT: nbool "tlsproxy_tls_ask_ccert" = "$smtpd_tls_ask_ccert", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Client certificate chain depth.
    TLSPROXY_TLS_CCERT_VERIFYDEPTH: nint "tlsproxy_tls_ccert_verifydepth" = "$smtpd_tls_ccert_verifydepth", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: RSA certificate file.
    TLSPROXY_TLS_CERT_FILE: str "tlsproxy_tls_cert_file" = "$smtpd_tls_cert_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Key and certificate chain files, any type.
    TLSPROXY_TLS_CHAIN_FILES: str "tlsproxy_tls_chain_files" = "$smtpd_tls_chain_files", { used_by: "tlsproxy", since: "3.4", in_3_7: true };
    /// Tlsproxy server role: Cipher grade for opportunistic TLS.
    TLSPROXY_TLS_CIPHERS: str "tlsproxy_tls_ciphers" = "$smtpd_tls_ciphers", { min: 1, used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: DSA certificate file.
    TLSPROXY_TLS_DCERT_FILE: str "tlsproxy_tls_dcert_file" = "$smtpd_tls_dcert_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: DH parameters file; auto or built-in when empty.
    TLSPROXY_TLS_DH1024_PARAM_FILE: str "tlsproxy_tls_dh1024_param_file" = "$smtpd_tls_dh1024_param_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Ignored (export DH).
    TLSPROXY_TLS_DH512_PARAM_FILE: str "tlsproxy_tls_dh512_param_file" = "$smtpd_tls_dh512_param_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: DSA key file.
    TLSPROXY_TLS_DKEY_FILE: str "tlsproxy_tls_dkey_file" = "$smtpd_tls_dkey_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: ECDSA certificate file.
    TLSPROXY_TLS_ECCERT_FILE: str "tlsproxy_tls_eccert_file" = "$smtpd_tls_eccert_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: ECDSA key file.
    TLSPROXY_TLS_ECKEY_FILE: str "tlsproxy_tls_eckey_file" = "$smtpd_tls_eckey_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: ECDH grade.
    TLSPROXY_TLS_EECDH_GRADE: str "tlsproxy_tls_eecdh_grade" = "$smtpd_tls_eecdh_grade", { min: 1, used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Allow raw public keys.
    TLSPROXY_TLS_ENABLE_RPK: nbool "tlsproxy_tls_enable_rpk" = "$smtpd_tls_enable_rpk", { used_by: "tlsproxy", since: "3.9" };
    /// Tlsproxy server role: Ciphers never used.
    TLSPROXY_TLS_EXCLUDE_CIPHERS: str "tlsproxy_tls_exclude_ciphers" = "$smtpd_tls_exclude_ciphers", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Fingerprint algorithm.
    TLSPROXY_TLS_FINGERPRINT_DIGEST: str "tlsproxy_tls_fingerprint_digest" = "$smtpd_tls_fingerprint_digest", { min: 1, used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: RSA key file.
    TLSPROXY_TLS_KEY_FILE: str "tlsproxy_tls_key_file" = "$smtpd_tls_key_file", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: TLS logging 0-4.
    TLSPROXY_TLS_LOGLEVEL: str "tlsproxy_tls_loglevel" = "$smtpd_tls_loglevel", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Cipher grade for mandatory TLS.
    TLSPROXY_TLS_MANDATORY_CIPHERS: str "tlsproxy_tls_mandatory_ciphers" = "$smtpd_tls_mandatory_ciphers", { min: 1, used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: More ciphers never used with mandatory TLS.
    TLSPROXY_TLS_MANDATORY_EXCLUDE_CIPHERS: str "tlsproxy_tls_mandatory_exclude_ciphers" = "$smtpd_tls_mandatory_exclude_ciphers", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: TLS versions for mandatory TLS.
    TLSPROXY_TLS_MANDATORY_PROTOCOLS: str "tlsproxy_tls_mandatory_protocols" = "$smtpd_tls_mandatory_protocols", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: TLS versions for opportunistic TLS.
    TLSPROXY_TLS_PROTOCOLS: str "tlsproxy_tls_protocols" = "$smtpd_tls_protocols", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Demand a client certificate with mandatory TLS.
    TLSPROXY_TLS_REQ_CCERT: nbool "tlsproxy_tls_req_ccert" = "$smtpd_tls_req_ccert", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Tlsproxy server role: Default TLS level.
    TLSPROXY_TLS_SECURITY_LEVEL: str "tlsproxy_tls_security_level" = "$smtpd_tls_security_level", { used_by: "tlsproxy", since: "2.8", in_3_7: true };
    /// Old form of tlsproxy_tls_security_level=may.
    TLSPROXY_USE_TLS: nbool "tlsproxy_use_tls" = "$smtpd_use_tls", { used_by: "tlsproxy", since: "2.8", in_3_7: true, flags: flag::DEPRECATED };
    /// Request watchdog.
    TLSPROXY_WATCHDOG_TIMEOUT: time "tlsproxy_watchdog_timeout" = "10s", { unit: 's', min: 10, used_by: "tlsproxy", since: "2.8", in_3_7: true };
}
