//! One SMTP session: from the connection to the last log line.
//!
//! The commands are in `command`, the restrictions in `access`, the mail transaction in
//! `transaction`. Source: smtpd.md §1.

mod input;
mod load;
mod output;

use bstr::{BStr, BString, ByteSlice};
use postern_mail::smtp_command::{Word, words};
use postern_server::{Client as Connection, ClientKind};
use postern_wire::{Channel, Deadline};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use crate::access::AccessState;
use crate::client::Client;
use crate::command::Outcome;
use crate::ehlo_keywords::Keywords;
use crate::missing::MilterVerdict;
use crate::reply::ErrorClass;
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

/// See the module.
pub(crate) struct Session<'s> {
    pub(crate) server: &'s mut Server,
    pub(crate) io: Channel,
    /// The client is a local user's program; nobody else hears of the session.
    pub(crate) alone: bool,
    pub(crate) client: Client,
    /// The connection comes from postscreen(8), which has spoken with a proxy already.
    pub(crate) passed_on: bool,
    pub(crate) milters: MilterVerdict,
    pub(crate) esmtp: bool,
    pub(crate) helo: Option<BString>,
    /// Sender and recipient as checks and log lines see them, internal form.
    pub(crate) sender: Option<BString>,
    pub(crate) recipient: Option<BString>,
    pub(crate) etrn_name: Option<BString>,
    /// Who is logged in. Nobody is, as long as there is no AUTH command.
    pub(crate) login: Option<BString>,
    /// AUTH= of MAIL.
    pub(crate) sasl_sender: Option<BString>,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) chunking: Chunking,
    pub(crate) access: AccessState,
    pub(crate) actions: Actions,
    pub(crate) discarded: Keywords,
    /// The table that could name others failed.
    pub(crate) discarded_is_unknown: bool,
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
        let passed_on = matches!(kind, ClientKind::Pass(_));
        Self {
            io: channel,
            alone,
            client,
            passed_on,
            milters: MilterVerdict::default(),
            esmtp: false,
            helo: None,
            sender: None,
            recipient: None,
            etrn_name: None,
            login: None,
            sasl_sender: None,
            transaction: None,
            chunking: Chunking::None,
            access: AccessState::default(),
            actions: Actions::default(),
            discarded: Keywords::default(),
            discarded_is_unknown: false,
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
        let (name, address) = (&self.client.name, &self.client.address);
        let _verbose = self
            .server
            .debug_peers
            .watch(BStr::new(name), BStr::new(address));
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
                log::info!(
                    "{}: reject: {} from {}: {reply}",
                    self.queue_id(),
                    self.stage,
                    self.client.namaddr
                );
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
            self.check_connection_protocol()?;
            self.check_early_input()?;
            self.count_connection()?;
        }
        self.choose_discarded_keywords();
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
        if !self.alone
            && let Some(reply) = self.milters_at_connect()?
        {
            return self.reply(reply);
        }
        let banner = format!("220 {}", self.server.set.banner);
        self.reply(banner)
    }

    fn choose_discarded_keywords(&mut self) {
        let mut words = self.server.set.discard_ehlo_keywords.clone();
        if !self.server.set.discard_ehlo_keyword_maps.is_empty() {
            let maps = self.server.set.discard_ehlo_keyword_maps.clone();
            let key = self.client.address.clone();
            match self.server.find_in_table(&maps, BStr::new(&key), false) {
                Ok(Some(value)) => words = value.to_string(),
                Ok(None) => {}
                // Only a client that asks for the keywords suffers.
                Err(_) => self.discarded_is_unknown = true,
            }
        }
        if !words.is_empty() {
            self.discarded = Keywords::parse(&words);
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
        if self.is_noop(first) {
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
        if let Some(outcome) = self.demand_tls(verb)? {
            self.error_count += u32::from(outcome == Outcome::Bad);
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

    /// Whether a command is in `smtpd_noop_commands`.
    fn is_noop(&mut self, first: &Word) -> bool {
        if self.server.set.noop_commands.is_empty() {
            return false;
        }
        let list = self.server.set.noop_commands.clone();
        self.server
            .is_in_list(&list, &first.text.to_str_lossy())
            .unwrap_or(false)
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
        if self.server.set.command_filter.is_empty() {
            return Ok(line);
        }
        let table = self.server.set.command_filter.clone();
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
