//! The queue manager: takes messages from the incoming and deferred queues and has delivery
//! agents deliver them. Manual page: qmgr(8).
//!
//! [`core`](mod@core) decides, without any input or output: which transport needs an agent, which
//! request is next, which destination is dead. `envelope` reads queue files, `route` finds
//! destinations, `active` moves files. `agents` and `notices` talk to other programs, `rounds`
//! ends the delivery round of a message, and `manager` is the main loop.
#![forbid(unsafe_code)]

mod active;
mod agents;
mod arena;
mod clog;
mod core;
mod envelope;
mod link;
mod manager;
mod notices;
mod rounds;
mod route;
mod scans;
mod settings;
#[cfg(test)]
mod tests;

use crate::manager::Manager;
use postern_config::params;
use postern_ipc::client::{Endpoint, PUBLIC};
use postern_ipc::trigger;
use postern_maillog::fatal;
use postern_queue::Queues;
use postern_rewrite::AddressService;
use postern_server::{
    Context, Event, Life, Limits, Needs, ProcessLimit, Reactor, StartError, TriggerServer,
    trigger_server,
};
use std::process::ExitCode;
use std::time::Duration;

/// How long the last trigger may take.
const HAND_ON_LIMIT: Duration = Duration::from_secs(1);

/// Runs the program.
pub fn main() -> ExitCode {
    trigger_server::main::<Qmgr>()
}

struct Qmgr {
    manager: Manager,
}

impl TriggerServer for Qmgr {
    const NAME: &'static str = "qmgr";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let limit = context.config.get(params::QMGR_IPC_TIMEOUT);
        context
            .config
            .set_override("ipc_timeout", &format!("{}s", limit.as_secs()));
        let config = &context.config;
        let hashing = postern_queue::hashing(config);
        let resolver = Box::new(AddressService::new(config));
        let manager = Manager::new(config, Queues::new(".", hashing), resolver);
        Ok(Self { manager })
    }

    fn adjust(&self, context: &Context, limits: &mut Limits) {
        limits.max_use = 0;
        limits.max_idle = Duration::ZERO;
        limits.watchdog = context.config.get(params::QMGR_DAEMON_TIMEOUT);
    }

    fn after_jail(&mut self, _: &Context, _: &mut Reactor) -> Result<(), StartError> {
        self.manager.recover().map_err(StartError::new)
    }

    fn before_accept(&mut self, _: &Context) -> Option<String> {
        self.manager.desk.tables_changed()
    }

    fn trigger(&mut self, _: &Context, _: &mut Reactor, request: &[u8]) {
        self.manager.trigger(request);
    }

    fn event(&mut self, _: &Context, reactor: &mut Reactor, event: Event) -> Life {
        if let Err(error) = self.manager.event(reactor, event) {
            fatal!("{error}");
        }
        Life::GoOn
    }

    fn turn(&mut self, context: &Context, reactor: &mut Reactor) -> (Life, Option<Duration>) {
        match self.manager.turn(reactor, context.flow.as_ref()) {
            Ok(bound) => (Life::GoOn, bound),
            Err(error) => fatal!("{error}"),
        }
    }

    /// A flush that comes with a reload may reach the process that is about to end. It is handed on
    /// through the socket that the next process reads, which also has master start that one.
    fn finish(&mut self, context: &Context) {
        if context.options.stand_alone {
            return;
        }
        let at = Endpoint::new(PUBLIC, &context.service_name);
        if let Err(error) = trigger::send(&at, &self.manager.unfinished(), HAND_ON_LIMIT) {
            log::debug!("hand on what is unfinished: {error}");
        }
    }
}
