//! Knows which addresses can be delivered to, and finds out. Manual page: verify(8); delivery.md §6.5 and
//! ipc.md §4.9 of our specification. The answers come from delivery agents; this program only remembers.
#![forbid(unsafe_code)]

mod entry;
mod probe;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use postern_attr::{AttrError, Encoding, Extra};
use postern_config::{Config, params};
use postern_dict::{Flags, OpenMode, Table, open_mode};
use postern_ipc::verify::{
    PROTOCOL, QueryBody, QueryReply, RequestName, UpdateBody, recipient_status, status,
};
use postern_ipc::{Announcement, StatusReply};
use postern_mail::printable::{Charset, mask};
use postern_server::{
    Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError, multi_server,
};
use postern_sys::clock::unix_time;
use serde::{Serialize, de::DeserializeOwned};

use crate::entry::{Entry, Times};

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<Verify>()
}

/// Key under which the time of the last clean-up is kept; no address looks like it.
const CLEANUP_KEY: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";
/// Entries that one turn of a clean-up looks at, so that nobody waits for it.
const CLEANUP_STEP: usize = 100;

struct Verify {
    cache: Box<dyn Table>,
    /// Where the cache is; `None` for one in memory.
    map: Option<String>,
    times: Times,
    negative_cache: bool,
    cleanup: Cleanup,
}

/// The sweep over the cache.
struct Cleanup {
    interval: Duration,
    next: Option<Instant>,
    running: Option<Sweep>,
}

#[derive(Debug, Default)]
struct Sweep {
    started: bool,
    retained: u64,
    dropped: u64,
}

impl MultiServer for Verify {
    type State = ();
    const NAME: &'static str = "verify";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        check_sender(config)?;
        let map = config.get(params::ADDRESS_VERIFY_MAP);
        let map = (!map.is_empty()).then_some(map);
        let name = map.as_deref().unwrap_or("internal:verify");
        let flags = Flags::LOCK | Flags::DUP_REPLACE | Flags::SYNC_UPDATE | Flags::UTF8_REQUEST;
        let cache = open_cache(context, name, flags)?;
        let interval = config.get(params::ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL);
        let mut verify = Self {
            cache,
            map,
            times: Times::new(config),
            negative_cache: config.get(params::ADDRESS_VERIFY_NEGATIVE_CACHE),
            cleanup: Cleanup {
                interval,
                next: None,
                running: None,
            },
        };
        verify.plan_cleanup();
        Ok(verify)
    }

    fn adjust(&self, _context: &Context, limits: &mut Limits) {
        if self.map.is_none() {
            // What is known would be lost with the process.
            limits.max_use = 0;
            limits.max_idle = Duration::ZERO;
        }
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        reply(conn, &Announcement::new(PROTOCOL))
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        self.answer(context, conn).unwrap_or_else(|error| {
            if let Some(text) = error.warning(&context.socket_name()) {
                log::warn!("{text}");
            }
            Next::Close
        })
    }

    fn next_timer(&self) -> Option<Instant> {
        self.cleanup.next
    }

    fn timer(&mut self, _context: &Context) -> Life {
        self.sweep();
        Life::GoOn
    }
}

/// Opens the cache as the mail owner: the file belongs to the mail system, whoever starts us.
fn open_cache(context: &Context, name: &str, flags: Flags) -> Result<Box<dyn Table>, StartError> {
    let open = || open_mode(&context.config, name, OpenMode::ReadWriteCreate, flags);
    let owner = &context.owner;
    if postern_sys::user::euid() == 0 {
        return Ok(postern_sys::user::as_user(owner.uid, owner.gid, open)?);
    }
    Ok(open())
}

fn check_sender(config: &Config) -> Result<(), StartError> {
    let sender = config.get(params::ADDRESS_VERIFY_SENDER);
    if sender.starts_with('@') || sender.ends_with('@') {
        return Err(StartError::new(format!(
            "malformed address_verify_sender parameter value: {sender}"
        )));
    }
    Ok(())
}

