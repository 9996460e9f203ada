//! The command line of smtp-sink.

use crate::behaviour::{Behaviour, Protocol};
use crate::capture::Dump;
use crate::commands::Failure;
use bstr::BStr;
use postern_command::{Getopt, Opt};
use postern_mail::printable::unescape;
use postern_traffic::sink::Limits;
use postern_traffic::{Endpoint, Family, count, nonnegative, positive};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

const LETTERS: &str = "468aA:b:B:cCd:D:eEf:Fh:H:Lm:M:n:NpPq:Q:r:R:s:S:t:T:u:vw:W:";

/// Everything that the options say.
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) backlog: i32,
    pub(crate) window: Option<usize>,
    pub(crate) user: Option<String>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) behaviour: Behaviour,
}

struct Raw {
    family: Family,
    window: Option<usize>,
    user: Option<OsString>,
    root: Option<PathBuf>,
    connections: usize,
    idle: u32,
    single: Option<OsString>,
    multi: Option<OsString>,
    start: Option<OsString>,
    verbose: u32,
    behaviour: Behaviour,
}

/// Why the options are wrong.
enum Wrong {
    Usage,
    Text(String),
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Reads the process's arguments. The error is the text after `fatal: `.
pub(crate) fn read(program: &str) -> Result<Settings, String> {
    read_all(program).map_err(|wrong| match wrong {
        Wrong::Text(text) => text,
        Wrong::Usage => format!(
            "usage: {program} [-468acCeEFLpPv] [-A abort_delay] [-b soft_bounce_reply] \
             [-B hard_bounce_reply] [-d dump-template] [-D dump-template] [-f commands] \
             [-h hostname] [-m max_concurrency] [-M message_quit_count] [-n quit_count] \
             [-q commands] [-r commands] [-R root-dir] [-s commands] [-S start-string] \
             [-u user_privs] [-w delay] [host]:port backlog"
        ),
    })
}

fn read_all(program: &str) -> Result<Settings, Wrong> {
    let mut raw = Raw {
        family: Family::Any,
        window: None,
        user: None,
        root: None,
        connections: 256,
        idle: 100,
        single: None,
        multi: None,
        start: None,
        verbose: 0,
        behaviour: Behaviour::default(),
    };
    let mut getopt = Getopt::from_process(LETTERS);
    for option in getopt.by_ref() {
        if let Some(text) = option.complaint(program) {
            postern_command::complain!("{text}");
        }
        match option {
            Opt::Flag(letter) => raw.flag(letter),
            Opt::Value(letter, value) => raw.value(letter, value)?,
            Opt::Unknown(_) | Opt::Missing(_) => return Err(Wrong::Usage),
        }
    }
    let operands = getopt.operands();
    let [place, backlog] = operands.as_slice() else {
        return Err(Wrong::Usage);
    };
    let backlog = positive(backlog).and_then(|backlog| i32::try_from(backlog).ok());
    let backlog = backlog.ok_or(Wrong::Usage)?;
    raw.settings(place, backlog)
}

/// A value of at least 1, or a complaint about it.
fn counted(what: &str, value: &OsStr) -> Result<usize, Wrong> {
    count(value).ok_or_else(|| Wrong::Text(format!("bad {what}: {}", value.to_string_lossy())))
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}

impl Raw {
    fn flag(&mut self, letter: char) {
        let Behaviour {
            features,
            protocol,
            pix,
            counters,
            ..
        } = &mut self.behaviour;
        match letter {
            '4' => self.family = Family::V4,
            '6' => self.family = Family::V6,
            '8' => features.eight_bit = false,
            'a' => features.auth = false,
            'c' => *counters = true,
            'C' => features.xclient = false,
            'e' => features.esmtp = false,
            'E' => features.enhanced = false,
            'F' => features.xforward = false,
            'L' => *protocol = Protocol::Lmtp,
            'N' => features.dsn = false,
            'p' => features.pipelining = false,
            'P' => {
                *pix = true;
                features.esmtp = false;
            }
            _ => self.verbose += 1,
        }
    }

