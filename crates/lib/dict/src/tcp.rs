//! `tcp`: a table server with a line protocol. Source: tcp_table(5).

use bstr::{BStr, BString, ByteSlice};
use postern_wire::{Channel, Deadline, LineEnd};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::network::{Server, is_in_step, until_nul};
use crate::simple::read_only;
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown};

/// One lookup, all its tries together: whoever waits for the answer has limits, too.
const LIMIT: Duration = Duration::from_secs(100);
/// A reply has fewer bytes.
const REPLY_LIMIT: usize = 4096;
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

struct Tcp {
    name: String,
    /// `host:port`, for messages.
    place: String,
    flags: Flags,
    server: Server,
    channel: Option<Channel>,
}

/// Opens `tcp:host:port`; the connection is made by the first lookup.
pub(crate) fn open(name: &str, mode: OpenMode, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    read_only("tcp", name, mode)?;
    if flags.contains(Flags::NO_UNAUTH) {
        return Err(OpenError(format!(
            "tcp:{name} map is not allowed for security sensitive data"
        )));
    }
    Ok(Box::new(Tcp {
        name: format!("tcp:{name}"),
        place: name.to_owned(),
        flags: flags | Flags::PATTERN,
        server: Server::inet(name)?,
        channel: None,
    }))
}

/// `%XX` for everything that is not printable, for `%` and for space.
fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_graphic() && byte != b'%' {
            quoted.push(byte);
        } else {
            quoted.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    quoted
}

fn unquote(text: &[u8]) -> Option<BString> {
    let mut plain = BString::default();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let digits = digits
                .to_str()
                .ok()
                .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            plain.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            plain.push(byte);
        }
    }
    Some(plain)
}

/// A reply line taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Found(BString),
    Retry,
    NotFound,
    BadStatus,
    Malformed,
}

fn parse(line: &[u8]) -> Reply {
    let Some((status, rest)) = line.split_at_checked(3) else {
        return Reply::Malformed;
    };
    let digits = status.iter().all(u8::is_ascii_digit);
    let Some((&blank, text)) = rest.split_first() else {
        return Reply::Malformed;
    };
    if !digits || !crate::lines::is_space(blank) {
        return Reply::Malformed;
    }
    let Some(text) = unquote(text) else {
        return Reply::Malformed;
    };
    match status.first() {
        Some(b'2') => Reply::Found(until_nul(text)),
        Some(b'4') => Reply::Retry,
        Some(b'5') => Reply::NotFound,
        _ => Reply::BadStatus,
    }
}

#[cfg(fuzzing)]
pub(crate) fn parse_any(line: &[u8]) {
    if let Reply::Found(text) = parse(line) {
        assert_eq!(unquote(&quote(&text)), Some(text));
    }
}

impl Tcp {
    fn ask(&mut self, request: &[u8], limit: Duration) -> io::Result<(Vec<u8>, LineEnd)> {
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => self.channel.insert(self.server.connect(limit)?),
        };
        channel.set_deadline(Some(Deadline {
            limit,
            min_data_rate: 0,
        }));
        channel.write_all(request)?;
        channel.flush()?;
        let mut line = Vec::new();
        let end = channel.read_line(REPLY_LIMIT - 1, &mut line)?;
        if end == LineEnd::CrLf {
            // Only LF ends a reply.
            line.push(b'\r');
        }
        let is_too_long = line.len() >= REPLY_LIMIT;
        Ok((line, if is_too_long { LineEnd::Partial } else { end }))
    }

    /// One try of at most `limit`; `None` asks for another.
    fn attempt(&mut self, request: &[u8], limit: Duration, why: &mut String) -> Option<Vec<u8>> {
        let place = &self.place;
        if !self.channel.as_mut().is_some_and(is_in_step) {
            self.channel = None;
            match self.server.connect(limit) {
                Ok(channel) => self.channel = Some(channel),
                Err(error) => {
                    *why = io_text(&error);
                    log::warn!("connect to TCP map {place}: {why}");
                    return None;
                }
            }
        }
        match self.ask(request, limit) {
            Ok((line, end)) if end.is_complete() => return Some(line),
            Ok((_, LineEnd::Partial)) => {
                log::warn!(
                    "read TCP map reply from {}: text longer than {REPLY_LIMIT}",
                    self.place
                );
            }
            Ok(_) => log::warn!(
                "read TCP map reply from {}: unexpected EOF (Success)",
                self.place
            ),
            Err(error) => {
                log::warn!(
                    "read TCP map reply from {}: unexpected EOF ({})",
                    self.place,
                    io_text(&error)
                );
            }
        }
        self.channel = None;
        None
    }

    fn complain(&self, what: &str, line: &[u8]) {
        let shown = shown(line.get(..100).unwrap_or(line));
        log::warn!("read TCP map reply from {}: {what}: {shown}", self.place);
    }
}

