//! Cache entries, and when they are too old.

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, Param, params};
use postern_ipc::verify::recipient_status;
use std::time::Duration;

/// No second probe while one may be on its way, in seconds.
const PROBE_TTL: i64 = 1000;

/// What is known of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// See [`recipient_status`].
    pub(crate) status: i32,
    /// When the last probe was sent, 0 once it was answered.
    pub(crate) probed: i64,
    /// When the last answer came, 0 for none.
    pub(crate) updated: i64,
    /// The answer's text.
    pub(crate) text: BString,
}

impl Entry {
    /// Nothing is known.
    pub(crate) fn pending() -> Self {
        Self {
            status: recipient_status::TODO,
            probed: 0,
            updated: 0,
            text: "Address verification in progress".into(),
        }
    }

    /// Reads `STATUS:PROBED:UPDATED:TEXT`.
    pub(crate) fn parse(value: &BStr) -> Option<Self> {
        let mut fields = value.splitn(4, |&byte| byte == b':');
        let mut number = || -> Option<i64> { fields.next()?.to_str().ok()?.parse().ok() };
        let status = i32::try_from(number()?).ok()?;
        let (probed, updated) = (number()?, number()?);
        let text = fields.next()?.into();
        let known = recipient_status::OK..=recipient_status::TODO;
        (known.contains(&status) && probed >= 0 && updated >= 0).then_some(Self {
            status,
            probed,
            updated,
            text,
        })
    }

    /// The cached form.
    pub(crate) fn encode(&self) -> BString {
        let Self {
            status,
            probed,
            updated,
            text,
        } = self;
        format!("{status}:{probed}:{updated}:{text}").into()
    }

    fn is_probed(&self, now: i64) -> bool {
        self.probed > 0 && now - self.probed < PROBE_TTL
    }
}

/// Ages in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    positive_expire: i64,
    positive_refresh: i64,
    negative_expire: i64,
    negative_refresh: i64,
}

impl Times {
    /// As main.cf says.
    pub(crate) fn new(config: &Config) -> Self {
        let seconds =
            |param: Param<Duration>| i64::try_from(config.get(param).as_secs()).unwrap_or(i64::MAX);
        Self {
            positive_expire: seconds(params::ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME),
            positive_refresh: seconds(params::ADDRESS_VERIFY_POSITIVE_REFRESH_TIME),
            negative_expire: seconds(params::ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME),
            negative_refresh: seconds(params::ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME),
        }
    }

    /// Whether an entry says nothing any more; never while a probe is on its way.
    pub(crate) fn has_expired(&self, entry: &Entry, now: i64) -> bool {
        let age = if entry.status == recipient_status::OK {
            self.positive_expire
        } else {
            self.negative_expire
        };
        !entry.is_probed(now) && entry.updated.saturating_add(age) < now
    }

    /// Whether it is time to ask again.
    pub(crate) fn wants_probe(&self, entry: &Entry, now: i64) -> bool {
        let age = if entry.status == recipient_status::OK {
            self.positive_refresh
        } else {
            self.negative_refresh
        };
        !entry.is_probed(now) && entry.updated.saturating_add(age) < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        positive_expire: 1000,
        positive_refresh: 100,
        negative_expire: 500,
        negative_refresh: 50,
    };

    #[test]
    fn entries_survive_the_table_and_nonsense_is_refused() {
        let entry = Entry {
            status: 2,
            probed: 0,
            updated: 17,
            text: "550 5.1.1: no".into(),
        };
        assert_eq!(Entry::parse(entry.encode().as_bstr()), Some(entry));
        for bad in [
            "",
            "1:2:3",
            "x:0:0:t",
            "7:0:0:t",
            "0:-1:0:t",
            "0:99999999999999999999:0:t",
        ] {
            assert_eq!(Entry::parse(bad.into()), None, "{bad:?}");
        }
    }

    #[test]
    fn age_and_probes_decide() {
        let entry = |status, probed, updated| Entry {
            status,
            probed,
            updated,
            text: BString::default(),
        };
        let now = 10_000;
        // status, probed, updated, expired, wants a probe
        let cases = [
            (0, 0, now - 50, false, false),
            (0, 0, now - 101, false, true),
            (0, 0, now - 1001, true, true),
            (2, 0, now - 51, false, true),
            (2, 0, now - 501, true, true),
            (2, now - 10, now - 501, false, false),
            (3, now - 999, 0, false, false),
            (3, now - 1000, 0, true, true),
        ];
        for (status, probed, updated, expired, probe) in cases {
            let entry = entry(status, probed, updated);
            let got = (
                TIMES.has_expired(&entry, now),
                TIMES.wants_probe(&entry, now),
            );
            assert_eq!(got, (expired, probe), "{entry:?}");
        }
    }
}
