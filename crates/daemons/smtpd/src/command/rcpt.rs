//! RCPT: a recipient.
//!
//! Source: smtpd.md §6; RFC 5321 §4.1.1.3, RFC 3461.

use bstr::{BStr, BString, ByteSlice};
use postern_mail::dsn;
use postern_mail::smtp_command::{ParameterError, Word};
use postern_queue_file::RecordType;

use super::{Outcome, is};
use crate::ehlo_keywords::Keywords;
use crate::reply::ErrorClass;
use crate::session::{Session, Step};
use crate::transaction::Chunking;

/// What the client wants for one recipient (RFC 3461).
#[derive(Debug, Default)]
struct Wanted {
    notify: Option<u32>,
    original: Option<BString>,
}

impl Session<'_> {
    pub(super) fn rcpt_command(&mut self, args: &[Word]) -> Step<Outcome> {
        let Some(smtputf8) = self
            .transaction
            .as_ref()
            .map(|transaction| transaction.smtputf8)
        else {
            return self.reply_protocol_error("503 5.5.1 Error: need MAIL command");
        };
        if self.chunking != Chunking::None {
            return self.reply_protocol_error("503 5.5.1 Error: RCPT after BDAT");
        }
        let [_, label, path, parameters @ ..] = args else {
            return self.reply_protocol_error("501 5.5.4 Syntax: RCPT TO:<address>");
        };
        if !is(label, "TO:") {
            return self.reply_protocol_error("501 5.5.4 Syntax: RCPT TO:<address>");
        }
        if let Some(count) = self.count_event("recipient", self.server.limits.recipient_rate) {
            return self.refuse_rate(
                "Recipient address",
                count,
                "450 4.7.1 Error: too many recipients from",
            );
        }
        let address = if path.bad {
            None
        } else {
            self.extract_address(path.text.as_ref(), false, smtputf8)
        };
        let Some(recipient) = address else {
            return self.reply_protocol_error("501 5.1.3 Bad recipient address syntax");
        };
        let wanted = match self.rcpt_parameters(parameters) {
            Ok(wanted) => wanted,
            Err(reply) => return self.reply_protocol_error(reply),
        };
        if self.recipient_count() >= self.server.set.recipient_limit {
            return self.refuse_recipient_overflow();
        }
        if self.server.set.strict_smtputf8 && !smtputf8 && !recipient.is_ascii() {
            return self
                .reply_protocol_error("553 5.6.7 Must declare SMTPUTF8 to send unicode address");
        }
        // What an address probe of ours left behind is never refused, whoever brings it.
        let probe = self.as_probe_sender(&recipient);
        let is_trusted = self.alone || probe.is_some();
        let recipient = probe.unwrap_or(recipient);
        let first = self.recipient.replace(recipient.clone());
        self.access.forget_recipient();
        let checked = if is_trusted {
            Ok(())
        } else {
            self.check_recipient()
        };
        if let Err(rejection) = checked {
            self.recipient = first;
            return self.reply_rejection(rejection);
        }
        let accepted = self.add_recipient(&recipient, path.text.as_ref(), &wanted);
        self.recipient = first;
        if !accepted {
            return self.refuse_unwritable();
        }
        self.recipient.get_or_insert(recipient);
        self.succeed("250 2.1.5 Ok")
    }

    /// More recipients than one message may have: the first of these are no mistake of the client.
    fn refuse_recipient_overflow(&mut self) -> Step<Outcome> {
        self.error_mask.add(ErrorClass::POLICY);
        self.reply("452 4.5.3 Error: too many recipients")?;
        self.overshoot = self.overshoot.saturating_add(1);
        let excused = self.overshoot <= self.server.set.recipient_overshoot_limit;
        Ok(if excused { Outcome::Good } else { Outcome::Bad })
    }

    fn rcpt_parameters(&self, parameters: &[Word]) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for word in parameters {
            let (name, value) = match word.text.split_once_str("=") {
                Some((name, value)) => (name.to_ascii_uppercase(), BStr::new(value)),
                None => (Vec::new(), BStr::new("")),
            };
            let is_dsn = matches!(name.as_slice(), b"NOTIFY" | b"ORCPT");
            if is_dsn && self.discarded.has(Keywords::DSN) {
                return Err("501 5.7.1 DSN support is disabled".to_owned());
            }
            match name.as_slice() {
                b"NOTIFY" => match self.notify_value(value).filter(|_| wanted.notify.is_none()) {
                    Some(mask) => wanted.notify = Some(mask),
                    None => return Err(ParameterError::Notify(BString::default()).to_string()),
                },
                b"ORCPT" => match original_value(value).filter(|_| wanted.original.is_none()) {
                    Some(original) => wanted.original = Some(original),
                    None => return Err(ParameterError::Orcpt.to_string()),
                },
                _ => return Err(ParameterError::Unsupported(word.text.clone()).to_string()),
            }
        }
        Ok(wanted)
    }

    /// NOTIFY=; empty words between commas are skipped.
    fn notify_value(&self, value: &BStr) -> Option<u32> {
        let mut mask = 0;
        for word in value.split_str(",").filter(|word| !word.is_empty()) {
            match dsn::parse_notify(BStr::new(word)) {
                Ok(bit) => mask |= bit,
                Err(_) => {
                    let (word, all) = (self.masked(word), self.masked(value));
                    log::warn!("unknown DSN NOTIFY command value \"{word}\" in \"{all}\"");
                    return None;
                }
            }
        }
        dsn::is_valid_notify(mask).then_some(mask)
    }

    /// Writes the records of an accepted recipient; `false` when there is nowhere to write them.
    fn add_recipient(&mut self, recipient: &BString, path: &BStr, wanted: &Wanted) -> bool {
        if !self.open_queue() {
            return false;
        }
        let Some(transaction) = &mut self.transaction else {
            return false;
        };
        let Some(queue) = &mut transaction.queue else {
            return false;
        };
        let original = wanted.original.clone().unwrap_or_else(|| {
            // As the reference, with type rfc822 also for internationalised addresses.
            let inner = path
                .strip_prefix(b"<")
                .and_then(|path| path.strip_suffix(b">"))
                .unwrap_or(path);
            [b"rfc822;".as_slice(), inner].concat().into()
        });
        let mut write = || {
            if let Some(notify) = wanted.notify {
                queue.attribute("notify_flags", notify.to_string().as_bytes())?;
            }
            queue.attribute("dsn_orig_rcpt", &original)?;
            queue.record(RecordType::RECIPIENT, recipient)
        };
        if let Err(error) = write() {
            log::warn!("{}: writing to queue: {error}", queue.id());
            return false;
        }
        transaction.recipients += 1;
        true
    }
}

/// ORCPT=; the address may be empty.
fn original_value(value: &BStr) -> Option<BString> {
    let (kind, address) = value.split_once_str(";")?;
    if address.is_empty() && !kind.is_empty() {
        return Some(value.to_owned());
    }
    dsn::parse_orcpt(value)
}
