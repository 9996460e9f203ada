//! Header lines, their words, and host names and addresses in them.
#![no_main]

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_mail::printable::{Charset, escape, mask, quote_for_log, unescape};
use postern_mail::{header, host};

fuzz_target!(|text: &[u8]| {
    let line = BStr::new(text);
    if let Some((name, value)) = header::split(line) {
        let _ = header::lookup(name);
        let _ = header::is_mime(name);
        let _ = header::words(value);
    }
    let _ = (header::name(line), header::words(line));
    let _ = (
        host::valid_hostname(line),
        host::valid_utf8_hostname(line, true),
    );
    let _ = (
        host::valid_hostaddr(line),
        host::parse_ipv4(line),
        host::parse_ipv6(line),
    );
    let _ = (
        host::literal_address(line, false),
        host::literal_address(line, true),
    );
    for charset in [Charset::Ascii, Charset::Utf8] {
        assert!(
            quote_for_log(text, charset)
                .bytes()
                .all(|byte| !byte.is_ascii_control())
        );
        assert_eq!(mask(text, charset, b'?').len(), text.len());
    }
    assert_eq!(unescape(BStr::new(&escape(text))), text);
});
