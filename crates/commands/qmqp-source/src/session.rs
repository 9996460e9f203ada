//! The request of a QMQP client and the server's answer: netstrings.

use postern_sys::clock;
use postern_traffic::source::{Generator, Step};
use postern_traffic::{Stream, show_counter};
use std::rc::Rc;

/// The longest line of generated content, without its end.
const LINE: usize = 80;
/// Longer answers come from no server.
const LONGEST_REPLY: usize = 64 * 1024;

/// What every message consists of.
pub(crate) struct Mail {
    pub(crate) host: Vec<u8>,
    pub(crate) sender: Vec<u8>,
    pub(crate) recipient: Vec<u8>,
    pub(crate) recipients: usize,
    /// Of the content, headers included.
    pub(crate) length: usize,
}

/// The whole request: a netstring of content, sender and recipients, each a netstring.
pub(crate) fn request(mail: &Mail) -> Vec<u8> {
    let mut inner = Vec::with_capacity(mail.length + 64);
    put_netstring(&mut inner, &content(mail));
    put_netstring(&mut inner, &mail.sender);
    if mail.recipients == 1 {
        put_netstring(&mut inner, &mail.recipient);
    } else {
        for number in 0..mail.recipients {
            put_netstring(
                &mut inner,
                &[number.to_string().as_bytes(), &mail.recipient].concat(),
            );
        }
    }
    let mut out = Vec::with_capacity(inner.len() + 16);
    put_netstring(&mut out, &inner);
    out
}

fn put_netstring(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{}:", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.push(b',');
}

/// Headers and lines of growing length, cut to the wanted length.
fn content(mail: &Mail) -> Vec<u8> {
    let date = clock::local_now().mail_date();
    let id = postern_sys::process::id().to_string();
    let mut text = Vec::with_capacity(mail.length + LINE);
    for part in [
        b"From: <".as_slice(),
        &mail.sender,
        b">\nTo: <",
        &mail.recipient,
        b">\nDate: ",
        date.as_bytes(),
        b"\nMessage-Id: <",
        id.as_bytes(),
        b"@",
        &mail.host,
        b">\n\n",
    ] {
        text.extend_from_slice(part);
    }
    for length in (1..=LINE).cycle() {
        if text.len() >= mail.length {
            break;
        }
        text.resize(text.len() + length, b'X');
        text.push(b'\n');
    }
    text.truncate(mail.length);
    if let Some(last) = text.last_mut() {
        *last = b'\n';
    }
    text
}

/// The generator of mail.
pub(crate) struct Qmqp {
    request: Rc<[u8]>,
    counter: bool,
    sent: usize,
}

/// The state of one session.
pub(crate) struct Waiting;

impl Qmqp {
    pub(crate) fn new(request: Rc<[u8]>, counter: bool) -> Self {
        Self {
            request,
            counter,
            sent: 0,
        }
    }
}

impl Generator for Qmqp {
    type Dialogue = Waiting;

    fn begin(&mut self, stream: &mut Stream, _left: usize) -> Waiting {
        stream.put_shared(&self.request);
        Waiting
    }

    fn again(&mut self, _dialogue: &mut Waiting, _stream: &mut Stream, _left: usize) {}

    fn finish(&mut self, _dialogue: &mut Waiting, _stream: &mut Stream) {}

    fn input(&mut self, _dialogue: &mut Waiting, stream: &mut Stream) -> Result<Step, String> {
        let reply = match netstring(stream.input()) {
            Err(BadNetstring) => {
                return Err("netstring format error while receiving server reply".to_owned());
            }
            Ok(None) => return Ok(Step::Wait),
            Ok(Some(reply)) => reply,
        };
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        match reply {
            [b'K', ..] => {}
            [b'Z', text @ ..] => return Err(format!("recoverable error: {}", shown(text))),
            [b'D', text @ ..] => return Err(format!("unrecoverable error: {}", shown(text))),
            other => {
                let text = other.get(1..).unwrap_or_default();
                return Err(format!("unknown error: {}", shown(text)));
            }
        }
        self.sent += 1;
        if self.counter {
            show_counter(&format!("{}\r", self.sent));
        }
        Ok(Step::Done)
    }

    fn lost(&self, _dialogue: &Waiting) -> String {
        "lost connection while receiving server reply".to_owned()
    }
}

#[derive(Debug, PartialEq)]
struct BadNetstring;

/// The first netstring of the input, once it is complete.
fn netstring(input: &[u8]) -> Result<Option<&[u8]>, BadNetstring> {
    let Some(colon) = input.iter().position(|byte| !byte.is_ascii_digit()) else {
        return if input.len() > 9 {
            Err(BadNetstring)
        } else {
            Ok(None)
        };
    };
    if colon == 0 || input.get(colon) != Some(&b':') {
        return Err(BadNetstring);
    }
    let digits = input
        .get(..colon)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let length: usize = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(BadNetstring)?;
    if length > LONGEST_REPLY {
        return Err(BadNetstring);
    }
    let end = colon + 1 + length;
    match input.get(end) {
        None => Ok(None),
        Some(b',') => Ok(input.get(colon + 1..end)),
        Some(_) => Err(BadNetstring),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_netstrings() {
        #[rustfmt::skip]
        let cases: &[(&str, Result<Option<&str>, BadNetstring>)] = &[
            ("5:Kokay,",  Ok(Some("Kokay"))),
            ("0:,",       Ok(Some(""))),
            ("5:Kok",     Ok(None)),
            ("5",         Ok(None)),
            ("abc",       Err(BadNetstring)),
            (":x,",       Err(BadNetstring)),
            ("5:Kokay;",  Err(BadNetstring)),
            ("99999999:", Err(BadNetstring)),
        ];
        for (input, want) in cases {
            let got = netstring(input.as_bytes());
            assert_eq!(
                got,
                want.as_ref()
                    .map(|w| w.map(str::as_bytes))
                    .map_err(|_| BadNetstring)
            );
        }
    }

    #[test]
    fn a_request_holds_content_sender_and_numbered_recipients() {
        let mail = Mail {
            host: b"h".to_vec(),
            sender: b"a".to_vec(),
            recipient: b"u@d".to_vec(),
            recipients: 2,
            length: 5,
        };
        assert_eq!(request(&mail), b"26:5:From\n,1:a,4:0u@d,4:1u@d,,");
    }
}
