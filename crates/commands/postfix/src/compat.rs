//! `postfix check --compat`: what of a configuration would behave differently here than under Postfix.
//! Reads only; neither root nor a queue is needed.
//!
//! The exit status tells scripts: 0 nothing differs, 1 something does, 2 it cannot be told.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use postern_command::json_string;
use postern_config::DEFAULT_DIRECTORY;
use postern_config::compat::{Difference, Installation, What, differences};

/// The status for a configuration that cannot be read.
const UNKNOWN: u8 = 2;

fn write_out(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Compares the configuration in `directory`, or in the usual place.
pub(crate) fn run(directory: Option<&Path>, json: bool) -> ExitCode {
    let directory = directory.map_or_else(default_directory, Path::to_path_buf);
    let home = home();
    let types = table_types(&home);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let programs = daemon_directory(&home);
    let installation = Installation {
        table_types: &types,
        has_program: &|name| programs.join(name).is_file(),
    };
    match differences(&directory, &installation) {
        Ok(found) => {
            let list: String = found
                .iter()
                .map(|line| {
                    if json {
                        as_json(line)
                    } else {
                        line.to_string()
                    }
                })
                .map(|line| line + "\n")
                .collect();
            if let Err(error) = write_out(&list) {
                postern_command::complain!("postfix: fatal: {}", postern_sys::error_text(&error));
                return ExitCode::from(UNKNOWN);
            }
            if found.is_empty() && !json && std::io::stderr().is_terminal() {
                postern_command::complain!("{}: no differences", directory.display());
            }
            ExitCode::from(u8::from(!found.is_empty()))
        }
        Err(error) => {
            postern_command::complain!("postfix: fatal: {error}");
            ExitCode::from(UNKNOWN)
        }
    }
}

/// A difference for programs.
fn as_json(difference: &Difference) -> String {
    let text = |text: &str| json_string(text.as_bytes());
    let (kind, subject, other) = match &difference.what {
        What::Parameter { name, value, .. } => ("parameter", name, value),
        What::TableType { name, kind, .. } => ("table type", name, kind),
        What::Program { service, command } => ("program", service, command),
    };
    format!(
        "{{\"file\": {}, \"line\": {}, \"kind\": \"{kind}\", \"name\": {}, \"value\": {}, \"text\": {}}}",
        text(&difference.place.path),
        difference.place.line,
        text(subject),
        text(other),
        text(&difference.to_string())
    )
}

fn default_directory() -> PathBuf {
    std::env::var_os("MAIL_CONFIG").map_or_else(|| DEFAULT_DIRECTORY.into(), PathBuf::from)
}

/// Where this program is. The programs beside it count, not those that main.cf names: these may still be
/// Postfix's.
fn home() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_default()
}

/// The daemons of an installation, or of a build folder, where all programs are together.
fn daemon_directory(home: &Path) -> PathBuf {
    let installed = home.join("../lib/postfix/sbin");
    if installed.join("master").is_file() {
        installed
    } else {
        home.to_path_buf()
    }
}

/// What `postconf -m` says.
fn table_types(home: &Path) -> Vec<String> {
    let output = Command::new(home.join("postconf"))
        .arg("-m")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or_else(
        |_| Vec::new(),
        |output| {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().map(str::to_owned).collect()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_beside_the_commands_or_with_them() {
        let root = tempfile::tempdir().unwrap();
        let sbin = root.path().join("usr/sbin");
        std::fs::create_dir_all(&sbin).unwrap();
        assert_eq!(daemon_directory(&sbin), sbin);
        let libexec = root.path().join("usr/lib/postfix/sbin");
        std::fs::create_dir_all(&libexec).unwrap();
        std::fs::write(libexec.join("master"), "").unwrap();
        assert_eq!(
            daemon_directory(&sbin).canonicalize().unwrap(),
            libexec.canonicalize().unwrap()
        );
    }
}
