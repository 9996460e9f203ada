//! `postfix tls`: opportunistic TLS in main.cf, and the SMTP server's keys and certificates. Hands over
//! to a `postfix-tls-script` where there is one. Cryptography is the business of openssl(1).

mod openssl;
mod server;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use postern_config::edit::{self, Change};
use postern_config::params;
use postern_maillog::set_tag;
use postern_sys::error_text;

use crate::program::{Failure, Program};

/// Subcommands, and what follows them.
const COMMANDS: &[(&str, &str)] = &[
    ("enable-client", " [-r devrandom]"),
    (
        "enable-server",
        " [-a algorithm] [-b bits ] [-r devrandom] [hostname ...]",
    ),
    (
        "new-server-key",
        " [-a algorithm] [-b bits ] [hostname ...]",
    ),
    (
        "new-server-cert",
        " [-a algorithm] [-b bits ] [hostname ...]",
    ),
    ("deploy-server-cert", " certfile keyfile"),
    ("output-server-csr", " [-k keyfile] [hostname ...]"),
    ("output-server-tlsa", " [-h hostname] [keyfile ...]"),
    ("all-default-client", ""),
    ("all-default-server", ""),
];

/// Settings that show that the administrator has set up TLS in the client.
const CLIENT_SETTINGS: &[&str] = &[
    "smtp_use_tls",
    "smtp_enforce_tls",
    "smtp_tls_enforce_peername",
    "smtp_tls_security_level",
    "smtp_tls_cert_file",
    "smtp_tls_dcert_file",
    "smtp_tls_eccert_file",
];
/// The same for the server.
const SERVER_SETTINGS: &[&str] = &[
    "smtpd_use_tls",
    "smtpd_enforce_tls",
    "smtpd_tls_security_level",
    "smtpd_tls_cert_file",
    "smtpd_tls_dcert_file",
    "smtpd_tls_eccert_file",
];
/// Where randomness comes from unless somebody says otherwise.
const RANDOM_SOURCE: &str = "dev:/dev/urandom";
/// Table type of the client's session cache.
const CACHE_TYPE: &str = "lmdb";

/// Changes to main.cf by parameter name.
type Changes = BTreeMap<String, Change>;

/// The options and operands of a subcommand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    options: BTreeMap<char, String>,
    operands: Vec<String>,
}

impl Words {
    /// Reads `words`; each letter of `letters` is an option with a value. `None`: something else stands
    /// there.
    fn parse(words: &[OsString], letters: &str) -> Option<Self> {
        let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
        let mut parsed = Self::default();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                parsed.operands.push(word);
                break;
            };
            if option == "-" {
                break;
            }
            let mut rest = option.chars();
            let letter = rest.next().filter(|letter| letters.contains(*letter))?;
            let value = match rest.as_str() {
                "" => words.next()?,
                joined => joined.to_owned(),
            };
            parsed.options.insert(letter, value);
        }
        parsed.operands.extend(words);
        Some(parsed)
    }

    fn option(&self, letter: char) -> Option<&str> {
        self.options.get(&letter).map(String::as_str)
    }
}

impl Program {
    /// Runs `postfix tls` with these words.
    pub(crate) fn tls(&self, words: &[OsString]) -> Result<u8, Failure> {
        let path = self.daemon_directory.join("postfix-tls-script");
        if !self.is_built_in && path.exists() {
            let error = Command::new(&path).args(words).exec();
            return Err(Failure::new(format!(
                "{}: {}",
                path.display(),
                error_text(&error)
            )));
        }
        let name = self.config.get(params::SYSLOG_NAME);
        set_tag(&format!("{name}/postfix-tls-script"));
        let verb = words.first().map(|word| word.to_string_lossy());
        let verb = verb.as_deref().unwrap_or_default();
        let Some((verb, usage)) = COMMANDS.iter().find(|(name, _)| *name == verb) else {
            return Err(self.unknown_tls_command(verb));
        };
        let rest = words.get(1..).unwrap_or_default();
        let letters = match *verb {
            "enable-client" => "r",
            "enable-server" => "abr",
            "new-server-key" | "new-server-cert" => "ab",
            "output-server-csr" => "k",
            "output-server-tlsa" => "h",
            _ => "",
        };
        let parsed = Words::parse(rest, letters).filter(|words| match *verb {
            "deploy-server-cert" => words.operands.len() == 2,
            "enable-client" | "all-default-client" | "all-default-server" => {
                words.operands.is_empty()
            }
            _ => true,
        });
        let Some(words) = parsed else {
            return Err(self.tls_failure(&format!("usage: postfix tls {verb}{usage}")));
        };
        self.run_tls(verb, &words).map(u8::from)
    }

