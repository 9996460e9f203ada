//! Where a finished line goes, and how to get there again when the receiver was replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So long a log daemon may take nothing. After that lines are lost until it takes some again: mail
/// must not stand still because its log does.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long a program that may write the log file itself waits for postlogd(8) to take a line: commands
/// write faster than it reads, and lines that overtake others would confuse who reads the log.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Socket of the system's log daemon.
const DEV_LOG: &str = "/dev/log";

/// A socket to a log daemon.
#[derive(Debug)]
enum Link {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// The receiver of lines.
#[derive(Debug)]
pub(crate) enum Destination {
    /// The system's log daemon.
    Syslog(Peer),
    /// postlogd(8); what it cannot take goes to the file, when there is one.
    Postlog(Peer, Option<LogFile>),
    /// The log file itself.
    File(File),
}

/// A log file that is opened when needed.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    /// For a new file; the umask counts unless `exact_mode`.
    pub(crate) mode: u32,
    pub(crate) exact_mode: bool,
}

/// A log daemon behind a socket; found again when it was restarted.
#[derive(Debug)]
pub(crate) struct Peer {
    paths: Vec<PathBuf>,
    link: Option<Link>,
    /// A full queue is a failure, not a reason to wait. For master(8), which must start the process
    /// that empties the queue.
    never_wait: bool,
    /// How long a full queue is waited for otherwise.
    patience: Duration,
    /// The daemon was waited for in vain, and not since.
    stuck: bool,
    /// Lines that it did not take.
    lost: u64,
}

impl Destination {
    pub(crate) fn syslog() -> Self {
        Self::Syslog(Peer::new(vec![PathBuf::from(DEV_LOG)], false))
    }

    /// postlogd(8) at `socket`; inside a jail the path is the one below the queue directory.
    /// With a `fallback`, lines that postlogd(8) cannot take soon, or at once if `never_wait`, go to that
    /// file.
    pub(crate) fn postlog(socket: &Path, fallback: Option<LogFile>, never_wait: bool) -> Self {
        let mut paths = vec![socket.to_owned()];
        if let (Some(name), Some(class)) = (
            socket.file_name(),
            socket.parent().and_then(Path::file_name),
        ) {
            paths.push(Path::new("/").join(class).join(name));
        }
        let mut peer = Peer::new(paths, never_wait);
        if fallback.is_some() {
            peer.patience = SHORT_PATIENCE;
        }
        Self::Postlog(peer, fallback)
    }

    /// How many lines were lost before the last one, which was taken; counted once.
    pub(crate) fn take_lost(&mut self) -> u64 {
        match self {
            Self::Syslog(peer) | Self::Postlog(peer, _) if !peer.stuck => {
                std::mem::take(&mut peer.lost)
            }
            _ => 0,
        }
    }

    /// Connects now; `false` when the receiver is not there.
    pub(crate) fn connect(&mut self) -> bool {
        match self {
            Self::Syslog(peer) | Self::Postlog(peer, _) => peer.is_connected(),
            Self::File(_) => true,
        }
    }

    /// Hands over one complete line (without newline). Failures are ignored: there is nobody to tell.
    pub(crate) fn send(&mut self, line: &mut Vec<u8>) {
        match self {
            Self::Syslog(peer) => {
                peer.send(line);
            }
            Self::Postlog(peer, fallback) => {
                if let (false, Some(fallback)) = (peer.send(line), fallback)
                    && let Ok(mut file) = fallback.open()
                {
                    line.push(b'\n');
                    let _ = file.write_all(line);
                }
            }
            Self::File(file) => {
                line.push(b'\n');
                let _ = file.write_all(line);
            }
        }
    }
}

impl LogFile {
    /// Opens the file for appending; makes it when it is missing.
    pub(crate) fn open(&self) -> io::Result<File> {
        if self.path == Path::new("/dev/stdout") {
            // The descriptor itself: opening the name again may be forbidden, or impossible.
            return Ok(io::stdout().as_fd().try_clone_to_owned()?.into());
        }
        let created = !self.path.exists();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(self.mode)
            .open(&self.path)?;
        if created && self.exact_mode {
            // The umask may have removed bits that the administrator asked for.
            file.set_permissions(std::fs::Permissions::from_mode(self.mode))?;
        }
        Ok(file)
    }
}

impl Peer {
    fn new(paths: Vec<PathBuf>, never_wait: bool) -> Self {
        Self {
            paths,
            link: None,
            never_wait,
            patience: PATIENCE,
            stuck: false,
            lost: 0,
        }
    }

    fn is_connected(&mut self) -> bool {
        if self.link.is_none() {
            self.link = self
                .paths
                .iter()
                .find_map(|path| open(path, self.never_wait || self.stuck, self.patience));
        }
        self.link.is_some()
    }

