//! Quoting for MySQL's string literals, in the rules of one session.
//!
//! The template holds the quotes. What this module writes stays inside them whatever the key is.

/// How a session reads string literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoting {
    /// The backslash is an ordinary character (`NO_BACKSLASH_ESCAPES`).
    pub(super) plain_backslash: bool,
    /// Every byte below 128 is an ASCII character and never part of another one.
    pub(super) ascii_safe: bool,
    /// The template has double quotes, which may enclose a literal, too.
    pub(super) double_quotes: bool,
}

/// Character sets of clients in which no character contains bytes of ASCII characters.
#[rustfmt::skip]
const SAFE: [&str; 32] = [
    "armscii8", "ascii", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8",
    "eucjpms", "euckr", "gb2312", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1",
    "latin2", "latin5", "latin7", "macce", "macroman", "tis620", "ujis", "utf8", "utf8mb3", "utf8mb4",
];

/// Whether keys with any bytes may be sent in `charset`. In the others (`gbk`, `sjis`, …) a byte of the key
/// and a backslash could make one character together.
pub(super) fn is_safe(charset: &str) -> bool {
    SAFE.iter().any(|safe| charset.eq_ignore_ascii_case(safe))
}

impl Quoting {
    /// Whether `key` can be put between the quotes of the template.
    pub(super) fn can_quote(self, key: &[u8]) -> bool {
        let two_kinds = self.plain_backslash && self.double_quotes && key.contains(&b'"');
        !two_kinds && (self.ascii_safe || key.is_ascii())
    }

    /// Appends `text`, quoted.
    pub(super) fn quote(self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            let letter = match byte {
                b'\'' if self.plain_backslash => {
                    out.extend_from_slice(b"''");
                    continue;
                }
                _ if self.plain_backslash => {
                    out.push(byte);
                    continue;
                }
                0 => b'0',
                b'\n' => b'n',
                b'\r' => b'r',
                0x1a => b'Z',
                b'\\' | b'\'' | b'"' => byte,
                _ => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::ByteSlice;
    use proptest::prelude::*;

    const USUAL: Quoting = Quoting {
        plain_backslash: false,
        ascii_safe: true,
        double_quotes: false,
    };

    fn quoted(quoting: Quoting, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        quoting.quote(text, &mut out);
        out
    }

    #[test]
    fn literals_are_escaped_as_the_server_reads_them() {
        let text = b"a'b\"c\\d\ne\rf\0g\x1ah%_\xc3\xa9";
        assert_eq!(
            quoted(USUAL, text).as_bstr(),
            b"a\\'b\\\"c\\\\d\\ne\\rf\\0g\\Zh%_\xc3\xa9".as_bstr()
        );
        let plain = Quoting {
            plain_backslash: true,
            ..USUAL
        };
        assert_eq!(quoted(plain, b"a'b\\").as_bstr(), b"a''b\\".as_bstr());
        assert!(plain.can_quote(b"a\"b"));
        let two_kinds = Quoting {
            double_quotes: true,
            ..plain
        };
        assert!(!two_kinds.can_quote(b"a\"b") && two_kinds.can_quote(b"a'b"));
        let unsafe_set = Quoting {
            ascii_safe: is_safe("GBK"),
            ..USUAL
        };
        assert!(!unsafe_set.can_quote("é".as_bytes()) && unsafe_set.can_quote(b"e'"));
        assert!(is_safe("UTF8MB4") && is_safe("latin1") && !is_safe("sjis") && !is_safe("new"));
    }

    /// Reads a literal as the server does, up to its closing quote; returns what is behind that.
    fn read(mut text: &[u8], quote: u8, plain_backslash: bool) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::new();
        while let Some((&byte, rest)) = text.split_first() {
            text = rest;
            if byte == quote && text.first() == Some(&quote) {
                out.push(quote);
                text = &text[1..];
            } else if byte == quote {
                return (out, text.to_vec());
            } else if byte == b'\\' && !plain_backslash {
                let (&escaped, rest) = text.split_first().unwrap();
                text = rest;
                out.push(match escaped {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'Z' => 0x1a,
                    other => other,
                });
            } else {
                out.push(byte);
            }
        }
        panic!("the literal does not end");
    }

    proptest! {
        #[test]
        fn no_key_leaves_its_literal(
            key in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\''), Just(b'\\'), Just(b'"')], 0..40),
            plain_backslash: bool,
        ) {
            let quoting = Quoting { plain_backslash, ..USUAL };
            let query = [quoted(quoting, &key).as_slice(), b"' -- rest"].concat();
            prop_assert_eq!(read(&query, b'\'', plain_backslash), (key.clone(), b" -- rest".to_vec()));
            let quoting = Quoting { double_quotes: true, ..quoting };
            if quoting.can_quote(&key) && !plain_backslash {
                let query = [quoted(quoting, &key).as_slice(), b"\" -- rest"].concat();
                prop_assert_eq!(read(&query, b'"', plain_backslash), (key, b" -- rest".to_vec()));
            }
        }
    }
}
