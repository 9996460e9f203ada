//! The `regexp` and `pcre` tables: rules, `if` blocks, and the search with a literal prefilter.
//!
//! Source: regexp_table(5), pcre_table(5); warnings as observed with Postfix 3.7.11.

use bstr::{BStr, BString, ByteSlice};
use postern_sys::{pcre, regex};
use std::ffi::CString;

use crate::cidr::keyword;
use crate::lines::{LogicalLines, is_space, trim, trim_start};
use crate::prefilter::{Prefilter, Syntax, required_literals};
use crate::simple::read_only;
use crate::source::{files_as_base64, pattern_text};
use crate::template::{Template, TemplateError};
use crate::{Flags, Lookup, OpenError, OpenMode, Owner, Table, io_text, shown};

/// A compiled expression of either kind.
enum Compiled {
    Posix(regex::Regex),
    Perl(pcre::Regex),
}

impl Compiled {
    fn groups(&self) -> usize {
        match self {
            Self::Posix(regex) => regex.groups(),
            Self::Perl(regex) => regex.groups(),
        }
    }
}

/// An expression with its `!` and the text it cannot match without.
struct Pattern {
    compiled: Compiled,
    negated: bool,
    needs: Option<Vec<Vec<u8>>>,
}

enum Step {
    /// `second` is the historic `/p1/!/p2/`: its `!` is that of any pattern, and both have to apply.
    Rule {
        first: Pattern,
        second: Option<Pattern>,
        template: Template,
        line: usize,
    },
    /// `end` is the step behind the block.
    If {
        pattern: Pattern,
        end: usize,
        line: usize,
    },
}

struct Rules {
    name: String,
    /// `regexp map F`, for warnings.
    place: String,
    flags: Flags,
    owner: Owner,
    steps: Vec<Step>,
    filter: Prefilter,
}

/// Opens `regexp:name` or `pcre:name`.
pub(crate) fn open(
    syntax: Syntax,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let kind = if syntax == Syntax::Posix {
        "regexp"
    } else {
        "pcre"
    };
    read_only(kind, name, mode)?;
    let text = pattern_text(kind, name)?;
    let rules = Rules::load(syntax, name, &text.content, flags, text.owner)?;
    Ok(Box::new(rules))
}

impl Rules {
    fn load(
        syntax: Syntax,
        name: &str,
        content: &[u8],
        flags: Flags,
        owner: Owner,
    ) -> Result<Self, OpenError> {
        let kind = if syntax == Syntax::Posix {
            "regexp"
        } else {
            "pcre"
        };
        let place = format!("{kind} map {name}");
        let mut loader = Loader {
            syntax,
            place: place.clone(),
            flags,
            line: 0,
        };
        let steps = loader.load(name, content)?;
        // A negated pattern applies just where its text is missing, so it is always looked at; so is
        // an `if`, whose block has to be jumped over.
        let needs = steps.iter().map(|step| match step {
            Step::Rule { first, .. } if !first.negated => first.needs.clone(),
            Step::Rule { .. } | Step::If { .. } => None,
        });
        let filter = Prefilter::new(needs.collect());
        Ok(Self {
            name: format!("{kind}:{name}"),
            place,
            flags: flags | Flags::PATTERN,
            owner,
            steps,
            filter,
        })
    }
}

struct Loader {
    syntax: Syntax,
    place: String,
    flags: Flags,
    line: usize,
}

/// A pattern as written.
struct Written<'a> {
    negated: bool,
    text: &'a [u8],
    options: Letters,
}

/// What the letters behind a pattern ask for.
enum Letters {
    Posix(regex::Options),
    Perl(pcre::Options),
}

impl Loader {
    fn warn(&self, text: &str) {
        log::warn!("{}, line {}: {text}", self.place, self.line);
    }

