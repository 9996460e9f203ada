//! Lines of standard input, many keys at a time.

use bstr::{BStr, ByteSlice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;

/// What is read at a time.
const ROOM: usize = 64 * 1024;

/// The lines of `source`.
pub(crate) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// A NUL was read at some time.
    has_nul: bool,
}

/// Lines that are handed out together at most.
const MOST: usize = 64;

impl<R: Read + AsFd> Input<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; ROOM],
            start: 0,
            end: 0,
            is_at_end: false,
            has_nul: false,
        }
    }

    /// The next lines as far as they are there, one at least, or none at the end. They come without newlines
    /// and without what follows the first NUL, for keys are C strings elsewhere. Before the source has to be
    /// waited for, `pause` is called: whoever sends the keys may wait for the answers.
    pub(crate) fn next(&mut self, mut pause: impl FnMut()) -> io::Result<Vec<&BStr>> {
        let mut seen = 0;
        while !self.is_at_end {
            let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
            if rest.get(seen..).is_some_and(|new| new.contains(&b'\n')) {
                break;
            }
            seen = rest.len();
            self.fill(&mut pause)?;
        }
        let mut rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let mut lines = Vec::with_capacity(MOST);
        while lines.len() < MOST && !rest.is_empty() {
            let (line, others) = match rest.find_byte(b'\n') {
                Some(at) => (rest.get(..at), rest.get(at + 1..)),
                None if self.is_at_end => (Some(rest), None),
                None => break,
            };
            lines.push(self.key(line.unwrap_or_default()));
            rest = others.unwrap_or_default();
        }
        self.start = self.end - rest.len();
        Ok(lines)
    }

    /// What of a line is the key.
    fn key<'a>(&self, line: &'a [u8]) -> &'a BStr {
        if !self.has_nul {
            return BStr::new(line);
        }
        let end = line.find_byte(0).and_then(|end| line.get(..end));
        BStr::new(end.unwrap_or(line))
    }

    /// Reads more behind what is there.
    fn fill(&mut self, pause: &mut impl FnMut()) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        let mut source = [PollFd::new(self.source.as_fd(), PollFlags::POLLIN)];
        if poll(&mut source, PollTimeout::ZERO) == Ok(0) {
            pause();
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.source.read(room) {
            Ok(0) => self.is_at_end = true,
            Ok(count) => {
                let new = room.get(..count).unwrap_or_default();
                self.has_nul = self.has_nul || new.find_byte(0).is_some();
                self.end += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_of_any_length_come_as_they_were_sent() {
        let long = "x".repeat(3 * ROOM);
        for (text, want) in [
            ("", vec![]),
            ("a\nb\n", vec!["a", "b"]),
            ("a\n\nb", vec!["a", "", "b"]),
            (long.as_str(), vec![long.as_str()]),
            ("\n", vec![""]),
            ("k\n".repeat(3 * MOST).as_str(), vec!["k"; 3 * MOST]),
            ("a\0b\nc\0\0\nd", vec!["a", "c", "d"]),
        ] {
            let (source, mut sender) = UnixStream::pair().unwrap();
            let text = text.to_owned();
            let thread = std::thread::spawn(move || sender.write_all(text.as_bytes()));
            let mut input = Input::new(source);
            let mut lines = Vec::new();
            loop {
                let more = input.next(|| ()).unwrap();
                if more.is_empty() {
                    break;
                }
                lines.extend(more.iter().map(ToString::to_string));
            }
            thread.join().unwrap().unwrap();
            assert_eq!(lines, want);
        }
    }

    #[test]
    fn a_pause_is_told_before_it_is_waited_for() {
        let (source, mut sender) = UnixStream::pair().unwrap();
        let mut input = Input::new(source);
        sender.write_all(b"one\ntwo\n").unwrap();
        let no_pause = || panic!("nothing to wait for");
        assert_eq!(input.next(no_pause).unwrap(), ["one", "two"]);
        let mut pauses = 0;
        let more = || {
            pauses += 1;
            sender.write_all(b"three\nfo").unwrap();
        };
        assert_eq!(input.next(more).unwrap(), ["three"]);
        assert_eq!(pauses, 1);
    }
}
