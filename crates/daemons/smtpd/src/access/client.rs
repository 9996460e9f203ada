//! Restrictions about the client's name and address.

use postern_config::params;
use postern_dns::NameStatus;

use super::{Check, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    pub(super) fn client_subject(&self) -> Subject {
        Subject::new(self.client.namaddr.as_str(), class::CLIENT)
    }

    /// Tells which restriction looks at the client now, to those who read along.
    pub(crate) fn trace_client(&self, what: &str) {
        log::debug!("{what}: {} {}", self.client.name, self.client.address);
    }

    pub(super) fn permit_inet_interfaces(&mut self) -> Check {
        self.trace_client("permit_inet_interfaces");
        if !self.server.is_own_address(self.client.ip) {
            return Ok(Verdict::Dunno);
        }
        let subject = self.client_subject();
        self.permit("permit_inet_interfaces", None, &subject)
    }

    pub(super) fn permit_mynetworks(&mut self, list_subject: &Subject) -> Check {
        self.trace_client("permit_mynetworks");
        match self
            .server
            .lists_client(|lists| &mut lists.mynetworks, &self.client)
        {
            Ok(true) => {
                let subject = self.client_subject();
                self.permit("permit_mynetworks", None, &subject)
            }
            Ok(false) => Ok(Verdict::Dunno),
            Err(error) => self.lookup_error(&error, list_subject.name.as_ref()),
        }
    }

    pub(super) fn reject_unknown_client_hostname(&mut self) -> Check {
        self.trace_client("reject_unknown_client");
        self.reject_unknown_name(self.client.name_status, "4.7.25", "hostname")
    }

    pub(super) fn reject_unknown_reverse_client_hostname(&mut self) -> Check {
        log::debug!("reject_unknown_reverse_name: {}", self.client.reverse_name);
        self.reject_unknown_name(self.client.reverse_status, "4.7.1", "reverse hostname")
    }

    fn reject_unknown_name(&mut self, status: NameStatus, enhanced: &str, what: &str) -> Check {
        let code = match status {
            NameStatus::Ok => return Ok(Verdict::Dunno),
            NameStatus::Temporary => 450,
            NameStatus::Permanent | NameStatus::Forged => {
                self.config().get(params::UNKNOWN_CLIENT_REJECT_CODE)
            }
        };
        let text = format!(
            "Client host rejected: cannot find your {what}, [{}]",
            self.client.address
        );
        self.reject(ErrorClass::POLICY, code, enhanced, text)
    }

    /// The client's name with its parent domains, then its address with its networks.
    pub(super) fn check_client_access(&mut self, table: &str, subject: &Subject) -> Check {
        let name = self.client.name.clone();
        self.check_name_and_address(table, &name, subject)
    }

    /// The same with the name that only its own DNS zone vouches for.
    pub(super) fn check_reverse_client_access(&mut self, table: &str, subject: &Subject) -> Check {
        let name = self.client.reverse_name.clone();
        self.check_name_and_address(table, &name, subject)
    }

    fn check_name_and_address(&mut self, table: &str, name: &str, subject: &Subject) -> Check {
        let address = self.client.address.clone();
        log::debug!("check_namadr_access: name {name} addr {address}");
        if let Some(result) = self.find_host(table, name, subject) {
            return result;
        }
        self.find_address(table, &address, subject)
            .unwrap_or(Ok(Verdict::Dunno))
    }
}