    fn load(&mut self, source: &str, content: &[u8]) -> Result<Vec<Step>, OpenError> {
        let mut lines = LogicalLines::new(content, source);
        let (mut steps, mut open) = (Vec::new(), Vec::new());
        while let Some(line) = lines
            .next_line()
            .map_err(|e| OpenError(format!("read {source}: {}", io_text(&e))))?
        {
            self.line = line.first;
            let text = trim(&line.text);
            if text.is_empty() {
                // All that it had was behind a null byte.
            } else if text.first().is_some_and(u8::is_ascii_alphanumeric) {
                self.statement(text, &mut steps, &mut open);
            } else if let Some(rule) = self.rule(text) {
                steps.push(rule);
            }
        }
        let count = steps.len();
        for at in open.into_iter().rev() {
            if let Some(Step::If { end, line, .. }) = steps.get_mut(at) {
                *end = count;
                self.line = *line;
                self.warn("IF has no matching ENDIF");
            }
        }
        Ok(steps)
    }

    fn statement(&self, line: &[u8], steps: &mut Vec<Step>, open: &mut Vec<usize>) {
        if let Some(rest) = keyword(line, "if") {
            let Some((written, rest)) = self.written(trim_start(rest)) else {
                return;
            };
            let extra = trim(rest);
            if !extra.is_empty() {
                self.warn(&format!(
                    "ignoring extra text after IF statement: \"{}\"",
                    shown(extra)
                ));
                self.warn("do not prepend whitespace to statements between IF and ENDIF");
            }
            let Some(pattern) = self.compile(&written, false) else {
                return;
            };
            open.push(steps.len());
            steps.push(Step::If {
                pattern,
                end: usize::MAX,
                line: self.line,
            });
        } else if let Some(rest) = keyword(line, "endif") {
            let end = steps.len();
            match open.pop().and_then(|at| steps.get_mut(at)) {
                Some(Step::If { end: behind, .. }) => {
                    if !trim(rest).is_empty() {
                        self.warn("ignoring extra text after ENDIF");
                    }
                    *behind = end;
                }
                _ => self.warn("ignoring ENDIF without matching IF"),
            }
        } else {
            self.warn("ignoring unrecognized request");
        }
    }

    fn rule(&self, line: &[u8]) -> Option<Step> {
        let (first, rest) = self.written(line)?;
        let (second, rest) = match rest.first() {
            Some(b'!') if self.syntax == Syntax::Posix => {
                let (second, rest) = self.written(rest)?;
                (Some(second), rest)
            }
            _ => (None, rest),
        };
        let text = BStr::new(trim(rest));
        if text.is_empty() {
            self.warn("no replacement text: using empty string");
        }
        let template = self.template(text, first.negated)?;
        let compiled = self.compile(&first, template.highest() > 0)?;
        if template.highest() > compiled.compiled.groups() {
            let highest = template.highest();
            self.warn(&format!(
                "out of range replacement index \"{highest}\": skipping this rule"
            ));
            return None;
        }
        let second = match second {
            Some(written) => Some(self.compile(&written, false)?),
            None => None,
        };
        Some(Step::Rule {
            first: compiled,
            second,
            template,
            line: self.line,
        })
    }

