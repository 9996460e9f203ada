//! The loop of the generators: a number of messages over a number of parallel sessions.

use crate::{Dice, Endpoint, Received, Stream};
use postern_server::{Event, Interest, Reactor, TimerId, Token};
use postern_sys::error_text;
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// The time between messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// None.
    #[default]
    None,
    /// Always so many seconds.
    Fixed(u32),
    /// A random number of seconds up to this one.
    UpTo(u32),
}

/// What to generate.
#[derive(Debug)]
pub struct Plan {
    /// Where to send.
    pub endpoint: Endpoint,
    /// Parallel sessions.
    pub sessions: usize,
    /// Messages in all.
    pub messages: usize,
    /// Time before each message.
    pub pause: Pause,
    /// How often connecting is tried.
    pub attempts: usize,
    /// Replaces the system's socket buffer sizes.
    pub window: Option<usize>,
}

/// What a dialogue wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// More input.
    Wait,
    /// Another message over this connection, if there is one to send.
    Again,
    /// The end of the connection.
    Done,
}

/// What goes into each session; the loop knows no protocol.
pub trait Generator {
    /// The state of one session.
    type Dialogue;

    /// A connection is there, for a message after which `left` are left to send.
    fn begin(&mut self, stream: &mut Stream, left: usize) -> Self::Dialogue;

    /// Another message on an old connection; only after [`Step::Again`].
    fn again(&mut self, dialogue: &mut Self::Dialogue, stream: &mut Stream, left: usize);

    /// No message is left after [`Step::Again`].
    fn finish(&mut self, dialogue: &mut Self::Dialogue, stream: &mut Stream);

    /// Input came. The error ends the program, as text after `fatal: `.
    fn input(&mut self, dialogue: &mut Self::Dialogue, stream: &mut Stream)
    -> Result<Step, String>;

    /// The connection is gone: the text after `fatal: `, unless that is a good end.
    fn lost(&self, dialogue: &Self::Dialogue) -> String;
}

enum Phase<D> {
    Connecting { attempt: usize },
    Talking(D),
}

struct Session<D> {
    stream: Stream,
    phase: Phase<D>,
    /// Messages that were left when this session took one.
    left: usize,
}

/// A session between two messages.
enum Resting {
    Unconnected,
    Connected(Token),
}

struct Loop<'a, G: Generator> {
    plan: &'a Plan,
    generator: &'a mut G,
    reactor: Reactor,
    sessions: HashMap<Token, Session<G::Dialogue>>,
    resting: HashMap<TimerId, Resting>,
    messages_left: usize,
    dice: Dice,
}

/// Sends all messages of the plan. The error is the text after `fatal: `.
pub fn run<G: Generator>(plan: &Plan, generator: &mut G) -> Result<(), String> {
    let mut work = Loop {
        plan,
        generator,
        reactor: Reactor::new().map_err(|error| format!("event loop: {}", error_text(&error)))?,
        sessions: HashMap::new(),
        resting: HashMap::new(),
        messages_left: plan.messages,
        dice: Dice::default(),
    };
    for _ in 0..plan.sessions {
        work.start()?;
    }
    let mut events = Vec::new();
    while !work.sessions.is_empty() || !work.resting.is_empty() {
        work.reactor
            .wait(None, &mut events)
            .map_err(|error| format!("event loop: {}", error_text(&error)))?;
        for event in events.drain(..) {
            match event {
                Event::Timer(timer) => work.rested(timer)?,
                Event::Ready {
                    token,
                    readable,
                    writable,
                } => work.ready(token, readable, writable)?,
            }
        }
    }
    Ok(())
}

