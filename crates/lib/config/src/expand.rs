//! `$name` expansion: references, conditionals and comparisons. Knows nothing about main.cf; names
//! are looked up through a function.

use std::cell::Cell;

use crate::ConfigError;
use crate::level::Level;
use crate::value::is_space;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Text that may hold references itself.
    Expand(String),
    /// As [`Found::Expand`], but in conditions what counts is whether the expanded text is empty.
    Default(String),
    /// Text that is taken as it is, such as a mail address.
    Verbatim(String),
}

/// Looks up a name; `None` is an unknown name, which expands to nothing.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Found> + 'a;

/// Deepest nesting of texts below the first, beyond which a value refers to itself.
const MAX_DEPTH: usize = 100;
/// Bytes of the offending text that a message shows.
const TAIL: usize = 20;

/// A part of a text with references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text as it is; `$$` gives a `$`.
    Literal(&'t str),
    /// The name of `$name`.
    Name(&'t str),
    /// What is inside `${…}` or `$(…)`.
    Group(&'t str),
}

/// Splits `text` into its parts, without looking into groups. An error, the text of a warning, is the
/// last item.
pub fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, String>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, length) = match next_piece(text, rest) {
            Ok(found) => found,
            Err(error) => {
                rest = "";
                return Some(Err(error));
            }
        };
        rest = &rest[length..];
        Some(Ok(piece))
    })
}

/// The part of `whole` at the start of `rest`, and its length.
fn next_piece<'t>(whole: &str, rest: &'t str) -> Result<(Piece<'t>, usize), String> {
    let Some(reference) = rest.strip_prefix('$') else {
        let end = rest.find('$').unwrap_or(rest.len());
        return Ok((Piece::Literal(&rest[..end]), end));
    };
    let pair = match reference.as_bytes().first() {
        Some(b'$') => return Ok((Piece::Literal(&reference[..1]), 2)),
        Some(b'{') => ('{', '}'),
        Some(b'(') => ('(', ')'),
        _ => {
            let end = name_length(reference);
            if end == 0 {
                return Err(format!("empty macro name: \"{whole}\""));
            }
            return Ok((Piece::Name(&reference[..end]), 1 + end));
        }
    };
    let Some(end) = balanced(reference, pair) else {
        return Err(format!("truncated macro reference: \"{whole}\""));
    };
    let inner = &reference[1..end - 1];
    if inner.is_empty() {
        return Err(format!("empty macro name: \"{whole}\""));
    }
    Ok((Piece::Group(inner), 1 + end))
}

/// Expands the references in `text`, recursively.
pub fn expand(text: &str, lookup: &Lookup<'_>) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    Expander::new(lookup).run(text, 0, &mut out)?;
    Ok(out)
}

/// As [`expand`]; the flag tells whether a name was referred to, outside conditions, that `lookup`
/// does not know.
pub fn expand_strictly(text: &str, lookup: &Lookup<'_>) -> Result<(String, bool), ConfigError> {
    let mut out = String::with_capacity(text.len());
    let expander = Expander::new(lookup);
    expander.run(text, 0, &mut out)?;
    Ok((out, expander.undefined.get()))
}

/// Visits every name that `text` refers to, in both branches of conditionals, without following
/// values.
pub fn references(text: &str, visit: &mut dyn FnMut(&str)) -> Result<(), ConfigError> {
    let cell = std::cell::RefCell::new(visit);
    let visitor = |name: &str| (cell.borrow_mut())(name);
    Expander {
        scan: Some(&visitor),
        ..Expander::new(&|_| None)
    }
    .run(text, 0, &mut String::new())
}

struct Expander<'a> {
    lookup: &'a Lookup<'a>,
    /// Set when names are only collected.
    scan: Option<&'a dyn Fn(&str)>,
    /// A name without value was inserted.
    undefined: Cell<bool>,
}

impl<'a> Expander<'a> {
    fn new(lookup: &'a Lookup<'a>) -> Self {
        Self {
            lookup,
            scan: None,
            undefined: Cell::new(false),
        }
    }

    fn run(&self, text: &str, depth: usize, out: &mut String) -> Result<(), ConfigError> {
        if depth > MAX_DEPTH && !text.is_empty() {
            return Err(too_deep(text));
        }
        for piece in pieces(text) {
            match piece.map_err(warning)? {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Name(name) => self.plain(name, depth, out)?,
                Piece::Group(inner) => self.reference(inner, depth, out)?,
            }
        }
        Ok(())
    }

