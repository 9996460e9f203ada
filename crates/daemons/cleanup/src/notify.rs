//! Telling bounce(8) and verify(8) about recipients that end here.

use bstr::{BStr, BString, ByteSlice};
use postern_delivery::status_line::StatusLine;
use postern_ipc::bounce::{self, AppendBody, FLAG_CLEAN, NoticeBody, command};
use postern_ipc::cleanup::{flag, status};
use postern_ipc::client::{Endpoint, one_shot};
use postern_ipc::deliver::{Dsn, MessageStats, Moment, Recipient};
use postern_ipc::verify;
use postern_queue_file::{Attribute, Reader, RecordType};

use crate::message::Message;
use crate::queue::INCOMING;

impl Message<'_> {
    /// DSN NOTIFY=SUCCESS ends where an alias is expanded (RFC 3461 §5.2.7.3): the report says so.
    pub(crate) fn report_expansion(
        &mut self,
        original: &BString,
        dsn_original: &BString,
        notify: u32,
        address: &BString,
    ) {
        let differs = !original.eq_ignore_ascii_case(address);
        let recipient = Recipient {
            original_recipient: if differs {
                original.clone()
            } else {
                address.clone()
            },
            recipient: address.clone(),
            offset: 0,
            dsn_orig_rcpt: dsn_original.clone(),
            notify_flags: i32::try_from(notify).unwrap_or(0),
        };
        let dsn = Dsn {
            status: "2.0.0".into(),
            action: "expanded".into(),
            reason: "alias expanded".into(),
            ..Dsn::default()
        };
        if !self.append(&self.cleanup.settings.trace, &recipient, dsn) {
            log::warn!("{}: trace service failure", self.queue_id);
            self.status |= status::WRITE;
        }
    }

    /// An address that expands to several is deliverable; which of them accept mail is not asked.
    pub(crate) fn report_probe(&mut self, original: &BString, address: &BString) {
        const REASON: &str = "aliased to multiple recipients";
        for name in [original, address] {
            let request = verify::UpdateRequest {
                request: "update".into(),
                address: name.clone(),
                recipient_status: verify::recipient_status::OK,
                reason: REASON.into(),
            };
            let settings = &self.cleanup.settings;
            let asked: Result<postern_ipc::StatusReply, _> = one_shot(
                &settings.verify,
                settings.ipc_timeout,
                verify::PROTOCOL,
                &request,
            );
            if let Err(error) = asked {
                log::warn!("{error}");
            }
            if original == address {
                break;
            }
        }
        let recipient = Recipient {
            original_recipient: original.clone(),
            recipient: address.clone(),
            ..Recipient::default()
        };
        self.log_status(
            &recipient,
            BStr::new("2.0.0"),
            "deliverable",
            BStr::new(REASON),
        );
        self.flags |= flag::DISCARD;
    }

    /// Returns the message to its sender. True: nobody needs to be told anything else.
    pub(crate) fn bounce(&mut self) -> bool {
        if let Err(error) = self.cleanup.queue.publish(&mut self.file) {
            log::warn!("{}: {error}", self.queue_id);
            return false;
        }
        let (text, _, code) = status::detail(self.status);
        let (code, text) = if self.reason.is_empty() {
            (code.to_owned(), BString::from(text))
        } else {
            let (code, text) = postern_mail::dsn::split(code, self.reason.as_bstr());
            (code, text.to_owned())
        };
        let recipients = self.written_recipients();
        for recipient in &recipients {
            if !self.bounce_recipient(recipient, &code, &text) {
                log::warn!("{}: bounce message failure", self.queue_id);
                return false;
            }
        }
        !self.cleanup.settings.soft_bounce && self.send_bounce()
    }

    fn bounce_recipient(&self, recipient: &Recipient, code: &str, text: &BString) -> bool {
        let settings = &self.cleanup.settings;
        let mut dsn = Dsn {
            status: code.into(),
            action: "failed".into(),
            reason: text.clone(),
            ..Dsn::default()
        };
        let mut word = "bounced";
        let mut service = &settings.bounce;
        if settings.soft_bounce {
            dsn.status = postern_mail::dsn::with_class(code, b'4').into();
            dsn.action = "delayed".into();
            word = "SOFTBOUNCE";
            service = &settings.defer;
        }
        let status = dsn.status.clone();
        let done = self.append(service, recipient, dsn);
        if done {
            self.log_status(recipient, status.as_bstr(), word, text.as_bstr());
        }
        done
    }

    fn send_bounce(&self) -> bool {
        let settings = &self.cleanup.settings;
        // The content is what was wrong: it does not go back.
        let headers_only = self.status & (status::CONTENT | status::SIZE) != 0;
        let ret_headers = i32::try_from(postern_mail::dsn::RET_HDRS).unwrap_or(0);
        let body = NoticeBody {
            flags: FLAG_CLEAN,
            queue_name: INCOMING.to_owned(),
            queue_id: self.queue_id.clone(),
            encoding: self.encoding.clone().unwrap_or_default(),
            smtputf8: i32::try_from(self.send_options).unwrap_or(0),
            sender: self.sender.clone().unwrap_or_default(),
            envelope_id: self.envelope_id.clone(),
            ret_flags: if headers_only {
                ret_headers
            } else {
                self.ret_flags
            },
        };
        match bounce::ask(
            &settings.bounce,
            settings.ipc_timeout,
            command::FLUSH,
            &body,
        ) {
            Ok(0) => true,
            Ok(_) => {
                log::warn!("{}: bounce message failure", self.queue_id);
                false
            }
            Err(error) => {
                log::warn!("{error}");
                log::warn!("{}: bounce message failure", self.queue_id);
                false
            }
        }
    }

    fn append(&self, service: &Endpoint, recipient: &Recipient, dsn: Dsn) -> bool {
        let body = AppendBody {
            flags: FLAG_CLEAN,
            queue_id: self.queue_id.clone(),
            recipient: recipient.clone(),
            dsn,
        };
        match bounce::ask(
            service,
            self.cleanup.settings.ipc_timeout,
            command::APPEND,
            &body,
        ) {
            Ok(status) => status == 0,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        }
    }

    fn log_status(&self, recipient: &Recipient, dsn: &BStr, word: &'static str, reason: &BStr) {
        let shown = self.logged(recipient.recipient.as_bstr());
        let original = self.logged(recipient.original_recipient.as_bstr());
        let differs = !original.is_empty() && !original.eq_ignore_ascii_case(&shown);
        let stats = MessageStats {
            incoming_arrival: self.arrival.unwrap_or_default(),
            ..MessageStats::default()
        };
        let line = StatusLine {
            recipient: shown.as_bstr(),
            original: differs.then_some(original.as_bstr()),
            relay: BStr::new("none"),
            stats: &stats,
            now: Moment::now(),
            resolution: self.cleanup.settings.delay_resolution,
            dsn,
            status: word,
            reason,
        };
        log::info!("{}: {line}", self.queue_id);
    }

    /// The recipients in the queue file; `unknown` when there is none.
    fn written_recipients(&self) -> Vec<Recipient> {
        let mut found = Vec::new();
        if let Ok(file) = self.file.reader() {
            let mut reader = Reader::new(std::io::BufReader::new(file));
            let mut next = Recipient::default();
            // A file that was cut off ends with an error; the recipients before that count.
            while let Ok(Some(record)) = reader.next_record() {
                match record.kind {
                    RecordType::ATTRIBUTE => note_attribute(&record.data, &mut next),
                    RecordType::ORIGINAL_RECIPIENT => next.original_recipient = record.data,
                    RecordType::RECIPIENT => {
                        next.recipient = record.data;
                        found.push(std::mem::take(&mut next));
                    }
                    _ => {}
                }
            }
        }
        if found.is_empty() {
            found.push(Recipient {
                recipient: "unknown".into(),
                ..Recipient::default()
            });
        }
        found
    }
}

fn note_attribute(data: &BString, next: &mut Recipient) {
    let Ok(attribute) = Attribute::parse(data) else {
        return;
    };
    match attribute.pseudo_type() {
        Some(RecordType::DSN_ORIGINAL_RECIPIENT) => next.dsn_orig_rcpt = attribute.value.to_owned(),
        Some(RecordType::DSN_NOTIFY) => {
            next.notify_flags = attribute
                .value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
        }
        _ => {}
    }
}
