//! Access by the mail servers, name servers or addresses of a domain: `check_*_{mx,ns,a}_access`.
//!
//! Source: access(5), postconf(5) `check_sender_mx_access` and its relatives.

use bstr::{BStr, BString, ByteSlice};
use postern_dns::{Answer, Data, DnsError, ErrorKind, Families, Type, to_ascii};
use postern_mail::{address, host};

use super::{Check, Subject, Verdict, class};
use crate::session::Session;

/// Addresses that are looked at, at most.
const MAX_ADDRESSES: usize = 100;

/// Which servers of a domain count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerKind {
    Mx,
    Ns,
    A,
}

/// Whose domain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Client,
    ReverseClient,
    Helo,
    Sender,
    Recipient,
}

impl ServerKind {
    /// What `check_WHAT_KIND_access` asks for.
    pub(super) fn of_command(command: &str) -> Option<(Whose, Self)> {
        let middle = command.strip_prefix("check_")?.strip_suffix("_access")?;
        let (what, kind) = middle.rsplit_once('_')?;
        let whose = match what {
            "client" => Whose::Client,
            "reverse_client_hostname" => Whose::ReverseClient,
            "helo" => Whose::Helo,
            "sender" => Whose::Sender,
            "recipient" => Whose::Recipient,
            _ => return None,
        };
        let kind = match kind {
            "mx" => Self::Mx,
            "ns" => Self::Ns,
            "a" => Self::A,
            _ => return None,
        };
        Some((whose, kind))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::A => "A",
        }
    }
}

impl Session<'_> {
    pub(super) fn check_server_access(
        &mut self,
        command: &str,
        whose: Whose,
        kind: ServerKind,
        table: &str,
    ) -> Check {
        let Some((subject, domain)) = self.server_access_subject(whose) else {
            return Ok(Verdict::Dunno);
        };
        log::debug!(
            "check_server_access: {} {}",
            kind.name(),
            self.masked(self.server_access_name(whose))
        );
        let result = self.search_servers(table, kind, &domain, &subject);
        self.forbid_permit(command, &subject, result)
    }

    /// Whose servers are looked up, as those who read along see it.
    fn server_access_name<'a>(&'a self, whose: Whose) -> &'a [u8] {
        let text = |text: &'a Option<BString>| text.as_ref().map_or(&[][..], |text| text);
        match whose {
            Whose::Client => self.client.name.as_bytes(),
            Whose::ReverseClient => self.client.reverse_name.as_bytes(),
            Whose::Helo => text(&self.helo),
            Whose::Sender => text(&self.sender),
            Whose::Recipient => text(&self.recipient),
        }
    }

    fn server_access_subject(&self, whose: Whose) -> Option<(Subject, BString)> {
        let host = |name: &BStr, class| Some((Subject::new(name, class), name.to_owned()));
        // A client is shown with its address, whichever of its names is looked up.
        let client = |name: &String| Some((self.client_subject(), BString::from(name.as_str())));
        let mail = |name: &Option<BString>, class| {
            let name = name.as_ref().filter(|name| !name.is_empty())?;
            let domain = address::domain(name.as_ref())?.to_owned();
            Some((Subject::new(name.clone(), class), domain))
        };
        let found = match whose {
            Whose::Client => client(&self.client.name),
            Whose::ReverseClient => client(&self.client.reverse_name),
            Whose::Helo => host(self.helo.as_ref()?.as_ref(), class::HELO),
            Whose::Sender => mail(&self.sender, class::SENDER),
            Whose::Recipient => mail(&self.recipient, class::RECIPIENT),
        };
        found.filter(|(_, domain)| domain != "unknown")
    }

    fn search_servers(
        &mut self,
        table: &str,
        kind: ServerKind,
        domain: &BString,
        subject: &Subject,
    ) -> Check {
        if let Some(literal) = address::literal(domain.as_ref()) {
            if kind == ServerKind::Ns {
                return Ok(Verdict::Dunno);
            }
            let plain = host::literal_address(literal, false)
                .map(|plain| plain.to_str_lossy().into_owned());
            return match plain {
                Some(plain) => self
                    .find_address(table, &plain, subject)
                    .unwrap_or(Ok(Verdict::Dunno)),
                None => Ok(Verdict::Dunno),
            };
        }
        let Some(name) = domain.to_str().ok().and_then(to_ascii) else {
            return Ok(Verdict::Dunno);
        };
        let servers = match self.server_names(kind, &name) {
            Ok(servers) => servers,
            Err((_, error)) if error.kind == ErrorKind::NullMx => return Ok(Verdict::Dunno),
            Err((asked, error)) => {
                let shown = if matches!(
                    error.kind,
                    ErrorKind::Retry | ErrorKind::Policy | ErrorKind::Filter
                ) {
                    asked
                } else {
                    self.masked(&subject.name)
                };
                log::warn!(
                    "Unable to look up {} host for {shown}: {}",
                    kind.name(),
                    error.kind.reason()
                );
                return Ok(Verdict::Dunno);
            }
        };
        let mut left = MAX_ADDRESSES;
        for server in servers {
            if let Some(result) = self.search_server(table, kind, &server, subject, &mut left) {
                return result;
            }
        }
        Ok(Verdict::Dunno)
    }

    /// Names of the servers of a domain; an error comes with the name that was asked for.
    fn server_names(
        &mut self,
        kind: ServerKind,
        domain: &str,
    ) -> Result<Vec<String>, (String, DnsError)> {
        let names = |answer: Answer| {
            let name = |record: postern_dns::Record| match record.data {
                Data::Mx { exchange, .. } => Some(exchange),
                Data::Ns(name) => Some(name),
                _ => None,
            };
            answer.records.into_iter().filter_map(name).collect()
        };
        match kind {
            ServerKind::A => Ok(vec![domain.to_owned()]),
            ServerKind::Mx => match self.server.lookup_dns(domain, Type::Mx) {
                Ok(answer) => Ok(names(answer)),
                Err(error) if error.kind.is_absent() => Ok(vec![domain.to_owned()]),
                Err(error) => Err((domain.to_owned(), error)),
            },
            ServerKind::Ns => {
                let mut zone = domain;
                loop {
                    match self.server.lookup_dns(zone, Type::Ns) {
                        Ok(answer) => return Ok(names(answer)),
                        Err(error) => match zone.split_once('.') {
                            Some((_, parent)) if error.kind.is_absent() => zone = parent,
                            _ => return Err((zone.to_owned(), error)),
                        },
                    }
                }
            }
        }
    }

    fn search_server(
        &mut self,
        table: &str,
        kind: ServerKind,
        server: &str,
        subject: &Subject,
        left: &mut usize,
    ) -> Option<Check> {
        let shown = kind.name();
        if kind != ServerKind::A {
            log::debug!("check_server_access: {shown} hostname check: {server}");
        }
        if kind != ServerKind::A
            && let Some(result) = self.find_host(table, server, subject)
        {
            return Some(result);
        }
        let families: Families = self.server.set.families;
        let addresses = match self.server.dns.host(server, families) {
            Ok(addresses) => addresses,
            Err(_) if kind == ServerKind::A => return None,
            Err(error) => {
                let what = format!("{} {}", subject.class, self.masked(&subject.name));
                log::warn!(
                    "Unable to look up {} host {server} for {what}: {error}",
                    kind.name()
                );
                return None;
            }
        };
        log::debug!("check_server_access: {shown} host address check: {server}");
        for address in addresses {
            if *left == 0 {
                return None;
            }
            *left -= 1;
            if let Some(result) = self.find_address(table, &address.to_string(), subject) {
                return Some(result);
            }
        }
        None
    }
}
