//! One question to the DNS with Postfix's outcome classes and texts: search list, aliases, checks of
//! the names inside the answer.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use postern_mail::host::valid_hostname;

use crate::hosts::HostFiles;
use crate::name::{is_host_address, is_valid_name};
use crate::record::{Data, Record, Type};
use crate::resolv_conf::ResolvConf;
use crate::transport;
use crate::wire::{Message, Question, rcode};

/// Aliases followed before the answer counts as a loop.
const MAX_ALIASES: usize = 10;

/// Resolver flags of one lookup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `res_dnsrch`: try the search list for names with dots.
    pub search: bool,
    /// `res_defnames`: append the default domain to names without dots.
    pub default_names: bool,
    /// Ask for DNSSEC validation and believe the AD bit.
    pub dnssec: bool,
}

/// A successful lookup: at least one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Records of the wanted type, at most 100.
    pub records: Vec<Record>,
    /// The end of the alias chain; the queried name when there are no aliases.
    pub canonical: String,
    /// Whether every step was validated.
    pub authenticated: bool,
}

impl Answer {
    /// Drops the records of which `ignores` says so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Policy`] when nothing is left, [`ErrorKind::Filter`] when `ignores` fails.
    pub fn filtered<E>(
        mut self,
        name: &str,
        rtype: Type,
        mut ignores: impl FnMut(&Record) -> Result<bool, E>,
    ) -> Result<Self, DnsError> {
        let mut kept = Vec::with_capacity(self.records.len());
        for record in self.records {
            match ignores(&record) {
                Ok(true) => log::info!("ignoring DNS RR: {record}"),
                Ok(false) => kept.push(record),
                Err(_) => return Err(DnsError::new(ErrorKind::Filter, name, rtype)),
            }
        }
        if kept.is_empty() {
            return Err(DnsError::new(ErrorKind::Policy, name, rtype));
        }
        self.records = kept;
        Ok(self)
    }
}

/// What kind of failure a lookup ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such name.
    NotFound,
    /// The name exists, without records of this type.
    NoData,
    /// Try again later: no answer, server failure, undecodable reply.
    Retry,
    /// The server says that trying again is of no use.
    Fail,
    /// An answer whose names are no host names.
    Invalid,
    /// RFC 7505: the domain takes no mail; or an SRV target of `.`.
    NullMx,
    /// A reply filter dropped everything.
    Policy,
    /// It is not known what the reply filter says.
    Filter,
}

impl ErrorKind {
    /// No record, for whatever definite reason: the caller may look elsewhere.
    #[must_use]
    pub fn is_absent(self) -> bool {
        matches!(self, Self::NotFound | Self::NoData)
    }

    /// The resolver's own words for a failure, without what was asked.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "Host not found",
            Self::NoData => "Host found but no data record of requested type",
            Self::Retry => "Host not found, try again",
            Self::Fail => "Non-recoverable error",
            Self::Invalid => "Malformed or unexpected name server reply",
            Self::Policy => "DNS reply filter policy",
            // The resolver itself had no error.
            Self::Filter => "Unknown error 0",
            Self::NullMx => "Unknown error",
        }
    }
}

/// Why a lookup gave no records. `Display` is Postfix's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DnsError {
    /// Class of failure.
    pub kind: ErrorKind,
    /// Text for the log and the delivery status.
    pub text: String,
    /// Seconds that a negative answer may be kept, when the server said so.
    pub negative_ttl: Option<u32>,
}

impl DnsError {
    /// A failure with its usual text for `name` and `rtype`.
    #[must_use]
    pub fn new(kind: ErrorKind, name: &str, rtype: Type) -> Self {
        let text = match kind {
            ErrorKind::NotFound | ErrorKind::NoData | ErrorKind::Retry | ErrorKind::Fail => {
                format!(
                    "Host or domain name not found. Name service error for name={name} type={rtype}: {}",
                    kind.reason()
                )
            }
            ErrorKind::Invalid => {
                format!(
                    "Name service error for name={name} type={rtype}: {}",
                    kind.reason()
                )
            }
            ErrorKind::NullMx if rtype == Type::Srv => {
                format!("Domain {name} does not support SRV requests")
            }
            ErrorKind::NullMx => format!("Domain {name} does not accept mail (nullMX)"),
            ErrorKind::Policy => {
                format!(
                    "Error looking up name={name} type={rtype}: DNS reply filter drops all results"
                )
            }
            ErrorKind::Filter => {
                format!(
                    "Error looking up name={name} type={rtype}: Invalid DNS reply filter syntax"
                )
            }
        };
        Self {
            kind,
            text,
            negative_ttl: None,
        }
    }
}

