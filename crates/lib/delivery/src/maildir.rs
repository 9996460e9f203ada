//! Delivery to a maildir (delivery.md §2.7).
//!
//! The message is complete and synced in `tmp` before it gets its name in `new`, and that name is
//! synced, too, before the recipient may be marked done: a power failure between the two would
//! otherwise leave a recipient marked and no message.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use postern_ipc::deliver::{Moment, Recipient};
use postern_queue::nursery::SLOW;
use postern_sys::{
    error_text,
    file::{spread_subdirectories, sync_directory},
    process, user,
};

use crate::Delivery;
use crate::copy::{CopyError, CopyOptions, copy};

/// Names tried for a temporary file.
const NAME_TRIES: u32 = 100;
/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;
/// Mode of directories made on demand.
const DIRECTORY_MODE: u32 = 0o700;

/// Why a maildir has no message. `Display` is the reason for the recipient.
#[derive(Debug, thiserror::Error)]
pub enum MaildirError {
    /// A file or directory could not be made.
    #[error(
        "maildir delivery failed: create maildir file {path}: {}",
        error_text(error)
    )]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The message could not be copied.
    #[error("maildir delivery failed: {0}")]
    Copy(#[from] CopyError),
    /// The identity of the mailbox owner could not be taken.
    #[error("maildir delivery failed: cannot become the mailbox owner: {}", error_text(.0))]
    Identity(io::Error),
}

impl MaildirError {
    /// Enhanced status, `default` for errors that have none of their own.
    pub fn status(&self, default: &'static str) -> &'static str {
        match self {
            Self::Create { error, .. } => crate::mail_status(error, default),
            Self::Copy(error) => error.status(),
            Self::Identity(_) => "4.3.0",
        }
    }

    /// Whether access was refused, which Postfix explains in two warnings.
    pub fn is_access_denied(&self) -> bool {
        matches!(self, Self::Create { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Delivers into `directory` (path without or with the final `/`) with the rights of `uid`/`gid`.
///
/// # Errors
///
/// [`MaildirError`]; nothing is left in the maildir then.
pub fn deliver(
    delivery: &Delivery,
    recipient: &Recipient,
    directory: &Path,
    uid: u32,
    gid: u32,
    options: &CopyOptions,
) -> Result<(), MaildirError> {
    let result = user::as_user(uid, gid, || {
        write_and_link(delivery, recipient, directory, options)
    })
    .map_err(MaildirError::Identity)?;
    if let Err(error) = &result
        && error.is_access_denied()
    {
        log::warn!(
            "maildir access problem for UID/GID={uid}/{gid}: {}",
            error
                .to_string()
                .trim_start_matches("maildir delivery failed: ")
        );
        log::warn!("perhaps you need to create the maildirs in advance");
    }
    result
}

fn write_and_link(
    delivery: &Delivery,
    recipient: &Recipient,
    directory: &Path,
    options: &CopyOptions,
) -> Result<(), MaildirError> {
    let host = host();
    let start = Moment::now();
    let (file, tmp) = create(directory, start, host)?;
    let result = fill(delivery, recipient, &file, options)
        .and_then(|()| publish(&file, &tmp, directory, start, host));
    if let Err(error) = fs::remove_file(&tmp) {
        log::warn!("remove {}: {}", tmp.display(), error_text(&error));
    }
    result
}

/// The host's name as file names can have it; it is asked for once.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        user::host_name()
            .unwrap_or_else(|_| "localhost".to_owned())
            .replace(['/', ':'], "_")
    })
}

/// One process may deliver several messages within a microsecond of a coarse clock, and process IDs
/// return: the count keeps the names apart.
fn temporary_name(start: Moment, host: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = process::id();
    if count == 0 {
        format!("{}.P{pid}.{host}", start.seconds)
    } else {
        format!("{}.P{pid}Q{count}.{host}", start.seconds)
    }
}

/// Makes the temporary file, under a name that no file has: what an earlier process could not remove
/// may have the first that comes to mind.
fn create(directory: &Path, start: Moment, host: &str) -> Result<(File, PathBuf), MaildirError> {
    let mut tries = 0;
    loop {
        let tmp = directory.join("tmp").join(temporary_name(start, host));
        let open = || {
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&tmp)
        };
        let result = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directories(&directory.join("tmp")).and_then(|()| open())
            }
            other => other,
        };
        tries += 1;
        match result {
            Ok(file) => return Ok((file, tmp)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => {}
            Err(error) => return Err(MaildirError::Create { path: tmp, error }),
        }
    }
}

