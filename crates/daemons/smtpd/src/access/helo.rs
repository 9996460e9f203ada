//! Restrictions about the HELO name.

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;
use postern_dns::{ErrorKind, Type};
use postern_mail::host;

use super::domain::worse;
use super::{Check, Subject, Verdict, class, subject_text};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    fn helo_subject(&self) -> Option<Subject> {
        self.helo
            .clone()
            .map(|helo| Subject::new(helo, class::HELO))
    }

    pub(super) fn reject_invalid_helo_hostname(&mut self) -> Check {
        let Some(subject) = self.helo_subject() else {
            return Ok(Verdict::Dunno);
        };
        if let Some(result) = self.helo_literal(&subject) {
            return result;
        }
        self.trace_address("reject_invalid_hostname", &subject.name);
        let name = without_trailing_dot(subject.name.as_ref());
        if host::valid_hostname(name).is_ok() || host::valid_hostaddr(name).is_ok() {
            return Ok(Verdict::Dunno);
        }
        let code = self.config().get(params::INVALID_HOSTNAME_REJECT_CODE);
        self.reject_subject(ErrorClass::POLICY, code, "5.5.2", &subject, "Invalid name")
    }

    /// Obsolete: permits a client whose HELO name is an address without brackets.
    pub(super) fn permit_naked_ip_address(&mut self) -> Check {
        log::warn!(
            "restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or permit_sasl_authenticated instead"
        );
        let Some(subject) = self.helo_subject() else {
            return Ok(Verdict::Dunno);
        };
        let name = without_trailing_dot(subject.name.as_ref());
        if !name.iter().all(|byte| b"0123456789.:".contains(byte)) {
            return Ok(Verdict::Dunno);
        }
        if host::valid_ipv4(name).is_ok() {
            return self.permit("permit_naked_ip_address", None, &subject);
        }
        self.reject_no_address(&subject)
    }

    pub(super) fn reject_non_fqdn_helo_hostname(&mut self) -> Check {
        let Some(subject) = self.helo_subject() else {
            return Ok(Verdict::Dunno);
        };
        if let Some(result) = self.helo_literal(&subject) {
            return result;
        }
        self.trace_address("reject_non_fqdn_hostname", &subject.name);
        let name = without_trailing_dot(subject.name.as_ref());
        if host::valid_hostname(name).is_ok() && name.contains(&b'.') {
            return Ok(Verdict::Dunno);
        }
        let code = self.config().get(params::NON_FQDN_REJECT_CODE);
        self.reject_subject(
            ErrorClass::POLICY,
            code,
            "5.5.2",
            &subject,
            "need fully-qualified hostname",
        )
    }

    pub(super) fn reject_unknown_helo_hostname(&mut self) -> Check {
        let Some(subject) = self.helo_subject() else {
            return Ok(Verdict::Dunno);
        };
        if let Some(result) = self.helo_literal(&subject) {
            return result;
        }
        self.trace_address("reject_unknown_hostname", &subject.name);
        let Some(kind) = self.helo_lookup(&subject.name) else {
            return Ok(Verdict::Dunno);
        };
        match kind {
            ErrorKind::Policy => {
                log::warn!(
                    "{}: address or MX lookup error: DNS reply filter drops all results",
                    subject.name
                );
                Ok(Verdict::Dunno)
            }
            ErrorKind::Retry | ErrorKind::Fail | ErrorKind::Filter => {
                let text = subject_text(&subject, b"Host not found");
                self.tempfail(self.server.set.unknown_helo_tempfail, 450, "4.7.1", text)
            }
            _ => {
                let code = self.config().get(params::UNKNOWN_HOSTNAME_REJECT_CODE);
                let text = if kind == ErrorKind::Invalid {
                    "Malformed DNS server reply"
                } else {
                    "Host not found"
                };
                self.reject_subject(ErrorClass::POLICY, code, "4.7.1", &subject, text)
            }
        }
    }

    /// Why neither addresses nor mail servers of a name are known; `None` when some are.
    fn helo_lookup(&mut self, name: &BString) -> Option<ErrorKind> {
        let Ok(name) = name.to_str() else {
            return Some(ErrorKind::NotFound);
        };
        let mut worst = None;
        for rtype in &[Type::A, Type::Aaaa, Type::Mx] {
            match self.server.lookup_dns(name, *rtype) {
                Ok(_) => return None,
                Err(error) if error.kind == ErrorKind::NullMx => return None,
                Err(error) => worst = Some(worse(worst, error.kind)),
            }
        }
        worst
    }

    /// `[address]`: fine when it is one, whatever the restriction.
    fn helo_literal(&mut self, subject: &Subject) -> Option<Check> {
        let inner = subject.name.strip_prefix(b"[")?;
        self.trace_address("reject_invalid_hostaddr", &subject.name);
        let address = inner.strip_suffix(b"]").unwrap_or(inner);
        let is_address = inner.ends_with(b"]")
            && host::literal_address(BStr::new(address), false)
                .is_some_and(|plain| host::valid_hostaddr(plain).is_ok());
        if is_address {
            return Some(Ok(Verdict::Dunno));
        }
        Some(self.reject_no_address(subject))
    }

    fn reject_no_address(&mut self, subject: &Subject) -> Check {
        let code = self.config().get(params::INVALID_HOSTNAME_REJECT_CODE);
        let text = "invalid ip address";
        self.reject_subject(ErrorClass::POLICY, code, "5.5.2", subject, text)
    }
}

/// A name without one dot at its end.
pub(super) fn without_trailing_dot(name: &BStr) -> &BStr {
    match name.strip_suffix(b".") {
        Some(rest) if !rest.is_empty() => BStr::new(rest),
        _ => name,
    }
}
