//! Host names and numerical host addresses: what is well-formed, and why not.
//!
//! The `Display` texts are those Postfix logs as `warning: ` lines. RFC 1035 §2.3.1 with the
//! relaxations of RFC 1123 §2.1; underscores are accepted.

use std::net::{Ipv4Addr, Ipv6Addr};

use bstr::{BStr, BString};

/// Longest host name in bytes.
const MAX_NAME: usize = 255;
/// Longest label in bytes.
const MAX_LABEL: usize = 63;

/// Why a host name is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    /// Nothing there.
    #[error("valid_hostname: empty hostname")]
    Empty,
    /// Longer than 255 bytes.
    #[error("valid_hostname: bad length {length} for {name}...")]
    Length {
        /// Bytes.
        length: usize,
        /// The first 100 bytes.
        name: BString,
    },
    /// A label longer than 63 bytes.
    #[error("valid_hostname: hostname label too long: {0}")]
    LongLabel(BString),
    /// A byte that no host name has.
    #[error("valid_hostname: invalid character {code}(decimal): {name}")]
    Character {
        /// Its value.
        code: u8,
        /// The name.
        name: BString,
    },
    /// An empty label.
    #[error("valid_hostname: misplaced delimiter: {0}")]
    Delimiter(BString),
    /// A label that starts or ends with `-`.
    #[error("valid_hostname: misplaced hyphen: {0}")]
    Hyphen(BString),
    /// Digits and dots only.
    #[error("valid_hostname: numeric hostname: {0}")]
    Numeric(BString),
}

/// Whether `name` is a host name, without a trailing dot.
///
/// # Errors
///
/// The first thing wrong, from the left.
pub fn valid_hostname(name: &BStr) -> Result<(), HostnameError> {
    let shown = || BString::from(name.get(..name.len().min(100)).unwrap_or_default());
    if name.is_empty() {
        return Err(HostnameError::Empty);
    }
    let mut label = 0;
    let mut numeric = true;
    let mut previous = b'.';
    for (index, &byte) in name.iter().enumerate() {
        let last = index + 1 == name.len();
        match byte {
            b'.' if label == 0 || last => return Err(HostnameError::Delimiter(shown())),
            b'.' => label = 0,
            b'-' => {
                numeric = false;
                let next_is_end = name.get(index + 1).is_none_or(|&next| next == b'.');
                if previous == b'.' || next_is_end {
                    return Err(HostnameError::Hyphen(shown()));
                }
                label += 1;
            }
            b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                numeric &= byte.is_ascii_digit();
                label += 1;
            }
            code => {
                return Err(HostnameError::Character {
                    code,
                    name: shown(),
                });
            }
        }
        if label > MAX_LABEL {
            return Err(HostnameError::LongLabel(shown()));
        }
        previous = byte;
    }
    if numeric {
        return Err(HostnameError::Numeric(shown()));
    }
    if name.len() > MAX_NAME {
        return Err(HostnameError::Length {
            length: name.len(),
            name: shown(),
        });
    }
    Ok(())
}

/// As [`valid_hostname`] for names that may hold UTF-8 (their ASCII form is the caller's job).
///
/// # Errors
///
/// As [`valid_hostname`].
pub fn valid_utf8_hostname(name: &BStr, utf8_enabled: bool) -> Result<(), HostnameError> {
    if !utf8_enabled || name.is_ascii() || std::str::from_utf8(name).is_err() {
        return valid_hostname(name);
    }
    // Non-ASCII letters are judged like ordinary ones.
    let plain: Vec<u8> = name
        .iter()
        .filter(|b| b.is_ascii() || **b >= 0xc0)
        .map(|&b| if b.is_ascii() { b } else { b'x' })
        .collect();
    valid_hostname(BStr::new(&plain))
}

/// Why a numerical address is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostaddrError {
    /// Nothing there.
    #[error("valid_hostaddr: empty address")]
    Empty,
    /// A byte that no IPv4 address has.
    #[error("valid_ipv4_hostaddr: invalid character {code}(decimal): {address}")]
    Ipv4Character {
        /// Its value.
        code: u8,
        /// The address.
        address: BString,
    },
    /// An IPv4 byte value above 255.
    #[error("valid_ipv4_hostaddr: invalid octet value: {0}")]
    Ipv4Octet(BString),
    /// Not four IPv4 byte values.
    #[error("valid_ipv4_hostaddr: invalid octet count: {0}")]
    Ipv4Count(BString),
    /// A dot at the wrong place.
    #[error("valid_ipv4_hostaddr: misplaced dot: {0}")]
    Ipv4Dot(BString),
    /// First byte zero, but not 0.0.0.0.
    #[error("valid_ipv4_hostaddr: bad initial octet value: {0}")]
    Ipv4Initial(BString),
    /// Not an IPv6 address.
    #[error("valid_ipv6_hostaddr: malformed IPv6 address: {0}")]
    Ipv6(BString),
}

