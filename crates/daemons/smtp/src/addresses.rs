//! From a next hop to the addresses that are tried: MX, SRV and host lookups, and finding out that
//! the best place is this machine (smtp-client.md §3.1, §3.2).

use std::net::IpAddr;

use postern_dict::{Maps, ignores_dns_record};
use postern_dns::{
    Answer, Data, DnsError, ErrorKind, HostErrorKind, Options, Record, Resolver, Type,
};

use crate::failure::Failure;
use crate::nexthop::Inet;
use crate::order::{Target, arrange, arrange_srv, balance};
use crate::routing::{DnsSupport, Routing};

/// Port on which a server that is ourselves means a loop.
const SMTP_PORT: u16 = 25;

/// Where a destination's mail can go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses in the order in which they are tried.
    pub targets: Vec<Target>,
    /// Best preference of the destination, reachable or not.
    pub best: u16,
    /// This machine is among the servers: nothing beyond this destination is tried.
    pub found_self: bool,
}

/// Why there is nowhere to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTarget {
    /// The failure.
    pub failure: Failure,
    /// The destination leads back here: no fallback is tried.
    pub is_loop: bool,
    /// This machine is the best server: `best_mx_transport` may take the mail.
    pub is_best: bool,
}

impl From<Failure> for NoTarget {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            is_loop: false,
            is_best: false,
        }
    }
}

/// Looks up destinations.
pub struct Finder<'a> {
    /// Parameters.
    pub routing: &'a Routing,
    /// The resolver.
    pub resolver: &'a Resolver,
    /// `smtp_dns_reply_filter`.
    pub filter: &'a mut Maps,
    /// SMTP, where loops are looked for.
    pub detect_loop: bool,
}

/// What a list of hosts led to.
struct Hosts {
    targets: Vec<Target>,
    /// The last, or the last soft, failure.
    failure: Option<Failure>,
}

