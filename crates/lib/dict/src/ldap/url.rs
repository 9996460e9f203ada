//! LDAP URLs (RFC 4516) and lists of servers.

use bstr::{BString, ByteSlice};
use std::fmt;

/// Where slapd listens for local clients when the URL does not say.
const DEFAULT_SOCKET: &str = "/var/run/slapd/ldapi";

/// How far a search goes below its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Base = 0,
    One = 1,
    Sub = 2,
}

impl Scope {
    /// The scope by its name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "base" => Some(Self::Base),
            "one" => Some(Self::One),
            "sub" => Some(Self::Sub),
            _ => None,
        }
    }
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// Host name or address without brackets, and port.
    Tcp(String, u16),
    /// As `Tcp`, with TLS from the start.
    Tls(String, u16),
    /// Path of a socket.
    Unix(String),
}

/// A server and its URL as messages show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LdapServer {
    pub(crate) url: String,
    /// `None` when the URL is of no use.
    pub(crate) transport: Option<Transport>,
}

impl fmt::Display for LdapServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The servers of `server_host`: URLs, or hosts with or without port.
pub(crate) fn servers(list: &str, port: u16) -> Vec<LdapServer> {
    list.split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| server(word, port))
        .collect()
}

fn server(word: &str, port: u16) -> LdapServer {
    if is_url(word.as_bytes()) {
        return LdapServer {
            url: word.to_owned(),
            transport: transport(word),
        };
    }
    let has_port = match word.rfind(']') {
        Some(at) => word.get(at..).is_some_and(|rest| rest.contains(':')),
        None => word.contains(':'),
    };
    let url = if has_port {
        format!("ldap://{word}")
    } else {
        format!("ldap://{word}:{port}")
    };
    let transport = transport(&url);
    LdapServer { url, transport }
}

/// Whether `text` begins like an LDAP URL.
pub(crate) fn is_url(text: &[u8]) -> bool {
    ["ldap://", "ldaps://", "ldapi://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

/// The server of a URL.
pub(crate) fn transport(url: &str) -> Option<Transport> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?']).next().unwrap_or_default();
    let place = String::from_utf8(percent_decode(place.as_bytes())?).ok()?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "ldapi" {
        let path = match place.as_str() {
            "" => DEFAULT_SOCKET,
            path => path,
        };
        return Some(Transport::Unix(path.to_owned()));
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':')?)),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place.as_str(), None),
        },
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let port = port.map(|port| port.parse::<u16>().ok());
    match scheme.as_str() {
        "ldap" => Some(Transport::Tcp(host.to_owned(), port.unwrap_or(Some(389))?)),
        "ldaps" => Some(Transport::Tls(host.to_owned(), port.unwrap_or(Some(636))?)),
        _ => None,
    }
}

/// What a URL asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) base: BString,
    /// Empty is all.
    pub(crate) attributes: Vec<BString>,
    pub(crate) scope: Option<Scope>,
    /// Empty is not set.
    pub(crate) filter: BString,
}

/// The search that a URL describes; `None` when it is no LDAP URL.
pub(crate) fn query(url: &[u8]) -> Option<Query> {
    if !is_url(url) {
        return None;
    }
    let rest = url.get(url.find(b"://")? + 3..)?;
    let path = match rest.find_byteset(b"/?") {
        Some(at) if rest.get(at) == Some(&b'/') => rest.get(at + 1..)?,
        Some(at) => rest.get(at..)?,
        None => b"",
    };
    let mut fields = path.split(|byte| *byte == b'?');
    let mut field = || percent_decode(fields.next().unwrap_or_default());
    let base = BString::from(field()?);
    let attributes = field()?
        .split(|byte| *byte == b',')
        .filter(|name| !name.is_empty())
        .map(BString::from)
        .collect();
    let scope = match field()?.to_str().ok()? {
        "" => None,
        text => Some(Scope::parse(text)?),
    };
    let filter = BString::from(field()?);
    Some(Query {
        base,
        attributes,
        scope,
        filter,
    })
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |at: usize| {
            let byte = digits.get(at).copied()?;
            u8::try_from(char::from(byte).to_digit(16)?).ok()
        };
        plain.push(digit(0)? << 4 | digit(1)?);
        rest = tail;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_urls_or_hosts() {
        let tcp = |host: &str, port| Some(Transport::Tcp(host.to_owned(), port));
        #[rustfmt::skip]
        let cases: &[(&str, &str, Option<Transport>)] = &[
            ("localhost", "ldap://localhost:390", tcp("localhost", 390)),
            ("h:1444", "ldap://h:1444", tcp("h", 1444)),
            ("[::1]", "ldap://[::1]:390", tcp("::1", 390)),
            ("[::1]:5", "ldap://[::1]:5", tcp("::1", 5)),
            ("ldap://h", "ldap://h", tcp("h", 389)),
            ("ldap://h:7/dc=foo", "ldap://h:7/dc=foo", tcp("h", 7)),
            ("LDAPS://h", "LDAPS://h", Some(Transport::Tls("h".to_owned(), 636))),
            ("ldapi://%2Fa%2fb", "ldapi://%2Fa%2fb", Some(Transport::Unix("/a/b".to_owned()))),
            ("ldapi:///tmp/x", "ldapi:///tmp/x", Some(Transport::Unix(DEFAULT_SOCKET.to_owned()))),
            ("http://h", "ldap://http://h", None),
            ("h:x", "ldap://h:x", None),
        ];
        for (word, url, transport) in cases {
            let found = servers(&format!(" {word}, "), 390);
            let want = LdapServer {
                url: (*url).to_owned(),
                transport: transport.clone(),
            };
            if *word == "http://h" {
                // The port is no number.
                assert_eq!(found[0].transport, None);
            }
            assert_eq!(found, [want]);
        }
        assert_eq!(servers("a b,c", 1).len(), 3);
    }

    #[test]
    fn urls_describe_searches() {
        let full = query(b"ldap://h:1/dc=a%2Cb?mail,cn;lang-en?one?(uid=joe)").unwrap();
        assert_eq!(full.base, "dc=a,b");
        assert_eq!(full.attributes, ["mail", "cn;lang-en"]);
        assert_eq!(full.scope, Some(Scope::One));
        assert_eq!(full.filter, "(uid=joe)");
        let short = query(b"ldap:///dc=a").unwrap();
        assert_eq!(
            (short.base.as_bstr(), short.scope),
            (b"dc=a".as_bstr(), None)
        );
        assert!(short.attributes.is_empty() && short.filter.is_empty());
        assert_eq!(query(b"ldap:///??sub").unwrap().scope, Some(Scope::Sub));
        for bad in ["dc=a", "http://x", "ldap:///a?b?c", "ldap:///%2"] {
            assert_eq!(query(bad.as_bytes()), None, "{bad}");
        }
    }
}
