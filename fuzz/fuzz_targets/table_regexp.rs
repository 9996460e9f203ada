//! regexp: rules; the expressions go to the C library.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_fuzz::table(
    "regexp",
    "",
    bytes,
    &[b"abc", b"user@example.com"]
));
