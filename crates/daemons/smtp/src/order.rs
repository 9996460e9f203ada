//! In which order the addresses of a destination are tried (smtp-client.md §3.3).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use crate::routing::FamilyPreference;

/// One address of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name for logs, TLS and logins.
    pub host: String,
    /// Address.
    pub address: IpAddr,
    /// Preference of the host; lower is better.
    pub preference: u16,
    /// Port, when the record says (SRV).
    pub port: Option<u16>,
    /// Weight among equals (SRV).
    pub weight: u16,
}

/// Shuffles equals, when wanted, and sorts by preference and family.
pub fn arrange(targets: &mut [Target], randomize: bool, preference: FamilyPreference) {
    if randomize {
        shuffle(targets);
    }
    targets.sort_by_key(|target| {
        let second = match preference {
            FamilyPreference::Any => false,
            FamilyPreference::Ipv4 => target.address.is_ipv6(),
            FamilyPreference::Ipv6 => target.address.is_ipv4(),
        };
        (target.preference, second)
    });
}

/// RFC 2782: within a priority, a random choice by weight decides who comes next.
pub fn arrange_srv(targets: &mut Vec<Target>) {
    targets.sort_by_key(|target| (target.preference, target.weight));
    let mut random = Random::new();
    let mut rest = std::mem::take(targets);
    while let Some(best) = rest.first().map(|target| target.preference) {
        let group = rest
            .iter()
            .take_while(|target| target.preference == best)
            .count();
        let total: u64 = rest
            .iter()
            .take(group)
            .map(|target| u64::from(target.weight))
            .sum();
        let mut at = random.below(total + 1);
        let mut chosen = 0;
        for (index, target) in rest.iter().take(group).enumerate() {
            chosen = index;
            if at <= u64::from(target.weight) {
                break;
            }
            at -= u64::from(target.weight);
        }
        targets.push(rest.remove(chosen));
    }
}

/// Drops addresses beyond `limit` so that each family keeps its share (`smtp_balance_inet_protocols`).
pub fn balance(targets: &mut Vec<Target>, limit: usize) {
    let v6 = targets
        .iter()
        .filter(|target| target.address.is_ipv6())
        .count();
    let v4 = targets.len() - v6;
    if limit == 0 || targets.len() <= limit || v4 == 0 || v6 == 0 {
        return;
    }
    let first_is_v6 = targets
        .first()
        .is_some_and(|target| target.address.is_ipv6());
    let half = limit / 2;
    let (mut room4, mut room6) = if v4 <= half {
        (v4, limit - v4)
    } else if v6 <= half {
        (limit - v6, v6)
    } else if first_is_v6 {
        (half, limit - half)
    } else {
        (limit - half, half)
    };
    targets.retain(|target| {
        let room = if target.address.is_ipv6() {
            &mut room6
        } else {
            &mut room4
        };
        let keep = *room > 0;
        *room -= usize::from(keep);
        keep
    });
}

fn shuffle<T>(items: &mut [T]) {
    let mut random = Random::new();
    for end in (1..items.len()).rev() {
        let other = random.below(u64::try_from(end).unwrap_or(0) + 1);
        items.swap(end, usize::try_from(other).unwrap_or(0));
    }
}

/// Random numbers good enough to spread load; seeded by the standard library's hash keys.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    /// A number below `bound` (which is not 0).
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<Target> {
        let target = |word: &str| {
            let (preference, address) = word.split_once('/').unwrap();
            Target {
                host: String::new(),
                address: address.parse().unwrap(),
                preference: preference.parse().unwrap(),
                port: None,
                weight: 1,
            }
        };
        text.split(' ').map(target).collect()
    }

    fn text(targets: &[Target]) -> String {
        let words: Vec<String> = targets
            .iter()
            .map(|t| format!("{}/{}", t.preference, t.address))
            .collect();
        words.join(" ")
    }

    #[test]
    fn preference_comes_before_family() {
        let mut list = targets("20/::1 10/192.0.2.1 10/::2 10/192.0.2.3");
        arrange(&mut list, false, FamilyPreference::Ipv6);
        assert_eq!(text(&list), "10/::2 10/192.0.2.1 10/192.0.2.3 20/::1");
        arrange(&mut list, false, FamilyPreference::Ipv4);
        assert_eq!(text(&list), "10/192.0.2.1 10/192.0.2.3 10/::2 20/::1");
        arrange(&mut list, true, FamilyPreference::Any);
        assert_eq!(list.last().unwrap().preference, 20);
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn each_family_keeps_its_share() {
        #[rustfmt::skip]
        let cases = [
            ("1/::1 1/::2 1/::3 1/::4 1/::5 1/192.0.2.1", 5, "1/::1 1/::2 1/::3 1/::4 1/192.0.2.1"),
            ("1/::1 1/::2 1/::3 1/192.0.2.1 1/192.0.2.2 1/192.0.2.3", 5, "1/::1 1/::2 1/::3 1/192.0.2.1 1/192.0.2.2"),
            ("1/192.0.2.1 1/192.0.2.2 1/192.0.2.3 1/::1 1/::2 1/::3", 5, "1/192.0.2.1 1/192.0.2.2 1/192.0.2.3 1/::1 1/::2"),
            ("1/::1 1/::2", 1, "1/::1 1/::2"),
            ("1/::1 1/192.0.2.1", 5, "1/::1 1/192.0.2.1"),
        ];
        for (before, limit, after) in cases {
            let mut list = targets(before);
            balance(&mut list, limit);
            assert_eq!(text(&list), after, "limit {limit}");
        }
    }

    #[test]
    fn service_records_keep_their_priorities() {
        let mut list = targets("2/::1 1/::2 1/::3 3/::4");
        arrange_srv(&mut list);
        let order: Vec<u16> = list.iter().map(|target| target.preference).collect();
        assert_eq!(order, [1, 1, 2, 3]);
    }
}
