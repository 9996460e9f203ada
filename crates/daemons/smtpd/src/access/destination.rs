//! Restrictions about where mail goes: whether this system is responsible for a recipient.

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;
use postern_dns::{Data, ErrorKind, Families, HostErrorKind, Type, to_ascii};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address;
use std::net::IpAddr;

use super::{Check, DeferIf, Rejection, Subject, Verdict, class, subject_text};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    pub(super) fn permit_auth_destination(&mut self) -> Check {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        self.trace_address("permit_auth_destination", &recipient);
        if !self.is_authorized(&recipient)? {
            return Ok(Verdict::Dunno);
        }
        let subject = Subject::new(recipient, class::RECIPIENT);
        self.permit("permit_auth_destination", None, &subject)
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
    pub(super) fn check_relay_domains(&mut self, subject: &Subject) -> Check {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        if self.is_authorized(&recipient)? {
            return Ok(Verdict::Permit);
        }
        let code = self.config().get(params::RELAY_DOMAINS_REJECT_CODE);
        let text = "Relay access denied";
        self.reject_subject(ErrorClass::POLICY, code, "5.7.1", subject, text)
    }

    /// Permits when this system is a mail exchanger of the recipient's domain, though not the best,
    /// or is responsible for the recipient anyway.
    pub(super) fn permit_mx_backup(&mut self) -> Check {
        if self.server.look.smtpd_without_old_restrictions() {
            self.say_will_be_removed("permit_mx_backup", "instead, specify \"relay_domains\"");
        }
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        self.trace_address("permit_mx_backup", &recipient);
        let subject = Subject::new(recipient.clone(), class::RECIPIENT);
        if self.is_authorized(&recipient)? {
            return self.permit("permit_mx_backup", None, &subject);
        }
        let resolved = self.resolve(recipient.as_ref());
        let routed =
            resolved.flags & resolve_flag::ROUTED != 0 && !self.server.set.allow_untrusted_routing;
        let domain = address::domain(resolved.recipient.as_ref())
            .filter(|domain| !routed && !domain.starts_with(b"["));
        let Some(domain) = domain
            .and_then(|domain| domain.to_str().ok())
            .and_then(to_ascii)
        else {
            return Ok(Verdict::Dunno);
        };
        match self.is_mx_backup(&domain) {
            Ok(true) => self.permit("permit_mx_backup", None, &subject),
            Ok(false) => Ok(Verdict::Dunno),
            Err(reason) => {
                let text = subject_text(&subject, reason.as_bytes());
                self.defer_if(DeferIf::Reject, ErrorClass::POLICY, 450, "4.4.4", text)
            }
        }
    }

    /// Whether this system is a backup mail exchanger; an error is the reason why that is not known.
    fn is_mx_backup(&mut self, domain: &str) -> Result<bool, String> {
        let answer = match self.server.lookup_dns(domain, Type::Mx) {
            Ok(answer) => answer,
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::Retry | ErrorKind::Fail | ErrorKind::Policy | ErrorKind::Filter
                ) =>
            {
                return Err(format!(
                    "Unable to look up mail exchanger information: {}",
                    error.kind.reason()
                ));
            }
            Err(_) => return Ok(false),
        };
        let mut servers: Vec<(u16, String)> = answer
            .records
            .into_iter()
            .filter_map(|record| match record.data {
                Data::Mx {
                    preference,
                    exchange,
                } => Some((preference, exchange)),
                _ => None,
            })
            .collect();
        servers.sort();
        let best = servers.first().map(|(preference, _)| *preference);
        let (primary, backup): (Vec<_>, Vec<_>) = servers
            .into_iter()
            .partition(|(preference, _)| Some(*preference) == best);
        let networks = self.config().get(params::PERMIT_MX_BACKUP_NETWORKS);
        for (_, host) in &primary {
            let addresses = self.mx_addresses(host)?;
            let in_networks = networks.is_empty()
                || addresses
                    .iter()
                    .any(|address| self.is_mx_backup_network(host, &address.to_string()));
            if addresses
                .iter()
                .any(|address| self.server.is_own_address(Some(*address)))
                || !in_networks
            {
                return Ok(false);
            }
        }
        for (_, host) in &backup {
            if self
                .mx_addresses(host)?
                .iter()
                .any(|address| self.server.is_own_address(Some(*address)))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mx_addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        match self.server.dns.host(host, Families::All) {
            Ok(addresses) => Ok(addresses),
            Err(error) if error.kind == HostErrorKind::Again => Err(format!(
                "Unable to look up mail exchanger host {host}: {error}"
            )),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn is_mx_backup_network(&mut self, host: &str, address: &str) -> bool {
        let list = &mut self.server.networks.mx_backup;
        list.matches_client(BStr::new(host), BStr::new(address))
            .unwrap_or(false)
    }

    fn deny_relay(&mut self, code: i32, status: &str) -> Check {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        self.trace_address("reject_unauth_destination", &recipient);
        self.trace_address("permit_auth_destination", &recipient);
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
        let routed =
            resolved.flags & resolve_flag::ROUTED != 0 && !self.server.set.allow_untrusted_routing;
        let ours = resolve_flag::CLASS_FINAL | resolve_flag::CLASS_RELAY;
        Ok(!routed && resolved.flags & ours != 0)
    }
}
