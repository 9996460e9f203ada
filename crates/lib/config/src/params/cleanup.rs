//! cleanup(8): canonical addresses, content inspection, Milters.

use super::params;

params! {
    /// Add missing From, To, Date, Message-ID headers for remote clients too.
    ALWAYS_ADD_MISSING_HEADERS: bool "always_add_missing_headers" = "no", { used_by: "cleanup", in_3_7: true };
    /// Address that gets a copy of every message.
    ALWAYS_BCC: str "always_bcc" = "", { used_by: "cleanup", in_3_7: true };
    /// Tables matched against each body line by cleanup.
    BODY_CHECKS: str "body_checks" = "", { used_by: "cleanup", in_3_7: true };
    /// Bytes per message segment that body_checks examines.
    BODY_CHECKS_SIZE_LIMIT: int "body_checks_size_limit" = "51200", { used_by: "cleanup", since: "2.0", in_3_7: true };
    /// Address classes that canonical_maps may rewrite.
    CANONICAL_CLASSES: str "canonical_classes" = "envelope_sender, envelope_recipient, header_sender, header_recipient", { min: 1, used_by: "cleanup", since: "2.2", in_3_7: true };
    /// Rewrite tables for sender and recipient, header and envelope.
    CANONICAL_MAPS: str "canonical_maps" = "", { used_by: "cleanup,proxymap,smtpd", in_3_7: true };
    /// Turn lone CR or LF inside a line into space when writing the queue file.
    CLEANUP_REPLACE_STRAY_CR_LF: bool "cleanup_replace_stray_cr_lf" = "yes", { used_by: "cleanup", since: "3.9", in_3_7: true };
    /// Derive 8-bit state from Content-Transfer-Encoding headers.
    DETECT_8BIT_ENCODING_HEADER: bool "detect_8bit_encoding_header" = "yes", { used_by: "cleanup", since: "2.5", in_3_7: true };
    /// Entries remembered to suppress duplicate recipients.
    DUPLICATE_FILTER_LIMIT: int "duplicate_filter_limit" = "1000", { used_by: "cleanup,local,showq", in_3_7: true };
    /// Convert 8-bit body parts to quoted-printable in cleanup, before checks and filters.
    FORCE_MIME_INPUT_CONVERSION: bool "force_mime_input_conversion" = "no", { used_by: "cleanup", since: "3.9" };
    /// Character set label when a generated From: full name is RFC 2047 encoded.
    FULL_NAME_ENCODING_CHARSET: str "full_name_encoding_charset" = "utf-8", { min: 1, used_by: "cleanup", since: "3.10" };
    /// Tables matched against primary message headers.
    HEADER_CHECKS: str "header_checks" = "", { used_by: "cleanup", in_3_7: true };
    /// Received headers before a loop is assumed.
    HOPCOUNT_LIMIT: int "hopcount_limit" = "50", { min: 1, used_by: "cleanup", in_3_7: true };
    /// Address classes to masquerade.
    MASQUERADE_CLASSES: str "masquerade_classes" = "envelope_sender, header_sender, header_recipient", { used_by: "cleanup", in_3_7: true };
    /// Domains whose subdomain part is stripped.
    MASQUERADE_DOMAINS: str "masquerade_domains" = "", { used_by: "cleanup", in_3_7: true };
    /// Local parts that are never masqueraded.
    MASQUERADE_EXCEPTIONS: str "masquerade_exceptions" = "", { used_by: "cleanup", in_3_7: true };
    /// Characters that make cleanup reject a message.
    MESSAGE_REJECT_CHARACTERS: str "message_reject_characters" = "", { used_by: "cleanup", since: "2.3", in_3_7: true };
    /// Characters removed from content.
    MESSAGE_STRIP_CHARACTERS: str "message_strip_characters" = "", { used_by: "cleanup", since: "2.3", in_3_7: true };
    /// Time limit for sending a command to a milter and getting the reply.
    MILTER_COMMAND_TIMEOUT: time "milter_command_timeout" = "30s", { unit: 's', min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at connect.
    MILTER_CONNECT_MACROS: str "milter_connect_macros" = "j {daemon_name} {daemon_addr} v _", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Time limit to connect and negotiate.
    MILTER_CONNECT_TIMEOUT: time "milter_connect_timeout" = "30s", { unit: 's', min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Time limit for content and final reply.
    MILTER_CONTENT_TIMEOUT: time "milter_content_timeout" = "300s", { unit: 's', min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at DATA.
    MILTER_DATA_MACROS: str "milter_data_macros" = "i", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Action on milter failure: accept, reject, tempfail, quarantine, shutdown.
    MILTER_DEFAULT_ACTION: str "milter_default_action" = "shutdown", { old: Some(OldDefault { below: "3.11", text: "tempfail", unless_set: None }), min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at end of message.
    MILTER_END_OF_DATA_MACROS: str "milter_end_of_data_macros" = "i", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at end of headers.
    MILTER_END_OF_HEADER_MACROS: str "milter_end_of_header_macros" = "i", { used_by: "cleanup,smtpd", since: "2.5", in_3_7: true };
    /// Header checks on headers added by milters.
    MILTER_HEADER_CHECKS: str "milter_header_checks" = "", { used_by: "cleanup", since: "2.7", in_3_7: true };
    /// Macros sent at HELO/EHLO.
    MILTER_HELO_MACROS: str "milter_helo_macros" = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Value of {daemon_name}.
    MILTER_MACRO_DAEMON_NAME: str "milter_macro_daemon_name" = "$myhostname", { min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Name=value fallbacks for missing macros.
    MILTER_MACRO_DEFAULTS: str "milter_macro_defaults" = "", { used_by: "cleanup,smtpd", since: "3.1", in_3_7: true };
    /// Value of macro v.
    MILTER_MACRO_V: str "milter_macro_v" = "$mail_name $mail_version", { min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at MAIL FROM.
    MILTER_MAIL_MACROS: str "milter_mail_macros" = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Milter protocol version plus optional flags.
    MILTER_PROTOCOL: str "milter_protocol" = "6", { min: 1, used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent at RCPT TO.
    MILTER_RCPT_MACROS: str "milter_rcpt_macros" = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Macros sent for unknown commands.
    MILTER_UNKNOWN_COMMAND_MACROS: str "milter_unknown_command_macros" = "", { used_by: "cleanup,smtpd", since: "2.3", in_3_7: true };
    /// Tables matched against MIME headers.
    MIME_HEADER_CHECKS: str "mime_header_checks" = "$header_checks", { used_by: "cleanup", since: "2.0", in_3_7: true };
    /// Tables matched against headers of attached messages.
    NESTED_HEADER_CHECKS: str "nested_header_checks" = "$header_checks", { used_by: "cleanup", since: "2.0", in_3_7: true };
    /// Header ended by non-empty line: fix_quietly, add_header or reject.
    NON_EMPTY_END_OF_HEADER_ACTION: str "non_empty_end_of_header_action" = "fix_quietly", { min: 1, used_by: "cleanup", since: "3.11" };
    /// Milters for mail that does not arrive by SMTP.
    NON_SMTPD_MILTERS: str "non_smtpd_milters" = "", { used_by: "cleanup", since: "2.3", in_3_7: true };
    /// Table types that copy +ext to the lookup result.
    PROPAGATE_UNMATCHED_EXTENSIONS: str "propagate_unmatched_extensions" = "canonical, virtual", { used_by: "cleanup,lmtp,local,smtp", in_3_7: true };
    /// Attributes accepted in one queue file.
    QUEUE_FILE_ATTRIBUTE_COUNT_LIMIT: int "queue_file_attribute_count_limit" = "100", { min: 1, used_by: "cleanup", since: "2.0", in_3_7: true };
    /// Extra recipient by recipient.
    RECIPIENT_BCC_MAPS: str "recipient_bcc_maps" = "", { used_by: "cleanup", since: "2.1", in_3_7: true };
    /// Classes that recipient_canonical_maps may rewrite.
    RECIPIENT_CANONICAL_CLASSES: str "recipient_canonical_classes" = "envelope_recipient, header_recipient", { min: 1, used_by: "cleanup", since: "2.2", in_3_7: true };
    /// Rewrite tables for recipients.
    RECIPIENT_CANONICAL_MAPS: str "recipient_canonical_maps" = "", { used_by: "cleanup,proxymap,smtpd", in_3_7: true };
    /// Add "Require-TLS-ESMTP: yes" header so the request survives a content filter.
    REQUIRETLS_ESMTP_HEADER: nbool "requiretls_esmtp_header" = "yes", { used_by: "cleanup,smtpd", since: "3.11" };
    /// Extra recipient by sender.
    SENDER_BCC_MAPS: str "sender_bcc_maps" = "", { used_by: "cleanup", since: "2.1", in_3_7: true };
    /// Classes that sender_canonical_maps may rewrite.
    SENDER_CANONICAL_CLASSES: str "sender_canonical_classes" = "envelope_sender, header_sender", { min: 1, used_by: "cleanup", since: "2.2", in_3_7: true };
    /// Rewrite tables for senders.
    SENDER_CANONICAL_MAPS: str "sender_canonical_maps" = "", { used_by: "cleanup,proxymap,smtpd", in_3_7: true };
    /// Header added when no recipient header exists.
    UNDISCLOSED_RECIPIENTS_HEADER: str "undisclosed_recipients_header" = "", { used_by: "cleanup", in_3_7: true };
    /// Longest address from virtual alias expansion.
    VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT: int "virtual_alias_address_length_limit" = "1000", { min: 1, used_by: "cleanup", since: "3.0", in_3_7: true };
    /// Addresses produced per original recipient.
    VIRTUAL_ALIAS_EXPANSION_LIMIT: int "virtual_alias_expansion_limit" = "1000", { min: 1, used_by: "cleanup", since: "2.1", in_3_7: true };
    /// Nesting depth.
    VIRTUAL_ALIAS_RECURSION_LIMIT: int "virtual_alias_recursion_limit" = "1000", { min: 1, used_by: "cleanup", since: "2.1", in_3_7: true };
}
