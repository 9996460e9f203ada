//! postlog: writes text to the mail log, for scripts. Manual page: postlog(1).
#![forbid(unsafe_code)]

use postern_command::{Getopt, Opt, clean_environment, load_config};
use postern_maillog::{Echo, Severity, fatal};
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

/// Longest line that is read from standard input; the rest of it becomes the next line.
const LINE_LIMIT: u64 = 2048;

/// Runs the program.
pub fn main() -> ExitCode {
    let echo = if std::io::stderr().is_terminal() {
        Echo::Stderr
    } else {
        Echo::Nothing
    };
    postern_command::begin("postlog");
    postern_maillog::set_echo(echo);
    postern_maillog::set_stderr_name("postfix/postlog");
    postern_maillog::allow_direct_file();
    let mut request = Request::default();
    let mut getopt = Getopt::from_process("c:ip:t:v");
    for option in getopt.by_ref() {
        request.add(option);
    }
    // As the usage, this is no matter for the mail log.
    let severity = request.severity();
    let words = getopt.operands();
    postern_maillog::set_verbose(request.verbose);
    let config = load_config(request.directory.as_deref().map(Path::new));
    clean_environment(&config);
    if let Some(tag) = &request.tag {
        postern_maillog::set_tag(tag);
        postern_maillog::set_stderr_name(tag);
    }
    if words.is_empty() {
        log_input(severity);
    } else {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        postern_maillog::log(severity, &words.join(" "));
    }
    ExitCode::SUCCESS
}

#[derive(Debug, Default)]
struct Request {
    directory: Option<OsString>,
    priority: Option<String>,
    tag: Option<String>,
    verbose: u32,
}

impl Request {
    fn add(&mut self, option: Opt) {
        match option {
            Opt::Value('c', directory) => self.directory = Some(directory),
            Opt::Value('p', priority) => {
                self.priority = Some(priority.to_string_lossy().into_owned())
            }
            Opt::Value('t', tag) => self.tag = Some(tag.to_string_lossy().into_owned()),
            // The process id is always part of the tag.
            Opt::Flag('i') => {}
            Opt::Flag('v') => self.verbose += 1,
            bad => {
                if let Some(text) = bad.complaint("postlog") {
                    postern_command::complain!("{text}");
                }
                fatal!("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]");
            }
        }
    }

    fn severity(&self) -> Severity {
        let name = self.priority.as_deref().unwrap_or("info");
        severity(name).unwrap_or_else(|| fatal!("bad severity: \"{name}\""))
    }
}

fn severity(name: &str) -> Option<Severity> {
    Some(match name.to_ascii_lowercase().as_str() {
        "info" => Severity::Info,
        "warn" | "warning" => Severity::Warning,
        "error" | "err" => Severity::Error,
        "fatal" | "crit" => Severity::Fatal,
        "panic" => Severity::Panic,
        _ => return None,
    })
}

/// Logs standard input line by line.
fn log_input(severity: Severity) {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut input, LINE_LIMIT);
        match limited.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                if text.len() == line.len() {
                    skip_line(&mut input);
                }
                // What follows a null byte is not shown.
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                postern_maillog::log(severity, &String::from_utf8_lossy(text));
            }
            Err(error) => fatal!("read standard input: {}", postern_sys::error_text(&error)),
        }
    }
}

/// Skips the rest of a line of which enough was read.
fn skip_line(input: &mut impl BufRead) {
    while let Ok(buffer) = input.fill_buf() {
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (length, is_last) = (end.map_or(buffer.len(), |at| at + 1), end.is_some());
        input.consume(length);
        if is_last || length == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_severities_are_known() {
        let cases = [
            ("info", Some(Severity::Info)),
            ("warn", Some(Severity::Warning)),
            ("warning", Some(Severity::Warning)),
            ("error", Some(Severity::Error)),
            ("err", Some(Severity::Error)),
            ("fatal", Some(Severity::Fatal)),
            ("crit", Some(Severity::Fatal)),
            ("panic", Some(Severity::Panic)),
            ("bogus", None),
        ];
        for (name, want) in cases {
            assert_eq!(severity(name), want, "{name}");
        }
    }
}
