//! The machine's own addresses, and mynetworks made from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use nix::ifaddrs::getifaddrs;

use crate::config::Config;
use crate::words::{name_set, words};
use crate::{ConfigError, params};

/// An own address with the prefix length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length of the interface's network.
    pub prefix: u8,
}

/// How often the kernel is asked for the interfaces.
const INTERFACE_TRIES: u32 = 3;
const IPV4: u32 = 1;
const IPV6: u32 = 2;

/// Which address families inet_protocols enables: IPv4, IPv6.
pub(crate) fn families(config: &Config) -> Result<(bool, bool), ConfigError> {
    let known = [("ipv4", IPV4), ("ipv6", IPV6), ("all", IPV4 | IPV6)];
    let set = name_set(
        "inet_protocols",
        &config.try_get(params::INET_PROTOCOLS)?,
        &known,
        true,
    )?;
    Ok((set & IPV4 != 0, set & IPV6 != 0))
}

/// The addresses that inet_interfaces selects, in the families that inet_protocols enables; as they
/// were when `config` was first asked.
pub fn own_addresses(config: &Config) -> Result<Vec<InterfaceAddress>, ConfigError> {
    config.own_addresses(find_own_addresses)
}

fn find_own_addresses(config: &Config) -> Result<Vec<InterfaceAddress>, ConfigError> {
    let (ipv4, ipv6) = families(config)?;
    let is_enabled = |address: &IpAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
    let local: Vec<InterfaceAddress> = interface_addresses()?
        .into_iter()
        .filter(|own| is_enabled(&own.address))
        .collect();
    let interfaces = config.try_get(params::INET_INTERFACES)?;
    let mut own = Vec::new();
    for word in words(&interfaces) {
        if word.eq_ignore_ascii_case("all") {
            own.extend(local.iter().copied());
        } else if word.eq_ignore_ascii_case("loopback-only") {
            own.extend(local.iter().filter(|own| own.address.is_loopback()));
        } else {
            for address in resolve(word)?
                .into_iter()
                .filter(|address| is_enabled(address))
            {
                let found = local.iter().find(|own| own.address == address).copied();
                own.push(found.unwrap_or(InterfaceAddress {
                    address,
                    prefix: host_prefix(&address),
                }));
            }
            if own.is_empty() && (ipv4 || ipv6) {
                return Err(ConfigError::InterfaceNotFound(word.to_string()));
            }
        }
    }
    let mut unique: Vec<InterfaceAddress> = Vec::with_capacity(own.len());
    for address in own {
        if !unique.iter().any(|seen| seen.address == address.address) {
            unique.push(address);
        }
    }
    unique.sort_by_key(|own| own.address.is_ipv6());
    Ok(unique)
}

/// The default of mynetworks; empty without network protocols.
pub fn own_networks(config: &Config) -> Result<String, ConfigError> {
    if families(config)? == (false, false) {
        return Ok(String::new());
    }
    // Expanded first, so that of two bad values this one is reported, as by the reference.
    config.try_get(params::INET_INTERFACES)?;
    let style = style(&config.try_get(params::MYNETWORKS_STYLE)?)?;
    let own_addresses = own_addresses(config)?;
    require_interfaces(&own_addresses)?;
    let mut networks: Vec<String> = Vec::new();
    for own in own_addresses {
        let network = network(own, style);
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    // A blank ends each network, as in the reference: it shows where `$mynetworks` is expanded.
    Ok(networks
        .iter()
        .map(|network| format!("{network} "))
        .collect())
}

/// Refuses inet_interfaces that name a host or an address that is not here. The usual words cannot be
/// wrong, so that programs need not look at the interfaces for them.
pub(crate) fn check_own_addresses(config: &Config) -> Result<(), ConfigError> {
    let interfaces = config.try_get(params::INET_INTERFACES)?;
    let is_usual =
        |word: &str| word.eq_ignore_ascii_case("all") || word.eq_ignore_ascii_case("loopback-only");
    if config.is_isolated() || words(&interfaces).all(is_usual) {
        return Ok(());
    }
    require_interfaces(&own_addresses(config)?)
}

/// Refuses an address that no interface has: its network is unknown. The kernel is asked only when an
/// address looks like one.
fn require_interfaces(own: &[InterfaceAddress]) -> Result<(), ConfigError> {
    let is_doubtful = |own: &&InterfaceAddress| {
        own.prefix == host_prefix(&own.address) && !own.address.is_loopback()
    };
    let doubtful: Vec<&InterfaceAddress> = own.iter().filter(is_doubtful).collect();
    if doubtful.is_empty() {
        return Ok(());
    }
    let local = interface_addresses()?;
    match doubtful
        .iter()
        .find(|own| local.iter().all(|known| known.address != own.address))
    {
        Some(own) => Err(ConfigError::Text(format!(
            "parameter inet_interfaces: no local interface found for {}",
            own.address
        ))),
        None => Ok(()),
    }
}

/// mynetworks_style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Subnet,
    Host,
    Class,
}

