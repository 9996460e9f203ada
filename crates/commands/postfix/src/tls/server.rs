//! Keys and certificates of the SMTP server.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use postern_config::params;
use postern_mail::date::compact_utc;
use postern_sys::error_text;

use super::openssl::{Algorithm, OpenSsl};
use super::{Changes, SERVER_SETTINGS, Words, set};
use crate::program::{Failure, Program};

/// Digits of a date.
const DATE_LENGTH: usize = 8;

/// A new key and its certificate.
struct Pair {
    algorithm: Algorithm,
    key: PathBuf,
    certificate: PathBuf,
    /// Whether the key is that of the certificate in use.
    is_old_key: bool,
}

impl Program {
    pub(super) fn enable_server(&self, words: &Words) -> Result<(), Failure> {
        if !self.all_default(SERVER_SETTINGS) {
            self.tell(&[
                "*** Non-default SMTP server TLS settings detected, no changes made.",
                "For opportunistic TLS in the Postfix SMTP server, the below settings",
                "are typical:",
                "  smtpd_tls_security_level = may",
                "  smtpd_tls_loglevel = 1",
                "You can use \"postfix tls new-server-cert\" to create a new certificate.",
                "Or, \"postfix tls new-server-key\" to also force a new private key.",
                "If you publish DANE TLSA records, see:",
                "  https://tools.ietf.org/html/rfc7671#section-8",
                "  https://tools.ietf.org/html/rfc7671#section-5.1",
                "  https://tools.ietf.org/html/rfc7671#section-5.2",
                "  https://community.letsencrypt.org/t/please-avoid-3-0-1-and-3-0-2-dane-tlsa-records-with-le-certificates/7022",
            ]);
            return Ok(());
        }
        let pair = self.make_pair(words, false)?;
        let mut changes = deployment(pair.algorithm, &pair.certificate, &pair.key);
        set(&mut changes, "smtpd_tls_security_level", "may");
        set(&mut changes, "smtpd_tls_loglevel", "1");
        set(&mut changes, "smtpd_tls_received_header", "yes");
        self.set_random_source(&mut changes, words);
        self.change_main_cf(&changes)?;
        self.tell(&["Enabled opportunistic TLS in the Postfix SMTP server"]);
        self.tell_deployed();
        self.tell_about(&pair, true);
        Ok(())
    }

    /// Makes a certificate, for a new key or for the one in use.
    pub(super) fn new_server_key(&self, words: &Words, keep: bool) -> Result<(), Failure> {
        let pair = self.make_pair(words, keep)?;
        self.tell(&[
            "New private key and self-signed certificate created. To deploy run:",
            &format!(
                "  # postfix tls deploy-server-cert {} {}",
                pair.certificate.display(),
                pair.key.display()
            ),
        ]);
        self.tell_about(&pair, false);
        Ok(())
    }

    fn tell_deployed(&self) {
        self.tell(&["New TLS private key and certificate deployed."]);
        self.remind_to_reload();
    }

    /// Tells what else can be done with a new key.
    fn tell_about(&self, pair: &Pair, is_deployed: bool) {
        let (key, certificate) = (pair.key.display(), pair.certificate.display());
        let (when, key_operand) = match is_deployed {
            true => (".", String::new()),
            false => (", and deploy as above.", key.to_string()),
        };
        self.tell(&[
            "To generate a CSR run:",
            &format!("  # postfix tls output-server-csr -k {key} [<hostname> ...]"),
            &format!("Save the signed certificate chain in {certificate}{when}"),
            "To generate TLSA records run:",
            &format!("  # postfix tls output-server-tlsa [-h <hostname>] {key_operand}"),
        ]);
        if is_deployed {
            self.tell(&[
                "(If you have DANE TLSA RRs, update them as soon as possible to match",
                "the newly deployed keys).",
            ]);
        } else if !pair.is_old_key {
            self.tell(&["(deploy after updating the DNS and waiting for stale RRs to expire)."]);
        }
    }

    /// Makes a key, or copies the one in use if `keep`, and a certificate for it, in new files.
    fn make_pair(&self, words: &Words, keep: bool) -> Result<Pair, Failure> {
        let name = words.option('a').unwrap_or("rsa");
        let algorithm = Algorithm::parse(name).ok_or_else(|| {
            self.tls_failure(&format!("Unsupported public key algorithm: {name}"))
        })?;
        let openssl = self.openssl();
        let old = self.deployed_key(algorithm).filter(|_| keep);
        let key_text = match &old {
            Some(path) => openssl.copy_key(path).ok_or_else(|| self.no_key(path))?,
            None => {
                let size = words
                    .option('b')
                    .unwrap_or_else(|| algorithm.default_size());
                openssl.new_key(algorithm, size).map_err(|complaint| {
                    let what = format!("error generating new {name} {size} private key");
                    self.openssl_failure(&complaint, &what)
                })?
            }
        };
        let (key, certificate) = self.new_names(algorithm);
        self.write_new(&key, &key_text, 0o600)?;
        let text = openssl.certificate(&key, &self.hosts(&words.operands));
        let text = text.map_err(|complaint| {
            // Nobody is told of this key.
            let _ = std::fs::remove_file(&key);
            self.openssl_failure(&complaint, "error generating self-signed SSL certificate")
        })?;
        self.write_new(&certificate, &text, 0o644)?;
        Ok(Pair {
            algorithm,
            key,
            certificate,
            is_old_key: old.is_some(),
        })
    }

