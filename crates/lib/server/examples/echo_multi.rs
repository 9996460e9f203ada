//! The smallest multi server: counts the lines of each client. A master.cf entry such as
//! `count unix n - n - - echo_multi` runs it.
#![forbid(unsafe_code)]

use postern_server::{Conn, Context, MultiServer, Next, StartError, multi_server};
use std::io::Write;
use std::process::ExitCode;

/// Longest line.
const LIMIT: usize = 1000;

struct Count;

impl MultiServer for Count {
    /// Lines of this client so far.
    type State = u32;
    const NAME: &'static str = "echo_multi";

    fn before_jail(_: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn connected(&mut self, _: &Context, conn: &mut Conn<u32>) -> Next {
        match conn.channel.write_all(b"hello\n") {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }

    fn request(&mut self, _: &Context, conn: &mut Conn<u32>) -> Next {
        let mut line = Vec::new();
        match conn.channel.read_line(LIMIT, &mut line) {
            Ok(end) if end.is_complete() => {}
            _ => return Next::Close,
        }
        conn.state += 1;
        let answer = format!("{} {}\n", conn.state, String::from_utf8_lossy(&line));
        match conn.channel.write_all(answer.as_bytes()) {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }
}

fn main() -> ExitCode {
    multi_server::main::<Count>()
}
