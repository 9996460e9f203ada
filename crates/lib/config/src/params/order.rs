//! In which order programs read their parameters at start-up, which decides what `$name` sees: the
//! default of a parameter is there once it has been read, not before. Knows no values.

use super::ParamInfo;

/// The order of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    own: &'static [&'static str],
}

impl Order {
    /// The order of `program`; programs without parameters of their own read the common ones.
    pub(crate) fn of(program: &str) -> Self {
        let found = OWN.binary_search_by(|(name, _)| (*name).cmp(program));
        Self {
            own: found.map_or(&[], |at| OWN[at].1),
        }
    }

    /// When `name` is read; `None` when it is read later, or never.
    pub(crate) fn rank(self, name: &str) -> Option<usize> {
        self.names().position(|known| known == name)
    }

    /// The names in this order.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        COMMON.iter().chain(self.own).copied()
    }
}

/// A point of time in the life of a program: before the parameter of this rank is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) order: Order,
    pub(crate) rank: usize,
}

impl Moment {
    /// When `program` evaluates the parameter `info`. What another program reads at its start is seen
    /// with the eyes of that one, whose work `program` then does.
    pub(crate) fn of(program: &str, info: &ParamInfo) -> Self {
        let at = |program| {
            let order = Order::of(program);
            order.rank(info.name).map(|rank| Self { order, rank })
        };
        at(program)
            .or_else(|| info.used_by.split(',').find_map(at))
            .unwrap_or_else(|| Self::late(program))
    }

    /// When `program` has read everything.
    pub(crate) fn late(program: &str) -> Self {
        Self {
            order: Order::of(program),
            rank: usize::MAX,
        }
    }

    /// When `name` was read, if that is before this moment.
    pub(crate) fn before(self, name: &str) -> Option<Self> {
        let rank = self.order.rank(name).filter(|rank| *rank < self.rank)?;
        Some(Self { rank, ..self })
    }
}

/// What every program reads first.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "compatibility_level", "mail_version", "syslog_facility", "inet_protocols",
    "multi_instance_directories", "multi_instance_group", "multi_instance_name", "maillog_file",
    "maillog_file_prefixes", "maillog_file_compressor", "maillog_file_rotate_suffix",
    "postlog_service_name", "dnssec_probe", "known_tcp_ports", "daemon_table_open_error_is_fatal",
    "dns_ncache_ttl_fix_enable", "smtputf8_enable", "enable_idna2003_compatibility", "respectful_logging",
    "non_bdb_migration_log_redirect", "requiretls_enable", "tls_required_enable", "myhostname", "mydomain",
    "mail_name", "syslog_name", "mail_owner", "setgid_group", "mydestination", "myorigin", "relayhost",
    "daemon_directory", "data_directory", "command_directory", "meta_directory", "queue_directory",
    "shlib_directory", "process_id_directory", "inet_interfaces", "proxy_interfaces",
    "double_bounce_sender", "default_privs", "alias_database", "mail_release_date",
    "default_database_type", "hash_queue_names", "recipient_delimiter", "relay_domains",
    "fast_flush_domains", "export_environment", "import_environment", "mynetworks_style",
    "debug_peer_list", "default_verp_delimiters", "verp_delimiter_filter",
    "parent_domain_matches_subdomains", "alternate_config_directories", "bounce_service_name",
    "cleanup_service_name", "defer_service_name", "pickup_service_name", "queue_service_name",
    "rewrite_service_name", "showq_service_name", "error_service_name", "flush_service_name",
    "address_verify_service_name", "trace_service_name", "proxymap_service_name",
    "proxywrite_service_name", "internal_mail_filter_classes", "multi_instance_wrapper",
    "default_delivery_status_filter", "smtputf8_autodetect_classes", "message_drop_headers",
    "info_log_address_format", "default_cache_db_type", "maillog_file_permissions",
    "non_bdb_custom_mapping", "non_bdb_migration_level", "non_bdb_migration_service_name",
    "default_process_limit", "max_use", "dont_remove", "line_length_limit", "hash_queue_depth",
    "fork_attempts", "deliver_lock_attempts", "debug_peer_level", "fault_injection_code",
    "berkeley_db_create_buffer_size", "berkeley_db_read_buffer_size", "header_size_limit",
    "header_address_token_limit", "mime_nesting_limit", "mime_boundary_length_limit",
    "delay_logging_resolution_limit", "tcp_windowsize", "socketmap_max_query_size",
    "socketmap_max_reply_size", "message_size_limit", "lmdb_map_size", "disable_dns_lookups",
    "soft_bounce", "owner_request_special", "strict_8bitmime", "strict_7bit_headers",
    "strict_8bitmime_body", "strict_mime_encoding_domain", "disable_mime_input_processing",
    "disable_mime_output_conversion", "address_verify_negative_cache",
    "backwards_bounce_logfile_compatibility", "helpful_warnings", "send_cyrus_sasl_authzid",
    "multi_instance_enable", "enable_long_queue_ids", "strict_smtputf8", "enable_original_recipient",
    "application_event_drain_time", "max_idle", "ipc_timeout", "ipc_idle", "ipc_ttl", "trigger_timeout",
    "fork_delay", "deliver_lock_delay", "stale_lock_time", "daemon_timeout", "in_flow_delay", "mynetworks",
];

