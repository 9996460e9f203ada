//! Where the bytes come from: a queue file found by its ID, a file, standard input.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;

use bstr::ByteSlice;
use postern_config::Config;
use postern_maillog::fatal;
use postern_queue::Queues;
use postern_queue_file::QueueId;
use postern_sys::error_text;

/// Queues in which messages are looked for.
const QUEUES: [&str; 6] = [
    "maildrop", "incoming", "active", "deferred", "hold", "saved",
];
/// Rounds of a search: a message may be moved from a queue not yet searched to one that was.
const ROUNDS: usize = 2;

/// Open input.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name in markers and messages.
    pub(crate) name: String,
    pub(crate) input: Input,
}

/// The bytes.
#[derive(Debug)]
pub(crate) enum Input {
    File(File),
    /// What came through a pipe, where there is no way back.
    Memory(Cursor<Vec<u8>>),
}

impl Source {
    /// Opens a file; failure ends the program.
    pub(crate) fn open(path: &Path) -> Self {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self {
                name,
                input: Input::File(file),
            },
            Err(error) => fatal!("open {name}: {}", error_text(&error)),
        }
    }

    /// Standard input; failure ends the program.
    pub(crate) fn stdin() -> Self {
        let input = || -> io::Result<Input> {
            let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            if file.stream_position().is_ok() {
                return Ok(Input::File(file));
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Input::Memory(Cursor::new(bytes)))
        };
        match input() {
            Ok(input) => Self {
                name: "stdin".to_owned(),
                input,
            },
            Err(error) => fatal!("read stdin: {}", error_text(&error)),
        }
    }
}

impl Source {
    /// The first byte; `None` when there is none, or when it cannot be read, which the next read
    /// will tell.
    pub(crate) fn first_letter(&mut self) -> Option<u8> {
        let mut letter = [0];
        let length = self.input.read(&mut letter).ok()?;
        self.input
            .seek(SeekFrom::Current(-i64::try_from(length).ok()?))
            .ok()?;
        letter.get(..length)?.first().copied()
    }
}

/// Looks for messages by ID.
#[derive(Debug)]
pub(crate) struct Finder {
    queues: Queues,
}

impl Finder {
    /// The working directory is the queue directory.
    pub(crate) fn new(config: &Config) -> Self {
        let hashing = postern_queue::hashing(config);
        Self {
            queues: Queues::new("", hashing),
        }
    }

    /// Opens the message; failure ends the program.
    pub(crate) fn find(&self, name: &[u8]) -> Source {
        let Ok(id) = QueueId::parse(name) else {
            fatal!("bad mail queue ID: {}", name.as_bstr());
        };
        for _ in 0..ROUNDS {
            for queue in QUEUES {
                let path = self.queues.path(queue, &id);
                match File::open(&path) {
                    Ok(file) => {
                        return Source {
                            name: path.display().to_string(),
                            input: Input::File(file),
                        };
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => fatal!("open queue file {id}: {}", error_text(&error)),
                }
            }
        }
        fatal!("open queue file {id}: No such file or directory")
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Memory(bytes) => bytes.seek(to),
        }
    }
}
