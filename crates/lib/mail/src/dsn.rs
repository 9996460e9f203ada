//! Delivery status notification syntax: enhanced status codes (RFC 3463), xtext and the ESMTP
//! options of RFC 3461.

use bstr::{BStr, BString, ByteSlice};

/// `notify_flags`: no notification at all.
pub const NOTIFY_NEVER: u32 = 1;
/// `notify_flags`: report success.
pub const NOTIFY_SUCCESS: u32 = 2;
/// `notify_flags`: report failure.
pub const NOTIFY_FAILURE: u32 = 4;
/// `notify_flags`: report delay.
pub const NOTIFY_DELAY: u32 = 8;
/// `ret_flags`: return the whole message.
pub const RET_FULL: u32 = 1;
/// `ret_flags`: return headers only.
pub const RET_HDRS: u32 = 2;

/// Length of the enhanced status code at the start of `text`: class 2, 4 or 5, two numbers of one
/// to three digits; must be followed by white space or the end.
pub fn status_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        text.get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    if !matches!(text.first(), Some(b'2' | b'4' | b'5')) || text.get(1) != Some(&b'.') {
        return None;
    }
    let subject = digits(2);
    let dot = 2 + subject;
    if !(1..=3).contains(&subject) || text.get(dot) != Some(&b'.') {
        return None;
    }
    let detail = digits(dot + 1);
    let end = dot + 1 + detail;
    let ends = text.get(end).is_none_or(u8::is_ascii_whitespace);
    ((1..=3).contains(&detail) && ends).then_some(end)
}

/// Whether `text` is exactly an enhanced status code.
pub fn is_status(text: &[u8]) -> bool {
    status_length(text) == Some(text.len())
}

/// Splits `4.7.1 text` into code and text; `default` when there is no code.
pub fn split<'a>(default: &str, text: &'a BStr) -> (String, &'a BStr) {
    match status_length(text) {
        Some(length) => {
            let (code, rest) = text.split_at(length);
            (
                code.to_str_lossy().into_owned(),
                BStr::new(rest.trim_ascii_start()),
            )
        }
        None => (default.to_owned(), BStr::new(text.trim_ascii_start())),
    }
}

/// `text` with `default` before it, unless it starts with an enhanced status code.
pub fn prepend(default: &str, text: &BStr) -> BString {
    if status_length(text).is_some() {
        return text.to_owned();
    }
    let mut out = BString::from(default);
    out.push(b' ');
    out.extend_from_slice(text);
    out
}

/// The code with its class digit replaced (`4.1.1` and `b'5'` give `5.1.1`).
pub fn with_class(status: &str, class: u8) -> String {
    let mut out = status.to_owned();
    if status.len() > 1 && status.is_char_boundary(1) {
        out.replace_range(..1, &char::from(class).to_string());
    }
    out
}

/// Parses the value of `NOTIFY=`: `NEVER` alone, or a list of `SUCCESS`, `FAILURE`, `DELAY`.
///
/// # Errors
///
/// The word that is not known, or is not allowed beside the others (then empty).
pub fn parse_notify(value: &BStr) -> Result<u32, BString> {
    let mut mask = 0;
    for word in value.split_str(",") {
        mask |= match word.to_ascii_uppercase().as_slice() {
            b"NEVER" => NOTIFY_NEVER,
            b"SUCCESS" => NOTIFY_SUCCESS,
            b"FAILURE" => NOTIFY_FAILURE,
            b"DELAY" => NOTIFY_DELAY,
            _ => return Err(BString::from(word)),
        };
    }
    if is_valid_notify(mask) {
        Ok(mask)
    } else {
        Err(BString::default())
    }
}

/// NEVER excludes the others; unknown bits are invalid.
pub fn is_valid_notify(mask: u32) -> bool {
    mask == NOTIFY_NEVER
        || (mask != 0 && mask & !(NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY) == 0)
}

/// The value of `NOTIFY=` for a mask; `None` for 0.
pub fn format_notify(mask: u32) -> Option<String> {
    let words = [
        (NOTIFY_NEVER, "NEVER"),
        (NOTIFY_SUCCESS, "SUCCESS"),
        (NOTIFY_FAILURE, "FAILURE"),
        (NOTIFY_DELAY, "DELAY"),
    ];
    let set: Vec<&str> = words
        .iter()
        .filter(|(bit, _)| mask & bit != 0)
        .map(|(_, word)| *word)
        .collect();
    (!set.is_empty()).then(|| set.join(","))
}

/// Parses the value of `RET=`.
pub fn parse_ret(value: &BStr) -> Option<u32> {
    match value.to_ascii_uppercase().as_slice() {
        b"FULL" => Some(RET_FULL),
        b"HDRS" => Some(RET_HDRS),
        _ => None,
    }
}

