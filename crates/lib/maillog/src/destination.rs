//! Where a finished line goes, and how to get there again when the receiver was replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

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
}

impl Destination {
    pub(crate) fn syslog() -> Self {
        Self::Syslog(Peer {
            paths: vec![PathBuf::from(DEV_LOG)],
            link: None,
            never_wait: false,
        })
    }

    /// postlogd(8) at `socket`; inside a jail the path is the one below the queue directory.
    /// With a `fallback`, lines that postlogd(8) cannot take at once go to that file.
    pub(crate) fn postlog(socket: &Path, fallback: Option<LogFile>) -> Self {
        let mut paths = vec![socket.to_owned()];
        if let (Some(name), Some(class)) = (
            socket.file_name(),
            socket.parent().and_then(Path::file_name),
        ) {
            paths.push(Path::new("/").join(class).join(name));
        }
        let never_wait = fallback.is_some();
        Self::Postlog(
            Peer {
                paths,
                link: None,
                never_wait,
            },
            fallback,
        )
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
    fn is_connected(&mut self) -> bool {
        if self.link.is_none() {
            self.link = self
                .paths
                .iter()
                .find_map(|path| open(path, self.never_wait));
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.link = None,
                Ok(()) => return true,
            }
        }
        false
    }
}

fn open(path: &Path, never_wait: bool) -> Option<Link> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(never_wait).ok()?;
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
        let mut destination = Destination::postlog(&path, None);
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
        let mut destination = Destination::postlog(&socket, Some(fallback));
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
