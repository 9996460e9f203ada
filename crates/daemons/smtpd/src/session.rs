//! One SMTP session: from the connection to the last log line.
//!
//! The commands are in `command`, the restrictions in `access`, the mail transaction in
//! `transaction`. Source: smtpd.md §1.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_mail::address;
use postern_mail::printable::{Charset, mask};
use postern_mail::smtp_command::{Word, words};
use postern_rewrite::Resolved;
use postern_server::{Client as Connection, ClientKind};
use postern_wire::{Channel, Deadline, LineEnd};
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::access::{AccessState, Rejection};
use crate::client::{Client, UNKNOWN};
use crate::command::Outcome;
use crate::ehlo_keywords::Keywords;
use crate::reply::{self, ErrorClass};
use crate::server::Server;
use crate::settings::BareNewline;
use crate::transaction::{Actions, Chunking, Transaction};
use crate::transcript::Transcript;
use crate::verb::{Statistics, Verb};

/// Why a session ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// The client was too slow.
    Timeout,
    /// The client is gone.
    Lost,
    /// A table that a session cannot do without cannot be read.
    LocalData,
    /// Everything is said.
    Close,
}

/// Result of a step of a session.
pub(crate) type Step<T = ()> = Result<T, Abort>;

impl From<std::io::Error> for Abort {
    fn from(error: std::io::Error) -> Self {
        if postern_wire::is_timeout(&error) {
            Self::Timeout
        } else {
            Self::Lost
        }
    }
}

/// Replies wait no longer than this for the end of a batch.
const FLUSH_AFTER: Duration = Duration::from_secs(10);
/// A command line may be this many times longer than `line_length_limit` before the input is shut.
const LINE_BOUND: usize = 100;
/// Bytes of early input that the log shows.
const SHOWN_INPUT: usize = 100;

/// See the module.
pub(crate) struct Session<'s> {
    pub(crate) server: &'s mut Server,
    pub(crate) io: Channel,
    /// The client is a local user's program; nobody else hears of the session.
    pub(crate) alone: bool,
    pub(crate) client: Client,
    pub(crate) esmtp: bool,
    pub(crate) helo: Option<BString>,
    /// Sender and recipient as checks and log lines see them, internal form.
    pub(crate) sender: Option<BString>,
    pub(crate) recipient: Option<BString>,
    pub(crate) etrn_name: Option<BString>,
    /// AUTH= of MAIL.
    pub(crate) sasl_sender: Option<BString>,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) chunking: Chunking,
    pub(crate) access: AccessState,
    pub(crate) actions: Actions,
    pub(crate) discarded: Keywords,
    pub(crate) bare_newline: BareNewline,
    pub(crate) error_count: u32,
    pub(crate) error_mask: ErrorClass,
    /// What the session is doing, for log lines.
    pub(crate) stage: &'static str,
    /// Recipients beyond the limit.
    pub(crate) overshoot: u32,
    pub(crate) transcript: Transcript,
    /// Bytes of refused chunks.
    pub(crate) skipped: u64,
    /// Queue ID of a message that was handed over, for the reply.
    pub(crate) queue_id_for_reply: Option<String>,
    bare_lf_seen: bool,
    junk_commands: u32,
    hangup: bool,
    pipelined: bool,
    denied: Option<BString>,
    reason: Option<&'static str>,
    statistics: Statistics,
    last_flush: Instant,
    anvil: Option<String>,
}

impl<'s> Session<'s> {
    /// A session with a client that was just accepted.
    pub(crate) fn new(server: &'s mut Server, connection: Connection, alone: bool) -> Self {
        let Connection { mut channel, kind } = connection;
        channel.set_timeout(server.set.timeout);
        if server.set.per_request_deadline {
            let limit = server.set.timeout;
            channel.set_deadline(Some(Deadline {
                limit,
                min_data_rate: server.set.min_data_rate,
            }));
        }
        let client = identify(server, &channel, &kind);
        Self {
            io: channel,
            alone,
            client,
            esmtp: false,
            helo: None,
            sender: None,
            recipient: None,
            etrn_name: None,
            sasl_sender: None,
            transaction: None,
            chunking: Chunking::None,
            access: AccessState::default(),
            actions: Actions::default(),
            discarded: Keywords::default(),
            bare_newline: BareNewline::Allow,
            bare_lf_seen: false,
            error_count: 0,
            error_mask: ErrorClass::NONE,
            stage: "CONNECT",
            overshoot: 0,
            transcript: Transcript::new(server.set.notify_classes != ErrorClass::NONE),
            skipped: 0,
            queue_id_for_reply: None,
            junk_commands: 0,
            hangup: false,
            pipelined: false,
            denied: None,
            reason: None,
            statistics: Statistics::default(),
            last_flush: Instant::now(),
            anvil: None,
            server,
        }
    }

