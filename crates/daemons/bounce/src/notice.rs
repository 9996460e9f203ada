//! Composes one notice and hands it to cleanup(8) (dsn.md §4).

use std::io;

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::bounce::NoticeBody;
use postern_ipc::cleanup::status;
use postern_ipc::post::{Envelope, InternalMail, MailClass};
use postern_mail::wrap::wrap;
use postern_mail::{address, date};
use postern_queue_file::RecordType;
use postern_sys::clock::{local_time, unix_time};

use crate::log_file::Entry;
use crate::original::Original;
use crate::policy::double_bounce_address;
use crate::template::{Class, Template};

/// Blanks before a line that goes on.
const INDENT: &str = "    ";

/// How much of the original goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it, unless it is larger than `bounce_size_limit`.
    Whole,
    /// The headers.
    Headers,
}

/// A notice before it is written.
#[derive(Clone, Copy)]
pub(crate) struct Notice<'a> {
    pub(crate) config: &'a Config,
    pub(crate) template: &'a Template,
    pub(crate) class: Class,
    pub(crate) request: &'a NoticeBody,
    /// Recipients to list; `None` when the log is lost.
    pub(crate) entries: Option<&'a [&'a Entry]>,
    /// Envelope sender of the notice; postmaster notices come from the double-bounce address.
    pub(crate) sender: &'a BStr,
    pub(crate) to: &'a BStr,
    pub(crate) to_postmaster: bool,
    pub(crate) part: Part,
}

/// Why a notice is not queued; details are in the log.
#[derive(Debug)]
pub(crate) struct NotQueued;

impl From<io::Error> for NotQueued {
    fn from(error: io::Error) -> Self {
        log::warn!(
            "write to cleanup service: {}",
            postern_sys::error_text(&error)
        );
        Self
    }
}

