//! resolv.conf and the forms of names in DNS questions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_dns::{ResolvConf, is_host_address, is_valid_name, to_ascii};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = ResolvConf::parse(text);
    let _ = (is_valid_name(text), is_host_address(text), to_ascii(text));
});
