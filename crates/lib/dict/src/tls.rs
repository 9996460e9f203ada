//! Encryption of connections to database servers.
//!
//! Without anything to verify against, any certificate will do, as with the databases' own libraries.

use postern_wire::{Channel, Deadline, Layer, Raw};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, InconsistentKeys};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::certificate::Certificate;
use self::verifier::Verifier;

mod certificate;
#[cfg(test)]
mod tests;
mod verifier;

/// What a server's certificate has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Anything.
    Nothing,
    /// Signed by an authority that is trusted.
    Chain,
    /// Also made for the name of the server. The subject's common names count only when there are no
    /// alternative names of that kind (RFC 6125 §6.4.4), as with OpenSSL and libpq.
    ChainAndName,
    /// The same, but common names count beside alternative names (RFC 4513 §3.1.3), as with OpenLDAP.
    ChainAndAnyName,
}

/// Settings of an encrypted connection; empty texts are not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct TlsFiles {
    /// Certificates of trusted authorities.
    pub(crate) ca_file: String,
    /// A directory with files of such certificates.
    pub(crate) ca_path: String,
    /// The client's certificate and those between it and its authority.
    pub(crate) cert_file: String,
    /// The key of the client's certificate.
    pub(crate) key_file: String,
    /// OpenSSL names of cipher suites for TLS 1.2.
    pub(crate) ciphers: String,
}

/// The authorities of the system.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes `channel` an encrypted one before `end`. `name` is the server as it is known to the client.
pub(crate) fn encrypt(
    channel: &mut Channel,
    files: &TlsFiles,
    check: Check,
    name: &str,
    end: Instant,
) -> io::Result<()> {
    encrypt_and_identify(channel, files, check, name, end).map(|_| ())
}

/// As [`encrypt`]; gives the server's certificate.
pub(crate) fn encrypt_and_identify(
    channel: &mut Channel,
    files: &TlsFiles,
    check: Check,
    name: &str,
    end: Instant,
) -> io::Result<Vec<u8>> {
    let config = client_config(files, check)?;
    let is_about_name = matches!(check, Check::ChainAndName | Check::ChainAndAnyName);
    let name = match ServerName::try_from(name.to_owned()) {
        // Nobody will look at it.
        Err(_) if !is_about_name => ServerName::try_from("localhost"),
        name => name,
    };
    let name = name.map_err(invalid)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(invalid)?;
    connection.set_buffer_limit(None);
    while connection.is_handshaking() || connection.wants_write() {
        let limit = end.saturating_duration_since(Instant::now());
        if limit.is_zero() {
            return Err(postern_wire::timed_out());
        }
        channel.set_deadline(Some(Deadline {
            limit,
            min_data_rate: 0,
        }));
        let raw = channel.raw()?;
        while connection.wants_write() {
            connection.write_tls(raw)?;
        }
        if connection.is_handshaking() {
            receive(&mut connection, raw)?;
        }
    }
    let certificates = connection.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().map(|first| first.to_vec());
    channel.set_layer(Box::new(Encryption { connection }));
    Ok(certificate.unwrap_or_default())
}

