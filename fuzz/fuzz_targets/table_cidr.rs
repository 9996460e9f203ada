//! cidr: rules, blocks and addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_fuzz::table(
    "cidr",
    "",
    bytes,
    &[b"192.0.2.1", b"2001:db8::1", b"x"]
));
