//! The restriction engine: which lists run when, and what their results mean.
//!
//! One file per family of restrictions; this one has the stages and what they share. A list is
//! evaluated word by word, as main.cf has it: what a word means may depend on tables and classes.
//! Source: smtpd.md §13.

mod action;
mod client;
mod destination;
mod domain;
mod evaluate;
mod helo;
mod list;
mod login;
pub(crate) mod map_spec;
mod search;
mod servers;
mod unlisted;
mod verify;

pub(crate) use list::Restrictions;
pub(crate) use verify::Verifier;

use bstr::{BStr, BString, ByteSlice};
use postern_dict::{ErrorKind, LookupError};
use postern_mail::dsn;
use std::rc::Rc;

use crate::reply::{self, ErrorClass};
use crate::session::Session;
use crate::settings::TempfailAction;

/// What a restriction says about a client, an address, or a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing; the next restriction decides.
    Dunno,
    /// The rest of the list is skipped.
    Permit,
}

/// A refusal, already logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The reply.
    pub(crate) text: BString,
    /// Close the connection without any reply.
    pub(crate) hangup: bool,
    /// The lists are left at once, without the lines about their ends.
    pub(crate) is_abrupt: bool,
}

impl Rejection {
    fn at_once(mut self) -> Self {
        self.is_abrupt = true;
        self
    }
}

/// Result of a restriction or a list. An error ends the evaluation of the whole stage.
pub(crate) type Check = Result<Verdict, Rejection>;

/// A refusal that depends on what later restrictions say.
#[derive(Debug, Clone)]
pub(crate) struct Deferral {
    class: ErrorClass,
    text: BString,
}

/// What restrictions leave behind for later ones.
#[derive(Debug, Default)]
pub(crate) struct AccessState {
    /// The next restriction only warns; the value is the depth at which that was asked for, from 1.
    warn_if_reject: u32,
    /// Nesting of classes and table results.
    depth: u32,
    /// Replaces a permanent refusal of this stage.
    defer_if_reject: Option<Deferral>,
    /// Becomes a refusal when this stage permits.
    defer_if_permit: Option<Deferral>,
    /// Left by the client, helo and sender stages, for the stages after them.
    client_defer_if_permit: Option<Deferral>,
    helo_defer_if_permit: Option<Deferral>,
    sender_defer_if_permit: Option<Deferral>,
    /// Set by DISCARD: everything is accepted until the transaction ends.
    pub(crate) discard: bool,
    /// The recipient, or sender, was found in its tables.
    recipient_listed: bool,
    sender_listed: bool,
}

impl AccessState {
    /// Another recipient comes.
    pub(crate) fn forget_recipient(&mut self) {
        self.recipient_listed = false;
    }

    /// Forgets the mail transaction.
    pub(crate) fn end_transaction(&mut self) {
        self.discard = false;
        self.sender_defer_if_permit = None;
        self.recipient_listed = false;
        self.sender_listed = false;
    }
}

/// Whom a list talks about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Shown as `<name>` in replies.
    pub(crate) name: BString,
    /// Shown after it: `Client host`, ….
    pub(crate) class: &'static str,
}

impl Subject {
    fn new(name: impl Into<BString>, class: &'static str) -> Self {
        Self {
            name: name.into(),
            class,
        }
    }
}

/// Classes of subjects, as replies name them.
pub(crate) mod class {
    /// The client.
    pub(crate) const CLIENT: &str = "Client host";
    /// The client, under a name that only its own DNS zone vouches for.
    pub(crate) const UNVERIFIED_CLIENT: &str = "Unverified Client host";
    /// HELO or EHLO.
    pub(crate) const HELO: &str = "Helo command";
    /// MAIL.
    pub(crate) const SENDER: &str = "Sender address";
    /// RCPT.
    pub(crate) const RECIPIENT: &str = "Recipient address";
    /// ETRN.
    pub(crate) const ETRN: &str = "Etrn command";
    /// DATA.
    pub(crate) const DATA: &str = "Data command";
    /// End of the content.
    pub(crate) const END_OF_DATA: &str = "End-of-data";
}

