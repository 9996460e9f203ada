//! The end of a delivery round: notices, then removal or another round later.
//! Source: delivery.md §1.12, dsn.md §3.
//!
//! A queue file is removed only when nothing of it is deferred and bounce(8) has confirmed every
//! notice: whoever dies in between leaves the file for another round.

use crate::active::{Active, Damage, Desk, Fatal};
use crate::core::{Core, MessageId};
use crate::notices::{Answer, Notices, Purpose};
use postern_ipc::deliver::flag;
use postern_queue_file::file;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// DSN NOTIFY=SUCCESS.
const NOTIFY_SUCCESS: i64 = 2;
/// Flags whose results go to the trace log.
const TRACED: i32 = flag::USER_VERIFY | flag::RECORD | flag::REPORT_CLEARED;
/// A delay notice is sent this much before its time, in seconds.
const EARLY: i64 = 1;

/// What the steps work on.
pub(crate) struct Round<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) desk: &'a mut Desk,
    pub(crate) notices: &'a mut Notices,
}

impl Round<'_> {
    /// All recipients in core are handled: goes on with those in the file, or ends the round.
    pub(crate) fn idle(&mut self, message: MessageId) -> Result<(), Fatal> {
        while let Some(active) = self.desk.messages.get(&message) {
            if !self.core.is_idle(message) {
                return Ok(());
            }
            if let Some(damage) = active.damage {
                return self.damaged(message, damage);
            }
            if active.progress.offset == 0 {
                return self.bounce(message);
            }
            self.desk.read_more(self.core, message);
        }
        Ok(())
    }

    /// The queue file turned out to be damaged, or is gone. What is in the bounce log stays there.
    fn damaged(&mut self, message: MessageId, damage: Damage) -> Result<(), Fatal> {
        match damage {
            Damage::Gone => {
                if let Some(active) = self.desk.forget(self.core, message) {
                    log::warn!("open active/{}: No such file or directory", active.id);
                }
                Ok(())
            }
            Damage::Corrupt => self.desk.give_up_corrupt(self.core, message),
        }
    }

    /// Handles an answer of bounce(8), other than for an append.
    pub(crate) fn answered(&mut self, answer: Answer) -> Result<(), Fatal> {
        let Answer {
            message,
            purpose,
            ok,
        } = answer;
        let Some(active) = self.desk.messages.get_mut(&message) else {
            return Ok(());
        };
        match purpose {
            Purpose::Bounce => {
                active.deferred |= !ok;
                self.trace(message)
            }
            Purpose::Trace => {
                active.deferred |= !ok;
                self.traced(message, ok)
            }
            Purpose::Expire => {
                active.deferred = !ok;
                self.finish(message)
            }
            Purpose::Warn => {
                self.warned(message, ok);
                self.finish(message)
            }
            Purpose::Append(_) => Ok(()),
        }
    }

    fn bounce(&mut self, message: MessageId) -> Result<(), Fatal> {
        let Some(active) = self.desk.messages.get_mut(&message) else {
            return Ok(());
        };
        match self.desk.queues.info("bounce", &active.id) {
            Ok(None) => self.trace(message),
            Ok(Some(log)) if log.size == 0 => {
                if let Err(error) = self.desk.queues.remove("bounce", &active.id) {
                    let text = postern_sys::error_text(&error);
                    log::warn!("remove bounce/{}: {text}", active.id);
                }
                self.trace(message)
            }
            Ok(Some(_)) => {
                self.notices.send(self.desk, message, Purpose::Bounce);
                Ok(())
            }
            Err(error) => {
                log::warn!(
                    "lstat bounce/{}: {}",
                    active.id,
                    postern_sys::error_text(&error)
                );
                active.deferred = true;
                self.trace(message)
            }
        }
    }

    fn trace(&mut self, message: MessageId) -> Result<(), Fatal> {
        let Some(active) = self.desk.messages.get(&message) else {
            return Ok(());
        };
        if active.deferred && self.desk.is_marked_corrupt(&active.id) {
            return self.desk.give_up_corrupt(self.core, message);
        }
        let envelope = &active.envelope;
        let wanted =
            envelope.trace_flags & TRACED != 0 || envelope.size.notify() & NOTIFY_SUCCESS != 0;
        if wanted {
            self.notices.send(self.desk, message, Purpose::Trace);
            return Ok(());
        }
        self.expire_or_warn(message)
    }

    fn traced(&mut self, message: MessageId, ok: bool) -> Result<(), Fatal> {
        let Some(active) = self.desk.messages.get_mut(&message) else {
            return Ok(());
        };
        let flags = active.envelope.trace_flags;
        if ok && flags & flag::USER_VERIFY != 0 {
            // A report was asked for, not a delivery: there is nothing to try again.
            active.deferred = false;
        }
        if ok && flags & flag::RECORD != 0 && active.envelope.trace_offset > 0 {
            let path = self.desk.queues.path("active", &active.id);
            let offset = active.envelope.trace_offset;
            let killed =
                file::open_for_update(&path).and_then(|file| file::kill_attribute(&file, offset));
            if let Err(error) = killed {
                log::warn!("{}: {}", active.id, postern_sys::error_text(&error));
            }
        }
        self.expire_or_warn(message)
    }

    fn expire_or_warn(&mut self, message: MessageId) -> Result<(), Fatal> {
        let Some(active) = self.desk.messages.get(&message) else {
            return Ok(());
        };
        if !active.deferred {
            return self.finish(message);
        }
        let now = seconds_now();
        let envelope = &active.envelope;
        // Without complete reports the sender would not hear of all recipients.
        let reported = !active.unreported && self.desk.has_defer_log(&active.id);
        if reported && (active.force_expire || is_expired(self.desk, active, now)) {
            let word = if active.force_expire {
                "force-expired"
            } else {
                "expired"
            };
            let sender = self.desk.logged(&envelope.sender);
            log::info!(
                "{}: from=<{sender}>, status={word}, returned to sender",
                active.id
            );
            self.notices.send(self.desk, message, Purpose::Expire);
            return Ok(());
        }
        if envelope.warn_time > 0 && now >= envelope.warn_time - EARLY {
            self.notices.send(self.desk, message, Purpose::Warn);
            return Ok(());
        }
        self.finish(message)
    }

    fn warned(&mut self, message: MessageId, ok: bool) {
        let Some(active) = self.desk.messages.get(&message).filter(|_| ok) else {
            return;
        };
        let path = self.desk.queues.path("active", &active.id);
        let written = file::open_for_update(&path)
            .and_then(|file| file::rewrite_warn_time(&file, active.envelope.warn_offset, -1));
        if let Err(error) = written {
            log::warn!("{}: {}", active.id, postern_sys::error_text(&error));
        }
    }

    fn finish(&mut self, message: MessageId) -> Result<(), Fatal> {
        let Some(active) = self.desk.forget(self.core, message) else {
            return Ok(());
        };
        if active.deferred {
            let delay = self.retry_delay(&active);
            return self.desk.postpone(&active.id, "deferred", delay);
        }
        let path = self.desk.queues.path("active", &active.id);
        match self.desk.retiring.remove(&path) {
            Ok(true) => log::info!("{}: removed", active.id),
            Ok(false) => {
                let text = io::Error::from_raw_os_error(nix::libc::ENOENT);
                log::warn!("remove {}: {}", active.id, postern_sys::error_text(&text));
            }
            // It stays in the active queue; the next start of this program delivers what is left
            // in it, which is nothing.
            Err(error) => {
                log::warn!("remove {}: {}", active.id, postern_sys::error_text(&error));
            }
        }
        Ok(())
    }

    /// The wait is the age of the message, so that the age doubles with each attempt.
    fn retry_delay(&self, active: &Active) -> Duration {
        let age = seconds_now().saturating_sub(active.envelope.created);
        let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
        let settings = &self.desk.settings;
        age.max(settings.minimal_backoff)
            .min(settings.maximal_backoff.max(settings.minimal_backoff))
    }
}

fn is_expired(desk: &Desk, active: &Active, now: i64) -> bool {
    let lifetime = match active.envelope.sender.is_empty() {
        true => desk.settings.bounce_lifetime,
        false => desk.settings.queue_lifetime,
    };
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    now >= active.envelope.created.saturating_add(lifetime)
}

fn seconds_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
