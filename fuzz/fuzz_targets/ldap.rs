//! Messages of LDAP servers, and search filters and URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    postern_dict::fuzzing::read_messages(bytes);
    postern_dict::fuzzing::read_filter(bytes);
});
