//! Programs that run with the rights of somebody else: commands of delivery agents and of spawn(8).
//!
//! Reading order: [`rights`] (whose), [`Program`] (what and how), [`Running`] (until it ends). This crate
//! does not know what a program reads, writes, or is for. Source: delivery.md §2.8 of our specification.
#![forbid(unsafe_code)]

mod program;
mod rights;

pub use program::{Program, Running};
pub use rights::{NoRights, rights};
