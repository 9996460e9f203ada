//! Operations on single messages.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use bstr::ByteSlice;
use postern_queue_file::QueueId;
use postern_queue_file::file::Readiness;
use postern_sys::error_text;

use crate::Work;
use crate::files::{self, Failure};
use crate::options::Action;
use crate::report;
use crate::scan::Queue;

/// Logs about a message; they go before the message does, so that none is left over.
pub(crate) const LOGS: [&str; 3] = ["bounce", "defer", "trace"];

/// Rounds of a search: a message may be moved from a queue not yet searched to one that was.
const ROUNDS: usize = 2;

impl Work {
    /// Does `action` to the message with this name, if it is in one of the queues.
    pub(crate) fn apply(
        &mut self,
        action: Action,
        name: &[u8],
        queues: &[String],
    ) -> Result<(), Failure> {
        if action == Action::ExpireAndRelease {
            self.apply(Action::Expire, name, queues)?;
            return self.apply(Action::Release, name, queues);
        }
        let Ok(id) = QueueId::parse(name) else {
            log::warn!("invalid mail queue id: {}", name.as_bstr());
            return Ok(());
        };
        for _ in 0..ROUNDS {
            for queue in queues {
                if self.is_searched(action, queue)? && self.treat_one(action, queue, &id)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_searched(&self, action: Action, queue: &str) -> Result<bool, Failure> {
        Ok(match action {
            Action::Release => queue == "hold",
            Action::Delete => Queue::named(queue)?.messages,
            Action::Hold => queue != "hold" && Queue::named(queue)?.accepted_mail(),
            Action::Expire | Action::ExpireAndRelease | Action::Requeue => {
                Queue::named(queue)?.accepted_mail()
            }
        })
    }

    /// `true` when the message was here and the action done.
    fn treat_one(&mut self, action: Action, queue: &str, id: &QueueId) -> Result<bool, Failure> {
        let Some(path) = self.find(queue, id) else {
            return Ok(false);
        };
        let done = match action {
            Action::Delete => {
                for log in LOGS {
                    files::remove(&self.queues.path(log, id))?;
                }
                files::remove(&path)?
            }
            Action::Expire | Action::ExpireAndRelease => files::expire(&path),
            Action::Hold => self.transfer(&path, id, "hold")?,
            Action::Release => self.transfer(&path, id, "deferred")?,
            Action::Requeue => {
                self.transfer(&path, id, "maildrop")? && self.touch("maildrop", id)?
            }
        };
        if done {
            let (count, what) = match action {
                Action::Delete => (&mut self.counts.deleted, "removed"),
                Action::Expire | Action::ExpireAndRelease => (&mut self.counts.expired, "expired"),
                Action::Hold => (&mut self.counts.held, "placed on hold"),
                Action::Release => (&mut self.counts.released, "released from hold"),
                Action::Requeue => (&mut self.counts.requeued, "requeued"),
            };
            *count += 1;
            log::info!("{id}: {what}");
            if self.json {
                report::print(&report::action_as_json(id.as_ref(), what));
            }
        }
        Ok(done)
    }

    /// The path of a complete message.
    fn find(&self, queue: &str, id: &QueueId) -> Option<PathBuf> {
        let path = self.queues.path(queue, id);
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!("{}: {}", path.display(), error_text(&error));
                }
                return None;
            }
        };
        if !meta.is_file() {
            let uid = std::os::unix::fs::MetadataExt::uid(&meta);
            log::warn!("{}: uid {uid}: not a regular file", path.display());
            return None;
        }
        // Has its own word on files with many links.
        let info = self
            .queues
            .ready(queue, id, SystemTime::now())
            .ok()
            .flatten()?;
        (info.readiness() == Readiness::Ready).then_some(path)
    }

    /// Makes a requeued message as young as a new one, for the warning about old files in pickup(8).
    fn touch(&self, queue: &str, id: &QueueId) -> Result<bool, Failure> {
        match self.queues.set_time(queue, id, SystemTime::now()) {
            // Picked up already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(Failure::Time(self.queues.path(queue, id), error)),
            Ok(()) => Ok(true),
        }
    }
}
