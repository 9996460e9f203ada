//! Who the client is: address, verified name, and how log lines show it.
//!
//! Knows nothing of the session. Source: smtpd.md §2.

use postern_dns::{ClientName, Families, NameStatus, Resolver};
use std::net::{IpAddr, SocketAddr};

/// What stands for a name that is not known or not believed.
pub(crate) const UNKNOWN: &str = "unknown";

/// The client and the local end of its connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Verified name, or `unknown`.
    pub(crate) name: String,
    /// Name found for the address, verified or not, or `unknown`.
    pub(crate) reverse_name: String,
    /// Why `name` is what it is.
    pub(crate) name_status: NameStatus,
    /// Why `reverse_name` is what it is.
    pub(crate) reverse_status: NameStatus,
    /// Address in plain text, or `unknown`.
    pub(crate) address: String,
    /// The same address, for comparisons.
    pub(crate) ip: Option<IpAddr>,
    /// TCP port, `0` for a client on standard input.
    pub(crate) port: String,
    /// Address family as the queue file has it: 2 IPv4, 10 IPv6, 0 none.
    pub(crate) family: u8,
    /// Local address of the connection.
    pub(crate) server_address: String,
    /// Local port of the connection.
    pub(crate) server_port: String,
    /// `NAME[ADDR]`, with `:PORT` when `smtpd_client_port_logging` asks for it.
    pub(crate) namaddr: String,
}

impl Client {
    /// The client on standard input: the local host.
    pub(crate) fn local(ipv6_first: bool, log_port: bool) -> Self {
        let address = if ipv6_first { "::1" } else { "127.0.0.1" };
        let mut client = Self {
            name: "localhost".to_owned(),
            reverse_name: "localhost".to_owned(),
            name_status: NameStatus::Ok,
            reverse_status: NameStatus::Ok,
            address: address.to_owned(),
            ip: address.parse().ok(),
            port: "0".to_owned(),
            family: 0,
            server_address: address.to_owned(),
            server_port: "0".to_owned(),
            namaddr: String::new(),
        };
        client.name_for_the_log(log_port);
        client
    }

    /// A client whose connection was gone before its address could be asked for.
    pub(crate) fn unknown(log_port: bool) -> Self {
        let unknown = || UNKNOWN.to_owned();
        let mut client = Self {
            name: unknown(),
            reverse_name: unknown(),
            name_status: NameStatus::Permanent,
            reverse_status: NameStatus::Permanent,
            address: unknown(),
            ip: None,
            port: unknown(),
            family: 0,
            server_address: unknown(),
            server_port: unknown(),
            namaddr: String::new(),
        };
        client.name_for_the_log(log_port);
        client
    }

    /// A client at `peer` that is connected to `local`; its name is not known yet.
    pub(crate) fn connected(peer: SocketAddr, local: Option<SocketAddr>, log_port: bool) -> Self {
        let unknown = || UNKNOWN.to_owned();
        let ip = peer.ip().to_canonical();
        let (server_address, server_port) = match local {
            Some(local) => (
                local.ip().to_canonical().to_string(),
                local.port().to_string(),
            ),
            None => (unknown(), unknown()),
        };
        let mut client = Self {
            name: unknown(),
            reverse_name: unknown(),
            name_status: NameStatus::Permanent,
            reverse_status: NameStatus::Permanent,
            address: ip.to_string(),
            ip: Some(ip),
            port: peer.port().to_string(),
            family: if ip.is_ipv4() { 2 } else { 10 },
            server_address,
            server_port,
            namaddr: String::new(),
        };
        client.name_for_the_log(log_port);
        client
    }

    /// Looks the name up; a name that does not lead back to the address is logged and not believed.
    pub(crate) fn look_up(&mut self, resolver: &Resolver, families: Families, log_port: bool) {
        let Some(ip) = self.ip else { return };
        let ClientName {
            name,
            reverse_name,
            status,
            reverse_status,
            warning,
        } = resolver.client_name(ip, families);
        if let Some(warning) = warning {
            log::warn!("{warning}");
        }
        (self.name, self.reverse_name) = (name, reverse_name);
        (self.name_status, self.reverse_status) = (status, reverse_status);
        self.name_for_the_log(log_port);
    }

    /// The address as mail syntax has it: `IPv6:` before an IPv6 address (RFC 5321 §4.1.3).
    pub(crate) fn rfc_address(&self) -> String {
        if self.address.contains(':') {
            format!("IPv6:{}", self.address)
        } else {
            self.address.clone()
        }
    }

    /// Sets [`Client::namaddr`] from the other fields.
    pub(crate) fn name_for_the_log(&mut self, log_port: bool) {
        self.namaddr.clear();
        for part in [&self.name, "[", &self.address, "]"] {
            self.namaddr.push_str(part);
        }
        if log_port {
            self.namaddr.push(':');
            self.namaddr.push_str(&self.port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_in_log_and_mail_form() {
        #[rustfmt::skip]
        let cases = [
            ("192.0.2.1:25", "unknown[192.0.2.1]:25", "192.0.2.1", 2),
            ("[::ffff:192.0.2.1]:25", "unknown[192.0.2.1]:25", "192.0.2.1", 2),
            ("[2001:db8::1]:25", "unknown[2001:db8::1]:25", "IPv6:2001:db8::1", 10),
        ];
        for (peer, namaddr, rfc, family) in cases {
            let client = Client::connected(peer.parse().unwrap(), None, true);
            assert_eq!(
                (
                    client.namaddr.as_str(),
                    client.rfc_address().as_str(),
                    client.family
                ),
                (namaddr, rfc, family)
            );
        }
    }
}
