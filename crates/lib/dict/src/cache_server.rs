//! What the clients of cache servers, `memcache` and `redis`, have in common: how patient they are, which
//! keys they ask for, and the connection. Their protocols and messages are their own.

use bstr::{BStr, BString};
use postern_wire::Channel;
use std::time::Duration;

use crate::client_config::ClientConfig;
use crate::expansion::{DomainFilter, Template, verbatim};
use crate::network::is_in_step;
use crate::{LookupError, OpenError, shown};

/// In place of a `timeout` of zero, which would wait for ever.
const LONGEST: Duration = Duration::from_secs(3600);

/// Limits of time and tries.
pub(crate) struct Patience {
    /// Of one request.
    pub(crate) timeout: Duration,
    /// Tries of one request.
    pub(crate) max_try: u32,
    /// Wait between two tries.
    pub(crate) retry_pause: Duration,
}

impl Patience {
    /// `timeout`, `max_try` and `retry_pause`.
    pub(crate) fn open(settings: &ClientConfig<'_>) -> Result<Self, OpenError> {
        let timeout = match settings.count("timeout", 2, 0)? {
            0 => LONGEST,
            seconds => Duration::from_secs(seconds.into()),
        };
        Ok(Self {
            timeout,
            max_try: settings.count("max_try", 2, 1)?,
            retry_pause: Duration::from_secs(settings.count("retry_pause", 1, 1)?.into()),
        })
    }
}

/// Which keys are asked for, and in which form.
pub(crate) struct Keys {
    /// `type:name`, for messages.
    pub(crate) table: String,
    /// `key_format`.
    pub(crate) format: Template,
    /// `domain`.
    pub(crate) domains: DomainFilter,
}

impl Keys {
    /// The key in its format; `None` when there is nothing to ask for.
    pub(crate) fn fill(&mut self, key: &BStr) -> Result<Option<BString>, LookupError> {
        let admitted = self.domains.admits(key).map_err(|error| LookupError {
            table: self.table.clone(),
            ..error
        })?;
        Ok(if admitted {
            self.format.fill_query(key, &verbatim)
        } else {
            None
        })
    }

    /// Changes are not left out silently.
    pub(crate) fn tell_skipped(&self, what: &str, key: &BStr) {
        let (table, key) = (&self.table, shown(key));
        log::warn!("database {table}: skipping {what} for key {key}");
    }
}

/// The connection, made by `connect` when there is none that the server keeps open.
pub(crate) fn connection<E>(
    kept: &mut Option<Channel>,
    connect: impl FnOnce() -> Result<Channel, E>,
) -> Result<&mut Channel, E> {
    if !kept.as_mut().is_some_and(is_in_step) {
        *kept = None;
    }
    match kept {
        Some(channel) => Ok(channel),
        none => Ok(none.insert(connect()?)),
    }
}
