//! The delivery of one message to one recipient: what its parts share.

use std::collections::HashMap;
use std::path::PathBuf;

use bstr::ByteSlice;
use postern_delivery::{Delivery, Outcome, Report};
use postern_dict::LookupError;
use postern_ipc::bounce::NoticeBody;
use postern_ipc::deliver::{Dsn, flag};

use crate::dot_forward::Visit;
use crate::duplicates::Duplicates;
use crate::forward::Forwards;
use crate::mail::Mail;
use crate::rights::Rights;
use crate::{Local, Tables, alias};
use postern_delivery::DeliveredTo;

/// What the parts of a delivery share.
pub(crate) struct Job<'a> {
    pub(crate) local: &'a mut Local,
    pub(crate) delivery: &'a Delivery,
    /// `relay=` and the transport that means "here".
    pub(crate) relay: String,
    /// What was done already.
    pub(crate) seen: Duplicates,
    /// Messages to be submitted when all is well.
    pub(crate) forwards: Forwards,
    /// `.forward` files that were read.
    pub(crate) visits: HashMap<PathBuf, Visit>,
    /// `Delivered-To:` headers of the message.
    pub(crate) delivered_to: &'a DeliveredTo,
}

/// Why something is not delivered; class 4 for now, class 5 for ever.
pub(crate) type Failure = Box<Dsn>;

/// A status with its text.
pub(crate) fn dsn(status: &str, reason: impl Into<Vec<u8>>) -> Failure {
    let reason: Vec<u8> = reason.into();
    Box::new(Dsn {
        status: status.into(),
        reason: reason.into(),
        ..Dsn::default()
    })
}

/// Status and text of what only the operator can mend; the mail waits.
pub(crate) fn configuration_error(status: &str) -> Failure {
    dsn(status, "mail system configuration error")
}

impl Job<'_> {
    fn report<'r>(&'r self, mail: &'r Mail) -> Report<'r> {
        self.delivery
            .report(&mail.recipient, self.relay.as_str().into())
    }

    /// The mail is where it belongs.
    pub(crate) fn sent(&mut self, mail: &Mail, dsn: &Dsn) -> Outcome {
        let report = self
            .delivery
            .report(&mail.recipient, self.relay.as_str().into());
        self.local.agent.sent(&report, dsn)
    }

    /// The mail stays undelivered: class 4 for now, any other class for ever.
    pub(crate) fn fail(&mut self, mail: &Mail, dsn: &Dsn) -> Outcome {
        let report = self
            .delivery
            .report(&mail.recipient, self.relay.as_str().into());
        if dsn.status.first() == Some(&b'4') {
            self.local.agent.defer(&report, dsn)
        } else {
            self.local.agent.bounce(&report, dsn)
        }
    }

    /// As [`Job::fail`], for commands and files: when the alias has an owner, the owner is told instead
    /// of the sender.
    pub(crate) fn fail_to_owner(&mut self, mail: &Mail, dsn: &Dsn) -> Outcome {
        if dsn.status.first() == Some(&b'4') || self.is_trace_only() {
            return self.fail(mail, dsn);
        }
        let owner = match alias::owner_of(self, mail) {
            Ok(Some(owner)) => owner,
            Ok(None) => return self.fail(mail, dsn),
            Err(failure) => return self.fail(mail, &failure),
        };
        let request = &self.delivery.request;
        let notice = NoticeBody {
            flags: request.flags & (flag::TRACE_ONLY | flag::RECORD),
            queue_name: request.queue_name.clone(),
            queue_id: request.queue_id.clone(),
            encoding: request.encoding.clone(),
            smtputf8: request.smtputf8,
            sender: owner,
            envelope_id: mail.envelope_id.clone(),
            ret_flags: mail.ret_flags,
        };
        let report = self
            .delivery
            .report(&mail.recipient, self.relay.as_str().into());
        self.local.agent.bounce_one(&report, dsn, &notice)
    }

    /// Adds "alias expanded" to the delivery report of a sender who asked for one. `action` says
    /// whether the responsibility stays with the list.
    pub(crate) fn trace_expansion(&self, mail: &Mail, action: &str) {
        let expanded = Dsn {
            action: action.into(),
            ..*dsn("2.0.0", "alias expanded")
        };
        if !self.local.agent.trace(&self.report(mail), &expanded) {
            log::warn!("{}: trace service failure", self.delivery.request.queue_id);
        }
    }

    /// Whether nothing shall be delivered, only reported.
    pub(crate) fn is_trace_only(&self) -> bool {
        self.delivery.is_trace_only()
    }

    /// Whether verify(8) asks.
    pub(crate) fn is_probe(&self) -> bool {
        self.delivery.request.flags & flag::MTA_VERIFY != 0
    }

    /// The tables; missing only before the process is ready.
    pub(crate) fn tables(&mut self) -> Result<&mut Tables, LookupError> {
        self.local
            .tables
            .as_mut()
            .ok_or_else(|| LookupError::retry("local", "tables are not open"))
    }

    /// Fails for rights that an unprivileged process does not have.
    pub(crate) fn check_rights(&self, rights: &Rights) -> Result<(), Failure> {
        if self.local.settings.privileged || rights.uid == postern_sys::user::euid() {
            return Ok(());
        }
        Err(dsn(
            "4.3.5",
            format!(
                "local delivery runs without root privileges and cannot act for user ID {}",
                rights.uid
            ),
        ))
    }

    /// The rights under which files are written and commands run: nothing is done as root.
    pub(crate) fn acting_rights(&self, rights: &Rights) -> Rights {
        if rights.uid == 0 {
            self.local.settings.default_rights.clone()
        } else {
            rights.clone()
        }
    }

    /// Whether the destination is met for the first time in this delivery.
    pub(crate) fn is_first(&mut self, kind: &str, what: impl AsRef<[u8]>) -> bool {
        self.seen.is_first(kind, what.as_ref().as_bstr())
    }
}
