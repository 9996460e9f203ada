//! Between the two forms of an address: external (quoted, as in SMTP and headers) and internal
//! (as in queue files).

use bstr::{BStr, BString};
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
    quote(text.as_ref())
}

/// The tokens of an address in internal form.
pub(crate) fn tokenize(address: &BStr) -> Vec<Token> {
    scan(quote(address).as_ref(), 0)
}
