//! postkick: sends a request to a service's local endpoint, for scripts. Manual page: postkick(1).
#![forbid(unsafe_code)]

mod trigger;

use postern_command::{Getopt, Opt, enter_queue_directory, load_config, update_environment};
use postern_config::params;
use postern_maillog::fatal;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_command::process_name("postkick");
    postern_command::begin_without_log(&name);
    let mut directory: Option<OsString> = None;
    let mut verbose = 0;
    let mut getopt = Getopt::from_process("c:v");
    for option in getopt.by_ref() {
        match option {
            Opt::Value('c', value) => directory = Some(value),
            Opt::Flag('v') => verbose += 1,
            bad => {
                if let Some(text) = bad.complaint(&name) {
                    postern_command::complain!("{text}");
                }
                usage(&name);
            }
        }
    }
    let operands = getopt.operands();
    let [class, service, request] = operands.as_slice() else {
        usage(&name)
    };
    postern_maillog::set_verbose(verbose);
    let config = load_config(directory.as_deref().map(Path::new));
    update_environment(&config);
    enter_queue_directory(&config);
    let path = Path::new(class).join(service);
    let wait = config.get(params::APPLICATION_EVENT_DRAIN_TIME);
    match trigger::send(&path, request.as_bytes(), wait) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            if let Some(text) = text {
                log::warn!("{text}");
            }
            log::warn!(
                "Cannot contact class {} service {} - perhaps the mail system is down",
                display(class),
                display(service)
            );
            ExitCode::FAILURE
        }
    }
}

fn display(text: &OsStr) -> std::borrow::Cow<'_, str> {
    text.to_string_lossy()
}

fn usage(name: &str) -> ! {
    fatal!("usage: {name} [-c config_dir] [-v] class service request")
}
