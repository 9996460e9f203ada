//! Keeps what TLS programs share: random seeds, session caches, session ticket keys. Manual page: tlsmgr(8);
//! ipc.md §4.12 of our specification. Knows nothing of TLS itself: sessions are bytes.
#![forbid(unsafe_code)]

mod cache;
mod ticket;

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bstr::{BString, ByteSlice};
use postern_attr::{AttrError, Data, Encoding, Extra};
use postern_config::params;
use postern_ipc::tlsmgr::{
    PROTOCOL, PolicyBody, PolicyReply, RequestName, SeedBody, SeedReply, SessionBody, SessionReply,
    TicketKeyBody, TicketKeyReply, UpdateBody, status,
};
use postern_ipc::{Announcement, StatusReply};
use postern_mail::printable::{Charset, mask};
use postern_server::{
    Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError, multi_server,
};
use postern_sys::clock::unix_time;
use serde::{Serialize, de::DeserializeOwned};

use crate::cache::SessionCache;
use crate::ticket::TicketKeys;

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<TlsManager>()
}

/// A wakeup is at most this long; a request is longer.
const TRIGGER_SIZE: usize = 2;
/// Largest seed that one request gets.
const SEED_LIMIT: i32 = 255;

/// One program's session cache.
struct Service {
    /// `smtpd`, `smtp`, `lmtp`.
    name: &'static str,
    cache: Option<SessionCache>,
    timeout: Duration,
}

struct TlsManager {
    services: [Service; 3],
    keys: TicketKeys,
}

impl MultiServer for TlsManager {
    type State = ();
    const NAME: &'static str = "tlsmgr";
    const ENCODING: Option<Encoding> = Some(Encoding::Null);
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let context = &*context;
        let service = |name, database: postern_config::Param<String>, timeout| {
            open_service(context, name, &config.get(database), config.get(timeout))
        };
        let services = [
            service(
                "smtpd",
                params::SMTPD_TLS_SESSION_CACHE_DATABASE,
                params::SMTPD_TLS_SESSION_CACHE_TIMEOUT,
            ),
            service(
                "smtp",
                params::SMTP_TLS_SESSION_CACHE_DATABASE,
                params::SMTP_TLS_SESSION_CACHE_TIMEOUT,
            ),
            service(
                "lmtp",
                params::LMTP_TLS_SESSION_CACHE_DATABASE,
                params::LMTP_TLS_SESSION_CACHE_TIMEOUT,
            ),
        ];
        let keys = TicketKeys::new(config.get(params::SMTPD_TLS_SESSION_CACHE_TIMEOUT));
        Ok(Self { services, keys })
    }

    fn adjust(&self, _context: &Context, limits: &mut Limits) {
        // Keys and sessions live as long as the process.
        limits.max_use = 0;
        limits.max_idle = Duration::ZERO;
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        reply(conn, &Announcement::new(PROTOCOL))
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        if conn.channel.pending() <= TRIGGER_SIZE {
            return Next::Close;
        }
        self.answer(conn).unwrap_or_else(|error| {
            if let Some(text) = error.warning(&context.socket_name()) {
                log::warn!("{text}");
            }
            Next::Close
        })
    }

    fn partial(&mut self, conn: &mut Conn<()>) -> Next {
        // A wakeup, whose sender may stay.
        if conn.channel.pending() <= TRIGGER_SIZE {
            Next::Close
        } else {
            Next::Keep
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let caches = self
            .services
            .iter()
            .filter_map(|service| service.cache.as_ref());
        caches.filter_map(SessionCache::next_expiry).min()
    }

    fn timer(&mut self, _context: &Context) -> Life {
        let now = unix_time();
        for service in &mut self.services {
            if let Some(cache) = &mut service.cache {
                cache.expire(now);
            }
        }
        Life::GoOn
    }
}

