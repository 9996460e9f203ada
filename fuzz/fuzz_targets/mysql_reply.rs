//! What MySQL servers say: the login and a query, or a query alone.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        postern_dict::fuzzing::mysql_session(rest, first % 2 == 1);
    }
});
