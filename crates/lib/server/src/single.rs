//! The skeleton that serves one client at a time.

use crate::client::{self, Client};
use crate::cycle::Cycle;
use crate::start::{self, Program, Runtime, Skeleton};
use crate::{Context, Limits, Needs, StartError, Transport};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use postern_maillog::fatal;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

/// A program that serves one client at a time and then waits for the next.
pub trait SingleServer: Sized {
    /// The program's name in its manual page.
    const NAME: &'static str;
    /// What its master.cf entry must look like.
    const NEEDS: Needs = Needs::NONE;

    /// Runs with master's privileges in the queue directory: opens tables and keys that a jailed
    /// process cannot reach.
    fn before_jail(context: &mut Context) -> Result<Self, StartError>;

    /// Runs with the final privileges, before the first client.
    fn after_jail(&mut self, _context: &Context) -> Result<(), StartError> {
        Ok(())
    }

    /// Replaces limits of main.cf.
    fn adjust(&self, _context: &Context, _limits: &mut Limits) {}

    /// Runs before each accept. The name of a table that changed ends the process; the waiting
    /// client goes to the next one.
    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        None
    }

    /// Serves one client; the connection is closed when the client is dropped.
    fn serve(&mut self, context: &Context, client: Client);

    /// Runs before the process ends by itself.
    fn finish(&mut self, _context: &Context) {}
}

/// Runs the program as a single server until it ends.
pub fn main<T: SingleServer>() -> ExitCode {
    let skeleton = Skeleton {
        name: T::NAME,
        needs: T::NEEDS,
        transports: &[Transport::Inet, Transport::Unix, Transport::Pass],
        watchdog: None,
    };
    start::run::<Adapter<T>>(&skeleton, |Adapter(server), context, runtime| {
        serve_all(server, &context, runtime)
    })
}

struct Adapter<T>(T);

impl<T: SingleServer> Program for Adapter<T> {
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

fn serve_all<T: SingleServer>(mut server: T, context: &Context, mut runtime: Runtime) -> ExitCode {
    if context.options.stand_alone {
        match client::stand_alone(runtime.limits.client_timeout) {
            Ok(client) => server.serve(context, client),
            Err(error) => fatal!("stand-alone mode: {}", postern_sys::error_text(&error)),
        }
    } else {
        let waiter = Waiter::new(&runtime).unwrap_or_else(|error| fatal!("event loop: {error}"));
        let mut cycle = Cycle::new(runtime.limits);
        while let Some(at) = waiter.next_client(&cycle) {
            if !serve_waiting(&mut server, context, &mut runtime, &mut cycle, &waiter, at) {
                break;
            }
        }
    }
    server.finish(context);
    ExitCode::SUCCESS
}

/// Serves the client at listener `at`, and those that wait behind it; `false` ends the process.
///
/// master is told "available" only when no further client waits: what it believes in between
/// stays true.
fn serve_waiting<T: SingleServer>(
    server: &mut T,
    context: &Context,
    runtime: &mut Runtime,
    cycle: &mut Cycle,
    waiter: &Waiter,
    mut at: usize,
) -> bool {
    loop {
        if let Some(table) = server.before_accept(context) {
            log::info!("table {table} has changed -- restarting");
            return false;
        }
        let Some(listener) = runtime.listeners.get(at) else {
            return true;
        };
        let accepted = client::accept(listener, context.transport, runtime.limits.client_timeout);
        if accepted.is_err() {
            std::thread::sleep(client::ACCEPT_PAUSE);
        }
        if let Ok(Some(client)) = accepted {
            let wanted = runtime.status.taken().is_ok();
            if T::NEEDS.flow_control {
                context.take_token();
            }
            server.serve(context, client);
            cycle.served();
            cycle.rest();
            if !wanted || cycle.is_worn_out() {
                let _ = runtime.status.available();
                return false;
            }
        }
        postern_sys::watchdog::progress();
        if !runtime.status.is_proved() && runtime.status.available().is_err() {
            return false;
        }
        match waiter.poll(Duration::ZERO) {
            Some(Wake::Client(next)) => at = next,
            Some(Wake::MasterGone) => return false,
            None => return runtime.status.available().is_ok(),
        }
    }
}

/// Why the process woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// A client waits at this listener.
    Client(usize),
    /// master wants the process to end.
    MasterGone,
}

/// Waits for clients, so that the kernel wakes up one process of several only.
struct Waiter {
    epoll: Epoll,
}

/// The event value of the status channel.
const MASTER: u64 = u64::MAX;

impl Waiter {
    fn new(runtime: &Runtime) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        if let Some(status) = runtime.status.fd() {
            epoll.add(status, EpollEvent::new(EpollFlags::EPOLLIN, MASTER))?;
        }
        for (at, listener) in runtime.listeners.iter().enumerate() {
            add_listener(&epoll, listener, u64::try_from(at).unwrap_or(0))?;
        }
        Ok(Self { epoll })
    }

    /// Waits for a client; `None` when the process shall end.
    fn next_client(&self, cycle: &Cycle) -> Option<usize> {
        loop {
            postern_sys::watchdog::progress();
            let longest = cycle.longest_sleep();
            let sleep = cycle.idle_left().map_or(longest, |left| left.min(longest));
            match self.poll(sleep) {
                Some(Wake::Client(at)) => return Some(at),
                Some(Wake::MasterGone) => return None,
                None if cycle.is_idle_too_long() => return None,
                None => {}
            }
        }
    }

    fn poll(&self, sleep: Duration) -> Option<Wake> {
        let mut events = [EpollEvent::empty(); 8];
        let count = match self.epoll.wait(&mut events, timeout(sleep)) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => fatal!("event loop: {error}"),
        };
        let events = events.get(..count).unwrap_or_default();
        if events.iter().any(|event| event.data() == MASTER) {
            return Some(Wake::MasterGone);
        }
        events
            .first()
            .map(|event| Wake::Client(usize::try_from(event.data()).unwrap_or(0)))
    }
}

fn add_listener(epoll: &Epoll, listener: &OwnedFd, at: u64) -> nix::Result<()> {
    let exclusive = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, at);
    match epoll.add(listener, exclusive) {
        Err(nix::Error::EINVAL) => epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, at)),
        other => other,
    }
}

fn timeout(sleep: Duration) -> EpollTimeout {
    let millis = sleep.as_micros().div_ceil(1000);
    EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::MAX)
}
