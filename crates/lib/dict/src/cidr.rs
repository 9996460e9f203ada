//! Network patterns and the `cidr` table.
//!
//! Rules are indexed by prefix length and network, so that a lookup costs one probe for each
//! prefix length in use; the first match in file order stays the answer.
//! Source: cidr_table(5); texts as observed with Postfix 3.7.11.

use bstr::{BStr, BString};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::hash::Seed;
use crate::lines::{LogicalLines, is_space, trim};
use crate::simple::read_only;
use crate::source::{files_as_base64, pattern_text};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, io_text, shown};

/// Why a network pattern was refused; `Display` is Postfix's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// No `]` after `[`.
    #[error("missing ']' character after \"{0}\"")]
    NoBracket(String),
    /// Something other than `/` after `]`.
    #[error("garbage after \"{0}\"")]
    Garbage(String),
    /// The mask is not a number.
    #[error("bad mask value in \"{0}\"")]
    MaskValue(String),
    /// The mask is longer than the address.
    #[error("bad mask length in \"{0}\"")]
    MaskLength(String),
    /// The address before the mask is none.
    #[error("bad network value in \"{0}\"")]
    Network(String),
    /// The pattern is no address.
    #[error("bad address pattern: \"{0}\"")]
    Address(String),
    /// Bits outside the mask are set.
    #[error(
        "non-null host address bits in \"{pattern}\", perhaps you should use \"{better}\" instead"
    )]
    HostBits {
        /// As written.
        pattern: String,
        /// The network with these bits cleared.
        better: String,
    },
}

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Net {
    v6: bool,
    length: u32,
    bits: u128,
}

fn address_bits(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (true, v6.to_bits()),
    }
}

fn width(v6: bool) -> u32 {
    if v6 { 128 } else { 32 }
}

/// The bits of `bits` that a mask of `length` keeps.
fn masked(v6: bool, bits: u128, length: u32) -> u128 {
    let host = width(v6).saturating_sub(length);
    bits.checked_shr(host)
        .and_then(|high| high.checked_shl(host))
        .unwrap_or(0)
}

impl Net {
    /// Parses `addr`, `addr/len`, `[addr]`, `[addr]/len` or `[addr/len]`.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        let (address, mask) = Self::split(text)?;
        let Some(mask) = mask else {
            let parsed: IpAddr = address
                .parse()
                .map_err(|_| NetError::Address(address.to_owned()))?;
            let (v6, bits) = address_bits(parsed);
            return Ok(Self {
                v6,
                length: width(v6),
                bits,
            });
        };
        let shown = format!("{address}/{mask}");
        if mask.is_empty() || !mask.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetError::MaskValue(shown));
        }
        let length = mask.parse().unwrap_or(u32::MAX);
        if length > width(address.contains(':')) {
            return Err(NetError::MaskLength(shown));
        }
        let Ok(parsed) = address.parse::<IpAddr>() else {
            return Err(NetError::Network(shown));
        };
        let (v6, bits) = address_bits(parsed);
        let net = Self {
            v6,
            length,
            bits: masked(v6, bits, length),
        };
        if net.bits != bits {
            return Err(NetError::HostBits {
                pattern: shown,
                better: format!("{}/{length}", net.address_text()),
            });
        }
        Ok(net)
    }

    fn split(text: &str) -> Result<(&str, Option<&str>), NetError> {
        let Some(body) = text.strip_prefix('[') else {
            return Ok(match text.split_once('/') {
                Some((address, mask)) => (address, Some(mask)),
                None => (text, None),
            });
        };
        let Some((address, rest)) = body.split_once(']') else {
            return Err(NetError::NoBracket(text.to_owned()));
        };
        match rest.strip_prefix('/') {
            Some(mask) => Ok((address, Some(mask))),
            None if rest.is_empty() => Ok(match address.split_once('/') {
                Some((address, mask)) => (address, Some(mask)),
                None => (address, None),
            }),
            None => Err(NetError::Garbage(format!("[{address}]"))),
        }
    }

    /// The address as inet_ntop(3) writes it, which likes IPv4 addresses inside of IPv6 ones.
    fn address_text(&self) -> String {
        match u32::try_from(self.bits).map(Ipv4Addr::from_bits) {
            Ok(inside) if self.v6 && self.bits > 0xffff => format!("::{inside}"),
            Ok(address) if !self.v6 => address.to_string(),
            _ => Ipv6Addr::from_bits(self.bits).to_string(),
        }
    }

    /// Whether `address` is in the network; never for the other address family.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (v6, bits) = address_bits(address);
        v6 == self.v6 && masked(v6, bits, self.length) == self.bits
    }

    fn same_family(&self, address: IpAddr) -> bool {
        self.v6 == address.is_ipv6()
    }
}

