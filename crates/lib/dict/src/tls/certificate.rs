//! What rustls does not read of X.509 certificates: version 1, dates, the common name, who may sign.
//!
//! Nothing here is a verdict: whatever is read may come from anybody until a signature is checked.
//!
//! Source: RFC 5280 §4.1 and §4.2, for version 1 without its extensions.

use std::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use rustls::pki_types::{IpAddr, ServerName};

/// `[0]`, the version.
const VERSION: Tag = context(0, true);
/// `[3]`, the extensions.
const EXTENSIONS: Tag = context(3, true);
/// What `[0]` holds in version 3.
const VERSION_3: &[u8] = &[2, 1, 2];

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];

/// The bit `keyCertSign` in the first byte of the key's usage.
const SIGNS_CERTIFICATES: u8 = 0x04;
/// `[2]` and `[7]`, names of hosts and addresses among the alternative names.
const HOST: Tag = context(2, false);
const ADDRESS: Tag = context(7, false);

/// Texts whose bytes are ASCII where they are below 128.
const TEXTS: [Tag; 4] = [
    Tag::Utf8String,
    Tag::PrintableString,
    Tag::Ia5String,
    Tag::TeletexString,
];

const fn context(number: u32, constructed: bool) -> Tag {
    let number = TagNumber(number);
    Tag::ContextSpecific {
        constructed,
        number,
    }
}

/// The certificate is not DER, or not of version 1 or 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed certificate, or one of an unknown version")]
pub(super) struct MalformedCertificate;

impl From<der::Error> for MalformedCertificate {
    fn from(_: der::Error) -> Self {
        Self
    }
}

type Read<T> = Result<T, MalformedCertificate>;

/// A certificate, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Certificate<'a> {
    /// The signed part as a whole.
    signed: &'a [u8],
    /// The algorithm of the signature, and the signature.
    signature: [&'a [u8]; 2],
    is_version_1: bool,
    /// The elements of the signed part between the version and the extensions.
    fields: Vec<&'a [u8]>,
    not_before: Duration,
    not_after: Duration,
    subject: AnyRef<'a>,
    extensions: Vec<Extension<'a>>,
}

#[derive(Debug, Clone)]
struct Extension<'a> {
    whole: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Read<Self> {
        let (signed, signature) = AnyRef::from_der(bytes)?.sequence(|file| {
            let signed = file.tlv_bytes()?;
            Read::Ok((signed, [file.tlv_bytes()?, file.tlv_bytes()?]))
        })?;
        AnyRef::from_der(signed)?.sequence(|part| {
            let is_version_1 = Tag::peek(part)? != VERSION;
            if !is_version_1 && AnyRef::decode(part)?.value() != VERSION_3 {
                return Err(MalformedCertificate);
            }
            // Serial number, algorithm, issuer, dates, subject, key.
            let mut fields = Vec::with_capacity(6);
            for _ in 0..6 {
                fields.push(part.tlv_bytes()?);
            }
            let [_, _, _, dates, subject, _] = fields[..] else {
                return Err(MalformedCertificate);
            };
            let (not_before, not_after) = AnyRef::from_der(dates)?
                .sequence(|dates| Read::Ok((time(dates)?, time(dates)?)))?;
            Ok(Self {
                signed,
                signature,
                is_version_1,
                not_before,
                not_after,
                subject: AnyRef::from_der(subject)?,
                fields,
                // Version 1 has none; what follows the key makes it malformed.
                extensions: if is_version_1 || part.is_finished() {
                    Vec::new()
                } else {
                    extensions(AnyRef::decode(part)?)?
                },
            })
        })
    }

    /// The first and last second (since 1970) of its life.
    pub(super) fn dates(&self) -> (Duration, Duration) {
        (self.not_before, self.not_after)
    }

    /// The public key, with its algorithm.
    pub(super) fn key(&self) -> &'a [u8] {
        self.fields.last().copied().unwrap_or_default()
    }

    /// What its issuer signed.
    #[cfg(test)]
    pub(super) fn signed(&self) -> &'a [u8] {
        self.signed
    }

    fn extension(&self, name: &[u8]) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|one| one.name == name)
    }

    /// Whether it says of itself that it is an authority's.
    fn is_authority(&self) -> bool {
        // cA, if it is there, is the first of the constraints, and DER knows one way to say "true".
        self.extension(BASIC_CONSTRAINTS)
            .and_then(|one| AnyRef::from_der(one.value).ok())
            .is_some_and(|constraints| constraints.value().starts_with(&[1, 1, 0xff]))
    }

    /// Whether it may sign others when it is trusted: it has to be an authority's, or must not say what it is,
    /// and its key must not be for other uses only.
    pub(super) fn may_sign(&self) -> bool {
        let signs = |usage: &Extension<'_>| {
            // A bit string: the number of unused bits, then the bits.
            let bits = AnyRef::from_der(usage.value).ok();
            let bits = bits.and_then(|bits| bits.value().get(1).copied());
            bits.is_some_and(|bits| bits & SIGNS_CERTIFICATES != 0)
        };
        self.extension(KEY_USAGE).is_none_or(signs)
            && (self.extension(BASIC_CONSTRAINTS).is_none() || self.is_authority())
    }

    /// Whether its alternative names have a host's, and whether they have an address. Names that cannot be
    /// read may be both.
    pub(super) fn has_alternative_names(&self) -> (bool, bool) {
        let Some(names) = self.extension(ALTERNATIVE_NAMES) else {
            return (false, false);
        };
        let tags = AnyRef::from_der(names.value).and_then(|names| {
            elements(names.value())?
                .iter()
                .map(|name| Ok(AnyRef::from_der(name)?.tag()))
                .collect::<der::Result<Vec<_>>>()
        });
        match tags {
            Ok(tags) => (tags.contains(&HOST), tags.contains(&ADDRESS)),
            Err(_) => (true, true),
        }
    }

    /// The common names of the subject that are texts of bytes; none when the subject cannot be read.
    pub(super) fn common_names(&self) -> Vec<&'a [u8]> {
        self.read_common_names().unwrap_or_default()
    }

    fn read_common_names(&self) -> der::Result<Vec<&'a [u8]>> {
        let mut found = Vec::new();
        for set in elements(self.subject.value())? {
            for attribute in elements(AnyRef::from_der(set)?.value())? {
                let parts = elements(AnyRef::from_der(attribute)?.value())?;
                if let [name, value] = parts[..]
                    && AnyRef::from_der(name)?.value() == COMMON_NAME
                {
                    found.push(AnyRef::from_der(value)?);
                }
            }
        }
        found.retain(|name| TEXTS.contains(&name.tag()));
        Ok(found.into_iter().map(AnyRef::value).collect())
    }

    /// The certificate as rustls takes it from a server: of version 3, without a word about being an
    /// authority's, and with `name` for its only alternative name when there is one. `None` when it is so already.
    pub(super) fn adapted(&self, name: Option<&ServerName<'_>>) -> Read<Option<Adapted<'a>>> {
        if !self.is_version_1 && !self.is_authority() && name.is_none() {
            return Ok(None);
        }
        let names = name.map(alternative_name).transpose()?;
        let is_kept = |one: &&Extension<'_>| {
            one.name != BASIC_CONSTRAINTS && (names.is_none() || one.name != ALTERNATIVE_NAMES)
        };
        let kept = self.extensions.iter().filter(is_kept).map(|one| one.whole);
        let extensions: Vec<_> = kept.chain(names.as_deref()).collect();
        let mut part = wrapped(VERSION, &[VERSION_3])?;
        part.extend(self.fields.concat());
        if !extensions.is_empty() {
            let extensions = wrapped(Tag::Sequence, &extensions)?;
            part.extend(wrapped(EXTENSIONS, &[&extensions])?);
        }
        let signed = wrapped(Tag::Sequence, &[&part])?;
        let [algorithm, signature] = self.signature;
        Ok(Some(Adapted {
            certificate: wrapped(Tag::Sequence, &[&signed, algorithm, signature])?,
            signed,
            original: self.signed,
        }))
    }
}

