//! Daemon skeletons: single, multi, event, trigger and datagram servers under master(8).
#![forbid(unsafe_code)]
