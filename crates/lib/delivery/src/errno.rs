//! Which enhanced status a system error means for a mailbox (delivery.md §2.5).

use std::io;

use nix::errno::Errno;

/// Status of a mailbox that could not be opened, locked or written; `default` for errors without one.
pub fn mail_status(error: &io::Error, default: &'static str) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN | Errno::ESTALE | Errno::EEXIST | Errno::EINTR | Errno::EBUSY) => "4.2.0",
        // The system's trouble, never the recipient's: these pass.
        Some(
            Errno::ENOSPC
            | Errno::EIO
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOMEM
            | Errno::ENOBUFS
            | Errno::EROFS
            // Damaged file systems.
            | Errno::EUCLEAN
            | Errno::EBADMSG
            | Errno::EREMOTEIO
            | Errno::ENODEV
            // Locks, and file servers that cannot be reached.
            | Errno::ENOLCK
            | Errno::EDEADLK
            | Errno::ETIMEDOUT
            | Errno::ENOTCONN
            | Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::ESHUTDOWN
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENETUNREACH,
        ) => "4.3.0",
        // Quotas are raised and mailboxes emptied; a size limit stays.
        Some(Errno::EDQUOT) => "4.2.2",
        Some(Errno::EFBIG) => "5.2.2",
        _ => default,
    }
}

/// Status of a failed write of message content.
pub fn write_status(error: &io::Error) -> &'static str {
    mail_status(error, "5.3.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_the_system_is_temporary_and_a_size_limit_is_not() {
        for (errno, want) in [
            (Errno::ENOSPC, "4.3.0"),
            (Errno::EIO, "4.3.0"),
            (Errno::EAGAIN, "4.2.0"),
            (Errno::EEXIST, "4.2.0"),
            (Errno::EUCLEAN, "4.3.0"),
            (Errno::ENOTCONN, "4.3.0"),
            (Errno::EDQUOT, "4.2.2"),
            (Errno::EFBIG, "5.2.2"),
            (Errno::EACCES, "5.2.0"),
        ] {
            assert_eq!(
                mail_status(&io::Error::from(errno), "5.2.0"),
                want,
                "{errno}"
            );
        }
    }
}
