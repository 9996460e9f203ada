//! Waking up a service: `W` to its own socket.

use crate::plan::Plan;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use postern_config::master_cf::ServiceType;
use postern_sys::socket;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// How long a wake-up may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a receiver may keep the connection open.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(101);

/// Sends the request. A connection is returned: it stays open until the receiver closes it.
pub(crate) fn send(plan: &Plan) -> io::Result<Option<OwnedFd>> {
    let connection: OwnedFd = match plan.kind {
        ServiceType::Fifo => {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let fifo = open(Path::new(&plan.name), flags, Mode::empty())?;
            nix::unistd::write(&fifo, b"W")?;
            return Ok(None);
        }
        ServiceType::UnixDgram => return Err(io::Error::from_raw_os_error(nix::libc::EOPNOTSUPP)),
        ServiceType::Inet => {
            let address = plan
                .endpoint
                .as_ref()
                .and_then(|endpoint| endpoint.addresses.first());
            let address = *address.ok_or(io::ErrorKind::AddrNotAvailable)?;
            socket::connect_tcp(address, None, Some(LIMIT))?.into()
        }
        ServiceType::Unix | ServiceType::Pass => {
            socket::connect_unix(Path::new(&plan.name), Some(LIMIT))?.into()
        }
    };
    postern_sys::file::set_nonblocking(&connection, true)?;
    socket::send(&connection, b"W")?;
    // A receiver may read the request alone and be gone already.
    let _ = socket::send(&connection, &[0]);
    Ok(Some(connection))
}