    /// Handles the text between the outer braces.
    fn reference(&self, inner: &str, depth: usize, out: &mut String) -> Result<(), ConfigError> {
        let start = skip_blanks(inner, 0);
        if inner[start..].starts_with('{') {
            return self.comparison(inner, start, depth, out);
        }
        let end = start + name_length(&inner[start..]);
        let name = &inner[start..end];
        if inner[end..].starts_with('{') {
            return self.function(inner, start, end, depth, out);
        }
        let operator = skip_blanks(inner, end);
        match inner[operator..].chars().next() {
            None => self.plain(name, depth, out),
            Some('?' | ':') => {
                let is_true = self.scan.is_none() && self.is_set_and_non_empty(name, depth)?;
                if let Some(visit) = self.scan {
                    visit(name);
                }
                self.branches(inner, operator, is_true, depth, out)
            }
            Some(_) => Err(unexpected(
                "attribute name syntax error at",
                &inner[..end],
                &inner[end..],
            )),
        }
    }

    fn is_set_and_non_empty(&self, name: &str, depth: usize) -> Result<bool, ConfigError> {
        // A value that is set counts as it stands, before expansion of what it refers to in turn.
        Ok(match (self.lookup)(name) {
            Some(Found::Default(value)) if value.contains('$') => {
                let mut out = String::new();
                self.nested(&value, depth, &mut out)?;
                !out.is_empty()
            }
            Some(Found::Expand(value) | Found::Default(value) | Found::Verbatim(value)) => {
                !value.is_empty()
            }
            None => false,
        })
    }

    /// `$name`, with what its value refers to.
    fn plain(&self, name: &str, depth: usize, out: &mut String) -> Result<(), ConfigError> {
        if let Some(visit) = self.scan {
            visit(name);
            return Ok(());
        }
        match (self.lookup)(name) {
            None => {
                self.undefined.set(true);
                Ok(())
            }
            Some(Found::Verbatim(value)) => {
                out.push_str(&value);
                Ok(())
            }
            Some(Found::Expand(value) | Found::Default(value)) => self.run(&value, depth + 1, out),
        }
    }

    /// `?…` and `:…` from the operator at `at` to the end of `inner`; expands the chosen branch only.
    fn branches(
        &self,
        inner: &str,
        at: usize,
        is_true: bool,
        depth: usize,
        out: &mut String,
    ) -> Result<(), ConfigError> {
        let (if_true, if_false) = parse_branches(inner, at)?;
        if self.scan.is_some() {
            for branch in [if_true, if_false].into_iter().flatten() {
                self.run(branch, depth + 1, out)?;
            }
            return Ok(());
        }
        match if is_true { if_true } else { if_false } {
            Some(branch) => self.nested(branch, depth, out),
            None => Ok(()),
        }
    }

    fn nested(&self, text: &str, depth: usize, out: &mut String) -> Result<(), ConfigError> {
        self.run(text, depth + 1, out)
    }

    /// `{left} OP {right}` with optional branches; `start` is the first brace.
    fn comparison(
        &self,
        inner: &str,
        start: usize,
        depth: usize,
        out: &mut String,
    ) -> Result<(), ConfigError> {
        let (left, after_left) = braced(inner, start)?;
        let at = skip_blanks(inner, after_left);
        let Some((operator, length)) = Operator::parse(&inner[at..]) else {
            return Err(unexpected(
                "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at",
                &inner[start + 1..after_left],
                &inner[at..],
            ));
        };
        let suffix = at + length;
        let suffix_end = suffix + name_length(&inner[suffix..]);
        let by_level = match &inner[suffix..suffix_end] {
            "" => false,
            "level" => true,
            _ => {
                return Err(unexpected(
                    "bad operator suffix at",
                    &inner[at..suffix],
                    &inner[suffix..suffix_end],
                ));
            }
        };
        let right_start = skip_blanks(inner, suffix_end);
        if !inner[right_start..].starts_with('{') {
            return Err(unexpected(
                "\"{expression}\" expected at",
                &inner[start..suffix_end],
                &inner[suffix_end..],
            ));
        }
        let (right, after_right) = braced(inner, right_start)?;
        let next = skip_blanks(inner, after_right);
        let (mut left_value, mut right_value) = (String::new(), String::new());
        self.nested(left, depth, &mut left_value)?;
        self.nested(right, depth, &mut right_value)?;
        let is_true = self.scan.is_none() && operator.holds(&left_value, &right_value, by_level)?;
        match inner[next..].chars().next() {
            None => {
                if is_true {
                    out.push_str("true");
                }
                Ok(())
            }
            Some('?' | ':') => self.branches(inner, next, is_true, depth, out),
            Some(_) => Err(unexpected(
                "\"?\" or \":\" expected at",
                &inner[after_right - 1..after_right],
                &inner[next..],
            )),
        }
    }

