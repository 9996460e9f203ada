//! A cache in a lookup table, for daemons that keep what they learned: verify(8), postscreen(8),
//! tlsmgr(8).
//!
//! A table that cannot be opened or used costs only what the cache would have saved: every problem
//! is logged here, and the caller goes on. Expired entries are dropped by a sweep that the caller
//! drives in small steps, so that clients do not wait for it.

use std::path::Path;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use postern_sys::clock::unix_time;
use postern_sys::file::umask;
use postern_sys::user::{self, User};

use crate::error::shown;
use crate::{
    Flags, Lookup, OpenError, OpenMode, Surrogate, Table, check_creatable, create, split_type_name,
    try_open,
};

/// Key of the entry that holds when the last sweep ended.
const LAST_SWEEP: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";
/// Time that one step of a sweep may take, but for its last entry.
const STEP_TIME: Duration = Duration::from_millis(10);
/// Table types whose name is a file of the daemon's own.
const FILE_TYPES: [&str; 3] = ["btree", "hash", "lmdb"];

/// How a cache is used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Name of a cache in memory, for an empty table name.
    pub default: &'static str,
    /// Time between sweeps; zero is never.
    pub interval: Duration,
    /// What a process before this one has stored is worth nothing, and nobody else may read what is
    /// stored now. Sweeps are not worth a line in the log.
    pub scratch: bool,
}

/// An open cache.
pub struct Cache {
    /// `type:name` as the administrator knows it.
    name: String,
    table: Box<dyn Table>,
    usage: Usage,
    /// When the next step of a sweep is due.
    due: Option<Instant>,
    sweep: Option<Sweep>,
}

/// A sweep that is going on.
#[derive(Debug, Default)]
struct Sweep {
    started: bool,
    retained: u64,
    dropped: u64,
}

impl Cache {
    /// Opens the table as `owner`; an empty `type_name` is a cache in memory. The process may still be
    /// root, and must not be tricked by the name into writing elsewhere than `owner` may.
    pub fn open(config: &Config, type_name: &str, owner: &User, usage: Usage) -> Self {
        let name = if type_name.is_empty() {
            format!("internal:{}", usage.default)
        } else {
            redirect(config, type_name, owner)
        };
        // Locked for each operation only: after a reload the old process still has clients.
        let mut flags = Flags::DUP_REPLACE | Flags::LOCK;
        if !usage.scratch {
            flags |= Flags::SYNC_UPDATE;
        }
        let open = || {
            if usage.scratch {
                open_empty(config, &name, flags)
            } else {
                try_open(config, &name, OpenMode::ReadWriteCreate, flags)
            }
        };
        let opened = user::as_user(owner.uid, owner.gid, open);
        let opened = opened.unwrap_or_else(|error| Err(OpenError::io(&name, &error)));
        let table = opened.unwrap_or_else(|error| {
            log::error!("{error}");
            Box::new(Surrogate::new(&name, flags, &error))
        });
        let mut cache = Self {
            name,
            table,
            usage,
            due: None,
            sweep: None,
        };
        cache.plan();
        cache
    }

