//! Literal texts that a regular expression cannot match without, and one automaton over those of
//! a whole table. Everything here may only err towards "could match".

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use postern_sys::regex::bracket_end;
use std::collections::HashMap;

/// Which syntax a pattern has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// POSIX extended.
    Posix,
    /// Perl-compatible.
    Perl,
}

/// Texts shorter than this say too little.
const SHORTEST: usize = 2;
/// More alternatives than this cost more than they save.
const MOST: usize = 64;
/// Groups nested deeper are not looked into.
const DEEPEST: usize = 32;

/// A set of texts of which one must occur.
type AnyOf = Vec<Vec<u8>>;

/// Texts (lower case) of which at least one occurs, ignoring ASCII case, in everything that
/// `pattern` matches; `None` when nothing can be said.
pub(crate) fn required_literals(pattern: &[u8], syntax: Syntax) -> Option<AnyOf> {
    let mut parser = Parser {
        pattern,
        at: 0,
        syntax,
    };
    let found = parser.alternatives(0).ok()?;
    // A closing parenthesis that closes nothing: not understood.
    if parser.at < pattern.len() {
        None
    } else {
        found
    }
}

/// The pattern holds something this module does not understand.
struct GiveUp;

struct Parser<'a> {
    pattern: &'a [u8],
    at: usize,
    syntax: Syntax,
}

/// One sequence without alternation: the run being read and the best set so far.
#[derive(Default)]
struct Sequence {
    run: Vec<u8>,
    best: Option<AnyOf>,
}

fn score(set: &AnyOf) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

impl Sequence {
    fn offer(&mut self, set: AnyOf) {
        let good = !set.is_empty() && set.len() <= MOST && score(&set) >= SHORTEST;
        if good
            && self
                .best
                .as_ref()
                .is_none_or(|best| score(&set) > score(best))
        {
            self.best = Some(set);
        }
    }
    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.offer(vec![run]);
    }
}

/// What follows an item.
enum Repeat {
    Once,
    AtLeastOnce,
    Optional,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn alternatives(&mut self, depth: usize) -> Result<Option<AnyOf>, GiveUp> {
        if depth > DEEPEST {
            return Err(GiveUp);
        }
        let mut all = Some(AnyOf::new());
        loop {
            let one = self.sequence(depth)?;
            all = match (all, one) {
                (Some(mut all), Some(one)) => {
                    all.extend(one);
                    Some(all)
                }
                _ => None,
            };
            if self.peek() != Some(b'|') {
                return Ok(all.filter(|all| all.len() <= MOST));
            }
            self.at += 1;
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Option<AnyOf>, GiveUp> {
        let mut sequence = Sequence::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'|' | b')' => break,
                b'(' => {
                    sequence.end_run();
                    let inside = self.group(depth)?;
                    if !matches!(self.repeat()?, Repeat::Optional)
                        && let Some(set) = inside
                    {
                        sequence.offer(set);
                    }
                }
                _ => self.item(&mut sequence)?,
            }
        }
        sequence.end_run();
        Ok(sequence.best)
    }

    /// One item that is no group, with its repetition.
    fn item(&mut self, sequence: &mut Sequence) -> Result<(), GiveUp> {
        let literal = self.literal()?;
        let repeat = self.repeat()?;
        match (literal, repeat) {
            (Some(byte), Repeat::Once) => sequence.run.push(byte.to_ascii_lowercase()),
            (Some(byte), Repeat::AtLeastOnce) => {
                sequence.run.push(byte.to_ascii_lowercase());
                sequence.end_run();
            }
            (None, _) | (_, Repeat::Optional) => sequence.end_run(),
        }
        Ok(())
    }

    /// Reads one item; the byte when it stands for itself.
    fn literal(&mut self) -> Result<Option<u8>, GiveUp> {
        let Some(byte) = self.peek() else {
            return Ok(None);
        };
        self.at += 1;
        match byte {
            b'\\' => self.escape(),
            b'[' => {
                self.at = self.class_end(self.at - 1)? + 1;
                Ok(None)
            }
            b'.' | b'^' | b'$' => Ok(None),
            // A repetition with nothing before it, or a brace that may begin one.
            b'*' | b'+' | b'?' | b'{' => Err(GiveUp),
            _ if byte.is_ascii() => Ok(Some(byte)),
            _ => Ok(None),
        }
    }

    fn escape(&mut self) -> Result<Option<u8>, GiveUp> {
        let Some(byte) = self.peek() else {
            return Err(GiveUp);
        };
        self.at += 1;
        match byte {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'<' | b'>' | b'\'' | b'`' => {
                Ok(None)
            }
            b'n' | b'r' | b't' | b'f' if self.syntax == Syntax::Perl => Ok(None),
            _ if byte.is_ascii_alphanumeric() => Err(GiveUp),
            _ if byte.is_ascii() => Ok(Some(byte)),
            _ => Ok(None),
        }
    }

