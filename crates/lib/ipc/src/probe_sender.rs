//! The envelope sender of address probes. Source: delivery.md §6.5.
//!
//! With `address_verify_sender_ttl` the local part changes with time, so that who harvests the address
//! cannot use it for long. verify(8) sends from it, and smtpd(8) must know it as a recipient.

use bstr::{BStr, BString};
use postern_config::{Config, params};

/// Digits of the time in the local part: no vowels, so that no words come out.
const DIGITS: &[u8; 31] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";

/// `address_verify_sender` makes no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProbeSender {
    /// No local part.
    #[error("must not start with '@'")]
    NoLocalPart,
    /// No domain after the `@`.
    #[error("must not end with '@'")]
    NoDomain,
}

/// The sender as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSender {
    local: BString,
    /// With the `@`; may be empty.
    domain: BString,
    /// Seconds that one address lasts; 0 is forever.
    ttl: i64,
}

impl ProbeSender {
    /// Reads main.cf. The error is the text after `fatal: `.
    pub fn new(config: &Config) -> Result<Self, String> {
        let value = config.get(params::ADDRESS_VERIFY_SENDER);
        let ttl = config.get(params::ADDRESS_VERIFY_SENDER_TTL).as_secs();
        let name = params::ADDRESS_VERIFY_SENDER.info.name;
        Self::parse(&value, ttl)
            .map_err(|error| format!("parameter {name}: value \"{value}\" {error}"))
    }

    fn parse(value: &str, ttl: u64) -> Result<Self, BadProbeSender> {
        let value = if value == "<>" { "" } else { value };
        let (local, domain) = value.split_at(value.rfind('@').unwrap_or(value.len()));
        if value.starts_with('@') {
            return Err(BadProbeSender::NoLocalPart);
        }
        if domain == "@" {
            return Err(BadProbeSender::NoDomain);
        }
        Ok(Self {
            local: local.into(),
            domain: domain.into(),
            ttl: i64::try_from(ttl).unwrap_or(i64::MAX),
        })
    }

    /// The address at a time in seconds since 1970; empty for the null sender. It may lack a domain,
    /// which address rewriting adds.
    pub fn at(&self, time: i64) -> BString {
        self.numbered(time, 0)
    }

    /// All addresses that are valid at a time: those of the periods before and after it, too, for mail
    /// that was on its way and clocks that differ. Without a domain they await address rewriting, as
    /// those of [`ProbeSender::at`]. The null sender is no recipient and gives none.
    pub fn recipients(&self, time: i64) -> Vec<BString> {
        match (self.local.is_empty(), self.ttl) {
            (true, _) => Vec::new(),
            (false, 0) => vec![self.at(time)],
            (false, _) => [-1, 0, 1].map(|step| self.numbered(time, step)).to_vec(),
        }
    }

    /// The address without the time. It may lack a domain as that of [`ProbeSender::at`].
    pub fn timeless(&self) -> BString {
        [self.local.as_slice(), self.domain.as_slice()]
            .concat()
            .into()
    }

    /// Whether an address can be one of [`ProbeSender::recipients`] at all: for almost every address the
    /// answer is no, and costs nothing.
    pub fn may_be(&self, address: &BStr) -> bool {
        !self.local.is_empty()
            && address
                .get(..self.local.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(&self.local))
    }

    fn numbered(&self, time: i64, step: i64) -> BString {
        let mut address = self.local.clone();
        if self.ttl > 0 && !address.is_empty() {
            address.extend(digits(time / self.ttl + step));
        }
        let domain: &BStr = self.domain.as_ref();
        address.extend_from_slice(domain);
        address
    }
}

fn digits(number: i64) -> Vec<u8> {
    let mut number = usize::try_from(number).unwrap_or(0);
    let mut digits = Vec::new();
    loop {
        digits.extend(DIGITS.get(number % DIGITS.len()));
        number /= DIGITS.len();
        if number == 0 {
            digits.reverse();
            return digits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_part_changes_with_time() {
        let sender = |value, ttl| ProbeSender::parse(value, ttl).unwrap();
        // Of a real probe: address_verify_sender = foo@bar.com, ttl 100s.
        assert_eq!(
            sender("foo@bar.com", 100).at(1_795_641_146),
            "fooMFR42@bar.com"
        );
        assert_eq!(sender("foo@bar.com", 0).at(1_795_641_146), "foo@bar.com");
        assert_eq!(sender("double-bounce", 0).at(5), "double-bounce");
        assert_eq!(sender("x", 10).at(5), "x0");
        for null in ["", "<>"] {
            assert_eq!(sender(null, 100).at(1000), "");
            assert!(sender(null, 100).recipients(1000).is_empty());
        }
        assert_eq!(
            sender("a@b", 10).recipients(310),
            ["a0@b".replace("0", "Z"), "a10@b".into(), "a11@b".into()]
        );
        assert_eq!(sender("a@b", 0).recipients(310), ["a@b"]);
        assert_eq!(sender("a@b", 10).timeless(), "a@b");
    }

    #[test]
    fn most_addresses_cannot_be_the_probe_sender() {
        let sender = ProbeSender::parse("probe@b", 100).unwrap();
        for (address, want) in [
            ("PROBE123@c", true),
            ("probe", true),
            ("prob@b", false),
            ("", false),
        ] {
            assert_eq!(sender.may_be(address.into()), want, "{address}");
        }
        let null = ProbeSender::parse("", 100).unwrap();
        assert!(!null.may_be("x@b".into()) && !null.may_be("".into()));
    }

    #[test]
    fn half_addresses_are_refused() {
        assert_eq!(
            ProbeSender::parse("@x", 0),
            Err(BadProbeSender::NoLocalPart)
        );
        assert_eq!(ProbeSender::parse("x@", 9), Err(BadProbeSender::NoDomain));
    }
}
