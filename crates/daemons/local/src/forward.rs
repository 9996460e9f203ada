//! Mail that leaves this delivery in a message of its own (delivery.md §3.6).
//!
//! One message per `Delivered-To:` address and sender. Nothing is submitted before all other parts of
//! the recipient are delivered: a part that must be tried again would otherwise repeat it each time.

use std::io::{self, Write};

use bstr::{BString, ByteSlice};
use postern_config::{Config, params};
use postern_delivery::copy::{Content, CopyError};
use postern_delivery::{Delivery, Outcome};
use postern_ipc::cleanup::{Submission, flag as cleanup_flag};
use postern_ipc::client::{ClientError, Endpoint, PUBLIC};
use postern_ipc::deliver::{Dsn, Recipient, Request};
use postern_ipc::post::{MailClass, arrival_time, write_received};
use postern_mail::address;
use postern_queue_file::RecordType;
use postern_queue_file::record::write_record;

use crate::job::{Job, dsn};
use crate::mail::Mail;

/// Bit of [`Request::smtputf8`]: the sender asked for SMTPUTF8.
const SMTPUTF8_REQUESTED: i32 = 1;

/// The messages to submit.
#[derive(Debug, Default)]
pub(crate) struct Forwards(Vec<Forward>);

/// One message to submit.
#[derive(Debug)]
struct Forward {
    delivered_to: BString,
    sender: BString,
    envelope_id: BString,
    ret_flags: i32,
    recipients: Vec<Recipient>,
}

