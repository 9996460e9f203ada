//! From the command line to the event loop, and the end (master.md §2.1, §2.2, §2.10).

use crate::lock_file::{LockError, LockFile};
use crate::master::{End, Master};
use crate::options::Options;
use crate::plan::{self, ChildFlags, Plans};
use crate::reload::Baseline;
use nix::sys::signal::Signal;
use postern_config::{Config, params};
use postern_maillog::{Echo, die_of_config, fatal};
use postern_server::{SignalFlags, run_debugger, wants_debugger};
use postern_sys::process::{self, Fork, Standard};
use postern_sys::signal::{Disposition, set_disposition};
use postern_sys::user::{self, User};
use postern_sys::{env, error_text, file, signal, socket, watchdog};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The lock that tells other programs whether master runs, below the queue directory.
const PID_FILE: &str = "pid/master.pid";
/// How long the parent waits for a child that starts up.
const START_LIMIT: Duration = Duration::from_secs(100);
/// How long one turn of the loop may take.
const WATCHDOG: Duration = Duration::from_secs(1000);
/// How long ending may take.
const END_LIMIT: Duration = Duration::from_secs(15);

/// Runs master.
pub(crate) fn main() -> ExitCode {
    process::close_from(3);
    file::umask(0o077);
    signal::ignore_write_signals();
    postern_maillog::init("master", Echo::Nothing);
    postern_maillog::allow_direct_file();
    postern_maillog::never_wait_for_postlogd();
    let options = match Options::parse(std::env::args_os().skip(1), process::id()) {
        Ok(options) => options,
        Err(text) => complain_on_stderr(&text),
    };
    if user::is_set_id() {
        fatal!("the master command must not run as a set-uid process");
    }
    postern_maillog::set_verbose(options.verbose);
    if let Some(directory) = &options.config_directory {
        env::set_env("MAIL_CONFIG", directory);
    }
    if user::uid() != 0 && owner_of_instance().is_none() {
        fatal!("the master command is reserved for the superuser");
    }
    let ready = if options.wait { fork_and_wait() } else { None };
    detach(&options);
    let config = load();
    run(config, options, ready)
}

fn complain_on_stderr(text: &str) -> ! {
    postern_maillog::set_echo(Echo::Stderr);
    fatal!("{text}")
}

/// For a caller who is not root: the owner of the instance, if that is the caller.
fn owner_of_instance() -> Option<User> {
    let config = Config::load().ok()?;
    let name = config.try_get(params::MAIL_OWNER).ok()?;
    user::user_by_name(&name)
        .ok()
        .flatten()
        .filter(|owner| owner.uid == user::uid())
}

/// Splits off the child that becomes master. The parent ends when the child is ready, or has failed.
/// In the child, the result is the descriptor to write the ready byte to.
fn fork_and_wait() -> Option<OwnedFd> {
    let (read, write) = match nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC) {
        Ok(pipe) => pipe,
        Err(error) => fatal!("pipe: {error}"),
    };
    match process::fork() {
        Err(error) => fatal!("fork: {}", error_text(&error)),
        Ok(Fork::Child) => Some(write),
        Ok(Fork::Parent(pid)) => {
            drop(write);
            let waited = socket::wait(&read, socket::Interest::Read, Some(START_LIMIT));
            if !matches!(waited, Ok(true)) {
                let _ = signal::kill(pid, Signal::SIGKILL);
            }
            let mut byte = [0];
            if matches!(waited, Ok(true)) && matches!(nix::unistd::read(&read, &mut byte), Ok(1)) {
                process::exit_now(0);
            }
            fatal!("daemon initialization failure -- see logs for details");
        }
    }
}

/// Leaves the terminal and whoever started this process.
fn detach(options: &Options) {
    if options.foreground {
        return;
    }
    let streams: &[Standard] = if options.keep_stdout {
        &[Standard::Input, Standard::Error]
    } else {
        &[Standard::Input, Standard::Output, Standard::Error]
    };
    if let Err(error) = process::to_dev_null(streams) {
        fatal!("open /dev/null: {}", error_text(&error));
    }
    // Fails for a process that leads its group already, which is as good.
    let _ = process::new_session();
}

fn load() -> Config {
    let mut config = Config::load().unwrap_or_else(|error| die_of_config(&error));
    config.set_names("master", "master");
    config.set_reader("master");
    postern_maillog::configure(&config);
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
    if let Err(error) = config.check("master") {
        die_of_config(&error);
    }
    config
}

