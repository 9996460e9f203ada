//! Puts a message from standard input into the maildrop queue. Set-gid, hence it trusts nobody: neither its
//! input nor its environment. Manual page: postdrop(1); ipc.md §4.2 and queue.md §12 of our specification.
#![forbid(unsafe_code)]

mod message;
mod sender;

use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use bstr::BString;
use postern_attr::Encoding;
use postern_command::{Getopt, Opt};
use postern_config::{Config, params};
use postern_dict::{MatchKind, MatchList};
use postern_ipc::cleanup::status;
use postern_ipc::client::{Endpoint, PUBLIC};
use postern_ipc::postdrop::{Hello, PROTOCOL, Reply};
use postern_ipc::trigger;
use postern_maillog::fatal;
use postern_queue_file::file::{IdForm, NewFile};
use postern_sys::{error_text, user};
use sender::Policy;

/// How often a file is tried to be made, ten seconds apart.
const CREATE_TRIES: u32 = 3;
/// Extra mode bits of a maildrop file: an unprivileged pickup(8) must be able to read it.
const READABLE: u32 = 0o444;

/// Runs the program.
pub fn main() -> ExitCode {
    postern_command::begin_set_gid("postdrop");
    let uid = user::uid();
    let config = options();
    postern_command::update_environment(&config);
    postern_command::enter_queue_directory(&config);
    check_user(&config, uid);
    ExitCode::from(u8::try_from(drop_message(&config, uid) & 0xff).unwrap_or(1))
}

fn options() -> Config {
    let mut directory: Option<OsString> = None;
    let mut options = Getopt::from_process("c:rv");
    let mut verbose = 0;
    for option in &mut options {
        match option {
            Opt::Value('c', value) => directory = Some(value),
            // Kept for callers of long ago; it is what the program does anyway.
            Opt::Flag('r') => {}
            Opt::Flag('v') => verbose += 1,
            other => {
                if let Some(text) = other.complaint("postdrop") {
                    postern_command::complain!("{text}");
                }
                postern_command::usage(1, format_args!("postdrop [-c config_dir] [-v]"));
            }
        }
    }
    // A set-gid program does not tell more than its caller may see.
    if verbose > 0 && uid_may_debug() {
        postern_maillog::set_verbose(verbose);
    }
    postern_command::load_config(directory.as_deref().map(Path::new))
}

fn uid_may_debug() -> bool {
    user::uid() == 0
}

/// `authorized_submit_users`.
fn check_user(config: &Config, uid: u32) {
    let list = config.get(params::AUTHORIZED_SUBMIT_USERS);
    if uid == 0 || list == "static:anyone" {
        return;
    }
    let name = login_name(uid).unwrap_or_else(|| "unknown".to_owned());
    let mut users =
        MatchList::open_small(config, "authorized_submit_users", &list, MatchKind::Text);
    match users.matches(name.as_str().into()) {
        Ok(true) => {}
        Ok(false) => fatal!("User {name}({uid}) is not allowed to submit mail"),
        Err(error) => fatal!("authorized_submit_users: {error}"),
    }
}

/// The user's name, if there is one. A name that cannot be looked up for a moment must not give the rights of a
/// user without name.
fn login_name(uid: u32) -> Option<String> {
    match user::user_by_uid(uid) {
        Ok(user) => user.map(|user| user.name),
        Err(error) => fatal!("unable to look up user {uid}: {}", error_text(&error)),
    }
}