    /// Talks with the client until one of both ends it.
    pub(crate) fn run(mut self) {
        log::info!("connect from {}", self.client.namaddr);
        let end = self.converse();
        self.explain_end(end);
        self.count_disconnect();
        self.log_abnormal_end();
        self.end_transaction();
        let note = if self.bare_lf_seen && self.bare_newline == BareNewline::Note {
            " notes=bare_lf"
        } else {
            ""
        };
        log::info!(
            "disconnect from {}{}{note}",
            self.client.namaddr,
            self.statistics.summary()
        );
        self.io.shutdown();
        self.send_notice();
    }

    /// The last reply, when there is still somebody to read it.
    fn explain_end(&mut self, end: Step) {
        let host = &self.server.set.myhostname;
        let reply = match end {
            Ok(()) | Err(Abort::Close) => return,
            Err(Abort::Lost) => {
                self.reason = Some("lost connection");
                return;
            }
            Err(Abort::Timeout) => {
                let reply = format!("421 4.4.2 {host} Error: timeout exceeded");
                self.reason = Some("timeout");
                self.io.set_deadline(None);
                reply
            }
            Err(Abort::LocalData) => {
                let reply = format!("421 4.3.0 {host} Server local data error");
                self.error_mask.add(ErrorClass::DATA);
                self.log_event("reject", BStr::new(&reply));
                reply
            }
        };
        // The reason stands, whether the client hears it or not.
        let _ = self.reply(reply);
        let _ = self.io.flush();
    }

    fn log_abnormal_end(&self) {
        let Some(reason) = self.reason else { return };
        let id = if self.server.look.smtpd_log_session_end_id() {
            format!("{}: ", self.queue_id())
        } else {
            String::new()
        };
        let from = &self.client.namaddr;
        match self.stage.strip_suffix(" content") {
            Some(command) => {
                let bytes = self
                    .transaction
                    .as_ref()
                    .map_or(0, |transaction| transaction.size);
                log::info!("{id}{reason} after {command} ({bytes} bytes) from {from}");
            }
            None if self.stage == "END-OF-MESSAGE" && reason == "lost connection" => {}
            None => log::info!("{id}{reason} after {} from {from}", self.stage),
        }
    }
}

/// Finds out who the client is.
fn identify(server: &Server, channel: &Channel, kind: &ClientKind) -> Client {
    let log_port = server.set.port_logging;
    let passed = match kind {
        ClientKind::Pass(attributes) => {
            let socket = |address: &Option<String>, port: &Option<String>| {
                let ip = address.as_deref()?.parse().ok()?;
                Some(SocketAddr::new(ip, port.as_deref()?.parse().ok()?))
            };
            let server_side = socket(&attributes.server_address, &attributes.server_port);
            socket(&attributes.client_address, &attributes.client_port)
                .map(|peer| (peer, server_side))
        }
        _ => None,
    };
    let addresses = passed.or_else(|| {
        channel
            .peer_address()
            .map(|peer| (peer, channel.local_address()))
    });
    let Some((peer, local)) = addresses else {
        return match kind {
            ClientKind::Inet | ClientKind::Pass(_) => Client::unknown(log_port),
            ClientKind::Unix | ClientKind::StandAlone => {
                Client::local(server.set.ipv6_first, log_port)
            }
        };
    };
    let mut client = Client::connected(peer, local, log_port);
    if server.set.peername_lookup {
        client.look_up(&server.dns, server.set.families, log_port);
    }
    client
}

