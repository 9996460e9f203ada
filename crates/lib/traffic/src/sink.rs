//! The loop of the sinks: takes connections, up to a limit, and hands their input on.

use crate::{Listener, Received, Stream};
use postern_server::{Event, Interest, Reactor, TimerId, Token};
use postern_sys::{error_text, socket};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What a session wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// More input.
    Input,
    /// No input for this long; then [`Swallower::woken`].
    Sleep(Duration),
    /// The end of the connection, once all output is sent.
    Close,
    /// The end of the program.
    Exit,
}

/// Why a session ended without its own wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The peer closed the connection, or it broke.
    Closed,
    /// The peer was silent for too long.
    Timeout,
}

/// What happens in each session; the loop knows no protocol.
pub trait Swallower {
    /// The state of one session.
    type Session;

    /// A client has connected.
    fn connected(&mut self, stream: &mut Stream) -> (Self::Session, Wish);

    /// Input came: use as much of it as possible.
    fn input(&mut self, session: &mut Self::Session, stream: &mut Stream) -> Wish;

    /// The sleep is over; what waits in the stream may be used.
    fn woken(&mut self, session: &mut Self::Session, stream: &mut Stream) -> Wish;

    /// The session ends; `loss` when the peer did it. [`Wish::Exit`] ends the program.
    fn ended(&mut self, session: Self::Session, loss: Option<Loss>) -> Wish;
}

/// Limits of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// How long a peer may be silent, or refuse to read.
    pub idle: Duration,
    /// How long the program runs.
    pub life: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Reading,
    Sleeping,
    Closing,
}

struct Connection<S> {
    stream: Stream,
    session: S,
    mode: Mode,
    /// Fires at `deadline` or earlier.
    timer: TimerId,
    deadline: Instant,
}

struct Loop<'a, W: Swallower> {
    listener: &'a Listener,
    limits: Limits,
    swallower: &'a mut W,
    reactor: Reactor,
    connections: HashMap<Token, Connection<W::Session>>,
    timers: HashMap<TimerId, Token>,
    /// A connection may wait in the listener.
    may_accept: bool,
    over: bool,
}

/// Serves until a session wishes the end, or the life is over. The error is the text after `fatal: `.
pub fn run<W: Swallower>(
    listener: &Listener,
    limits: Limits,
    swallower: &mut W,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("event loop: {}", error_text(&error));
    let mut reactor = Reactor::new().map_err(failed)?;
    let listening = reactor.register(listener, Interest::Read).map_err(failed)?;
    let end = limits.life.map(|life| reactor.set_timer(life));
    let mut work = Loop {
        listener,
        limits,
        swallower,
        reactor,
        connections: HashMap::new(),
        timers: HashMap::new(),
        may_accept: true,
        over: false,
    };
    let mut events = Vec::new();
    while !work.over {
        work.accept()?;
        work.reactor.wait(None, &mut events).map_err(failed)?;
        for event in events.drain(..) {
            match event {
                Event::Timer(timer) if Some(timer) == end => work.over = true,
                Event::Timer(timer) => work.timer(timer),
                Event::Ready { token, .. } if token == listening => work.may_accept = true,
                Event::Ready {
                    token,
                    readable,
                    writable,
                } => work.ready(token, readable, writable),
            }
        }
    }
    Ok(())
}

