//! The completion status of cleanup(8): bit mask on the wire, and the reply each bit stands for.

/// Internal protocol error.
pub const BAD: u32 = 1;
/// Queue file write error.
pub const WRITE: u32 = 2;
/// Message file too big.
pub const SIZE: u32 = 4;
/// Message content rejected.
pub const CONT: u32 = 8;
/// Too many hops.
pub const HOPS: u32 = 16;
/// No recipients specified.
pub const RCPT: u32 = 64;
/// Proxy filter write error.
pub const PROXY: u32 = 128;
/// Service unavailable.
pub const DEFER: u32 = 256;
/// Service denied.
pub const NOPERM: u32 = 512;
/// A bare line feed was received.
pub const BARE_LF: u32 = 65536;

/// Errors after which nothing can be bounced: the message or its envelope is not there.
pub const CANNOT_BOUNCE: u32 = BAD | WRITE | DEFER | RCPT;
/// Errors after which the queue file is incomplete.
pub const INCOMPLETE: u32 = BAD | WRITE | SIZE | DEFER;

/// What one status bit means to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// The bit.
    pub status: u32,
    /// SMTP reply code.
    pub smtp: u16,
    /// Enhanced status code.
    pub dsn: &'static str,
    /// Text.
    pub text: &'static str,
}

const fn row(status: u32, smtp: u16, dsn: &'static str, text: &'static str) -> Detail {
    Detail {
        status,
        smtp,
        dsn,
        text,
    }
}

/// In order of precedence.
const TABLE: [Detail; 10] = [
    row(DEFER, 451, "4.7.1", "service unavailable"),
    row(PROXY, 451, "4.3.0", "queue file write error"),
    row(BAD, 451, "4.3.0", "internal protocol error"),
    row(RCPT, 550, "5.1.0", "no recipients specified"),
    row(HOPS, 554, "5.4.0", "too many hops"),
    row(SIZE, 552, "5.3.4", "message file too big"),
    row(CONT, 550, "5.7.1", "message content rejected"),
    row(WRITE, 451, "4.3.0", "queue file write error"),
    row(NOPERM, 550, "5.7.1", "service denied"),
    row(BARE_LF, 521, "5.5.2", "bare <LF> received"),
];

/// The row that decides the reply for `status`; unknown bits count as an internal error.
pub fn detail(status: u32) -> Detail {
    if status == 0 {
        return row(0, 250, "2.0.0", "Success");
    }
    let unknown = row(status, 451, "4.3.0", "internal protocol error");
    TABLE
        .iter()
        .find(|row| row.status & status != 0)
        .copied()
        .unwrap_or(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_row_decides() {
        assert_eq!(detail(0).smtp, 250);
        assert_eq!(detail(WRITE | CONT).text, "message content rejected");
        assert_eq!(detail(BAD | HOPS).dsn, "4.3.0");
        assert_eq!(detail(1 << 20).smtp, 451);
    }
}