/// Takes records from the socket.
fn receive(connection: &mut ClientConnection, raw: &mut Raw) -> io::Result<()> {
    if connection.read_tls(raw)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let done = connection.process_new_packets().map_err(invalid);
    if done.is_err() {
        // The peer gets the alert, if it still listens.
        let _ = connection.write_tls(raw);
    }
    done.map(|_| ())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

struct Encryption {
    connection: ClientConnection,
}

impl Layer for Encryption {
    fn read(&mut self, raw: &mut Raw, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    receive(&mut self.connection, raw)?;
                    while self.connection.wants_write() {
                        self.connection.write_tls(raw)?;
                    }
                }
                done => return done,
            }
        }
    }
    fn write_all(&mut self, raw: &mut Raw, data: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(data)?;
        while self.connection.wants_write() {
            self.connection.write_tls(raw)?;
        }
        Ok(())
    }
    fn has_pending(&self) -> bool {
        false
    }
    fn shutdown(&mut self, raw: &mut Raw) {
        self.connection.send_close_notify();
        let _ = self.connection.write_tls(raw);
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn client_config(files: &TlsFiles, check: Check) -> io::Result<ClientConfig> {
    let provider = Arc::new(provider(&files.ciphers));
    let roots = if check == Check::Nothing {
        Vec::new()
    } else {
        authorities(files)?
    };
    let keys = provider.key_provider;
    let verifier = Verifier::new(check, roots, &provider)
        .ok_or_else(|| invalid("no trusted certificate authority"))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    if files.cert_file.is_empty() && files.key_file.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let key_file = if files.key_file.is_empty() {
        &files.cert_file
    } else {
        &files.key_file
    };
    let cert_file = if files.cert_file.is_empty() {
        &files.key_file
    } else {
        &files.cert_file
    };
    let chain = certificates(Path::new(cert_file))?;
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(key_file)?)
        .map_err(|error| invalid(format!("{key_file}: {error}")))?;
    let identity = identity(chain, keys.load_private_key(key).map_err(invalid)?)?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))
}

/// The client's certificates, the first of which has to be that of `key`. rustls's own way to put them together
/// takes version 3 only.
fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> io::Result<CertifiedKey> {
    let first = chain
        .first()
        .ok_or_else(|| invalid("no client certificate"))?;
    let own_key = Certificate::read(first).map_err(invalid)?.key();
    if key.public_key().is_some_and(|public| *public != *own_key) {
        return Err(invalid(rustls::Error::from(InconsistentKeys::KeyMismatch)));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// rustls's cipher suites, or those of TLS 1.2 that `wanted` names. Lists that name none of them, such as
/// `HIGH`, change nothing: all suites here are strong.
fn provider(wanted: &str) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let names: Vec<&str> = wanted.split([':', ',', ' ']).collect();
    let is_wanted = |suite: &rustls::SupportedCipherSuite| {
        suite.tls13().is_none() && names.contains(&openssl_name(suite).as_str())
    };
    if provider.cipher_suites.iter().any(is_wanted) {
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || is_wanted(suite));
    }
    provider
}

/// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` is `ECDHE-RSA-AES256-GCM-SHA384` to OpenSSL.
fn openssl_name(suite: &rustls::SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.trim_start_matches("TLS_")
        .replace("_WITH", "")
        .replace("AES_", "AES")
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
        .replace('_', "-")
}

/// The trusted authorities: those of the files, or the system's when there are none.
fn authorities(files: &TlsFiles) -> io::Result<Vec<CertificateDer<'static>>> {
    if !files.ca_file.is_empty() {
        return certificates(Path::new(&files.ca_file));
    }
    if files.ca_path.is_empty() {
        return certificates(Path::new(SYSTEM_AUTHORITIES));
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&files.ca_path)? {
        // Other files may lie there, too.
        all.extend(certificates(&entry?.path()).unwrap_or_default());
    }
    Ok(all)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let content = std::fs::read(path)?;
    CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(format!("{}: {error}", path.display())))
}

/// Doors for the targets of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::{Check, Verifier};

    /// Judges two certificates as each other's issuer. Two bytes say how long the first is.
    pub(crate) fn judge(bytes: &[u8]) {
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return;
        };
        let Some((one, other)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        else {
            return;
        };
        let certificate = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
        let provider = aws_lc_rs::default_provider();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        for name in ["db.example.test", "127.0.0.1"] {
            let name = ServerName::try_from(name).expect("a name");
            for check in [Check::Chain, Check::ChainAndName, Check::ChainAndAnyName] {
                let trusted = vec![certificate(one)];
                let Some(verifier) = Verifier::new(check, trusted, &provider) else {
                    continue;
                };
                let between = [certificate(one), certificate(other)];
                for server in &between {
                    let _ = verifier.verify_server_cert(server, &between, &name, b"", now);
                }
            }
        }
    }
}