/// A pattern with its `!`.
#[derive(Debug, Clone, Copy)]
struct Condition {
    net: Net,
    negated: bool,
}

impl Condition {
    fn holds(&self, address: IpAddr) -> bool {
        self.net.same_family(address) && self.net.contains(address) != self.negated
    }
}

/// An `if` block.
struct Block {
    condition: Condition,
    parent: Option<usize>,
    line: usize,
}

struct Rule {
    condition: Condition,
    block: Option<usize>,
    value: BString,
}

/// A compiled `cidr` table.
struct Cidr {
    name: String,
    flags: Flags,
    owner: Owner,
    rules: Vec<Rule>,
    blocks: Vec<Block>,
    /// Rules that are not negated, by network; of equal rules in one block only the first.
    index: HashMap<Net, Vec<usize>, Seed>,
    /// Prefix lengths in use: IPv4, IPv6.
    lengths: [Vec<u32>; 2],
    negated: Vec<usize>,
}

/// Opens `cidr:name`.
pub(crate) fn open(name: &str, mode: OpenMode, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    read_only("cidr", name, mode)?;
    let text = pattern_text("cidr", name)?;
    let mut table = Cidr {
        name: format!("cidr:{name}"),
        flags: flags | Flags::PATTERN,
        owner: text.owner,
        rules: Vec::new(),
        blocks: Vec::new(),
        index: HashMap::with_hasher(Seed::random()),
        lengths: [Vec::new(), Vec::new()],
        negated: Vec::new(),
    };
    table.load(name, &text.content)?;
    Ok(Box::new(table))
}

/// What a line asks for.
enum Statement {
    If(Condition),
    EndIf,
    Rule(Condition, BString),
}

/// Splits a leading `if` or `endif` off; the word ends before anything but a letter or digit.
pub(crate) fn keyword<'a>(line: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(word.len())?;
    let ends = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    (head.eq_ignore_ascii_case(word.as_bytes()) && ends).then_some(rest)
}

/// Counts the `!` before a pattern.
fn negation(text: &[u8]) -> (bool, &[u8]) {
    let (mut negated, mut rest) = (false, text);
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b'!' => negated = !negated,
            _ if is_space(first) => {}
            _ => break,
        }
        rest = tail;
    }
    (negated, rest)
}

fn condition(negated: bool, pattern: &[u8]) -> Result<Condition, String> {
    if pattern.is_empty() {
        return Err("no address pattern".to_owned());
    }
    let net = Net::parse(&shown(pattern)).map_err(|error| error.to_string())?;
    Ok(Condition { net, negated })
}

fn statement(line: &[u8], flags: Flags) -> Result<Statement, String> {
    if let Some(rest) = keyword(line, "if") {
        let (negated, pattern) = negation(rest);
        return Ok(Statement::If(condition(negated, trim(pattern))?));
    }
    if let Some(rest) = keyword(line, "endif") {
        if !trim(rest).is_empty() {
            return Err("garbage after ENDIF".to_owned());
        }
        return Ok(Statement::EndIf);
    }
    let (negated, text) = negation(line);
    let (pattern, rest) = text.split_at(
        text.iter()
            .position(|&byte| is_space(byte))
            .unwrap_or(text.len()),
    );
    let condition = condition(negated, pattern)?;
    let value = BStr::new(trim(rest));
    if value.is_empty() {
        return Err("no lookup result".to_owned());
    }
    let value = if flags.contains(Flags::SRC_RHS_IS_FILE) {
        files_as_base64(value)?
    } else {
        value.to_owned()
    };
    Ok(Statement::Rule(condition, value))
}

impl Cidr {
    fn load(&mut self, source: &str, content: &[u8]) -> Result<(), OpenError> {
        let mut lines = LogicalLines::new(content, source);
        let mut open = Vec::new();
        while let Some(line) = lines
            .next_line()
            .map_err(|e| OpenError(format!("read {source}: {}", io_text(&e))))?
        {
            let skip = |why: &str| {
                log::warn!(
                    "cidr map {source}, line {}: {why}: skipping this rule",
                    line.first
                )
            };
            match statement(&line.text, self.flags) {
                Ok(Statement::If(condition)) => {
                    self.blocks.push(Block {
                        condition,
                        parent: open.last().copied(),
                        line: line.first,
                    });
                    open.push(self.blocks.len() - 1);
                }
                Ok(Statement::EndIf) => {
                    if open.pop().is_none() {
                        skip("ENDIF without IF");
                    }
                }
                Ok(Statement::Rule(condition, value)) => {
                    self.add(Rule {
                        condition,
                        block: open.last().copied(),
                        value,
                    });
                }
                Err(why) => skip(&why),
            }
        }
        for block in open
            .iter()
            .rev()
            .filter_map(|&index| self.blocks.get(index))
        {
            log::warn!(
                "cidr map {source}, line {}: IF has no matching ENDIF",
                block.line
            );
        }
        Ok(())
    }

