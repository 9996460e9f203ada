//! Requests to bounce(8) in its three roles, sent without waiting for the answers.

use crate::active::{Active, Desk};
use crate::core::MessageId;
use crate::link::Link;
use bstr::BString;
use postern_attr::{Encoding, to_bytes};
use postern_ipc::bounce::{
    AppendBody, FLAG_DELRCPT, NoticeBody, PROTOCOL, Request, VerpBody, command,
};
use postern_ipc::client::PRIVATE;
use postern_ipc::deliver::{Dsn, Recipient};
use postern_ipc::{Announcement, StatusReply};
use postern_server::{Reactor, TimerId, Token};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Longest wait for each step of a request.
const STEP_LIMIT: Duration = Duration::from_secs(1000);
/// Requests under way at a time; others wait for their turn.
const CONCURRENCY: usize = 50;

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A non-delivery notice.
    Bounce,
    /// A delivery report.
    Trace,
    /// A non-delivery notice, because the message is too old.
    Expire,
    /// A delay notice.
    Warn,
    /// One recipient in the defer log; the number tells which report it belongs to.
    Append(u64),
}

/// A request that is not under way yet.
struct Notice {
    message: MessageId,
    purpose: Purpose,
    service: String,
    bytes: Vec<u8>,
}

struct Running {
    notice: Notice,
    link: Link,
    sent: bool,
}

/// An answer, or the failure to get one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) message: MessageId,
    pub(crate) purpose: Purpose,
    pub(crate) ok: bool,
}

/// All requests.
#[derive(Default)]
pub(crate) struct Notices {
    waiting: VecDeque<Notice>,
    running: HashMap<Token, Running>,
    answers: VecDeque<Answer>,
}

impl Notices {
    /// The next answer that nobody has handled.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Asks for a notice about a whole message.
    pub(crate) fn send(&mut self, desk: &Desk, message: MessageId, purpose: Purpose) {
        let Some(active) = desk.messages.get(&message) else {
            return;
        };
        let settings = &desk.settings;
        let verp = active.envelope.verp_delimiters.as_ref();
        let verp = verp.filter(|_| !settings.disable_verp_bounces);
        let (service, number, flags, verp) = match purpose {
            Purpose::Trace => {
                let flags = active.envelope.trace_flags;
                (&settings.trace_service, command::TRACE, flags, None)
            }
            Purpose::Warn => (&settings.defer_service, command::WARN, 0, None),
            Purpose::Bounce => (&settings.bounce_service, command::FLUSH, 0, verp),
            // Marks the recipients as done: a crash after the notice must not lead to another one.
            Purpose::Expire | Purpose::Append(_) => {
                (&settings.defer_service, command::FLUSH, FLAG_DELRCPT, verp)
            }
        };
        let body = notice_body(active, flags);
        let bytes = match verp {
            Some(delimiters) => {
                let body = VerpBody {
                    notice: body,
                    verp_delimiters: delimiters.clone(),
                };
                let request = Request {
                    nrequest: command::VERP,
                    body: &body,
                };
                to_bytes(Encoding::Null, &request)
            }
            None => {
                let request = Request {
                    nrequest: number,
                    body: &body,
                };
                to_bytes(Encoding::Null, &request)
            }
        };
        self.enqueue(message, purpose, service.clone(), bytes);
    }

    /// Asks to log a recipient as deferred.
    pub(crate) fn append(
        &mut self,
        desk: &Desk,
        message: MessageId,
        report: u64,
        recipient: Recipient,
        dsn: Dsn,
    ) {
        let Some(active) = desk.messages.get(&message) else {
            return;
        };
        let body = AppendBody {
            flags: 0,
            queue_id: active.id.to_string(),
            recipient,
            dsn,
        };
        let request = Request {
            nrequest: command::APPEND,
            body: &body,
        };
        let bytes = to_bytes(Encoding::Null, &request);
        let service = desk.settings.defer_service.clone();
        self.enqueue(message, Purpose::Append(report), service, bytes);
    }

    fn enqueue(
        &mut self,
        message: MessageId,
        purpose: Purpose,
        service: String,
        bytes: Result<Vec<u8>, postern_attr::AttrError>,
    ) {
        match bytes {
            Ok(bytes) => self.waiting.push_back(Notice {
                message,
                purpose,
                service,
                bytes,
            }),
            // A NUL in an address of the queue file: it cannot be said in this protocol.
            Err(error) => {
                log::warn!("{PRIVATE}/{service}: {error}");
                self.answers.push_back(Answer {
                    message,
                    purpose,
                    ok: false,
                });
            }
        }
    }

