//! Socket details beyond std: timeouts on any socket, peeking, listening with a backlog.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, sockopt,
};
use nix::sys::time::TimeVal;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Sets how long one receive and one send may block; zero means for ever.
///
/// # Errors
///
/// `ENOTSOCK` for descriptors that are no sockets.
pub fn set_timeouts(fd: impl AsFd, receive: Duration, send: Duration) -> io::Result<()> {
    set_receive_timeout(&fd, receive)?;
    set_send_timeout(&fd, send)
}

/// Sets how long one receive may block; zero means for ever.
pub fn set_receive_timeout(fd: impl AsFd, limit: Duration) -> io::Result<()> {
    socket::setsockopt(&fd, sockopt::ReceiveTimeout, &time_value(limit))?;
    Ok(())
}

/// Sets how long one send may block; zero means for ever.
pub fn set_send_timeout(fd: impl AsFd, limit: Duration) -> io::Result<()> {
    socket::setsockopt(&fd, sockopt::SendTimeout, &time_value(limit))?;
    Ok(())
}

fn time_value(limit: Duration) -> TimeVal {
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    // Anything shorter than a microsecond must not turn into "for ever".
    let micros = if seconds == 0 && limit.subsec_micros() == 0 && !limit.is_zero() {
        1
    } else {
        limit.subsec_micros()
    };
    TimeVal::new(seconds, i64::from(micros))
}

/// What [`wait`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Input or end of input.
    Read,
    /// Room for output.
    Write,
}

/// Waits until a read or write would not block; `false` when `limit` passed first.
/// No limit waits for ever.
pub fn wait(fd: impl AsFd, interest: Interest, limit: Option<Duration>) -> io::Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::POLLIN,
        Interest::Write => PollFlags::POLLOUT,
    };
    poll_until(&mut [PollFd::new(fd.as_fd(), flags)], limit)
}

/// Waits until a write to `output` or a read from `input` would not block, and tells which; neither when
/// `limit` passed first.
pub fn wait_both(output: impl AsFd, input: impl AsFd, limit: Duration) -> io::Result<(bool, bool)> {
    let mut fds = [
        PollFd::new(output.as_fd(), PollFlags::POLLOUT),
        PollFd::new(input.as_fd(), PollFlags::POLLIN),
    ];
    poll_until(&mut fds, Some(limit))?;
    let [writable, readable] = fds.map(|fd| fd.any().unwrap_or(false));
    Ok((writable, readable))
}

