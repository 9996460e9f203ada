//! Restrictions about where mail goes: whether this system is responsible for a recipient.

use bstr::BString;
use postern_config::params;
use postern_ipc::rewrite::resolve_flag;

use super::{Check, Rejection, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    pub(super) fn permit_auth_destination(&mut self, subject: &Subject) -> Check {
        match self.recipient.clone() {
            Some(recipient) if self.is_authorized(&recipient)? => {
                let _ = subject;
                self.permit("permit_auth_destination", None, &Subject::new(recipient, class::RECIPIENT))
            }
            _ => Ok(Verdict::Dunno),
        }
    }

    pub(super) fn reject_unauth_destination(&mut self) -> Check {
        let code = self.config().get(params::RELAY_DOMAINS_REJECT_CODE);
        self.deny_relay(code, "5.7.1")
    }

    pub(super) fn defer_unauth_destination(&mut self) -> Check {
        let code = self.config().get(params::RELAY_DOMAINS_REJECT_CODE);
        self.deny_relay(code - 100, "4.7.1")
    }

    /// Obsolete: permits clients and recipients in `relay_domains`, refuses the rest.
    pub(super) fn check_relay_domains(&mut self) -> Check {
        let Some(recipient) = self.recipient.clone() else { return Ok(Verdict::Dunno) };
        if self.is_authorized(&recipient)? {
            return Ok(Verdict::Permit);
        }
        self.reject_unauth_destination()
    }

    /// Permits when this system is a mail exchanger of the recipient's domain; that is not looked
    /// up here beyond what `permit_auth_destination` knows.
    pub(super) fn permit_mx_backup(&mut self) -> Check {
        if self.server.look.smtpd_without_old_restrictions() && !self.server.mx_backup_said {
            self.server.mx_backup_said = true;
            log::warn!("support for restriction \"permit_mx_backup\" will be removed from Postfix; instead, specify \"relay_domains\"");
        }
        let Some(recipient) = self.recipient.clone() else { return Ok(Verdict::Dunno) };
        if self.is_authorized(&recipient)? {
            return self.permit("permit_mx_backup", None, &Subject::new(recipient, class::RECIPIENT));
        }
        Ok(Verdict::Dunno)
    }

    fn deny_relay(&mut self, code: i32, status: &str) -> Check {
        let Some(recipient) = self.recipient.clone() else { return Ok(Verdict::Dunno) };
        if self.is_authorized(&recipient)? {
            return Ok(Verdict::Dunno);
        }
        let mut text = BString::from("<");
        text.extend_from_slice(&recipient);
        text.extend_from_slice(b">: Relay access denied");
        self.reject(ErrorClass::POLICY, code, status, text)
    }

    /// Whether a recipient is in a class that this system delivers or relays for everybody.
    fn is_authorized(&mut self, recipient: &BString) -> Result<bool, Rejection> {
        let resolved = self.resolve(recipient.as_ref());
        if resolved.failed() {
            // Never a warning only: the error is the answer.
            self.table_error(recipient.as_ref())?;
        }
        if !resolved.recipient.contains(&b'@') {
            return Ok(true);
        }
        let routed = resolved.flags & resolve_flag::ROUTED != 0 && !self.server.set.allow_untrusted_routing;
        let ours = resolve_flag::CLASS_FINAL | resolve_flag::CLASS_RELAY;
        Ok(!routed && resolved.flags & ours != 0)
    }
}
