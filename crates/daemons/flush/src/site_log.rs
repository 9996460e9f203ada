//! The logs below `flush/`: one file per site, a queue ID per line.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bstr::{BStr, ByteSlice};
use postern_ipc::flush::status;
use postern_mail::printable::escape;
use postern_queue::Queues;
use postern_queue_file::{Hashing, QueueId};
use postern_sys::error_text;
use postern_sys::lock::{LockMode, LockStyle, lock};

/// Distinct IDs of one log that are handled; more wait for the next time.
const FILTER_LIMIT: usize = 10_000;
/// Longest line: a queue ID and some.
const LINE_LIMIT: u64 = 256;
/// Mode bit by which the queue manager forgets dead destinations of a message.
const UNTHROTTLE_MODE: u32 = 0o740;

/// Whether the queue manager shall forget dead destinations of the messages sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unthrottle {
    /// Somebody asked for delivery.
    Yes,
    /// Housekeeping.
    No,
}

/// The directory of logs.
#[derive(Debug)]
pub(crate) struct SiteLogs {
    queues: Queues,
    directory: String,
}

impl SiteLogs {
    pub(crate) fn new(queues: Queues, directory: &str) -> Self {
        Self {
            queues,
            directory: directory.to_owned(),
        }
    }

    /// Path of a site's log. Site names become file names without any character that means something.
    fn path(&self, site: &[u8]) -> Option<PathBuf> {
        let name: String = site
            .iter()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte.to_ascii_lowercase())
                } else {
                    '_'
                }
            })
            .collect();
        let id = QueueId::parse(&name).ok()?;
        let hashing: &Hashing = self.queues.hashing();
        Some(hashing.path(&self.directory, &id))
    }

    /// Appends an ID.
    pub(crate) fn add(&self, site: &[u8], id: &QueueId) -> i32 {
        let Some(path) = self.path(site) else {
            return status::BAD;
        };
        match append(&path, id) {
            Ok(()) => status::OK,
            Err(error) => {
                log::warn!("update {}: {}", path.display(), error_text(&error));
                status::FAIL
            }
        }
    }

    /// Sends every message of a site's log and empties it.
    pub(crate) fn send(&self, site: &[u8], unthrottle: Unthrottle) -> i32 {
        let Some(path) = self.path(site) else {
            return status::BAD;
        };
        match self.send_log(&path, unthrottle) {
            Ok(_) => status::OK,
            Err(error) if error.kind() == io::ErrorKind::NotFound => status::OK,
            Err(error) => {
                log::warn!(
                    "open fast flush logfile {}: {}",
                    path.display(),
                    error_text(&error)
                );
                status::FAIL
            }
        }
    }

    /// Returns how many messages were sent.
    fn send_log(&self, path: &Path, unthrottle: Unthrottle) -> io::Result<usize> {
        let file = File::options().read(true).write(true).open(path)?;
        lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
        let ids = read_ids(&file, path)?;
        let sent = ids
            .iter()
            .filter(|id| self.send_file(id, unthrottle) == status::OK)
            .count();
        if !ids.is_empty() {
            file.set_len(0)?;
        }
        Ok(sent)
    }

    /// Makes one message due now: in incoming, with its time set back to the present.
    pub(crate) fn send_file(&self, id: &QueueId, unthrottle: Unthrottle) -> i32 {
        for queue in ["deferred", "incoming"] {
            let now = SystemTime::now();
            match self.queues.set_time(queue, id, now) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    log::warn!(
                        "{}: update file time stamps: {}",
                        self.queues.path(queue, id).display(),
                        error_text(&error)
                    );
                    return status::FAIL;
                }
            }
            if unthrottle == Unthrottle::Yes {
                let path = self.queues.path(queue, id);
                // A message that postsuper(1) has expired stays so: the bit is added to the others.
                if let Ok(meta) = fs::symlink_metadata(&path) {
                    let mode = (meta.mode() & 0o7777) | UNTHROTTLE_MODE;
                    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
                }
            }
            if queue == "deferred"
                && let Err(error) = self.queues.rename(id, "deferred", "incoming")
                && error.kind() != io::ErrorKind::NotFound
            {
                log::warn!(
                    "{id}: rename from deferred to incoming: {}",
                    error_text(&error)
                );
                return status::FAIL;
            }
            return status::OK;
        }
        status::OK
    }

    /// Sends what logs hold that nobody has read for `age`, and removes logs that stayed empty for
    /// `purge_age`. Returns whether anything was sent.
    pub(crate) fn refresh(&self, age: Duration, purge_age: Duration) -> bool {
        let mut any = false;
        for entry in self.queues.walk(&self.directory) {
            let path = match entry {
                Ok(entry) => entry.path,
                Err(error) => {
                    log::warn!("scan_dir: {}: {}", self.directory, error_text(&error));
                    continue;
                }
            };
            let Ok(status) = fs::metadata(&path) else {
                continue;
            };
            let since = |seconds: i64| {
                let then = SystemTime::UNIX_EPOCH
                    + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                SystemTime::now().duration_since(then).unwrap_or_default()
            };
            if status.len() == 0 {
                if since(status.mtime()) >= purge_age
                    && let Err(error) = fs::remove_file(&path)
                {
                    log::warn!("remove logfile {}: {}", path.display(), error_text(&error));
                }
            } else if since(status.atime()) >= age {
                match self.send_log(&path, Unthrottle::No) {
                    Ok(sent) => any |= sent > 0,
                    Err(error) => log::warn!(
                        "open fast flush logfile {}: {}",
                        path.display(),
                        error_text(&error)
                    ),
                }
            }
        }
        any
    }
}

