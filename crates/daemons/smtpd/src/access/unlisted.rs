//! Addresses in our own domains that nobody has.

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Param, params};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::{address, dsn};
use postern_rewrite::Resolved;

use super::action::fit_status;
use super::{Check, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;
use crate::tables::MapName;

impl Session<'_> {
    /// Refuses a recipient in our domains that is in none of its tables.
    pub(super) fn reject_unlisted_recipient(&mut self) -> Check {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        if self.access.recipient_listed || self.server.set.overrides("no_unknown_recipient_checks")
        {
            return Ok(Verdict::Dunno);
        }
        let result = self.check_listed(&Subject::new(recipient, class::RECIPIENT));
        self.access.recipient_listed = result.is_ok();
        result
    }

    /// The same for the sender.
    pub(super) fn reject_unlisted_sender(&mut self) -> Check {
        let sender = match self.sender.clone() {
            Some(sender) if !sender.is_empty() => sender,
            _ => return Ok(Verdict::Dunno),
        };
        if self.access.sender_listed || self.server.set.overrides("no_unknown_recipient_checks") {
            return Ok(Verdict::Dunno);
        }
        let result = self.check_listed(&Subject::new(sender, class::SENDER));
        self.access.sender_listed = result.is_ok();
        result
    }

    fn check_listed(&mut self, subject: &Subject) -> Check {
        log::debug!(">>> CHECKING {} VALIDATION MAPS <<<", subject.class);
        let resolved = self.resolve(subject.name.as_ref());
        if resolved.failed() {
            return self.table_error(subject.name.as_ref());
        }
        let is_sender = subject.class == class::SENDER;
        let mut maps = vec![
            MapName::RecipientCanonical,
            MapName::Canonical,
            MapName::VirtualAlias,
        ];
        if is_sender {
            maps.insert(1, MapName::SenderCanonical);
        }
        for map in maps {
            match self
                .server
                .maps
                .find_address(map, resolved.recipient.as_ref())
            {
                Ok(false) => {}
                Ok(true) => return Ok(Verdict::Dunno),
                Err(error) => return self.lookup_error(&error, subject.name.as_ref()),
            }
        }
        let status = if is_sender { "5.1.0" } else { "5.1.1" };
        match resolved.transport.as_bstr() {
            transport if transport == "error" => {
                let code = if resolved.flags & resolve_flag::CLASS_ALIAS != 0 {
                    self.config().get(params::UNKNOWN_VIRTUAL_ALIAS_REJECT_CODE)
                } else {
                    550
                };
                self.refuse_by_route(code, status, resolved.nexthop.as_ref(), subject)
            }
            transport if transport == "retry" => {
                let status = if is_sender { "4.1.0" } else { "4.1.1" };
                self.refuse_by_route(450, status, resolved.nexthop.as_ref(), subject)
            }
            _ => self.check_class_table(&resolved, status, subject),
        }
    }

    /// The route itself is the refusal: its text, with a status that fits.
    fn refuse_by_route(
        &mut self,
        code: i32,
        default: &str,
        nexthop: &BStr,
        subject: &Subject,
    ) -> Check {
        let (status, text) = dsn::split(default, nexthop);
        let status = fit_status(&status, subject.class);
        let text = BString::from(text);
        self.reject_subject(ErrorClass::BOUNCE, code, &status, subject, text)
    }

    fn check_class_table(&mut self, resolved: &Resolved, status: &str, subject: &Subject) -> Check {
        let flags = resolved.flags;
        let (map, code, table): (_, Param<i32>, _) = if flags & resolve_flag::CLASS_LOCAL != 0 {
            if self.is_system_address(resolved.recipient.as_ref()) {
                return Ok(Verdict::Dunno);
            }
            (
                MapName::LocalRecipient,
                params::UNKNOWN_LOCAL_RECIPIENT_REJECT_CODE,
                "local recipient",
            )
        } else if flags & resolve_flag::CLASS_VIRTUAL != 0 {
            (
                MapName::VirtualMailbox,
                params::UNKNOWN_VIRTUAL_MAILBOX_REJECT_CODE,
                "virtual mailbox",
            )
        } else if flags & resolve_flag::CLASS_RELAY != 0 {
            (
                MapName::RelayRecipient,
                params::UNKNOWN_RELAY_RECIPIENT_REJECT_CODE,
                "relay recipient",
            )
        } else {
            return Ok(Verdict::Dunno);
        };
        if self.server.maps.is_empty(map) {
            return Ok(Verdict::Dunno);
        }
        match self
            .server
            .maps
            .find_address(map, resolved.recipient.as_ref())
        {
            Ok(true) => return Ok(Verdict::Dunno),
            Ok(false) => {}
            Err(error) => return self.lookup_error(&error, subject.name.as_ref()),
        }
        let mut text = "User unknown".to_owned();
        if self.config().get(params::SHOW_USER_UNKNOWN_TABLE_NAME) {
            text.push_str(&format!(" in {table} table"));
        }
        let code = self.config().get(code);
        self.reject_subject(ErrorClass::BOUNCE, code, status, subject, text)
    }

    /// Addresses that every system has.
    fn is_system_address(&self, address: &BStr) -> bool {
        let local = address::local_part(address);
        let double_bounce = self.server.set.double_bounce_sender.as_bytes();
        [b"postmaster", b"mailer-daemon".as_slice(), double_bounce]
            .iter()
            .any(|name| local.eq_ignore_ascii_case(name))
    }
}
