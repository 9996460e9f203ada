//! "Native" host lookups: what getaddrinfo(3) and getnameinfo(3) answer from the hosts file and the
//! DNS, in the order of nsswitch.conf(5).

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::lookup::{DnsError, ErrorKind, Options, Resolver};
use crate::name::{is_host_address, is_valid_name, reverse_name};
use crate::record::{Data, Type};

/// Longest hosts file that is read; the rest of a larger one is ignored.
const MAX_HOSTS: usize = 4 << 20;

/// Which address families are wanted, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// `inet_protocols = ipv4`.
    Ipv4,
    /// `inet_protocols = ipv6`.
    Ipv6,
    /// Both.
    All,
}

impl Families {
    /// Whether an address may be used.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match self {
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
            Self::All => true,
        }
    }

    /// The record types to ask for, in Postfix's order.
    #[must_use]
    pub fn types(self) -> &'static [Type] {
        match self {
            Self::Ipv4 => &[Type::A],
            Self::Ipv6 => &[Type::Aaaa],
            Self::All => &[Type::A, Type::Aaaa],
        }
    }
}

/// The error classes of getaddrinfo(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostErrorKind {
    /// `EAI_NONAME`.
    NoName,
    /// `EAI_NODATA`.
    NoData,
    /// `EAI_AGAIN`.
    Again,
    /// `EAI_FAIL`.
    Fail,
}

/// Why a native lookup failed. `Display` is the C library's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError {
    /// Class of failure.
    pub kind: HostErrorKind,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            HostErrorKind::NoName => "Name or service not known",
            HostErrorKind::NoData => "No address associated with hostname",
            HostErrorKind::Again => "Temporary failure in name resolution",
            HostErrorKind::Fail => "Non-recoverable failure in name resolution",
        })
    }
}

impl std::error::Error for HostError {}

impl From<&DnsError> for HostError {
    fn from(error: &DnsError) -> Self {
        let kind = match error.kind {
            ErrorKind::NoData => HostErrorKind::NoData,
            ErrorKind::Retry => HostErrorKind::Again,
            ErrorKind::Fail => HostErrorKind::Fail,
            _ => HostErrorKind::NoName,
        };
        Self { kind }
    }
}

/// Certainty of a client name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameStatus {
    /// Both directions agree.
    Ok,
    /// A lookup failed for now.
    Temporary,
    /// There is no name.
    Permanent,
    /// The name does not lead back to the address.
    Forged,
}

/// Name of an SMTP client as smtpd(8) uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    /// Verified name, or `unknown`.
    pub name: String,
    /// Name found for the address, verified or not; or `unknown`.
    pub reverse_name: String,
    /// Status of `name`.
    pub status: NameStatus,
    /// Status of `reverse_name`: [`NameStatus::Ok`] whenever there is one.
    pub reverse_status: NameStatus,
    /// What to log as a warning.
    pub warning: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Files,
    Dns,
}

/// The files behind native lookups; what was read is kept until a file changes.
#[derive(Debug)]
pub(crate) struct HostFiles {
    hosts: Watched<String>,
    nsswitch: Option<Watched<Vec<Source>>>,
}

impl HostFiles {
    pub(crate) fn system() -> Self {
        Self {
            hosts: Watched::new("/etc/hosts"),
            nsswitch: Some(Watched::new("/etc/nsswitch.conf")),
        }
    }

    pub(crate) fn fixed(hosts: &Path) -> Self {
        Self {
            hosts: Watched::new(hosts),
            nsswitch: None,
        }
    }

    fn sources(&self) -> Arc<Vec<Source>> {
        match &self.nsswitch {
            Some(file) => file.read(|text| parse_sources(&String::from_utf8_lossy(text))),
            None => Arc::new(parse_sources("")),
        }
    }

    fn hosts(&self) -> Arc<String> {
        self.hosts.read(|text| {
            let text = text.get(..MAX_HOSTS).unwrap_or(text);
            String::from_utf8_lossy(text).into_owned()
        })
    }
}

/// The files as one lookup sees them: it asks once whether they changed.
struct Seen<'a> {
    files: &'a HostFiles,
    sources: OnceCell<Arc<Vec<Source>>>,
    hosts: OnceCell<Arc<String>>,
}

impl<'a> Seen<'a> {
    fn new(files: &'a HostFiles) -> Self {
        Self {
            files,
            sources: OnceCell::new(),
            hosts: OnceCell::new(),
        }
    }

    fn sources(&self) -> &[Source] {
        self.sources.get_or_init(|| self.files.sources())
    }

    fn hosts(&self) -> &str {
        self.hosts.get_or_init(|| self.files.hosts())
    }
}

