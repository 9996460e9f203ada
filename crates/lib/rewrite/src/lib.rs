//! Address rewriting and resolving, as trivial-rewrite(8) answers it, callable in process.
//!
//! [`Rewriter`] and [`Resolver`] are the service itself; [`AddressService`] is what a program
//! holds: it works in process where every table can be opened there and asks the service
//! otherwise. This crate does not know SMTP, queues, or who asks.
#![forbid(unsafe_code)]

mod address;
mod domains;
mod resolver;
mod rewriter;
mod routes;
mod service;
mod syntax;
#[cfg(test)]
mod testing;

pub use domains::LocalDomains;
pub use resolver::{Resolved, Resolver};
pub use rewriter::{Context, Rewriter};
pub use service::AddressService;
