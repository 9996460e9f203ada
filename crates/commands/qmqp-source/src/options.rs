//! The command line of qmqp-source.

use crate::session::{Mail, request};
use postern_command::{Getopt, Opt};
use postern_sys::error_text;
use postern_traffic::source::{Pause, Plan};
use postern_traffic::{Endpoint, Family, count, nonnegative};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

/// Content without `-l`, headers included.
const LENGTH: usize = 1024;

/// The plan, the request that every session sends, and whether to count.
type Settings = (Plan, Rc<[u8]>, bool);

#[derive(Default)]
struct Raw {
    family: Family,
    counter: bool,
    attempts: Option<usize>,
    from: Option<OsString>,
    length: Option<usize>,
    messages: Option<usize>,
    host: Option<OsString>,
    recipients: Option<usize>,
    random: Option<u32>,
    fixed: Option<u32>,
    sessions: Option<usize>,
    to: Option<OsString>,
    verbose: u32,
}

/// Reads the process's arguments. The error is the text after `fatal: `.
pub(crate) fn read(program: &str) -> Result<Settings, String> {
    let mut raw = Raw::default();
    let mut getopt = Getopt::from_process("46cC:f:l:m:M:r:R:s:t:vw:");
    for option in getopt.by_ref() {
        if let Some(text) = option.complaint(program) {
            postern_command::complain!("{text}");
        }
        raw.take(option).ok_or_else(|| usage(program))?;
    }
    let operands = getopt.operands();
    let [target] = operands.as_slice() else {
        return Err(usage(program));
    };
    postern_maillog::set_verbose(raw.verbose);
    let pause = raw.pause().ok_or_else(|| usage(program))?;
    raw.settings(&target.to_string_lossy(), pause)
}

fn usage(program: &str) -> String {
    format!(
        "usage: {program} -cv -s sess -l msglen -m msgs -C count -M myhostname -f from -t to \
         -R delay -w delay host[:port]"
    )
}

impl Raw {
    /// `None` for a bad option or value.
    fn take(&mut self, option: Opt) -> Option<()> {
        match option {
            Opt::Flag('4') => self.family = Family::V4,
            Opt::Flag('6') => self.family = Family::V6,
            Opt::Flag('c') => self.counter = true,
            Opt::Value('C', value) => self.attempts = Some(count(&value)?),
            Opt::Value('f', value) => self.from = Some(value),
            Opt::Value('l', value) => self.length = Some(count(&value)?),
            Opt::Value('m', value) => self.messages = Some(count(&value)?),
            Opt::Value('M', value) => self.host = Some(value),
            Opt::Value('r', value) => self.recipients = Some(count(&value)?),
            Opt::Value('R', value) => self.random = Some(nonnegative(&value)?),
            Opt::Value('s', value) => self.sessions = Some(count(&value)?),
            Opt::Value('t', value) => self.to = Some(value),
            Opt::Flag('v') => self.verbose += 1,
            Opt::Value('w', value) => self.fixed = Some(nonnegative(&value)?),
            _ => return None,
        }
        Some(())
    }

    fn pause(&self) -> Option<Pause> {
        match (
            self.fixed.filter(|f| *f > 0),
            self.random.filter(|r| *r > 0),
        ) {
            (Some(_), Some(_)) => None,
            (Some(fixed), None) => Some(Pause::Fixed(fixed)),
            (None, Some(random)) => Some(Pause::UpTo(random)),
            (None, None) => Some(Pause::None),
        }
    }

    fn settings(self, target: &str, pause: Pause) -> Result<Settings, String> {
        let endpoint =
            Endpoint::to_connect(target, "628", self.family).map_err(|error| error.to_string())?;
        let host = match self.host {
            Some(name) => name.into_vec(),
            None => postern_sys::user::host_name()
                .map_err(|error| format!("gethostname: {}", error_text(&error)))?
                .into_bytes(),
        };
        let default = [b"foo@".as_slice(), &host].concat();
        let address =
            |given: Option<OsString>| given.map_or_else(|| default.clone(), OsString::into_vec);
        let mail = Mail {
            sender: address(self.from),
            recipient: address(self.to),
            recipients: self.recipients.unwrap_or(1),
            length: self.length.unwrap_or(LENGTH),
            host,
        };
        let plan = Plan {
            endpoint,
            sessions: self.sessions.unwrap_or(1),
            messages: self.messages.unwrap_or(1),
            pause,
            attempts: self.attempts.unwrap_or(1),
            window: None,
        };
        Ok((plan, request(&mail).into(), self.counter))
    }
}
