//! Replies of memcache servers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(postern_dict::fuzzing::read_values(bytes, 50));
});
