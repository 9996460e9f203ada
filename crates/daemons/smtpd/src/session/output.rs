//! What a session says: replies to the client, events to the log.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_mail::address;
use postern_mail::printable::{Charset, mask};
use postern_rewrite::{Context, Resolved};
use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, Instant};

use super::{Abort, Session, Step};
use crate::access::Rejection;
use crate::client::UNKNOWN;
use crate::command::Outcome;
use crate::reply::{self, ErrorClass};
use crate::transaction::Transaction;

/// Replies wait no longer than this for the end of a batch.
const FLUSH_AFTER: Duration = Duration::from_secs(10);

/// Replies.
impl Session<'_> {
    /// Sends a reply: lines separated by LF, each with its code.
    pub(crate) fn reply(&mut self, text: impl AsRef<[u8]>) -> Step {
        let mut text = Cow::Borrowed(text.as_ref());
        if self.server.set.soft_bounce {
            text = Cow::Owned(reply::soften(&text).into());
        }
        if matches!(text.first(), Some(b'4' | b'5')) {
            let filtered = self.with_filter(text.into_owned().into());
            text = Cow::Owned(self.with_footer(filtered).into());
        }
        self.transcript.server(&text);
        if matches!(text.get(..3), Some(b"421" | b"521")) {
            self.hangup = true;
        }
        let slow = self.error_count >= self.server.set.soft_error_limit
            && !self.server.set.error_sleep_time.is_zero();
        if slow {
            std::thread::sleep(self.server.set.error_sleep_time);
        }
        for line in text.split(|byte| *byte == b'\n') {
            log::debug!("> {}: {}", self.client.namaddr, self.masked(line));
            self.io.write_all(line)?;
            self.io.write_all(b"\r\n")?;
        }
        let now = Instant::now();
        if slow || now.duration_since(self.last_flush) > FLUSH_AFTER {
            self.io.flush()?;
            self.last_flush = now;
        }
        Ok(())
    }

    /// Sends what a restriction said, or hangs up.
    pub(crate) fn reply_rejection(&mut self, rejection: Rejection) -> Step<Outcome> {
        if rejection.hangup {
            return Err(Abort::Close);
        }
        self.reply(rejection.text)?;
        Ok(Outcome::Bad)
    }

    /// Sends a reply to a command that the client got wrong.
    pub(crate) fn reply_protocol_error(&mut self, text: impl AsRef<[u8]>) -> Step<Outcome> {
        self.error_mask.add(ErrorClass::PROTOCOL);
        self.reply(text)?;
        Ok(Outcome::Bad)
    }

    /// A message was accepted: earlier mistakes are forgiven.
    pub(crate) fn forgive(&mut self) {
        self.error_count = 0;
        self.error_mask = ErrorClass::NONE;
        self.junk_commands = 0;
    }
}

/// What everybody asks.
impl Session<'_> {
    /// main.cf.
    pub(crate) fn config(&self) -> &Config {
        &self.server.config
    }

    /// Queue ID of the open message, or `NOQUEUE`.
    pub(crate) fn queue_id(&self) -> &str {
        self.transaction
            .as_ref()
            .and_then(Transaction::queue_id)
            .unwrap_or("NOQUEUE")
    }

    /// Recipients accepted so far.
    pub(crate) fn recipient_count(&self) -> u32 {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.recipients)
    }

    /// Whether the whole content is there.
    pub(crate) fn at_end_of_data(&self) -> bool {
        self.stage == "END-OF-MESSAGE"
    }

    /// Resolves an address (internal form) of mail from the current sender. The recipient of the answer is
    /// in lower case, as tables have it.
    pub(crate) fn resolve(&mut self, address: &BStr) -> Resolved {
        let sender = self.sender.clone().unwrap_or_default();
        let addresses = &mut self.server.addresses;
        let standard = addresses
            .rewrite_internal(Context::Local, address)
            .unwrap_or_else(|_| address.to_owned());
        let mut resolved = addresses.resolve(sender.as_ref(), standard.as_ref());
        resolved.recipient = address::fold_case(resolved.recipient.as_ref());
        resolved
    }

    /// Bytes of a client, fit for the log.
    pub(crate) fn masked(&self, text: &[u8]) -> String {
        let charset = if self.server.set.smtputf8 {
            Charset::Utf8
        } else {
            Charset::Ascii
        };
        // Masked text is UTF-8.
        mask(text, charset, b'?').to_str_lossy().into_owned()
    }

    /// Logs what happened to a command: `QID: ACTION: STAGE from CLIENT: TEXT; from=<…> …`.
    pub(crate) fn log_event(&self, action: &str, text: &BStr) {
        let mut line = BString::from(format!(
            "{}: {action}: {} from {}: ",
            self.queue_id(),
            self.stage,
            self.client.namaddr
        ));
        line.extend_from_slice(text);
        line.push(b';');
        for (name, value) in [("from", &self.sender), ("to", &self.recipient)] {
            if let Some(value) = value {
                line.extend_from_slice(format!(" {name}=<").as_bytes());
                line.extend_from_slice(&self.logged_address(value.as_ref()));
                line.push(b'>');
            }
        }
        line.extend_from_slice(format!(" proto={}", self.protocol()).as_bytes());
        if let Some(helo) = &self.helo {
            line.extend_from_slice(b" helo=<");
            line.extend_from_slice(helo);
            line.push(b'>');
        }
        log::info!("{}", self.masked(&line));
    }

    /// `SMTP` or `ESMTP`.
    pub(crate) fn protocol(&self) -> &'static str {
        if self.esmtp { "ESMTP" } else { "SMTP" }
    }

    /// An address in the form of `info_log_address_format`.
    fn logged_address(&self, address: &BStr) -> BString {
        if self.server.set.log_internal_addresses {
            address.to_owned()
        } else {
            address::quote(address)
        }
    }

    /// Why the session was aborted.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The client's name.
    pub(crate) fn client_name_or_unknown(&self) -> &str {
        if self.client.name.is_empty() {
            UNKNOWN
        } else {
            &self.client.name
        }
    }
}