fn run(config: Config, options: Options, ready: Option<OwnedFd>) -> ExitCode {
    let kept = postern_config::words::environment(
        params::IMPORT_ENVIRONMENT.info.name,
        "clean_env",
        &config.get(params::IMPORT_ENVIRONMENT),
    );
    env::clean_env(kept.unwrap_or_else(|error| die_of_config(&error)));
    process::unlimit_file_size();
    process::unlimit_descriptors();
    let owner = owner(&config);
    enter_queue_directory(&config);
    if options.test {
        return test_lock();
    }
    let _locks = take_locks(&config, &owner);
    if options.debug || wants_debugger() {
        run_debugger(&config).unwrap_or_else(|error| fatal!("{error}"));
    }
    let baseline = Baseline::read(&config).unwrap_or_else(|error| die_of_config(&error));
    let flags = ChildFlags {
        foreground: options.foreground,
        verbose: options.verbose > 0,
    };
    let plans = plan::read(&config, flags).unwrap_or_else(|error| fatal!("{error}"));
    let version = config.get(params::MAIL_VERSION);
    let directory = config.directory();
    let started = Master::new(config.clone(), options, owner, baseline).and_then(|mut master| {
        let signals = master.catch_signals()?;
        Ok((master, signals))
    });
    let (mut master, mut signals) =
        started.unwrap_or_else(|error| fatal!("event loop: {}", error_text(&error)));
    start_services(&mut master, plans);
    // postlogd's socket exists from now on.
    postern_maillog::configure(&config);
    log::info!(
        "daemon started -- version {version}, configuration {}",
        directory.display()
    );
    if let Some(ready) = ready {
        let _ = std::fs::File::from(ready).write_all(&[0]);
    }
    if let Err(error) = watchdog::start(WATCHDOG, || {
        postern_maillog::die_in_handler("watchdog timeout")
    }) {
        fatal!("watchdog: {}", error_text(&error));
    }
    serve(&mut master, &mut signals)
}

fn owner(config: &Config) -> User {
    let name = config.get(params::MAIL_OWNER);
    match user::user_by_name(&name) {
        Ok(Some(owner)) => owner,
        _ => fatal!("parameter mail_owner: unknown user name value: {name}"),
    }
}

fn enter_queue_directory(config: &Config) {
    let directory = config.get(params::QUEUE_DIRECTORY);
    if let Err(error) = std::env::set_current_dir(&directory) {
        fatal!("chdir {directory}: {}", error_text(&error));
    }
}

/// `-t`: success means that no master runs.
fn test_lock() -> ExitCode {
    match LockFile::take_existing(Path::new(PID_FILE)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(LockError::Busy | LockError::Lock(_)) => ExitCode::FAILURE,
        Err(error) => fatal!("open lock file {PID_FILE}: {error}"),
    }
}

/// Makes sure that this is the only master of the queue directory and of the data directory.
fn take_locks(config: &Config, owner: &User) -> (LockFile, LockFile) {
    let pid_file = locked(Path::new(PID_FILE), LockFile::take(Path::new(PID_FILE)));
    let path = PathBuf::from(config.get(params::DATA_DIRECTORY)).join("master.lock");
    let data_lock = match user::as_user(owner.uid, owner.gid, || LockFile::take(&path)) {
        Ok(taken) => locked(&path, taken),
        Err(error) => fatal!("set effective user: {}", error_text(&error)),
    };
    (pid_file, data_lock)
}

fn locked(path: &Path, taken: Result<LockFile, LockError>) -> LockFile {
    let mut lock =
        taken.unwrap_or_else(|error| fatal!("open lock file {}: {error}", path.display()));
    if let Err(error) = lock.write_pid(process::id()) {
        fatal!("write lock file {}: {}", path.display(), error_text(&error));
    }
    lock
}

fn start_services(master: &mut Master, plans: Plans) {
    for warning in &plans.warnings {
        log::warn!("{warning}");
    }
    for notice in &plans.notices {
        log::info!("{notice}");
    }
    for plan in plans.services {
        let added = master
            .open_sockets(&plan)
            .and_then(|sockets| master.add_service(plan, sockets));
        if let Err(text) = added {
            fatal!("{text}");
        }
    }
}

fn serve(master: &mut Master, signals: &mut SignalFlags) -> ExitCode {
    match master.run(signals) {
        Ok(End::Time) => {
            // postlogd would see the line only when nobody starts it any more.
            postern_maillog::leave_postlogd();
            log::info!("master exit time has arrived");
            ExitCode::SUCCESS
        }
        Ok(End::Signal(number)) => terminate(number, master.options.init),
        Err(error) => fatal!("event loop: {}", error_text(&error)),
    }
}

/// Ends all children and then this process, in the way that the signal would have ended it.
fn terminate(number: i32, init: bool) -> ExitCode {
    let _ = watchdog::start(END_LIMIT, || process::exit_now(1));
    let _ = set_disposition(Signal::SIGTERM, Disposition::Ignore);
    // postlogd ends with the other children.
    postern_maillog::leave_postlogd();
    let _ = signal::kill_own_group(Signal::SIGTERM);
    log::info!("terminating on signal {number}");
    let _ = io::stdout().flush();
    if init {
        return ExitCode::SUCCESS;
    }
    match Signal::try_from(number) {
        Ok(signal) => signal::die_by(signal),
        Err(_) => ExitCode::FAILURE,
    }
}
