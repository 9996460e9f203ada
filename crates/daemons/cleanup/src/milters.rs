//! Milters for mail that does not come from smtpd(8) (`non_smtpd_milters`).
//!
//! This program speaks with no Milter yet, and mail must not pass as if one had agreed: each
//! service counts as one that cannot be reached, and its default action decides. Source: milter.md §4.

use bstr::BStr;
use postern_config::milters::Unasked;
use postern_ipc::cleanup::flag;

use crate::message::Message;

/// Where mail of local programs comes from, as Milters see it.
const LOCAL_CLIENT: &str = "localhost[127.0.0.1]";

impl Message<'_> {
    /// What the absence of Milters means for this message; called when the sender is known.
    pub(crate) fn milters_at_connect(&mut self) {
        // Mail of smtpd was shown to the Milters of smtpd.
        if !self.is(flag::MILTER) || self.is(flag::SMTP_REPLY) || self.edits.reserve {
            return;
        }
        for index in 0..self.cleanup.settings.milters.len() {
            let Some(service) = self.cleanup.settings.milters.get(index) else {
                return;
            };
            log::warn!(
                "connect to Milter service {}: non_smtpd_milters is not supported",
                service.place
            );
            match service.unasked() {
                Unasked::Pass => {}
                Unasked::Hold => {
                    self.flags |= flag::HOLD;
                    self.log_milter("milter-hold", "milter triggers HOLD action");
                }
                Unasked::Refuse(reply) => return self.refuse_by_milter(reply),
                Unasked::Unknown(reply) => {
                    log::warn!(
                        "milter {}: unrecognized default action: {}",
                        service.place,
                        service.default_action
                    );
                    return self.refuse_by_milter(reply);
                }
            }
        }
    }

    /// `reply` is an SMTP reply; only smtpd wants the code.
    fn refuse_by_milter(&mut self, reply: &str) {
        let text = reply.get(4..).unwrap_or(reply);
        self.log_milter("milter-reject", text);
        self.refuse(text);
    }

    fn log_milter(&self, action: &str, text: &str) {
        let sender = self.sender.as_ref().map(BStr::new);
        let from = self.logged(sender.unwrap_or_default());
        log::info!(
            "{}: {action}: CONNECT from {LOCAL_CLIENT}: {text}; from=<{from}>",
            self.queue_id
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cleanup;
    use postern_config::Config;
    use postern_ipc::cleanup::{Options, Reply, status};
    use postern_queue_file::RecordType;
    use postern_queue_file::record::encode;

    /// What becomes of a message with these flags.
    fn submit(settings: &str, flags: i32) -> (Reply, usize) {
        let directory = tempfile::tempdir().unwrap();
        for queue in ["incoming", "hold"] {
            std::fs::create_dir(directory.path().join(queue)).unwrap();
        }
        let text = format!(
            "myhostname = mx.example.test\nmyorigin = example.test\nmydestination = example.test\n\
             inet_interfaces = 127.0.0.1\nnon_smtpd_milters = unix:nowhere\n{settings}\n"
        );
        let config = Config::from_text(&text).unwrap();
        let mut cleanup = Cleanup::new(&config).unwrap();
        cleanup.queue = cleanup.queue.below(directory.path());
        let file = cleanup.queue.create().unwrap();
        let mut message = Message::new(&mut cleanup, file);
        let mut input =
            postern_attr::to_bytes(postern_attr::Encoding::Null, &Options { flags }).unwrap();
        for (kind, data) in [
            (RecordType::TIME, "1700000000 0"),
            (RecordType::FROM, "sender@example.test"),
            (RecordType::RECIPIENT, "alice@example.test"),
            (RecordType::MESSAGE, ""),
            (RecordType::TEXT, "Received: x"),
            (RecordType::EXTRACTED, ""),
            (RecordType::END, ""),
        ] {
            encode(&mut input, kind, data.as_bytes());
        }
        crate::session::receive(&mut message, &mut input.as_slice(), "test");
        let reply = message.finish();
        let held = std::fs::read_dir(directory.path().join("hold")).unwrap();
        (reply, held.count())
    }

    #[test]
    fn local_mail_does_not_pass_milters_that_cannot_be_asked() {
        let action = |action: &str| format!("milter_default_action = {action}");
        let (reply, _) = submit(&action("tempfail"), flag::MILTER);
        assert_eq!(reply.status, status::DEFER);
        assert_eq!(reply.reason, "4.7.1 Service unavailable - try again later");
        let (reply, _) = submit(&action("reject"), flag::MILTER);
        assert_eq!(
            (reply.status, reply.reason.as_slice()),
            (status::CONTENT, b"5.5.0 Service unavailable".as_slice())
        );
        let (reply, held) = submit(&action("quarantine"), flag::MILTER);
        assert_eq!((reply.status, held), (status::OK, 1));
        for (settings, flags) in [
            (action("accept"), flag::MILTER),
            (action("reject"), 0),
            (action("reject"), flag::MILTER | flag::SMTP_REPLY),
        ] {
            let (reply, held) = submit(&settings, flags);
            assert_eq!((reply.status, held), (status::OK, 0), "{settings} {flags}");
        }
    }
}
