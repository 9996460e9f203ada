//! SCRAM-SHA-1 and SCRAM-SHA-256: both sides prove that they know the password, and nobody tells it.
//!
//! Only texts go in and come out. Source: RFC 5802, RFC 7677, and what MongoDB's authentication
//! specification says about passwords and rounds.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use std::num::NonZeroU32;

/// Fewer rounds would give the password away, more would cost us time and nothing else.
const ROUNDS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
const NONCE_BYTES: usize = 24;

/// Why the proof failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// A message of the server is not as it should be.
    #[error("invalid SCRAM message of the server")]
    Malformed,
    /// The server's `e=`, or a proof that is wrong.
    #[error("the server did not prove that it knows the password")]
    NoProof,
    /// Too few or too many.
    #[error("invalid SCRAM message of the server (iteration count)")]
    Rounds,
    /// RFC 4013 forbids a character of it.
    #[error("the password has characters that are not allowed")]
    Password,
    /// The system gives none.
    #[error("no random numbers")]
    Random,
}

/// The hash that a mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mechanism {
    Sha1,
    Sha256,
}

impl Mechanism {
    /// The mechanism of this name, if it is one of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// As both sides write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    pub(super) fn sign(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text)
    }

    /// The password as the mechanism wants it.
    pub(super) fn prepare(self, user: &str, password: &str) -> Result<String, ScramError> {
        match self {
            // MongoDB's own first hash, from the time before SCRAM.
            Self::Sha1 => {
                let digest = Md5::digest(format!("{user}:mongo:{password}"));
                Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Self::Sha256 => match stringprep::saslprep(password) {
                Ok(password) => Ok(password.into_owned()),
                Err(_) => Err(ScramError::Password),
            },
        }
    }

    /// The password after all its rounds.
    pub(super) fn salted(self, password: &str, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// The client's side before it knows what the server asks for.
pub(super) struct Scram {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    /// Our first message without its header.
    bare: String,
}

/// The client's side when only the server's proof is missing.
pub(super) struct Proof {
    /// Our last message.
    message: String,
    /// What the server has to say.
    signature: hmac::Tag,
}

impl Scram {
    /// Begins with a new nonce.
    pub(super) fn new(
        mechanism: Mechanism,
        user: &str,
        password: &str,
    ) -> Result<Self, ScramError> {
        let mut nonce = [0; NONCE_BYTES];
        if !cfg!(fuzzing) {
            rand::fill(&mut nonce).map_err(|_| ScramError::Random)?;
        }
        Self::with_nonce(mechanism, user, password, STANDARD.encode(nonce))
    }

    fn with_nonce(
        mechanism: Mechanism,
        user: &str,
        password: &str,
        nonce: String,
    ) -> Result<Self, ScramError> {
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Ok(Self {
            mechanism,
            password: mechanism.prepare(user, password)?,
            bare: format!("n={name},r={nonce}"),
            nonce,
        })
    }

    /// The first message. It claims no channel binding, which MongoDB does not have.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message.
    pub(super) fn answer(self, first: &str) -> Result<Proof, ScramError> {
        let mut fields = first.split(',');
        let mut field = |name: &str| {
            let text = fields.next().and_then(|field| field.strip_prefix(name));
            text.ok_or(ScramError::Malformed)
        };
        let nonce = field("r=")?;
        let is_longer = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !is_longer {
            return Err(ScramError::Malformed);
        }
        let salt = STANDARD.decode(field("s=")?);
        let salt = salt.map_err(|_| ScramError::Malformed)?;
        let rounds: u32 = field("i=")?.parse().map_err(|_| ScramError::Rounds)?;
        let rounds = NonZeroU32::new(rounds)
            .filter(|rounds| ROUNDS.contains(&rounds.get()))
            .ok_or(ScramError::Rounds)?;

        let mechanism = self.mechanism;
        let salted = mechanism.salted(&self.password, &salt, rounds);
        let client_key = mechanism.sign(&salted, b"Client Key");
        let server_key = mechanism.sign(&salted, b"Server Key");
        let stored_key = digest::digest(mechanism.digest(), client_key.as_ref());
        // `biws` is the header `n,,` once more.
        let unproved = format!("c=biws,r={nonce}");
        let signed = format!("{},{first},{unproved}", self.bare);
        let signature = mechanism.sign(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, sign)| key ^ sign)
            .collect();
        Ok(Proof {
            message: format!("{unproved},p={}", STANDARD.encode(proof)),
            signature: mechanism.sign(server_key.as_ref(), signed.as_bytes()),
        })
    }
}

impl Proof {
    /// Our last message.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Checks the server's last message.
    pub(super) fn check(&self, last: &str) -> Result<(), ScramError> {
        let field = last.split(',').next().unwrap_or_default();
        let proof = field.strip_prefix("v=").ok_or(ScramError::NoProof)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        constant_time::verify_slices_are_equal(&proof, self.signature.as_ref())
            .map_err(|_| ScramError::NoProof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The conversations of the specifications, with the user `user` and the password `pencil`:
    /// mechanism, nonce, the server's first message, our answer, the server's proof.
    const TALKS: [(Mechanism, &str, &str, &str, &str); 2] = [
        (
            Mechanism::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,p=MC2T8BvbmWRckDw8oWl5IVghwCY=",
            "v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=",
        ),
        (
            Mechanism::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    fn begun(mechanism: Mechanism, nonce: &str) -> Scram {
        Scram::with_nonce(mechanism, "user", "pencil", nonce.to_owned()).unwrap()
    }

    #[test]
    fn the_conversations_of_the_specifications_succeed() {
        for (mechanism, nonce, first, answer, proof) in TALKS {
            let scram = begun(mechanism, nonce);
            assert_eq!(scram.first(), format!("n,,n=user,r={nonce}"));
            let ours = scram.answer(first).unwrap();
            assert_eq!(ours.message(), answer);
            assert_eq!(ours.check(proof), Ok(()));
            assert_eq!(ours.check(&format!("{proof},x=1")), Ok(()));
            for bad in [
                "",
                "v=",
                "v=AAAA",
                "e=invalid-proof",
                &proof.replace("v=U", "v=V").replace("v=6", "v=7"),
            ] {
                assert_eq!(ours.check(bad), Err(ScramError::NoProof), "{bad}");
            }
            assert_eq!(ours.check("v=#"), Err(ScramError::Malformed));
        }
    }

    #[test]
    fn messages_that_weaken_the_proof_are_refused() {
        let (mechanism, nonce, ..) = TALKS[1];
        #[rustfmt::skip]
        let cases = [
            ("r=other,s=QQ==,i=4096".to_owned(), ScramError::Malformed),
            (format!("r={nonce},s=QQ==,i=4096"), ScramError::Malformed),
            (format!("m=x,r={nonce}x,s=QQ==,i=4096"), ScramError::Malformed),
            (format!("r={nonce}x,s=#,i=4096"), ScramError::Malformed),
            (format!("r={nonce}x,s=QQ=="), ScramError::Malformed),
            (format!("r={nonce}x,s=QQ==,i=4095"), ScramError::Rounds),
            (format!("r={nonce}x,s=QQ==,i=0"), ScramError::Rounds),
            (format!("r={nonce}x,s=QQ==,i=4294967295"), ScramError::Rounds),
            (format!("r={nonce}x,s=QQ==,i=x"), ScramError::Rounds),
        ];
        for (first, want) in cases {
            let failed = begun(mechanism, nonce).answer(&first).err();
            assert_eq!(failed, Some(want), "{first}");
        }
    }

    #[test]
    fn names_are_escaped_and_passwords_prepared() {
        let scram = Scram::new(Mechanism::Sha256, "a=b,c", "p\u{ad}w\u{2168}").unwrap();
        assert!(scram.first().starts_with("n,,n=a=3Db=2Cc,r="));
        assert_eq!(scram.password, "pwIX");
        let forbidden = Scram::new(Mechanism::Sha256, "a", "\u{7}").err();
        assert_eq!(forbidden, Some(ScramError::Password));
        let scram = begun(Mechanism::Sha1, "n");
        assert_eq!(scram.password, "1c33006ec1ffd90f9cadcbcc0e118200");
        assert_eq!(Mechanism::parse("SCRAM-SHA-1"), Some(Mechanism::Sha1));
        assert_eq!(Mechanism::parse("PLAIN"), None);
    }

    proptest! {
        #[test]
        fn any_server_is_answered_or_refused(first in "\\PC{0,40}", rest in "[a-z=,0-9]{0,30}", last in "\\PC{0,40}") {
            let _ = begun(Mechanism::Sha256, "n").answer(&first);
            if let Ok(proof) = begun(Mechanism::Sha1, "n").answer(&format!("r=n{rest}")) {
                prop_assert!(proof.check(&last).is_err());
            }
        }
    }
}