type List = Rc<[String]>;

/// The stages. Each returns the reply when it refuses; everything is logged by then.
impl Session<'_> {
    /// The client restrictions: at connect, or for each recipient.
    pub(crate) fn check_client(&mut self) -> Result<(), Rejection> {
        self.begin_stage(None);
        let list = Rc::clone(&self.server.restrictions.client);
        let subject = Subject::new(self.client.namaddr.as_str(), class::CLIENT);
        self.evaluate(&list, &subject, Some("check_client_access"))?;
        self.access.client_defer_if_permit = self.access.defer_if_permit.take();
        Ok(())
    }

    /// The HELO restrictions: at HELO, or for each recipient; skipped without HELO.
    pub(crate) fn check_helo(&mut self) -> Result<(), Rejection> {
        let inherited = self.access.client_defer_if_permit.clone();
        self.begin_stage(inherited);
        if let Some(helo) = self.helo.clone() {
            let list = Rc::clone(&self.server.restrictions.helo);
            self.evaluate(
                &list,
                &Subject::new(helo, class::HELO),
                Some("check_helo_access"),
            )?;
        }
        self.access.helo_defer_if_permit = self.access.defer_if_permit.take();
        Ok(())
    }

    /// The sender restrictions: at MAIL, or for each recipient.
    pub(crate) fn check_sender(&mut self) -> Result<(), Rejection> {
        let inherited = self.access.helo_defer_if_permit.clone();
        self.begin_stage(inherited);
        if let Some(sender) = self.sender.clone() {
            let list = Rc::clone(&self.server.restrictions.sender);
            let subject = Subject::new(sender, class::SENDER);
            self.evaluate(&list, &subject, Some("check_sender_access"))?;
            if self.server.set.reject_unlisted_sender && !self.access.discard {
                self.reject_unlisted_sender()?;
            }
        }
        self.access.sender_defer_if_permit = self.access.defer_if_permit.take();
        Ok(())
    }

    /// Everything that decides about a recipient, [`Session::recipient`] being the one in question.
    pub(crate) fn check_recipient(&mut self) -> Result<(), Rejection> {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(());
        };
        // RFC 5321 §4.5.1: mail for the bare word is always taken.
        if recipient.eq_ignore_ascii_case(b"postmaster") {
            return Ok(());
        }
        if self.server.set.delay_reject {
            self.check_client()?;
            self.check_helo()?;
            self.check_sender()?;
        }
        let inherited = self.access.sender_defer_if_permit.clone();
        self.begin_stage(inherited);
        let subject = Subject::new(recipient, class::RECIPIENT);
        let relay = Rc::clone(&self.server.restrictions.relay);
        let other = Rc::clone(&self.server.restrictions.recipient);
        let command = Some("check_recipient_access");
        if self.server.set.relay_first {
            self.evaluate(&relay, &subject, command)?;
            self.evaluate(&other, &subject, command)?;
        } else {
            let result = self.evaluate(&other, &subject, command);
            if result.is_err() && self.server.set.relay_last_by_level {
                log::info!(
                    "using backwards-compatible default setting smtpd_relay_before_recipient_restrictions=no to reject recipient \"{}\" from client \"{}\"",
                    subject.name,
                    self.client.namaddr
                );
            }
            result?;
            self.evaluate(&relay, &subject, command)?;
        }
        self.end_stage()?;
        if self.server.set.reject_unlisted_recipient && !self.access.discard {
            self.reject_unlisted_recipient()?;
        }
        Ok(())
    }

    /// The ETRN restrictions.
    pub(crate) fn check_etrn(&mut self, domain: &BStr) -> Result<(), Rejection> {
        if self.server.set.delay_reject {
            self.check_client()?;
            self.check_helo()?;
        }
        let inherited = self.access.helo_defer_if_permit.clone();
        self.begin_stage(inherited);
        let list = Rc::clone(&self.server.restrictions.etrn);
        self.evaluate(
            &list,
            &Subject::new(domain, class::ETRN),
            Some("check_etrn_access"),
        )?;
        self.end_stage()
    }

    /// The restrictions at DATA and at the first BDAT.
    pub(crate) fn check_data(&mut self) -> Result<(), Rejection> {
        let list = Rc::clone(&self.server.restrictions.data);
        self.check_content_stage(&list, &Subject::new("DATA", class::DATA))
    }

    /// The restrictions when the whole content is there.
    pub(crate) fn check_end_of_data(&mut self) -> Result<(), Rejection> {
        let list = Rc::clone(&self.server.restrictions.end_of_data);
        self.check_content_stage(&list, &Subject::new("END-OF-MESSAGE", class::END_OF_DATA))
    }

    /// A stage that concerns all recipients: with several of them, none is named.
    fn check_content_stage(&mut self, list: &List, subject: &Subject) -> Result<(), Rejection> {
        if list.is_empty() {
            return Ok(());
        }
        let recipient = self.recipient.clone();
        if self.recipient_count() > 1 {
            self.recipient = None;
        }
        self.begin_stage(None);
        let result = self
            .evaluate(list, subject, None)
            .and_then(|_| self.end_stage());
        self.recipient = recipient;
        result
    }

    fn begin_stage(&mut self, defer_if_permit: Option<Deferral>) {
        self.access.defer_if_reject = None;
        self.access.defer_if_permit = defer_if_permit;
        self.access.warn_if_reject = 0;
        self.access.depth = 0;
    }

    /// Turns a pending `defer_if_permit` into the refusal.
    fn end_stage(&mut self) -> Result<(), Rejection> {
        match self.access.defer_if_permit.take() {
            Some(Deferral { class, text }) => Err(self.refuse(class, text)),
            None => Ok(()),
        }
    }
}

