//! Connection strings: `mongodb://user:password@host:port,host:port/database?name=value`.
//!
//! Source: MongoDB's "Connection Strings" and its specifications of their syntax and options.

use std::fmt;
use std::time::Duration;

use super::scram::Mechanism;
use crate::tls::{Check, TlsFiles};

/// Where servers listen unless a string says otherwise.
const DEFAULT_PORT: u16 = 27017;
/// No wait is longer, whatever a string says; 0, which would be for ever, is this.
const LONGEST: Duration = Duration::from_secs(300);
/// The protocol allows no longer name.
const LONGEST_APP_NAME: usize = 128;

/// What is wrong with a string. Never the string itself: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct UriError(pub(super) String);

fn error<T>(text: impl Into<String>) -> Result<T, UriError> {
    Err(UriError(text.into()))
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Inet(String, u16),
    /// The path of a socket.
    Unix(String),
}

impl Host {
    /// `name`, `name:port`, `[address]:port`, or the path of a socket with `%2F` for `/`.
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        if text.contains('/') {
            return error("the path of a socket needs %2F for /");
        }
        let decoded = decode(text)?;
        if decoded.ends_with(".sock") {
            return Ok(Self::Unix(decoded));
        }
        let bad = || UriError(format!("bad server name: {text}"));
        let (name, port) = match decoded.strip_prefix('[') {
            Some(inside) => {
                let (address, rest) = inside.split_once(']').ok_or_else(bad)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or_else(bad)?),
                };
                (address, port)
            }
            None => match decoded.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (decoded.as_str(), None),
            },
        };
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => {
                let number = port.parse().ok().filter(|_| is_number(port));
                number.filter(|number| *number > 0).ok_or_else(bad)?
            }
        };
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '@');
        match is_name {
            true => Ok(Self::Inet(name.to_ascii_lowercase(), port)),
            false => Err(bad()),
        }
    }

    /// As certificates name it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Inet(name, _) => name,
            Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Inet(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// Where the names of servers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seeds {
    Hosts(Vec<Host>),
    /// SRV records of this service below this name.
    Srv {
        name: String,
        service: String,
    },
}

/// How to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    /// Of the server's choice when it is not given.
    pub(super) mechanism: Option<Mechanism>,
}

/// Which members of a replica set are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Preference {
    #[default]
    Primary,
    PrimaryPreferred,
    Secondary,
    SecondaryPreferred,
    Nearest,
}

impl Preference {
    const ALL: [Self; 5] = [
        Self::Primary,
        Self::PrimaryPreferred,
        Self::Secondary,
        Self::SecondaryPreferred,
        Self::Nearest,
    ];

    /// As servers and strings name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::PrimaryPreferred => "primaryPreferred",
            Self::Secondary => "secondary",
            Self::SecondaryPreferred => "secondaryPreferred",
            Self::Nearest => "nearest",
        }
    }
}

/// What a string says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) seeds: Seeds,
    pub(super) login: Option<Login>,
    /// The database of the path.
    pub(super) database: Option<String>,
    pub(super) auth_source: Option<String>,
    pub(super) replica_set: Option<String>,
    pub(super) direct: Option<bool>,
    pub(super) preference: Preference,
    pub(super) tls: Option<bool>,
    pub(super) tls_files: TlsFiles,
    pub(super) tls_check: Check,
    pub(super) app_name: Option<String>,
    /// Connecting, encryption and login together.
    pub(super) connect_limit: Duration,
    /// A question, until the whole answer is there.
    pub(super) answer_limit: Duration,
    /// Looking for a server that can answer.
    pub(super) selection_limit: Duration,
    /// How long a server that failed is left alone.
    pub(super) retry: Duration,
}

