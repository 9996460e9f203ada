//! A message in the active queue: its data, and the files around it.

use crate::clog;
use crate::core::{Core, MessageId};
use crate::envelope::{self, Batch, Envelope, Progress, ReadError};
use crate::route::{self, Circumstances, Resolve, Route};
use crate::scans::ScanFlags;
use crate::settings::Settings;
use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::{MessageStats, Moment, Recipient, flag};
use postern_ipc::verify::{self, UpdateRequest, recipient_status};
use postern_ipc::{StatusReply, client};
use postern_queue::Queues;
use postern_queue::nursery;
use postern_queue::recycled::Retiring;
use postern_queue_file::QueueId;
use postern_queue_file::file::{self, LockedFile, OpenError, Readiness};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// Files are taken this much before their time.
const EARLY: Duration = Duration::from_secs(1);
/// Pause before a file that an agent of the process before this one still has open is looked at again.
const STILL_BUSY: Duration = Duration::from_secs(10);

/// A message in the active queue.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: QueueId,
    pub(crate) envelope: Envelope,
    pub(crate) progress: Progress,
    /// When it became active.
    pub(crate) since: Moment,
    /// Some recipient is to be tried again.
    pub(crate) deferred: bool,
    /// Some recipient could not be reported as deferred; the sender would not hear of it.
    pub(crate) unreported: bool,
    /// The file turned out to be unusable while deliveries were going on.
    pub(crate) damage: Option<Damage>,
    pub(crate) force_expire: bool,
    flush_each: bool,
    ignore_defer_transports: bool,
}

impl Active {
    /// The first two time stamps of a delivery request.
    pub(crate) fn stats(&self) -> MessageStats {
        MessageStats {
            incoming_arrival: self.envelope.arrival,
            active_arrival: self.since,
            ..MessageStats::default()
        }
    }
}

/// The active queue on disk and its messages.
pub(crate) struct Desk {
    pub(crate) queues: Queues,
    /// Takes finished messages out of the queue.
    pub(crate) retiring: Retiring,
    pub(crate) settings: Settings,
    pub(crate) resolver: Box<dyn Resolve>,
    pub(crate) messages: HashMap<MessageId, Active>,
    /// Messages that are address probes.
    probes: usize,
    /// When the incoming queue has a file that was busy, and should be scanned for it.
    pub(crate) look_again: Option<Instant>,
}

/// What became of a file that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is in core now.
    Admitted(MessageId),
    /// It is not.
    Skipped,
}

/// A file system error that must end the process: the queue would get out of hand.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", postern_sys::error_text(.error))]
pub(crate) struct Fatal {
    what: String,
    error: io::Error,
}

impl Desk {
    pub(crate) fn new(queues: Queues, settings: Settings, resolver: Box<dyn Resolve>) -> Self {
        nursery::tidy(queues.root());
        Self {
            retiring: Retiring::new(queues.root()),
            queues,
            settings,
            resolver,
            messages: HashMap::new(),
            probes: 0,
            look_again: None,
        }
    }

    /// An address as the log shows it.
    pub(crate) fn logged(&self, address: &BString) -> BString {
        match self.settings.log_internal {
            true => address.clone(),
            false => postern_mail::address::quote(address.as_bstr()),
        }
    }

