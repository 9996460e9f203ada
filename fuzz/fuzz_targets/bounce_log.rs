//! The logs of undelivered recipients, which older programs may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_bounce::fuzzing::read_log(bytes));
