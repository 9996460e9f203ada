//! Rows of `observed.tsv` are what Postfix 3.7.11 answered.

use proptest::prelude::*;

use super::*;
use crate::testing::{config, unescape};

fn rewrite(text: &str, rule: Context, address: &BStr) -> BString {
    Rewriter::new(&config(text)).rewrite(rule, address).unwrap()
}

#[test]
fn addresses_are_completed_as_postfix_does() {
    let mut rewriter = Rewriter::new(&config(""));
    let rows = include_str!("observed.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    for row in rows {
        let fields: Vec<BString> = row.split('\t').map(unescape).collect();
        let [address, local, remote] = fields.as_slice() else {
            panic!("{row}")
        };
        for (rule, want) in [(Context::Local, local), (Context::Remote, remote)] {
            assert_eq!(
                rewriter.rewrite(rule, address.as_ref()).unwrap(),
                *want,
                "{rule:?} {row}"
            );
        }
    }
}

#[test]
fn main_cf_switches_each_step_off() {
    #[rustfmt::skip]
    let cases = [
        // main.cf                                   rule             address    rewritten
        ("swap_bangpath = no",                       Context::Local,  "a!b",     "a!b@example.test"),
        ("allow_percent_hack = no",                  Context::Local,  "a%b",     "a%b@example.test"),
        ("append_at_myorigin = no",                  Context::Local,  "a",       "a"),
        ("append_dot_mydomain = yes",                Context::Local,  "a@b",     "a@b.example.test"),
        ("append_dot_mydomain = yes",                Context::Local,  "a@b.",    "a@b"),
        ("append_dot_mydomain = yes",                Context::Local,  "a@[b]",   "a@[b]"),
        ("append_dot_mydomain = yes",                Context::Remote, "a@b",     "a@b"),
        ("remote_header_rewrite_domain = far.test",  Context::Remote, "a",       "a@far.test"),
        ("append_dot_mydomain = yes\nremote_header_rewrite_domain = far.test", Context::Remote, "a@b", "a@b.far.test"),
    ];
    for (text, rule, address, want) in cases {
        assert_eq!(
            rewrite(text, rule, BStr::new(address)),
            want,
            "{text:?} {address:?}"
        );
    }
}

#[test]
fn blank_addresses_become_empty() {
    assert_eq!(rewrite("", Context::Local, BStr::new(" \t")), "");
}

proptest! {
    #[test]
    fn any_bytes_can_be_rewritten(address in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut rewriter = Rewriter::new(&config("append_dot_mydomain = yes"));
        for rule in [Context::Local, Context::Remote] {
            rewriter.rewrite(rule, BStr::new(&address)).unwrap();
        }
    }

    #[test]
    fn the_short_way_gives_the_long_answer(address in "[a-c.@+]{1,8}") {
        let rewriter = Rewriter::new(&config("append_dot_mydomain = yes"));
        let address = BStr::new(&address);
        if rewriter.is_standard(Context::Local, address) {
            let mut tokens = scan(address, 0);
            rewriter.rewrite_tokens(Context::Local, &mut tokens);
            prop_assert_eq!(address::external(&tokens), address);
        }
    }

    #[test]
    fn a_rewritten_address_stays_as_it_is(address in "[a-c.\" \\\\@()\\[\\]]{1,10}") {
        // Without routing characters: each round of those strips one site.
        let mut rewriter = Rewriter::new(&config("swap_bangpath = no\nallow_percent_hack = no"));
        let once = rewriter.rewrite(Context::Local, BStr::new(&address)).unwrap();
        let (local, domain) = postern_mail::address::split(once.as_ref());
        let plain = domain.is_some_and(|domain| is_dot_string(domain));
        if plain && local.first() != Some(&b'@') {
            let twice = rewriter.rewrite(Context::Local, once.as_ref()).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