fn reply<T: Serialize>(conn: &mut Conn<()>, list: &T) -> Next {
    match postern_attr::write(&mut conn.channel, Encoding::Null, list) {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

fn body<T: DeserializeOwned>(conn: &mut Conn<()>) -> Result<T, AttrError> {
    postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Refuse)
}

/// Cache key of an address.
fn key(address: &BString) -> BString {
    address
        .iter()
        .map(|&byte| if byte == b':' { b'_' } else { byte })
        .collect::<Vec<u8>>()
        .into()
}

impl Verify {
    fn answer(&mut self, context: &Context, conn: &mut Conn<()>) -> Result<Next, AttrError> {
        let name: RequestName =
            postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Leave)?;
        match name.request.as_str() {
            "query" => {
                let request: QueryBody = body(conn)?;
                let (recipient_status, reason) = self.query(&context.config, &request.address);
                let status = status::OK;
                Ok(reply(
                    conn,
                    &QueryReply {
                        status,
                        recipient_status,
                        reason,
                    },
                ))
            }
            "update" => {
                let request: UpdateBody = body(conn)?;
                let status = self.update(&request);
                Ok(reply(conn, &StatusReply { status }))
            }
            other => {
                log::warn!("unrecognized request: \"{other}\", ignored");
                let status = status::BAD;
                Ok(reply(conn, &StatusReply { status }))
            }
        }
    }

    /// What is known of an address. Sends a probe when that is nothing, or grows old.
    fn query(&mut self, config: &Config, address: &BString) -> (i32, BString) {
        let key = key(address);
        let now = unix_time();
        let stored = match self.cache.lookup(key.as_bstr()) {
            Ok(value) => value.and_then(|value| self.parse(key.as_bstr(), &value)),
            Err(error) => {
                // Not "unknown": the asker is told to come again, and no probe adds to the trouble.
                log::warn!("{error}");
                let reason = "Address verification status unavailable".into();
                return (recipient_status::DEFER, reason);
            }
        };
        let unknown = Entry::pending();
        let live = stored.filter(|entry| !self.times.has_expired(entry, now));
        let entry = live.clone().unwrap_or(unknown);
        if self.times.wants_probe(&entry, now) {
            let first_time = live.is_none();
            probe::send(config, address);
            if self.negative_cache || !first_time {
                let probed = Entry {
                    probed: now,
                    ..entry.clone()
                };
                self.store(key.as_bstr(), &probed);
            }
        }
        (entry.status, entry.text)
    }

    /// An agent's answer. A failure never replaces a success: the next refresh decides.
    fn update(&mut self, request: &UpdateBody) -> i32 {
        let key = key(&request.address);
        let known = match self.cache.lookup(key.as_bstr()) {
            Ok(value) => value.and_then(|value| self.parse(key.as_bstr(), &value)),
            Err(error) => {
                log::warn!("{error}");
                return status::FAIL;
            }
        };
        let positive = request.recipient_status == recipient_status::OK;
        if !positive && known.is_some_and(|entry| entry.status == recipient_status::OK) {
            return status::OK;
        }
        let entry = Entry {
            status: request.recipient_status,
            probed: 0,
            updated: unix_time(),
            text: mask(&request.reason, Charset::Utf8, b'?'),
        };
        if self.store(key.as_bstr(), &entry) {
            status::OK
        } else {
            status::FAIL
        }
    }

    fn parse(&self, key: &BStr, value: &BString) -> Option<Entry> {
        let entry = Entry::parse(value.as_bstr());
        if entry.is_none() {
            let shown = mask(value, Charset::Utf8, b'?');
            log::warn!("bad address verify table entry: {key}: {shown}");
        }
        entry
    }

    fn store(&mut self, key: &BStr, entry: &Entry) -> bool {
        match self.cache.update(key, entry.encode().as_bstr()) {
            Ok(()) => true,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        }
    }

    /// Sets the time of the next clean-up: an interval after the last, which the cache remembers.
    fn plan_cleanup(&mut self) {
        let interval = self.cleanup.interval;
        if interval.is_zero() || self.map.is_none() {
            return;
        }
        let last = self
            .cache
            .lookup(CLEANUP_KEY.into())
            .ok()
            .flatten()
            .and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let since = last.map_or(interval, |last| {
            Duration::from_secs(u64::try_from(unix_time() - last).unwrap_or(0))
        });
        self.cleanup.next = Some(Instant::now() + interval.saturating_sub(since));
    }

    /// One step of the clean-up.
    fn sweep(&mut self) {
        let now = unix_time();
        let mut sweep = self.cleanup.running.take().unwrap_or_default();
        for _ in 0..CLEANUP_STEP {
            let restart = !std::mem::replace(&mut sweep.started, true);
            let (key, value) = match self.cache.sequence(restart) {
                Ok(Some(pair)) => pair,
                Ok(None) => return self.finish_sweep(&sweep, now),
                Err(error) => {
                    log::warn!("{error}");
                    return self.finish_sweep(&sweep, now);
                }
            };
            if key == CLEANUP_KEY {
                continue;
            }
            let over = Entry::parse(value.as_bstr())
                .is_none_or(|entry| self.times.has_expired(&entry, now));
            if over {
                sweep.dropped += 1;
                if let Err(error) = self.cache.delete(key.as_bstr()) {
                    log::warn!("{error}");
                }
            } else {
                sweep.retained += 1;
            }
        }
        self.cleanup.running = Some(sweep);
        self.cleanup.next = Some(Instant::now());
    }

    fn finish_sweep(&mut self, sweep: &Sweep, now: i64) {
        let Sweep {
            retained, dropped, ..
        } = sweep;
        let map = self.map.as_deref().unwrap_or_default();
        log::info!("cache {map} full cleanup: retained={retained} dropped={dropped} entries");
        let stamp = BString::from(now.to_string());
        if let Err(error) = self.cache.update(CLEANUP_KEY.into(), stamp.as_bstr()) {
            log::warn!("{error}");
        }
        self.cleanup.next = Some(Instant::now() + self.cleanup.interval);
    }
}