/// What programs read after that, sorted by program.
#[rustfmt::skip]
const OWN: &[(&str, &[&str])] = &[
    ("anvil", &[
        "anvil_rate_time_unit", "anvil_status_update_time",
    ]),
    ("bounce", &[
        "bounce_size_limit", "notify_classes", "bounce_notice_recipient", "2bounce_notice_recipient",
        "delay_notice_recipient", "bounce_template_file", "header_from_format", "maximal_queue_lifetime",
        "delay_warning_time", "enable_threaded_bounces", "requiretls_redact_dsn",
    ]),
    ("cleanup", &[
        "hopcount_limit", "duplicate_filter_limit", "queue_file_attribute_count_limit",
        "virtual_alias_recursion_limit", "virtual_alias_expansion_limit",
        "virtual_alias_address_length_limit", "body_checks_size_limit", "disable_verp_bounces",
        "detect_8bit_encoding_header", "always_add_missing_headers", "cleanup_replace_stray_cr_lf",
        "force_mime_input_conversion", "requiretls_esmtp_header", "canonical_maps",
        "sender_canonical_maps", "recipient_canonical_maps", "canonical_classes",
        "sender_canonical_classes", "recipient_canonical_classes", "virtual_alias_maps", "virtual_maps",
        "masquerade_domains", "empty_address_recipient", "masquerade_exceptions", "header_checks",
        "mime_header_checks", "nested_header_checks", "body_checks", "propagate_unmatched_extensions",
        "always_bcc", "undisclosed_recipients_header", "masquerade_classes", "sender_bcc_maps",
        "recipient_bcc_maps", "remote_header_rewrite_domain", "message_reject_characters",
        "message_strip_characters", "milter_protocol", "milter_default_action", "milter_macro_daemon_name",
        "milter_macro_v", "milter_connect_macros", "milter_helo_macros", "milter_mail_macros",
        "milter_rcpt_macros", "milter_data_macros", "milter_end_of_header_macros",
        "milter_end_of_data_macros", "milter_unknown_command_macros", "non_smtpd_milters",
        "milter_header_checks", "milter_macro_defaults", "header_from_format",
        "full_name_encoding_charset", "non_empty_end_of_header_action", "delay_warning_time",
        "milter_connect_timeout", "milter_command_timeout", "milter_content_timeout",
    ]),
    ("dnsblog", &[
        "dnsblog_reply_delay",
    ]),
    ("flush", &[
        "fast_flush_refresh_time", "fast_flush_purge_time",
    ]),
    ("lmtp", &[
        "lmtp_connect_timeout", "lmtp_lhlo_timeout", "lmtp_xforward_timeout", "lmtp_mail_timeout",
        "lmtp_rcpt_timeout", "lmtp_data_init_timeout", "lmtp_data_xfer_timeout", "lmtp_data_done_timeout",
        "lmtp_rset_timeout", "lmtp_quit_timeout", "lmtp_pix_workaround_threshold_time",
        "lmtp_pix_workaround_delay_time", "queue_run_delay", "minimal_backoff_time",
        "lmtp_connection_cache_time_limit", "lmtp_connection_reuse_time_limit", "lmtp_starttls_timeout",
        "connection_cache_protocol_timeout", "lmtp_sasl_auth_cache_time", "lmtp_line_length_limit",
        "lmtp_mx_address_limit", "lmtp_mx_session_limit", "lmtp_connection_reuse_count_limit",
        "lmtp_tls_scert_verifydepth", "lmtp_min_data_rate", "lmtp_tls_trace_size_limit",
        "tls_trace_rate_limit", "notify_classes", "lmtp_fallback_relay", "best_mx_transport",
        "error_notice_recipient", "lmtp_sasl_password_maps", "lmtp_sasl_security_options",
        "lmtp_sasl_path", "lmtp_sasl_tls_security_options", "lmtp_sasl_tls_verified_security_options",
        "lmtp_tls_chain_files", "lmtp_tls_cert_file", "lmtp_tls_key_file", "lmtp_tls_dcert_file",
        "lmtp_tls_dkey_file", "lmtp_tls_CAfile", "lmtp_tls_CApath", "lmtp_tls_mandatory_ciphers",
        "lmtp_tls_exclude_ciphers", "lmtp_tls_mandatory_exclude_ciphers", "lmtp_tls_mandatory_protocols",
        "lmtp_tls_verify_cert_match", "lmtp_tls_secure_cert_match", "lmtp_tls_fingerprint_cert_match",
        "lmtp_tls_fingerprint_digest", "lmtp_tls_trust_anchor_file", "lmtp_tls_protocols",
        "lmtp_tls_ciphers", "lmtp_tls_eccert_file", "lmtp_tls_eckey_file", "lmtp_tls_loglevel",
        "lmtp_tls_servername", "lmtp_sasl_mechanism_filter", "lmtp_sasl_type", "lmtp_bind_address",
        "lmtp_bind_address6", "lmtp_address_verify_target", "lmtp_lhlo_name", "lmtp_host_lookup",
        "lmtp_dns_support_level", "lmtp_connection_cache_destinations", "connection_cache_service_name",
        "lmtp_discard_lhlo_keywords", "lmtp_discard_lhlo_keyword_address_maps", "lmtp_tls_per_site",
        "lmtp_tls_security_level", "lmtp_tls_policy_maps", "propagate_unmatched_extensions",
        "lmtp_generic_maps", "lmtp_tcp_port", "lmtp_pix_workarounds", "lmtp_pix_workaround_maps",
        "lmtp_sasl_auth_cache_name", "cyrus_sasl_config_path", "lmtp_header_checks",
        "lmtp_mime_header_checks", "lmtp_nested_header_checks", "lmtp_body_checks", "lmtp_reply_filter",
        "lmtp_address_preference", "lmtp_dns_resolver_options", "lmtp_delivery_status_filter",
        "lmtp_dns_reply_filter", "tlsproxy_service_name", "header_from_format", "lmtp_skip_5xx_greeting",
        "lmtp_skip_quit_response", "lmtp_sasl_auth_enable", "lmtp_randomize_addresses",
        "lmtp_quote_rfc821_envelope", "lmtp_defer_if_no_mx_address_found", "lmtp_send_xforward_command",
        "lmtp_connection_cache_on_demand", "lmtp_use_tls", "lmtp_enforce_tls", "lmtp_tls_connection_reuse",
        "lmtp_tls_enforce_peername", "lmtp_tls_note_starttls_offer", "lmtp_tls_block_early_mail_reply",
        "lmtp_tls_force_insecure_host_tlsa_lookup", "lmtp_tls_wrappermode",
        "lmtp_sender_dependent_authentication", "lmtp_cname_overrides_servername",
        "lmtp_sasl_auth_soft_bounce", "lmtp_assume_final", "lmtp_send_dummy_mail_auth",
        "lmtp_balance_inet_protocols", "lmtp_bind_address_enforce", "allow_srv_lookup_fallback",
        "ignore_srv_lookup_error", "lmtp_tls_enable_rpk", "tls_trust_server_ccerts",
        "lmtp_per_request_deadline", "lmtp_log_tls_feature_status", "lmtp_tls_enforce_sts_mx_patterns",
        "lmtp_tlsrpt_enable", "lmtp_tlsrpt_skip_reused_handshakes", "lmtp_per_record_deadline",
        "lmtp_requiretls_policy", "lmtp_sasl_password_result_delimiter", "lmtp_tls_loglevel_maps",
        "lmtp_tlsrpt_socket_name", "tls_ffdhe_auto_groups", "use_srv_lookup",
    ]),
    ("local", &[
        "duplicate_filter_limit", "mailbox_size_limit", "alias_maps", "home_mailbox",
        "allow_mail_to_commands", "allow_mail_to_files", "local_command_shell", "mail_spool_directory",
        "mailbox_transport", "mailbox_transport_maps", "fallback_transport", "fallback_transport_maps",
        "command_expansion_filter", "forward_expansion_filter", "execution_directory_expansion_filter",
        "propagate_unmatched_extensions", "prepend_delivered_header", "mailbox_delivery_lock",
        "mailbox_command_maps", "local_delivery_status_filter", "command_execution_directory",
        "forward_path", "luser_relay", "mailbox_command", "biff", "expand_owner_alias",
        "require_home_directory", "sun_mailtool_compatibility", "frozen_delivered_to", "reset_owner_alias",
        "strict_mailbox_ownership", "command_time_limit",
    ]),
    ("master", &[
        "service_throttle_time", "master_service_disable",
    ]),
    ("pickup", &[
        "content_filter", "receive_override_options",
    ]),
    ("pipe", &[
        "command_time_limit", "pipe_delivery_status_filter",
    ]),
    ("postdrop", &[
        "authorized_submit_users", "local_login_sender_maps",
        "empty_address_local_login_sender_maps_lookup_key",
    ]),
    ("postfix", &[
        "sendmail_path", "mailq_path", "newaliases_path", "manpage_directory", "sample_directory",
        "readme_directory", "html_directory",
    ]),
    ("postlock", &[
        "mailbox_delivery_lock",
    ]),
    ("postlogd", &[
        "postlogd_watchdog_timeout",
    ]),
    ("postmulti", &[
        "postmulti_start_commands", "postmulti_stop_commands", "postmulti_control_commands",
    ]),
    ("postqueue", &[
        "authorized_flush_users", "authorized_mailq_users",
    ]),
    ("postscreen", &[
        "smtpd_service_name", "smtpd_banner", "smtpd_forbidden_commands", "smtpd_discard_ehlo_keywords",
        "smtpd_discard_ehlo_keyword_address_maps", "smtpd_tls_security_level", "smtpd_command_filter",
        "postscreen_cache_map", "postscreen_greet_banner", "postscreen_greet_action",
        "postscreen_dnsbl_sites", "postscreen_dnsbl_action", "postscreen_pipelining_action",
        "postscreen_non_smtp_command_action", "postscreen_bare_newline_action", "postscreen_access_list",
        "postscreen_denylist_action", "postscreen_blacklist_action", "postscreen_forbidden_commands",
        "postscreen_discard_ehlo_keywords", "postscreen_discard_ehlo_keyword_address_maps",
        "postscreen_dnsbl_reply_map", "postscreen_tls_security_level", "postscreen_command_filter",
        "dnsblog_service_name", "tlsproxy_service_name", "postscreen_allowlist_interfaces",
        "postscreen_whitelist_interfaces", "postscreen_upstream_proxy_protocol",
        "postscreen_reject_footer_maps", "smtpd_reject_footer_maps", "postscreen_dnsbl_threshold",
        "postscreen_command_count_limit", "smtpd_client_connection_count_limit",
        "smtpd_tls_trace_size_limit", "postscreen_post_queue_limit", "postscreen_pre_queue_limit",
        "postscreen_client_connection_count_limit", "postscreen_dnsbl_allowlist_threshold",
        "postscreen_tls_ccert_verifydepth", "postscreen_tls_trace_size_limit",
        "postscreen_dnsbl_whitelist_threshold", "postscreen_command_time_limit", "postscreen_greet_wait",
        "postscreen_greet_ttl", "postscreen_dnsbl_min_ttl", "postscreen_dnsbl_ttl",
        "postscreen_tls_CAfile", "postscreen_tls_CApath", "postscreen_tls_cert_file",
        "postscreen_tls_chain_files", "postscreen_tls_ciphers", "postscreen_tls_dcert_file",
        "postscreen_tls_dh1024_param_file", "postscreen_tls_dh512_param_file", "postscreen_tls_dkey_file",
        "postscreen_tls_eccert_file", "postscreen_tls_eckey_file", "postscreen_tls_eecdh_grade",
        "postscreen_tls_exclude_ciphers", "postscreen_tls_fingerprint_digest", "postscreen_tls_key_file",
        "postscreen_tls_loglevel", "postscreen_tls_loglevel_maps", "postscreen_tls_mandatory_ciphers",
        "postscreen_tls_mandatory_exclude_ciphers", "postscreen_tls_mandatory_protocols",
        "postscreen_tls_protocols", "smtpd_tls_loglevel_maps", "postscreen_dnsbl_max_ttl",
        "postscreen_pipelining_ttl", "postscreen_non_smtp_command_ttl", "postscreen_bare_newline_ttl",
        "postscreen_cache_retention_time", "postscreen_cache_cleanup_interval",
        "postscreen_watchdog_timeout", "postscreen_upstream_proxy_timeout", "postscreen_dnsbl_timeout",
        "postscreen_starttls_timeout", "smtpd_helo_required", "disable_vrfy_command", "smtpd_use_tls",
        "smtpd_enforce_tls", "postscreen_pipelining_enable", "postscreen_non_smtp_command_enable",
        "postscreen_bare_newline_enable", "postscreen_expansion_filter", "postscreen_reject_footer",
        "smtpd_expansion_filter", "smtpd_reject_footer", "postscreen_helo_required",
        "postscreen_disable_vrfy_command", "postscreen_use_tls", "postscreen_enforce_tls",
        "postscreen_tls_always_issue_session_ids", "postscreen_tls_ask_ccert", "postscreen_tls_enable_rpk",
        "postscreen_tls_req_ccert",
    ]),
    ("proxymap", &[
        "alias_maps", "local_recipient_maps", "virtual_alias_maps", "virtual_maps",
        "virtual_alias_domains", "virtual_mailbox_maps", "virtual_mailbox_domains", "relay_recipient_maps",
        "canonical_maps", "sender_canonical_maps", "recipient_canonical_maps", "relocated_maps",
        "transport_maps", "address_verify_map", "smtpd_sender_login_maps", "postscreen_cache_map",
        "proxy_read_maps", "sender_bcc_maps", "recipient_bcc_maps", "smtp_generic_maps",
        "lmtp_generic_maps", "smtpd_client_restrictions", "smtpd_helo_restrictions",
        "smtpd_sender_restrictions", "smtpd_relay_restrictions", "smtpd_recipient_restrictions",
        "address_verify_sender_dependent_default_transport_maps",
        "address_verify_sender_dependent_relayhost_maps", "address_verify_transport_maps",
        "fallback_transport_maps", "lmtp_discard_lhlo_keyword_address_maps", "lmtp_pix_workaround_maps",
        "lmtp_sasl_password_maps", "lmtp_tls_policy_maps", "mailbox_command_maps",
        "mailbox_transport_maps", "postscreen_discard_ehlo_keyword_address_maps", "rbl_reply_maps",
        "sender_dependent_default_transport_maps", "sender_dependent_relayhost_maps",
        "smtp_discard_ehlo_keyword_address_maps", "smtp_pix_workaround_maps", "smtp_sasl_password_maps",
        "smtp_tls_policy_maps", "smtpd_discard_ehlo_keyword_address_maps", "smtpd_milter_maps",
        "virtual_gid_maps", "virtual_uid_maps", "local_login_sender_maps", "postscreen_reject_footer_maps",
        "smtpd_reject_footer_maps", "tls_server_sni_maps", "tlsproxy_client_policy_maps",
        "lmtp_delivery_status_filter", "lmtp_dns_reply_filter", "lmtp_reply_filter",
        "local_delivery_status_filter", "pipe_delivery_status_filter", "postscreen_command_filter",
        "smtp_delivery_status_filter", "smtp_dns_reply_filter", "smtp_reply_filter",
        "smtpd_command_filter", "smtpd_dns_reply_filter", "virtual_delivery_status_filter", "body_checks",
        "header_checks", "lmtp_body_checks", "lmtp_header_checks", "lmtp_mime_header_checks",
        "lmtp_nested_header_checks", "milter_header_checks", "mime_header_checks", "nested_header_checks",
        "smtp_body_checks", "smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks",
        "proxy_write_maps", "smtp_sasl_auth_cache_name", "lmtp_sasl_auth_cache_name",
    ]),
    ("qmgr", &[
        "qmgr_message_active_limit", "qmgr_message_recipient_limit", "qmgr_message_recipient_minimum",
        "default_recipient_limit", "default_extra_recipient_limit", "default_recipient_refill_limit",
        "default_delivery_slot_cost", "default_delivery_slot_loan", "default_delivery_slot_discount",
        "default_minimum_delivery_slots", "initial_destination_concurrency",
        "default_destination_concurrency_limit", "default_destination_recipient_limit",
        "local_destination_recipient_limit", "local_destination_concurrency_limit",
        "default_destination_concurrency_failed_cohort_limit", "address_verify_pending_request_limit",
        "defer_transports", "default_destination_concurrency_positive_feedback",
        "default_destination_concurrency_negative_feedback", "default_filter_nexthop",
        "disable_verp_bounces", "destination_concurrency_feedback_debug", "confirm_delay_cleared",
        "queue_run_delay", "minimal_backoff_time", "maximal_backoff_time", "maximal_queue_lifetime",
        "bounce_queue_lifetime", "transport_retry_time", "qmgr_clog_warn_time",
        "default_recipient_refill_delay", "default_transport_rate_delay", "default_destination_rate_delay",
        "qmgr_daemon_timeout", "qmgr_ipc_timeout",
    ]),
    ("qmqpd", &[
        "qmqpd_timeout", "qmqpd_error_delay", "content_filter", "qmqpd_authorized_clients",
        "receive_override_options", "qmqpd_client_port_logging",
    ]),
    ("scache", &[
        "connection_cache_ttl_limit", "connection_cache_status_update_time",
    ]),
    ("sendmail", &[
        "authorized_submit_users", "sendmail_fix_line_endings",
    ]),
    ("showq", &[
        "duplicate_filter_limit", "empty_address_recipient",
    ]),
    ("smtp", &[
        "smtp_connect_timeout", "smtp_helo_timeout", "smtp_xforward_timeout", "smtp_mail_timeout",
        "smtp_rcpt_timeout", "smtp_data_init_timeout", "smtp_data_xfer_timeout", "smtp_data_done_timeout",
        "smtp_rset_timeout", "smtp_quit_timeout", "smtp_pix_workaround_threshold_time",
        "smtp_pix_workaround_delay_time", "queue_run_delay", "minimal_backoff_time",
        "smtp_connection_cache_time_limit", "smtp_connection_reuse_time_limit", "smtp_starttls_timeout",
        "connection_cache_protocol_timeout", "smtp_sasl_auth_cache_time", "smtp_line_length_limit",
        "smtp_mx_address_limit", "smtp_mx_session_limit", "smtp_connection_reuse_count_limit",
        "smtp_tls_scert_verifydepth", "smtp_min_data_rate", "smtp_tls_trace_size_limit",
        "tls_trace_rate_limit", "notify_classes", "smtp_fallback_relay", "fallback_relay",
        "best_mx_transport", "error_notice_recipient", "smtp_sasl_password_maps",
        "smtp_sasl_security_options", "smtp_sasl_path", "smtp_sasl_tls_security_options",
        "smtp_sasl_tls_verified_security_options", "smtp_tls_chain_files", "smtp_tls_cert_file",
        "smtp_tls_key_file", "smtp_tls_dcert_file", "smtp_tls_dkey_file", "smtp_tls_CAfile",
        "smtp_tls_CApath", "smtp_tls_mandatory_ciphers", "smtp_tls_exclude_ciphers",
        "smtp_tls_mandatory_exclude_ciphers", "smtp_tls_mandatory_protocols", "smtp_tls_verify_cert_match",
        "smtp_tls_secure_cert_match", "smtp_tls_fingerprint_cert_match", "smtp_tls_fingerprint_digest",
        "smtp_tls_trust_anchor_file", "smtp_tls_protocols", "smtp_tls_ciphers", "smtp_tls_eccert_file",
        "smtp_tls_eckey_file", "smtp_tls_loglevel", "smtp_tls_servername",
        "smtp_tls_dane_insecure_mx_policy", "smtp_tls_security_level", "smtp_sasl_mechanism_filter",
        "smtp_sasl_type", "smtp_bind_address", "smtp_bind_address6", "smtp_address_verify_target",
        "smtp_helo_name", "smtp_host_lookup", "smtp_dns_support_level",
        "smtp_connection_cache_destinations", "connection_cache_service_name",
        "smtp_discard_ehlo_keywords", "smtp_discard_ehlo_keyword_address_maps", "smtp_tls_per_site",
        "smtp_tls_policy_maps", "propagate_unmatched_extensions", "smtp_generic_maps", "smtp_tcp_port",
        "smtp_pix_workarounds", "smtp_pix_workaround_maps", "smtp_sasl_auth_cache_name",
        "cyrus_sasl_config_path", "smtp_header_checks", "smtp_mime_header_checks",
        "smtp_nested_header_checks", "smtp_body_checks", "smtp_reply_filter", "smtp_address_preference",
        "smtp_dns_resolver_options", "smtp_delivery_status_filter", "smtp_dns_reply_filter",
        "tlsproxy_service_name", "header_from_format", "smtp_skip_5xx_greeting", "ignore_mx_lookup_error",
        "smtp_skip_quit_response", "smtp_always_send_ehlo", "smtp_never_send_ehlo",
        "smtp_sasl_auth_enable", "smtp_randomize_addresses", "smtp_quote_rfc821_envelope",
        "smtp_defer_if_no_mx_address_found", "smtp_send_xforward_command",
        "smtp_connection_cache_on_demand", "smtp_use_tls", "smtp_enforce_tls", "smtp_tls_connection_reuse",
        "smtp_tls_enforce_peername", "smtp_tls_note_starttls_offer", "smtp_tls_block_early_mail_reply",
        "smtp_tls_force_insecure_host_tlsa_lookup", "smtp_tls_wrappermode",
        "smtp_sender_dependent_authentication", "smtp_cname_overrides_servername",
        "smtp_sasl_auth_soft_bounce", "lmtp_assume_final", "smtp_send_dummy_mail_auth",
        "smtp_balance_inet_protocols", "smtp_bind_address_enforce", "allow_srv_lookup_fallback",
        "ignore_srv_lookup_error", "smtp_tls_enable_rpk", "tls_trust_server_ccerts",
        "smtp_per_request_deadline", "smtp_log_tls_feature_status", "smtp_tls_enforce_sts_mx_patterns",
        "smtp_tlsrpt_enable", "smtp_tlsrpt_skip_reused_handshakes", "smtp_per_record_deadline",
        "smtp_requiretls_policy", "smtp_sasl_password_result_delimiter", "smtp_tls_loglevel_maps",
        "smtp_tlsrpt_socket_name", "tls_ffdhe_auto_groups", "use_srv_lookup",
    ]),
    ("smtpd", &[
        "smtpd_soft_error_limit", "smtpd_hard_error_limit", "smtpd_junk_command_limit",
        "address_verify_poll_count", "smtpd_recipient_limit", "unknown_client_reject_code",
        "invalid_hostname_reject_code", "unknown_hostname_reject_code", "unknown_address_reject_code",
        "relay_domains_reject_code", "maps_rbl_reject_code", "access_map_reject_code",
        "access_map_defer_code", "reject_code", "defer_code", "non_fqdn_reject_code",
        "smtpd_recipient_overshoot_limit", "smtpd_history_flush_threshold",
        "unverified_sender_reject_code", "unverified_recipient_reject_code",
        "unverified_sender_defer_code", "unverified_recipient_defer_code",
        "multi_recipient_bounce_reject_code", "unknown_local_recipient_reject_code",
        "unknown_virtual_alias_reject_code", "unknown_virtual_mailbox_reject_code",
        "unknown_relay_recipient_reject_code", "plaintext_reject_code",
        "smtpd_forbid_bare_newline_reject_code", "smtpd_client_connection_rate_limit",
        "smtpd_client_connection_count_limit", "smtpd_client_message_rate_limit",
        "smtpd_client_recipient_rate_limit", "smtpd_client_new_tls_session_rate_limit",
        "smtpd_client_auth_rate_limit", "smtpd_tls_ccert_verifydepth", "smtpd_sasl_response_limit",
        "smtpd_policy_service_request_limit", "smtpd_policy_service_try_limit", "smtpd_min_data_rate",
        "smtpd_client_ipv4_prefix_length", "smtpd_client_ipv6_prefix_length", "smtpd_tls_trace_size_limit",
        "tls_trace_rate_limit", "queue_minfree", "smtpd_banner", "notify_classes",
        "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
        "smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_etrn_restrictions",
        "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "maps_rbl_domains", "rbl_reply_maps",
        "bounce_notice_recipient", "error_notice_recipient", "smtpd_restriction_classes", "canonical_maps",
        "sender_canonical_maps", "recipient_canonical_maps", "virtual_alias_maps", "virtual_maps",
        "virtual_mailbox_maps", "alias_maps", "local_recipient_maps", "smtpd_sasl_security_options",
        "smtpd_sasl_path", "smtpd_sasl_service", "cyrus_sasl_config_path", "smtpd_sasl_local_domain",
        "smtpd_sasl_exceptions_networks", "content_filter", "permit_mx_backup_networks",
        "smtpd_sender_login_maps", "smtpd_noop_commands", "smtpd_forbidden_commands",
        "smtpd_null_access_lookup_key", "relay_recipient_maps", "address_verify_sender",
        "smtpd_authorized_verp_clients", "authorized_verp_clients", "smtpd_proxy_filter",
        "smtpd_proxy_ehlo", "smtpd_proxy_options", "receive_override_options",
        "smtpd_authorized_xclient_hosts", "smtpd_authorized_xforward_hosts",
        "smtpd_client_event_limit_exceptions", "local_header_rewrite_clients",
        "smtpd_discard_ehlo_keywords", "smtpd_discard_ehlo_keyword_address_maps", "relay_clientcerts",
        "smtpd_sasl_tls_security_options", "smtpd_tls_chain_files", "smtpd_tls_cert_file",
        "smtpd_tls_key_file", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file", "smtpd_tls_eccert_file",
        "smtpd_tls_eckey_file", "smtpd_tls_CAfile", "smtpd_tls_CApath", "smtpd_tls_ciphers",
        "smtpd_tls_mandatory_ciphers", "smtpd_tls_exclude_ciphers", "smtpd_tls_mandatory_exclude_ciphers",
        "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols", "smtpd_tls_dh512_param_file",
        "smtpd_tls_dh1024_param_file", "smtpd_tls_eecdh_grade", "smtpd_tls_fingerprint_digest",
        "smtpd_tls_loglevel", "smtpd_tls_security_level", "smtpd_sasl_type", "smtpd_sasl_mechanism_filter",
        "smtpd_milters", "milter_connect_macros", "milter_helo_macros", "milter_mail_macros",
        "milter_rcpt_macros", "milter_data_macros", "milter_end_of_header_macros",
        "milter_end_of_data_macros", "milter_unknown_command_macros", "milter_protocol",
        "milter_default_action", "milter_macro_daemon_name", "milter_macro_v", "milter_macro_defaults",
        "smtpd_milter_maps", "stress", "unverified_sender_reject_reason",
        "unverified_recipient_reject_reason", "reject_tempfail_action",
        "unknown_helo_hostname_tempfail_action", "unknown_address_tempfail_action",
        "unverified_recipient_tempfail_action", "unverified_sender_tempfail_action",
        "smtpd_command_filter", "smtpd_log_access_permit_actions", "smtpd_upstream_proxy_protocol",
        "smtpd_policy_service_default_action", "smtpd_policy_service_policy_context",
        "smtpd_dns_reply_filter", "smtpd_reject_footer_maps", "header_from_format",
        "smtpd_forbid_bare_newline_exclusions", "smtpd_forbid_bare_newline", "default_rbl_reply",
        "smtpd_expansion_filter", "smtpd_reject_footer", "smtpd_helo_required", "smtpd_delay_reject",
        "strict_rfc821_envelopes", "disable_vrfy_command", "allow_untrusted_routing",
        "smtpd_sasl_auth_enable", "smtpd_sasl_authenticated_header", "broken_sasl_auth_clients",
        "show_user_unknown_table_name", "smtpd_reject_unlisted_sender", "smtpd_reject_unlisted_recipient",
        "smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode", "smtpd_tls_auth_only",
        "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert", "smtpd_tls_received_header",
        "smtpd_tls_always_issue_session_ids", "smtpd_peername_lookup", "smtpd_delay_open_until_valid_rcpt",
        "smtpd_client_port_logging", "smtpd_forbid_unauth_pipelining", "smtpd_tls_enable_rpk",
        "tls_trust_server_ccerts", "smtpd_relay_before_recipient_restrictions",
        "smtpd_per_request_deadline", "requiretls_esmtp_header", "smtpd_hide_client_session",
        "smtpd_per_record_deadline", "smtpd_reject_filter_maps", "smtpd_tls_loglevel_maps",
        "tls_ffdhe_auto_groups", "smtpd_timeout", "smtpd_error_sleep_time", "smtpd_proxy_timeout",
        "address_verify_poll_delay", "smtpd_policy_service_timeout", "smtpd_policy_service_max_idle",
        "smtpd_policy_service_max_ttl", "smtpd_starttls_timeout", "milter_connect_timeout",
        "milter_command_timeout", "milter_content_timeout", "address_verify_sender_ttl",
        "smtpd_upstream_proxy_timeout", "smtpd_policy_service_retry_delay",
    ]),
    ("spawn", &[
        "command_time_limit",
    ]),
    ("tlsmgr", &[
        "tls_random_reseed_period", "tls_random_prng_update_period", "smtpd_tls_session_cache_timeout",
        "smtp_tls_session_cache_timeout", "lmtp_tls_session_cache_timeout", "tls_random_bytes",
        "tls_random_source", "tls_random_exchange_name", "smtpd_tls_session_cache_database",
        "smtp_tls_session_cache_database", "lmtp_tls_session_cache_database", "smtpd_tls_loglevel",
        "smtp_tls_loglevel", "lmtp_tls_loglevel",
    ]),
    ("tlsproxy", &[
        "smtpd_tls_ccert_verifydepth", "smtp_tls_scert_verifydepth", "tls_trace_rate_limit",
        "tlsproxy_tls_ccert_verifydepth", "tlsproxy_client_scert_verifydepth", "smtpd_tls_chain_files",
        "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file",
        "smtpd_tls_eccert_file", "smtpd_tls_eckey_file", "smtpd_tls_CAfile", "smtpd_tls_CApath",
        "smtpd_tls_ciphers", "smtpd_tls_mandatory_ciphers", "smtpd_tls_exclude_ciphers",
        "smtpd_tls_mandatory_exclude_ciphers", "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols",
        "smtpd_tls_dh512_param_file", "smtpd_tls_dh1024_param_file", "smtpd_tls_eecdh_grade",
        "smtpd_tls_fingerprint_digest", "smtpd_tls_loglevel", "smtpd_tls_security_level",
        "smtp_tls_chain_files", "smtp_tls_cert_file", "smtp_tls_key_file", "smtp_tls_dcert_file",
        "smtp_tls_dkey_file", "smtp_tls_CAfile", "smtp_tls_CApath", "smtp_tls_fingerprint_digest",
        "smtp_tls_eccert_file", "smtp_tls_eckey_file", "smtp_tls_loglevel", "smtp_tls_per_site",
        "smtp_tls_security_level", "smtp_tls_policy_maps", "tlsproxy_tls_chain_files",
        "tlsproxy_tls_cert_file", "tlsproxy_tls_key_file", "tlsproxy_tls_dcert_file",
        "tlsproxy_tls_dkey_file", "tlsproxy_tls_eccert_file", "tlsproxy_tls_eckey_file",
        "tlsproxy_tls_CAfile", "tlsproxy_tls_CApath", "tlsproxy_tls_ciphers",
        "tlsproxy_tls_mandatory_ciphers", "tlsproxy_tls_exclude_ciphers",
        "tlsproxy_tls_mandatory_exclude_ciphers", "tlsproxy_tls_protocols",
        "tlsproxy_tls_mandatory_protocols", "tlsproxy_tls_dh512_param_file",
        "tlsproxy_tls_dh1024_param_file", "tlsproxy_tls_eecdh_grade", "tlsproxy_tls_fingerprint_digest",
        "tlsproxy_tls_loglevel", "tlsproxy_tls_security_level", "tlsproxy_client_loglevel",
        "tlsproxy_client_loglevel_parameter", "tlsproxy_client_chain_files", "tlsproxy_client_cert_file",
        "tlsproxy_client_key_file", "tlsproxy_client_dcert_file", "tlsproxy_client_dkey_file",
        "tlsproxy_client_eccert_file", "tlsproxy_client_eckey_file", "tlsproxy_client_CAfile",
        "tlsproxy_client_CApath", "tlsproxy_client_fingerprint_digest", "tlsproxy_client_security_level",
        "tlsproxy_client_per_site", "tlsproxy_client_policy_maps", "tls_ffdhe_auto_groups",
        "smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert",
        "smtpd_tls_always_issue_session_ids", "smtp_use_tls", "smtp_enforce_tls", "smtpd_tls_enable_rpk",
        "tls_trust_server_ccerts", "tlsproxy_use_tls", "tlsproxy_enforce_tls", "tlsproxy_tls_ask_ccert",
        "tlsproxy_tls_req_ccert", "tlsproxy_tls_always_issue_session_ids", "tlsproxy_client_use_tls",
        "tlsproxy_client_enforce_tls", "tlsproxy_tls_enable_rpk", "tlsproxy_watchdog_timeout",
    ]),
    ("trivial-rewrite", &[
        "transport_maps", "local_transport", "virtual_transport", "relay_transport", "default_transport",
        "virtual_alias_maps", "virtual_maps", "virtual_alias_domains", "virtual_mailbox_maps",
        "virtual_mailbox_domains", "relocated_maps", "empty_address_recipient",
        "address_verify_transport_maps", "address_verify_local_transport",
        "address_verify_virtual_transport", "address_verify_relay_transport",
        "address_verify_default_transport", "address_verify_relayhost", "remote_header_rewrite_domain",
        "sender_dependent_relayhost_maps", "empty_address_relayhost_maps_lookup_key",
        "address_verify_sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps",
        "empty_address_default_transport_maps_lookup_key",
        "address_verify_sender_dependent_default_transport_maps", "swap_bangpath", "append_at_myorigin",
        "allow_percent_hack", "resolve_dequoted_address", "show_user_unknown_table_name",
        "resolve_null_domain", "resolve_numeric_domain", "allow_min_user", "append_dot_mydomain",
        "relocated_prefix_enable",
    ]),
    ("verify", &[
        "address_verify_map", "address_verify_sender", "address_verify_positive_expire_time",
        "address_verify_positive_refresh_time", "address_verify_negative_expire_time",
        "address_verify_negative_refresh_time", "address_verify_cache_cleanup_interval",
        "address_verify_sender_ttl",
    ]),
    ("virtual", &[
        "virtual_minimum_uid", "virtual_mailbox_limit", "mail_spool_directory", "virtual_mailbox_maps",
        "virtual_uid_maps", "virtual_gid_maps", "virtual_mailbox_base", "virtual_mailbox_lock",
        "virtual_delivery_status_filter", "strict_mailbox_ownership",
    ]),
];

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn every_name_is_declared_and_stands_once_in_an_order() {
        for (program, _) in OWN {
            let mut names: Vec<_> = Order::of(program).names().collect();
            for name in &names {
                assert!(find(name).is_some(), "{program}: {name}");
            }
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{program}");
        }
        assert!(OWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn what_another_program_reads_is_seen_with_its_eyes() {
        let moment = |program, name| Moment::of(program, find(name).unwrap());
        let relay = moment("smtpd", "address_verify_relay_transport");
        assert_eq!(relay.order, Order::of("trivial-rewrite"));
        assert!(relay.before("relay_transport").is_some());
        assert!(relay.before("smtpd_timeout").is_none());
        assert_eq!(moment("smtpd", "smtpd_banner").order, Order::of("smtpd"));
        assert!(Moment::late("smtpd").before("smtpd_timeout").is_some());
        assert!(Moment::late("smtpd").before("relay_transport").is_none());
    }
}
