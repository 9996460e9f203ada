//! A receiving SMTP or LMTP server with scripted replies, one thread per session.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::instance::PATIENCE;
use crate::wait_until;

/// What a session brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkMessage {
    /// The MAIL command's argument.
    pub sender: String,
    /// The RCPT commands' arguments that were accepted.
    pub recipients: Vec<String>,
    /// Content with the dots unstuffed, lines ended by `\n`.
    pub content: String,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<SinkMessage>,
    script: Vec<(String, String)>,
}

impl State {
    /// The reply to a command: that of the longest prefix of it in the script.
    fn reply_to(&self, line: &str, default: &str) -> String {
        let line = line.to_ascii_uppercase();
        self.script
            .iter()
            .filter(|(prefix, _)| line.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(default, |(_, reply)| reply)
            .to_owned()
    }
}

/// A receiving server.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Sink {
    /// Starts an SMTP server on a free port of 127.0.0.1. `script` maps the beginning of a command (`.`
    /// for the end of data, `CONNECT` for the greeting) to the reply it gets; other commands succeed.
    ///
    /// # Panics
    ///
    /// When no port can be bound.
    #[must_use]
    pub fn start(script: &[(&str, &str)]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, script)
    }

    /// As [`Self::start`], at another loopback address.
    ///
    /// # Panics
    ///
    /// When no port can be bound.
    #[must_use]
    pub fn start_at(address: Ipv4Addr, script: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("bind a port");
        let port = listener.local_addr().expect("an address was bound").port();
        let sink = Self::with_script(port, script);
        let state = Arc::clone(&sink.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A client that goes away ends its session, which is all that matters here.
                thread::spawn(move || tcp_session(&stream, &state));
            }
        });
        sink
    }

    /// Starts an LMTP server on a UNIX-domain socket that every account may use. `. RECIPIENT` in the
    /// script is the reply for one recipient at the end of data.
    ///
    /// # Panics
    ///
    /// When the socket cannot be made.
    #[must_use]
    pub fn start_lmtp(path: &Path, script: &[(&str, &str)]) -> Self {
        let listener = UnixListener::bind(path).expect("bind a socket");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
            .expect("open the socket to all");
        let sink = Self::with_script(0, script);
        let state = Arc::clone(&sink.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || unix_session(&stream, &state));
            }
        });
        sink
    }

    fn with_script(port: u16, script: &[(&str, &str)]) -> Self {
        let sink = Self {
            port,
            state: Arc::default(),
        };
        for (prefix, reply) in script {
            sink.set(prefix, reply);
        }
        sink
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The main.cf line that sends all mail for other hosts here, so that a test asks no name server.
    #[must_use]
    pub fn relayhost(&self) -> String {
        format!("relayhost = [127.0.0.1]:{}\n", self.port)
    }

    /// Changes the reply to a command.
    pub fn set(&self, prefix: &str, reply: &str) {
        let prefix = prefix.to_ascii_uppercase();
        let mut state = lock(&self.state);
        state.script.retain(|(known, _)| *known != prefix);
        state.script.push((prefix, reply.to_owned()));
    }

    /// Messages so far.
    #[must_use]
    pub fn messages(&self) -> Vec<SinkMessage> {
        lock(&self.state).messages.clone()
    }

    /// Waits for `count` messages.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<SinkMessage> {
        wait_until(
            &format!("{count} messages at the next hop"),
            PATIENCE,
            || Some(self.messages()).filter(|messages| messages.len() >= count),
        )
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tcp_session(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    session(stream, stream, state)
}

fn unix_session(stream: &UnixStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    session(stream, stream, state)
}

fn session(input: impl Read, mut output: impl Write, state: &Mutex<State>) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    let mut is_lmtp = false;
    let greeting = lock(state).reply_to("CONNECT", "220 sink ESMTP");
    write!(output, "{greeting}\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let default = match verb.as_str() {
            "EHLO" | "LHLO" => "250-sink\r\n250-PIPELINING\r\n250 8BITMIME",
            "DATA" if recipients.is_empty() => "554 5.5.1 no valid recipients",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let reply = lock(state).reply_to(line, default);
        write!(output, "{reply}\r\n")?;
        let accepted = reply.starts_with(['2', '3']);
        match verb.as_str() {
            "LHLO" => is_lmtp = true,
            "MAIL" => line.get(5..).unwrap_or_default().clone_into(&mut sender),
            "RCPT" if accepted => recipients.push(line.get(5..).unwrap_or_default().to_owned()),
            "QUIT" => return Ok(()),
            "RSET" => recipients.clear(),
            "DATA" if reply.starts_with('3') => {
                let message = SinkMessage {
                    sender: std::mem::take(&mut sender),
                    recipients: std::mem::take(&mut recipients),
                    content: content(&mut input)?,
                };
                finish(&mut output, state, message, is_lmtp)?;
            }
            _ => {}
        }
    }
}

/// The verdict at the end of data; one for each recipient in LMTP.
fn finish(
    output: &mut impl Write,
    state: &Mutex<State>,
    mut message: SinkMessage,
    is_lmtp: bool,
) -> io::Result<()> {
    let verdict = |line: &str| lock(state).reply_to(line, "250 2.0.0 Ok: queued as SINK");
    let replies: Vec<String> = if is_lmtp {
        let all = message.recipients.iter();
        all.map(|recipient| verdict(&format!(". {recipient}")))
            .collect()
    } else {
        vec![verdict(".")]
    };
    if is_lmtp {
        let mut verdicts = replies.iter();
        message
            .recipients
            .retain(|_| verdicts.next().is_some_and(|reply| reply.starts_with('2')));
    }
    if replies.iter().any(|reply| reply.starts_with('2')) {
        lock(state).messages.push(message);
    }
    for reply in replies {
        write!(output, "{reply}\r\n")?;
    }
    Ok(())
}

fn content(input: &mut impl BufRead) -> io::Result<String> {
    let mut content = String::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        if line == "." {
            return Ok(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
        content.push('\n');
    }
}
