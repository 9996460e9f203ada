//! qmqp-source: generates QMQP mail for tests, over parallel sessions. Manual page: qmqp-source(1).
//! Each connection carries one message.
#![forbid(unsafe_code)]

mod options;
mod session;

use postern_maillog::fatal;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_traffic::shown_name("qmqp-source");
    postern_command::begin_without_log(&name);
    let (plan, request, counter) = match options::read(&name) {
        Ok(settings) => settings,
        Err(text) => fatal!("{text}"),
    };
    postern_sys::process::unlimit_descriptors();
    let mut qmqp = session::Qmqp::new(request, counter);
    if let Err(text) = postern_traffic::source::run(&plan, &mut qmqp) {
        fatal!("{text}");
    }
    if counter {
        postern_command::tell(format_args!(""));
    }
    ExitCode::SUCCESS
}
