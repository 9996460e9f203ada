//! Rewrites and resolves addresses for other programs. Manual page: trivial-rewrite(8).
//!
//! All knowledge is in `postern-rewrite`, which other programs call in process; this is the
//! service for those that cannot.
#![forbid(unsafe_code)]

mod service;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use postern_attr::Encoding;
use postern_ipc::rewrite::PROTOCOL;
use postern_rewrite::{Resolver, Rewriter};
use postern_server::{Conn, Context, Life, MultiServer, Next, StartError, multi_server};

/// How often changed tables are looked for.
const CHANGE_CHECK: Duration = Duration::from_secs(10);

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<TrivialRewrite>()
}

/// The service's state.
struct TrivialRewrite {
    rewriter: Rewriter,
    /// For mail.
    resolver: Resolver,
    /// For address probes.
    prober: Resolver,
    next_check: Instant,
}

impl MultiServer for TrivialRewrite {
    type State = ();
    const NAME: &'static str = "trivial-rewrite";
    const ENCODING: Option<Encoding> = Some(Encoding::Null);

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        Ok(Self {
            rewriter: Rewriter::new(config),
            resolver: Resolver::new(config),
            prober: Resolver::for_verify(config),
            next_check: Instant::now() + CHANGE_CHECK,
        })
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        match postern_attr::write_announcement(&mut conn.channel, Encoding::Null, PROTOCOL) {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        match self.serve(&mut conn.channel) {
            Ok(()) => Next::Keep,
            Err(error) => {
                if let Some(warning) = error.warning(&context.socket_name()) {
                    log::warn!("{warning}");
                }
                Next::Close
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        Some(self.next_check)
    }

    fn timer(&mut self, _context: &Context) -> Life {
        if let Some(table) = postern_dict::changed_table() {
            log::info!("table {table} has changed -- restarting");
            return Life::End;
        }
        self.next_check = Instant::now() + CHANGE_CHECK;
        Life::GoOn
    }
}
