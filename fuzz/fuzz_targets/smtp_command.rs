//! Command lines and the parameters of MAIL and RCPT, as an SMTP client may send them.
#![no_main]

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_mail::dsn;
use postern_mail::smtp_command::{PathRules, mail_parameter, path_address, rcpt_parameter, words};

fuzz_target!(|line: &[u8]| {
    let line = BStr::new(line);
    for word in words(line) {
        let text = BStr::new(&word.text);
        for (allow_empty, strict) in [(false, false), (true, false), (true, true)] {
            let rules = PathRules {
                allow_empty,
                strict,
            };
            let _ = path_address(text, rules);
        }
        let _ = mail_parameter(text);
        let _ = rcpt_parameter(text);
        let _ = dsn::parse_notify(text);
        let _ = dsn::parse_ret(text);
        let _ = dsn::parse_envid(text);
        let _ = dsn::parse_orcpt(text);
    }
});