impl Uri {
    /// Parses `text`, and tells in `warnings` what of it has no effect.
    pub(super) fn parse(text: &str, warnings: &mut Vec<String>) -> Result<Self, UriError> {
        let (rest, is_srv) = if let Some(rest) = text.strip_prefix("mongodb://") {
            (rest, false)
        } else if let Some(rest) = text.strip_prefix("mongodb+srv://") {
            (rest, true)
        } else {
            return error("it begins with neither mongodb:// nor mongodb+srv://");
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if rest.contains('@') {
            // Else a part of a password would count, and show, as the name of a server.
            return error("user and password need percent-encoding, and so does @ elsewhere");
        }
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(parse_login(login)?), hosts),
            None => (None, authority),
        };
        let database = decode(path.strip_prefix('/').unwrap_or(path))?;
        if database.contains(['/', '\\', ' ', '"', '$', '\0']) {
            return error("bad name of the database");
        }
        let mut uri = Self {
            seeds: seeds(hosts, is_srv)?,
            login,
            database: Some(database).filter(|name| !name.is_empty()),
            auth_source: None,
            replica_set: None,
            direct: None,
            preference: Preference::default(),
            tls: None,
            tls_files: TlsFiles::default(),
            tls_check: Check::ChainAndName,
            app_name: None,
            connect_limit: Duration::from_secs(10),
            answer_limit: Duration::from_secs(30),
            selection_limit: Duration::from_secs(30),
            retry: Duration::from_secs(60),
        };
        let mut checks = Checks::default();
        for pair in options.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            uri.set(&name, value, &mut checks, warnings)?;
        }
        uri.tls_check = checks.check()?;
        uri.validate()?;
        Ok(uri)
    }

    fn set(
        &mut self,
        name: &str,
        value: String,
        checks: &mut Checks,
        warnings: &mut Vec<String>,
    ) -> Result<(), UriError> {
        if value.is_empty() {
            warnings.push(format!("option {name} has no value"));
            return Ok(());
        }
        let flag = || boolean(name, &value);
        let limit = |warnings: &mut Vec<String>, old: Duration| {
            let found = milliseconds(&value);
            if found.is_none() {
                warnings.push(format!("invalid value of option {name}"));
            }
            found.unwrap_or(old)
        };
        match name.to_ascii_lowercase().as_str() {
            "authsource" => self.auth_source = Some(value),
            "authmechanism" => match (&mut self.login, Mechanism::parse(&value)) {
                (Some(login), Some(mechanism)) => login.mechanism = Some(mechanism),
                (None, Some(_)) => return error(format!("{value} needs a user and a password")),
                (_, None) => {
                    return error(format!("authentication mechanism {value} is not supported"));
                }
            },
            "replicaset" => self.replica_set = Some(value),
            "directconnection" => self.direct = Some(flag()?),
            "readpreference" => {
                let known = Preference::ALL.into_iter().find(|one| one.name() == value);
                let bad = || UriError("invalid value of option readPreference".to_owned());
                self.preference = known.ok_or_else(bad)?;
            }
            "tls" | "ssl" => {
                let wanted = flag()?;
                if self.tls.is_some_and(|earlier| earlier != wanted) {
                    return error("options tls and ssl contradict each other");
                }
                self.tls = Some(wanted);
            }
            "tlscafile" => self.tls_files.ca_file = value,
            "tlscertificatekeyfile" => {
                self.tls_files.cert_file.clone_from(&value);
                self.tls_files.key_file = value;
            }
            "tlsinsecure" => checks.insecure = Some(flag()?),
            "tlsallowinvalidcertificates" => checks.any_certificate = Some(flag()?),
            "tlsallowinvalidhostnames" => checks.any_name = Some(flag()?),
            "appname" if value.len() <= LONGEST_APP_NAME => self.app_name = Some(value),
            "connecttimeoutms" => self.connect_limit = limit(warnings, self.connect_limit),
            "sockettimeoutms" => self.answer_limit = limit(warnings, self.answer_limit),
            "serverselectiontimeoutms" => {
                self.selection_limit = limit(warnings, self.selection_limit);
            }
            "heartbeatfrequencyms" => self.retry = limit(warnings, self.retry),
            "srvservicename" => match &mut self.seeds {
                Seeds::Srv { service, .. } if is_label(&value) => *service = value,
                _ => return error("option srvServiceName does not fit"),
            },
            "loadbalanced" => {
                if flag()? {
                    return error("option loadBalanced is not supported");
                }
            }
            other if HARMLESS.contains(&other) => {}
            _ => warnings.push(format!("option {name} is not supported")),
        }
        Ok(())
    }

    /// What only the whole string shows.
    fn validate(&self) -> Result<(), UriError> {
        let is_one = matches!(&self.seeds, Seeds::Hosts(hosts) if hosts.len() == 1);
        if self.direct == Some(true) && !is_one {
            return error("option directConnection needs a single server");
        }
        match &self.login {
            Some(login) if login.user.is_empty() || login.password.is_empty() => {
                error("the login needs a user and a password")
            }
            _ => Ok(()),
        }
    }

    /// Whether the only server is asked, whatever it is.
    pub(super) fn is_direct(&self) -> bool {
        let is_one = matches!(&self.seeds, Seeds::Hosts(hosts) if hosts.len() == 1);
        is_one && self.direct.unwrap_or(self.replica_set.is_none())
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.unwrap_or(match self.seeds {
            Seeds::Srv { .. } => true,
            // Whoever says how to encrypt wants it.
            Seeds::Hosts(_) => {
                self.tls_files != TlsFiles::default() || self.tls_check != Check::ChainAndName
            }
        })
    }

    /// The database that knows the user.
    pub(super) fn auth_database(&self) -> &str {
        let source = self.auth_source.as_deref().or(self.database.as_deref());
        source.unwrap_or("admin")
    }

    /// Adds the options of a TXT record, which count less than those of the string itself.
    pub(super) fn add_record(&mut self, options: &str) -> Result<(), UriError> {
        for pair in options.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = Some(decode(value)?).filter(|value| !value.is_empty());
            let place = match name.to_ascii_lowercase().as_str() {
                "authsource" => &mut self.auth_source,
                "replicaset" => &mut self.replica_set,
                _ => return error(format!("its TXT record has option {name}")),
            };
            if place.is_none() {
                *place = value;
            }
        }
        Ok(())
    }
}