impl Table for Tcp {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let request = [b"get ".as_slice(), &quote(key), b"\n"].concat();
        let (mut tries, mut why) = (0, "no answer".to_owned());
        let begin = Instant::now();
        let line = loop {
            let left = LIMIT.saturating_sub(begin.elapsed());
            if let Some(line) = self.attempt(&request, left, &mut why) {
                break line;
            }
            tries += 1;
            if tries >= TRIES || begin.elapsed() + PAUSE >= LIMIT {
                return Err(LookupError::retry(self.name.clone(), why));
            }
            std::thread::sleep(PAUSE);
        };
        let retry = |text: &str| Err(LookupError::retry(self.name.clone(), text));
        match parse(&line) {
            Reply::Found(text) => Ok(Some(text)),
            Reply::NotFound => Ok(None),
            Reply::Retry => {
                let answer = retry("the table server reports a temporary error");
                self.channel = None;
                answer
            }
            Reply::BadStatus => {
                self.complain("bad status code", &line);
                retry("bad status code")
            }
            Reply::Malformed => {
                self.complain("malformed reply", &line);
                let answer = retry("malformed reply");
                self.channel = None;
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    #[test]
    fn keys_are_quoted_as_postfix_does() {
        assert_eq!(quote("A b%c/é".as_bytes()).as_bstr(), "A%20b%25c/%C3%A9");
        assert_eq!(unquote(b"A%20b%25c/%c3%A9"), Some(BString::from("A b%c/é")));
        assert_eq!(unquote(b"a%2"), None);
        assert_eq!(unquote(b"a%+1"), None);
    }

    #[test]
    fn replies_are_told_apart() {
        #[rustfmt::skip]
        let cases: &[(&str, Reply)] = &[
            ("200 a%20b", Reply::Found(BString::from("a b"))), ("200 a%00b", Reply::Found(BString::from("a"))),
            ("200 a\r", Reply::Found(BString::from("a\r"))), ("250\tx", Reply::Found(BString::from("x"))),
            ("400 later", Reply::Retry), ("500 no", Reply::NotFound), ("300 x", Reply::BadStatus),
            ("200", Reply::Malformed), ("2x0 a", Reply::Malformed), ("200 %zz", Reply::Malformed), ("", Reply::Malformed),
        ];
        for (line, want) in cases {
            assert_eq!(&parse(line.as_bytes()), want, "{line}");
        }
    }

    /// A table whose server gives each connection one reply to each request, whatever that is.
    fn with_replies(
        connections: Vec<Vec<Vec<u8>>>,
    ) -> (Box<dyn Table>, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for replies in connections {
                let (mut out, _) = listener.accept().unwrap();
                let mut input = BufReader::new(out.try_clone().unwrap());
                for reply in replies {
                    input.read_line(&mut String::new()).unwrap();
                    out.write_all(&reply).unwrap();
                }
            }
        });
        let table = open(&place, OpenMode::Read, Flags::NONE).unwrap();
        (table, server)
    }

    #[test]
    fn a_second_reply_is_no_answer_to_the_next_question() {
        let connections = vec![
            vec![b"200 one\n200 stale\n500 stale\n".to_vec()],
            vec![b"200 two\n".to_vec(), b"200 three\n".to_vec()],
        ];
        let (mut table, server) = with_replies(connections);
        for want in ["one", "two", "three"] {
            assert_eq!(table.lookup(BStr::new("k")), Ok(Some(BString::from(want))));
        }
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_closes_after_each_reply_costs_no_pause() {
        let reply = vec![b"200 v\n".to_vec()];
        let (mut table, server) = with_replies(vec![reply; 30]);
        let begin = Instant::now();
        for _ in 0..30 {
            assert_eq!(table.lookup(BStr::new("k")), Ok(Some(BString::from("v"))));
        }
        server.join().unwrap();
        // Now and then the end comes after the next question.
        assert!(begin.elapsed() < PAUSE * 25);
    }

    #[test]
    fn a_reply_of_4095_bytes_is_read() {
        let reply = |length: usize| [b"200 ".as_slice(), &vec![b'y'; length], b"\n"].concat();
        let (mut table, server) = with_replies(vec![vec![reply(4091)]]);
        let found = table.lookup(BStr::new("k")).unwrap().unwrap();
        assert_eq!(found.len(), 4091);
        server.join().unwrap();
    }

    #[test]
    fn one_connection_serves_many_lookups() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream.try_clone().unwrap());
            let mut out = stream;
            for reply in ["200 one%20two\n", "500 none\n", "400 later\n"] {
                let mut line = String::new();
                input.read_line(&mut line).unwrap();
                assert_eq!(line, "get a%20b\n");
                out.write_all(reply.as_bytes()).unwrap();
            }
        });
        let mut table = open(&place, OpenMode::Read, Flags::NONE).unwrap();
        assert_eq!(
            table.lookup(BStr::new("a b")),
            Ok(Some(BString::from("one two")))
        );
        assert_eq!(table.lookup(BStr::new("a b")), Ok(None));
        assert!(table.lookup(BStr::new("a b")).is_err());
        server.join().unwrap();
    }
}
