//! Messages and typed clients of the internal services, one module per service.
#![forbid(unsafe_code)]
