//! The channel binding `tls-server-end-point`: proves that both sides of a login see the same certificate.
//!
//! Source: RFC 5929 §4.1; of the certificate only the name of its signature's hash is read.

use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512, digest};

/// The hash of `certificate` (DER) that both sides use; `None` when RFC 5929 has none for its signature.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = digest(signature_hash(certificate)?, certificate);
    Some(hash.as_ref().to_vec())
}

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
/// `[0]`, constructed.
const FIRST: u8 = 0xa0;

/// 1.2.840.113549.1.1, of RSA; the last number names the hash.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
/// 1.2.840.10045.4.3, of ECDSA with newer hashes.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
/// 1.2.840.10045.4.1, ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
/// 2.16.840.1.101.3.4.2, the newer hashes themselves.
const HASHES: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];

fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_, after_signed_part) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(after_signed_part, SEQUENCE)?;
    let (name, parameters) = element(algorithm, OBJECT)?;
    if name == ECDSA_SHA1 {
        return Some(&SHA256);
    }
    match name.split_last()? {
        // SHA-256 takes the place of MD5 and SHA-1.
        (4 | 5 | 11, RSA) | (2, ECDSA) => Some(&SHA256),
        (12, RSA) | (3, ECDSA) => Some(&SHA384),
        (13, RSA) | (4, ECDSA) => Some(&SHA512),
        (14, RSA) | (1, ECDSA) => Some(&SHA224),
        (10, RSA) => pss_hash(parameters),
        _ => None,
    }
}

/// The hash in the parameters of an RSASSA-PSS signature (RFC 4055 §3.1); without one it is SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(parameters, FIRST) else {
        return Some(&SHA256);
    };
    let (hash, _) = element(hash, SEQUENCE)?;
    match element(hash, OBJECT)?.0.split_last()? {
        (1, HASHES) => Some(&SHA256),
        (2, HASHES) => Some(&SHA384),
        (3, HASHES) => Some(&SHA512),
        (4, HASHES) => Some(&SHA224),
        _ => None,
    }
}

/// The content of the element that `der` begins with, if its tag is `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).unwrap();
        let mut out = vec![tag];
        if length > 0x7f {
            out.push(0x81);
        }
        out.push(length);
        out.extend(content);
        out
    }

    fn certificate(name: &[u8], parameters: &[u8]) -> Vec<u8> {
        let signed = der(SEQUENCE, &[&[0; 90]]);
        let algorithm = der(SEQUENCE, &[&der(OBJECT, &[name]), parameters]);
        der(SEQUENCE, &[&signed, &algorithm, &der(3, &[&[0; 20]])])
    }

    #[test]
    fn the_hash_is_that_of_the_signature_or_a_better_one() {
        let pss = |hash: &[u8]| {
            let hash = der(SEQUENCE, &[&der(OBJECT, &[hash])]);
            der(SEQUENCE, &[&der(FIRST, &[&hash])])
        };
        let none = der(SEQUENCE, &[]);
        #[rustfmt::skip]
        let cases = [
            (RSA, 4, &[][..], Some(32)), (RSA, 5, b"\x05\0", Some(32)), (RSA, 11, b"", Some(32)), (RSA, 12, b"", Some(48)),
            (RSA, 13, b"", Some(64)), (RSA, 14, b"", Some(28)), (RSA, 10, &none, Some(32)), (RSA, 1, b"", None),
            (RSA, 10, &pss(&[HASHES, &[2]].concat()), Some(48)), (RSA, 10, &pss(&[HASHES, &[9]].concat()), None),
            (ECDSA, 2, b"", Some(32)), (ECDSA, 4, b"", Some(64)), (&[0x2b, 0x65][..], 0x70, b"", None),
        ];
        for (family, last, parameters, want) in cases {
            let certificate = certificate(&[family, &[last]].concat(), parameters);
            let got = end_point(&certificate).map(|hash| hash.len());
            assert_eq!(got, want, "{family:?} {last}");
        }
        assert_eq!(
            end_point(&certificate(ECDSA_SHA1, b"")).map(|hash| hash.len()),
            Some(32)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_certificate_is_read(mut bytes: Vec<u8>, at in 0_usize..120, value: u8) {
            let _ = end_point(&bytes);
            bytes = certificate(&[RSA, &[11]].concat(), b"");
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = end_point(&bytes);
        }
    }
}
