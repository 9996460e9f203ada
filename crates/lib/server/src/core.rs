//! The main loop that multi, event, trigger and datagram servers share.

use crate::client::ACCEPT_PAUSE;
use crate::cycle::Cycle;
use crate::start::Runtime;
use crate::status::Status;
use crate::{Context, Event, Interest, Limits, Reactor, TimerId, Token};
use postern_maillog::fatal;
use postern_sys::process::{Fork, exit_now, fork};
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

/// Whether the process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does.
    GoOn,
    /// It ends now.
    End,
}

/// What differs between the skeletons.
pub(crate) trait Core {
    /// Whether clients are served to their end, in the background, when master wants the process
    /// to go.
    const DRAINS: bool;
    /// Something to accept or read at a listen socket.
    fn listener_ready(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life;
    /// Another event.
    fn event(&mut self, context: &Context, shared: &mut Shared, event: Event) -> Life;
    /// After each turn; the result bounds the next sleep.
    fn turn(&mut self, context: &Context, shared: &mut Shared) -> (Life, Option<Duration>);
    /// Clients that keep the process from ending.
    fn clients(&self) -> usize;
}

/// What the loop shares with the skeleton.
pub(crate) struct Shared {
    pub(crate) reactor: Reactor,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) status: Status,
    pub(crate) limits: Limits,
    pub(crate) cycle: Cycle,
    /// Listen sockets that rest after a failure. Their events are edge-triggered: nobody else would
    /// tell of the clients that wait there already.
    resting: Vec<(TimerId, usize)>,
}

impl Shared {
    /// Tries a listen socket again after a while.
    pub(crate) fn rest_listener(&mut self, at: usize) {
        let timer = self.reactor.set_timer(ACCEPT_PAUSE);
        self.resting.push((timer, at));
    }

    /// The listen socket whose rest this timer ends.
    fn rested_listener(&mut self, timer: TimerId) -> Option<usize> {
        let index = self.resting.iter().position(|(known, _)| *known == timer)?;
        Some(self.resting.swap_remove(index).1)
    }

    pub(crate) fn new(reactor: Reactor, runtime: Runtime) -> Self {
        let Runtime {
            listeners,
            status,
            limits,
        } = runtime;
        Self {
            reactor,
            listeners,
            status,
            limits,
            cycle: Cycle::new(limits),
            resting: Vec::new(),
        }
    }
}

/// Runs the loop until the process shall end.
pub(crate) fn run<C: Core>(core: &mut C, context: &Context, mut shared: Shared) -> ExitCode {
    match turn_for_ever(core, context, &mut shared) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fatal!("event loop: {}", postern_sys::error_text(&error)),
    }
}

fn turn_for_ever<C: Core>(core: &mut C, context: &Context, shared: &mut Shared) -> io::Result<()> {
    let mut watched = Watched::new(shared)?;
    let mut events = Vec::new();
    let mut bound = None;
    loop {
        postern_sys::watchdog::progress();
        shared
            .reactor
            .wait(Some(sleep(core, shared, bound)), &mut events)?;
        // Asked first: clients that came after the order to end are for the next process.
        let master_gone = events.iter().any(|event| watched.is_master(event));
        if master_gone && !C::DRAINS {
            return Ok(());
        }
        for event in events.drain(..) {
            let life = match event {
                Event::Ready { .. } if watched.is_master(&event) => Life::GoOn,
                Event::Ready { token, .. } => match watched.listener(token) {
                    Some(at) => core.listener_ready(context, shared, at),
                    None => core.event(context, shared, event),
                },
                Event::Timer(timer) => match shared.rested_listener(timer) {
                    Some(at) => core.listener_ready(context, shared, at),
                    None => core.event(context, shared, event),
                },
            };
            if life == Life::End {
                return Ok(());
            }
        }
        if master_gone {
            if core.clients() == 0 {
                return Ok(());
            }
            watched.drain(shared)?;
        }
        let (life, next) = core.turn(context, shared);
        bound = next;
        if core.clients() > 0 {
            shared.cycle.rest();
        } else if shared.cycle.is_worn_out()
            || shared.cycle.is_idle_too_long()
            || watched.is_draining()
        {
            return Ok(());
        }
        if life == Life::End {
            return Ok(());
        }
    }
}

fn sleep<C: Core>(core: &C, shared: &Shared, bound: Option<Duration>) -> Duration {
    let idle = if core.clients() == 0 {
        shared.cycle.idle_left()
    } else {
        None
    };
    [idle, bound]
        .into_iter()
        .flatten()
        .fold(shared.cycle.longest_sleep(), Duration::min)
}

/// The descriptors that came from master.
struct Watched {
    master: Option<Token>,
    listeners: Vec<Token>,
    drained: bool,
}

impl Watched {
    fn new(shared: &mut Shared) -> io::Result<Self> {
        let master = match shared.status.fd() {
            Some(fd) => Some(shared.reactor.register(&fd, Interest::Read)?),
            None => None,
        };
        let mut listeners = Vec::new();
        for listener in &shared.listeners {
            listeners.push(shared.reactor.register(listener, Interest::Read)?);
        }
        Ok(Self {
            master,
            listeners,
            drained: false,
        })
    }

    fn is_master(&self, event: &Event) -> bool {
        matches!(event, Event::Ready { token, .. } if Some(*token) == self.master)
    }

    fn listener(&self, token: Token) -> Option<usize> {
        self.listeners.iter().position(|known| *known == token)
    }

    fn is_draining(&self) -> bool {
        self.drained
    }

    /// Goes on in a new process without listen sockets, so that master sees the old one end.
    fn drain(&mut self, shared: &mut Shared) -> io::Result<()> {
        if let Fork::Parent(_) = fork()? {
            exit_now(0);
        }
        for listener in shared.listeners.drain(..) {
            shared.reactor.deregister(&listener)?;
        }
        if let Some(fd) = shared.status.fd() {
            shared.reactor.deregister(&fd)?;
        }
        shared.status = Status::new(None, 0, true);
        self.listeners.clear();
        self.master = None;
        self.drained = true;
        // The interval timer of the watchdog is not inherited.
        postern_sys::watchdog::restart(shared.limits.watchdog)
    }
}