    /// `name{text}`: the functions that came with 3.11.
    fn function(
        &self,
        inner: &str,
        start: usize,
        end: usize,
        depth: usize,
        out: &mut String,
    ) -> Result<(), ConfigError> {
        let name = &inner[start..end];
        if !matches!(name, "domain_to_ascii" | "domain_to_utf8") {
            return Err(unexpected(
                "attribute name syntax error at",
                &inner[..end],
                &inner[end..],
            ));
        }
        let (argument, after) = braced(inner, end)?;
        if skip_blanks(inner, after) != inner.len() {
            return Err(unexpected(
                "unexpected input at",
                &inner[end + 1..after],
                &inner[after..],
            ));
        }
        let mut domain = String::new();
        self.nested(argument, depth, &mut domain)?;
        let domain = domain.trim_matches(is_space);
        if self.scan.is_some() {
            return Ok(());
        }
        let converted = if name == "domain_to_ascii" {
            crate::idna::to_ascii(domain)
        } else {
            crate::idna::to_unicode(domain)
        };
        match converted {
            Some(text) => out.push_str(&text),
            None => {
                return Err(warning(format!(
                    "bad domain argument in: '{name}{{{domain}}}'"
                )));
            }
        }
        Ok(())
    }
}

/// The two branches that begin with the `?` or `:` at `at`.
fn parse_branches(inner: &str, at: usize) -> Result<(Option<&str>, Option<&str>), ConfigError> {
    let start = skip_blanks(inner, at + 1);
    let is_question = inner[at..].starts_with('?');
    if !inner[start..].starts_with('{') {
        let text = Some(&inner[start..]);
        return Ok(if is_question {
            (text, None)
        } else {
            (None, text)
        });
    }
    let (first, after_first) = braced(inner, start)?;
    let next = skip_blanks(inner, after_first);
    if next == inner.len() {
        return Ok(if is_question {
            (Some(first), None)
        } else {
            (None, Some(first))
        });
    }
    if !is_question {
        return Err(unexpected(
            "unexpected input at",
            &inner[start + 1..after_first],
            &inner[next..],
        ));
    }
    if !inner[next..].starts_with(':') {
        return Err(unexpected(
            "\":\" expected at",
            &inner[start + 1..after_first],
            &inner[next..],
        ));
    }
    let start = skip_blanks(inner, next + 1);
    if !inner[start..].starts_with('{') {
        return Ok((Some(first), Some(&inner[start..])));
    }
    let (second, after_second) = braced(inner, start)?;
    let end = skip_blanks(inner, after_second);
    if end != inner.len() {
        return Err(unexpected(
            "unexpected input at",
            &inner[start + 1..after_second],
            &inner[end..],
        ));
    }
    Ok((Some(first), Some(second)))
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    GreaterEqual,
    Greater,
}

impl Operator {
    /// The operator at the start of `text` and its length.
    fn parse(text: &str) -> Option<(Self, usize)> {
        Some(match text.as_bytes() {
            [b'=', b'=', ..] => (Self::Equal, 2),
            [b'!', b'=', ..] => (Self::NotEqual, 2),
            [b'<', b'=', ..] => (Self::LessEqual, 2),
            [b'>', b'=', ..] => (Self::GreaterEqual, 2),
            [b'<', ..] => (Self::Less, 1),
            [b'>', ..] => (Self::Greater, 1),
            _ => return None,
        })
    }

