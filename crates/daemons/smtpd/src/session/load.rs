//! Connections and events that anvil(8) counts.

use std::io::Write;

use super::{Abort, Session, Step};
use crate::reply::ErrorClass;

/// Limits of anvil.
impl Session<'_> {
    fn limits_apply(&mut self) -> bool {
        if self.alone || !self.server.limits.is_needed() {
            return false;
        }
        self.server
            .lists_client(|lists| &mut lists.event_limit_exceptions, &self.client)
            != Ok(true)
    }

    pub(super) fn count_connection(&mut self) -> Step {
        if !self.limits_apply() {
            return Ok(());
        }
        let limits = &mut self.server.limits;
        let ident = limits.ident(&self.client.address, self.client.ip);
        let counts = limits.connect(&ident);
        self.anvil = Some(ident);
        let Some((count, rate)) = counts else {
            return Ok(());
        };
        let exceeded = |limit: i32, value: i32| limit > 0 && value > limit;
        let what = if exceeded(limits.connections, count) {
            ("concurrency", count)
        } else if exceeded(limits.connection_rate, rate) {
            ("rate", rate)
        } else {
            return Ok(());
        };
        self.error_mask.add(ErrorClass::POLICY);
        let host = self.server.set.myhostname.clone();
        let reply = format!(
            "421 4.7.0 {host} Error: too many connections from {}",
            self.client.address
        );
        self.reply(reply)?;
        let service = self.server.limits.service();
        log::warn!(
            "Connection {} limit exceeded: {} from {} for service {service}",
            what.0,
            what.1,
            self.client.namaddr
        );
        self.io.flush()?;
        Err(Abort::Close)
    }

    /// Counts a `message` or `recipient`; the count when it is beyond `limit`.
    pub(crate) fn count_event(&mut self, event: &str, limit: i32) -> Option<i32> {
        if limit <= 0 {
            return None;
        }
        let ident = self.anvil.clone()?;
        self.server
            .limits
            .count(event, &ident)
            .filter(|count| *count > limit)
    }

    pub(super) fn count_disconnect(&mut self) {
        if let (true, Some(ident)) = (self.limits_apply(), self.anvil.take()) {
            self.server.limits.disconnect(&ident);
        }
    }
}
