//! The queue: qmgr(8), bounce(8) and queue listings.

use super::params;

params! {
    /// Address that gets undeliverable bounces (double bounces) when class 2bounce is notified.
    P_2BOUNCE_NOTICE_RECIPIENT: str "2bounce_notice_recipient" = "postmaster", { min: 1, used_by: "bounce", in_3_7: true };
    /// Address that gets copies of bounce notices for class bounce.
    BOUNCE_NOTICE_RECIPIENT: str "bounce_notice_recipient" = "postmaster", { min: 1, used_by: "bounce,smtpd", in_3_7: true };
    /// Maximum queue time of a bounce (null-sender) message.
    BOUNCE_QUEUE_LIFETIME: time "bounce_queue_lifetime" = "5d", { unit: 'd', max: 8640000, used_by: "oqmgr,qmgr", since: "2.1", in_3_7: true };
    /// Bytes of original message text returned in a bounce.
    BOUNCE_SIZE_LIMIT: int "bounce_size_limit" = "50000", { min: 1, used_by: "bounce", in_3_7: true };
    /// File that overrides the built-in bounce texts.
    BOUNCE_TEMPLATE_FILE: str "bounce_template_file" = "", { used_by: "bounce", since: "2.3", in_3_7: true };
    /// Tell the sender when delayed mail finally leaves.
    CONFIRM_DELAY_CLEARED: bool "confirm_delay_cleared" = "no", { used_by: "oqmgr,qmgr", since: "3.0", in_3_7: true };
    /// Deliveries that earn one preemption slot (base).
    DEFAULT_DELIVERY_SLOT_COST: int "default_delivery_slot_cost" = "5", { used_by: "qmgr", in_3_7: true };
    /// Percentage discount applied to slot accounting (base).
    DEFAULT_DELIVERY_SLOT_DISCOUNT: int "default_delivery_slot_discount" = "50", { max: 100, used_by: "qmgr", in_3_7: true };
    /// Slots that may be borrowed for preemption (base).
    DEFAULT_DELIVERY_SLOT_LOAN: int "default_delivery_slot_loan" = "3", { used_by: "qmgr", in_3_7: true };
    /// Consecutive pseudo-cohort failures before a destination is dead.
    DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT: int "default_destination_concurrency_failed_cohort_limit" = "1", { used_by: "oqmgr,qmgr", since: "2.5", in_3_7: true };
    /// Parallel deliveries to one destination (base).
    DEFAULT_DESTINATION_CONCURRENCY_LIMIT: int "default_destination_concurrency_limit" = "20", { used_by: "oqmgr,qmgr", in_3_7: true };
    /// Concurrency decrease formula after a connect failure.
    DEFAULT_DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK: str "default_destination_concurrency_negative_feedback" = "1", { min: 1, used_by: "oqmgr,qmgr", since: "2.5", in_3_7: true };
    /// Concurrency increase formula after a success.
    DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK: str "default_destination_concurrency_positive_feedback" = "1", { min: 1, used_by: "oqmgr,qmgr", since: "2.5", in_3_7: true };
    /// Pause between deliveries to one destination; forces concurrency 1.
    DEFAULT_DESTINATION_RATE_DELAY: time "default_destination_rate_delay" = "0s", { unit: 's', used_by: "oqmgr,qmgr", since: "2.5", in_3_7: true };
    /// Recipients per delivery request (base).
    DEFAULT_DESTINATION_RECIPIENT_LIMIT: int "default_destination_recipient_limit" = "50", { used_by: "oqmgr,qmgr", in_3_7: true };
    /// Extra recipients loaded for preempting messages (base).
    DEFAULT_EXTRA_RECIPIENT_LIMIT: int "default_extra_recipient_limit" = "1000", { used_by: "qmgr", in_3_7: true };
    /// Next-hop for content_filter/FILTER without one; empty is recipient domain.
    DEFAULT_FILTER_NEXTHOP: str "default_filter_nexthop" = "", { used_by: "oqmgr,qmgr", since: "2.7", in_3_7: true };
    /// Slots a message needs before it can be preempted (base).
    DEFAULT_MINIMUM_DELIVERY_SLOTS: int "default_minimum_delivery_slots" = "3", { used_by: "qmgr", in_3_7: true };
    /// Recipients per transport kept in memory (base).
    DEFAULT_RECIPIENT_LIMIT: int "default_recipient_limit" = "20000", { used_by: "qmgr", in_3_7: true };
    /// Longest wait before refilling recipients (base).
    DEFAULT_RECIPIENT_REFILL_DELAY: time "default_recipient_refill_delay" = "5s", { unit: 's', min: 1, used_by: "qmgr", since: "2.4", in_3_7: true };
    /// Smallest refill batch (base).
    DEFAULT_RECIPIENT_REFILL_LIMIT: int "default_recipient_refill_limit" = "100", { min: 1, used_by: "qmgr", since: "2.4", in_3_7: true };
    /// Pause between deliveries over one transport (base).
    DEFAULT_TRANSPORT_RATE_DELAY: time "default_transport_rate_delay" = "0s", { unit: 's', used_by: "oqmgr,qmgr", since: "3.1", in_3_7: true };
    /// Transports whose mail stays deferred until a flush is asked.
    DEFER_TRANSPORTS: str "defer_transports" = "", { used_by: "oqmgr,qmgr", in_3_7: true };
    /// Address that gets copies of delay notices.
    DELAY_NOTICE_RECIPIENT: str "delay_notice_recipient" = "postmaster", { min: 1, used_by: "bounce", in_3_7: true };
    /// Queue time before the sender is told of the delay; 0 is off.
    DELAY_WARNING_TIME: time "delay_warning_time" = "0h", { unit: 'h', used_by: "bounce,cleanup", in_3_7: true };
    /// Log concurrency scheduler details.
    DESTINATION_CONCURRENCY_FEEDBACK_DEBUG: bool "destination_concurrency_feedback_debug" = "no", { used_by: "oqmgr,qmgr", since: "2.5", in_3_7: true };
    /// Send no VERP-style bounces.
    DISABLE_VERP_BOUNCES: bool "disable_verp_bounces" = "no", { used_by: "cleanup,oqmgr,qmgr", since: "1.1", in_3_7: true };
    /// Add References/In-Reply-To to bounces.
    ENABLE_THREADED_BOUNCES: nbool "enable_threaded_bounces" = "no", { used_by: "bounce", since: "3.6", in_3_7: true };
    /// Form of the generated From: header: standard or obsolete.
    HEADER_FROM_FORMAT: str "header_from_format" = "standard", { min: 1, used_by: "bounce,cleanup,lmtp,smtp,smtpd", since: "3.3", in_3_7: true };
    /// Starting concurrency for a new destination (base).
    INITIAL_DESTINATION_CONCURRENCY: int "initial_destination_concurrency" = "5", { min: 1, used_by: "oqmgr,qmgr", in_3_7: true };
    /// Parallel deliveries to one local recipient.
    LOCAL_DESTINATION_CONCURRENCY_LIMIT: int "local_destination_concurrency_limit" = "2", { used_by: "oqmgr,qmgr", in_3_7: true, class: Class::ServiceDerived };
    /// Recipients per local delivery request.
    LOCAL_DESTINATION_RECIPIENT_LIMIT: int "local_destination_recipient_limit" = "1", { used_by: "oqmgr,qmgr", in_3_7: true, class: Class::ServiceDerived };
    /// Longest time between retries of deferred mail.
    MAXIMAL_BACKOFF_TIME: time "maximal_backoff_time" = "4000s", { unit: 's', min: 1, used_by: "oqmgr,qmgr", in_3_7: true };
    /// Queue time before mail is returned.
    MAXIMAL_QUEUE_LIFETIME: time "maximal_queue_lifetime" = "5d", { unit: 'd', max: 8640000, used_by: "bounce,oqmgr,qmgr", in_3_7: true };
    /// Shortest time between retries; deferred queue scan base.
    MINIMAL_BACKOFF_TIME: time "minimal_backoff_time" = "300s", { unit: 's', min: 1, used_by: "lmtp,oqmgr,qmgr,smtp", in_3_7: true };
    /// Error classes reported to postmaster.
    NOTIFY_CLASSES: str "notify_classes" = "resource, software", { used_by: "bounce,lmtp,smtp,smtpd", in_3_7: true };
    /// Minimum time between warnings about a clogging destination.
    QMGR_CLOG_WARN_TIME: time "qmgr_clog_warn_time" = "300s", { unit: 's', used_by: "oqmgr,qmgr", since: "2.0", in_3_7: true };
    /// Watchdog for one qmgr request.
    QMGR_DAEMON_TIMEOUT: time "qmgr_daemon_timeout" = "1000s", { unit: 's', min: 1, used_by: "oqmgr,qmgr", since: "2.8", in_3_7: true };
    /// Percentage of delivery resources for one message (old scheduler).
    QMGR_FUDGE_FACTOR: int "qmgr_fudge_factor" = "100", { min: 10, max: 100, used_by: "oqmgr", in_3_7: true };
    /// Internal I/O limit in qmgr.
    QMGR_IPC_TIMEOUT: time "qmgr_ipc_timeout" = "60s", { unit: 's', min: 1, used_by: "oqmgr,qmgr", since: "2.8", in_3_7: true };
    /// Messages in the active queue.
    QMGR_MESSAGE_ACTIVE_LIMIT: int "qmgr_message_active_limit" = "20000", { min: 1, used_by: "oqmgr,qmgr", in_3_7: true };
    /// Recipients in memory.
    QMGR_MESSAGE_RECIPIENT_LIMIT: int "qmgr_message_recipient_limit" = "20000", { min: 1, used_by: "oqmgr,qmgr", in_3_7: true };
    /// Recipients in memory for each message.
    QMGR_MESSAGE_RECIPIENT_MINIMUM: int "qmgr_message_recipient_minimum" = "10", { min: 1, used_by: "qmgr", in_3_7: true };
    /// Time between deferred queue scans.
    QUEUE_RUN_DELAY: time "queue_run_delay" = "300s", { unit: 's', min: 1, used_by: "lmtp,oqmgr,qmgr,smtp", in_3_7: true };
    /// Bounces of REQUIRETLS mail: headers only, and sent without REQUIRETLS.
    REQUIRETLS_REDACT_DSN: nbool "requiretls_redact_dsn" = "yes", { used_by: "bounce", since: "3.11" };
    /// Pause before contacting a broken transport again.
    TRANSPORT_RETRY_TIME: time "transport_retry_time" = "60s", { unit: 's', min: 1, used_by: "oqmgr,qmgr", in_3_7: true };
}
