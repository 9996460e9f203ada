//! A session cache in a table. A value is the time of storing and the session, in hexadecimal.

use std::fmt::Write;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_dict::cache::{Cache, Usage};
use postern_sys::user::User;

/// Largest session.
const VALUE_LIMIT: usize = 64 * 1024;
/// Longest session name.
const NAME_LIMIT: usize = 4096;
/// Size of the time in a value, before it is written in hexadecimal.
const TIME_SIZE: usize = 8;

/// Sessions by name.
pub(crate) struct SessionCache {
    table: Cache,
    /// Seconds that a session lives.
    timeout: i64,
}

impl SessionCache {
    /// Opens the table of one service, empty; `None` when that is not possible, which costs only
    /// time.
    pub(crate) fn open(
        config: &Config,
        type_name: &str,
        owner: &User,
        timeout: Duration,
    ) -> Option<Self> {
        let usage = Usage {
            default: "session",
            interval: timeout,
            scratch: true,
        };
        let table = Cache::open(config, type_name, owner, usage);
        let timeout = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        table.is_usable().then_some(Self { table, timeout })
    }

    /// A session that is young enough.
    pub(crate) fn lookup(&mut self, name: &BStr, now: i64) -> Option<Vec<u8>> {
        let value = self.table.lookup(name).ok().flatten()?;
        let session = decode(&value).and_then(|(stored, session)| {
            let is_young = now.saturating_sub(stored) <= self.timeout;
            is_young.then_some(session)
        });
        if session.is_none() {
            self.table.delete(name);
        }
        session
    }

    /// Keeps a session; false when it is too large.
    pub(crate) fn update(&mut self, name: &BStr, session: &[u8], now: i64) -> bool {
        if name.len() > NAME_LIMIT || session.len() > VALUE_LIMIT {
            return false;
        }
        self.table.update(name, encode(now, session).as_bstr());
        true
    }

    /// Forgets a session; false when there was none.
    pub(crate) fn delete(&mut self, name: &BStr) -> bool {
        let is_known = self.table.lookup(name).is_ok_and(|value| value.is_some());
        if is_known {
            self.table.delete(name);
        }
        is_known
    }

    /// When [`SessionCache::expire`] is to be called.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.table.next_step()
    }

    /// Forgets some of the sessions that are too old.
    pub(crate) fn expire(&mut self, now: i64) {
        let timeout = self.timeout;
        let is_young = |(stored, _): (i64, _)| now.saturating_sub(stored) <= timeout;
        self.table
            .step(|_, value| decode(value).is_some_and(is_young));
    }
}

fn encode(stored: i64, session: &[u8]) -> BString {
    let mut value = String::with_capacity((TIME_SIZE + session.len()) * 2);
    for byte in stored.to_le_bytes().iter().chain(session) {
        // Writing to a string cannot fail.
        let _ = write!(value, "{byte:02X}");
    }
    value.into()
}

fn decode(value: &[u8]) -> Option<(i64, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(value.len() / 2);
    let (pairs, rest) = value.as_chunks::<2>();
    for &[high, low] in pairs {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
    }
    let session = bytes.get(TIME_SIZE..)?.to_vec();
    let stored = bytes.first_chunk::<TIME_SIZE>()?;
    rest.is_empty()
        .then(|| (i64::from_le_bytes(*stored), session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> SessionCache {
        let me = postern_sys::user::user_by_uid(postern_sys::user::euid());
        let owner = me.unwrap().unwrap();
        let config = Config::from_text("").unwrap();
        let ten = Duration::from_secs(10);
        SessionCache::open(&config, "", &owner, ten).unwrap()
    }

    #[test]
    fn values_have_the_form_of_the_reference() {
        let value = encode(0x6B07_5444, b"hello\0world\xff");
        let want = "4454076B0000000068656C6C6F00776F726C64FF";
        assert_eq!(value, want);
        let session = (0x6B07_5444, b"hello\0world\xff".to_vec());
        assert_eq!(decode(&value), Some(session));
        for bad in [
            "",
            "44",
            "4454076B00000000686",
            "4454076B0000000X68",
            "4454076B 0000000",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn sessions_live_for_their_time_and_storing_again_renews_them() {
        let mut cache = cache();
        assert!(cache.update("a".into(), &[1], 100));
        assert!(cache.update("b".into(), &[2], 100));
        assert!(cache.update("a".into(), &[3], 108));
        assert_eq!(cache.lookup("b".into(), 110), Some(vec![2]));
        assert_eq!(cache.lookup("b".into(), 111), None);
        assert_eq!(cache.lookup("a".into(), 111), Some(vec![3]));
        assert!(cache.delete("a".into()));
        assert!(!cache.delete("a".into()));
        assert!(!cache.update("big".into(), &[0; VALUE_LIMIT + 1], 100));
    }
}
