//! MAIL: the sender, and what the client wants for the message.
//!
//! Source: smtpd.md §5; RFC 5321 §4.1.1.2, RFC 1870, RFC 3461, RFC 6531.

use bstr::{BStr, BString};
use postern_config::params;
use postern_dict::ErrorKind;
use postern_mail::smtp_command::{Body, MailParameter, ParameterError, Word, mail_parameter};
use std::rc::Rc;
use std::time::SystemTime;

use super::{Outcome, is};
use crate::access::Rejection;
use crate::ehlo_keywords::Keywords;
use crate::missing::MilterVerdict;
use crate::reply::ErrorClass;
use crate::session::{Session, Step};
use crate::space;
use crate::transaction::{Chunking, Transaction};

/// The parameters of one MAIL command.
#[derive(Debug, Default)]
struct Wanted {
    body: Option<Body>,
    size: i64,
    ret: Option<u32>,
    envelope_id: Option<BString>,
    smtputf8: bool,
    verp: Option<BString>,
}

impl Session<'_> {
    pub(super) fn mail_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if self.server.set.helo_required && self.helo.is_none() {
            return self.reply_protocol_error("503 5.5.1 Error: send HELO/EHLO first");
        }
        if self.transaction.is_some() {
            return self.reply_protocol_error("503 5.5.1 Error: nested MAIL command");
        }
        if self.chunking != Chunking::None {
            return self.reply_protocol_error("503 5.5.1 Error: MAIL after BDAT");
        }
        let [_, label, path, parameters @ ..] = args else {
            return self.reply_protocol_error("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        if !is(label, "FROM:") {
            return self.reply_protocol_error("501 5.5.4 Syntax: MAIL FROM:<address>");
        }
        if let Some(count) = self.count_event("message", self.server.limits.message_rate) {
            return self.refuse_rate(
                "Message delivery request",
                count,
                "450 4.7.1 Error: too much mail from",
            );
        }
        // The address needs to know what comes after it.
        let may_utf8 = self.server.set.smtputf8 && !self.discarded.has(Keywords::SMTPUTF8);
        let smtputf8 = may_utf8 && parameters.iter().any(|word| is(word, "SMTPUTF8"));
        let address = if path.bad {
            None
        } else {
            self.extract_address(path.text.as_ref(), true, smtputf8)
        };
        let Some(sender) = address else {
            return self.reply_protocol_error("501 5.1.7 Bad sender address syntax");
        };
        let wanted = match self.mail_parameters(parameters) {
            Ok(wanted) => wanted,
            Err(reply) => return self.reply_protocol_error(reply),
        };
        if wanted.verp.is_some() && sender.is_empty() {
            return self.reply_protocol_error("503 5.5.4 Error: XVERP requires non-null sender");
        }
        let sender = self.as_probe_sender(&sender).unwrap_or(sender);
        if let Err(rejection) = self.check_mail(&sender, &wanted) {
            return self.reply_rejection(rejection);
        }
        if let Some(reply) = self.milter_reply_to_mail(&sender) {
            self.reply(reply)?;
            return Ok(Outcome::Bad);
        }
        let rewrite_context = match self.header_rewrite_context() {
            Ok(context) => context,
            Err(rejection) => return self.reply_rejection(rejection),
        };
        if self.server.set.strict_smtputf8 && !wanted.smtputf8 && !sender.is_ascii() {
            return self
                .reply_protocol_error("553 5.6.7 Must declare SMTPUTF8 to send unicode address");
        }
        if let Err(rejection) = self.check_space() {
            return self.reply_rejection(rejection);
        }
        self.begin_transaction(sender, wanted, rewrite_context);
        if !self.server.set.delay_open && !self.open_queue() {
            self.end_transaction();
            return self.refuse_unwritable();
        }
        self.succeed("250 2.1.0 Ok")
    }

    /// The sender of address probes in the form that tables have, when the address is one of theirs.
    pub(super) fn as_probe_sender(&mut self, address: &BString) -> Option<BString> {
        if self.alone {
            return None;
        }
        let now = postern_sys::clock::unix_time();
        self.server.as_probe_sender(address.as_ref(), now)
    }

    fn milter_reply_to_mail(&mut self, sender: &BString) -> Option<&'static str> {
        if self.alone {
            return None;
        }
        self.sender = Some(sender.clone());
        let reply = self.milter_reply();
        self.sender = None;
        reply
    }

    /// Says that the message cannot be stored, and why when that is known.
    pub(super) fn refuse_unwritable(&mut self) -> Step<Outcome> {
        if let Err(rejection) = self.check_space() {
            return self.reply_rejection(rejection);
        }
        self.error_mask.add(ErrorClass::RESOURCE);
        self.reply("451 4.3.0 Error: queue file write error")?;
        Ok(Outcome::Bad)
    }

    fn begin_transaction(
        &mut self,
        sender: BString,
        wanted: Wanted,
        rewrite_context: &'static str,
    ) {
        self.server.sequence = self.server.sequence.wrapping_add(1);
        self.sender = Some(sender);
        self.overshoot = 0;
        self.actions.hold = self.milters == MilterVerdict::Hold;
        self.transaction = Some(Transaction {
            arrival: SystemTime::now(),
            body: wanted.body,
            ret: wanted.ret,
            envelope_id: wanted.envelope_id,
            smtputf8: wanted.smtputf8,
            verp: wanted.verp,
            rewrite_context,
            recipients: 0,
            queue: None,
            error: 0,
            size: 0,
            content: crate::content::Content::default(),
            splitter: crate::content::Splitter::default(),
        });
    }

    /// Refuses a client that asks too often.
    pub(super) fn refuse_rate(&mut self, what: &str, count: i32, reply: &str) -> Step<Outcome> {
        self.error_mask.add(ErrorClass::POLICY);
        let address = self.client.address.clone();
        self.reply(format!("{reply} {address}"))?;
        let service = self.server.limits.service();
        log::warn!(
            "{what} rate limit exceeded: {count} from {} for service {service}",
            self.client.namaddr
        );
        Ok(Outcome::Bad)
    }

    fn mail_parameters(&mut self, parameters: &[Word]) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for word in parameters {
            let text: &BStr = word.text.as_ref();
            let unsupported = || ParameterError::Unsupported(text.to_owned()).to_string();
            let dsn = !self.discarded.has(Keywords::DSN);
            if !dsn && (starts_with(text, "RET=") || starts_with(text, "ENVID=")) {
                return Err("501 5.7.1 DSN support is disabled".to_owned());
            }
            match mail_parameter(text).map_err(|error| error.to_string())? {
                MailParameter::Body(body) => wanted.body = Some(body),
                MailParameter::Size(size) => wanted.size = size,
                MailParameter::SmtpUtf8 => {
                    if !self.server.set.smtputf8 || self.discarded.has(Keywords::SMTPUTF8) {
                        return Err(unsupported());
                    }
                    wanted.smtputf8 = true;
                }
                MailParameter::Auth(value) => {
                    if self.sasl_sender.is_some() {
                        return Err("503 5.5.4 Error: multiple AUTH= options".to_owned());
                    }
                    if value != "<>" {
                        self.sasl_sender = Some(value);
                    }
                }
                MailParameter::Xverp(delimiters) => {
                    if self
                        .server
                        .lists_client(|lists| &mut lists.verp_clients, &self.client)
                        != Ok(true)
                    {
                        return Err(unsupported());
                    }
                    wanted.verp = Some(self.verp_delimiters(delimiters)?);
                }
                MailParameter::Ret(_) if wanted.ret.is_some() => {
                    return Err(ParameterError::Ret.to_string());
                }
                MailParameter::Ret(ret) => wanted.ret = Some(ret),
                MailParameter::Envid(_) if wanted.envelope_id.is_some() => {
                    return Err(ParameterError::Envid.to_string());
                }
                MailParameter::Envid(id) => wanted.envelope_id = Some(id),
                MailParameter::RequireTls => return Err(unsupported()),
            }
        }
        Ok(wanted)
    }

    fn verp_delimiters(&self, given: Option<BString>) -> Result<BString, String> {
        let Some(given) = given else {
            return Ok(self.config().get(params::DEFAULT_VERP_DELIMITERS).into());
        };
        let filter = self.config().get(params::VERP_DELIMITER_FILTER);
        if given.len() == 2 && given.iter().all(|byte| filter.as_bytes().contains(byte)) {
            return Ok(given);
        }
        Err(format!(
            "501 5.5.4 Error: XVERP needs two characters from {filter}"
        ))
    }

    /// What can be said about the sender and the size; both count for the log only while it is said.
    fn check_mail(&mut self, sender: &BString, wanted: &Wanted) -> Result<(), Rejection> {
        self.sender = Some(sender.clone());
        let limit = self.server.set.message_size_limit;
        let mut result = Ok(());
        if limit > 0 && wanted.size > limit {
            result = Err(self.reject_outright(
                ErrorClass::BOUNCE,
                552,
                "5.3.4",
                "Message size exceeds fixed limit",
            ));
        } else if !self.alone && !self.server.set.delay_reject {
            result = self.check_sender();
        }
        self.sender = None;
        result
    }

    /// Whether incomplete addresses in headers are completed as those of this system
    /// (`local_header_rewrite_clients`).
    fn header_rewrite_context(&mut self) -> Result<&'static str, Rejection> {
        if self.alone {
            return Ok("local");
        }
        let list = Rc::clone(&self.server.set.local_header_rewrite_clients);
        let mut words = list.iter().map(String::as_str);
        while let Some(word) = words.next() {
            log::debug!("smtpd_check_rewrite: trying: {word}");
            let name = word.to_ascii_lowercase();
            if matches!(
                name.as_str(),
                "permit_inet_interfaces" | "permit_mynetworks"
            ) {
                self.trace_client(&name);
            }
            let found = match name.as_str() {
                "permit_inet_interfaces" => Ok(self.server.is_own_address(self.client.ip)),
                "permit_mynetworks" => self
                    .server
                    .lists_client(|lists| &mut lists.mynetworks, &self.client),
                "permit_sasl_authenticated"
                | "permit_tls_all_clientcerts"
                | "permit_tls_clientcerts" => Ok(false),
                "check_address_map" => match words.next() {
                    Some(table) => self.client_is_in(table),
                    None => {
                        return Err(self.reject_outright(
                            ErrorClass::SOFTWARE,
                            451,
                            "4.3.5",
                            "Server configuration error",
                        ));
                    }
                },
                _ if word.contains(':') => self.client_is_in(word),
                _ => {
                    log::warn!("parameter local_header_rewrite_clients: invalid request: {word}");
                    Ok(false)
                }
            };
            match found {
                Ok(true) => return Ok("local"),
                Ok(false) => {}
                Err(error) => {
                    let (status, text) = match error.kind {
                        ErrorKind::Config => ("4.3.5", "Server configuration error"),
                        ErrorKind::Retry | ErrorKind::Fatal => ("4.3.0", "Temporary lookup error"),
                    };
                    return Err(self.reject_outright(ErrorClass::SOFTWARE, 451, status, text));
                }
            }
        }
        Ok("remote")
    }

    fn client_is_in(&mut self, table: &str) -> Result<bool, postern_dict::LookupError> {
        let address = self.client.address.clone();
        self.server
            .find_in_table(table, BStr::new(&address), false)
            .map(|found| found.is_some())
    }

    /// Refuses mail that the disk may not have room for.
    fn check_space(&mut self) -> Result<(), Rejection> {
        let Some(free) = space::free(&self.server.queue_directory) else {
            return Ok(());
        };
        let set = &self.server.set;
        let warning = if space::is_short(free.bytes, set.queue_minfree, set.message_size_limit) {
            format!(
                "not enough free space in mail queue: {} bytes < 1.5*message size limit",
                free.bytes
            )
        } else if let Some(files) = free.files.filter(|files| *files < space::FILES_WANTED) {
            format!("not enough free space in mail queue: {files} files can be made")
        } else {
            return Ok(());
        };
        let rejection = self.reject_outright(
            ErrorClass::RESOURCE,
            452,
            "4.3.1",
            "Insufficient system storage",
        );
        log::warn!("{warning}");
        Err(rejection)
    }
}

fn starts_with(text: &BStr, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}
