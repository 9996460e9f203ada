//! The message to a command and its output, both at a time: neither side may block the other.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use postern_sys::socket::{Interest, wait, wait_both};

/// Bytes of output that are kept; then the command's output is closed.
const OUTPUT_LIMIT: usize = 4096;
/// A pipe that is writable takes so many bytes without blocking (PIPE_BUF of Linux).
const CHUNK: usize = 4096;

/// The ends of a command's pipes that are ours. Writing takes what the command says meanwhile.
#[derive(Debug)]
pub(super) struct Streams {
    input: Option<File>,
    output: Option<File>,
    text: Vec<u8>,
    limit: Duration,
}

impl Streams {
    /// `limit` is that of each wait.
    pub(super) fn new(input: OwnedFd, output: OwnedFd, limit: Duration) -> Self {
        Self {
            input: Some(input.into()),
            output: Some(output.into()),
            text: Vec::new(),
            limit,
        }
    }

    /// Lets `work` write to the command. After an error nothing more is sent.
    pub(super) fn send<E>(
        &mut self,
        work: impl FnOnce(&mut BufWriter<&mut Self>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = BufWriter::with_capacity(CHUNK, self);
        let result = work(&mut writer);
        // Dropping it would try again, and wait again, to write what is left.
        let _ = writer.into_parts();
        result
    }

    /// The command sees the end of its input.
    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    /// Takes the output to its end, or as far as it is kept; `false` when the command was silent for
    /// too long.
    pub(super) fn receive_rest(&mut self) -> bool {
        while let Some(output) = &self.output {
            match wait(output.as_fd(), Interest::Read, Some(self.limit)) {
                Ok(true) => self.receive(),
                Ok(false) => {
                    log::warn!("pipe_command_read: read time limit exceeded");
                    return false;
                }
                Err(error) => {
                    log::warn!("pipe_command_read: {}", postern_sys::error_text(&error));
                    self.output = None;
                }
            }
        }
        true
    }

    /// What the command said.
    pub(super) fn output(&self) -> &[u8] {
        &self.text
    }

    /// Takes what is there; never blocks when something is.
    fn receive(&mut self) {
        let Some(output) = &mut self.output else {
            return;
        };
        let mut chunk = [0; OUTPUT_LIMIT];
        let room = OUTPUT_LIMIT - self.text.len();
        let size = match output.read(&mut chunk[..room]) {
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => 0,
        };
        self.text.extend_from_slice(&chunk[..size]);
        if size == 0 || self.text.len() >= OUTPUT_LIMIT {
            self.output = None;
        }
    }
}

impl Write for Streams {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let end = Instant::now() + self.limit;
        loop {
            let Some(input) = &mut self.input else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            let left = end.saturating_duration_since(Instant::now());
            let (writable, readable) = match &self.output {
                None => (wait(input.as_fd(), Interest::Write, Some(left))?, false),
                Some(output) => wait_both(input.as_fd(), output.as_fd(), left)?,
            };
            if writable {
                return input.write(&data[..data.len().min(CHUNK)]);
            }
            if !readable {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.receive();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipes(limit: Duration) -> (Streams, io::PipeReader, io::PipeWriter) {
        let (their_input, input) = io::pipe().expect("a pipe");
        let (output, their_output) = io::pipe().expect("a pipe");
        let streams = Streams::new(input.into(), output.into(), limit);
        (streams, their_input, their_output)
    }

    const LARGE: usize = 1 << 20;

    #[test]
    fn command_that_talks_before_it_reads_blocks_nobody() {
        let (mut streams, mut input, mut output) = pipes(Duration::from_secs(20));
        let command = std::thread::spawn(move || {
            // More than a pipe holds; its reader goes away after the first part.
            let talked = output.write_all(&[b'y'; LARGE]);
            drop(output);
            let mut text = Vec::new();
            input.read_to_end(&mut text).expect("input");
            (talked.is_err(), text.len())
        });
        let sent = streams.send(|out| out.write_all(&[b'x'; LARGE]).and_then(|()| out.flush()));
        assert!(sent.is_ok(), "{sent:?}");
        streams.close_input();
        assert!(streams.receive_rest());
        assert_eq!(streams.output().len(), OUTPUT_LIMIT);
        assert_eq!(command.join().expect("the command"), (true, LARGE));
    }

    #[test]
    fn silence_and_a_full_pipe_have_an_end() {
        let (mut streams, input, output) = pipes(Duration::from_millis(20));
        let error = streams
            .send(|out| out.write_all(&[b'x'; LARGE]))
            .expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!streams.receive_rest());
        drop(input);
        let error = streams.send(|out| out.write_all(&[b'x'; LARGE]));
        assert_eq!(error.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
        drop(output);
        assert!(streams.receive_rest());
    }
}