    /// Moves a file between queues; false when it is gone.
    pub(crate) fn rename(&self, id: &QueueId, from: &str, to: &str) -> Result<bool, Fatal> {
        match self.queues.rename(id, from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                log::warn!(
                    "rename {id} from {from} to {to}: {}",
                    postern_sys::error_text(&error)
                );
                Ok(false)
            }
            Err(error) => {
                let what = format!("rename {id} from {from} to {to}");
                Err(Fatal { what, error })
            }
        }
    }

    /// Moves an active file out of the way, to be looked at after `delay`.
    pub(crate) fn postpone(&self, id: &QueueId, to: &str, delay: Duration) -> Result<(), Fatal> {
        match self
            .queues
            .set_time("active", id, SystemTime::now() + delay)
        {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fatal {
                what: format!("update active/{id} time stamps"),
                error,
            }),
            _ => self.rename(id, "active", to).map(drop),
        }
    }

    /// Takes a file of incoming or deferred into the active queue.
    ///
    /// # Errors
    ///
    /// [`Fatal`] when a directory does not work; a file that cannot be read is put back or aside.
    pub(crate) fn admit(
        &mut self,
        core: &mut Core,
        queue: &str,
        id: QueueId,
        flags: ScanFlags,
    ) -> Result<Admission, Fatal> {
        let now = SystemTime::now();
        let info = match self.queues.ready(queue, &id, now) {
            Ok(Some(info)) => info,
            Ok(None) => return Ok(Admission::Skipped),
            Err(error) => {
                log::warn!("lstat {queue}/{id}: {}", postern_sys::error_text(&error));
                return Ok(Admission::Skipped);
            }
        };
        if info.modified > now + EARLY && !flags.all {
            return Ok(Admission::Skipped);
        }
        if !self.rename(&id, queue, "active")? {
            return Ok(Admission::Skipped);
        }
        let active = Active {
            id: id.clone(),
            envelope: Envelope::default(),
            progress: Progress::default(),
            since: Moment::now(),
            deferred: false,
            unreported: false,
            damage: None,
            force_expire: info.force_expire(),
            flush_each: info.unthrottle(),
            ignore_defer_transports: flags.flush || info.unthrottle(),
        };
        self.open(core, active)
    }

    fn open(&mut self, core: &mut Core, mut active: Active) -> Result<Admission, Fatal> {
        let id = active.id.clone();
        let (file, envelope, batch) = match self.read_first(&id, core.first_batch()) {
            Ok(read) => read,
            Err(trouble) => {
                self.put_back(&id, trouble)?;
                return Ok(Admission::Skipped);
            }
        };
        if active.flush_each
            && let Err(error) = Queues::clear_unthrottle(&file)
        {
            log::warn!(
                "{id}: clear group read bit: {}",
                postern_sys::error_text(&error)
            );
        }
        active.envelope = envelope;
        if self.settings.confirm_delay_cleared
            && active.envelope.warn_offset > 0
            && active.envelope.warn_time < 0
        {
            active.envelope.trace_flags |= flag::REPORT_CLEARED;
        }
        self.probes += usize::from(active.envelope.is_probe());
        let single = active.envelope.verp_delimiters.is_some();
        let message = core.add_message(single);
        // Whoever asked for the end of this message gets it from the reports of earlier rounds.
        let known = active.force_expire && self.has_defer_log(&id);
        if known {
            active.deferred = true;
            self.messages.insert(message, active);
            return Ok(Admission::Admitted(message));
        }
        if let Err(error) = self.queues.remove("defer", &id) {
            log::warn!("remove defer/{id}: {}", postern_sys::error_text(&error));
        }
        self.messages.insert(message, active);
        self.take_batch(core, message, batch, Some(&file));
        Ok(Admission::Admitted(message))
    }

    /// Whether earlier rounds reported recipients as deferred. When that is unknown, no.
    pub(crate) fn has_defer_log(&self, id: &QueueId) -> bool {
        self.queues.has_log("defer", id).unwrap_or(false)
    }

    fn read_first(&self, id: &QueueId, limit: usize) -> Result<Opened, Trouble> {
        let path = self.queues.path("active", id);
        let file = file::open_exclusive(&path)?;
        let started = |envelope: &Envelope| {
            let (size, count) = (envelope.size.content_length, envelope.size.recipient_count);
            let sender = self.logged(&envelope.sender);
            log::info!("{id}: from=<{sender}>, size={size}, nrcpt={count} (queue active)");
        };
        let (envelope, batch) = envelope::read_message(&*file, id.as_str(), limit, started)?;
        Ok((file, envelope, batch))
    }

    /// What happens to a file that cannot be read.
    fn put_back(&mut self, id: &QueueId, trouble: Trouble) -> Result<(), Fatal> {
        match trouble {
            Trouble::Gone => {
                log::warn!("open active/{id}: No such file or directory");
                Ok(())
            }
            Trouble::Busy => {
                log::info!("{id}: skipped, still being delivered");
                // Certainly after its time.
                let soon = Instant::now() + STILL_BUSY + Duration::from_secs(1);
                self.look_again.get_or_insert(soon);
                self.postpone(id, "incoming", STILL_BUSY)
            }
            Trouble::Corrupt => self.save_corrupt(id),
            Trouble::System(error) => {
                log::warn!(
                    "{id}: queue file read error: {}",
                    postern_sys::error_text(&error)
                );
                self.postpone(id, "deferred", self.settings.minimal_backoff)
            }
        }
    }

    fn save_corrupt(&self, id: &QueueId) -> Result<(), Fatal> {
        let what = || format!("rename {id} from active to corrupt");
        self.queues
            .save_corrupt(id, "active")
            .map_err(|error| Fatal {
                what: what(),
                error,
            })
    }

    /// Reads the next recipients of a message in core. A file that is damaged or gone is noted in
    /// the message. Trouble with the system leaves the rest of the recipients for another round.
    pub(crate) fn read_more(&mut self, core: &mut Core, message: MessageId) {
        let Some(active) = self.messages.get_mut(&message) else {
            return;
        };
        if active.progress.offset == 0 {
            return;
        }
        let limit = core.next_batch(message);
        let path = self.queues.path("active", &active.id);
        let batch = file::open_for_update(&path)
            .map_err(Trouble::from)
            .and_then(|file| {
                let (id, envelope) = (active.id.as_str(), &active.envelope);
                Ok(envelope::read_more(
                    &file,
                    id,
                    envelope,
                    active.progress,
                    limit,
                )?)
            });
        match batch {
            Ok(batch) => return self.take_batch(core, message, batch, None),
            Err(Trouble::System(error)) => {
                let text = postern_sys::error_text(&error);
                log::warn!("{}: queue file read error: {text}", active.id);
                // The rest is read in the next round, from the start of the file.
                active.deferred = true;
                active.unreported = true;
            }
            Err(Trouble::Gone) => active.damage = Some(Damage::Gone),
            Err(Trouble::Busy | Trouble::Corrupt) => active.damage = Some(Damage::Corrupt),
        }
        active.progress = Progress::default();
        core.finish_batch(message, 0);
    }

    pub(crate) fn tables_changed(&self) -> Option<String> {
        self.resolver.changed_table()
    }

    fn take_batch(&mut self, core: &mut Core, id: MessageId, batch: Batch, file: Option<&File>) {
        let Some(active) = self.messages.get_mut(&id) else {
            return;
        };
        active.progress = batch.progress;
        if active.envelope.redirect.is_some() {
            // One address stands for all of them.
            active.progress = Progress::default();
        }
        let about = Circumstances {
            envelope: &active.envelope,
            force_expire: active.force_expire,
            flush_each: active.flush_each,
            ignore_defer_transports: active.ignore_defer_transports,
            probes: self.probes,
        };
        let resolver = &mut *self.resolver;
        let routes = route::route_all(core, &self.settings, resolver, about, batch.recipients);
        let mut discarded = Vec::new();
        let mut queues = HashSet::new();
        for route in routes {
            match route {
                Route::To(target, recipient) => {
                    queues.insert(core.assign(id, target, recipient));
                }
                Route::Defer(recipient, dsn) => core.defer_directly(id, vec![recipient], dsn),
                Route::Discard(recipient) => discarded.push(recipient),
            }
        }
        core.finish_batch(id, active.progress.unread_count());
        for queue in queues {
            clog::warn_if_clogging(core, &self.settings, queue);
        }
        for recipient in discarded {
            self.discard(id, &recipient, file);
        }
    }

    /// The end of a notice that nobody could deliver.
    fn discard(&mut self, message: MessageId, recipient: &Recipient, file: Option<&File>) {
        let Some(active) = self.messages.get_mut(&message) else {
            return;
        };
        let path = self.queues.path("active", &active.id);
        let marked = match file {
            Some(file) => file::mark_done(file, recipient.offset),
            None => file::open_for_update(&path)
                .and_then(|file| file::mark_done(&file, recipient.offset)),
        };
        if let Err(error) = marked {
            log::warn!("{}: {}", active.id, postern_sys::error_text(&error));
            active.deferred = true;
            active.unreported = true;
            return;
        }
        let reason = "undeliverable postmaster notification discarded";
        let asked = active.envelope.trace_flags & flag::MTA_VERIFY != 0;
        let status = if asked { "deliverable" } else { "sent" };
        self.log_status(message, recipient, "2.0.0", status, reason.into());
        if asked {
            self.tell_verify(recipient, reason.into());
        }
    }

    /// Lets verify(8) know that a probe for a recipient came to a good end. Nobody waits for that here.
    fn tell_verify(&self, recipient: &Recipient, reason: &BStr) {
        let (at, limit) = (self.settings.verify.clone(), self.settings.ipc_timeout);
        let mut names = vec![
            recipient.original_recipient.clone(),
            recipient.recipient.clone(),
        ];
        names.dedup();
        let reason = reason.to_owned();
        std::thread::spawn(move || {
            for address in names.into_iter().filter(|name| !name.is_empty()) {
                let request = UpdateRequest {
                    request: "update".to_owned(),
                    address,
                    recipient_status: recipient_status::OK,
                    reason: reason.clone(),
                };
                let told: Result<StatusReply, _> =
                    client::one_shot(&at, limit, verify::PROTOCOL, &request);
                if let Err(error) = told {
                    log::warn!("{error}");
                }
            }
        });
    }

    /// The status line of a recipient that the queue manager handled itself.
    pub(crate) fn log_status(
        &self,
        message: MessageId,
        recipient: &Recipient,
        dsn: &str,
        status: &'static str,
        reason: &BStr,
    ) {
        let Some(active) = self.messages.get(&message) else {
            return;
        };
        let (to, original) = (
            self.logged(&recipient.recipient),
            self.logged(&recipient.original_recipient),
        );
        let same =
            recipient.original_recipient.is_empty() || to.eq_ignore_ascii_case(original.as_slice());
        let line = postern_delivery::status_line::StatusLine {
            recipient: to.as_bstr(),
            original: (!same).then_some(original.as_bstr()),
            relay: "none".into(),
            stats: &active.stats(),
            now: Moment::now(),
            resolution: self.settings.delay_resolution,
            dsn: dsn.into(),
            status,
            reason,
        };
        log::info!("{}: {line}", active.id);
    }

    /// Whether an agent found the file damaged.
    pub(crate) fn is_marked_corrupt(&self, id: &QueueId) -> bool {
        let info = self.queues.info("active", id);
        info.is_ok_and(|info| info.is_some_and(|info| info.readiness() == Readiness::Corrupt))
    }

    /// Drops a message from core after its file went to `corrupt`.
    pub(crate) fn give_up_corrupt(
        &mut self,
        core: &mut Core,
        message: MessageId,
    ) -> Result<(), Fatal> {
        match self.forget(core, message) {
            Some(active) => self.save_corrupt(&active.id),
            None => Ok(()),
        }
    }

    /// Drops a message from core.
    pub(crate) fn forget(&mut self, core: &mut Core, message: MessageId) -> Option<Active> {
        let active = self.messages.remove(&message)?;
        core.remove_message(message);
        self.probes -= usize::from(active.envelope.is_probe());
        Some(active)
    }
}

/// What is wrong with the file of a message in core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It does not exist any more.
    Gone,
    /// It breaks the format.
    Corrupt,
}

/// A file (locked as long as it is open) with what was read of it.
type Opened = (LockedFile, Envelope, Batch);

/// Why a file was not read.
enum Trouble {
    Gone,
    Busy,
    Corrupt,
    System(io::Error),
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(_) => Self::Corrupt,
            ReadError::System(error) => Self::System(error),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::System(error),
        }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked => Self::Busy,
            OpenError::Io(error) => error.into(),
        }
    }
}
