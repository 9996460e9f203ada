//! Where a finished line goes, and how to get there again when the receiver was replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
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
    /// postlogd(8).
    Postlog(Peer),
    /// The log file itself.
    File(File),
}

/// A log daemon behind a socket; found again when it was restarted.
#[derive(Debug)]
pub(crate) struct Peer {
    paths: Vec<PathBuf>,
    link: Option<Link>,
}

impl Destination {
    pub(crate) fn syslog() -> Self {
        Self::Syslog(Peer {
            paths: vec![PathBuf::from(DEV_LOG)],
            link: None,
        })
    }

    /// postlogd(8) at `socket`; inside a jail the path is the one below the queue directory.
    pub(crate) fn postlog(socket: &Path) -> Self {
        let mut paths = vec![socket.to_owned()];
        if let (Some(name), Some(class)) = (
            socket.file_name(),
            socket.parent().and_then(Path::file_name),
        ) {
            paths.push(Path::new("/").join(class).join(name));
        }
        Self::Postlog(Peer { paths, link: None })
    }

    /// Opens the log file, created with `mode`; the umask counts unless `exact`.
    pub(crate) fn file(path: &Path, mode: u32, exact: bool) -> io::Result<Self> {
        if path == Path::new("/dev/stdout") {
            // The descriptor itself: opening the name again may be forbidden, or impossible.
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Self::File(stdout.into()));
        }
        let created = !path.exists();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(mode)
            .open(path)?;
        if created && exact {
            use std::os::unix::fs::PermissionsExt;
            // The umask may have removed bits that the administrator asked for.
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        Ok(Self::File(file))
    }

    /// Connects now; `false` when the receiver is not there.
    pub(crate) fn connect(&mut self) -> bool {
        match self {
            Self::Syslog(peer) | Self::Postlog(peer) => peer.is_connected(),
            Self::File(_) => true,
        }
    }

    /// Hands over one complete line (without newline). Failures are ignored: there is nobody to tell.
    pub(crate) fn send(&mut self, line: &mut Vec<u8>) {
        match self {
            Self::Syslog(peer) | Self::Postlog(peer) => peer.send(line),
            Self::File(file) => {
                line.push(b'\n');
                let _ = file.write_all(line);
            }
        }
    }
}

impl Peer {
    fn is_connected(&mut self) -> bool {
        if self.link.is_none() {
            self.link = self.paths.iter().find_map(|path| open(path));
        }
        self.link.is_some()
    }

    fn send(&mut self, line: &[u8]) {
        // A restarted receiver is a new socket: the old link fails once, then the new one is found.
        for _ in 0..2 {
            if !self.is_connected() {
                return;
            }
            let sent = match &mut self.link {
                Some(Link::Datagram(socket)) => socket.send(line).map(|_| ()),
                Some(Link::Stream(stream)) => stream.write_all(&[line, &[0]].concat()),
                None => return,
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.link = None,
                Ok(()) => return,
            }
        }
    }
}

fn open(path: &Path) -> Option<Link> {
    let socket = UnixDatagram::unbound().ok()?;
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
        let mut destination = Destination::postlog(&path);
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
}
