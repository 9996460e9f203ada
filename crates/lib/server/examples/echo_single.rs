//! The smallest single server: sends each client its first line back. A master.cf entry such as
//! `echo unix n - n - - echo_single` runs it.
#![forbid(unsafe_code)]

use postern_server::{Client, Context, SingleServer, StartError, single_server};
use std::io::Write;
use std::process::ExitCode;

/// Longest line.
const LIMIT: usize = 1000;

struct Echo;

impl SingleServer for Echo {
    const NAME: &'static str = "echo_single";

    fn before_jail(_: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn serve(&mut self, context: &Context, mut client: Client) {
        let mut line = Vec::new();
        if client.channel.read_line(LIMIT, &mut line).is_err() {
            return;
        }
        log::info!("{} bytes for {}", line.len(), context.service_name);
        line.push(b'\n');
        let _ = client
            .channel
            .write_all(&line)
            .and_then(|()| client.channel.flush());
    }
}

fn main() -> ExitCode {
    single_server::main::<Echo>()
}
