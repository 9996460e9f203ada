//! A scripted SMTP client.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

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

impl Reply {
    /// The lines in one.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// The queue ID in `250 2.0.0 Ok: queued as ID`.
    #[must_use]
    pub fn queue_id(&self) -> Option<&str> {
        self.lines.last()?.strip_prefix("250 2.0.0 Ok: queued as ")
    }
}

fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let (family, kind, flags) = (
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
    );
    let stream = socket(family, kind, flags, None)?;
    let at = |address, port| SockaddrIn::from(SocketAddrV4::new(address, port));
    bind(stream.as_raw_fd(), &at(source, 0))?;
    connect(stream.as_raw_fd(), &at(Ipv4Addr::LOCALHOST, port))?;
    Ok(stream.into())
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
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = wait_until(&format!("an SMTP server at port {port}"), PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let (client, greeting) = Self::greet(stream).expect("read the greeting");
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// As [`Self::connect`], from the local address `source`.
    ///
    /// # Panics
    ///
    /// When nobody listens or the greeting is no `220`.
    #[track_caller]
    #[must_use]
    pub fn connect_from(source: Ipv4Addr, port: u16) -> Self {
        let stream = wait_until(&format!("an SMTP server at port {port}"), PATIENCE, || {
            connect_from(source, port).ok()
        });
        let (client, greeting) = Self::greet(stream).expect("read the greeting");
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// Connects, and gives up when that does not work.
    ///
    /// # Errors
    ///
    /// Nobody listens, or the connection breaks.
    pub fn try_connect(port: u16) -> io::Result<Self> {
        let (client, greeting) = Self::greet(TcpStream::connect(("127.0.0.1", port))?)?;
        if greeting.code == 220 {
            Ok(client)
        } else {
            Err(io::Error::other(greeting.text()))
        }
    }

    fn greet(stream: TcpStream) -> io::Result<(Self, Reply)> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            reader: BufReader::new(stream),
        };
        let greeting = client.try_reply()?;
        Ok((client, greeting))
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the connection breaks.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.try_raw(bytes).expect("write to the server");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The connection breaks.
    pub fn try_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    ///
    /// # Panics
    ///
    /// When the connection breaks.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("read a reply")
    }

    /// Reads one reply.
    ///
    /// # Errors
    ///
    /// The connection breaks.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
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
        Ok(Reply { code, lines })
    }

    /// One command, one reply.
    ///
    /// # Panics
    ///
    /// When the connection breaks.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.try_say(line).expect("a reply to a command")
    }

    /// One command, one reply.
    ///
    /// # Errors
    ///
    /// The connection breaks.
    pub fn try_say(&mut self, line: &str) -> io::Result<Reply> {
        self.try_raw(format!("{line}\r\n").as_bytes())?;
        self.try_reply()
    }

    /// A whole transaction; returns the reply to the end of data (or the first refusal).
    ///
    /// # Panics
    ///
    /// When the connection breaks.
    #[track_caller]
    pub fn send(&mut self, sender: &str, recipients: &[&str], text: &str) -> Reply {
        self.try_send(sender, recipients, text)
            .expect("a transaction")
    }

    /// A whole transaction; returns the reply to the end of data (or the first refusal).
    ///
    /// # Errors
    ///
    /// The connection breaks.
    pub fn try_send(&mut self, sender: &str, recipients: &[&str], text: &str) -> io::Result<Reply> {
        let mail = self.try_say(&format!("MAIL FROM:<{sender}>"))?;
        if mail.code != 250 {
            return Ok(mail);
        }
        for recipient in recipients {
            let rcpt = self.try_say(&format!("RCPT TO:<{recipient}>"))?;
            if rcpt.code != 250 {
                return Ok(rcpt);
            }
        }
        let data = self.try_say("DATA")?;
        if data.code != 354 {
            return Ok(data);
        }
        self.try_raw(&content(text))?;
        self.try_reply()
    }
}

/// `text` as it follows DATA.
#[must_use]
pub fn content(text: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len() + text.len() / 16 + 3);
    for line in text.lines() {
        if line.starts_with('.') {
            content.push(b'.');
        }
        content.extend_from_slice(line.as_bytes());
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(b".\r\n");
    content
}