/// The conversation.
impl Session<'_> {
    fn converse(&mut self) -> Step {
        self.greet()?;
        loop {
            if self.hangup {
                self.io.flush()?;
                return Ok(());
            }
            if self.error_count >= self.server.set.hard_error_limit {
                self.reason = Some("too many errors");
                self.error_mask.add(ErrorClass::PROTOCOL);
                let host = self.server.set.myhostname.clone();
                self.reply(format!("421 4.7.0 {host} Error: too many errors"))?;
                self.io.flush()?;
                return Ok(());
            }
            let line = self.read_command()?;
            if !self.execute(line)? {
                self.io.flush()?;
                return Ok(());
            }
        }
    }

    fn greet(&mut self) -> Step {
        self.choose_bare_newline_mode();
        if !self.alone {
            self.check_early_input()?;
            self.count_connection()?;
        }
        self.choose_discarded_keywords()?;
        if !self.alone && !self.server.set.delay_reject {
            self.access.end_transaction();
            if let Err(rejection) = self.check_client() {
                self.error_count += 1;
                if rejection.hangup {
                    return Err(Abort::Close);
                }
                self.denied = Some(rejection.text.clone());
                return self.reply(rejection.text);
            }
        }
        let banner = format!("220 {}", self.server.set.banner);
        self.reply(banner)
    }

    /// The line discipline for this client; those in the exclusions are trusted.
    fn choose_bare_newline_mode(&mut self) {
        self.bare_newline = self.server.set.bare_newline;
        if self.bare_newline == BareNewline::Allow {
            return;
        }
        if self.alone
            || self
                .server
                .lists_client(|lists| &mut lists.bare_newline_exclusions, &self.client)
                == Ok(true)
        {
            self.bare_newline = BareNewline::Allow;
        }
    }

    fn choose_discarded_keywords(&mut self) -> Step {
        let maps = self
            .config()
            .get(postern_config::params::SMTPD_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS);
        let mut words = self.server.set.discard_ehlo_keywords.clone();
        if !maps.is_empty() {
            let key = self.client.address.clone();
            match self.server.find_in_table(&maps, BStr::new(&key), false) {
                Ok(Some(value)) => words = value.to_string(),
                Ok(None) => {}
                Err(_) => {
                    log::warn!(
                        "don't know what EHLO features to announce to {}",
                        self.client.namaddr
                    );
                    return Err(Abort::LocalData);
                }
            }
        }
        if !words.is_empty() {
            self.discarded = Keywords::parse(&words);
        }
        Ok(())
    }

    /// Reads a command line; unprintable ends and what follows a NUL byte are cut off.
    fn read_command(&mut self) -> Step<BString> {
        let limit = self.server.set.line_length_limit;
        self.io.restart_deadline();
        let mut line = Vec::new();
        let end = self.io.read_line(limit, &mut line)?;
        match end {
            LineEnd::Eof => return Err(Abort::Lost),
            LineEnd::Partial => {
                let start = self.masked(line.get(..30).unwrap_or(&line));
                log::warn!(
                    "{}: request longer than {limit}: {start}...",
                    self.client.namaddr
                );
                self.skip_line(limit)?;
            }
            LineEnd::Lf => self.note_bare_lf()?,
            LineEnd::CrLf => {}
        }
        if self.bare_newline == BareNewline::Allow {
            while line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if let Some(nul) = line.find_byte(0) {
            line.truncate(nul);
        }
        Ok(line.into())
    }

    /// A line that ends in LF alone.
    fn note_bare_lf(&mut self) -> Step {
        self.bare_lf_seen = true;
        if self.bare_newline != BareNewline::Reject {
            return Ok(());
        }
        self.log_event("reject", BStr::new("bare <LF> received"));
        self.error_mask.add(ErrorClass::PROTOCOL);
        let reply = self.bare_lf_reply();
        self.reply(reply)?;
        self.io.flush()?;
        Err(Abort::Close)
    }

    /// Whether a content line's end counts as an attack.
    pub(crate) fn content_lf_is_refused(&mut self) -> bool {
        self.bare_lf_seen = true;
        self.bare_newline == BareNewline::Reject
    }

    /// The refusal of bare line feeds.
    pub(crate) fn bare_lf_reply(&self) -> String {
        format!(
            "{} 5.5.2 {} Error: bare <LF> received",
            self.server.set.bare_newline_code, self.server.set.myhostname
        )
    }

    /// Drops the rest of a line that is too long. There is an end to that, too.
    fn skip_line(&mut self, limit: usize) -> Step {
        let mut left = limit.saturating_mul(LINE_BOUND);
        loop {
            let available = self.io.fill_buf()?;
            if available.is_empty() {
                return Err(Abort::Lost);
            }
            let (count, found) = match available.find_byte(b'\n') {
                Some(at) => (at + 1, true),
                None => (available.len(), false),
            };
            self.io.consume(count);
            if found {
                return Ok(());
            }
            left = left.saturating_sub(count);
            if left == 0 {
                log::warn!("disabling input from {}", self.client.namaddr);
                return Err(Abort::Lost);
            }
        }
    }

    /// Runs one command line; `false` ends the session.
    fn execute(&mut self, line: BString) -> Step<bool> {
        self.transcript.client(&line);
        if self.server.set.smtputf8 && !line.is_ascii() && line.to_str().is_err() {
            return self.bad_line("500 5.5.2 Error: bad UTF-8 syntax");
        }
        let line = self.filter_command(line)?;
        let args = words(line.as_bstr());
        let Some(first) = args.first() else {
            return self.bad_line("500 5.5.2 Error: bad syntax");
        };
        let noop = self.server.set.noop_commands.clone();
        if !noop.is_empty()
            && self
                .server
                .is_in_list(&noop, &first.text.to_str_lossy())
                .unwrap_or(false)
        {
            self.reply("250 2.0.0 Ok")?;
            self.count_junk();
            return Ok(true);
        }
        let verb = Verb::parse(&first.text, self.server.look.smtpd_help_enable());
        self.statistics.begin(verb);
        if verb == Verb::Unknown && self.is_forbidden(first) {
            let shown = self.masked(line.get(..100).unwrap_or(&line));
            log::warn!("non-SMTP command from {}: {shown}", self.client.namaddr);
            self.reply("221 2.7.0 Error: I can break rules, too. Goodbye.")?;
            return Ok(false);
        }
        if verb != Verb::Quit && self.refuse_denied()? {
            return Ok(true);
        }
        self.stage = verb.name();
        if verb == Verb::Unknown {
            self.error_mask.add(ErrorClass::PROTOCOL);
            self.reply("500 5.5.2 Error: command not recognized")?;
            self.error_count += 1;
            return Ok(true);
        }
        if !self.alone && self.io.pending() > 0 && (!self.esmtp || verb.ends_batch()) {
            self.note_pipelining()?;
        }
        match self.run_command(verb, &args, line.as_bstr())? {
            Outcome::Good => self.statistics.succeed(verb),
            Outcome::Bad => self.error_count += 1,
            Outcome::Quit => {
                self.statistics.succeed(verb);
                return Ok(false);
            }
        }
        if verb.is_limited() {
            self.count_junk();
        }
        Ok(true)
    }

    fn bad_line(&mut self, reply: &str) -> Step<bool> {
        if self.server.look.smtpd_count_bad_syntax() {
            self.statistics.begin(Verb::Unknown);
        }
        self.error_mask.add(ErrorClass::PROTOCOL);
        self.reply(reply)?;
        self.error_count += 1;
        Ok(true)
    }

    fn count_junk(&mut self) {
        if self.junk_commands > self.server.set.junk_command_limit {
            self.error_count += 1;
        }
        self.junk_commands = self.junk_commands.saturating_add(1);
    }

    /// `smtpd_command_filter`.
    fn filter_command(&mut self, line: BString) -> Step<BString> {
        let table = self
            .config()
            .get(postern_config::params::SMTPD_COMMAND_FILTER);
        if table.is_empty() {
            return Ok(line);
        }
        let key = BString::from(line.trim_ascii_start());
        match self.server.find_in_table(&table, key.as_bstr(), false) {
            Ok(None) => Ok(line),
            Ok(Some(new)) => {
                let show = |session: &Self, text: &BString| {
                    session.masked(text.get(..100).unwrap_or(text))
                };
                let (old_text, new_text) = (show(self, &line), show(self, &new));
                log::info!(
                    "{}: replacing command \"{old_text}\" with \"{new_text}\"",
                    self.client.namaddr
                );
                Ok(new)
            }
            Err(_) => Err(Abort::LocalData),
        }
    }

    /// Web requests and mail headers are no mistakes of mail software.
    fn is_forbidden(&mut self, first: &Word) -> bool {
        // A header label is printable text up to a colon.
        let label = first
            .text
            .find_byte(b':')
            .is_some_and(|colon| first.text.iter().take(colon).all(u8::is_ascii_graphic));
        if label {
            return true;
        }
        let list = self.server.set.forbidden_commands.clone();
        !list.is_empty()
            && self
                .server
                .is_in_list(&list, &first.text.to_str_lossy())
                .unwrap_or(false)
    }

    /// Answers every command of a client that was refused at connect.
    fn refuse_denied(&mut self) -> Step<bool> {
        let Some(denied) = self.denied.clone() else {
            return Ok(false);
        };
        if denied.get(1..3) == Some(b"21") {
            self.reply(denied)?;
        } else {
            self.reply(format!(
                "503 5.7.0 Error: access denied for {}",
                self.client.namaddr
            ))?;
        }
        self.error_count += 1;
        Ok(true)
    }
}

