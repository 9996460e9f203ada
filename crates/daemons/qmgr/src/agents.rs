//! Connections to delivery agents: one for each delivery, from connecting to the final status.
//! Source: delivery.md §1.8 and §1.10, ipc.md §4.5.

use crate::active::{Active, Desk};
use crate::core::{Core, EntryId, Outcome, TransportId};
use crate::link::{Link, trouble_text};
use crate::notices::send_options;
use crate::route::verp_sender;
use bstr::{BString, ByteSlice};
use postern_attr::{AttrError, Encoding};
use postern_ipc::Announcement;
use postern_ipc::client::PRIVATE;
use postern_ipc::deliver::{Dsn, PROTOCOL, Recipient, Reply, Request, flag};
use postern_mail::dsn::is_status;
use postern_maillog::fatal;
use postern_queue_file::RecordType;
use postern_server::{Reactor, TimerId, Token};
use std::collections::HashMap;
use std::os::unix::fs::FileExt;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// The agent's announcement.
    Greeting,
    /// The end of the transport's rate delay.
    Pause,
    /// The agent to read its request.
    Sending(EntryId),
    /// The final status.
    Delivering(EntryId),
}

struct Agent {
    link: Link,
    transport: TransportId,
    state: State,
}

/// All agents at work.
#[derive(Default)]
pub(crate) struct Agents {
    agents: HashMap<Token, Agent>,
}

/// The scheduler and the messages, which every step needs.
pub(crate) struct Hall<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) desk: &'a mut Desk,
    pub(crate) reactor: &'a mut Reactor,
}

impl Agents {
    /// Starts to connect an agent of a transport that [`Core::select_transport`] chose.
    pub(crate) fn connect(&mut self, hall: &mut Hall<'_>, transport: TransportId) {
        let name = hall.core.transports[transport].name.clone();
        let path = hall.desk.queues.root().join(PRIVATE).join(&name);
        match Link::connect(hall.reactor, &path) {
            Ok(mut link) => {
                link.set_limit(hall.reactor, hall.desk.settings.daemon_timeout);
                let slow = !hall.core.transports[transport]
                    .params
                    .transport_rate_delay
                    .is_zero();
                hall.core.transports[transport].rate_locked = slow;
                let token = link.token;
                let state = State::Greeting;
                self.agents.insert(
                    token,
                    Agent {
                        link,
                        transport,
                        state,
                    },
                );
            }
            Err(error) => {
                let text = postern_sys::error_text(&error);
                log::warn!("connect to transport {PRIVATE}/{name}: {text}");
                hall.core.agent_left(transport);
                unavailable(hall.core, transport);
            }
        }
    }

    /// Handles an event of a connection; false when it is none of these.
    pub(crate) fn ready(
        &mut self,
        hall: &mut Hall<'_>,
        token: Token,
        readable: bool,
        writable: bool,
    ) -> bool {
        let Some(agent) = self.agents.get_mut(&token) else {
            return false;
        };
        agent.link.ready(readable, writable);
        self.step(hall, token);
        true
    }

    fn step(&mut self, hall: &mut Hall<'_>, token: Token) {
        let Some(agent) = self.agents.get_mut(&token) else {
            return;
        };
        match agent.state {
            State::Greeting => {
                if let Some(greeting) = agent.link.list() {
                    self.greeted(hall, token, greeting);
                }
            }
            State::Pause => {}
            State::Sending(entry) => {
                if agent.link.is_sent() {
                    agent.state = State::Delivering(entry);
                    agent
                        .link
                        .set_limit(hall.reactor, hall.desk.settings.daemon_timeout);
                }
                self.receive(hall, token, entry);
            }
            State::Delivering(entry) => self.receive(hall, token, entry),
        }
    }

    fn greeted(
        &mut self,
        hall: &mut Hall<'_>,
        token: Token,
        greeting: Result<Announcement, AttrError>,
    ) {
        let Some(agent) = self.agents.get_mut(&token) else {
            return;
        };
        let transport = agent.transport;
        let name = hall.core.transports[transport].name.clone();
        match greeting {
            Ok(greeting) if greeting.protocol == PROTOCOL => {
                let delay = hall.core.transports[transport].params.transport_rate_delay;
                if delay.is_zero() {
                    self.assign(hall, token);
                } else {
                    agent.state = State::Pause;
                    agent.link.set_limit(hall.reactor, delay);
                }
                return;
            }
            Ok(greeting) => log::warn!(
                "unexpected protocol {} from {PRIVATE}/{name} socket (expected: {PROTOCOL})",
                greeting.protocol
            ),
            Err(error) => log::warn!("{PRIVATE}/{name} socket: {}", trouble_text(&error)),
        }
        self.close(hall, token);
        hall.core.agent_left(transport);
        unavailable(hall.core, transport);
    }

