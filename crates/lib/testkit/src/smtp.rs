//! A scripted SMTP client.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::instance::PATIENCE;
use crate::wait_until;

/// A server's reply, all lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three-digit code.
    pub code: u16,
    /// Lines without line ends.
    pub lines: Vec<String>,
}

/// One SMTP session.
#[derive(Debug)]
pub struct SmtpClient {
    reader: BufReader<TcpStream>,
}

impl SmtpClient {
    /// Connects to 127.0.0.1 and reads the greeting.
    ///
    /// # Panics
    ///
    /// When nobody listens or the greeting is no `220`.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let stream = wait_until(&format!("an SMTP server at port {port}"), PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a timeout");
        stream.set_nodelay(true).expect("set an option");
        let mut client = Self {
            reader: BufReader::new(stream),
        };
        let greeting = client.reply();
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.reader
            .get_mut()
            .write_all(bytes)
            .expect("write to the server");
    }

    /// Reads one reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let size = self.reader.read_line(&mut line).expect("read a reply");
            assert!(size > 0, "the server closed the connection after {lines:?}");
            let line = line.trim_end().to_owned();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                break;
            }
        }
        let code = lines
            .last()
            .and_then(|line| line.get(..3)?.parse().ok())
            .unwrap_or(0);
        Reply { code, lines }
    }

    /// One command, one reply.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.raw(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// A whole transaction; returns the reply to the end of data (or the first refusal).
    #[track_caller]
    pub fn send(&mut self, sender: &str, recipients: &[&str], text: &str) -> Reply {
        let mail = self.say(&format!("MAIL FROM:<{sender}>"));
        if mail.code != 250 {
            return mail;
        }
        for recipient in recipients {
            let rcpt = self.say(&format!("RCPT TO:<{recipient}>"));
            if rcpt.code != 250 {
                return rcpt;
            }
        }
        let data = self.say("DATA");
        if data.code != 354 {
            return data;
        }
        let mut content = String::new();
        for line in text.lines() {
            if line.starts_with('.') {
                content.push('.');
            }
            content.push_str(line);
            content.push_str("\r\n");
        }
        content.push_str(".\r\n");
        self.raw(content.as_bytes());
        self.reply()
    }
}
