//! texthash: source text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_fuzz::table("texthash", "", bytes, &[b"a", b"key"]));
