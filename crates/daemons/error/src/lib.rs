//! Bounces (service `error`) or defers (service `retry`) every recipient with the text of the next hop.
//! Manual page: error(8); delivery.md §6.1 of our specification. Knows nothing of the message itself.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bstr::{BStr, ByteSlice};
use postern_config::params;
use postern_delivery::{Agent, Delivery, Outcome};
use postern_ipc::deliver::Dsn;
use postern_queue_file::Hashing;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<ErrorAgent>()
}

/// What the service name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Bounce,
    Defer,
}

struct ErrorAgent {
    verdict: Verdict,
    agent: Agent,
    hashing: Hashing,
}

impl SingleServer for ErrorAgent {
    const NAME: &'static str = "error";
    const NEEDS: Needs = Needs::NONE;

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let name = &context.service_name;
        let verdict = if *name == context.config.get(params::ERROR_SERVICE_NAME) || name == "error"
        {
            Verdict::Bounce
        } else if name == "retry" {
            Verdict::Defer
        } else {
            return Err(StartError::new(format!("bad error service name: {name}")));
        };
        Ok(Self {
            verdict,
            agent: Agent::new(&context.config, None),
            hashing: postern_delivery::hashing(&context.config),
        })
    }

    fn serve(&mut self, _context: &Context, client: Client) {
        let mut channel = client.channel;
        let hashing = self.hashing.clone();
        postern_delivery::serve(&mut channel, &hashing, |delivery| self.deliver(delivery));
    }
}

impl ErrorAgent {
    fn deliver(&mut self, delivery: &Delivery) -> bool {
        let default = match self.verdict {
            Verdict::Bounce => "5.0.0",
            Verdict::Defer => "4.0.0",
        };
        let (status, text) = split_status(default, delivery.request.nexthop.as_bstr());
        let dsn = Dsn {
            status: status.into(),
            reason: text.to_owned(),
            ..Dsn::default()
        };
        let mut deferred = false;
        for recipient in &delivery.recipients {
            let report = delivery.report(recipient, BStr::new("none"));
            let outcome: Outcome = match self.verdict {
                Verdict::Bounce => self.agent.bounce(&report, &dsn),
                Verdict::Defer => self.agent.defer(&report, &dsn),
            };
            deferred |= delivery.settle(recipient, outcome);
        }
        deferred
    }
}

/// The status code at the start of a next hop, or `default`, and the text behind it.
fn split_status<'a>(default: &str, nexthop: &'a BStr) -> (String, &'a BStr) {
    postern_mail::dsn::split(default, nexthop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_the_next_hop_replaces_the_default() {
        for (nexthop, status, text) in [
            ("5.1.2 bad thing", "5.1.2", "bad thing"),
            ("later", "4.0.0", "later"),
            ("4.3 odd", "4.0.0", "4.3 odd"),
        ] {
            assert_eq!(
                split_status("4.0.0", nexthop.into()),
                (status.to_owned(), BStr::new(text)),
                "{nexthop:?}"
            );
        }
    }
}