/// The system's resolver. Its files are read again when they change.
#[derive(Debug)]
pub struct Resolver {
    conf: Mutex<(ResolvConf, Option<SystemTime>)>,
    conf_path: Option<PathBuf>,
    pub(crate) files: HostFiles,
    next_server: AtomicUsize,
}

impl Resolver {
    /// The resolver of this machine: `/etc/resolv.conf`, `/etc/nsswitch.conf`, `/etc/hosts`.
    #[must_use]
    pub fn system() -> Self {
        let path = PathBuf::from("/etc/resolv.conf");
        Self {
            conf: Mutex::new((ResolvConf::read(&path), modified(&path))),
            conf_path: Some(path),
            files: HostFiles::system(),
            next_server: AtomicUsize::new(0),
        }
    }

    /// A resolver with fixed settings and another hosts file, for tests.
    #[must_use]
    pub fn with(conf: ResolvConf, hosts: &Path) -> Self {
        Self {
            conf: Mutex::new((conf, None)),
            conf_path: None,
            files: HostFiles::fixed(hosts),
            next_server: AtomicUsize::new(0),
        }
    }

    pub(crate) fn conf(&self) -> ResolvConf {
        let mut guard = self
            .conf
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(path) = &self.conf_path {
            let now = modified(path);
            if now != guard.1 {
                *guard = (ResolvConf::read(path), now);
            }
        }
        guard.0.clone()
    }

    /// Looks up the records of one type, following aliases.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. A name that cannot exist is [`ErrorKind::NotFound`] without asking anyone.
    pub fn lookup(&self, name: &str, rtype: Type, options: Options) -> Result<Answer, DnsError> {
        let conf = self.conf();
        let mut current = name.to_owned();
        let mut authenticated = true;
        for _ in 0..=MAX_ALIASES {
            if !is_valid_name(&current) {
                let text = format!("Name service error for {current}: invalid host or domain name");
                return Err(DnsError {
                    kind: ErrorKind::NotFound,
                    text,
                    negative_ttl: None,
                });
            }
            let found = self.search(&conf, &current, rtype, options);
            log::debug!(
                "dns_query: {current} ({rtype}): {}",
                found
                    .as_ref()
                    .map_or_else(|error| error.kind.reason(), |_| "OK")
            );
            let message = found?;
            authenticated &= message.authenticated;
            match pick(&message, &current, rtype)? {
                Picked::Records {
                    mut records,
                    canonical,
                } => {
                    for record in &mut records {
                        record.authenticated &= authenticated;
                        record.queried = name.to_owned();
                    }
                    return Ok(Answer {
                        records,
                        canonical,
                        authenticated,
                    });
                }
                Picked::Alias(target) => current = target,
            }
        }
        let text = format!("Name server loop for {name}");
        Err(DnsError {
            kind: ErrorKind::NotFound,
            text,
            negative_ttl: None,
        })
    }

    /// Address records of a host for the wanted families, in the order of `types`.
    ///
    /// # Errors
    ///
    /// Only when no type had records: a temporary failure if there was one, else the last failure.
    pub fn addresses(
        &self,
        name: &str,
        types: &[Type],
        options: Options,
    ) -> Result<Answer, DnsError> {
        let mut found: Option<Answer> = None;
        let mut failure: Option<DnsError> = None;
        for rtype in types {
            match self.lookup(name, *rtype, options) {
                Ok(answer) => match &mut found {
                    Some(all) => {
                        all.authenticated &= answer.authenticated;
                        all.records.extend(answer.records);
                    }
                    None => found = Some(answer),
                },
                Err(error) => match &failure {
                    Some(earlier) if earlier.kind == ErrorKind::Retry => {}
                    _ => failure = Some(error),
                },
            }
        }
        found.ok_or_else(|| {
            failure.unwrap_or_else(|| DnsError::new(ErrorKind::NotFound, name, Type::A))
        })
    }

    /// Asks for `name` and, as the options say, for its forms with the search domains.
    fn search(
        &self,
        conf: &ResolvConf,
        name: &str,
        rtype: Type,
        options: Options,
    ) -> Result<Message, DnsError> {
        let mut worst: Option<DnsError> = None;
        for candidate in candidates(conf, name, options) {
            match self.ask(conf, &candidate, name, rtype, options) {
                Ok(message) => return Ok(message),
                Err(error) => match (&worst, error.kind) {
                    (None, _) | (_, ErrorKind::NoData) => worst = Some(error),
                    (Some(old), ErrorKind::Retry) if old.kind == ErrorKind::NotFound => {
                        worst = Some(error)
                    }
                    _ => {}
                },
            }
        }
        Err(worst.unwrap_or_else(|| DnsError::new(ErrorKind::NotFound, name, rtype)))
    }

