//! `postfix logrotate`: puts the log file aside, has a new one made, and compresses the old one.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use postern_config::params;
use postern_sys::clock::{LocalTime, local_now};
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
        let old = format!("{file}.{}", format_time(&suffix, &local_now()));
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

/// strftime(3), as far as file names need it; other conversions stay as they are.
fn format_time(format: &str, time: &LocalTime) -> String {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('Y') => out.push_str(&time.year.to_string()),
            Some('y') => out.push_str(&format!("{:02}", time.year % 100)),
            Some('m') => out.push_str(&format!("{:02}", time.month)),
            Some('d') => out.push_str(&format!("{:02}", time.day)),
            Some('H') => out.push_str(&format!("{:02}", time.hour)),
            Some('M') => out.push_str(&format!("{:02}", time.minute)),
            Some('S') => out.push_str(&format!("{:02}", time.second)),
            Some('s') => out.push_str(&postern_sys::clock::unix_time().to_string()),
            Some('F') => out.push_str(&format_time("%Y-%m-%d", time)),
            Some('T') => out.push_str(&format_time("%H:%M:%S", time)),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_made_from_the_local_time() {
        let time = postern_sys::clock::local_time(1_700_000_000);
        let text = format_time("%Y%m%d-%H%M%S%%%q", &time);
        assert!(
            text.starts_with("2023111") && text.ends_with("%%q"),
            "{text}"
        );
        assert_eq!(text.len(), 18);
    }
}
