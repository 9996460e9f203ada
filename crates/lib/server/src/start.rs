//! From exec to the main loop: the order of master.md §3.2.

use crate::debugger::{run_debugger, wants_debugger};
use crate::owner_groups;
use crate::status::Status;
use crate::{Context, Flow, Limits, Needs, Options, ProcessLimit, StartError, Transport};
use postern_config::{Config, params};
use postern_maillog::{Echo, die_of_config, fatal};
use postern_sys::{clock, daemon, signal, user, watchdog};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How the skeletons differ before their main loops.
pub(crate) struct Skeleton {
    /// Name of the program in its manual page.
    pub(crate) name: &'static str,
    /// What the program asks for.
    pub(crate) needs: Needs,
    /// Socket kinds that the main loop can serve.
    pub(crate) transports: &'static [Transport],
    /// The watchdog's limit when the program names none; `None` is `daemon_timeout`.
    pub(crate) watchdog: Option<Duration>,
}

/// What the main loops work with, beside the program.
pub(crate) struct Runtime {
    /// Sockets that clients connect to; none in stand-alone mode.
    pub(crate) listeners: Vec<OwnedFd>,
    /// The line to master.
    pub(crate) status: Status,
    /// When to end.
    pub(crate) limits: Limits,
}

/// The two steps of a program's start-up.
pub(crate) trait Program: Sized {
    /// With master's privileges.
    fn before_jail(context: &mut Context) -> Result<Self, StartError>;
    /// With the final privileges.
    fn after_jail(&mut self, context: &Context) -> Result<(), StartError>;
    /// Other limits than main.cf's.
    fn adjust(&self, context: &Context, limits: &mut Limits);
}

/// Starts the process and runs `serve` until it ends.
pub(crate) fn run<P: Program>(
    skeleton: &Skeleton,
    serve: impl FnOnce(P, Context, Runtime) -> ExitCode,
) -> ExitCode {
    match start(skeleton) {
        Ok((program, context, runtime)) => serve(program, context, runtime),
        Err(error) => fatal!("{error}"),
    }
}

fn start<P: Program>(skeleton: &Skeleton) -> Result<(P, Context, Runtime), StartError> {
    signal::ignore_write_signals();
    let process_name = process_name(skeleton.name);
    postern_maillog::init(&process_name, Echo::Nothing);
    let mut config = Config::load().unwrap_or_else(|error| die_of_config(&error));
    let options = Options::parse(std::env::args_os().skip(1))?;
    if options.log_to_stderr {
        postern_maillog::set_echo(Echo::Stderr);
    }
    if options.verbose > 0 {
        postern_maillog::set_verbose(options.verbose);
    }
    let service_name = options
        .service
        .clone()
        .unwrap_or_else(|| process_name.clone());
    for (name, value) in &options.overrides {
        config.set_override(name, value);
    }
    config.set_names(&process_name, &service_name);
    config.set_reader(skeleton.name);
    if !options.stand_alone && !options.foreground && std::io::stdin().is_terminal() {
        postern_maillog::set_echo(Echo::Stderr);
        return Err(StartError::new("do not run this command by hand"));
    }
    postern_maillog::configure(&config);
    if options.log_to_stderr {
        postern_maillog::use_tag_on_stderr();
    }
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
    if let Err(error) = config.check(skeleton.name) {
        die_of_config(&error);
    }
    let transport = if options.stand_alone {
        Transport::Unix
    } else {
        options.transport()?
    };
    check_needs(skeleton, &options, transport, &service_name)?;
    let (flow, status, listeners) = inherited(&options, transport)?;
    if options.debug || wants_debugger() {
        run_debugger(&config).map_err(StartError::new)?;
    }
    let mut context = Context {
        queue_directory: enter_queue_directory(&config)?,
        owner: owner(&config)?,
        config,
        service_name,
        process_name,
        transport,
        options,
        flow,
    };
    let groups = owner_groups::take(&context.owner);
    let mut program = P::before_jail(&mut context)?;
    jail(&mut context, skeleton.needs, groups.as_deref())?;
    program.after_jail(&context)?;
    let mut limits = limits(&context.config, skeleton, context.options.retirement()?);
    program.adjust(&context, &mut limits);
    if !context.options.stand_alone {
        watchdog::start(limits.watchdog, watchdog_fired)?;
    }
    Ok((
        program,
        context,
        Runtime {
            listeners,
            status,
            limits,
        },
    ))
}

fn process_name(default: &str) -> String {
    std::env::args_os()
        .next()
        .as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(OsStr::to_str)
        .unwrap_or(default)
        .to_owned()
}

