//! Right-hand sides of access(5) tables, and the replies of policy services.

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;

use super::{Check, DeferIf, Subject, Verdict, class, subject_text};
use crate::reply::ErrorClass;
use crate::session::Session;
use postern_mail::dsn;

impl Session<'_> {
    /// Carries out what `table` says for `key`.
    pub(crate) fn apply_action(
        &mut self,
        table: &str,
        key: &BStr,
        value: &BStr,
        subject: &Subject,
    ) -> Check {
        let value = BStr::new(value.trim_ascii());
        log::debug!("check_table_result: {table} {value} {key}");
        if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
            return self.permit("OK", Some(table), subject);
        }
        let (word, text) = split_word(value);
        if let Some((code, status, text)) = numeric(word, text) {
            return self.refuse_by_table(code, &status, subject, text, b"");
        }
        let name = word.to_str_lossy().to_ascii_uppercase();
        match name.as_str() {
            "OK" | "RELAY" => self.permit(&name, Some(table), subject),
            "DUNNO" => Ok(Verdict::Dunno),
            "REJECT" => {
                let code = self.config().get(params::ACCESS_MAP_REJECT_CODE);
                let (status, text) = dsn::split("5.7.1", text);
                self.refuse_by_table(code, &status, subject, text, b"Access denied")
            }
            "DEFER" => {
                let code = self.config().get(params::ACCESS_MAP_DEFER_CODE);
                let (status, text) = dsn::split("4.7.1", text);
                self.refuse_by_table(code, &status, subject, text, b"Access denied")
            }
            "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" => {
                let when = if name == "DEFER_IF_PERMIT" {
                    DeferIf::Permit
                } else {
                    DeferIf::Reject
                };
                let (status, text) = dsn::split("4.7.1", text);
                let text = subject_text(
                    subject,
                    if text.is_empty() {
                        b"Service unavailable"
                    } else {
                        text
                    },
                );
                let status = fit_status(&status, subject.class);
                self.defer_if(when, ErrorClass::POLICY, 450, &status, text)
            }
            "HANGUP" => {
                self.log_event("hangup", text);
                Err(super::Rejection {
                    text: BString::default(),
                    hangup: true,
                    is_abrupt: true,
                })
            }
            "INFO" => self.log_only("info", text),
            "WARN" => self.log_only("warn", text),
            "FILTER" | "HOLD" | "DISCARD" | "REDIRECT" | "BCC" | "PREPEND" => {
                if self.may_act_on_message(table, &name, subject.class) {
                    self.message_action(&name, text, table, key, subject)
                } else {
                    Ok(Verdict::Dunno)
                }
            }
            _ => self.restrictions_in_table(table, value, subject),
        }
    }

    fn log_only(&mut self, action: &str, text: &BStr) -> Check {
        self.log_event(action, text);
        Ok(Verdict::Dunno)
    }

    fn refuse_by_table(
        &mut self,
        code: i32,
        status: &str,
        subject: &Subject,
        text: &BStr,
        default: &[u8],
    ) -> Check {
        let status = fit_status(status, subject.class);
        let text = if text.is_empty() { default } else { text };
        self.reject_subject(ErrorClass::POLICY, code, &status, subject, text)
    }

    /// Whether an action on the message makes sense where the table is used.
    fn may_act_on_message(&self, table: &str, action: &str, class: &str) -> bool {
        if class == class::ETRN {
            log::warn!(
                "access table {table}: action {action} is unavailable in smtpd_etrn_restrictions"
            );
            return false;
        }
        if !self.server.set.delay_reject && matches!(class, class::CLIENT | class::HELO) {
            log::warn!(
                "access table {table}: with smtpd_delay_reject=no, action {action} is always skipped in Client host or Helo command restrictions"
            );
            return false;
        }
        true
    }

    fn message_action(
        &mut self,
        name: &str,
        text: &BStr,
        table: &str,
        key: &BStr,
        subject: &Subject,
    ) -> Check {
        let entry = || format!("access table {table} entry \"{key}\"");
        match name {
            "FILTER" if text.is_empty() => log::warn!("{} has FILTER entry without value", entry()),
            "FILTER" if !text.contains(&b':') => {
                log::warn!("{} requires transport:destination", entry())
            }
            "FILTER" => {
                self.log_trigger("filter", "FILTER", text, subject);
                self.actions.filter = Some(text.into());
            }
            "REDIRECT" | "BCC" if !text.contains(&b'@') => {
                log::warn!("{} requires user@domain target", entry())
            }
            "REDIRECT" => {
                self.log_trigger("redirect", name, text, subject);
                self.actions.redirect = Some(text.into());
            }
            "BCC" => {
                self.log_trigger("bcc", name, text, subject);
                self.actions.bcc.push(text.into());
            }
            "PREPEND" if subject.class == class::END_OF_DATA || self.at_end_of_data() => {
                log::warn!(
                    "access table {table}: action PREPEND must be used before smtpd_end_of_data_restrictions"
                );
            }
            "PREPEND" if !is_header(text) => log::warn!("{} requires header: text", entry()),
            "PREPEND" => self.actions.prepend.push(text.into()),
            "HOLD" => {
                if !self.actions.hold {
                    self.log_text("hold", text, "triggers HOLD action", subject);
                    self.actions.hold = true;
                }
            }
            _ => {
                self.log_text("discard", text, "triggers DISCARD action", subject);
                self.actions.discard = true;
                self.access.discard = true;
                return Ok(Verdict::Permit);
            }
        }
        Ok(Verdict::Dunno)
    }

    fn log_trigger(&self, event: &str, action: &str, target: &BStr, subject: &Subject) {
        let mut text = BString::from(format!("triggers {action} "));
        text.extend_from_slice(target);
        self.log_text(event, text.as_bstr(), "", subject);
    }

    fn log_text(&self, event: &str, text: &BStr, default: &str, subject: &Subject) {
        let mut line = BString::from("<");
        line.extend_from_slice(&subject.name);
        line.extend_from_slice(format!(">: {} ", subject.class).as_bytes());
        line.extend_from_slice(if text.is_empty() {
            default.as_bytes()
        } else {
            text
        });
        self.log_event(event, line.as_bstr());
    }

    /// Anything else is a restriction list. Tables inside are refused: their errors would be hard to find.
    fn restrictions_in_table(&mut self, table: &str, value: &BStr, subject: &Subject) -> Check {
        let value = value.to_str_lossy();
        let list = super::list::split(&value);
        if list.iter().any(|word| word.contains(':')) {
            log::warn!("access table {table} has entry with lookup table: {value}");
            log::warn!("do not specify lookup tables inside SMTPD access maps");
            log::warn!("define a restriction class and specify its name instead.");
            return self.server_error();
        }
        self.evaluate(&list, subject, None)
    }
}