    fn template(&self, text: &BStr, negated: bool) -> Option<Template> {
        if self.flags.contains(Flags::SRC_RHS_IS_FILE) {
            return match files_as_base64(text) {
                Ok(content) => Some(Template::literal(content)),
                Err(error) => {
                    self.warn(&format!("{error}: skipping this rule"));
                    None
                }
            };
        }
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(errors) => {
                let word = if self.syntax == Syntax::Posix {
                    "out-of-range"
                } else {
                    "out of range"
                };
                for error in errors {
                    match error {
                        TemplateError::Macro(text) => log::warn!("{text}"),
                        TemplateError::NonNumeric(name) => self.warn(&format!(
                            "non-numeric replacement index \"{}\"",
                            shown(&name)
                        )),
                        TemplateError::Zero(name) => {
                            self.warn(&format!("{word} replacement index \"{}\"", shown(&name)))
                        }
                    }
                }
                self.warn("bad replacement syntax: skipping this rule");
                return None;
            }
        };
        if template.highest() > 0 && negated {
            self.warn("$number found in negative match replacement text: skipping this rule");
            return None;
        }
        if template.highest() > 0 && self.flags.contains(Flags::NO_REGSUB) {
            self.warn("regular expression substitution is not allowed: skipping this rule");
            return None;
        }
        Some(template)
    }

    /// Reads `[!]/pattern/options`; what follows is left.
    fn written<'a>(&self, line: &'a [u8]) -> Option<(Written<'a>, &'a [u8])> {
        let (mut negated, mut rest) = (false, line);
        while let Some((&byte, tail)) = rest.split_first() {
            match byte {
                b'!' => negated = !negated,
                _ if is_space(byte) => {}
                _ => break,
            }
            rest = tail;
        }
        let Some((&delimiter, body)) = rest.split_first() else {
            self.warn("no regexp: skipping this rule");
            return None;
        };
        let mut end = 0;
        loop {
            match body.get(end) {
                // At the end of its line, a backslash closes a regexp pattern, whatever opened it.
                Some(b'\\') if self.syntax == Syntax::Posix && end + 1 == body.len() => break,
                Some(b'\\') => end += 2,
                Some(&byte) if byte == delimiter => break,
                Some(_) => end += 1,
                None => {
                    let verb = if self.syntax == Syntax::Posix {
                        "skipping"
                    } else {
                        "ignoring"
                    };
                    let delimiter = shown(&[delimiter]);
                    self.warn(&format!(
                        "no closing regexp delimiter \"{delimiter}\": {verb} this rule"
                    ));
                    return None;
                }
            }
        }
        let (text, rest) = (body.get(..end)?, body.get(end + 1..)?);
        let stop = |&byte: &u8| is_space(byte) || (byte == b'!' && self.syntax == Syntax::Posix);
        let (letters, rest) = rest.split_at(rest.iter().position(stop).unwrap_or(rest.len()));
        let options = match self.syntax {
            Syntax::Posix => Letters::Posix(self.posix_options(letters)?),
            Syntax::Perl => Letters::Perl(self.perl_options(letters)?),
        };
        Some((
            Written {
                negated,
                text,
                options,
            },
            rest,
        ))
    }

    fn posix_options(&self, letters: &[u8]) -> Option<regex::Options> {
        let mut options = regex::Options {
            extended: true,
            ignore_case: true,
            newline: false,
            no_groups: false,
        };
        for &letter in letters {
            match letter {
                b'i' => options.ignore_case = !options.ignore_case,
                b'm' => options.newline = !options.newline,
                b'x' => options.extended = !options.extended,
                _ => return self.unknown_option(letter),
            }
        }
        Some(options)
    }

    fn perl_options(&self, letters: &[u8]) -> Option<pcre::Options> {
        let mut options = pcre::Options {
            caseless: true,
            dotall: true,
            ..pcre::Options::default()
        };
        for &letter in letters {
            match letter {
                b'i' => options.caseless = !options.caseless,
                b'm' => options.multiline = !options.multiline,
                b's' => options.dotall = !options.dotall,
                b'x' => options.extended = !options.extended,
                b'A' => options.anchored = !options.anchored,
                b'E' => options.dollar_endonly = !options.dollar_endonly,
                b'U' => options.ungreedy = !options.ungreedy,
                b'X' => self.warn("ignoring obsolete regexp option \"X\""),
                _ => return self.unknown_option(letter),
            }
        }
        Some(options)
    }

    fn compile(&self, written: &Written<'_>, groups: bool) -> Option<Pattern> {
        // Whether the syntax is the usual one, which the prefilter understands.
        let (compiled, plain) = match written.options {
            Letters::Posix(options) => {
                let text = CString::new(written.text).ok()?;
                let options = regex::Options {
                    no_groups: !groups,
                    ..options
                };
                let regex = regex::Regex::new(&text, options).map(Compiled::Posix);
                (regex, options.extended)
            }
            Letters::Perl(options) => (
                pcre::Regex::new(written.text, options)
                    .map(Compiled::Perl)
                    .map_err(|error| error.to_string()),
                !options.extended,
            ),
        };
        let compiled = compiled.map_err(|error| self.warn(&error)).ok()?;
        let needs = if plain {
            required_literals(written.text, self.syntax)
        } else {
            None
        };
        Some(Pattern {
            compiled,
            negated: written.negated,
            needs,
        })
    }

    fn unknown_option<T>(&self, letter: u8) -> Option<T> {
        self.warn(&format!(
            "unknown regexp option \"{}\": skipping this rule",
            shown(&[letter])
        ));
        None
    }
}