impl Finder<'_> {
    /// The addresses of `place`, in order.
    ///
    /// # Errors
    ///
    /// When there are none, or the best one is this machine.
    pub fn find(&mut self, place: &Inet) -> Result<Found, NoTarget> {
        let name = postern_dns::to_ascii(&place.host).unwrap_or_else(|| place.host.clone());
        let detect_loop = self.detect_loop && place.port == SMTP_PORT;
        let mut found = if place.mx && self.routing.dns != DnsSupport::Disabled {
            self.by_domain(&name, place, detect_loop)?
        } else {
            let targets = self.host(&name, 0)?;
            let found_self =
                detect_loop && targets.iter().any(|target| self.is_own(target.address));
            if found_self {
                return Err(loop_failure(&place.host, true));
            }
            Found {
                targets,
                best: 0,
                found_self: false,
            }
        };
        if !found.targets.iter().any(|target| target.port.is_some()) {
            arrange(
                &mut found.targets,
                self.routing.randomize,
                self.routing.preference,
            );
        }
        if self.routing.balance && self.routing.address_limit > 0 {
            balance(&mut found.targets, self.routing.address_limit);
        }
        Ok(found)
    }

    /// SRV where wanted, then MX, then the domain itself.
    fn by_domain(
        &mut self,
        name: &str,
        place: &Inet,
        detect_loop: bool,
    ) -> Result<Found, NoTarget> {
        let routing = self.routing;
        if routing
            .use_srv_lookup
            .iter()
            .any(|service| service.eq_ignore_ascii_case(&place.service))
        {
            let query = format!("_{}._tcp.{name}", place.service);
            match self.lookup(&query, Type::Srv) {
                Ok(answer) => return self.by_service(&query, name, &answer, detect_loop),
                Err(error) => {
                    let absent = error.kind.is_absent() && routing.allow_srv_fallback;
                    let ignored =
                        error.kind != ErrorKind::NullMx && routing.ignore_srv_lookup_error;
                    if !absent && !ignored {
                        return Err(service_failure(&error, &place.host).into());
                    }
                    log::info!("skipping SRV lookup for {query}: {error}");
                }
            }
        }
        match self.lookup(name, Type::Mx) {
            Ok(answer) => self.by_exchangers(name, place, &answer, detect_loop),
            Err(error) if error.kind.is_absent() => self.by_address(name, place, detect_loop),
            Err(error) => {
                let status = match error.kind {
                    ErrorKind::NullMx => return Err(Failure::local("5.1.0", error.text).into()),
                    ErrorKind::Policy => return Err(Failure::local("4.7.0", error.text).into()),
                    ErrorKind::Retry | ErrorKind::Filter => "4.4.3",
                    ErrorKind::Fail => "5.4.3",
                    _ => "5.4.4",
                };
                if routing.ignore_mx_lookup_error {
                    return self.by_address(name, place, detect_loop);
                }
                Err(Failure::local(status, error.text).into())
            }
        }
    }

    fn by_address(
        &mut self,
        name: &str,
        place: &Inet,
        detect_loop: bool,
    ) -> Result<Found, NoTarget> {
        let targets = self.host(name, 0)?;
        if detect_loop && targets.iter().any(|target| self.is_own(target.address)) {
            return Err(loop_failure(&place.host, true));
        }
        Ok(Found {
            targets,
            best: 0,
            found_self: false,
        })
    }

    fn by_exchangers(
        &mut self,
        name: &str,
        place: &Inet,
        answer: &Answer,
        detect_loop: bool,
    ) -> Result<Found, NoTarget> {
        let mut exchangers: Vec<(u16, &str)> =
            answer.records.iter().filter_map(exchanger).collect();
        exchangers.sort_by_key(|(preference, _)| *preference);
        let best = exchangers.first().map_or(0, |(preference, _)| *preference);
        let mut hosts = Hosts {
            targets: Vec::new(),
            failure: None,
        };
        for (preference, host) in exchangers {
            self.add(&mut hosts, host, preference, None);
        }
        self.judge(hosts, name, &place.host, best, "MX", detect_loop)
    }

    fn by_service(
        &mut self,
        query: &str,
        name: &str,
        answer: &Answer,
        detect_loop: bool,
    ) -> Result<Found, NoTarget> {
        let mut hosts = Hosts {
            targets: Vec::new(),
            failure: None,
        };
        let mut best = u16::MAX;
        for record in &answer.records {
            if let Data::Srv {
                priority,
                weight,
                port,
                target,
            } = &record.data
            {
                best = best.min(*priority);
                self.add(&mut hosts, target, *priority, Some((*port, *weight)));
            }
        }
        let mut found = self.judge(hosts, query, name, best, "SRV", detect_loop)?;
        arrange_srv(&mut found.targets);
        Ok(found)
    }

    fn add(&mut self, hosts: &mut Hosts, host: &str, preference: u16, service: Option<(u16, u16)>) {
        match self.host(host, preference) {
            Ok(targets) => hosts
                .targets
                .extend(targets.into_iter().map(|target| Target {
                    port: service.map(|(port, _)| port),
                    weight: service.map_or(0, |(_, weight)| weight),
                    ..target
                })),
            // A soft failure stays the reason, whatever comes after it.
            Err(failure) => match &hosts.failure {
                Some(earlier) if earlier.is_soft() => {
                    hosts.failure = Some(if failure.is_soft() {
                        failure
                    } else {
                        failure.with_class(b'4')
                    });
                }
                _ => hosts.failure = Some(failure),
            },
        }
    }

    /// What the hosts of a domain amount to: nothing, this machine, or places to go.
    fn judge(
        &self,
        hosts: Hosts,
        asked: &str,
        domain: &str,
        best: u16,
        kind: &str,
        detect_loop: bool,
    ) -> Result<Found, NoTarget> {
        let Hosts {
            mut targets,
            failure,
        } = hosts;
        if targets.is_empty() {
            log::warn!("no {kind} host for {asked} has a valid address record");
            let failure = failure
                .unwrap_or_else(|| Failure::local("5.4.4", format!("{asked}: host not found")));
            let soft = self.routing.defer_if_no_mx_address && !failure.is_soft();
            return Err(if soft {
                failure.with_class(b'4')
            } else {
                failure
            }
            .into());
        }
        targets.sort_by_key(|target| target.preference);
        let best_found = targets.first().map_or(best, |target| target.preference);
        let own = targets
            .iter()
            .filter(|target| detect_loop && self.is_own(target.address));
        let own = own.map(|target| target.preference).min();
        let Some(own) = own else {
            return Ok(Found {
                targets,
                best,
                found_self: false,
            });
        };
        targets.retain(|target| target.preference < own);
        if !targets.is_empty() {
            return Ok(Found {
                targets,
                best,
                found_self: true,
            });
        }
        if best != best_found {
            let failure = Failure::local(
                "4.4.4",
                format!("unable to find primary relay for {domain}"),
            );
            return Err(NoTarget {
                failure,
                is_loop: true,
                is_best: false,
            });
        }
        Err(loop_failure(domain, true))
    }

    /// The addresses of one host.
    fn host(&mut self, host: &str, preference: u16) -> Result<Vec<Target>, Failure> {
        let target = |host: &str, address| Target {
            host: host.to_owned(),
            address,
            preference,
            port: None,
            weight: 0,
        };
        if let Ok(address) = host.parse::<IpAddr>()
            && self.routing.families.contains(address)
        {
            return Ok(vec![target(host, address)]);
        }
        let mut failure: Option<Failure> = None;
        if self.routing.lookup_dns {
            match self.addresses(host) {
                Ok(answer) => {
                    let name = if self.routing.cname_overrides {
                        &answer.canonical
                    } else {
                        host
                    };
                    return Ok(answer
                        .records
                        .iter()
                        .filter_map(Record::address)
                        .map(|a| target(name, a))
                        .collect());
                }
                Err(error) => failure = Some(address_failure(&error)),
            }
        }
        let absent = failure
            .as_ref()
            .is_none_or(|failure| failure.dsn.status == "5.4.4");
        if self.routing.lookup_native && absent {
            match self.resolver.host(host, self.routing.families) {
                Ok(addresses) if !addresses.is_empty() => {
                    return Ok(addresses.into_iter().map(|a| target(host, a)).collect());
                }
                Ok(_) => failure = Some(Failure::local("5.4.4", format!("{host}: host not found"))),
                Err(error) => {
                    let status = match error.kind {
                        HostErrorKind::Again => "4.4.4",
                        HostErrorKind::NoName => "5.4.4",
                        HostErrorKind::NoData | HostErrorKind::Fail => "5.3.0",
                    };
                    failure = Some(Failure::local(
                        status,
                        format!("unable to look up host {host}: {error}"),
                    ));
                }
            }
        }
        Err(failure.unwrap_or_else(|| Failure::local("5.4.4", format!("{host}: host not found"))))
    }

    fn options(&self) -> Options {
        Options {
            search: false,
            default_names: false,
            dnssec: self.routing.dns == DnsSupport::Dnssec,
        }
    }

    fn lookup(&mut self, name: &str, rtype: Type) -> Result<Answer, DnsError> {
        let answer = self.resolver.lookup(name, rtype, self.options())?;
        self.filtered(answer, name, rtype)
    }

    fn addresses(&mut self, host: &str) -> Result<Answer, DnsError> {
        let options = Options {
            search: self.routing.resolver_search,
            default_names: self.routing.resolver_default_names,
            ..self.options()
        };
        let types = self.routing.families.types();
        let answer = self.resolver.addresses(host, types, options)?;
        self.filtered(answer, host, types.last().copied().unwrap_or(Type::A))
    }

    /// Drops records that `smtp_dns_reply_filter` wants ignored.
    fn filtered(&mut self, answer: Answer, name: &str, rtype: Type) -> Result<Answer, DnsError> {
        if self.filter.is_empty() {
            return Ok(answer);
        }
        let filter = &mut *self.filter;
        answer.filtered(name, rtype, |record| {
            ignores_dns_record(filter, &record.to_string())
        })
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.routing.own.contains(&address)
    }
}

