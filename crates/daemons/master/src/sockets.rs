//! The listening sockets of one service.

use crate::plan::Plan;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fchmod};
use postern_config::master_cf::ServiceType;
use postern_sys::user::{User, as_user};
use postern_sys::{error_text, file, socket};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The longest path that fits a UNIX-domain address.
const LONGEST_PATH: usize = 107;

/// Makes the sockets of a service, non-blocking and close-on-exec. UNIX sockets and pipes belong to
/// `owner`. The error is the text after `fatal: `.
pub(crate) fn create(plan: &Plan, owner: &User) -> Result<Vec<OwnedFd>, String> {
    let sockets = match &plan.endpoint {
        Some(endpoint) => endpoint
            .addresses
            .iter()
            .map(|address| listen_tcp(*address, plan.backlog))
            .collect::<Result<Vec<_>, _>>()?,
        None => {
            let made = as_user(owner.uid, owner.gid, || local_socket(plan));
            vec![made.map_err(|error| error_text(&error))??]
        }
    };
    for socket in &sockets {
        file::set_nonblocking(socket, true).map_err(|error| error_text(&error))?;
    }
    Ok(sockets)
}

fn listen_tcp(address: SocketAddr, backlog: i32) -> Result<OwnedFd, String> {
    match socket::listen_tcp(address, backlog) {
        Ok(listener) => Ok(listener.into()),
        Err(error) => Err(format!(
            "bind {} port {}: {}",
            address.ip(),
            address.port(),
            error_text(&error)
        )),
    }
}

fn local_socket(plan: &Plan) -> Result<OwnedFd, String> {
    let path = Path::new(&plan.name);
    if plan.name.len() > LONGEST_PATH {
        return Err(format!("unix-domain name too long: {}", plan.name));
    }
    match plan.kind {
        ServiceType::Fifo => fifo(path),
        ServiceType::UnixDgram => {
            remove_old(path)?;
            let socket = socket::bind_datagram(path).map_err(|error| bind_error(path, &error))?;
            open_to_all(path)?;
            Ok(socket.into())
        }
        _ => {
            remove_old(path)?;
            let listener = socket::listen_unix(path, plan.backlog)
                .map_err(|error| bind_error(path, &error))?;
            open_to_all(path)?;
            Ok(listener.into())
        }
    }
}

fn bind_error(path: &Path, error: &io::Error) -> String {
    format!("bind: {}: {}", path.display(), error_text(error))
}

fn remove_old(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("remove {}: {}", path.display(), error_text(&error)))
        }
        _ => Ok(()),
    }
}

/// Whoever can enter the directory may connect.
fn open_to_all(path: &Path) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .map_err(|error| format!("chmod socket {}: {}", path.display(), error_text(&error)))
}

/// A named pipe, opened both ways so that it never reads end-of-file; old bytes are thrown away.
fn fifo(path: &Path) -> Result<OwnedFd, String> {
    const MODE: u32 = 0o622;
    let mode = Mode::from_bits_truncate(MODE);
    match nix::unistd::mkfifo(path, mode) {
        Ok(()) | Err(nix::Error::EEXIST) => {}
        Err(error) => {
            return Err(format!(
                "create fifo {}: {}",
                path.display(),
                error_text(&error.into())
            ));
        }
    }
    let open_error =
        |error: nix::Error| format!("open {}: {}", path.display(), error_text(&error.into()));
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let fd = open(path, flags, Mode::empty()).map_err(open_error)?;
    fchmod(fd.as_fd(), mode)
        .map_err(|error| format!("fchmod {}: {}", path.display(), error_text(&error.into())))?;
    let mut buffer = [0; 1024];
    while matches!(nix::unistd::read(&fd, &mut buffer), Ok(count) if count > 0) {}
    Ok(fd)
}
