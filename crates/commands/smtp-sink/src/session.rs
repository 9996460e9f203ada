//! One session of smtp-sink: commands, replies, and the message.

use crate::behaviour::{Behaviour, Features, Protocol};
use crate::capture::Capture;
use crate::commands::{Command, Failure};
use crate::content::{self, Ending};
use postern_maillog::{Severity, fatal};
use postern_traffic::sink::{Loss, Swallower, Wish};
use postern_traffic::{Dice, Stream, show_counter};

/// The longest command line, line end included.
const LONGEST_LINE: usize = 2048;

/// The sink of mail.
pub(crate) struct Sink {
    behaviour: Behaviour,
    dice: Dice,
    sessions: usize,
    quits: usize,
    messages: usize,
}

/// What comes after a sleep.
#[derive(Debug)]
enum Postponed {
    /// Run the command that was delayed.
    Command(Command, Vec<u8>),
    /// Give up on the message.
    Abort,
    /// Read on.
    Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Commands,
    Content(Ending),
}

/// The state of one session.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    client: String,
    helo: Option<Vec<u8>>,
    is_esmtp: bool,
    has_sender: bool,
    recipients: usize,
    /// The content has come whole.
    has_message: bool,
    capture: Option<Capture>,
    postponed: Option<Postponed>,
    /// Content on its way to the capture.
    kept: Vec<u8>,
}

