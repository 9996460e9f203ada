//! Keeps open connections between deliveries, so that the next one need not set up its own. Manual page:
//! scache(8); delivery.md §6.7 and ipc.md §4.14 of our specification. Labels and properties are the
//! clients' business.
#![forbid(unsafe_code)]

mod cache;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bstr::BString;
use postern_attr::{AttrError, Encoding, Extra};
use postern_config::params;
use postern_ipc::scache::{
    Dummy, FindBody, FindDestinationReply, FindEndpointReply, PROTOCOL, RequestName,
    SaveDestinationBody, SaveEndpointBody, status,
};
use postern_ipc::{Announcement, StatusReply};
use postern_server::{
    Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError, multi_server,
};
use postern_sys::fdpass;
use serde::{Serialize, de::DeserializeOwned};

use crate::cache::{Connections, Statistics};

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<SessionCache>()
}

struct SessionCache {
    connections: Connections,
    ttl_limit: i32,
    statistics: Statistics,
    status_interval: Duration,
    next_status: Instant,
}

impl MultiServer for SessionCache {
    type State = ();
    const NAME: &'static str = "scache";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let limit = config.get(params::CONNECTION_CACHE_TTL_LIMIT).as_secs();
        let status_interval = config.get(params::CONNECTION_CACHE_STATUS_UPDATE_TIME);
        Ok(Self {
            connections: Connections::default(),
            ttl_limit: i32::try_from(limit).unwrap_or(i32::MAX),
            statistics: Statistics::new(),
            status_interval,
            next_status: Instant::now() + status_interval,
        })
    }

    fn adjust(&self, _context: &Context, limits: &mut Limits) {
        // Connections are lost with the process.
        limits.max_use = 0;
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        reply(conn, &Announcement::new(PROTOCOL))
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        self.answer(conn).unwrap_or_else(|error| {
            if let Some(text) = error.warning(&context.socket_name()) {
                log::warn!("{text}");
            }
            Next::Close
        })
    }

    fn next_timer(&self) -> Option<Instant> {
        let expiry = self.connections.next_expiry();
        Some(expiry.map_or(self.next_status, |expiry| expiry.min(self.next_status)))
    }

    fn timer(&mut self, _context: &Context) -> Life {
        let now = Instant::now();
        self.connections.expire(now);
        if now >= self.next_status {
            self.statistics.report();
            self.next_status = now + self.status_interval;
        }
        Life::GoOn
    }

    fn finish(&mut self, _context: &Context) {
        self.statistics.report();
    }
}

fn reply<T: Serialize>(conn: &mut Conn<()>, list: &T) -> Next {
    match postern_attr::write(&mut conn.channel, Encoding::Null, list) {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

/// Answers a complete request that makes no sense.
fn refuse(conn: &mut Conn<()>, service: &str) -> Next {
    log::warn!("{service}: bad or missing request parameter");
    let status = status::BAD;
    reply(conn, &StatusReply { status })
}

fn read<T: DeserializeOwned>(conn: &mut Conn<()>) -> Result<T, AttrError> {
    postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Refuse)
}

/// Takes a descriptor over, which the client sends once it has seen our empty list.
fn receive(conn: &mut Conn<()>) -> Result<OwnedFd, AttrError> {
    postern_attr::write(&mut conn.channel, Encoding::Null, &Dummy::default())?;
    conn.channel.flush()?;
    Ok(fdpass::recv_fd(conn.channel.as_fd())?)
}

/// Gives a descriptor away once the client has said that it is ready, and waits until it has it: closing
/// our copy earlier could lose it.
fn send(conn: &mut Conn<()>, connection: &OwnedFd) -> Result<(), AttrError> {
    conn.channel.flush()?;
    let _: Dummy = read(conn)?;
    fdpass::send_fd(conn.channel.as_fd(), connection)?;
    let _: Dummy = read(conn)?;
    Ok(())
}

impl SessionCache {
    fn answer(&mut self, conn: &mut Conn<()>) -> Result<Next, AttrError> {
        let name: RequestName =
            postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Leave)?;
        match name.request.as_str() {
            "save_endp" => {
                let request: SaveEndpointBody = read(conn)?;
                self.save_endpoint(conn, request)
            }
            "find_endp" => {
                let request: FindBody = read(conn)?;
                self.find_endpoint(conn, &request.label)
            }
            "save_dest" => {
                let request: SaveDestinationBody = read(conn)?;
                Ok(self.save_destination(conn, request))
            }
            "find_dest" => {
                let request: FindBody = read(conn)?;
                self.find_destination(conn, &request.label)
            }
            other => {
                log::warn!("unrecognized request: \"{other}\", ignored");
                let status = status::BAD;
                reply(conn, &StatusReply { status });
                Ok(Next::Close)
            }
        }
    }

    /// The life of an entry, within the limit; `None` for nonsense.
    fn lifetime(&self, ttl: i32) -> Option<Duration> {
        let seconds = u64::try_from(ttl.min(self.ttl_limit)).ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    fn save_endpoint(
        &mut self,
        conn: &mut Conn<()>,
        request: SaveEndpointBody,
    ) -> Result<Next, AttrError> {
        let Some(ttl) = self.lifetime(request.ttl) else {
            return Ok(refuse(conn, "scache_save_endp_service"));
        };
        let connection = receive(conn)?;
        let until = Instant::now() + ttl;
        self.connections
            .save_endpoint(request.label, request.property, connection, until);
        self.statistics.note_sizes(&self.connections);
        Ok(reply(conn, &StatusReply { status: status::OK }))
    }

    fn save_destination(&mut self, conn: &mut Conn<()>, request: SaveDestinationBody) -> Next {
        let Some(ttl) = self.lifetime(request.ttl) else {
            return refuse(conn, "scache_save_dest_service");
        };
        let until = Instant::now() + ttl;
        self.connections
            .save_destination(request.label, request.property, request.endpoint, until);
        self.statistics.note_sizes(&self.connections);
        reply(conn, &StatusReply { status: status::OK })
    }

    fn find_endpoint(&mut self, conn: &mut Conn<()>, label: &BString) -> Result<Next, AttrError> {
        let found = self.connections.find_endpoint(label, Instant::now());
        self.statistics.note_endpoint(found.is_some());
        let Some((property, connection)) = found else {
            let reply_list = FindEndpointReply {
                status: status::FAIL,
                property: BString::default(),
            };
            return Ok(reply(conn, &reply_list));
        };
        let status = status::OK;
        reply(conn, &FindEndpointReply { status, property });
        send(conn, &connection)?;
        Ok(Next::Keep)
    }

    fn find_destination(
        &mut self,
        conn: &mut Conn<()>,
        label: &BString,
    ) -> Result<Next, AttrError> {
        let found = self.connections.find_destination(label, Instant::now());
        self.statistics.note_destination(found.is_some());
        let Some((property, endpoint_property, connection)) = found else {
            let reply_list = FindDestinationReply {
                status: status::FAIL,
                property: BString::default(),
                endpoint_property: BString::default(),
            };
            return Ok(reply(conn, &reply_list));
        };
        let reply_list = FindDestinationReply {
            status: status::OK,
            property,
            endpoint_property,
        };
        reply(conn, &reply_list);
        send(conn, &connection)?;
        Ok(Next::Keep)
    }
}
