//! RFC 822 lexical analysis as Postfix does it: lenient, never failing, and able to write tokens back.
//!
//! This module knows single tokens only; what a sequence of them means is in
//! [`crate::address_tree`].

use bstr::{BStr, BString};

/// One lexical token of RFC 822 §3.3, with quoting undone where it can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A bare word. Never holds blanks, controls or operators.
    Atom(BString),
    /// A quoted string, or an atom that needs quotes; content without quotes and backslashes.
    Quoted(BString),
    /// A domain literal; content without the brackets.
    Literal(BString),
    /// A comment as written, with its parentheses and backslashes.
    Comment(BString),
    /// One operator character.
    Op(u8),
}

impl Token {
    /// Atom, quoted string or domain literal: two of them in a row need a connector.
    pub fn is_word(&self) -> bool {
        matches!(self, Self::Atom(_) | Self::Quoted(_) | Self::Literal(_))
    }

    /// Whether this is the operator `op`.
    pub fn is_op(&self, op: u8) -> bool {
        *self == Self::Op(op)
    }

    /// Appends the token's external (quoted) form.
    pub fn write_external(&self, out: &mut BString) {
        match self {
            Self::Atom(text) | Self::Comment(text) => out.extend_from_slice(text),
            Self::Quoted(text) => write_quoted_string(text, out),
            Self::Literal(text) => write_literal(text, out),
            Self::Op(b',') => out.extend_from_slice(b", "),
            Self::Op(op) => out.push(*op),
        }
    }

    /// Appends the token's internal (unquoted) form.
    pub fn write_internal(&self, out: &mut BString) {
        match self {
            Self::Quoted(text) => out.extend_from_slice(text),
            other => other.write_external(out),
        }
    }
}

