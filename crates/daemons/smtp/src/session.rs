//! A connection to one server: its names, its features, its commands and replies.

use std::io::Write;
use std::time::Duration;

use bstr::{BStr, BString, ByteSlice};
use postern_maillog::Verbose;
use postern_wire::{Channel, Deadline};

use crate::failure::Failure;
use crate::features::{Features, Keywords};
use crate::reply::{self, Reply, ReplyContext};
use crate::settings::{Settings, Tables};
use crate::trouble::{Stage, Trouble};

/// Lines of the dialogue kept for a postmaster notice.
const HISTORY_LIMIT: usize = 1000;
/// Bytes kept of one such line.
const HISTORY_LINE: usize = 2048;

/// How a server is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Host name; our own for a UNIX socket.
    pub host: BString,
    /// Address, or path of the socket.
    pub address: BString,
    /// TCP port.
    pub port: Option<u16>,
}

impl Peer {
    /// `NAME[ADDR]`.
    pub fn short(&self) -> BString {
        format!("{}[{}]", self.host, self.address).into()
    }

    /// `NAME[ADDR]:PORT`, without the port for a UNIX socket.
    pub fn long(&self) -> BString {
        match self.port {
            Some(port) => format!("{}[{}]:{port}", self.host, self.address).into(),
            None => self.short(),
        }
    }
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// The stream.
    pub channel: Channel,
    /// Who is at the other end.
    pub peer: Peer,
    /// `NAME[ADDR]`.
    pub short: BString,
    /// `NAME[ADDR]:PORT`.
    pub long: BString,
    /// What the server offers.
    pub features: Features,
    /// PIX: wait before the final dot.
    pub delay_dot: bool,
    /// How often the connection was used before.
    pub reuse_count: i32,
    /// When it must not be used any more, seconds since the epoch.
    pub expires: i64,
    /// Whether it may be kept when the dialogue ends well.
    pub keep: bool,
    /// Whether it may be kept under the name of the next hop, too, and not only under its address.
    pub labelled: bool,
    /// The dialogue ended well, the server waits for the next command.
    pub in_step: bool,
    /// QUIT went out.
    pub quit_sent: bool,
    /// Nothing more may be sent or read: the connection is only closed.
    pub dead: bool,
    /// A reply told of a protocol misunderstanding.
    pub protocol_error: bool,
    /// Content could not be read or sent.
    pub data_error: bool,
    /// Lines of the dialogue, `In:  ` and `Out: ` before each; empty unless wanted.
    pub history: Vec<BString>,
    record_history: bool,
    output: Vec<u8>,
    /// The peer is one of `debug_peer_list`: its whole session is logged.
    _verbose: Option<Verbose>,
}

impl Session {
    /// A session over an open connection.
    pub fn new(
        channel: Channel,
        peer: Peer,
        record_history: bool,
        verbose: Option<Verbose>,
    ) -> Self {
        Self {
            short: peer.short(),
            long: peer.long(),
            channel,
            peer,
            features: Features::default(),
            delay_dot: false,
            reuse_count: 0,
            expires: 0,
            keep: false,
            labelled: false,
            in_step: false,
            quit_sent: false,
            dead: false,
            protocol_error: false,
            data_error: false,
            history: Vec::new(),
            record_history,
            output: Vec::new(),
            _verbose: verbose,
        }
    }

    /// Whether the server offers `keyword`.
    pub fn offers(&self, keyword: Keywords) -> bool {
        self.features.offered.has(keyword)
    }

    /// Sets the time limit for what follows.
    pub fn set_timeout(&mut self, settings: &Settings, limit: Duration) {
        self.channel.set_timeout(limit);
        let deadline = settings.per_request_deadline.then_some(Deadline {
            limit,
            min_data_rate: 0,
        });
        self.channel.set_deadline(deadline);
    }

    /// As [`Session::set_timeout`], for content: a minimum data rate extends the limit.
    pub fn set_content_timeout(&mut self, settings: &Settings) {
        let limit = settings.timeouts.data_xfer;
        self.channel.set_timeout(limit);
        let min_data_rate = settings.min_data_rate;
        self.channel
            .set_deadline(settings.per_request_deadline.then_some(Deadline {
                limit,
                min_data_rate,
            }));
    }

    /// Adds one command to the batch.
    pub fn command(&mut self, text: &[u8]) {
        log::debug!("> {}: {}", self.long, reply::printable(text));
        self.remember("Out: ", text);
        self.output.extend_from_slice(text);
        self.output.extend_from_slice(b"\r\n");
    }

    /// Bytes in the batch.
    pub fn batch_len(&self) -> usize {
        self.output.len()
    }

    /// Sends the batch.
    pub fn flush(&mut self) -> Result<(), Trouble> {
        let output = std::mem::take(&mut self.output);
        let sent = self
            .channel
            .write_all(&output)
            .and_then(|()| self.channel.flush());
        sent.map_err(|error| Trouble::from_io(&error))
    }

