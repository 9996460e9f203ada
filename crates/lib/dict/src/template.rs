//! Replacement texts of pattern tables: `$1`, `${1}`, `$(1)` and `$$`.

use bstr::{BStr, BString, ByteSlice};

use crate::shown;

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

    /// Parses `text`. The errors are all that is wrong up to the first bad use of `$`.
    pub(crate) fn parse(text: &BStr) -> Result<Self, Vec<TemplateError>> {
        let (mut parts, mut plain, mut highest) = (Vec::new(), BString::default(), 0);
        let mut errors = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(at) = rest.find_byte(b'$') {
            plain.extend_from_slice(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + 1..).unwrap_or_default();
            if let Some(tail) = rest.strip_prefix(b"$") {
                plain.push(b'$');
                rest = tail;
                continue;
            }
            let (name, tail) = match name(text, rest) {
                // After an error only the plain form is still read.
                Ok(_) if !errors.is_empty() && matches!(rest, [b'{' | b'(', ..]) => break,
                Ok((b"", _)) => {
                    let text = format!("empty macro name: \"{}\"", shown(text));
                    errors.push(TemplateError::Macro(text));
                    break;
                }
                Ok(found) => found,
                Err(error) => {
                    errors.push(error);
                    break;
                }
            };
            rest = tail;
            match number(name) {
                Ok(group) => {
                    highest = highest.max(group);
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Group(group));
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
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

/// The name after a `$`, which may be empty, and what follows it.
fn name<'a>(whole: &BStr, rest: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), TemplateError> {
    let close = match rest.first() {
        Some(b'{') => b'}',
        Some(b'(') => b')',
        _ => {
            let end = rest
                .iter()
                .position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))
                .unwrap_or(rest.len());
            return Ok(rest.split_at(end));
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
            return Ok((name, rest.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(TemplateError::Macro(format!(
        "truncated macro reference: \"{}\"",
        shown(whole)
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
        let macro_error = |text: &str| TemplateError::Macro(text.to_owned());
        let not_numeric = |text: &str| TemplateError::NonNumeric(BString::from(text));
        let zero = || TemplateError::Zero(BString::from("0"));
        #[rustfmt::skip]
        let cases = [
            ("x ${x",      vec![macro_error("truncated macro reference: \"x ${x\"")]),
            ("x $ y $0",   vec![macro_error("empty macro name: \"x $ y $0\"")]),
            ("${}",        vec![macro_error("empty macro name: \"${}\"")]),
            ("$1a",        vec![not_numeric("1a")]),
            ("${1?x}",     vec![not_numeric("1?x")]),
            ("$0",         vec![zero()]),
            ("${a}$b",     vec![not_numeric("a"), not_numeric("b")]),
            ("$a${b}$c",   vec![not_numeric("a")]),
            ("$a${}$c",    vec![not_numeric("a")]),
            ("$a$0$1$a$(", vec![not_numeric("a"), zero(), not_numeric("a"), macro_error("truncated macro reference: \"$a$0$1$a$(\"")]),
        ];
        for (text, want) in cases {
            assert_eq!(Template::parse(BStr::new(text)), Err(want), "{text}");
        }
    }
}
