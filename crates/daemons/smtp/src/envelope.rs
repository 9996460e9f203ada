//! The commands of a mail transaction as text: MAIL, RCPT, XFORWARD (smtp-client.md §6).

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::{Recipient, Request};
use postern_mail::{address, dsn};

use crate::features::{Features, Forwardable, Keywords};
use crate::generic::Generic;
use crate::settings::Settings;
use crate::trouble::Trouble;

/// NOTIFY=SUCCESS in [`Recipient::notify_flags`].
pub const NOTIFY_SUCCESS: i32 = 2;

/// Bits of [`Request::smtputf8`].
pub mod utf8 {
    /// The sender asked for SMTPUTF8.
    pub const REQUESTED: i32 = 1;
    /// Something in header, sender or recipient needs it.
    pub const NEEDED: i32 = 2 | 4 | 8;
}

/// What the commands depend on.
pub struct Context<'a> {
    /// The request.
    pub request: &'a Request,
    /// The server.
    pub features: &'a Features,
    /// Parameters.
    pub settings: &'a Settings,
    /// Whether 8-bit content is converted: then its size is not known.
    pub downgrade: bool,
}

/// Whether the message may go to servers with SMTPUTF8 only.
pub fn needs_utf8(request: &Request) -> bool {
    request.smtputf8 & utf8::REQUESTED != 0 && request.smtputf8 & utf8::NEEDED != 0
}

impl Context<'_> {
    /// MAIL FROM with its parameters.
    pub fn mail(&self, generic: &mut Generic) -> Result<Vec<u8>, Trouble> {
        let offered = self.features.offered;
        let request = self.request;
        let mut text = b"MAIL FROM:<".to_vec();
        text.extend_from_slice(&self.path(request.sender.as_bstr(), generic)?);
        text.push(b'>');
        if offered.has(Keywords::SIZE) && !self.downgrade {
            text.extend_from_slice(format!(" SIZE={}", request.size).as_bytes());
        }
        if offered.has(Keywords::EIGHT_BIT_MIME) {
            match request.encoding.as_slice() {
                b"8bit" => text.extend_from_slice(b" BODY=8BITMIME"),
                b"7bit" => text.extend_from_slice(b" BODY=7BIT"),
                _ => {}
            }
        }
        if offered.has(Keywords::DSN) {
            if !request.envelope_id.is_empty() {
                text.extend_from_slice(b" ENVID=");
                text.extend_from_slice(&dsn::xtext_encode(&request.envelope_id));
            }
            match request.ret_flags {
                1 => text.extend_from_slice(b" RET=FULL"),
                2 => text.extend_from_slice(b" RET=HDRS"),
                _ => {}
            }
        }
        if offered.has(Keywords::SMTPUTF8) && request.smtputf8 & utf8::REQUESTED != 0 {
            text.extend_from_slice(b" SMTPUTF8");
        }
        Ok(text)
    }

    /// RCPT TO with its parameters.
    pub fn rcpt(&self, recipient: &Recipient, generic: &mut Generic) -> Result<Vec<u8>, Trouble> {
        let mut text = b"RCPT TO:<".to_vec();
        text.extend_from_slice(&self.path(recipient.recipient.as_bstr(), generic)?);
        text.push(b'>');
        if self.features.offered.has(Keywords::DSN) {
            text.extend_from_slice(b" ORCPT=");
            text.extend_from_slice(&self.original(recipient));
            let notify = u32::try_from(recipient.notify_flags).unwrap_or(0);
            if let Some(list) = dsn::format_notify(notify).filter(|list| !list.is_empty()) {
                text.extend_from_slice(b" NOTIFY=");
                text.extend_from_slice(list.as_bytes());
            }
        }
        Ok(text)
    }

    /// An address as it stands between `<` and `>`.
    fn path(&self, internal: &BStr, generic: &mut Generic) -> Result<BString, Trouble> {
        if internal.is_empty() {
            return Ok(BString::default());
        }
        let mapped = generic.map_or_same(internal)?;
        let quoted = if self.settings.quote_envelope {
            address::quote_821(mapped.as_bstr())
        } else {
            mapped
        };
        // A control character would end the command; no address that came in by SMTP has one.
        Ok(quoted
            .iter()
            .map(|&b| if b < b' ' || b == 127 { b'?' } else { b })
            .collect::<Vec<u8>>()
            .into())
    }

    /// `type;address` with the address in xtext; invented when the message has none.
    fn original(&self, recipient: &Recipient) -> BString {
        let stored = recipient.dsn_orig_rcpt.as_bstr();
        let (kind, original) = match stored.split_once_str(";") {
            Some((kind, original)) if !kind.is_empty() => (kind.as_bstr(), original.as_bstr()),
            _ => {
                let known = if recipient.original_recipient.is_empty() {
                    recipient.recipient.as_bstr()
                } else {
                    recipient.original_recipient.as_bstr()
                };
                let quoted = address::quote(known);
                let kind = BStr::new("rfc822");
                return typed(kind, encoded(kind, quoted.as_bstr()).as_bstr());
            }
        };
        typed(kind, encoded(kind, original).as_bstr())
    }
}

fn typed(kind: &BStr, address: &BStr) -> BString {
    [kind.as_bytes(), b";", address.as_bytes()].concat().into()
}

/// An address in the encoding of its type; ASCII in any case.
fn encoded(kind: &BStr, original: &BStr) -> BString {
    if kind.eq_ignore_ascii_case(b"utf-8")
        && let Some(text) = dsn::uxtext_encode(original)
    {
        return text;
    }
    dsn::xtext_encode(original)
}

/// The two XFORWARD commands; the second is left out when the server wants nothing of it.
pub fn xforward(request: &Request, wanted: Forwardable) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let known =
        |name: &str, value: &BStr| wanted.has(name) && !value.is_empty() && *value != "unknown";
    let command = |attributes: &[(&str, &BStr)]| {
        let mut text = b"XFORWARD".to_vec();
        for (name, value) in attributes.iter().filter(|(name, value)| known(name, value)) {
            text.extend_from_slice(format!(" {name}=").as_bytes());
            text.extend_from_slice(&forwarded(value));
        }
        (text.len() > b"XFORWARD".len()).then_some(text)
    };
    let source = if request.rewrite_context == "local" {
        "LOCAL"
    } else {
        "REMOTE"
    };
    let first = command(&[
        ("NAME", request.log_client_name.as_bstr()),
        ("ADDR", request.log_client_address.as_bstr()),
        ("PORT", request.log_client_port.as_bstr()),
    ]);
    let second = command(&[
        ("PROTO", request.log_protocol_name.as_bstr()),
        ("HELO", request.log_helo_name.as_bstr()),
        ("IDENT", request.log_ident.as_bstr()),
        ("SOURCE", source.into()),
    ]);
    (first, second)
}

/// xtext, in which only `+` and what is not printable is encoded.
fn forwarded(value: &BStr) -> BString {
    let mut text = BString::default();
    for &byte in value.iter() {
        if byte == b'+' || !byte.is_ascii_graphic() {
            text.extend_from_slice(format!("+{byte:02X}").as_bytes());
        } else {
            text.push(byte);
        }
    }
    text
}
