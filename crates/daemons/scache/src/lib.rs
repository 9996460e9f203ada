//! Keeps open connections between deliveries, so that the next one need not set up its own. Manual page:
//! scache(8); delivery.md §6.7 and ipc.md §4.14 of our specification. Labels and properties are the
//! clients' business.
#![forbid(unsafe_code)]

mod cache;

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
    Awaits, Conn, Context, Life, Limits, MultiServer, Needs, Next, ProcessLimit, StartError,
    multi_server,
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

/// Where a client stands that saves or fetches a connection; the steps are in lock step.
#[derive(Debug, Default)]
enum Step {
    /// It may send a request.
    #[default]
    Idle,
    /// It has seen our empty list and hands over the connection.
    Saving(SaveEndpointBody, Duration),
    /// It says that it is ready for this connection.
    Fetching(OwnedFd),
    /// It says that it has the connection: closing our copy earlier could lose it.
    Fetched { _connection: OwnedFd },
}

impl MultiServer for SessionCache {
    type State = Step;
    const NAME: &'static str = "scache";
    const ENCODING: Option<Encoding> = Some(Encoding::Null);
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

    fn connected(&mut self, _context: &Context, conn: &mut Conn<Step>) -> Next {
        reply(conn, &Announcement::new(PROTOCOL))
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<Step>) -> Next {
        self.go_on(conn).unwrap_or_else(|error| {
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

fn reply<T: Serialize>(conn: &mut Conn<Step>, list: &T) -> Next {
    match postern_attr::write(&mut conn.channel, Encoding::Null, list) {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

/// Answers a complete request that makes no sense.
fn refuse(conn: &mut Conn<Step>, service: &str) -> Next {
    log::warn!("{service}: bad or missing request parameter");
    let status = status::BAD;
    reply(conn, &StatusReply { status })
}

fn read<T: DeserializeOwned>(conn: &mut Conn<Step>) -> Result<T, AttrError> {
    postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Refuse)
}

impl SessionCache {
    /// The next step of a client: what it waits for is there.
    fn go_on(&mut self, conn: &mut Conn<Step>) -> Result<Next, AttrError> {
        conn.awaits = Awaits::Request;
        match std::mem::take(&mut conn.state) {
            Step::Idle => self.answer(conn),
            Step::Saving(request, ttl) => {
                let connection = fdpass::recv_fd(conn.channel.as_fd())?;
                Ok(self.saved(conn, request, ttl, connection))
            }
            Step::Fetching(connection) => {
                let _: Dummy = read(conn)?;
                fdpass::send_fd(conn.channel.as_fd(), &connection)?;
                conn.awaits = Awaits::List;
                conn.state = Step::Fetched {
                    _connection: connection,
                };
                Ok(Next::Keep)
            }
            Step::Fetched { .. } => {
                let _: Dummy = read(conn)?;
                Ok(Next::Keep)
            }
        }
    }

    fn answer(&mut self, conn: &mut Conn<Step>) -> Result<Next, AttrError> {
        let name: RequestName =
            postern_attr::read(&mut conn.channel, Encoding::Null, Extra::Leave)?;
        match name.request.as_str() {
            "save_endp" => {
                let request: SaveEndpointBody = read(conn)?;
                Ok(self.save_endpoint(conn, request))
            }
            "find_endp" => {
                let request: FindBody = read(conn)?;
                Ok(self.find_endpoint(conn, &request.label))
            }
            "save_dest" => {
                let request: SaveDestinationBody = read(conn)?;
                Ok(self.save_destination(conn, request))
            }
            "find_dest" => {
                let request: FindBody = read(conn)?;
                Ok(self.find_destination(conn, &request.label))
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

    fn save_endpoint(&self, conn: &mut Conn<Step>, request: SaveEndpointBody) -> Next {
        let Some(ttl) = self.lifetime(request.ttl) else {
            return refuse(conn, "scache_save_endp_service");
        };
        conn.awaits = Awaits::Descriptor;
        conn.state = Step::Saving(request, ttl);
        reply(conn, &Dummy::default())
    }

    fn saved(
        &mut self,
        conn: &mut Conn<Step>,
        request: SaveEndpointBody,
        ttl: Duration,
        connection: OwnedFd,
    ) -> Next {
        let until = Instant::now() + ttl;
        self.connections
            .save_endpoint(request.label, request.property, connection, until);
        self.statistics.note_sizes(&self.connections);
        reply(conn, &StatusReply { status: status::OK })
    }

    fn save_destination(&mut self, conn: &mut Conn<Step>, request: SaveDestinationBody) -> Next {
        let Some(ttl) = self.lifetime(request.ttl) else {
            return refuse(conn, "scache_save_dest_service");
        };
        let until = Instant::now() + ttl;
        self.connections
            .save_destination(request.label, request.property, request.endpoint, until);
        self.statistics.note_sizes(&self.connections);
        reply(conn, &StatusReply { status: status::OK })
    }

    fn find_endpoint(&mut self, conn: &mut Conn<Step>, label: &BString) -> Next {
        let found = self.connections.find_endpoint(label, Instant::now());
        self.statistics.note_endpoint(found.is_some());
        let (status, property) = match found {
            Some((property, connection)) => {
                hand_over(conn, connection);
                (status::OK, property)
            }
            None => (status::FAIL, BString::default()),
        };
        reply(conn, &FindEndpointReply { status, property })
    }

    fn find_destination(&mut self, conn: &mut Conn<Step>, label: &BString) -> Next {
        let found = self.connections.find_destination(label, Instant::now());
        self.statistics.note_destination(found.is_some());
        let (status, property, endpoint_property) = match found {
            Some((property, endpoint_property, connection)) => {
                hand_over(conn, connection);
                (status::OK, property, endpoint_property)
            }
            None => (status::FAIL, BString::default(), BString::default()),
        };
        let list = FindDestinationReply {
            status,
            property,
            endpoint_property,
        };
        reply(conn, &list)
    }
}

/// Gives a connection away once the client has said that it is ready.
fn hand_over(conn: &mut Conn<Step>, connection: OwnedFd) {
    conn.awaits = Awaits::List;
    conn.state = Step::Fetching(connection);
}
