//! What all database clients share: `%s` templates of queries and results, the `domain` filter, and the
//! joining of values up to `expansion_limit`.
//!
//! Knows no database: each client brings its own quoting of what is inserted into a query.
//! Source: tables.md §7.2 of the specification.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;

use crate::{LookupError, MatchKind, MatchList, OpenError};

/// Appends a text that comes from the key in the quoting of the query language.
pub(crate) type Quote<'a> = &'a dyn Fn(&[u8], &mut Vec<u8>);

/// Inserts text as it is.
pub(crate) fn verbatim(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
}

/// Which part of an address a `%` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Whole,
    User,
    Domain,
    /// A label of the domain, counted from the right, from 1.
    Label(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(BString),
    /// A piece of the value; in queries, the value is the key.
    Value(Piece),
    /// A piece of the key, in result templates.
    Key(Piece),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// A `%` with something else after it than the list knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadTemplate;

impl Template {
    /// Parses a query-like template of the table configuration `source`.
    pub(crate) fn query(source: &str, text: &BStr) -> Result<Self, OpenError> {
        Self::parse(text, false).map_err(|BadTemplate| {
            OpenError(format!(
                "db_common_parse: {source}: Invalid query template: {text}"
            ))
        })
    }

    /// Parses a result template of the table configuration `source`.
    pub(crate) fn result(source: &str, text: &BStr) -> Result<Self, OpenError> {
        Self::parse(text, true).map_err(|BadTemplate| {
            OpenError(format!(
                "db_common_parse: {source}: Invalid result template: {text}"
            ))
        })
    }

    fn parse(text: &[u8], is_result: bool) -> Result<Self, BadTemplate> {
        let (mut parts, mut plain) = (Vec::new(), BString::default());
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                plain.push(byte);
                continue;
            }
            let code = bytes.next().ok_or(BadTemplate)?;
            let piece = match code {
                b'%' => {
                    plain.push(b'%');
                    continue;
                }
                b's' | b'S' => Piece::Whole,
                b'u' | b'U' => Piece::User,
                b'd' | b'D' => Piece::Domain,
                b'1'..=b'9' => Piece::Label(usize::from(code - b'0')),
                _ => return Err(BadTemplate),
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(if is_result && !code.is_ascii_lowercase() {
                Part::Key(piece)
            } else {
                Part::Value(piece)
            });
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Whether anything of the key or the value goes in.
    pub(crate) fn is_variable(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// Whether all that it makes begins with `prefix`.
    #[cfg(feature = "mongodb")]
    pub(crate) fn starts_with(&self, prefix: &[u8]) -> bool {
        matches!(self.parts.first(), Some(Part::Text(text)) if text.starts_with(prefix))
    }

    /// A query template filled with `key`; `None` when the key lacks something that the template needs:
    /// then there is nothing to ask for.
    pub(crate) fn fill_query(&self, key: &BStr, quote: Quote<'_>) -> Option<BString> {
        self.fill(key, key, quote)
    }

    /// A result template filled with `value`; `None` when the value lacks something, and is dropped.
    pub(crate) fn fill_result(&self, value: &BStr, key: &BStr) -> Option<BString> {
        self.fill(value, key, &verbatim)
    }

    /// Whether `key` has all that the template wants of the key.
    pub(crate) fn suits(&self, key: &BStr) -> bool {
        let key = Address::split(key);
        self.parts.iter().all(|part| match part {
            Part::Text(_) | Part::Value(_) => true,
            Part::Key(piece) => key.piece(*piece).is_some(),
        })
    }

    fn fill(&self, value: &BStr, key: &BStr, quote: Quote<'_>) -> Option<BString> {
        let (value, key) = (Address::split(value), Address::split(key));
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Value(piece) => quote(value.piece(*piece)?, &mut out),
                Part::Key(piece) => quote(key.piece(*piece)?, &mut out),
            }
        }
        Some(BString::from(out))
    }
}

/// An address taken apart at its last `@`.
struct Address<'a> {
    whole: &'a [u8],
    user: &'a [u8],
    domain: Option<&'a [u8]>,
}

