//! master.cf: entries as text, and as the services that master(8) runs.
//!
//! [`entries`] splits the file into fields, which is all that postconf(1) wants. [`services`] checks
//! every field as master(8) does (source: master(5), and the reference's messages).

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::computed::{reason, valid_hostname};
use crate::config::Config;
use crate::lines::{logical_lines, orphan_warning, to_text};
use crate::words::{split_grouped, unbrace};
use crate::{ConfigError, Level};

/// Number of fields before the arguments.
pub const FIELDS: usize = 8;

/// Names of the fields, as postconf(1) shows them.
pub const FIELD_NAMES: [&str; FIELDS] = [
    "service",
    "type",
    "private",
    "unprivileged",
    "chroot",
    "wakeup",
    "process_limit",
    "command",
];

/// One logical line of master.cf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// First physical line.
    pub line: usize,
    /// Last physical line that gave text.
    pub last_line: usize,
    /// The joined text.
    pub text: String,
    /// At most eight fields; the last is the command's name.
    pub fields: Vec<String>,
    /// The command's arguments as they stand in the file, `{…}` groups whole.
    pub arguments: Vec<String>,
}

/// Splits master.cf text into entries; `warn` gets the warnings.
#[must_use]
pub fn entries(path: &str, content: &[u8], mut warn: impl FnMut(String)) -> Vec<Entry> {
    logical_lines(content, |_, text| warn(orphan_warning(path, text)))
        .into_iter()
        .map(|line| entry(line.first, line.last, to_text(&line.text)))
        .collect()
}

/// Splits one logical line.
#[must_use]
pub fn entry(line: usize, last_line: usize, text: String) -> Entry {
    let mut rest = text.as_str();
    let mut fields = Vec::with_capacity(FIELDS);
    while fields.len() < FIELDS {
        rest = rest.trim_start_matches(is_blank);
        let end = rest.find(is_blank).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        fields.push(rest[..end].to_string());
        rest = &rest[end..];
    }
    let arguments = split_grouped(rest, is_blank)
        .into_iter()
        .map(str::to_string)
        .collect();
    Entry {
        line,
        last_line,
        fields,
        arguments,
        text,
    }
}

/// What separates fields; other white space is part of them.
const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Checks fields as postconf(1) does, which is stricter than master(8); `text` is what the complaint
/// quotes.
pub fn check_fields(fields: &[String], text: &str) -> Result<(), String> {
    fields
        .iter()
        .enumerate()
        .take(FIELDS)
        .try_for_each(|(index, field)| check_field(index, field, text))
}

/// As [`check_fields`], for the field at `index`.
pub fn check_field(index: usize, field: &str, text: &str) -> Result<(), String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_valid = match index {
        1 => ServiceType::from_name(field).is_some(),
        2..=4 => matches!(field, "y" | "n" | "-"),
        5 => field == "-" || is_number(field.strip_suffix('?').unwrap_or(field)),
        6 => field == "-" || is_number(field),
        _ => true,
    };
    if is_valid {
        return Ok(());
    }
    let name = FIELD_NAMES.get(index).copied().unwrap_or_default();
    Err(format!("invalid {name} field \"{field}\" in \"{text}\""))
}

/// Checks the number of fields and every field of every entry, as postconf(1) does before anything.
pub fn check_text(path: &str, content: &[u8]) -> Result<(), String> {
    for entry in entries(path, content, drop) {
        if entry.fields.len() < FIELDS {
            return Err(format!("file {path}: line {}: bad field count", entry.line));
        }
        check_fields(&entry.fields, &entry.text)?;
    }
    Ok(())
}

/// How clients reach a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// A TCP port.
    Inet,
    /// A UNIX-domain stream socket.
    Unix,
    /// A named pipe.
    Fifo,
    /// A UNIX-domain stream socket over which connections are handed on.
    Pass,
    /// A UNIX-domain datagram socket.
    UnixDgram,
}

