//! SMTP commands as the server sees them: words of a command line, addresses and parameters of
//! MAIL and RCPT. What to allow and which error wins is the server's business.

use bstr::{BStr, BString, ByteSlice};

use crate::address_tree::{self, Node};
use crate::dsn;
use crate::token::Token;

/// One word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As typed, quotes and brackets included.
    pub text: BString,
    /// A closing quote or `>` is missing.
    pub bad: bool,
}

/// Splits a command line into words.
///
/// Blanks inside `<…>` (nested, with quoted strings) and inside `"…"` do not split. A word also
/// ends right after `to:` or `from:` (any case), so that `MAIL FROM:<a>` has three words.
pub fn words(line: &BStr) -> Vec<Word> {
    let mut words = Vec::with_capacity(3);
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, tail) = word(rest);
        words.push(word);
        rest = tail.trim_ascii_start();
    }
    words
}

fn word(line: &[u8]) -> (Word, &[u8]) {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut bytes = line.iter().copied().enumerate();
    let mut end = line.len();
    while let Some((index, byte)) = bytes.next() {
        if byte.is_ascii_whitespace() && depth == 0 && !quoted {
            end = index;
            break;
        }
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b'<' if !quoted => depth += 1,
            b'>' if !quoted => depth = depth.saturating_sub(1),
            b':' if depth == 0 && !quoted && line.get(..=index).is_some_and(is_path_label) => {
                end = index + 1;
                break;
            }
            _ => {}
        }
    }
    let (text, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    (
        Word {
            text: text.into(),
            bad: quoted || depth > 0,
        },
        rest,
    )
}

fn is_path_label(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"to:") || text.eq_ignore_ascii_case(b"from:")
}

/// How much an address in MAIL, RCPT or VRFY may deviate from RFC 5321.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathRules {
    /// `<>` is allowed (MAIL).
    pub allow_empty: bool,
    /// `strict_rfc821_envelopes = yes`: angle brackets required, nothing but an address inside.
    pub strict: bool,
}

/// The path of MAIL or RCPT is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad address syntax")]
pub struct PathError;

/// Takes the address out of `<…>` or a bare word; returns the internal form, empty for `<>`.
///
/// # Errors
///
/// [`PathError`] for more than one address, an empty one where that is not allowed, and in strict
/// mode for anything besides the address.
pub fn path_address(path: &BStr, rules: PathRules) -> Result<BString, PathError> {
    let bracketed = path
        .strip_prefix(b"<")
        .and_then(|inner| inner.strip_suffix(b">"));
    if rules.strict && bracketed.is_none() {
        return Err(PathError);
    }
    let inner = without_route(bracketed.unwrap_or(path));
    let nodes = address_tree::parse(BStr::new(inner), 0);
    let mut address = None;
    for node in &nodes {
        match node {
            Node::Address(_) if address.is_some() => return Err(PathError),
            Node::Address(found) => address = Some(found.internal()),
            Node::Token(Token::Comment(_)) if !rules.strict => {}
            _ if rules.strict => return Err(PathError),
            _ => {}
        }
    }
    let address = address.unwrap_or_default();
    if address.is_empty() && !rules.allow_empty {
        return Err(PathError);
    }
    if rules.strict && address.starts_with(b"@") {
        return Err(PathError);
    }
    Ok(address)
}

/// Drops a source route `@a,@b:` (RFC 5321 appendix C).
fn without_route(path: &[u8]) -> &[u8] {
    if !path.starts_with(b"@") {
        return path;
    }
    match path.iter().position(|&b| b == b':') {
        Some(colon) => path.get(colon + 1..).unwrap_or_default(),
        None => path,
    }
}

/// Declared body type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `BODY=7BIT`.
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// One ESMTP parameter of MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailParameter {
    /// RFC 6152.
    Body(Body),
    /// RFC 1870, in bytes.
    Size(i64),
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 4954, as typed.
    Auth(BString),
    /// `XVERP`, with two delimiters when given.
    Xverp(Option<BString>),
    /// RFC 3461, mask.
    Ret(u32),
    /// RFC 3461, decoded.
    Envid(BString),
    /// RFC 8689.
    RequireTls,
}

/// One ESMTP parameter of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RcptParameter {
    /// RFC 3461, mask.
    Notify(u32),
    /// RFC 3461, `type;address`, decoded.
    Orcpt(BString),
}

