//! Address syntax of headers and envelopes (RFC 5322).
#![no_main]

use bstr::{BStr, ByteSlice};
use libfuzzer_sys::fuzz_target;
use postern_mail::{address, address_tree, token};

fuzz_target!(|text: &[u8]| {
    let text = BStr::new(text);
    let tokens = token::scan(text, 1000);
    let _ = (token::internal(&tokens), token::external(&tokens));
    let _ = (
        address::unquote(text),
        address::quote(text),
        address::quote_821(text),
    );
    let _ = (
        address::split(text),
        address::single(text),
        address::literal(text),
    );
    let _ = address::split_extension(text, b"+-", true);

    let mut nodes = address_tree::parse(text, 1000);
    let _ = address_tree::header(BStr::new("To"), &nodes);
    let _ = address_tree::strip_long_comments(&mut nodes);
    let external = address_tree::externalize(&nodes);
    // What is written is an address list again, with as many addresses. Quoted pairs in domain
    // literals do not survive, here as in the reference, hence what follows them is anybody's guess;
    // neither does an empty address of nothing but an unfinished quotation.
    if !text.contains(&b'[') {
        let again = address_tree::parse(external.as_bstr(), 100_000);
        assert_eq!(
            with_text(&nodes),
            with_text(&again),
            "{text:?} was written as {external:?}"
        );
    }
    for found in address_tree::addresses(&nodes) {
        let internal = found.internal();
        let quoted = address::quote(internal.as_bstr());
        // Only the local part is quoted; a domain that would need it does not come back.
        if address::domain(internal.as_bstr()).is_none_or(is_plain) {
            assert_eq!(address::unquote(quoted.as_bstr()), internal, "{quoted:?}");
        }
    }
});

fn with_text(nodes: &[address_tree::Node]) -> usize {
    address_tree::addresses(nodes)
        .filter(|address| !address.internal().is_empty())
        .count()
}

fn is_plain(domain: &BStr) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    domain.bytes().all(plain)
}