    fn value(&mut self, letter: char, value: OsString) -> Result<(), Wrong> {
        let behaviour = &mut self.behaviour;
        let number = |value: &OsStr| nonnegative(value).map(seconds).ok_or(Wrong::Usage);
        match letter {
            'A' => behaviour.abort_after = Some(number(&value)?),
            'b' => behaviour.soft = reply(value, b'4', "bad soft error reply")?,
            'B' => behaviour.hard = reply(value, b'5', "bad hard error reply")?,
            'd' => self.single = Some(value),
            'D' => self.multi = Some(value),
            'f' => self.fail(&value, Failure::Hard)?,
            'h' => behaviour.host = value.into_vec(),
            'H' => {
                behaviour.read_delay =
                    Some(seconds(positive(&value).ok_or_else(|| {
                        format!("bad data read delay: {}", value.to_string_lossy())
                    })?))
            }
            'm' => self.connections = counted("concurrency limit", &value)?,
            'M' => behaviour.messages = Some(counted("message quit count", &value)?),
            'n' => behaviour.sessions = Some(counted("quit count", &value)?),
            'q' => behaviour.table.fail(&value, Failure::Disconnect)?,
            'Q' => behaviour.table.fail(&value, Failure::Closing)?,
            'r' => self.fail(&value, Failure::Soft)?,
            'R' => self.root = Some(value.into()),
            's' => behaviour.table.log(&value)?,
            'S' => self.start = Some(value),
            't' => {
                self.idle = positive(&value)
                    .ok_or_else(|| format!("bad timeout: {}", value.to_string_lossy()))?;
            }
            'T' => self.window = Some(counted("TCP window size", &value)?),
            'u' => self.user = Some(value),
            'w' => {
                let delay = positive(&value).ok_or(Wrong::Usage)?;
                behaviour
                    .table
                    .delay(OsStr::new(&format!("DATA:{delay}")))?;
            }
            _ => behaviour.table.delay(&value)?,
        }
        Ok(())
    }

    /// Rejected commands and pipelining do not go together: the client would lose count.
    fn fail(&mut self, names: &OsStr, failure: Failure) -> Result<(), Wrong> {
        self.behaviour.features.pipelining = false;
        Ok(self.behaviour.table.fail(names, failure)?)
    }

    fn settings(self, place: &OsStr, backlog: i32) -> Result<Settings, Wrong> {
        postern_maillog::set_verbose(self.verbose);
        let mut behaviour = self.behaviour;
        let text = |value: OsString| value.to_string_lossy().into_owned();
        behaviour.dump = match (self.single.map(text), self.multi.map(text)) {
            (Some(_), Some(_)) => {
                return Err(Wrong::Text(
                    "use only one of -d or -D, but not both".to_owned(),
                ));
            }
            (Some(template), None) => Dump::Single(template),
            (None, Some(template)) => Dump::Multi(template),
            (None, None) => Dump::None,
        };
        behaviour.start = self
            .start
            .map(|text| unescape(BStr::new(text.as_bytes())).into())
            .unwrap_or_default();
        if self.user.is_none() && postern_sys::user::uid() == 0 {
            return Err(Wrong::Text(
                "-u option is required if running as root".to_owned(),
            ));
        }
        let endpoint = Endpoint::to_listen(&place.to_string_lossy(), self.family)
            .map_err(|error| error.to_string())?;
        Ok(Settings {
            endpoint,
            backlog,
            window: self.window,
            user: self.user.map(text),
            root: self.root,
            limits: Limits {
                connections: self.connections,
                idle: seconds(self.idle),
                life: None,
            },
            behaviour,
        })
    }
}

/// A reply of the wanted class, with some text.
fn reply(value: OsString, class: u8, complaint: &str) -> Result<Vec<u8>, Wrong> {
    let text = value.into_vec();
    match text.as_slice() {
        [first, b, c, b' ' | b'-', _, ..]
            if *first == class && b.is_ascii_digit() && c.is_ascii_digit() =>
        {
            Ok(text)
        }
        _ => {
            log::error!("{complaint}: {}", String::from_utf8_lossy(&text));
            Err(Wrong::Usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_those_of_c() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8])] = &[
            (r"From me\n\t\101\x\\", b"From me\n\tAx\\"),
            (r"\0",                  b"\0"),
            (r"\1234",               b"S4"),
            (r"a\",                  b"a"),
        ];
        for (text, want) in cases {
            assert_eq!(unescape(BStr::new(text)), *want, "{text}");
        }
    }

    #[test]
    fn replies_need_their_class_and_a_text() {
        for (text, good) in [
            ("550 x", true),
            ("550", false),
            ("450 x", false),
            ("55x y", false),
        ] {
            assert_eq!(reply(text.into(), b'5', "bad").is_ok(), good, "{text}");
        }
    }
}
