//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use postern_command::Opt;

use crate::scan::Jobs;

/// Options; a colon follows those with a value.
pub(crate) const LETTERS: &str = "c:d:e:f:h:H:pr:sSv";

/// The text of a usage error.
pub(crate) const USAGE: &str = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] \
     [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] \
     [-r queue_id (requeue)] [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]";

/// Queues that are visited when the command line names none, in this order.
const DEFAULT_QUEUES: [&str; 8] = [
    "defer", "bounce", "maildrop", "incoming", "active", "deferred", "hold", "flush",
];

/// What is done to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Delete,
    Expire,
    /// Expires, and releases what is on hold.
    ExpireAndRelease,
    Hold,
    Release,
    Requeue,
}

impl Action {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'd' => Self::Delete,
            'e' => Self::Expire,
            'f' => Self::ExpireAndRelease,
            'h' => Self::Hold,
            'H' => Self::Release,
            'r' => Self::Requeue,
            _ => return None,
        })
    }

    /// The same for every file of a queue.
    pub(crate) fn jobs(self) -> Jobs {
        let none = Jobs::default();
        match self {
            Self::Delete => Jobs {
                delete: true,
                ..none
            },
            Self::Expire => Jobs {
                expire: true,
                ..none
            },
            Self::ExpireAndRelease => Jobs {
                expire: true,
                release: true,
                ..none
            },
            Self::Hold => Jobs { hold: true, ..none },
            Self::Release => Jobs {
                release: true,
                ..none
            },
            Self::Requeue => Jobs {
                requeue: true,
                ..none
            },
        }
    }
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All of the queues.
    All,
    /// Queue IDs from standard input.
    Input,
    /// What was given as queue ID.
    Id(Vec<u8>),
}

impl Target {
    fn new(text: &OsStr) -> Self {
        match text.as_bytes() {
            b"ALL" => Self::All,
            b"-" => Self::Input,
            id => Self::Id(id.to_vec()),
        }
    }
}

/// The whole command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// `-p`, `-s`, `-S`; done first.
    pub(crate) repair: Option<Jobs>,
    pub(crate) actions: Vec<(Action, Target)>,
    /// Names of queues, not yet checked.
    pub(crate) directories: Vec<String>,
    pub(crate) verbose: u32,
}

impl Request {
    /// The error is the option that is wrong.
    pub(crate) fn new(options: Vec<Opt>, operands: Vec<OsString>) -> Result<Self, Opt> {
        let mut request = Self::default();
        let mut repair = Jobs::default();
        for option in options {
            match option {
                Opt::Flag('p') => repair.purge = true,
                Opt::Flag('s') => repair.structure = true,
                Opt::Flag('S') => (repair.structure, repair.redundant) = (true, true),
                Opt::Flag('v') => request.verbose += 1,
                Opt::Value('c', _) => {}
                Opt::Value(letter, value) => match Action::of(letter) {
                    Some(action) => request.actions.push((action, Target::new(&value))),
                    None => return Err(Opt::Unknown(letter)),
                },
                bad => return Err(bad),
            }
        }
        if repair == Jobs::default() && request.actions.is_empty() {
            (repair.purge, repair.structure) = (true, true);
        }
        request.repair = (repair != Jobs::default()).then_some(repair);
        request.directories = operands
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        if request.directories.is_empty() {
            request.directories = DEFAULT_QUEUES.map(str::to_owned).to_vec();
        }
        Ok(request)
    }

    /// Whether single messages are named, by names that a repair may have changed.
    pub(crate) fn names_messages(&self) -> bool {
        self.actions
            .iter()
            .any(|(_, target)| *target != Target::All)
    }

    /// Whether one of these was asked for.
    pub(crate) fn has(&self, wanted: &[Action]) -> bool {
        self.actions
            .iter()
            .any(|(action, _)| wanted.contains(action))
    }
}

/// The value of the last `-c`.
pub(crate) fn config_directory(options: &[Opt]) -> Option<OsString> {
    options.iter().rev().find_map(|option| match option {
        Opt::Value('c', value) => Some(value.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_command::Getopt;

    fn request(args: &[&str]) -> Result<Request, Opt> {
        let mut getopt = Getopt::new(LETTERS, args.iter().map(OsString::from));
        let options = getopt.by_ref().collect();
        Request::new(options, getopt.operands())
    }

    #[test]
    fn without_an_operation_structure_and_old_files_are_checked() {
        let both = Some(Jobs {
            purge: true,
            structure: true,
            ..Jobs::default()
        });
        let request = request(&["-v", "hold"]).unwrap();
        assert_eq!((request.repair, request.verbose), (both, 1));
        assert_eq!(request.directories, ["hold"]);
    }

    #[test]
    fn operations_keep_their_order() {
        let request = request(&["-h", "ALL", "-d", "-", "-fA1"]).unwrap();
        assert_eq!(request.repair, None);
        let want = [
            (Action::Hold, Target::All),
            (Action::Delete, Target::Input),
            (Action::ExpireAndRelease, Target::Id(b"A1".to_vec())),
        ];
        assert_eq!(request.actions, want);
        assert!(request.names_messages());
        assert!(!Request::default().names_messages());
        assert_eq!(request.directories, DEFAULT_QUEUES);
    }

    #[test]
    fn bad_options_are_returned() {
        assert_eq!(request(&["-x"]), Err(Opt::Unknown('x')));
        assert_eq!(request(&["-d", "ALL", "-r"]), Err(Opt::Missing('r')));
    }
}
