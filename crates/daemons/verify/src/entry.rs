//! What the cache holds about an address, how long that is worth anything, and when it is asked
//! again.

use std::time::Duration;

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::verify::recipient_status;
use postern_mail::printable::{Charset, quote_for_log};

/// Seconds after a probe in which no other one is sent.
const PROBE_PATIENCE: i64 = 1000;
/// The text of an address of which nothing is known yet.
const PENDING: &str = "Address verification in progress";

/// One entry; its value is `STATUS:PROBED:UPDATED:TEXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// See [`recipient_status`].
    pub(crate) status: i32,
    /// When a probe was sent that is not answered, in seconds since 1970; else 0.
    pub(crate) probed: i64,
    /// When the last answer came; 0 if none did.
    pub(crate) updated: i64,
    /// What a delivery agent said.
    pub(crate) text: BString,
}

impl Entry {
    fn unknown() -> Self {
        Self {
            status: recipient_status::TODO,
            probed: 0,
            updated: 0,
            text: PENDING.into(),
        }
    }

    /// Reads a value; a malformed one is logged and as good as none.
    pub(crate) fn parse_or_warn(value: &BStr) -> Option<Self> {
        let entry = Self::parse(value);
        if entry.is_none() {
            let start = value.split_str(":").next().unwrap_or_default();
            log::warn!(
                "bad address verify table entry: {}",
                quote_for_log(start, Charset::Ascii)
            );
        }
        entry
    }

    fn parse(value: &BStr) -> Option<Self> {
        let mut fields = value.splitn_str(4, ":");
        let status = number(fields.next()?)?;
        let (probed, updated) = (number(fields.next()?)?, number(fields.next()?)?);
        let text = fields.next()?.into();
        let status = i32::try_from(status)
            .ok()
            .filter(|status| *status <= recipient_status::TODO)?;
        (probed > 0 || updated > 0).then_some(Self {
            status,
            probed,
            updated,
            text,
        })
    }

    pub(crate) fn to_value(&self) -> BString {
        let mut value = BString::from(format!("{}:{}:{}:", self.status, self.probed, self.updated));
        value.extend_from_slice(&self.text);
        value
    }

    fn is_positive(&self) -> bool {
        self.status == recipient_status::OK
    }

    fn has_recent_probe(&self, now: i64) -> bool {
        now - self.probed <= PROBE_PATIENCE
    }
}

fn number(text: &[u8]) -> Option<i64> {
    let is_decimal = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_decimal.then(|| text.to_str().ok()?.parse().ok())?
}

/// The times of main.cf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Seconds after which an entry is worth nothing: of success, of anything else.
    expire: (i64, i64),
    /// Seconds after which it is asked again.
    refresh: (i64, i64),
    /// `address_verify_negative_cache`.
    negative_cache: bool,
}

/// What a query comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The answer.
    pub(crate) entry: Entry,
    /// The stored entry is to be removed.
    pub(crate) forget: bool,
    /// The address is to be probed.
    pub(crate) probe: bool,
}

impl Policy {
    pub(crate) fn new(config: &Config) -> Self {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self {
            expire: (
                seconds(config.get(params::ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME)),
                seconds(config.get(params::ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME)),
            ),
            refresh: (
                seconds(config.get(params::ADDRESS_VERIFY_POSITIVE_REFRESH_TIME)),
                seconds(config.get(params::ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME)),
            ),
            negative_cache: config.get(params::ADDRESS_VERIFY_NEGATIVE_CACHE),
        }
    }

    /// Whether an entry is still to be kept: it is not too old, or an answer may come.
    pub(crate) fn is_useful(&self, entry: &Entry, now: i64) -> bool {
        !is_over(self.expire, entry, now) || entry.has_recent_probe(now)
    }

    /// Answers from what is stored; `stored` is true for damaged entries, too.
    pub(crate) fn judge(&self, known: Option<Entry>, stored: bool, now: i64) -> Verdict {
        let known = known.filter(|entry| self.is_useful(entry, now));
        let forget = known.is_none() && stored && !self.negative_cache;
        let entry = known.unwrap_or_else(Entry::unknown);
        let probe = !entry.has_recent_probe(now) && is_over(self.refresh, &entry, now);
        Verdict {
            entry,
            forget,
            probe,
        }
    }

