//! Connection URIs: `postgresql://user:password@host:port/database?name=value`.
//!
//! Source: "Connection URIs" and "Parameter Key Words" of PostgreSQL's libpq chapter.

use bstr::{BString, ByteSlice};
use std::time::Duration;

use crate::sql::tls::TlsFiles;

/// How much encryption is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SslMode {
    Disable,
    /// If the server can; `allow` counts as this.
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What a URI says; what it does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) user: BString,
    pub(super) password: BString,
    pub(super) database: BString,
    /// Hosts with their ports; a host that begins with `/` is a directory of sockets.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    /// Parameters for the server's session.
    pub(super) session: Vec<(&'static str, BString)>,
    pub(super) ssl_mode: SslMode,
    pub(super) binding: Binding,
    pub(super) tls: TlsFiles,
    pub(super) connect_limit: Option<Duration>,
    /// The server has to take writes.
    pub(super) read_write: bool,
}

/// Whether `text` is a URI, not a host.
pub(super) fn is_uri(text: &str) -> bool {
    text.starts_with("postgresql://") || text.starts_with("postgres://")
}

/// `text` for the log: without the password of a URI.
pub(super) fn shown(text: &str) -> String {
    let (head, query) = text.split_once('?').unwrap_or((text, ""));
    let mut shown = match head.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((login, place)) if login.contains(':') => {
                let user = login.split(':').next().unwrap_or_default();
                format!("{scheme}://{user}:***@{place}")
            }
            _ => head.to_owned(),
        },
        None => head.to_owned(),
    };
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        shown.push_str(if pair.starts_with("password=") {
            "password=***"
        } else {
            pair
        });
    }
    shown
}

impl Uri {
    /// Parses `text`. The error is the text for the log, in libpq's words where it has some.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (_, rest) = text.split_once("://").unwrap_or(("", text));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let mut uri = Self {
            database: decode(database)?,
            ..Self::default()
        };
        let hosts = match authority.rsplit_once('@') {
            Some((login, hosts)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (uri.user, uri.password) = (decode(user)?, decode(password)?);
                hosts
            }
            None => authority,
        };
        let mut names = Vec::new();
        let mut ports = Vec::new();
        if !hosts.is_empty() {
            for host in hosts.split(',') {
                let (name, port) = super::super::dial::host_and_port(host);
                names.push(decode_text(name)?);
                ports.push(port.map(str::to_owned).unwrap_or_default());
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                format!("missing key/value separator \"=\" in URI query parameter: \"{pair}\"\n")
            })?;
            uri.set(&decode_text(name)?, &decode(value)?, &mut names, &mut ports)?;
        }
        uri.hosts = with_ports(&names, &ports)?;
        Ok(uri)
    }

    fn set(
        &mut self,
        name: &str,
        value: &BString,
        names: &mut Vec<String>,
        ports: &mut Vec<String>,
    ) -> Result<(), String> {
        let text = value.to_str_lossy().into_owned();
        let list = || text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match name {
            "user" => self.user.clone_from(value),
            "password" => self.password.clone_from(value),
            "dbname" => self.database.clone_from(value),
            "host" | "hostaddr" => *names = list(),
            "port" => *ports = list(),
            "application_name" => self.session.push(("application_name", value.clone())),
            "options" => self.session.push(("options", value.clone())),
            "sslmode" => self.ssl_mode = ssl_mode(&text)?,
            "ssl" if text == "true" => self.ssl_mode = SslMode::Require,
            "sslrootcert" if text == "system" => {
                self.tls.ca_file.clear();
                self.ssl_mode = SslMode::VerifyFull;
            }
            "sslrootcert" => self.tls.ca_file = text,
            "sslcert" => self.tls.cert_file = text,
            "sslkey" => self.tls.key_file = text,
            "connect_timeout" => self.connect_limit = seconds(&text)?,
            "target_session_attrs" => self.read_write = session_attributes(&text)?,
            // What makes no difference here: the session sets the encoding, TLS is 1.2 or newer, and
            // limits of time make keep-alive packets unnecessary.
            "client_encoding"
            | "fallback_application_name"
            | "gssencmode"
            | "sslcompression"
            | "ssl_min_protocol_version"
            | "sslsni"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_count"
            | "tcp_user_timeout"
            | "krbsrvname"
            | "gsslib"
            | "load_balance_hosts" => {}
            "channel_binding" => self.binding = binding(&text)?,
            "passfile"
            | "requirepeer"
            | "service"
            | "sslcrl"
            | "sslcrldir"
            | "sslpassword"
            | "ssl_max_protocol_version"
            | "require_auth"
            | "replication"
            | "sslnegotiation"
            | "sslcertmode" => {
                return Err(format!("unsupported URI query parameter: \"{name}\"\n"));
            }
            _ => return Err(format!("invalid URI query parameter: \"{name}\"\n")),
        }
        Ok(())
    }
}

/// Each host with its port: as many ports as hosts, or one for all.
fn with_ports(names: &[String], ports: &[String]) -> Result<Vec<(String, Option<u16>)>, String> {
    let numbers = ports
        .iter()
        .map(|port| port_number(port))
        .collect::<Result<Vec<_>, _>>()?;
    if numbers.len() > 1 && numbers.len() != names.len() {
        let (ports, hosts) = (numbers.len(), names.len());
        return Err(format!(
            "could not match {ports} port numbers to {hosts} hosts\n"
        ));
    }
    let one = numbers.first().copied().flatten();
    if names.is_empty() {
        return Ok(vec![(String::new(), one)]);
    }
    let port = |index| match numbers.len() {
        0 | 1 => one,
        _ => numbers.get(index).copied().flatten(),
    };
    let host = |(index, name): (usize, &String)| (name.clone(), port(index));
    Ok(names.iter().enumerate().map(host).collect())
}

