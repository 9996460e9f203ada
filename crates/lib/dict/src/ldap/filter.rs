//! Search filters: from the text of RFC 4515 to the elements of RFC 4511 §4.5.1.7, and the quoting that
//! keeps what a key holds from becoming part of a filter or of a name.

use super::ber::{put, put_with, tag};
use crate::lines::{trim, trim_start};
use bstr::ByteSlice;

/// The text is no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadFilter;

/// Filters in filters, at most.
const DEEPEST: usize = 50;

/// Appends `text` so that it is a plain value in a filter (RFC 4515 §3).
pub(crate) fn quote_value(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0 => put_hex(byte, out),
            _ => out.push(byte),
        }
    }
}

/// Appends `text` so that it is a plain value in a name (RFC 4514 §2.4).
pub(crate) fn quote_name(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\' => {
                put_hex(byte, out);
            }
            _ if byte.is_ascii_control() => put_hex(byte, out),
            _ => out.push(byte),
        }
    }
}

fn put_hex(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\{byte:02X}").as_bytes());
}

/// The filter `text` as BER. The outermost parentheses may be missing, as in Postfix.
pub(crate) fn encode(text: &[u8]) -> Result<Vec<u8>, BadFilter> {
    let text = trim(text);
    let mut out = Vec::new();
    if text.first() == Some(&b'(') {
        let mut parser = Parser { rest: text };
        parser.filter(&mut out, 0)?;
        if !trim(parser.rest).is_empty() {
            return Err(BadFilter);
        }
    } else {
        item(text, &mut out)?;
    }
    Ok(out)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn skip_blanks(&mut self) {
        self.rest = trim_start(self.rest);
    }

    fn take(&mut self, byte: u8) -> Result<(), BadFilter> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(BadFilter),
        }
    }

    /// `( … )`.
    fn filter(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), BadFilter> {
        if depth > DEEPEST {
            return Err(BadFilter);
        }
        self.take(b'(')?;
        self.skip_blanks();
        match self.rest.first() {
            Some(b'&') => self.list(0xa0, out, depth)?,
            Some(b'|') => self.list(0xa1, out, depth)?,
            Some(b'!') => {
                self.take(b'!')?;
                self.skip_blanks();
                let mut inner = Vec::new();
                self.filter(&mut inner, depth + 1)?;
                put(out, 0xa2, &inner);
                self.skip_blanks();
            }
            _ => {
                let text = self.item_text()?;
                item(text, out)?;
            }
        }
        self.take(b')')
    }

    /// `&` or `|` and the filters after it.
    fn list(&mut self, tag: u8, out: &mut Vec<u8>, depth: usize) -> Result<(), BadFilter> {
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut inner = Vec::new();
        self.skip_blanks();
        while self.rest.first() == Some(&b'(') {
            self.filter(&mut inner, depth + 1)?;
            self.skip_blanks();
        }
        put(out, tag, &inner);
        Ok(())
    }

    /// The text up to the closing parenthesis; inside, parentheses are written `\28` and `\29`.
    fn item_text(&mut self) -> Result<&'a [u8], BadFilter> {
        let end = self.rest.find_byteset(b"()").ok_or(BadFilter)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(text)
    }
}

/// `attribute=value` and its kin.
fn item(text: &[u8], out: &mut Vec<u8>) -> Result<(), BadFilter> {
    let at = text.find_byte(b'=').ok_or(BadFilter)?;
    let (left, value) = (
        text.get(..at).unwrap_or_default(),
        text.get(at + 1..).unwrap_or_default(),
    );
    let (name, kind) = match left.split_last() {
        Some((b'~', name)) => (name, 0xa8),
        Some((b'>', name)) => (name, 0xa5),
        Some((b'<', name)) => (name, 0xa6),
        Some((b':', name)) => return extensible(name, value, out),
        _ => (left, 0xa3),
    };
    let name = trim(name);
    if !is_attribute(name) {
        return Err(BadFilter);
    }
    if kind == 0xa3 && value == b"*" {
        put(out, 0x87, name);
        return Ok(());
    }
    if kind == 0xa3 && value.contains(&b'*') {
        return substrings(name, value, out);
    }
    let value = unquote(value)?;
    put_with(out, kind, |out| {
        put(out, tag::OCTETS, name);
        put(out, tag::OCTETS, &value);
    });
    Ok(())
}

