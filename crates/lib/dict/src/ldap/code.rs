//! Result codes in the words of the OpenLDAP library: Postfix logs them, and operators search for them.

/// The server cannot be reached, or went away.
pub(super) const SERVER_DOWN: i32 = -1;
/// Something on this side does not work.
pub(super) const LOCAL_ERROR: i32 = -2;
/// The server sent something that is not LDAP.
pub(super) const DECODING_ERROR: i32 = -4;
/// The server was too slow.
pub(super) const TIMEOUT: i32 = -5;
/// No way to say who we are that both sides know.
pub(super) const AUTH_UNKNOWN: i32 = -6;
/// The filter is no filter.
pub(super) const FILTER_ERROR: i32 = -7;
/// TLS could not be started.
pub(super) const CONNECT_ERROR: i32 = -11;
/// Too many referrals from server to server.
pub(super) const REFERRAL_LIMIT: i32 = -17;

/// All is well.
pub(super) const SUCCESS: i32 = 0;
/// More entries than the limit allows.
pub(super) const SIZE_LIMIT: i32 = 4;
/// The same for protocol version 2, with referrals in the text.
pub(super) const PARTIAL_RESULTS: i32 = 9;
/// Another server knows.
pub(super) const REFERRAL: i32 = 10;
/// The base of the search does not exist.
pub(super) const NO_SUCH_OBJECT: i32 = 32;

/// The text for a code.
pub(super) fn text(code: i32) -> &'static str {
    match code {
        REFERRAL_LIMIT => "Referral Limit Exceeded",
        CONNECT_ERROR => "Connect error",
        FILTER_ERROR => "Bad search filter",
        AUTH_UNKNOWN => "Unknown authentication method",
        TIMEOUT => "Timed out",
        DECODING_ERROR => "Decoding error",
        LOCAL_ERROR => "Local error",
        SERVER_DOWN => "Can't contact LDAP server",
        SUCCESS => "Success",
        1 => "Operations error",
        2 => "Protocol error",
        3 => "Time limit exceeded",
        SIZE_LIMIT => "Size limit exceeded",
        5 => "Compare False",
        6 => "Compare True",
        7 => "Authentication method not supported",
        8 => "Strong(er) authentication required",
        PARTIAL_RESULTS => "Partial results and referral received",
        REFERRAL => "Referral",
        11 => "Administrative limit exceeded",
        12 => "Critical extension is unavailable",
        13 => "Confidentiality required",
        14 => "SASL bind in progress",
        16 => "No such attribute",
        17 => "Undefined attribute type",
        18 => "Inappropriate matching",
        19 => "Constraint violation",
        20 => "Type or value exists",
        21 => "Invalid syntax",
        NO_SUCH_OBJECT => "No such object",
        33 => "Alias problem",
        34 => "Invalid DN syntax",
        35 => "Entry is a leaf",
        36 => "Alias dereferencing problem",
        47 => "Proxy Authorization Failure",
        48 => "Inappropriate authentication",
        49 => "Invalid credentials",
        50 => "Insufficient access",
        51 => "Server is busy",
        52 => "Server is unavailable",
        53 => "Server is unwilling to perform",
        54 => "Loop detected",
        64 => "Naming violation",
        65 => "Object class violation",
        71 => "Operation affects multiple DSAs",
        80 => "Internal (implementation specific) error",
        _ => "Unknown error",
    }
}
