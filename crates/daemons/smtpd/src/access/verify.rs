//! Addresses that nobody answers for, as verify(8) has found out with probe messages.
//!
//! This module asks and waits; what is known of an address, and when it is probed, is the service's
//! affair.

use std::time::Duration;

use bstr::{BStr, BString};
use postern_attr::{Encoding, Extra};
use postern_config::{Config, Param, params};
use postern_ipc::ClientError;
use postern_ipc::client::{Endpoint, PRIVATE, Persistent};
use postern_ipc::verify::{self, QueryReply, QueryRequest, recipient_status, status};

use super::{Check, Subject, Verdict, class, subject_text};
use crate::reply::ErrorClass;
use crate::session::Session;
use crate::settings::TempfailAction;

/// Bytes of the reason that a reply shows which may still become another one.
const DEFERRED_REASON_LIMIT: usize = 250;

/// A client of verify(8) and how long it waits for the end of a probe.
pub(crate) struct Verifier {
    service: Persistent,
    polls: i32,
    pause: Duration,
}

impl Verifier {
    /// Connects when it is first asked.
    pub(crate) fn new(config: &Config) -> Self {
        let at = Endpoint::new(PRIVATE, &config.get(params::ADDRESS_VERIFY_SERVICE_NAME));
        let limits = (config.get(params::IPC_IDLE), config.get(params::IPC_TTL));
        let timeout = config.get(params::IPC_TIMEOUT);
        Self {
            service: Persistent::new(at, verify::PROTOCOL, Encoding::Null, timeout, Some(limits)),
            polls: config.get(params::ADDRESS_VERIFY_POLL_COUNT),
            pause: config.get(params::ADDRESS_VERIFY_POLL_DELAY),
        }
    }

    fn name(&self) -> &str {
        &self.service.endpoint().name
    }

    /// What is known of `address` at the end of the polls; it may still be nothing.
    fn ask(&mut self, address: &BStr) -> Result<QueryReply, ClientError> {
        let request = QueryRequest {
            request: "query".to_owned(),
            address: address.to_owned(),
        };
        let mut polls = 1;
        loop {
            let reply: QueryReply = self.service.ask_patiently(&request, Extra::Refuse)?;
            let pending =
                reply.status == status::OK && reply.recipient_status == recipient_status::TODO;
            if !pending || polls >= self.polls {
                return Ok(reply);
            }
            polls += 1;
            std::thread::sleep(self.pause);
        }
    }
}

/// What main.cf says about unverified addresses of one class.
struct Rules {
    status: &'static str,
    reject_code: Param<i32>,
    defer_code: Param<i32>,
    reject_reason: Param<String>,
    tempfail: TempfailAction,
}

impl Session<'_> {
    pub(super) fn reject_unverified_sender(&mut self) -> Check {
        match self.sender.clone() {
            Some(sender) if !sender.is_empty() => {
                let rules = Rules {
                    status: "4.1.7",
                    reject_code: params::UNVERIFIED_SENDER_REJECT_CODE,
                    defer_code: params::UNVERIFIED_SENDER_DEFER_CODE,
                    reject_reason: params::UNVERIFIED_SENDER_REJECT_REASON,
                    tempfail: self.server.set.unverified_sender_tempfail,
                };
                self.reject_unverified(&Subject::new(sender, class::SENDER), &rules)
            }
            _ => Ok(Verdict::Dunno),
        }
    }

    pub(super) fn reject_unverified_recipient(&mut self) -> Check {
        let Some(recipient) = self.recipient.clone() else {
            return Ok(Verdict::Dunno);
        };
        let rules = Rules {
            status: "4.1.1",
            reject_code: params::UNVERIFIED_RECIPIENT_REJECT_CODE,
            defer_code: params::UNVERIFIED_RECIPIENT_DEFER_CODE,
            reject_reason: params::UNVERIFIED_RECIPIENT_REJECT_REASON,
            tempfail: self.server.set.unverified_recipient_tempfail,
        };
        self.reject_unverified(&Subject::new(recipient, class::RECIPIENT), &rules)
    }

    fn reject_unverified(&mut self, subject: &Subject, rules: &Rules) -> Check {
        self.trace_address("reject_unverified_address", &subject.name);
        let known = self.server.verifier.ask(subject.name.as_ref());
        let reply = match known {
            Ok(reply) if reply.status == status::OK => reply,
            _ => {
                log::warn!("{} service failure", self.server.verifier.name());
                let text = subject_text(subject, b"address verification problem");
                return self.tempfail(rules.tempfail, 450, rules.status, text);
            }
        };
        let bounced = match reply.recipient_status {
            recipient_status::DEFER | recipient_status::TODO => false,
            recipient_status::BOUNCE => true,
            recipient_status::OK => return Ok(Verdict::Dunno),
            other => {
                log::warn!("unknown address verification status {other}");
                return Ok(Verdict::Dunno);
            }
        };
        let code = self.config().get(if bounced {
            rules.reject_code
        } else {
            rules.defer_code
        });
        // A success code is a wish to take the mail all the same.
        if code / 100 == 2 {
            return Ok(Verdict::Dunno);
        }
        let mut why = BString::from(self.config().get(rules.reject_reason));
        if why.is_empty() {
            why = reply.reason;
        }
        if bounced && code / 100 != 4 {
            let text = text_of("undeliverable", &why);
            return self.reject_subject(ErrorClass::POLICY, code, rules.status, subject, text);
        }
        why.truncate(DEFERRED_REASON_LIMIT);
        let text = subject_text(subject, &text_of("unverified", &why));
        self.tempfail(rules.tempfail, code, rules.status, text)
    }
}

fn text_of(what: &str, why: &[u8]) -> BString {
    let mut text = BString::from(format!("{what} address: "));
    text.extend_from_slice(why);
    text
}
