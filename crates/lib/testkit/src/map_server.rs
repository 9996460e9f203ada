//! A server of `tcp:` and `socketmap:` tables, which can be told to misbehave.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// How a [`MapServer`] treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// As it should.
    Well,
    /// It closes the connection in the middle of its reply.
    DiesInReply,
    /// It closes the connection after each reply.
    ClosesAfterReply,
    /// The bytes of its reply come one by one.
    Slow,
    /// Its reply is longer than any client takes.
    TooLong,
    /// Its reply makes no sense.
    Garbage,
    /// It says more than it was asked: that there is no such key.
    SaysMore,
}

const MANNERS: [Manner; 7] = [
    Manner::Well,
    Manner::DiesInReply,
    Manner::ClosesAfterReply,
    Manner::Slow,
    Manner::TooLong,
    Manner::Garbage,
    Manner::SaysMore,
];

/// How it talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Socketmap,
}

/// A server on a port of 127.0.0.1, which knows some keys in upper and lower
/// case; the value of each is `OK`. It ends with the test.
pub struct MapServer {
    port: u16,
    manner: Arc<AtomicU8>,
}

/// What all connections need.
struct Shared {
    protocol: Protocol,
    keys: Vec<String>,
    manner: Arc<AtomicU8>,
}

impl MapServer {
    /// A server of `tcp:`, which asks for keys in quoted form.
    ///
    /// # Panics
    ///
    /// When it gets no port.
    #[must_use]
    pub fn tcp(keys: &[&str]) -> Self {
        Self::start(Protocol::Tcp, keys)
    }

    /// A server of `socketmap:`; the map may have any name.
    ///
    /// # Panics
    ///
    /// When it gets no port.
    #[must_use]
    pub fn socketmap(keys: &[&str]) -> Self {
        Self::start(Protocol::Socketmap, keys)
    }

    fn start(protocol: Protocol, keys: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let manner = Arc::new(AtomicU8::new(Manner::Well as u8));
        let shared = Arc::new(Shared {
            protocol,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            manner: Arc::clone(&manner),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away is no trouble of the server.
                thread::spawn(move || {
                    let _ = shared.serve(stream);
                });
            }
        });
        Self { port, manner }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::SeqCst);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = stream;
        loop {
            let key = self.protocol.read(&mut input)?;
            // Clients of pattern tables do not fold keys.
            let is_known = self
                .keys
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&key));
            let reply = self.protocol.reply(is_known);
            let number = usize::from(self.manner.load(Ordering::SeqCst));
            match MANNERS.get(number).copied().unwrap_or(Manner::Well) {
                Manner::Well => output.write_all(&reply)?,
                Manner::DiesInReply => {
                    let half = reply.get(..reply.len() / 2).unwrap_or_default();
                    return output.write_all(half);
                }
                Manner::ClosesAfterReply => return output.write_all(&reply),
                Manner::Slow => {
                    for byte in reply {
                        output.write_all(&[byte])?;
                        thread::sleep(Duration::from_millis(2));
                    }
                }
                Manner::TooLong => output.write_all(&self.protocol.endless())?,
                Manner::Garbage => output.write_all(b"%x;\n")?,
                Manner::SaysMore => {
                    let more = self.protocol.reply(false);
                    output.write_all(&[reply, more].concat())?;
                }
            }
        }
    }
}

impl Protocol {
    /// The key of the next request.
    fn read(self, input: &mut impl BufRead) -> io::Result<String> {
        let mut request = Vec::new();
        match self {
            Self::Tcp => {
                input.read_until(b'\n', &mut request)?;
                let text = String::from_utf8_lossy(&request);
                let key = text.trim_end().strip_prefix("get ");
                key.map(unquote).ok_or(io::ErrorKind::InvalidData.into())
            }
            Self::Socketmap => {
                input.read_until(b':', &mut request)?;
                let length = String::from_utf8_lossy(&request);
                let length = length.trim_end_matches(':').parse::<u16>();
                let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
                let mut text = vec![0; usize::from(length) + 1];
                input.read_exact(&mut text)?;
                let text = String::from_utf8_lossy(&text);
                let (_map, key) = text.split_once(' ').unwrap_or_default();
                Ok(key.trim_end_matches(',').to_owned())
            }
        }
    }

    fn reply(self, is_known: bool) -> Vec<u8> {
        let reply: &[u8] = match (self, is_known) {
            (Self::Tcp, true) => b"200 OK\n",
            (Self::Tcp, false) => b"500 none\n",
            (Self::Socketmap, true) => b"5:OK OK,",
            (Self::Socketmap, false) => b"9:NOTFOUND ,",
        };
        reply.to_vec()
    }

    fn endless(self) -> Vec<u8> {
        let begin: &[u8] = match self {
            Self::Tcp => b"200 ",
            Self::Socketmap => b"200003:OK ",
        };
        [begin, &[b'x'; 200_000]].concat()
    }
}

/// `%XX` is one byte.
fn unquote(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut plain = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        plain.extend(code);
        plain.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn keys_are_found_or_not() {
        for (server, asked, want) in [
            (
                MapServer::tcp(&["a b"]),
                "get a%20b\nget c\n",
                "200 OK\n500 none\n",
            ),
            (
                MapServer::socketmap(&["a b"]),
                "5:m a b,3:m c,",
                "5:OK OK,9:NOTFOUND ,",
            ),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            stream.write_all(asked.as_bytes()).unwrap();
            let mut answer = vec![0; want.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), want);
        }
    }
}