    /// Starts requests that wait for their turn.
    pub(crate) fn start(&mut self, desk: &Desk, reactor: &mut Reactor) {
        while self.running.len() < CONCURRENCY {
            let Some(notice) = self.waiting.pop_front() else {
                return;
            };
            let path = desk.queues.root().join(PRIVATE).join(&notice.service);
            match Link::connect(reactor, &path) {
                Ok(mut link) => {
                    link.set_limit(reactor, STEP_LIMIT);
                    let running = Running {
                        notice,
                        link,
                        sent: false,
                    };
                    self.running.insert(running.link.token, running);
                }
                Err(error) => {
                    let text = postern_sys::error_text(&error);
                    log::warn!("connect to {PRIVATE}/{}: {text}", notice.service);
                    self.finish(&notice, false);
                }
            }
        }
    }

    fn finish(&mut self, notice: &Notice, ok: bool) {
        self.answers.push_back(Answer {
            message: notice.message,
            purpose: notice.purpose,
            ok,
        });
    }

    /// Handles an event of a connection; false when it is none of these.
    pub(crate) fn ready(
        &mut self,
        reactor: &mut Reactor,
        token: Token,
        readable: bool,
        writable: bool,
    ) -> bool {
        let Some(running) = self.running.get_mut(&token) else {
            return false;
        };
        running.link.ready(readable, writable);
        if let Some(ok) = running.step(reactor) {
            self.close(reactor, token, ok);
        }
        true
    }

    /// Handles a timer; false when it belongs to somebody else.
    pub(crate) fn timeout(&mut self, reactor: &mut Reactor, timer: TimerId) -> bool {
        let mut running = self.running.iter();
        let late = running.find(|(_, running)| running.link.is_limit(timer));
        let Some(token) = late.map(|(token, _)| *token) else {
            return false;
        };
        if let Some(running) = self.running.get(&token) {
            let part = postern_attr::Part::Value;
            running.warn(&postern_attr::AttrError::Timeout(part));
        }
        self.close(reactor, token, false);
        true
    }

    fn close(&mut self, reactor: &mut Reactor, token: Token, ok: bool) {
        if let Some(Running { notice, link, .. }) = self.running.remove(&token) {
            link.close(reactor);
            self.finish(&notice, ok);
        }
    }
}

impl Running {
    fn warn(&self, error: &postern_attr::AttrError) {
        let path = format!("{PRIVATE}/{} socket", self.notice.service);
        let text = error.warning(&path);
        log::warn!(
            "{}",
            text.unwrap_or_else(|| format!("{path}: premature disconnect"))
        );
    }

    /// The next step of the exchange; the result when it is over.
    fn step(&mut self, reactor: &mut Reactor) -> Option<bool> {
        if !self.sent {
            match self.link.list::<Announcement>()? {
                Ok(greeting) if greeting.protocol == PROTOCOL => {}
                Ok(greeting) => {
                    self.warn(&postern_attr::AttrError::UnexpectedProtocol {
                        got: greeting.protocol.into(),
                        want: PROTOCOL.to_owned(),
                    });
                    return Some(false);
                }
                Err(error) => {
                    self.warn(&error);
                    return Some(false);
                }
            }
            self.sent = true;
            self.link.set_limit(reactor, STEP_LIMIT);
            let bytes = std::mem::take(&mut self.notice.bytes);
            self.link.send(reactor, &bytes);
        }
        match self.link.list::<StatusReply>()? {
            Ok(reply) => Some(reply.status == 0),
            Err(error) => {
                self.warn(&error);
                Some(false)
            }
        }
    }
}

fn notice_body(active: &Active, flags: i32) -> NoticeBody {
    let envelope = &active.envelope;
    NoticeBody {
        flags,
        queue_name: "active".to_owned(),
        queue_id: active.id.to_string(),
        encoding: envelope.encoding.clone(),
        smtputf8: send_options(active),
        sender: envelope.sender.clone(),
        envelope_id: BString::clone(&envelope.envelope_id),
        ret_flags: envelope.ret_flags,
    }
}

/// The SMTPUTF8 bits of a message.
pub(crate) fn send_options(active: &Active) -> i32 {
    i32::try_from(active.envelope.size.send_options).unwrap_or(0)
}