impl Sink {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            dice: Dice::default(),
            sessions: 0,
            quits: 0,
            messages: 0,
        }
    }

    fn is_lmtp(&self) -> bool {
        self.behaviour.protocol == Protocol::Lmtp
    }

    fn show_counters(&self) {
        if self.behaviour.counters {
            let Self {
                sessions,
                quits,
                messages,
                ..
            } = self;
            show_counter(&format!("sess={sessions} quit={quits} mesg={messages}\r"));
        }
    }

    /// Whether a command exists in this configuration.
    fn is_known(&self, command: Command) -> bool {
        let features = &self.behaviour.features;
        match command {
            Command::Connect => false,
            Command::Helo => !self.is_lmtp(),
            Command::Ehlo => !self.is_lmtp() && features.esmtp,
            Command::Lhlo => self.is_lmtp(),
            Command::Xclient => features.xclient,
            Command::Xforward => features.xforward,
            _ => true,
        }
    }

    /// Looks at one command line.
    fn line(&mut self, session: &mut Session, stream: &mut Stream, line: &[u8]) -> Wish {
        log::debug!("{}", String::from_utf8_lossy(line));
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = line
            .iter()
            .position(|byte| !blank(byte))
            .unwrap_or(line.len());
        let (_, line) = line.split_at(start);
        let (verb, args) = line.split_at(line.iter().position(blank).unwrap_or(line.len()));
        let args = args.get(
            args.iter()
                .position(|byte| !blank(byte))
                .unwrap_or(args.len())..,
        );
        if verb.first().is_none_or(|byte| *byte == 0) {
            stream.put(b"500 5.5.2 Error: unknown command\r\n");
            return Wish::Input;
        }
        match Command::by_name(verb).filter(|command| self.is_known(*command)) {
            Some(command) => {
                self.delayed(session, stream, command, args.unwrap_or_default().to_vec())
            }
            None => {
                stream.put(b"500 5.5.1 Error: unknown command\r\n");
                Wish::Input
            }
        }
    }

    /// Logs a command, then runs it now or after its delay.
    fn delayed(
        &mut self,
        session: &mut Session,
        stream: &mut Stream,
        command: Command,
        args: Vec<u8>,
    ) -> Wish {
        if self.behaviour.table.is_logged(command) {
            let text = format!("{} {}", command.name(), String::from_utf8_lossy(&args));
            postern_maillog::relay_to_syslog(Severity::Info, &log_tag(), &text);
        }
        match self.behaviour.table.wait(command, &mut self.dice) {
            None => self.run(session, stream, command, &args),
            Some(time) => {
                session.postponed = Some(Postponed::Command(command, args));
                Wish::Sleep(time)
            }
        }
    }

    /// Does what was ordered for a command, or the usual.
    fn run(
        &mut self,
        session: &mut Session,
        stream: &mut Stream,
        command: Command,
        args: &[u8],
    ) -> Wish {
        let message = std::mem::take(&mut session.has_message);
        if command == Command::Dot && message && self.message_is_last(session) {
            return Wish::Exit;
        }
        let replies = match command {
            Command::Dot if self.is_lmtp() => session.recipients,
            _ => 1,
        };
        let failure = self.behaviour.table.failure(command);
        let refusal = match failure {
            None => return self.obey(session, stream, command, args),
            Some(Failure::Disconnect) => return Wish::Close,
            Some(Failure::Closing) => {
                stream.put(b"421 4.0.0 Server closing connection\r\n");
                return Wish::Close;
            }
            Some(Failure::Hard) => &self.behaviour.hard,
            Some(Failure::Soft) => &self.behaviour.soft,
        };
        for _ in 0..replies {
            stream.put(refusal);
            stream.put(b"\r\n");
        }
        match command {
            Command::Dot => session.reset(),
            Command::Quit => {
                self.quits += 1;
                return Wish::Close;
            }
            _ => {}
        }
        Wish::Input
    }

    /// Runs a command that succeeds, unless it is out of order.
    fn obey(
        &mut self,
        session: &mut Session,
        stream: &mut Stream,
        command: Command,
        args: &[u8],
    ) -> Wish {
        match command {
            Command::Connect => self.greet(stream),
            Command::Helo => {
                session.hello(args, false);
                stream.put(&[b"250 ", &*self.behaviour.host, b"\r\n"].concat());
            }
            Command::Ehlo | Command::Lhlo => {
                session.hello(args, true);
                self.announce(stream);
            }
            Command::Mail => self.mail(session, stream, args),
            Command::Rcpt => Self::rcpt(session, stream, args),
            Command::Data => return self.data(session, stream),
            Command::Dot => self.dot(session, stream),
            Command::Rset => {
                session.reset();
                stream.put(b"250 2.1.0 Ok\r\n");
            }
            Command::Xclient
            | Command::Xforward
            | Command::Auth
            | Command::Noop
            | Command::Vrfy => stream.put(b"250 2.0.0 Ok\r\n"),
            Command::Quit => {
                self.quits += 1;
                stream.put(b"221 Bye\r\n");
                return Wish::Close;
            }
        }
        Wish::Input
    }

    fn greet(&self, stream: &mut Stream) {
        let Behaviour {
            pix,
            host,
            features,
            ..
        } = &self.behaviour;
        if *pix {
            stream.put(b"220 ********\r\n");
        } else {
            let esmtp: &[u8] = if features.esmtp { b" ESMTP" } else { b"" };
            stream.put(&[b"220 ", host.as_slice(), esmtp, b"\r\n"].concat());
        }
    }

    fn announce(&self, stream: &mut Stream) {
        let Features {
            pipelining,
            eight_bit,
            auth,
            xclient,
            xforward,
            enhanced,
            dsn,
            ..
        } = &self.behaviour.features;
        stream.put(&[b"250-", &*self.behaviour.host, b"\r\n"].concat());
        let lines: [(&bool, &[u8]); 7] = [
            (pipelining, b"250-PIPELINING\r\n"),
            (eight_bit, b"250-8BITMIME\r\n"),
            (auth, b"250-AUTH PLAIN LOGIN\r\n"),
            (xclient, b"250-XCLIENT NAME HELO\r\n"),
            (xforward, b"250-XFORWARD NAME ADDR PROTO HELO\r\n"),
            (enhanced, b"250-ENHANCEDSTATUSCODES\r\n"),
            (dsn, b"250-DSN\r\n"),
        ];
        for (_, line) in lines.iter().filter(|(announced, _)| **announced) {
            stream.put(line);
        }
        stream.put(b"250 \r\n");
    }

    fn mail(&mut self, session: &mut Session, stream: &mut Stream, args: &[u8]) {
        if session.has_sender {
            return stream.put(b"503 5.5.1 Error: nested MAIL command\r\n");
        }
        session.has_sender = true;
        let random = u32::try_from(self.dice.roll() >> 33).unwrap_or_default();
        session.capture = or_die(Capture::start(&self.behaviour.dump, random));
        if let Some(capture) = &mut session.capture {
            let protocol = protocol_name(self.behaviour.protocol, session.is_esmtp);
            or_die(capture.write(&[
                &self.behaviour.start,
                b"X-Client-Addr: ",
                session.client.as_bytes(),
                b"\nX-Client-Proto: ",
                protocol.as_bytes(),
            ]));
            if let Some(helo) = &session.helo {
                or_die(capture.write(&[b"\nX-Helo-Args: ", helo]));
            }
            or_die(capture.write(&[b"\nX-Mail-Args: ", without(args, b"FROM:"), b"\n"]));
        }
        stream.put(b"250 2.1.0 Ok\r\n");
    }

    fn rcpt(session: &mut Session, stream: &mut Stream, args: &[u8]) {
        if !session.has_sender {
            return stream.put(b"503 5.5.1 Error: need MAIL command\r\n");
        }
        session.recipients += 1;
        if let Some(capture) = &mut session.capture {
            or_die(capture.write(&[b"X-Rcpt-Args: ", without(args, b"TO:"), b"\n"]));
        }
        stream.put(b"250 2.1.5 Ok\r\n");
    }

    fn data(&mut self, session: &mut Session, stream: &mut Stream) -> Wish {
        if session.recipients == 0 {
            stream.put(b"503 5.5.1 Error: need RCPT command\r\n");
            return Wish::Input;
        }
        stream.put(b"354 End data with <CR><LF>.<CR><LF>\r\n");
        session.phase = Phase::Content(Ending::LineStart);
        self.keep_received(session);
        if let Some(time) = self.behaviour.abort_after {
            session.postponed = Some(Postponed::Abort);
            return Wish::Sleep(time);
        }
        match self.behaviour.read_delay {
            Some(time) => {
                session.postponed = Some(Postponed::Reading);
                Wish::Sleep(time)
            }
            None => Wish::Input,
        }
    }

    fn keep_received(&self, session: &mut Session) {
        let client = format!("[{}]", session.client);
        let from = session
            .helo
            .clone()
            .unwrap_or_else(|| client.clone().into_bytes());
        let protocol = protocol_name(self.behaviour.protocol, session.is_esmtp);
        if let Some(capture) = &mut session.capture {
            let id = capture.id.clone();
            or_die(capture.write(&[
                b"Received: from ",
                &from,
                format!(" ({client})\n\tby ").as_bytes(),
                &self.behaviour.host,
                format!(" (smtp-sink) with {protocol} id {id};\n\t").as_bytes(),
                postern_sys::clock::local_now().mail_date().as_bytes(),
                b"\n",
            ]));
        }
    }

    /// Counts a message that has come whole, and keeps it. `true` after the last one wanted.
    fn message_is_last(&mut self, session: &mut Session) -> bool {
        if let Some(mut capture) = session.capture.take() {
            or_die(capture.write(&[b"\n"]).and_then(|()| capture.commit()));
        }
        self.messages += 1;
        self.show_counters();
        self.behaviour
            .messages
            .is_some_and(|most| self.messages >= most)
    }

    fn dot(&mut self, session: &mut Session, stream: &mut Stream) {
        if self.is_lmtp() {
            for _ in 0..session.recipients {
                stream.put(b"250 2.2.0 Ok\r\n");
            }
        } else {
            stream.put(b"250 2.0.0 Ok\r\n");
        }
        session.reset();
    }

    /// Uses what the stream has, until the session has to wait.
    fn proceed(&mut self, session: &mut Session, stream: &mut Stream) -> Wish {
        loop {
            let wish = match session.phase {
                Phase::Commands => match next_line(stream) {
                    Ok(None) => return Wish::Input,
                    Ok(Some(line)) => self.line(session, stream, &line),
                    Err(TooLong) => {
                        log::warn!("command line too long");
                        return Wish::Close;
                    }
                },
                Phase::Content(ending) => {
                    let (used, end) = session.content(stream.input(), ending);
                    stream.consume(used);
                    if !end {
                        return Wish::Input;
                    }
                    session.phase = Phase::Commands;
                    session.has_message = true;
                    log::debug!(".");
                    self.delayed(session, stream, Command::Dot, Vec::new())
                }
            };
            if wish != Wish::Input {
                return wish;
            }
        }
    }
}

