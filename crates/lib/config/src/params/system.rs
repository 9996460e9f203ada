//! Directories, accounts, processes, logging, and the small services.

use super::params;

params! {
    /// Extra config directories that set-gid commands may use with -c or MAIL_CONFIG.
    ALTERNATE_CONFIG_DIRECTORIES: str "alternate_config_directories" = "", { used_by: "all", in_3_7: true };
    /// Period over which client rates are counted.
    ANVIL_RATE_TIME_UNIT: time "anvil_rate_time_unit" = "60s", { unit: 's', min: 1, used_by: "anvil", in_3_7: true };
    /// Interval between peak-usage log records of anvil.
    ANVIL_STATUS_UPDATE_TIME: time "anvil_status_update_time" = "600s", { unit: 's', min: 1, used_by: "anvil", since: "2.2", in_3_7: true };
    /// Users that may run sendmail -q / postqueue -f, -i, -s.
    AUTHORIZED_FLUSH_USERS: str "authorized_flush_users" = "static:anyone", { used_by: "postqueue", since: "2.2", in_3_7: true };
    /// Users that may list the queue.
    AUTHORIZED_MAILQ_USERS: str "authorized_mailq_users" = "static:anyone", { used_by: "postqueue", since: "2.2", in_3_7: true };
    /// Users that may submit mail with sendmail / postdrop.
    AUTHORIZED_SUBMIT_USERS: str "authorized_submit_users" = "static:anyone", { used_by: "postdrop,sendmail", since: "2.2", in_3_7: true };
    /// Service name of the bounce daemon for failures.
    BOUNCE_SERVICE_NAME: str "bounce_service_name" = "bounce", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Service name of the cleanup daemon.
    CLEANUP_SERVICE_NAME: str "cleanup_service_name" = "cleanup", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Directory of administrative commands.
    COMMAND_DIRECTORY: str "command_directory" = "/usr/sbin", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Selects old or new values for defaults that changed; 0 keeps the oldest.
    COMPATIBILITY_LEVEL: str "compatibility_level" = "0", { used_by: "all", since: "3.0", in_3_7: true };
    /// Directory with main.cf and master.cf.
    CONFIG_DIRECTORY: str "config_directory" = "/etc/postfix", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Interval between scache statistics log records.
    CONNECTION_CACHE_STATUS_UPDATE_TIME: time "connection_cache_status_update_time" = "600s", { unit: 's', min: 1, used_by: "scache", in_3_7: true };
    /// Upper bound on time that scache keeps a cached connection.
    CONNECTION_CACHE_TTL_LIMIT: time "connection_cache_ttl_limit" = "2s", { unit: 's', min: 1, used_by: "scache", in_3_7: true };
    /// Directory of daemon programs.
    DAEMON_DIRECTORY: str "daemon_directory" = "/usr/lib/postfix/sbin", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Directory with caches and other files owned by mail_owner.
    DATA_DIRECTORY: str "data_directory" = "/var/lib/postfix", { min: 1, used_by: "all", since: "2.5", in_3_7: true, flags: flag::BUILD_TIME };
    /// User for external commands and file delivery when recipient has none.
    DEFAULT_PRIVS: str "default_privs" = "nobody", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Service name of the bounce daemon for deferrals.
    DEFER_SERVICE_NAME: str "defer_service_name" = "defer", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Artificial reply delay, for tests.
    DNSBLOG_REPLY_DELAY: time "dnsblog_reply_delay" = "0s", { unit: 's', used_by: "dnsblog", since: "2.8", in_3_7: true };
    /// Key for the null sender in local_login_sender_maps.
    EMPTY_ADDRESS_LOCAL_LOGIN_SENDER_MAPS_LOOKUP_KEY: str "empty_address_local_login_sender_maps_lookup_key" = "<>", { used_by: "postdrop", since: "3.6", in_3_7: true };
    /// Service name of the error transport.
    ERROR_SERVICE_NAME: str "error_service_name" = "error", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Variables (name or name=value) passed to non-Postfix programs.
    EXPORT_ENVIRONMENT: str "export_environment" = "TZ MAIL_CONFIG LANG", { used_by: "all", in_3_7: true };
    /// Age at which empty per-destination logs are removed.
    FAST_FLUSH_PURGE_TIME: time "fast_flush_purge_time" = "7d", { unit: 'd', min: 1, used_by: "flush", in_3_7: true };
    /// Age at which a log forces a delivery attempt.
    FAST_FLUSH_REFRESH_TIME: time "fast_flush_refresh_time" = "12h", { unit: 'h', min: 1, used_by: "flush", in_3_7: true };
    /// Service name of the flush daemon.
    FLUSH_SERVICE_NAME: str "flush_service_name" = "flush", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Location of HTML documentation, or no.
    HTML_DIRECTORY: str "html_directory" = "/usr/share/doc/postfix/html", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Variables (name or name=value) kept from the parent environment.
    IMPORT_ENVIRONMENT: str "import_environment" = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME XDG_RUNTIME_DIR", { old: Some(OldDefault { below: "3.11", text: "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME", unless_set: None }), used_by: "all", in_3_7: true };
    /// Envelope senders that a local login may use.
    LOCAL_LOGIN_SENDER_MAPS: str "local_login_sender_maps" = "static:*", { used_by: "postdrop", since: "3.6", in_3_7: true };
    /// Product name in Received headers and banners.
    MAIL_NAME: str "mail_name" = "Postfix", { min: 1, used_by: "all", in_3_7: true };
    /// Account that owns the queue and most daemons.
    MAIL_OWNER: str "mail_owner" = "postfix", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Release date stamp.
    MAIL_RELEASE_DATE: str "mail_release_date" = "20260809", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Version text.
    MAIL_VERSION: str "mail_version" = "3.11.6", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Log file written by postlogd; empty uses syslog.
    MAILLOG_FILE: str "maillog_file" = "", { used_by: "all", since: "3.4", in_3_7: true };
    /// Program run by postfix logrotate.
    MAILLOG_FILE_COMPRESSOR: str "maillog_file_compressor" = "gzip", { min: 1, used_by: "all", since: "3.4", in_3_7: true };
    /// Mode for a new maillog_file: 0600, 0640 or 0644.
    MAILLOG_FILE_PERMISSIONS: str "maillog_file_permissions" = "0600", { old: Some(OldDefault { below: "3.9", text: "0644", unless_set: None }), min: 1, used_by: "all", since: "3.9" };
    /// Allowed path prefixes for maillog_file.
    MAILLOG_FILE_PREFIXES: str "maillog_file_prefixes" = "/var, /dev/stdout", { min: 1, used_by: "all", since: "3.4", in_3_7: true };
    /// Strftime suffix for rotated logs.
    MAILLOG_FILE_ROTATE_SUFFIX: str "maillog_file_rotate_suffix" = "%Y%m%d-%H%M%S", { min: 1, used_by: "all", since: "3.4", in_3_7: true };
    /// Install path of mailq.
    MAILQ_PATH: str "mailq_path" = "/usr/bin/mailq", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Install path of manual pages.
    MANPAGE_DIRECTORY: str "manpage_directory" = "/usr/share/man", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Services or service/type that master must not start.
    MASTER_SERVICE_DISABLE: str "master_service_disable" = "", { used_by: "master", since: "2.6", in_3_7: true };
    /// Directory of postfix-files, dynamicmaps.cf and the like.
    META_DIRECTORY: str "meta_directory" = "/etc/postfix", { min: 1, used_by: "all", since: "3.0", in_3_7: true, flags: flag::BUILD_TIME };
    /// Config directories of secondary instances.
    MULTI_INSTANCE_DIRECTORIES: str "multi_instance_directories" = "", { used_by: "all", since: "2.6", in_3_7: true };
    /// Allow multi-instance control of this instance.
    MULTI_INSTANCE_ENABLE: bool "multi_instance_enable" = "no", { used_by: "all", since: "2.6", in_3_7: true };
    /// Group name of this instance.
    MULTI_INSTANCE_GROUP: str "multi_instance_group" = "", { used_by: "all", since: "2.6", in_3_7: true };
    /// Unique name of this instance, starts with postfix-.
    MULTI_INSTANCE_NAME: str "multi_instance_name" = "", { used_by: "all", since: "2.6", in_3_7: true };
    /// Command that runs start/stop for all instances.
    MULTI_INSTANCE_WRAPPER: str "multi_instance_wrapper" = "", { used_by: "all", since: "2.6", in_3_7: true };
    /// Install path of newaliases.
    NEWALIASES_PATH: str "newaliases_path" = "/usr/bin/newaliases", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Path prefixes where root-owned tables may be rebuilt.
    NON_BDB_MIGRATION_ALLOW_ROOT_PREFIXES: str "non_bdb_migration_allow_root_prefixes" = "/etc /usr/local/etc", { used_by: "nbdb_reindexd", since: "3.11" };
    /// Path prefixes where user-owned tables may be rebuilt.
    NON_BDB_MIGRATION_ALLOW_USER_PREFIXES: str "non_bdb_migration_allow_user_prefixes" = "$data_directory /var/lib/mailman /var/lib/mailman3", { used_by: "nbdb_reindexd", since: "3.11" };
    /// Service name of the reindex daemon.
    NON_BDB_MIGRATION_SERVICE_NAME: str "non_bdb_migration_service_name" = "nbdb_reindex", { used_by: "all", since: "3.11" };
    /// Service name of the pickup daemon.
    PICKUP_SERVICE_NAME: str "pickup_service_name" = "pickup", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Status filter for pipe(8).
    PIPE_DELIVERY_STATUS_FILTER: str "pipe_delivery_status_filter" = "$default_delivery_status_filter", { used_by: "pipe", since: "3.0", in_3_7: true };
    /// Service name of the postlogd daemon.
    POSTLOG_SERVICE_NAME: str "postlog_service_name" = "postlog", { min: 1, used_by: "all", since: "3.4", in_3_7: true };
    /// Postlogd request watchdog.
    POSTLOGD_WATCHDOG_TIMEOUT: time "postlogd_watchdog_timeout" = "10s", { unit: 's', min: 10, used_by: "postlogd", since: "3.4", in_3_7: true };
    /// Postfix subcommands that postmulti may run as generic control.
    POSTMULTI_CONTROL_COMMANDS: str "postmulti_control_commands" = "reload flush", { used_by: "postmulti", since: "2.6", in_3_7: true };
    /// Postfix subcommands treated as start.
    POSTMULTI_START_COMMANDS: str "postmulti_start_commands" = "start", { used_by: "postmulti", since: "2.6", in_3_7: true };
    /// Postfix subcommands treated as stop.
    POSTMULTI_STOP_COMMANDS: str "postmulti_stop_commands" = "stop abort drain quick-stop", { used_by: "postmulti", since: "2.6", in_3_7: true };
    /// Process number (read-only).
    PROCESS_ID: int "process_id" = "", { used_by: "all", in_3_7: true, flags: flag::READ_ONLY };
    /// Subdirectory of queue_directory with lock/pid files.
    PROCESS_ID_DIRECTORY: str "process_id_directory" = "pid", { min: 1, used_by: "all", in_3_7: true };
    /// Program name (read-only).
    PROCESS_NAME: str "process_name" = "", { used_by: "all", in_3_7: true, flags: flag::READ_ONLY };
    /// Tables that proxymap may read.
    PROXY_READ_MAPS: str "proxy_read_maps" = "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks $smtpd_reject_filter_maps $debug_peer_list $smtpd_etrn_restrictions $fast_flush_domains $authorized_flush_users $lmtp_connection_cache_destinations $local_header_rewrite_clients $masquerade_exceptions $postscreen_access_list $postscreen_allowlist_interfaces $postscreen_forbidden_commands $qmqpd_authorized_clients $authorized_mailq_users $smtp_connection_cache_destinations $smtpd_log_access_permit_actions $smtpd_forbidden_commands $smtpd_client_event_limit_exceptions $smtpd_sasl_exceptions_networks $smtpd_sasl_mechanism_filter $smtp_requiretls_policy $smtp_sasl_mechanism_filter $authorized_submit_users $smtpd_authorized_verp_clients $smtpd_authorized_xclient_hosts $smtpd_authorized_xforward_hosts", { old: Some(OldDefault { below: "3.11", text: "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks", unless_set: None }), used_by: "proxymap", since: "2.0", in_3_7: true };
    /// Tables that proxywrite may update.
    PROXY_WRITE_MAPS: str "proxy_write_maps" = "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map", { used_by: "proxymap", since: "2.5", in_3_7: true };
    /// Service name for read-only table access.
    PROXYMAP_SERVICE_NAME: str "proxymap_service_name" = "proxymap", { min: 1, used_by: "all", since: "2.6", in_3_7: true };
    /// Service name for read-write table access.
    PROXYWRITE_SERVICE_NAME: str "proxywrite_service_name" = "proxywrite", { min: 1, used_by: "all", since: "2.6", in_3_7: true };
    /// Top of the mail queue and chroot tree.
    QUEUE_DIRECTORY: str "queue_directory" = "/var/spool/postfix", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Service name of the queue manager.
    QUEUE_SERVICE_NAME: str "queue_service_name" = "qmgr", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Location of README files, or no.
    README_DIRECTORY: str "readme_directory" = "/usr/share/doc/postfix", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Service name of trivial-rewrite.
    REWRITE_SERVICE_NAME: str "rewrite_service_name" = "rewrite", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Old location of sample files.
    SAMPLE_DIRECTORY: str "sample_directory" = "/etc/postfix", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// CRLF handling in the sendmail command: always, strict, never.
    SENDMAIL_FIX_LINE_ENDINGS: str "sendmail_fix_line_endings" = "always", { min: 1, used_by: "sendmail", since: "2.9", in_3_7: true };
    /// Install path of sendmail.
    SENDMAIL_PATH: str "sendmail_path" = "/usr/sbin/sendmail", { min: 1, used_by: "postfix", in_3_7: true, flags: flag::BUILD_TIME };
    /// Master.cf service name of this process (set by the daemon at start).
    SERVICE_NAME: str "service_name" = "amnesiac", { old: Some(OldDefault { below: "3.11", text: "", unless_set: None }), used_by: "all", since: "3.3", in_3_7: true };
    /// Pause before restarting a failing service.
    SERVICE_THROTTLE_TIME: time "service_throttle_time" = "60s", { unit: 's', min: 1, used_by: "master", in_3_7: true };
    /// Group for set-gid commands and maildrop.
    SETGID_GROUP: str "setgid_group" = "postdrop", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Shared library directory, or no.
    SHLIB_DIRECTORY: str "shlib_directory" = "/usr/lib/postfix", { min: 1, used_by: "all", since: "3.0", in_3_7: true, flags: flag::BUILD_TIME };
    /// Service name of showq.
    SHOWQ_SERVICE_NAME: str "showq_service_name" = "showq", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Syslog facility.
    SYSLOG_FACILITY: str "syslog_facility" = "mail", { min: 1, used_by: "all", in_3_7: true };
    /// Log tag prefix; program name is appended.
    SYSLOG_NAME: str "syslog_name" = "${multi_instance_name?{$multi_instance_name}:{postfix}}", { min: 1, used_by: "all", in_3_7: true };
    /// Service name of the bounce daemon for trace reports.
    TRACE_SERVICE_NAME: str "trace_service_name" = "trace", { min: 1, used_by: "all", since: "2.1", in_3_7: true };
}