impl<'a> Address<'a> {
    fn split(whole: &'a [u8]) -> Self {
        let at = whole.rfind_byte(b'@');
        let (user, domain) = match at {
            Some(at) => (whole.get(..at).unwrap_or_default(), whole.get(at + 1..)),
            None => (whole, None),
        };
        Self {
            whole,
            user,
            domain: domain.filter(|domain| !domain.is_empty()),
        }
    }

    /// A piece that is there and not empty.
    fn piece(&self, piece: Piece) -> Option<&'a [u8]> {
        let found = match piece {
            Piece::Whole => self.whole,
            Piece::User => self.user,
            Piece::Domain => self.domain?,
            // Dots in a row count as one.
            Piece::Label(number) => {
                let labels = self.domain?.rsplit(|byte| *byte == b'.');
                labels.filter(|label| !label.is_empty()).nth(number - 1)?
            }
        };
        (!found.is_empty()).then_some(found)
    }
}

/// The `domain` parameter: only complete addresses in these domains are asked for.
pub(crate) struct DomainFilter {
    list: Option<MatchList>,
}

impl DomainFilter {
    /// `source` is the table's configuration, for messages.
    pub(crate) fn open(config: &Config, source: &str, value: &str) -> Self {
        let list = (!value.is_empty())
            .then(|| MatchList::open_with(config, source, value, MatchKind::Text, false));
        Self { list }
    }

    /// Whether `key` is worth a question.
    ///
    /// # Errors
    ///
    /// Those of a table in the list; already logged.
    pub(crate) fn admits(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let Some(list) = &mut self.list else {
            return Ok(true);
        };
        let address = Address::split(key);
        match address.domain {
            Some(domain) if !address.user.is_empty() => list.matches(BStr::new(domain)),
            _ => Ok(false),
        }
    }
}

/// `expansion_limit` is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The values of a result, formatted and joined with commas.
pub(crate) struct Values<'a> {
    /// `type:name`, for messages.
    table: &'a str,
    key: &'a BStr,
    format: &'a Template,
    /// Most values; 0 is no limit.
    limit: usize,
    count: usize,
    joined: BString,
}

impl<'a> Values<'a> {
    /// An empty result of looking `key` up in `table`.
    pub(crate) fn new(table: &'a str, key: &'a BStr, format: &'a Template, limit: usize) -> Self {
        Self {
            table,
            key,
            format,
            limit,
            count: 0,
            joined: BString::default(),
        }
    }

    /// Adds a value; one that is empty or does not fit the format is left out.
    pub(crate) fn add(&mut self, value: &BStr) -> Result<(), TooMany> {
        if value.is_empty() {
            let (table, key) = (self.table, self.key);
            log::warn!("table \"{table}\": empty lookup result for: \"{key}\" -- ignored");
            return Ok(());
        }
        let Some(text) = self.format.fill_result(value, self.key) else {
            return Ok(());
        };
        self.count += 1;
        if self.limit > 0 && self.count > self.limit {
            return Err(TooMany);
        }
        if self.count > 1 {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(&text);
        Ok(())
    }

    /// Length so far, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.joined.len()
    }

    /// The result; none of no values.
    pub(crate) fn finish(self) -> Option<BString> {
        (!self.joined.is_empty()).then_some(self.joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(template: &str, key: &str) -> Option<String> {
        let template = Template::query("/t.cf", BStr::new(template)).unwrap();
        template
            .fill_query(BStr::new(key), &verbatim)
            .map(|text| text.to_string())
    }

    #[test]
    fn queries_take_pieces_of_the_key_or_are_not_asked() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("s=%s,u=%u,S=%S", "joe", Some("s=joe,u=joe,S=joe")),
            ("s=%s,u=%u,S=%S", "joe@ex.test", Some("s=joe@ex.test,u=joe,S=joe@ex.test")),
            ("%u", "@ex.test", None), ("%s", "@ex.test", Some("@ex.test")),
            ("s=%s,u=%u", "joe@", Some("s=joe@,u=joe")),
            ("%u|%d", "a\"b@c@d.e", Some("a\"b@c|d.e")),
            ("d=%d", "joe", None), ("d=%d", "joe@", None), ("%D", "@ex.test", Some("ex.test")),
            ("%1=%2", "joe@a.b.test", Some("test=b")), ("%1=%2", "joe@.test", None),
            ("%1=%2", "ex.test", None), ("%1=%2", "joe@x..y", Some("y=x")),
            ("%1", "joe@x.", Some("x")), ("%3", "joe@a.b.c", Some("a")), ("%3", "joe@b.c", None),
            ("%3", "joe@.b.c", None), ("100%%", "x", Some("100%")), ("const", "x", Some("const")),
            ("%s", "", None),
        ];
        for (template, key, want) in cases {
            assert_eq!(query(template, key).as_deref(), *want, "{template} {key}");
        }
    }

