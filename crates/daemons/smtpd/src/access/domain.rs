//! Restrictions about the domains of sender and recipient.

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;
use postern_dns::{ErrorKind, Type, to_ascii};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::{address, host};

use super::helo::without_trailing_dot;
use super::{Check, Subject, Verdict, class, subject_text};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    pub(super) fn reject_non_fqdn_sender(&mut self) -> Check {
        match self.sender.clone() {
            Some(sender) if !sender.is_empty() => {
                self.reject_non_fqdn(Subject::new(sender, class::SENDER))
            }
            _ => Ok(Verdict::Dunno),
        }
    }

    pub(super) fn reject_non_fqdn_recipient(&mut self) -> Check {
        match self.recipient.clone() {
            Some(recipient) => self.reject_non_fqdn(Subject::new(recipient, class::RECIPIENT)),
            None => Ok(Verdict::Dunno),
        }
    }

    /// Tells which restriction looks at an address now, to those who read along.
    pub(super) fn trace_address(&self, what: &str, address: &BString) {
        log::debug!("{what}: {}", self.masked(address));
    }

    fn reject_non_fqdn(&mut self, subject: Subject) -> Check {
        self.trace_address("reject_non_fqdn_address", &subject.name);
        let full = address::domain(subject.name.as_ref()).is_some_and(|domain| {
            let domain = without_trailing_dot(domain);
            let is_name = domain.contains(&b'.')
                && host::valid_utf8_hostname(domain, self.server.set.smtputf8).is_ok();
            domain.starts_with(b"[") || is_name
        });
        if full {
            return Ok(Verdict::Dunno);
        }
        let code = self.config().get(params::NON_FQDN_REJECT_CODE);
        self.reject_subject(
            ErrorClass::POLICY,
            code,
            "5.5.2",
            &subject,
            "need fully-qualified address",
        )
    }

    pub(super) fn reject_unknown_sender_domain(&mut self) -> Check {
        match self.sender.clone() {
            Some(sender) if !sender.is_empty() => {
                self.reject_unknown_domain(Subject::new(sender, class::SENDER))
            }
            _ => Ok(Verdict::Dunno),
        }
    }

    pub(super) fn reject_unknown_recipient_domain(&mut self) -> Check {
        match self.recipient.clone() {
            Some(recipient) => {
                self.reject_unknown_domain(Subject::new(recipient, class::RECIPIENT))
            }
            None => Ok(Verdict::Dunno),
        }
    }

    fn reject_unknown_domain(&mut self, subject: Subject) -> Check {
        self.trace_address("reject_unknown_address", &subject.name);
        let resolved = self.resolve(subject.name.as_ref());
        if resolved.failed() {
            return self.table_error(subject.name.as_ref());
        }
        let Some(domain) = address::domain(resolved.recipient.as_ref()) else {
            return Ok(Verdict::Dunno);
        };
        if domain.starts_with(b"[") || resolved.flags & resolve_flag::CLASS_LOCAL != 0 {
            return Ok(Verdict::Dunno);
        }
        let Some(failure) = self.mail_domain_failure(domain) else {
            return Ok(Verdict::Dunno);
        };
        let is_sender = subject.class == class::SENDER;
        let status = if is_sender { "4.1.8" } else { "4.1.2" };
        match failure {
            ErrorKind::NullMx => {
                let mut text = BString::from("Domain ");
                text.extend_from_slice(domain);
                text.extend_from_slice(b" does not accept mail (nullMX)");
                let (code, status) = if is_sender {
                    (550, "5.7.27")
                } else {
                    (556, "5.1.10")
                };
                self.reject_subject(ErrorClass::POLICY, code, status, &subject, text)
            }
            ErrorKind::Policy => {
                log::warn!(
                    "{domain}: MX or address lookup error: DNS reply filter drops all results"
                );
                Ok(Verdict::Dunno)
            }
            ErrorKind::Retry | ErrorKind::Fail | ErrorKind::Filter => {
                let text = subject_text(&subject, b"Domain not found");
                self.tempfail(self.server.set.unknown_address_tempfail, 450, status, text)
            }
            _ => {
                let code = self.config().get(params::UNKNOWN_ADDRESS_REJECT_CODE);
                let text = if failure == ErrorKind::Invalid {
                    "Malformed DNS server reply"
                } else {
                    "Domain not found"
                };
                self.reject_subject(ErrorClass::POLICY, code, status, &subject, text)
            }
        }
    }

    /// Why mail cannot go to a domain: it has neither mail servers nor addresses. `None`: it can.
    fn mail_domain_failure(&mut self, domain: &BStr) -> Option<ErrorKind> {
        log::debug!("reject_unknown_mailhost: {}", self.masked(domain));
        let name = domain.to_str().ok().and_then(to_ascii);
        let Some(name) = name else {
            return Some(ErrorKind::NotFound);
        };
        let mut worst = None;
        for rtype in &[Type::Mx, Type::A, Type::Aaaa] {
            match self.server.lookup_dns(&name, *rtype) {
                Ok(_) => return None,
                Err(error)
                    if matches!(error.kind, ErrorKind::NullMx | ErrorKind::Invalid)
                        || (error.kind == ErrorKind::Policy && *rtype == Type::Mx) =>
                {
                    return Some(error.kind);
                }
                Err(error) => worst = Some(worse(worst, error.kind)),
            }
        }
        worst
    }
}

/// Which of two failures of lookups of the same name counts: what a filter dropped is there, and what is not
/// known may be.
pub(super) fn worse(earlier: Option<ErrorKind>, later: ErrorKind) -> ErrorKind {
    let rank = |kind| match kind {
        ErrorKind::Policy => 3,
        ErrorKind::Retry | ErrorKind::Fail | ErrorKind::Filter => 2,
        ErrorKind::Invalid => 1,
        ErrorKind::NotFound | ErrorKind::NoData | ErrorKind::NullMx => 0,
    };
    match earlier {
        Some(earlier) if rank(earlier) >= rank(later) => earlier,
        _ => later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_dropped_counts_more_than_failures_and_these_more_than_nothing() {
        use ErrorKind::{Filter, Invalid, NoData, NotFound, Policy, Retry};
        for (kinds, want) in [
            ([NotFound, NoData, NoData], NotFound),
            ([NoData, Invalid, NoData], Invalid),
            ([NoData, Retry, Invalid], Retry),
            ([Filter, NoData, Retry], Filter),
            ([Retry, Policy, Filter], Policy),
        ] {
            let found = kinds
                .into_iter()
                .fold(None, |worst, kind| Some(worse(worst, kind)));
            assert_eq!(found, Some(want), "{kinds:?}");
        }
    }
}