/// A parameter that cannot be used. `Display` is the SMTP reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// SIZE is not a number.
    #[error("501 5.5.4 Bad message size syntax")]
    SizeSyntax,
    /// SIZE does not fit a file offset.
    #[error("552 5.3.4 Message size exceeds file system imposed limit")]
    SizeOverflow,
    /// RET is neither FULL nor HDRS.
    #[error("501 5.5.4 Bad RET parameter syntax")]
    Ret,
    /// ENVID is not xtext of printable text.
    #[error("501 5.5.4 Bad ENVID parameter syntax")]
    Envid,
    /// NOTIFY holds an unknown word (kept for the log) or a bad combination.
    #[error("501 5.5.4 Error: Bad NOTIFY parameter syntax")]
    Notify(BString),
    /// ORCPT is not `type;xtext`.
    #[error("501 5.5.4 Error: Bad ORCPT parameter syntax")]
    Orcpt,
    /// Nothing known.
    #[error("555 5.5.4 Unsupported option: {0}")]
    Unsupported(BString),
}

/// The value after `NAME=` (any case).
fn value<'a>(parameter: &'a BStr, name: &str) -> Option<&'a BStr> {
    let (head, tail) = parameter.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    tail.strip_prefix(b"=").map(BStr::new)
}

/// Parses one parameter of MAIL.
///
/// # Errors
///
/// [`ParameterError`]; its text is the reply.
pub fn mail_parameter(parameter: &BStr) -> Result<MailParameter, ParameterError> {
    let is = |word: &str| parameter.eq_ignore_ascii_case(word.as_bytes());
    if is("BODY=8BITMIME") {
        return Ok(MailParameter::Body(Body::EightBitMime));
    }
    if is("BODY=7BIT") {
        return Ok(MailParameter::Body(Body::SevenBit));
    }
    if is("SMTPUTF8") {
        return Ok(MailParameter::SmtpUtf8);
    }
    if is("REQUIRETLS") {
        return Ok(MailParameter::RequireTls);
    }
    if is("XVERP") {
        return Ok(MailParameter::Xverp(None));
    }
    if let Some(size) = value(parameter, "SIZE") {
        return size_value(size).map(MailParameter::Size);
    }
    if let Some(auth) = value(parameter, "AUTH") {
        return Ok(MailParameter::Auth(auth.to_owned()));
    }
    if let Some(delimiters) = value(parameter, "XVERP") {
        return Ok(MailParameter::Xverp(Some(delimiters.to_owned())));
    }
    if let Some(ret) = value(parameter, "RET") {
        return dsn::parse_ret(ret)
            .map(MailParameter::Ret)
            .ok_or(ParameterError::Ret);
    }
    if let Some(envid) = value(parameter, "ENVID") {
        return dsn::parse_envid(envid)
            .map(MailParameter::Envid)
            .ok_or(ParameterError::Envid);
    }
    Err(ParameterError::Unsupported(parameter.to_owned()))
}

fn size_value(text: &BStr) -> Result<i64, ParameterError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(ParameterError::SizeSyntax);
    }
    text.to_str_lossy()
        .parse()
        .map_err(|_| ParameterError::SizeOverflow)
}

