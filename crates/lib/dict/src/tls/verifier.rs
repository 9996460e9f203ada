//! The verdict on a server's certificate. It is the only place that decides whom a table believes.
//!
//! What is checked, unless the table takes any certificate ([`Check::Nothing`]):
//!
//! - The chain, by rustls's webpki: signatures by the issuers up to a trusted authority with algorithms of
//!   today (RSA from 2048 bits on, SHA-2), names of issuers, dates, uses of keys, constraints, limits of depth
//!   and effort.
//! - The authority, which webpki takes as it is: its dates, and whether it may sign at all.
//! - The name, where the table wants it: an alternative name, or a common name of the subject, see [`Check`].
//!   The limits that issuers have to some names hold for both.
//! - That the server has the certificate's key: the signature of the handshake.
//!
//! webpki takes certificates of servers only when they are of version 3 and not an authority's. The databases'
//! own libraries take others, too, so webpki gets these in the form that it takes (see
//! [`Certificate::adapted`]); when it checks their signature, it is that of the original. Certificates between
//! the server's and the authority's are never adapted.
//!
//! A certificate that is itself listed as trusted is believed without its issuer, within its dates.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::Check;
use super::certificate::{Adapted, Certificate, MalformedCertificate};

/// A certificate of the table's files, with its dates and whether it may sign.
#[derive(Debug)]
struct Trusted {
    certificate: CertificateDer<'static>,
    dates: (Duration, Duration),
    may_sign: bool,
}

#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    trusted: Vec<Trusted>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// `trusted` that cannot be read are left out; `None` when nothing remains to check against.
    pub(super) fn new(
        check: Check,
        trusted: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Option<Self> {
        let read = |certificate: CertificateDer<'static>| {
            let content = Certificate::read(&certificate).ok()?;
            let (dates, may_sign) = (content.dates(), content.may_sign());
            Some(Trusted {
                certificate,
                dates,
                may_sign,
            })
        };
        let trusted: Vec<_> = trusted.into_iter().filter_map(read).collect();
        (check == Check::Nothing || !trusted.is_empty()).then_some(Self {
            check,
            trusted,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Whether a chain leads from `server` to an authority that `is_wanted`.
    fn check_chain(
        &self,
        server: &Server<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        is_wanted: impl Fn(&Trusted) -> bool,
    ) -> Result<(), Error> {
        let authorities = self.trusted.iter().filter(|one| one.may_sign);
        let authorities = authorities.filter(|one| is_wanted(one));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.map(|one| one.certificate.clone()));
        let algorithms = self.algorithms.all;
        let parsed = ParsedCertificate::try_from(&server.certificate)?;
        let Some(adapted) = &server.adapted else {
            return verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &roots,
                intermediates,
                now,
                algorithms,
            );
        };
        let algorithms: Vec<_> = algorithms
            .iter()
            .map(|algorithm| OfOriginal {
                algorithm: *algorithm,
                adapted,
            })
            .collect();
        let algorithms: Vec<_> = algorithms
            .iter()
            .map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm)
            .collect();
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, &algorithms)
    }

    fn check_issuer(
        &self,
        server: &Server<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_known = |one: &Trusted| one.certificate == *server.original;
        if self.trusted.iter().any(is_known) {
            return check_dates(server.content.dates(), now);
        }
        let is_current = |one: &Trusted| check_dates(one.dates, now).is_ok();
        let verdict = self.check_chain(server, intermediates, now, is_current);
        // The authority may be known, but out of date.
        if verdict.is_err() {
            for one in &self.trusted {
                let is_this = |other: &Trusted| std::ptr::eq(one, other);
                if let Err(why) = check_dates(one.dates, now)
                    && self
                        .check_chain(server, intermediates, now, is_this)
                        .is_ok()
                {
                    return Err(why);
                }
            }
        }
        verdict
    }

    /// Whether the certificate is for `name`, for a server whose issuer was checked.
    fn check_name(
        &self,
        server: Server<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let verdict = server.check_alternative_names(name);
        let beside = self.check == Check::ChainAndAnyName;
        if !is_about_name(&verdict) || !server.has_common_name(name, beside) {
            return verdict;
        }
        // webpki knows of alternative names only when issuers are limited to names.
        self.check_issuer(&server.named(name)?, intermediates, now)
    }
}

