//! resolv.conf(5): which servers to ask, in what way.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// libresolv asks at most this many servers.
const MAX_SERVERS: usize = 3;
/// Bounds of libresolv for the numeric options.
const MAX_NDOTS: usize = 15;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// The settings of resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// Servers in order of preference.
    pub servers: Vec<SocketAddr>,
    /// Domains appended to short names.
    pub search: Vec<String>,
    /// Names with at least this many dots are tried as they are first.
    pub ndots: usize,
    /// Wait for one server in the first round.
    pub timeout: Duration,
    /// Rounds over all servers.
    pub attempts: u32,
    /// Spread the questions over the servers.
    pub rotate: bool,
    /// Ask by TCP only.
    pub use_vc: bool,
    /// Announce a larger reply size (RFC 6891).
    pub edns0: bool,
    /// Believe the AD bit of the server.
    pub trust_ad: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::from(([127, 0, 0, 1], 53))],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_vc: false,
            edns0: false,
            trust_ad: false,
        }
    }
}

impl ResolvConf {
    /// Reads a file; one that is missing or unreadable means the defaults, as with libresolv.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        std::fs::read(path).map_or_else(
            |_| Self::default(),
            |text| Self::parse(&String::from_utf8_lossy(&text)),
        )
    }

    /// Parses the text of the file. Unknown lines and bad values are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            ..Self::default()
        };
        for line in text.lines().filter(|line| !line.starts_with([';', '#'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("domain") => conf.search = words.next().map(domain).into_iter().collect(),
                Some("search") => conf.search = words.map(domain).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.servers.truncate(MAX_SERVERS);
        conf.search.retain(|domain| !domain.is_empty());
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u64>()) {
            ("ndots", Ok(n)) => self.ndots = usize::try_from(n).unwrap_or(MAX_NDOTS).min(MAX_NDOTS),
            ("timeout", Ok(n)) => self.timeout = Duration::from_secs(n.clamp(1, MAX_TIMEOUT)),
            ("attempts", Ok(n)) => {
                self.attempts = u32::try_from(n)
                    .unwrap_or(MAX_ATTEMPTS)
                    .clamp(1, MAX_ATTEMPTS)
            }
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.use_vc = true,
            ("edns0", _) => self.edns0 = true,
            ("trust-ad", _) => self.trust_ad = true,
            _ => {}
        }
    }
}

fn domain(word: &str) -> String {
    word.trim_end_matches('.').to_owned()
}

/// A server address; an IPv6 address may carry a numeric scope.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 53));
    }
    let (address, scope) = word.split_once('%')?;
    Some(SocketAddr::V6(std::net::SocketAddrV6::new(
        address.parse().ok()?,
        53,
        0,
        scope.parse().ok()?,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_kind_is_understood() {
        let conf = ResolvConf::parse(
            "# comment\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%2\nnameserver 192.0.2.9\n\
             nameserver bogus\ndomain one.example\nsearch a.example. b.example\n\
             options ndots:99 timeout:2 attempts:9 rotate use-vc edns0 trust-ad inet6\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"]
        );
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!(
            (conf.ndots, conf.timeout, conf.attempts),
            (15, Duration::from_secs(2), 5)
        );
        assert!(conf.rotate && conf.use_vc && conf.edns0 && conf.trust_ad);
    }

    #[test]
    fn an_empty_file_means_the_local_server() {
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
        assert_eq!(
            ResolvConf::parse("nameserver\noptions ndots:x timeout:\n"),
            ResolvConf::default()
        );
    }
}