/// Encodes as xtext (RFC 3461 §4): `+`, `=`, blanks, controls and 8-bit bytes become `+XX`.
pub fn xtext_encode(text: &[u8]) -> BString {
    let mut out = BString::default();
    for &byte in text {
        if byte == b'+' || byte == b'=' || !(b'!'..=b'~').contains(&byte) {
            out.extend_from_slice(format!("+{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

/// Decodes xtext; `None` when a `+` is not followed by two hexadecimal digits.
pub fn xtext_decode(text: &[u8]) -> Option<BString> {
    let mut out = BString::default();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'+' {
            let (pair, tail) = tail.split_at_checked(2)?;
            out.push(hex_value(pair).and_then(|value| u8::try_from(value).ok())?);
            rest = tail;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    Some(out)
}

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(digit)
    })
}

/// Decodes the address of a `utf-8` ORCPT (RFC 6533 §3): `\x{HEX}` is one code point, UTF-8 stays.
pub fn uxtext_decode(text: &[u8]) -> Option<BString> {
    let mut out = BString::default();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            if byte <= b' ' || byte == 0x7f {
                return None;
            }
            out.push(byte);
            rest = tail;
            continue;
        }
        let tail = tail.strip_prefix(b"x{")?;
        let close = tail.iter().position(|&b| b == b'}')?;
        let (digits, tail) = tail.split_at(close);
        if digits.is_empty() || digits.len() > 6 {
            return None;
        }
        let code_point = char::from_u32(hex_value(digits)?)?;
        out.extend_from_slice(code_point.encode_utf8(&mut [0; 4]).as_bytes());
        rest = tail.get(1..)?;
    }
    std::str::from_utf8(&out).ok()?;
    Some(out)
}

/// Encodes as `utf-8-addr-xtext`, which is ASCII: every server that knows DSN takes it.
pub fn uxtext_encode(text: &[u8]) -> Option<BString> {
    let text = std::str::from_utf8(text).ok()?;
    let mut out = BString::default();
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.extend_from_slice(format!("\\x{{{:02X}}}", u32::from(c)).as_bytes());
        }
    }
    Some(out)
}

/// Parses the value of `ORCPT=`: `type;xtext`, returned decoded as `type;address`.
pub fn parse_orcpt(value: &BStr) -> Option<BString> {
    let (kind, encoded) = value.split_once_str(";")?;
    if kind.is_empty() || !kind.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let address = if kind.eq_ignore_ascii_case(b"utf-8") {
        uxtext_decode(encoded)?
    } else {
        xtext_decode(encoded)?
    };
    // A null byte, encoded by the client, would end the value on its way between programs.
    let address = address.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut out = BString::from(kind);
    out.push(b';');
    out.extend_from_slice(address);
    Some(out)
}

/// Parses the value of `ENVID=`: xtext of printable ASCII, not empty.
pub fn parse_envid(value: &BStr) -> Option<BString> {
    let mut decoded = xtext_decode(value)?;
    // As in ORCPT.
    if let Some(end) = decoded.iter().position(|byte| *byte == 0) {
        decoded.truncate(end);
    }
    let printable = decoded.iter().all(|b| (b' '..=b'~').contains(b));
    (printable && !decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_status_codes_are_recognised() {
        let cases: &[(&str, Option<usize>)] = &[
            ("4.7.1 x", Some(5)),
            ("5.1.1", Some(5)),
            ("2.123.456\tx", Some(9)),
            ("3.1.1 x", None),
            ("5.1 x", None),
            ("5.1.1x", None),
            ("5.1234.1", None),
            ("5..1", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(status_length(text.as_bytes()), *want, "{text:?}");
        }
        assert_eq!(prepend("5.7.1", BStr::new("no")), "5.7.1 no");
        assert_eq!(prepend("5.7.1", BStr::new("5.1.1 no")), "5.1.1 no");
        assert_eq!(
            split("5.7.1", BStr::new("4.2.0  later")),
            ("4.2.0".to_owned(), BStr::new("later"))
        );
    }

    #[test]
    fn notify_words_combine_except_never() {
        assert_eq!(parse_notify(BStr::new("success,FAILURE")), Ok(6));
        assert_eq!(parse_notify(BStr::new("never")), Ok(1));
        assert_eq!(
            parse_notify(BStr::new("never,delay")),
            Err(BString::default())
        );
        assert_eq!(parse_notify(BStr::new("x,delay")), Err(BString::from("x")));
        assert_eq!(format_notify(10).as_deref(), Some("SUCCESS,DELAY"));
    }

    #[test]
    fn xtext_round_trips() {
        assert_eq!(xtext_encode(b"env+1 =\xe9"), "env+2B1+20+3D+E9");
        assert_eq!(xtext_decode(b"env+2B1").unwrap(), "env+1");
        for bad in ["a+", "a+1", "a+zz"] {
            assert_eq!(xtext_decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn orcpt_is_stored_decoded() {
        assert_eq!(
            parse_orcpt(BStr::new("rfc822;a+2Bb@c")).unwrap(),
            "rfc822;a+b@c"
        );
        assert_eq!(
            parse_orcpt(BStr::new("utf-8;b\\x{F8}b@c")).unwrap(),
            "utf-8;b\u{f8}b@c"
        );
        for bad in [
            "rfc822",
            ";x",
            "rfc822;a+",
            "utf-8;\\x{110000}",
            "utf-8;\\n",
        ] {
            assert_eq!(parse_orcpt(BStr::new(bad)), None, "{bad}");
        }
    }

    #[test]
    fn what_postfix_lets_pass_in_orcpt_passes() {
        for cut in ["rfc822;a+00b", "utf-8;a\\x{0}b"] {
            let parsed = parse_orcpt(BStr::new(cut)).unwrap();
            assert!(parsed.ends_with(b";a"), "{parsed}");
        }
        for good in ["rfc822;", "utf-8;a+b", "x400;/c=us/"] {
            assert_eq!(parse_orcpt(BStr::new(good)).unwrap(), good);
        }
    }

    #[test]
    fn utf8_orcpt_leaves_in_ascii() {
        let encoded = uxtext_encode("j\\+=\u{20ac}".as_bytes()).unwrap();
        assert_eq!(encoded, "j\\x{5C}\\x{2B}\\x{3D}\\x{20AC}");
    }
}
