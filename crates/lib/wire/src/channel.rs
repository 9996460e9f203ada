//! A buffered duplex stream with time limits per operation and, when wanted, per request.

use crate::{Layer, LineEnd, Raw};
use bstr::ByteSlice;
use postern_sys::socket::{self, Interest};
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Room for input and output each, at first. A reply batch or an internal request fits.
const BUFFER: usize = 8192;
/// Room on connections that carry large messages.
const LARGE_BUFFER: usize = 64 * 1024;

/// A time limit for a whole request instead of one per operation.
///
/// Time spent in reads and writes is taken from the budget. With a minimum data rate, every byte
/// transferred gives time back, never beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The budget at the start of a request.
    pub limit: Duration,
    /// Bytes per second that a peer must keep up; 0 gives nothing back.
    pub min_data_rate: u32,
}

#[derive(Debug)]
struct Budget {
    deadline: Deadline,
    left: Duration,
}

/// What [`Channel::receive_now`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// More input.
    Some,
    /// Nothing more is there at present.
    Nothing,
    /// The end of input.
    End,
    /// Nothing was asked for: as much as allowed is buffered already.
    Full,
}

/// The stream to a peer. Input and output are buffered; output is sent by [`Write::flush`], when
/// the buffer is full, and before a read has to wait for the peer.
pub struct Channel {
    raw: Raw,
    layer: Option<Box<dyn Layer>>,
    input: Vec<u8>,
    input_room: usize,
    start: usize,
    end: usize,
    /// The last receive filled the whole buffer.
    was_filled: bool,
    output: Vec<u8>,
    output_room: usize,
    timeout: Duration,
    budget: Option<Budget>,
    failed: bool,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("raw", &self.raw)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// A channel over a blocking stream socket, without time limit until one is set.
    pub fn new(socket: OwnedFd) -> Self {
        Self::over(Raw::new(socket, None, Duration::ZERO))
    }

    /// As [`Channel::new`], for a socket whose send timeout is `sent_limit` already.
    pub(crate) fn with_send_timeout(socket: OwnedFd, sent_limit: Duration) -> Self {
        Self::over(Raw::new(socket, None, sent_limit))
    }

    /// A channel that reads and writes different descriptors (stand-alone mode).
    pub fn from_pair(input: OwnedFd, output: OwnedFd) -> Self {
        Self::over(Raw::new(input, Some(output), Duration::ZERO))
    }

    fn over(raw: Raw) -> Self {
        Self {
            raw,
            layer: None,
            input: Vec::new(),
            input_room: BUFFER,
            start: 0,
            end: 0,
            was_filled: false,
            output: Vec::new(),
            output_room: BUFFER,
            timeout: Duration::ZERO,
            budget: None,
            failed: false,
        }
    }