    fn add(&mut self, rule: Rule) {
        let at = self.rules.len();
        if rule.condition.negated {
            self.negated.push(at);
        } else {
            let net = rule.condition.net;
            let lengths = if net.v6 {
                &mut self.lengths[1]
            } else {
                &mut self.lengths[0]
            };
            if !lengths.contains(&net.length) {
                lengths.push(net.length);
            }
            let same = self.index.entry(net).or_default();
            // A later rule for the same network in the same block is never reached.
            let last = same.last().and_then(|&index| self.rules.get(index));
            if last.is_some_and(|last| last.block == rule.block) {
                return;
            }
            same.push(at);
        }
        self.rules.push(rule);
    }

    /// Whether every block around is entered.
    fn reached(&self, rule: &Rule, address: IpAddr) -> bool {
        let mut around = rule.block;
        while let Some(block) = around.and_then(|index| self.blocks.get(index)) {
            if !block.condition.holds(address) {
                return false;
            }
            around = block.parent;
        }
        true
    }

    fn search(&self, address: IpAddr) -> Option<&BString> {
        let (v6, bits) = address_bits(address);
        let lengths = if v6 {
            &self.lengths[1]
        } else {
            &self.lengths[0]
        };
        let networks = lengths.iter().filter_map(|&length| {
            self.index.get(&Net {
                v6,
                length,
                bits: masked(v6, bits, length),
            })
        });
        let mut best: Option<usize> = None;
        for list in networks.chain(std::iter::once(&self.negated)) {
            for &at in list
                .iter()
                .take_while(|&&at| best.is_none_or(|best| at < best))
            {
                let Some(rule) = self.rules.get(at) else {
                    continue;
                };
                if rule.condition.holds(address) && self.reached(rule, address) {
                    best = Some(at);
                    break;
                }
            }
        }
        best.and_then(|at| self.rules.get(at))
            .map(|rule| &rule.value)
    }
}

/// The address that a key is, if it is one.
fn address(key: &[u8]) -> Option<IpAddr> {
    match ipv4(key) {
        Some(address) => Some(address.into()),
        None => std::str::from_utf8(key).ok()?.parse().ok(),
    }
}

/// Four decimal numbers without needless zeros: what nearly all keys are, and each key is asked.
fn ipv4(key: &[u8]) -> Option<Ipv4Addr> {
    let mut numbers = [0_u8; 4];
    let mut rest = key;
    for (place, number) in numbers.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let (first, mut tail) = rest.split_first()?;
        let mut value = u32::from(first.wrapping_sub(b'0'));
        if value > 9 {
            return None;
        }
        while let Some((byte, after)) = tail.split_first()
            && byte.is_ascii_digit()
        {
            if value == 0 || value > 99 {
                return None;
            }
            value = value * 10 + u32::from(byte - b'0');
            tail = after;
        }
        *number = u8::try_from(value).ok()?;
        rest = tail;
    }
    rest.is_empty().then_some(numbers.into())
}

