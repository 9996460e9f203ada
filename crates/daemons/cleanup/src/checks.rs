//! header_checks, mime_header_checks, nested_header_checks and body_checks: lookup and actions.
//! Source: header_checks(5).

use bstr::{BStr, BString, ByteSlice};
use postern_dict::Maps;
use postern_ipc::cleanup::{flag, status};
use postern_mail::mime::Part;
use postern_mail::printable::{Charset, mask};
use postern_mail::{dsn, header};

use crate::message::Message;
use crate::tables::Tables;

/// Bytes of the text that a log line shows.
const SHOWN: usize = 200;
const DEFAULT_REASON: &str = "message content rejected";

/// What is checked, and with which tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Header,
    MimeHeader,
    NestedHeader,
    Body,
}

impl Subject {
    /// MIME headers have their own checks wherever they stand.
    pub(crate) fn of_header(part: Part, text: &BStr) -> Self {
        let is_mime = header::name(text).is_some_and(|(name, _)| header::is_mime(name));
        match part {
            _ if is_mime => Self::MimeHeader,
            Part::Primary => Self::Header,
            Part::Mime => Self::MimeHeader,
            Part::Nested => Self::NestedHeader,
        }
    }

    fn word(self) -> &'static str {
        if self == Self::Body { "body" } else { "header" }
    }

    fn maps(self, tables: &mut Tables) -> &mut Maps {
        match self {
            Self::Header => &mut tables.header_checks,
            Self::MimeHeader => &mut tables.mime_header_checks,
            Self::NestedHeader => &mut tables.nested_header_checks,
            Self::Body => &mut tables.body_checks,
        }
    }
}

/// What becomes of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Drop,
    Replace(BString),
}

