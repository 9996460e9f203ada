//! Stub resolver: what libresolv and the hosts file would answer.
#![forbid(unsafe_code)]