    /// Whether the table could be opened.
    pub fn is_usable(&self) -> bool {
        !self.table.flags().contains(Flags::SURROGATE)
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks a key up.
    ///
    /// # Errors
    ///
    /// Those of the table; already logged.
    pub fn lookup(&mut self, key: &BStr) -> Lookup {
        self.table.lookup(key).inspect_err(|error| {
            log::warn!(
                "{}: cache lookup for '{}' failed due to error",
                self.name,
                shown(key)
            );
            log::debug!("{error}");
        })
    }

    /// Stores a value. A failure is logged.
    pub fn update(&mut self, key: &BStr, value: &BStr) {
        if let Err(error) = self.table.update(key, value) {
            log::warn!("{}: could not update entry for {}", self.name, shown(key));
            log::debug!("{error}");
        }
    }

    /// Removes a key. A failure is logged.
    pub fn delete(&mut self, key: &BStr) {
        if let Err(error) = self.table.delete(key) {
            log::warn!("{}: could not delete entry for {}", self.name, shown(key));
            log::debug!("{error}");
        }
    }

    /// When [`Cache::step`] is to be called; `None` is never.
    pub fn next_step(&self) -> Option<Instant> {
        self.due
    }

    /// Goes on with the sweep for a moment, when it is due. `keep` decides about an entry.
    pub fn step(&mut self, mut keep: impl FnMut(&BStr, &BStr) -> bool) {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let mut sweep = self.sweep.take().unwrap_or_default();
        let end = Instant::now() + STEP_TIME;
        loop {
            let entry = self.table.sequence(!sweep.started);
            sweep.started = true;
            let (key, value) = match entry {
                Ok(Some(entry)) => entry,
                Ok(None) => return self.finish(&sweep),
                Err(error) => {
                    log::warn!("{}: {error}", self.name);
                    return self.finish(&sweep);
                }
            };
            if key != LAST_SWEEP {
                if keep(key.as_bstr(), value.as_bstr()) {
                    sweep.retained += 1;
                } else {
                    self.delete(key.as_bstr());
                    sweep.dropped += 1;
                }
            }
            if Instant::now() >= end {
                self.sweep = Some(sweep);
                self.due = Some(Instant::now());
                return;
            }
        }
    }

    /// Tells about a sweep that the end of the process cuts short.
    pub fn close(&mut self) {
        if let Some(sweep) = self.sweep.take()
            && !self.usage.scratch
        {
            self.report(&sweep, "partial");
        }
    }

    fn finish(&mut self, sweep: &Sweep) {
        if !self.usage.scratch {
            self.report(sweep, "full");
            let now = BString::from(unix_time().to_string());
            self.update(LAST_SWEEP.into(), now.as_bstr());
        }
        self.due = Some(Instant::now() + self.usage.interval);
    }

    fn report(&self, sweep: &Sweep, how: &str) {
        let Sweep {
            retained, dropped, ..
        } = sweep;
        log::info!(
            "cache {} {how} cleanup: retained={retained} dropped={dropped} entries",
            self.name
        );
    }

    /// Finds out when the first sweep of this process is due.
    fn plan(&mut self) {
        let interval = self.usage.interval;
        if interval.is_zero() || !self.is_usable() {
            return;
        }
        if self.usage.scratch {
            self.due = Some(Instant::now() + interval);
            return;
        }
        let last = self.table.lookup(LAST_SWEEP.into()).ok().flatten();
        let last = last.and_then(|text| text.to_str().ok()?.parse::<i64>().ok());
        // A time in the future is a clock that was wrong.
        let age = last
            .and_then(|last| u64::try_from(unix_time() - last).ok())
            .map(Duration::from_secs);
        let wait = age.map_or(Duration::ZERO, |age| interval.saturating_sub(age));
        self.due = Some(Instant::now() + wait);
    }
}

/// Opens a table that nobody else may read, and that is empty where its type can be made anew.
fn open_empty(config: &Config, name: &str, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    let mask = umask(0o077);
    if check_creatable(config, name).is_ok() {
        let emptied = create(config, name, flags)
            .and_then(|table| table.finish().map_err(|error| OpenError(error.to_string())));
        emptied.unwrap_or_else(|error| log::warn!("{error}"));
    }
    let table = try_open(config, name, OpenMode::ReadWriteCreate, flags);
    umask(mask);
    table
}

/// A file in a directory of somebody else moves to `data_directory`: old configurations have
/// caches in directories of root, where the mail system's user must not write.
fn redirect(config: &Config, type_name: &str, owner: &User) -> String {
    let default_type = config.get(params::DEFAULT_DATABASE_TYPE);
    let (kind, path) = split_type_name(type_name).unwrap_or((&default_type, type_name));
    if !FILE_TYPES.contains(&kind) {
        return type_name.to_owned();
    }
    let path = Path::new(path);
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let status = std::fs::metadata(directory);
    if status.is_ok_and(|status| std::os::unix::fs::MetadataExt::uid(&status) != owner.uid)
        && let Some(file) = path.file_name()
    {
        let data = config.get(params::DATA_DIRECTORY);
        log::warn!(
            "request to update table {kind}:{} in non-postfix directory {}",
            path.display(),
            directory.display()
        );
        log::warn!("redirecting the request to postfix-owned data_directory {data}");
        return format!("{kind}:{}", Path::new(&data).join(file).display());
    }
    format!("{kind}:{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> User {
        user::user_by_uid(user::euid()).unwrap().unwrap()
    }

    fn config(directory: &Path) -> Config {
        let text = format!(
            "data_directory = {}\ndefault_database_type = hash\n",
            directory.display()
        );
        Config::from_text(&text).unwrap()
    }

    fn usage(seconds: u64) -> Usage {
        Usage {
            default: "test",
            interval: Duration::from_secs(seconds),
            scratch: false,
        }
    }

    #[test]
    fn a_scratch_cache_starts_empty_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let usage = Usage {
            scratch: true,
            ..usage(100)
        };
        for kind in ["btree", "lmdb"] {
            let name = format!("{kind}:{}/cache", directory.path().display());
            let mut cache = Cache::open(&config, &name, &me(), usage);
            assert!(cache.next_step().unwrap() > Instant::now());
            cache.update("a".into(), "1".into());
            assert_eq!(cache.lookup("a".into()).unwrap().unwrap(), "1");
            drop(cache);
            let mut cache = Cache::open(&config, &name, &me(), usage);
            assert_eq!(cache.lookup("a".into()).unwrap(), None, "{kind}");
        }
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[test]
    fn a_sweep_keeps_what_is_wanted_and_remembers_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let usage = usage(100);
        let open = |name: &str| Cache::open(&config, name, &me(), usage);
        for name in [
            String::new(),
            format!("btree:{}/cache", directory.path().display()),
        ] {
            let mut cache = open(&name);
            cache.update("a".into(), "1".into());
            cache.update("b".into(), "2".into());
            assert!(cache.next_step().unwrap() <= Instant::now());
            // A busy machine needs more than one step.
            while cache.next_step().unwrap() <= Instant::now() {
                cache.step(|_, value| value == "2");
            }
            assert!(cache.next_step().unwrap() > Instant::now() + Duration::from_secs(90));
            assert_eq!(cache.lookup("a".into()).unwrap(), None);
            assert_eq!(cache.lookup("b".into()).unwrap().unwrap(), "2");
            cache.step(|_, _| panic!("no sweep is due"));
            drop(cache);
            if !name.is_empty() {
                assert!(open(&name).next_step().unwrap() > Instant::now());
            }
        }
    }

    #[test]
    fn a_table_that_cannot_be_opened_is_an_error_at_each_lookup() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut cache = Cache::open(&config, "btree:/nonexistent/x", &me(), usage(1));
        assert!(!cache.is_usable());
        assert!(cache.lookup("a".into()).is_err());
        assert_eq!(cache.next_step(), None);
    }

    #[test]
    fn files_in_foreign_directories_move_to_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let stranger = User {
            uid: me().uid + 1,
            ..me()
        };
        let own = format!("btree:{}/x", directory.path().display());
        assert_eq!(redirect(&config, &own, &me()), own);
        let moved = format!("hash:{}/x", directory.path().display());
        assert_eq!(redirect(&config, "hash:/etc/x", &stranger), moved);
        assert_eq!(redirect(&config, "x", &stranger), moved);
        for other in ["inline:{a=b}", "memcache:/etc/x"] {
            assert_eq!(redirect(&config, other, &stranger), other);
        }
    }
}
