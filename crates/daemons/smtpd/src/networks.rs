//! Lists of clients by name and address, as `mynetworks` has them.
//!
//! The first pattern that fits decides; `!` turns it into a no. Source: tables.md §8.6.

use bstr::BStr;
use postern_config::{Config, params};
use postern_dict::{Flags, LookupError, Table, fold_key};
use std::net::IpAddr;

/// How deep files in lists may name other files.
const MAX_FILE_DEPTH: u32 = 5;

/// One list.
pub(crate) struct NetworkList {
    title: &'static str,
    patterns: Vec<(bool, Pattern)>,
    parents_match: bool,
}

enum Pattern {
    Address(IpAddr, u32),
    Name(String),
    Table(String, Box<dyn Table>),
    Broken(LookupError),
}

impl std::fmt::Debug for NetworkList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkList").field("title", &self.title).finish_non_exhaustive()
    }
}

impl NetworkList {
    /// Reads the value of the parameter `title`; opens tables and files.
    pub(crate) fn new(config: &Config, title: &'static str, value: &str) -> Self {
        let parents = config.get(params::PARENT_DOMAIN_MATCHES_SUBDOMAINS);
        let parents_match = crate::settings::words(&parents).any(|name| name == title);
        let mut list = Self { title, patterns: Vec::new(), parents_match };
        list.add(config, value, false, MAX_FILE_DEPTH);
        list
    }

    fn add(&mut self, config: &Config, value: &str, negated: bool, depth: u32) {
        for word in postern_dict::split_list(value) {
            let text = word.trim_start_matches('!');
            let negated = negated ^ ((word.len() - text.len()) % 2 == 1);
            if text.starts_with('/') {
                match std::fs::read_to_string(text) {
                    Ok(content) if depth > 0 => {
                        let lines: Vec<&str> = content.lines().filter(|line| !line.starts_with('#')).collect();
                        self.add(config, &lines.join("\n"), negated, depth - 1);
                    }
                    Ok(_) => self.broken(negated, text, "too many nested files"),
                    Err(error) => self.broken(negated, text, &format!("open file {text}: {}", postern_sys::error_text(&error))),
                }
            } else if text.contains(':') && !text.starts_with('[') {
                let table = postern_dict::open(config, text, Flags::LOCK | Flags::FOLD_FIX | Flags::UTF8_REQUEST);
                self.patterns.push((negated, Pattern::Table(text.to_owned(), table)));
            } else {
                match parse_network(text) {
                    Some(Ok((address, bits))) => self.patterns.push((negated, Pattern::Address(address, bits))),
                    Some(Err(reason)) => {
                        log::warn!("{}: {reason}", self.title);
                        self.broken(negated, text, &reason);
                    }
                    None => self.patterns.push((negated, Pattern::Name(text.to_ascii_lowercase()))),
                }
            }
        }
    }

    fn broken(&mut self, negated: bool, text: &str, reason: &str) {
        let error = LookupError::retry(text.to_owned(), reason.to_owned());
        self.patterns.push((negated, Pattern::Broken(error)));
    }

    /// Whether a client is in the list.
    ///
    /// # Errors
    ///
    /// When a table that comes before any match cannot be read; that is logged.
    pub(crate) fn matches(&mut self, name: &str, address: &str) -> Result<bool, LookupError> {
        let (title, parents_match) = (self.title, self.parents_match);
        let ip: Option<IpAddr> = address.parse().ok();
        for (negated, pattern) in &mut self.patterns {
            let found = match pattern {
                Pattern::Address(network, bits) => Ok(ip.is_some_and(|ip| contains(*network, *bits, ip))),
                Pattern::Name(pattern) => Ok(matches_name(name, pattern, parents_match)),
                Pattern::Broken(error) => Err(error.clone()),
                Pattern::Table(type_name, table) => find(table.as_mut(), name, address, parents_match)
                    .inspect_err(|_| log::warn!("{title}: {type_name}: table lookup problem")),
            };
            if found? {
                return Ok(!*negated);
            }
        }
        Ok(false)
    }
}

fn find(table: &mut dyn Table, name: &str, address: &str, parents_match: bool) -> Result<bool, LookupError> {
    let fixed = table.flags().contains(Flags::FIXED);
    let folded = fold_key(BStr::new(name)).into_owned();
    let mut rest: &[u8] = &folded;
    while !rest.is_empty() {
        if table.lookup(BStr::new(rest))?.is_some() {
            return Ok(true);
        }
        if !fixed || postern_dns::is_host_address(name) {
            break;
        }
        let Some(dot) = rest.iter().skip(1).position(|byte| *byte == b'.') else { break };
        let from = if parents_match { dot + 2 } else { dot + 1 };
        rest = rest.get(from..).unwrap_or_default();
    }
    Ok(table.lookup(BStr::new(address))?.is_some())
}

fn matches_name(name: &str, pattern: &str, parents_match: bool) -> bool {
    let name = name.to_ascii_lowercase();
    match name.strip_suffix(pattern) {
        Some("") => true,
        Some(rest) if parents_match => rest.ends_with('.'),
        Some(_) => pattern.starts_with('.'),
        None => false,
    }
}

/// An address or `network/length`; `None` for what is no address, an error for a wrong one.
fn parse_network(text: &str) -> Option<Result<(IpAddr, u32), String>> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let bracketed = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let looks_like_v4 = address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if bracketed.is_none() && !looks_like_v4 {
        return None;
    }
    let Ok(ip) = bracketed.unwrap_or(address).parse::<IpAddr>() else {
        return Some(Err(format!("bad address pattern: \"{text}\"")));
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match length.map(str::parse::<u32>) {
        None => most,
        Some(Ok(bits)) if bits <= most => bits,
        Some(_) => return Some(Err(format!("bad net/mask pattern: \"{text}\""))),
    };
    if !contains(ip, bits, ip) || masked(ip, bits) != ip {
        return Some(Err(format!(
            "non-null host address bits in \"{text}\", perhaps you should use \"{}/{bits}\" instead",
            masked(ip, bits)
        )));
    }
    Some(Ok((ip, bits)))
}

fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into()),
    }
}

fn contains(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    network.is_ipv4() == ip.is_ipv4() && masked(ip, bits) == network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_match_by_address_network_and_name() {
        let config = Config::from_text("parent_domain_matches_subdomains = mynetworks\n").unwrap();
        let value = "!192.0.2.9, 192.0.2.0/24, [2001:db8::]/32, example.com, [::1]";
        let mut list = NetworkList::new(&config, "mynetworks", value);
        #[rustfmt::skip]
        let cases = [
            ("unknown", "192.0.2.7", true), ("unknown", "192.0.2.9", false), ("unknown", "192.0.3.1", false),
            ("unknown", "2001:db8:1::1", true), ("a.Example.com", "203.0.113.1", true), ("notexample.com", "203.0.113.1", false),
            ("x", "::1", true), ("unknown", "unknown", false),
        ];
        for (name, address, want) in cases {
            assert_eq!(list.matches(name, address), Ok(want), "{name} {address}");
        }
    }

    #[test]
    fn wrong_networks_are_errors_and_not_no() {
        let config = Config::from_text("").unwrap();
        for value in ["192.0.2.1/24", "192.0.2.0/33", "192.0.2"] {
            assert!(NetworkList::new(&config, "mynetworks", value).matches("x", "192.0.2.1").is_err(), "{value}");
        }
    }
}