fn append(path: &Path, id: &QueueId) -> io::Result<()> {
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    };
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()?
        }
        other => other?,
    };
    lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
    file.write_all(format!("{id}\n").as_bytes())
}

/// The distinct IDs of a log.
fn read_ids(mut file: &File, path: &Path) -> io::Result<HashSet<QueueId>> {
    file.rewind()?;
    let mut input = BufReader::new(file);
    let mut ids = HashSet::new();
    while ids.len() < FILTER_LIMIT {
        let mut line = Vec::new();
        if input
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        let text: &BStr = line.trim_end_with(|c| c == '\n').as_bstr();
        match QueueId::parse(text) {
            Ok(id) => {
                ids.insert(id);
            }
            Err(_) => {
                let shown = escape(&text[..text.len().min(10)]);
                log::warn!(
                    "bad queue id \"{shown}...\" in fast flush logfile {}",
                    path.display()
                );
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(root: &Path) -> SiteLogs {
        for name in ["flush", "deferred", "incoming"] {
            fs::create_dir(root.join(name)).expect("a directory");
        }
        SiteLogs::new(
            Queues::new(root, Hashing::new("", 1)),
            root.join("flush").to_str().expect("a path"),
        )
    }

    #[test]
    fn site_names_become_harmless_file_names() {
        let logs = SiteLogs::new(Queues::new(".", Hashing::new("", 1)), "flush");
        let name = |site: &[u8]| logs.path(site).map(|path| path.display().to_string());
        assert_eq!(
            name(b"Mail.Example-1.org"),
            Some("flush/mail_example_1_org".to_owned())
        );
        assert_eq!(
            name(b"../../etc/passwd"),
            Some("flush/______etc_passwd".to_owned())
        );
        assert_eq!(name(b""), None);
    }

    #[test]
    fn sent_message_moves_to_incoming_and_the_log_is_emptied() {
        let directory = tempfile::tempdir().expect("a directory");
        let logs = logs(directory.path());
        let id = QueueId::parse("ABC123").expect("valid");
        fs::write(directory.path().join("deferred/ABC123"), "x").expect("a file");
        let log = directory.path().join("flush/site_example");
        append(&log, &id).expect("append");
        append(&log, &id).expect("append");
        let sent = logs.send_log(&log, Unthrottle::Yes).expect("readable");
        assert_eq!(sent, 1);
        assert!(directory.path().join("incoming/ABC123").exists());
        assert_eq!(fs::metadata(&log).expect("kept").len(), 0);
    }
}
