//! Keeps the logs of undeliverable, deferred and traced recipients and sends the notices made from them.
//! One program, three services: `bounce`, `defer`, `trace`. Manual page: bounce(8); dsn.md and
//! queue.md §17 of our specification.
#![forbid(unsafe_code)]

mod log_file;
mod notice;
mod original;
mod policy;
mod template;

use std::io::Write;
use std::process::ExitCode;

use postern_attr::{AttrError, Encoding, Extra};
use postern_config::params;
use postern_ipc::bounce::{
    AppendBody, FLAG_CLEAN, NoticeBody, OneBody, PROTOCOL, RequestNumber, VerpBody, command,
};
use postern_ipc::{Announcement, StatusReply};
use postern_queue_file::id::is_queue_name;
use postern_queue_file::{Hashing, QueueId};
use postern_server::{
    Client, ClientKind, Context, Needs, ProcessLimit, SingleServer, StartError, single_server,
};
use postern_wire::Channel;

use crate::log_file::Entry;
use crate::policy::Policy;
use crate::template::Templates;

/// A door for the targets of `fuzz/`, which exists only in their builds.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Reads `log` as a log of recipients.
    pub fn read_log(mut log: &[u8]) {
        let entries = crate::log_file::parse(&mut log, "5.0.0", "failed");
        entries.expect("a log in memory can be read");
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Bounce>()
}

/// State of a process.
struct Bounce {
    templates: Templates,
    hashing: Hashing,
    /// Write `<address>: reason` lines for readers of old logs.
    compatible_logs: bool,
}

impl SingleServer for Bounce {
    const NAME: &'static str = "bounce";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::Zero),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        Ok(Self {
            templates: templates(context),
            hashing: postern_delivery::hashing(config),
            compatible_logs: config.get(params::BACKWARDS_BOUNCE_LOGFILE_COMPATIBILITY),
        })
    }

    fn serve(&mut self, context: &Context, client: Client) {
        let mut channel = client.channel;
        if client.kind == ClientKind::StandAlone && self.print(context, &mut channel) {
            return;
        }
        if send(&mut channel, &Announcement::new(PROTOCOL)).is_err() {
            return;
        }
        match self.request(context, &mut channel) {
            Ok(status) => {
                // A client that went away takes the missing answer for a failure, which is what it must be.
                let _ = send(&mut channel, &StatusReply { status });
            }
            Err(error) => {
                if let Some(text) = error.warning(&context.socket_name()) {
                    log::warn!("{text}");
                }
            }
        }
    }
}

fn send<T: serde::Serialize>(channel: &mut Channel, list: &T) -> Result<(), AttrError> {
    postern_attr::write(channel, Encoding::Null, list)?;
    Ok(channel.flush()?)
}

/// Reads the rest of a request whose number was read.
fn body<T: serde::de::DeserializeOwned>(channel: &mut Channel) -> Result<T, AttrError> {
    postern_attr::read(channel, Encoding::Null, Extra::Skip)
}

const OK: i32 = 0;
const FAILED: i32 = -1;

/// Service names under which `postconf -b` and `postconf -t` start this program.
const EXPAND_TEMPLATES: &str = "expand_templates";
const DUMP_TEMPLATES: &str = "dump_templates";

impl Bounce {
    /// Prints templates instead of serving a client, when the service name says so.
    fn print(&self, context: &Context, channel: &mut Channel) -> bool {
        let config = &context.config;
        let printed = match context.service_name.as_str() {
            EXPAND_TEMPLATES => self.templates.expand(config, channel),
            DUMP_TEMPLATES => self.templates.dump(config, channel),
            _ => return false,
        };
        if let Err(error) = printed.and_then(|()| channel.flush()) {
            log::warn!("output write error: {}", postern_sys::error_text(&error));
        }
        true
    }

    /// One request; the answer is 0 or -1.
    fn request(&self, context: &Context, channel: &mut Channel) -> Result<i32, AttrError> {
        let number: RequestNumber = postern_attr::read(channel, Encoding::Null, Extra::Leave)?;
        let policy = || Policy::new(context, &self.templates, &self.hashing);
        Ok(match number.nrequest {
            command::APPEND => self.append(context, &body(channel)?),
            command::FLUSH => {
                let request: NoticeBody = body(channel)?;
                checked(&request, || policy().failure(&request))
            }
            command::WARN => {
                let request: NoticeBody = body(channel)?;
                checked(&request, || policy().delay(&request))
            }
            command::VERP => {
                let request: VerpBody = body(channel)?;
                checked(&request.notice, || policy().failure_verp(&request))
            }
            command::ONE => {
                let request: OneBody = body(channel)?;
                if context.service_name != context.config.get(params::BOUNCE_SERVICE_NAME) {
                    log::warn!(
                        "wrong service name \"{}\" for one-recipient bouncing",
                        context.service_name
                    );
                    return Ok(FAILED);
                }
                checked(&request.notice, || policy().failure_one(&request))
            }
            command::TRACE => {
                let request: NoticeBody = body(channel)?;
                checked(&request, || policy().trace(&request))
            }
            other => {
                log::warn!("unknown command: {other}");
                FAILED
            }
        })
    }

    /// Adds one recipient to the log of this service.
    fn append(&self, context: &Context, request: &AppendBody) -> i32 {
        let Ok(id) = QueueId::parse(&request.queue_id) else {
            log::warn!(
                "malformed queue id: {}",
                postern_mail::printable::escape(request.queue_id.as_bytes())
            );
            return FAILED;
        };
        let path = self.hashing.path(&context.service_name, &id);
        let entry = Entry::new(&request.recipient, &request.dsn);
        match log_file::append(&path, &entry, self.compatible_logs) {
            Ok(()) => OK,
            Err(error) => {
                if request.flags & FLAG_CLEAN != 0 {
                    log_file::remove(&path);
                }
                // The client keeps the mail. An exit would make master(8) keep the service from
                // everybody for a while, and a full disk is no reason for that.
                log::warn!(
                    "append file {}: {}",
                    path.display(),
                    postern_sys::error_text(&error)
                );
                FAILED
            }
        }
    }
}

/// The templates of main.cf. A bad file is fatal only where somebody looks: a service that ends would
/// stop all mail that cannot be delivered at once.
fn templates(context: &Context) -> Templates {
    let mut templates = Templates::default();
    let loaded = templates.load(&context.config.get(params::BOUNCE_TEMPLATE_FILE));
    if let Err(error) = loaded {
        if context.options.stand_alone {
            postern_maillog::fatal!("{error}");
        }
        log::warn!("{error}");
    }
    templates
}

/// Refuses requests whose names could lead out of the queue.
fn checked(request: &NoticeBody, work: impl FnOnce() -> Result<(), policy::Failed>) -> i32 {
    let shown = |text: &str| postern_mail::printable::escape(text.as_bytes());
    if !is_queue_name(&request.queue_name) {
        log::warn!("malformed queue name: {}", shown(&request.queue_name));
        return FAILED;
    }
    if QueueId::parse(&request.queue_id).is_err() {
        log::warn!("malformed queue id: {}", shown(&request.queue_id));
        return FAILED;
    }
    match work() {
        Ok(()) => OK,
        Err(policy::Failed) => FAILED,
    }
}
