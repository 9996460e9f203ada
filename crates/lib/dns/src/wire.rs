//! DNS messages (RFC 1035 §4, RFC 6891): one question out, one bounded answer in.
//!
//! Every read is checked; a message that cannot be read completely is [`Malformed`]. Compression
//! pointers may only go backwards, so decoding ends.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::record::{Data, Record, Type};

/// Records kept of one answer; the rest is dropped, so that a hostile zone cannot fill memory.
pub(crate) const MAX_RECORDS: usize = 100;
/// Reply size announced with EDNS.
const EDNS_SIZE: u16 = 1232;
const CLASS_IN: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_OPT: u16 = 41;

/// The reply cannot be decoded, or answers another question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Response codes with a meaning here.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u8 = 0;
    pub(crate) const SERVFAIL: u8 = 2;
    pub(crate) const NXDOMAIN: u8 = 3;
    pub(crate) const NOTIMP: u8 = 4;
    pub(crate) const REFUSED: u8 = 5;
}

/// A question and how to ask it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) name: &'a str,
    pub(crate) rtype: Type,
    /// Add an EDNS record, with the DO bit when `dnssec`.
    pub(crate) edns: bool,
    pub(crate) dnssec: bool,
    /// Set AD: "tell me whether you validated".
    pub(crate) ad: bool,
}

/// A decoded reply.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) rcode: u8,
    pub(crate) truncated: bool,
    pub(crate) authenticated: bool,
    /// Records of the answer section whose type is known.
    pub(crate) answers: Vec<Record>,
    /// Seconds that a negative answer may be kept (RFC 2308 §5).
    pub(crate) negative_ttl: Option<u32>,
}

/// Encodes a query; `None` when the name does not fit.
pub(crate) fn encode(id: u16, question: &Question<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&id.to_be_bytes());
    out.push(0x01);
    out.push(if question.ad { 0x20 } else { 0 });
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(question.edns)]);
    for label in question.name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).ok().filter(|len| *len < 64)?);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() > 12 + 255 {
        return None;
    }
    out.extend_from_slice(&question.rtype.code().to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if question.edns {
        out.push(0);
        out.extend_from_slice(&TYPE_OPT.to_be_bytes());
        out.extend_from_slice(&EDNS_SIZE.to_be_bytes());
        out.extend_from_slice(&[0, 0, if question.dnssec { 0x80 } else { 0 }, 0, 0, 0]);
    }
    Some(out)
}

