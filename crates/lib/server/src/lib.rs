//! Daemon skeletons: single, multi, event, trigger and datagram servers under master(8).
//!
//! A program implements one of the server traits and calls that skeleton's `main`. The skeleton owns
//! process life: options, main.cf, the jail, the conversation with master, idle and use limits, the
//! watchdog, and accepting clients (source: master.md §3 of our specification). It knows no service.
#![forbid(unsafe_code)]

mod client;
mod context;
mod core;
mod cycle;
mod debugger;
mod event;
mod flow;
mod multi;
mod options;
mod owner_groups;
mod reactor;
mod signals;
mod single;
mod start;
mod status;

pub use client::{Client, ClientKind, PassAttributes};
pub use context::{Context, Limits, Needs, ProcessLimit, StartError, Transport};
pub use core::Life;
pub use debugger::{NoDebugger, run_debugger, wants_debugger};
pub use event::{DgramServer, EventServer, TriggerServer};
pub use flow::Flow;
pub use multi::{Awaits, Conn, MultiServer, Next};
pub use options::Options;
pub use owner_groups::owner_groups_variable;
pub use reactor::{Event, Interest, Reactor, TimerId, Token};
pub use signals::SignalFlags;
pub use single::SingleServer;

/// One client at a time: delivery agents, smtpd(8), cleanup(8), bounce(8), flush(8), showq(8).
pub mod single_server {
    pub use crate::single::main;
}

/// Many clients, requests in lock step: trivial-rewrite(8), proxymap(8), anvil(8), tlsmgr(8).
pub mod multi_server {
    pub use crate::multi::main;
}

/// Many clients, the program handles its descriptors and timers itself: postscreen(8), tlsproxy(8).
pub mod event_server {
    pub use crate::event::event_main as main;
}

/// Wakes up on request bytes, with descriptors and timers of its own: qmgr(8), pickup(8).
pub mod trigger_server {
    pub use crate::event::trigger_main as main;
}

/// One datagram at a time: postlogd(8).
pub mod dgram_server {
    pub use crate::event::dgram_main as main;
}
