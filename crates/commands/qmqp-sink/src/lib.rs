//! qmqp-sink: takes QMQP mail and throws it away, to measure clients. Manual page: qmqp-sink(1).
//! Does not look into the requests.
#![forbid(unsafe_code)]

mod session;

use postern_command::{Getopt, Opt};
use postern_maillog::fatal;
use postern_traffic::sink::{self, Limits};
use postern_traffic::{Endpoint, Family, positive};
use std::process::ExitCode;
use std::time::Duration;

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(100);

/// Runs the program.
pub fn main() -> ExitCode {
    let name = postern_traffic::shown_name("qmqp-sink");
    postern_command::begin_without_log(&name);
    let (mut family, mut counter, mut verbose, mut life) = (Family::Any, false, 0, None);
    let mut getopt = Getopt::from_process("46cvx:");
    for option in getopt.by_ref() {
        match option {
            Opt::Flag('4') => family = Family::V4,
            Opt::Flag('6') => family = Family::V6,
            Opt::Flag('c') => counter = true,
            Opt::Flag('v') => verbose += 1,
            Opt::Value('x', value) => match positive(&value) {
                Some(seconds) => life = Some(Duration::from_secs(seconds.into())),
                None => usage(&name),
            },
            bad => {
                if let Some(text) = bad.complaint(&name) {
                    postern_command::complain!("{text}");
                }
                usage(&name)
            }
        }
    }
    let operands = getopt.operands();
    let [place, backlog] = operands.as_slice() else {
        usage(&name)
    };
    let Some(backlog) = positive(backlog).and_then(|backlog| i32::try_from(backlog).ok()) else {
        usage(&name)
    };
    postern_maillog::set_verbose(verbose);
    postern_sys::process::unlimit_descriptors();
    let limits = Limits {
        connections: usize::MAX,
        idle: IDLE,
        life,
    };
    let listened = Endpoint::to_listen(&place.to_string_lossy(), family)
        .map_err(|error| error.to_string())
        .and_then(|endpoint| endpoint.listen(backlog, None));
    let served = listened
        .and_then(|listener| sink::run(&listener, limits, &mut session::Qmqp::new(counter)));
    if let Err(text) = served {
        fatal!("{text}");
    }
    ExitCode::SUCCESS
}

fn usage(name: &str) -> ! {
    fatal!("usage: {name} [-cv] [-x time] [host]:port backlog")
}
