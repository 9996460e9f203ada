//! Building tables, and adding to them.

use bstr::{BStr, BString};
use nix::sys::signal::SigSet;
use postern_command::Progress;
use postern_config::{Config, params};
use postern_dict::lines::LogicalLines;
use postern_dict::{
    Builder, Flags, LookupError, OpenMode, Table, check_creatable, fold_ascii, fold_key,
    split_type_name,
};
use postern_maillog::fatal;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::ExitCode;

use crate::{Dialect, Entry, Options, give_up, type_name};

/// Builds every operand.
pub(crate) fn create<D: Dialect>(config: &Config, options: &Options) -> ExitCode {
    postern_sys::file::umask(0o022);
    for operand in &options.operands {
        let type_name = type_name(config, operand);
        if !options.incremental && type_name.starts_with("proxy:") {
            fatal!("can't create maps via the proxy service");
        }
        if options.incremental {
            let input = io::stdin();
            let status = nix::sys::stat::fstat(input.as_fd());
            make::<D>(
                config,
                options,
                &type_name,
                "stdin",
                &mut input.lock(),
                status,
            );
        } else {
            let path = type_name
                .split_once(':')
                .map_or(type_name.as_str(), |(_, name)| name);
            let file = File::open(path)
                .unwrap_or_else(|error| fatal!("open {path}: {}", postern_sys::error_text(&error)));
            let status = nix::sys::stat::fstat(&file);
            make::<D>(
                config,
                options,
                &type_name,
                path,
                &mut BufReader::with_capacity(64 * 1024, file),
                status,
            );
        }
    }
    ExitCode::SUCCESS
}

fn make<D: Dialect>(
    config: &Config,
    options: &Options,
    type_name: &str,
    source: &str,
    input: &mut dyn BufRead,
    status: nix::Result<nix::sys::stat::FileStat>,
) {
    let status = status.unwrap_or_else(|errno| fatal!("fstat {source}: {}", errno.desc()));
    let regular = status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG;
    if options.keep_mode && regular {
        // Others may read the table only as far as they may read the source.
        postern_sys::file::umask(0o022 | (!status.st_mode & 0o077));
    }
    let before = (postern_sys::user::euid(), postern_sys::user::egid());
    let owner = (status.st_uid, status.st_gid);
    let becomes = options.as_owner && postern_sys::user::uid() == 0 && owner != before;
    if becomes {
        act_as(owner);
    }
    let mut sink = Sink::open(config, options, type_name);
    postern_sys::file::umask(0o022);
    let blocks = !type_name.starts_with("lmdb:");
    if blocks {
        // A table that is half written is of no use to anybody.
        let _ = SigSet::all().thread_block();
    }
    if let Err(stop) = copy::<D>(config, options, source, input, &mut sink) {
        let table = sink.name();
        // What is begun goes before the program ends.
        drop(sink);
        match stop {
            Stop::Read(error) => fatal!("read {source}: {}", postern_sys::error_text(&error)),
            Stop::Write(error) => give_up(&table, "write", &error),
        }
    }
    sink.finish::<D>(config, options, type_name);
    if blocks {
        let _ = SigSet::all().thread_unblock();
    }
    if becomes {
        act_as(before);
    }
}

fn act_as((uid, gid): (u32, u32)) {
    if let Err(error) = postern_sys::user::set_effective(uid, gid) {
        fatal!(
            "set_eugid: seteuid({uid}): {}",
            postern_sys::error_text(&error)
        );
    }
}

/// Why the source is not copied to its end.
enum Stop {
    Read(io::Error),
    Write(LookupError),
}

