//! From the entries of a search to a result: which attributes count, and the searches that special
//! attributes ask for. Source: ldap_table(5), `special_result_attribute` and after.

use bstr::{BStr, BString, ByteSlice};
use std::time::Instant;

use super::code;
use super::connection::Connection;
use super::filter;
use super::message::{Attribute, Search};
use super::url::{self, Scope};
use crate::expansion::Values;

/// Bytes of a result. Nothing that Postfix does with a result makes sense with more.
const LONGEST_RESULT: usize = 16 * 1024 * 1024;
/// Bytes that all searches for special attributes of one lookup may bring.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// What an attribute of an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes into the result, alone.
    Terminal,
    /// Goes into the result of entries without special attributes.
    Leaf,
    /// Goes into the result.
    Result,
    /// Names other entries.
    Special,
}

/// The attributes that a table asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    list: Vec<(Kind, BString)>,
}

impl Attributes {
    /// From the lists of names, each split at commas and white space.
    pub(super) fn new(lists: [(Kind, &str); 4]) -> Self {
        let mut list = Vec::new();
        for (kind, names) in lists {
            let names = names.split(|c: char| c == ',' || c.is_ascii_whitespace());
            let names = names.filter(|name| !name.is_empty());
            list.extend(names.map(|name| (kind, BString::from(name))));
        }
        Self { list }
    }

    /// All names, as a search wants them.
    pub(super) fn names(&self) -> Vec<BString> {
        self.list.iter().map(|(_, name)| name.clone()).collect()
    }

    /// What the attribute `name` of an entry is for. A name with options is also what the name without
    /// them is.
    fn kind(&self, name: &BStr) -> Option<Kind> {
        let bare = base_name(name);
        let is_same =
            |own: &BString| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(bare);
        let found = self.list.iter().find(|(_, own)| is_same(own));
        found.map(|(kind, _)| *kind)
    }

    /// The names to ask for when a URL asks for `wanted`.
    fn shared_with(&self, wanted: &[BString]) -> Vec<BString> {
        let mut shared = Vec::new();
        for (_, own) in &self.list {
            for other in wanted {
                let (has, wants) = (own.contains(&b';'), other.contains(&b';'));
                if own.eq_ignore_ascii_case(other)
                    || (wants && !has && own.eq_ignore_ascii_case(base_name(BStr::new(other))))
                {
                    shared.push(other.clone());
                } else if has && !wants && other.eq_ignore_ascii_case(base_name(BStr::new(own))) {
                    shared.push(own.clone());
                }
            }
        }
        shared
    }
}

fn base_name(name: &BStr) -> &[u8] {
    name.split(|byte| *byte == b';').next().unwrap_or_default()
}

/// Why there is no result; logged already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed(pub(super) String);

/// One lookup on its way through the entries.
pub(super) struct Expansion<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) attributes: &'a Attributes,
    /// The search of the table, for what further searches have in common with it.
    pub(super) template: &'a Search,
    /// The table's configuration and the key, for messages.
    pub(super) source: &'a str,
    pub(super) key: &'a BStr,
    /// Deepest nesting of special attributes.
    pub(super) recursion_limit: usize,
    pub(super) end: Instant,
    /// Bytes that came so far.
    pub(super) bytes: usize,
}

