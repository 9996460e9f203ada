//! The next-hop syntax: lists, `host`, `[host]`, `host:service`, `inet:…`, `unix:/path`.
//!
//! Pure but for the services file, which the caller passes as a function.

use crate::role::Role;

/// One place to deliver to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By TCP.
    Inet(Inet),
    /// A UNIX socket (LMTP).
    Unix(String),
}

/// A host or mail domain with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inet {
    /// Name or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Service as written or by default; what SRV lookups go by.
    pub service: String,
    /// Whether MX records are looked up.
    pub mx: bool,
}

/// Why a destination cannot be used. Such an error ends the process.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NexthopError {
    /// A number outside 1 to 65535.
    #[error("bad network port: {port} for destination: {destination}")]
    BadPort {
        /// As written.
        port: String,
        /// Whole destination.
        destination: String,
    },
    /// Not in the services file.
    #[error("unknown service: {0}/tcp")]
    UnknownService(String),
    /// Not of the form host:port.
    #[error("{why} in server description: {destination}")]
    Syntax {
        /// What is wrong.
        why: &'static str,
        /// Whole destination.
        destination: String,
    },
}

/// How services are turned into ports.
pub struct Services<'a> {
    /// Port or service when none is written (`smtp_tcp_port`, `lmtp_tcp_port`).
    pub default: &'a str,
    /// `known_tcp_ports`: names with built-in numbers.
    pub known: &'a [(String, String)],
    /// The services file.
    pub file: &'a dyn Fn(&str) -> Option<u16>,
}

impl Services<'_> {
    /// The port of a service name or number.
    pub fn port(&self, service: &str, destination: &str) -> Result<u16, NexthopError> {
        let name = self
            .known
            .iter()
            .find(|(name, _)| name == service)
            .map_or(service, |(_, port)| port);
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
            return name.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                NexthopError::BadPort {
                    port: service.to_owned(),
                    destination: destination.to_owned(),
                }
            });
        }
        (self.file)(name).ok_or_else(|| NexthopError::UnknownService(service.to_owned()))
    }
}

/// The value of `known_tcp_ports`: `a=b=25, c=26` as pairs of name and port.
pub fn parse_known_ports(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for item in text
        .split([',', ' ', '\t', '\n'])
        .filter(|item| !item.is_empty())
    {
        let mut names: Vec<&str> = item.split('=').map(str::trim).collect();
        let Some(port) = names.pop() else { continue };
        pairs.extend(
            names
                .into_iter()
                .map(|name| (name.to_owned(), port.to_owned())),
        );
    }
    pairs
}

/// The destinations of a list, in order.
pub fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\r', '\n'])
        .filter(|item| !item.is_empty())
}

/// Parses one destination.
pub fn parse(
    destination: &str,
    role: Role,
    services: &Services<'_>,
) -> Result<Place, NexthopError> {
    let mut rest = destination;
    if role == Role::Lmtp {
        if let Some(path) = destination.strip_prefix("unix:") {
            return Ok(Place::Unix(path.to_owned()));
        }
        rest = destination.strip_prefix("inet:").unwrap_or(destination);
    }
    let syntax = |why| NexthopError::Syntax {
        why,
        destination: destination.to_owned(),
    };
    let (host, service, bracketed) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, tail) = inner
            .split_once(']')
            .ok_or_else(|| syntax("missing \"]\""))?;
        let service = match tail {
            "" => "",
            _ => tail
                .strip_prefix(':')
                .ok_or_else(|| syntax("garbage after \"]\""))?,
        };
        (host, service, true)
    } else {
        let (host, service) = rest.split_once(':').unwrap_or((rest, ""));
        (host, service, false)
    };
    if host.is_empty() {
        return Err(syntax("missing host or service"));
    }
    let host = match host.get(..5) {
        Some(tag) if bracketed && tag.eq_ignore_ascii_case("ipv6:") => {
            host.get(5..).unwrap_or_default()
        }
        _ => host,
    };
    let service = if service.is_empty() {
        services.default
    } else {
        service
    };
    let port = services.port(service, destination)?;
    let mx = role == Role::Smtp && !bracketed;
    Ok(Place::Inet(Inet {
        host: host.to_owned(),
        port,
        service: service.to_owned(),
        mx,
    }))
}

/// The destination as the connection cache list names it: without port, without brackets.
pub fn cache_name(place: &Place) -> &str {
    match place {
        Place::Inet(inet) => &inet.host,
        Place::Unix(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, role: Role) -> Result<Place, NexthopError> {
        let known = parse_known_ports("lmtp=24, smtp=25, smtps=submissions=465");
        let default = if role == Role::Smtp { "smtp" } else { "24" };
        let file = |name: &str| (name == "submission").then_some(587);
        parse(
            text,
            role,
            &Services {
                default,
                known: &known,
                file: &file,
            },
        )
    }

    #[test]
    fn destinations_have_many_forms() {
        #[rustfmt::skip]
        let cases: &[(&str, Role, &str, u16, bool)] = &[
            ("example.com",             Role::Smtp, "example.com", 25,   true),
            ("example.com:2525",        Role::Smtp, "example.com", 2525, true),
            ("example.com:submission",  Role::Smtp, "example.com", 587,  true),
            ("example.com:submissions", Role::Smtp, "example.com", 465,  true),
            ("[mx.example.com]",        Role::Smtp, "mx.example.com", 25, false),
            ("[192.0.2.1]:26",          Role::Smtp, "192.0.2.1",   26,   false),
            ("[IPv6:2001:db8::1]",      Role::Smtp, "2001:db8::1", 25,   false),
            ("[2001:db8::1]:27",        Role::Smtp, "2001:db8::1", 27,   false),
            ("inet:lmtp.example:24",    Role::Lmtp, "lmtp.example", 24,  false),
            ("lmtp.example",            Role::Lmtp, "lmtp.example", 24,  false),
            ("inet:[::1]:2003",         Role::Lmtp, "::1",         2003, false),
        ];
        for (text, role, host, port, mx) in cases {
            let Ok(Place::Inet(inet)) = place(text, *role) else {
                panic!("{text}")
            };
            assert_eq!(
                (inet.host.as_str(), inet.port, inet.mx),
                (*host, *port, *mx),
                "{text}"
            );
        }
        assert_eq!(
            place("unix:private/x", Role::Lmtp),
            Ok(Place::Unix("private/x".into()))
        );
    }

    #[test]
    fn errors_have_postfix_texts() {
        #[rustfmt::skip]
        let cases = [
            ("smtp:relay.example", "unknown service: relay.example/tcp"),
            ("h:0",       "bad network port: 0 for destination: h:0"),
            ("h:70000",   "bad network port: 70000 for destination: h:70000"),
            ("[h",        "missing \"]\" in server description: [h"),
            ("[h]x",      "garbage after \"]\" in server description: [h]x"),
            ("[]",        "missing host or service in server description: []"),
        ];
        for (text, want) in cases {
            assert_eq!(place(text, Role::Smtp).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn lists_are_split_at_blanks_and_commas() {
        assert_eq!(split(" a, b\tc,,").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
