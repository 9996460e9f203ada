//! Byte streams to peers, with timeouts: what SMTP sessions and internal channels read and write.
#![forbid(unsafe_code)]