    fn ask(
        &self,
        conf: &ResolvConf,
        candidate: &str,
        name: &str,
        rtype: Type,
        options: Options,
    ) -> Result<Message, DnsError> {
        let ad = options.dnssec || conf.trust_ad;
        let question = Question {
            name: candidate,
            rtype,
            edns: conf.edns0 || options.dnssec,
            dnssec: options.dnssec,
            ad,
        };
        let first = if conf.rotate {
            self.next_server.fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        let failure = |kind| DnsError::new(kind, name, rtype);
        let mut message =
            transport::exchange(conf, first, &question).ok_or_else(|| failure(ErrorKind::Retry))?;
        message.authenticated &= ad;
        let kind = match message.rcode {
            rcode::NOERROR if !message.answers.is_empty() => return Ok(message),
            rcode::NOERROR => ErrorKind::NoData,
            rcode::NXDOMAIN => ErrorKind::NotFound,
            rcode::SERVFAIL => ErrorKind::Retry,
            _ => ErrorKind::Fail,
        };
        Err(DnsError {
            negative_ttl: message.negative_ttl,
            ..failure(kind)
        })
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
}

/// The names to try in turn, as res_search(3) does.
fn candidates(conf: &ResolvConf, name: &str, options: Options) -> Vec<String> {
    let dots = name.bytes().filter(|b| *b == b'.').count();
    let wanted = if dots == 0 {
        options.default_names
    } else {
        options.search
    };
    if !wanted {
        return vec![name.to_owned()];
    }
    let limit = if options.search { conf.search.len() } else { 1 };
    let mut list: Vec<String> = conf
        .search
        .iter()
        .take(limit)
        .map(|domain| format!("{name}.{domain}"))
        .collect();
    let position = if dots >= conf.ndots { 0 } else { list.len() };
    list.insert(position, name.to_owned());
    list
}

enum Picked {
    Records {
        records: Vec<Record>,
        canonical: String,
    },
    Alias(String),
}

/// Takes the wanted records out of a reply, checking the names in them; without any, the end of the
/// alias chain, which has to be asked for.
fn pick(message: &Message, name: &str, rtype: Type) -> Result<Picked, DnsError> {
    let mut canonical = name.to_owned();
    let mut alias = false;
    let mut records = Vec::new();
    let mut bad = false;
    for record in &message.answers {
        if record.data.rtype() != rtype {
            if let Data::Cname(target) = &record.data
                && record.name.eq_ignore_ascii_case(&canonical)
            {
                canonical.clone_from(target);
                alias = true;
            }
            continue;
        }
        if is_null(&record.data) {
            return Err(DnsError::new(ErrorKind::NullMx, name, rtype));
        }
        if record
            .data
            .domain()
            .is_none_or(|domain| is_good_target(domain, rtype, &record.name))
        {
            records.push(record.clone());
        } else {
            bad = true;
        }
    }
    match (records.is_empty(), bad, alias) {
        (false, ..) => Ok(Picked::Records { records, canonical }),
        (true, true, _) => Err(DnsError::new(ErrorKind::Invalid, name, rtype)),
        (true, false, true) => Ok(Picked::Alias(canonical)),
        (true, false, false) => Err(DnsError::new(ErrorKind::NoData, name, rtype)),
    }
}

/// RFC 7505 (`MX 0 .`) and RFC 2782 (`SRV … .`).
fn is_null(data: &Data) -> bool {
    match data {
        Data::Mx {
            preference: 0,
            exchange,
        } => exchange.is_empty(),
        Data::Srv { target, .. } => target.is_empty(),
        _ => false,
    }
}

/// A numeric target is only worth a warning; other bad names make the record useless.
fn is_good_target(domain: &str, rtype: Type, owner: &str) -> bool {
    if rtype == Type::Ptr {
        // Names of addresses come from the C library in Postfix, which does not complain; their
        // users check them.
        return true;
    }
    let (good, gripe) = if is_host_address(domain) {
        (true, "numeric domain name")
    } else if is_valid_name(domain) {
        return true;
    } else {
        if let Err(error) = valid_hostname(domain.into()) {
            log::warn!("{error}");
        }
        (false, "malformed domain name")
    };
    let shown: String = domain.chars().take(100).collect();
    log::warn!("{gripe} in resource data of {rtype} record for {owner}: {shown}");
    good
}

#[cfg(test)]
mod tests;
