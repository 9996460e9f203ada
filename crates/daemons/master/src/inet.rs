//! Addresses and names of `inet` services.

use postern_config::master_cf::split_inet_name;
use postern_config::{Config, ConfigError, own_addresses, params, words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Where an `inet` service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The name in messages and for comparison: `PORT` or `[ADDRESS]:PORT`.
    pub(crate) name: String,
    /// One socket each.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether inet_interfaces chose the addresses.
    pub(crate) follows_interfaces: bool,
}

/// Why an endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The entry is wrong: the text gets path and line in front.
    #[error("{0}")]
    Entry(String),
    /// The text stands alone.
    #[error("{0}")]
    Alone(String),
}

/// The address families that inet_protocols enables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Families {
    pub(crate) fn read(config: &Config) -> Result<Self, ConfigError> {
        let known = [("ipv4", 1), ("ipv6", 2), ("all", 3)];
        let set = words::name_set(
            "inet_protocols",
            &config.try_get(params::INET_PROTOCOLS)?,
            &known,
            true,
        )?;
        Ok(Self {
            v4: set & 1 != 0,
            v6: set & 2 != 0,
        })
    }

    pub(crate) fn is_empty(self) -> bool {
        !self.v4 && !self.v6
    }

    fn has(self, address: &IpAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// Finds the addresses of the service `name` (`[host:]port`).
pub(crate) fn endpoint(
    config: &Config,
    name: &str,
    families: Families,
) -> Result<Endpoint, EndpointError> {
    let parts = split_inet_name(name)
        .map_err(|what| EndpointError::Entry(format!("{what} in \"{name}\"")))?;
    let host_name = parts.host.unwrap_or_default();
    let port = port(parts.port).ok_or_else(|| {
        EndpointError::Alone(format!(
            "{host_name}:{}: Servname not supported for ai_socktype",
            parts.port
        ))
    })?;
    let Some(host) = parts.host else {
        let addresses = interfaces(config, families)
            .map_err(|error| EndpointError::Alone(error.to_string()))?
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        return Ok(Endpoint {
            name: port.to_string(),
            addresses,
            follows_interfaces: true,
        });
    };
    let addresses = host_addresses(host, port, families)?;
    let first = addresses.first().map(SocketAddr::ip);
    let shown = first.map_or_else(|| host.to_owned(), |address| address.to_string());
    Ok(Endpoint {
        name: format!("[{shown}]:{port}"),
        addresses,
        follows_interfaces: false,
    })
}

fn port(text: &str) -> Option<u16> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.parse().ok();
    }
    postern_sys::user::service_port(text)
}

/// The addresses of inet_interfaces: wildcards for `all`.
fn interfaces(config: &Config, families: Families) -> Result<Vec<IpAddr>, ConfigError> {
    let text = config.try_get(params::INET_INTERFACES)?;
    if words::words(&text).any(|word| word.eq_ignore_ascii_case("all")) {
        let v4 = families.v4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let v6 = families.v6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        return Ok([v4, v6].into_iter().flatten().collect());
    }
    Ok(own_addresses(config)?
        .into_iter()
        .map(|own| own.address)
        .collect())
}

fn host_addresses(
    host: &str,
    port: u16,
    families: Families,
) -> Result<Vec<SocketAddr>, EndpointError> {
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|_| EndpointError::Entry(format!("bad hostname or network address: {host}")))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.filter(|address| families.has(&address.ip())) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(EndpointError::Entry(format!(
            "no valid IP address found: {host}"
        )));
    }
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Families = Families { v4: true, v6: true };

    fn find(config: &str, name: &str, families: Families) -> Result<(String, Vec<String>), String> {
        let config = Config::from_text(config).unwrap();
        endpoint(&config, name, families)
            .map(|found| {
                (
                    found.name,
                    found.addresses.iter().map(ToString::to_string).collect(),
                )
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_normalised_to_port_numbers_and_addresses() {
        let all = "inet_interfaces = all\n";
        #[rustfmt::skip]
        let cases: &[(&str, Families, &str, &[&str])] = &[
            ("smtp",           BOTH,                               "25",               &["0.0.0.0:25", "[::]:25"]),
            ("2525",           Families { v4: true, v6: false },   "2525",             &["0.0.0.0:2525"]),
            ("127.0.0.1:2525", BOTH,                               "[127.0.0.1]:2525", &["127.0.0.1:2525"]),
            ("[::1]:smtp",     BOTH,                               "[::1]:25",         &["[::1]:25"]),
        ];
        for (name, families, want, addresses) in cases {
            let (got, found) = find(all, name, *families).unwrap();
            assert_eq!(
                (got.as_str(), found),
                (*want, addresses.iter().map(ToString::to_string).collect()),
                "{name}"
            );
        }
    }

    #[test]
    fn bad_names_get_the_known_texts() {
        let v4 = Families {
            v4: true,
            v6: false,
        };
        assert_eq!(
            find("", "nosuch", BOTH).unwrap_err(),
            ":nosuch: Servname not supported for ai_socktype"
        );
        assert_eq!(
            find("", "[::1]:25", v4).unwrap_err(),
            "no valid IP address found: ::1"
        );
    }
}
