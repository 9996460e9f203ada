//! openssl(1) as a tool: keys, certificates and what is in them. Its private keys never leave the files
//! and pipes named here.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use postern_sys::error_text;

/// Days that a self-signed certificate is good for: a hundred years.
const DAYS: &str = "36525";
/// Longest common name of a certificate (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;

/// The object identifier of elliptic curve keys (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// Kinds of keys that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rsa,
    Ecdsa,
}

impl Algorithm {
    /// In the order in which TLSA records are shown.
    pub(super) const ALL: [Self; 2] = [Self::Rsa, Self::Ecdsa];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ecdsa => "ecdsa",
        }
    }

    /// What `-b` is unless somebody says otherwise: bits, or the name of a curve.
    pub(super) fn default_size(self) -> &'static str {
        match self {
            Self::Rsa => "2048",
            Self::Ecdsa => "secp256r1",
        }
    }

    /// What precedes `key` and `cert` in names of parameters and files.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Rsa => "",
            Self::Ecdsa => "ec",
        }
    }

    /// The command of openssl(1) that reads such keys only.
    fn reader(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ecdsa => "ec",
        }
    }
}

/// The program.
pub(super) struct OpenSsl {
    pub(super) path: String,
}

/// What openssl(1) wrote to stderr.
type Complaint = Vec<String>;

impl OpenSsl {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Complaint> {
        let failed = |error: std::io::Error| vec![format!("{}: {}", self.path, error_text(&error))];
        let mut child = Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not want its input says why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(text.lines().map(str::to_owned).collect())
    }

    /// Makes a private key, in PEM form.
    pub(super) fn new_key(&self, algorithm: Algorithm, size: &str) -> Result<Vec<u8>, Complaint> {
        match algorithm {
            Algorithm::Rsa => self.run(&["genrsa", size], b""),
            Algorithm::Ecdsa => self.run(&["ecparam", "-genkey", "-name", size], b""),
        }
    }

    /// The private key in the file `path`, alone and in PEM form.
    pub(super) fn copy_key(&self, path: &Path) -> Option<Vec<u8>> {
        let path = path.to_str()?;
        self.run(&["pkey", "-passin", "pass:", "-in", path], b"")
            .ok()
    }

    /// Kind and public half (DER) of the private key in the file `path`. One with a password is none.
    pub(super) fn public_key(&self, path: &Path) -> Option<(Algorithm, Vec<u8>)> {
        let path = path.to_str()?;
        Algorithm::ALL.into_iter().find_map(|algorithm| {
            let arguments = [
                algorithm.reader(),
                "-passin",
                "pass:",
                "-in",
                path,
                "-pubout",
                "-outform",
                "DER",
            ];
            let key = self.run(&arguments, b"").ok()?;
            // The command for elliptic curves also reads keys that TLS treats as another kind.
            let is_other = algorithm == Algorithm::Ecdsa
                && !key
                    .windows(EC_PUBLIC_KEY.len())
                    .any(|part| part == EC_PUBLIC_KEY);
            (!is_other).then_some((algorithm, key))
        })
    }

    /// The public key (DER) of the first certificate in the file `path`.
    pub(super) fn certified_key(&self, path: &Path) -> Option<Vec<u8>> {
        let path = path.to_str()?;
        let key = self.run(&["x509", "-in", path, "-noout", "-pubkey"], b"");
        self.run(&["pkey", "-pubin", "-outform", "DER"], &key.ok()?)
            .ok()
    }

    /// SHA-256 of `data` in hexadecimal digits.
    pub(super) fn sha256(&self, data: &[u8]) -> Option<String> {
        let output = self.run(&["dgst", "-sha256", "-r"], data).ok()?;
        let text = String::from_utf8_lossy(&output);
        text.split_whitespace().next().map(str::to_owned)
    }

    /// A self-signed certificate in PEM form for `hosts` and the key in the file `key`.
    pub(super) fn certificate(&self, key: &Path, hosts: &[String]) -> Result<Vec<u8>, Complaint> {
        let key = key.to_string_lossy();
        let arguments = [
            "req",
            "-x509",
            "-new",
            "-key",
            &key,
            "-days",
            DAYS,
            "-sha256",
            "-config",
            "/dev/stdin",
        ];
        self.run(&arguments, request(hosts, true).as_bytes())
    }

    /// A certificate signing request in PEM form for `hosts` and the key in the file `key`.
    pub(super) fn signing_request(
        &self,
        key: &Path,
        hosts: &[String],
    ) -> Result<Vec<u8>, Complaint> {
        let key = key.to_string_lossy();
        let arguments = [
            "req",
            "-new",
            "-key",
            &key,
            "-subj",
            "/",
            "-sha256",
            "-config",
            "/dev/stdin",
        ];
        self.run(&arguments, request(hosts, false).as_bytes())
    }
}

/// The configuration of `openssl req`. A name too long for the subject is among the alternative names.
fn request(hosts: &[String], is_certificate: bool) -> String {
    let mut text = String::from(
        "[req]\nprompt = no\nencrypt_key = no\nutf8 = yes\nstring_mask = utf8only\n\
         distinguished_name = subject\nreq_extensions = extensions\nx509_extensions = extensions\n\
         [subject]\n",
    );
    let first = hosts
        .first()
        .filter(|host| is_certificate && host.len() <= MAX_COMMON_NAME);
    if let Some(host) = first {
        let _ = writeln!(text, "commonName = {}", quote(host));
    }
    text.push_str("[extensions]\n");
    if is_certificate {
        text.push_str("basicConstraints = CA:false\n");
    }
    text.push_str("subjectKeyIdentifier = hash\nextendedKeyUsage = serverAuth, clientAuth\n");
    text.push_str("subjectAltName = @names\n[names]\n");
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(text, "DNS.{number} = {}", quote(host));
    }
    text
}

/// Keeps the configuration file's own meaning from characters of a name; a line end would begin a line.
fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for character in name.chars().filter(|character| !character.is_control()) {
        if !character.is_alphanumeric() && !matches!(character, '.' | '-' | '_') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_cannot_add_settings_to_a_request() {
        let hosts = ["a b.example\nx = $ENV::HOME".to_string()];
        let text = request(&hosts, true);
        assert!(text.contains("commonName = a\\ b.examplex\\ \\=\\ \\$ENV\\:\\:HOME\n"));
        assert!(text.ends_with("DNS.0 = a\\ b.examplex\\ \\=\\ \\$ENV\\:\\:HOME\n"));
        let long = request(&["x".repeat(MAX_COMMON_NAME + 1)], true);
        assert!(!long.contains("commonName"));
        assert!(!request(&hosts, false).contains("commonName"));
    }
}
