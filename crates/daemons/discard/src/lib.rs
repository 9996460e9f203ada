//! Reports every recipient as sent and delivers nothing; the next hop is the text in the log.
//! Manual page: discard(8); delivery.md §6.1 of our specification.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bstr::{BStr, ByteSlice};
use postern_delivery::{Agent, Delivery};
use postern_ipc::deliver::Dsn;
use postern_queue_file::Hashing;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Discard>()
}

struct Discard {
    agent: Agent,
    hashing: Hashing,
}

impl SingleServer for Discard {
    const NAME: &'static str = "discard";
    const NEEDS: Needs = Needs::NONE;

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        Ok(Self {
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

impl Discard {
    fn deliver(&mut self, delivery: &Delivery) -> bool {
        let (status, text) = postern_mail::dsn::split("2.0.0", delivery.request.nexthop.as_bstr());
        let dsn = Dsn {
            status: status.into(),
            reason: text.to_owned(),
            ..Dsn::default()
        };
        let mut deferred = false;
        for recipient in &delivery.recipients {
            let outcome = self
                .agent
                .sent(&delivery.report(recipient, BStr::new("none")), &dsn);
            deferred |= delivery.settle(recipient, outcome);
        }
        deferred
    }
}