/// `attribute=initial*any*final`.
fn substrings(name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), BadFilter> {
    let pieces: Vec<&[u8]> = value.split(|byte| *byte == b'*').collect();
    let last = pieces.len().saturating_sub(1);
    let mut list = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if piece.is_empty() {
            continue;
        }
        let kind = match index {
            0 => 0x80,
            index if index == last => 0x82,
            _ => 0x81,
        };
        put(&mut list, kind, &unquote(piece)?);
    }
    if list.is_empty() {
        return Err(BadFilter);
    }
    put_with(out, 0xa4, |out| {
        put(out, tag::OCTETS, name);
        put(out, tag::SEQUENCE, &list);
    });
    Ok(())
}

/// `[attribute][:dn][:rule]:=value`; `left` is what stands before `:=`.
fn extensible(left: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), BadFilter> {
    let mut words = left.split(|byte| *byte == b':');
    let name = trim(words.next().unwrap_or_default());
    let (mut rule, mut with_names) = (None, false);
    for word in words {
        if word.eq_ignore_ascii_case(b"dn") && !with_names && rule.is_none() {
            with_names = true;
        } else if rule.is_none() && is_attribute(word) {
            rule = Some(word);
        } else {
            return Err(BadFilter);
        }
    }
    if (name.is_empty() && rule.is_none()) || (!name.is_empty() && !is_attribute(name)) {
        return Err(BadFilter);
    }
    let value = unquote(value)?;
    put_with(out, 0xa9, |out| {
        if let Some(rule) = rule {
            put(out, 0x81, rule);
        }
        if !name.is_empty() {
            put(out, 0x82, name);
        }
        put(out, 0x83, &value);
        if with_names {
            put(out, 0x84, &[0xff]);
        }
    });
    Ok(())
}

/// Whether `name` may be an attribute description: a name or an OID, with options.
fn is_attribute(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._;".contains(byte);
    !name.is_empty() && name.iter().all(allowed)
}