    /// How long one read or write may wait for the peer; zero is for ever. A system call only when
    /// the value changes and is used.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The limit set by [`Channel::set_timeout`].
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Starts a time limit over all operations until the next call, or ends it with `None`.
    pub fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.budget = deadline.map(|deadline| Budget {
            deadline,
            left: deadline.limit,
        });
    }

    /// Gives the current deadline its full budget again: a new request begins.
    pub fn restart_deadline(&mut self) {
        if let Some(budget) = &mut self.budget {
            budget.left = budget.deadline.limit;
        }
    }

    /// Bytes that were received and not yet read.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// The received and not yet read bytes.
    pub fn buffered(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the last receive filled the whole buffer, so that more may wait in the socket. Event
    /// loops with edge-triggered readiness need to know.
    pub fn may_have_more(&self) -> bool {
        self.was_filled || self.layer.as_ref().is_some_and(|layer| layer.has_pending())
    }

    /// Whether a read would return at once: input is buffered here, in the layer, or in the socket
    /// within `limit`. The end of input counts.
    pub fn is_readable(&self, limit: Duration) -> io::Result<bool> {
        if self.pending() > 0 || self.layer.as_ref().is_some_and(|layer| layer.has_pending()) {
            return Ok(true);
        }
        socket::wait(self.raw.input(), Interest::Read, Some(limit))
    }

    /// Adds to the buffered input what is there, without waiting, until `limit` bytes are buffered. For
    /// event loops, which wait for many peers at a time; not for channels with a layer or of two
    /// descriptors.
    ///
    /// # Errors
    ///
    /// What the connection suffered from; the channel has failed then.
    pub fn receive_now(&mut self, limit: usize) -> io::Result<Received> {
        if self.layer.is_some() || !self.raw.is_socket() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.pending() >= limit {
            return Ok(Received::Full);
        }
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == 0 && self.input.capacity() > LARGE_BUFFER {
            // One large message must not cost its room for as long as the connection lasts.
            self.input = Vec::new();
        }
        let space = self.input_room.max(self.end + BUFFER).min(limit) - self.end;
        self.input.truncate(self.end);
        match socket::recv_append_now(self.raw.input(), &mut self.input, space) {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                self.end += count;
                self.was_filled = count == space;
                Ok(Received::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.was_filled = false;
                Ok(Received::Nothing)
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    /// Whether the peer has closed the connection, as far as that is known without waiting.
    /// Unread input means no.
    pub fn is_closed_by_peer(&self) -> bool {
        self.failed
            || (self.pending() == 0 && self.raw.is_socket() && socket::is_at_end(self.raw.input()))
    }

    /// Whether an earlier read or write failed; the stream is then out of step for good.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Puts an encryption layer between the buffers and the socket. Plain-text input that was
    /// received early is dropped (it must never count as protected).
    pub fn set_layer(&mut self, layer: Box<dyn Layer>) {
        (self.start, self.end) = (0, 0);
        self.layer = Some(layer);
    }

    /// The encryption layer.
    pub fn layer(&self) -> Option<&dyn Layer> {
        self.layer.as_deref()
    }

    /// The raw stream with the current time limits applied, for a handshake. Pending output is sent
    /// before; early plain-text input is dropped.
    pub fn raw(&mut self) -> io::Result<&mut Raw> {
        self.flush()?;
        (self.start, self.end) = (0, 0);
        self.arm_read()?;
        self.arm_write()?;
        Ok(&mut self.raw)
    }

    /// The peer's address, for TCP.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        socket::peer_address(self.raw.input())
    }

    /// The local address, for TCP.
    pub fn local_address(&self) -> Option<SocketAddr> {
        socket::local_address(self.raw.input())
    }

    /// Ends an encryption layer politely; later operations fail at the peer's side.
    pub fn shutdown(&mut self) {
        let _ = self.flush();
        if let Some(layer) = &mut self.layer {
            layer.shutdown(&mut self.raw);
        }
    }

    /// Gives the socket away. Unsent output is lost; unread input too.
    pub fn into_fd(self) -> OwnedFd {
        self.raw.into_input()
    }

    /// Reads one line without its end into `line` (cleared first), at most `limit` bytes of text.
    ///
    /// A longer line comes in parts, each but the last marked [`LineEnd::Partial`]. The end of input
    /// gives what there was, marked [`LineEnd::Eof`].
    pub fn read_line(&mut self, limit: usize, line: &mut Vec<u8>) -> io::Result<LineEnd> {
        line.clear();
        loop {
            if self.fill_buf()?.is_empty() {
                return Ok(LineEnd::Eof);
            }
            let available = self.buffered();
            // One byte more than the text may be the LF, two the CR LF.
            let room = limit.saturating_add(2).saturating_sub(line.len());
            let window = available
                .get(..room.min(available.len()))
                .unwrap_or_default();
            if let Some(at) = window.find_byte(b'\n') {
                line.extend_from_slice(window.get(..at).unwrap_or_default());
                self.consume(at + 1);
                let end = if line.last() == Some(&b'\r') {
                    line.pop();
                    LineEnd::CrLf
                } else {
                    LineEnd::Lf
                };
                return Ok(self.give_back_excess(limit, line, end));
            }
            let taken = window.len();
            line.extend_from_slice(window);
            self.consume(taken);
            if line.len() >= limit.saturating_add(2) {
                return Ok(self.give_back_excess(limit, line, LineEnd::Partial));
            }
        }
    }

    /// Puts back what was read beyond `limit` while looking for the line's end.
    fn give_back_excess(&mut self, limit: usize, line: &mut Vec<u8>, end: LineEnd) -> LineEnd {
        if line.len() <= limit {
            return end;
        }
        let mut rest = line.split_off(limit);
        match end {
            LineEnd::CrLf => rest.extend_from_slice(b"\r\n"),
            LineEnd::Lf => rest.push(b'\n'),
            LineEnd::Partial | LineEnd::Eof => {}
        }
        rest.extend_from_slice(self.buffered());
        self.start = 0;
        self.end = rest.len();
        self.input = rest;
        LineEnd::Partial
    }

    /// Reads and drops the rest of a line that was read in part.
    pub fn skip_line(&mut self) -> io::Result<LineEnd> {
        loop {
            let available = self.fill_buf()?;
            if available.is_empty() {
                return Ok(LineEnd::Eof);
            }
            match available.find_byte(b'\n') {
                Some(at) => {
                    self.consume(at + 1);
                    return Ok(LineEnd::Lf);
                }
                None => {
                    let all = available.len();
                    self.consume(all);
                }
            }
        }
    }

    fn arm_read(&mut self) -> io::Result<()> {
        let limit = self.operation_limit()?;
        self.raw.set_read_limit(limit)
    }

    fn arm_write(&mut self) -> io::Result<()> {
        let limit = self.operation_limit()?;
        self.raw.set_write_limit(limit);
        Ok(())
    }

    fn operation_limit(&self) -> io::Result<Duration> {
        match &self.budget {
            None => Ok(self.timeout),
            Some(budget) if budget.left.is_zero() => Err(crate::timed_out()),
            Some(budget) => Ok(coarse(budget.left)),
        }
    }

    /// Runs one raw operation against the budget, and remembers failure.
    fn account(
        &mut self,
        operation: impl FnOnce(&mut Raw, Option<&mut Box<dyn Layer>>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let begin = self.budget.as_ref().map(|_| Instant::now());
        let result = operation(&mut self.raw, self.layer.as_mut());
        if let (Some(begin), Some(budget)) = (begin, &mut self.budget) {
            budget.left = budget.left.saturating_sub(begin.elapsed());
            if let (Ok(count), true) = (&result, budget.deadline.min_data_rate > 0) {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let gained = Duration::from_secs_f64(
                    f64::from(count) / f64::from(budget.deadline.min_data_rate),
                );
                budget.left = (budget.left + gained).min(budget.deadline.limit);
            }
        }
        if result.is_err() {
            self.failed = true;
        }
        result
    }

    /// Refills the empty input buffer; output goes out first, since the peer may wait for it.
    fn receive(&mut self) -> io::Result<()> {
        self.flush()?;
        self.arm_read().inspect_err(|_| self.failed = true)?;
        let mut input = std::mem::take(&mut self.input);
        let room = self.input_room;
        let result = self.account(|raw, layer| match layer {
            Some(layer) => {
                input.resize(room, 0);
                layer.read(raw, &mut input)
            }
            None => {
                input.clear();
                raw.receive(&mut input, room)
            }
        });
        self.input = input;
        (self.start, self.end) = (0, 0);
        self.end = result?;
        self.was_filled = self.end == self.input_room;
        if self.was_filled {
            self.input_room = larger(self.input_room);
        }
        Ok(())
    }

    /// Writes what the buffer, as it is, has no room for.
    #[cold]
    fn write_beyond_room(&mut self, data: &[u8]) -> io::Result<()> {
        if self.output.len() + data.len() > self.output_room {
            self.flush()?;
            self.output_room = larger(self.output_room);
        }
        if data.len() >= self.output_room {
            return self.send(data);
        }
        if self.output.capacity() == 0 {
            // At once: small pieces would be copied from one size to the next.
            self.output.reserve_exact(BUFFER);
        }
        self.output.extend_from_slice(data);
        Ok(())
    }

    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            self.arm_write().inspect_err(|_| self.failed = true)?;
            let sent = self.account(|raw, layer| match layer {
                Some(layer) => layer.write_all(raw, rest).map(|()| rest.len()),
                None => raw.write(rest),
            })?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Room for the next of many bytes: fewer and larger transfers.
fn larger(room: usize) -> usize {
    room.saturating_mul(2).min(LARGE_BUFFER)
}

impl BufRead for Channel {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start >= self.end {
            self.receive()?;
        }
        Ok(self.buffered())
    }
    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl Write for Channel {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data)?;
        Ok(data.len())
    }

    #[inline]
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        let room = self.output_room.min(self.output.capacity());
        if self.output.len() + data.len() > room {
            return self.write_beyond_room(data);
        }
        self.output.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let mut output = std::mem::take(&mut self.output);
        let result = self.send(&output);
        // What could not be sent is lost: the stream has failed, and must not be sent twice.
        output.clear();
        self.output = output;
        result
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.input()
    }
}

/// A limit that changes only now and then, so that the kernel need not hear of every microsecond spent.
fn coarse(limit: Duration) -> Duration {
    const STEP: u128 = 100;
    let steps = limit.as_millis().div_ceil(STEP);
    if limit < Duration::from_secs(1) {
        return limit;
    }
    u64::try_from(steps * STEP).map_or(limit, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (a, b) = socket::pair().unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn input_is_collected_without_waiting_up_to_a_limit() {
        let (mut near, mut far) = pair();
        assert_eq!(near.receive_now(10).unwrap(), Received::Nothing);
        for part in ["abcd", "efgh", "ijkl"] {
            far.write_all(part.as_bytes()).unwrap();
            far.flush().unwrap();
            near.receive_now(10).unwrap();
        }
        assert_eq!(near.buffered(), b"abcdefghij");
        assert_eq!(near.receive_now(10).unwrap(), Received::Full);
        near.consume(9);
        assert_eq!(near.receive_now(10).unwrap(), Received::Some);
        assert_eq!(near.buffered(), b"jkl");
        drop(far);
        assert_eq!(near.receive_now(10).unwrap(), Received::End);
        assert_eq!(near.buffered(), b"jkl");
    }

    #[test]
    fn long_lines_come_in_parts_and_keep_their_end() {
        let (mut near, mut far) = pair();
        far.write_all(b"EHLO x\r\nab\n12345\r\n123456\r\n1234567890abc\r\nrest")
            .unwrap();
        far.flush().unwrap();
        drop(far);
        let want: &[(&[u8], LineEnd)] = &[
            (b"EHLO ", LineEnd::Partial),
            (b"x", LineEnd::CrLf),
            (b"ab", LineEnd::Lf),
            (b"12345", LineEnd::CrLf),
            (b"12345", LineEnd::Partial),
            (b"6", LineEnd::CrLf),
            (b"12345", LineEnd::Partial),
            (b"67890", LineEnd::Partial),
            (b"abc", LineEnd::CrLf),
            (b"rest", LineEnd::Eof),
        ];
        let mut line = Vec::new();
        for (text, end) in want {
            assert_eq!(near.read_line(5, &mut line).unwrap(), *end, "{text:?}");
            assert_eq!(line, *text);
        }
    }

    #[test]
    fn output_goes_out_before_a_read_waits() {
        let (mut near, mut far) = pair();
        near.write_all(b"hello\r\n").unwrap();
        near.set_timeout(Duration::from_millis(1));
        assert!(crate::is_timeout(
            &near.read_line(99, &mut Vec::new()).unwrap_err()
        ));
        let mut line = Vec::new();
        assert_eq!(far.read_line(99, &mut line).unwrap(), LineEnd::CrLf);
        assert_eq!(line, b"hello");
        assert!(near.has_failed());
    }

    #[test]
    fn deadline_counts_over_several_reads_and_data_gives_time_back() {
        let (mut near, mut far) = pair();
        far.write_all(b"x").unwrap();
        far.flush().unwrap();
        near.set_timeout(Duration::from_secs(60));
        near.set_deadline(Some(Deadline {
            limit: Duration::from_millis(5),
            min_data_rate: 0,
        }));
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert!(crate::is_timeout(&near.read_exact(&mut byte).unwrap_err()));
        assert!(
            crate::is_timeout(&near.read_exact(&mut byte).unwrap_err()),
            "an empty budget stays empty"
        );
        near.restart_deadline();
        far.write_all(b"y").unwrap();
        far.flush().unwrap();
        near.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"y");
    }

    #[test]
    fn write_to_a_peer_that_does_not_read_times_out() {
        let (mut near, _far) = pair();
        near.set_timeout(Duration::from_millis(1));
        let error = near.write_all(&[b'x'; 4_000_000]).unwrap_err();
        assert!(crate::is_timeout(&error));
    }

    #[test]
    fn closed_peer_is_noticed_only_when_input_is_used_up() {
        let (mut near, mut far) = pair();
        assert!(!near.is_closed_by_peer());
        far.write_all(b"ab").unwrap();
        far.flush().unwrap();
        drop(far);
        assert!(!near.is_closed_by_peer());
        let mut two = [0; 2];
        near.read_exact(&mut two).unwrap();
        assert!(near.is_closed_by_peer());
    }

    #[test]
    fn pipes_serve_as_two_directions_with_time_limit() {
        let (input, _keep) = nix::unistd::pipe().unwrap();
        let (sink, output) = nix::unistd::pipe().unwrap();
        let mut channel = Channel::from_pair(input, output);
        channel.set_timeout(Duration::from_millis(1));
        channel.write_all(b"z").unwrap();
        assert!(crate::is_timeout(&channel.read(&mut [0]).unwrap_err()));
        let mut byte = [0];
        std::fs::File::from(sink).read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"z");
    }
}