/// A server's certificate.
struct Server<'a> {
    original: &'a CertificateDer<'a>,
    content: Certificate<'a>,
    adapted: Option<Adapted<'a>>,
    /// What rustls gets to see.
    certificate: CertificateDer<'a>,
}

impl<'a> Server<'a> {
    fn read(original: &'a CertificateDer<'a>) -> Result<Self, Error> {
        let content = Certificate::read(original).map_err(malformed)?;
        Self::adapted(original, content, None)
    }

    /// The same with `name` for its alternative name.
    fn named(self, name: &ServerName<'_>) -> Result<Self, Error> {
        Self::adapted(self.original, self.content, Some(name))
    }

    fn adapted(
        original: &'a CertificateDer<'a>,
        content: Certificate<'a>,
        name: Option<&ServerName<'_>>,
    ) -> Result<Self, Error> {
        let adapted = content.adapted(name).map_err(malformed)?;
        let certificate = match &adapted {
            Some(adapted) => CertificateDer::from(adapted.certificate.clone()),
            None => CertificateDer::from(&**original),
        };
        Ok(Self {
            original,
            content,
            adapted,
            certificate,
        })
    }

    fn check_alternative_names(&self, name: &ServerName<'_>) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(&self.certificate)?;
        verify_server_name(&parsed, name)
    }

    /// Whether a common name is `name`, and counts: `beside` alternative names, or only without those of its kind.
    fn has_common_name(&self, name: &ServerName<'_>, beside: bool) -> bool {
        let (has_host, has_address) = self.content.has_alternative_names();
        let is_address = matches!(name, ServerName::IpAddress(_));
        if !beside && (has_host || is_address && has_address) {
            return false;
        }
        let is_this = |common: &&[u8]| is_called(&name.to_str(), is_address, common);
        self.content.common_names().iter().any(is_this)
    }
}

fn malformed(error: MalformedCertificate) -> CertificateError {
    CertificateError::Other(OtherError(Arc::new(error)))
}

/// Whether `common`, a common name, is `name`. An asterisk may take the place of the first label before two
/// others at least.
fn is_called(name: &str, is_address: bool, common: &[u8]) -> bool {
    if name.as_bytes().eq_ignore_ascii_case(common) {
        return !name.is_empty();
    }
    let Some(domain) = common.strip_prefix(b"*.") else {
        return false;
    };
    let (label, rest) = name.split_once('.').unwrap_or_default();
    !is_address
        && !label.is_empty()
        && domain.contains(&b'.')
        && rest.as_bytes().eq_ignore_ascii_case(domain)
}

fn check_dates((first, last): (Duration, Duration), now: UnixTime) -> Result<(), Error> {
    if now.as_secs() < first.as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > last.as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn is_about_name(verdict: &Result<(), Error>) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(
        verdict,
        Err(Error::InvalidCertificate(
            NotValidForName | NotValidForNameContext { .. }
        ))
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check != Check::Nothing {
            let server = Server::read(end_entity)?;
            self.check_issuer(&server, intermediates, now)?;
            if self.check != Check::Chain {
                self.check_name(server, intermediates, server_name, now)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.check == Check::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let server = Server::read(cert)?;
        verify_tls12_signature(message, &server.certificate, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.check == Check::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let server = Server::read(cert)?;
        verify_tls13_signature(message, &server.certificate, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies the signature of an adapted certificate over the original, and any other as it is.
#[derive(Debug)]
struct OfOriginal<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    adapted: &'a Adapted<'a>,
}

impl SignatureVerificationAlgorithm for OfOriginal<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let signed = if message == self.adapted.signed {
            self.adapted.original
        } else {
            message
        };
        self.algorithm
            .verify_signature(public_key, signed, signature)
    }
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}