fn check_needs(
    skeleton: &Skeleton,
    options: &Options,
    transport: Transport,
    service: &str,
) -> Result<(), StartError> {
    if options.stand_alone {
        return Ok(());
    }
    if !skeleton.transports.contains(&transport) {
        return Err(StartError::new(format!(
            "unsupported transport type: {}",
            transport.name()
        )));
    }
    match skeleton.needs.process_limit {
        Some(ProcessLimit::One) if !options.limit_one => {
            return Err(StartError::new(format!(
                "service {service} requires a process limit of 1"
            )));
        }
        Some(ProcessLimit::Zero) if !options.limit_zero => {
            return Err(StartError::new(format!(
                "service {service} requires a process limit of 0"
            )));
        }
        _ => {}
    }
    if skeleton.needs.privileged && options.unprivileged {
        return Err(StartError::new(format!(
            "service {service} requires privileged operation"
        )));
    }
    Ok(())
}

fn inherited(
    options: &Options,
    transport: Transport,
) -> Result<(Option<Flow>, Status, Vec<OwnedFd>), StartError> {
    if options.stand_alone {
        return Ok((None, Status::new(None, 0, true), Vec::new()));
    }
    let generation = generation()?;
    let inherited = daemon::inherited(options.socket_count()?)?;
    for listener in &inherited.listeners {
        if transport == Transport::Inet {
            // Connections inherit it from their listener.
            postern_sys::socket::tune_tcp(listener);
        }
        // master made it so; a foreign parent may not have.
        postern_sys::file::set_nonblocking(listener, true)?;
    }
    let flow = Flow::new(inherited.flow_read, inherited.flow_write);
    let status = Status::new(Some(inherited.status), generation, options.limit_one);
    Ok((Some(flow), status, inherited.listeners))
}

/// The number that master gave this process, in octal.
fn generation() -> Result<u32, StartError> {
    match std::env::var("GENERATION") {
        Ok(text) => u32::from_str_radix(&text, 8)
            .map_err(|_| StartError::new(format!("bad generation: {text}"))),
        Err(_) => Ok(0),
    }
}

fn enter_queue_directory(config: &Config) -> Result<PathBuf, StartError> {
    let directory = PathBuf::from(config.get(params::QUEUE_DIRECTORY));
    std::env::set_current_dir(&directory).map_err(|error| {
        StartError::new(format!(
            "chdir(\"{}\"): {}",
            directory.display(),
            postern_sys::error_text(&error)
        ))
    })?;
    Ok(directory)
}

fn owner(config: &Config) -> Result<user::User, StartError> {
    let name = config.get(params::MAIL_OWNER);
    user::user_by_name(&name)?.ok_or_else(|| {
        StartError::new(format!(
            "parameter mail_owner: unknown user name value: {name}"
        ))
    })
}

/// Gives up root as far as the options say. `groups` are the owner's, when known.
fn jail(context: &mut Context, needs: Needs, groups: Option<&[u32]>) -> Result<(), StartError> {
    clock::local_now();
    postern_maillog::prepare_for_jail();
    let root = context
        .options
        .chroot
        .then(|| context.queue_directory.clone());
    if context.options.unprivileged {
        user::enter_jail(&context.owner, groups, root.as_deref()).map_err(|error| {
            StartError::new(format!(
                "cannot drop privileges: {}",
                postern_sys::error_text(&error)
            ))
        })?;
    } else if let Some(root) = &root {
        user::change_root(root).map_err(|error| {
            StartError::new(format!(
                "chroot({}): {}",
                root.display(),
                postern_sys::error_text(&error)
            ))
        })?;
    }
    if root.is_some() {
        context.queue_directory = PathBuf::from("/");
    }
    if needs.privileged && user::uid() == 0 {
        user::set_effective(context.owner.uid, context.owner.gid)?;
    }
    Ok(())
}

fn limits(config: &Config, skeleton: &Skeleton, retire: Option<Duration>) -> Limits {
    let watchdog = skeleton.needs.watchdog.or(skeleton.watchdog);
    Limits {
        max_use: u32::try_from(config.get(params::MAX_USE)).unwrap_or(0),
        max_idle: config.get(params::MAX_IDLE),
        retire,
        watchdog: watchdog.unwrap_or_else(|| config.get(params::DAEMON_TIMEOUT)),
        client_timeout: config.get(params::IPC_TIMEOUT),
    }
}

fn watchdog_fired() {
    postern_maillog::die_in_handler("watchdog timeout");
}
