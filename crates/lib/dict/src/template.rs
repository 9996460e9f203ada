//! Replacement texts of pattern tables: `$1`, `${1}`, `$(1)` and `$$`.

use bstr::{BStr, BString, ByteSlice};

/// Part of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(BString),
    Group(usize),
}

/// What is wrong with a replacement; each has its own way to be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// Reported without the place.
    Macro(String),
    /// Not a number; reported with the place.
    NonNumeric(BString),
    /// Zero.
    Zero(BString),
}

/// A parsed replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    highest: usize,
}

impl Template {
    /// A text that is used as it stands.
    pub(crate) fn literal(text: BString) -> Self {
        Self {
            parts: vec![Part::Text(text)],
            highest: 0,
        }
    }

    /// Parses `text`.
    pub(crate) fn parse(text: &BStr) -> Result<Self, TemplateError> {
        let (mut parts, mut plain, mut highest) = (Vec::new(), BString::default(), 0);
        let mut rest = text.as_bytes();
        while let Some(at) = rest.find_byte(b'$') {
            plain.extend_from_slice(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + 1..).unwrap_or_default();
            if let Some(tail) = rest.strip_prefix(b"$") {
                plain.push(b'$');
                rest = tail;
                continue;
            }
            let (name, tail) = name(text, rest)?;
            rest = tail;
            let group = number(name)?;
            highest = highest.max(group);
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Group(group));
        }
        plain.extend_from_slice(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts, highest })
    }

    /// The highest group number in use; 0 for none.
    pub(crate) fn highest(&self) -> usize {
        self.highest
    }

    /// The text with groups of `subject` filled in; unset groups are empty.
    pub(crate) fn fill(&self, subject: &[u8], groups: &[Option<(usize, usize)>]) -> BString {
        let mut result = BString::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => result.extend_from_slice(text),
                Part::Group(number) => {
                    let range = groups.get(*number).copied().flatten();
                    result.extend_from_slice(
                        range
                            .and_then(|(from, to)| subject.get(from..to))
                            .unwrap_or_default(),
                    );
                }
            }
        }
        result
    }
}

/// The name after a `$`, and what follows it.
fn name<'a>(whole: &BStr, rest: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), TemplateError> {
    let empty = || TemplateError::Macro(format!("empty macro name: \"{whole}\""));
    let close = match rest.first() {
        Some(b'{') => b'}',
        Some(b'(') => b')',
        _ => {
            let end = rest
                .iter()
                .position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))
                .unwrap_or(rest.len());
            return if end == 0 {
                Err(empty())
            } else {
                Ok(rest.split_at(end))
            };
        }
    };
    let open = rest.first().copied().unwrap_or_default();
    let mut depth = 0usize;
    for (at, &byte) in rest.iter().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
        }
        if depth == 0 {
            let name = rest.get(1..at).unwrap_or_default();
            return if name.is_empty() {
                Err(empty())
            } else {
                Ok((name, rest.get(at + 1..).unwrap_or_default()))
            };
        }
    }
    Err(TemplateError::Macro(format!(
        "truncated macro reference: \"{whole}\""
    )))
}

fn number(name: &[u8]) -> Result<usize, TemplateError> {
    if !name.iter().all(u8::is_ascii_digit) {
        return Err(TemplateError::NonNumeric(BString::from(name)));
    }
    match name.to_str_lossy().parse() {
        Ok(0) => Err(TemplateError::Zero(BString::from(name))),
        Ok(number) => Ok(number),
        // More digits than any pattern has groups: out of range later.
        Err(_) => Ok(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_take_groups_and_dollars() {
        let subject = b"abcdef";
        let groups = [Some((0, 6)), Some((1, 3)), None];
        for (text, want) in [
            ("x $1 y", "x bc y"),
            ("${1}$(1)", "bcbc"),
            ("$$1 $2.", "$1 ."),
            ("", ""),
        ] {
            let template = Template::parse(BStr::new(text)).unwrap();
            assert_eq!(template.fill(subject, &groups), want, "{text}");
        }
    }

    #[test]
    fn bad_replacements_are_told_apart() {
        let parse = |text: &str| Template::parse(BStr::new(text)).unwrap_err();
        assert_eq!(
            parse("x ${x"),
            TemplateError::Macro("truncated macro reference: \"x ${x\"".to_owned())
        );
        assert_eq!(
            parse("x $ y"),
            TemplateError::Macro("empty macro name: \"x $ y\"".to_owned())
        );
        assert_eq!(
            parse("${}"),
            TemplateError::Macro("empty macro name: \"${}\"".to_owned())
        );
        assert_eq!(parse("$1a"), TemplateError::NonNumeric(BString::from("1a")));
        assert_eq!(
            parse("${1?x}"),
            TemplateError::NonNumeric(BString::from("1?x"))
        );
        assert_eq!(parse("$0"), TemplateError::Zero(BString::from("0")));
    }
}
