//! Certificates of database servers and of their authorities.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_dict::fuzzing::judge_certificates(bytes));
