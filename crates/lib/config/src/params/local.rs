//! Mailbox delivery: local(8) and virtual(8).

use super::params;

params! {
    /// Alias tables searched by local delivery.
    ALIAS_MAPS: str "alias_maps" = "$default_database_type:/etc/aliases", { old: Some(OldDefault { below: "3.11", text: "hash:/etc/aliases, nis:mail.aliases", unless_set: None }), used_by: "local,proxymap,smtpd", in_3_7: true, flags: flag::BUILD_TIME };
    /// Where |command destinations are allowed: alias, forward, include.
    ALLOW_MAIL_TO_COMMANDS: str "allow_mail_to_commands" = "alias, forward", { used_by: "local", in_3_7: true };
    /// Where /file destinations are allowed: alias, forward, include.
    ALLOW_MAIL_TO_FILES: str "allow_mail_to_files" = "alias, forward", { used_by: "local", in_3_7: true };
    /// Send new-mail notices to the comsat service.
    BIFF: bool "biff" = "yes", { used_by: "local", in_3_7: true };
    /// Working directory for mailbox_command and |command deliveries.
    COMMAND_EXECUTION_DIRECTORY: raw "command_execution_directory" = "", { used_by: "local", since: "2.2", in_3_7: true };
    /// Characters kept in $name values inserted in mailbox_command.
    COMMAND_EXPANSION_FILTER: str "command_expansion_filter" = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", { min: 1, used_by: "local", in_3_7: true };
    /// Run-time limit of external delivery commands; base of `<service>_time_limit.`
    COMMAND_TIME_LIMIT: time "command_time_limit" = "1000s", { unit: 's', min: 1, used_by: "local,pipe,spawn", in_3_7: true };
    /// Characters kept in $name values in command_execution_directory.
    EXECUTION_DIRECTORY_EXPANSION_FILTER: str "execution_directory_expansion_filter" = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", { min: 1, used_by: "local", since: "2.2", in_3_7: true };
    /// Use the expanded owner- alias as new sender.
    EXPAND_OWNER_ALIAS: bool "expand_owner_alias" = "no", { used_by: "local", in_3_7: true };
    /// Transport for recipients unknown to local(8).
    FALLBACK_TRANSPORT: str "fallback_transport" = "", { used_by: "local", in_3_7: true };
    /// Per-recipient fallback transports for local(8).
    FALLBACK_TRANSPORT_MAPS: str "fallback_transport_maps" = "", { used_by: "local", since: "2.3", in_3_7: true };
    /// Characters kept in $name values in forward_path.
    FORWARD_EXPANSION_FILTER: str "forward_expansion_filter" = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", { min: 1, used_by: "local", in_3_7: true };
    /// Candidate .forward files for local users.
    FORWARD_PATH: raw "forward_path" = "$home/.forward${recipient_delimiter}${extension}, $home/.forward", { used_by: "local", in_3_7: true };
    /// Update Delivered-To once, not per alias/forward expansion.
    FROZEN_DELIVERED_TO: bool "frozen_delivered_to" = "yes", { used_by: "local", since: "2.3", in_3_7: true };
    /// Mailbox path below the home directory; trailing / is maildir.
    HOME_MAILBOX: str "home_mailbox" = "", { used_by: "local", in_3_7: true };
    /// Shell for |command delivery; empty is direct exec or /bin/sh.
    LOCAL_COMMAND_SHELL: str "local_command_shell" = "", { used_by: "local", in_3_7: true };
    /// Status filter for local(8).
    LOCAL_DELIVERY_STATUS_FILTER: str "local_delivery_status_filter" = "$default_delivery_status_filter", { used_by: "local", since: "3.0", in_3_7: true };
    /// Catch-all destination for unknown local users.
    LUSER_RELAY: raw "luser_relay" = "", { used_by: "local", in_3_7: true };
    /// Directory of system mailboxes.
    MAIL_SPOOL_DIRECTORY: str "mail_spool_directory" = "/var/mail", { used_by: "local,virtual", in_3_7: true, flags: flag::BUILD_TIME };
    /// External command for local mailbox delivery.
    MAILBOX_COMMAND: raw "mailbox_command" = "", { used_by: "local", in_3_7: true };
    /// Per-recipient mailbox commands.
    MAILBOX_COMMAND_MAPS: str "mailbox_command_maps" = "", { used_by: "local", in_3_7: true };
    /// Lock methods for local mailbox delivery.
    MAILBOX_DELIVERY_LOCK: str "mailbox_delivery_lock" = "fcntl, dotlock", { min: 1, used_by: "local", in_3_7: true, flags: flag::BUILD_TIME };
    /// Mailbox or maildir file limit in bytes; 0 is none.
    MAILBOX_SIZE_LIMIT: long "mailbox_size_limit" = "51200000", { used_by: "local", in_3_7: true };
    /// Transport for all local recipients after aliasing.
    MAILBOX_TRANSPORT: str "mailbox_transport" = "", { used_by: "local", in_3_7: true };
    /// Per-recipient mailbox transports.
    MAILBOX_TRANSPORT_MAPS: str "mailbox_transport_maps" = "", { used_by: "local", since: "2.3", in_3_7: true };
    /// Deliveries that get a Delivered-To header: command, file, forward.
    PREPEND_DELIVERED_HEADER: str "prepend_delivered_header" = "command, file, forward", { used_by: "local", in_3_7: true };
    /// Demand an existing home directory for local delivery.
    REQUIRE_HOME_DIRECTORY: bool "require_home_directory" = "no", { used_by: "local", in_3_7: true };
    /// Reset owner- sender when expanding nested aliases.
    RESET_OWNER_ALIAS: bool "reset_owner_alias" = "no", { used_by: "local", since: "2.8", in_3_7: true };
    /// Mailbox must belong to the recipient.
    STRICT_MAILBOX_OWNERSHIP: bool "strict_mailbox_ownership" = "yes", { used_by: "local,virtual", since: "2.5.3", in_3_7: true };
    /// Old mailtool locking; obsolete.
    SUN_MAILTOOL_COMPATIBILITY: bool "sun_mailtool_compatibility" = "no", { used_by: "local", in_3_7: true };
    /// Status filter for virtual(8).
    VIRTUAL_DELIVERY_STATUS_FILTER: str "virtual_delivery_status_filter" = "$default_delivery_status_filter", { used_by: "virtual", since: "3.0", in_3_7: true };
    /// Recipient to group ID.
    VIRTUAL_GID_MAPS: str "virtual_gid_maps" = "", { used_by: "virtual", in_3_7: true };
    /// Path prefix for mailbox results.
    VIRTUAL_MAILBOX_BASE: str "virtual_mailbox_base" = "", { min: 1, used_by: "virtual", in_3_7: true };
    /// Domains delivered by virtual_transport.
    VIRTUAL_MAILBOX_DOMAINS: str "virtual_mailbox_domains" = "$virtual_mailbox_maps", { used_by: "proxymap,trivial-rewrite", since: "2.0", in_3_7: true };
    /// Mailbox file limit in bytes.
    VIRTUAL_MAILBOX_LIMIT: long "virtual_mailbox_limit" = "51200000", { used_by: "virtual", in_3_7: true };
    /// Lock methods.
    VIRTUAL_MAILBOX_LOCK: str "virtual_mailbox_lock" = "fcntl, dotlock", { min: 1, used_by: "virtual", in_3_7: true, flags: flag::BUILD_TIME };
    /// Recipient to mailbox path.
    VIRTUAL_MAILBOX_MAPS: str "virtual_mailbox_maps" = "", { used_by: "proxymap,smtpd,trivial-rewrite,virtual", in_3_7: true };
    /// Smallest user ID accepted.
    VIRTUAL_MINIMUM_UID: int "virtual_minimum_uid" = "100", { min: 1, used_by: "virtual", in_3_7: true };
    /// Recipient to user ID.
    VIRTUAL_UID_MAPS: str "virtual_uid_maps" = "", { used_by: "virtual", in_3_7: true };
}
