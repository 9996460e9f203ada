//! Sending request bytes to a socket or named pipe.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use postern_sys::{error_text, socket};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// Sends `request` to the service at `path`; then waits until the receiver has closed the
/// connection, at most `wait`. The error is a warning's text; none when nobody listens, of which the
/// reference tells only in general.
pub(crate) fn send(path: &Path, request: &[u8], wait: Duration) -> Result<(), Option<String>> {
    let shown = path.display();
    let metadata = std::fs::metadata(path)
        .map_err(|error| Some(format!("unable to look up {shown}: {}", error_text(&error))))?;
    let failed = |error: io::Error| {
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        (!is_refused).then(|| format!("connect to {shown}: {}", error_text(&error)))
    };
    if metadata.file_type().is_fifo() {
        return to_fifo(path, request).map_err(failed);
    }
    if !metadata.file_type().is_socket() {
        return Err(Some(format!("{shown} is not a socket or a fifo")));
    }
    let stream = socket::connect_unix(path, Some(wait)).map_err(failed)?;
    socket::send(&stream, request).map_err(failed)?;
    // A receiver may read the request alone and be gone already.
    let _ = socket::send(&stream, &[0]);
    // The receiver closes when it has read the request; a slow one gets it nevertheless.
    let _ = socket::wait(&stream, socket::Interest::Read, Some(wait));
    Ok(())
}

fn to_fifo(path: &Path, request: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fifo = open(path, flags, Mode::empty())?;
    nix::unistd::write(&fifo, request)?;
    Ok(())
}