fn poll_until(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<bool> {
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let timeout = match end {
            None => PollTimeout::NONE,
            Some(end) => {
                let left = end
                    .saturating_duration_since(Instant::now())
                    .as_micros()
                    .div_ceil(1000);
                PollTimeout::try_from(i32::try_from(left).unwrap_or(i32::MAX))
                    .unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(fds, timeout) {
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) if end.is_none_or(|end| Instant::now() < end) => {}
            Ok(count) => return Ok(count > 0),
        }
    }
}

/// Whether the peer of a stream socket has closed its side and nothing is left to read.
pub fn is_at_end(fd: impl AsFd) -> bool {
    let mut byte = [0];
    match socket::recv(
        fd.as_fd().as_raw_fd(),
        &mut byte,
        MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
    ) {
        Ok(count) => count == 0,
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => false,
        Err(_) => true,
    }
}

/// Receives without waiting for more than the socket's timeout.
pub fn recv(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket::recv(fd.as_fd().as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(nix::Error::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives what is there without waiting; `WouldBlock` when nothing is.
pub fn recv_now(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket::recv(fd.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Err(nix::Error::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// As [`recv`], into the spare room of `buffer`, at most `limit` bytes; they are appended. Room that was
/// never written to need not be cleared first.
pub fn recv_append(fd: impl AsFd, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
    append(fd, buffer, limit, 0)
}

/// As [`recv_now`] and [`recv_append`].
pub fn recv_append_now(fd: impl AsFd, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
    append(fd, buffer, limit, libc::MSG_DONTWAIT)
}

fn append(fd: impl AsFd, buffer: &mut Vec<u8>, limit: usize, flags: i32) -> io::Result<usize> {
    buffer.reserve(limit);
    let fd = fd.as_fd().as_raw_fd();
    let (old, room) = (buffer.len(), buffer.spare_capacity_mut().as_mut_ptr());
    loop {
        // SAFETY: `limit` bytes at `room` belong to the vector, as was just seen to; the kernel writes to
        // them and reads none.
        let count = unsafe { libc::recv(fd, room.cast(), limit, flags) };
        if let Ok(count) = usize::try_from(count) {
            // SAFETY: the kernel wrote that many bytes behind the old end, not more than there is room for.
            unsafe { buffer.set_len(old + count.min(limit)) };
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends what fits without waiting; `WouldBlock` when nothing does.
pub fn send_now(fd: impl AsFd, data: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match socket::send(fd.as_fd().as_raw_fd(), data, flags) {
            Err(nix::Error::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Sends; a closed peer is an error, never a signal.
pub fn send(fd: impl AsFd, data: &[u8]) -> io::Result<usize> {
    loop {
        match socket::send(fd.as_fd().as_raw_fd(), data, MsgFlags::MSG_NOSIGNAL) {
            Err(nix::Error::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// The length of a socket's receive queue of connections and its like.
fn backlog(length: i32) -> Backlog {
    Backlog::new(length.clamp(1, 65_535)).unwrap_or(Backlog::MAXCONN)
}

/// A UNIX stream socket that listens at `path`, close-on-exec. The path must be free.
pub fn listen_unix(path: &Path, length: i32) -> io::Result<UnixListener> {
    let fd = unix_socket(SockType::Stream)?;
    socket::bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    socket::listen(&fd, backlog(length))?;
    Ok(fd.into())
}

/// A UNIX datagram socket bound to `path`, close-on-exec. The path must be free.
pub fn bind_datagram(path: &Path) -> io::Result<UnixDatagram> {
    let fd = unix_socket(SockType::Datagram)?;
    socket::bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

/// A TCP socket that listens at `address` with the options of master(8): addresses and ports are
/// reused at once, an IPv6 socket takes no IPv4 connections.
pub fn listen_tcp(address: SocketAddr, length: i32) -> io::Result<TcpListener> {
    let fd = tcp_socket(&address)?;
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // Best effort: not every kernel has it, and nothing depends on it.
    let _ = socket::setsockopt(&fd, sockopt::ReusePort, &true);
    if address.is_ipv6() {
        socket::setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    socket::bind(fd.as_raw_fd(), &socket::SockaddrStorage::from(address))?;
    socket::listen(&fd, backlog(length))?;
    Ok(fd.into())
}

/// Connects to a UNIX stream socket within `limit`; no limit waits for ever. A full backlog waits,
/// as connect(2) does on blocking sockets. `limit` stays in force as the socket's send timeout.
pub fn connect_unix(path: &Path, limit: Option<Duration>) -> io::Result<UnixStream> {
    let fd = unix_socket(SockType::Stream)?;
    let address = UnixAddr::new(path)?;
    if let Some(limit) = limit {
        set_send_timeout(&fd, limit)?;
    }
    loop {
        match socket::connect(fd.as_raw_fd(), &address) {
            Err(nix::Error::EINTR) => {}
            // The send timeout also limits the wait for room in the backlog.
            Err(nix::Error::EAGAIN) => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            other => break other?,
        }
    }
    Ok(fd.into())
}

/// Connects to a TCP peer within `limit`, from the local address `bind` when given.
/// The returned socket is blocking; `limit` stays in force as its send timeout.
pub fn connect_tcp(
    address: SocketAddr,
    bind: Option<SocketAddr>,
    limit: Option<Duration>,
) -> io::Result<TcpStream> {
    let fd = tcp_socket(&address)?;
    if let Some(bind) = bind {
        socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        socket::bind(fd.as_raw_fd(), &socket::SockaddrStorage::from(bind))?;
    }
    let start = Instant::now();
    if let Some(limit) = limit {
        set_send_timeout(&fd, limit)?;
    }
    match socket::connect(fd.as_raw_fd(), &socket::SockaddrStorage::from(address)) {
        Ok(()) => {}
        // The handshake goes on; after the send timeout, nothing of the limit is left.
        Err(nix::Error::EINPROGRESS | nix::Error::EINTR) => {
            finish_connect(
                &fd,
                limit.map(|limit| limit.saturating_sub(start.elapsed())),
            )?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(fd.into())
}

fn finish_connect(fd: &OwnedFd, limit: Option<Duration>) -> io::Result<()> {
    if !wait(fd, Interest::Write, limit)? {
        return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    take_error(fd)
}

/// Begins to connect to a TCP peer and returns a non-blocking socket; it becomes writable when the
/// attempt has ended, see [`take_error`]. `window` replaces the system's buffer sizes.
pub fn begin_connect_tcp(address: SocketAddr, window: Option<usize>) -> io::Result<OwnedFd> {
    let fd = tcp_socket(&address)?;
    if let Some(window) = window {
        set_window(&fd, window)?;
    }
    crate::file::set_nonblocking(&fd, true)?;
    match socket::connect(fd.as_raw_fd(), &socket::SockaddrStorage::from(address)) {
        Ok(()) | Err(nix::Error::EINPROGRESS | nix::Error::EINTR) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// The error that a socket has met since the last call, such as that of a connection attempt.
pub fn take_error(fd: impl AsFd) -> io::Result<()> {
    match socket::getsockopt(&fd, sockopt::SocketError)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Sets both buffer sizes of a socket. To change the TCP window, call it before connecting, or on
/// the listening socket.
pub fn set_window(fd: impl AsFd, size: usize) -> io::Result<()> {
    socket::setsockopt(&fd, sockopt::SndBuf, &size)?;
    socket::setsockopt(&fd, sockopt::RcvBuf, &size)?;
    Ok(())
}

fn unix_socket(kind: SockType) -> io::Result<OwnedFd> {
    Ok(socket::socket(
        AddressFamily::Unix,
        kind,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

fn tcp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    Ok(socket::socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

/// Accepts one connection with close-on-exec set; `None` when there is none. Connections that went
/// away while they waited are passed over: others may wait behind them.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    loop {
        match socket::accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: the kernel has just made this descriptor; nobody else knows it.
            Ok(fd) => return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(
                nix::Error::EINTR
                | nix::Error::ECONNABORTED
                | nix::Error::EPROTO
                | nix::Error::ENETDOWN
                | nix::Error::ENOPROTOOPT
                | nix::Error::EHOSTDOWN
                | nix::Error::ENONET
                | nix::Error::EHOSTUNREACH
                | nix::Error::ENETUNREACH,
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Turns off the delay of small segments and detects dead peers.
pub fn tune_tcp(fd: impl AsFd) {
    // Best effort: a stream that is not TCP refuses, and works as well.
    let _ = socket::setsockopt(&fd, sockopt::TcpNoDelay, &true);
    let _ = socket::setsockopt(&fd, sockopt::KeepAlive, &true);
}

/// A connected pair of UNIX stream sockets, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socket::socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// The peer's internet address.
pub fn peer_address(fd: impl AsFd) -> Option<SocketAddr> {
    let storage: socket::SockaddrStorage = socket::getpeername(fd.as_fd().as_raw_fd()).ok()?;
    internet(&storage)
}

/// The local internet address.
pub fn local_address(fd: impl AsFd) -> Option<SocketAddr> {
    let storage: socket::SockaddrStorage = socket::getsockname(fd.as_fd().as_raw_fd()).ok()?;
    internet(&storage)
}

fn internet(storage: &socket::SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}

/// How many bytes a read would give at once (pipes and stream sockets).
pub fn available(fd: impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to a live local variable.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result < 0 {
        0
    } else {
        usize::try_from(count).unwrap_or(0)
    }
}