    /// The position of the `]` that closes the class beginning at `start`.
    fn class_end(&self, start: usize) -> Result<usize, GiveUp> {
        let end = bracket_end(self.pattern, start);
        if end >= self.pattern.len() {
            return Err(GiveUp);
        }
        // In Perl's classes a backslash protects, and nothing else is special: only classes in
        // which both readings agree are understood.
        let inside = self.pattern.get(start + 1..end).unwrap_or_default();
        if self.syntax == Syntax::Perl && inside.iter().any(|&byte| matches!(byte, b'[' | b'\\')) {
            return self.perl_class_end(start);
        }
        Ok(end)
    }

    fn perl_class_end(&self, start: usize) -> Result<usize, GiveUp> {
        let mut at = start + 1;
        if self.pattern.get(at) == Some(&b'^') {
            at += 1;
        }
        if self.pattern.get(at) == Some(&b']') {
            at += 1;
        }
        while let Some(&byte) = self.pattern.get(at) {
            match byte {
                b']' => return Ok(at),
                b'\\'
                    if self
                        .pattern
                        .get(at + 1)
                        .is_some_and(|next| b"QE".contains(next)) =>
                {
                    return Err(GiveUp);
                }
                b'\\' => at += 2,
                b'[' => return Err(GiveUp),
                _ => at += 1,
            }
        }
        Err(GiveUp)
    }

    fn group(&mut self, depth: usize) -> Result<Option<AnyOf>, GiveUp> {
        self.at += 1;
        let mut counts = true;
        if self.syntax == Syntax::Perl && matches!(self.peek(), Some(b'?' | b'*')) {
            let rest = self.pattern.get(self.at..).unwrap_or_default();
            let (length, kept) = [
                (&b"?:"[..], true),
                (b"?>", true),
                (b"?=", false),
                (b"?!", false),
                (b"?<=", false),
                (b"?<!", false),
            ]
            .iter()
            .find(|(head, _)| rest.starts_with(head))
            .map(|(head, kept)| (head.len(), *kept))
            .ok_or(GiveUp)?;
            self.at += length;
            counts = kept;
        }
        let inside = self.alternatives(depth + 1)?;
        if self.peek() != Some(b')') {
            return Err(GiveUp);
        }
        self.at += 1;
        Ok(inside.filter(|_| counts))
    }

    /// Reads every repetition mark behind an item.
    fn repeat(&mut self) -> Result<Repeat, GiveUp> {
        let mut repeat = Repeat::Once;
        loop {
            match (self.peek(), &repeat) {
                (Some(b'+'), Repeat::Once | Repeat::AtLeastOnce) => repeat = Repeat::AtLeastOnce,
                (Some(b'+' | b'*' | b'?'), _) => repeat = Repeat::Optional,
                (Some(b'{'), _) => {
                    let rest = self.pattern.get(self.at..).unwrap_or_default();
                    self.at += rest.iter().position(|&byte| byte == b'}').ok_or(GiveUp)?;
                    repeat = Repeat::Optional;
                }
                _ => return Ok(repeat),
            }
            self.at += 1;
        }
    }
}

/// A set of small numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitSet(Vec<u64>);

impl BitSet {
    /// Adds `index`.
    pub(crate) fn insert(&mut self, index: usize) {
        let (word, bit) = (index / 64, index % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << bit;
        }
    }
    /// The smallest member that is at least `from`.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        let first = from / 64;
        for (offset, &word) in self.0.get(first..)?.iter().enumerate() {
            let word = if offset == 0 {
                word & (u64::MAX << (from % 64))
            } else {
                word
            };
            if word != 0 {
                return Some(
                    (first + offset) * 64 + usize::try_from(word.trailing_zeros()).unwrap_or(0),
                );
            }
        }
        None
    }
}

/// Says which of many patterns could match a text.
pub(crate) struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// The patterns that need each text.
    users: Vec<Vec<usize>>,
    /// Patterns of which nothing is known.
    always: BitSet,
}