/// Parses one parameter of RCPT.
///
/// # Errors
///
/// [`ParameterError`]; its text is the reply.
pub fn rcpt_parameter(parameter: &BStr) -> Result<RcptParameter, ParameterError> {
    if let Some(notify) = value(parameter, "NOTIFY") {
        return dsn::parse_notify(notify)
            .map(RcptParameter::Notify)
            .map_err(ParameterError::Notify);
    }
    if let Some(orcpt) = value(parameter, "ORCPT") {
        return dsn::parse_orcpt(orcpt)
            .map(RcptParameter::Orcpt)
            .ok_or(ParameterError::Orcpt);
    }
    Err(ParameterError::Unsupported(parameter.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(BStr::new(line))
            .iter()
            .map(|w| format!("{}{}", w.text, if w.bad { " BAD" } else { "" }))
            .collect()
    }

    #[test]
    fn command_lines_split_into_words() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  \t ", &[]),
            ("MAIL FROM:<a@b> SIZE=1", &["MAIL", "FROM:", "<a@b>", "SIZE=1"]),
            ("mail from: <a@b>", &["mail", "from:", "<a@b>"]),
            ("RCPT TO:<a b@c> x", &["RCPT", "TO:", "<a b@c>", "x"]),
            ("RCPT TO:<\"a> b\"@c> x", &["RCPT", "TO:", "<\"a> b\"@c>", "x"]),
            ("RCPT TO:\"a b\"@c", &["RCPT", "TO:", "\"a b\"@c"]),
            ("RCPT TO:<a\\ b@c>", &["RCPT", "TO:", "<a\\ b@c>"]),
            ("MAIL FROM:<a", &["MAIL", "FROM:", "<a BAD"]),
            ("MAIL FROM:\"a b", &["MAIL", "FROM:", "\"a b BAD"]),
            ("HELO x:y", &["HELO", "x:y"]),
        ];
        for (line, want) in cases {
            assert_eq!(split(line), *want, "{line:?}");
        }
    }

    #[test]
    fn paths_hold_one_address() {
        let lenient = PathRules {
            allow_empty: true,
            strict: false,
        };
        let strict = PathRules {
            allow_empty: true,
            strict: true,
        };
        #[rustfmt::skip]
        let cases: &[(&str, PathRules, Option<&str>)] = &[
            ("<a@b>", strict, Some("a@b")),
            ("a@b", lenient, Some("a@b")),
            ("a@b", strict, None),
            ("<>", strict, Some("")),
            ("<@r1,@r2:a@b>", lenient, Some("a@b")),
            ("<\"a b\"@c>", strict, Some("a b@c")),
            ("<a b@c>", lenient, None),
            ("<a@b (c)>", lenient, Some("a@b")),
            ("<a@b (c)>", strict, None),
            ("<a,b>", lenient, None),
            ("<Phrase <a@b>>", lenient, Some("a@b")),
            ("<Phrase <a@b>>", strict, None),
            ("<@b>", strict, None),
        ];
        for (path, rules, want) in cases {
            let got = path_address(BStr::new(path), *rules).ok();
            assert_eq!(
                got.as_ref().map(|a| a.to_string()).as_deref(),
                *want,
                "{path:?} {rules:?}"
            );
        }
        assert_eq!(
            path_address(BStr::new("<>"), PathRules::default()),
            Err(PathError)
        );
    }

    #[test]
    fn parameters_give_values_or_the_reply() {
        let mail = |text: &str| mail_parameter(BStr::new(text));
        assert_eq!(
            mail("body=8bitmime"),
            Ok(MailParameter::Body(Body::EightBitMime))
        );
        assert_eq!(mail("SIZE=12"), Ok(MailParameter::Size(12)));
        assert_eq!(
            mail("ENVID=a+2Bb"),
            Ok(MailParameter::Envid(BString::from("a+b")))
        );
        assert_eq!(
            mail("XVERP=-="),
            Ok(MailParameter::Xverp(Some(BString::from("-="))))
        );
        #[rustfmt::skip]
        let errors: &[(&str, &str)] = &[
            ("SIZE=x", "501 5.5.4 Bad message size syntax"),
            ("SIZE=99999999999999999999", "552 5.3.4 Message size exceeds file system imposed limit"),
            ("RET=x", "501 5.5.4 Bad RET parameter syntax"),
            ("ENVID=+0A", "501 5.5.4 Bad ENVID parameter syntax"),
            ("FOO=bar", "555 5.5.4 Unsupported option: FOO=bar"),
        ];
        for (text, reply) in errors {
            assert_eq!(mail(text).unwrap_err().to_string(), *reply);
        }
        let rcpt = |text: &str| rcpt_parameter(BStr::new(text)).map_err(|e| e.to_string());
        assert_eq!(rcpt("notify=never"), Ok(RcptParameter::Notify(1)));
        assert_eq!(
            rcpt("NOTIFY=x"),
            Err("501 5.5.4 Error: Bad NOTIFY parameter syntax".to_owned())
        );
        assert_eq!(
            rcpt("ORCPT=x"),
            Err("501 5.5.4 Error: Bad ORCPT parameter syntax".to_owned())
        );
    }

    proptest::proptest! {
        #[test]
        fn any_line_splits_without_losing_bytes(line in "[ -~\t]{0,60}") {
            let joined: Vec<u8> = words(BStr::new(&line)).iter().flat_map(|w| w.text.to_vec()).filter(|b| !b.is_ascii_whitespace()).collect();
            let plain: Vec<u8> = line.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            proptest::prop_assert_eq!(joined, plain);
        }
    }
}
