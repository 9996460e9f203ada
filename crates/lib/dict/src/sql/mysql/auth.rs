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
}

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
    if password.is_empty() {
        return match plugin {
            AuthPlugin::MysqlClearPassword => Ok(vec![0]),
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
    let mut was_switched = false;
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
                packets.write(&proof)?;
            }
            // caching_sha2_password: the server knows the password already.
            [1, 3] if plugin == AuthPlugin::CachingSha2Password => {}
            // It wants the password itself.
            [1, 4] if plugin == AuthPlugin::CachingSha2Password => {
                let password = [secret.password, &[0]].concat();
                if secret.is_private {
                    packets.write(&password)?;
                } else {
                    packets.write(&[2])?;
                    let key = packets.read(LONGEST)?;
                    let key = key.get(1..).unwrap_or_default();
                    let sealed = seal(&password, &nonce, key).ok_or(PacketError::Malformed)?;
                    packets.write(&sealed)?;
                }
            }
            _ => return Err(PacketError::Malformed),
        }
    }
}

/// The password for the eyes of the owner of `key` (PEM) only.
fn seal(password: &[u8], nonce: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let nonce = nonce.get(..20)?;
    let mixed: Vec<u8> = password
        .iter()
        .zip(nonce.iter().cycle())
        .map(|(letter, noise)| letter ^ noise)
        .collect();
    let key = SubjectPublicKeyInfoDer::from_pem_slice(key).ok()?;
    let key = PublicEncryptingKey::from_der(key.as_ref()).ok()?;
    let key = OaepPublicEncryptingKey::new(key).ok()?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let sealed = key.encrypt(&OAEP_SHA1_MGF1SHA1, &mixed, &mut sealed, None);
    sealed.ok().map(|sealed| sealed.to_vec())
}