/// Why a message is not submitted; nothing of it is in the queue then.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("{0}")]
    Service(#[from] ClientError),
    #[error("{}", postern_sys::error_text(.0))]
    Write(#[from] io::Error),
    #[error("{0}")]
    Content(#[from] CopyError),
    #[error("cleanup service: status {status}: {reason}")]
    Refused { status: i32, reason: BString },
}

/// Adds the recipient of `mail` to the message it belongs to.
pub(crate) fn add(job: &mut Job<'_>, mail: &Mail) -> Outcome {
    if job.is_trace_only() {
        let reason = [b"forwards to ".as_slice(), &mail.recipient.recipient].concat();
        return job.sent(mail, &dsn("2.0.0", reason));
    }
    if job.is_first("forward", &mail.recipient.recipient) {
        job.forwards.add(mail);
    }
    Outcome::Done
}

impl Forwards {
    fn add(&mut self, mail: &Mail) {
        let same = |forward: &&mut Forward| {
            forward.delivered_to == mail.delivered_to && forward.sender == mail.sender
        };
        match self.0.iter_mut().find(same) {
            Some(forward) => forward.recipients.push(mail.recipient.clone()),
            None => self.0.push(Forward {
                delivered_to: mail.delivered_to.clone(),
                sender: mail.sender.clone(),
                envelope_id: mail.envelope_id.clone(),
                ret_flags: mail.ret_flags,
                recipients: vec![mail.recipient.clone()],
            }),
        }
    }
}

/// Submits the collected messages for `mail`, the recipient of the request.
pub(crate) fn submit(job: &mut Job<'_>, mail: &Mail) -> Outcome {
    let forwards = std::mem::take(&mut job.forwards.0);
    let mut outcome = Outcome::Done;
    for forward in &forwards {
        let prepend = job.local.settings.delivered_to.forward;
        let result = forward.submit(&job.local.config, job.delivery, prepend);
        outcome = outcome.and(report(job, mail, result));
        if outcome == Outcome::Deferred {
            break;
        }
    }
    outcome
}

fn report(job: &mut Job<'_>, mail: &Mail, result: Result<String, ForwardError>) -> Outcome {
    match result {
        Ok(queue_id) => {
            // The new message carries the request for a success report on.
            let mut mail = mail.clone();
            mail.without_success_report();
            let forwarded = Dsn {
                action: "relayed".into(),
                ..*dsn("2.0.0", format!("forwarded as {queue_id}"))
            };
            job.sent(&mail, &forwarded)
        }
        Err(error) => {
            log::warn!("{}: cannot forward: {error}", job.delivery.request.queue_id);
            if let ForwardError::Content(CopyError::Corrupt(_)) = error {
                job.delivery.mark_corrupt();
            }
            job.fail(mail, &dsn("4.3.0", "unable to forward message"))
        }
    }
}

impl Forward {
    /// Writes the message to cleanup(8) and returns its queue ID.
    fn submit(
        &self,
        config: &Config,
        delivery: &Delivery,
        prepend_delivered_to: bool,
    ) -> Result<String, ForwardError> {
        let at = Endpoint::new(PUBLIC, &config.get(params::CLEANUP_SERVICE_NAME));
        let mut flags = MailClass::Forward.cleanup_flags(config) | cleanup_flag::BOUNCE;
        if delivery.request.smtputf8 & SMTPUTF8_REQUESTED != 0 {
            flags |= cleanup_flag::SMTPUTF8;
        }
        let mut submission = Submission::open(&at, config.get(params::IPC_TIMEOUT), flags)?;
        self.write_envelope(&mut submission.channel, &delivery.request)?;
        write_record(&mut submission.channel, RecordType::MESSAGE, b"")?;
        let queue_id = submission.queue_id.clone();
        write_received(&mut submission.channel, config, &queue_id)?;
        if prepend_delivered_to {
            let address = address::fold_case(address::quote(self.delivered_to.as_bstr()).as_bstr());
            write_record(
                &mut submission.channel,
                RecordType::TEXT,
                &[b"Delivered-To: ".as_slice(), &address].concat(),
            )?;
        }
        let mut content = Content::open(delivery)?;
        while let Some((kind, data)) = content.next()? {
            write_record(&mut submission.channel, kind, data)?;
        }
        write_record(&mut submission.channel, RecordType::EXTRACTED, b"")?;
        write_record(&mut submission.channel, RecordType::END, b"")?;
        let reply = submission.finish()?;
        if reply.status == 0 {
            Ok(queue_id)
        } else {
            Err(ForwardError::Refused {
                status: reply.status,
                reason: reply.reason,
            })
        }
    }

    fn write_envelope(&self, out: &mut impl Write, request: &Request) -> io::Result<()> {
        write_record(out, RecordType::TIME, arrival_time().as_bytes())?;
        write_record(out, RecordType::FROM, &self.sender)?;
        if self.ret_flags != 0 {
            attribute(out, "ret_flags", self.ret_flags.to_string().as_bytes())?;
        }
        let client: [(&str, &[u8]); 10] = [
            ("envelope_id", &self.envelope_id),
            ("log_client_name", &request.log_client_name),
            ("log_client_address", &request.log_client_address),
            ("log_protocol_name", &request.log_protocol_name),
            ("log_helo_name", &request.log_helo_name),
            ("sasl_method", &request.sasl_method),
            ("sasl_username", &request.sasl_username),
            ("sasl_sender", &request.sasl_sender),
            ("log_ident", &request.log_ident),
            ("rewrite_context", &request.rewrite_context),
        ];
        for (name, value) in client.into_iter().filter(|(_, value)| !value.is_empty()) {
            attribute(out, name, value)?;
        }
        for recipient in &self.recipients {
            if recipient.notify_flags != 0 {
                attribute(
                    out,
                    "notify_flags",
                    recipient.notify_flags.to_string().as_bytes(),
                )?;
            }
            if !recipient.dsn_orig_rcpt.is_empty() {
                attribute(out, "dsn_orig_rcpt", &recipient.dsn_orig_rcpt)?;
            }
            if !recipient.original_recipient.is_empty() {
                write_record(
                    out,
                    RecordType::ORIGINAL_RECIPIENT,
                    &recipient.original_recipient,
                )?;
            }
            write_record(out, RecordType::RECIPIENT, &recipient.recipient)?;
        }
        Ok(())
    }
}

fn attribute(out: &mut impl Write, name: &str, value: &[u8]) -> io::Result<()> {
    write_record(
        out,
        RecordType::ATTRIBUTE,
        &[name.as_bytes(), b"=", value].concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Parts, Source};

    fn mail(recipient: &str, delivered_to: &str, sender: &str) -> Mail {
        Mail {
            recipient: Recipient {
                recipient: recipient.into(),
                ..Recipient::default()
            },
            sender: sender.into(),
            envelope_id: "".into(),
            ret_flags: 0,
            delivered_to: delivered_to.into(),
            parts: Parts::default(),
            owner: None,
            expanded_from: None,
            source: Source::Alias,
            level: 0,
            unmatched: None,
        }
    }

    #[test]
    fn recipients_share_a_message_when_delivered_to_and_sender_agree() {
        let mut forwards = Forwards::default();
        for (recipient, delivered_to, sender) in [
            ("a@x", "list@h", "s@x"),
            ("b@x", "list@h", "s@x"),
            ("c@x", "list@h", "owner-list@h"),
            ("d@x", "other@h", "s@x"),
        ] {
            forwards.add(&mail(recipient, delivered_to, sender));
        }
        let recipients = |forward: &Forward| -> Vec<String> {
            let text = |recipient: &Recipient| recipient.recipient.to_string();
            forward.recipients.iter().map(text).collect()
        };
        let found: Vec<_> = forwards.0.iter().map(recipients).collect();
        assert_eq!(found, [vec!["a@x", "b@x"], vec!["c@x"], vec!["d@x"]]);
    }
}
