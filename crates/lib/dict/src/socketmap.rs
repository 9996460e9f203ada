//! `socketmap`: a table server with netstrings. Source: socketmap_table(5).

use bstr::{BStr, BString, ByteSlice};
use postern_wire::{Channel, Deadline};
use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::network::{Server, is_in_step, until_nul};
use crate::simple::{not_sensitive, read_only};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Table, io_text, shown};

/// One exchange, however slowly the bytes come.
const LIMIT: Duration = Duration::from_secs(100);
const IDLE: Duration = Duration::from_secs(10);
const AGE: Duration = Duration::from_secs(100);

/// A connection that all tables of one server share.
struct Client {
    server: Server,
    open: Option<Open>,
}

struct Open {
    channel: Channel,
    since: Instant,
    last: Instant,
}

static CLIENTS: Mutex<Option<HashMap<Server, Arc<Mutex<Client>>>>> = Mutex::new(None);

/// Why an exchange failed; `Display` is the text after `lookup error: `.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("{}", io_text(.0))]
    Io(#[from] io::Error),
    #[error("unexpected disconnect")]
    Eof,
    #[error("input exceeds size limit")]
    TooLong,
    #[error("input format error")]
    Format,
}

impl ExchangeError {
    /// Whether the server has ended the connection.
    fn is_end(&self) -> bool {
        match self {
            Self::Eof => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            ),
            Self::TooLong | Self::Format => false,
        }
    }
}

fn client(server: &Server) -> Arc<Mutex<Client>> {
    let mut all = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = all.get_or_insert_with(HashMap::new);
    let new = || {
        Arc::new(Mutex::new(Client {
            server: server.clone(),
            open: None,
        }))
    };
    clients.entry(server.clone()).or_insert_with(new).clone()
}

/// Reads a netstring of at most `limit` bytes.
fn read_netstring(input: &mut impl BufRead, limit: usize) -> Result<Vec<u8>, ExchangeError> {
    let mut next = || -> Result<u8, ExchangeError> {
        let byte = *input.fill_buf()?.first().ok_or(ExchangeError::Eof)?;
        input.consume(1);
        Ok(byte)
    };
    let (mut length, mut has_digits) = (0usize, false);
    loop {
        match next()? {
            byte @ b'0'..=b'9' => {
                has_digits = true;
                length = length
                    .saturating_mul(10)
                    .saturating_add(usize::from(byte - b'0'));
                if length > limit {
                    return Err(ExchangeError::TooLong);
                }
            }
            b':' if has_digits => break,
            _ => return Err(ExchangeError::Format),
        }
    }
    let mut text = vec![0; length];
    input
        .read_exact(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ExchangeError::Eof,
            _ => ExchangeError::Io(error),
        })?;
    if input.fill_buf()?.first() != Some(&b',') {
        return Err(ExchangeError::Format);
    }
    input.consume(1);
    Ok(text)
}

impl Client {
    fn connect(&self) -> io::Result<Channel> {
        self.server.connect(LIMIT).inspect_err(|error| {
            log::warn!("connect to {}: {}", self.server, io_text(error));
        })
    }

    fn exchange(&mut self, request: &[u8], limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let now = Instant::now();
        let stale = |open: &mut Open| {
            now - open.last > IDLE || now - open.since > AGE || !is_in_step(&mut open.channel)
        };
        if self.open.as_mut().is_some_and(stale) {
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open {
                channel: self.connect()?,
                since: now,
                last: now,
            }),
        };
        open.last = now;
        open.channel.set_deadline(Some(Deadline {
            limit: LIMIT,
            min_data_rate: 0,
        }));
        open.channel.write_all(request)?;
        open.channel.flush()?;
        read_netstring(&mut open.channel, limit)
    }

    /// As [`Client::exchange`], with one silent new connection when the first one ended.
    fn ask(&mut self, request: &[u8], limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let first = self.exchange(request, limit);
        let is_connected = self.open.is_some();
        if first.is_err() {
            self.open = None;
        }
        match first {
            Err(error) if is_connected && error.is_end() => self
                .exchange(request, limit)
                .inspect_err(|_| self.open = None),
            other => other,
        }
    }
}

struct Socketmap {
    name: String,
    flags: Flags,
    map: String,
    client: Arc<Mutex<Client>>,
    limit: usize,
    /// An `OK` without text is an empty value; before, it meant "not found".
    empty_is_found: bool,
}

/// Opens `socketmap:server:map`. `limit` is `socketmap_max_reply_size`.
pub(crate) fn open(
    name: &str,
    mode: OpenMode,
    flags: Flags,
    limit: usize,
    empty_is_found: bool,
) -> Result<Box<dyn Table>, OpenError> {
    read_only("socketmap", name, mode)?;
    not_sensitive("socketmap", name, flags)?;
    let needs = || OpenError("socketmap requires server:socketmap argument".to_owned());
    let (server, map) = name.rsplit_once(':').ok_or_else(needs)?;
    if map.is_empty() {
        return Err(needs());
    }
    let server = Server::parse(server)?;
    Ok(Box::new(Socketmap {
        name: format!("socketmap:{name}"),
        flags: flags | Flags::PATTERN,
        map: map.to_owned(),
        client: client(&server),
        limit,
        empty_is_found,
    }))
}

