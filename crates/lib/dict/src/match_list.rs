//! Match lists: `mynetworks`, `relay_domains`, `mydestination` and their like.
//!
//! The first pattern that matches decides; `!` negates; `/file` stands for the patterns in the
//! file; `type:table` matches when the lookup returns anything. Source: tables.md §8.6.

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use crate::lines::LogicalLines;
use crate::registry::Opener;
use crate::{
    Flags, LookupError, Net, OpenError, Surrogate, Table, fold_key, io_text, open, open_small,
    split_list,
};

/// What the patterns of a list are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// The whole string: mydestination, virtual_*_domains, masquerade_exceptions.
    Text,
    /// A domain and its parents: relay_domains, fast_flush_domains.
    Domain,
    /// A host name (as a domain) or its address: mynetworks, debug_peer_list, *_authorized_*_hosts.
    NameAddress,
    /// An address alone: postscreen_allowlist_interfaces.
    Address,
}

enum Pattern {
    Table {
        type_name: String,
        table: Box<dyn Table>,
    },
    /// Folded text, and the network if it reads like one.
    Literal {
        text: BString,
        net: Option<Result<Net, String>>,
    },
    /// A file that could not be read.
    Failed(String),
}

struct Item {
    negated: bool,
    pattern: Pattern,
}

/// A list of patterns.
pub struct MatchList {
    title: String,
    kind: MatchKind,
    /// `example.com` matches `sub.example.com`, too.
    parents: bool,
    items: Vec<Item>,
    opener: Opener,
}

/// Whether the parameter `name` is listed in `parent_domain_matches_subdomains`.
///
/// # Errors
///
/// A table or file of that list could not be asked. Postfix's programs do not start then.
pub fn parent_domain_matches(config: &Config, name: &str) -> Result<bool, LookupError> {
    parents_match(config, name, open)
}

fn parents_match(config: &Config, name: &str, opener: Opener) -> Result<bool, LookupError> {
    let param = params::PARENT_DOMAIN_MATCHES_SUBDOMAINS;
    let value = config.get(param);
    let mut list = MatchList::new(param.info.name, MatchKind::Text, false, opener);
    list.add(config, &value, false, 0);
    list.matches(BStr::new(name))
}

/// Files may name files, but not for ever.
const DEEPEST: usize = 10;

impl MatchList {
    /// Opens the list `value` of the parameter `title`. Whether `title` is listed in
    /// `parent_domain_matches_subdomains` is looked up for the kinds that ask.
    pub fn open(config: &Config, title: &str, value: &str, kind: MatchKind) -> Self {
        Self::open_by(config, title, value, kind, open)
    }

    /// As [`MatchList::open`], with tables as [`open_small`] opens them.
    pub fn open_small(config: &Config, title: &str, value: &str, kind: MatchKind) -> Self {
        Self::open_by(config, title, value, kind, open_small)
    }

    fn open_by(config: &Config, title: &str, value: &str, kind: MatchKind, opener: Opener) -> Self {
        let asks = matches!(kind, MatchKind::Domain | MatchKind::NameAddress);
        let parents = if asks && !split_list(value).is_empty() {
            parents_match(config, title, opener)
        } else {
            Ok(false)
        };
        let mut list = Self::new(title, kind, parents.as_ref().is_ok_and(|yes| *yes), opener);
        if parents.is_err() {
            // What its patterns match is not known.
            let param = params::PARENT_DOMAIN_MATCHES_SUBDOMAINS.info.name;
            list.fail(false, format!("{param}: table lookup problem"));
        }
        list.add(config, value, false, 0);
        list
    }

    /// As [`MatchList::open`], with the rule for parent domains given.
    pub fn open_with(
        config: &Config,
        title: &str,
        value: &str,
        kind: MatchKind,
        parents: bool,
    ) -> Self {
        let mut list = Self::new(title, kind, parents, open);
        list.add(config, value, false, 0);
        list
    }

    fn new(title: &str, kind: MatchKind, parents: bool, opener: Opener) -> Self {
        Self {
            title: title.to_owned(),
            kind,
            parents,
            items: Vec::new(),
            opener,
        }
    }

    /// Whether no pattern is listed.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The parameter name.
    pub fn title(&self) -> &str {
        &self.title
    }

