//! Knows which addresses can be delivered to, from probe messages and from what delivery agents
//! report about them. Manual page: verify(8); delivery.md §6.5 and ipc.md §4.9 of our
//! specification. Knows nothing of access rules: the askers decide what an answer means.
#![forbid(unsafe_code)]

mod entry;
mod probe;

use std::process::ExitCode;
use std::time::Instant;

use bstr::{BStr, BString, ByteSlice};
use postern_attr::{AttrError, Encoding, Extra};
use postern_config::params;
use postern_dict::cache::{Cache, Usage};
use postern_ipc::StatusReply;
use postern_ipc::probe_sender::ProbeSender;
use postern_ipc::verify::{
    PROTOCOL, QueryBody, QueryReply, RequestName, UpdateBody, recipient_status, status,
};
use postern_mail::printable::{Charset, mask};
use postern_server::{
    Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError, multi_server,
};
use postern_sys::clock::unix_time;
use serde::Serialize;

use crate::entry::{Entry, Policy, Verdict};
use crate::probe::Prober;

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<Verify>()
}

struct Verify {
    cache: Cache,
    /// The cache dies with the process.
    in_memory: bool,
    policy: Policy,
    /// How table errors are answered: as a temporary failure, or as if nothing were known.
    tells_errors: bool,
    charset: Charset,
    sender: ProbeSender,
    prober: Prober,
}

impl Verify {
    fn new(context: &Context) -> Result<Self, StartError> {
        let config = &context.config;
        let map = config.get(params::ADDRESS_VERIFY_MAP);
        let usage = Usage {
            default: "verify",
            interval: config.get(params::ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL),
            scratch: false,
        };
        let utf8 = config.get(params::SMTPUTF8_ENABLE);
        Ok(Self {
            sender: ProbeSender::new(config).map_err(StartError::new)?,
            cache: Cache::open(config, &map, &context.owner, usage),
            in_memory: map.is_empty(),
            policy: Policy::new(config),
            tells_errors: config.look().message_texts(),
            charset: if utf8 { Charset::Utf8 } else { Charset::Ascii },
            prober: Prober::new(config),
        })
    }

    /// What is known of an address; a probe goes out when that is nothing, or old.
    fn query(&mut self, address: &BStr) -> QueryReply {
        let key = key(address);
        let now = unix_time();
        let stored = match self.cache.lookup(key.as_bstr()) {
            Ok(stored) => stored,
            Err(_) if self.tells_errors => return unavailable(),
            Err(_) => None,
        };
        let known = stored
            .as_ref()
            .and_then(|value| Entry::parse_or_warn(value.as_bstr()));
        let Verdict {
            entry,
            forget,
            probe,
        } = self.policy.judge(known, stored.is_some(), now);
        if forget {
            self.cache.delete(key.as_bstr());
        }
        let reply = QueryReply {
            status: status::OK,
            recipient_status: entry.status,
            reason: entry.text.clone(),
        };
        if probe {
            if self.policy.keeps_pending(&entry) {
                let pending = Entry {
                    probed: now,
                    ..entry
                };
                self.cache
                    .update(key.as_bstr(), pending.to_value().as_bstr());
            }
            let sender = self.sender.at(now);
            self.prober.send(sender, key);
        }
        reply
    }

    /// What a delivery agent has found out. A failure does not replace an older success: that holds until
    /// it expires.
    fn update(&mut self, body: &UpdateBody) -> i32 {
        let known = [
            recipient_status::OK,
            recipient_status::DEFER,
            recipient_status::BOUNCE,
        ];
        if !known.contains(&body.recipient_status) {
            let address = mask(&body.address, self.charset, b'?');
            log::warn!(
                "bad recipient status {} for recipient {address}",
                body.recipient_status
            );
            return status::BAD;
        }
        let key = key(body.address.as_bstr());
        if body.recipient_status != recipient_status::OK && self.is_deliverable(key.as_bstr()) {
            return status::OK;
        }
        let entry = Entry {
            status: body.recipient_status,
            probed: 0,
            updated: unix_time(),
            text: mask(&body.reason, self.charset, b'?'),
        };
        self.cache.update(key.as_bstr(), entry.to_value().as_bstr());
        status::OK
    }

    fn is_deliverable(&mut self, key: &BStr) -> bool {
        let stored = self.cache.lookup(key).ok().flatten();
        let entry = stored.and_then(|value| Entry::parse_or_warn(value.as_bstr()));
        entry.is_some_and(|entry| entry.status == recipient_status::OK)
    }

    fn serve(&mut self, conn: &mut Conn<()>) -> Result<(), AttrError> {
        let channel = &mut conn.channel;
        let name: RequestName = postern_attr::read(channel, Encoding::Null, Extra::Leave)?;
        match name.request.as_str() {
            "query" => {
                let (body, note): (QueryBody, _) =
                    postern_attr::read_noting(channel, Encoding::Null, Extra::Refuse)?;
                reply(conn, &self.query(body.address.as_bstr()))?;
                note.map_or(Ok(()), Err)
            }
            "update" => {
                let (body, note): (UpdateBody, _) =
                    postern_attr::read_noting(channel, Encoding::Null, Extra::Refuse)?;
                let status = self.update(&body);
                reply(conn, &StatusReply { status })?;
                note.map_or(Ok(()), Err)
            }
            other => {
                log::warn!(
                    "unrecognized request: \"{}\", ignored",
                    mask(other.as_bytes(), Charset::Ascii, b'?')
                );
                let () = postern_attr::read(channel, Encoding::Null, Extra::Skip)?;
                reply(
                    conn,
                    &StatusReply {
                        status: status::BAD,
                    },
                )
            }
        }
    }
}

impl MultiServer for Verify {
    type State = ();
    const NAME: &'static str = "verify";
    const ENCODING: Option<Encoding> = Some(Encoding::Null);
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        Self::new(context)
    }

    fn adjust(&self, _context: &Context, limits: &mut Limits) {
        if self.in_memory {
            limits.max_use = 0;
            limits.max_idle = std::time::Duration::ZERO;
        }
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        match postern_attr::write_announcement(&mut conn.channel, Encoding::Null, PROTOCOL) {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        match self.serve(conn) {
            Ok(()) => Next::Keep,
            Err(error) => {
                if let Some(text) = error.warning(&context.socket_name()) {
                    log::warn!("{text}");
                }
                Next::Close
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.cache.next_step()
    }

    fn timer(&mut self, _context: &Context) -> Life {
        let (policy, now) = (&self.policy, unix_time());
        self.cache.step(|_, value| {
            Entry::parse_or_warn(value).is_some_and(|entry| policy.is_useful(&entry, now))
        });
        Life::GoOn
    }

    fn finish(&mut self, _context: &Context) {
        self.cache.close();
        self.prober.finish();
    }
}

/// Writes a reply; the skeleton sends it.
fn reply<T: Serialize>(conn: &mut Conn<()>, list: &T) -> Result<(), AttrError> {
    postern_attr::write(&mut conn.channel, Encoding::Null, list)
}

fn unavailable() -> QueryReply {
    QueryReply {
        status: status::OK,
        recipient_status: recipient_status::DEFER,
        reason: "Address verification status unavailable".into(),
    }
}

/// The key of an address in the cache. Entries of maps may have colons in their keys only where the
/// table type does not mind, hence never.
fn key(address: &BStr) -> BString {
    address.replace(":", "_").into()
}