/// Makes a directory of a maildir with its parents and syncs the parents of what it made.
fn make_directories(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|part| !part.exists()).count();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY_MODE);
    if let Some(maildir) = path.parent().filter(|_| missing > 1) {
        let begun = Instant::now();
        builder.create(maildir)?;
        let made = u32::try_from(missing - 1).unwrap_or(u32::MAX);
        if begun.elapsed() > SLOW.saturating_mul(made) {
            // Files that were deleted nearby make every creation slow, here and for each message (see
            // `postern_queue::nursery`). Only some file systems know the flag, and only those need it.
            let _ = spread_subdirectories(maildir);
        }
    }
    builder.create(path)?;
    for parent in path.ancestors().skip(1).take(missing) {
        // A parent that cannot be read cannot be synced either; the delivery itself decides.
        if let Err(error) = sync_directory(parent) {
            log::debug!("sync {}: {error}", parent.display());
        }
    }
    Ok(())
}

fn fill(
    delivery: &Delivery,
    recipient: &Recipient,
    file: &File,
    options: &CopyOptions,
) -> Result<(), MaildirError> {
    let size = usize::try_from(delivery.request.size).unwrap_or_default();
    // What surrounds the content fits, too, for nearly every message.
    let room = size.saturating_add(1024).min(BUFFER);
    let mut out = BufWriter::with_capacity(room, file);
    copy(delivery, recipient, options, &mut out)?;
    drop(out);
    file.sync_all()
        .map_err(|error| MaildirError::Copy(CopyError::Write(error)))
}

fn publish(
    file: &File,
    tmp: &Path,
    directory: &Path,
    start: Moment,
    host: &str,
) -> Result<(), MaildirError> {
    let failed = |error| MaildirError::Create {
        path: tmp.to_owned(),
        error,
    };
    let status = file.metadata().map_err(failed)?;
    let name = format!(
        "{}.V{:x}I{:x}M{}.{host}",
        start.seconds,
        status.dev(),
        status.ino(),
        start.microseconds
    );
    let new = directory.join("new");
    let path = new.join(name);
    let failed = |error| MaildirError::Create {
        path: path.clone(),
        error,
    };
    match fs::hard_link(tmp, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directories(&directory.join("cur")).map_err(failed)?;
            make_directories(&new).map_err(failed)?;
            fs::hard_link(tmp, &path).map_err(failed)?;
        }
        other => other.map_err(failed)?,
    }
    // The new name is a change of the file, too: journaling file systems bring both to the disk with
    // its sync. That works as well where a directory cannot be opened for reading.
    file.sync_all().map_err(|error| {
        // Not known to be durable: taken back and tried again later, rather than perhaps lost.
        let _ = fs::remove_file(&path);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_that_was_left_behind_does_not_stop_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let maildir = directory.path().join("a/b/Maildir");
        let start = Moment {
            seconds: 1_700_000_000,
            microseconds: 0,
        };
        let (_, first) = create(&maildir, start, "host").unwrap();
        // Whatever this process would choose next is taken.
        let pid = std::process::id();
        for count in 0..20 {
            let name = format!("{}.P{pid}Q{count}.host", start.seconds);
            fs::write(maildir.join("tmp").join(name), "old").unwrap();
        }
        let (file, second) = create(&maildir, start, "host").unwrap();
        assert_ne!(first, second);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
