//! Sender addresses that belong to users who can log in.
//!
//! Source: smtpd.md §13, `smtpd_sender_login_maps` in postconf(5).

use bstr::{BString, ByteSlice};
use postern_config::params;

use super::list::split;
use super::{Check, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;
use crate::tables::MapName;

/// What separates the users of an address.
const SEPARATORS: &[u8] = b", \t\r\n";

/// What `reject_sender_login_mismatch` stands for.
const BOTH: &str = "reject_authenticated_sender_login_mismatch \
                    reject_unauthenticated_sender_login_mismatch";

impl Session<'_> {
    /// `reject_*_sender_login_mismatch`; `None` when `name` is none of them.
    pub(super) fn about_the_login(&mut self, name: &str, subject: &Subject) -> Option<Check> {
        Some(match name {
            "reject_sender_login_mismatch" => self.evaluate(&split(BOTH), subject, None),
            "reject_authenticated_sender_login_mismatch" => self.reject_wrong_login(name, false),
            "reject_unauthenticated_sender_login_mismatch" => self.reject_no_login(name),
            "reject_known_sender_login_mismatch" if !self.has_login_support(name) => {
                Ok(Verdict::Dunno)
            }
            "reject_known_sender_login_mismatch" => {
                if self.server.maps.is_empty(MapName::SenderLogin) {
                    Ok(Verdict::Dunno)
                } else if self.login.is_some() {
                    self.reject_wrong_login(name, true)
                } else {
                    self.reject_no_login(name)
                }
            }
            _ => return None,
        })
    }

    /// Refuses a client that is logged in and does not own the sender address. An address that nobody owns
    /// is refused, too, unless `unowned_may`.
    fn reject_wrong_login(&mut self, name: &str, unowned_may: bool) -> Check {
        if !self.has_login_support(name) {
            return Ok(Verdict::Dunno);
        }
        let (Some(login), Some(sender)) = (self.login.clone(), self.login_sender()) else {
            return Ok(Verdict::Dunno);
        };
        let is_owner = match self.owners(&sender)? {
            Some(owners) => owners
                .split(|byte| SEPARATORS.contains(byte))
                .any(|owner| !owner.is_empty() && owner.eq_ignore_ascii_case(&login)),
            None => unowned_may,
        };
        if is_owner {
            return Ok(Verdict::Dunno);
        }
        let text = [b"not owned by user ".as_slice(), &login].concat();
        self.reject_subject(ErrorClass::POLICY, 553, "5.7.1", &sender, text)
    }

    /// Refuses a client that is not logged in, when somebody owns the sender address.
    fn reject_no_login(&mut self, name: &str) -> Check {
        if !self.has_login_support(name) || self.login.is_some() {
            return Ok(Verdict::Dunno);
        }
        let Some(sender) = self.login_sender() else {
            return Ok(Verdict::Dunno);
        };
        if self.owners(&sender)?.is_none() {
            return Ok(Verdict::Dunno);
        }
        self.reject_subject(ErrorClass::POLICY, 553, "5.7.1", &sender, "not logged in")
    }

    fn has_login_support(&self, name: &str) -> bool {
        let enabled = self.config().get(params::SMTPD_SASL_AUTH_ENABLE);
        if !enabled {
            log::warn!("restriction `{name}' ignored: no SASL support");
        }
        enabled
    }

    /// The sender, unless there is none or it is the null sender, which nobody owns.
    fn login_sender(&self) -> Option<Subject> {
        let sender = self.sender.as_ref().filter(|sender| !sender.is_empty())?;
        Some(Subject::new(sender.clone(), class::SENDER))
    }

    /// The users who own an address, as the table lists them. What cannot be looked up is a refusal, or
    /// no owner where a refusal only warns.
    fn owners(&mut self, sender: &Subject) -> Result<Option<BString>, super::Rejection> {
        let resolved = self.resolve(sender.name.as_bstr());
        let failure = if resolved.failed() {
            self.table_error(sender.name.as_ref())
        } else {
            let address = resolved.recipient.as_bstr();
            match self.server.maps.find_value(MapName::SenderLogin, address) {
                Ok(owners) => return Ok(owners),
                Err(error) => self.lookup_error(&error, sender.name.as_ref()),
            }
        };
        failure.map(|_| None)
    }
}