    #[test]
    fn unknown_expansions_are_refused_in_postfix_words() {
        for bad in ["%x", "abc%", "%0", "%%%"] {
            let error = Template::query("/t.cf", BStr::new(bad)).unwrap_err();
            let want = format!("db_common_parse: /t.cf: Invalid query template: {bad}");
            assert_eq!(error.to_string(), want);
            let error = Template::result("/t.cf", BStr::new(bad)).unwrap_err();
            let want = format!("db_common_parse: /t.cf: Invalid result template: {bad}");
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn results_mix_pieces_of_value_and_key() {
        let format = |text: &str| Template::result("/t.cf", BStr::new(text)).unwrap();
        let (value, key) = (BStr::new("al@b.test"), BStr::new("joe@ex.org"));
        #[rustfmt::skip]
        let cases: &[(&str, &str)] = &[
            ("%s", "al@b.test"), ("smtp:[%d]", "smtp:[b.test]"), ("%u+%U@%D", "al+joe@ex.org"),
            ("%1.%2", "org.ex"), ("%S%%", "joe@ex.org%"),
        ];
        for (template, want) in cases {
            let template = format(template);
            assert_eq!(template.fill_result(value, key).unwrap(), *want);
            assert!(template.suits(key));
        }
        assert_eq!(format("%d").fill_result(BStr::new("x"), key), None);
        assert!(!format("%s %D").suits(BStr::new("joe")));
        assert!(format("%d").suits(BStr::new("joe")));
    }

    #[test]
    fn values_are_joined_up_to_the_limit() {
        let format = Template::result("/t.cf", BStr::new("%u")).unwrap();
        let mut values = Values::new("x:y", BStr::new("k"), &format, 2);
        for value in ["a@b", "", "@c", "d"] {
            values.add(BStr::new(value)).unwrap();
        }
        assert_eq!(values.add(BStr::new("e")), Err(TooMany));
        assert_eq!(values.finish().unwrap(), "a,d");
        let values = Values::new("x:y", BStr::new("k"), &format, 0);
        assert_eq!(values.finish(), None);
    }

    #[test]
    fn the_domain_filter_wants_complete_addresses() {
        let config = Config::from_text("").unwrap();
        let mut filter = DomainFilter::open(&config, "/t.cf", "ex.test, .foo");
        for (key, want) in [
            ("joe", false),
            ("joe@ex.test", true),
            ("@ex.test", false),
            ("joe@EX.test", true),
            ("joe@a.foo", false),
            ("ex.test", false),
        ] {
            assert_eq!(filter.admits(BStr::new(key)), Ok(want), "{key}");
        }
        let mut all = DomainFilter::open(&config, "/t.cf", "");
        assert_eq!(all.admits(BStr::new("joe")), Ok(true));
        let mut failing = DomainFilter::open(&config, "/t.cf", "fail:bar");
        assert!(failing.admits(BStr::new("joe@x")).is_err());
    }

    proptest! {
        #[test]
        fn any_template_and_key_have_an_answer(
            template in "[%a-z0-9SUD.]{0,12}", key in proptest::collection::vec(any::<u8>(), 0..30)
        ) {
            if let Ok(template) = Template::parse(template.as_bytes(), false) {
                let _ = template.fill_query(BStr::new(&key), &verbatim);
            }
        }
    }
}