impl Expansion<'_> {
    /// Adds what `entries` say to `values`, `depth` searches deep. The searches that are still to be
    /// done are kept in a list of their own: depth is the administrator's choice, and the stack is not.
    pub(super) fn run(
        &mut self,
        entries: Vec<Vec<Attribute>>,
        values: &mut Values<'_>,
    ) -> Result<(), Failed> {
        // What is left to do, the next at the end.
        let mut work = vec![(1, Work::Entries(entries.into_iter()))];
        while let Some((depth, item)) = work.last_mut() {
            let depth = *depth;
            match item {
                Work::Entries(entries) => match entries.next() {
                    Some(entry) => {
                        let steps = self.steps(entry);
                        work.push((depth, Work::Steps(steps.into_iter())));
                    }
                    None => drop(work.pop()),
                },
                Work::Steps(steps) => match steps.next() {
                    Some(Step::Value(value)) => self.add(&value, values, depth)?,
                    Some(Step::Follow(attribute, value)) => {
                        if let Some(entries) = self.follow(&attribute, &value, depth)? {
                            work.push((depth + 1, Work::Entries(entries.into_iter())));
                        }
                    }
                    None => drop(work.pop()),
                },
            }
        }
        Ok(())
    }

    /// What an entry asks to do, in the order of its attributes.
    fn steps(&self, entry: Vec<Attribute>) -> Vec<Step> {
        let has = |kind: Kind| {
            entry.iter().any(|attribute| {
                self.attributes.kind(BStr::new(&attribute.name)) == Some(kind)
                    && !attribute.values.is_empty()
            })
        };
        let (is_terminal, is_leaf) = (has(Kind::Terminal), !has(Kind::Special));
        let mut steps = Vec::new();
        for attribute in entry {
            let Some(kind) = self.attributes.kind(BStr::new(&attribute.name)) else {
                continue;
            };
            if is_terminal && kind != Kind::Terminal || kind == Kind::Leaf && !is_leaf {
                continue;
            }
            let Attribute { name, values } = attribute;
            steps.extend(values.into_iter().map(|value| match kind {
                Kind::Special => Step::Follow(name.clone(), value),
                Kind::Terminal | Kind::Leaf | Kind::Result => Step::Value(value),
            }));
        }
        steps
    }

    fn add(&self, value: &BString, values: &mut Values<'_>, depth: usize) -> Result<(), Failed> {
        let (source, key) = (self.source, self.key);
        let fail = |what: &str| {
            log::warn!("dict_ldap_get_values[{depth}]: {source}: {what} for key: '{key}'");
            Err(Failed(what.to_owned()))
        };
        if value.contains(&0) {
            return fail("Value with a null byte");
        }
        if values.add(BStr::new(value)).is_err() {
            return fail("Expansion limit exceeded");
        }
        if values.len() > LONGEST_RESULT {
            return fail("Result too long");
        }
        Ok(())
    }

    /// Searches for what a special attribute names; `None` when there is nothing to add.
    fn follow(
        &mut self,
        attribute: &BString,
        value: &BString,
        depth: usize,
    ) -> Result<Option<Vec<Vec<Attribute>>>, Failed> {
        if depth >= self.recursion_limit {
            let source = self.source;
            log::warn!(
                "dict_ldap_get_values[{depth}]: {source}: Recursion limit exceeded for special attribute {attribute}={value}"
            );
            return Err(Failed("Recursion limit exceeded".to_owned()));
        }
        let (number, entries) = match self.search_for(value) {
            Some(Ok(query)) => {
                let answer = self.connection.search(&query, self.end);
                self.bytes = self.bytes.saturating_add(answer.bytes);
                if self.bytes > MOST_BYTES {
                    (code::SIZE_LIMIT, Vec::new())
                } else {
                    (answer.code, answer.entries)
                }
            }
            Some(Err(filter::BadFilter)) => {
                self.connection.last_code = code::FILTER_ERROR;
                (code::FILTER_ERROR, Vec::new())
            }
            None => return Ok(None),
        };
        match number {
            code::SUCCESS => Ok(Some(entries)),
            code::NO_SUCH_OBJECT => {
                log::warn!("dict_ldap_get_values[{depth}]: DN {value} not found, skipping ");
                Ok(None)
            }
            number => {
                let text = code::text(number);
                log::warn!("dict_ldap_get_values[{depth}]: search error {number}: {text} ");
                Err(Failed(text.to_owned()))
            }
        }
    }

    /// The search that `value`, a URL or a name, stands for; none when a URL asks only for attributes
    /// that the table does not want.
    fn search_for(&self, value: &BString) -> Option<Result<Search, filter::BadFilter>> {
        let everything = b"(objectClass=*)".as_bstr();
        let Some(query) = url::query(value) else {
            return Some(filter::encode(everything).map(|filter| Search {
                base: value.clone(),
                scope: Scope::Base,
                filter,
                attributes: self.attributes.names(),
                ..self.template.clone()
            }));
        };
        let attributes = if query.attributes.is_empty() {
            self.attributes.names()
        } else {
            self.attributes.shared_with(&query.attributes)
        };
        if attributes.is_empty() {
            return None;
        }
        let text = match query.filter.as_bstr() {
            text if text.is_empty() => everything,
            text => text,
        };
        Some(filter::encode(text).map(|filter| Search {
            base: query.base,
            scope: query.scope.unwrap_or(Scope::Base),
            filter,
            attributes,
            ..self.template.clone()
        }))
    }
}

/// Something to go through.
enum Work {
    Entries(std::vec::IntoIter<Vec<Attribute>>),
    Steps(std::vec::IntoIter<Step>),
}

/// One thing that an entry asks for.
enum Step {
    /// Goes into the result.
    Value(BString),
    /// An attribute and the name or URL in it.
    Follow(BString, BString),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes::new([
            (Kind::Terminal, "term"),
            (Kind::Leaf, "leaf"),
            (Kind::Result, "mail, cn;lang-en"),
            (Kind::Special, "member"),
        ])
    }

    #[test]
    fn attributes_are_known_by_name_and_by_name_without_options() {
        let list = attributes();
        assert_eq!(
            list.names(),
            ["term", "leaf", "mail", "cn;lang-en", "member"]
        );
        #[rustfmt::skip]
        let cases: &[(&str, Option<Kind>)] = &[
            ("MAIL", Some(Kind::Result)), ("mail;binary", Some(Kind::Result)), ("cn", None),
            ("cn;lang-EN", Some(Kind::Result)), ("Member", Some(Kind::Special)), ("maildrop", None),
        ];
        for (name, want) in cases {
            assert_eq!(list.kind(BStr::new(name)), *want, "{name}");
        }
    }

    #[test]
    fn a_url_gets_the_attributes_that_both_sides_name() {
        let shared = |names: &[&str]| {
            let wanted: Vec<BString> = names.iter().map(|name| BString::from(*name)).collect();
            attributes().shared_with(&wanted)
        };
        assert_eq!(shared(&["sn", "Mail"]), ["Mail"]);
        assert_eq!(shared(&["mail;x"]), ["mail;x"]);
        assert_eq!(shared(&["cn"]), ["cn;lang-en"]);
        assert!(shared(&["cn;lang-de"]).is_empty());
    }
}