impl ServiceType {
    /// The word in master.cf.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Unix => "unix",
            Self::Fifo => "fifo",
            Self::Pass => "pass",
            Self::UnixDgram => "unix-dgram",
        }
    }

    /// Reads the word in master.cf.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Inet,
            Self::Unix,
            Self::Fifo,
            Self::Pass,
            Self::UnixDgram,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// A service that master(8) runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// First line in master.cf.
    pub line: usize,
    /// The name as written; for `inet`, `[host:]port`.
    pub name: String,
    /// How clients reach it.
    pub kind: ServiceType,
    /// Reachable for the mail system only.
    pub private: bool,
    /// Runs as mail_owner.
    pub unprivileged: bool,
    /// Runs in a jail below queue_directory.
    pub chroot: bool,
    /// Seconds between wake-ups; 0 is never.
    pub wakeup: u32,
    /// Whether wake-ups wait for the first use (`?`).
    pub wakeup_after_use: bool,
    /// Most processes; `None` is default_process_limit, 0 no limit.
    pub process_limit: Option<u32>,
    /// Program in daemon_directory.
    pub command: String,
    /// Its arguments, without the braces of groups.
    pub arguments: Vec<String>,
}

/// All services, with what is to be logged about them.
#[derive(Debug, Clone, Default)]
pub struct MasterCf {
    /// In file order.
    pub services: Vec<Service>,
    /// Lines to log with `warning: `.
    pub warnings: Vec<String>,
    /// Lines to log as they are.
    pub notices: Vec<String>,
}

/// Reads `DIR/master.cf` of `config`.
pub fn load(config: &Config) -> Result<MasterCf, ConfigError> {
    let path = config.directory().join("master.cf");
    let content = read(&path)?;
    services(&path.to_string_lossy(), &content, config.level())
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::Open {
        path: path.to_string_lossy().into_owned(),
        reason: reason(&error),
    })
}

/// Checks every entry of master.cf text, at compatibility level `level`.
pub fn services(path: &str, content: &[u8], level: Level) -> Result<MasterCf, ConfigError> {
    let mut found = MasterCf::default();
    for entry in entries(path, content, |text| found.warnings.push(text)) {
        let fields = FieldReader {
            path,
            entry: &entry,
            next: 1,
        };
        let (service, is_old_chroot) = fields.service(level)?;
        if is_old_chroot {
            let line = entry.line;
            found.notices.push(format!(
                "{path}: line {line}: using backwards-compatible default setting chroot=y"
            ));
        }
        found.services.push(service);
    }
    Ok(found)
}

/// Reads an entry's fields from left to right.
struct FieldReader<'a> {
    path: &'a str,
    entry: &'a Entry,
    next: usize,
}

impl<'a> FieldReader<'a> {
    fn service(mut self, level: Level) -> Result<(Service, bool), ConfigError> {
        let name = self.entry.fields.first().cloned().unwrap_or_default();
        let kind_name = self.text("transport type")?;
        let kind = ServiceType::from_name(kind_name)
            .ok_or_else(|| self.refuse(format!("bad transport type: {kind_name}")))?;
        let private = self.flag("private")?.unwrap_or(true);
        if kind == ServiceType::Inet {
            if private {
                return Err(self.refuse("inet service cannot be private".to_string()));
            }
            split_inet_name(&name).map_err(|what| self.refuse(format!("{what} in \"{name}\"")))?;
        }
        let unprivileged = self.flag("unprivileged")?.unwrap_or(true);
        let chroot = self.flag("chroot")?;
        let is_old_chroot = chroot.is_none() && level < Level::new(1, 0);
        let (wakeup, wakeup_after_use) = self.wakeup()?;
        let process_limit = self.number("max_proc")?;
        let command = self.text("command")?.to_string();
        let arguments = self.arguments()?;
        let service = Service {
            line: self.entry.line,
            name,
            kind,
            private,
            unprivileged,
            chroot: chroot.unwrap_or(is_old_chroot),
            wakeup,
            wakeup_after_use,
            process_limit,
            command,
            arguments,
        };
        Ok((service, is_old_chroot))
    }

