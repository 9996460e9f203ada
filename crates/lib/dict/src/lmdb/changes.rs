//! Changes that are written together, in one transaction of the library.
//!
//! The transaction cannot go on when the map has become too small; then all of them are made anew.

use postern_sys::lmdb::{Env, Error};
use std::time::{Duration, Instant};

/// Bytes of changes that wait at most, which may have to be made a second time.
const MOST_BYTES: usize = 4 << 20;
/// How long a change waits while others come, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// One change: a key with its new value, and whether that replaces one; or no value.
pub(super) struct Change {
    key: Vec<u8>,
    value: Option<(Vec<u8>, bool)>,
}

impl Change {
    pub(super) fn put(key: &[u8], value: &[u8], replace: bool) -> Self {
        Self {
            key: key.to_vec(),
            value: Some((value.to_vec(), replace)),
        }
    }

    pub(super) fn remove(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            value: None,
        }
    }

    /// Makes the change; whether there was something to do.
    pub(super) fn apply(&self, env: &mut Env) -> Result<bool, Error> {
        match &self.value {
            Some((value, replace)) => env.put(&self.key, value, *replace),
            None => env.del(&self.key),
        }
    }
}

/// Changes that wait to be written.
#[derive(Default)]
pub(super) struct Changes {
    list: Vec<Change>,
    bytes: usize,
    since: Option<Instant>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn add(&mut self, change: Change) {
        let value = change.value.as_ref().map_or(0, |(value, _)| value.len());
        self.bytes += size_of::<Change>() + change.key.len() + value;
        self.since.get_or_insert_with(Instant::now);
        self.list.push(change);
    }

    /// Whether they are to be written now.
    pub(super) fn are_enough(&self) -> bool {
        let waits = self
            .since
            .is_some_and(|since| since.elapsed() > LONGEST_WAIT);
        waits || self.bytes > MOST_BYTES
    }

    /// Goes on with their transaction, or begins another with all of them.
    pub(super) fn resume(&self, env: &mut Env) -> Result<(), Error> {
        if env.begin_changes()? {
            for change in &self.list {
                change.apply(env)?;
            }
        }
        Ok(())
    }
}
