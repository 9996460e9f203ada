//! The skeletons for programs that handle descriptors and timers themselves.

use crate::client::{self, AcceptFailed};
use crate::core::{self, Core, Life, Shared};
use crate::start::{self, Program, Runtime, Skeleton};
use crate::{
    Client, Context, Event, Limits, Needs, Reactor, StartError, TimerId, Token, Transport,
};
use nix::unistd::read;
use postern_maillog::fatal;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

/// How long the sender of a trigger may take.
const TRIGGER_LIMIT: Duration = Duration::from_secs(10);
/// The longest trigger that is looked at.
const TRIGGER_SIZE: usize = 1024;
/// The longest datagram.
const DATAGRAM_SIZE: usize = 4096;
/// Without a demand of the program, so long may one turn of the loop take.
const WATCHDOG: Duration = Duration::from_secs(1000);

/// What the programs of this file have in common.
macro_rules! common_hooks {
    () => {
        /// The program's name in its manual page.
        const NAME: &'static str;
        /// What its master.cf entry must look like.
        const NEEDS: Needs = Needs::NONE;

        /// See [`crate::SingleServer::before_jail`].
        fn before_jail(context: &mut Context) -> Result<Self, StartError>;

        /// Runs with the final privileges, before the first client.
        fn after_jail(
            &mut self,
            _context: &Context,
            _reactor: &mut Reactor,
        ) -> Result<(), StartError> {
            Ok(())
        }

        /// Replaces limits of main.cf.
        fn adjust(&self, _context: &Context, _limits: &mut Limits) {}

        /// See [`crate::SingleServer::before_accept`].
        fn before_accept(&mut self, _context: &Context) -> Option<String> {
            None
        }

        /// A descriptor or timer that the program registered.
        fn event(&mut self, _context: &Context, _reactor: &mut Reactor, _event: Event) -> Life {
            Life::GoOn
        }

        /// After each turn of the loop; the result bounds the next sleep.
        fn turn(&mut self, _context: &Context, _reactor: &mut Reactor) -> (Life, Option<Duration>) {
            (Life::GoOn, None)
        }

        /// Runs before the process ends by itself.
        fn finish(&mut self, _context: &Context) {}
    };
}

/// A program that gets its clients as they connect and serves them with events of its own.
pub trait EventServer: Sized {
    common_hooks!();

    /// Whether clients are served to their end, in a process of their own, after master has told
    /// this one to go.
    const DRAINS: bool = false;

    /// A client connected. Its channel blocks; make it non-blocking as needed.
    fn accepted(&mut self, context: &Context, reactor: &mut Reactor, client: Client);

    /// How many clients are being served: they keep the process alive.
    fn clients(&self) -> usize;
}

/// A program that is woken up by request bytes.
pub trait TriggerServer: Sized {
    common_hooks!();

    /// A trigger came with these bytes (a NUL may follow the request).
    fn trigger(&mut self, context: &Context, reactor: &mut Reactor, request: &[u8]);
}

/// A program that gets datagrams.
pub trait DgramServer: Sized {
    common_hooks!();

    /// One datagram.
    fn datagram(&mut self, context: &Context, data: &[u8]);
}

/// Runs an event server until it ends.
pub fn event_main<T: EventServer>() -> ExitCode {
    let transports = &[Transport::Inet, Transport::Unix, Transport::Pass];
    main::<EventCore<T>>(T::NAME, T::NEEDS, transports)
}

/// Runs a trigger server until it ends.
pub fn trigger_main<T: TriggerServer>() -> ExitCode {
    let transports = &[Transport::Unix, Transport::Fifo, Transport::Pass];
    main::<TriggerCore<T>>(T::NAME, T::NEEDS, transports)
}

/// Runs a datagram server until it ends.
pub fn dgram_main<T: DgramServer>() -> ExitCode {
    main::<DgramCore<T>>(T::NAME, T::NEEDS, &[Transport::Datagram])
}

fn main<C: LoopProgram>(
    name: &'static str,
    needs: Needs,
    transports: &'static [Transport],
) -> ExitCode {
    let skeleton = Skeleton {
        name,
        needs,
        transports,
        watchdog: Some(WATCHDOG),
    };
    start::run::<Adapter<C>>(
        &skeleton,
        |Adapter(mut program, reactor), context, runtime| {
            let status = if context.options.stand_alone {
                program.stand_alone(&context, runtime, reactor)
            } else {
                core::run(&mut program, &context, Shared::new(reactor, runtime))
            };
            program.finish(&context);
            status
        },
    )
}

/// The skeleton-specific half of start-up and end.
trait LoopProgram: Core + Sized {
    fn before_jail(context: &mut Context) -> Result<Self, StartError>;
    fn after_jail(&mut self, context: &Context, reactor: &mut Reactor) -> Result<(), StartError>;
    fn adjust(&self, context: &Context, limits: &mut Limits);
    fn finish(&mut self, context: &Context);
    fn stand_alone(&mut self, context: &Context, runtime: Runtime, reactor: Reactor) -> ExitCode;
}

