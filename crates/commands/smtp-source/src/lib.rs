//! smtp-source: generates SMTP or LMTP mail for tests, over parallel sessions. Manual page:
//! smtp-source(1). Speaks no TLS and does no pipelining.
#![forbid(unsafe_code)]

mod dialogue;
mod message;
mod options;

use crate::dialogue::Smtp;
use crate::options::Settings;
use postern_maillog::fatal;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_traffic::shown_name("smtp-source");
    postern_command::begin_without_log(&name);
    let Settings {
        plan,
        content,
        abort,
        counter,
    } = match options::read(&name) {
        Ok(settings) => settings,
        Err(text) => fatal!("{text}"),
    };
    postern_sys::process::unlimit_descriptors();
    let mut smtp = Smtp::new(content, abort, counter);
    if let Err(text) = postern_traffic::source::run(&plan, &mut smtp) {
        fatal!("{text}");
    }
    if counter {
        postern_command::tell(format_args!(""));
    }
    ExitCode::SUCCESS
}
