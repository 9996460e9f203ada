//! postlogd: writes the log file for all other programs. Manual page: postlogd(8).
//!
//! Each datagram is one finished line. With an empty `maillog_file` (it was removed from main.cf
//! while programs still send here) lines go to syslog under the sender's name. This program knows
//! nothing about what the lines mean.
#![forbid(unsafe_code)]

mod record;

use postern_config::params;
use postern_maillog::mask;
use postern_server::{Context, DgramServer, Limits, Needs, ProcessLimit, StartError, dgram_server};
use record::Record;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    postern_maillog::never_use_postlogd();
    dgram_server::main::<Postlogd>()
}

struct Postlogd {
    /// The log file; `None` sends lines on to syslog.
    file: Option<File>,
    name: String,
    utf8: bool,
    line: Vec<u8>,
}

impl DgramServer for Postlogd {
    const NAME: &'static str = "postlogd";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let name = config.get(params::MAILLOG_FILE);
        let file = if name.is_empty() {
            None
        } else {
            Some(open(context, &name)?)
        };
        Ok(Self {
            file,
            name,
            utf8: config.get(params::SMTPUTF8_ENABLE),
            line: Vec::new(),
        })
    }

    fn adjust(&self, context: &Context, limits: &mut Limits) {
        limits.max_use = 0;
        limits.watchdog = context.config.get(params::POSTLOGD_WATCHDOG_TIMEOUT);
    }

    fn datagram(&mut self, _: &Context, data: &[u8]) {
        match &mut self.file {
            Some(file) => {
                self.line.clear();
                mask(&mut self.line, data, self.utf8);
                self.line.push(b'\n');
                if let Err(error) = file.write_all(&self.line) {
                    postern_maillog::fatal!(
                        "write logfile '{}': {}",
                        self.name,
                        postern_sys::error_text(&error)
                    );
                }
            }
            None => {
                let text = String::from_utf8_lossy(data);
                if let Some(record) = Record::parse(&text) {
                    postern_maillog::relay_to_syslog(record.severity, record.sender, record.text);
                }
            }
        }
    }
}

/// Opens the log file for appending, with the mode that main.cf asks for when it is new.
fn open(context: &Context, name: &str) -> Result<File, StartError> {
    let config = &context.config;
    let failed = |error: std::io::Error| {
        StartError::new(format!(
            "open logfile '{name}': {}",
            postern_sys::error_text(&error)
        ))
    };
    if name == "/dev/stdout" {
        return Ok(std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(failed)?
            .into());
    }
    let mode =
        u32::from_str_radix(&config.get(params::MAILLOG_FILE_PERMISSIONS), 8).unwrap_or(0o600);
    let is_new = !Path::new(name).exists();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .open(name)
        .map_err(failed)?;
    if is_new && config.is_set("maillog_file_permissions") {
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(failed)?;
    }
    Ok(file)
}