fn open_service(
    context: &Context,
    name: &'static str,
    database: &str,
    timeout: Duration,
) -> Service {
    let wanted = !database.is_empty() && !timeout.is_zero();
    let open = || SessionCache::open(&context.config, database, &context.owner, timeout);
    Service {
        name,
        cache: wanted.then(open).flatten(),
        timeout,
    }
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

impl TlsManager {
    /// One request. An unknown one is ignored, as ever.
    fn answer(&mut self, conn: &mut Conn<()>) -> Result<Next, AttrError> {
        let name: RequestName =
            postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Leave)?;
        let now = unix_time();
        Ok(match name.request.as_str() {
            "seed" => {
                let request: SeedBody = body(conn)?;
                let (status, seed) = seed(request.size);
                reply(conn, &SeedReply { status, seed })
            }
            "policy" => {
                let request: PolicyBody = body(conn)?;
                reply(conn, &self.policy(&request.cache_type))
            }
            "lookup" => {
                let request: SessionBody = body(conn)?;
                let found = self.with_cache("lookup", &request.cache_type, |cache| {
                    cache.lookup(request.cache_id.as_bstr(), now)
                });
                let (status, session) = match found {
                    Ok(Some(session)) => (status::OK, session),
                    Ok(None) => (status::ERR, Vec::new()),
                    Err(status) => (status, Vec::new()),
                };
                let session = Data(session);
                reply(conn, &SessionReply { status, session })
            }
            "update" => {
                let UpdateBody {
                    cache_type,
                    cache_id,
                    session,
                } = body(conn)?;
                let stored = self.with_cache("update", &cache_type, |cache| {
                    cache.update(cache_id.as_bstr(), &session.0, now)
                });
                reply(conn, &status_of(stored))
            }
            "delete" => {
                let request: SessionBody = body(conn)?;
                let deleted = self.with_cache("delete", &request.cache_type, |cache| {
                    cache.delete(request.cache_id.as_bstr())
                });
                reply(conn, &status_of(deleted))
            }
            "tktkey" => {
                let request: TicketKeyBody = body(conn)?;
                let (status, key) = self.keys.find(&request.keyname.0);
                let keybuf = Data(key);
                reply(conn, &TicketKeyReply { status, keybuf })
            }
            _ => {
                let () = postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Skip)?;
                Next::Keep
            }
        })
    }

    fn policy(&self, cache_type: &BString) -> PolicyReply {
        match self.service(cache_type) {
            Some(service) => PolicyReply {
                status: status::OK,
                cachable: i32::from(service.cache.is_some()),
                timeout: i32::try_from(service.timeout.as_secs()).unwrap_or(i32::MAX),
            },
            None => {
                complain("policy", cache_type);
                PolicyReply {
                    status: status::FAIL,
                    cachable: 0,
                    timeout: 0,
                }
            }
        }
    }

    fn service(&self, cache_type: &BString) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.name.as_bytes() == cache_type.as_slice())
    }

    /// Works with a cache; the error is the status to answer.
    fn with_cache<T>(
        &mut self,
        request: &str,
        cache_type: &BString,
        work: impl FnOnce(&mut SessionCache) -> T,
    ) -> Result<T, i32> {
        let service = self
            .services
            .iter_mut()
            .find(|service| service.name.as_bytes() == cache_type.as_slice());
        match service.map(|service| &mut service.cache) {
            Some(Some(cache)) => Ok(work(cache)),
            Some(None) => Err(status::FAIL),
            None => {
                complain(request, cache_type);
                Err(status::FAIL)
            }
        }
    }
}

fn complain(request: &str, cache_type: &BString) {
    let shown = mask(cache_type, Charset::Ascii, b'?');
    log::warn!("bogus cache type \"{shown}\" in \"{request}\" request");
}

fn status_of(result: Result<bool, i32>) -> StatusReply {
    StatusReply {
        status: match result {
            Ok(true) => status::OK,
            Ok(false) => status::ERR,
            Err(status) => status,
        },
    }
}

/// Random bytes of the system.
fn seed(size: i32) -> (i32, Data) {
    if !(1..=SEED_LIMIT).contains(&size) {
        log::warn!("bogus seed length \"{size}\" in \"seed\" request");
        return (status::FAIL, Data::default());
    }
    let size = usize::try_from(size).unwrap_or(0);
    match random(size) {
        Ok(bytes) => (status::OK, Data(bytes)),
        Err(error) => {
            log::warn!("read /dev/urandom: {}", postern_sys::error_text(&error));
            (status::ERR, Data::default())
        }
    }
}

/// `size` unpredictable bytes.
fn random(size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
