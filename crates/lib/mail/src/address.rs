//! Single mail addresses: quoted and unquoted form, local part, domain, extension.
//!
//! "Internal" is the unquoted form of queue files and tables, "external" the quoted form of
//! headers and SMTP. The domain is what follows the last `@`.

use bstr::{BStr, BString, ByteSlice};

use crate::token::{self, Token};

/// Local parts that never have an extension.
const NO_EXTENSION: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];

/// Splits an internal address at its last `@`; no domain when there is none.
pub fn split(address: &BStr) -> (&BStr, Option<&BStr>) {
    match address.rfind_byte(b'@') {
        Some(at) => {
            let (local, domain) = address.split_at(at);
            (
                BStr::new(local),
                Some(BStr::new(domain.get(1..).unwrap_or_default())),
            )
        }
        None => (address, None),
    }
}

/// Text after the last `@` of an internal address, if any.
pub fn domain(address: &BStr) -> Option<&BStr> {
    split(address).1
}

/// Text before the last `@` of an internal address, or all of it.
pub fn local_part(address: &BStr) -> &BStr {
    split(address).0
}

/// Internal form of an address in external form. The text is one address: blanks and commas that
/// are not quoted become part of it.
pub fn unquote(external: &BStr) -> BString {
    // Most addresses have nothing to undo.
    if !external
        .iter()
        .any(|&b| matches!(b, b'"' | b'\\' | b'(' | b'[' | b'<' | b',') || token::is_space(b))
    {
        return external.to_owned();
    }
    token::internal(&token::scan(external, 0))
}

/// External form of an internal address, as in headers and log lines; the empty address stays
/// empty. 8-bit bytes are kept. The domain is never quoted, and neither is a source route, `@site:`,
/// in front of the address: it ends at the first colon.
pub fn quote(internal: &BStr) -> BString {
    let colon = match internal.first() {
        Some(b'@') => internal.find_byte(b':'),
        _ => None,
    };
    let Some(colon) = colon else {
        return quote_with(internal, needs_quotes_822);
    };
    let (route, rest) = internal.split_at(colon + 1);
    let mut out = BString::from(route);
    if rest.is_empty() {
        out.extend_from_slice(b"\"\"");
    } else {
        out.extend_from_slice(&quote_with(BStr::new(rest), needs_quotes_822));
    }
    out
}

/// External form for SMTP commands. The empty address stays empty; a source route is part of the local
/// part here.
pub fn quote_821(internal: &BStr) -> BString {
    quote_with(internal, needs_quotes_821)
}

fn quote_with(internal: &BStr, needs_quotes: fn(&[u8]) -> bool) -> BString {
    if internal.is_empty() {
        return BString::default();
    }
    let (local, domain) = split(internal);
    if !needs_quotes(local) {
        return internal.to_owned();
    }
    let mut out = BString::from(Vec::with_capacity(internal.len() + 2));
    token::write_quoted_string(local, &mut out);
    if let Some(domain) = domain {
        out.push(b'@');
        out.extend_from_slice(domain);
    }
    out
}

/// Whether a local part is not a dot-string of RFC 822 atoms.
pub fn needs_quotes_822(local: &[u8]) -> bool {
    local.is_empty()
        || local.starts_with(b".")
        || local.ends_with(b".")
        || local.contains_str("..")
        || local
            .iter()
            .any(|&b| b <= b' ' || b == 0x7f || is_special(b))
}

/// Whether a local part is not a dot-string of RFC 821 §4.1.2.
pub fn needs_quotes_821(local: &[u8]) -> bool {
    needs_quotes_822(local)
}

fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'[' | b']'
    )
}

/// Splits `user+ext` at the first delimiter; `None` when there is no extension.
///
/// `delimiters` is the value of `recipient_delimiter`. No split for postmaster, mailer-daemon and
/// double-bounce, at the very first character, nor, with the delimiter `-` and
/// `owner_request_special`, for `owner-*` and `*-request`.
pub fn split_extension<'a>(
    local: &'a BStr,
    delimiters: &[u8],
    owner_request_special: bool,
) -> Option<(&'a BStr, &'a BStr)> {
    if delimiters.is_empty()
        || NO_EXTENSION
            .iter()
            .any(|name| eq_ignore_case(local, name.as_bytes()))
    {
        return None;
    }
    if owner_request_special && delimiters.contains(&b'-') {
        let lower = local.to_ascii_lowercase();
        if lower.starts_with(b"owner-") || lower.ends_with(b"-request") {
            return None;
        }
    }
    let at = local.iter().position(|b| delimiters.contains(b))?;
    if at == 0 {
        return None;
    }
    let (user, extension) = local.split_at(at);
    Some((
        BStr::new(user),
        BStr::new(extension.get(1..).unwrap_or_default()),
    ))
}

/// An internal address without its extension, and the extension with its delimiter.
pub fn strip_extension(
    address: &BStr,
    delimiters: &[u8],
    owner_request_special: bool,
) -> Option<(BString, BString)> {
    let (local, domain) = split(address);
    let (user, _) = split_extension(local, delimiters, owner_request_special)?;
    let mut bare = user.to_owned();
    if let Some(domain) = domain {
        bare.push(b'@');
        bare.extend_from_slice(domain);
    }
    Some((
        bare,
        BString::from(local.get(user.len()..).unwrap_or_default()),
    ))
}

