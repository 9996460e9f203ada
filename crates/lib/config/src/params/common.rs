//! What every program reads.

use super::params;

params! {
    /// Alias tables rebuilt by newaliases / sendmail -bi.
    ALIAS_DATABASE: str "alias_database" = "$default_database_type:/etc/aliases", { old: Some(OldDefault { below: "3.11", text: "hash:/etc/aliases", unless_set: None }), used_by: "all", in_3_7: true };
    /// How long to wait for unfinished events before closing a connection.
    APPLICATION_EVENT_DRAIN_TIME: time "application_event_drain_time" = "100s", { unit: 's', min: 1, used_by: "all", since: "2.1", in_3_7: true };
    /// Write extra per-recipient lines readable by old bounce daemons.
    BACKWARDS_BOUNCE_LOGFILE_COMPATIBILITY: bool "backwards_bounce_logfile_compatibility" = "yes", { used_by: "all", since: "2.1", in_3_7: true };
    /// Per-table cache size while building a Berkeley DB file.
    BERKELEY_DB_CREATE_BUFFER_SIZE: int "berkeley_db_create_buffer_size" = "16777216", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Per-table cache size while reading a Berkeley DB file.
    BERKELEY_DB_READ_BUFFER_SIZE: int "berkeley_db_read_buffer_size" = "131072", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Die on table open error instead of running with a failing stand-in.
    DAEMON_TABLE_OPEN_ERROR_IS_FATAL: bool "daemon_table_open_error_is_fatal" = "no", { used_by: "all", since: "2.9", in_3_7: true };
    /// Watchdog limit for one daemon request.
    DAEMON_TIMEOUT: time "daemon_timeout" = "18000s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Extra verbosity for clients/servers in debug_peer_list.
    DEBUG_PEER_LEVEL: int "debug_peer_level" = "2", { min: 1, used_by: "all", in_3_7: true };
    /// Hosts, networks or domains that get verbose logging.
    DEBUG_PEER_LIST: str "debug_peer_list" = "", { used_by: "all", in_3_7: true };
    /// Shell command run when a daemon starts with -D.
    DEBUGGER_COMMAND: str "debugger_command" = "", { used_by: "all", in_3_7: true };
    /// Table type for cache files (verify, postscreen, TLS sessions).
    DEFAULT_CACHE_DB_TYPE: str "default_cache_db_type" = "btree", { min: 1, used_by: "all", since: "3.11", flags: flag::BUILD_TIME };
    /// Table type for newaliases, postalias, postmap when none is given.
    DEFAULT_DATABASE_TYPE: str "default_database_type" = "hash", { min: 1, used_by: "all", in_3_7: true, flags: flag::BUILD_TIME };
    /// Table that rewrites delivery status codes and text.
    DEFAULT_DELIVERY_STATUS_FILTER: str "default_delivery_status_filter" = "", { used_by: "all", since: "3.0", in_3_7: true };
    /// Process limit for services with '-' in the maxproc field.
    DEFAULT_PROCESS_LIMIT: int "default_process_limit" = "100", { min: 1, used_by: "all", in_3_7: true };
    /// Two characters for VERP: before recipient, and in place of @.
    DEFAULT_VERP_DELIMITERS: str "default_verp_delimiters" = "+=", { min: 2, max: 2, used_by: "all", since: "1.1", in_3_7: true };
    /// Digits after the point in logged delays.
    DELAY_LOGGING_RESOLUTION_LIMIT: int "delay_logging_resolution_limit" = "2", { max: 6, used_by: "all", since: "2.3", in_3_7: true };
    /// Tries to get a mailbox or table lock.
    DELIVER_LOCK_ATTEMPTS: int "deliver_lock_attempts" = "20", { min: 1, used_by: "all", in_3_7: true };
    /// Pause between lock tries.
    DELIVER_LOCK_DELAY: time "deliver_lock_delay" = "1s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Old switch that turns off DNS in the SMTP and LMTP clients.
    DISABLE_DNS_LOOKUPS: bool "disable_dns_lookups" = "no", { used_by: "all", in_3_7: true, flags: flag::DEPRECATED };
    /// Treat the whole message body as text.
    DISABLE_MIME_INPUT_PROCESSING: bool "disable_mime_input_processing" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Never convert 8BITMIME to 7-bit for servers without it.
    DISABLE_MIME_OUTPUT_CONVERSION: bool "disable_mime_output_conversion" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Repair negative-reply TTLs from older resolver libraries.
    DNS_NCACHE_TTL_FIX_ENABLE: bool "dns_ncache_ttl_fix_enable" = "no", { used_by: "all", since: "3.1", in_3_7: true };
    /// Type:name queried once to see if the resolver validates; empty disables.
    DNSSEC_PROBE: str "dnssec_probe" = "ns:.", { used_by: "all", since: "3.6", in_3_7: true };
    /// Keep finished queue files in the saved queue (1).
    DONT_REMOVE: int "dont_remove" = "0", { used_by: "all", in_3_7: true };
    /// Local part of sender whose mail is never bounced.
    DOUBLE_BOUNCE_SENDER: str "double_bounce_sender" = "double-bounce", { min: 1, used_by: "all", in_3_7: true };
    /// Use transitional IDNA2003 mapping for domain names.
    ENABLE_IDNA2003_COMPATIBILITY: nbool "enable_idna2003_compatibility" = "no", { used_by: "all", since: "3.2", in_3_7: true };
    /// Non-repeating time-based queue IDs.
    ENABLE_LONG_QUEUE_IDS: bool "enable_long_queue_ids" = "no", { used_by: "all", since: "2.9", in_3_7: true };
    /// Record the original recipient and use it for duplicate filtering.
    ENABLE_ORIGINAL_RECIPIENT: bool "enable_original_recipient" = "yes", { used_by: "all", since: "2.1", in_3_7: true };
    /// Domains with per-destination ETRN logs.
    FAST_FLUSH_DOMAINS: str "fast_flush_domains" = "$relay_domains", { used_by: "all", in_3_7: true };
    /// Trigger for internal fault tests.
    FAULT_INJECTION_CODE: int "fault_injection_code" = "0", { used_by: "all", in_3_7: true };
    /// Tries to fork a process.
    FORK_ATTEMPTS: int "fork_attempts" = "5", { min: 1, used_by: "all", in_3_7: true };
    /// Pause between fork tries.
    FORK_DELAY: time "fork_delay" = "1s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Subdirectory levels for hashed queues.
    HASH_QUEUE_DEPTH: int "hash_queue_depth" = "1", { min: 1, used_by: "all", in_3_7: true };
    /// Queues that use hashed subdirectories.
    HASH_QUEUE_NAMES: str "hash_queue_names" = "deferred, defer", { min: 1, used_by: "all", in_3_7: true };
    /// Address tokens per header that rewriting handles.
    HEADER_ADDRESS_TOKEN_LIMIT: int "header_address_token_limit" = "10240", { min: 1, used_by: "all", in_3_7: true };
    /// Header bytes kept; excess is dropped.
    HEADER_SIZE_LIMIT: int "header_size_limit" = "102400", { min: 1, used_by: "all", in_3_7: true };
    /// Log warnings about likely configuration errors.
    HELPFUL_WARNINGS: bool "helpful_warnings" = "yes", { used_by: "all", since: "2.0", in_3_7: true };
    /// Pause that slows new mail when arrival outruns delivery; 0..10 s.
    IN_FLOW_DELAY: time "in_flow_delay" = "1s", { unit: 's', max: 10, used_by: "all", in_3_7: true };
    /// Local addresses or names to listen on and treat as own.
    INET_INTERFACES: str "inet_interfaces" = "all", { used_by: "all", in_3_7: true };
    /// Ipv4, ipv6 or all.
    INET_PROTOCOLS: str "inet_protocols" = "all", { used_by: "all", since: "2.2", in_3_7: true };
    /// Address quoting style in info logging: external or internal.
    INFO_LOG_ADDRESS_FORMAT: str "info_log_address_format" = "external", { min: 1, used_by: "all", since: "3.5", in_3_7: true };
    /// Internal mail (bounce, notify) that gets content inspection.
    INTERNAL_MAIL_FILTER_CLASSES: str "internal_mail_filter_classes" = "", { used_by: "all", since: "2.3", in_3_7: true };
    /// Idle time after which a client closes an internal connection.
    IPC_IDLE: time "ipc_idle" = "5s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Time limit for internal protocol I/O.
    IPC_TIMEOUT: time "ipc_timeout" = "3600s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Maximum life of an internal connection.
    IPC_TTL: time "ipc_ttl" = "1000s", { unit: 's', min: 1, used_by: "all", since: "2.1", in_3_7: true };
    /// Service names with built-in port numbers.
    KNOWN_TCP_PORTS: str "known_tcp_ports" = "lmtp=24, smtp=25, smtps=submissions=465, submission=587", { used_by: "all", since: "3.6", in_3_7: true };
    /// Longest text line kept whole; longer lines are split.
    LINE_LENGTH_LIMIT: int "line_length_limit" = "2048", { min: 512, used_by: "all", in_3_7: true };
    /// Initial LMDB file size limit.
    LMDB_MAP_SIZE: long "lmdb_map_size" = "16777216", { min: 1, used_by: "all", since: "2.11", in_3_7: true };
    /// Idle time before a daemon process exits.
    MAX_IDLE: time "max_idle" = "100s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Requests served before a daemon process exits.
    MAX_USE: int "max_use" = "100", { min: 1, used_by: "all", in_3_7: true };
    /// Headers removed by cleanup.
    MESSAGE_DROP_HEADERS: str "message_drop_headers" = "bcc, content-length, resent-bcc, return-path", { used_by: "all", since: "3.0", in_3_7: true };
    /// Message size in bytes, envelope included; 0 is none.
    MESSAGE_SIZE_LIMIT: long "message_size_limit" = "10240000", { used_by: "all", in_3_7: true };
    /// Bytes of a MIME boundary compared.
    MIME_BOUNDARY_LENGTH_LIMIT: int "mime_boundary_length_limit" = "2048", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Nested MIME levels parsed.
    MIME_NESTING_LIMIT: int "mime_nesting_limit" = "100", { min: 1, used_by: "all", since: "2.0", in_3_7: true };
    /// Domains delivered with local_transport.
    MYDESTINATION: str "mydestination" = "$myhostname, localhost.$mydomain, localhost", { used_by: "all", in_3_7: true };
    /// Own domain name.
    MYDOMAIN: str "mydomain" = "", { min: 1, used_by: "all", in_3_7: true };
    /// Own host name.
    MYHOSTNAME: str "myhostname" = "", { min: 1, used_by: "all", in_3_7: true };
    /// Trusted client networks.
    MYNETWORKS: str "mynetworks" = "", { used_by: "all", in_3_7: true };
    /// How to derive mynetworks: host, subnet, class.
    MYNETWORKS_STYLE: str "mynetworks_style" = "${{$compatibility_level} <level {2} ? {subnet} : {host}}", { min: 1, used_by: "all", in_3_7: true };
    /// Domain appended to unqualified local addresses.
    MYORIGIN: str "myorigin" = "$myhostname", { min: 1, used_by: "all", in_3_7: true };
    /// Extra Berkeley DB to replacement type mappings.
    NON_BDB_CUSTOM_MAPPING: str "non_bdb_custom_mapping" = "", { used_by: "all", since: "3.11" };
    /// Berkeley DB migration: disable, enable-redirect or enable-reindex.
    NON_BDB_MIGRATION_LEVEL: str "non_bdb_migration_level" = "disable", { min: 1, used_by: "all", since: "3.11" };
    /// Log each redirect of a BDB table type.
    NON_BDB_MIGRATION_LOG_REDIRECT: nbool "non_bdb_migration_log_redirect" = "yes", { used_by: "all", since: "3.11" };
    /// Do not split owner-list and list-request at the delimiter.
    OWNER_REQUEST_SPECIAL: bool "owner_request_special" = "yes", { used_by: "all", in_3_7: true };
    /// Features where domain.tld also matches its subdomains.
    PARENT_DOMAIN_MATCHES_SUBDOMAINS: str "parent_domain_matches_subdomains" = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps", { used_by: "all", in_3_7: true };
    /// Outside addresses of NAT or proxies in front of this host.
    PROXY_INTERFACES: str "proxy_interfaces" = "", { used_by: "all", since: "2.0", in_3_7: true };
    /// Characters that separate user and extension.
    RECIPIENT_DELIMITER: str "recipient_delimiter" = "", { used_by: "all", in_3_7: true };
    /// Domains accepted for relay.
    RELAY_DOMAINS: str "relay_domains" = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}", { used_by: "all", in_3_7: true };
    /// Next-hop for non-local mail.
    RELAYHOST: str "relayhost" = "", { used_by: "all", in_3_7: true };
    /// Support the REQUIRETLS option of MAIL FROM (RFC 8689).
    REQUIRETLS_ENABLE: nbool "requiretls_enable" = "yes", { old: Some(OldDefault { below: "3.11", text: "no", unless_set: None }), used_by: "all", since: "3.11" };
    /// Use allowlist/denylist words in logs.
    RESPECTFUL_LOGGING: nbool "respectful_logging" = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", { used_by: "all", since: "3.6", in_3_7: true };
    /// Send an explicit authorization ID.
    SEND_CYRUS_SASL_AUTHZID: bool "send_cyrus_sasl_authzid" = "no", { used_by: "all", since: "2.4.4", in_3_7: true };
    /// Mail classes where SMTPUTF8 need is detected from content.
    SMTPUTF8_AUTODETECT_CLASSES: str "smtputf8_autodetect_classes" = "sendmail, verify", { min: 1, used_by: "all", since: "3.0", in_3_7: true };
    /// Support SMTPUTF8.
    SMTPUTF8_ENABLE: nbool "smtputf8_enable" = "${{$compatibility_level} <level {1} ? {no} : {yes}}", { used_by: "all", since: "3.0", in_3_7: true };
    /// Longest socketmap request (snapshot).
    SOCKETMAP_MAX_QUERY_SIZE: int "socketmap_max_query_size" = "10000", { min: 1, used_by: "all", since: "3.12", flags: flag::ONLY_3_12 };
    /// Longest socketmap reply.
    SOCKETMAP_MAX_REPLY_SIZE: int "socketmap_max_reply_size" = "100000", { min: 1, used_by: "all", since: "3.10" };
    /// Turn permanent rejects into temporary ones.
    SOFT_BOUNCE: bool "soft_bounce" = "no", { used_by: "all", in_3_7: true };
    /// Age at which a lock file is removed.
    STALE_LOCK_TIME: time "stale_lock_time" = "500s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Reject 8-bit headers.
    STRICT_7BIT_HEADERS: bool "strict_7bit_headers" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Both strict_7bit_headers and strict_8bitmime_body.
    STRICT_8BITMIME: bool "strict_8bitmime" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Reject 8-bit body without MIME labels.
    STRICT_8BITMIME_BODY: bool "strict_8bitmime_body" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Reject bad transfer encoding of message/ or multipart/.
    STRICT_MIME_ENCODING_DOMAIN: bool "strict_mime_encoding_domain" = "no", { used_by: "all", since: "2.0", in_3_7: true };
    /// Refuse UTF-8 without the SMTPUTF8 option.
    STRICT_SMTPUTF8: bool "strict_smtputf8" = "no", { used_by: "all", since: "3.0", in_3_7: true };
    /// TCP window size workaround, 1..65535; 0 is off.
    TCP_WINDOWSIZE: int "tcp_windowsize" = "0", { used_by: "all", since: "2.6", in_3_7: true };
    /// Time limit for sending a trigger.
    TRIGGER_TIMEOUT: time "trigger_timeout" = "10s", { unit: 's', min: 1, used_by: "all", in_3_7: true };
    /// Characters accepted as VERP delimiters.
    VERP_DELIMITER_FILTER: str "verp_delimiter_filter" = "-=+", { min: 1, used_by: "all", since: "1.1", in_3_7: true };
}
