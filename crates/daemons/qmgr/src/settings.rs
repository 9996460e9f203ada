//! The parameters of the queue manager, read once.

use crate::core::feedback::{Feedback, WindowParams};
use crate::core::{Limits, TransportParams};
use bstr::BString;
use postern_config::words::words;
use postern_config::{Config, Param, params};
use postern_ipc::client::{Endpoint, PRIVATE};
use std::time::Duration;

/// What does not belong to a transport.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) active_limit: usize,
    pub(crate) recipient_limit: usize,
    pub(crate) recipient_minimum: usize,
    pub(crate) minimal_backoff: Duration,
    pub(crate) maximal_backoff: Duration,
    pub(crate) queue_lifetime: Duration,
    pub(crate) bounce_lifetime: Duration,
    pub(crate) queue_run_delay: Duration,
    pub(crate) transport_retry: Duration,
    /// Longest wait for an agent.
    pub(crate) daemon_timeout: Duration,
    /// Longest wait for an agent to read its request.
    pub(crate) ipc_timeout: Duration,
    pub(crate) defer_transports: Vec<String>,
    pub(crate) default_filter_nexthop: BString,
    pub(crate) my_hostname: BString,
    pub(crate) double_bounce_sender: BString,
    pub(crate) recipient_delimiter: BString,
    pub(crate) owner_request_special: bool,
    pub(crate) probe_limit: usize,
    pub(crate) disable_verp_bounces: bool,
    pub(crate) confirm_delay_cleared: bool,
    pub(crate) verify: Endpoint,
    pub(crate) bounce_service: String,
    pub(crate) defer_service: String,
    pub(crate) trace_service: String,
    pub(crate) log_internal: bool,
    pub(crate) delay_resolution: u32,
    pub(crate) flow_delay: Duration,
    pub(crate) process_limit: usize,
    pub(crate) clog_warn_time: Duration,
    pub(crate) helpful_warnings: bool,
}

impl Settings {
    /// Reads main.cf; two combinations that make no sense are adjusted with a warning.
    pub(crate) fn new(config: &Config) -> Self {
        let count = |param: Param<i32>| usize::try_from(config.get(param)).unwrap_or(0);
        let text = |param: Param<String>| config.get(param);
        let active_limit = count(params::QMGR_MESSAGE_ACTIVE_LIMIT);
        let mut recipient_limit = count(params::QMGR_MESSAGE_RECIPIENT_LIMIT);
        if recipient_limit < active_limit {
            log::warn!(
                "qmgr_message_recipient_limit is smaller than qmgr_message_active_limit - \
                 adjusting qmgr_message_recipient_limit"
            );
            recipient_limit = active_limit;
        }
        let queue_lifetime = config.get(params::MAXIMAL_QUEUE_LIFETIME);
        let mut bounce_lifetime = config.get(params::BOUNCE_QUEUE_LIFETIME);
        if bounce_lifetime > queue_lifetime {
            log::warn!(
                "bounce_queue_lifetime is larger than maximal_queue_lifetime - \
                 adjusting bounce_queue_lifetime"
            );
            bounce_lifetime = queue_lifetime;
        }
        Self {
            active_limit,
            recipient_limit,
            recipient_minimum: count(params::QMGR_MESSAGE_RECIPIENT_MINIMUM),
            minimal_backoff: config.get(params::MINIMAL_BACKOFF_TIME),
            maximal_backoff: config.get(params::MAXIMAL_BACKOFF_TIME),
            queue_lifetime,
            bounce_lifetime,
            queue_run_delay: config.get(params::QUEUE_RUN_DELAY),
            transport_retry: config.get(params::TRANSPORT_RETRY_TIME),
            daemon_timeout: config.get(params::DAEMON_TIMEOUT),
            ipc_timeout: config.get(params::QMGR_IPC_TIMEOUT),
            defer_transports: words(&text(params::DEFER_TRANSPORTS))
                .map(str::to_owned)
                .collect(),
            default_filter_nexthop: text(params::DEFAULT_FILTER_NEXTHOP).into(),
            my_hostname: text(params::MYHOSTNAME).into(),
            double_bounce_sender: text(params::DOUBLE_BOUNCE_SENDER).into(),
            recipient_delimiter: text(params::RECIPIENT_DELIMITER).into(),
            owner_request_special: config.get(params::OWNER_REQUEST_SPECIAL),
            probe_limit: count(params::ADDRESS_VERIFY_PENDING_REQUEST_LIMIT),
            disable_verp_bounces: config.get(params::DISABLE_VERP_BOUNCES),
            confirm_delay_cleared: config.get(params::CONFIRM_DELAY_CLEARED),
            verify: Endpoint::new(PRIVATE, &text(params::ADDRESS_VERIFY_SERVICE_NAME)),
            bounce_service: text(params::BOUNCE_SERVICE_NAME),
            defer_service: text(params::DEFER_SERVICE_NAME),
            trace_service: text(params::TRACE_SERVICE_NAME),
            log_internal: text(params::INFO_LOG_ADDRESS_FORMAT) == "internal",
            delay_resolution: u32::try_from(config.get(params::DELAY_LOGGING_RESOLUTION_LIMIT))
                .unwrap_or(2),
            flow_delay: config.get(params::IN_FLOW_DELAY),
            process_limit: count(params::DEFAULT_PROCESS_LIMIT),
            clog_warn_time: config.get(params::QMGR_CLOG_WARN_TIME),
            helpful_warnings: config.get(params::HELPFUL_WARNINGS),
        }
    }