/// A certificate that was changed so that rustls takes it. The signature is still that of the original.
#[derive(Debug)]
pub(super) struct Adapted<'a> {
    pub(super) certificate: Vec<u8>,
    /// The part of it that ought to be signed.
    pub(super) signed: Vec<u8>,
    /// What its issuer signed instead.
    pub(super) original: &'a [u8],
}

fn wrapped(tag: Tag, parts: &[&[u8]]) -> Read<Vec<u8>> {
    Ok(AnyRef::new(tag, &parts.concat())?.to_der()?)
}

/// The extension that says that a certificate is for `name`.
fn alternative_name(name: &ServerName<'_>) -> Read<Vec<u8>> {
    let name = match name {
        ServerName::DnsName(host) => wrapped(HOST, &[host.as_ref().as_bytes()]),
        ServerName::IpAddress(IpAddr::V4(address)) => wrapped(ADDRESS, &[address.as_ref()]),
        ServerName::IpAddress(IpAddr::V6(address)) => wrapped(ADDRESS, &[address.as_ref()]),
        _ => Err(MalformedCertificate),
    }?;
    let value = wrapped(Tag::OctetString, &[&wrapped(Tag::Sequence, &[&name])?])?;
    let kind = wrapped(Tag::ObjectIdentifier, &[ALTERNATIVE_NAMES])?;
    wrapped(Tag::Sequence, &[&kind, &value])
}

/// The elements of a sequence or set, each as a whole.
fn elements(content: &[u8]) -> der::Result<Vec<&[u8]>> {
    let mut reader = SliceReader::new(content)?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        all.push(reader.tlv_bytes()?);
    }
    Ok(all)
}

/// Seconds since 1970.
fn time(dates: &mut SliceReader<'_>) -> Read<Duration> {
    let time = AnyRef::decode(dates)?;
    Ok(match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    })
}

fn extensions(tagged: AnyRef<'_>) -> Read<Vec<Extension<'_>>> {
    if tagged.tag() != EXTENSIONS {
        return Err(MalformedCertificate);
    }
    let all = AnyRef::from_der(tagged.value())?;
    let read = |whole| {
        // The name, whether it is critical, and the value.
        let parts = elements(AnyRef::from_der(whole)?.value())?;
        let [name, .., value] = parts[..] else {
            return Err(MalformedCertificate);
        };
        Ok(Extension {
            whole,
            name: AnyRef::from_der(name)?.value(),
            value: AnyRef::from_der(value)?.value(),
        })
    };
    elements(all.value())?.into_iter().map(read).collect()
}