    /// Gives an agent that is ready its request.
    fn assign(&mut self, hall: &mut Hall<'_>, token: Token) {
        let Some(agent) = self.agents.get_mut(&token) else {
            return;
        };
        let desk = &mut *hall.desk;
        let mut refill = |core: &mut Core, message| desk.read_more(core, message);
        let picked = hall.core.connected(agent.transport, &mut refill);
        let Some(entry) = picked else {
            hall.core.transports[agent.transport].rate_locked = false;
            self.close(hall, token);
            return;
        };
        match request(hall.core, hall.desk, entry) {
            Ok(bytes) => {
                agent.state = State::Sending(entry);
                agent
                    .link
                    .set_limit(hall.reactor, hall.desk.settings.ipc_timeout);
                agent.link.send(hall.reactor, &bytes);
                self.step(hall, token);
            }
            Err(error) => {
                // A NUL in an address of the queue file: it cannot be said in this protocol.
                let id = hall.desk.messages.get(&hall.core.entries[entry].message);
                let id = id.map(|active| active.id.to_string()).unwrap_or_default();
                log::warn!("{id}: {error}");
                self.close(hall, token);
                let outcome = Outcome::Good;
                defer_undone(
                    hall,
                    entry,
                    &simple_dsn("4.3.0", "malformed address in queue file"),
                );
                hall.core.done(entry, outcome);
            }
        }
    }

    fn receive(&mut self, hall: &mut Hall<'_>, token: Token, entry: EntryId) {
        let Some(agent) = self.agents.get_mut(&token) else {
            return;
        };
        let Some(reply) = agent.link.list::<Reply>() else {
            return;
        };
        let (transport, sent) = (agent.transport, agent.link.is_sent());
        self.close(hall, token);
        match reply {
            Ok(reply) => finished(hall, entry, &reply),
            Err(error) => {
                let name = &hall.core.transports[transport].name;
                // So Postfix also calls an agent that is gone without an answer.
                let trouble = if sent {
                    "malformed response"
                } else {
                    trouble_text(&error)
                };
                log::warn!("{PRIVATE}/{name} socket: {trouble}");
                if sent {
                    crashed(hall, transport, entry);
                } else {
                    hall.core.unpick(entry);
                    unavailable(hall.core, transport);
                }
            }
        }
    }

    /// Handles a timer; false when it belongs to somebody else.
    pub(crate) fn timeout(&mut self, hall: &mut Hall<'_>, timer: TimerId) -> bool {
        let mut agents = self.agents.iter();
        let late = agents.find(|(_, agent)| agent.link.is_limit(timer));
        let Some((token, transport, state)) =
            late.map(|(token, agent)| (*token, agent.transport, agent.state))
        else {
            return false;
        };
        let name = hall.core.transports[transport].name.clone();
        match state {
            State::Greeting => fatal!("timeout connecting to transport: {name}"),
            State::Pause => self.assign(hall, token),
            State::Sending(entry) => {
                log::warn!("timeout on {PRIVATE}/{name} socket while sending a delivery request");
                self.close(hall, token);
                hall.core.unpick(entry);
                unavailable(hall.core, transport);
            }
            State::Delivering(entry) => {
                let active = hall.desk.messages.get(&hall.core.entries[entry].message);
                let id = active
                    .map(|active| active.id.to_string())
                    .unwrap_or_default();
                fatal!("{id}: timeout receiving delivery status from transport: {name}")
            }
        }
        true
    }

    fn close(&mut self, hall: &mut Hall<'_>, token: Token) {
        if let Some(agent) = self.agents.remove(&token) {
            agent.link.close(hall.reactor);
        }
    }
}

fn simple_dsn(status: &str, reason: &str) -> Dsn {
    Dsn {
        status: status.into(),
        action: "delayed".into(),
        reason: reason.into(),
        ..Dsn::default()
    }
}

/// The service cannot be reached.
fn unavailable(core: &mut Core, transport: TransportId) {
    core.throttle_transport(transport, simple_dsn("4.3.0", "mail transport unavailable"));
}

/// The agent went away in the middle of a delivery.
fn crashed(hall: &mut Hall<'_>, transport: TransportId, entry: EntryId) {
    let name = &hall.core.transports[transport].name;
    log::warn!(
        "transport {name} failure -- see a previous warning/fatal/panic logfile record for the \
         problem description"
    );
    let dsn = simple_dsn("4.3.0", "unknown mail transport error");
    defer_undone(hall, entry, &dsn);
    hall.core.done(entry, Outcome::Crash(suspended(dsn)));
}