/// A file, and what its content means. One system call tells whether the file is the same still.
#[derive(Debug)]
struct Watched<T> {
    path: PathBuf,
    kept: Mutex<Option<(Stamp, Arc<T>)>>,
}

/// What changes with a file's content; `None` without a file.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl<T> Watched<T> {
    fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            kept: Mutex::new(None),
        }
    }

    /// A missing or unreadable file is an empty one.
    fn read(&self, parse: impl FnOnce(&[u8]) -> T) -> Arc<T> {
        // Before reading: a change in between is noticed by the next look.
        let stamp = stamp(&self.path);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*kept
            && *known == stamp
        {
            return Arc::clone(value);
        }
        let value = Arc::new(parse(&std::fs::read(&self.path).unwrap_or_default()));
        *kept = is_settled(stamp).then(|| (stamp, Arc::clone(&value)));
        value
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

/// Whether another change would show: file times advance in steps, so that a file that changed a
/// moment ago may change again without a trace.
fn is_settled(stamp: Stamp) -> bool {
    const STEP: i64 = 2;
    stamp.is_none_or(|(.., changed, _)| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.is_ok_and(|now| i64::try_from(now.as_secs()).is_ok_and(|now| changed + STEP <= now))
    })
}

/// The `hosts:` line; modules that a mail system does not need are left out.
fn parse_sources(text: &str) -> Vec<Source> {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let Some(line) = line else {
        return vec![Source::Files, Source::Dns];
    };
    let line = line.split('#').next().unwrap_or_default();
    line.split_ascii_whitespace()
        .filter_map(|word| match word {
            "files" => Some(Source::Files),
            "dns" | "resolve" => Some(Source::Dns),
            _ => None,
        })
        .collect()
}

/// Entries of a hosts file: address and names, the official one first.
fn entries(text: &str) -> impl Iterator<Item = (IpAddr, Vec<&str>)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        Some((address, words.collect()))
    })
}

impl Resolver {
    /// Addresses of a host, as getaddrinfo(3): a numeric address as it is, then the hosts file and
    /// the DNS (with the search list).
    ///
    /// # Errors
    ///
    /// The getaddrinfo(3) class of the failure.
    pub fn host(&self, name: &str, families: Families) -> Result<Vec<IpAddr>, HostError> {
        self.host_with(&Seen::new(&self.files), name, families)
    }

    fn host_with(
        &self,
        seen: &Seen<'_>,
        name: &str,
        families: Families,
    ) -> Result<Vec<IpAddr>, HostError> {
        if let Ok(address) = name.parse::<IpAddr>() {
            let kind = HostErrorKind::NoName;
            return if families.contains(address) {
                Ok(vec![address])
            } else {
                Err(HostError { kind })
            };
        }
        let name = name.trim_end_matches('.');
        let mut failure = HostError {
            kind: HostErrorKind::NoName,
        };
        for source in seen.sources() {
            match source {
                Source::Files => {
                    let found = self.host_in_file(seen.hosts(), name, families);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                Source::Dns => {
                    if !is_valid_name(name) {
                        continue;
                    }
                    let options = Options {
                        search: true,
                        default_names: true,
                        dnssec: false,
                    };
                    match self.addresses(name, families.types(), options) {
                        Ok(answer) => {
                            return Ok(answer.records.iter().filter_map(|r| r.address()).collect());
                        }
                        Err(error) => failure = HostError::from(&error),
                    }
                }
            }
        }
        Err(failure)
    }

    fn host_in_file(&self, text: &str, name: &str, families: Families) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for (address, names) in entries(text) {
            if families.contains(address)
                && !found.contains(&address)
                && names.iter().any(|n| n.eq_ignore_ascii_case(name))
            {
                found.push(address);
            }
        }
        found
    }

    /// Name of an address, as getnameinfo(3) with `NI_NAMEREQD`.
    ///
    /// # Errors
    ///
    /// [`HostErrorKind::Again`] when it may be known later, else [`HostErrorKind::NoName`].
    pub fn host_name(&self, address: IpAddr) -> Result<String, HostError> {
        self.host_name_with(&Seen::new(&self.files), address)
    }

    fn host_name_with(&self, seen: &Seen<'_>, address: IpAddr) -> Result<String, HostError> {
        let mut failure = HostError {
            kind: HostErrorKind::NoName,
        };
        for source in seen.sources() {
            match source {
                Source::Files => {
                    let entry = entries(seen.hosts())
                        .find(|(known, names)| *known == address && !names.is_empty());
                    if let Some(name) = entry.and_then(|(_, names)| names.first().copied()) {
                        return Ok(name.to_owned());
                    }
                }
                Source::Dns => {
                    match self.lookup(&reverse_name(address), Type::Ptr, Options::default()) {
                        Ok(answer) => {
                            let name =
                                answer
                                    .records
                                    .into_iter()
                                    .find_map(|record| match record.data {
                                        Data::Ptr(name) => Some(name),
                                        _ => None,
                                    });
                            if let Some(name) = name {
                                return Ok(name);
                            }
                        }
                        Err(error) if error.kind == ErrorKind::Retry => {
                            failure.kind = HostErrorKind::Again
                        }
                        Err(_) => {}
                    }
                }
            }
        }
        Err(failure)
    }

