//! The skeleton that keeps many connections and answers requests one after the other.

use crate::client::{self, AcceptFailed};
use crate::core::{self, Core, Life, Shared};
use crate::start::{self, Program, Skeleton};
use crate::{
    Client, ClientKind, Context, Event, Interest, Limits, Needs, Reactor, StartError, Token,
    Transport,
};
use postern_attr::{AttrError, Encoding, ListEnd, Part};
use postern_maillog::fatal;
use postern_wire::{Channel, Received};
use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One connection and what the program remembers about it.
#[derive(Debug)]
pub struct Conn<S> {
    /// The stream. Reads that must wait block everybody, up to the client time limit.
    pub channel: Channel,
    /// How the client came.
    pub kind: ClientKind,
    /// The program's own data.
    pub state: S,
    /// What the client sends next. A program changes it while it answers.
    pub awaits: Awaits,
    /// Unique in this process.
    pub id: u64,
    /// How much of the next list was looked through.
    list: ListEnd,
    /// When an exchange that has begun must have gone on.
    deadline: Option<Instant>,
}

/// What comes next from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// A request, whenever the client has one.
    Request,
    /// An attribute list that belongs to the exchange that has begun: within the client time limit.
    List,
    /// A message with a descriptor, likewise; the skeleton leaves it unread.
    Descriptor,
}

/// The largest list that is collected for a program with [`MultiServer::ENCODING`], in bytes. What clients
/// send is far smaller.
const LIST_LIMIT: usize = 1024 * 1024;

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
}

/// A program that answers requests in lock step on many connections.
pub trait MultiServer: Sized {
    /// Data of each connection.
    type State: Default;
    /// The program's name in its manual page.
    const NAME: &'static str;
    /// What its master.cf entry must look like.
    const NEEDS: Needs = Needs::NONE;
    /// Requests are attribute lists in this encoding: the skeleton collects each without waiting, so that a
    /// client that stops in the middle holds up nobody. `None`: the program reads by itself.
    const ENCODING: Option<Encoding> = None;

    /// See [`crate::SingleServer::before_jail`].
    fn before_jail(context: &mut Context) -> Result<Self, StartError>;

    /// See [`crate::SingleServer::after_jail`].
    fn after_jail(&mut self, _context: &Context) -> Result<(), StartError> {
        Ok(())
    }

    /// Replaces limits of main.cf.
    fn adjust(&self, _context: &Context, _limits: &mut Limits) {}

    /// See [`crate::SingleServer::before_accept`].
    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        None
    }

    /// A client connected; services that announce their protocol write the announcement here.
    /// The skeleton sends what was written.
    fn connected(&mut self, _context: &Context, _conn: &mut Conn<Self::State>) -> Next {
        Next::Keep
    }

    /// A request is there: its first bytes, or with [`MultiServer::ENCODING`] all of it or all that the client
    /// sent before it closed the connection. Reads it, writes the answer (sent by the skeleton).
    fn request(&mut self, context: &Context, conn: &mut Conn<Self::State>) -> Next;

    /// A part of a list is there, and no more for now. `Close` gives the client up.
    fn partial(&mut self, _conn: &mut Conn<Self::State>) -> Next {
        Next::Keep
    }

    /// The connection is about to be closed, by either side.
    fn disconnected(&mut self, _context: &Context, _conn: &mut Conn<Self::State>) {}

    /// When [`MultiServer::timer`] shall run; asked after each turn of the loop.
    fn next_timer(&self) -> Option<Instant> {
        None
    }

    /// Runs when the time of [`MultiServer::next_timer`] has come.
    fn timer(&mut self, _context: &Context) -> Life {
        Life::GoOn
    }

    /// Runs before the process ends by itself.
    fn finish(&mut self, _context: &Context) {}
}

/// Runs the program as a multi server until it ends.
pub fn main<T: MultiServer>() -> ExitCode {
    let skeleton = Skeleton {
        name: T::NAME,
        needs: T::NEEDS,
        transports: &[Transport::Inet, Transport::Unix, Transport::Pass],
        watchdog: None,
    };
    start::run::<Adapter<T>>(&skeleton, |Adapter(server), context, runtime| {
        let mut multi = Multi {
            server,
            conns: HashMap::new(),
            waiting: BTreeSet::new(),
            next_id: 0,
            slow: 0,
        };
        if context.options.stand_alone {
            multi.stand_alone(&context, runtime.limits.client_timeout);
            multi.server.finish(&context);
            return ExitCode::SUCCESS;
        }
        let reactor = Reactor::new().unwrap_or_else(|error| fatal!("event loop: {error}"));
        let status = core::run(&mut multi, &context, Shared::new(reactor, runtime));
        multi.server.finish(&context);
        status
    })
}

