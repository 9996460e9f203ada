//! Proofs of the password, in the methods of MySQL and MariaDB.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use mysql_common::packets::AuthPlugin;
use mysql_common::scramble::{create_response_for_ed25519, scramble_native, scramble_sha256};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::packets::{PacketError, Packets, complaint};

/// A packet of the login is never longer.
const LONGEST: usize = 64 * 1024;

/// What the proof is made of.
pub(super) struct Secret<'a> {
    /// Without the NUL at the end.
    pub(super) password: &'a [u8],
    /// Nobody listens on the way: encrypted, or a local socket.
    pub(super) is_private: bool,
    /// Encrypted; to `sha256_password` a local socket is as public as any line.
    pub(super) is_encrypted: bool,
}

/// The method of MySQL 5.6 to 9 whose passwords are always sent, encrypted one way or the other.
const SHA256: &[u8] = b"sha256_password";
/// "Your public key, please", in two methods.
const SHA256_WANTS_KEY: u8 = 1;
const CACHING_SHA2_WANTS_KEY: u8 = 2;

/// The first proof, in the method that the server prefers or, where we cannot, in the oldest.
pub(super) fn first<'a>(offered: Option<AuthPlugin<'a>>) -> AuthPlugin<'a> {
    match offered {
        Some(plugin @ (AuthPlugin::CachingSha2Password | AuthPlugin::Ed25519)) => plugin,
        _ => AuthPlugin::MysqlNativePassword,
    }
}

/// The answer to the server's `nonce`; `Err` with the method's name when it is not known here.
pub(super) fn proof(
    plugin: &AuthPlugin<'_>,
    secret: &Secret<'_>,
    nonce: &[u8],
) -> Result<Vec<u8>, PacketError> {
    let password = secret.password;
    let unknown = || {
        let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
        PacketError::Server(format!("Authentication plugin '{name}' cannot be loaded"))
    };
    let is_sha256 = matches!(plugin, AuthPlugin::Other(name) if name.as_ref() == SHA256);
    if password.is_empty() {
        return match plugin {
            AuthPlugin::MysqlClearPassword => Ok(vec![0]),
            AuthPlugin::Other(_) if is_sha256 => Ok(vec![0]),
            AuthPlugin::Other(_) | AuthPlugin::MariadbParsec { .. } => Err(unknown()),
            _ => Ok(Vec::new()),
        };
    }
    // A nonce is 20 bytes and a NUL, which does not belong to it.
    let short = nonce.get(..20).unwrap_or(nonce);
    match plugin {
        AuthPlugin::MysqlNativePassword => scramble_native(short, password).map(Vec::from),
        AuthPlugin::CachingSha2Password => scramble_sha256(short, password).map(Vec::from),
        AuthPlugin::Ed25519 => {
            let nonce = nonce.get(..32).unwrap_or(nonce);
            Some(create_response_for_ed25519(password, nonce).to_vec())
        }
        AuthPlugin::MysqlClearPassword if secret.is_private => Some([password, &[0]].concat()),
        AuthPlugin::Other(_) if is_sha256 && secret.is_encrypted => Some([password, &[0]].concat()),
        AuthPlugin::Other(_) if is_sha256 => Some(vec![SHA256_WANTS_KEY]),
        _ => None,
    }
    .ok_or_else(unknown)
}

/// Goes on until the server lets us in or says why not.
pub(super) fn finish<'a>(
    packets: &mut Packets,
    secret: &Secret<'_>,
    mut plugin: AuthPlugin<'a>,
    mut nonce: Vec<u8>,
) -> Result<(), PacketError> {
    let (mut was_switched, mut waits_for_key) = (false, false);
    loop {
        let packet = packets.read(LONGEST)?;
        match packet.as_slice() {
            [0, ..] => return packets.take_ok(&packet).ok_or(PacketError::Malformed),
            [0xff, ..] => return Err(complaint(&packet)),
            // Another method; a server that changes its mind for ever is none.
            [0xfe, rest @ ..] if !was_switched && !rest.is_empty() => {
                was_switched = true;
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.ok_or(PacketError::Malformed)?;
                plugin = AuthPlugin::from_bytes(rest.get(..end).unwrap_or_default()).into_owned();
                nonce = rest.get(end + 1..).unwrap_or_default().to_vec();
                let proof = proof(&plugin, secret, &nonce)?;
                waits_for_key = proof == [SHA256_WANTS_KEY];
                packets.write(&proof)?;
            }
            // caching_sha2_password: the server knows the password already.
            [1, 3] if plugin == AuthPlugin::CachingSha2Password => {}
            // It wants the password itself.
            [1, 4] if plugin == AuthPlugin::CachingSha2Password => {
                if secret.is_private {
                    packets.write(&[secret.password, &[0]].concat())?;
                } else {
                    packets.write(&[CACHING_SHA2_WANTS_KEY])?;
                    let key = packets.read(LONGEST)?;
                    let key = key.get(1..).unwrap_or_default();
                    packets.write(&seal(secret.password, &nonce, key)?)?;
                }
            }
            // sha256_password: the key that was asked for.
            [1, key @ ..] if waits_for_key => {
                waits_for_key = false;
                packets.write(&seal(secret.password, &nonce, key)?)?;
            }
            _ => return Err(PacketError::Malformed),
        }
    }
}

/// The password for the eyes of the owner of `key` (PEM) only.
fn seal(password: &[u8], nonce: &[u8], key: &[u8]) -> Result<Vec<u8>, PacketError> {
    let sealed = || {
        let nonce = nonce.get(..20)?;
        let letters = password.iter().chain([&0]);
        let mixed: Vec<u8> = letters
            .zip(nonce.iter().cycle())
            .map(|(letter, noise)| letter ^ noise)
            .collect();
        let key = SubjectPublicKeyInfoDer::from_pem_slice(key).ok()?;
        let key = PublicEncryptingKey::from_der(key.as_ref()).ok()?;
        let key = OaepPublicEncryptingKey::new(key).ok()?;
        let mut sealed = vec![0; key.ciphertext_size()];
        let sealed = key.encrypt(&OAEP_SHA1_MGF1SHA1, &mixed, &mut sealed, None);
        sealed.ok().map(|sealed| sealed.to_vec())
    };
    sealed().ok_or(PacketError::Malformed)
}
