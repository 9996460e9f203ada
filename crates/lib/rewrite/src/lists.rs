//! Match lists of domain names.

use bstr::{BStr, BString, ByteSlice};
use postern_config::words::{grouped_words, words};
use postern_config::{Config, params};
use postern_dict::{Flags, LookupError, Table, fold_key, open};

/// How deep files in lists may name other files.
const MAX_FILE_DEPTH: u32 = 10;

/// A list of domains, tables and files of them; the first matching pattern decides.
pub(crate) struct MatchList {
    title: &'static str,
    patterns: Vec<(bool, Pattern)>,
    parents: Parents,
}

/// What a pattern says about subdomains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parents {
    /// The whole name only.
    Ignored,
    /// `example.com` matches subdomains.
    Plain,
    /// `.example.com` matches subdomains.
    Dotted,
}

enum Pattern {
    Literal(BString),
    Table(String, Box<dyn Table>),
    Broken(LookupError),
}

impl MatchList {
    /// A list of whole names.
    pub(crate) fn strings(config: &Config, title: &'static str, value: &str) -> Self {
        Self::new(config, title, value, Parents::Ignored)
    }

    /// A list of domains whose subdomains match as `parent_domain_matches_subdomains` says.
    pub(crate) fn domains(config: &Config, title: &'static str, value: &str) -> Self {
        let names = config.get(params::PARENT_DOMAIN_MATCHES_SUBDOMAINS);
        let parents = if words(&names).any(|name| name == title) {
            Parents::Plain
        } else {
            Parents::Dotted
        };
        Self::new(config, title, value, parents)
    }

    fn new(config: &Config, title: &'static str, value: &str, parents: Parents) -> Self {
        let mut list = Self {
            title,
            patterns: Vec::new(),
            parents,
        };
        list.add(config, value, false, MAX_FILE_DEPTH);
        list
    }

    fn add(&mut self, config: &Config, value: &str, negated: bool, depth: u32) {
        for word in grouped_words(value) {
            let pattern = word.trim_start_matches('!');
            let negated = negated ^ ((word.len() - pattern.len()) % 2 == 1);
            if pattern.starts_with('/') {
                match std::fs::read_to_string(pattern) {
                    Ok(text) if depth > 0 => {
                        let lines: Vec<&str> =
                            text.lines().filter(|line| !line.starts_with('#')).collect();
                        self.add(config, &lines.join("\n"), negated, depth - 1);
                    }
                    _ => {
                        let error = LookupError::retry(pattern, format!("open file {pattern}"));
                        self.patterns.push((negated, Pattern::Broken(error)));
                    }
                }
            } else if pattern.contains(':') && !pattern.starts_with('[') {
                let table = open(config, pattern, Flags::LOCK | Flags::UTF8_REQUEST);
                self.patterns
                    .push((negated, Pattern::Table(pattern.to_owned(), table)));
            } else {
                let folded = fold_key(BStr::new(pattern)).into_owned();
                self.patterns.push((negated, Pattern::Literal(folded)));
            }
        }
    }

    /// The parameter name.
    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    /// Whether the list has `name`.
    pub(crate) fn matches(&mut self, name: &BStr) -> Result<bool, LookupError> {
        let folded = fold_key(name);
        let name: &BStr = folded.as_ref();
        let (title, parents) = (self.title, self.parents);
        for (negated, pattern) in &mut self.patterns {
            let found = match pattern {
                Pattern::Literal(literal) => matches_literal(name, literal.as_ref(), parents),
                Pattern::Broken(error) => Err(error.clone()),
                Pattern::Table(type_name, table) => matches_table(name, table.as_mut(), parents)
                    .inspect_err(|_| log::warn!("{title}: {type_name}: table lookup problem")),
            };
            if found? {
                return Ok(!*negated);
            }
        }
        Ok(false)
    }
}

fn matches_literal(name: &BStr, pattern: &BStr, parents: Parents) -> Result<bool, LookupError> {
    if name == pattern {
        return Ok(true);
    }
    let Some(rest) = name.as_bytes().strip_suffix(pattern.as_bytes()) else {
        return Ok(false);
    };
    Ok(match parents {
        Parents::Ignored => false,
        Parents::Plain => rest.ends_with(b"."),
        Parents::Dotted => pattern.starts_with(b"."),
    })
}

fn matches_table(
    name: &BStr,
    table: &mut dyn Table,
    parents: Parents,
) -> Result<bool, LookupError> {
    if table.lookup(name)?.is_some() {
        return Ok(true);
    }
    if parents == Parents::Ignored || !table.flags().contains(Flags::FIXED) {
        return Ok(false);
    }
    let mut rest = name;
    while let Some(dot) = rest
        .iter()
        .skip(1)
        .position(|&byte| byte == b'.')
        .map(|at| at + 1)
    {
        let start = if parents == Parents::Plain {
            dot + 1
        } else {
            dot
        };
        rest = rest[start..].as_bstr();
        if table.lookup(rest)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
