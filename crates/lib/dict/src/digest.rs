//! `key_digest`: keys that a server would not take as they are become digests.

use aws_lc_rs::digest;
use bstr::BString;
use std::fmt::Write as _;

use crate::OpenError;

/// A message digest by its OpenSSL name.
pub(crate) struct Digest {
    algorithm: &'static digest::Algorithm,
}

impl Digest {
    /// The digest `name` of the table configuration `source`; an empty name is none.
    pub(crate) fn open(source: &str, name: &str) -> Result<Option<Self>, OpenError> {
        let algorithm = match name.to_ascii_lowercase().as_str() {
            "" => return Ok(None),
            "sha1" | "sha-1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha224" | "sha2-224" | "sha-224" => &digest::SHA224,
            "sha256" | "sha2-256" | "sha-256" => &digest::SHA256,
            "sha384" | "sha2-384" | "sha-384" => &digest::SHA384,
            "sha512" | "sha2-512" | "sha-512" => &digest::SHA512,
            "sha512-256" | "sha2-512/256" | "sha-512/256" => &digest::SHA512_256,
            "sha3-256" => &digest::SHA3_256,
            "sha3-384" => &digest::SHA3_384,
            "sha3-512" => &digest::SHA3_512,
            _ => {
                return Err(OpenError(format!(
                    "{source}: unsupported digest: key_digest = {name}"
                )));
            }
        };
        Ok(Some(Self { algorithm }))
    }

    /// The digest of `text` in lower-case hexadecimal digits.
    pub(crate) fn hex(&self, text: &[u8]) -> BString {
        let value = digest::digest(self.algorithm, text);
        let mut hex = String::new();
        for byte in value.as_ref() {
            let _ = write!(hex, "{byte:02x}");
        }
        BString::from(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_named_algorithm() {
        let hex = |name: &str| Digest::open("/t", name).unwrap().unwrap().hex(b"abc");
        assert_eq!(
            hex("SHA256"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex("sha1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(Digest::open("/t", "").unwrap().is_none());
        assert!(Digest::open("/t", "md4").is_err());
    }
}
