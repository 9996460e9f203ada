//! End-to-end tests of the real binaries; see `tests/tests/`.
#![forbid(unsafe_code)]