impl<G: Generator> Loop<'_, G> {
    /// Takes a message for sending; how many are left then.
    fn take_message(&mut self) -> Option<usize> {
        self.messages_left = self.messages_left.checked_sub(1)?;
        Some(self.messages_left)
    }

    fn pause(&mut self) -> Option<Duration> {
        let seconds = match self.plan.pause {
            Pause::None => return None,
            Pause::Fixed(seconds) => seconds,
            Pause::UpTo(most) => self.dice.up_to(most),
        };
        Some(Duration::from_secs(seconds.into()))
    }

    /// Begins a session, if there is a message for it.
    fn start(&mut self) -> Result<(), String> {
        match self.take_message() {
            Some(left) => self.connect(0, left),
            None => Ok(()),
        }
    }

    /// Lets a session rest after its message; also after the last one, as the reference does.
    /// `false` when there is no pause.
    fn rest(&mut self, session: Resting) -> bool {
        let Some(pause) = self.pause() else {
            return false;
        };
        let timer = self.reactor.set_timer(pause);
        self.resting.insert(timer, session);
        true
    }

    fn rested(&mut self, timer: TimerId) -> Result<(), String> {
        match self.resting.remove(&timer) {
            Some(Resting::Unconnected) => self.start(),
            Some(Resting::Connected(token)) => self.again(token),
            None => Ok(()),
        }
    }

    fn connect(&mut self, attempt: usize, left: usize) -> Result<(), String> {
        match self.plan.endpoint.begin_connect(attempt, self.plan.window) {
            Ok(fd) => {
                let token = self
                    .reactor
                    .register(&fd, Interest::Both)
                    .map_err(|error| format!("event loop: {}", error_text(&error)))?;
                let phase = Phase::Connecting { attempt };
                let stream = Stream::new(fd);
                self.sessions.insert(
                    token,
                    Session {
                        stream,
                        phase,
                        left,
                    },
                );
                Ok(())
            }
            Err(error) => self.retry(attempt, left, &error),
        }
    }

    fn retry(&mut self, attempt: usize, left: usize, error: &io::Error) -> Result<(), String> {
        let text = format!("connect: {}", error_text(error));
        if attempt + 1 >= self.plan.attempts.max(self.addresses()) {
            return Err(text);
        }
        if attempt + 1 >= self.addresses() || self.plan.attempts > 1 {
            log::warn!("{text}");
        }
        self.connect(attempt + 1, left)
    }

    fn addresses(&self) -> usize {
        match &self.plan.endpoint {
            Endpoint::Inet(addresses) => addresses.len(),
            Endpoint::Unix(_) => 1,
        }
    }

    fn ready(&mut self, token: Token, readable: bool, writable: bool) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(&token) else {
            return Ok(());
        };
        if let Phase::Connecting { attempt } = session.phase {
            if !writable {
                return Ok(());
            }
            let left = session.left;
            if let Err(error) = postern_sys::socket::take_error(&session.stream) {
                self.close(token);
                return self.retry(attempt, left, &error);
            }
            postern_sys::socket::tune_tcp(&session.stream);
            session.phase = Phase::Talking(self.generator.begin(&mut session.stream, left));
        }
        if writable {
            self.flush(token)?;
        }
        if readable {
            self.receive(token)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self, token: Token) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(&token) else {
            return Ok(());
        };
        if let (Err(_), Phase::Talking(dialogue)) = (session.stream.flush(), &session.phase) {
            return Err(self.generator.lost(dialogue));
        }
        Ok(())
    }

    fn receive(&mut self, token: Token) -> Result<(), String> {
        while let Some(Session {
            stream,
            phase: Phase::Talking(dialogue),
            ..
        }) = self.sessions.get_mut(&token)
        {
            match stream.receive() {
                Ok(Received::Nothing) => return Ok(()),
                Ok(Received::Data) => {}
                Ok(Received::End) | Err(_) => return Err(self.generator.lost(dialogue)),
            }
            let step = self.generator.input(dialogue, stream)?;
            self.flush(token)?;
            match step {
                Step::Wait => {}
                Step::Again if self.messages_left > 0 && self.rest(Resting::Connected(token)) => {}
                Step::Again => self.again(token)?,
                Step::Done => {
                    self.close(token);
                    if self.rest(Resting::Unconnected) {
                        return Ok(());
                    }
                    return self.start();
                }
            }
        }
        Ok(())
    }

    /// Goes on with another message, or ends the session.
    fn again(&mut self, token: Token) -> Result<(), String> {
        let left = self.take_message();
        if let Some(Session {
            stream,
            phase: Phase::Talking(dialogue),
            ..
        }) = self.sessions.get_mut(&token)
        {
            match left {
                Some(left) => self.generator.again(dialogue, stream, left),
                None => self.generator.finish(dialogue, stream),
            }
        }
        self.flush(token)
    }

    fn close(&mut self, token: Token) {
        if let Some(session) = self.sessions.remove(&token) {
            // The descriptor is closed at once and leaves the poll set with that.
            let _ = self.reactor.deregister(&session.stream);
        }
    }
}