/// Appends `text` as a quoted string, with backslashes before `"` and `\`.
pub fn write_quoted_string(text: &[u8], out: &mut BString) {
    out.push(b'"');
    for &byte in text {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_literal(text: &[u8], out: &mut BString) {
    out.push(b'[');
    out.extend_from_slice(text);
    out.push(b']');
}

/// Splits `text` into tokens, at most `limit` of them (0: no limit).
///
/// Text after a NUL byte is not looked at. Missing closing quotes, brackets and parentheses end
/// at the end of the text.
pub fn scan(text: &BStr, limit: usize) -> Vec<Token> {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    let mut scanner = Scanner {
        rest: text.get(..end).unwrap_or_default(),
    };
    let mut tokens = Vec::new();
    while limit == 0 || tokens.len() < limit {
        match scanner.next_token() {
            Some(token) => tokens.push(token),
            None => break,
        }
    }
    tokens
}

/// The tokens' internal form, blanks between adjacent words: what stands left of the last `@` as
/// one local part.
pub fn internal(tokens: &[Token]) -> BString {
    join(tokens, Token::write_internal)
}

/// The tokens' external form, blanks between adjacent words.
pub fn external(tokens: &[Token]) -> BString {
    join(tokens, Token::write_external)
}

fn join(tokens: &[Token], write: fn(&Token, &mut BString)) -> BString {
    let mut out = BString::default();
    let mut after_word = false;
    for token in tokens {
        let wanted = match token {
            Token::Op(b'<') => !matches!(out.last(), None | Some(b' ')),
            Token::Op(_) => false,
            _ => after_word,
        };
        if wanted {
            out.push(b' ');
        }
        write(token, &mut out);
        after_word = token.is_word() || matches!(token, Token::Comment(_));
    }
    // The blank after a comma separates it from what follows.
    if tokens.last().is_some_and(|token| token.is_op(b',')) {
        out.pop();
    }
    out
}

/// White space between tokens.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The characters that are a token of their own, or open one.
pub(crate) fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'|' | b'%'
            | b'!'
            | b'('
            | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'.'
            | b'['
            | b']'
    )
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn next_token(&mut self) -> Option<Token> {
        while self.rest.first().copied().is_some_and(is_space) {
            self.bump();
        }
        let first = *self.rest.first()?;
        Some(match first {
            b'(' => self.comment(),
            b'[' => {
                self.bump();
                Token::Literal(self.quoted_until(b']'))
            }
            b'"' => {
                self.bump();
                Token::Quoted(self.quoted_until(b'"'))
            }
            b'\\' => self.atom(),
            op if is_operator(op) => {
                self.bump();
                Token::Op(op)
            }
            _ => self.atom(),
        })
    }

    fn bump(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Comments nest; nothing inside is changed.
    fn comment(&mut self) -> Token {
        let mut text = BString::default();
        let mut level = 0_usize;
        while let Some(byte) = self.bump() {
            text.push(byte);
            match byte {
                b'\\' => text.extend(self.bump()),
                b'(' => level += 1,
                b')' => level -= 1,
                _ => {}
            }
            if level == 0 {
                break;
            }
        }
        Token::Comment(text)
    }

    /// White space inside becomes a blank, `\x` is x.
    fn quoted_until(&mut self, close: u8) -> BString {
        let mut text = BString::default();
        while let Some(byte) = self.bump() {
            if byte == close {
                break;
            }
            let literal = if byte == b'\\' {
                self.bump()
            } else {
                Some(byte)
            };
            text.extend(literal.map(blank));
        }
        text
    }

    /// An atom whose content could not stand without quotes becomes a quoted string.
    fn atom(&mut self) -> Token {
        let mut text = BString::default();
        while let Some(&byte) = self.rest.first() {
            if byte != b'\\' && (is_space(byte) || is_operator(byte)) {
                break;
            }
            self.bump();
            let literal = if byte == b'\\' {
                self.bump()
            } else {
                Some(byte)
            };
            text.extend(literal.map(blank));
        }
        let plain = |&b: &u8| !is_operator(b) && b > b' ' && b != 0x7f;
        if text.iter().all(plain) {
            Token::Atom(text)
        } else {
            Token::Quoted(text)
        }
    }
}

fn blank(byte: u8) -> u8 {
    if is_space(byte) { b' ' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_address_when_scanned_without_a_parser() {
        // Rows: what the rewrite service of Postfix 3.7.11 answers, quotes and domain removed.
        let cases: &[(&str, &str)] = &[
            ("foo bar", "foo bar"),
            ("foo(comment)", "foo (comment)"),
            ("(c1) a (c2)", "(c1) a (c2)"),
            ("Phrase <a", "Phrase <a"),
            ("a, b", "a, b"),
            ("g: a, b;", "g:a, b;"),
            ("a\\ b", "a b"),
            ("a . b", "a.b"),
            ("a[b]", "a [b]"),
            ("x<y", "x <y"),
            ("a <b> c", "a <b>c"),
            ("\"a b\".\"c\"", "a b.c"),
            ("x\"y\"z", "x y z"),
            ("a\\\"", "a\""),
            ("(unterminated", "(unterminated"),
            ("[1.2.3.4", "[1.2.3.4]"),
            ("\"a\tb\"", "a b"),
            ("(a\tb)", "(a\tb)"),
            ("(a\nb)", "(a\nb)"),
            ("\\", ""),
            ("a)b", "a)b"),
            ("a\0b", "a"),
        ];
        for (text, want) in cases {
            assert_eq!(internal(&scan(BStr::new(text), 0)), *want, "{text:?}");
        }
    }

    #[test]
    fn quoting_is_restored_when_needed() {
        let cases: &[(&str, &str)] = &[
            ("a\\,b", "\"a,b\""),
            ("\"a\\\"b\"", "\"a\\\"b\""),
            ("\"plain\"", "\"plain\""),
            ("p\u{1}q", "\"p\u{1}q\""),
            ("\\", ""),
            ("(c \\) d)", "(c \\) d)"),
            // Not restored in literals: scanned again, the last one has no end.
            ("[a\\]b]", "[a]b]"),
            ("[ab\\\\]", "[ab\\]"),
        ];
        for (text, want) in cases {
            assert_eq!(external(&scan(BStr::new(text), 0)), *want, "{text:?}");
        }
    }

    #[test]
    fn token_limit_drops_the_rest() {
        assert_eq!(scan(BStr::new("a b c d"), 2).len(), 2);
    }
}
