//! pcre: rules; the expressions go to PCRE2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_fuzz::table("pcre", "", bytes, &[b"abc", b"user@example.com"]));