impl Prefilter {
    /// Builds the automaton; item *i* of `needs` belongs to pattern *i*.
    pub(crate) fn new(needs: Vec<Option<AnyOf>>) -> Self {
        let mut always = BitSet::default();
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let (mut texts, mut users): (Vec<Vec<u8>>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let everything = needs.len();
        for (pattern, need) in needs.into_iter().enumerate() {
            let Some(set) = need else {
                always.insert(pattern);
                continue;
            };
            for text in set {
                let number = *numbers.entry(text.clone()).or_insert_with(|| {
                    texts.push(text);
                    users.push(Vec::new());
                    users.len() - 1
                });
                if let Some(list) = users.get_mut(number) {
                    list.push(pattern);
                }
            }
        }
        let automaton = (!texts.is_empty())
            .then(|| {
                AhoCorasickBuilder::new()
                    .ascii_case_insensitive(true)
                    .match_kind(MatchKind::Standard)
                    .build(&texts)
                    .ok()
            })
            .flatten();
        if automaton.is_none() {
            (0..everything).for_each(|pattern| always.insert(pattern));
        }
        Self {
            automaton,
            users,
            always,
        }
    }

    /// The patterns that could match `text`.
    pub(crate) fn candidates(&self, text: &[u8]) -> BitSet {
        let mut set = self.always.clone();
        if let Some(automaton) = &self.automaton {
            for found in automaton.find_overlapping_iter(text) {
                for &pattern in self
                    .users
                    .get(found.pattern().as_usize())
                    .into_iter()
                    .flatten()
                {
                    set.insert(pattern);
                }
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Syntax::{Perl, Posix};

    #[test]
    fn required_texts_are_those_no_match_can_lack() {
        #[rustfmt::skip]
        let cases: &[(&str, Syntax, Option<&[&str]>)] = &[
            (r"^Subject: .*viagra",         Posix, Some(&["subject: "])),
            (r"\.example\.COM$",            Posix, Some(&[".example.com"])),
            (r"^(foo|barbaz)@",             Posix, Some(&["foo", "barbaz"])),
            (r"^(foo|b)@example",           Posix, Some(&["@example"])),
            (r"abc*d",                      Posix, Some(&["ab"])),
            (r"abc+d",                      Posix, Some(&["abc"])),
            (r"abc+?d",                     Posix, Some(&["ab"])),
            (r"ab|cd",                      Posix, Some(&["ab", "cd"])),
            (r"ab|.",                       Posix, None),
            (r"[a-z]+",                     Posix, None),
            (r"(abc)?de",                   Posix, Some(&["de"])),
            (r"(abc){2}",                   Posix, None),
            (r"x[[:alpha:]]]yz",            Posix, Some(&["]yz"])),
            (r"a\Qb.c\E",                   Perl,  None),
            (r"(?i)abc",                    Perl,  None),
            (r"(?:abc|def)gh",              Perl,  Some(&["abc", "def"])),
            (r"(?!abc)xy",                  Perl,  Some(&["xy"])),
            (r"[\]a]bcd",                   Perl,  Some(&["bcd"])),
            (r"\d+abc",                     Perl,  Some(&["abc"])),
            (r"ab)cd",                      Posix, None),
            (r"*abc",                       Posix, None),
        ];
        for (pattern, syntax, want) in cases {
            let got = required_literals(pattern.as_bytes(), *syntax);
            let want = want.map(|list| {
                list.iter()
                    .map(|text| text.as_bytes().to_vec())
                    .collect::<Vec<_>>()
            });
            assert_eq!(got, want, "{pattern}");
        }
    }

    #[test]
    fn candidates_are_the_unknown_and_the_hit() {
        let filter = Prefilter::new(vec![
            Some(vec![b"abc".to_vec()]),
            None,
            Some(vec![b"xy".to_vec(), b"bc".to_vec()]),
        ]);
        let set = filter.candidates(b"..ABC..");
        assert_eq!(
            (set.next(0), set.next(1), set.next(2), set.next(3)),
            (Some(0), Some(1), Some(2), None)
        );
        let set = filter.candidates(b"none");
        assert_eq!((set.next(0), set.next(2)), (Some(1), None));
    }

    fn misses_a_match(matches: bool, pattern: &str, syntax: Syntax, subject: &str) -> bool {
        let lower = subject.to_ascii_lowercase();
        let needs = required_literals(pattern.as_bytes(), syntax);
        matches
            && needs.is_some_and(|set| {
                !set.iter().any(|text| {
                    lower
                        .as_bytes()
                        .windows(text.len())
                        .any(|part| part == text)
                })
            })
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(1000))]

        #[test]
        fn whatever_matches_contains_a_required_text(
            pattern in r"([ab]{1,3}|[ab(|)*+?.^${}\[\]\\:1-]){1,9}",
            subject in r"[abAB:1(|)*+?.^${}\-]{0,9}",
        ) {
            use postern_sys::{pcre, regex};
            let options = regex::Options { extended: true, ignore_case: true, ..Default::default() };
            let text = std::ffi::CString::new(pattern.as_str()).unwrap();
            if let Ok(compiled) = regex::Regex::new(&text, options) {
                let matches = compiled.matches(subject.as_bytes(), &mut []) == Ok(true);
                proptest::prop_assert!(!misses_a_match(matches, &pattern, Posix, &subject));
            }
            let options = pcre::Options { caseless: true, dotall: true, ..Default::default() };
            if let Ok(mut compiled) = pcre::Regex::new(pattern.as_bytes(), options) {
                let matches = compiled.matches(subject.as_bytes(), &mut []) == Ok(true);
                proptest::prop_assert!(!misses_a_match(matches, &pattern, Perl, &subject));
            }
        }
    }
}
