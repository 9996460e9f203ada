//! Trigger sockets of qmgr(8), pickup(8) and flush(8): raw bytes, no reply. Source: ipc.md §4.4.

use std::io::Write;
use std::time::Duration;

use crate::client::{ClientError, Endpoint};

/// qmgr: scan the incoming queue; pickup: scan maildrop.
pub const WAKEUP: u8 = b'W';
/// qmgr: scan the incoming queue.
pub const SCAN_INCOMING: u8 = b'I';
/// qmgr: scan the deferred queue.
pub const SCAN_DEFERRED: u8 = b'D';
/// qmgr: forget dead destinations first.
pub const FLUSH_DEAD: u8 = b'F';
/// qmgr: ignore time stamps in the deferred queue.
pub const SCAN_ALL: u8 = b'A';

/// Sends `request` and does not wait for anything.
///
/// # Errors
///
/// The service cannot be reached; for qmgr and pickup that is harmless, as they scan by themselves.
pub fn send(at: &Endpoint, request: &[u8], timeout: Duration) -> Result<(), ClientError> {
    let mut channel = at.connect(timeout)?;
    let mut bytes = request.to_vec();
    bytes.push(0);
    channel
        .write_all(&bytes)
        .and_then(|()| channel.flush())
        .map_err(|source| ClientError::Connect {
            path: at.label(),
            source,
        })
}
