//! The modes that list what the mail system supports.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::Command;

use postern_config::{Config, Level, params};

use crate::options::{Flag, Options};
use crate::{Fatal, warn};

const LOCKS: &[&str] = &["flock", "fcntl", "dotlock"];
const SASL_SERVERS: &[&str] = &["dovecot"];
const SASL_CLIENTS: &[&str] = &["cyrus"];
/// The types of the table library that work; what is listed here can be used. `debug` comes on top,
/// from the level on that has it.
pub(crate) const TABLES: &[&str] = &[
    "btree",
    "cdb",
    "cidr",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "nis",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "redis",
    "regexp",
    "socketmap",
    "sqlite",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
];
const TLS_LIBRARY: &str = "rustls 0.23 (aws-lc-rs)";
const PUBLIC_KEYS: &[&str] = &["ecdsa", "ed25519", "rsa"];

/// Prints the list that the options ask for; false when they ask for none.
pub(crate) fn run(options: &Options, out: &mut Vec<u8>) -> Result<bool, Fatal> {
    let list = if options.has(Flag::SaslServer) {
        no_sasl_yet();
        SASL_SERVERS
    } else if options.has(Flag::SaslClient) {
        no_sasl_yet();
        SASL_CLIENTS
    } else if options.has(Flag::Locks) {
        LOCKS
    } else if options.has(Flag::Tables) {
        return table_types(options, out).map(|()| true);
    } else if let Some(mode) = &options.tls_mode {
        tls(mode)?
    } else if options.has_any(&[Flag::RawTemplates, Flag::ExpandedTemplates]) {
        return Err(templates(options));
    } else {
        return Ok(false);
    };
    print(list, out);
    Ok(true)
}

/// The lists name what a configuration may ask for, so that scripts find it. A person is told the rest.
fn no_sasl_yet() {
    if std::io::stderr().is_terminal() {
        warn("SASL is not built yet: what is listed has no effect");
    }
}

fn print(list: &[&str], out: &mut Vec<u8>) {
    for name in list {
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
}

fn table_types(options: &Options, out: &mut Vec<u8>) -> Result<(), Fatal> {
    let config = Config::load_now(&options.directory)?;
    let mut types = TABLES.to_vec();
    if config.level() >= Level::new(3, 11) {
        types.push("debug");
        types.sort_unstable();
    }
    print(&types, out);
    Ok(())
}

fn tls(mode: &str) -> Result<&'static [&'static str], Fatal> {
    match mode {
        "compile-version" | "run-version" => Ok(&[TLS_LIBRARY]),
        "public-key-algorithms" => Ok(PUBLIC_KEYS),
        _ => {
            warn(&format!("unknown 'postconf -T' mode: {mode}"));
            Err(Fatal::Silent)
        }
    }
}

/// Has bounce(8) print its templates; comes back only on failure.
fn templates(options: &Options) -> Fatal {
    if options.words.len() > 1 {
        return Fatal::text("options -b and -t require at most one template file");
    }
    let config = match Config::load_now(&options.directory) {
        Ok(config) => config,
        Err(error) => return Fatal::Config(error),
    };
    let mode = if options.has(Flag::RawTemplates) {
        "-SVndump_templates"
    } else {
        "-SVnexpand_templates"
    };
    let program = format!("{}/bounce", config.get(params::DAEMON_DIRECTORY));
    let mut command = Command::new(&program);
    command
        .arg(mode)
        .args(["-o", "queue_directory=."])
        .env("MAIL_CONFIG", &options.directory);
    if let Some(file) = options.words.first() {
        command.args(["-o", &format!("bounce_template_file={file}")]);
    }
    let error = command.arg0("bounce").exec();
    Fatal::Text(format!("{program}: {}", postern_sys::error_text(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_types_are_those_of_the_table_library() {
        let mut listed = TABLES.to_vec();
        listed.push("debug");
        listed.sort_unstable();
        assert_eq!(listed, postern_dict::TYPES);
    }
}
