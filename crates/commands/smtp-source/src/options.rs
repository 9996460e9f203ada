//! The command line of smtp-source.

use crate::message::{Body, Content};
use postern_command::{Getopt, Opt};
use postern_sys::error_text;
use postern_traffic::source::{Pause, Plan};
use postern_traffic::{Endpoint, Family, count, positive};
use std::ffi::{OsStr, OsString};
use std::path::Path;

const LETTERS: &str = "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:";

/// Everything that the options say.
pub(crate) struct Settings {
    pub(crate) plan: Plan,
    pub(crate) content: Content,
    /// End the program when the server says no.
    pub(crate) abort: bool,
    /// Show how many messages are sent.
    pub(crate) counter: bool,
}

/// The options as they are read; names follow the manual page.
#[derive(Default)]
struct Raw {
    family: Family,
    keep_going: bool,
    counter: bool,
    attempts: Option<usize>,
    keep_connection: bool,
    from: Option<OsString>,
    file: Option<OsString>,
    length: Option<usize>,
    lmtp: bool,
    messages: Option<usize>,
    host: Option<OsString>,
    number: bool,
    old: bool,
    recipients: Option<usize>,
    random: Option<u32>,
    fixed: Option<u32>,
    sessions: Option<usize>,
    subject: Option<OsString>,
    to: Option<OsString>,
    window: Option<usize>,
    verbose: u32,
}

/// Reads the process's arguments. The error is the text after `fatal: `.
pub(crate) fn read(program: &str) -> Result<Settings, String> {
    let mut raw = Raw::default();
    let mut getopt = Getopt::from_process(LETTERS);
    for option in getopt.by_ref() {
        raw.take(option, program)?;
    }
    let operands = getopt.operands();
    let [target] = operands.as_slice() else {
        return Err(usage(program));
    };
    postern_maillog::set_verbose(raw.verbose);
    raw.settings(target)
}

fn usage(program: &str) -> String {
    format!(
        "usage: {program} -cdLNov -s sess -l msglen -m msgs -C count -M myhostname -f from -t to \
         -r rcptcount -R delay -w delay host[:port]"
    )
}

fn bad(what: &str, value: &OsStr) -> String {
    format!("bad {what}: {}", value.to_string_lossy())
}

impl Raw {
    fn take(&mut self, option: Opt, program: &str) -> Result<(), String> {
        let counted = |what, value: &OsStr| count(value).ok_or_else(|| bad(what, value)).map(Some);
        let delay = |what, value: &OsStr| positive(value).ok_or_else(|| bad(what, value)).map(Some);
        match option {
            Opt::Flag('4') => self.family = Family::V4,
            Opt::Flag('6') => self.family = Family::V6,
            Opt::Flag('A') => self.keep_going = true,
            Opt::Flag('c') => self.counter = true,
            Opt::Value('C', value) => self.attempts = counted("connection count", &value)?,
            Opt::Flag('d') => self.keep_connection = true,
            Opt::Value('f', value) => self.from = Some(value),
            Opt::Value('F', value) => self.file = Some(value),
            Opt::Value('l', value) => self.length = counted("message length", &value)?,
            Opt::Flag('L') => self.lmtp = true,
            Opt::Value('m', value) => self.messages = counted("message count", &value)?,
            Opt::Value('M', value) => self.host = Some(value),
            Opt::Flag('N') => self.number = true,
            Opt::Flag('o') => self.old = true,
            Opt::Value('r', value) => self.recipients = counted("recipient count", &value)?,
            Opt::Value('R', value) => self.random = delay("random delay", &value)?,
            Opt::Value('s', value) => self.sessions = counted("session count", &value)?,
            Opt::Value('S', value) => self.subject = Some(value),
            Opt::Value('t', value) => self.to = Some(value),
            Opt::Value('T', value) => self.window = counted("TCP window size", &value)?,
            Opt::Flag('v') => self.verbose += 1,
            Opt::Value('w', value) => self.fixed = delay("fixed delay", &value)?,
            bad => {
                if let Some(text) = bad.complaint(program) {
                    postern_command::complain!("{text}");
                }
                return Err(usage(program));
            }
        }
        Ok(())
    }

    fn pause(&self) -> Result<Pause, String> {
        match (self.fixed, self.random) {
            (Some(_), Some(_)) => Err("do not use -w and -R options at the same time".to_owned()),
            (Some(fixed), None) => Ok(Pause::Fixed(fixed)),
            (None, Some(random)) => Ok(Pause::UpTo(random)),
            (None, None) => Ok(Pause::None),
        }
    }

    fn settings(self, target: &OsStr) -> Result<Settings, String> {
        let pause = self.pause()?;
        let body = match (&self.file, self.length) {
            (Some(_), Some(_)) => return Err("-l option cannot be used with -F".to_owned()),
            (Some(file), None) => match std::fs::read(Path::new(file)) {
                Ok(text) => Body::of_file(&text),
                Err(error) => {
                    let shown = file.to_string_lossy();
                    return Err(format!("open {shown}: {}", error_text(&error)));
                }
            },
            (None, Some(length)) => Body::of_length(length),
            (None, None) => Body::default_text(),
        };
        let endpoint = Endpoint::to_connect(&target.to_string_lossy(), "smtp", self.family)
            .map_err(|error| error.to_string())?;
        let host = host_name(self.host)?;
        let default = [b"foo@".as_slice(), &host].concat();
        let address = |given: Option<OsString>| given.map_or_else(|| default.clone(), bytes);
        let content = Content {
            sender: address(self.from),
            recipient: address(self.to),
            host,
            recipients: self.recipients.unwrap_or(1),
            number: self.number,
            lmtp: self.lmtp,
            old: self.old,
            keep_connection: self.keep_connection,
            subject: self.subject.map(bytes),
            body,
        };
        Ok(Settings {
            plan: Plan {
                endpoint,
                sessions: self.sessions.unwrap_or(1),
                messages: self.messages.unwrap_or(1),
                pause,
                attempts: self.attempts.unwrap_or(1),
                window: self.window,
            },
            content,
            abort: !self.keep_going,
            counter: self.counter,
        })
    }
}

fn bytes(text: OsString) -> Vec<u8> {
    use std::os::unix::ffi::OsStringExt;
    text.into_vec()
}

fn host_name(given: Option<OsString>) -> Result<Vec<u8>, String> {
    match given {
        Some(name) => Ok(bytes(name)),
        None => postern_sys::user::host_name()
            .map(String::into_bytes)
            .map_err(|error| format!("gethostname: {}", error_text(&error))),
    }
}
