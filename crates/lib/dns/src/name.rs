//! Host and domain names as text: validity, internationalized names, names of addresses.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, without the final dot.
const MAX_NAME: usize = 255;
/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// Whether `name` may be asked for: labels of letters, digits, hyphens and underscores, no empty or
/// oversized label, no hyphen at either end of a label, and not all numeric.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    if name.is_empty() || name.len() > MAX_NAME {
        return false;
    }
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.split('.').all(label_ok) && name.bytes().any(|b| !b.is_ascii_digit() && b != b'.')
}

/// Whether `text` is an IPv4 or IPv6 address in the usual notation, without brackets.
#[must_use]
pub fn is_host_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// The A-label form of an internationalized name; `None` when there is none.
#[must_use]
pub fn to_ascii(name: &str) -> Option<String> {
    if name.is_ascii() {
        return Some(name.to_owned());
    }
    idna::domain_to_ascii(name)
        .ok()
        .filter(|ascii| !ascii.is_empty())
}

/// The name under which the PTR records of an address are kept.
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => reverse_v4(v4),
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or_else(|| reverse_v6(v6), reverse_v4),
    }
}

fn reverse_v4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

fn reverse_v6(address: Ipv6Addr) -> String {
    let mut name = String::with_capacity(72);
    for byte in address.octets().iter().rev() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
    }
    name.push_str("ip6.arpa");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_asked_for() {
        #[rustfmt::skip]
        let cases = [
            ("example.com", true), ("_25._tcp.mx.example", true), ("a-b.c", true), ("x", true), ("1a.2", true),
            ("", false), (".", false), ("a..b", false), ("a.", false), ("-a.b", false), ("a-.b", false),
            ("1.2.3.4", false), ("12", false), ("a b", false), ("a/b", false), ("b\u{f8}r.example", false),
        ];
        for (name, want) in cases {
            assert_eq!(is_valid_name(name), want, "{name:?}");
        }
        assert!(is_valid_name(&"a".repeat(63)));
        assert!(!is_valid_name(&"a".repeat(64)));
        assert!(!is_valid_name(&"a.".repeat(130)));
    }

    #[test]
    fn internationalized_names_become_a_labels() {
        assert_eq!(
            to_ascii("b\u{f8}r.example").as_deref(),
            Some("xn--br-lka.example")
        );
        assert_eq!(to_ascii("plain.example").as_deref(), Some("plain.example"));
        assert_eq!(to_ascii("\u{378}.example"), None);
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(
            reverse_name("192.0.2.1".parse().unwrap()),
            "1.2.0.192.in-addr.arpa"
        );
        assert_eq!(
            reverse_name("::ffff:192.0.2.1".parse().unwrap()),
            "1.2.0.192.in-addr.arpa"
        );
        let v6 = reverse_name("2001:db8::1".parse().unwrap());
        assert_eq!(
            v6,
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
