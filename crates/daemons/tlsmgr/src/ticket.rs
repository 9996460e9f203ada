//! Session ticket keys: one encrypts, the one before still decrypts.

use std::time::Duration;

use postern_ipc::tlsmgr::status;
use postern_sys::clock::unix_time;

use crate::random;

/// Size of a key's name.
const NAME_SIZE: usize = 16;
/// Name, cipher key, HMAC key.
const KEY_SIZE: usize = NAME_SIZE + 32 + 32;

#[derive(Clone)]
struct Key {
    bytes: Vec<u8>,
    /// When it stops to encrypt, seconds since the epoch; it decrypts as long again.
    expiry: i64,
}

/// The keys of this process.
pub(crate) struct TicketKeys {
    /// How long a key encrypts: half of `smtpd_tls_session_cache_timeout`, so that no ticket is good for
    /// longer than a session is kept. Keys are issued only when it is not zero.
    period: i64,
    current: Option<Key>,
    previous: Option<Key>,
}

impl TicketKeys {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            period: i64::try_from(lifetime.as_secs() / 2).unwrap_or(i64::MAX),
            current: None,
            previous: None,
        }
    }

    /// The key named `name`, or for an empty name the one to encrypt with; with its status.
    pub(crate) fn find(&mut self, name: &[u8]) -> (i32, Vec<u8>) {
        if !name.is_empty() && name.len() != NAME_SIZE {
            log::warn!("invalid session ticket key name length: {}", name.len());
            return (status::FAIL, Vec::new());
        }
        if self.period <= 0 {
            return (status::ERR, Vec::new());
        }
        let now = unix_time();
        let found = if name.is_empty() {
            self.encrypting(now)
        } else {
            self.decrypting(name, now)
        };
        match found {
            Some(key) => {
                let mut bytes = key.bytes;
                bytes.extend_from_slice(&key.expiry.to_le_bytes());
                (status::OK, bytes)
            }
            None => (status::ERR, Vec::new()),
        }
    }

    fn encrypting(&mut self, now: i64) -> Option<Key> {
        let fresh = self.current.as_ref().is_some_and(|key| key.expiry > now);
        if !fresh {
            let bytes = random(KEY_SIZE)
                .inspect_err(|error| {
                    log::warn!("read /dev/urandom: {}", postern_sys::error_text(error));
                })
                .ok()?;
            let expiry = now.saturating_add(self.period);
            self.previous = self.current.replace(Key { bytes, expiry });
        }
        self.current.clone()
    }

    fn decrypting(&self, name: &[u8], now: i64) -> Option<Key> {
        [&self.current, &self.previous]
            .into_iter()
            .flatten()
            .find(|key| key.bytes.starts_with(name) && key.expiry.saturating_add(self.period) > now)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_to_encrypt_with_is_found_by_its_name_again() {
        let mut keys = TicketKeys::new(Duration::from_secs(3600));
        let (code, key) = keys.find(b"");
        assert_eq!((code, key.len()), (status::OK, 88));
        assert_eq!(keys.find(&key[..NAME_SIZE]), (status::OK, key.clone()));
        assert_eq!(keys.find(b"").1, key);
        assert_eq!(keys.find(&[0; NAME_SIZE]).0, status::ERR);
        assert_eq!(keys.find(b"short").0, status::FAIL);
    }

    #[test]
    fn expired_key_decrypts_and_no_longer_encrypts() {
        let mut keys = TicketKeys::new(Duration::from_secs(3600));
        let old = keys
            .encrypting(1000)
            .map(|key| key.bytes)
            .unwrap_or_default();
        let new = keys
            .encrypting(1000 + 1800)
            .map(|key| key.bytes)
            .unwrap_or_default();
        assert_ne!(old, new);
        assert!(keys.decrypting(&old[..NAME_SIZE], 1000 + 3599).is_some());
        assert!(keys.decrypting(&old[..NAME_SIZE], 1000 + 3600).is_none());
    }

    #[test]
    fn no_keys_without_a_session_lifetime() {
        assert_eq!(TicketKeys::new(Duration::ZERO).find(b"").0, status::ERR);
    }
}