/// Whether `pattern` applies to `key`; an error of the library counts as "no" for either sense.
fn applies(
    pattern: &mut Pattern,
    key: &[u8],
    groups: &mut [Option<(usize, usize)>],
    place: &str,
    line: usize,
) -> bool {
    let found = match &mut pattern.compiled {
        Compiled::Posix(regex) => regex.matches(key, groups),
        Compiled::Perl(regex) => regex.matches(key, groups),
    };
    match found {
        Ok(found) => found != pattern.negated,
        Err(error) => {
            log::warn!("{place}, line {line}: {error}");
            false
        }
    }
}

impl Rules {
    fn search(&mut self, key: &[u8]) -> Option<BString> {
        let candidates = self.filter.candidates(key);
        let mut at = 0;
        while let Some(step) = candidates.next(at) {
            at = step + 1;
            match self.steps.get_mut(step)? {
                Step::If { pattern, end, line } => {
                    if !applies(pattern, key, &mut [], &self.place, *line) {
                        at = *end;
                    }
                }
                Step::Rule {
                    first,
                    second,
                    template,
                    line,
                } => {
                    let slots = if template.highest() == 0 {
                        0
                    } else {
                        template.highest() + 1
                    };
                    let mut groups = vec![None; slots];
                    if !applies(first, key, &mut groups, &self.place, *line) {
                        continue;
                    }
                    if second
                        .as_mut()
                        .is_some_and(|second| !applies(second, key, &mut [], &self.place, *line))
                    {
                        continue;
                    }
                    return Some(template.fill(key, &groups));
                }
            }
        }
        None
    }
}