struct Adapter<T>(T);

impl<T: MultiServer> Program for Adapter<T> {
    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        T::before_jail(context).map(Self)
    }
    fn after_jail(&mut self, context: &Context) -> Result<(), StartError> {
        self.0.after_jail(context)
    }
    fn adjust(&self, context: &Context, limits: &mut Limits) {
        self.0.adjust(context, limits);
    }
}

/// A request that takes longer makes the process tell master about the next ones.
const SLOW_REQUEST: Duration = Duration::from_millis(2);
/// For so many requests.
const SLOW_MEMORY: u32 = 32;

struct Multi<T: MultiServer> {
    server: T,
    conns: HashMap<Token, Conn<T::State>>,
    /// The connections with a deadline.
    waiting: BTreeSet<(Instant, Token)>,
    next_id: u64,
    /// How many more requests are announced to master. New clients can wait a moment for a process
    /// that answers at once; master needs to start another one only when answers take time.
    slow: u32,
}

impl<T: MultiServer> Multi<T> {
    fn conn(&mut self, client: Client) -> Conn<T::State> {
        self.next_id += 1;
        Conn {
            channel: client.channel,
            kind: client.kind,
            state: T::State::default(),
            awaits: Awaits::Request,
            id: self.next_id,
            list: ListEnd::default(),
            deadline: None,
        }
    }

    fn add(&mut self, context: &Context, shared: &mut Shared, client: Client) {
        let mut conn = self.conn(client);
        let next = self.server.connected(context, &mut conn);
        let sent = conn.channel.flush();
        if next == Next::Close || sent.is_err() {
            self.server.disconnected(context, &mut conn);
            return;
        }
        match shared.reactor.register(&conn.channel, Interest::Read) {
            Ok(token) => {
                self.conns.insert(token, conn);
            }
            Err(error) => log::warn!("register client: {}", postern_sys::error_text(&error)),
        }
    }

    fn remove(&mut self, context: &Context, shared: &mut Shared, token: Token) {
        if let Some(mut conn) = self.conns.remove(&token) {
            if let Some(deadline) = conn.deadline {
                self.waiting.remove(&(deadline, token));
            }
            self.server.disconnected(context, &mut conn);
            // Closing does it, too; this keeps descriptor and event apart in all cases.
            let _ = shared.reactor.deregister(&conn.channel);
            shared.cycle.rest();
        }
    }

    /// Answers what the client has sent; `Close` when it is gone or done.
    fn answer(&mut self, context: &Context, shared: &mut Shared, token: Token) -> (Next, Life) {
        let Some(conn) = self.conns.get_mut(&token) else {
            return (Next::Keep, Life::GoOn);
        };
        loop {
            match collect::<T>(&mut self.server, context, conn) {
                Input::Ready => {}
                Input::Incomplete => return (Next::Keep, Life::GoOn),
                Input::Over => return (Next::Close, Life::GoOn),
            }
            let noticed = self.slow > 0 || !shared.status.is_proved();
            if noticed && shared.status.taken().is_err() {
                return (Next::Close, Life::End);
            }
            let begin = Instant::now();
            conn.list = ListEnd::default();
            if let Some(deadline) = conn.deadline.take() {
                self.waiting.remove(&(deadline, token));
            }
            let next = self.server.request(context, conn);
            let sent = conn.channel.flush();
            self.slow = if begin.elapsed() > SLOW_REQUEST {
                SLOW_MEMORY
            } else {
                self.slow.saturating_sub(1)
            };
            shared.cycle.served();
            if noticed && shared.status.available().is_err() {
                return (Next::Close, Life::End);
            }
            if next == Next::Close || sent.is_err() || conn.channel.has_failed() {
                return (Next::Close, Life::GoOn);
            }
            let more = conn.channel.pending() > 0
                || conn.awaits == Awaits::Descriptor
                || (conn.channel.may_have_more()
                    && conn.channel.is_readable(Duration::ZERO).unwrap_or(false));
            if !more {
                return (Next::Keep, Life::GoOn);
            }
        }
    }

    /// Starts the time limit of a list or an exchange that has begun, however slowly the rest drips in.
    fn watch(&mut self, shared: &Shared, token: Token) {
        let limit = shared.limits.client_timeout;
        let Some(conn) = self.conns.get_mut(&token).filter(|_| !limit.is_zero()) else {
            return;
        };
        let is_busy = conn.awaits != Awaits::Request || conn.channel.pending() > 0;
        if is_busy && conn.deadline.is_none() {
            let deadline = Instant::now() + limit;
            conn.deadline = Some(deadline);
            self.waiting.insert((deadline, token));
        }
    }

