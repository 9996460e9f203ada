//! smtp-sink: takes SMTP or LMTP mail and throws it away, or keeps it in files, to test clients.
//! Manual page: smtp-sink(1). Knows no addresses and no TLS; fails and delays on demand.
#![forbid(unsafe_code)]

mod behaviour;
mod capture;
mod commands;
mod content;
mod options;
mod session;

use crate::options::Settings;
use crate::session::Sink;
use postern_maillog::fatal;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_traffic::shown_name("smtp-sink");
    postern_command::begin_without_log(&name);
    let settings = match options::read(&name) {
        Ok(settings) => settings,
        Err(text) => fatal!("{text}"),
    };
    postern_sys::process::unlimit_descriptors();
    if let Err(text) = serve(settings) {
        fatal!("{text}");
    }
    ExitCode::SUCCESS
}

fn serve(settings: Settings) -> Result<(), String> {
    let listener = settings
        .endpoint
        .listen(settings.backlog, settings.window)?;
    // The zone file and the log socket are out of reach in a root directory of its own.
    let _ = postern_sys::clock::local_now();
    postern_maillog::prepare_for_jail();
    give_up_privileges(settings.user.as_deref(), settings.root.as_deref())?;
    postern_traffic::sink::run(
        &listener,
        settings.limits,
        &mut Sink::new(settings.behaviour),
    )
}

/// Takes another identity and root directory. Whoever is root must.
fn give_up_privileges(user: Option<&str>, root: Option<&Path>) -> Result<(), String> {
    let Some(name) = user else {
        return match root {
            Some(root) => Err(chroot_failed(root, &std::io::Error::from_raw_os_error(1))),
            None => Ok(()),
        };
    };
    let found = postern_sys::user::user_by_name(name);
    let user = found
        .ok()
        .flatten()
        .ok_or_else(|| format!("unknown user: {name}"))?;
    postern_sys::user::enter_jail(&user, None, root).map_err(|error| match root {
        Some(root) => chroot_failed(root, &error),
        None => format!("setuid({}): {}", user.uid, postern_sys::error_text(&error)),
    })
}

fn chroot_failed(root: &Path, error: &std::io::Error) -> String {
    format!(
        "chroot({}): {}",
        root.display(),
        postern_sys::error_text(error)
    )
}
