//! What the test programs smtp-source, smtp-sink, qmqp-source and qmqp-sink share: end points,
//! buffered streams that never block, and the loops that generate and swallow sessions.
//!
//! This crate knows no mail protocol and no configuration: the test programs do not read main.cf.
#![forbid(unsafe_code)]

mod dice;
mod endpoint;
mod number;
pub mod sink;
pub mod source;
mod stream;

pub use dice::Dice;
pub use endpoint::{Endpoint, EndpointError, Family, Listener};
pub use number::{count, nonnegative, positive};
pub use stream::{Received, Stream};

use std::io::Write;

/// The name that these programs show before their messages: all of `argv[0]`.
pub fn shown_name(default: &str) -> String {
    std::env::args_os().next().map_or_else(
        || default.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Updates a running counter on stdout.
pub fn show_counter(text: &str) {
    let mut out = std::io::stdout();
    // Nobody may be looking; the work goes on.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
