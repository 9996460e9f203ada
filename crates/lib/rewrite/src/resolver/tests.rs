//! Rows of `observed.tsv` are what Postfix 3.7.11 answered and logged.
//!
//! `[name]` starts a case; `=` lines are added to main.cf; rows are request, sender, address,
//! transport, next hop, recipient, flags; `!` lines were logged.

use proptest::prelude::*;

use super::*;
use crate::testing::{config, logged, unescape};

struct Case<'a> {
    name: &'a str,
    main_cf: String,
    rows: Vec<&'a str>,
    log: Vec<&'a str>,
}

fn cases() -> Vec<Case<'static>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in include_str!("observed.tsv").lines() {
        if let Some(name) = line.strip_prefix('[') {
            cases.push(Case {
                name,
                main_cf: String::new(),
                rows: Vec::new(),
                log: Vec::new(),
            });
            continue;
        }
        let Some(case) = cases.last_mut() else {
            continue;
        };
        if let Some(text) = line.strip_prefix("= ") {
            case.main_cf += text;
            case.main_cf.push('\n');
        } else if let Some(text) = line.strip_prefix("! ") {
            case.log.push(text);
        } else if !line.is_empty() {
            case.rows.push(line);
        }
    }
    cases
}

fn check(case: &Case<'_>) {
    let config = config(&case.main_cf);
    let mut lines = logged(|| {
        let mut mail = Resolver::new(&config);
        let mut probe = Resolver::for_verify(&config);
        for row in &case.rows {
            let fields: Vec<BString> = row.split('\t').map(unescape).collect();
            let [
                request,
                sender,
                address,
                transport,
                nexthop,
                recipient,
                flags,
            ] = fields.as_slice()
            else {
                panic!("{row}")
            };
            let resolver = if *request == "verify" {
                &mut probe
            } else {
                &mut mail
            };
            let got = resolver.resolve(sender.as_ref(), address.as_ref());
            let want = Resolved {
                transport: transport.clone(),
                nexthop: nexthop.clone(),
                recipient: recipient.clone(),
                flags: flags.to_string().parse().unwrap(),
            };
            assert_eq!(got, want, "[{}\n{row}", case.name);
        }
    });
    let mut want: Vec<String> = case
        .log
        .iter()
        .map(|line| line.replace("/C/main.cf", &config.main_cf()))
        .collect();
    // What tables say when they are opened is not this crate's matter.
    lines.retain(|line| !line.contains(" map {"));
    // Postfix opens the tables of mail and probes in another order.
    lines.sort();
    want.sort();
    assert_eq!(lines, want, "log of [{}", case.name);
}

#[test]
fn addresses_resolve_as_in_postfix() {
    for case in cases() {
        check(&case);
    }
}

#[test]
fn thousands_of_local_domains_are_a_bad_address() {
    let mut resolver = Resolver::new(&config(""));
    let address = format!("u{}", "@localhost".repeat(3000));
    let answer = resolver.resolve(BStr::new(""), BStr::new(&address));
    assert_eq!(answer.flags & resolve_flag::ERROR, resolve_flag::ERROR);
}

proptest! {
    #[test]
    fn any_bytes_can_be_resolved(address in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut resolver = Resolver::new(&config(""));
        resolver.resolve(BStr::new(""), BStr::new(&address));
    }

    #[test]
    fn a_resolved_recipient_resolves_to_itself(address in "[a-c.\"@]{1,8}(@localhost|@example.test|%a.test)?") {
        let mut resolver = Resolver::new(&config(""));
        let once = resolver.resolve(BStr::new(""), BStr::new(&address));
        if once.flags & resolve_flag::ERROR == 0 {
            let twice = resolver.resolve(BStr::new(""), once.recipient.as_ref());
            prop_assert_eq!(once.recipient, twice.recipient);
        }
    }
}