impl Message<'_> {
    /// Looks `text` up and does what the tables say.
    pub(crate) fn check(&mut self, subject: Subject, text: &BStr) -> Verdict {
        let maps = subject.maps(&mut self.cleanup.tables);
        if maps.is_empty() {
            return Verdict::Keep;
        }
        let title = maps.title().to_owned();
        match maps.find(text, false) {
            Ok(None) => Verdict::Keep,
            Ok(Some(value)) => self.act(subject, &title, &value, text),
            Err(_) => {
                log::warn!(
                    "{}: {title} map lookup problem -- message not accepted, try again later",
                    self.queue_id
                );
                self.status |= status::WRITE;
                Verdict::Keep
            }
        }
    }

    fn act(&mut self, subject: Subject, title: &str, value: &BString, text: &BStr) -> Verdict {
        let value = value.trim_ascii();
        let end = value.find_byteset(b" \t").unwrap_or(value.len());
        let (command, argument) = value.split_at(end);
        let argument = BStr::new(argument.trim_ascii());
        let optional = (!argument.is_empty()).then_some(argument);
        let context = subject.word();
        match command.to_ascii_uppercase().as_slice() {
            b"REJECT" => self.reject_action(context, argument, text),
            b"WARN" => self.log_action("warning", context, text, optional),
            b"INFO" => self.log_action("info", context, text, optional),
            b"IGNORE" => return Verdict::Drop,
            b"STRIP" => {
                self.log_action("strip", context, text, optional);
                return Verdict::Drop;
            }
            b"DISCARD" => {
                self.log_action("discard", context, text, optional);
                self.flags |= flag::DISCARD;
                self.flags &= !flag::FILTER;
            }
            b"HOLD" => self.hold_action(context, text, optional),
            b"PASS" => {
                self.log_action("pass", context, text, optional);
                self.flags &= !(flag::FILTER | flag::MILTER);
            }
            b"FILTER" => self.filter_action(context, title, argument, text),
            b"REDIRECT" => self.redirect_action(context, title, argument, text),
            b"BCC" => self.bcc_action(context, title, argument, text),
            b"PREPEND" => self.prepend_action(subject, title, argument, text),
            b"REPLACE" => return self.replace_action(subject, title, argument, text),
            b"DUNNO" | b"OK" => {}
            _ => log::warn!("unknown command in {title} map: {}", value.as_bstr()),
        }
        Verdict::Keep
    }

    fn reject_action(&mut self, context: &str, argument: &BStr, text: &BStr) {
        let argument = if argument.is_empty() {
            BStr::new(DEFAULT_REASON)
        } else {
            argument
        };
        let (mut code, reason) = dsn::split("5.7.1", argument);
        if !code.starts_with(['4', '5']) {
            log::warn!("bad DSN action in {argument} -- need 4.x.x or 5.x.x");
            code = dsn::with_class(&code, b'4');
        }
        let reason = format!("{code} {reason}");
        self.log_action("reject", context, text, Some(BStr::new(&reason)));
        self.refuse(&reason);
        self.flags &= !flag::FILTER;
    }

    fn hold_action(&mut self, context: &str, text: &BStr, optional: Option<&BStr>) {
        if !self.hold_logged && !self.is(flag::HOLD) {
            self.log_action("hold", context, text, optional);
        }
        self.hold_logged = true;
        self.flags |= flag::HOLD;
    }

    fn filter_action(&mut self, context: &str, title: &str, argument: &BStr, text: &BStr) {
        if argument.is_empty() {
            log::warn!("missing FILTER command argument in {title} map");
        } else if !argument.contains(&b':') {
            log::warn!("bad FILTER command {argument} in {title} -- need transport:destination");
        } else {
            self.log_action("filter", context, text, Some(argument));
            self.filter = Some(argument.to_owned());
        }
    }

    fn redirect_action(&mut self, context: &str, title: &str, argument: &BStr, text: &BStr) {
        if !argument.contains(&b'@') {
            log::warn!("bad REDIRECT target \"{argument}\" in {title} map -- need user@domain");
            return;
        }
        self.log_action("redirect", context, text, Some(argument));
        self.redirect = Some(argument.to_owned());
        self.flags &= !flag::FILTER;
    }

    fn bcc_action(&mut self, context: &str, title: &str, argument: &BStr, text: &BStr) {
        if !argument.contains(&b'@') {
            log::warn!("bad BCC address \"{argument}\" in {title} map -- need user@domain");
            return;
        }
        self.log_action("bcc", context, text, Some(argument));
        if !self.check_bcc.iter().any(|known| known == argument) {
            self.check_bcc.push(argument.to_owned());
        }
    }

    fn prepend_action(&mut self, subject: Subject, title: &str, argument: &BStr, text: &BStr) {
        if argument.is_empty() {
            log::warn!("PREPEND action without text in {title} map");
        } else if subject == Subject::Body {
            self.log_action("prepend", subject.word(), text, Some(argument));
            self.put_line(argument);
        } else if header::name(argument).is_none() {
            log::warn!(
                "bad PREPEND header text \"{argument}\" in {title} map -- need \"headername: headervalue\""
            );
        } else {
            self.log_action("prepend", subject.word(), text, Some(argument));
            self.put_header(argument);
        }
    }

    fn replace_action(
        &mut self,
        subject: Subject,
        title: &str,
        argument: &BStr,
        text: &BStr,
    ) -> Verdict {
        if argument.is_empty() {
            log::warn!("REPLACE action without text in {title} map");
            return Verdict::Keep;
        }
        if subject != Subject::Body && header::name(argument).is_none() {
            log::warn!(
                "bad REPLACE header text \"{argument}\" in {title} map -- need \"headername: headervalue\""
            );
            return Verdict::Keep;
        }
        self.log_action("replace", subject.word(), text, Some(argument));
        Verdict::Replace(argument.to_owned())
    }

    /// `ID: ACTION: CONTEXT TEXT from ORIGIN; from=<…> to=<…> proto=… helo=<…>: OPTIONAL`.
    pub(crate) fn log_action(
        &self,
        action: &str,
        context: &str,
        text: &BStr,
        optional: Option<&BStr>,
    ) {
        let mut line = format!(
            "{}: {action}: {context} {} from {};",
            self.queue_id,
            self.shown(text, SHOWN),
            self.origin()
        );
        line.push_str(&self.envelope_words());
        if let Some(protocol) = self.attribute("log_protocol_name") {
            line.push_str(&format!(" proto={protocol}"));
        }
        if let Some(helo) = self.attribute("log_helo_name") {
            line.push_str(&format!(" helo=<{helo}>"));
        }
        if let Some(optional) = optional {
            line.push_str(&format!(": {optional}"));
        }
        log::info!("{line}");
    }

    /// The log line of a MIME error.
    pub(crate) fn log_mime_error(&self, error: &str, text: &BStr) {
        log::info!(
            "{}: reject: mime-error {error}: {} from {};{}",
            self.queue_id,
            self.shown(text, SHOWN),
            self.origin(),
            self.envelope_words()
        );
    }

    fn origin(&self) -> &BStr {
        self.attribute("log_message_origin")
            .unwrap_or(BStr::new("local"))
    }

    fn envelope_words(&self) -> String {
        let mut words = String::new();
        if let Some(sender) = &self.sender {
            words.push_str(&format!(" from=<{}>", self.logged(sender.as_bstr())));
        }
        if let Some(recipient) = &self.last_recipient {
            words.push_str(&format!(" to=<{}>", self.logged(recipient.as_bstr())));
        }
        words
    }

    /// The beginning of `text`, as far as it is text, with non-printables masked.
    fn shown(&self, text: &BStr, limit: usize) -> BString {
        let end = text.find_byte(0).unwrap_or(text.len()).min(limit);
        let charset = if self.cleanup.settings.smtputf8 {
            Charset::Utf8
        } else {
            Charset::Ascii
        };
        mask(text.get(..end).unwrap_or_default(), charset, b'?')
    }
}
