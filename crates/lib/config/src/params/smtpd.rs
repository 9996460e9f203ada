//! The SMTP server: smtpd(8), and qmqpd(8).

use super::params;

params! {
    /// SMTP code for an access-table DEFER style result without its own code.
    ACCESS_MAP_DEFER_CODE: int "access_map_defer_code" = "450", { used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code for an access-table REJECT result.
    ACCESS_MAP_REJECT_CODE: int "access_map_reject_code" = "554", { used_by: "smtpd", in_3_7: true };
    /// Accept source-routed addresses (a%b@c, a@b@c) from untrusted clients.
    ALLOW_UNTRUSTED_ROUTING: bool "allow_untrusted_routing" = "no", { used_by: "smtpd", in_3_7: true };
    /// Old name of smtpd_authorized_verp_clients.
    AUTHORIZED_VERP_CLIENTS: str "authorized_verp_clients" = "", { used_by: "smtpd", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Also announce AUTH=mechs for obsolete clients.
    BROKEN_SASL_AUTH_CLIENTS: bool "broken_sasl_auth_clients" = "no", { used_by: "smtpd", in_3_7: true };
    /// Transport:nexthop that gets all new mail before normal delivery.
    CONTENT_FILTER: str "content_filter" = "", { used_by: "pickup,qmqpd,smtpd", in_3_7: true };
    /// Reply template for DNS list rejects without an own template.
    DEFAULT_RBL_REPLY: raw "default_rbl_reply" = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}", { min: 1, used_by: "smtpd", since: "2.0", in_3_7: true };
    /// SMTP code for the defer restriction.
    DEFER_CODE: int "defer_code" = "450", { used_by: "smtpd", in_3_7: true };
    /// Do not offer or accept VRFY.
    DISABLE_VRFY_COMMAND: bool "disable_vrfy_command" = "no", { used_by: "postscreen,smtpd", in_3_7: true };
    /// Service name of the dnsblog daemon.
    DNSBLOG_SERVICE_NAME: str "dnsblog_service_name" = "dnsblog", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// SMTP code for reject_invalid_helo_hostname.
    INVALID_HOSTNAME_REJECT_CODE: int "invalid_hostname_reject_code" = "501", { used_by: "smtpd", in_3_7: true };
    /// Clients whose headers get local rewriting.
    LOCAL_HEADER_REWRITE_CLIENTS: str "local_header_rewrite_clients" = "permit_inet_interfaces", { used_by: "smtpd", in_3_7: true };
    /// Tables of valid local recipients; empty disables the check.
    LOCAL_RECIPIENT_MAPS: str "local_recipient_maps" = "proxy:unix:passwd.byname $alias_maps", { used_by: "proxymap,smtpd", in_3_7: true };
    /// Old list of DNS blocklist domains.
    MAPS_RBL_DOMAINS: str "maps_rbl_domains" = "", { used_by: "smtpd", in_3_7: true };
    /// SMTP code for DNS list rejects.
    MAPS_RBL_REJECT_CODE: int "maps_rbl_reject_code" = "554", { used_by: "smtpd", in_3_7: true };
    /// SMTP code for reject_multi_recipient_bounce.
    MULTI_RECIPIENT_BOUNCE_REJECT_CODE: int "multi_recipient_bounce_reject_code" = "550", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// SMTP code for reject_non_fqdn_*.
    NON_FQDN_REJECT_CODE: int "non_fqdn_reject_code" = "504", { used_by: "smtpd", in_3_7: true };
    /// Networks required of primary MX hosts by permit_mx_backup.
    PERMIT_MX_BACKUP_NETWORKS: str "permit_mx_backup_networks" = "", { used_by: "smtpd", in_3_7: true };
    /// SMTP code for reject_plaintext_session.
    PLAINTEXT_REJECT_CODE: int "plaintext_reject_code" = "450", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Clients that may use QMQP.
    QMQPD_AUTHORIZED_CLIENTS: str "qmqpd_authorized_clients" = "", { used_by: "qmqpd", in_3_7: true };
    /// Log client port.
    QMQPD_CLIENT_PORT_LOGGING: bool "qmqpd_client_port_logging" = "no", { used_by: "qmqpd", since: "2.5", in_3_7: true };
    /// Pause before a negative reply.
    QMQPD_ERROR_DELAY: time "qmqpd_error_delay" = "1s", { unit: 's', used_by: "qmqpd", in_3_7: true };
    /// I/O time limit.
    QMQPD_TIMEOUT: time "qmqpd_timeout" = "300s", { unit: 's', min: 1, used_by: "qmqpd", in_3_7: true };
    /// Free bytes needed in the queue file system.
    QUEUE_MINFREE: long "queue_minfree" = "0", { used_by: "smtpd", in_3_7: true };
    /// Per-list reply templates.
    RBL_REPLY_MAPS: str "rbl_reply_maps" = "", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// Input features to switch off (no_address_mappings, no_milters, ...).
    RECEIVE_OVERRIDE_OPTIONS: str "receive_override_options" = "", { used_by: "pickup,qmqpd,smtpd", since: "2.1", in_3_7: true };
    /// SMTP code for the reject restriction.
    REJECT_CODE: int "reject_code" = "554", { used_by: "smtpd", in_3_7: true };
    /// Action when a reject test fails temporarily.
    REJECT_TEMPFAIL_ACTION: str "reject_tempfail_action" = "defer_if_permit", { min: 1, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// Table of client certificate fingerprints that may relay.
    RELAY_CLIENTCERTS: str "relay_clientcerts" = "", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// SMTP code for reject_unauth_destination.
    RELAY_DOMAINS_REJECT_CODE: int "relay_domains_reject_code" = "554", { used_by: "smtpd", in_3_7: true };
    /// Valid recipients in relay_domains.
    RELAY_RECIPIENT_MAPS: str "relay_recipient_maps" = "", { used_by: "proxymap,smtpd", since: "2.0", in_3_7: true };
    /// Clients that may use XVERP.
    SMTPD_AUTHORIZED_VERP_CLIENTS: str "smtpd_authorized_verp_clients" = "$authorized_verp_clients", { used_by: "smtpd", in_3_7: true };
    /// Clients that may use XCLIENT.
    SMTPD_AUTHORIZED_XCLIENT_HOSTS: str "smtpd_authorized_xclient_hosts" = "", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Clients that may use XFORWARD.
    SMTPD_AUTHORIZED_XFORWARD_HOSTS: str "smtpd_authorized_xforward_hosts" = "", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Text after 220.
    SMTPD_BANNER: str "smtpd_banner" = "$myhostname ESMTP $mail_name", { min: 1, used_by: "postscreen,smtpd", in_3_7: true };
    /// AUTH commands per client per time unit.
    SMTPD_CLIENT_AUTH_RATE_LIMIT: int "smtpd_client_auth_rate_limit" = "0", { used_by: "smtpd", since: "3.1", in_3_7: true };
    /// Simultaneous connections per client.
    SMTPD_CLIENT_CONNECTION_COUNT_LIMIT: int "smtpd_client_connection_count_limit" = "50", { used_by: "postscreen,smtpd", since: "2.2", in_3_7: true };
    /// Old name of smtpd_client_event_limit_exceptions.
    SMTPD_CLIENT_CONNECTION_LIMIT_EXCEPTIONS: str "smtpd_client_connection_limit_exceptions" = "", { used_by: "smtpd", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Connections per client per time unit.
    SMTPD_CLIENT_CONNECTION_RATE_LIMIT: int "smtpd_client_connection_rate_limit" = "0", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Clients without rate limits.
    SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS: str "smtpd_client_event_limit_exceptions" = "${smtpd_client_connection_limit_exceptions:$mynetworks}", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Prefix bits that define an IPv4 client for limits.
    SMTPD_CLIENT_IPV4_PREFIX_LENGTH: int "smtpd_client_ipv4_prefix_length" = "32", { max: 32, used_by: "smtpd", since: "3.8" };
    /// Prefix bits that define an IPv6 client for limits.
    SMTPD_CLIENT_IPV6_PREFIX_LENGTH: int "smtpd_client_ipv6_prefix_length" = "84", { old: Some(OldDefault { below: "3.8", text: "128", unless_set: None }), max: 128, used_by: "smtpd", since: "3.8" };
    /// Messages per client per time unit.
    SMTPD_CLIENT_MESSAGE_RATE_LIMIT: int "smtpd_client_message_rate_limit" = "0", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Full TLS handshakes per client per time unit.
    SMTPD_CLIENT_NEW_TLS_SESSION_RATE_LIMIT: int "smtpd_client_new_tls_session_rate_limit" = "0", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Log client port.
    SMTPD_CLIENT_PORT_LOGGING: bool "smtpd_client_port_logging" = "no", { used_by: "smtpd", since: "2.5", in_3_7: true };
    /// Recipients per client per time unit.
    SMTPD_CLIENT_RECIPIENT_RATE_LIMIT: int "smtpd_client_recipient_rate_limit" = "0", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Restrictions at connect.
    SMTPD_CLIENT_RESTRICTIONS: str "smtpd_client_restrictions" = "", { used_by: "smtpd", in_3_7: true };
    /// Table that rewrites client commands.
    SMTPD_COMMAND_FILTER: str "smtpd_command_filter" = "", { used_by: "postscreen,smtpd", since: "2.7", in_3_7: true };
    /// Restrictions at DATA.
    SMTPD_DATA_RESTRICTIONS: str "smtpd_data_restrictions" = "", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// Create the queue file at the first good RCPT.
    SMTPD_DELAY_OPEN_UNTIL_VALID_RCPT: bool "smtpd_delay_open_until_valid_rcpt" = "yes", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Evaluate early restrictions at RCPT.
    SMTPD_DELAY_REJECT: bool "smtpd_delay_reject" = "yes", { used_by: "smtpd", in_3_7: true };
    /// EHLO keywords to hide by client.
    SMTPD_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS: str "smtpd_discard_ehlo_keyword_address_maps" = "", { used_by: "postscreen,smtpd", since: "2.2", in_3_7: true };
    /// EHLO keywords to hide.
    SMTPD_DISCARD_EHLO_KEYWORDS: str "smtpd_discard_ehlo_keywords" = "", { used_by: "postscreen,smtpd", since: "2.2", in_3_7: true };
    /// Filter for DNS replies.
    SMTPD_DNS_REPLY_FILTER: str "smtpd_dns_reply_filter" = "", { used_by: "smtpd", since: "3.0", in_3_7: true };
    /// Restrictions at end of data.
    SMTPD_END_OF_DATA_RESTRICTIONS: str "smtpd_end_of_data_restrictions" = "", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Old form of smtpd_tls_security_level=encrypt.
    SMTPD_ENFORCE_TLS: bool "smtpd_enforce_tls" = "no", { used_by: "postscreen,smtpd,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// Pause per error above the soft limit.
    SMTPD_ERROR_SLEEP_TIME: time "smtpd_error_sleep_time" = "1s", { unit: 's', used_by: "smtpd", in_3_7: true };
    /// Restrictions on ETRN.
    SMTPD_ETRN_RESTRICTIONS: str "smtpd_etrn_restrictions" = "", { used_by: "smtpd", in_3_7: true };
    /// Characters kept in $name values in replies.
    SMTPD_EXPANSION_FILTER: raw "smtpd_expansion_filter" = "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~", { min: 1, used_by: "postscreen,smtpd", since: "2.0", in_3_7: true };
    /// Policy for lone LF from clients: no, yes/normalize, note, reject.
    SMTPD_FORBID_BARE_NEWLINE: str "smtpd_forbid_bare_newline" = "normalize", { old: Some(OldDefault { below: "3.9", text: "no", unless_set: None }), min: 1, used_by: "smtpd", in_3_7: true };
    /// Clients exempt from that policy.
    SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS: str "smtpd_forbid_bare_newline_exclusions" = "$mynetworks", { used_by: "smtpd", since: "3.9", in_3_7: true };
    /// SMTP code for reject mode.
    SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE: int "smtpd_forbid_bare_newline_reject_code" = "550", { min: 500, max: 599, used_by: "smtpd", since: "3.9", in_3_7: true };
    /// Disconnect clients that pipeline without permission.
    SMTPD_FORBID_UNAUTH_PIPELINING: bool "smtpd_forbid_unauth_pipelining" = "yes", { old: Some(OldDefault { below: "3.9", text: "no", unless_set: None }), used_by: "smtpd", since: "3.9", in_3_7: true };
    /// Commands that cause an immediate disconnect.
    SMTPD_FORBIDDEN_COMMANDS: str "smtpd_forbidden_commands" = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", { used_by: "postscreen,proxymap,smtpd", since: "2.2", in_3_7: true };
    /// Errors before disconnect.
    SMTPD_HARD_ERROR_LIMIT: nint "smtpd_hard_error_limit" = "${stress?{1}:{20}}", { min: 1, used_by: "smtpd", in_3_7: true };
    /// Demand HELO/EHLO.
    SMTPD_HELO_REQUIRED: bool "smtpd_helo_required" = "no", { used_by: "postscreen,smtpd", in_3_7: true };
    /// Restrictions at HELO.
    SMTPD_HELO_RESTRICTIONS: str "smtpd_helo_restrictions" = "", { used_by: "smtpd", in_3_7: true };
    /// Received: header without client, TLS, SASL and protocol details.
    SMTPD_HIDE_CLIENT_SESSION: nbool "smtpd_hide_client_session" = "no", { used_by: "smtpd", since: "3.10" };
    /// Lines of session history before flush.
    SMTPD_HISTORY_FLUSH_THRESHOLD: int "smtpd_history_flush_threshold" = "100", { min: 1, used_by: "smtpd", in_3_7: true };
    /// NOOP/VRFY/ETRN/RSET count before they are errors.
    SMTPD_JUNK_COMMAND_LIMIT: nint "smtpd_junk_command_limit" = "${stress?{1}:{100}}", { min: 1, used_by: "smtpd", in_3_7: true };
    /// Permit_* actions to log.
    SMTPD_LOG_ACCESS_PERMIT_ACTIONS: str "smtpd_log_access_permit_actions" = "", { used_by: "smtpd", since: "2.10", in_3_7: true };
    /// Milter list by client address.
    SMTPD_MILTER_MAPS: str "smtpd_milter_maps" = "", { used_by: "smtpd", since: "3.2", in_3_7: true };
    /// Milters for SMTP mail.
    SMTPD_MILTERS: str "smtpd_milters" = "", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Minimum bytes per second with per-request deadline.
    SMTPD_MIN_DATA_RATE: int "smtpd_min_data_rate" = "500", { min: 1, used_by: "smtpd", since: "3.7", in_3_7: true };
    /// Commands treated as NOOP.
    SMTPD_NOOP_COMMANDS: str "smtpd_noop_commands" = "", { used_by: "smtpd", in_3_7: true };
    /// Access-table key for the null sender.
    SMTPD_NULL_ACCESS_LOOKUP_KEY: str "smtpd_null_access_lookup_key" = "<>", { used_by: "smtpd", in_3_7: true };
    /// Look up client host name.
    SMTPD_PEERNAME_LOOKUP: bool "smtpd_peername_lookup" = "yes", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Old name of smtpd_per_request_deadline.
    SMTPD_PER_RECORD_DEADLINE: str "smtpd_per_record_deadline" = "", { used_by: "smtpd", since: "2.9", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Time limit covers whole request, not each I/O.
    SMTPD_PER_REQUEST_DEADLINE: nbool "smtpd_per_request_deadline" = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}", { used_by: "smtpd", since: "3.7", in_3_7: true };
    /// Result when a policy service fails.
    SMTPD_POLICY_SERVICE_DEFAULT_ACTION: str "smtpd_policy_service_default_action" = "451 4.3.5 Server configuration problem", { min: 1, used_by: "smtpd", since: "3.0", in_3_7: true };
    /// Idle limit of policy connection.
    SMTPD_POLICY_SERVICE_MAX_IDLE: time "smtpd_policy_service_max_idle" = "300s", { unit: 's', min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Life limit of policy connection.
    SMTPD_POLICY_SERVICE_MAX_TTL: time "smtpd_policy_service_max_ttl" = "1000s", { unit: 's', min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Value of policy_context attribute.
    SMTPD_POLICY_SERVICE_POLICY_CONTEXT: str "smtpd_policy_service_policy_context" = "", { used_by: "smtpd", since: "3.1", in_3_7: true };
    /// Requests per policy connection; 0 is none.
    SMTPD_POLICY_SERVICE_REQUEST_LIMIT: int "smtpd_policy_service_request_limit" = "0", { used_by: "smtpd", since: "3.0", in_3_7: true };
    /// Pause between tries.
    SMTPD_POLICY_SERVICE_RETRY_DELAY: time "smtpd_policy_service_retry_delay" = "1s", { unit: 's', min: 1, used_by: "smtpd", since: "3.0", in_3_7: true };
    /// Connect and I/O limit.
    SMTPD_POLICY_SERVICE_TIMEOUT: time "smtpd_policy_service_timeout" = "100s", { unit: 's', min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Tries per request.
    SMTPD_POLICY_SERVICE_TRY_LIMIT: int "smtpd_policy_service_try_limit" = "2", { min: 1, used_by: "smtpd", since: "3.0", in_3_7: true };
    /// EHLO name to the before-queue filter.
    SMTPD_PROXY_EHLO: str "smtpd_proxy_ehlo" = "$myhostname", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Host:port of before-queue filter.
    SMTPD_PROXY_FILTER: str "smtpd_proxy_filter" = "", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Speed_adjust option for the filter.
    SMTPD_PROXY_OPTIONS: str "smtpd_proxy_options" = "", { used_by: "smtpd", since: "2.7", in_3_7: true };
    /// Connect and I/O limit for the filter.
    SMTPD_PROXY_TIMEOUT: time "smtpd_proxy_timeout" = "100s", { unit: 's', min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Recipients per message.
    SMTPD_RECIPIENT_LIMIT: int "smtpd_recipient_limit" = "1000", { min: 1, used_by: "smtpd", in_3_7: true };
    /// Extra recipients answered 452 before hard errors.
    SMTPD_RECIPIENT_OVERSHOOT_LIMIT: int "smtpd_recipient_overshoot_limit" = "1000", { min: 1, used_by: "smtpd", in_3_7: true };
    /// Restrictions at RCPT after relay policy.
    SMTPD_RECIPIENT_RESTRICTIONS: str "smtpd_recipient_restrictions" = "", { used_by: "smtpd", in_3_7: true };
    /// Table that replaces 4xx/5xx replies before footers are added.
    SMTPD_REJECT_FILTER_MAPS: str "smtpd_reject_filter_maps" = "", { used_by: "smtpd", since: "3.11" };
    /// Text appended to 4xx/5xx replies.
    SMTPD_REJECT_FOOTER: raw "smtpd_reject_footer" = "", { used_by: "postscreen,smtpd", since: "2.8", in_3_7: true };
    /// Table that selects reply footers.
    SMTPD_REJECT_FOOTER_MAPS: str "smtpd_reject_footer_maps" = "", { used_by: "smtpd", since: "3.4", in_3_7: true };
    /// Refuse unknown recipients.
    SMTPD_REJECT_UNLISTED_RECIPIENT: bool "smtpd_reject_unlisted_recipient" = "yes", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Refuse unknown senders in own domains.
    SMTPD_REJECT_UNLISTED_SENDER: bool "smtpd_reject_unlisted_sender" = "no", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Evaluate relay before recipient restrictions.
    SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS: nbool "smtpd_relay_before_recipient_restrictions" = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", { used_by: "smtpd", since: "3.6", in_3_7: true };
    /// Relay policy at RCPT.
    SMTPD_RELAY_RESTRICTIONS: str "smtpd_relay_restrictions" = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}", { used_by: "smtpd", since: "2.10", in_3_7: true };
    /// Names of user-defined restriction lists.
    SMTPD_RESTRICTION_CLASSES: str "smtpd_restriction_classes" = "", { used_by: "proxymap,smtpd", in_3_7: true };
    /// Offer AUTH.
    SMTPD_SASL_AUTH_ENABLE: bool "smtpd_sasl_auth_enable" = "no", { used_by: "smtpd", in_3_7: true };
    /// Put login name in Received.
    SMTPD_SASL_AUTHENTICATED_HEADER: bool "smtpd_sasl_authenticated_header" = "no", { used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Clients not offered AUTH.
    SMTPD_SASL_EXCEPTIONS_NETWORKS: str "smtpd_sasl_exceptions_networks" = "", { used_by: "smtpd", since: "2.1", in_3_7: true };
    /// SASL realm.
    SMTPD_SASL_LOCAL_DOMAIN: str "smtpd_sasl_local_domain" = "", { used_by: "smtpd", in_3_7: true };
    /// Mechanisms to offer.
    SMTPD_SASL_MECHANISM_FILTER: str "smtpd_sasl_mechanism_filter" = "!external, static:rest", { used_by: "smtpd", since: "3.6", in_3_7: true };
    /// Plug-in specific configuration or socket path.
    SMTPD_SASL_PATH: str "smtpd_sasl_path" = "smtpd", { min: 1, used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Bytes per client AUTH response.
    SMTPD_SASL_RESPONSE_LIMIT: int "smtpd_sasl_response_limit" = "12288", { min: 12288, used_by: "smtpd", since: "3.4", in_3_7: true };
    /// Mechanism restrictions without TLS.
    SMTPD_SASL_SECURITY_OPTIONS: str "smtpd_sasl_security_options" = "noanonymous", { used_by: "smtpd", in_3_7: true };
    /// Service name sent to the plug-in.
    SMTPD_SASL_SERVICE: str "smtpd_sasl_service" = "smtp", { min: 1, used_by: "smtpd", since: "2.11", in_3_7: true };
    /// Mechanism restrictions with TLS.
    SMTPD_SASL_TLS_SECURITY_OPTIONS: str "smtpd_sasl_tls_security_options" = "$smtpd_sasl_security_options", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Plug-in type (cyrus, dovecot).
    SMTPD_SASL_TYPE: str "smtpd_sasl_type" = "cyrus", { min: 1, used_by: "smtpd", since: "2.3", in_3_7: true };
    /// Owners of sender addresses.
    SMTPD_SENDER_LOGIN_MAPS: str "smtpd_sender_login_maps" = "", { used_by: "proxymap,smtpd", in_3_7: true };
    /// Restrictions at MAIL FROM.
    SMTPD_SENDER_RESTRICTIONS: str "smtpd_sender_restrictions" = "", { used_by: "smtpd", in_3_7: true };
    /// Service behind postscreen.
    SMTPD_SERVICE_NAME: str "smtpd_service_name" = "smtpd", { min: 1, used_by: "postscreen", since: "2.8", in_3_7: true };
    /// Errors before pauses start.
    SMTPD_SOFT_ERROR_LIMIT: nint "smtpd_soft_error_limit" = "10", { min: 1, used_by: "smtpd", in_3_7: true };
    /// Time limit for STARTTLS I/O.
    SMTPD_STARTTLS_TIMEOUT: time "smtpd_starttls_timeout" = "${stress?{10}:{300}}s", { unit: 's', min: 1, used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Read/write time limit.
    SMTPD_TIMEOUT: time "smtpd_timeout" = "${stress?{10}:{300}}s", { unit: 's', min: 1, used_by: "smtpd", in_3_7: true };
    /// SMTP server: Trusted CA certificates file.
    SMTPD_TLS_CAFILE: str "smtpd_tls_CAfile" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: Trusted CA certificates directory.
    SMTPD_TLS_CAPATH: str "smtpd_tls_CApath" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: Issue session IDs even without caching.
    SMTPD_TLS_ALWAYS_ISSUE_SESSION_IDS: bool "smtpd_tls_always_issue_session_ids" = "yes", { used_by: "smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: Ask for a client certificate.
    SMTPD_TLS_ASK_CCERT: bool "smtpd_tls_ask_ccert" = "no", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: No AUTH without TLS.
    SMTPD_TLS_AUTH_ONLY: bool "smtpd_tls_auth_only" = "no", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// SMTP server: Client certificate chain depth.
    SMTPD_TLS_CCERT_VERIFYDEPTH: int "smtpd_tls_ccert_verifydepth" = "9", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: RSA certificate file.
    SMTPD_TLS_CERT_FILE: str "smtpd_tls_cert_file" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: Key and certificate chain files, any type.
    SMTPD_TLS_CHAIN_FILES: str "smtpd_tls_chain_files" = "", { used_by: "smtpd,tlsproxy", since: "3.4", in_3_7: true };
    /// SMTP server: Cipher grade for opportunistic TLS.
    SMTPD_TLS_CIPHERS: str "smtpd_tls_ciphers" = "medium", { min: 1, used_by: "smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP server: DSA certificate file.
    SMTPD_TLS_DCERT_FILE: str "smtpd_tls_dcert_file" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: DH parameters file; auto or built-in when empty.
    SMTPD_TLS_DH1024_PARAM_FILE: str "smtpd_tls_dh1024_param_file" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP server: Ignored (export DH).
    SMTPD_TLS_DH512_PARAM_FILE: str "smtpd_tls_dh512_param_file" = "", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: DSA key file.
    SMTPD_TLS_DKEY_FILE: str "smtpd_tls_dkey_file" = "$smtpd_tls_dcert_file", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: ECDSA certificate file.
    SMTPD_TLS_ECCERT_FILE: str "smtpd_tls_eccert_file" = "", { used_by: "smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP server: ECDSA key file.
    SMTPD_TLS_ECKEY_FILE: str "smtpd_tls_eckey_file" = "$smtpd_tls_eccert_file", { used_by: "smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP server: ECDH grade.
    SMTPD_TLS_EECDH_GRADE: str "smtpd_tls_eecdh_grade" = "auto", { min: 1, used_by: "smtpd,tlsproxy", since: "2.6", in_3_7: true, flags: flag::DEPRECATED };
    /// SMTP server: Allow raw public keys.
    SMTPD_TLS_ENABLE_RPK: bool "smtpd_tls_enable_rpk" = "no", { used_by: "smtpd,tlsproxy", since: "3.9" };
    /// SMTP server: Ciphers never used.
    SMTPD_TLS_EXCLUDE_CIPHERS: str "smtpd_tls_exclude_ciphers" = "", { used_by: "smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: Fingerprint algorithm.
    SMTPD_TLS_FINGERPRINT_DIGEST: str "smtpd_tls_fingerprint_digest" = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", { min: 1, used_by: "smtpd,tlsproxy", since: "2.5", in_3_7: true };
    /// SMTP server: RSA key file.
    SMTPD_TLS_KEY_FILE: str "smtpd_tls_key_file" = "$smtpd_tls_cert_file", { used_by: "smtpd,tlsproxy", in_3_7: true };
    /// SMTP server: TLS logging 0-4.
    SMTPD_TLS_LOGLEVEL: str "smtpd_tls_loglevel" = "0", { used_by: "smtpd,tlsmgr,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: TLS log level by peer name or address (snapshot).
    SMTPD_TLS_LOGLEVEL_MAPS: str "smtpd_tls_loglevel_maps" = "", { used_by: "postscreen,smtpd", since: "3.12", flags: flag::ONLY_3_12 };
    /// SMTP server: Cipher grade for mandatory TLS.
    SMTPD_TLS_MANDATORY_CIPHERS: str "smtpd_tls_mandatory_ciphers" = "medium", { min: 1, used_by: "smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: More ciphers never used with mandatory TLS.
    SMTPD_TLS_MANDATORY_EXCLUDE_CIPHERS: str "smtpd_tls_mandatory_exclude_ciphers" = "", { used_by: "smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: TLS versions for mandatory TLS.
    SMTPD_TLS_MANDATORY_PROTOCOLS: str "smtpd_tls_mandatory_protocols" = ">=TLSv1", { used_by: "smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: TLS versions for opportunistic TLS.
    SMTPD_TLS_PROTOCOLS: str "smtpd_tls_protocols" = ">=TLSv1", { used_by: "smtpd,tlsproxy", since: "2.6", in_3_7: true };
    /// SMTP server: Put TLS details in Received.
    SMTPD_TLS_RECEIVED_HEADER: bool "smtpd_tls_received_header" = "no", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// SMTP server: Demand a client certificate with mandatory TLS.
    SMTPD_TLS_REQ_CCERT: bool "smtpd_tls_req_ccert" = "no", { used_by: "smtpd,tlsproxy", since: "2.2", in_3_7: true };
    /// SMTP server: Default TLS level.
    SMTPD_TLS_SECURITY_LEVEL: str "smtpd_tls_security_level" = "", { used_by: "postscreen,smtpd,tlsproxy", since: "2.3", in_3_7: true };
    /// SMTP server: Session cache file.
    SMTPD_TLS_SESSION_CACHE_DATABASE: str "smtpd_tls_session_cache_database" = "", { used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// SMTP server: Session cache life.
    SMTPD_TLS_SESSION_CACHE_TIMEOUT: time "smtpd_tls_session_cache_timeout" = "3600s", { unit: 's', max: 8640000, used_by: "tlsmgr", since: "2.2", in_3_7: true };
    /// SMTP server: Bytes of TLS transcript per connection; 0 disables (snapshot).
    SMTPD_TLS_TRACE_SIZE_LIMIT: int "smtpd_tls_trace_size_limit" = "102400", { used_by: "postscreen,smtpd", since: "3.12", flags: flag::ONLY_3_12 };
    /// SMTP server: Start TLS at connect.
    SMTPD_TLS_WRAPPERMODE: bool "smtpd_tls_wrappermode" = "no", { used_by: "smtpd", since: "2.2", in_3_7: true };
    /// Haproxy to read real client from a proxy.
    SMTPD_UPSTREAM_PROXY_PROTOCOL: str "smtpd_upstream_proxy_protocol" = "", { used_by: "smtpd", since: "2.10", in_3_7: true };
    /// Time limit for the proxy header.
    SMTPD_UPSTREAM_PROXY_TIMEOUT: time "smtpd_upstream_proxy_timeout" = "5s", { unit: 's', min: 1, used_by: "smtpd", since: "2.10", in_3_7: true };
    /// Old form of smtpd_tls_security_level=may.
    SMTPD_USE_TLS: bool "smtpd_use_tls" = "no", { used_by: "postscreen,smtpd,tlsproxy", since: "2.2", in_3_7: true, flags: flag::DEPRECATED };
    /// Yes when a service runs short of processes, else empty.
    STRESS: str "stress" = "", { used_by: "smtpd", since: "2.5", in_3_7: true };
    /// Demand `<>` and plain addresses in MAIL/RCPT.
    STRICT_RFC821_ENVELOPES: bool "strict_rfc821_envelopes" = "no", { used_by: "smtpd", in_3_7: true };
    /// SMTP code for reject_unknown_*_domain.
    UNKNOWN_ADDRESS_REJECT_CODE: int "unknown_address_reject_code" = "450", { used_by: "smtpd", in_3_7: true };
    /// Action when that test fails temporarily.
    UNKNOWN_ADDRESS_TEMPFAIL_ACTION: str "unknown_address_tempfail_action" = "$reject_tempfail_action", { min: 1, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code for reject_unknown_client_hostname.
    UNKNOWN_CLIENT_REJECT_CODE: int "unknown_client_reject_code" = "450", { used_by: "smtpd", in_3_7: true };
    /// Action when reject_unknown_helo_hostname fails temporarily.
    UNKNOWN_HELO_HOSTNAME_TEMPFAIL_ACTION: str "unknown_helo_hostname_tempfail_action" = "$reject_tempfail_action", { min: 1, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code for reject_unknown_helo_hostname.
    UNKNOWN_HOSTNAME_REJECT_CODE: int "unknown_hostname_reject_code" = "450", { used_by: "smtpd", in_3_7: true };
    /// SMTP code for unknown local recipient.
    UNKNOWN_LOCAL_RECIPIENT_REJECT_CODE: int "unknown_local_recipient_reject_code" = "550", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// SMTP code for unknown relay recipient.
    UNKNOWN_RELAY_RECIPIENT_REJECT_CODE: int "unknown_relay_recipient_reject_code" = "550", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// SMTP code for unknown virtual alias.
    UNKNOWN_VIRTUAL_ALIAS_REJECT_CODE: int "unknown_virtual_alias_reject_code" = "550", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// SMTP code for unknown virtual mailbox.
    UNKNOWN_VIRTUAL_MAILBOX_REJECT_CODE: int "unknown_virtual_mailbox_reject_code" = "550", { used_by: "smtpd", since: "2.0", in_3_7: true };
    /// SMTP code when a recipient probe has no verdict.
    UNVERIFIED_RECIPIENT_DEFER_CODE: int "unverified_recipient_defer_code" = "450", { min: 200, max: 499, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code when a recipient probe fails.
    UNVERIFIED_RECIPIENT_REJECT_CODE: int "unverified_recipient_reject_code" = "450", { min: 200, max: 599, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Text that replaces the probe failure reason.
    UNVERIFIED_RECIPIENT_REJECT_REASON: str "unverified_recipient_reject_reason" = "", { used_by: "smtpd", since: "2.6", in_3_7: true };
    /// Action when recipient probing fails temporarily.
    UNVERIFIED_RECIPIENT_TEMPFAIL_ACTION: str "unverified_recipient_tempfail_action" = "$reject_tempfail_action", { min: 1, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code when a sender probe has no verdict.
    UNVERIFIED_SENDER_DEFER_CODE: int "unverified_sender_defer_code" = "450", { min: 200, max: 499, used_by: "smtpd", since: "2.6", in_3_7: true };
    /// SMTP code when a sender probe fails.
    UNVERIFIED_SENDER_REJECT_CODE: int "unverified_sender_reject_code" = "450", { min: 200, max: 599, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Text that replaces the probe failure reason.
    UNVERIFIED_SENDER_REJECT_REASON: str "unverified_sender_reject_reason" = "", { used_by: "smtpd", since: "2.6", in_3_7: true };
    /// Action when sender probing fails temporarily.
    UNVERIFIED_SENDER_TEMPFAIL_ACTION: str "unverified_sender_tempfail_action" = "$reject_tempfail_action", { min: 1, used_by: "smtpd", since: "2.6", in_3_7: true };
}
