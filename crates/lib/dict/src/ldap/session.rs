//! One connection to a directory server: requests, and the replies to them, each before a given time.

use bstr::{BString, ByteSlice};
use postern_wire::{Channel, Deadline, connect_tcp, connect_unix, is_timeout};
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::code;
use super::message::{self, Attribute, Outcome, ReadError, Reply, Search};
use super::url::Transport;
use crate::io_text;
use crate::tls::{self, Check, TlsFiles};

/// Bytes that one search may bring.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What a search brought.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: i32,
    /// What is known about a failure, for the caller's error.
    pub(super) reason: String,
    pub(super) entries: Vec<Vec<Attribute>>,
    /// Whether the log has the failure already.
    pub(super) is_reported: bool,
    /// Size of the messages with all that.
    pub(super) bytes: usize,
    /// Who else is to be asked, each with its alternatives.
    pub(super) references: Vec<Vec<BString>>,
}

impl Answer {
    pub(super) fn failed(code: i32, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            ..Self::default()
        }
    }
}

/// A connected and bound session.
pub(super) struct Session {
    channel: Channel,
    next_id: i32,
}

/// Connects, trying each address of a name.
pub(super) fn dial(place: &Transport, end: Instant) -> io::Result<Channel> {
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(postern_wire::timed_out()),
        left => Ok(left),
    };
    let (host, port) = match place {
        Transport::Unix(path) => return connect_unix(Path::new(path), left()?),
        Transport::Tcp(host, port) | Transport::Tls(host, port) => (host.as_str(), *port),
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match connect_tcp(address, None, left()?) {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) fn io_code(error: &io::Error) -> i32 {
    if is_timeout(error) {
        code::TIMEOUT
    } else {
        code::SERVER_DOWN
    }
}

/// A code in words, with what the server says about it.
pub(super) fn explained(outcome: &Outcome) -> String {
    let (text, said) = (code::text(outcome.code), &outcome.text);
    match said.get(..200).unwrap_or(said) {
        b"" => text.to_owned(),
        said => format!("{text}: {}", said.as_bstr()),
    }
}

/// A code and what is known about it.
pub(super) type Trouble = (i32, String);

fn io_trouble(error: &io::Error) -> Trouble {
    (io_code(error), io_text(error))
}

fn read_trouble(error: &ReadError) -> Trouble {
    match error {
        ReadError::Io(error) => io_trouble(error),
        ReadError::Malformed(error) => (code::DECODING_ERROR, error.to_string()),
    }
}

impl Session {
    /// The number of the next request.
    pub(super) fn id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(1);
        id
    }

    /// A session without any request yet.
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            next_id: 1,
        }
    }

    /// Whether the server ended it.
    pub(super) fn is_over(&self) -> bool {
        self.channel.is_closed_by_peer()
    }

    /// Says good-bye.
    pub(super) fn close(mut self) {
        if !self.channel.has_failed() {
            let bye = message::unbind(self.next_id);
            let _ = self.channel.write_all(&bye);
            self.channel.shutdown();
        }
    }

    /// Starts TLS with the server `name`, whose certificate is checked or not.
    pub(super) fn encrypt(
        &mut self,
        files: &TlsFiles,
        verify: bool,
        name: &str,
        end: Instant,
    ) -> io::Result<()> {
        let check = if verify {
            Check::ChainAndAnyName
        } else {
            Check::Nothing
        };
        tls::encrypt(&mut self.channel, files, check, name, end)
    }

    fn send(&mut self, request: &[u8], end: Instant) -> Result<(), Trouble> {
        let limit = end.saturating_duration_since(Instant::now());
        if limit.is_zero() {
            return Err((code::TIMEOUT, code::text(code::TIMEOUT).to_owned()));
        }
        self.channel.set_deadline(Some(Deadline {
            limit,
            min_data_rate: 0,
        }));
        let sent = self.channel.write_all(request);
        sent.and_then(|()| self.channel.flush())
            .map_err(|error| io_trouble(&error))
    }

    /// The next reply to the request `id`, and its size.
    fn receive(&mut self, id: i32) -> Result<(Reply, usize), Trouble> {
        loop {
            let body = message::read(&mut self.channel).map_err(|error| read_trouble(&error))?;
            let (found, reply) =
                message::parse(&body).map_err(|error| (code::DECODING_ERROR, error.to_string()))?;
            if found == id {
                return Ok((reply, body.len()));
            }
            if found == 0 {
                let text = "the server ended the session".to_owned();
                return Err((code::SERVER_DOWN, text));
            }
            // A late reply to a request that was given up.
        }
    }

    /// A request that has one reply, of the kind that `pick` takes.
    pub(super) fn ask(
        &mut self,
        id: i32,
        request: &[u8],
        end: Instant,
        pick: impl Fn(Reply) -> Option<Outcome>,
    ) -> Result<Outcome, Trouble> {
        self.send(request, end)?;
        let (reply, _) = self.receive(id)?;
        pick(reply).ok_or((code::DECODING_ERROR, "unexpected reply".to_owned()))
    }

    /// A search; `chase` keeps the referrals.
    pub(super) fn search(
        &mut self,
        query: &Search,
        end: Instant,
        chase: bool,
    ) -> Result<Answer, Trouble> {
        let id = self.id();
        self.send(&message::search(id, query), end)?;
        let mut answer = Answer::default();
        loop {
            let (reply, size) = self.receive(id)?;
            answer.bytes = answer.bytes.saturating_add(size);
            if answer.bytes > MOST_BYTES {
                return Err((code::SIZE_LIMIT, "too much data".to_owned()));
            }
            match reply {
                Reply::Entry(entry) => {
                    answer.entries.push(entry);
                    let count = i32::try_from(answer.entries.len()).unwrap_or(i32::MAX);
                    if query.size_limit > 0 && count > query.size_limit {
                        return Err((code::SIZE_LIMIT, code::text(code::SIZE_LIMIT).to_owned()));
                    }
                }
                Reply::Reference(urls) if chase => answer.references.push(urls),
                Reply::Done(outcome) => {
                    answer.code = outcome.code;
                    answer.reason = explained(&outcome);
                    if chase && !outcome.referral.is_empty() {
                        answer.references.push(outcome.referral);
                    }
                    return Ok(answer);
                }
                _ => {}
            }
        }
    }
}
