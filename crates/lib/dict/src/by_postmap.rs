//! Database tables for set-gid commands: postmap(1) answers their rare questions.
//!
//! postdrop(1) and postqueue(1) start for every message and every listing, and ask a table only when an
//! administrator puts one into `authorized_submit_users` or its like. Carrying database clients and
//! cryptography would make each start slower and the set-gid code many times larger. A service of
//! proxymap(8) is no way out: its sockets are private to the mail system.

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown};

struct ByPostmap {
    type_name: String,
    flags: Flags,
    program: PathBuf,
    directory: PathBuf,
}

/// Opens `type_name` for lookups; whether it can be served shows with the first one.
pub(crate) fn open(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    if mode != OpenMode::Read {
        return Err(OpenError(format!(
            "{type_name}: this program only reads tables of this type"
        )));
    }
    Ok(Box::new(ByPostmap {
        type_name: type_name.to_owned(),
        flags: flags | Flags::FIXED,
        program: Path::new(&config.get(params::COMMAND_DIRECTORY)).join("postmap"),
        directory: config.directory(),
    }))
}

impl ByPostmap {
    /// Runs `postmap -q -` for one key. As input the key can be anything but several lines.
    fn run(&self, key: &BStr) -> io::Result<Output> {
        let mut child = Command::new(&self.program)
            .arg("-c")
            .arg(&self.directory)
            .args(["-q", "-", &self.type_name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            match input.write_all(&[key.as_bytes(), b"\n"].concat()) {
                // Its status and its words say why it did not wait for the key.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    drop(input);
                    child.wait()?;
                    return Err(error);
                }
                _ => {}
            }
        }
        child.wait_with_output()
    }
}

impl Table for ByPostmap {
    fn name(&self) -> &str {
        &self.type_name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let fail = |why: String| {
            log::warn!("{}: {why}", self.type_name);
            Err(LookupError::retry(self.type_name.clone(), why))
        };
        if key.is_empty() || key.contains(&b'\n') {
            return Ok(None);
        }
        match self.run(key) {
            Ok(output) => answer(key, &output).or_else(fail),
            Err(error) => fail(format!(
                "run {}: {}",
                self.program.display(),
                io_text(&error)
            )),
        }
    }
}

/// What postmap(1) said. A status alone cannot tell "not found" from "failed"; who failed says so.
fn answer(key: &BStr, output: &Output) -> Result<Option<BString>, String> {
    if output.status.success() {
        let line = output
            .stdout
            .strip_suffix(b"\n")
            .unwrap_or(&output.stdout)
            .strip_prefix(key.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\t"));
        return line
            .map(|value| Some(BString::from(value)))
            .ok_or_else(|| "unexpected answer of postmap".to_owned());
    }
    if output.status.code() == Some(1) && output.stdout.is_empty() && output.stderr.is_empty() {
        return Ok(None);
    }
    let said = output.stderr.lines().next().unwrap_or_default();
    Err(format!("postmap: {}: {}", output.status, shown(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child writes the program: a handle of our own could be open in a child of another test just then,
    /// and what is open for writing does not run.
    fn install(program: &Path, script: &str) {
        let status = Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\n%s\n' \"$2\" >\"$1\" && chmod 755 \"$1\"",
                "-",
            ])
            .arg(program)
            .arg(script)
            .status();
        assert!(status.unwrap().success());
    }

    #[test]
    fn an_answer_is_found_absent_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("postmap");
        #[rustfmt::skip]
        let cases: &[(&str, Result<Option<&str>, ()>)] = &[
            // what the program does with the key on its input, answer
            ("read key; printf '%s\\tone two\\n' \"$key\"", Ok(Some("one two"))),
            ("read key; exit 1",                             Ok(None)),
            ("exit 1",                                       Ok(None)),
            ("read key; echo 'fatal: no' >&2; exit 1",       Err(())),
            ("read key; exit 75",                            Err(())),
            ("read key; echo other",                         Err(())),
            ("kill -9 $$",                                   Err(())),
        ];
        for (script, want) in cases {
            install(&program, script);
            let text = format!("command_directory = {}\n", dir.path().display());
            let config = Config::from_text(&text).unwrap();
            let mut table = open(&config, "mysql:/x", OpenMode::Read, Flags::NONE).unwrap();
            let got = table.lookup(BStr::new("user"));
            match want {
                Ok(value) => assert_eq!(got, Ok(value.map(BString::from)), "{script}"),
                Err(()) => assert!(got.is_err(), "{script}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let config = Config::from_text("command_directory = /nonexistent\n").unwrap();
        let mut table = open(&config, "ldap:/x", OpenMode::Read, Flags::NONE).unwrap();
        assert!(table.lookup(BStr::new("user")).is_err());
    }
}