/// Input that comes too early.
impl Session<'_> {
    fn check_early_input(&mut self) -> Step {
        if self.io.is_readable(Duration::ZERO).unwrap_or(false) && !self.io.fill_buf()?.is_empty() {
            self.note_pipelining()?;
        }
        Ok(())
    }

    /// Whether the client sent commands before it was allowed to.
    pub(crate) fn has_pipelined(&mut self) -> bool {
        if self.stage == "CONNECT" && !self.pipelined && !self.alone {
            let _ = self.check_early_input();
        }
        self.pipelined
    }

    fn note_pipelining(&mut self) -> Step {
        if self.pipelined {
            return Ok(());
        }
        self.pipelined = true;
        let input = self.io.buffered();
        let shown = postern_mail::printable::escape(input.get(..SHOWN_INPUT).unwrap_or(input));
        log::info!(
            "improper command pipelining after {} from {}: {shown}",
            self.stage,
            self.client.namaddr
        );
        if !self.server.set.forbid_unauth_pipelining {
            return Ok(());
        }
        self.error_mask.add(ErrorClass::PROTOCOL);
        self.reply("554 5.5.0 Error: SMTP protocol synchronization")?;
        self.io.flush()?;
        Err(Abort::Close)
    }
}

/// Limits of anvil.
impl Session<'_> {
    fn limits_apply(&mut self) -> bool {
        if self.alone || !self.server.limits.is_needed() {
            return false;
        }
        self.server
            .lists_client(|lists| &mut lists.event_limit_exceptions, &self.client)
            != Ok(true)
    }

    fn count_connection(&mut self) -> Step {
        if !self.limits_apply() {
            return Ok(());
        }
        let limits = &mut self.server.limits;
        let ident = limits.ident(&self.client.address, self.client.ip);
        let counts = limits.connect(&ident);
        self.anvil = Some(ident);
        let Some((count, rate)) = counts else {
            return Ok(());
        };
        let exceeded = |limit: i32, value: i32| limit > 0 && value > limit;
        let what = if exceeded(limits.connections, count) {
            ("concurrency", count)
        } else if exceeded(limits.connection_rate, rate) {
            ("rate", rate)
        } else {
            return Ok(());
        };
        self.error_mask.add(ErrorClass::POLICY);
        let host = self.server.set.myhostname.clone();
        let reply = format!(
            "421 4.7.0 {host} Error: too many connections from {}",
            self.client.address
        );
        self.reply(reply)?;
        let service = self.server.limits.service();
        log::warn!(
            "Connection {} limit exceeded: {} from {} for service {service}",
            what.0,
            what.1,
            self.client.namaddr
        );
        self.io.flush()?;
        Err(Abort::Close)
    }

    /// Counts a `message` or `recipient`; the count when it is beyond `limit`.
    pub(crate) fn count_event(&mut self, event: &str, limit: i32) -> Option<i32> {
        if limit <= 0 {
            return None;
        }
        let ident = self.anvil.clone()?;
        self.server
            .limits
            .count(event, &ident)
            .filter(|count| *count > limit)
    }

    fn count_disconnect(&mut self) {
        if let (true, Some(ident)) = (self.limits_apply(), self.anvil.take()) {
            self.server.limits.disconnect(&ident);
        }
    }
}

