//! Replies of `socketmap:` servers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_dict::fuzzing::socketmap_reply(bytes));
