//! The encodings of DSN parameters (RFC 3461, RFC 6533) and enhanced status codes.
#![no_main]

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_mail::dsn;

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(
        dsn::xtext_decode(&dsn::xtext_encode(bytes)),
        Some(bytes.into())
    );
    let _ = dsn::xtext_decode(bytes);
    let _ = dsn::uxtext_decode(bytes);
    if let Some(encoded) = dsn::uxtext_encode(bytes) {
        assert_eq!(dsn::uxtext_decode(&encoded), Some(bytes.into()));
    }
    let text = BStr::new(bytes);
    let _ = (
        dsn::status_length(bytes),
        dsn::is_status(bytes),
        dsn::split("5.0.0", text),
    );
    let _ = (
        dsn::parse_orcpt(text),
        dsn::parse_envid(text),
        dsn::parse_notify(text),
    );
});
