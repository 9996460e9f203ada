//! Defaults that depend on the machine: host name, domain, networks, process name.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::Config;
use crate::value::is_space;
use crate::{ConfigError, net};

/// Host name of configurations made from text.
const TEST_HOSTNAME: &str = "mail.example.test";
/// Networks of configurations made from text.
const TEST_NETWORKS: &str = "127.0.0.0/8 [::1]/128";
/// Longest host name and label (RFC 1035 §2.3.4).
const MAX_HOSTNAME: usize = 255;
const MAX_LABEL: usize = 63;

/// The system's words for an error, without Rust's addition.
pub(crate) fn reason(error: &io::Error) -> String {
    postern_sys::error_text(error)
}

/// The kernel's host name, made complete with mydomain from main.cf. Never asks the DNS.
pub(crate) fn myhostname(config: &Config) -> String {
    if config.is_isolated() {
        return TEST_HOSTNAME.to_string();
    }
    let name = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if name.contains('.') {
        return name;
    }
    match config.set_text("mydomain") {
        // Expanded here, so that the name's own text does not matter to who refers to it.
        Some(domain) => {
            let domain = config
                .expand_explicit(&domain, &["myhostname"])
                .unwrap_or(domain);
            format!("{name}.{domain}")
        }
        None => format!("{name}.localdomain"),
    }
}

/// What follows the first dot of myhostname.
pub(crate) fn mydomain(config: &Config) -> String {
    let host = config.raw("myhostname").unwrap_or_default();
    if host.contains("$mydomain") || host.contains("{mydomain") {
        return "localdomain".to_string();
    }
    let host = config.expand_explicit(&host, &["mydomain"]).unwrap_or(host);
    match host.split_once('.') {
        Some((_, domain)) if !domain.is_empty() => domain.to_string(),
        _ => "localdomain".to_string(),
    }
}

/// The networks of the own addresses, in the style of mynetworks_style.
pub(crate) fn mynetworks(config: &Config) -> Result<String, ConfigError> {
    if config.is_isolated() {
        Ok(TEST_NETWORKS.to_string())
    } else {
        net::own_networks(config)
    }
}

/// Base name of the program that runs.
pub(crate) fn process_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The first line of the file that myorigin names.
pub(crate) fn myorigin_file(path: &str) -> Result<String, ConfigError> {
    let content = fs::read(path).map_err(|error| ConfigError::MyoriginOpen {
        path: path.to_string(),
        reason: reason(&error),
    })?;
    let text = String::from_utf8_lossy(&content);
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_matches(is_space);
    if line.is_empty() {
        Err(ConfigError::MyoriginEmpty(path.to_string()))
    } else {
        Ok(line.to_string())
    }
}

/// Checks host name syntax; the error is the warning to log. Underscores and names without dot are
/// accepted (source: the reference's behaviour).
pub fn valid_hostname(name: &str) -> Result<(), String> {
    let complain = |what: &str| Err(format!("valid_hostname: {what}: {}", shorten(name)));
    if name.is_empty() {
        return Err("valid_hostname: empty hostname".to_string());
    }
    let mut label = 0;
    let mut is_numeric = true;
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'.' => {
                if label == 0 || at + 1 == bytes.len() {
                    return complain("misplaced delimiter");
                }
                label = 0;
                continue;
            }
            b'-' => {
                is_numeric = false;
                if label == 0 || at + 1 == bytes.len() || bytes.get(at + 1) == Some(&b'.') {
                    return complain("misplaced hyphen");
                }
            }
            b'0'..=b'9' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => is_numeric = false,
            _ if !byte.is_ascii() => is_numeric = false,
            _ => return complain(&format!("invalid character {byte}(decimal)")),
        }
        label += 1;
        if label > MAX_LABEL {
            return complain("hostname label too long");
        }
    }
    if is_numeric {
        return complain("numeric hostname");
    }
    if name.len() > MAX_HOSTNAME {
        return complain(&format!("bad length {} for", name.len()));
    }
    Ok(())
}

fn shorten(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_checked_as_the_reference_does() {
        let rows = [
            ("mail.example.com", None),
            ("a_b.example", None),
            ("dotless", None),
            ("-x", Some("misplaced hyphen: -x")),
            ("x-", Some("misplaced hyphen: x-")),
            ("1.2", Some("numeric hostname: 1.2")),
            ("a$b", Some("invalid character 36(decimal): a$b")),
            ("bad..example", Some("misplaced delimiter: bad..example")),
        ];
        for (name, want) in rows {
            assert_eq!(
                valid_hostname(name).err(),
                want.map(|text| format!("valid_hostname: {text}")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_domain_is_what_follows_the_first_dot() {
        let domain = |text| Config::from_text(text).unwrap().lookup("mydomain");
        assert_eq!(domain("").as_deref(), Some("example.test"));
        assert_eq!(domain("myhostname = box").as_deref(), Some("localdomain"));
        assert_eq!(domain("myhostname = a.b.c").as_deref(), Some("b.c"));
        assert_eq!(domain("mydomain = x.y").as_deref(), Some("x.y"));
        let config = Config::from_text("mydomain = x.y\nmyhostname = h.$mydomain").unwrap();
        assert_eq!(config.lookup("myhostname").as_deref(), Some("h.x.y"));
        assert_eq!(
            domain("myhostname = $a\na = h.$mydomain").as_deref(),
            Some("localdomain")
        );
    }
}