/// Options about writing, pools of connections and the like, which change no lookup.
#[rustfmt::skip]
const HARMLESS: [&str; 20] = [
    "compressors", "journal", "localthresholdms", "maxconnecting", "maxidletimems", "maxpoolsize", "minpoolsize",
    "retryreads", "retrywrites", "servermonitoringmode", "serverselectiontryonce", "socketcheckintervalms",
    "srvmaxhosts", "tlsdisablecertificaterevocationcheck", "tlsdisableocspendpointcheck", "uuidrepresentation", "w",
    "waitqueuetimeoutms", "wtimeoutms", "zlibcompressionlevel",
];

/// What options say about the server's certificate.
#[derive(Default)]
struct Checks {
    insecure: Option<bool>,
    any_certificate: Option<bool>,
    any_name: Option<bool>,
}

impl Checks {
    fn check(&self) -> Result<Check, UriError> {
        if self.insecure.is_some() && (self.any_certificate.is_some() || self.any_name.is_some()) {
            return error("option tlsInsecure contradicts tlsAllowInvalid...");
        }
        let is_set = |flag: Option<bool>| flag == Some(true);
        Ok(if is_set(self.insecure) || is_set(self.any_certificate) {
            Check::Nothing
        } else if is_set(self.any_name) {
            Check::Chain
        } else {
            Check::ChainAndName
        })
    }
}

fn parse_login(text: &str) -> Result<Login, UriError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    if text.contains('@') || password.contains(':') {
        return error("user and password need %40 for @ and %3A for :");
    }
    Ok(Login {
        user: decode(user)?,
        password: decode(password)?,
        mechanism: None,
    })
}

fn seeds(hosts: &str, is_srv: bool) -> Result<Seeds, UriError> {
    if !is_srv {
        let hosts = hosts.split(',').map(Host::parse);
        return Ok(Seeds::Hosts(hosts.collect::<Result<_, _>>()?));
    }
    let name = decode(hosts)?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() || !name.split('.').all(is_label) {
        return error("mongodb+srv:// needs one name without port");
    }
    Ok(Seeds::Srv {
        name: name.to_owned(),
        service: "mongodb".to_owned(),
    })
}

fn is_label(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(is_part)
}

fn boolean(name: &str, value: &str) -> Result<bool, UriError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" => Ok(true),
        "false" | "0" | "-1" | "no" | "n" | "f" => Ok(false),
        // A guess could turn checks off.
        _ => error(format!("invalid value of option {name}")),
    }
}

fn milliseconds(value: &str) -> Option<Duration> {
    let number: u64 = value.parse().ok()?;
    Some(match number {
        0 => LONGEST,
        _ => Duration::from_millis(number).min(LONGEST),
    })
}

/// `text` without its percent signs.
fn decode(text: &str) -> Result<String, UriError> {
    let bad = || UriError("bad percent-encoding".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad());
        }
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        rest = tail;
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests;
