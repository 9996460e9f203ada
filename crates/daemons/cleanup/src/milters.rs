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
        let sender = self.sender.as_ref().map(|sender| BStr::new(sender));
        let from = self.logged(sender.unwrap_or_default());
        log::info!(
            "{}: {action}: CONNECT from {LOCAL_CLIENT}: {text}; from=<{from}>",
            self.queue_id
        );
    }
}