/// The first word and the rest.
fn split_word(value: &BStr) -> (&BStr, &BStr) {
    let end = value.find_byteset(b" \t").unwrap_or(value.len());
    let (word, rest) = value.split_at(end);
    (word.as_bstr(), rest.trim_ascii_start().as_bstr())
}

/// `4NN text` and `5NN text`, with the enhanced status that the text begins with.
fn numeric<'a>(word: &BStr, text: &'a BStr) -> Option<(i32, String, &'a BStr)> {
    if word.len() != 3
        || !matches!(word.first(), Some(b'4' | b'5'))
        || !word.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let code: i32 = word.to_str().ok()?.parse().ok()?;
    let (status, text) = dsn::split(if code < 500 { "4.7.1" } else { "5.7.1" }, text);
    Some((code, status, text))
}

/// Maps an address status (x.1.N) to one that fits what is refused; other classes get x.0.0.
pub(super) fn fit_status(status: &str, class: &str) -> String {
    let Some(detail) = status.get(1..).and_then(|rest| rest.strip_prefix(".1.")) else {
        return status.to_owned();
    };
    let mapped = match (class, detail) {
        (class::SENDER, "1" | "3" | "4" | "6" | "7") => "1.7",
        (class::SENDER, "2" | "8") => "1.8",
        (class::SENDER, _) => "1.0",
        (class::RECIPIENT, "1" | "2" | "3" | "4" | "5" | "6") => return status.to_owned(),
        (class::RECIPIENT, "7") => "1.3",
        (class::RECIPIENT, "8") => "1.2",
        (class::RECIPIENT, _) => "1.0",
        _ => "0.0",
    };
    let mapped = format!("{}.{mapped}", status.get(..1).unwrap_or("4"));
    if mapped != status {
        log::info!("mapping DSN status {status} into {class} status {mapped}");
    }
    mapped
}

/// Whether `text` can be a message header: a name of printable characters, then a colon.
fn is_header(text: &BStr) -> bool {
    match text.find_byte(b':') {
        Some(colon) if colon > 0 => text
            .get(..colon)
            .is_some_and(|name| name.trim_ascii_end().iter().all(u8::is_ascii_graphic)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_status_codes_are_fitted_to_what_is_refused() {
        #[rustfmt::skip]
        let cases = [
            ("5.1.1", class::SENDER, "5.1.7"), ("4.1.2", class::SENDER, "4.1.8"), ("5.1.5", class::SENDER, "5.1.0"),
            ("5.1.7", class::SENDER, "5.1.7"), ("5.1.10", class::SENDER, "5.1.0"), ("5.7.1", class::SENDER, "5.7.1"),
            ("5.1.1", class::RECIPIENT, "5.1.1"), ("5.1.7", class::RECIPIENT, "5.1.3"), ("5.1.8", class::RECIPIENT, "5.1.2"),
            ("5.1.1", class::CLIENT, "5.0.0"), ("4.3.0", class::CLIENT, "4.3.0"),
        ];
        for (status, class, want) in cases {
            assert_eq!(fit_status(status, class), want, "{status} {class}");
        }
    }

    #[test]
    fn numeric_results_carry_their_status() {
        type Case = (&'static str, Option<(i32, &'static str, &'static str)>);
        #[rustfmt::skip]
        let cases: &[Case] = &[
            ("450 try again", Some((450, "4.7.1", "try again"))),
            ("451 4.3.0 coded", Some((451, "4.3.0", "coded"))),
            ("550 5.1.1 unknown", Some((550, "5.1.1", "unknown"))),
            ("250 fine", None), ("600 what", None), ("55x y", None), ("5505 y", None),
        ];
        for (value, want) in cases {
            let (word, text) = split_word(BStr::new(value));
            let got = numeric(word, text);
            let got = got
                .as_ref()
                .map(|(code, status, text)| (*code, status.as_str(), text.to_str().unwrap()));
            assert_eq!(got, *want, "{value:?}");
        }
    }

    #[test]
    fn headers_to_prepend_need_a_name() {
        for (text, want) in [
            ("X-Seen: by", true),
            ("X:", true),
            (": x", false),
            ("no header", false),
            ("a b: c", false),
        ] {
            assert_eq!(is_header(BStr::new(text)), want, "{text:?}");
        }
    }
}
