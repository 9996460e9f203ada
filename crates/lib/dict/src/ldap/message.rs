//! LDAP messages: requests as bytes, replies as values (RFC 4511 §4).

use bstr::{BString, ByteSlice};
use std::io::{self, BufRead, Read};

use super::ber::{BerError, Reader, length_bytes, length_value, put, put_number, put_with, tag};
use super::url::Scope;

/// The longest message that is read. An entry of a large group has some megabytes.
const LONGEST: usize = 16 * 1024 * 1024;
/// Name of the request for TLS (RFC 4511 §4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    Simple(BString),
    Sasl {
        mechanism: &'static str,
        response: Vec<u8>,
    },
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) base: BString,
    pub(super) scope: Scope,
    /// When aliases are followed, in the numbers of the protocol.
    pub(super) dereference: i32,
    /// Most entries; 0 is no limit.
    pub(super) size_limit: i32,
    /// Seconds.
    pub(super) time_limit: i32,
    /// The filter in BER.
    pub(super) filter: Vec<u8>,
    pub(super) attributes: Vec<BString>,
}

/// A request as it goes over the wire.
fn message(id: i32, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_with(&mut out, tag::SEQUENCE, |out| {
        put_number(out, tag::INTEGER, id);
        fill(out);
    });
    out
}

/// A bind request.
pub(super) fn bind(id: i32, version: i32, dn: &[u8], credentials: &Credentials) -> Vec<u8> {
    message(id, |out| {
        put_with(out, 0x60, |out| {
            put_number(out, tag::INTEGER, version);
            put(out, tag::OCTETS, dn);
            match credentials {
                Credentials::Simple(password) => put(out, 0x80, password),
                Credentials::Sasl {
                    mechanism,
                    response,
                } => put_with(out, 0xa3, |out| {
                    put(out, tag::OCTETS, mechanism.as_bytes());
                    put(out, tag::OCTETS, response);
                }),
            }
        });
    })
}

/// The end of a session.
pub(super) fn unbind(id: i32) -> Vec<u8> {
    message(id, |out| put(out, 0x42, b""))
}

/// A request for TLS.
pub(super) fn start_tls(id: i32) -> Vec<u8> {
    message(id, |out| {
        put_with(out, 0x77, |out| put(out, 0x80, START_TLS));
    })
}

/// A search request.
pub(super) fn search(id: i32, search: &Search) -> Vec<u8> {
    message(id, |out| {
        put_with(out, 0x63, |out| {
            put(out, tag::OCTETS, &search.base);
            put_number(out, tag::ENUMERATED, search.scope as i32);
            put_number(out, tag::ENUMERATED, search.dereference);
            put_number(out, tag::INTEGER, search.size_limit);
            put_number(out, tag::INTEGER, search.time_limit);
            put(out, tag::BOOLEAN, &[0]);
            out.extend_from_slice(&search.filter);
            put_with(out, tag::SEQUENCE, |out| {
                for attribute in &search.attributes {
                    put(out, tag::OCTETS, attribute);
                }
            });
        });
    })
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] BerError),
}

/// Reads the bytes of one message, without its own tag and length.
pub(super) fn read(input: &mut impl BufRead) -> Result<Vec<u8>, ReadError> {
    let mut head = [0; 2];
    input.read_exact(&mut head)?;
    let [kind, first] = head;
    if kind != tag::SEQUENCE {
        return Err(BerError.into());
    }
    let mut more = [0; 4];
    let more = more
        .get_mut(..length_bytes(first)?)
        .ok_or(ReadError::Malformed(BerError))?;
    input.read_exact(more)?;
    let length = length_value(first, more)?;
    if length > LONGEST {
        return Err(BerError.into());
    }
    // Room grows with what comes, not with what is announced.
    let mut body = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    let count = Read::take(input, limit).read_to_end(&mut body)?;
    if count < length {
        return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(body)
}

/// One attribute of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: BString,
    pub(super) values: Vec<BString>,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: i32,
    /// What the server says about it.
    pub(super) text: BString,
    /// Where else to ask.
    pub(super) referral: Vec<BString>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Bind(Outcome),
    Extended(Outcome),
    Entry(Vec<Attribute>),
    Reference(Vec<BString>),
    Done(Outcome),
    /// Something else, without meaning here.
    Other,
}

/// Takes a message apart: its number, and what it says.
pub(super) fn parse(body: &[u8]) -> Result<(i32, Reply), BerError> {
    let mut reader = Reader::new(body);
    let id = reader.number(tag::INTEGER)?;
    let (kind, contents) = reader.any()?;
    let mut contents = Reader::new(contents);
    let reply = match kind {
        0x61 => Reply::Bind(outcome(&mut contents)?),
        0x78 => Reply::Extended(outcome(&mut contents)?),
        0x65 => Reply::Done(outcome(&mut contents)?),
        0x64 => Reply::Entry(entry(&mut contents)?),
        0x73 => Reply::Reference(texts(&mut contents)?),
        _ => Reply::Other,
    };
    Ok((id, reply))
}