impl Table for Cidr {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        Ok(address(key).and_then(|key| self.search(key)).cloned())
    }
    fn lookup_into(&mut self, key: &BStr, value: &mut BString) -> Result<bool, LookupError> {
        let Some(found) = address(key).and_then(|key| self.search(key)) else {
            return Ok(false);
        };
        value.clear();
        value.extend_from_slice(found);
        Ok(true)
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::ByteSlice;
    use proptest::strategy::Strategy;

    fn table(text: &str) -> Box<dyn Table> {
        let items: Vec<String> = text.lines().map(|line| format!("{{{line}}}")).collect();
        open(
            &format!("{{ {} }}", items.join(", ")),
            OpenMode::Read,
            Flags::NONE,
        )
        .unwrap()
    }

    proptest::proptest! {
        #[test]
        fn keys_are_read_as_addresses(key in "[0-9.]{0,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}|[0-9a-f:.]{0,20}") {
            proptest::prop_assert_eq!(address(key.as_bytes()), key.parse().ok());
        }
    }

    #[test]
    fn the_first_match_in_file_order_wins() {
        let text = "192.0.2.7 one\n192.0.2.0/24 net\n192.0.2.8 late\n!10.0.0.0/8 not-ten\n2001:db8::/32 six\n[::1] lo\n\
                    if 10.1.0.0/16\n10.1.1.0/24 inner\n!10.1.2.0/24 outer\nendif\n10.0.0.0/8 ten";
        let mut table = table(text);
        #[rustfmt::skip]
        let cases = [
            ("192.0.2.7", Some("one")), ("192.0.2.8", Some("net")), ("198.51.100.1", Some("not-ten")),
            ("2001:db8::5", Some("six")), ("::1", Some("lo")), ("::2", None), ("[::1]", None), ("name", None),
            ("10.1.1.9", Some("inner")), ("10.1.2.9", Some("ten")), ("10.1.3.9", Some("outer")), ("10.2.0.1", Some("ten")),
        ];
        for (key, want) in cases {
            let got = table.lookup(BStr::new(key)).unwrap();
            assert_eq!(
                got.as_ref().map(|v| v.as_bstr()),
                want.map(BStr::new),
                "{key}"
            );
        }
    }

    #[test]
    fn bad_networks_are_named() {
        #[rustfmt::skip]
        let cases = [
            ("1.2.3.4/x", r#"bad mask value in "1.2.3.4/x""#),
            ("1.2.3.0/33", r#"bad mask length in "1.2.3.0/33""#),
            ("net/33", r#"bad mask length in "net/33""#),
            ("1.2.3/24", r#"bad network value in "1.2.3/24""#),
            ("1.2.3", r#"bad address pattern: "1.2.3""#),
            ("1.2.3.4/24", r#"non-null host address bits in "1.2.3.4/24", perhaps you should use "1.2.3.0/24" instead"#),
            ("1.2.3.4/024", r#"non-null host address bits in "1.2.3.4/024", perhaps you should use "1.2.3.0/24" instead"#),
            ("::10.0.0.1/127", r#"non-null host address bits in "::10.0.0.1/127", perhaps you should use "::10.0.0.0/127" instead"#),
            ("[IPv6:::1]", r#"bad address pattern: "IPv6:::1""#),
            ("[1.2.0.0/16]/16", r#"bad network value in "1.2.0.0/16/16""#),
            ("[1.2.3.4/8]", r#"non-null host address bits in "1.2.3.4/8", perhaps you should use "1.0.0.0/8" instead"#),
            ("[::1", r#"missing ']' character after "[::1""#),
            ("[::1]x", r#"garbage after "[::1]""#),
        ];
        for (text, want) in cases {
            assert_eq!(Net::parse(text).unwrap_err().to_string(), want);
        }
        assert!(
            Net::parse("0.0.0.0/0")
                .unwrap()
                .contains("1.2.3.4".parse().unwrap())
        );
        assert_eq!(Net::parse("[10.0.0.0/8]"), Net::parse("[10.0.0.0]/8"));
        assert!(Net::parse("::/0").unwrap().contains("::5".parse().unwrap()));
    }

    /// What the lines say, read one after the other.
    fn linear(lines: &[(u8, bool, String)], address: IpAddr) -> Option<String> {
        let mut around: Vec<bool> = Vec::new();
        for (number, (kind, negated, net)) in lines.iter().enumerate() {
            // A pattern says nothing about the other family, also with `!`.
            let same = net.contains(':') == address.is_ipv6();
            let holds = same && Net::parse(net).unwrap().contains(address) != *negated;
            let reached = around.iter().all(|entered| *entered);
            match kind {
                0 => around.push(holds),
                1 => {
                    around.pop();
                }
                _ if reached && holds => return Some(format!("value{number}")),
                _ => {}
            }
        }
        None
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(400))]

        #[test]
        fn the_index_never_changes_an_answer(
            lines in proptest::collection::vec(
                (0..8_u8, proptest::bool::weighted(0.2), proptest::prop_oneof![
                    "10\\.[01]\\.[0-3]\\.[0-3]",
                    "10\\.[01]\\.[0-3]\\.0/2[34]".prop_filter("host bits", |net| Net::parse(net).is_ok()),
                    proptest::strategy::Just("10.0.0.0/15".to_owned()),
                    "2001:db8::[0-3]",
                    proptest::strategy::Just("2001:db8::/127".to_owned()),
                    proptest::strategy::Just("::/0".to_owned()),
                ]),
                0..30,
            ),
            keys in proptest::collection::vec(
                proptest::prop_oneof!["10\\.[01]\\.[0-3]\\.[0-3]", "2001:db8::[0-3]"],
                1..20,
            ),
        ) {
            let text: Vec<String> = lines
                .iter()
                .enumerate()
                .map(|(number, (kind, negated, net))| {
                    let mark = if *negated { "!" } else { "" };
                    match kind {
                        0 => format!("if {mark}{net}"),
                        1 => "endif".to_owned(),
                        _ => format!("{mark}{net} value{number}"),
                    }
                })
                .collect();
            let mut table = table(&text.join("\n"));
            for key in &keys {
                let got = table.lookup(BStr::new(key)).unwrap().map(|value| value.to_string());
                proptest::prop_assert_eq!(got, linear(&lines, key.parse().unwrap()), "{}", key);
            }
        }
    }
}
