//! `postfix tls`: hands over to `postfix-tls-script` where there is one, and answers what can be answered
//! without certificates where there is none.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use postern_maillog::set_tag;
use postern_sys::error_text;

use crate::program::{Failure, Program};

/// Subcommands, and whether they are questions about main.cf alone.
const COMMANDS: &[(&str, Option<&str>)] = &[
    ("enable-client", None),
    ("enable-server", None),
    ("new-server-key", None),
    ("new-server-cert", None),
    ("deploy-server-cert", None),
    ("output-server-csr", None),
    ("output-server-tlsa", None),
    ("all-default-client", Some("smtp_")),
    ("all-default-server", Some("smtpd_")),
];

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
        let name = self.config.get(postern_config::params::SYSLOG_NAME);
        set_tag(&format!("{name}/postfix-tls-script"));
        let verb = words.first().map(|word| word.to_string_lossy());
        let verb = verb.as_deref().unwrap_or_default();
        match COMMANDS.iter().find(|(name, _)| *name == verb) {
            Some((_, Some(prefix))) if words.len() == 1 => Ok(u8::from(!self.all_default(prefix))),
            Some((_, Some(_))) => Err(self.tls_failure(&format!("usage: postfix tls {verb}"))),
            Some((_, None)) => Err(self.tls_failure(&format!("{verb}: not yet available"))),
            None => {
                self.say_as(
                    "postfix-tls-script",
                    "error: ",
                    &format!("unknown tls command: '{verb}'"),
                );
                let names: Vec<&str> = COMMANDS.iter().skip(1).map(|(name, _)| *name).collect();
                Err(self.tls_failure(&format!(
                    "usage: postfix tls {} (or {})",
                    COMMANDS.first().map_or("", |(name, _)| name),
                    names.join(", ")
                )))
            }
        }
    }

    fn tls_failure(&self, text: &str) -> Failure {
        self.say_as("postfix-tls-script", "fatal: ", text);
        Failure::TOLD
    }

    /// Whether main.cf sets no TLS parameter of the client or the server.
    fn all_default(&self, prefix: &str) -> bool {
        !self.config.explicit().any(|(name, value)| {
            let rest = name.strip_prefix(prefix).unwrap_or_default();
            let is_tls = rest.starts_with("tls_") || matches!(rest, "use_tls" | "enforce_tls");
            is_tls && !value.is_empty()
        })
    }
}
