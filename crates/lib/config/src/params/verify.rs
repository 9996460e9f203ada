//! Address verification: verify(8).

use super::params;

params! {
    /// How often the verify cache is swept for expired entries; 0 disables.
    ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL: time "address_verify_cache_cleanup_interval" = "12h", { unit: 'h', used_by: "verify", since: "2.7", in_3_7: true };
    /// Default_transport replacement for address probes.
    ADDRESS_VERIFY_DEFAULT_TRANSPORT: str "address_verify_default_transport" = "$default_transport", { min: 1, used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Local_transport replacement for address probes.
    ADDRESS_VERIFY_LOCAL_TRANSPORT: str "address_verify_local_transport" = "$local_transport", { min: 1, used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Table that stores probe results; empty means in-memory, lost on exit.
    ADDRESS_VERIFY_MAP: str "address_verify_map" = "$default_cache_db_type:$data_directory/verify_cache", { old: Some(OldDefault { below: "3.11", text: "btree:$data_directory/verify_cache", unless_set: Some("default_cache_db_type") }), used_by: "proxymap,verify", since: "2.1", in_3_7: true };
    /// Store failed probe results in the cache.
    ADDRESS_VERIFY_NEGATIVE_CACHE: bool "address_verify_negative_cache" = "yes", { used_by: "all", since: "2.1", in_3_7: true };
    /// Age at which a failed probe result is dropped.
    ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME: time "address_verify_negative_expire_time" = "3d", { unit: 'd', min: 1, used_by: "verify", since: "2.1", in_3_7: true };
    /// Age after which a failed result triggers a new probe.
    ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME: time "address_verify_negative_refresh_time" = "3h", { unit: 'h', min: 1, used_by: "verify", since: "2.1", in_3_7: true };
    /// Cap on address probes in the active queue (1/4 of the active limit); excess is deferred.
    ADDRESS_VERIFY_PENDING_REQUEST_LIMIT: int "address_verify_pending_request_limit" = "5000", { min: 1, used_by: "oqmgr,qmgr", since: "3.1", in_3_7: true };
    /// How many times smtpd asks for a pending probe result before giving up.
    ADDRESS_VERIFY_POLL_COUNT: nint "address_verify_poll_count" = "${stress?{1}:{3}}", { min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Pause between two such polls.
    ADDRESS_VERIFY_POLL_DELAY: time "address_verify_poll_delay" = "3s", { unit: 's', min: 1, used_by: "smtpd", since: "2.1", in_3_7: true };
    /// Age at which a successful probe result is dropped.
    ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME: time "address_verify_positive_expire_time" = "31d", { unit: 'd', min: 1, used_by: "verify", since: "2.1", in_3_7: true };
    /// Age after which a successful result is probed again.
    ADDRESS_VERIFY_POSITIVE_REFRESH_TIME: time "address_verify_positive_refresh_time" = "7d", { unit: 'd', min: 1, used_by: "verify", since: "2.1", in_3_7: true };
    /// Relay_transport replacement for address probes.
    ADDRESS_VERIFY_RELAY_TRANSPORT: str "address_verify_relay_transport" = "$relay_transport", { min: 1, used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Relayhost replacement for address probes.
    ADDRESS_VERIFY_RELAYHOST: str "address_verify_relayhost" = "$relayhost", { used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Envelope sender used in probe messages.
    ADDRESS_VERIFY_SENDER: str "address_verify_sender" = "$double_bounce_sender", { used_by: "smtpd,verify", since: "2.1", in_3_7: true };
    /// Per-sender default transport tables for probes.
    ADDRESS_VERIFY_SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS: str "address_verify_sender_dependent_default_transport_maps" = "$sender_dependent_default_transport_maps", { used_by: "trivial-rewrite", since: "2.7", in_3_7: true };
    /// Per-sender relayhost tables for probes.
    ADDRESS_VERIFY_SENDER_DEPENDENT_RELAYHOST_MAPS: str "address_verify_sender_dependent_relayhost_maps" = "$sender_dependent_relayhost_maps", { used_by: "trivial-rewrite", since: "2.3", in_3_7: true };
    /// Rotation period of a time-dependent probe sender; 0 is a fixed sender.
    ADDRESS_VERIFY_SENDER_TTL: time "address_verify_sender_ttl" = "0s", { unit: 's', used_by: "smtpd,verify", since: "2.9", in_3_7: true };
    /// Service name of the verify daemon.
    ADDRESS_VERIFY_SERVICE_NAME: str "address_verify_service_name" = "verify", { min: 1, used_by: "all", in_3_7: true };
    /// Transport_maps replacement for address probes.
    ADDRESS_VERIFY_TRANSPORT_MAPS: str "address_verify_transport_maps" = "$transport_maps", { used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
    /// Virtual_transport replacement for address probes.
    ADDRESS_VERIFY_VIRTUAL_TRANSPORT: str "address_verify_virtual_transport" = "$virtual_transport", { min: 1, used_by: "trivial-rewrite", since: "2.1", in_3_7: true };
}
