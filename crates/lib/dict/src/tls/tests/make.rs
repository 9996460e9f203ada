//! Certificates of any kind, right and wrong, made by hand.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use der::Encode;
use der::asn1::{GeneralizedTime, UtcTime};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

/// The moment at which certificates are checked; seconds since 1970.
pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const YEAR: u64 = 365 * 24 * 3600;
/// First and last second.
pub(super) type Dates = (u64, u64);
pub(super) const CURRENT: Dates = (NOW - YEAR, NOW + YEAR);
pub(super) const PAST: Dates = (NOW - 2 * YEAR, NOW - 1);
pub(super) const FUTURE: Dates = (NOW + 1, NOW + YEAR);

const ECDSA_SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
pub(super) const RSA_SHA256: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";

/// An element of DER.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
        long => {
            out.push(0x82);
            out.extend(u16::try_from(long).unwrap().to_be_bytes());
            if long < 0x100 {
                out[1] = 0x81;
                out.remove(2);
            }
        }
    }
    out.extend(content);
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, parts)
}

#[derive(Clone)]
pub(super) struct Key(pub(super) Arc<dyn SigningKey>);

impl Key {
    fn load(pkcs8: &[u8]) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        Self(any_supported_type(&key).unwrap())
    }

    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        Self::load(key.unwrap().as_ref())
    }

    /// The same one every time, because it takes long to find one.
    pub(super) fn rsa() -> Self {
        static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
            key.as_der().unwrap().as_ref().to_vec()
        });
        Self::load(&KEY)
    }

    fn public(&self) -> Vec<u8> {
        self.0.public_key().unwrap().to_vec()
    }

    /// The algorithm and a signature.
    fn sign(&self, message: &[u8]) -> (&'static [u8], Vec<u8>) {
        let schemes = [
            (SignatureScheme::ECDSA_NISTP256_SHA256, ECDSA_SHA256),
            (SignatureScheme::RSA_PKCS1_SHA256, RSA_SHA256),
        ];
        let choice = schemes.iter().find_map(|(scheme, name)| {
            let signer = self.0.choose_scheme(&[*scheme])?;
            Some((*name, signer.sign(message).unwrap()))
        });
        choice.unwrap()
    }
}

/// 2.5.29.`number`
pub(super) fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    sequence(&[&[6, 3, 0x55, 0x1d, number], critical, &element(4, &[value])])
}

/// Basic constraints of an authority, or of none.
pub(super) fn authority(is: bool) -> Vec<u8> {
    let value: &[u8] = if is { b"\x01\x01\xff" } else { b"" };
    extension(19, true, &sequence(&[value]))
}

/// Alternative names: the tag of their kind, and the name.
pub(super) fn names(all: &[(u8, &[u8])]) -> Vec<u8> {
    let all: Vec<_> = all
        .iter()
        .map(|(tag, name)| element(*tag, &[name]))
        .collect();
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    extension(17, false, &sequence(&all))
}

pub(super) const HOST: u8 = 0x82;
pub(super) const ADDRESS: u8 = 0x87;
pub(super) const MAIL: u8 = 0x81;

/// The use of the key: `keyCertSign`, or signatures only.
pub(super) fn usage(signs_certificates: bool) -> Vec<u8> {
    extension(
        15,
        true,
        &[
            3,
            2,
            if signs_certificates { 2 } else { 7 },
            if signs_certificates { 4 } else { 0x80 },
        ],
    )
}

/// Extended: a client's certificate.
pub(super) fn for_clients() -> Vec<u8> {
    extension(
        37,
        false,
        &sequence(&[b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"]),
    )
}

/// A name with these common names.
pub(super) fn subject(common: &[&[u8]]) -> Vec<u8> {
    let sets: Vec<_> = common
        .iter()
        .map(|text| {
            let name = sequence(&[b"\x06\x03\x55\x04\x03", &element(0x0c, &[text])]);
            element(0x31, &[&name])
        })
        .collect();
    let sets: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
    sequence(&sets)
}

/// What goes into a certificate.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) subject: Vec<u8>,
    pub(super) dates: Dates,
    /// `None` leaves the version out, which is version 1; 2 is version 3.
    pub(super) version: Option<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    /// Instead of the algorithm in the signed part.
    pub(super) algorithm: Option<Vec<u8>>,
    /// At the end of the signed part.
    pub(super) appendix: Vec<u8>,
}

/// A certificate of version 1 for `name`.
pub(super) fn version_1(name: &str) -> Plan {
    Plan {
        subject: subject(&[name.as_bytes()]),
        dates: CURRENT,
        version: None,
        extensions: Vec::new(),
        algorithm: None,
        appendix: Vec::new(),
    }
}

pub(super) fn version_3(name: &str, extensions: &[Vec<u8>]) -> Plan {
    Plan {
        version: Some(2),
        extensions: extensions.to_vec(),
        ..version_1(name)
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) key: Key,
    subject: Vec<u8>,
    pub(super) certificate: CertificateDer<'static>,
}

fn time(seconds: u64) -> Vec<u8> {
    let since = Duration::from_secs(seconds);
    // As certificates have it: two digits of the year where they suffice.
    UtcTime::from_unix_duration(since)
        .map_or_else(
            |_| GeneralizedTime::from_unix_duration(since).unwrap().to_der(),
            |time| time.to_der(),
        )
        .unwrap()
}

impl Plan {
    pub(super) fn dated(mut self, dates: Dates) -> Self {
        self.dates = dates;
        self
    }

    /// Signed by itself.
    pub(super) fn alone(&self) -> Made {
        self.made(&Key::new(), None)
    }

    /// Signed by `issuer`.
    pub(super) fn by(&self, issuer: &Made) -> Made {
        self.made(&Key::new(), Some(issuer))
    }

    pub(super) fn made(&self, key: &Key, issuer: Option<&Made>) -> Made {
        let signer = issuer.map_or(key, |issuer| &issuer.key);
        let (algorithm, _) = signer.sign(b"");
        let algorithm = sequence(&[algorithm]);
        let version = self.version.map(|number| element(0xa0, &[&[2, 1, number]]));
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = if extensions.is_empty() {
            Vec::new()
        } else {
            element(0xa3, &[&sequence(&extensions)])
        };
        let signed = sequence(&[
            &version.unwrap_or_default(),
            &[2, 1, 77],
            self.algorithm.as_ref().unwrap_or(&algorithm),
            issuer.map_or(&self.subject, |issuer| &issuer.subject),
            &sequence(&[&time(self.dates.0), &time(self.dates.1)]),
            &self.subject,
            &key.public(),
            &extensions,
            &self.appendix,
        ]);
        let (_, signature) = signer.sign(&signed);
        let file = sequence(&[&signed, &algorithm, &element(3, &[&[0], &signature])]);
        Made {
            key: key.clone(),
            subject: self.subject.clone(),
            certificate: file.into(),
        }
    }
}