impl Notice<'_> {
    /// Writes the notice and returns its queue ID once it is safely queued.
    pub(crate) fn send(&self, original: &mut Original) -> Result<String, NotQueued> {
        if self.config.get(params::ENABLE_THREADED_BOUNCES) {
            original.find_message_id();
        }
        let double_bounce = double_bounce_address(self.config);
        let sender: &BStr = if self.to_postmaster {
            double_bounce.as_str().into()
        } else {
            self.sender
        };
        let envelope = Envelope {
            sender,
            recipient: self.to,
            class: MailClass::Bounce,
            trace_flags: 0,
            smtputf8: self.is_utf8(),
        };
        let mut mail = InternalMail::open(self.config, &envelope).map_err(|error| {
            log::warn!("{error}");
            NotQueued
        })?;
        let boundary = self.boundary();
        self.headers(&mut mail, &boundary, original)?;
        self.text(&mut mail, &boundary)?;
        self.report(&mut mail, &boundary, original)?;
        self.attach(&mut mail, &boundary, original)?;
        mail.line(format!("--{boundary}--").as_bytes())?;
        let id = mail.queue_id().to_owned();
        let reply = mail.finish().map_err(|error| {
            log::warn!("{error}");
            NotQueued
        })?;
        if reply.status == status::OK {
            Ok(id)
        } else {
            Err(NotQueued)
        }
    }

    fn is_utf8(&self) -> bool {
        self.request.smtputf8 & 1 != 0
    }

    fn boundary(&self) -> String {
        format!(
            "{}.{}/{}",
            self.request.queue_id,
            unix_time(),
            self.config.get(params::MYHOSTNAME)
        )
    }

    /// `8bit`, `7bit` or nothing.
    fn encoding(&self) -> BString {
        if self.config.get(params::SMTPUTF8_ENABLE) {
            "8bit".into()
        } else {
            self.request.encoding.clone()
        }
    }

    fn charset(&self) -> &str {
        if !self.template.charset.eq_ignore_ascii_case("us-ascii") {
            &self.template.charset
        } else if self.encoding() == "8bit" {
            "utf-8"
        } else {
            "us-ascii"
        }
    }

    fn headers(
        &self,
        mail: &mut InternalMail,
        boundary: &str,
        original: &Original,
    ) -> io::Result<()> {
        let subject = match &self.template.postmaster_subject {
            Some(subject) if self.to_postmaster => subject,
            _ => &self.template.subject,
        };
        mail.line(format!("From: {}", self.template.sender_header(self.config)).as_bytes())?;
        mail.line(format!("Subject: {subject}").as_bytes())?;
        mail.line(&[b"To: ".as_slice(), &address::quote(self.to)].concat())?;
        if let Some(id) = &original.message_id {
            mail.line(&[b"References: ".as_slice(), id].concat())?;
            mail.line(&[b"In-Reply-To: ".as_slice(), id].concat())?;
        }
        let submitted = if self.to_postmaster {
            "auto-generated"
        } else {
            "auto-replied"
        };
        mail.line(format!("Auto-Submitted: {submitted}").as_bytes())?;
        mail.line(b"MIME-Version: 1.0")?;
        mail.line(b"Content-Type: multipart/report; report-type=delivery-status;")?;
        mail.line(format!("\tboundary=\"{boundary}\"").as_bytes())?;
        self.transfer_encoding(mail)?;
        mail.line(b"")?;
        mail.line(b"This is a MIME-encapsulated message.")?;
        mail.line(b"")
    }

    fn transfer_encoding(&self, mail: &mut InternalMail) -> io::Result<()> {
        let encoding = self.encoding();
        if encoding.is_empty() {
            return Ok(());
        }
        mail.line(format!("Content-Transfer-Encoding: {encoding}").as_bytes())
    }

    /// The part for people.
    fn text(&self, mail: &mut InternalMail, boundary: &str) -> io::Result<()> {
        mail.line(format!("--{boundary}").as_bytes())?;
        mail.line(b"Content-Description: Notification")?;
        mail.line(format!("Content-Type: text/plain; charset={}", self.charset()).as_bytes())?;
        self.transfer_encoding(mail)?;
        mail.line(b"")?;
        if !self.to_postmaster {
            match self.template.text(self.config) {
                Ok(text) => {
                    for line in text.lines() {
                        mail.line(line.as_bytes())?;
                    }
                }
                Err(text) => postern_maillog::fatal!("{text}"),
            }
        }
        let Some(entries) = self.entries else {
            mail.line(b"")?;
            mail.line(b"\t--- Delivery report unavailable ---")?;
            return mail.line(b"");
        };
        for entry in entries {
            mail.line(b"")?;
            for line in wrap(&recipient_text(entry), "", INDENT) {
                mail.line(&line)?;
            }
        }
        mail.line(b"")
    }

    /// The part for programs.
    fn report(
        &self,
        mail: &mut InternalMail,
        boundary: &str,
        original: &Original,
    ) -> io::Result<()> {
        let host = self.config.get(params::MYHOSTNAME);
        let tag: String = self
            .config
            .get(params::MAIL_NAME)
            .chars()
            .map(|c| {
                if " \t\r\n()<>@,;:\\\".[]".contains(c) {
                    '-'
                } else {
                    c
                }
            })
            .collect();
        mail.line(format!("--{boundary}").as_bytes())?;
        mail.line(b"Content-Description: Delivery report")?;
        if self.is_utf8() {
            mail.line(b"Content-Type: message/global-delivery-status")?;
            mail.line(b"Content-Transfer-Encoding: 8bit")?;
        } else {
            mail.line(b"Content-Type: message/delivery-status")?;
        }
        mail.line(b"")?;
        mail.line(format!("Reporting-MTA: dns; {host}").as_bytes())?;
        if !self.request.envelope_id.is_empty() {
            mail.line(
                &[
                    b"Original-Envelope-Id: ".as_slice(),
                    &self.request.envelope_id,
                ]
                .concat(),
            )?;
        }
        mail.line(format!("X-{tag}-Queue-ID: {}", self.request.queue_id).as_bytes())?;
        let sender = self.original_sender();
        let kind = self.address_type(&sender);
        mail.line(
            &[
                format!("X-{tag}-Sender: {kind}; ").as_bytes(),
                &address::quote(sender.as_bstr()),
            ]
            .concat(),
        )?;
        if let Some(arrival) = original.arrival {
            mail.line(format!("Arrival-Date: {}", mail_date(arrival)).as_bytes())?;
        }
        for entry in self.entries.unwrap_or_default() {
            mail.line(b"")?;
            self.recipient_fields(mail, entry, original)?;
        }
        mail.line(b"")
    }

    fn original_sender(&self) -> BString {
        if self.request.sender.is_empty() {
            format!("MAILER-DAEMON@{}", self.config.get(params::MYHOSTNAME)).into()
        } else {
            self.request.sender.clone()
        }
    }

    fn address_type(&self, address: &BString) -> &'static str {
        if self.is_utf8() && !address.is_ascii() && address.to_str().is_ok() {
            "utf-8"
        } else {
            "rfc822"
        }
    }

    fn recipient_fields(
        &self,
        mail: &mut InternalMail,
        entry: &Entry,
        original: &Original,
    ) -> io::Result<()> {
        let Entry { recipient, dsn } = entry;
        let kind = self.address_type(&recipient.recipient);
        mail.line(
            &[
                format!("Final-Recipient: {kind}; ").as_bytes(),
                &address::quote(recipient.recipient.as_bstr()),
            ]
            .concat(),
        )?;
        if !recipient.dsn_orig_rcpt.is_empty() {
            mail.line(&[b"Original-Recipient: ".as_slice(), &recipient.dsn_orig_rcpt].concat())?;
        } else if !recipient.original_recipient.is_empty() {
            mail.line(
                &[
                    b"Original-Recipient: rfc822; ".as_slice(),
                    &address::quote(recipient.original_recipient.as_bstr()),
                ]
                .concat(),
            )?;
        }
        let action: &BStr = if self.class == Class::Failure {
            b"failed".as_bstr()
        } else {
            dsn.action.as_bstr()
        };
        mail.line(&[b"Action: ".as_slice(), action].concat())?;
        mail.line(&[b"Status: ".as_slice(), &dsn.status].concat())?;
        let mut wrapped = |text: Vec<u8>| {
            wrap(&text, "", INDENT)
                .iter()
                .try_for_each(|line| mail.line(line))
        };
        if !dsn.mta_type.is_empty() && !dsn.mta_mname.is_empty() {
            wrapped(
                [
                    b"Remote-MTA: ".as_slice(),
                    &dsn.mta_type,
                    b"; ",
                    &dsn.mta_mname,
                ]
                .concat(),
            )?;
        }
        if !dsn.diag_type.is_empty() && !dsn.diag_text.is_empty() {
            wrapped(
                [
                    b"Diagnostic-Code: ".as_slice(),
                    &dsn.diag_type,
                    b"; ",
                    &dsn.diag_text,
                ]
                .concat(),
            )?;
        } else {
            let tag = self.config.get(params::MAIL_NAME);
            wrapped(
                [
                    format!("Diagnostic-Code: X-{tag}; ").as_bytes(),
                    &dsn.reason,
                ]
                .concat(),
            )?;
        }
        if self.class == Class::Delay
            && let Some(arrival) = original.arrival
        {
            let lifetime = self.config.get(params::MAXIMAL_QUEUE_LIFETIME).as_secs();
            let until = arrival.saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX));
            mail.line(format!("Will-Retry-Until: {}", mail_date(until)).as_bytes())?;
        }
        Ok(())
    }

    /// The original message, or its headers.
    fn attach(
        &self,
        mail: &mut InternalMail,
        boundary: &str,
        original: &mut Original,
    ) -> io::Result<()> {
        let limit = u64::try_from(self.config.get(params::BOUNCE_SIZE_LIMIT)).unwrap_or(0);
        let fits = original
            .size
            .is_some_and(|size| limit == 0 || size <= limit);
        let headers_only = self.part == Part::Headers || !fits;
        let undelivered = if matches!(self.class, Class::Failure | Class::Delay) {
            "Undelivered "
        } else {
            ""
        };
        let what = if headers_only {
            "Message Headers"
        } else {
            "Message"
        };
        let kind = match (headers_only, self.is_utf8()) {
            (false, false) => "message/rfc822",
            (true, false) => "text/rfc822-headers",
            (false, true) => "message/global",
            (true, true) => "message/global-headers",
        };
        mail.line(format!("--{boundary}").as_bytes())?;
        mail.line(format!("Content-Description: {undelivered}{what}").as_bytes())?;
        mail.line(format!("Content-Type: {kind}").as_bytes())?;
        self.transfer_encoding(mail)?;
        mail.line(b"")?;
        mail.line(
            &[
                b"Return-Path: <".as_slice(),
                &address::quote(self.original_sender().as_bstr()),
                b">",
            ]
            .concat(),
        )?;
        let mut line_ended = true;
        let readable = original.for_each_line(headers_only, &mut |data, kind| {
            line_ended = kind == RecordType::TEXT;
            mail.put(kind, data)
        })?;
        if !line_ended {
            mail.line(b"")?;
        }
        if !readable {
            mail.line(b"\t--- Undelivered message unavailable ---")?;
        }
        mail.line(b"")
    }
}

/// `<address> (expanded from <original>): reason`.
fn recipient_text(entry: &Entry) -> Vec<u8> {
    let recipient = &entry.recipient;
    let mut text = [
        b"<".as_slice(),
        &address::quote(recipient.recipient.as_bstr()),
        b">",
    ]
    .concat();
    let original = &recipient.original_recipient;
    if !original.is_empty() && !original.eq_ignore_ascii_case(&recipient.recipient) {
        text.extend(
            [
                b" (expanded from <".as_slice(),
                &address::quote(original.as_bstr()),
                b">)",
            ]
            .concat(),
        );
    }
    text.extend_from_slice(b": ");
    text.extend_from_slice(&entry.dsn.reason);
    text
}

fn mail_date(seconds: i64) -> String {
    let local = local_time(seconds);
    date::rfc822(seconds, local.offset, &local.zone, date::Day::Blank)
}