/// Whether `address` is an IPv4 or IPv6 address (the latter when it holds a colon).
///
/// # Errors
///
/// What is wrong with it.
pub fn valid_hostaddr(address: &BStr) -> Result<(), HostaddrError> {
    if address.is_empty() {
        Err(HostaddrError::Empty)
    } else if address.contains(&b':') {
        valid_ipv6(address)
    } else {
        valid_ipv4(address)
    }
}

/// Whether `address` is a dotted quad.
///
/// # Errors
///
/// What is wrong with it.
pub fn valid_ipv4(address: &BStr) -> Result<(), HostaddrError> {
    let shown = || BString::from(address.get(..address.len().min(100)).unwrap_or_default());
    let (mut count, mut value, mut in_octet, mut first) = (0_u32, 0_u32, false, 0);
    for (index, &byte) in address.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if !in_octet {
                    in_octet = true;
                    value = 0;
                    count += 1;
                }
                value = value * 10 + u32::from(byte - b'0');
                if value > 255 {
                    return Err(HostaddrError::Ipv4Octet(shown()));
                }
                if count == 1 {
                    first = value;
                }
            }
            b'.' if !in_octet || index + 1 == address.len() => {
                return Err(HostaddrError::Ipv4Dot(shown()));
            }
            b'.' => {
                if count == 1 && first == 0 && address != "0.0.0.0" {
                    return Err(HostaddrError::Ipv4Initial(shown()));
                }
                in_octet = false;
            }
            code => {
                return Err(HostaddrError::Ipv4Character {
                    code,
                    address: shown(),
                });
            }
        }
    }
    if count == 4 {
        Ok(())
    } else {
        Err(HostaddrError::Ipv4Count(shown()))
    }
}

/// Whether `address` is an IPv6 address (RFC 4291 §2.2), without scope.
///
/// # Errors
///
/// [`HostaddrError::Ipv6`].
pub fn valid_ipv6(address: &BStr) -> Result<(), HostaddrError> {
    match parse_ipv6(address) {
        Some(_) => Ok(()),
        None => Err(HostaddrError::Ipv6(BString::from(
            address.get(..address.len().min(100)).unwrap_or_default(),
        ))),
    }
}

/// The value of an IPv6 address.
pub fn parse_ipv6(address: &BStr) -> Option<Ipv6Addr> {
    std::str::from_utf8(address).ok()?.parse().ok()
}

/// The value of an IPv4 address.
pub fn parse_ipv4(address: &BStr) -> Option<Ipv4Addr> {
    std::str::from_utf8(address).ok()?.parse().ok()
}

/// The address inside `[…]` of an SMTP domain literal: IPv4, or IPv6 after `IPv6:` (RFC 5321
/// §4.1.3); with `ipv6_prefix_optional` also plain IPv6. `None` when malformed.
pub fn literal_address(inner: &BStr, ipv6_prefix_optional: bool) -> Option<&BStr> {
    let prefix = inner
        .get(..5)
        .is_some_and(|p| p.eq_ignore_ascii_case(b"IPv6:"));
    if prefix {
        let address = BStr::new(inner.get(5..)?);
        return valid_ipv6(address).is_ok().then_some(address);
    }
    let valid = if ipv6_prefix_optional {
        valid_hostaddr(inner).is_ok()
    } else {
        valid_ipv4(inner).is_ok()
    };
    valid.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_name_errors_have_the_logged_texts() {
        let long = "x".repeat(64);
        let cases: &[(&str, &str)] = &[
            ("", "valid_hostname: empty hostname"),
            ("-x", "valid_hostname: misplaced hyphen: -x"),
            ("a-.b", "valid_hostname: misplaced hyphen: a-.b"),
            ("a..b", "valid_hostname: misplaced delimiter: a..b"),
            (".a", "valid_hostname: misplaced delimiter: .a"),
            ("a.", "valid_hostname: misplaced delimiter: a."),
            ("1.2", "valid_hostname: numeric hostname: 1.2"),
            ("a$b", "valid_hostname: invalid character 36(decimal): a$b"),
        ];
        for (name, want) in cases {
            assert_eq!(
                valid_hostname(BStr::new(name)).unwrap_err().to_string(),
                *want,
                "{name:?}"
            );
        }
        assert!(valid_hostname(BStr::new(&long)).is_err());
        for name in [
            "a",
            "a_b.example",
            "x-y.test",
            "1a",
            "xn--a.b",
            "3com.example",
        ] {
            assert_eq!(valid_hostname(BStr::new(name)), Ok(()), "{name}");
        }
    }

    #[test]
    fn addresses_are_recognised() {
        for good in [
            "1.2.3.4",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            assert_eq!(valid_hostaddr(BStr::new(good)), Ok(()), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "1..2.3",
            "1.2.3.4.",
            "a.b",
            "0.1.2.3",
            "1:2",
            ":::1",
            "12345::",
        ] {
            assert!(valid_hostaddr(BStr::new(bad)).is_err(), "{bad}");
        }
    }
}