/// The agent did its duty.
fn finished(hall: &mut Hall<'_>, entry: EntryId, reply: &Reply) {
    if reply.final_status == 0 {
        hall.core.done(entry, Outcome::Good);
        return;
    }
    let message = hall.core.entries[entry].message;
    if let Some(active) = hall.desk.messages.get_mut(&message) {
        active.deferred = true;
    }
    if reply.status.is_empty() {
        hall.core.done(entry, Outcome::Good);
        return;
    }
    let mut dsn = reply.dsn();
    if !is_status(&dsn.status) {
        dsn.status = "4.0.0".into();
    }
    if dsn.reason.is_empty() {
        dsn.reason = "unknown error".into();
    }
    hall.core.done(entry, Outcome::Site(suspended(dsn)));
}

/// The reason for those recipients that were not tried.
fn suspended(mut dsn: Dsn) -> Dsn {
    let reason = [b"delivery temporarily suspended: ", dsn.reason.as_slice()].concat();
    dsn.reason = reason.into();
    dsn
}

/// Reports the recipients of a broken delivery that the agent did not mark as done, so that the
/// sender hears of them when the message expires.
fn defer_undone(hall: &mut Hall<'_>, entry: EntryId, dsn: &Dsn) {
    let message = hall.core.entries[entry].message;
    let recipients = hall.core.entries[entry].recipients.clone();
    let Some(active) = hall.desk.messages.get_mut(&message) else {
        return;
    };
    active.deferred = true;
    let path = hall.desk.queues.path("active", &active.id);
    let file = std::fs::File::open(path);
    let undone: Vec<Recipient> = recipients
        .into_iter()
        .filter(|recipient| match &file {
            Ok(file) => is_undone(file, recipient.offset),
            Err(_) => true,
        })
        .collect();
    if !undone.is_empty() {
        hall.core.defer_directly(message, undone, dsn.clone());
    }
}

fn is_undone(file: &std::fs::File, offset: i64) -> bool {
    let mut letter = [0];
    let read = u64::try_from(offset).map(|offset| file.read_exact_at(&mut letter, offset));
    !matches!(read, Ok(Ok(()))) || letter == [RecordType::RECIPIENT.0]
}

/// The bytes of a delivery request.
fn request(core: &Core, desk: &Desk, entry: EntryId) -> Result<Vec<u8>, AttrError> {
    let entry = &core.entries[entry];
    let Some(active) = desk.messages.get(&entry.message) else {
        return Err(AttrError::Malformed("message is gone".to_owned()));
    };
    let mut flags = active.envelope.trace_flags;
    flags |= match active.envelope.inspector {
        Some(_) => flag::BOUNCE,
        None => flag::DEFAULT,
    };
    if entry.cache_load {
        flags |= flag::CACHE_LOAD;
    }
    if entry.cache_store {
        flags |= flag::CACHE_STORE;
    }
    let list = request_list(
        active,
        flags,
        &entry.recipients,
        &core.queues[entry.queue].nexthop,
    );
    let mut bytes = postern_attr::to_bytes(Encoding::Null, &list)?;
    for recipient in &entry.recipients {
        bytes.extend(postern_attr::to_bytes(Encoding::Null, recipient)?);
    }
    Ok(bytes)
}

fn request_list(
    active: &Active,
    flags: i32,
    recipients: &[Recipient],
    nexthop: &BString,
) -> Request {
    let envelope = &active.envelope;
    let sender = match (&envelope.verp_delimiters, recipients) {
        (Some(delimiters), [recipient]) => verp_sender(
            delimiters.as_bstr(),
            envelope.sender.as_bstr(),
            recipient.recipient.as_bstr(),
        ),
        _ => envelope.sender.clone(),
    };
    Request {
        flags,
        queue_name: "active".to_owned(),
        queue_id: active.id.to_string(),
        offset: envelope.size.data_offset,
        size: envelope.size.content_length,
        nexthop: nexthop.clone(),
        encoding: envelope.encoding.clone(),
        smtputf8: send_options(active),
        sender,
        envelope_id: envelope.envelope_id.clone(),
        ret_flags: envelope.ret_flags,
        time: active.stats().to_data(),
        log_client_name: envelope.log_client_name.clone(),
        log_client_address: envelope.log_client_address.clone(),
        log_client_port: envelope.log_client_port.clone(),
        log_protocol_name: envelope.log_protocol_name.clone(),
        log_helo_name: envelope.log_helo_name.clone(),
        sasl_method: envelope.sasl_method.clone(),
        sasl_username: envelope.sasl_username.clone(),
        sasl_sender: envelope.sasl_sender.clone(),
        log_ident: envelope.log_ident.clone(),
        rewrite_context: envelope.rewrite_context.clone(),
        recipient_count: i32::try_from(recipients.len()).unwrap_or(i32::MAX),
    }
}
