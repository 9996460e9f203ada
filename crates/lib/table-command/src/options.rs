//! The command line.

use bstr::BString;
use postern_command::{Getopt, Opt, usage};
use postern_dict::Flags;
use postern_maillog::fatal;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::Dialect;

/// Exit status for a wrong command line.
const FAILED: u8 = 1;

/// What the program shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Build tables, or add to them.
    Create,
    /// `-d`; `-` stands for the keys on standard input.
    Delete(BString),
    /// `-q`; likewise.
    Query(BString),
    /// `-s`.
    List,
}

/// The parsed command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to do.
    pub action: Action,
    /// `-c`.
    pub directory: Option<PathBuf>,
    /// Table flags: folding, duplicates, NUL forms, UTF-8, values that are file names.
    pub flags: Flags,
    /// `-i`.
    pub incremental: bool,
    /// Unless `-o`: act as the source's owner.
    pub as_owner: bool,
    /// Unless `-p`: take the source's permission bits.
    pub keep_mode: bool,
    /// `-h`.
    pub headers: bool,
    /// `-b`.
    pub body: bool,
    /// `-m`.
    pub mime: bool,
    /// `-j`.
    pub json: bool,
    /// The tables.
    pub operands: Vec<String>,
}

/// The three actions that exclude each other, as they come.
#[derive(Default)]
struct Chosen {
    query: Option<BString>,
    delete: Option<BString>,
    list: bool,
}

impl Chosen {
    fn by_key(&self) {
        if self.list || self.query.is_some() || self.delete.is_some() {
            fatal!("specify only one of -s -q or -d");
        }
    }
    fn by_list(&mut self) {
        if self.query.is_some() || self.delete.is_some() {
            fatal!("specify only one of -s or -q or -d");
        }
        self.list = true;
    }
    fn action(self) -> Action {
        match self {
            Self {
                query: Some(key), ..
            } => Action::Query(key),
            Self {
                delete: Some(key), ..
            } => Action::Delete(key),
            Self { list: true, .. } => Action::List,
            _ => Action::Create,
        }
    }
}

impl Options {
    /// Reads the process's command line; ends the program when it is wrong.
    pub fn from_process<D: Dialect>() -> Self {
        Self::parse::<D>(std::env::args_os().skip(1))
    }

    fn new() -> Self {
        Self {
            action: Action::Create,
            directory: None,
            flags: Flags::DUP_WARN | Flags::LOCK | Flags::FOLD_FIX | Flags::UTF8_REQUEST,
            incremental: false,
            as_owner: true,
            keep_mode: true,
            headers: false,
            body: false,
            mime: false,
            json: false,
            operands: Vec::new(),
        }
    }

    fn parse<D: Dialect>(args: impl IntoIterator<Item = OsString>) -> Self {
        let mut options = Self::new();
        let mut chosen = Chosen::default();
        let (mut verbose, mut force_utf8) = (0, false);
        let mut letters = Getopt::new(D::LETTERS, args);
        for option in &mut letters {
            match option {
                Opt::Value('c', directory) => options.directory = Some(PathBuf::from(directory)),
                Opt::Value('d', key) => {
                    chosen.by_key();
                    chosen.delete = Some(BString::from(key.into_vec()));
                }
                Opt::Value('q', key) => {
                    chosen.by_key();
                    chosen.query = Some(BString::from(key.into_vec()));
                }
                Opt::Flag('s') => chosen.by_list(),
                Opt::Flag('v') => {
                    verbose += 1;
                    postern_maillog::set_verbose(verbose);
                }
                Opt::Flag('U') => force_utf8 = true,
                Opt::Flag(letter) => options.switch(letter),
                bad => {
                    if let Some(complaint) = bad.complaint(D::NAME) {
                        postern_command::complain!("{complaint}");
                    }
                    usage(FAILED, format_args!("{}", D::USAGE));
                }
            }
        }
        options.operands = letters
            .operands()
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        options.action = chosen.action();
        options.check(force_utf8);
        if options.operands.is_empty() && options.action != Action::List {
            usage(FAILED, format_args!("{}", D::USAGE));
        }
        options
    }

    fn switch(&mut self, letter: char) {
        let duplicates = Flags::DUP_WARN | Flags::DUP_IGNORE | Flags::DUP_REPLACE;
        match letter {
            'b' => self.body = true,
            'f' => self.flags = self.flags.without(Flags::FOLD_FIX),
            'F' => self.flags |= Flags::SRC_RHS_IS_FILE,
            'h' => self.headers = true,
            'i' => self.incremental = true,
            'j' => self.json = true,
            'm' => self.mime = true,
            'n' => self.flags |= Flags::TRY0NULL,
            'N' => self.flags |= Flags::TRY1NULL,
            'o' => self.as_owner = false,
            'p' => self.keep_mode = false,
            'r' => self.flags = self.flags.without(duplicates) | Flags::DUP_REPLACE,
            'w' => self.flags = self.flags.without(duplicates) | Flags::DUP_IGNORE,
            'u' => self.flags = self.flags.without(Flags::UTF8_REQUEST),
            _ => {}
        }
    }

    fn check(&mut self, force_utf8: bool) {
        let stream = self.action == Action::Query(BString::from("-"));
        let message = self.headers || self.body;
        if (message || self.mime) && !stream {
            fatal!("specify -b -h or -m only with \"-q -\"");
        }
        if self.mime && !message {
            log::warn!("ignoring -m option without -b or -h");
            self.mime = false;
        }
        if self.json && !matches!(self.action, Action::Query(_) | Action::List) {
            fatal!("option -j requires -q or -s");
        }
        if message && !force_utf8 {
            self.flags = self.flags.without(Flags::UTF8_REQUEST);
        }
    }
}