impl Table for Rules {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        Ok(self.search(key.as_bytes()))
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(syntax: Syntax, text: &str) -> Box<dyn Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        std::fs::write(&path, text).unwrap();
        open(syntax, path.to_str().unwrap(), OpenMode::Read, Flags::NONE).unwrap()
    }

    fn check(syntax: Syntax, text: &str, cases: &[(&str, Option<&str>)]) {
        let mut table = table(syntax, text);
        for (key, want) in cases {
            let got = table.lookup(BStr::new(key)).unwrap();
            assert_eq!(
                got.as_ref().map(|v| v.as_bstr()),
                want.map(BStr::new),
                "{syntax:?} {key:?}"
            );
        }
    }

    const COMMON: &str = "/^(ab)+c(x)?$/ one $1-$2\n!/example/ none\n/FOO/i case\nif /bar/\n/barbaz/ inner\n!/qux/ noqux\nendif\n\
                          if !/zzz/\n/second@example/ two $$1\nendif\n/example\\.com$/ tail\n/broken(/ x\n/last/ l";

    #[test]
    fn what_is_said_twice_or_left_open_counts_as_written() {
        #[rustfmt::skip]
        let cases: &[(Syntax, &str, &str, Option<&str>)] = &[
            // syntax, text, key, answer
            (Syntax::Posix, "/(a)/!/b/ $1",   "ac",  Some("a")),
            (Syntax::Posix, "/(a)/!/b/ $1",   "abc", None),
            (Syntax::Posix, "/(a)/!!/b/ $1",  "abc", Some("a")),
            (Syntax::Posix, "/(a)/!!/b/ $1",  "ac",  None),
            (Syntax::Posix, "/(a)/! /b/ $1",  "ac",  Some("a")),
            (Syntax::Posix, "/a/z/ x",        "a",   None),
            (Syntax::Posix, "/a b\\",         "a b", Some("")),
            (Syntax::Posix, "/a b\\ \t",      "a b", Some("")),
            (Syntax::Perl,  "/a b\\",         "a b", None),
            (Syntax::Posix, "\0\n/a/ x",      "a",   Some("x")),
        ];
        for (syntax, text, key, want) in cases {
            let got = table(*syntax, text).lookup(BStr::new(key)).unwrap();
            assert_eq!(got, want.map(BString::from), "{syntax:?} {text} {key}");
        }
    }

    #[test]
    fn the_first_rule_that_applies_answers() {
        let cases = [
            ("ABABC", Some("one AB-")),
            ("ababcx", Some("one ab-x")),
            ("nothing", Some("none")),
            ("FOO example", Some("case")),
            ("foo example.com", Some("tail")),
            ("example barbaz", Some("inner")),
            ("example bar", Some("noqux")),
            ("example bar qux", None),
            ("second@example", Some("two $1")),
            ("second@example zzz", None),
        ];
        check(Syntax::Posix, COMMON, &cases);
        check(Syntax::Perl, COMMON, &cases);
    }

    #[test]
    fn an_if_without_endif_that_does_not_apply_ends_the_search() {
        check(
            Syntax::Posix,
            "if /a/\n/b/ x\n/c/ y",
            &[("ab", Some("x")), ("b", None), ("ac", Some("y"))],
        );
    }

    #[test]
    fn posix_rules_may_exclude_with_a_second_pattern() {
        check(
            Syntax::Posix,
            "/q/!/r/ xx",
            &[("q", Some("xx")), ("qr", None), ("x", None)],
        );
    }

    #[test]
    fn perl_options_change_the_match() {
        let text = "/^a.b$/ dot\n/^c.d$/s nodot\n/e  f/x ext\n/^g$/E end\n/h/A anch";
        check(
            Syntax::Perl,
            text,
            &[
                ("a\nb", Some("dot")),
                ("c\nd", None),
                ("ef", Some("ext")),
                ("g\n", None),
                ("xh", None),
                ("h", Some("anch")),
            ],
        );
    }

    /// Lines of a table: rules and blocks from parts that often match.
    fn table_text() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let pattern = prop_oneof![
            "[ab]{2,4}",
            "[ab]{2}[.*+?]?[ab]{2}",
            "\\^[ab]{2}",
            "[abc]{2}\\$",
            "\\([ab]{2}\\|[bc]{2}\\)[a-c]?",
            "\\[ab\\][bc]{2}",
            "[A-C]{2,3}",
        ];
        let head = (
            prop_oneof![Just(""), Just(""), Just("!")],
            pattern,
            prop_oneof![Just(""), Just("i")],
        )
            .prop_map(|(mark, pattern, option)| format!("{mark}/{pattern}/{option}"));
        let line = (head, 0..10_u8, 0..1000_u32).prop_map(|(head, kind, value)| match kind {
            0 => format!("if {head}"),
            1 | 2 => "endif".to_owned(),
            _ => format!("{head} value{value}"),
        });
        proptest::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(400))]

        #[test]
        fn the_filter_never_changes_an_answer(
            text in table_text(),
            keys in proptest::collection::vec("[a-cA-C]{0,7}", 1..20),
        ) {
            for syntax in [Syntax::Posix, Syntax::Perl] {
                let load = || {
                    Rules::load(syntax, "x", text.as_bytes(), Flags::NONE, Owner::Trusted).unwrap()
                };
                let (mut filtered, mut linear) = (load(), load());
                linear.filter = Prefilter::new(vec![None; linear.steps.len()]);
                for key in &keys {
                    let key = key.as_bytes();
                    proptest::prop_assert_eq!(filtered.search(key), linear.search(key));
                }
            }
        }
    }
}
