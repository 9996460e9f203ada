//! How much a client may do: the counters of anvil(8).
//!
//! A service that does not answer limits nobody. Source: smtpd.md §11, ipc.md §4.10.

use postern_attr::{Encoding, Extra};
use postern_config::{Config, Param, params};
use postern_ipc::anvil::{ConnectReply, PROTOCOL, RateReply, Request};
use postern_ipc::client::{Endpoint, PRIVATE, Persistent};
use std::net::IpAddr;
use std::time::Duration;

/// The connection to anvil, and the limits.
#[derive(Debug)]
pub(crate) struct Limits {
    anvil: Persistent,
    service: String,
    /// Connections at a time.
    pub(crate) connections: i32,
    /// Connections per time unit.
    pub(crate) connection_rate: i32,
    /// Messages per time unit.
    pub(crate) message_rate: i32,
    /// Recipients per time unit.
    pub(crate) recipient_rate: i32,
    ipv4_prefix: u32,
    ipv6_prefix: u32,
}

/// How long anvil may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Limits {
    /// Reads the limits; `service` is the name in master.cf.
    pub(crate) fn load(config: &Config, service: &str) -> Self {
        let prefix = |param: Param<i32>| u32::try_from(config.get(param)).unwrap_or(0);
        Self {
            anvil: Persistent::new(
                Endpoint::new(PRIVATE, "anvil"),
                PROTOCOL,
                Encoding::Plain,
                TIMEOUT,
                None,
            ),
            service: service.to_owned(),
            connections: config.get(params::SMTPD_CLIENT_CONNECTION_COUNT_LIMIT),
            connection_rate: config.get(params::SMTPD_CLIENT_CONNECTION_RATE_LIMIT),
            message_rate: config.get(params::SMTPD_CLIENT_MESSAGE_RATE_LIMIT),
            recipient_rate: config.get(params::SMTPD_CLIENT_RECIPIENT_RATE_LIMIT),
            ipv4_prefix: prefix(params::SMTPD_CLIENT_IPV4_PREFIX_LENGTH),
            ipv6_prefix: prefix(params::SMTPD_CLIENT_IPV6_PREFIX_LENGTH),
        }
    }

    /// Whether there is any limit that needs anvil.
    pub(crate) fn is_needed(&self) -> bool {
        [
            self.connections,
            self.connection_rate,
            self.message_rate,
            self.recipient_rate,
        ]
        .iter()
        .any(|limit| *limit > 0)
    }

    /// What a client is counted under: its address, or its network when blocks are counted.
    pub(crate) fn ident(&self, address: &str, ip: Option<IpAddr>) -> String {
        let block = match ip {
            Some(IpAddr::V4(ip)) if self.ipv4_prefix < 32 => {
                let mask = u32::MAX.checked_shl(32 - self.ipv4_prefix).unwrap_or(0);
                Some(format!(
                    "{}/{}",
                    std::net::Ipv4Addr::from(u32::from(ip) & mask),
                    self.ipv4_prefix
                ))
            }
            Some(IpAddr::V6(ip)) if self.ipv6_prefix < 128 => {
                let mask = u128::MAX.checked_shl(128 - self.ipv6_prefix).unwrap_or(0);
                Some(format!(
                    "{}/{}",
                    std::net::Ipv6Addr::from(u128::from(ip) & mask),
                    self.ipv6_prefix
                ))
            }
            _ => None,
        };
        format!("{}:{}", self.service, block.as_deref().unwrap_or(address))
    }

    /// Counts a connection; the connections now and in the time unit.
    pub(crate) fn connect(&mut self, ident: &str) -> Option<(i32, i32)> {
        let reply: ConnectReply = self.ask("connect", ident)?;
        (reply.status == 0).then_some((reply.count, reply.rate))
    }

    /// Counts the end of a connection.
    pub(crate) fn disconnect(&mut self, ident: &str) {
        let _: Option<postern_ipc::StatusReply> = self.ask("disconnect", ident);
    }

    /// Counts a `message` or `recipient`; how many there were in the time unit.
    pub(crate) fn count(&mut self, event: &str, ident: &str) -> Option<i32> {
        let reply: RateReply = self.ask(event, ident)?;
        (reply.status == 0).then_some(reply.rate)
    }

    /// The master.cf name, as warnings show it.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    fn ask<R: serde::de::DeserializeOwned>(&mut self, request: &str, ident: &str) -> Option<R> {
        let request = Request {
            request: request.into(),
            ident: ident.into(),
        };
        self.anvil
            .ask_twice(&request, Extra::Skip)
            .inspect_err(|error| log::warn!("problem talking to server private/anvil: {error}"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_block_when_asked() {
        let limits = |text: &str| Limits::load(&Config::from_text(text).unwrap(), "smtp");
        let v6 = "2001:db8:1:2:f123:4567:0:5";
        let whole = limits("smtpd_client_ipv6_prefix_length = 128\n");
        assert_eq!(whole.ident(v6, v6.parse().ok()), format!("smtp:{v6}"));
        let blocks =
            limits("smtpd_client_ipv6_prefix_length = 84\nsmtpd_client_ipv4_prefix_length = 24\n");
        assert_eq!(
            blocks.ident(v6, v6.parse().ok()),
            "smtp:2001:db8:1:2:f123:4000::/84"
        );
        assert_eq!(
            blocks.ident("192.0.2.7", "192.0.2.7".parse().ok()),
            "smtp:192.0.2.0/24"
        );
    }
}
