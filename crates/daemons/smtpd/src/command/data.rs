//! DATA, and what happens at the end of a message however it came.
//!
//! Source: smtpd.md §7, §8.

use bstr::{BString, ByteSlice};
use postern_config::params;
use postern_ipc::cleanup::{flag, status};
use postern_mail::address;
use postern_mail::smtp_command::{Body, Word};
use postern_queue_file::RecordType;
use postern_wire::LineEnd;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Outcome, mail_date};
use crate::content::{Line, Piece};
use crate::received::{Received, protocol};
use crate::reply::ErrorClass;
use crate::session::{Abort, Session, Step};
use crate::settings::BareNewline;
use crate::submit::{self, Queue};
use crate::transaction::Chunking;

/// Room for most lines of mail (RFC 5322 §2.1.1).
const USUAL_LINE: usize = 80;

impl Session<'_> {
    pub(super) fn data_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if self.chunking != Chunking::None {
            return self.reply_protocol_error("503 5.5.1 Error: DATA after BDAT");
        }
        if self.recipient_count() == 0 {
            let reply = self.no_recipients_reply();
            return self.reply_protocol_error(reply);
        }
        if args.len() > 1 {
            return self.reply_protocol_error("501 5.5.4 Syntax: DATA");
        }
        if !self.alone
            && let Err(rejection) = self.check_data()
        {
            return self.reply_rejection(rejection);
        }
        self.begin_content();
        self.reply("354 End data with <CR><LF>.<CR><LF>")?;
        self.stage = "DATA content";
        self.receive_content()?;
        self.finish_message("")
    }

    pub(super) fn no_recipients_reply(&self) -> &'static str {
        if self.transaction.is_some() {
            "554 5.5.1 Error: no valid recipients"
        } else {
            "503 5.5.1 Error: need RCPT command"
        }
    }

    fn receive_content(&mut self) -> Step {
        let limit = self.server.set.line_length_limit;
        let strict = self.bare_newline != BareNewline::Allow;
        let mut line = Vec::with_capacity(USUAL_LINE);
        self.io.restart_deadline();
        loop {
            let end = self.io.read_line(limit, &mut line)?;
            if end == LineEnd::Eof {
                return Err(Abort::Lost);
            }
            let complete = end.is_complete();
            self.look_at_line_end(&mut line, complete, end == LineEnd::Lf);
            let Some(transaction) = &mut self.transaction else {
                return Err(Abort::Close);
            };
            match transaction
                .content
                .unstuff(&line, end == LineEnd::CrLf, strict)
            {
                Line::EndOfData if complete => return Ok(()),
                Line::EndOfData | Line::Ignored => {}
                Line::Text(text) => {
                    self.put_content(text, if complete { Piece::End } else { Piece::Part });
                }
            }
        }
    }

    /// Line ends of content: all CR before LF go, or bare LF is remembered.
    pub(super) fn look_at_line_end(&mut self, line: &mut Vec<u8>, complete: bool, bare: bool) {
        if complete && self.bare_newline == BareNewline::Allow {
            while line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if bare
            && self.content_lf_is_refused()
            && let Some(transaction) = &mut self.transaction
        {
            transaction.error |= status::BARE_LF;
        }
    }

    /// Writes a line, or part of one. After an error the content is only read.
    pub(super) fn put_content(&mut self, line: &[u8], piece: Piece) {
        let limit = u64::try_from(self.server.set.message_size_limit).unwrap_or(0);
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let starts = transaction.content.enter(piece);
        if transaction.error & !status::BARE_LF != 0 {
            return;
        }
        let size = transaction.size + line.len() as u64 + 2;
        if limit > 0 && size > limit {
            transaction.error |= status::SIZE;
            log::warn!(
                "{}: queue file size limit exceeded",
                transaction.queue_id().unwrap_or("NOQUEUE")
            );
            return;
        }
        transaction.size = size;
        let Some(queue) = &mut transaction.queue else {
            return;
        };
        let mut write = |kind: RecordType, data: &[u8]| queue.record(kind, data);
        if let Err(error) = transaction.content.put(line, piece, starts, &mut write) {
            transaction.note_write_error(&error);
        }
    }

    /// Everything before the client's first line.
    pub(super) fn begin_content(&mut self) {
        let header = self.received_header();
        let prepend = self.actions.prepend.clone();
        let flags = self.extra_flags();
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let Some(queue) = &mut transaction.queue else {
            return;
        };
        let mut write = || -> io::Result<()> {
            if flags != 0 {
                queue.record(RecordType::FLAGS, flags.to_string().as_bytes())?;
            }
            queue.record(RecordType::MESSAGE, b"")?;
            for line in prepend.iter().chain(&header) {
                queue.record(RecordType::TEXT, line)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            transaction.note_write_error(&error);
        }
    }

    fn extra_flags(&self) -> i32 {
        let mut flags = 0;
        if self.actions.hold {
            flags |= flag::HOLD;
        }
        if self.actions.discard {
            flags |= flag::DISCARD;
        }
        flags
    }

    fn received_header(&self) -> Vec<BString> {
        let Some(transaction) = &self.transaction else {
            return Vec::new();
        };
        let set = &self.server.set;
        let address = self.client.rfc_address();
        let recipient = self
            .recipient
            .as_ref()
            .filter(|_| transaction.recipients == 1);
        let recipient = recipient.map(|recipient| address::quote(recipient.as_ref()));
        let helo = self
            .helo
            .clone()
            .unwrap_or_else(|| self.client.name.as_str().into());
        let received = Received {
            helo: &helo,
            client_name: &self.client.name,
            client_address: &address,
            extra: &[],
            hostname: &set.myhostname,
            mail_name: &set.mail_name,
            with: &protocol(self.esmtp, transaction.smtputf8, false, false),
            queue_id: transaction.queue_id(),
            recipient: recipient.as_deref().map(Vec::as_slice),
            date: &mail_date(
                postern_sys::clock::seconds(transaction.arrival),
                self.server.look.date_two_digit_day(),
            ),
            hide_client: set.hide_client_session,
        };
        received.lines()
    }

    /// Hands the message over, and tells the client what became of it. `bytes` goes into the reply.
    pub(super) fn finish_message(&mut self, bytes: &str) -> Step<Outcome> {
        self.stage = "END-OF-MESSAGE";
        let bare_lf = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.error & status::BARE_LF != 0);
        if bare_lf {
            self.error_mask.add(ErrorClass::PROTOCOL);
            self.log_event("reject", "bare <LF> received".into());
        } else if !self.alone
            && let Err(rejection) = self.check_end_of_data()
        {
            self.end_transaction();
            return self.reply_rejection(rejection);
        }
        let verdict = self.hand_over();
        let queue_id = self.queue_id_for_reply.take().unwrap_or_default();
        let outcome = if verdict.status == status::OK {
            self.forgive();
            self.succeed(format!("250 2.0.0 Ok: {bytes}queued as {queue_id}"))
        } else {
            self.refuse_message(verdict.status, &verdict.reason)
        };
        self.end_transaction();
        self.trim_transcript();
        outcome
    }

    /// Writes what follows the content and asks for the verdict. Whatever is wrong on our side, the
    /// message is given up and not acknowledged.
    fn hand_over(&mut self) -> submit::Outcome {
        let failed = |status| submit::Outcome {
            status,
            reason: BString::default(),
        };
        let actions = std::mem::take(&mut self.actions);
        let Some(transaction) = &mut self.transaction else {
            return failed(status::BAD);
        };
        let Some(mut queue) = transaction.queue.take() else {
            return failed(status::WRITE);
        };
        self.queue_id_for_reply = Some(queue.id().to_owned());
        if transaction.error != 0 {
            queue.abandon();
            return failed(transaction.error);
        }
        let mut write = || -> io::Result<()> {
            queue.record(RecordType::EXTRACTED, b"")?;
            if queue.is_cleanup() {
                if let Some(filter) = &actions.filter {
                    queue.record(RecordType::FILTER, filter)?;
                }
                if let Some(redirect) = &actions.redirect {
                    queue.record(RecordType::REDIRECT, redirect)?;
                }
                for bcc in &actions.bcc {
                    queue.attribute("notify_flags", b"1")?;
                    queue.record(RecordType::RECIPIENT, bcc)?;
                }
            }
            queue.record(RecordType::END, b"")
        };
        if let Err(error) = write() {
            transaction.note_write_error(&error);
            return failed(status::WRITE);
        }
        queue.finish()
    }

    /// The reply for a message that was not taken.
    fn refuse_message(&mut self, bits: i32, reason: &BString) -> Step<Outcome> {
        let has = |bit: i32| bits & bit != 0;
        let is_reply = reason.len() > 4
            && reason.iter().take(3).all(u8::is_ascii_digit)
            && reason.get(3) == Some(&b' ');
        let with_reason = |code: &str, otherwise: &str| -> BString {
            if reason.is_empty() {
                otherwise.into()
            } else {
                [code.as_bytes(), b" ", reason].concat().into()
            }
        };
        let (class, reply): (ErrorClass, BString) = if has(status::BARE_LF) {
            (ErrorClass::PROTOCOL, self.bare_lf_reply().into())
        } else if is_reply {
            (ErrorClass::POLICY, reason.clone())
        } else if has(status::DEFER) {
            (
                ErrorClass::POLICY,
                with_reason("451", "451 4.7.1 Error: service unavailable"),
            )
        } else if has(status::BAD) {
            (
                ErrorClass::SOFTWARE,
                format!("451 4.3.0 Error: internal error {bits}").into(),
            )
        } else if has(status::SIZE) {
            (
                ErrorClass::BOUNCE,
                "552 5.3.4 Error: message file too big".into(),
            )
        } else if has(status::HOPS) {
            (ErrorClass::BOUNCE, "554 5.4.0 Error: too many hops".into())
        } else if has(status::CONTENT) {
            (
                ErrorClass::POLICY,
                with_reason("550", "550 5.7.1 Error: message content rejected"),
            )
        } else if has(status::WRITE | status::PROXY) {
            (
                ErrorClass::RESOURCE,
                "451 4.3.0 Error: queue file write error".into(),
            )
        } else {
            (
                ErrorClass::SOFTWARE,
                format!("451 4.3.0 Error: internal error {bits}").into(),
            )
        };
        self.error_mask.add(class);
        self.reply(reply)?;
        Ok(Outcome::Bad)
    }

    /// Opens the stream for the message, if that was not done before, and writes the envelope up to
    /// the recipients. `false`: nobody takes the message.
    pub(super) fn open_queue(&mut self) -> bool {
        let Some(transaction) = &self.transaction else {
            return false;
        };
        if transaction.queue.is_some() {
            return true;
        }
        if self.lacks_proxy_filter() {
            return false;
        }
        let set = &self.server.set;
        let opened = if self.alone {
            let program = Path::new(&self.config().get(params::COMMAND_DIRECTORY)).join("postdrop");
            Queue::postdrop(&program, set.ipc_timeout).map_err(|error| error.to_string())
        } else {
            let flags = self.cleanup_flags(transaction.smtputf8);
            Queue::cleanup(&set.cleanup_service, set.ipc_timeout, flags)
                .map_err(|error| error.to_string())
        };
        let mut queue = match opened {
            Ok(queue) => queue,
            Err(error) => {
                log::warn!("{error}");
                return false;
            }
        };
        if let Err(error) = self.write_envelope(&mut queue) {
            log::warn!("{}: writing to queue: {error}", queue.id());
            return false;
        }
        let sasl_sender = self
            .sasl_sender
            .as_ref()
            .map(|sender| format!(", sasl_sender={}", self.masked(sender)));
        log::info!(
            "{}: client={}{}",
            queue.id(),
            self.client.namaddr,
            sasl_sender.unwrap_or_default()
        );
        if let Some(transaction) = &mut self.transaction {
            transaction.queue = Some(queue);
        }
        true
    }

    fn cleanup_flags(&self, smtputf8: bool) -> i32 {
        let set = &self.server.set;
        let mut flags = flag::MASK_EXTERNAL | flag::SMTP_REPLY;
        if set.overrides("no_address_mappings") {
            flags &= !(flag::BCC_OK | flag::MAP_OK);
        }
        if set.overrides("no_header_body_checks") {
            flags &= !flag::FILTER;
        }
        if set.overrides("no_milters") {
            flags &= !flag::MILTER;
        }
        if smtputf8 {
            flags |= flag::SMTPUTF8;
        } else if set.smtputf8_autodetect {
            flags |= flag::AUTOUTF8;
        }
        flags
    }

    fn write_envelope(&self, queue: &mut Queue) -> io::Result<()> {
        let (Some(transaction), Some(sender)) = (&self.transaction, &self.sender) else {
            return Ok(());
        };
        let full = queue.is_cleanup();
        if full {
            let arrival = transaction
                .arrival
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let time = format!("{} {}", arrival.as_secs(), arrival.subsec_micros());
            queue.record(RecordType::TIME, time.as_bytes())?;
            if !self.server.set.content_filter.is_empty() {
                queue.record(
                    RecordType::FILTER,
                    self.server.set.content_filter.as_bytes(),
                )?;
            }
            let id = queue.id().to_owned();
            queue.attribute("log_ident", id.as_bytes())?;
            queue.attribute("rewrite_context", transaction.rewrite_context.as_bytes())?;
            if let Some(sasl_sender) = &self.sasl_sender {
                queue.attribute("sasl_sender", sasl_sender)?;
            }
            if let Some(id) = &transaction.envelope_id {
                queue.attribute("envelope_id", id)?;
            }
            if let Some(ret) = transaction.ret {
                queue.attribute("ret_flags", ret.to_string().as_bytes())?;
            }
        }
        queue.record(RecordType::FROM, sender)?;
        if let Some(body) = transaction.body {
            let encoding: &[u8] = match body {
                Body::SevenBit => b"7bit",
                Body::EightBitMime => b"8bit",
            };
            queue.attribute("encoding", encoding)?;
        }
        if full {
            self.write_client_attributes(queue)?;
        }
        if let Some(verp) = &transaction.verp {
            queue.record(RecordType::VERP, verp)?;
        }
        Ok(())
    }

    fn write_client_attributes(&self, queue: &mut Queue) -> io::Result<()> {
        let client = &self.client;
        let rfc_address = client.rfc_address();
        let helo = self.helo.as_ref().map(|helo| helo.as_bytes());
        let attributes: [(&str, Option<&[u8]>); 15] = [
            ("log_client_name", Some(client.name.as_bytes())),
            ("log_client_address", Some(rfc_address.as_bytes())),
            ("log_client_port", Some(client.port.as_bytes())),
            ("log_message_origin", Some(client.namaddr.as_bytes())),
            ("log_helo_name", helo),
            ("log_protocol_name", Some(self.protocol().as_bytes())),
            ("client_name", Some(client.name.as_bytes())),
            ("reverse_client_name", Some(client.reverse_name.as_bytes())),
            ("client_address", Some(client.address.as_bytes())),
            ("client_port", Some(client.port.as_bytes())),
            ("server_address", Some(client.server_address.as_bytes())),
            ("server_port", Some(client.server_port.as_bytes())),
            ("helo_name", helo),
            ("protocol_name", Some(self.protocol().as_bytes())),
            (
                "client_address_type",
                Some(if client.family == 10 {
                    b"10"
                } else if client.family == 2 {
                    b"2"
                } else {
                    b"0"
                }),
            ),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                queue.attribute(name, value)?;
            }
        }
        Ok(())
    }
}