    fn add(&mut self, config: &Config, value: &str, negated: bool, depth: usize) {
        let words = split_list(value);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word.starts_with('#') {
                let rest = std::iter::once(word)
                    .chain(words.by_ref())
                    .collect::<Vec<_>>()
                    .join(" ");
                log::warn!(
                    "{}: comment at end of line is not supported: {rest}",
                    self.title
                );
                return;
            }
            let bare = word.trim_start_matches('!');
            let negated = negated ^ ((word.len() - bare.len()) % 2 == 1);
            if bare.is_empty() {
                self.fail(negated, "no pattern after '!'".to_owned());
            } else if bare.starts_with('/') && depth < DEEPEST {
                self.add_file(config, bare, negated, depth);
            } else {
                let pattern = pattern(config, bare, self.opener);
                self.items.push(Item { negated, pattern });
            }
        }
    }

    fn add_file(&mut self, config: &Config, path: &str, negated: bool, depth: usize) {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.add_missing(path, negated, &error);
            }
            Err(error) => {
                return self.fail(negated, format!("open file {path}: {}", io_text(&error)));
            }
        };
        let mut lines = LogicalLines::new(content.as_slice(), path);
        while let Ok(Some(line)) = lines.next_line() {
            match line.text.to_str() {
                Ok(text) => self.add(config, text, negated, depth + 1),
                Err(_) => self.fail(
                    negated,
                    format!("{path}, line {}: non-UTF-8 input", line.first),
                ),
            }
        }
    }

    /// A file that is not there counts as a table that cannot be opened, in Postfix's words.
    fn add_missing(&mut self, path: &str, negated: bool, error: &io::Error) {
        let error = OpenError(format!("open file {path}: {}", io_text(error)));
        log::error!("{error}");
        let type_name = format!("non-existent:{path}");
        let table = Box::new(Surrogate::new(&type_name, Flags::NONE, &error));
        let pattern = Pattern::Table { type_name, table };
        self.items.push(Item { negated, pattern });
    }

    fn fail(&mut self, negated: bool, why: String) {
        log::error!("{}: {why}", self.title);
        self.items.push(Item {
            negated,
            pattern: Pattern::Failed(why),
        });
    }

    /// Whether `text` is in a list of strings or domains.
    ///
    /// # Errors
    ///
    /// A table or file of the list could not be asked: a temporary condition.
    pub fn matches(&mut self, text: &BStr) -> Result<bool, LookupError> {
        self.find(text, BStr::new(""))
    }

    /// Whether the client `name` with the numerical `address` is in a list of hosts and networks.
    ///
    /// # Errors
    ///
    /// As [`MatchList::matches`]; also for a malformed network.
    pub fn matches_client(&mut self, name: &BStr, address: &BStr) -> Result<bool, LookupError> {
        self.find(name, address)
    }

    /// Whether the numerical `address` is in a list of addresses.
    ///
    /// # Errors
    ///
    /// As [`MatchList::matches_client`].
    pub fn matches_address(&mut self, address: &BStr) -> Result<bool, LookupError> {
        self.find(BStr::new(""), address)
    }

    fn find(&mut self, name: &BStr, address: &BStr) -> Result<bool, LookupError> {
        let query = Query {
            title: &self.title,
            name: fold_key(name),
            address: fold_key(address),
            parsed: address.to_str().ok().and_then(|text| text.parse().ok()),
            parents: self.parents,
        };
        for item in &mut self.items {
            query.trace(self.kind, &item.pattern);
            let found = match self.kind {
                MatchKind::Text => query.text(&mut item.pattern)?,
                MatchKind::Domain => query.domain(&mut item.pattern)?,
                MatchKind::NameAddress => {
                    query.domain(&mut item.pattern)? || query.address(&mut item.pattern)?
                }
                MatchKind::Address => query.address(&mut item.pattern)?,
            };
            if found {
                return Ok(!item.negated);
            }
        }
        for subject in [&query.name, &query.address] {
            if !subject.is_empty() {
                log::debug!("match_list_match: {subject}: no match");
            }
        }
        Ok(false)
    }
}

fn pattern(config: &Config, text: &str, opener: Opener) -> Pattern {
    if text.contains(':') && !text.starts_with('[') {
        let table = opener(config, text, Flags::LOCK | Flags::UTF8_REQUEST);
        return Pattern::Table {
            type_name: text.to_owned(),
            table,
        };
    }
    let like_a_net = text.contains('/') || (text.starts_with('[') && text.contains(']'));
    let characters = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || b".:/[]".contains(&byte));
    let net =
        (like_a_net && characters).then(|| Net::parse(text).map_err(|error| error.to_string()));
    Pattern::Literal {
        text: fold_key(BStr::new(text)).into_owned(),
        net,
    }
}