    /// Whether the line was taken.
    fn send(&mut self, line: &[u8]) -> bool {
        // A restarted receiver is a new socket: the old link fails once, then the new one is found.
        for _ in 0..2 {
            if !self.is_connected() {
                return false;
            }
            let sent = match &mut self.link {
                Some(Link::Datagram(socket)) => socket.send(line).map(|_| ()),
                Some(Link::Stream(stream)) => stream.write_all(&[line, &[0]].concat()),
                None => return false,
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_full();
                    return false;
                }
                Err(_) => self.link = None,
                Ok(()) => {
                    if std::mem::take(&mut self.stuck) {
                        self.set_waiting(true);
                    }
                    return true;
                }
            }
        }
        false
    }

    /// The daemon took nothing for a while: it is not waited for again until it takes something.
    fn note_full(&mut self) {
        if self.never_wait {
            return;
        }
        self.lost = self.lost.saturating_add(1);
        if !std::mem::replace(&mut self.stuck, true) {
            self.set_waiting(false);
        }
    }

    fn set_waiting(&mut self, wait: bool) {
        let done = match &self.link {
            Some(Link::Datagram(socket)) => socket.set_nonblocking(!wait),
            Some(Link::Stream(stream)) => stream.set_nonblocking(!wait),
            None => Ok(()),
        };
        // A socket that cannot be set is made anew by the next line.
        if done.is_err() {
            self.link = None;
        }
    }
}

fn open(path: &Path, never_wait: bool, patience: Duration) -> Option<Link> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(never_wait).ok()?;
    socket.set_write_timeout(Some(patience)).ok()?;
    match socket.connect(path) {
        Ok(()) => Some(Link::Datagram(socket)),
        // Some log daemons listen on a stream.
        Err(error) if error.raw_os_error() == Some(nix::Error::EPROTOTYPE as i32) => {
            UnixStream::connect(path).ok().map(Link::Stream)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_receiver_gets_the_next_line() {
        let directory =
            std::env::temp_dir().join(format!("postern-maillog-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("log");
        let mut destination = Destination::postlog(&path, None, false);
        destination.send(&mut b"nobody listens".to_vec());
        for text in [b"one", b"two"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            destination.send(&mut text.to_vec());
            let mut buffer = [0; 16];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
            assert_eq!(&buffer[..3], text);
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir(directory).unwrap();
    }

    /// A log daemon may listen for datagrams or on a stream, and come back as the other.
    #[test]
    fn syslog_is_found_again_in_either_form() {
        use std::io::Read;
        use std::os::unix::net::UnixListener;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut destination = Destination::Syslog(Peer::new(vec![path.clone()], false));
        destination.send(&mut b"nobody listens".to_vec());
        let mut buffer = [0; 16];

        let datagrams = UnixDatagram::bind(&path).unwrap();
        destination.send(&mut b"<22>one".to_vec());
        let count = datagrams.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"<22>one");
        drop(datagrams);
        std::fs::remove_file(&path).unwrap();
        destination.send(&mut b"<22>lost".to_vec());

        let listener = UnixListener::bind(&path).unwrap();
        destination.send(&mut b"<22>two".to_vec());
        destination.send(&mut b"<22>three".to_vec());
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = [0; 18];
        stream.read_exact(&mut lines).unwrap();
        assert_eq!(&lines, b"<22>two\0<22>three\0");
        drop((stream, listener));
        std::fs::remove_file(&path).unwrap();

        let datagrams = UnixDatagram::bind(&path).unwrap();
        destination.send(&mut b"<22>four".to_vec());
        let count = datagrams.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"<22>four");
    }

    #[test]
    fn a_log_daemon_that_hangs_costs_lines_and_not_time() {
        let directory = std::env::temp_dir().join(format!("postern-stuck-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut destination = Destination::postlog(&path, None, false);
        let Destination::Postlog(peer, _) = &mut destination else {
            unreachable!("made so above")
        };
        peer.patience = Duration::from_millis(20);
        let mut sent = 0;
        while !peer.stuck {
            peer.send(b"line");
            sent += 1;
        }
        for _ in 0..1000 {
            assert!(!peer.send(b"line"));
        }
        assert_eq!(destination.take_lost(), 0, "nobody can be told yet");
        let mut buffer = [0; 16];
        for _ in 1..sent {
            receiver.recv(&mut buffer).unwrap();
        }
        destination.send(&mut b"back".to_vec());
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
        assert_eq!(
            (destination.take_lost(), destination.take_lost()),
            (1001, 0)
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn full_queue_sends_lines_to_the_file_when_there_is_one() {
        let directory =
            std::env::temp_dir().join(format!("postern-fallback-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let (socket, path) = (directory.join("socket"), directory.join("log"));
        let _never_reads = UnixDatagram::bind(&socket).unwrap();
        let fallback = LogFile {
            path: path.clone(),
            mode: 0o600,
            exact_mode: true,
        };
        let mut destination = Destination::postlog(&socket, Some(fallback), true);
        for number in 0..100_000 {
            destination.send(&mut format!("line {number}").into_bytes());
            if path.exists() {
                break;
            }
        }
        assert!(std::fs::read(&path).unwrap().starts_with(b"line "));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