/// Decodes the reply to the query with this `id`.
pub(crate) fn decode(id: u16, question: &Question<'_>, bytes: &[u8]) -> Result<Message, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let reply_id = reader.u16()?;
    let flags = reader.u16()?;
    if reply_id != id || flags & 0x8000 == 0 {
        return Err(Malformed);
    }
    let (questions, answers, authority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.u16()?;
    let mut message = Message {
        rcode: u8::try_from(flags & 15).map_err(|_| Malformed)?,
        truncated: flags & 0x0200 != 0,
        authenticated: flags & 0x0020 != 0,
        ..Message::default()
    };
    for _ in 0..questions {
        let name = reader.name()?;
        let rtype = reader.u16()?;
        reader.u16()?;
        let wanted = question.name.trim_end_matches('.');
        if !name.eq_ignore_ascii_case(wanted) || rtype != question.rtype.code() {
            return Err(Malformed);
        }
    }
    if message.truncated {
        return Ok(message);
    }
    for _ in 0..answers {
        if let Some(record) = reader.record(question.name, message.authenticated)?
            && message.answers.len() < MAX_RECORDS
        {
            message.answers.push(record);
        }
    }
    for _ in 0..authority {
        // Nothing after the answers is needed but the negative time to live.
        let Ok(ttl) = reader.soa_ttl() else { break };
        message.negative_ttl = message.negative_ttl.or(ttl);
    }
    Ok(message)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(Malformed)?;
        let slice = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A domain name as text without the final dot; special bytes are escaped as dn_expand(3) does.
    fn name(&mut self) -> Result<String, Malformed> {
        let mut text = String::new();
        let mut wire_len = 0;
        let mut cursor = self.at;
        let mut lowest = self.at;
        let mut jumped = false;
        loop {
            let mut reader = Reader {
                bytes: self.bytes,
                at: cursor,
            };
            let len = reader.u8()?;
            match len {
                0 => {
                    if !jumped {
                        self.at = reader.at;
                    }
                    return Ok(text);
                }
                1..=63 => {
                    wire_len += usize::from(len) + 1;
                    if wire_len > 254 {
                        return Err(Malformed);
                    }
                    if !text.is_empty() {
                        text.push('.');
                    }
                    push_label(&mut text, reader.take(usize::from(len))?);
                    cursor = reader.at;
                }
                192..=255 => {
                    let target = usize::from(len & 63) << 8 | usize::from(reader.u8()?);
                    if target >= lowest {
                        return Err(Malformed);
                    }
                    if !jumped {
                        self.at = reader.at;
                        jumped = true;
                    }
                    lowest = target;
                    cursor = target;
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Owner, type, class, time to live, and the reader of the content.
    fn header(&mut self) -> Result<(String, u16, u16, u32, Self), Malformed> {
        let (name, rtype, class, ttl) = (self.name()?, self.u16()?, self.u16()?, self.u32()?);
        let len = usize::from(self.u16()?);
        let start = self.at;
        self.take(len)?;
        Ok((
            name,
            rtype,
            class,
            ttl,
            Self {
                bytes: self.bytes.get(..self.at).ok_or(Malformed)?,
                at: start,
            },
        ))
    }

    fn record(&mut self, queried: &str, authenticated: bool) -> Result<Option<Record>, Malformed> {
        let (name, rtype, class, ttl, mut content) = self.header()?;
        let Some(rtype) = Type::from_code(rtype).filter(|_| class == CLASS_IN) else {
            return Ok(None);
        };
        let data = content.data(rtype)?;
        // A time to live with the top bit set means zero (RFC 2181 §8).
        let ttl = if ttl > i32::MAX.unsigned_abs() {
            0
        } else {
            ttl
        };
        Ok(Some(Record {
            queried: queried.to_owned(),
            name,
            ttl,
            authenticated,
            data,
        }))
    }

    fn data(&mut self, rtype: Type) -> Result<Data, Malformed> {
        Ok(match rtype {
            Type::A => Data::A(Ipv4Addr::from(self.array::<4>()?)),
            Type::Aaaa => Data::Aaaa(Ipv6Addr::from(self.array::<16>()?)),
            Type::Ns => Data::Ns(self.name()?),
            Type::Cname => Data::Cname(self.name()?),
            Type::Ptr => Data::Ptr(self.name()?),
            Type::Mx => Data::Mx {
                preference: self.u16()?,
                exchange: self.name()?,
            },
            Type::Srv => Data::Srv {
                priority: self.u16()?,
                weight: self.u16()?,
                port: self.u16()?,
                target: self.name()?,
            },
            Type::Tlsa => Data::Tlsa {
                usage: self.u8()?,
                selector: self.u8()?,
                matching: self.u8()?,
                data: self.bytes.get(self.at..).ok_or(Malformed)?.to_vec(),
            },
            Type::Txt => {
                let mut strings = Vec::new();
                while self.at < self.bytes.len() {
                    let len = usize::from(self.u8()?);
                    strings.push(self.take(len)?.to_vec());
                }
                Data::Txt(strings)
            }
        })
    }

    fn soa_ttl(&mut self) -> Result<Option<u32>, Malformed> {
        let (_, rtype, _, ttl, mut content) = self.header()?;
        if rtype != TYPE_SOA {
            return Ok(None);
        }
        content.name()?;
        content.name()?;
        content.take(16)?;
        Ok(Some(ttl.min(content.u32()?)))
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    for &byte in label {
        match byte {
            b'"' | b'.' | b';' | b'\\' | b'(' | b')' | b'@' | b'$' => {
                text.extend(['\\', char::from(byte)])
            }
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const MX: Question<'_> = Question {
        name: "example.com",
        rtype: Type::Mx,
        edns: false,
        dnssec: false,
        ad: false,
    };

    /// Builds a reply to `query`; each answer is (owner as wire bytes, type, ttl, content).
    pub(crate) fn reply(
        query: &[u8],
        flags: u16,
        answers: &[(&[u8], u16, u32, Vec<u8>)],
    ) -> Vec<u8> {
        let end = query.iter().skip(12).position(|b| *b == 0).unwrap() + 12 + 5;
        let mut out = query[..end].to_vec();
        out[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        out[6..8].copy_from_slice(&u16::try_from(answers.len()).unwrap().to_be_bytes());
        out[8..12].fill(0);
        for (owner, rtype, ttl, content) in answers {
            out.extend_from_slice(owner);
            out.extend_from_slice(&rtype.to_be_bytes());
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&ttl.to_be_bytes());
            out.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
            out.extend_from_slice(content);
        }
        out
    }

    #[test]
    fn a_compressed_answer_is_read() {
        let query = encode(7, &MX).unwrap();
        let bytes = reply(
            &query,
            0x20,
            &[(&[0xc0, 12], 15, 300, b"\0\x0a\x02mx\xc0\x0c".to_vec())],
        );
        let message = decode(7, &MX, &bytes).unwrap();
        assert!(message.authenticated);
        assert_eq!(
            message.answers[0].to_string(),
            "example.com. 300 IN MX 10 mx.example.com."
        );
    }

    #[test]
    fn a_reply_to_another_question_is_refused() {
        let query = encode(7, &MX).unwrap();
        let bytes = reply(&query, 0, &[]);
        assert!(decode(8, &MX, &bytes).is_err());
        assert!(
            decode(
                7,
                &Question {
                    name: "example.org",
                    ..MX
                },
                &bytes
            )
            .is_err()
        );
        assert!(
            decode(
                7,
                &Question {
                    rtype: Type::A,
                    ..MX
                },
                &bytes
            )
            .is_err()
        );
        assert!(decode(7, &MX, &query).is_err(), "a query is no reply");
    }

    #[test]
    fn short_content_is_malformed() {
        let query = encode(7, &MX).unwrap();
        for (rtype, content) in [
            (15_u16, b"\0".to_vec()),
            (33, b"\0\0\0\0\0".to_vec()),
            (52, b"\x03".to_vec()),
            (1, vec![1, 2, 3]),
        ] {
            let bytes = reply(&query, 0, &[(&[0xc0, 12], rtype, 1, content)]);
            assert_eq!(
                decode(7, &MX, &bytes).unwrap_err(),
                Malformed,
                "type {rtype}"
            );
        }
    }

    #[test]
    fn a_pointer_loop_ends() {
        let query = encode(7, &MX).unwrap();
        let at = u8::try_from(reply(&query, 0, &[]).len()).unwrap();
        let bytes = reply(&query, 0, &[(&[0xc0, at], 15, 1, vec![])]);
        assert!(decode(7, &MX, &bytes).is_err());
    }

    #[test]
    fn strange_bytes_in_labels_are_escaped() {
        let query = encode(7, &MX).unwrap();
        let bytes = reply(
            &query,
            0,
            &[(&[0xc0, 12], 15, 1, b"\0\x01\x04a.\x07\xff\0".to_vec())],
        );
        let message = decode(7, &MX, &bytes).unwrap();
        assert_eq!(message.answers[0].data.domain(), Some("a\\.\\007\\255"));
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0..60_usize, value: u8) {
            let _ = decode(7, &MX, &bytes);
            let query = encode(7, &MX).unwrap();
            let mut good = reply(&query, 0, &[(&[0xc0, 12], 15, 300, b"\0\x0a\x02mx\xc0\x0c".to_vec())]);
            if let Some(byte) = good.get_mut(flip) { *byte = value; }
            let _ = decode(7, &MX, &good);
        }
    }
}