impl<W: Swallower> Loop<'_, W> {
    fn accept(&mut self) -> Result<(), String> {
        while self.may_accept && !self.over && self.connections.len() < self.limits.connections {
            match socket::accept(self.listener) {
                Ok(Some(fd)) => self.connected(fd)?,
                Ok(None) => self.may_accept = false,
                Err(error) => return Err(format!("accept connection: {}", error_text(&error))),
            }
        }
        Ok(())
    }

    fn connected(&mut self, fd: OwnedFd) -> Result<(), String> {
        socket::tune_tcp(&fd);
        let token = self
            .reactor
            .register(&fd, Interest::Both)
            .map_err(|error| format!("event loop: {}", error_text(&error)))?;
        let mut stream = Stream::new(fd);
        let (session, wish) = self.swallower.connected(&mut stream);
        let timer = self.reactor.set_timer(self.limits.idle);
        self.timers.insert(timer, token);
        let deadline = Instant::now() + self.limits.idle;
        let mode = Mode::Reading;
        self.connections.insert(
            token,
            Connection {
                stream,
                session,
                mode,
                timer,
                deadline,
            },
        );
        self.grant(token, wish);
        Ok(())
    }

    fn ready(&mut self, token: Token, readable: bool, writable: bool) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let mut resumed = false;
        if writable && connection.stream.is_sending() {
            let sent = connection.stream.flush();
            resumed = matches!(sent, Ok(true));
            match sent {
                Ok(true) if connection.mode == Mode::Closing => return self.close(token, None),
                Ok(_) => connection.deadline = Instant::now() + self.limits.idle,
                Err(_) => return self.close(token, Some(Loss::Closed)),
            }
        }
        if readable || resumed {
            self.receive(token);
        }
    }

    fn receive(&mut self, token: Token) {
        while let Some(connection) = self.connections.get_mut(&token) {
            // Whoever does not read the replies is not read from, either.
            if connection.mode != Mode::Reading || connection.stream.is_sending() {
                return;
            }
            match connection.stream.receive() {
                Ok(Received::Nothing) => return,
                Ok(Received::Data) => {}
                Ok(Received::End) | Err(_) => return self.close(token, Some(Loss::Closed)),
            }
            connection.deadline = Instant::now() + self.limits.idle;
            let wish = self
                .swallower
                .input(&mut connection.session, &mut connection.stream);
            self.grant(token, wish);
        }
    }

    /// Sends what there is, then does what the session wants.
    fn grant(&mut self, token: Token, wish: Wish) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        if wish == Wish::Exit {
            self.over = true;
            return;
        }
        let sent = connection.stream.flush();
        match (sent, wish) {
            (Err(_), _) => self.close(token, Some(Loss::Closed)),
            (Ok(true), Wish::Close) => self.close(token, None),
            (Ok(false), Wish::Close) => connection.mode = Mode::Closing,
            (Ok(_), Wish::Sleep(time)) => {
                connection.mode = Mode::Sleeping;
                connection.deadline = Instant::now() + time;
                self.reactor.cancel_timer(connection.timer);
                self.timers.remove(&connection.timer);
                connection.timer = self.reactor.set_timer(time);
                self.timers.insert(connection.timer, token);
            }
            (Ok(_), Wish::Input | Wish::Exit) => {}
        }
    }

    fn timer(&mut self, timer: TimerId) {
        let Some(token) = self.timers.remove(&timer) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let now = Instant::now();
        if connection.deadline > now {
            // There was traffic since the timer was set.
            connection.timer = self.reactor.set_timer_at(connection.deadline);
            self.timers.insert(connection.timer, token);
        } else if connection.mode == Mode::Sleeping {
            connection.mode = Mode::Reading;
            connection.deadline = now + self.limits.idle;
            connection.timer = self.reactor.set_timer_at(connection.deadline);
            self.timers.insert(connection.timer, token);
            let wish = self
                .swallower
                .woken(&mut connection.session, &mut connection.stream);
            self.grant(token, wish);
            // Events that came during the sleep are not repeated.
            self.receive(token);
        } else {
            self.close(token, Some(Loss::Timeout));
        }
    }

    fn close(&mut self, token: Token, loss: Option<Loss>) {
        if let Some(connection) = self.connections.remove(&token) {
            self.reactor.cancel_timer(connection.timer);
            self.timers.remove(&connection.timer);
            // The descriptor is closed at once and leaves the poll set with that.
            let _ = self.reactor.deregister(&connection.stream);
            drop(connection.stream);
            if self.swallower.ended(connection.session, loss) == Wish::Exit {
                self.over = true;
            }
        }
    }
}
