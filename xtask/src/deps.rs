//! The real peers that tests talk to, and how to install them on Debian.

use std::path::Path;
use std::process::Command;

use crate::build;

/// A program that some tests need.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// A file that tells that it is installed.
    probe: &'static str,
    /// Debian package.
    package: &'static str,
}

/// All peers.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "Postfix, the reference",
        probe: "/usr/lib/postfix/sbin/master",
        package: "postfix",
    },
    Peer {
        name: "Postfix's lmdb tables",
        probe: "/usr/lib/postfix/postfix-lmdb.so",
        package: "postfix-lmdb",
    },
    Peer {
        name: "Postfix's cdb tables",
        probe: "/usr/lib/postfix/postfix-cdb.so",
        package: "postfix-cdb",
    },
    Peer {
        name: "Postfix's pcre tables",
        probe: "/usr/lib/postfix/postfix-pcre.so",
        package: "postfix-pcre",
    },
    Peer {
        name: "MariaDB",
        probe: "/usr/sbin/mariadbd",
        package: "mariadb-server-core",
    },
    Peer {
        name: "MariaDB's client",
        probe: "/usr/bin/mariadb",
        package: "mariadb-client-core",
    },
    Peer {
        name: "PostgreSQL",
        probe: "/usr/bin/pg_ctlcluster",
        package: "postgresql",
    },
    Peer {
        name: "memcached",
        probe: "/usr/bin/memcached",
        package: "memcached",
    },
    Peer {
        name: "Redis",
        probe: "/usr/bin/redis-server",
        package: "redis-server",
    },
    Peer {
        name: "OpenLDAP's server",
        probe: "/usr/sbin/slapd",
        package: "slapd",
    },
    Peer {
        name: "OpenSSL, for certificates",
        probe: "/usr/bin/openssl",
        package: "openssl",
    },
    Peer {
        name: "Dovecot's LMTP server",
        probe: "/usr/lib/dovecot/lmtp",
        package: "dovecot-lmtpd",
    },
    Peer {
        name: "swaks",
        probe: "/usr/bin/swaks",
        package: "swaks",
    },
    Peer {
        name: "pflogsumm, which counts what a log tells",
        probe: "/usr/sbin/pflogsumm",
        package: "pflogsumm",
    },
    Peer {
        name: "fail2ban, with its filters",
        probe: "/etc/fail2ban/filter.d/postfix.conf",
        package: "fail2ban",
    },
    Peer {
        name: "Python",
        probe: "/usr/bin/python3",
        package: "python3-minimal",
    },
];

impl Peer {
    /// Whether it is here.
    pub(crate) fn is_installed(&self) -> bool {
        Path::new(self.probe).exists()
    }
}

/// Peers that are not installed.
pub(crate) fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| !peer.is_installed()).collect()
}

/// Installs what is missing.
pub(crate) fn deps() -> Result<(), String> {
    let packages: Vec<&str> = missing().iter().map(|peer| peer.package).collect();
    if packages.is_empty() {
        println!("every peer is installed");
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(format!(
            "run as root: apt-get install {}",
            packages.join(" ")
        ));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    build::run(apt().args(["-qq", "update"]))?;
    build::run(
        apt()
            .args(["-qq", "--yes", "--no-install-recommends", "install"])
            .args(&packages),
    )
}