    /// Checks that the server has not spoken out of turn: everything that it sent so far was the
    /// answer to something. A farewell (421) may come at any time.
    pub fn check_in_step(&mut self) -> Result<(), Trouble> {
        use std::io::BufRead;
        let readable = self
            .channel
            .is_readable(Duration::ZERO)
            .map_err(|error| Trouble::from_io(&error))?;
        if !readable {
            return Ok(());
        }
        let waiting = self
            .channel
            .fill_buf()
            .map_err(|error| Trouble::from_io(&error))?;
        match waiting {
            [] => Err(Trouble::Lost),
            [b'4', b'2', b'1', ..] => Ok(()),
            other => {
                let line = other
                    .split(|byte| *byte == b'\n')
                    .next()
                    .unwrap_or_default();
                let line = reply::printable(line.get(..100).unwrap_or(line));
                log::warn!("{}: unsolicited reply: {line}", self.long);
                self.protocol_error = true;
                self.keep = false;
                Err(Trouble::OutOfStep)
            }
        }
    }

    /// Reads the next reply.
    pub fn reply(
        &mut self,
        settings: &Settings,
        tables: &mut Tables,
        queue_id: &str,
    ) -> Result<Reply, Trouble> {
        self.channel.restart_deadline();
        let mut context = ReplyContext {
            peer: self.long.as_bstr(),
            address: self.peer.address.as_bstr(),
            queue_id,
            line_limit: settings.reply_line_limit,
            pipelining: self.features.offered.has(Keywords::PIPELINING),
            role: settings.role,
            filter: tables.reply_filter.as_deref_mut(),
        };
        let record = self.record_history;
        let history = &mut self.history;
        reply::read(&mut self.channel, &mut context, &mut |line| {
            if record {
                remember(history, "In:  ", line);
            }
        })
    }

    /// One command and its reply.
    pub fn exchange(
        &mut self,
        text: &[u8],
        settings: &Settings,
        tables: &mut Tables,
        queue_id: &str,
    ) -> Result<Reply, Trouble> {
        self.check_in_step()?;
        self.command(text);
        self.flush()?;
        self.reply(settings, tables, queue_id)
    }

    /// Says goodbye, unless that was done; waits for the answer where that is wanted.
    pub fn quit(&mut self, settings: &Settings, tables: &mut Tables, queue_id: &str) {
        if self.dead || self.channel.has_failed() {
            return;
        }
        self.set_timeout(settings, settings.timeouts.quit);
        if !self.quit_sent {
            self.command(b"QUIT");
            self.quit_sent = true;
            if self.flush().is_err() {
                return;
            }
        }
        if !settings.skip_quit_response {
            // Whatever the server answers, the session is over.
            let _ = self.reply(settings, tables, queue_id);
        }
    }

    /// Notes what a negative reply tells about the session.
    pub fn judge(&mut self, reply: &Reply) {
        self.protocol_error |= reply.is_protocol_error();
    }

    /// The failure that a reply to a command stands for.
    pub fn said(&mut self, reply: &Reply, stage: Stage) -> Failure {
        self.judge(reply);
        let reason = format!(
            "host {} said: {} (in reply to {})",
            self.short,
            reply.text,
            stage.command()
        );
        Failure::remote(self.peer.host.as_bstr(), reply, reason)
    }

    /// The failure of a server that does not want to talk.
    pub fn refused(&mut self, reply: &Reply) -> Failure {
        self.judge(reply);
        let reason = format!("host {} refused to talk to me: {}", self.short, reply.text);
        Failure::remote(self.peer.host.as_bstr(), reply, reason)
    }

    /// The failure of a dialogue that broke.
    pub fn broken(&mut self, trouble: &Trouble, stage: Stage) -> Failure {
        self.keep = false;
        // Before there is mail, the server may be told that there will be none.
        self.dead = *trouble != Trouble::Data || stage.has_mail();
        match trouble {
            Trouble::Lost => Failure::local(
                "4.4.2",
                format!("lost connection with {} while {stage}", self.short),
            ),
            Trouble::TimedOut => Failure::local(
                "4.4.2",
                format!("conversation with {} timed out while {stage}", self.short),
            ),
            Trouble::Data => {
                self.data_error = true;
                Failure::local(
                    "4.3.0",
                    format!("local data error while talking to {}", self.short),
                )
            }
            Trouble::OutOfStep => Failure::local(
                "4.5.0",
                format!(
                    "host {} sent an unsolicited reply while {stage}",
                    self.short
                ),
            ),
        }
    }

    /// Adds a line to the history.
    pub fn remember(&mut self, direction: &str, line: &[u8]) {
        if self.record_history {
            remember(&mut self.history, direction, line);
        }
    }
}

fn remember(history: &mut Vec<BString>, direction: &str, line: &[u8]) {
    if history.len() < HISTORY_LIMIT {
        let text = reply::printable(line.get(..HISTORY_LINE).unwrap_or(line));
        history.push(format!("{direction}{text}").into());
    }
}

/// `text` cut to at most `limit` characters, for logs.
pub fn excerpt(text: &BStr, limit: usize) -> String {
    text.to_str_lossy().chars().take(limit).collect()
}
