//! postlock: runs a command while a mailbox file is locked. Manual page: postlock(1).
#![forbid(unsafe_code)]

mod lock;

use lock::{Lock, Patience, Style};
use postern_command::exit::TEMP_FAIL;
use postern_command::{Getopt, Opt, load_config, update_environment};
use postern_config::params;
use postern_maillog::die;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs the program.
pub fn main() -> ExitCode {
    let name = std::env::args_os()
        .next()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    postern_command::begin_without_log(&name);
    let mut directory: Option<OsString> = None;
    let mut styles: Option<String> = None;
    let mut verbose = 0;
    let mut getopt = Getopt::from_process("c:l:v");
    for option in getopt.by_ref() {
        match option {
            Opt::Value('c', value) => directory = Some(value),
            Opt::Value('l', value) => styles = Some(value.to_string_lossy().into_owned()),
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
    let [folder, command, arguments @ ..] = operands.as_slice() else {
        usage(&name)
    };
    postern_maillog::set_verbose(verbose);
    postern_maillog::set_config_error_status(TEMP_FAIL);
    let config = load_config(directory.as_deref().map(Path::new));
    update_environment(&config);
    let styles = styles.unwrap_or_else(|| config.get(params::MAILBOX_DELIVERY_LOCK));
    let styles = Style::parse_list(&styles).unwrap_or_else(|text| temporary(&text));
    let patience = Patience {
        attempts: u32::try_from(config.get(params::DELIVER_LOCK_ATTEMPTS)).unwrap_or(1),
        delay: config.get(params::DELIVER_LOCK_DELAY),
        stale: config.get(params::STALE_LOCK_TIME),
    };
    let path = Path::new(folder);
    match Lock::take(path, &styles, patience) {
        Ok(lock) => run(lock, command, arguments),
        Err(error) => temporary(&format!("open file {}: {error}", path.display())),
    }
}

/// Runs the command with the lock held; its exit status becomes ours.
fn run(lock: Lock, command: &OsStr, arguments: &[OsString]) -> ExitCode {
    let status = Command::new(command).args(arguments).status();
    drop(lock);
    match status {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            let shown = command.to_string_lossy();
            die(
                1,
                format_args!("execvp {shown}: {}", postern_sys::error_text(&error)),
            )
        }
    }
}

fn usage(name: &str) -> ! {
    temporary(&format!(
        "usage: {name} [-c config_dir] [-l lock_style] [-v] folder command..."
    ))
}

fn temporary(text: &str) -> ! {
    die(i32::from(TEMP_FAIL), format_args!("{text}"))
}
