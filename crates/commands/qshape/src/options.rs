//! The command line of qshape.

use postern_command::{Getopt, Opt};
use std::ffi::{OsStr, OsString};

/// What the options say.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) by_sender: bool,
    pub(crate) parents: bool,
    pub(crate) min_subdomains: usize,
    pub(crate) buckets: usize,
    /// Minutes of the first bucket.
    pub(crate) bucket_time: u64,
    pub(crate) linear: bool,
    /// `--json`: an object instead of the table.
    pub(crate) json: bool,
    pub(crate) width: usize,
    /// Messages between two pictures on a terminal.
    pub(crate) batch: usize,
    /// Domains in a picture on a terminal.
    pub(crate) top: usize,
    pub(crate) config: Option<OsString>,
    pub(crate) queues: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            by_sender: false,
            parents: false,
            min_subdomains: 5,
            buckets: 10,
            bucket_time: 5,
            linear: false,
            json: false,
            width: NARROWEST,
            batch: 1000,
            top: 20,
            config: None,
            queues: vec!["incoming".into(), "active".into()],
        }
    }
}

/// Terminals are at least this wide.
const NARROWEST: usize = 80;
/// More buckets than this only repeat "never".
const MOST_BUCKETS: usize = 48;

/// The command line was wrong; the user has been told.
#[derive(Debug)]
pub(crate) struct Usage;

/// Reads the process's arguments.
pub(crate) fn read(program: &str) -> Result<Options, Usage> {
    let mut getopt = Getopt::from_process("spm:b:t:lw:N:n:c:");
    let mut options = Options {
        json: getopt.take_long("--json"),
        ..Options::default()
    };
    for option in getopt.by_ref() {
        match option {
            Opt::Flag('s') => options.by_sender = true,
            Opt::Flag('p') => options.parents = true,
            Opt::Flag(_) => options.linear = true,
            Opt::Value('c', value) => options.config = Some(value),
            Opt::Value(letter, value) => options.number(letter, &value),
            Opt::Unknown(letter) => {
                return Err(usage(program, &format!("Unknown option: {letter}")));
            }
            Opt::Missing(letter) => {
                return Err(usage(
                    program,
                    &format!("Option {letter} requires an argument"),
                ));
            }
        }
    }
    let operands = getopt.operands();
    if !operands.is_empty() {
        options.queues = operands;
    }
    Ok(options)
}

impl Options {
    /// Takes a number; what is none, or 0, leaves the default.
    fn number(&mut self, letter: char, value: &OsStr) {
        let Some(number) = value.to_str().and_then(|text| text.parse::<usize>().ok()) else {
            postern_command::complain!("Argument \"{}\" isn't numeric", value.to_string_lossy());
            return;
        };
        if number == 0 {
            return;
        }
        match letter {
            'm' => self.min_subdomains = number,
            'b' => self.buckets = number.min(MOST_BUCKETS),
            't' => self.bucket_time = u64::try_from(number).unwrap_or(u64::MAX),
            'w' => self.width = number.max(NARROWEST),
            'N' => self.batch = number,
            _ => self.top = number,
        }
    }
}

fn usage(program: &str, complaint: &str) -> Usage {
    postern_command::complain!(
        "{program}: {complaint}
Usage: {program} [ -s ] [ -p ] [ -m <min_subdomains> ] [ -l ]
\t[ -b <bucket_count> ] [ -t <bucket_time> ] [ -w <terminal_width> ]
\t[ -N <batch_msg_count> ] [ -n <batch_top_domains> ]
\t[ -c <config_directory> ] [ <queue_name> ... ]
Counts recipients per domain and age; with -s, messages per sender domain.
With -p, parent domains that have at least <min_subdomains> domains below
them (default 5) get a line of their own, with a dot before the name.

Each age limit is twice the one before, from <bucket_time> minutes on; with
-l, all are multiples of <bucket_time>. The last of <bucket_count> columns
counts what is older than every limit.

Queues are directories below queue_directory, or absolute paths; by default
incoming and active."
    );
    Usage
}