/// The number of a port; `None` for an empty text.
pub(super) fn port_number(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number: i64 = text.parse().map_err(|_| {
        format!("invalid integer value \"{text}\" for connection option \"port\"\n")
    })?;
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!("invalid port number: \"{text}\"\n")),
    }
}

/// Whether the proof of the password is bound to the certificate that the client sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Binding {
    Disable,
    /// When the server offers it.
    #[default]
    Prefer,
    Require,
}

fn binding(text: &str) -> Result<Binding, String> {
    match text {
        "disable" => Ok(Binding::Disable),
        "prefer" => Ok(Binding::Prefer),
        "require" => Ok(Binding::Require),
        _ => Err(format!("invalid channel_binding value: \"{text}\"\n")),
    }
}

fn ssl_mode(text: &str) -> Result<SslMode, String> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(format!("invalid sslmode value: \"{text}\"\n")),
    })
}

fn seconds(text: &str) -> Result<Option<Duration>, String> {
    let number: i64 = text.trim().parse().map_err(|_| {
        format!("invalid integer value \"{text}\" for connection option \"connect_timeout\"\n")
    })?;
    let number = u64::try_from(number).ok().filter(|number| *number > 0);
    Ok(number.map(Duration::from_secs))
}

/// Whether only a server that takes writes will do.
fn session_attributes(text: &str) -> Result<bool, String> {
    match text {
        "any" | "prefer-standby" => Ok(false),
        "read-write" | "primary" => Ok(true),
        "read-only" | "standby" => Err("unsupported target_session_attrs value\n".to_owned()),
        _ => Err(format!("invalid target_session_attrs value: \"{text}\"\n")),
    }
}

fn decode_text(text: &str) -> Result<String, String> {
    String::from_utf8(decode(text)?.into()).map_err(|_| bad_percent(text))
}

/// `%XX` taken back.
fn decode(text: &str) -> Result<BString, String> {
    let mut out = BString::default();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match value {
            Some(0) => {
                return Err(format!(
                    "forbidden value %00 in percent-encoded value: \"{text}\"\n"
                ));
            }
            Some(value) => out.push(value),
            None => return Err(bad_percent(text)),
        }
        rest = rest.get(2..).unwrap_or_default();
    }
    Ok(out)
}

fn bad_percent(text: &str) -> String {
    format!("invalid percent-encoded token: \"{text}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_taken_apart() {
        let uri = Uri::parse(
            "postgresql://me:p%40ss@db.example:33/mail?sslmode=verify-full&sslrootcert=/ca",
        )
        .unwrap();
        assert_eq!(
            (uri.user.as_slice(), uri.password.as_slice()),
            (&b"me"[..], &b"p@ss"[..])
        );
        assert_eq!(uri.hosts, [("db.example".to_owned(), Some(33))]);
        assert_eq!(uri.database, "mail");
        assert_eq!(uri.ssl_mode, SslMode::VerifyFull);
        assert_eq!(uri.tls.ca_file, "/ca");
        let uri = Uri::parse(
            "postgres:///mail?host=/run/pg&port=34&connect_timeout=3&application_name=x",
        )
        .unwrap();
        assert_eq!(uri.hosts, [("/run/pg".to_owned(), Some(34))]);
        assert_eq!(uri.connect_limit, Some(Duration::from_secs(3)));
        assert_eq!(uri.session, [("application_name", BString::from("x"))]);
        let uri = Uri::parse("postgresql://%2Frun%2Fpg/d").unwrap();
        assert_eq!(uri.hosts, [("/run/pg".to_owned(), None)]);
        let uri = Uri::parse("postgresql://[::1]:5,b:6/d?target_session_attrs=read-write").unwrap();
        assert_eq!(
            uri.hosts,
            [("::1".to_owned(), Some(5)), ("b".to_owned(), Some(6))]
        );
        assert!(uri.read_write);
        assert_eq!(
            Uri::parse("postgresql://").unwrap().hosts,
            [(String::new(), None)]
        );
    }

    #[test]
    fn passwords_are_not_logged() {
        #[rustfmt::skip]
        let cases = [
            ("postgresql://me:s:ec@ret@db:5/x?sslmode=require", "postgresql://me:***@db:5/x?sslmode=require"),
            ("postgres:///x?password=s&user=me", "postgres:///x?password=***&user=me"),
            ("postgresql://me@db/x", "postgresql://me@db/x"), ("db:5", "db:5"), ("unix:/run/pg", "unix:/run/pg"),
        ];
        for (text, want) in cases {
            assert_eq!(shown(text), want);
        }
    }

    #[test]
    fn bad_uris_are_refused_in_libpq_words() {
        #[rustfmt::skip]
        let cases = [
            ("postgresql://a/b?foo=bar", "invalid URI query parameter: \"foo\"\n"),
            ("postgresql://a/b?foo", "missing key/value separator \"=\" in URI query parameter: \"foo\"\n"),
            ("postgresql://a:x/b", "invalid integer value \"x\" for connection option \"port\"\n"),
            ("postgresql://a:99999/b", "invalid port number: \"99999\"\n"),
            ("postgresql://a%4/b", "invalid percent-encoded token: \"a%4\"\n"),
            ("postgresql://a/b?sslmode=x", "invalid sslmode value: \"x\"\n"),
            ("postgresql://a/b?sslcrl=/x", "unsupported URI query parameter: \"sslcrl\"\n"),
            ("postgresql://a/b?host=a,b,c&port=1,2", "could not match 2 port numbers to 3 hosts\n"),
        ];
        for (uri, want) in cases {
            assert_eq!(Uri::parse(uri).unwrap_err(), want, "{uri}");
        }
    }
}