struct Adapter<C>(C, Reactor);

impl<C: LoopProgram> Program for Adapter<C> {
    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        Ok(Self(C::before_jail(context)?, Reactor::new()?))
    }
    fn after_jail(&mut self, context: &Context) -> Result<(), StartError> {
        self.0.after_jail(context, &mut self.1)
    }
    fn adjust(&self, context: &Context, limits: &mut Limits) {
        self.0.adjust(context, limits);
    }
}

/// Implements what all cores pass on to their program in field `server`.
macro_rules! pass_on {
    () => {
        fn before_jail(context: &mut Context) -> Result<Self, StartError> {
            T::before_jail(context).map(Self::new)
        }
        fn after_jail(
            &mut self,
            context: &Context,
            reactor: &mut Reactor,
        ) -> Result<(), StartError> {
            self.server.after_jail(context, reactor)
        }
        fn adjust(&self, context: &Context, limits: &mut Limits) {
            self.server.adjust(context, limits);
        }
        fn finish(&mut self, context: &Context) {
            self.server.finish(context);
        }
    };
}

fn tables_changed(table: Option<String>) -> bool {
    if let Some(table) = &table {
        log::info!("table {table} has changed -- restarting");
    }
    table.is_some()
}

struct EventCore<T> {
    server: T,
}

impl<T: EventServer> EventCore<T> {
    fn new(server: T) -> Self {
        Self { server }
    }
}

impl<T: EventServer> LoopProgram for EventCore<T> {
    pass_on!();

    fn stand_alone(
        &mut self,
        context: &Context,
        runtime: Runtime,
        mut reactor: Reactor,
    ) -> ExitCode {
        match client::stand_alone(runtime.limits.client_timeout) {
            Ok(client) => self.server.accepted(context, &mut reactor, client),
            Err(error) => fatal!("stand-alone mode: {}", postern_sys::error_text(&error)),
        }
        let mut shared = Shared::new(reactor, runtime);
        // The process ends with its client.
        shared.cycle.serve_one_only();
        core::run(self, context, shared)
    }
}

impl<T: EventServer> Core for EventCore<T> {
    const DRAINS: bool = T::DRAINS;

    fn listener_ready(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life {
        loop {
            if tables_changed(self.server.before_accept(context)) {
                return Life::End;
            }
            let Some(listener) = shared.listeners.get(at) else {
                return Life::GoOn;
            };
            let accepted =
                client::accept(listener, context.transport, shared.limits.client_timeout);
            let client = match accepted {
                Ok(Some(client)) => client,
                Ok(None) => return Life::GoOn,
                Err(AcceptFailed) => {
                    shared.rest_listener(at);
                    return Life::GoOn;
                }
            };
            if shared.status.taken().is_err() {
                return Life::End;
            }
            self.server.accepted(context, &mut shared.reactor, client);
            shared.cycle.served();
            shared.cycle.rest();
            if shared.status.available().is_err() {
                return Life::End;
            }
        }
    }

    fn event(&mut self, context: &Context, shared: &mut Shared, event: Event) -> Life {
        self.server.event(context, &mut shared.reactor, event)
    }

    fn turn(&mut self, context: &Context, shared: &mut Shared) -> (Life, Option<Duration>) {
        self.server.turn(context, &mut shared.reactor)
    }

    fn clients(&self) -> usize {
        self.server.clients()
    }
}

/// The sender of a trigger, until its bytes are read.
struct Sender {
    fd: OwnedFd,
    timer: TimerId,
}

struct TriggerCore<T> {
    server: T,
    senders: HashMap<Token, Sender>,
}

impl<T: TriggerServer> TriggerCore<T> {
    fn new(server: T) -> Self {
        Self {
            server,
            senders: HashMap::new(),
        }
    }

    fn fire(&mut self, context: &Context, shared: &mut Shared, request: &[u8]) -> Life {
        if shared.status.taken().is_err() {
            return Life::End;
        }
        self.server.trigger(context, &mut shared.reactor, request);
        shared.cycle.served();
        shared.cycle.rest();
        if shared.status.available().is_err() {
            Life::End
        } else {
            Life::GoOn
        }
    }

