//! `postfix logrotate`: puts the log file aside, has a new one made, and compresses the old one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use postern_config::params;
use postern_sys::clock::{LocalTime, local_now};
use postern_sys::error_text;

use crate::program::{Failure, Program};

impl Program {
    /// Rotates the log file; `has_operands` is a mistake.
    pub(crate) fn rotate_log(&self, has_operands: bool) -> Result<u8, Failure> {
        if has_operands {
            return Err(Failure::new("usage postfix logrotate (no arguments)"));
        }
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
        self.rotate(&file, &compressor, &suffix).map_err(|reason| {
            Failure::new(format!("logfile '{file}' rotation failed: {reason}"))
        })?;
        Ok(0)
    }

    fn rotate(&self, file: &str, compressor: &str, suffix: &str) -> Result<(), String> {
        // The suffix is one word of a command line elsewhere.
        if let Some(extra) = suffix.split_ascii_whitespace().nth(1) {
            return Err(format!("date: extra operand '{extra}'"));
        }
        let old = format!("{file}.{}", format_time(suffix.trim(), &local_now()));
        if let Err(error) = fs::symlink_metadata(file) {
            return Err(format!("mv: cannot stat '{file}': {}", error_text(&error)));
        }
        fs::rename(file, &old).map_err(|error| {
            format!(
                "mv: cannot move '{file}' to '{old}': {}",
                error_text(&error)
            )
        })?;
        if self.tell_master_to_reopen() {
            // Processes finish their lines in the old file.
            std::thread::sleep(Duration::from_secs(1));
        }
        compress(compressor, Path::new(&old))
    }
}

/// Runs the compressor; what it has to say is the reason when it fails.
fn compress(compressor: &str, file: &Path) -> Result<(), String> {
    let output = Command::new(compressor)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{compressor}: not found"),
            _ => format!("{compressor}: {}", error_text(&error)),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().collect::<Vec<_>>().join(""))
}

/// date(1), as far as file names need it; other conversions stay as they are.
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
            Some('e') => out.push_str(&format!("{:2}", time.day)),
            Some('H') => out.push_str(&format!("{:02}", time.hour)),
            Some('M') => out.push_str(&format!("{:02}", time.minute)),
            Some('S') => out.push_str(&format!("{:02}", time.second)),
            Some('s') => out.push_str(&postern_sys::clock::unix_time().to_string()),
            Some('b' | 'h') => out.push_str(MONTHS.get(month_index(time)).unwrap_or(&"")),
            Some('F') => out.push_str(&format_time("%Y-%m-%d", time)),
            Some('T') => out.push_str(&format_time("%H:%M:%S", time)),
            Some('R') => out.push_str(&format_time("%H:%M", time)),
            Some('D') => out.push_str(&format_time("%m/%d/%y", time)),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn month_index(time: &LocalTime) -> usize {
    usize::from(time.month).wrapping_sub(1)
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
        assert_eq!(format_time("%b", &time), "Nov");
    }

    #[test]
    fn a_compressor_that_fails_gives_the_reason() {
        let run = |program: &str| compress(program, Path::new("/nonexistent"));
        assert_eq!(run("true"), Ok(()));
        assert_eq!(run("false"), Err(String::new()));
        assert_eq!(
            run("no-such-program"),
            Err("no-such-program: not found".into())
        );
        assert!(run("cat").is_err_and(|reason| reason.contains("/nonexistent")));
    }
}