    fn refuse(&self, reason: String) -> ConfigError {
        ConfigError::MasterEntry {
            path: self.path.to_string(),
            line: self.entry.line,
            reason,
        }
    }

    /// The next field; `None` is `-`.
    fn field(&mut self, what: &str) -> Result<Option<&'a str>, ConfigError> {
        let field = self
            .entry
            .fields
            .get(self.next)
            .ok_or_else(|| self.refuse(format!("missing \"{what}\" field")))?;
        self.next += 1;
        Ok((field != "-").then_some(field.as_str()))
    }

    fn bad(&self, what: &str, text: &str) -> ConfigError {
        self.refuse(format!("field \"{what}\": bad value: \"{text}\""))
    }

    fn text(&mut self, what: &str) -> Result<&'a str, ConfigError> {
        self.field(what)?
            .ok_or_else(|| self.refuse(format!("field \"{what}\" has no default value")))
    }

    fn flag(&mut self, what: &str) -> Result<Option<bool>, ConfigError> {
        match self.field(what)? {
            None => Ok(None),
            Some("y") => Ok(Some(true)),
            Some("n") => Ok(Some(false)),
            Some(text) => Err(self.bad(what, text)),
        }
    }

    /// A number; what follows its digits is ignored.
    fn number(&mut self, what: &str) -> Result<Option<u32>, ConfigError> {
        let Some(text) = self.field(what)? else {
            return Ok(None);
        };
        leading_number(text)
            .map(Some)
            .ok_or_else(|| self.bad(what, text))
    }

    fn wakeup(&mut self) -> Result<(u32, bool), ConfigError> {
        let Some(text) = self.field("wakeup_time")? else {
            return Ok((0, false));
        };
        let seconds = leading_number(text).ok_or_else(|| self.bad("wakeup_time", text))?;
        Ok((seconds, text.ends_with('?')))
    }

    fn arguments(&self) -> Result<Vec<String>, ConfigError> {
        self.entry
            .arguments
            .iter()
            .map(|argument| {
                if !argument.starts_with('{') {
                    return Ok(argument.clone());
                }
                unbrace(argument)
                    .map(str::to_string)
                    .map_err(|reason| self.refuse(reason))
            })
            .collect()
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u32 = text[..end].parse().ok()?;
    i32::try_from(number).is_ok().then_some(number)
}

/// The parts of an `inet` service name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InetName<'a> {
    /// Host name or address, without brackets; `None` is every address of inet_interfaces.
    pub host: Option<&'a str>,
    /// Port number or service name.
    pub port: &'a str,
}

