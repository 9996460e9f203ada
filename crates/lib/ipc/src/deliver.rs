//! Delivery requests, `private/TRANSPORT`: qmgr(8) or a delivery agent asks; the agents serve.
//! Source: ipc.md §4.5.
#![allow(
    unreachable_patterns,
    reason = "two attributes of the reply are both named status"
)]

use bstr::BString;
use postern_attr::Data;
use serde::{Deserialize, Serialize};

/// Announced by the server first.
pub const PROTOCOL: &str = "delivery_request_protocol";

/// The first list of a request; [`Recipient`] lists follow, `recipient_count` of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`flag`] bits.
    pub flags: i32,
    /// Queue of the message, `active` normally.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// Offset of the first content record in the queue file.
    pub offset: i64,
    /// Content size in bytes.
    pub size: i64,
    /// Next hop, as the resolver gave it.
    pub nexthop: BString,
    /// `7bit`, `8bit` or empty.
    pub encoding: BString,
    /// SMTPUTF8 and other send options (ipc.md §5.7).
    pub smtputf8: i32,
    /// Sender in internal form, VERP already applied.
    pub sender: BString,
    /// DSN envelope ID or empty.
    pub envelope_id: BString,
    /// DSN RET: 0, 1 full, 2 headers.
    pub ret_flags: i32,
    /// [`MessageStats`] bytes.
    pub time: Data,
    /// Client as logged and forwarded (XFORWARD).
    pub log_client_name: BString,
    /// See `log_client_name`.
    pub log_client_address: BString,
    /// See `log_client_name`.
    pub log_client_port: BString,
    /// See `log_client_name`.
    pub log_protocol_name: BString,
    /// See `log_client_name`.
    pub log_helo_name: BString,
    /// SASL method of the submitter.
    pub sasl_method: BString,
    /// SASL user name of the submitter.
    pub sasl_username: BString,
    /// SASL sender of the submitter.
    pub sasl_sender: BString,
    /// Queue ID for logging on other hosts (XFORWARD IDENT).
    pub log_ident: BString,
    /// `local` or `remote`.
    pub rewrite_context: BString,
    /// Number of recipient lists that follow; at least 1.
    pub recipient_count: i32,
}

/// One recipient of a request; also spliced into bounce requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Recipient before aliasing and rewriting.
    pub original_recipient: BString,
    /// Recipient in internal form.
    pub recipient: BString,
    /// Offset of the recipient record in the queue file; 0 unknown, -1 do not mark.
    pub offset: i64,
    /// DSN original recipient, `rfc822;address`.
    pub dsn_orig_rcpt: BString,
    /// DSN NOTIFY mask: 1 never, 2 success, 4 failure, 8 delay.
    pub notify_flags: i32,
}

/// Delivery status, spliced into replies and bounce requests. All empty: nothing to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dsn {
    /// Enhanced status code, `x.y.z`.
    pub status: BString,
    /// `smtp`, `x-unix` or empty.
    pub diag_type: BString,
    /// The peer's text.
    pub diag_text: BString,
    /// `dns`, `unix` or empty.
    pub mta_type: BString,
    /// The peer's name.
    pub mta_mname: BString,
    /// `failed`, `delayed`, `delivered`, `relayed`, `expanded`, `deliverable`, `undeliverable`.
    pub action: BString,
    /// Human readable reason.
    pub reason: BString,
}

/// The agent's final reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What is wrong with the whole destination, empty when nothing.
    pub status: BString,
    /// See [`Dsn`].
    pub diag_type: BString,
    /// See [`Dsn`].
    pub diag_text: BString,
    /// See [`Dsn`].
    pub mta_type: BString,
    /// See [`Dsn`].
    pub mta_mname: BString,
    /// See [`Dsn`].
    pub action: BString,
    /// See [`Dsn`].
    pub reason: BString,
    /// 0: every recipient is handled; nonzero: something is deferred.
    #[serde(rename = "status")]
    pub final_status: i32,
}

impl Reply {
    /// A reply with `dsn` about the destination (default: nothing to say).
    pub fn new(dsn: Dsn, final_status: i32) -> Self {
        let Dsn {
            status,
            diag_type,
            diag_text,
            mta_type,
            mta_mname,
            action,
            reason,
        } = dsn;
        Self {
            status,
            diag_type,
            diag_text,
            mta_type,
            mta_mname,
            action,
            reason,
            final_status,
        }
    }

