//! Remembers what was done for one recipient, so that nothing is done twice.

use std::collections::HashSet;

use bstr::{BStr, BString};
use postern_mail::address::fold_case;

/// A set of things done, by name, with bounded size.
#[derive(Debug)]
pub(crate) struct Duplicates {
    seen: HashSet<BString>,
    /// `duplicate_filter_limit`; 0 is no limit.
    limit: usize,
}

impl Duplicates {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            seen: HashSet::new(),
            limit,
        }
    }

    /// Whether this is the first time; remembers it while there is room.
    pub(crate) fn is_first(&mut self, kind: &str, what: &[u8]) -> bool {
        let mut key = BString::from(kind);
        key.push(b' ');
        key.extend_from_slice(&fold_case(BStr::new(what)));
        if self.seen.contains(&key) {
            return false;
        }
        if self.limit == 0 || self.seen.len() < self.limit {
            self.seen.insert(key);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_time_is_noticed_in_any_case_until_the_filter_is_full() {
        let mut seen = Duplicates::new(1);
        assert!(seen.is_first("mailbox", b"bob"));
        assert!(!seen.is_first("mailbox", b"BOB"));
        assert!(seen.is_first("forward", b"bob"));
        assert!(seen.is_first("forward", b"bob"), "no room to remember it");
    }
}