/// The whole conversation with the caller; the result is the status that was reported.
// A caller's signal ends the process where it is: the file stays incomplete (mode 0644), which every
// reader ignores and postsuper(1) removes.
fn drop_message(config: &Config, uid: u32) -> i32 {
    let file = create(config);
    let mut output = io::stdout();
    let hello = Hello {
        protocol: PROTOCOL.to_owned(),
        queue_id: file.id.to_string(),
    };
    if postern_attr::write(&mut output, Encoding::Null, &hello)
        .and_then(|()| Ok(output.flush()?))
        .is_err()
    {
        give_up(&file);
        fatal!("uid={uid}: the caller is gone");
    }
    let line_limit = usize::try_from(config.get(params::LINE_LENGTH_LIMIT)).unwrap_or(2048);
    let size_limit = u64::try_from(config.get(params::MESSAGE_SIZE_LIMIT)).unwrap_or(0);
    let limits = message::Limits {
        line: line_limit,
        size: size_limit,
    };
    let mut input = BufReader::with_capacity(64 * 1024, io::stdin().lock());
    let mut policy = Policy::new(config, uid);
    let result = message::receive(&mut input, &file.file, uid, &limits, policy.as_mut());
    let mut reason = BString::default();
    let code = match result {
        Ok(message::Received::Cancelled) => {
            give_up(&file);
            return 0;
        }
        Ok(message::Received::Incomplete) => status::BAD,
        Ok(message::Received::Refused(refusal)) => {
            reason = refusal.reason;
            refusal.status
        }
        Ok(message::Received::Complete) => finish(&file, uid),
        Err(message::Fault::Input(text)) => {
            give_up(&file);
            fatal!("uid={uid}: {text}");
        }
        Err(message::Fault::TooBig) => {
            log::warn!("uid={uid}: File too large");
            status::SIZE
        }
        Err(message::Fault::Write(error)) => {
            log::warn!("uid={uid}: {}", error_text(&error));
            status::WRITE
        }
    };
    if code != status::OK {
        give_up(&file);
    }
    let reply = Reply {
        status: code,
        reason,
    };
    if postern_attr::write(&mut output, Encoding::Null, &reply)
        .and_then(|()| Ok(output.flush()?))
        .is_err()
    {
        log::warn!("uid={uid}: the caller is gone");
    }
    if code == status::OK {
        wake_pickup(config);
    }
    code
}

fn create(config: &Config) -> NewFile {
    let form = if config.get(params::ENABLE_LONG_QUEUE_IDS) {
        IdForm::Long
    } else {
        IdForm::Short
    };
    let hashing = postern_queue::hashing(config);
    postern_sys::file::umask(0);
    let mut tries = 0;
    loop {
        match NewFile::create(Path::new("."), "maildrop", READABLE & 0o044, form, &hashing) {
            Ok(file) => return file,
            Err(error) => {
                tries += 1;
                // A passing shortage is waited for, but the caller is told in the end.
                if tries >= CREATE_TRIES {
                    fatal!("create file in maildrop: {}", error_text(&error));
                }
                log::warn!(
                    "mail_queue_enter: create file maildrop/{}.{}: {}",
                    postern_sys::clock::unix_time(),
                    std::process::id(),
                    error_text(&error)
                );
                std::thread::sleep(std::time::Duration::from_secs(10));
            }
        }
    }
}

fn finish(file: &NewFile, uid: u32) -> i32 {
    match file.commit(READABLE) {
        Ok(()) => status::OK,
        Err(error) => {
            log::warn!("uid={uid}: {}", error_text(&error));
            status::WRITE
        }
    }
}

fn give_up(file: &NewFile) {
    if let Err(error) = std::fs::remove_file(&file.path) {
        log::warn!("remove {}: {}", file.path.display(), error_text(&error));
    }
}

/// pickup(8) looks by itself every minute; a mail system that is down looks when it starts.
fn wake_pickup(config: &Config) {
    let at = Endpoint::new(PUBLIC, &config.get(params::PICKUP_SERVICE_NAME));
    if let Err(error) = trigger::send(&at, &[trigger::WAKEUP], config.get(params::TRIGGER_TIMEOUT))
    {
        match error {
            postern_ipc::ClientError::Connect { path, source }
                if source.kind() == io::ErrorKind::NotFound =>
            {
                log::warn!("unable to look up {path}: {}", error_text(&source));
            }
            other => log::debug!("{other}"),
        }
    }
}
