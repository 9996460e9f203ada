//! Sends one query to the configured servers, as libresolv's res_send does: UDP first, TCP when the
//! reply is cut, the next server when one does not answer or is in trouble.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::resolv_conf::ResolvConf;
use crate::wire::{self, Message, Question, rcode};

/// Largest UDP reply that is accepted.
const UDP_MAX: usize = 4096;

/// Asks the servers in turn; `None` when no server gave a usable answer.
///
/// A server that answers SERVFAIL, NOTIMP or REFUSED is passed over, so that the outcome of "all
/// servers refuse" is the same as "no server answers": try again.
pub(crate) fn exchange(
    conf: &ResolvConf,
    first: usize,
    question: &Question<'_>,
) -> Option<Message> {
    let count = conf.servers.len();
    let server_count = u32::try_from(count).unwrap_or(1).max(1);
    for attempt in 0..conf.attempts {
        let mut wait = conf.timeout.saturating_mul(1 << attempt.min(8));
        if attempt > 0 {
            wait = (wait / server_count).max(Duration::from_secs(1));
        }
        for index in 0..count {
            let Some(server) = conf.servers.get((first + index) % count) else {
                continue;
            };
            match ask(conf, *server, question, wait) {
                Some(reply)
                    if matches!(
                        reply.rcode,
                        rcode::SERVFAIL | rcode::NOTIMP | rcode::REFUSED
                    ) => {}
                Some(reply) => return Some(reply),
                None => {}
            }
        }
    }
    None
}

fn ask(
    conf: &ResolvConf,
    server: SocketAddr,
    question: &Question<'_>,
    wait: Duration,
) -> Option<Message> {
    let id = random_id();
    let query = wire::encode(id, question)?;
    if !conf.use_vc {
        let reply = by_udp(server, id, &query, question, wait).ok()?;
        if !reply.truncated {
            return Some(reply);
        }
    }
    by_tcp(server, id, &query, question, wait).ok()
}

fn by_udp(
    server: SocketAddr,
    id: u16,
    query: &[u8],
    question: &Question<'_>,
    wait: Duration,
) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    // A connected socket takes datagrams from this server only, and learns of a closed port.
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + wait;
    let mut buffer = vec![0; UDP_MAX];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let len = socket.recv(&mut buffer)?;
        // Stray or forged datagrams are skipped; the true reply may still come.
        if let Ok(reply) = wire::decode(id, question, buffer.get(..len).unwrap_or_default()) {
            return Ok(reply);
        }
        if is_our_reply(id, buffer.get(..len).unwrap_or_default()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Whether a reply that cannot be decoded carries our id: then waiting longer is of no use.
fn is_our_reply(id: u16, bytes: &[u8]) -> bool {
    bytes.get(..2) == Some(&id.to_be_bytes()[..])
        && bytes.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

fn by_tcp(
    server: SocketAddr,
    id: u16,
    query: &[u8],
    question: &Question<'_>,
    wait: Duration,
) -> io::Result<Message> {
    let deadline = Instant::now() + wait;
    let mut stream = TcpStream::connect_timeout(&server, wait)?;
    let len = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&framed)?;
    let mut size = [0; 2];
    read_exact(&mut stream, &mut size, deadline)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(size))];
    read_exact(&mut stream, &mut reply, deadline)?;
    let mut message = wire::decode(id, question, &reply).map_err(|_| io::ErrorKind::InvalidData)?;
    message.truncated = false;
    Ok(message)
}

fn read_exact(stream: &mut TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut have = 0;
    while have < buffer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer.get_mut(have..).unwrap_or_default())? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => have += n,
        }
    }
    Ok(())
}

/// What is left until the deadline; an error when it has passed.
fn left(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// A message id that an outsider cannot guess: the standard library keys its hashers from the
/// system's random source.
fn random_id() -> u16 {
    let [a, b, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    u16::from_ne_bytes([a, b])
}