    /// Whether it is noted in the cache that a probe for this entry is under way. A note about an address
    /// of which nothing is known would be a negative entry.
    pub(crate) fn keeps_pending(&self, entry: &Entry) -> bool {
        self.negative_cache || entry.updated != 0
    }
}

fn is_over(times: (i64, i64), entry: &Entry, now: i64) -> bool {
    let time = if entry.is_positive() {
        times.0
    } else {
        times.1
    };
    now.saturating_sub(entry.updated) > time
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_640_000;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn policy(negative_cache: bool) -> Policy {
        Policy {
            expire: (31 * DAY, 3 * DAY),
            refresh: (7 * DAY, 3 * HOUR),
            negative_cache,
        }
    }

    #[test]
    fn answers_follow_the_age_of_entries() {
        // Status, age of the probe, age of the answer (0: none); answered status, probe sent.
        #[rustfmt::skip]
        let cases = [
            (0, 0, 10, 0, false), (0, 0, 4 * DAY, 0, false), (0, 0, 8 * DAY, 0, true), (0, 0, 40 * DAY, 3, true),
            (0, 10, 0, 0, false), (0, 10, 40 * DAY, 0, false), (0, 2000, 0, 3, true), (0, 2000, 8 * DAY, 0, true),
            (1, 0, 10, 1, false), (1, 0, 4 * HOUR, 1, true), (1, 0, 4 * DAY, 3, true), (1, 10, 4 * DAY, 1, false),
            (2, 0, 10, 2, false), (2, 2000, 4 * HOUR, 2, true), (2, 2000, 4 * DAY, 3, true), (2, 10, 0, 2, false),
            (3, 10, 0, 3, false), (3, 2000, 0, 3, true), (3, 0, 4 * HOUR, 3, true),
        ];
        for (status, probed, updated, want_status, want_probe) in cases {
            let time = |age| if age == 0 { 0 } else { NOW - age };
            let entry = Entry {
                status,
                probed: time(probed),
                updated: time(updated),
                text: "t".into(),
            };
            let verdict = policy(true).judge(Some(entry.clone()), true, NOW);
            assert_eq!(
                (verdict.entry.status, verdict.probe),
                (want_status, want_probe),
                "{entry:?}"
            );
            assert!(!verdict.forget);
            assert_eq!(
                verdict.entry.text == PENDING,
                !policy(true).is_useful(&entry, NOW),
                "{entry:?}"
            );
        }
    }

    #[test]
    fn without_negative_cache_no_trace_of_unknown_addresses_is_kept() {
        let unknown = policy(false).judge(None, true, NOW);
        assert!(unknown.forget && unknown.probe);
        assert!(!policy(false).judge(None, false, NOW).forget);
        assert!(!policy(false).keeps_pending(&unknown.entry));
        assert!(policy(true).keeps_pending(&unknown.entry));
    }

    #[test]
    fn values_are_read_strictly() {
        #[rustfmt::skip]
        let cases = [
            ("0:0:5:250 ok", Some((0, 0, 5, "250 ok"))), ("3:5:0::a:b", Some((3, 5, 0, ":a:b"))), ("2:1:2:", Some((2, 1, 2, ""))),
            ("", None), ("0", None), ("0:0", None), ("0:0:5", None), ("0:0:0:t", None), ("x:0:5:t", None), ("4:0:5:t", None),
            ("-1:0:5:t", None), ("0:-1:5:t", None), ("0 :0:5:t", None), ("0:1x:5:t", None), ("0:0:99999999999999999999:t", None),
        ];
        for (value, want) in cases {
            let entry = Entry::parse(value.into());
            let want = want.map(|(status, probed, updated, text)| Entry {
                status,
                probed,
                updated,
                text: text.into(),
            });
            assert_eq!(entry, want, "{value}");
            if let Some(entry) = entry {
                assert_eq!(entry.to_value(), value);
            }
        }
    }
}