/// A value with its `\XX` replaced.
fn unquote(text: &[u8]) -> Result<Vec<u8>, BadFilter> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or(BadFilter)?;
        let digit = |at: usize| {
            let byte = digits.get(at).copied().unwrap_or_default();
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(BadFilter)
        };
        value.push(digit(0)? << 4 | digit(1)?);
        rest = tail;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::ber::Reader;
    use super::*;
    use proptest::prelude::*;

    /// The text of a filter from its BER form.
    fn decode(ber: &[u8]) -> String {
        let mut reader = Reader::new(ber);
        let mut text = String::new();
        while !reader.is_empty() {
            let (kind, contents) = reader.any().unwrap();
            let mut inner = Reader::new(contents);
            let mut pair = |sign: &str| {
                let name = inner
                    .expect(tag::OCTETS)
                    .unwrap()
                    .to_str_lossy()
                    .into_owned();
                let value = inner.any().unwrap().1;
                format!("({name}{sign}{})", value.as_bstr())
            };
            text += &match kind {
                0xa0 => format!("(&{})", decode(contents)),
                0xa1 => format!("(|{})", decode(contents)),
                0xa2 => format!("(!{})", decode(contents)),
                0xa3 => pair("="),
                0xa5 => pair(">="),
                0xa6 => pair("<="),
                0xa8 => pair("~="),
                0x87 => format!("({}=*)", contents.as_bstr()),
                other => format!("[{other:x} {:?}]", contents.as_bstr()),
            };
        }
        text
    }

    #[test]
    fn filters_are_read_as_written() {
        for text in [
            "(cn=Ann)",
            "(&(|(cn=Ann)(cn~=Tom))(!(uid>=u))(maildrop=*)(a<=1))",
            "(&)",
            "(cn=)",
            "(cn;lang-en=x y)",
            "(1.2.3=x=y)",
        ] {
            assert_eq!(decode(&encode(text.as_bytes()).unwrap()), text);
        }
        assert_eq!(decode(&encode(b"cn=Ann").unwrap()), "(cn=Ann)");
        assert_eq!(decode(&encode(br"(cn=\2a\28\5c)").unwrap()), r"(cn=*(\)");
        assert_eq!(
            decode(&encode(b" ( & (a=1) (b=2) ) ").unwrap()),
            "(&(a=1)(b=2))"
        );
    }

    #[test]
    fn substrings_and_matching_rules_are_encoded() {
        let substrings = b"\xa4\x16\x04\x02cn0\x10\x80\x01A\x81\x02bb\x81\x01c\x82\x04dd*d";
        assert_eq!(encode(br"(cn=A*bb*c*dd\2ad)").unwrap(), substrings);
        assert_eq!(
            encode(b"(cn=*n)").unwrap(),
            b"\xa4\x09\x04\x02cn0\x03\x82\x01n"
        );
        assert_eq!(
            encode(b"(cn:dn:2.5.13.2:=x)").unwrap(),
            b"\xa9\x14\x81\x082.5.13.2\x82\x02cn\x83\x01x\x84\x01\xff"
        );
        assert_eq!(encode(b"(cn:=x)").unwrap(), b"\xa9\x07\x82\x02cn\x83\x01x");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in [
            "(cn=Ann",
            "(cn=Ann))",
            "((cn=Ann)",
            "(cn)",
            "()",
            "",
            "(=x)",
            r"(cn=\zz)",
            r"(cn=\2)",
            "(!)",
            "(&(a=1)",
            "(c n=x)",
            "(:=x)",
            "(cn=**)",
            "(a=1)(b=2)",
            "(cn=a(b)",
        ] {
            assert_eq!(encode(bad.as_bytes()), Err(BadFilter), "{bad}");
        }
        let deep = "(!".repeat(100) + "(a=1)" + &")".repeat(100);
        assert_eq!(encode(deep.as_bytes()), Err(BadFilter));
    }

    #[test]
    fn quoting_leaves_no_special_character() {
        let quoted = |quote: fn(&[u8], &mut Vec<u8>), text: &[u8]| {
            let mut out = Vec::new();
            quote(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            quoted(quote_value, b"a*b(c)\\d\0,e"),
            r"a\2Ab\28c\29\5Cd\00,e"
        );
        assert_eq!(
            quoted(quote_name, b"a b\"#+,;<=>\\*\0"),
            r"a\20b\22\23\2B\2C\3B\3C\3D\3E\5C*\00"
        );
    }

    proptest! {
        #[test]
        fn no_key_changes_the_shape_of_a_filter(key in proptest::collection::vec(any::<u8>(), 1..40)) {
            let mut text = b"(&(mail=".to_vec();
            quote_value(&key, &mut text);
            text.extend_from_slice(b")(active=1))");
            let ber = encode(&text).unwrap();
            let mut list = Reader::new(Reader::new(&ber).expect(0xa0).unwrap());
            let mut first = Reader::new(list.expect(0xa3).unwrap());
            prop_assert_eq!(first.expect(tag::OCTETS).unwrap(), b"mail");
            prop_assert_eq!(first.expect(tag::OCTETS).unwrap(), key.as_slice());
            prop_assert!(first.is_empty());
            list.expect(0xa3).unwrap();
            prop_assert!(list.is_empty());
        }

        #[test]
        fn any_text_has_an_answer(text in "[()&|!=*a~<>:\\\\ 2]{0,40}") {
            let _ = encode(text.as_bytes());
        }
    }
}
