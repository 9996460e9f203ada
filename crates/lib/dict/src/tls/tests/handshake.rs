//! Whole handshakes, in memory: servers prove that they own what they show.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};

use super::make::*;
use super::{Check, NAME, Verifier, host, modern, verifier};

/// Shakes hands in memory: the server shows `shown` and signs with `key`. Gives the first error of either.
fn shake_hands(
    verifier: Verifier,
    shown: &Made,
    key: &Key,
    version: &'static SupportedProtocolVersion,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let identity = CertifiedKey::new(vec![shown.certificate.clone()], key.0.clone());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let mut client = Connection::from(ClientConnection::new(Arc::new(client), host())?);
    let mut server = Connection::from(ServerConnection::new(Arc::new(server))?);
    while client.is_handshaking() || server.is_handshaking() {
        send(&mut client, &mut server)?;
        send(&mut server, &mut client)?;
    }
    client.writer().write_all(b"hello").unwrap();
    send(&mut client, &mut server)?;
    let mut got = [0; 5];
    server.reader().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    Ok(())
}

fn send(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn servers_have_to_own_their_certificates() {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let dates = (now - YEAR, now + YEAR);
    let root = version_1("root").dated(dates).alone();
    for plan in [
        version_1(NAME),
        modern(),
        version_3(NAME, &[authority(true)]),
    ] {
        let plan = plan.dated(dates);
        for (key, stranger) in [
            (Key::new(), Key::new()),
            (Key::rsa(), Key::new()),
            (Key::new(), Key::rsa()),
        ] {
            let server = plan.made(&key, Some(&root));
            for version in [&version::TLS12, &version::TLS13] {
                for check in [Check::Chain, Check::ChainAndName, Check::ChainAndAnyName] {
                    let verifier = || verifier(check, &[&root]);
                    let done = shake_hands(verifier(), &server, &key, version);
                    assert_eq!(done, Ok(()), "{check:?} {version:?}");
                    let stolen = shake_hands(verifier(), &server, &stranger, version);
                    assert!(stolen.is_err(), "{check:?} {version:?}");
                }
                let anything = verifier(Check::Nothing, &[]);
                assert_eq!(shake_hands(anything, &server, &key, version), Ok(()));
            }
        }
    }
}
