//! Entries of alias source files (`name: value, value`), as postalias(1) stores and local(8) reads.
//!
//! Source: aliases(5); lenient cases observed with Postfix 3.7.11.

use bstr::{BStr, BString, ByteSlice};
use postern_mail::token::{self, Token};

/// What is wrong with one line; `Display` is the text after `F, line N: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// The line is not valid UTF-8 and the UTF-8 layer is on.
    #[error("non-UTF-8 input \"{}\" -- ignoring this line", crate::shown(.0))]
    NotUtf8(BString),
    /// No colon, no name, no value, or several names.
    #[error("need name:value pair")]
    NoPair,
    /// The name has a domain.
    #[error("name must be local")]
    NotLocal,
}

/// Splits one logical line into the unquoted name (not folded) and the value in external form.
pub fn parse(line: &BStr, utf8: bool) -> Result<(BString, BString), AliasError> {
    if utf8 && !line.is_ascii() && line.to_str().is_err() {
        return Err(AliasError::NotUtf8(line.to_owned()));
    }
    let tokens = token::scan(line, 0);
    let colon = tokens
        .iter()
        .position(|token| token.is_op(b':'))
        .ok_or(AliasError::NoPair)?;
    let (name, rest) = tokens.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    let has = |op: u8| name.iter().any(|token: &Token| token.is_op(op));
    if name.is_empty() || value.is_empty() || has(b',') {
        return Err(AliasError::NoPair);
    }
    if has(b'@') || has(b'%') {
        return Err(AliasError::NotLocal);
    }
    let mut text = token::external(value);
    // postalias keeps the blank that follows every comma, also the last one.
    if value.last().is_some_and(|token| token.is_op(b',')) {
        text.push(b' ');
    }
    Ok((token::internal(name), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (
        &'static str,
        Result<(&'static str, &'static str), AliasError>,
    );

    #[test]
    fn alias_lines_read_as_postalias_stores_them() {
        #[rustfmt::skip]
        let cases: &[Case] = &[
            ("a: b,c",                               Ok(("a", "b, c"))),
            ("\"a b\": c",                           Ok(("a b", "c"))),
            ("cmd: \"|/usr/bin/x -a b\" , /var/file", Ok(("cmd", "\"|/usr/bin/x -a b\", /var/file"))),
            ("inc: :include:/etc/foo, bob@x.example", Ok(("inc", ":include:/etc/foo, bob@x.example"))),
            ("A: <foo@bar>",                         Ok(("A", "<foo@bar>"))),
            ("multi: a,  b",                         Ok(("multi", "a, b"))),
            ("pipe: |cmd args",                      Ok(("pipe", "|cmd args"))),
            ("q: \"x\"@dom, 'foo bar'",              Ok(("q", "\"x\"@dom, 'foo bar'"))),
            ("route: <@a,@b:c@d>",                   Ok(("route", "<@a, @b:c@d>"))),
            ("esc: \\bob, a\\ b",                    Ok(("esc", "bob, \"a b\""))),
            ("semi: a; b",                           Ok(("semi", "a;b"))),
            ("dots: a.b@c.d , .x",                   Ok(("dots", "a.b@c.d, .x"))),
            ("8: \"|a\\\"b\"",                       Ok(("8", "\"|a\\\"b\""))),
            ("sp ace: val",                          Ok(("sp ace", "val"))),
            ("\"x@y\": v",                           Ok(("x@y", "v"))),
            ("ph: Foo Bar <a@b>, \"Q R\" <c@d>",     Ok(("ph", "Foo Bar <a@b>, \"Q R\" <c@d>"))),
            ("colon: a:b",                           Ok(("colon", "a:b"))),
            ("v: ,a,,b,",                            Ok(("v", ", a, , b, "))),
            ("t: \"unb",                             Ok(("t", "\"unb\""))),
            ("a!b: c",                               Ok(("a!b", "c"))),
            ("[1.2.3.4]: y",                         Ok(("[1.2.3.4]", "y"))),
            ("x:y z",                                Ok(("x", "y z"))),
            ("@x: y",                                Err(AliasError::NotLocal)),
            ("pct%a: x",                             Err(AliasError::NotLocal)),
            ("noval:",                               Err(AliasError::NoPair)),
            (": val",                                Err(AliasError::NoPair)),
            ("a,b: c",                               Err(AliasError::NoPair)),
            ("nocolon here",                         Err(AliasError::NoPair)),
            ("\"unb: c",                             Err(AliasError::NoPair)),
        ];
        for (line, want) in cases {
            let got = parse(BStr::new(line), true)
                .map(|(name, value)| (name.to_string(), value.to_string()));
            let want = want
                .clone()
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(got, want, "{line}");
        }
    }
}