    /// The part for the scheduler.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            recipients: self.recipient_limit,
            recipient_minimum: self.recipient_minimum,
            minimal_backoff: self.minimal_backoff,
            transport_retry: self.transport_retry,
        }
    }
}

/// The parameters of the transport `name`, with its own values before the defaults.
pub(crate) fn transport_params(config: &Config, name: &str) -> TransportParams {
    let int = |suffix: &str, fallback: Param<i32>| config.service_int(name, suffix, fallback);
    let long = |suffix: &str, fallback: Param<i32>| i64::from(int(suffix, fallback));
    let time = |suffix: &str, fallback| config.service_time(name, suffix, fallback);
    let destination_rate_delay = time(
        "_destination_rate_delay",
        params::DEFAULT_DESTINATION_RATE_DELAY,
    );
    let mut limit = int(
        "_destination_concurrency_limit",
        params::DEFAULT_DESTINATION_CONCURRENCY_LIMIT,
    );
    if !destination_rate_delay.is_zero() {
        limit = 1;
    }
    let mut initial = int(
        "_initial_destination_concurrency",
        params::INITIAL_DESTINATION_CONCURRENCY,
    );
    if limit != 0 && initial > limit {
        initial = limit;
    }
    let recipient_limit = int(
        "_destination_recipient_limit",
        params::DEFAULT_DESTINATION_RECIPIENT_LIMIT,
    );
    let cohorts = int(
        "_destination_concurrency_failed_cohort_limit",
        params::DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT,
    );
    TransportParams {
        window: WindowParams {
            limit,
            initial: initial.max(1),
            positive: feedback(
                config,
                name,
                "destination_concurrency_positive_feedback",
                params::DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK,
            ),
            negative: feedback(
                config,
                name,
                "destination_concurrency_negative_feedback",
                params::DEFAULT_DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK,
            ),
            cohort_limit: f64::from(cohorts),
        },
        recipient_limit: usize::try_from(recipient_limit).unwrap_or(0),
        recipient_slots: long("_recipient_limit", params::DEFAULT_RECIPIENT_LIMIT),
        extra_slots: long(
            "_extra_recipient_limit",
            params::DEFAULT_EXTRA_RECIPIENT_LIMIT,
        ),
        refill_limit: long(
            "_recipient_refill_limit",
            params::DEFAULT_RECIPIENT_REFILL_LIMIT,
        ),
        refill_delay: time(
            "_recipient_refill_delay",
            params::DEFAULT_RECIPIENT_REFILL_DELAY,
        ),
        slot_cost: long("_delivery_slot_cost", params::DEFAULT_DELIVERY_SLOT_COST),
        slot_loan: long("_delivery_slot_loan", params::DEFAULT_DELIVERY_SLOT_LOAN),
        slot_discount: long(
            "_delivery_slot_discount",
            params::DEFAULT_DELIVERY_SLOT_DISCOUNT,
        ),
        minimum_slots: long(
            "_minimum_delivery_slots",
            params::DEFAULT_MINIMUM_DELIVERY_SLOTS,
        ),
        transport_rate_delay: time(
            "_transport_rate_delay",
            params::DEFAULT_TRANSPORT_RATE_DELAY,
        ),
        destination_rate_delay,
    }
}

fn feedback(config: &Config, name: &str, suffix: &str, fallback: Param<String>) -> Feedback {
    let text = config.service_str(name, suffix, fallback);
    Feedback::parse(&text).unwrap_or_else(|| {
        let own = format!("{name}_{suffix}");
        let param = if config.is_set(&own) {
            own.as_str()
        } else {
            fallback.info.name
        };
        log::warn!("{param}: ignoring malformed or unreasonable feedback: {text}");
        Feedback::ONE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_has_its_own_values_and_the_defaults() {
        let config = Config::from_text(
            "smtp_destination_concurrency_limit = 3\n\
             smtp_initial_destination_concurrency = 9\n\
             slow_destination_rate_delay = 2s\n\
             smtp_destination_concurrency_positive_feedback = 7\n",
        )
        .unwrap();
        let smtp = transport_params(&config, "smtp");
        assert_eq!((smtp.window.limit, smtp.window.initial), (3, 3));
        assert_eq!(smtp.window.positive, Feedback::ONE);
        assert_eq!((smtp.recipient_limit, smtp.slot_cost), (50, 5));
        let slow = transport_params(&config, "slow");
        assert_eq!((slow.window.limit, slow.window.initial), (1, 1));
        let local = transport_params(&config, "local");
        assert_eq!((local.window.limit, local.recipient_limit), (2, 1));
    }

    #[test]
    fn limits_that_make_no_sense_are_adjusted() {
        let config =
            Config::from_text("qmgr_message_recipient_limit = 10\nbounce_queue_lifetime = 9d\n")
                .unwrap();
        let settings = Settings::new(&config);
        assert_eq!(settings.recipient_limit, settings.active_limit);
        assert_eq!(settings.bounce_lifetime, settings.queue_lifetime);
    }
}