fn outcome(reader: &mut Reader<'_>) -> Result<Outcome, BerError> {
    let code = reader.number(tag::ENUMERATED)?;
    let _matched = reader.expect(tag::OCTETS)?;
    let text = BString::from(reader.expect(tag::OCTETS)?);
    let mut referral = Vec::new();
    while !reader.is_empty() {
        if let (0xa3, contents) = reader.any()? {
            referral = texts(&mut Reader::new(contents))?;
        }
    }
    Ok(Outcome {
        code,
        text,
        referral,
    })
}

fn entry(reader: &mut Reader<'_>) -> Result<Vec<Attribute>, BerError> {
    let _name = reader.expect(tag::OCTETS)?;
    let mut list = Reader::new(reader.expect(tag::SEQUENCE)?);
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = Reader::new(list.expect(tag::SEQUENCE)?);
        let name = BString::from(attribute.expect(tag::OCTETS)?);
        let mut set = Reader::new(attribute.expect(tag::SET)?);
        let values = texts(&mut set)?;
        attributes.push(Attribute { name, values });
    }
    Ok(attributes)
}

fn texts(reader: &mut Reader<'_>) -> Result<Vec<BString>, BerError> {
    let mut texts = Vec::new();
    while !reader.is_empty() {
        texts.push(reader.expect(tag::OCTETS)?.as_bstr().to_owned());
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_those_of_the_standard() {
        // As the OpenLDAP library sends them.
        let simple = Credentials::Simple(BString::from("pw"));
        assert_eq!(
            bind(1, 3, b"cn=a", &simple),
            b"0\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw"
        );
        let external = Credentials::Sasl {
            mechanism: "EXTERNAL",
            response: Vec::new(),
        };
        assert_eq!(
            bind(2, 3, b"", &external),
            b"0\x18\x02\x01\x02\x60\x13\x02\x01\x03\x04\x00\xa3\x0c\x04\x08EXTERNAL\x04\x00"
        );
        assert_eq!(unbind(3), b"0\x05\x02\x01\x03\x42\x00");
        let query = Search {
            base: BString::from("dc=a"),
            scope: Scope::Sub,
            dereference: 0,
            size_limit: 1,
            time_limit: 10,
            filter: b"\x87\x02cn".to_vec(),
            attributes: vec![BString::from("mail")],
        };
        assert_eq!(
            search(4, &query),
            b"0\x26\x02\x01\x04\x63\x21\x04\x04dc=a\x0a\x01\x02\x0a\x01\x00\x02\x01\x01\x02\x01\x0a\
              \x01\x01\x00\x87\x02cn0\x06\x04\x04mail"
        );
    }

    fn reply(id: i32, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        message(id, |out| put_with(out, kind, fill))
    }

    fn read_one(bytes: &[u8]) -> Result<(i32, Reply), BerError> {
        parse(&read(&mut &*bytes).map_err(|_| BerError)?)
    }

    #[test]
    fn replies_are_taken_apart() {
        let done = reply(5, 0x65, |out| {
            put_number(out, tag::ENUMERATED, 10);
            put(out, tag::OCTETS, b"");
            put(out, tag::OCTETS, b"go there");
            put_with(out, 0xa3, |out| put(out, tag::OCTETS, b"ldap://b"));
        });
        let want = Outcome {
            code: 10,
            text: BString::from("go there"),
            referral: vec![BString::from("ldap://b")],
        };
        assert_eq!(read_one(&done), Ok((5, Reply::Done(want))));
        let entry = reply(6, 0x64, |out| {
            put(out, tag::OCTETS, b"cn=a");
            put_with(out, tag::SEQUENCE, |out| {
                put_with(out, tag::SEQUENCE, |out| {
                    put(out, tag::OCTETS, b"mail");
                    put_with(out, tag::SET, |out| {
                        put(out, tag::OCTETS, b"x");
                        put(out, tag::OCTETS, b"y");
                    });
                });
            });
        });
        let want = Attribute {
            name: BString::from("mail"),
            values: vec![BString::from("x"), BString::from("y")],
        };
        assert_eq!(read_one(&entry), Ok((6, Reply::Entry(vec![want]))));
        for end in 0..entry.len() {
            assert!(read_one(&entry[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_read() {
        let mut bytes: &[u8] = b"0\x84\x7f\xff\xff\xff";
        assert!(matches!(read(&mut bytes), Err(ReadError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_message_has_an_answer(
            kind in prop::sample::select(vec![0x61u8, 0x64, 0x65, 0x73, 0x78]),
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = parse(&bytes);
            let whole = reply(1, kind, |out| out.extend_from_slice(&bytes));
            let _ = read_one(&whole);
        }
    }
}