/// Parses mynetworks_style.
pub(crate) fn style(text: &str) -> Result<Style, ConfigError> {
    let known = [("subnet", 1), ("host", 2), ("class", 4)];
    match name_set("mynetworks mask style", text, &known, true)? {
        1 => Ok(Style::Subnet),
        2 => Ok(Style::Host),
        4 => Ok(Style::Class),
        _ => Err(ConfigError::MynetworksStyle(text.to_string())),
    }
}

fn network(own: InterfaceAddress, style: Style) -> String {
    match own.address {
        IpAddr::V4(address) => {
            let prefix = match style {
                Style::Subnet => own.prefix,
                Style::Host => 32,
                Style::Class => class_prefix(address),
            };
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let prefix = if style == Style::Host {
                128
            } else {
                own.prefix
            };
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            format!("[{}]/{prefix}", Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// Class A, B, C and D networks.
const fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        192..=223 => 24,
        _ => 32,
    }
}

const fn host_prefix(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Addresses of a name or a literal address of inet_interfaces.
fn resolve(word: &str) -> Result<Vec<IpAddr>, ConfigError> {
    let bare = word
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(word);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let found = (bare, 0)
        .to_socket_addrs()
        .map_err(|_| ConfigError::InterfaceNotFound(word.to_string()))?;
    Ok(found.map(|address| address.ip()).collect())
}

fn interface_addresses() -> Result<Vec<InterfaceAddress>, ConfigError> {
    let interfaces = list_interfaces()?;
    let mut own = Vec::new();
    for interface in interfaces {
        if !interface
            .flags
            .contains(nix::net::if_::InterfaceFlags::IFF_UP)
        {
            continue;
        }
        let Some(address) = interface.address.and_then(|storage| ip(&storage)) else {
            continue;
        };
        let prefix = interface
            .netmask
            .and_then(|storage| ip(&storage))
            .map_or(host_prefix(&address), prefix_length);
        own.push(InterfaceAddress { address, prefix });
    }
    Ok(own)
}

/// The kernel answers in several messages, any of which may get lost; programs that cannot go on
/// without the answer ask again before they say so.
fn list_interfaces() -> Result<nix::ifaddrs::InterfaceAddressIterator, ConfigError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match getifaddrs() {
            Err(error) if tries >= INTERFACE_TRIES => {
                return Err(ConfigError::Interfaces(error.desc().to_string()));
            }
            Err(_) => {}
            Ok(interfaces) => return Ok(interfaces),
        }
    }
}

fn ip(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    if let Some(address) = storage.as_sockaddr_in() {
        return Some(IpAddr::V4(address.ip()));
    }
    storage
        .as_sockaddr_in6()
        .map(|address| IpAddr::V6(address.ip()))
}

fn prefix_length(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    };
    u8::try_from(ones).unwrap_or(128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let check = |interfaces: &str| {
            let text = format!("inet_interfaces = {interfaces}\ninet_protocols = ipv4\n");
            std::fs::write(directory.path().join("main.cf"), text).unwrap();
            let config = Config::load_now(directory.path()).unwrap();
            check_own_addresses(&config).map_err(|error| error.to_string())
        };
        assert_eq!(check("all"), Ok(()));
        assert_eq!(check("127.0.0.1"), Ok(()));
        assert_eq!(
            check("127.0.0.1, 192.0.2.254"),
            Err("parameter inet_interfaces: no local interface found for 192.0.2.254".into())
        );
    }

    #[test]
    fn networks_follow_the_style() {
        let v4 = InterfaceAddress {
            address: "192.0.2.77".parse().unwrap(),
            prefix: 26,
        };
        let v6 = InterfaceAddress {
            address: "2001:db8::5".parse().unwrap(),
            prefix: 64,
        };
        let rows = [
            (v4, Style::Subnet, "192.0.2.64/26"),
            (v4, Style::Host, "192.0.2.77/32"),
            (v4, Style::Class, "192.0.2.0/24"),
            (v6, Style::Subnet, "[2001:db8::]/64"),
            (v6, Style::Host, "[2001:db8::5]/128"),
            (v6, Style::Class, "[2001:db8::]/64"),
        ];
        for (own, style, want) in rows {
            assert_eq!(network(own, style), want);
        }
    }

    #[test]
    fn unknown_words_are_refused_in_postfix_words() {
        assert_eq!(
            style("world").unwrap_err().to_string(),
            "unknown mynetworks mask style value \"world\" in \"world\""
        );
        let config = Config::from_text("inet_protocols = ipv5").unwrap();
        assert_eq!(
            families(&config).unwrap_err().to_string(),
            "unknown inet_protocols value \"ipv5\" in \"ipv5\""
        );
        let config = Config::from_text("inet_protocols =").unwrap();
        assert_eq!(families(&config), Ok((false, false)));
    }
}
