//! Address rewriting and routing: trivial-rewrite(8).

use super::params;

params! {
    /// Accept recipient addresses that begin with a minus sign.
    ALLOW_MIN_USER: bool "allow_min_user" = "no", { used_by: "trivial-rewrite", in_3_7: true };
    /// Rewrite user%domain to user@domain.
    ALLOW_PERCENT_HACK: bool "allow_percent_hack" = "yes", { used_by: "trivial-rewrite", in_3_7: true };
    /// Complete a bare user name with @$myorigin.
    APPEND_AT_MYORIGIN: bool "append_at_myorigin" = "yes", { used_by: "trivial-rewrite", in_3_7: true };
    /// Complete a dotless domain with .$mydomain.
    APPEND_DOT_MYDOMAIN: nbool "append_dot_mydomain" = "${{$compatibility_level} <level {1} ? {yes} : {no}}", { used_by: "trivial-rewrite", in_3_7: true };
    /// Transport:nexthop for all domains not otherwise classified.
    DEFAULT_TRANSPORT: str "default_transport" = "smtp", { min: 1, used_by: "trivial-rewrite", in_3_7: true };
    /// Key for the null sender in sender_dependent_default_transport_maps.
    EMPTY_ADDRESS_DEFAULT_TRANSPORT_MAPS_LOOKUP_KEY: str "empty_address_default_transport_maps_lookup_key" = "<>", { min: 1, used_by: "trivial-rewrite", since: "2.7", in_3_7: true };
    /// Replacement when a null address is used as recipient.
    EMPTY_ADDRESS_RECIPIENT: str "empty_address_recipient" = "MAILER-DAEMON", { min: 1, used_by: "cleanup,showq,trivial-rewrite", in_3_7: true };
    /// Key for the null sender in sender_dependent_relayhost_maps.
    EMPTY_ADDRESS_RELAYHOST_MAPS_LOOKUP_KEY: str "empty_address_relayhost_maps_lookup_key" = "<>", { min: 1, used_by: "trivial-rewrite", since: "2.5", in_3_7: true };
    /// Transport:nexthop for local destinations.
    LOCAL_TRANSPORT: str "local_transport" = "local:$myhostname", { min: 1, used_by: "trivial-rewrite", in_3_7: true };
    /// Transport:nexthop for relay_domains.
    RELAY_TRANSPORT: str "relay_transport" = "relay", { min: 1, used_by: "trivial-rewrite", since: "2.0", in_3_7: true };
    /// Table of moved users.
    RELOCATED_MAPS: str "relocated_maps" = "", { used_by: "proxymap,trivial-rewrite", in_3_7: true };
    /// Prepend "5.1.6 User has moved to " to relocated_maps results.
    RELOCATED_PREFIX_ENABLE: nbool "relocated_prefix_enable" = "yes", { used_by: "trivial-rewrite", since: "3.11" };
    /// Domain for incomplete remote headers; empty leaves them alone.
    REMOTE_HEADER_REWRITE_DOMAIN: str "remote_header_rewrite_domain" = "", { used_by: "cleanup,trivial-rewrite", in_3_7: true };
    /// Resolve addresses after removing quotes in the local part.
    RESOLVE_DEQUOTED_ADDRESS: bool "resolve_dequoted_address" = "yes", { used_by: "trivial-rewrite", in_3_7: true };
    /// Treat user@ as local.
    RESOLVE_NULL_DOMAIN: bool "resolve_null_domain" = "no", { used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Accept user@1.2.3.4 as `user@[1.2.3.4].`
    RESOLVE_NUMERIC_DOMAIN: bool "resolve_numeric_domain" = "no", { used_by: "trivial-rewrite", since: "2.3", in_3_7: true };
    /// Default_transport by sender.
    SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS: str "sender_dependent_default_transport_maps" = "", { used_by: "trivial-rewrite", since: "2.7", in_3_7: true };
    /// Relayhost by sender.
    SENDER_DEPENDENT_RELAYHOST_MAPS: str "sender_dependent_relayhost_maps" = "", { used_by: "trivial-rewrite", since: "2.3", in_3_7: true };
    /// Name the table in unknown-user replies.
    SHOW_USER_UNKNOWN_TABLE_NAME: bool "show_user_unknown_table_name" = "yes", { used_by: "smtpd,trivial-rewrite", since: "2.0", in_3_7: true };
    /// Rewrite host!user to user@host.
    SWAP_BANGPATH: bool "swap_bangpath" = "yes", { used_by: "trivial-rewrite", in_3_7: true };
    /// Recipient to transport:nexthop table.
    TRANSPORT_MAPS: str "transport_maps" = "", { used_by: "proxymap,trivial-rewrite", in_3_7: true };
    /// Domains whose addresses are all aliased elsewhere.
    VIRTUAL_ALIAS_DOMAINS: str "virtual_alias_domains" = "$virtual_alias_maps", { used_by: "proxymap,trivial-rewrite", since: "2.0", in_3_7: true };
    /// Alias tables for all domains.
    VIRTUAL_ALIAS_MAPS: str "virtual_alias_maps" = "$virtual_maps", { used_by: "cleanup,proxymap,smtpd,trivial-rewrite", since: "2.0", in_3_7: true };
    /// Old name of virtual_alias_maps.
    VIRTUAL_MAPS: str "virtual_maps" = "", { used_by: "cleanup,proxymap,smtpd,trivial-rewrite", in_3_7: true, class: Class::ObsoleteAlias, flags: flag::DEPRECATED };
    /// Transport:nexthop for virtual_mailbox_domains.
    VIRTUAL_TRANSPORT: str "virtual_transport" = "virtual", { min: 1, used_by: "trivial-rewrite", since: "2.0", in_3_7: true };
}
