//! The envelope sender: standard form, mappings, its automatic copy.

use bstr::{BStr, BString};
use postern_ipc::cleanup::{flag, status};
use postern_mail::address::eq_ignore_case;
use postern_queue_file::RecordType;

use crate::map::{Map, MapProblem};
use crate::message::{Message, send_option};
use crate::settings::class;

/// The user name of the mail system itself.
const MAIL_DAEMON: &str = "MAILER-DAEMON";

impl Message<'_> {
    /// Takes the sender over, rewritten and mapped, and writes it.
    pub(crate) fn sender_address(&mut self, received: &BStr) {
        let mut sender = self.cleanup.tables.rewrite_internal(received);
        if eq_ignore_case(received, MAIL_DAEMON.as_bytes()) || self.is_mail_daemon(&sender) {
            sender = BString::default();
        } else if self.is(flag::MAP_OK) {
            let mapped =
                self.cleanup
                    .map_sender(&self.queue_id, class::ENVELOPE_SENDER, &mut sender);
            self.note_problem(mapped.err());
        }
        if !sender.is_ascii() {
            self.send_options |= send_option::SENDER;
            self.detect_smtputf8();
        }
        let at = self.file.offset();
        self.put(RecordType::FROM, &sender);
        self.pad(RecordType::POINTER, sender.len());
        self.edits.sender = Some((at, self.file.offset()));
        self.sender = Some(sender.clone());
        if self.is(flag::BCC_OK) && !sender.is_empty() {
            self.automatic_copy(Map::SenderBcc, BStr::new(&sender));
        }
    }

    fn is_mail_daemon(&mut self, sender: &BString) -> bool {
        // Nearly no sender begins like that; the others need no second rewriting.
        let begins = sender
            .get(..MAIL_DAEMON.len())
            .is_some_and(|head| eq_ignore_case(head, MAIL_DAEMON.as_bytes()));
        begins
            && eq_ignore_case(
                sender,
                &self.cleanup.tables.rewrite_internal(BStr::new(MAIL_DAEMON)),
            )
    }

    /// Logs a failed mapping; the client is told to try again.
    pub(crate) fn note_problem(&mut self, problem: Option<MapProblem>) {
        if let Some(problem) = problem {
            problem.log(&self.queue_id);
            self.status |= status::WRITE;
        }
    }

    /// 8-bit text where it was not declared makes the message an SMTPUTF8 one, if that is wanted.
    pub(crate) fn detect_smtputf8(&mut self) {
        if self.is(flag::AUTOUTF8) {
            self.flags |= flag::SMTPUTF8;
        }
    }
}
