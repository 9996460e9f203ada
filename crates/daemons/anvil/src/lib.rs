//! Counts connections and requests per client for smtpd(8). Manual page: anvil(8); delivery.md §6.6 and
//! ipc.md §4.10 of our specification. Knows no limits: the askers compare.
#![forbid(unsafe_code)]

mod counters;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use postern_attr::{AttrError, Encoding, Extra};
use postern_config::params;
use postern_ipc::Announcement;
use postern_ipc::StatusReply;
use postern_ipc::anvil::{ConnectReply, PROTOCOL, RateReply, Request};
use postern_mail::printable::{Charset, mask};
use postern_server::{
    Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError, multi_server,
};
use serde::Serialize;

use crate::counters::{Counters, Event};

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<Anvil>()
}

struct Anvil {
    counters: Counters,
    unit: Duration,
    status_interval: Duration,
    next_status: Instant,
}

impl MultiServer for Anvil {
    /// The client that this connection has announced; closing the connection disconnects it.
    type State = Option<Vec<u8>>;
    const NAME: &'static str = "anvil";
    const ENCODING: Option<Encoding> = Some(Encoding::Plain);
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let unit = context.config.get(params::ANVIL_RATE_TIME_UNIT);
        let status_interval = context.config.get(params::ANVIL_STATUS_UPDATE_TIME);
        Ok(Self {
            counters: Counters::new(unit),
            unit,
            status_interval,
            next_status: Instant::now() + status_interval,
        })
    }

    fn adjust(&self, _context: &Context, limits: &mut Limits) {
        // State is lost with the process: no use limit, and a pause may be as long as the unit.
        limits.max_use = 0;
        limits.max_idle = limits.max_idle.max(self.unit);
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<Self::State>) -> Next {
        reply(conn, &Announcement::new(PROTOCOL))
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<Self::State>) -> Next {
        let request: Request =
            match postern_attr::read(&mut conn.channel, Encoding::Plain, Extra::Refuse) {
                Ok(request) => request,
                Err(error) => {
                    if let Some(text) = error.warning(&context.socket_name()) {
                        log::warn!("{text}");
                    }
                    return Next::Close;
                }
            };
        let ident = mask(&request.ident, Charset::Ascii, b'?').to_vec();
        let now = Instant::now();
        let rate = |rate| RateReply { status: 0, rate };
        match request.request.as_slice() {
            b"connect" => {
                if let Some(old) = conn.state.replace(ident.clone()) {
                    self.counters.disconnect(&old, now);
                }
                let (count, rate) = self.counters.connect(&ident, now);
                reply(
                    conn,
                    &ConnectReply {
                        status: 0,
                        count,
                        rate,
                    },
                )
            }
            b"disconnect" => {
                if conn.state.as_ref() == Some(&ident) {
                    conn.state = None;
                    self.counters.disconnect(&ident, now);
                }
                reply(conn, &StatusReply { status: 0 })
            }
            b"message" => reply(
                conn,
                &rate(self.counters.count(&ident, Event::Message, now)),
            ),
            b"recipient" => reply(
                conn,
                &rate(self.counters.count(&ident, Event::Recipient, now)),
            ),
            b"newtls" => reply(conn, &rate(self.counters.count(&ident, Event::NewTls, now))),
            b"auth" => reply(conn, &rate(self.counters.count(&ident, Event::Auth, now))),
            b"newtls_status" => reply(conn, &rate(self.counters.rate(&ident, Event::NewTls, now))),
            b"lookup" => reply(conn, &self.counters.lookup(&ident, now)),
            other => {
                let shown = mask(other, Charset::Ascii, b'?');
                log::warn!("unrecognized request: \"{shown}\", ignored");
                reply(conn, &StatusReply { status: -1 })
            }
        }
    }

    fn disconnected(&mut self, _context: &Context, conn: &mut Conn<Self::State>) {
        if let Some(ident) = conn.state.take() {
            self.counters.disconnect(&ident, Instant::now());
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        Some(
            self.counters
                .next_expiry()
                .map_or(self.next_status, |expiry| expiry.min(self.next_status)),
        )
    }

    fn timer(&mut self, _context: &Context) -> Life {
        let now = Instant::now();
        self.counters.expire(now);
        if now >= self.next_status {
            self.counters.report();
            self.next_status = now + self.status_interval;
        }
        Life::GoOn
    }

    fn finish(&mut self, _context: &Context) {
        self.counters.report();
    }
}

/// Writes a reply; the skeleton sends it.
fn reply<T: Serialize>(conn: &mut Conn<Option<Vec<u8>>>, list: &T) -> Next {
    let written: Result<(), AttrError> =
        postern_attr::write(&mut conn.channel, Encoding::Plain, list);
    if written.is_ok() {
        Next::Keep
    } else {
        Next::Close
    }
}