impl Socketmap {
    fn judge(&self, reply: &[u8]) -> Lookup {
        let (status, text) = match reply.find_byte(b' ') {
            Some(at) => (reply.get(..at), reply.get(at + 1..)),
            None => (Some(reply), None),
        };
        let reason = text
            .map(|text| shown(text.get(..200).unwrap_or(text)))
            .filter(|text| !text.is_empty());
        let report = |kind: &str| {
            let reason = reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            let what = format!("socketmap server {kind} error{reason}");
            log::warn!("{} {what}", self.name);
            what
        };
        match status.unwrap_or_default() {
            b"OK" => match text {
                Some(value) => Ok(Some(until_nul(BString::from(value)))),
                None if self.empty_is_found => Ok(Some(BString::default())),
                None => Ok(None),
            },
            b"NOTFOUND" => Ok(None),
            b"TEMP" => Err(LookupError::retry(self.name.clone(), report("temporary"))),
            b"TIMEOUT" => Err(LookupError::retry(self.name.clone(), report("timeout"))),
            b"PERM" => Err(LookupError::config(self.name.clone(), report("permanent"))),
            _ => Err(LookupError::retry(self.name.clone(), report("unknown"))),
        }
    }
}

impl Table for Socketmap {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let length = self.map.len() + 1 + key.len();
        let mut request = format!("{length}:{} ", self.map).into_bytes();
        request.extend_from_slice(key);
        request.push(b',');
        let answer = self
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ask(&request, self.limit);
        match answer {
            Ok(reply) => self.judge(&reply),
            Err(error) => {
                log::warn!("table {} lookup error: {error}", self.name);
                Err(LookupError::retry(self.name.clone(), error.to_string()))
            }
        }
    }
}

/// Reads and judges a reply of any content.
#[cfg(fuzzing)]
pub(crate) fn judge_any(stream: &[u8]) {
    let server = Server::Unix("/".to_owned());
    for empty_is_found in [false, true] {
        let map = Socketmap {
            name: "socketmap:x".to_owned(),
            flags: Flags::PATTERN,
            map: "x".to_owned(),
            client: client(&server),
            limit: 100_000,
            empty_is_found,
        };
        if let Ok(reply) = read_netstring(&mut &*stream, 100_000) {
            let _ = map.judge(&reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::io::BufReader;
    use std::os::unix::net::UnixListener;

    #[test]
    fn netstrings_are_read_strictly() {
        let read = |text: &str| read_netstring(&mut text.as_bytes(), 10);
        assert_eq!(read("3:abc,").unwrap(), b"abc");
        assert_eq!(read("0:,").unwrap(), b"");
        assert_eq!(read("0000000000000003:abc,").unwrap(), b"abc");
        assert!(matches!(
            read("11:abcdefghijk,"),
            Err(ExchangeError::TooLong)
        ));
        assert!(matches!(read("3:abc;"), Err(ExchangeError::Format)));
        assert!(matches!(read("x:abc,"), Err(ExchangeError::Format)));
        assert!(matches!(read(":abc,"), Err(ExchangeError::Format)));
        assert!(matches!(read("3:abc"), Err(ExchangeError::Format)));
        assert!(matches!(read("3:ab"), Err(ExchangeError::Eof)));
        assert!(matches!(read(""), Err(ExchangeError::Eof)));
    }

    #[test]
    fn connections_that_end_are_made_again_and_unasked_replies_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        // One connection each.
        let connections: [&[&str]; 4] = [
            &[],
            &["6:OK one,"],
            &["6:OK two,8:OK stale,junk"],
            &["8:OK three,", "7:OK four,"],
        ];
        let server = std::thread::spawn(move || {
            for replies in connections {
                let (mut out, _) = listener.accept().unwrap();
                let mut input = BufReader::new(out.try_clone().unwrap());
                let asked = read_netstring(&mut input, 100);
                assert_eq!(asked.unwrap(), b"m k");
                for (number, reply) in replies.iter().enumerate() {
                    if number > 0 {
                        read_netstring(&mut input, 100).unwrap();
                    }
                    out.write_all(reply.as_bytes()).unwrap();
                }
            }
        });
        let name = format!("unix:{}:m", path.display());
        let mut table = open(&name, OpenMode::Read, Flags::NONE, 100, false).unwrap();
        for want in ["one", "two", "three", "four"] {
            assert_eq!(table.lookup(BStr::new("k")), Ok(Some(BString::from(want))));
        }
        drop(table);
        server.join().unwrap();
    }

    #[test]
    fn answers_of_a_server_are_found_not_found_or_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let replies = [
            "7:OK a b,,",
            "9:NOTFOUND ,",
            "10:TEMP later,",
            "9:PERM never,",
            "4:what,",
        ];
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream.try_clone().unwrap());
            let mut out = stream;
            for reply in replies {
                assert_eq!(read_netstring(&mut input, 100).unwrap(), b"mymap k,y");
                let text = reply.split_once(':').unwrap().1;
                let text = text.strip_suffix(',').unwrap();
                out.write_all(format!("{}:{text},", text.len()).as_bytes())
                    .unwrap();
            }
        });
        let name = format!("unix:{}:mymap", path.display());
        let mut table = open(&name, OpenMode::Read, Flags::NONE, 100, false).unwrap();
        let mut ask = || table.lookup(BStr::new("k,y"));
        assert_eq!(ask(), Ok(Some(BString::from("a b,"))));
        assert_eq!(ask(), Ok(None));
        assert_eq!(ask().unwrap_err().kind, ErrorKind::Retry);
        assert_eq!(ask().unwrap_err().kind, ErrorKind::Config);
        assert_eq!(ask().unwrap_err().kind, ErrorKind::Retry);
        server.join().unwrap();
        let bad = open("foo:bar:map", OpenMode::Read, Flags::NONE, 100, false)
            .err()
            .unwrap();
        assert_eq!(
            bad.to_string(),
            "invalid transport name: foo in service: foo:bar"
        );
    }
}
