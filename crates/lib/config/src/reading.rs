//! Which main.cf to read, and when it is safe to read it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Config, ConfigError, DEFAULT_DIRECTORY, computed, words};

pub(crate) fn open_error(path: &Path, error: &std::io::Error) -> ConfigError {
    if error.kind() == std::io::ErrorKind::IsADirectory {
        let (path, reason) = (path.display(), computed::reason(error));
        return ConfigError::Text(format!("read {path}: {reason}"));
    }
    ConfigError::Open {
        path: path.to_string_lossy().into_owned(),
        reason: computed::reason(error),
    }
}

/// Reads a file until it has been left alone for a second, so that a half-written file is not taken
/// for the whole. Times in the future do not count.
pub(crate) fn read_cool(path: &Path) -> Result<Vec<u8>, ConfigError> {
    const QUIET: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(300);
    loop {
        let before = SystemTime::now();
        let content = fs::read(path).map_err(|error| open_error(path, &error))?;
        let Ok(metadata) = fs::metadata(path) else {
            continue;
        };
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
        let changed = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        if changed + QUIET < before || changed > SystemTime::now() {
            return Ok(content);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Set-id programs read other people's configuration only where the administrator allows it.
pub(crate) fn check_directory(directory: &Path) -> Result<(), ConfigError> {
    use nix::unistd::{getegid, geteuid, getgid, getuid};
    let is_set_id = geteuid() != getuid() || getegid() != getgid();
    if !is_set_id || getuid().is_root() {
        return Ok(());
    }
    require_listed(directory)
}

/// Whether the default main.cf lists `directory`, or it is the default one.
pub(crate) fn require_listed(directory: &Path) -> Result<(), ConfigError> {
    if directory == Path::new(DEFAULT_DIRECTORY) {
        return Ok(());
    }
    let default = Config::load_from(Path::new(DEFAULT_DIRECTORY))?;
    let wanted = directory.to_string_lossy();
    let is_listed = ["alternate_config_directories", "multi_instance_directories"]
        .iter()
        .filter_map(|name| default.set_text(name))
        .any(|list| words::words(&list).any(|word| word == wanted));
    if is_listed {
        return Ok(());
    }
    Err(ConfigError::UnauthorizedDirectory {
        directory: wanted.into_owned(),
        default_main_cf: default.main_cf(),
    })
}