    /// The part about the destination.
    pub fn dsn(&self) -> Dsn {
        Dsn {
            status: self.status.clone(),
            diag_type: self.diag_type.clone(),
            diag_text: self.diag_text.clone(),
            mta_type: self.mta_type.clone(),
            mta_mname: self.mta_mname.clone(),
            action: self.action.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// Bits of [`Request::flags`] and of the `trace_flags` attribute (ipc.md §5.5).
pub mod flag {
    /// Delete the recipient from the queue file after success.
    pub const SUCCESS: i32 = 1;
    /// Delete the recipient after bounce; bounces are allowed.
    pub const BOUNCE: i32 = 2;
    /// Address probe of this system: the verify service gets the result; nothing is delivered.
    pub const MTA_VERIFY: i32 = 256;
    /// `sendmail -bv`: report without delivering.
    pub const USER_VERIFY: i32 = 512;
    /// `sendmail -v`: deliver and report.
    pub const RECORD: i32 = 1024;
    /// May load a cached session.
    pub const CACHE_LOAD: i32 = 2048;
    /// May store the session.
    pub const CACHE_STORE: i32 = 4096;
    /// A delay warning was sent: report success, too (confirm_delay_cleared).
    pub const REPORT_CLEARED: i32 = 8192;
    /// Nothing is delivered with any of these.
    pub const TRACE_ONLY: i32 = MTA_VERIFY | USER_VERIFY;
    /// What qmgr sets by default.
    pub const DEFAULT: i32 = SUCCESS | BOUNCE;
}

/// A moment: seconds and microseconds since the epoch; zero is "not set".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds.
    pub seconds: i64,
    /// Microseconds, 0 to 999,999.
    pub microseconds: i64,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or_else(
                |_| Self::default(),
                |since| Self {
                    seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                    microseconds: i64::from(since.subsec_micros()),
                },
            )
    }

    /// Whether the moment was never recorded.
    pub fn is_unset(&self) -> bool {
        self.seconds == 0 && self.microseconds == 0
    }
}

/// Time stamps of a message on its way (ipc.md §4.5.1): 88 bytes, little endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageStats {
    /// Arrival, from the queue file.
    pub incoming_arrival: Moment,
    /// Move to the active queue.
    pub active_arrival: Moment,
    /// Hand-off to the agent.
    pub agent_handoff: Moment,
    /// Connection set-up done.
    pub conn_setup_done: Moment,
    /// Delivery done.
    pub deliver_done: Moment,
    /// How often the session was used before.
    pub reuse_count: i32,
}

/// Size of [`MessageStats`] on the wire.
const STATS_SIZE: usize = 88;

impl MessageStats {
    /// The wire bytes.
    pub fn to_data(self) -> Data {
        let mut bytes = Vec::with_capacity(STATS_SIZE);
        for moment in [
            self.incoming_arrival,
            self.active_arrival,
            self.agent_handoff,
            self.conn_setup_done,
            self.deliver_done,
        ] {
            bytes.extend_from_slice(&moment.seconds.to_le_bytes());
            bytes.extend_from_slice(&moment.microseconds.to_le_bytes());
        }
        bytes.extend_from_slice(&self.reuse_count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Data(bytes)
    }

    /// Decodes wire bytes.
    ///
    /// # Errors
    ///
    /// The text of Postfix's warning, for any other size.
    pub fn from_data(data: &Data) -> Result<Self, String> {
        let bytes: &[u8; STATS_SIZE] = data.0.as_slice().try_into().map_err(|_| {
            format!(
                "msg_stats_scan: size mis-match: {} != {STATS_SIZE}",
                data.0.len()
            )
        })?;
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            i64::from_le_bytes(word)
        };
        let moment = |index: usize| Moment {
            seconds: word(index * 2),
            microseconds: word(index * 2 + 1),
        };
        let mut count = [0; 4];
        count.copy_from_slice(&bytes[80..84]);
        Ok(Self {
            incoming_arrival: moment(0),
            active_arrival: moment(1),
            agent_handoff: moment(2),
            conn_setup_done: moment(3),
            deliver_done: moment(4),
            reuse_count: i32::from_le_bytes(count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_stats_survive_the_wire_and_other_sizes_are_refused() {
        let stats = MessageStats {
            incoming_arrival: Moment {
                seconds: 1_795_353_564,
                microseconds: 809_779,
            },
            active_arrival: Moment {
                seconds: 1_795_353_565,
                microseconds: 1,
            },
            reuse_count: 3,
            ..MessageStats::default()
        };
        let data = stats.to_data();
        assert_eq!(data.0.len(), 88);
        assert_eq!(MessageStats::from_data(&data), Ok(stats));
        let short = Data(data.0[..87].to_vec());
        assert_eq!(
            MessageStats::from_data(&short),
            Err("msg_stats_scan: size mis-match: 87 != 88".to_owned())
        );
    }
}