/// What restrictions do.
impl Session<'_> {
    /// Refuses, unless only a warning is wanted.
    pub(crate) fn reject(
        &mut self,
        error: ErrorClass,
        code: i32,
        status: &str,
        text: impl AsRef<[u8]>,
    ) -> Check {
        let (reply, error) = self.reply_text(error, code, status, text.as_ref());
        if self.access.warn_if_reject > 0
            && !error.meets(ErrorClass(
                ErrorClass::SOFTWARE.0 | ErrorClass::RESOURCE.0 | ErrorClass::DATA.0,
            ))
        {
            self.log_event("reject_warning", reply.as_bstr());
            return Ok(Verdict::Dunno);
        }
        match self.access.defer_if_reject.clone() {
            Some(pending) if reply.first() == Some(&b'5') => {
                Err(self.refuse(pending.class, pending.text))
            }
            _ => Err(self.refuse(error, reply)),
        }
    }

    /// The usual refusal: `CODE STATUS <NAME>: CLASS rejected: TEXT`.
    pub(crate) fn reject_subject(
        &mut self,
        error: ErrorClass,
        code: i32,
        status: &str,
        subject: &Subject,
        text: impl AsRef<[u8]>,
    ) -> Check {
        let text = subject_text(subject, text.as_ref());
        self.reject(error, code, status, text)
    }

    /// A mistake of the administrator; nothing softens it.
    pub(crate) fn server_error(&mut self) -> Check {
        self.reject(
            ErrorClass::SOFTWARE,
            451,
            "4.3.5",
            "Server configuration error",
        )
        .map_err(Rejection::at_once)
    }

    /// A table that could not be asked.
    pub(crate) fn table_error(&mut self, name: &BStr) -> Check {
        let mut text = BString::from("<");
        text.extend_from_slice(name);
        text.extend_from_slice(b">: Temporary lookup failure");
        self.reject(ErrorClass::DATA, 451, "4.3.0", text)
            .map_err(Rejection::at_once)
    }

    /// A table that was asked and gave no answer.
    pub(crate) fn lookup_error(&mut self, error: &LookupError, name: &BStr) -> Check {
        match error.kind {
            ErrorKind::Config => self.server_error(),
            ErrorKind::Retry | ErrorKind::Fatal => self.table_error(name),
        }
    }

    /// Refuses a failure that may pass, as a `*_tempfail_action` parameter wants it.
    pub(crate) fn tempfail(
        &mut self,
        action: TempfailAction,
        code: i32,
        status: &str,
        text: impl AsRef<[u8]>,
    ) -> Check {
        match action {
            TempfailAction::Defer => self.reject(ErrorClass::POLICY, code, status, text),
            TempfailAction::DeferIfPermit => {
                self.defer_if(DeferIf::Permit, ErrorClass::POLICY, code, status, text)
            }
        }
    }

    /// Refuses later: when the stage permits, or instead of a permanent refusal.
    pub(crate) fn defer_if(
        &mut self,
        when: DeferIf,
        error: ErrorClass,
        code: i32,
        status: &str,
        text: impl AsRef<[u8]>,
    ) -> Check {
        let (text, class) = self.reply_text(error, code, status, text.as_ref());
        if self.access.warn_if_reject > 0 && when == DeferIf::Permit {
            self.log_event("reject_warning", text.as_bstr());
            return Ok(Verdict::Dunno);
        }
        let slot = match when {
            DeferIf::Permit => &mut self.access.defer_if_permit,
            DeferIf::Reject => &mut self.access.defer_if_reject,
        };
        slot.get_or_insert(Deferral { class, text });
        Ok(Verdict::Dunno)
    }

    /// Permits, and logs that when `smtpd_log_access_permit_actions` asks for it.
    pub(crate) fn permit(&mut self, action: &str, table: Option<&str>, subject: &Subject) -> Check {
        if self.server.logs_permit(action) {
            let mut text = BString::from(format!("action={action} for {}=", subject.class));
            text.extend_from_slice(&subject.name);
            text.push(b' ');
            if let Some(table) = table {
                text.extend_from_slice(format!("from {table}").as_bytes());
            }
            self.log_event("permit", text.as_bstr());
        }
        Ok(Verdict::Permit)
    }

    /// Refuses where no list is evaluated: nothing is pending, nothing only warns.
    pub(crate) fn reject_outright(
        &mut self,
        error: ErrorClass,
        code: i32,
        status: &str,
        text: &str,
    ) -> Rejection {
        let (reply, error) = self.reply_text(error, code, status, text.as_bytes());
        self.refuse(error, reply)
    }

    /// Logs a refusal and makes it the result.
    fn refuse(&mut self, class: ErrorClass, text: BString) -> Rejection {
        self.error_mask.add(class);
        self.log_event("reject", text.as_bstr());
        Rejection {
            text,
            hangup: false,
            is_abrupt: false,
        }
    }

    /// Builds a reply; nonsense from main.cf or a table becomes a temporary refusal.
    fn reply_text(
        &self,
        error: ErrorClass,
        code: i32,
        status: &str,
        text: &[u8],
    ) -> (BString, ErrorClass) {
        let code_ok = (400..=599).contains(&code);
        let status_ok = dsn::is_status(status.as_bytes());
        if !code_ok || !status_ok {
            let what = if code_ok { "DSN detail" } else { "SMTP reply" };
            log::warn!(
                "{what} code configuration error: {code} {status} {}",
                self.masked(text)
            );
            return ("450 4.7.1 Service unavailable".into(), ErrorClass::SOFTWARE);
        }
        let mut line = BString::from(format!(
            "{code} {}{} ",
            code / 100,
            status.get(1..).unwrap_or_default()
        ));
        line.extend_from_slice(text);
        let line = reply::clean(&line, self.server.set.smtputf8);
        (
            if self.server.set.soft_bounce {
                reply::soften(&line)
            } else {
                line
            },
            error,
        )
    }
}

/// When a pending refusal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeferIf {
    /// When nothing else refuses.
    Permit,
    /// Instead of a permanent refusal.
    Reject,
}

/// `<NAME>: CLASS rejected: TEXT`.
pub(crate) fn subject_text(subject: &Subject, text: &[u8]) -> BString {
    let mut line = BString::from("<");
    line.extend_from_slice(&subject.name);
    line.extend_from_slice(format!(">: {} rejected: ", subject.class).as_bytes());
    line.extend_from_slice(text);
    line
}
