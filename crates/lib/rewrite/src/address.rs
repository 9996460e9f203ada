//! Between the two forms of an address: external (quoted, as in SMTP and headers) and internal
//! (as in queue files).

use bstr::{BStr, BString, ByteSlice};
use postern_mail::address::quote;
use postern_mail::token::{self, Token, scan};

/// Internal form of a tokenized address.
pub(crate) fn internal(tokens: &[Token]) -> BString {
    let mut text = token::internal(tokens);
    // A comma is followed by a blank only where something follows the comma.
    if tokens.last().is_some_and(|token| token.is_op(b',')) && text.last() == Some(&b' ') {
        text.pop();
    }
    text
}

/// External form of a tokenized address: what stands left of the last `@` is the local part.
pub(crate) fn external(tokens: &[Token]) -> BString {
    let text = internal(tokens);
    if text.is_empty() {
        return BString::from("\"\"");
    }
    quote_after_route(text.as_ref())
}

/// The tokens of an address in internal form.
pub(crate) fn tokenize(address: &BStr) -> Vec<Token> {
    scan(quote_after_route(address).as_ref(), 0)
}

/// Quotes the local part where needed; a source route, `@site:`, stays in front as it is.
fn quote_after_route(address: &BStr) -> BString {
    let route = match address.find_byte(b':') {
        Some(colon) if address.starts_with(b"@") => colon + 1,
        _ => return quote(address),
    };
    let (route, rest) = address.split_at(route);
    let mut text = BString::from(route);
    if rest.is_empty() {
        text.extend_from_slice(b"\"\"");
    } else {
        text.extend_from_slice(&quote(rest.as_bstr()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stay_outside_the_quotes() {
        let cases: &[(&str, &str)] = &[
            ("@a:b c@d", "@a:\"b c\"@d"),
            ("@a@b:c d@e", "@a@b:\"c d\"@e"),
            ("@a:@d", "@a:\"\"@d"),
            ("@a@b", "\"@a\"@b"),
            ("x@a:b@d", "\"x@a:b\"@d"),
            ("u@a:b", "u@a:b"),
        ];
        for (address, want) in cases {
            assert_eq!(quote_after_route(BStr::new(address)), *want, "{address:?}");
        }
    }
}
