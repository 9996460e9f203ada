//! A receiving SMTP server with scripted replies, one thread per session.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
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
    script: HashMap<String, String>,
}

/// A receiving server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Sink {
    /// Starts a server. `script` maps a verb (or `.` for the end of data) to the reply it gets; other
    /// commands succeed.
    ///
    /// # Panics
    ///
    /// When no port can be bound.
    pub fn start(script: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
        let port = listener.local_addr().expect("an address was bound").port();
        let script = script
            .iter()
            .map(|(verb, reply)| ((*verb).to_owned(), (*reply).to_owned()))
            .collect();
        let state = Arc::new(Mutex::new(State {
            messages: Vec::new(),
            script,
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    // A client that goes away ends its session, which is all that matters here.
                    let _ = session(stream, &state);
                });
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the reply to a verb.
    pub fn set(&self, verb: &str, reply: &str) {
        self.state
            .lock()
            .expect("no session panics")
            .script
            .insert(verb.to_owned(), reply.to_owned());
    }

    /// Messages so far.
    pub fn messages(&self) -> Vec<SinkMessage> {
        self.state
            .lock()
            .expect("no session panics")
            .messages
            .clone()
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

fn session(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let reply_to = |verb: &str, default: &str| {
        state
            .lock()
            .expect("no session panics")
            .script
            .get(verb)
            .cloned()
            .unwrap_or_else(|| default.to_owned())
    };
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    write!(output, "{}\r\n", reply_to("CONNECT", "220 sink ESMTP"))?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let default = match verb.as_str() {
            "EHLO" | "LHLO" => "250-sink\r\n250-PIPELINING\r\n250 8BITMIME",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let reply = reply_to(&verb, default);
        write!(output, "{reply}\r\n")?;
        let accepted = reply.starts_with(['2', '3']);
        match verb.as_str() {
            "MAIL" => sender = line.get(5..).unwrap_or_default().to_owned(),
            "RCPT" if accepted => recipients.push(line.get(5..).unwrap_or_default().to_owned()),
            "QUIT" => return Ok(()),
            "RSET" => recipients.clear(),
            "DATA" if accepted => {
                let content = content(&mut input)?;
                let message = SinkMessage {
                    sender: std::mem::take(&mut sender),
                    recipients: std::mem::take(&mut recipients),
                    content,
                };
                let verdict = reply_to(".", "250 2.0.0 Ok: queued as SINK");
                if verdict.starts_with('2') {
                    state
                        .lock()
                        .expect("no session panics")
                        .messages
                        .push(message);
                }
                write!(output, "{verdict}\r\n")?;
            }
            _ => {}
        }
    }
}

fn content(input: &mut impl BufRead) -> std::io::Result<String> {
    let mut content = String::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
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
