//! Resource records as the rest of the mail system sees them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Record types that a mail system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// IPv4 address.
    A,
    /// Name server.
    Ns,
    /// Alias.
    Cname,
    /// Name of an address.
    Ptr,
    /// Mail exchanger.
    Mx,
    /// Text strings.
    Txt,
    /// IPv6 address.
    Aaaa,
    /// Service location (RFC 2782).
    Srv,
    /// TLS certificate association (RFC 6698).
    Tlsa,
}

impl Type {
    const ALL: [(Self, u16, &'static str); 9] = [
        (Self::A, 1, "A"),
        (Self::Ns, 2, "NS"),
        (Self::Cname, 5, "CNAME"),
        (Self::Ptr, 12, "PTR"),
        (Self::Mx, 15, "MX"),
        (Self::Txt, 16, "TXT"),
        (Self::Aaaa, 28, "AAAA"),
        (Self::Srv, 33, "SRV"),
        (Self::Tlsa, 52, "TLSA"),
    ];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        Self::ALL
            .iter()
            .find(|row| row.0 == self)
            .map_or(0, |row| row.1)
    }

    /// The type with this number; `None` for types that nobody here asks for.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// The type with this name, upper case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|row| row.2.eq_ignore_ascii_case(name))
            .map(|row| row.0)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            Self::ALL
                .iter()
                .find(|row| row.0 == *self)
                .map_or("", |row| row.2),
        )
    }
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Name server.
    Ns(String),
    /// Alias target.
    Cname(String),
    /// Host name.
    Ptr(String),
    /// Mail exchanger.
    Mx {
        /// Lower is better.
        preference: u16,
        /// Host name; empty for the null MX (RFC 7505).
        exchange: String,
    },
    /// The character strings of one TXT record, undecoded.
    Txt(Vec<Vec<u8>>),
    /// Service location.
    Srv {
        /// Lower is better.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// TCP port.
        port: u16,
        /// Host name; empty when the service is not available there.
        target: String,
    },
    /// Certificate association.
    Tlsa {
        /// Certificate usage.
        usage: u8,
        /// Selector.
        selector: u8,
        /// Matching type.
        matching: u8,
        /// Association data.
        data: Vec<u8>,
    },
}

/// One record of an answer. `Display` is the text that DNS reply filters match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name that was asked for.
    pub queried: String,
    /// The owner name: the end of the alias chain.
    pub name: String,
    /// Seconds that the record may be kept.
    pub ttl: u32,
    /// Whether the name server validated the answer (AD bit).
    pub authenticated: bool,
    /// Content.
    pub data: Data,
}

impl Record {
    /// The address of an A or AAAA record.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.data {
            Data::A(address) => Some(IpAddr::V4(address)),
            Data::Aaaa(address) => Some(IpAddr::V6(address)),
            _ => None,
        }
    }
}

impl Data {
    /// The type of a record with this content.
    #[must_use]
    pub fn rtype(&self) -> Type {
        match self {
            Self::A(_) => Type::A,
            Self::Aaaa(_) => Type::Aaaa,
            Self::Ns(_) => Type::Ns,
            Self::Cname(_) => Type::Cname,
            Self::Ptr(_) => Type::Ptr,
            Self::Mx { .. } => Type::Mx,
            Self::Txt(_) => Type::Txt,
            Self::Srv { .. } => Type::Srv,
            Self::Tlsa { .. } => Type::Tlsa,
        }
    }

    /// The domain name inside the content, which must be a valid host name.
    pub(crate) fn domain(&self) -> Option<&str> {
        match self {
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => Some(name),
            Self::Mx { exchange, .. } => Some(exchange),
            Self::Srv { target, .. } => Some(target),
            _ => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}. {} IN {} {}",
            self.name,
            self.ttl,
            self.data.rtype(),
            self.data
        )
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => write!(f, "{name}."),
            Self::Mx {
                preference,
                exchange,
            } => write!(f, "{preference} {exchange}."),
            Self::Txt(strings) => {
                for string in strings {
                    f.write_str(&String::from_utf8_lossy(string))?;
                }
                Ok(())
            }
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}."),
            Self::Tlsa {
                usage,
                selector,
                matching,
                data,
            } => {
                write!(f, "{usage} {selector} {matching} ")?;
                data.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
            }
        }
    }
}
