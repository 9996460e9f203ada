//! Maintenance of the mail queue: structure check and repair, and removing, holding, releasing,
//! requeueing and expiring messages. Manual page: postsuper(1); queue.md §14 of our
//! specification.
//!
//! It works on directories and names only and knows nothing of what is inside a queue file. A file
//! never takes the place of another: moves refuse an existing target.
#![forbid(unsafe_code)]

mod by_id;
mod files;
mod options;
mod report;
mod scan;
mod structure;

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;

use postern_command::{Getopt, is_administrator};
use postern_config::{Config, params};
use postern_maillog::{Severity, fatal};
use postern_queue::Queues;
use postern_sys::signal::die_by;
use postern_sys::{error_text, user};

use crate::files::Failure;
use crate::options::{Request, Target};
use crate::report::Counts;
use crate::scan::Jobs;
use postern_command::{Interrupts, Progress};

/// Runs the program.
pub fn main() -> ExitCode {
    postern_command::begin("postsuper");
    postern_maillog::allow_direct_file();
    let mut getopt = Getopt::from_process(options::LETTERS);
    let json = getopt.take_long("--json");
    let given: Vec<_> = getopt.by_ref().collect();
    let directory = options::config_directory(&given);
    refuse_ordinary_users(directory.as_deref().map(Path::new));
    let request = Request::new(given, getopt.operands()).unwrap_or_else(|error| {
        if let Some(text) = error.complaint("postsuper") {
            postern_command::complain!("{text}");
        }
        fatal!("{}", options::USAGE)
    });
    postern_maillog::set_verbose(request.verbose);
    let config = postern_command::load_config(directory.as_deref().map(Path::new));
    postern_command::clean_environment(&config);
    postern_command::enter_queue_directory(&config);
    become_mail_owner(&config);
    let mut work = Work::new(&config);
    work.json = json;
    let done = work.run(&request);
    work.end(&request, done)
}

/// Ends the program unless root, or the owner of an instance without privileges, called it.
fn refuse_ordinary_users(directory: Option<&Path>) {
    if directory.is_some_and(|directory| !directory.is_absolute()) {
        fatal!("-c requires absolute pathname");
    }
    if user::uid() == 0 {
        return;
    }
    // Nothing may be logged yet: the log is not the caller's to write.
    if let Some(directory) = directory {
        postern_sys::env::set_env("MAIL_CONFIG", directory);
    }
    let allowed = Config::load().is_ok_and(|config| is_administrator(&config).unwrap_or(false));
    if !allowed {
        fatal!("use of this command is reserved for the superuser");
    }
}

/// Root has no business in directories that belong to the mail system's user.
fn become_mail_owner(config: &Config) {
    let name = config.get(params::MAIL_OWNER);
    let owner = match user::user_by_name(&name) {
        Ok(Some(owner)) => owner,
        Ok(None) => fatal!("{}: unknown user: {name}", params::MAIL_OWNER.info.name),
        Err(error) => fatal!(
            "{}: {name}: {}",
            params::MAIL_OWNER.info.name,
            error_text(&error)
        ),
    };
    if let Err(error) = user::enter_jail(&owner, None, None) {
        fatal!("set privileges of user {name}: {}", error_text(&error));
    }
}

/// What the parts of the program share.
pub(crate) struct Work {
    /// Paths are relative to the queue directory, the working directory.
    queues: Queues,
    /// `enable_long_queue_ids`.
    long_ids: bool,
    counts: Counts,
    interrupts: Interrupts,
    progress: Progress,
    /// `--json`: tell on standard output what was done.
    json: bool,
}

impl Work {
    fn new(config: &Config) -> Self {
        let hashing = postern_queue::hashing(config);
        Self {
            queues: Queues::new("", hashing),
            long_ids: config.get(params::ENABLE_LONG_QUEUE_IDS),
            counts: Counts::default(),
            interrupts: Interrupts::catch(),
            progress: Progress::new("postsuper", "files"),
            json: false,
        }
    }

    /// Repairs first, then the other operations in the order of the command line.
    fn run(&mut self, request: &Request) -> Result<(), Failure> {
        if let Some(jobs) = request.repair {
            self.repair(request, jobs)?;
        }
        for (action, target) in &request.actions {
            match target {
                Target::All => self.scan(&request.directories, action.jobs())?,
                Target::Input => {
                    self.each_line(|work, id| work.apply(*action, id, &request.directories))?
                }
                Target::Id(id) => self.apply(*action, id, &request.directories)?,
            }
        }
        Ok(())
    }

    fn repair(&mut self, request: &Request, jobs: Jobs) -> Result<(), Failure> {
        self.scan(&request.directories, jobs)?;
        if !self.counts.names_changed() {
            return Ok(());
        }
        // The names of the first pass are not final: the wanted one may have been in use.
        self.scan(&request.directories, jobs)?;
        if request.names_messages() {
            return Err(Failure::NamesChanged);
        }
        Ok(())
    }

    fn each_line(
        &mut self,
        mut apply: impl FnMut(&mut Self, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(Failure::Input)? == 0 {
                return Ok(());
            }
            files::check(&self.interrupts)?;
            self.progress.step();
            apply(self, line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
    }

    /// Says what was done, or why it was not, and how far it got.
    fn end(&self, request: &Request, done: Result<(), Failure>) -> ExitCode {
        if self.json {
            report::print(&self.counts.as_json(done.is_ok()));
        }
        let Err(failure) = done else {
            self.counts.report(request);
            return ExitCode::SUCCESS;
        };
        if let Failure::NamesChanged = failure {
            log::error!("{}", report::NAMES_CHANGED);
        }
        let signal = failure.signal();
        if signal.is_none() {
            postern_maillog::log(Severity::Fatal, &failure.to_string());
        }
        if self.counts.names_changed() {
            log::warn!("OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST");
        }
        match signal {
            Some(signal) => die_by(signal),
            None => ExitCode::FAILURE,
        }
    }
}
