//! `postfix logrotate`: puts the log file aside, has a new one made, and compresses the old one.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use postern_config::params;
use postern_sys::clock::local_now;
use postern_sys::error_text;

use crate::program::{Failure, Program};

impl Program {
    pub(crate) fn rotate_log(&self) -> Result<u8, Failure> {
        let file = self.config.get(params::MAILLOG_FILE);
        let compressor = self.config.get(params::MAILLOG_FILE_COMPRESSOR);
        let suffix = self.config.get(params::MAILLOG_FILE_ROTATE_SUFFIX);
        for (name, value) in [
            ("maillog_file", &file),
            ("maillog_file_compressor", &compressor),
            ("maillog_file_rotate_suffix", &suffix),
        ] {
            if value.is_empty() {
                return Err(Failure::new(format!(
                    "empty '{name}' parameter value - logfile rotation failed"
                )));
            }
        }
        if file.starts_with("/dev/") {
            return Err(Failure::new(format!("not rotating '{file}'")));
        }
        let old = format!("{file}.{}", local_now().format(&suffix));
        fs::rename(&file, &old).map_err(|error| {
            Failure::new(format!("rename {file} to {old}: {}", error_text(&error)))
        })?;
        if self.tell_master_to_reopen() {
            // Processes finish their lines in the old file.
            std::thread::sleep(Duration::from_secs(1));
        }
        let status = Command::new(&compressor)
            .arg(&old)
            .stdin(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(0),
            Ok(status) => Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
            Err(error) => Err(Failure::new(format!(
                "{compressor}: {}",
                error_text(&error)
            ))),
        }
    }
}