struct TooLong;

/// Takes a whole line without its end.
fn next_line(stream: &mut Stream) -> Result<Option<Vec<u8>>, TooLong> {
    let input = stream.input();
    let window = input
        .get(..LONGEST_LINE.min(input.len()))
        .unwrap_or_default();
    if window.contains(&b'\n') {
        Ok(stream.line())
    } else if input.len() >= LONGEST_LINE {
        Err(TooLong)
    } else {
        Ok(None)
    }
}

impl Session {
    fn hello(&mut self, args: &[u8], is_esmtp: bool) {
        self.reset();
        self.helo = Some(args.to_vec());
        self.is_esmtp = is_esmtp;
    }

    fn reset(&mut self) {
        self.has_sender = false;
        self.recipients = 0;
        self.capture = None;
    }

    /// Runs over content; how much was used, and whether the end was seen.
    fn content(&mut self, input: &[u8], ending: Ending) -> (usize, bool) {
        let Some(capture) = &mut self.capture else {
            let seen = content::skip(input, ending);
            self.phase = Phase::Content(seen.state);
            return (seen.used, seen.end);
        };
        let seen = content::keep(input, ending, &mut self.kept);
        or_die(capture.write(&[&self.kept]));
        self.kept.clear();
        self.phase = Phase::Content(seen.state);
        (seen.used, seen.end)
    }
}

