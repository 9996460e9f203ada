//! Start-up of the commands that users and administrators type.
#![forbid(unsafe_code)]