    /// The name of a client, believed only when it leads back to the address.
    #[must_use]
    pub fn client_name(&self, address: IpAddr, families: Families) -> ClientName {
        let unknown = || "unknown".to_owned();
        let seen = Seen::new(&self.files);
        let reverse = self.host_name_with(&seen, address);
        let reverse = match reverse {
            Ok(name) if is_valid_name(&name) => name,
            Ok(name) if is_host_address(&name) => {
                let warning = Some(format!("numeric hostname: {name}"));
                return ClientName {
                    name: unknown(),
                    reverse_name: unknown(),
                    status: NameStatus::Permanent,
                    reverse_status: NameStatus::Permanent,
                    warning,
                };
            }
            failed => {
                let again = matches!(
                    failed,
                    Err(HostError {
                        kind: HostErrorKind::Again
                    })
                );
                let status = if again {
                    NameStatus::Temporary
                } else {
                    NameStatus::Permanent
                };
                return ClientName {
                    name: unknown(),
                    reverse_name: unknown(),
                    status,
                    reverse_status: status,
                    warning: None,
                };
            }
        };
        let (status, warning) = match self.host_with(&seen, &reverse, families) {
            Ok(list) if list.contains(&address) => (NameStatus::Ok, None),
            Ok(_) => (
                NameStatus::Forged,
                Some(format!(
                    "hostname {reverse} does not resolve to address {address}"
                )),
            ),
            Err(error) => {
                let again = error.kind == HostErrorKind::Again;
                let status = if again {
                    NameStatus::Temporary
                } else {
                    NameStatus::Forged
                };
                (
                    status,
                    Some(format!(
                        "hostname {reverse} does not resolve to address {address}: {error}"
                    )),
                )
            }
        };
        let name = if status == NameStatus::Ok {
            reverse.clone()
        } else {
            unknown()
        };
        ClientName {
            name,
            reverse_name: reverse,
            status,
            reverse_status: NameStatus::Ok,
            warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_line_decides_the_order() {
        #[rustfmt::skip]
        let cases: &[(&str, &[Source])] = &[
            ("", &[Source::Files, Source::Dns]),
            ("hosts: files dns", &[Source::Files, Source::Dns]),
            ("passwd: files\nhosts:  dns [NOTFOUND=return] files # x", &[Source::Dns, Source::Files]),
            ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", &[Source::Dns, Source::Files, Source::Dns]),
            ("hosts: files", &[Source::Files]),
        ];
        for (text, want) in cases {
            assert_eq!(parse_sources(text), *want, "{text:?}");
        }
    }

    #[test]
    fn changed_file_is_read_again_and_an_old_one_is_not() {
        let directory = std::env::temp_dir().join(format!("postern-hosts-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("hosts");
        let file = Watched::new(&path);
        let mut reads = 0;
        let mut length = |file: &Watched<usize>| {
            *file.read(|text| {
                reads += 1;
                text.len()
            })
        };
        assert_eq!((length(&file), length(&file)), (0, 0));
        for text in ["a", "bb", "cc", "ddd"] {
            // No time passes in between: the file is too fresh to be believed.
            std::fs::write(&path, text).unwrap();
            assert_eq!(length(&file), text.len(), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!((length(&file), length(&file)), (0, 0));
        assert_eq!(reads, 1 + 4 + 1);
        std::fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn only_a_file_that_rests_is_kept() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        for (age, want) in [(0, false), (1, false), (3, true), (1000, true), (-5, false)] {
            let stamp = Some((1, 2, 3, 4, 5, now - age, 0));
            assert_eq!(is_settled(stamp), want, "{age}");
        }
        assert!(is_settled(None));
    }

    #[test]
    fn hosts_entries_are_read_with_comments() {
        let text = "# c\n127.0.0.1 localhost lh # x\n::1\tip6 localhost\nbad name\n192.0.2.1\n";
        let list: Vec<_> = entries(text).collect();
        assert_eq!(list.len(), 3);
        assert_eq!(
            list[0],
            ("127.0.0.1".parse().unwrap(), vec!["localhost", "lh"])
        );
        assert_eq!(list[2].1.len(), 0);
    }
}