/// Replies.
impl Session<'_> {
    /// Sends a reply: lines separated by LF, each with its code.
    pub(crate) fn reply(&mut self, text: impl AsRef<[u8]>) -> Step {
        let mut text = BString::from(text.as_ref());
        if self.server.set.soft_bounce {
            text = reply::soften(&text);
        }
        if matches!(text.first(), Some(b'4' | b'5')) {
            text = self.with_filter(text);
            text = self.with_footer(text);
        }
        self.transcript.server(&text);
        if matches!(text.get(..3), Some(b"421" | b"521")) {
            self.hangup = true;
        }
        let slow = self.error_count >= self.server.set.soft_error_limit
            && !self.server.set.error_sleep_time.is_zero();
        if slow {
            std::thread::sleep(self.server.set.error_sleep_time);
        }
        for line in text.split(|byte| *byte == b'\n') {
            self.io.write_all(line)?;
            self.io.write_all(b"\r\n")?;
        }
        let now = Instant::now();
        if slow || now.duration_since(self.last_flush) > FLUSH_AFTER {
            self.io.flush()?;
            self.last_flush = now;
        }
        Ok(())
    }

    /// Sends what a restriction said, or hangs up.
    pub(crate) fn reply_rejection(&mut self, rejection: Rejection) -> Step<Outcome> {
        if rejection.hangup {
            return Err(Abort::Close);
        }
        self.reply(rejection.text)?;
        Ok(Outcome::Bad)
    }

    /// Sends a reply to a command that the client got wrong.
    pub(crate) fn reply_protocol_error(&mut self, text: impl AsRef<[u8]>) -> Step<Outcome> {
        self.error_mask.add(ErrorClass::PROTOCOL);
        self.reply(text)?;
        Ok(Outcome::Bad)
    }

    /// A message was accepted: earlier mistakes are forgiven.
    pub(crate) fn forgive(&mut self) {
        self.error_count = 0;
        self.error_mask = ErrorClass::NONE;
        self.junk_commands = 0;
    }
}