    fn holds(self, left: &str, right: &str, by_level: bool) -> Result<bool, ConfigError> {
        let order = if by_level {
            level(left)?.cmp(&level(right)?)
        } else if is_number(left) && is_number(right) {
            number(left)?.cmp(&number(right)?)
        } else {
            left.as_bytes().cmp(right.as_bytes())
        };
        Ok(match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        })
    }
}

fn level(text: &str) -> Result<Level, ConfigError> {
    Level::from_text(text)
        .ok_or_else(|| warning(format!("malformed compatibility level syntax: \"{text}\"")))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> Result<i64, ConfigError> {
    text.parse()
        .map_err(|_| ConfigError::BadConversion(text.to_string()))
}

fn warning(text: String) -> ConfigError {
    ConfigError::Macro { warning: text }
}

/// The complaint about a text that is nested too deeply: one line for what it begins with, and one for
/// the reference that follows.
fn too_deep(text: &str) -> ConfigError {
    let (literal, rest) = text.split_once('$').unwrap_or((text, ""));
    let rest = rest.trim_start_matches(['{', '(', ' ', '\t']);
    let name = &rest[..name_length(rest)];
    let parts = [literal, name].into_iter().filter(|part| !part.is_empty());
    let lines = parts.map(|part| format!("unreasonable macro call nesting: \"{part}\""));
    warning(lines.collect::<Vec<_>>().join("\n"))
}

/// A complaint that shows what was read, `>>>`, and the beginning of what is wrong.
fn unexpected(what: &str, read: &str, wrong: &str) -> ConfigError {
    let tail: String = wrong.chars().take(TAIL).collect();
    warning(format!("{what}: \"...{read}>>>{tail}\""))
}

fn name_length(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

fn skip_blanks(text: &str, at: usize) -> usize {
    at + text[at..]
        .bytes()
        .take_while(|byte| is_space(char::from(*byte)))
        .count()
}

/// Length of the group that opens at the start of `text`, both ends included.
fn balanced(text: &str, (open, close): (char, char)) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

/// The text in the braces that open at `at`, and where what follows them starts.
fn braced(inner: &str, at: usize) -> Result<(&str, usize), ConfigError> {
    let length = balanced(&inner[at..], ('{', '}')).ok_or_else(|| {
        warning(format!(
            "unbalanced {{}} in attribute expression: \"{}\"",
            &inner[at..]
        ))
    })?;
    Ok((&inner[at + 1..at + length - 1], at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> Option<Found> {
        let text = match name {
            "set" => "v",
            "empty" => "",
            "chain" => "<$set>",
            "loop" => "$loop",
            "ping" => "$pong",
            "pong" => "x$ping",
            _ => return None,
        };
        Some(Found::Expand(text.to_string()))
    }

    #[test]
    fn pieces_leave_groups_as_they_are() {
        let found: Vec<_> = pieces("a$$b$name_1.${x?{y}}$(z)")
            .map(|piece| piece.ok())
            .collect();
        let want = [
            Piece::Literal("a"),
            Piece::Literal("$"),
            Piece::Literal("b"),
            Piece::Name("name_1"),
            Piece::Literal("."),
            Piece::Group("x?{y}"),
            Piece::Group("z"),
        ];
        assert_eq!(found, want.map(Some));
        for (text, count) in [("a${x", 2), ("$", 1), ("${}b", 1), ("a$-b", 2)] {
            let found: Vec<_> = pieces(text).collect();
            assert_eq!(found.len(), count, "{text}");
            assert!(found.last().is_some_and(Result::is_err), "{text}");
        }
    }

    #[test]
    fn every_form_expands_as_the_reference_does() {
        let rows = [
            ("$set.x$empty.", "v.x."),
            ("${set}$(set)${ set }", "vvv"),
            ("$$set", "$set"),
            ("$undefined|", "|"),
            ("$chain", "<v>"),
            ("${set? x }|", "x |"),
            ("${set?{ x }}|", " x |"),
            ("${set? {x} }|", "x|"),
            ("${empty: {f} }|", "f|"),
            ("${empty?{x} : f }|", "f |"),
            ("${?x}|", "|"),
            ("${ }|", "|"),
            ("x $(set) ${set?a}b}c}", "x v ab}c}"),
            ("${set?a:b}", "a:b"),
            ("${{1}=={1}}", "true"),
            ("${{1}=={2}}|", "|"),
            ("${{1}=={1}:{F}}|", "|"),
            ("${{1}=={1}?{T}:F }|", "T|"),
            ("${{1}=={1}? T }|", "T |"),
            ("${set?{a}:}|", "a|"),
            ("${set ? {a} : {b} }|", "a|"),
            ("${set?}|", "|"),
            ("${set?$$set}", "$set"),
            ("${{{a}b}=={{a}b}}", "true"),
            ("${{ x }=={x}?{e}:{n}}", "n"),
            ("${{}=={}?{e}}", "e"),
            ("${{09}=={9}?{e}:{n}}", "e"),
            ("${{-1}<{1}?{e}:{n}}", "e"),
            ("${{3.10} >level {3.9} ? {e}}", "e"),
            ("${{3} ==level {3.0.0} ? {e}}", "e"),
            ("${set:$}", ""),
        ];
        for (text, want) in rows {
            assert_eq!(expand(text, &names).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn every_error_has_the_reference_text() {
        let rows = [
            ("a $", "empty macro name: \"a $\""),
            ("a$-", "empty macro name: \"a$-\""),
            ("${}", "empty macro name: \"${}\""),
            ("${set", "truncated macro reference: \"${set\""),
            (
                "${set-b}",
                "attribute name syntax error at: \"...set>>>-b\"",
            ),
            (
                "${ set -b}",
                "attribute name syntax error at: \"... set>>> -b\"",
            ),
            ("${set?{a}x}", "\":\" expected at: \"...a}>>>x\""),
            ("${set?{a}:{f}x}", "unexpected input at: \"...f}>>>x\""),
            (
                "${{1} = {1} ? {T}}",
                "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...1}>>>= {1} ? {T}\"",
            ),
            (
                "${{1} == 1 ? {T}}",
                "\"{expression}\" expected at: \"...{1} ==>>> 1 ? {T}\"",
            ),
            (
                "${{1} == {1} ! {T}}",
                "\"?\" or \":\" expected at: \"...}>>>! {T}\"",
            ),
            (
                "${{1} <foo {1} ? {T}}",
                "bad operator suffix at: \"...<>>>foo\"",
            ),
            (
                "${{x} <level {1} ? {T}}",
                "malformed compatibility level syntax: \"x\"",
            ),
            (
                "${nofunc{x}}",
                "attribute name syntax error at: \"...nofunc>>>{x}\"",
            ),
            ("$loop", "unreasonable macro call nesting: \"loop\""),
            ("$ping", "unreasonable macro call nesting: \"pong\""),
            (
                "${set!abcdefghijklmnopqrstuvwxyz}",
                "attribute name syntax error at: \"...set>>>!abcdefghijklmnopqrs\"",
            ),
        ];
        for (text, want) in rows {
            match expand(text, &names) {
                Err(ConfigError::Macro { warning }) => assert_eq!(warning, want, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let error = expand("${{99999999999999999999}=={1}}", &names).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mac_exp_eval: bad conversion: 99999999999999999999"
        );
    }

    #[test]
    fn references_are_seen_in_both_branches() {
        let mut seen = Vec::new();
        references("$a ${b?{$c}:{$d}} ${{$e}=={x}?{$f}:{}} $$g", &mut |name| {
            seen.push(name.to_string())
        })
        .unwrap();
        assert_eq!(seen, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_hundred_levels_are_not_too_many() {
        let chain = |levels: usize| {
            let lookup = move |name: &str| -> Option<Found> {
                let at: usize = name.strip_prefix('u')?.parse().ok()?;
                let text = if at < levels {
                    format!("a $u{}", at + 1)
                } else {
                    "end".into()
                };
                Some(Found::Expand(text))
            };
            expand("$u1", &lookup).map(|text| text.len())
        };
        assert_eq!(chain(100), Ok(2 * 99 + 3));
        let warning = "unreasonable macro call nesting: \"end\"".to_string();
        assert_eq!(chain(101), Err(ConfigError::Macro { warning }));
        let warning = "unreasonable macro call nesting: \"a \"\n\
                       unreasonable macro call nesting: \"u102\"";
        assert_eq!(
            chain(102),
            Err(ConfigError::Macro {
                warning: warning.to_string()
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[a-c{}()$?:=<> é]{0,40}") {
            let _ = expand(&text, &names);
        }
    }
}