/// Splits `[host:]port`. Whether the names exist is for the caller to find out.
///
/// # Errors
///
/// What is wrong with the name, which the text does not repeat.
pub fn split_inet_name(name: &str) -> Result<InetName<'_>, &'static str> {
    let (host, port, is_bracketed) = if let Some(inner) = name.strip_prefix('[') {
        let Some((host, rest)) = inner.split_once(']') else {
            return Err("missing \"]\"");
        };
        match rest.strip_prefix(':') {
            Some(port) => (host, port, true),
            None if rest.is_empty() => return Err("missing service information"),
            None => return Err("garbage after \"]\""),
        }
    } else {
        match name.rsplit_once(':') {
            Some((host, port)) => (host, port, false),
            None => ("", name, false),
        }
    };
    if port.is_empty() {
        return Err("missing service information");
    }
    if port.starts_with(|character: char| character.is_ascii_digit())
        && !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err("garbage after numerical service");
    }
    if host.is_empty() && !is_bracketed {
        return Ok(InetName { host: None, port });
    }
    let address = host
        .get(..5)
        .filter(|tag| tag.eq_ignore_ascii_case("ipv6:"))
        .map_or(host, |_| &host[5..]);
    if address.parse::<IpAddr>().is_err() && valid_hostname(host).is_err() {
        return Err("valid hostname or network address required");
    }
    Ok(InetName {
        host: Some(address),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Service>, String> {
        services("/m", text.as_bytes(), Level::new(3, 6))
            .map(|found| found.services)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn fields_have_their_defaults() {
        let services = read("# c\nqmgr unix n - - 300? 1 qmgr -v\n  -o { a = b c }\n").unwrap();
        let want = Service {
            line: 2,
            name: "qmgr".into(),
            kind: ServiceType::Unix,
            private: false,
            unprivileged: true,
            chroot: false,
            wakeup: 300,
            wakeup_after_use: true,
            process_limit: Some(1),
            command: "qmgr".into(),
            arguments: vec!["-v".into(), "-o".into(), "a = b c".into()],
        };
        assert_eq!(services, [want]);
    }

    #[test]
    fn chroot_is_on_below_level_one() {
        let found = services("/m", b"a unix - - - - - a\n", Level::default()).unwrap();
        assert!(found.services[0].chroot);
        assert_eq!(
            found.notices,
            ["/m: line 1: using backwards-compatible default setting chroot=y"]
        );
    }

    #[test]
    fn bad_entries_are_refused_in_the_reference_words() {
        let rows = [
            ("a", "missing \"transport type\" field"),
            ("a unix", "missing \"private\" field"),
            (
                "a - n n n - 1 x",
                "field \"transport type\" has no default value",
            ),
            ("a foo n n n - 1 x", "bad transport type: foo"),
            ("a inet - n n - 1 x", "inet service cannot be private"),
            ("a unix z n n - 1 x", "field \"private\": bad value: \"z\""),
            ("a unix Y n n - 1 x", "field \"private\": bad value: \"Y\""),
            (
                "a unix n n n x 1 x",
                "field \"wakeup_time\": bad value: \"x\"",
            ),
            (
                "a unix n n n ?1 1 x",
                "field \"wakeup_time\": bad value: \"?1\"",
            ),
            (
                "a unix n n n - -1 x",
                "field \"max_proc\": bad value: \"-1\"",
            ),
            (
                "a unix n n n - 1 -",
                "field \"command\" has no default value",
            ),
            ("a unix n n n - 1", "missing \"command\" field"),
            ("a unix n n n - 1 x { a", "missing '}' in \"{ a\""),
            (
                "a unix n n n - 1 x {a}b",
                "syntax error after '}' in \"{a}b\"",
            ),
            ("[::1 inet n - n - 1 x", "missing \"]\" in \"[::1\""),
        ];
        for (text, want) in rows {
            assert_eq!(read(text), Err(format!("/m: line 1: {want}")), "{text}");
        }
        assert_eq!(
            read("a unix n n n 5x? 1x x").map(|all| (all[0].wakeup, all[0].wakeup_after_use)),
            Ok((5, true))
        );
    }

    #[test]
    fn inet_names_split_into_host_and_port() {
        let rows = [
            ("smtp", Ok((None, "smtp"))),
            (":25", Ok((None, "25"))),
            ("127.0.0.1:25", Ok((Some("127.0.0.1"), "25"))),
            ("[::1]:25", Ok((Some("::1"), "25"))),
            ("::1:25", Ok((Some("::1"), "25"))),
            ("a_b:25", Ok((Some("a_b"), "25"))),
            ("[x]:25", Ok((Some("x"), "25"))),
            ("[::1]25", Err("garbage after \"]\"")),
            ("[::1]", Err("missing service information")),
            ("localhost:", Err("missing service information")),
            ("a:b:c", Err("valid hostname or network address required")),
            ("[]:25", Err("valid hostname or network address required")),
            ("-x:25", Err("valid hostname or network address required")),
            (
                "1.2.3:25",
                Err("valid hostname or network address required"),
            ),
            ("127.0.0.1", Err("garbage after numerical service")),
        ];
        for (name, want) in rows {
            let got = split_inet_name(name).map(|inet| (inet.host, inet.port));
            assert_eq!(got, want, "{name}");
        }
    }
}
