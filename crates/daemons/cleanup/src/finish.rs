//! The end of the input: commit, bounce, or give up; and what the client is told.

use bstr::BString;
use postern_ipc::cleanup::{Reply, flag, status};
use postern_ipc::{ClientError, trigger};
use postern_queue_file::SizeRecord;

use crate::message::{Message, send_option};
use crate::queue::{HOLD, INCOMING, QueueError};
use crate::settings::Settings;

impl Message<'_> {
    /// Settles the message's fate. After this the reply tells the truth: 0 means that the message
    /// is on the disk, or was discarded or bounced on purpose.
    pub(crate) fn finish(mut self) -> Reply {
        if self.is(flag::DISCARD) {
            self.status = 0;
            self.reason.clear();
            return self.give_up("discarded");
        }
        if self.is_going_on() && self.file.is_too_big() {
            self.note_write(Err(QueueError::TooBig));
        }
        if self.status == 0 && self.recipient_count == 0 {
            self.status |= status::RCPT;
        }
        self.put_final_size();
        if self.status != 0 && self.can_bounce() {
            if self.bounce() {
                self.status = 0;
            } else {
                // Whatever the reason was, the client has to keep the message.
                self.status = status::WRITE;
            }
            return self.give_up("bounced");
        }
        if self.status != 0 {
            return self.give_up("canceled");
        }
        self.commit()
    }

    /// Removes the file of a client that went away before it said anything.
    pub(crate) fn abandon(self) {
        self.cleanup.queue.discard(self.file);
    }

    fn put_final_size(&mut self) {
        if self.status & (status::BAD | status::WRITE) != 0 {
            return;
        }
        let requested = if self.is(flag::SMTPUTF8) {
            send_option::REQUESTED
        } else {
            0
        };
        let mixed = if self.mixed { SizeRecord::MIXED } else { 0 };
        let size = SizeRecord {
            data_size: self.data_size,
            data_offset: self.data_offset,
            recipient_count: self.recipient_count,
            flags: mixed | i64::from(self.notify_union) << 1,
            content_length: self.data_size,
            send_options: requested | self.send_options,
        };
        if let Err(error) = self.file.put_size(&size) {
            log::warn!("{}: {error}", self.queue_id);
            self.status |= status::WRITE;
        }
    }

    fn commit(self) -> Reply {
        let queue = if self.is(flag::HOLD) { HOLD } else { INCOMING };
        if let Err(error) = self.cleanup.queue.commit(self.file, queue) {
            log::warn!("{}: {error}", self.queue_id);
            return Reply {
                status: status::WRITE,
                reason: BString::default(),
            };
        }
        if queue == INCOMING {
            self.cleanup.handed_on = true;
            wake_queue_manager(&self.cleanup.settings);
        }
        Reply {
            status: 0,
            reason: BString::default(),
        }
    }

    fn give_up(self, why: &str) -> Reply {
        if self.status & status::SIZE == 0 && !self.is(flag::DISCARD) && self.file.is_too_big() {
            log::warn!("mail_stream_cleanup: close error");
        }
        self.cleanup.queue.discard(self.file);
        if self.cleanup.settings.log_removed && why != "bounced" {
            log::info!("{}: removed ({why})", self.queue_id);
        }
        Reply {
            status: self.status,
            reason: self.reason,
        }
    }
}

/// The queue manager scans by itself, too; it is only told that there is something new.
fn wake_queue_manager(settings: &Settings) {
    let at = &settings.queue_manager;
    match trigger::send(at, &[trigger::WAKEUP], settings.trigger_timeout) {
        Ok(()) => {}
        Err(ClientError::Connect { path, source })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            log::warn!(
                "unable to look up {path}: {}",
                postern_sys::error_text(&source)
            );
        }
        Err(error) => log::warn!("{error}"),
    }
}