fn exchanger(record: &Record) -> Option<(u16, &str)> {
    match &record.data {
        Data::Mx {
            preference,
            exchange,
        } => Some((*preference, exchange)),
        _ => None,
    }
}

fn loop_failure(domain: &str, is_best: bool) -> NoTarget {
    let failure = Failure::local("5.4.6", format!("mail for {domain} loops back to myself"));
    NoTarget {
        failure,
        is_loop: true,
        is_best,
    }
}

fn address_failure(error: &DnsError) -> Failure {
    let status = match error.kind {
        ErrorKind::Retry | ErrorKind::Filter => "4.4.3",
        ErrorKind::Fail => "5.4.3",
        ErrorKind::Policy => "4.7.0",
        ErrorKind::NotFound | ErrorKind::NoData | ErrorKind::Invalid | ErrorKind::NullMx => "5.4.4",
    };
    Failure::local(status, error.text.clone())
}

fn service_failure(error: &DnsError, domain: &str) -> Failure {
    if error.kind == ErrorKind::NullMx {
        let reason = format!("Domain {domain} does not support SRV requests");
        return Failure::local("5.1.0", reason);
    }
    let status = match error.kind {
        ErrorKind::Retry | ErrorKind::Filter => "4.4.3",
        ErrorKind::Fail => "5.4.3",
        ErrorKind::Policy => "4.7.0",
        ErrorKind::NotFound | ErrorKind::NoData | ErrorKind::Invalid | ErrorKind::NullMx => "5.4.4",
    };
    Failure::local(status, error.text.clone())
}