    /// Closes connections whose time is over.
    fn expire(&mut self, context: &Context, shared: &mut Shared) {
        let now = Instant::now();
        while let Some(&(deadline, token)) = self.waiting.first() {
            if deadline > now {
                return;
            }
            if let Some(text) = AttrError::Timeout(Part::Name).warning(&context.socket_name()) {
                log::warn!("{text}");
            }
            self.waiting.pop_first();
            self.remove(context, shared, token);
        }
    }

    fn stand_alone(&mut self, context: &Context, timeout: Duration) {
        let client = match client::stand_alone(timeout) {
            Ok(client) => client,
            Err(error) => fatal!("stand-alone mode: {}", postern_sys::error_text(&error)),
        };
        let mut conn = self.conn(client);
        let mut next = self.server.connected(context, &mut conn);
        while next == Next::Keep
            && matches!(conn.channel.fill_buf(), Ok(input) if !input.is_empty())
        {
            next = self.server.request(context, &mut conn);
        }
        let _ = conn.channel.flush();
        self.server.disconnected(context, &mut conn);
    }
}

/// How much of what the program needs is there.
enum Input {
    Ready,
    Incomplete,
    /// There will be no more.
    Over,
}

/// Collects input until the program can go on without waiting.
fn collect<T: MultiServer>(server: &mut T, context: &Context, conn: &mut Conn<T::State>) -> Input {
    let Some(encoding) = T::ENCODING else {
        return match conn.channel.fill_buf() {
            Ok(input) if !input.is_empty() => Input::Ready,
            _ => Input::Over,
        };
    };
    if conn.awaits == Awaits::Descriptor {
        return match conn.channel.is_readable(Duration::ZERO) {
            // Bytes without a descriptor came in its place.
            _ if conn.channel.pending() > 0 => Input::Over,
            Ok(true) => Input::Ready,
            Ok(false) => Input::Incomplete,
            Err(_) => Input::Over,
        };
    }
    while conn.list.find(conn.channel.buffered(), encoding).is_none() {
        match conn.channel.receive_now(LIST_LIMIT) {
            Ok(Received::Some) => {}
            Ok(Received::Nothing) if conn.channel.pending() == 0 => return Input::Incomplete,
            Ok(Received::Nothing) => {
                return match server.partial(conn) {
                    Next::Keep => Input::Incomplete,
                    Next::Close => Input::Over,
                };
            }
            // The program tells what the client left out.
            Ok(Received::End) if conn.channel.pending() > 0 => return Input::Ready,
            Ok(Received::End) | Err(_) => return Input::Over,
            Ok(Received::Full) => {
                let text = format!("more than {LIST_LIMIT} bytes in a list");
                if let Some(text) = AttrError::Malformed(text).warning(&context.socket_name()) {
                    log::warn!("{text}");
                }
                return Input::Over;
            }
        }
    }
    Input::Ready
}

impl<T: MultiServer> Core for Multi<T> {
    const DRAINS: bool = false;

    fn listener_ready(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life {
        // Edge-triggered: everybody who waits is let in.
        loop {
            if let Some(table) = self.server.before_accept(context) {
                log::info!("table {table} has changed -- restarting");
                return Life::End;
            }
            let Some(listener) = shared.listeners.get(at) else {
                return Life::GoOn;
            };
            match client::accept(listener, context.transport, shared.limits.client_timeout) {
                Ok(Some(client)) => self.add(context, shared, client),
                Ok(None) => return Life::GoOn,
                Err(AcceptFailed) => {
                    shared.rest_listener(at);
                    return Life::GoOn;
                }
            }
        }
    }

    fn event(&mut self, context: &Context, shared: &mut Shared, event: Event) -> Life {
        let Event::Ready { token, .. } = event else {
            return Life::GoOn;
        };
        let (next, life) = self.answer(context, shared, token);
        match next {
            Next::Close => self.remove(context, shared, token),
            Next::Keep => self.watch(shared, token),
        }
        life
    }

    fn turn(&mut self, context: &Context, shared: &mut Shared) -> (Life, Option<Duration>) {
        self.expire(context, shared);
        let mut life = Life::GoOn;
        let mut next = self.server.next_timer();
        if next.is_some_and(|when| when <= Instant::now()) {
            life = self.server.timer(context);
            next = self.server.next_timer();
        }
        let deadline = self.waiting.first().map(|(deadline, _)| *deadline);
        let when = next.into_iter().chain(deadline).min();
        let now = Instant::now();
        (life, when.map(|when| when.saturating_duration_since(now)))
    }

    fn clients(&self) -> usize {
        self.conns.len()
    }
}