    /// Runs a subcommand; whether its answer is no.
    fn run_tls(&self, verb: &str, words: &Words) -> Result<bool, Failure> {
        match verb {
            "all-default-client" => return Ok(!self.all_default(CLIENT_SETTINGS)),
            "all-default-server" => return Ok(!self.all_default(SERVER_SETTINGS)),
            "enable-client" => self.enable_client(words)?,
            "enable-server" => self.enable_server(words)?,
            "new-server-key" => self.new_server_key(words, false)?,
            "new-server-cert" => self.new_server_key(words, true)?,
            "deploy-server-cert" => self.deploy_server_cert(&words.operands)?,
            "output-server-csr" => self.output_server_csr(words)?,
            _ => self.output_server_tlsa(words)?,
        }
        Ok(false)
    }

    fn unknown_tls_command(&self, verb: &str) -> Failure {
        self.say_as(
            "postfix-tls-script",
            "error: ",
            &format!("unknown tls command: '{verb}'"),
        );
        let mut names = COMMANDS.iter().map(|(name, _)| *name);
        let first = names.next().unwrap_or_default();
        let others: Vec<&str> = names.collect();
        let failure = self.tls_failure(&format!(
            "usage: postfix tls {first} (or {})",
            others.join(", ")
        ));
        postern_command::hint("postfix tls", verb, COMMANDS.iter().map(|(name, _)| *name));
        failure
    }

    fn tls_failure(&self, text: &str) -> Failure {
        self.say_as("postfix-tls-script", "fatal: ", text);
        Failure::TOLD
    }

    /// Tells the administrator what was done and what is to do.
    fn tell(&self, lines: &[&str]) {
        for line in lines {
            self.say_as("postfix-tls-script", "", line);
        }
    }

    /// Whether main.cf gives none of `names` a value.
    fn all_default(&self, names: &[&str]) -> bool {
        !self
            .config
            .explicit()
            .any(|(name, value)| names.contains(&name) && !value.is_empty())
    }

    fn enable_client(&self, words: &Words) -> Result<(), Failure> {
        if !self.all_default(CLIENT_SETTINGS) {
            let cache = format!(
                "  smtp_tls_session_cache_database = {CACHE_TYPE}:${{data_directory}}/smtp_scache"
            );
            self.tell(&[
                "*** Non-default SMTP client TLS settings detected, no changes made.",
                "For opportunistic TLS in the Postfix SMTP client, the below settings",
                "are typical:",
                "  smtp_tls_security_level = may",
                "  smtp_tls_loglevel = 1",
                &cache,
            ]);
            return Ok(());
        }
        let mut changes = Changes::new();
        set(&mut changes, "smtp_tls_security_level", "may");
        set(&mut changes, "smtp_tls_loglevel", "1");
        let data = self.config.get(params::DATA_DIRECTORY);
        let cache = format!("{CACHE_TYPE}:{data}/smtp_scache");
        set(&mut changes, "smtp_tls_session_cache_database", &cache);
        self.set_random_source(&mut changes, words);
        self.change_main_cf(&changes)?;
        self.tell(&["Enabled opportunistic TLS in the Postfix SMTP client."]);
        self.remind_to_reload();
        Ok(())
    }

    fn remind_to_reload(&self) {
        self.tell(&[
            "Run the command:",
            "  # postfix reload",
            "if you want the new settings to take effect immediately.",
        ]);
    }

    /// Sets tls_random_source to what `-r` says; without it, if main.cf has no value.
    fn set_random_source(&self, changes: &mut Changes, words: &Words) {
        const NAME: &str = "tls_random_source";
        let set_by_file = self
            .config
            .explicit()
            .any(|(name, value)| name == NAME && !value.is_empty());
        match words.option('r') {
            Some(source) => set(changes, NAME, source),
            None if !set_by_file => set(changes, NAME, RANDOM_SOURCE),
            None => {}
        }
    }

    fn change_main_cf(&self, changes: &Changes) -> Result<(), Failure> {
        let path = self.config.directory().join("main.cf");
        let shown = path.display().to_string();
        edit::replace(&path, |old| Ok(edit::main_cf(&shown, old, changes).0))
            .map_err(|error| self.complain(&error))
    }
}

fn set(changes: &mut Changes, name: &str, value: &str) {
    changes.insert(name.to_owned(), Change::Set(value.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_operands_and_have_values() {
        let parse = |text: &str| {
            let words: Vec<OsString> = text.split(' ').map(Into::into).collect();
            Words::parse(&words, "ab")
        };
        let words = parse("-a rsa -b2048 -- -x").unwrap();
        assert_eq!(
            (words.option('a'), words.option('b')),
            (Some("rsa"), Some("2048"))
        );
        assert_eq!(words.operands, ["-x"]);
        let words = parse("host -a rsa").unwrap();
        assert_eq!(words.operands, ["host", "-a", "rsa"]);
        for bad in ["-a", "-x", "-a rsa -b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