fn copy<D: Dialect>(
    config: &Config,
    options: &Options,
    source: &str,
    input: &mut dyn BufRead,
    sink: &mut Sink,
) -> Result<(), Stop> {
    let utf8 = config.get(params::SMTPUTF8_ENABLE) && options.flags.contains(Flags::UTF8_REQUEST);
    let mut lines = LogicalLines::new(input, source);
    let mut progress = Progress::new(D::NAME, "entries");
    loop {
        let Some(line) = lines.next_line().map_err(Stop::Read)? else {
            return Ok(());
        };
        progress.step();
        let place = Place {
            source,
            line: line.first,
        };
        if let Entry::Pair(key, value) = D::entry(BStr::new(&line.text), &place, utf8, options) {
            let folded = match (options.flags.contains(Flags::FOLD_FIX), utf8) {
                (false, _) => Cow::Borrowed(key.as_ref()),
                (true, true) => fold_key(&key),
                (true, false) => fold_ascii(&key),
            };
            sink.add(folded.as_ref(), &value).map_err(Stop::Write)?;
        }
    }
}

struct Place<'a> {
    source: &'a str,
    line: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}, line {}", self.source, self.line)
    }
}

/// Where entries go: a new table, or one that is there.
enum Sink {
    New(Box<dyn Builder>),
    Old(Box<dyn Table>),
}

impl Sink {
    fn open(config: &Config, options: &Options, type_name: &str) -> Self {
        let opened = if options.incremental {
            let proxied = split_type_name(type_name).is_ok_and(|(kind, _)| kind == "proxy");
            let allowed = if proxied {
                Ok(())
            } else {
                check_creatable(config, type_name)
            };
            let flags = options.flags | Flags::OPEN_LOCK;
            allowed
                .and_then(|()| {
                    postern_dict::open_own(config, type_name, OpenMode::ReadWriteCreate, flags)
                })
                .map(|mut table| {
                    table.gather();
                    Self::Old(table)
                })
        } else {
            postern_dict::create(config, type_name, options.flags | Flags::OPEN_LOCK).map(Self::New)
        };
        opened.unwrap_or_else(|error| crate::refuse(type_name, &error))
    }

    fn name(&self) -> String {
        match self {
            Self::New(builder) => builder.name().to_owned(),
            Self::Old(table) => table.name().to_owned(),
        }
    }

    fn add(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        match self {
            Self::New(builder) => builder.add(key, value),
            Self::Old(table) => table.update(key, value),
        }
    }

    /// Adds the program's own entries and completes the table.
    fn finish<D: Dialect>(mut self, config: &Config, options: &Options, type_name: &str) {
        let trailer = D::trailer(config);
        if let Self::New(builder) = &mut self {
            let added = trailer.iter().try_for_each(|(key, value, raw)| {
                let (key, value) = (BStr::new(key), BStr::new(value));
                if *raw {
                    builder.add_raw(key, value)
                } else {
                    builder.add(key, value)
                }
            });
            if let Err(error) = added {
                let name = builder.name().to_owned();
                drop(self);
                give_up(&name, "write", &error);
            }
        }
        match self {
            Self::New(builder) => {
                let name = builder.name().to_owned();
                builder
                    .finish()
                    .unwrap_or_else(|error| give_up(&name, "write", &error));
            }
            Self::Old(mut table) => {
                if let Err(error) = table.flush() {
                    give_up(table.name(), "write", &error);
                }
                // The entries need other flags than the handle has, whose lock must go first.
                drop(table);
                replace(config, options, type_name, &trailer);
            }
        }
    }
}

/// Stores entries in an existing table whether they are there or not.
fn replace(
    config: &Config,
    options: &Options,
    type_name: &str,
    trailer: &[(BString, BString, bool)],
) {
    let kept = options
        .flags
        .without(Flags::DUP_WARN | Flags::DUP_IGNORE | Flags::FOLD_FIX)
        | Flags::DUP_REPLACE;
    for raw in [false, true] {
        let flags = if raw {
            kept.without(Flags::TRY1NULL) | Flags::TRY0NULL
        } else {
            kept
        };
        let mut entries = trailer
            .iter()
            .filter(|(_, _, is_raw)| *is_raw == raw)
            .peekable();
        if entries.peek().is_none() {
            continue;
        }
        let mut table = postern_dict::open_own(config, type_name, OpenMode::ReadWrite, flags)
            .unwrap_or_else(|error| fatal!("{error}"));
        for (key, value, _) in entries {
            if let Err(error) = table.update(BStr::new(key), BStr::new(value)) {
                give_up(table.name(), "write", &error);
            }
        }
    }
}