    fn accept_all(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life {
        loop {
            if tables_changed(self.server.before_accept(context)) {
                return Life::End;
            }
            let Some(listener) = shared.listeners.get(at) else {
                return Life::GoOn;
            };
            let fd = match client::accept_fd(listener) {
                Ok(Some(fd)) => fd,
                Ok(None) => return Life::GoOn,
                Err(AcceptFailed) => {
                    shared.rest_listener(at);
                    return Life::GoOn;
                }
            };
            // Most senders have written before they are accepted.
            if let Some(request) = read_trigger(&fd) {
                if self.fire(context, shared, &request) == Life::End {
                    return Life::End;
                }
            } else if let Ok(token) = shared.reactor.register(&fd, crate::Interest::Read) {
                let timer = shared.reactor.set_timer(TRIGGER_LIMIT);
                self.senders.insert(token, Sender { fd, timer });
            }
        }
    }

    fn forget(&mut self, shared: &mut Shared, token: Token) {
        if let Some(sender) = self.senders.remove(&token) {
            shared.reactor.cancel_timer(sender.timer);
            let _ = shared.reactor.deregister(&sender.fd);
        }
    }
}

/// Reads the trigger of a sender that connected; `None` when it is not there yet.
fn read_trigger(fd: &OwnedFd) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    match postern_sys::socket::recv_append_now(fd, &mut request, TRIGGER_SIZE) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        _ => Some(request),
    }
}

/// Reads triggers from a named pipe, which does not block; `None` when there are none.
fn read_pipe(fd: &OwnedFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; TRIGGER_SIZE];
    let count = match read(fd, &mut buffer) {
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => return None,
        Err(_) => 0,
        Ok(count) => count,
    };
    buffer.truncate(count);
    Some(buffer)
}

impl<T: TriggerServer> LoopProgram for TriggerCore<T> {
    pass_on!();

    fn stand_alone(&mut self, context: &Context, _: Runtime, mut reactor: Reactor) -> ExitCode {
        let mut buffer = vec![0; TRIGGER_SIZE];
        let count = read(io::stdin().as_fd(), &mut buffer).unwrap_or(0);
        buffer.truncate(count);
        self.server.trigger(context, &mut reactor, &buffer);
        ExitCode::SUCCESS
    }
}

impl<T: TriggerServer> Core for TriggerCore<T> {
    const DRAINS: bool = false;

    fn listener_ready(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life {
        if context.transport != Transport::Fifo {
            return self.accept_all(context, shared, at);
        }
        loop {
            let Some(request) = shared.listeners.get(at).and_then(read_pipe) else {
                return Life::GoOn;
            };
            if request.is_empty() || self.fire(context, shared, &request) == Life::End {
                return Life::End;
            }
        }
    }

    fn event(&mut self, context: &Context, shared: &mut Shared, event: Event) -> Life {
        match event {
            Event::Ready { token, .. } if self.senders.contains_key(&token) => {
                let request = self
                    .senders
                    .get(&token)
                    .and_then(|sender| read_trigger(&sender.fd));
                self.forget(shared, token);
                match request {
                    Some(request) if !request.is_empty() => self.fire(context, shared, &request),
                    _ => Life::GoOn,
                }
            }
            Event::Timer(timer) => {
                match self
                    .senders
                    .iter()
                    .find(|(_, sender)| sender.timer == timer)
                    .map(|(token, _)| *token)
                {
                    Some(token) => {
                        self.forget(shared, token);
                        Life::GoOn
                    }
                    None => self.server.event(context, &mut shared.reactor, event),
                }
            }
            Event::Ready { .. } => self.server.event(context, &mut shared.reactor, event),
        }
    }

    fn turn(&mut self, context: &Context, shared: &mut Shared) -> (Life, Option<Duration>) {
        self.server.turn(context, &mut shared.reactor)
    }

    fn clients(&self) -> usize {
        0
    }
}

struct DgramCore<T> {
    server: T,
    buffer: Vec<u8>,
}

impl<T: DgramServer> DgramCore<T> {
    fn new(server: T) -> Self {
        Self {
            server,
            buffer: vec![0; DATAGRAM_SIZE],
        }
    }
}

impl<T: DgramServer> LoopProgram for DgramCore<T> {
    pass_on!();

    fn stand_alone(&mut self, _: &Context, _: Runtime, _: Reactor) -> ExitCode {
        fatal!("invalid option: S")
    }
}

impl<T: DgramServer> Core for DgramCore<T> {
    const DRAINS: bool = false;

    fn listener_ready(&mut self, context: &Context, shared: &mut Shared, at: usize) -> Life {
        loop {
            let Some(listener) = shared.listeners.get(at) else {
                return Life::GoOn;
            };
            let count = match postern_sys::socket::recv(listener, &mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Life::GoOn,
                Err(error) => {
                    log::error!("receive datagram: {}", postern_sys::error_text(&error));
                    return Life::GoOn;
                }
            };
            if shared.status.taken().is_err() {
                return Life::End;
            }
            self.server
                .datagram(context, self.buffer.get(..count).unwrap_or_default());
            shared.cycle.served();
            shared.cycle.rest();
            if shared.status.available().is_err() {
                return Life::End;
            }
        }
    }

    fn event(&mut self, context: &Context, shared: &mut Shared, event: Event) -> Life {
        self.server.event(context, &mut shared.reactor, event)
    }

    fn turn(&mut self, context: &Context, shared: &mut Shared) -> (Life, Option<Duration>) {
        self.server.turn(context, &mut shared.reactor)
    }

    fn clients(&self) -> usize {
        0
    }
}