/// What everybody asks.
impl Session<'_> {
    /// main.cf.
    pub(crate) fn config(&self) -> &Config {
        &self.server.config
    }

    /// Queue ID of the open message, or `NOQUEUE`.
    pub(crate) fn queue_id(&self) -> &str {
        self.transaction
            .as_ref()
            .and_then(Transaction::queue_id)
            .unwrap_or("NOQUEUE")
    }

    /// Recipients accepted so far.
    pub(crate) fn recipient_count(&self) -> u32 {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.recipients)
    }

    /// Whether the whole content is there.
    pub(crate) fn at_end_of_data(&self) -> bool {
        self.stage == "END-OF-MESSAGE"
    }

    /// Resolves an address (internal form) of mail from the current sender.
    pub(crate) fn resolve(&mut self, address: &BStr) -> Resolved {
        let sender = self.sender.clone().unwrap_or_default();
        self.server.addresses.resolve(sender.as_ref(), address)
    }

    /// Bytes of a client, fit for the log.
    pub(crate) fn masked(&self, text: &[u8]) -> String {
        let charset = if self.server.set.smtputf8 {
            Charset::Utf8
        } else {
            Charset::Ascii
        };
        // Masked text is UTF-8.
        mask(text, charset, b'?').to_str_lossy().into_owned()
    }

    /// Logs what happened to a command: `QID: ACTION: STAGE from CLIENT: TEXT; from=<…> …`.
    pub(crate) fn log_event(&self, action: &str, text: &BStr) {
        let mut line = BString::from(format!(
            "{}: {action}: {} from {}: ",
            self.queue_id(),
            self.stage,
            self.client.namaddr
        ));
        line.extend_from_slice(text);
        line.push(b';');
        for (name, value) in [("from", &self.sender), ("to", &self.recipient)] {
            if let Some(value) = value {
                line.extend_from_slice(format!(" {name}=<").as_bytes());
                line.extend_from_slice(&self.logged_address(value.as_ref()));
                line.push(b'>');
            }
        }
        line.extend_from_slice(format!(" proto={}", self.protocol()).as_bytes());
        if let Some(helo) = &self.helo {
            line.extend_from_slice(b" helo=<");
            line.extend_from_slice(helo);
            line.push(b'>');
        }
        log::info!("{}", self.masked(&line));
    }

    /// `SMTP` or `ESMTP`.
    pub(crate) fn protocol(&self) -> &'static str {
        if self.esmtp { "ESMTP" } else { "SMTP" }
    }

    /// An address in the form of `info_log_address_format`.
    fn logged_address(&self, address: &BStr) -> BString {
        if self.server.set.log_internal_addresses {
            address.to_owned()
        } else {
            address::quote(address)
        }
    }

    /// Why the session was aborted.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The client's name.
    pub(crate) fn client_name_or_unknown(&self) -> &str {
        if self.client.name.is_empty() {
            UNKNOWN
        } else {
            &self.client.name
        }
    }
}