/// Arguments without the keyword at their start.
fn without<'a>(args: &'a [u8], keyword: &[u8]) -> &'a [u8] {
    match args.split_at_checked(keyword.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(keyword) => rest.trim_ascii_start(),
        _ => args,
    }
}

fn protocol_name(protocol: Protocol, is_esmtp: bool) -> &'static str {
    match (protocol, is_esmtp) {
        (Protocol::Lmtp, _) => "LMTP",
        (Protocol::Smtp, true) => "ESMTP",
        (Protocol::Smtp, false) => "SMTP",
    }
}

fn log_tag() -> String {
    format!("smtp-sink[{}]", postern_sys::process::id())
}

/// A sink that cannot keep what it was told to keep is of no use.
fn or_die<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|text| fatal!("{text}"))
}

fn client_name(stream: &Stream) -> String {
    match postern_sys::socket::peer_address(stream) {
        Some(address) if address.is_ipv6() => format!("ipv6:{}", address.ip()),
        Some(address) => address.ip().to_string(),
        None => "local".to_owned(),
    }
}

impl Swallower for Sink {
    type Session = Session;

    fn connected(&mut self, stream: &mut Stream) -> (Session, Wish) {
        let mut session = Session {
            phase: Phase::Commands,
            client: client_name(stream),
            helo: None,
            is_esmtp: false,
            has_sender: false,
            recipients: 0,
            has_message: false,
            capture: None,
            postponed: None,
            kept: Vec::new(),
        };
        log::debug!("connect ({})", session.client);
        let wish = self.delayed(&mut session, stream, Command::Connect, Vec::new());
        (session, wish)
    }

    fn input(&mut self, session: &mut Session, stream: &mut Stream) -> Wish {
        self.proceed(session, stream)
    }

    fn woken(&mut self, session: &mut Session, stream: &mut Stream) -> Wish {
        match session.postponed.take() {
            Some(Postponed::Command(command, args)) => {
                match self.run(session, stream, command, &args) {
                    Wish::Input => self.proceed(session, stream),
                    wish => wish,
                }
            }
            Some(Postponed::Abort) => {
                stream.put(b"550 This violates SMTP\r\n");
                Wish::Close
            }
            Some(Postponed::Reading) | None => self.proceed(session, stream),
        }
    }

    fn ended(&mut self, session: Session, loss: Option<Loss>) -> Wish {
        if loss == Some(Loss::Timeout) {
            log::warn!("read timeout");
        }
        log::debug!("disconnect");
        drop(session);
        self.sessions += 1;
        self.show_counters();
        if self
            .behaviour
            .sessions
            .is_some_and(|most| self.sessions >= most)
        {
            return Wish::Exit;
        }
        Wish::Input
    }
}
