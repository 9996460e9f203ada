//! Recipients: standard form, mappings, virtual aliases, duplicates, automatic copies.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_mail::address::fold_case;
use postern_mail::dsn::{NOTIFY_NEVER, NOTIFY_SUCCESS};
use postern_queue_file::RecordType;

use crate::map::{ExpandError, Map};
use crate::message::Message;
use crate::settings::class;

/// A recipient before alias expansion.
struct Recipient {
    dsn_original: BString,
    notify: u32,
    original: BString,
    address: BString,
}

impl Message<'_> {
    /// Handles one recipient that the client named, with what came before it.
    pub(crate) fn recipient_record(&mut self, received: &BStr) {
        let pending = std::mem::take(&mut self.pending);
        let address = self.clean_recipient(received);
        if !address.is_ascii() {
            self.detect_smtputf8();
        }
        let dsn_original = pending
            .dsn_original
            .unwrap_or_else(|| self.default_dsn_original(&address));
        self.last_recipient = Some(address.clone());
        let recipient = Recipient {
            dsn_original,
            notify: pending.notify,
            original: pending.original.unwrap_or_else(|| received.to_owned()),
            address: address.clone(),
        };
        self.expand_recipient(recipient);
        if self.is(flag::BCC_OK) {
            self.automatic_copy(Map::RecipientBcc, address.as_bstr());
        }
    }

    /// Standard form, then the canonical mappings.
    fn clean_recipient(&mut self, received: &BStr) -> BString {
        let mut address = if received.is_empty() {
            let stand_in = self.cleanup.settings.empty_address_recipient.clone();
            self.cleanup.tables.rewrite_internal(BStr::new(&stand_in))
        } else {
            self.cleanup.tables.rewrite_internal(received)
        };
        if self.is(flag::MAP_OK) {
            let mapped =
                self.cleanup
                    .map_recipient(&self.queue_id, class::ENVELOPE_RECIPIENT, &mut address);
            self.note_problem(mapped.err());
        }
        address
    }

    /// RFC 3461 §5.2.1 (a): the MTA supplies ORCPT when the client did not; as the reference does, with
    /// type `rfc822` also for internationalised addresses.
    fn default_dsn_original(&self, address: &BString) -> BString {
        let mut text = BString::from("rfc822;");
        text.extend_from_slice(address);
        text
    }

    /// Expands virtual aliases and writes the results.
    fn expand_recipient(&mut self, mut recipient: Recipient) {
        if !self.is(flag::MAP_OK) || self.cleanup.tables.virtual_alias.is_empty() {
            return self.put_recipient(&recipient);
        }
        let results = match self.cleanup.expand(recipient.address.as_bstr()) {
            Ok(results) => results,
            Err(ExpandError::Problem(problem)) => return self.note_problem(Some(problem)),
            Err(error) => {
                log::warn!("{}: {error}", self.queue_id);
                self.status |= status::DEFER;
                self.reason = BString::from("4.6.0 Alias expansion error");
                return;
            }
        };
        let unchanged = results.len() == 1 && results.first() == Some(&recipient.address);
        if results.len() > 1 && self.is_probe() {
            self.report_probe(&recipient.original, &recipient.address);
            return;
        }
        if recipient.notify & NOTIFY_SUCCESS != 0 && !unchanged {
            self.report_expansion(
                &recipient.original,
                &recipient.dsn_original,
                recipient.notify,
                &recipient.address,
            );
            recipient.notify &= !NOTIFY_SUCCESS;
            if recipient.notify == 0 {
                recipient.notify = NOTIFY_NEVER;
            }
        }
        for address in results {
            recipient.address = address;
            self.put_recipient(&recipient);
        }
    }

    /// Writes a recipient unless it is there already.
    fn put_recipient(&mut self, recipient: &Recipient) {
        if !self.is_new(recipient) {
            return;
        }
        if recipient.notify != 0 {
            self.put_attribute("notify_flags", recipient.notify.to_string().as_bytes());
        }
        if !recipient.dsn_original.is_empty() {
            self.put_attribute("dsn_orig_rcpt", &recipient.dsn_original);
        }
        self.put(RecordType::ORIGINAL_RECIPIENT, &recipient.original);
        self.put(RecordType::RECIPIENT, &recipient.address);
        self.recipient_count += 1;
    }

    /// Only so many keys are remembered; later recipients are then all new.
    fn is_new(&mut self, recipient: &Recipient) -> bool {
        let settings = &self.cleanup.settings;
        let key = if settings.enable_original_recipient {
            let notify = recipient.notify.to_string();
            let parts: [&[u8]; 4] = [
                &recipient.dsn_original,
                notify.as_bytes(),
                &recipient.original,
                &recipient.address,
            ];
            fold_case(BStr::new(&parts.join(&b'\n')))
        } else {
            fold_case(recipient.address.as_bstr())
        };
        let limit = settings.duplicate_filter_limit;
        if limit > 0 && self.duplicates.len() >= limit {
            return !self.duplicates.contains(&key);
        }
        self.duplicates.insert(key)
    }

    /// A copy for the address that `map` has for `key`. The value is one address in internal form,
    /// whatever it looks like.
    pub(crate) fn automatic_copy(&mut self, map: Map, key: &BStr) {
        match self.cleanup.tables.find(map, key) {
            Ok(None) => {}
            Ok(Some(found)) => self.blind_copy(found.value.as_bstr()),
            Err(problem) => self.note_problem(Some(problem)),
        }
    }

    /// Adds a recipient that the sender does not know about: no notifications, no copies of its own.
    pub(crate) fn blind_copy(&mut self, address: &BStr) {
        if address.is_empty() {
            return;
        }
        let mut clean = self.cleanup.tables.rewrite_internal(address);
        if self.is(flag::MAP_OK) {
            let mapped =
                self.cleanup
                    .map_recipient(&self.queue_id, class::ENVELOPE_RECIPIENT, &mut clean);
            self.note_problem(mapped.err());
        }
        let recipient = Recipient {
            dsn_original: BString::default(),
            notify: NOTIFY_NEVER,
            original: clean.clone(),
            address: clean,
        };
        self.expand_recipient(recipient);
    }
}