    /// Names of files that are not there, after the time or one soon.
    fn new_names(&self, algorithm: Algorithm) -> (PathBuf, PathBuf) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut time = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
        loop {
            let name = |what| format!("{}{what}-{}.pem", algorithm.prefix(), stamp(time));
            let key = self.in_directory(&name("key"));
            let certificate = self.in_directory(&name("cert"));
            if !key.exists() && !certificate.exists() {
                return (key, certificate);
            }
            time += 1;
        }
    }

    pub(super) fn deploy_server_cert(&self, operands: &[String]) -> Result<(), Failure> {
        let [certificate, key] = operands else {
            return Ok(());
        };
        let (certificate, key) = (self.in_directory(certificate), self.in_directory(key));
        let openssl = self.openssl();
        let (algorithm, public) = openssl.public_key(&key).ok_or_else(|| self.no_key(&key))?;
        let certified = openssl
            .certified_key(&certificate)
            .ok_or_else(|| self.tls_failure("error computing certificate public key digest"))?;
        if certified != public {
            return Err(self.tls_failure(&format!(
                "Certificate in {} does not match key in {}",
                certificate.display(),
                key.display()
            )));
        }
        self.change_main_cf(&deployment(algorithm, &certificate, &key))?;
        self.tell_deployed();
        Ok(())
    }

    pub(super) fn output_server_csr(&self, words: &Words) -> Result<(), Failure> {
        let name = words.option('k').unwrap_or("rsa");
        let key = match Algorithm::parse(name) {
            Some(algorithm) => self.deployed_key(algorithm),
            None => Some(self.in_directory(name)),
        };
        let openssl = self.openssl();
        let key = key
            .filter(|path| openssl.public_key(path).is_some())
            .ok_or_else(|| self.tls_failure("No usable keyfile specified or configured"))?;
        let text = openssl.signing_request(&key, &self.hosts(&words.operands));
        let text =
            text.map_err(|complaint| self.openssl_failure(&complaint, "error generating CSR"))?;
        write_out(&text);
        Ok(())
    }

    pub(super) fn output_server_tlsa(&self, words: &Words) -> Result<(), Failure> {
        let own = self.config.get(params::MYHOSTNAME);
        let host = words.option('h').unwrap_or(&own);
        let named = |name: &String| match Algorithm::parse(name) {
            Some(algorithm) => self.deployed_key(algorithm),
            None => Some(self.in_directory(name)),
        };
        let keys: Vec<PathBuf> = if words.operands.is_empty() {
            let all = Algorithm::ALL.into_iter();
            all.filter_map(|algorithm| self.deployed_key(algorithm))
                .collect()
        } else {
            words.operands.iter().filter_map(named).collect()
        };
        if keys.is_empty() {
            return Err(self.tls_failure("No usable keyfiles specified or configured"));
        }
        let openssl = self.openssl();
        for key in keys {
            write_out(format!("; {}\n", key.display()).as_bytes());
            let (_, public) = openssl.public_key(&key).ok_or_else(|| self.no_key(&key))?;
            let digest = openssl
                .sha256(&public)
                .ok_or_else(|| self.tls_failure("error computing public key digest"))?;
            write_out(format!("_25._tcp.{host}. IN TLSA 3 1 1 {digest}\n").as_bytes());
        }
        Ok(())
    }

    fn openssl(&self) -> OpenSsl {
        OpenSsl {
            path: self.config.get(params::OPENSSL_PATH),
        }
    }

    fn openssl_failure(&self, complaint: &[String], what: &str) -> Failure {
        for line in complaint {
            self.say_as("postfix-tls-script", "warning: ", line);
        }
        self.tls_failure(what)
    }

    fn no_key(&self, path: &Path) -> Failure {
        self.tls_failure(&format!("no private key found in file: {}", path.display()))
    }

    /// The key that main.cf names for `algorithm`.
    fn deployed_key(&self, algorithm: Algorithm) -> Option<PathBuf> {
        let name = format!("smtpd_tls_{}key_file", algorithm.prefix());
        let value = self
            .config
            .lookup(&name)
            .filter(|_| self.config.is_set(&name))?;
        (!value.is_empty() && value != "none").then(|| self.in_directory(&value))
    }

    /// A file name, by itself or below the configuration directory.
    fn in_directory(&self, name: &str) -> PathBuf {
        self.config.directory().join(name)
    }

    fn hosts(&self, operands: &[String]) -> Vec<String> {
        if operands.is_empty() {
            vec![self.config.get(params::MYHOSTNAME)]
        } else {
            operands.to_vec()
        }
    }

    fn write_new(&self, path: &Path, text: &[u8], mode: u32) -> Result<(), Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path);
        let written = file.and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        });
        written.map_err(|error| {
            self.tls_failure(&format!("{}: {}", path.display(), error_text(&error)))
        })
    }
}

/// What makes the server use this pair.
fn deployment(algorithm: Algorithm, certificate: &Path, key: &Path) -> Changes {
    let mut changes = Changes::new();
    for (what, path) in [("cert", certificate), ("key", key)] {
        let name = format!("smtpd_tls_{}{what}_file", algorithm.prefix());
        set(&mut changes, &name, &path.to_string_lossy());
    }
    changes
}

/// Date and time for names of files: `yyyymmdd-hhmmss`, UTC.
fn stamp(unix_seconds: i64) -> String {
    let mut digits = compact_utc(unix_seconds);
    digits.insert(DATE_LENGTH.min(digits.len()), '-');
    digits
}

fn write_out(text: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text).and_then(|()| stdout.flush()) {
        postern_command::output_failed("write to stdout", &error);
    }
}
