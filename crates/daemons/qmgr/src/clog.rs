//! Warns when one destination takes up much of the active queue.

use crate::core::{Core, QueueId};
use crate::settings::Settings;

/// A destination may hold one in this many messages without a warning.
const SHARE: usize = 5;

/// Warns about this queue, if it is time to.
pub(crate) fn warn_if_clogging(core: &mut Core, settings: &Settings, id: QueueId) {
    if settings.clog_warn_time.is_zero() || !settings.helpful_warnings {
        return;
    }
    let now = core.now;
    let queue = &mut core.queues[id];
    let length = usize::try_from(queue.todo + queue.busy).unwrap_or(0);
    if length <= settings.active_limit / SHARE {
        return;
    }
    let recent = queue
        .clog_warned
        .is_some_and(|warned| now.saturating_duration_since(warned) < settings.clog_warn_time);
    if recent {
        return;
    }
    queue.clog_warned = Some(now);
    for line in advice(core, settings, id, length) {
        log::warn!("{line}");
    }
}

fn advice(core: &Core, settings: &Settings, id: QueueId, length: usize) -> Vec<String> {
    let queue = &core.queues[id];
    let transport = &core.transports[queue.transport];
    let (name, limit) = (&transport.name, settings.active_limit);
    let destination = &queue.nexthop;
    let mut lines = vec![format!(
        "mail for {destination} is using up {length} of {limit} active queue entries"
    )];
    // 9 of 10, without fractions.
    if length * 10 < limit * 9 {
        lines.push("this may slow down other mail deliveries".to_owned());
    }
    let window = usize::try_from(queue.window.size).unwrap_or(0);
    let concurrency = transport.params.window.limit;
    if concurrency > 0 && queue.window.size >= concurrency {
        lines.push(format!(
            "you may need to increase the main.cf {name}_destination_concurrency_limit from {concurrency}"
        ));
    } else if window * SHARE > limit {
        lines.push(format!(
            "you may need to increase the main.cf qmgr_message_active_limit from {limit}"
        ));
    } else if transport.queue_count() > 1 {
        lines.push(format!(
            "you may need a separate master.cf transport for {destination}"
        ));
    } else {
        lines.push(format!(
            "you may need to reduce {name} connect and helo timeouts"
        ));
        lines.push("so that Postfix quickly skips unavailable hosts".to_owned());
        lines.push(
            "you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time"
                .to_owned(),
        );
        lines.push("so that Postfix wastes less time on undeliverable mail".to_owned());
        lines.push(format!(
            "you may need to increase the master.cf {name} process limit"
        ));
    }
    lines.push("please avoid flushing the whole queue when you have".to_owned());
    lines.push("lots of deferred mail, that is bad for performance".to_owned());
    lines.push("to turn off these warnings specify: qmgr_clog_warn_time = 0".to_owned());
    lines
}