/// One question to a list.
struct Query<'a> {
    title: &'a str,
    name: Cow<'a, BStr>,
    address: Cow<'a, BStr>,
    parsed: Option<IpAddr>,
    parents: bool,
}

impl Query<'_> {
    /// Tells what is compared with what, to those who read along.
    fn trace(&self, kind: MatchKind, pattern: &Pattern) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let shown = match pattern {
            Pattern::Table { table, .. } => table.registered_name(),
            Pattern::Literal { text, .. } => text.to_string(),
            Pattern::Failed(why) => why.clone(),
        };
        let (name, address) = match kind {
            MatchKind::Text => (Some("match_string"), false),
            MatchKind::Domain => (Some("match_hostname"), false),
            MatchKind::NameAddress => (Some("match_hostname"), true),
            MatchKind::Address => (None, true),
        };
        if let (Some(what), false) = (name, self.name.is_empty()) {
            log::debug!("{what}: {}: {} ~? {shown}", self.title, self.name);
        }
        if address && !self.address.is_empty() {
            log::debug!(
                "match_hostaddr: {}: {} ~? {shown}",
                self.title,
                self.address
            );
        }
    }

    fn ask(&self, type_name: &str, table: &mut dyn Table, key: &BStr) -> Result<bool, LookupError> {
        table
            .lookup(key)
            .map(|found| found.is_some())
            .inspect_err(|_| {
                log::warn!("{}: {type_name}: table lookup problem", self.title);
            })
    }

    fn failed<T>(&self, why: &str) -> Result<T, LookupError> {
        log::warn!("{}: {why}", self.title);
        Err(LookupError::retry(self.title, why))
    }

    fn text(&self, pattern: &mut Pattern) -> Result<bool, LookupError> {
        match pattern {
            Pattern::Table { type_name, table } => {
                self.ask(type_name, table.as_mut(), self.name.as_ref())
            }
            Pattern::Literal { text, .. } => Ok(*text == **self.name),
            Pattern::Failed(why) => self.failed(why),
        }
    }

    fn domain(&self, pattern: &mut Pattern) -> Result<bool, LookupError> {
        if self.name.is_empty() {
            return Ok(false);
        }
        match pattern {
            Pattern::Table { type_name, table } => {
                for (level, key) in domain_keys(self.name.as_ref(), self.parents).enumerate() {
                    if level > 0 && !table.flags().contains(Flags::FIXED) {
                        break;
                    }
                    if self.ask(type_name, table.as_mut(), key)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Pattern::Literal { text, .. } => Ok(domain_matches(
                self.name.as_ref(),
                BStr::new(text),
                self.parents,
            )),
            Pattern::Failed(why) => self.failed(why),
        }
    }

    fn address(&self, pattern: &mut Pattern) -> Result<bool, LookupError> {
        if self.address.is_empty() {
            return Ok(false);
        }
        match pattern {
            Pattern::Table { type_name, table } => {
                self.ask(type_name, table.as_mut(), self.address.as_ref())
            }
            Pattern::Failed(why) => self.failed(why),
            Pattern::Literal { text, net } => {
                if *text == **self.address {
                    return Ok(true);
                }
                let Some(address) = self.parsed else {
                    return Ok(false);
                };
                match net {
                    Some(Ok(net)) => Ok(net.contains(address)),
                    // A malformed pattern counts only for addresses that it could be meant for.
                    Some(Err(why)) if text.contains(&b':') == address.is_ipv6() => self.failed(why),
                    Some(Err(_)) | None => Ok(false),
                }
            }
        }
    }
}

/// Whether `name` is `pattern` or below it: `.example.com` matches subdomains; `example.com` does
/// so when `parents` is set. Both are folded.
fn domain_matches(name: &BStr, pattern: &BStr, parents: bool) -> bool {
    if name == pattern {
        return true;
    }
    let Some(head) = name.strip_suffix(pattern.as_bytes()) else {
        return false;
    };
    if parents {
        head.ends_with(b".") && !pattern.starts_with(b".")
    } else {
        pattern.starts_with(b".")
    }
}

/// The keys to look a domain up by: itself, then `sub.dom`, `dom` if `parents` is set, else
/// `.sub.dom`, `.dom`. All but the first are partial.
pub fn domain_keys(name: &BStr, parents: bool) -> impl Iterator<Item = &BStr> {
    let mut next = Some(name);
    std::iter::from_fn(move || {
        let key = next?;
        // A key that begins with a dot has its next dot behind that.
        let from = usize::from(key.starts_with(b"."));
        let dot = key.get(from..)?.find_byte(b'.').map(|at| at + from);
        next = dot
            .and_then(|at| key.get(at + usize::from(parents)..))
            .filter(|rest| !rest.is_empty())
            .map(BStr::new);
        Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: MatchKind, parents: bool, value: &str) -> MatchList {
        let config = Config::from_text("").unwrap();
        MatchList::open_with(&config, "test", value, kind, parents)
    }

    #[test]
    fn domains_match_with_or_without_their_subdomains() {
        #[rustfmt::skip]
        let cases = [
            // pattern, parents, name, want
            ("example.com",       true,  "EXAMPLE.com",      true),
            ("example.com",       true,  "sub.example.com",  true),
            ("example.com",       true,  "xexample.com",     false),
            ("example.com",       false, "sub.example.com",  false),
            (".example.com",      false, "sub.example.com",  true),
            (".example.com",      false, "example.com",      false),
            (".example.com",      true,  "sub.example.com",  false),
            ("!a.example.com example.com", true, "x.a.example.com", false),
            ("!a.example.com, example.com", true, "b.example.com",  true),
            ("inline:{{example.com = x}}", true,  "a.b.example.com", true),
            ("inline:{{example.com = x}}", false, "a.b.example.com", false),
            ("inline:{{.example.com = x}}", false, "a.b.example.com", true),
            ("regexp:{{/^example.com$/ x}}", true, "b.example.com", false),
            ("!inline:{{a=1}} b", true, "a", false),
        ];
        for (value, parents, name, want) in cases {
            let got = list(MatchKind::Domain, parents, value).matches(BStr::new(name));
            assert_eq!(got, Ok(want), "{value} {parents} {name}");
        }
    }

    #[test]
    fn clients_match_by_name_or_network() {
        let value = "127.0.0.0/8, [2001:db8::]/32 192.0.2.7 !10.1.0.0/16 10.0.0.0/8 trusted.example cidr:{{203.0.113.0/24 x}}";
        #[rustfmt::skip]
        let cases = [
            ("unknown", "127.0.0.1", true), ("unknown", "2001:db8::5", true), ("unknown", "192.0.2.7", true),
            ("unknown", "10.1.2.3", false), ("unknown", "10.2.2.3", true), ("a.trusted.example", "198.51.100.1", true),
            ("unknown", "198.51.100.1", false), ("unknown", "203.0.113.9", true), ("unknown", "2001:db9::1", false),
        ];
        let mut list = list(MatchKind::NameAddress, true, value);
        for (name, address, want) in cases {
            let got = list.matches_client(BStr::new(name), BStr::new(address));
            assert_eq!(got, Ok(want), "{name} {address}");
        }
    }

    #[test]
    fn client_lists_answer_as_the_reference() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let path = dir.path().join(name).display().to_string();
            std::fs::write(&path, text).unwrap();
            path
        };
        let inner = file("inner", "192.0.2.71 !192.0.2.72\n".to_owned());
        let outer = file("outer", format!("!192.0.2.70\n!{inner}\n192.0.2.72\n"));
        let absent = dir.path().join("absent").display().to_string();
        let (yes, no, error) = (Some(true), Some(false), None);
        // Answers for trusted.client.example[192.0.2.70], bad.client.example[192.0.2.71] and
        // unknown[192.0.2.72], seen with smtpd(8).
        #[rustfmt::skip]
        let cases: &[(&str, [Option<bool>; 3])] = &[
            ("!!192.0.2.70, 192.0.2.71",                            [yes, yes, no]),
            ("OUTER",                                               [no, no, yes]),
            ("!OUTER 192.0.2.0/24",                                 [yes, yes, no]),
            ("192.0.2.5/24, 192.0.2.71",                            [error, error, error]),
            ("[192.0.2.70, 192.0.2.71]",                            [no, no, no]),
            ("192.0.2.71, 192.0.2.0/33",                            [error, yes, error]),
            ("[192.0.2.70], [192.0.2.72]/31",                       [yes, no, yes]),
            ("2001:db8::/32, 192.0.2.70",                           [error, error, error]),
            ("ABSENT 192.0.2.70",                                   [error, error, error]),
            ("192.0.2.70 ABSENT",                                   [yes, error, error]),
            ("static:all",                                          [yes, yes, yes]),
            ("!static:all 192.0.2.70",                              [no, no, no]),
            ("fail:x 192.0.2.70",                                   [error, error, error]),
            (".client.example",                                     [no, no, no]),
            ("trusted.client.example, !client.example, 192.0.2.71", [yes, no, no]),
            ("Client.EXAMPLE",                                      [yes, yes, no]),
            ("inline:{192.0.2.70=x client.example=y}",              [yes, yes, no]),
            ("unionmap:{static:a,static:b}",                        [yes, yes, yes]),
            ("192.0.2.70 # comment 192.0.2.71",                     [yes, no, no]),
            ("192.0.2",                                             [no, no, no]),
            ("192.0.2.",                                            [no, no, no]),
            ("{192.0.2.70}",                                        [no, no, no]),
            ("0.0.0.0/0",                                           [yes, yes, yes]),
            ("!0.0.0.0/0, 192.0.2.70",                              [no, no, no]),
            ("[::]/0, 192.0.2.71",                                  [no, yes, no]),
            ("[::ffff:192.0.2.70]",                                 [no, no, no]),
        ];
        let clients = [
            ("trusted.client.example", "192.0.2.70"),
            ("bad.client.example", "192.0.2.71"),
            ("unknown", "192.0.2.72"),
        ];
        for (value, want) in cases {
            let value = value.replace("OUTER", &outer).replace("ABSENT", &absent);
            let mut list = list(MatchKind::NameAddress, true, &value);
            for ((name, address), want) in clients.iter().zip(want) {
                let got = list
                    .matches_client(BStr::new(name), BStr::new(address))
                    .ok();
                assert_eq!(got, *want, "{value} {name}");
            }
        }
    }

    #[test]
    fn a_list_whose_parent_rule_is_not_known_matches_nothing_for_sure() {
        let config = Config::from_text("parent_domain_matches_subdomains = fail:x\n").unwrap();
        let mut list = MatchList::open(&config, "relay_domains", "a.example", MatchKind::Domain);
        assert!(list.matches(BStr::new("a.example")).is_err());
        assert!(list.matches(BStr::new("b.example")).is_err());
        let mut list = MatchList::open(&config, "relay_domains", "", MatchKind::Domain);
        assert_eq!(list.matches(BStr::new("a.example")), Ok(false));
        assert!(parent_domain_matches(&config, "smtpd_access_maps").is_err());
    }

    #[test]
    fn what_cannot_be_asked_is_an_error_and_not_a_miss() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none").display().to_string();
        for value in [
            format!("a {missing}"),
            "fail:x".to_owned(),
            "foo:bar".to_owned(),
            "a !".to_owned(),
        ] {
            assert!(
                list(MatchKind::Text, false, &value)
                    .matches(BStr::new("b"))
                    .is_err(),
                "{value}"
            );
        }
        assert!(
            list(MatchKind::NameAddress, true, "10.0.0.1/8")
                .matches_client(BStr::new("u"), BStr::new("10.0.0.1"))
                .is_err()
        );
        assert!(
            list(MatchKind::NameAddress, true, "10.0.0.1/8")
                .matches_client(BStr::new("u"), BStr::new("::1"))
                == Ok(false)
        );
    }

    #[test]
    fn files_stand_for_their_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(
            &path,
            "# comment\na.example\n  !b.example\nc.example # tail d.example\n",
        )
        .unwrap();
        let name = path.display();
        for (value, text, want) in [
            (format!("{name}"), "a.example", true),
            (format!("{name}"), "b.example", false),
            (format!("!{name} b.example"), "b.example", true),
            (format!("!{name} a.example"), "a.example", false),
            (format!("{name}"), "c.example", true),
            (format!("{name}"), "d.example", false),
        ] {
            assert_eq!(
                list(MatchKind::Text, false, &value).matches(BStr::new(text)),
                Ok(want),
                "{value} {text}"
            );
        }
    }
}
