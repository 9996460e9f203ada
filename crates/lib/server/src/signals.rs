//! Signals as flags that an event loop looks at.

use crate::{Interest, Reactor, Token};
use postern_sys::faults;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A set of signals that wake the loop up.
#[derive(Debug)]
pub struct SignalFlags {
    pipe: UnixStream,
    token: Token,
    flags: Vec<(i32, Arc<AtomicBool>)>,
}

impl SignalFlags {
    /// Catches `signals` from now on and watches for them with `reactor`. Of SIGILL, SIGBUS and SIGSEGV
    /// only those that a process sent come here; what this process did itself ends it at once, see
    /// [`faults::catch`].
    pub fn new(reactor: &mut Reactor, signals: &[i32]) -> io::Result<Self> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut flags = Vec::new();
        let is_fault = |signal: &&i32| faults::SIGNALS.contains(signal);
        let faults: Vec<i32> = signals
            .iter()
            .copied()
            .filter(|signal| is_fault(&signal))
            .collect();
        if !faults.is_empty() {
            faults::catch(&faults, writer.try_clone()?.into())?;
        }
        for signal in signals.iter().filter(|signal| !is_fault(signal)) {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(*signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
            flags.push((*signal, flag));
        }
        let token = reactor.register(&pipe, Interest::Read)?;
        Ok(Self { pipe, token, flags })
    }

    /// The token under which signals wake the loop.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The signals that arrived since the last call, each once.
    pub fn take(&mut self) -> Vec<i32> {
        let arrived = |(signal, flag): &(i32, Arc<AtomicBool>)| {
            flag.swap(false, Ordering::SeqCst).then_some(*signal)
        };
        let mut signals: Vec<i32> = self.flags.iter().filter_map(arrived).collect();
        signals.extend(faults::take());
        if !signals.is_empty() {
            // Each signal wrote a byte; a later one makes the pipe ready again.
            let mut buffer = [0; 64];
            while matches!(self.pipe.read(&mut buffer), Ok(count) if count > 0) {}
        }
        signals
    }
}
