//! Handing a recipient on to another transport (delivery.md §2.4).

use std::time::Duration;

use bstr::{BString, ByteSlice};
use postern_attr::{Encoding, Extra};
use postern_ipc::client::{self, ClientError, Endpoint, PRIVATE};
use postern_ipc::deliver::{PROTOCOL, Recipient, Reply, Request};

use crate::{Agent, Delivery, Outcome};

/// Sender and DSN parameters of mail that is passed on.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Sender in internal form.
    pub sender: &'a BString,
    /// DSN envelope ID or empty.
    pub envelope_id: &'a BString,
    /// DSN RET.
    pub ret_flags: i32,
}

/// Where a recipient is passed to: `transport` or `transport:nexthop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// master.cf service name.
    pub transport: String,
    /// Next hop; the request's own when absent.
    pub nexthop: Option<BString>,
}

impl Target {
    /// Splits `transport:nexthop`.
    pub fn parse(text: &[u8]) -> Self {
        let (transport, nexthop) = match text.split_once_str(":") {
            Some((transport, nexthop)) => {
                (transport, (!nexthop.is_empty()).then(|| nexthop.into()))
            }
            None => (text, None),
        };
        Self {
            transport: transport.to_str_lossy().into_owned(),
            nexthop,
        }
    }
}

impl Agent {
    /// Passes `recipient` of `delivery` to another transport and waits for its answer. The other agent
    /// logs, bounces and defers; it marks nothing, as the recipient's offset is hidden from it.
    pub fn pass(
        &mut self,
        delivery: &Delivery,
        recipient: &Recipient,
        envelope: Envelope<'_>,
        target: &Target,
        timeout: Duration,
    ) -> Outcome {
        log::info!(
            "{}: passing <{}> to transport={}",
            delivery.request.queue_id,
            recipient.recipient,
            target.transport
        );
        match ask(delivery, recipient, envelope, target, timeout) {
            Ok(reply) if reply.final_status == 0 => Outcome::Done,
            Ok(_) => Outcome::Deferred,
            Err(error) => {
                log::warn!("{error}");
                let reason = match error {
                    ClientError::Connect { .. } => "mail transport unavailable",
                    _ => "unknown mail transport error",
                };
                let dsn = postern_ipc::deliver::Dsn {
                    status: "4.3.0".into(),
                    reason: reason.into(),
                    ..Default::default()
                };
                self.defer(&delivery.report(recipient, "none".into()), &dsn)
            }
        }
    }
}

fn ask(
    delivery: &Delivery,
    recipient: &Recipient,
    envelope: Envelope<'_>,
    target: &Target,
    timeout: Duration,
) -> Result<Reply, ClientError> {
    let at = Endpoint::new(PRIVATE, &target.transport);
    let mut channel = client::connect_wait(&at, timeout)?;
    client::expect_protocol(&mut channel, &at, Encoding::Null, PROTOCOL)?;
    let request = Request {
        nexthop: target
            .nexthop
            .clone()
            .unwrap_or_else(|| delivery.request.nexthop.clone()),
        sender: envelope.sender.clone(),
        envelope_id: envelope.envelope_id.clone(),
        ret_flags: envelope.ret_flags,
        time: delivery.stats.to_data(),
        recipient_count: 1,
        ..delivery.request.clone()
    };
    let exchange = |error| ClientError::Exchange {
        path: format!("{} socket", at.label()),
        error,
    };
    postern_attr::write(&mut channel, Encoding::Null, &request).map_err(exchange)?;
    client::send(
        &mut channel,
        &at,
        Encoding::Null,
        &Recipient {
            offset: -1,
            ..recipient.clone()
        },
    )?;
    // The agent waits for this side to close, which dropping the channel does.
    client::receive(&mut channel, &at, Encoding::Null, Extra::Refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_split_at_the_first_colon() {
        let target = |transport: &str, nexthop: Option<&str>| Target {
            transport: transport.to_owned(),
            nexthop: nexthop.map(BString::from),
        };
        assert_eq!(
            Target::parse(b"lmtp:unix:private/dovecot"),
            target("lmtp", Some("unix:private/dovecot"))
        );
        assert_eq!(Target::parse(b"virtual"), target("virtual", None));
        assert_eq!(Target::parse(b"virtual:"), target("virtual", None));
    }
}