/// Inserts `extension` (with its delimiter) before the last `@`.
pub fn append_extension(address: &BStr, extension: &[u8]) -> BString {
    let (local, domain) = split(address);
    let mut out = local.to_owned();
    out.extend_from_slice(extension);
    if let Some(domain) = domain {
        out.push(b'@');
        out.extend_from_slice(domain);
    }
    out
}

/// ASCII case-insensitive comparison (strcasecmp).
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Case-folded form for comparison and table keys: ASCII, and full Unicode lower case when the
/// text is UTF-8.
pub fn fold_case(text: &BStr) -> BString {
    if text.is_ascii() {
        return BString::from(text.to_ascii_lowercase());
    }
    match text.to_str() {
        Ok(utf8) => BString::from(utf8.to_lowercase()),
        Err(_) => BString::from(text.to_ascii_lowercase()),
    }
}

/// Parses text that must be exactly one address, e.g. a table result or a REDIRECT target;
/// returns the internal form. `None`: none, several, or stray text.
pub fn single(text: &BStr) -> Option<BString> {
    let nodes = crate::address_tree::parse(text, 0);
    let mut addresses = crate::address_tree::addresses(&nodes);
    let first = addresses.next()?.internal();
    if addresses.next().is_some() {
        None
    } else {
        Some(first)
    }
}

/// The text between the brackets of `[text]`, when the domain is one literal.
pub fn literal(domain: &BStr) -> Option<&BStr> {
    let inner = domain.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(BStr::new(inner))
}

/// The tokens of an external address, for callers that rewrite it.
pub fn tokens(external: &BStr) -> Vec<Token> {
    token::scan(external, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(text: &str) -> &BStr {
        BStr::new(text)
    }

    #[test]
    fn local_parts_are_quoted_when_they_are_no_dot_string() {
        let cases: &[(&str, &str)] = &[
            ("", ""),
            ("@foo", "\"\"@foo"),
            ("a@b@c", "\"a@b\"@c"),
            ("foo bar", "\"foo bar\""),
            ("a..b@x", "\"a..b\"@x"),
            (".a@b", "\".a\"@b"),
            ("a.@b", "\"a.\"@b"),
            ("a\"b@c", "\"a\\\"b\"@c"),
            ("a\\b@c", "\"a\\\\b\"@c"),
            ("a|b%c!d@e", "a|b%c!d@e"),
            ("\u{e9}@x", "\u{e9}@x"),
            ("a@b c", "a@b c"),
            ("[1.2.3.4]", "\"[1.2.3.4]\""),
            ("a\u{7f}@b", "\"a\u{7f}\"@b"),
            ("@a:b@c", "@a:b@c"),
            ("@a:b c@d", "@a:\"b c\"@d"),
            ("@a@b:c d@e", "@a@b:\"c d\"@e"),
            ("@a,@b:.c@d", "@a,@b:\".c\"@d"),
            ("@a b:c", "@a b:c"),
            ("@a:@d", "@a:\"\"@d"),
            ("@a:", "@a:\"\""),
            ("@a@b", "\"@a\"@b"),
            ("x@a:b@d", "\"x@a:b\"@d"),
            ("u@a:b", "u@a:b"),
        ];
        for (internal, want) in cases {
            assert_eq!(quote(b(internal)), *want, "{internal:?}");
        }
    }

    #[test]
    fn smtp_commands_quote_source_routes() {
        assert_eq!(quote_821(b("@a:b c@d")), "\"@a:b c\"@d");
        assert_eq!(quote_821(b("@a:b@d")), "\"@a:b\"@d");
    }

    #[test]
    fn unquoting_undoes_quoting() {
        for internal in [
            "a@b",
            "a b@c",
            "a\"b@c",
            "a\\b@c",
            "@foo",
            "a@b@c",
            "",
            "a,b@c",
            "a@[1.2.3.4]",
        ] {
            assert_eq!(unquote(BStr::new(&quote(b(internal)))), *internal);
        }
    }

    #[test]
    fn extensions_are_split_at_the_first_delimiter() {
        type Row<'a> = (&'a str, &'a str, bool, Option<(&'a str, &'a str)>);
        let cases: &[Row<'_>] = &[
            ("user+ext", "+", true, Some(("user", "ext"))),
            ("user+a+b", "+", true, Some(("user", "a+b"))),
            ("user-a+b", "+-", true, Some(("user", "a+b"))),
            ("user+", "+", true, Some(("user", ""))),
            ("+ext", "+", true, None),
            ("user", "+", true, None),
            ("user+ext", "", true, None),
            ("Mailer-Daemon", "-", true, None),
            ("double-bounce", "-", true, None),
            ("owner-list", "-", true, None),
            ("list-request", "-", true, None),
            ("owner-list", "-", false, Some(("owner", "list"))),
            ("owner+list", "+", true, Some(("owner", "list"))),
        ];
        for (local, delimiters, special, want) in cases {
            let got = split_extension(b(local), delimiters.as_bytes(), *special);
            assert_eq!(
                got,
                want.map(|(u, e)| (b(u), b(e))),
                "{local:?} {delimiters:?}"
            );
        }
    }

    #[test]
    fn extension_moves_between_addresses() {
        let (bare, extension) = strip_extension(b("user+ext@dom"), b"+", true).unwrap();
        assert_eq!(
            (bare.as_bstr(), extension.as_bstr()),
            (b("user@dom"), b("+ext"))
        );
        assert_eq!(
            append_extension(b("other@dom"), &extension),
            "other+ext@dom"
        );
    }
}
